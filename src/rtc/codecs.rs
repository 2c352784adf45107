//! What is offered and accepted: pictures with their repairs (RTX), and sound with its copies (RED).
//!
//! Owns what a payload type means in a session. How each codec travels stands in `payload`. Only codecs
//! that we encode are registered: with the library's defaults the first would be another, and ours
//! would go out under its payload type.

use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_RTX, MediaEngine};
use rtc::rtp_transceiver::RTCRtpTransceiverDirection;
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpHeaderExtensionCapability, RtpCodecKind,
};
use webrtc::error::Result;

use super::payload::{self, Offer, Payload, Readable, parameter};
use crate::media::codec::table;
use crate::media::encoded::Codec;
pub use crate::media::encoded::MediaKind;

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

/// The number of sound with copies of what went before (RED, RFC 2198), which browsers use too.
const RED_PAYLOAD_TYPE: u8 = 63;

/// How RED is called in a description, and in the library.
pub(super) const RED: &str = "audio/red";

/// The header extension by which a camera that is turned says so instead of turning its pictures: who
/// receives them must be able to (RFC 7742 section 4; 3GPP TS 26.114 section 7.4.5).
pub(super) const ORIENTATION: &str = "urn:3gpp:video-orientation";

/// Transport-wide numbers (draft-holmer-rmcat-transport-wide-cc-extensions-01).
pub(super) const TRANSPORT_WIDE: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// What packets of one payload type carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Format {
    /// Pictures or sound.
    Media {
        /// In this codec.
        codec: Codec,
        /// Whether we can send it in this form, too.
        sendable: bool,
    },
    /// Sound with copies of what went before (RFC 2198).
    Red,
    /// Packets of another payload type that are sent again (RFC 4588).
    Repair {
        /// That one.
        of: u8,
    },
}

impl Format {
    /// Of media.
    pub(super) fn codec(self) -> Option<Codec> {
        match self {
            Self::Media { codec, .. } => Some(codec),
            Self::Red | Self::Repair { .. } => None,
        }
    }
}

/// What we can read of what a description calls this, such as `H264/90000`, with its parameters. Names
/// are the same in capitals and small letters (RFC 8866 section 6.6); encoding parameters that say
/// nothing new may be left out.
pub(super) fn format(kind: MediaKind, encoding: &str, parameters: &str) -> Option<Format> {
    let mut parts = encoding.split('/');
    let (name, clock) = (parts.next()?.trim(), parts.next()?.trim().parse::<u32>().ok()?);
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    if is("rtx") {
        let of = parameter(parameters, "apt")?.parse().ok()?;
        return Some(Format::Repair { of });
    }
    if kind == MediaKind::Audio && clock == AUDIO_CLOCK && is("red") {
        return Some(Format::Red);
    }
    let (codec, payload) = ours(kind).find(|(codec, _)| is(codec.name()))?;
    let readable = (payload.reads)(parameters).filter(|_| payload.clock_rate == clock)?;
    Some(Format::Media { codec, sendable: readable == Readable::AndSendable })
}

/// Our codecs of a kind, best first, and how they travel.
fn ours(kind: MediaKind) -> impl Iterator<Item = (Codec, &'static Payload)> {
    let codecs = match kind {
        MediaKind::Audio => table::SOUND,
        MediaKind::Video => table::PICTURES,
    };
    codecs.iter().filter_map(|codec| Some((*codec, payload::of(*codec)?)))
}

/// What our media of a kind are at first, as the tracks name it: in the best codec, as it is offered
/// first.
pub(super) fn preferred(kind: MediaKind) -> RTCRtpCodec {
    let first = ours(kind)
        .find_map(|(codec, payload)| Some(described(codec, payload, payload.offers.first()?)));
    first.unwrap_or_default()
}

fn described(codec: Codec, payload: &Payload, offer: &Offer) -> RTCRtpCodec {
    let kind = match codec.kind() {
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
    };
    RTCRtpCodec {
        mime_type: format!("{kind}/{}", codec.name()),
        clock_rate: payload.clock_rate,
        channels: payload.channels,
        sdp_fmtp_line: offer.parameters.to_owned(),
        rtcp_feedback: vec![],
    }
}

/// A media engine that knows our codecs and nothing else.
pub(super) fn media_engine() -> Result<MediaEngine> {
    let mut engine = MediaEngine::default();
    register(&mut engine, MediaKind::Audio)?;
    // After the codecs, as browsers list it: those that send by the first in the list then send RED only
    // when they are asked to.
    if let Some(red) = red() {
        engine.register_codec(
            RTCRtpCodecParameters { rtp_codec: red, payload_type: RED_PAYLOAD_TYPE },
            RtpCodecKind::Audio,
        )?;
    }
    register(&mut engine, MediaKind::Video)?;
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

fn register(engine: &mut MediaEngine, kind: MediaKind) -> Result<()> {
    let library_kind = match kind {
        MediaKind::Audio => RtpCodecKind::Audio,
        MediaKind::Video => RtpCodecKind::Video,
    };
    for (codec, payload) in ours(kind) {
        for offer in payload.offers {
            let payload_type = offer.payload_type;
            let rtp_codec = described(codec, payload, offer);
            engine
                .register_codec(RTCRtpCodecParameters { rtp_codec, payload_type }, library_kind)?;
            if let Some(repairs) = offer.repairs {
                let (rtp_codec, payload_type) = (rtx_for(payload_type), repairs);
                engine.register_codec(
                    RTCRtpCodecParameters { rtp_codec, payload_type },
                    library_kind,
                )?;
            }
        }
    }
    Ok(())
}

/// The best codec of sound with copies: each block is of the one payload type (RFC 2198 section 5).
fn red() -> Option<RTCRtpCodec> {
    let (_, payload) = ours(MediaKind::Audio).next()?;
    let of = payload.offers.first()?.payload_type;
    Some(RTCRtpCodec {
        mime_type: RED.to_owned(),
        clock_rate: payload.clock_rate,
        channels: payload.channels,
        sdp_fmtp_line: format!("{of}/{of}"),
        rtcp_feedback: vec![],
    })
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
