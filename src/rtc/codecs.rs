//! What is offered and accepted: H.264 with its repairs (RTX), and Opus with its copies (RED).
//!
//! Only codecs that we encode are registered: with the library's defaults the
//! first codec would be VP8 and H.264 would go out under its payload type.

use rtc::peer_connection::configuration::media_engine::{
    MIME_TYPE_H264, MIME_TYPE_OPUS, MIME_TYPE_RTX, MediaEngine,
};
use rtc::rtp_transceiver::RTCRtpTransceiverDirection;
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpHeaderExtensionCapability, RtpCodecKind,
};
use webrtc::error::Result;

/// Which of the two kinds of media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
}

impl MediaKind {
    /// RTP clock of all that we take of this kind, Hz.
    pub(super) fn clock_rate(self) -> u32 {
        match self {
            Self::Audio => AUDIO_CLOCK,
            Self::Video => VIDEO_CLOCK,
        }
    }
}

/// RTP clock of all video payloads, Hz (RFC 6184 section 8.2.1).
pub const VIDEO_CLOCK: u32 = 90_000;

/// RTP clock of Opus, Hz (RFC 7587 section 4.1).
pub const AUDIO_CLOCK: u32 = 48_000;

/// What we say of our Opus: FEC welcome, packets of 10 ms and more (RFC 7587 section 6.1).
const OPUS_FMTP: &str = "minptime=10;useinbandfec=1";

/// Opus, and Opus with copies of what went before (RED, RFC 2198), under the numbers that browsers use.
const OPUS_PAYLOAD_TYPE: u8 = 111;
const RED_PAYLOAD_TYPE: u8 = 63;

/// How RED is called in a description, and in the library.
pub(super) const RED: &str = "audio/red";

/// H.264 as we offer it, best first: payload type, RTX payload type, profile-level-id (RFC 6184
/// section 8.1). Constrained baseline first: everybody decodes it. The plain baseline of the second
/// is what some browsers list first; what we send is a subset of it.
const H264: [(u8, u8, &str); 2] = [(102, 103, "42e01f"), (104, 105, "42001f")];

/// The header extension by which a camera that is turned says so instead of turning its pictures: who
/// receives them must be able to (RFC 7742 section 4; 3GPP TS 26.114 section 7.4.5).
pub(super) const ORIENTATION: &str = "urn:3gpp:video-orientation";

/// What packets of one payload type carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Format {
    /// Pictures.
    H264 {
        /// Whether pictures may be cut up and put together (packetization-mode 1, RFC 6184 section 6.3).
        cut: bool,
    },
    /// Sound.
    Opus,
    /// Sound with copies of what went before (RFC 2198).
    Red,
    /// Packets of another payload type that are sent again (RFC 4588).
    Repair {
        /// That one.
        of: u8,
    },
}

/// What we can read of what a description calls this, such as `H264/90000`, with its parameters. Names
/// are the same in capitals and small letters (RFC 8866 section 6.6); encoding parameters that say
/// nothing new may be left out.
pub(super) fn format(kind: MediaKind, encoding: &str, parameters: &str) -> Option<Format> {
    let parameter = |name: &str| {
        let found = parameters.split(';').filter_map(|part| part.trim().split_once('='));
        found.into_iter().find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
    };
    let mut parts = encoding.split('/');
    let (name, clock) = (parts.next()?.trim(), parts.next()?.trim().parse().ok()?);
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    match (kind, clock) {
        (MediaKind::Video, VIDEO_CLOCK) if is("H264") => {
            let mode = parameter("packetization-mode").map_or("0", |(_, mode)| mode.trim());
            matches!(mode, "0" | "1").then_some(Format::H264 { cut: mode == "1" })
        }
        (MediaKind::Audio, AUDIO_CLOCK) if is("opus") => Some(Format::Opus),
        (MediaKind::Audio, AUDIO_CLOCK) if is("red") => Some(Format::Red),
        (_, _) if is("rtx") => {
            let of = parameter("apt")?.1.trim().parse().ok()?;
            Some(Format::Repair { of })
        }
        _ => None,
    }
}

/// The codec of our outgoing pictures, as the tracks name it.
#[must_use]
pub(super) fn h264() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: MIME_TYPE_H264.to_owned(),
        clock_rate: VIDEO_CLOCK,
        channels: 0,
        sdp_fmtp_line: h264_fmtp(H264[0].2),
        rtcp_feedback: vec![],
    }
}

/// The codec of our outgoing sound, as the tracks name it.
#[must_use]
pub(super) fn opus() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: MIME_TYPE_OPUS.to_owned(),
        clock_rate: AUDIO_CLOCK,
        channels: 2,
        sdp_fmtp_line: OPUS_FMTP.to_owned(),
        rtcp_feedback: vec![],
    }
}

/// A media engine that knows our codecs and nothing else.
pub(super) fn media_engine() -> Result<MediaEngine> {
    let mut engine = MediaEngine::default();
    engine.register_codec(
        RTCRtpCodecParameters { rtp_codec: opus(), payload_type: OPUS_PAYLOAD_TYPE },
        RtpCodecKind::Audio,
    )?;
    // After Opus, as browsers list it: those that send by the first in the list then send RED only
    // when they are asked to.
    engine.register_codec(
        RTCRtpCodecParameters { rtp_codec: red(), payload_type: RED_PAYLOAD_TYPE },
        RtpCodecKind::Audio,
    )?;
    for (payload_type, rtx, profile) in H264 {
        let h264 = RTCRtpCodec { sdp_fmtp_line: h264_fmtp(profile), ..h264() };
        engine.register_codec(
            RTCRtpCodecParameters { rtp_codec: h264, payload_type },
            RtpCodecKind::Video,
        )?;
        engine.register_codec(
            RTCRtpCodecParameters { rtp_codec: rtx_for(payload_type), payload_type: rtx },
            RtpCodecKind::Video,
        )?;
    }
    // Whoever reports no arrivals says with REMB what the path carries, if that was agreed on.
    for (typ, parameter) in [("ccm", "fir"), ("goog-remb", ""), ("nack", ""), ("nack", "pli")] {
        engine.register_feedback(
            RTCPFeedback { typ: typ.to_owned(), parameter: parameter.to_owned() },
            RtpCodecKind::Video,
        );
    }
    engine.register_header_extension(
        RTCRtpHeaderExtensionCapability { uri: ORIENTATION.to_owned() },
        RtpCodecKind::Video,
        // Ours stand upright.
        Some(RTCRtpTransceiverDirection::Recvonly),
    )?;
    Ok(engine)
}

fn h264_fmtp(profile_level_id: &str) -> String {
    format!("level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={profile_level_id}")
}

/// Opus with copies: each block is of the one payload type (RFC 2198 section 5).
fn red() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: RED.to_owned(),
        clock_rate: AUDIO_CLOCK,
        channels: 2,
        sdp_fmtp_line: format!("{OPUS_PAYLOAD_TYPE}/{OPUS_PAYLOAD_TYPE}"),
        rtcp_feedback: vec![],
    }
}

/// The repair stream of a payload type (RFC 4588 section 8.1).
fn rtx_for(payload_type: u8) -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: MIME_TYPE_RTX.to_owned(),
        clock_rate: VIDEO_CLOCK,
        channels: 0,
        sdp_fmtp_line: format!("apt={payload_type}"),
        rtcp_feedback: vec![],
    }
}
