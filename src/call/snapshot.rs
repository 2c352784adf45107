//! The statistics of a call, put together from the connection's and the media's counters.

use std::sync::PoisonError;
use std::time::Instant;

use super::media::Media;
use crate::rtc::connection::Connection;
use crate::rtc::counts::Counts;
use crate::rtc::stats::{
    Inbound, InboundAudio, InboundVideo, Outbound, OutboundAudio, OutboundVideo, Stats,
};

/// What the frame rates are counted from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Since {
    at: Instant,
    decoded: u64,
    encoded: u64,
}

impl Since {
    pub(super) fn start(at: Instant) -> Self {
        Self { at, decoded: 0, encoded: 0 }
    }

    /// The same, counted from these statistics on.
    pub(super) fn from(at: Instant, stats: &Stats) -> Self {
        let decoded = stats.inbound.video.as_ref().map_or(0, |video| video.frames_decoded);
        let encoded = stats.outbound.video.as_ref().map_or(0, |video| video.frames_encoded);
        Self { at, decoded, encoded }
    }
}

/// All statistics at `now` but the candidate pair, which has to be waited for; frame rates are
/// means since `since`.
pub(super) fn take(connection: &Connection, media: &Media, since: Since, now: Instant) -> Stats {
    let counts = connection.counts();
    let seconds = now.saturating_duration_since(since.at).as_secs_f64().max(1e-3);
    let rate = |frames: u64, before: u64| {
        (frames.saturating_sub(before) as f64 / seconds * 10.0).round() / 10.0
    };
    let inbound_video = inbound_video(media, &counts)
        .map(|v| InboundVideo { frames_per_second: rate(v.frames_decoded, since.decoded), ..v });
    let outbound_video = outbound_video(media, &counts)
        .map(|v| OutboundVideo { frames_per_second: rate(v.frames_encoded, since.encoded), ..v });
    Stats {
        inbound: Inbound { video: inbound_video, audio: inbound_audio(media) },
        outbound: Outbound { video: outbound_video, audio: outbound_audio(media, &counts) },
        datagrams_refused: connection.refused(),
        selected_candidate_pair: None,
    }
}

fn inbound_video(media: &Media, counts: &Counts) -> Option<InboundVideo> {
    let video = media.video.as_ref()?;
    let (state, received) = (video.state(), video.counters().get());
    let pictures = state.counters();
    let ((frame_width, frame_height), (freeze_count, frozen)) = (pictures.size(), state.freezes());
    Some(InboundVideo {
        codec: video.codec().name().to_owned(),
        frames_decoded: pictures.pictures(),
        frames_dropped: pictures.dropped() + received.frames_dropped,
        key_frames_decoded: pictures.keyframes(),
        frame_width,
        frame_height,
        frames_per_second: 0.0,
        bytes_received: received.bytes_received,
        packets_received: received.packets_received,
        packets_lost: i64::try_from(received.packets_lost).unwrap_or(i64::MAX),
        nack_count: counts.nacks_sent,
        pli_count: counts.keyframe_requests_sent,
        freeze_count,
        total_freezes_duration: frozen,
        jitter_buffer_delay_ms: state.mean_wait_ms(),
    })
}

fn inbound_audio(media: &Media) -> Option<InboundAudio> {
    let audio = media.audio.as_ref()?;
    let counters = audio.playout().lock().unwrap_or_else(PoisonError::into_inner).counters();
    Some(InboundAudio {
        codec: audio.codec().name().to_owned(),
        bytes_received: counters.bytes_received,
        packets_received: counters.packets_received,
        packets_lost: i64::try_from(counters.packets_lost).unwrap_or(i64::MAX),
        concealed_samples: counters.concealed_samples,
        silent_concealed_samples: counters.silent_concealed_samples,
        total_samples_received: counters.total_samples_received,
        total_audio_energy: counters.total_audio_energy,
        audio_level: rounded(audio.state().level()),
        jitter_buffer_delay_ms: counters.mean_delay_ms(),
        playout_delay_ms: rounded(audio.state().delay().as_secs_f64() * 1e3),
    })
}

fn outbound_video(media: &Media, counts: &Counts) -> Option<OutboundVideo> {
    let (state, codec) = (media.outgoing.video()?, media.outgoing.codecs().0?);
    let pictures = state.counters();
    let (frame_width, frame_height) = pictures.size();
    Some(OutboundVideo {
        codec: codec.name().to_owned(),
        frames_encoded: pictures.pictures(),
        frames_dropped: pictures.dropped(),
        key_frames_encoded: pictures.keyframes(),
        frame_width,
        frame_height,
        frames_per_second: 0.0,
        bytes_sent: counts.video_sent.bytes,
        packets_sent: counts.video_sent.packets,
        packets_lost: counts.video_lost_remotely,
        nack_count: counts.nacks_received,
        pli_count: counts.keyframe_requests_received,
        retransmitted_packets_sent: counts.retransmitted,
        target_bitrate: state.target_bitrate(),
        quality_limitation_reason: if state.limited() { "bandwidth" } else { "none" },
    })
}

fn outbound_audio(media: &Media, counts: &Counts) -> Option<OutboundAudio> {
    let (state, codec) = (media.outgoing.audio()?, media.outgoing.codecs().1?);
    Some(OutboundAudio {
        codec: codec.name().to_owned(),
        bytes_sent: counts.audio_sent.bytes,
        packets_sent: counts.audio_sent.packets,
        packets_lost: counts.audio_lost_remotely,
        packets_discarded_on_send: state.discarded(),
        audio_level: rounded(state.level()),
    })
}

/// A measure that nobody reads beyond its fourth digit.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}
