//! What a loopback call found: the `report` event. Whether it is good enough says `verdict.rs`.

use serde::Serialize;

use crate::phone::event::{ProcessUsage, SetupMs};

/// Both directions of a call with itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoopbackReport {
    /// What the callee received.
    pub caller_to_callee: Direction,
    /// What the caller received.
    pub callee_to_caller: Direction,
    /// How the caller's side came up.
    pub setup_ms: SetupMs,
    /// What both ends, the server and the comparing used together.
    pub process: ProcessUsage,
    /// The bad network that it went over, if one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkReport>,
    /// Whether it passed.
    pub verdict: Verdict,
}

/// One direction.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Direction {
    /// Absent when no pictures were sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub video: Option<VideoReport>,
    /// Absent when no sound was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio: Option<AudioReport>,
    /// How far picture and sound were apart when shown and played, absolute, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub av_sync_ms: Option<Spread>,
    /// Where an end said that the pictures stopped, because the path carries sound alone, or came back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pauses: Vec<PauseReport>,
    /// Second by second since the call was connected; only over a bad network.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub per_second: Vec<DirectionSecond>,
}

/// One word of an end about the pictures of a direction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PauseReport {
    /// Since the call was connected, ms.
    pub at_ms: u64,
    /// The event: `video-paused` or `video-resumed`.
    pub event: &'static str,
    /// Which end said so: `sender` or `receiver`.
    pub said_by: &'static str,
}

/// One second of one direction.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DirectionSecond {
    /// What left the link's queue, all headers from IP on included, bits.
    pub bitrate_bps: u64,
    /// The longest that a packet waited for the link and was being sent, ms.
    pub queue_ms: f64,
    /// Packets that the link lost at random.
    pub lost: u64,
    /// Packets that found the link's queue full.
    pub tail_dropped: u64,
    /// Pictures shown.
    pub frames_shown: u64,
    /// From capture to shown, the median, ms; absent without a picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// The share of the sound played that was made up, percent; absent when nothing was played.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concealed_percent: Option<f64>,
}

/// A bad network: what was asked, and what it did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkReport {
    /// In the words of `--network`.
    pub asked: String,
    /// With the same seed it loses the same packets.
    pub seed: u64,
    /// To what the caller sent.
    pub caller_to_callee: LinkReport,
    /// To what the callee sent.
    pub callee_to_caller: LinkReport,
}

/// One direction of a bad network.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkReport {
    /// Packets sent into it, from before the call was connected on.
    pub packets: u64,
    /// Packets that it lost at random.
    pub lost: u64,
    /// Packets that found its queue full.
    pub tail_dropped: u64,
    /// How long packets waited in its queue and were being sent, ms.
    pub queue_ms: Spread,
    /// How much later than it should it passed packets on, because the machine was busy, ms: one of a
    /// hundred was later. Much more than 5 says that this measured the machine.
    pub late_ms: f64,
}

/// Pictures of one direction.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VideoReport {
    /// Pictures that were encoded and put on the way.
    pub frames_sent: u64,
    /// Pictures decoded with a readable stamp.
    pub frames_decoded: u64,
    /// Pictures given up by the receiver.
    pub frames_dropped: u64,
    /// Peak signal-to-noise ratio of the luma plane, dB.
    pub psnr_y: MeanMin,
    /// Structural similarity of the luma plane, 0 to 1.
    pub ssim: MeanMin,
    /// From capture to decoded, ms.
    pub latency_ms: Spread,
    /// The longest time without a new picture, to the end of the call, ms.
    pub longest_gap_ms: f64,
    /// RTP payload sent, bits a second.
    pub bitrate_bps: u64,
    /// Packets of them that were sent again because the receiver missed them.
    pub retransmitted_packets_sent: u64,
}

/// Sound of one direction.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AudioReport {
    /// From capture to played, ms, by cross-correlation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// Samples per channel that were made up.
    pub concealed_samples: u64,
    /// Samples per channel played.
    pub total_samples_received: u64,
    /// Signal-to-noise ratio of what was played against what was sent, dB; the codec's own loss counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snr_db: Option<f64>,
}

/// Mean and worst.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct MeanMin {
    /// Over all pictures.
    pub mean: f64,
    /// Of the worst picture.
    pub min: f64,
}

impl MeanMin {
    /// Of a list; zeros when it is empty.
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        if values.is_empty() {
            return Self::default();
        }
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        Self {
            mean: round(mean, 1e4),
            min: round(values.iter().copied().fold(f64::INFINITY, f64::min), 1e4),
        }
    }
}

/// Median, 95th percentile and maximum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Spread {
    /// Median.
    pub p50: f64,
    /// 95 of 100 are at or under it.
    pub p95: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of a list; zeros when it is empty.
    #[must_use]
    pub fn of(mut values: Vec<f64>) -> Self {
        if values.is_empty() {
            return Self::default();
        }
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let index = (share * (values.len() - 1) as f64).round() as usize;
            round(values[index.min(values.len() - 1)], 100.0)
        };
        Self { p50: at(0.5), p95: at(0.95), max: at(1.0) }
    }
}

pub(super) fn round(value: f64, scale: f64) -> f64 {
    (value * scale).round() / scale
}

/// Whether a loopback call passed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Verdict {
    /// Everything was good enough.
    #[serde(serialize_with = "pass")]
    Pass,
    /// What fell short, one line each.
    FellShort(Vec<String>),
}

impl Default for Verdict {
    fn default() -> Self {
        Self::FellShort(vec!["no call took place".to_owned()])
    }
}

fn pass<S: serde::Serializer>(to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str("pass")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_nothing_and_of_a_hundred() {
        assert_eq!(Spread::of(vec![]), Spread::default());
        let spread = Spread::of((1..=101).map(f64::from).collect());
        assert_eq!((spread.p50, spread.p95, spread.max), (51.0, 96.0, 101.0));
    }
}
