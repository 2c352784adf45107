//! Statistics under the W3C webrtc-stats names; what the library leaves at zero is counted here.

use serde::Serialize;

pub use super::refused_datagrams::Refused;

/// A snapshot of one call, both directions. Counters run from the start of the call.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// What arrives.
    pub inbound: Inbound,
    /// What we send.
    pub outbound: Outbound,
    /// Datagrams that were not let in, by reason; absent when there was none.
    #[serde(skip_serializing_if = "Refused::is_none")]
    pub datagrams_refused: Refused,
    /// The path that ICE chose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selected_candidate_pair: Option<CandidatePair>,
}

/// What arrives.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inbound {
    /// Absent when no picture was negotiated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub video: Option<InboundVideo>,
    /// Absent when no sound was negotiated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio: Option<InboundAudio>,
}

/// What we send.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outbound {
    /// Absent when we send no picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub video: Option<OutboundVideo>,
    /// Absent when we send no sound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio: Option<OutboundAudio>,
}

/// Received pictures.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InboundVideo {
    /// Such as `H264 42e01f`.
    pub codec: String,
    /// Pictures decoded.
    pub frames_decoded: u64,
    /// Pictures given up: incomplete, undecodable or shown too late.
    pub frames_dropped: u64,
    /// Keyframes among the decoded.
    pub key_frames_decoded: u64,
    /// Pixels, of the last picture.
    pub frame_width: u32,
    /// Pixels, of the last picture.
    pub frame_height: u32,
    /// Decoded in the last second (in a summary: the mean of the call).
    pub frames_per_second: f64,
    /// RTP payload bytes.
    pub bytes_received: u64,
    /// RTP packets.
    pub packets_received: u64,
    /// RTP packets that never came (RFC 3550 section 6.4.1).
    pub packets_lost: i64,
    /// Generic NACKs sent (RFC 4585).
    pub nack_count: u64,
    /// Picture loss indications sent (RFC 4585).
    pub pli_count: u64,
    /// Times that the picture stood still: a gap over max(3 x mean, mean + 150 ms).
    pub freeze_count: u64,
    /// Seconds that it stood still.
    pub total_freezes_duration: f64,
    /// Mean time from a frame's first packet to its decoding, ms.
    pub jitter_buffer_delay_ms: f64,
}

/// Received sound.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InboundAudio {
    /// Such as `opus`.
    pub codec: String,
    /// RTP payload bytes.
    pub bytes_received: u64,
    /// RTP packets.
    pub packets_received: u64,
    /// RTP packets that never came.
    pub packets_lost: i64,
    /// Samples per channel that were made up.
    pub concealed_samples: u64,
    /// Those of them that are noise of the place, or silence.
    pub silent_concealed_samples: u64,
    /// Samples per channel played, made up or not.
    pub total_samples_received: u64,
    /// Sum of squared level times seconds (W3C totalAudioEnergy).
    pub total_audio_energy: f64,
    /// How loud it is now, 0.0 to 1.0 (W3C audioLevel).
    pub audio_level: f64,
    /// Mean time that a sample waited before it was played, ms.
    pub jitter_buffer_delay_ms: f64,
    /// From there to the ear: what waits for the speaker, and in it, ms. Zero without one.
    pub playout_delay_ms: f64,
}

/// Sent pictures.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutboundVideo {
    /// Such as `H264 42e01f`.
    pub codec: String,
    /// Pictures encoded.
    pub frames_encoded: u64,
    /// Pictures that the encoder or a full queue dropped.
    pub frames_dropped: u64,
    /// Keyframes among the encoded.
    pub key_frames_encoded: u64,
    /// Pixels.
    pub frame_width: u32,
    /// Pixels.
    pub frame_height: u32,
    /// Encoded in the last second (in a summary: the mean of the call).
    pub frames_per_second: f64,
    /// RTP payload bytes, without repairs.
    pub bytes_sent: u64,
    /// RTP packets, without repairs.
    pub packets_sent: u64,
    /// RTP packets that the other side says never came.
    pub packets_lost: i64,
    /// Generic NACKs received.
    pub nack_count: u64,
    /// Picture loss indications received.
    pub pli_count: u64,
    /// Packets sent again.
    pub retransmitted_packets_sent: u64,
    /// What the encoder is told, bits a second.
    pub target_bitrate: u32,
    /// W3C RTCQualityLimitationReason: why pictures are smaller or fewer than the source's: `bandwidth`,
    /// or `none`.
    pub quality_limitation_reason: &'static str,
}

/// Sent sound.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutboundAudio {
    /// Such as `opus`.
    pub codec: String,
    /// RTP payload bytes.
    pub bytes_sent: u64,
    /// RTP packets.
    pub packets_sent: u64,
    /// RTP packets that the other side says never came.
    pub packets_lost: i64,
    /// Packets that had waited too long for the connection when their turn came, or found no room.
    pub packets_discarded_on_send: u64,
    /// How loud it is now, 0.0 to 1.0 (W3C audioLevel).
    pub audio_level: f64,
}

/// The path that ICE chose.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CandidatePair {
    /// Type and address of our end, such as `host 192.168.1.5:40000`.
    pub local: String,
    /// Type and address of the other end.
    pub remote: String,
    /// `udp` or `tcp`.
    pub protocol: String,
    /// Seconds.
    pub current_round_trip_time: f64,
}
