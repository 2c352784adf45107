//! Encoded frames to RTP: one sender a kind of media.
//!
//! Owns sequence numbers, timestamps and payload types of what goes out. The
//! library's own sample writer truncates durations, so timestamps are ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use rtc::media_stream::MediaStreamTrack;
use rtc::rtp;
use rtc::rtp_transceiver::RTCRtpSenderId;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodingParameters, RTCRtpEncodingParameters, RTCRtpRtxParameters,
    RtpCodecKind,
};
use webrtc::error::Result as LibraryResult;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection::PeerConnection;
use webrtc::rtp_transceiver::RtpSender;

use super::agreed::Section;
use super::codecs::{self, AUDIO_CLOCK, Format};
use super::interceptors::{RtpMapping, TapState};
use super::payload::{self, Pictures, parameter};
use super::red::History;
use crate::clock;
use crate::media::encoded::{Codec, EncodedFrame, MediaKind};
use crate::sequence::ticks_between;

/// Room for pictures in one packet: 1200 bytes of UDP payload less RTP header (12), extensions (8),
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
    of: (RtpCodecKind, &'static str),
    coding: RTCRtpEncodingParameters,
    track: Arc<TrackLocalStaticRTP>,
    sender: Arc<dyn RtpSender>,
    ssrc: u32,
    mapping: RtpMapping,
    /// The number of the next packet.
    sequence_number: Arc<AtomicU16>,
    sent: Arc<SentCounters>,
}

impl Stream {
    async fn add(
        connection: &dyn PeerConnection,
        tap: &TapState,
        (kind, name): (RtpCodecKind, &'static str),
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
        let (track, sender) = add_track(connection, (kind, name), &coding).await?;
        // In the lower half: a receiver counts wraps from the first packet that it gets (RFC 3711
        // section 3.3.1). Were those before a wrap lost, it could decrypt nothing for ever.
        let sequence_number = Arc::new(AtomicU16::new(rand::random::<u16>() >> 1));
        let (of, sent) = ((kind, name), Arc::default());
        Ok(Self { of, coding, track, sender, ssrc, mapping, sequence_number, sent })
    }

    /// The same stream in another section: its numbers go on.
    async fn moved(&self, connection: &dyn PeerConnection) -> LibraryResult<Self> {
        let (track, sender) = add_track(connection, self.of, &self.coding).await?;
        Ok(Self { track, sender, ..self.clone() })
    }
}

/// A track that the next free section of its kind takes.
async fn add_track(
    connection: &dyn PeerConnection,
    (kind, name): (RtpCodecKind, &str),
    coding: &RTCRtpEncodingParameters,
) -> LibraryResult<(Arc<TrackLocalStaticRTP>, Arc<dyn RtpSender>)> {
    let track = Arc::new(TrackLocalStaticRTP::new(MediaStreamTrack::new(
        // One stream for both: the other side then plays them in sync.
        "peer".to_owned(),
        // The library finds tracks by this.
        format!("peer-{name}-{:08x}", rand::random::<u32>()),
        name.to_owned(),
        kind,
        vec![coding.clone()],
    )));
    let sender = connection.add_track(Arc::clone(&track) as Arc<dyn TrackLocal>).await?;
    Ok((track, sender))
}

/// Writes the packets of one stream; made anew after each negotiation, numbering goes on.
struct Writer {
    stream: Stream,
    payload_type: u8,
}

impl Writer {
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
            sequence_number: self.stream.sequence_number.fetch_add(1, Ordering::Relaxed),
            timestamp,
            ssrc: self.stream.ssrc,
            ..Default::default()
        };
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
        Stream::add(connection, tap, kind, codecs::preferred(MediaKind::Video), ssrc, rtx)
            .await
            .map(Self)
    }

    pub(super) fn id(&self) -> RTCRtpSenderId {
        self.0.sender.id()
    }

    /// In another section.
    pub(super) async fn moved(&self, connection: &dyn PeerConnection) -> LibraryResult<Self> {
        self.0.moved(connection).await.map(Self)
    }

    /// As this section carries it; `None` when the other side takes nothing there that we can send.
    pub(super) fn open(&self, section: &Section) -> Option<VideoWriter> {
        let (codec, taken) = section.taken_media()?;
        let pictures = payload::pictures(codec)?;
        let writer = Writer { stream: self.0.clone(), payload_type: taken.payload_type };
        Some(VideoWriter { writer, codec, pictures, fmtp: taken.parameters.clone() })
    }

    pub(super) fn sent(&self) -> &SentCounters {
        &self.0.sent
    }
}

/// Sends encoded pictures.
pub struct VideoWriter {
    writer: Writer,
    codec: Codec,
    pictures: &'static Pictures,
    fmtp: String,
}

impl std::fmt::Debug for VideoWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VideoWriter").field("fmtp", &self.fmtp).finish()
    }
}

impl VideoWriter {
    /// What was agreed on: pictures are to be encoded in it.
    #[must_use]
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Sends one picture. One in another codec, as it may still wait when that has changed, is left out.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send(&mut self, frame: &EncodedFrame) -> Result<(), SendError> {
        if frame.codec != self.codec {
            tracing::debug!("a picture in another codec than was agreed on is left out");
            return Ok(());
        }
        // What comes out of a file is of the moment at which it is sent.
        let timestamp = self.writer.stream.mapping.at(frame.time.here().unwrap_or_else(clock::now));
        let payloads = (self.pictures.split)(&frame.data, MAX_PAYLOAD);
        let mut payloads = payloads.into_iter().peekable();
        while let Some(payload) = payloads.next() {
            let last = payloads.peek().is_none();
            self.writer.write(timestamp, last, payload).await.map_err(|_| SendError)?;
        }
        Ok(())
    }

    /// A parameter that was agreed on, such as `profile-level-id`.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        parameter(&self.fmtp, name)
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
        let codec = codecs::preferred(MediaKind::Audio);
        Stream::add(connection, tap, kind, codec, tap.audio_ssrc, None).await.map(Self)
    }

    pub(super) fn id(&self) -> RTCRtpSenderId {
        self.0.sender.id()
    }

    /// In another section.
    pub(super) async fn moved(&self, connection: &dyn PeerConnection) -> LibraryResult<Self> {
        self.0.moved(connection).await.map(Self)
    }

    /// As this section carries it; `None` when the other side takes nothing there that we can send.
    pub(super) fn open(&self, section: &Section) -> Option<AudioWriter> {
        let (codec, taken) = section.taken_media()?;
        let red = section.taken(|format| format == Format::Red).map(|red| red.payload_type);
        let writer = Writer { stream: self.0.clone(), payload_type: taken.payload_type };
        let (history, fmtp) = (History::default(), taken.parameters.clone());
        Some(AudioWriter { writer, codec, red, history, fmtp, next_timestamp: None, silent: true })
    }

    pub(super) fn sent(&self) -> &SentCounters {
        &self.0.sent
    }
}

/// Sends encoded sound.
pub struct AudioWriter {
    writer: Writer,
    codec: Codec,
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
    /// What was agreed on: sound is to be encoded in it.
    #[must_use]
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Sends one packet, together with as many of those before it as `copies` says, where the other side
    /// takes that. One in another codec is left out.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send(&mut self, packet: EncodedFrame, copies: usize) -> Result<(), SendError> {
        let EncodedFrame { codec, data: packet, samples, time, .. } = packet;
        if codec != self.codec {
            tracing::debug!("sound in another codec than was agreed on is left out");
            return Ok(());
        }
        let timestamp = self.timestamp(time.here().unwrap_or_else(clock::now), samples);
        // The marker begins a talk spurt (RFC 7587 section 4.2).
        let marker = std::mem::take(&mut self.silent);
        let plain = self.writer.payload_type;
        let packed = self.history.pack(plain, timestamp, &packet, copies);
        let (payload_type, payload) = match (self.red, packed) {
            (Some(red), Some(packed)) => (red, packed),
            _ => (plain, packet),
        };
        let sent = self.writer.write_as(payload_type, timestamp, marker, payload).await;
        sent.map_err(|_| SendError)
    }

    /// Leaves a packet out that is too late. It counts as lost on the way, so that the other side makes
    /// good for it from what comes next, instead of taking it for a pause.
    pub fn leave_out(&mut self, packet: &EncodedFrame) {
        if packet.codec != self.codec {
            return;
        }
        let captured_at = packet.time.here().unwrap_or_else(clock::now);
        let timestamp = self.timestamp(captured_at, packet.samples);
        self.writer.stream.sequence_number.fetch_add(1, Ordering::Relaxed);
        let _ = self.history.pack(self.writer.payload_type, timestamp, &packet.data, 0);
    }

    fn timestamp(&mut self, captured_at: Instant, samples: u32) -> u32 {
        let by_clock = self.writer.stream.mapping.at(captured_at);
        let timestamp = match self.next_timestamp {
            Some(next) if near(next, by_clock, TIMESTAMP_SLACK) => next,
            _ => by_clock,
        };
        self.next_timestamp = Some(timestamp.wrapping_add(samples));
        timestamp
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
    ticks_between(a, b).unsigned_abs() <= slack
}

/// The connection is gone. Says nothing more: the library's own error holds the packet.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the connection is closed")]
pub struct SendError;
