//! Encoded frames to RTP: one sender a kind of media.
//!
//! Owns sequence numbers, timestamps and payload types of what goes out. The
//! library's own sample writer truncates durations, so timestamps are ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use rtc::media_stream::MediaStreamTrack;
use rtc::rtp;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodingParameters, RTCRtpEncodingParameters, RTCRtpRtxParameters,
    RtpCodecKind,
};
use webrtc::error::Result as LibraryResult;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection::PeerConnection;
use webrtc::rtp_transceiver::RtpSender;

use super::codecs::{self, AUDIO_CLOCK};
use super::interceptors::{RtpMapping, TapState};
use super::packetizer::Packetizer;
use super::red::History;
use crate::clock;
use crate::media::codec::EncodedVideo;

/// Room for H.264 in one packet: 1200 bytes of UDP payload less RTP header (12), extensions (8),
/// RTX header (2) and the largest SRTP tag (16), rounded down.
const MAX_PAYLOAD: usize = 1_150;

/// What went out, countable while it goes.
#[derive(Debug, Default)]
pub(super) struct SentCounters {
    pub(super) packets: AtomicU64,
    pub(super) bytes: AtomicU64,
}

/// One outgoing stream.
#[derive(Clone)]
struct Stream {
    track: Arc<TrackLocalStaticRTP>,
    sender: Arc<dyn RtpSender>,
    ssrc: u32,
    mapping: RtpMapping,
    sent: Arc<SentCounters>,
}

impl Stream {
    async fn add(
        connection: &dyn PeerConnection,
        tap: &TapState,
        (kind, name): (RtpCodecKind, &str),
        codec: RTCRtpCodec,
        ssrc: u32,
        rtx: Option<u32>,
    ) -> LibraryResult<Self> {
        let mapping =
            RtpMapping { epoch: clock::now(), base: rand::random(), clock_rate: codec.clock_rate };
        if let Ok(mut mappings) = tap.mappings.lock() {
            mappings.insert(ssrc, mapping);
        }
        let coding = RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters {
                ssrc: Some(ssrc),
                rtx: rtx.map(|ssrc| RTCRtpRtxParameters { ssrc }),
                ..Default::default()
            },
            codec,
            ..Default::default()
        };
        let track = Arc::new(TrackLocalStaticRTP::new(MediaStreamTrack::new(
            // One stream for both: the other side then plays them in sync.
            "peer".to_owned(),
            format!("peer-{name}"),
            name.to_owned(),
            kind,
            vec![coding],
        )));
        let sender = connection.add_track(Arc::clone(&track) as Arc<dyn TrackLocal>).await?;
        Ok(Self { track, sender, ssrc, mapping, sent: Arc::default() })
    }

    /// The payload type that was agreed on; `None` while nothing was, or when they take nothing.
    async fn payload_type(&self, mime_type: &str) -> Option<(u8, String)> {
        let parameters = self.sender.get_parameters().await.ok()?;
        let codecs = parameters.rtp_parameters.codecs;
        codecs
            .into_iter()
            .find(|codec| codec.rtp_codec.mime_type.eq_ignore_ascii_case(mime_type))
            .map(|codec| (codec.payload_type, codec.rtp_codec.sdp_fmtp_line))
    }
}

/// Writes the packets of one stream; made anew after each negotiation, numbering goes on.
struct Writer {
    stream: Stream,
    payload_type: u8,
    sequence_number: u16,
}

impl Writer {
    fn new(stream: Stream, payload_type: u8) -> Self {
        // In the lower half: a receiver counts wraps from the first packet that it gets (RFC 3711
        // section 3.3.1). Were those before a wrap lost, it could decrypt nothing for ever.
        let sequence_number = rand::random::<u16>() >> 1;
        Self { stream, payload_type, sequence_number }
    }

    async fn write(&mut self, timestamp: u32, marker: bool, payload: Bytes) -> LibraryResult<()> {
        self.write_as(self.payload_type, timestamp, marker, payload).await
    }

    async fn write_as(
        &mut self,
        payload_type: u8,
        timestamp: u32,
        marker: bool,
        payload: Bytes,
    ) -> LibraryResult<()> {
        let counters = &self.stream.sent;
        counters.packets.fetch_add(1, Ordering::Relaxed);
        counters.bytes.fetch_add(payload.len() as u64, Ordering::Relaxed);
        let header = rtp::header::Header {
            version: 2,
            marker,
            payload_type,
            sequence_number: self.sequence_number,
            timestamp,
            ssrc: self.stream.ssrc,
            ..Default::default()
        };
        self.sequence_number = self.sequence_number.wrapping_add(1);
        self.stream.track.write_rtp(rtp::Packet { header, payload }).await
    }
}

/// The way out for pictures.
#[derive(Clone)]
pub struct VideoSender(Stream);

impl std::fmt::Debug for VideoSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("VideoSender").finish()
    }
}

impl VideoSender {
    pub(super) async fn add(
        connection: &dyn PeerConnection,
        tap: &TapState,
    ) -> LibraryResult<Self> {
        let kind = (RtpCodecKind::Video, "video");
        let (ssrc, rtx) = (tap.video_ssrc, Some(tap.video_rtx_ssrc));
        Stream::add(connection, tap, kind, codecs::h264(), ssrc, rtx).await.map(Self)
    }

    /// The stream as negotiated; `None` when the other side takes no H.264.
    pub async fn open(&self) -> Option<VideoWriter> {
        let (payload_type, fmtp) = self.0.payload_type("video/H264").await?;
        let writer = Writer::new(self.0.clone(), payload_type);
        Some(VideoWriter { writer, packetizer: Packetizer::new(MAX_PAYLOAD), fmtp })
    }

    pub(super) fn sent(&self) -> &SentCounters {
        &self.0.sent
    }
}

/// Sends encoded pictures.
pub struct VideoWriter {
    writer: Writer,
    packetizer: Packetizer,
    fmtp: String,
}

impl std::fmt::Debug for VideoWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VideoWriter").field("fmtp", &self.fmtp).finish()
    }
}

impl VideoWriter {
    /// Sends one access unit.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send(&mut self, frame: &EncodedVideo) -> Result<(), SendError> {
        let timestamp = self.writer.stream.mapping.at(frame.captured_at);
        let mut payloads = self.packetizer.packetize(&frame.data).into_iter().peekable();
        while let Some(payload) = payloads.next() {
            let last = payloads.peek().is_none();
            self.writer.write(timestamp, last, payload).await.map_err(|_| SendError)?;
        }
        Ok(())
    }

    /// The profile-level-id that was agreed on, such as `42e01f`.
    #[must_use]
    pub fn profile_level_id(&self) -> Option<&str> {
        self.fmtp.split(';').find_map(|part| part.trim().strip_prefix("profile-level-id="))
    }
}

/// The way out for sound.
#[derive(Clone)]
pub struct AudioSender(Stream);

impl std::fmt::Debug for AudioSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("AudioSender").finish()
    }
}

impl AudioSender {
    pub(super) async fn add(
        connection: &dyn PeerConnection,
        tap: &TapState,
    ) -> LibraryResult<Self> {
        let kind = (RtpCodecKind::Audio, "audio");
        Stream::add(connection, tap, kind, codecs::opus(), tap.audio_ssrc, None).await.map(Self)
    }

    /// The stream as negotiated; `None` when the other side takes no Opus.
    pub async fn open(&self) -> Option<AudioWriter> {
        let (payload_type, fmtp) = self.0.payload_type("audio/opus").await?;
        let red = self.0.payload_type(codecs::RED).await.map(|(payload_type, _)| payload_type);
        let (writer, history) = (Writer::new(self.0.clone(), payload_type), History::default());
        Some(AudioWriter { writer, red, history, fmtp, next_timestamp: None, silent: true })
    }

    pub(super) fn sent(&self) -> &SentCounters {
        &self.0.sent
    }
}

/// Sends encoded sound.
pub struct AudioWriter {
    writer: Writer,
    /// The payload type of sound with copies, where it was agreed on.
    red: Option<u8>,
    history: History,
    fmtp: String,
    next_timestamp: Option<u32>,
    silent: bool,
}

impl std::fmt::Debug for AudioWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AudioWriter").field("fmtp", &self.fmtp).finish()
    }
}

/// Sound whose capture times wander less than this from its own count of samples keeps the count,
/// so that a jittery thread makes no jittery timestamps: 40 ms.
const TIMESTAMP_SLACK: u32 = AUDIO_CLOCK / 25;

impl AudioWriter {
    /// Sends one packet of `samples` samples per channel whose first was captured at `captured_at`,
    /// together with as many of those before it as `copies` says, where the other side takes that.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send(
        &mut self,
        packet: Bytes,
        samples: u32,
        captured_at: Instant,
        copies: usize,
    ) -> Result<(), SendError> {
        let by_clock = self.writer.stream.mapping.at(captured_at);
        let timestamp = match self.next_timestamp {
            Some(next) if near(next, by_clock, TIMESTAMP_SLACK) => next,
            _ => by_clock,
        };
        self.next_timestamp = Some(timestamp.wrapping_add(samples));
        // The marker begins a talk spurt (RFC 7587 section 4.2).
        let marker = std::mem::take(&mut self.silent);
        let opus = self.writer.payload_type;
        let packed = self.history.pack(opus, timestamp, &packet, copies);
        let (payload_type, payload) = match (self.red, packed) {
            (Some(red), Some(packed)) => (red, packed),
            _ => (opus, packet),
        };
        let sent = self.writer.write_as(payload_type, timestamp, marker, payload).await;
        sent.map_err(|_| SendError)
    }

    /// Whether the other side takes copies of earlier sound (RED, RFC 2198).
    #[must_use]
    pub fn takes_copies(&self) -> bool {
        self.red.is_some()
    }

    /// Whether the other side asked for a parameter, such as `stereo=1` (RFC 7587 section 6.1).
    #[must_use]
    pub fn remote_wants(&self, parameter: &str) -> bool {
        self.fmtp.split(';').any(|part| part.trim() == parameter)
    }
}

fn near(a: u32, b: u32, slack: u32) -> bool {
    let distance = a.wrapping_sub(b);
    distance.min(distance.wrapping_neg()) <= slack
}

/// The connection is gone. Says nothing more: the library's own error holds the packet.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the connection is closed")]
pub struct SendError;
