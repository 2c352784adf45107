//! What a loopback call found: the `report` event, and whether it is good enough.

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
    /// RTP payload sent, bits a second.
    pub bitrate_bps: u64,
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

fn round(value: f64, scale: f64) -> f64 {
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

/// What a call on one machine must reach to be called sound. Times are generous, because a busy
/// machine is not a broken call.
mod bar {
    pub(super) const DECODED_SHARE: f64 = 0.99;
    pub(super) const PSNR_DB: f64 = 30.0;
    pub(super) const SSIM: f64 = 0.9;
    pub(super) const LATENCY_P95_MS: f64 = 200.0;
    pub(super) const CONCEALED_SHARE: f64 = 0.01;
    pub(super) const SYNC_P95_MS: f64 = 80.0;
}

impl LoopbackReport {
    /// Fills in the verdict from everything else.
    #[must_use]
    pub fn judged(mut self) -> Self {
        let mut short = Vec::new();
        self.caller_to_callee.judge("caller to callee", &mut short);
        self.callee_to_caller.judge("callee to caller", &mut short);
        self.verdict = if short.is_empty() { Verdict::Pass } else { Verdict::FellShort(short) };
        self
    }
}

impl Direction {
    fn judge(&self, name: &str, short: &mut Vec<String>) {
        let mut at_least = |what: &str, is: f64, bar: f64| {
            if is.is_nan() || is < bar {
                short.push(format!("{name}: {what} is {is:.3}, should be at least {bar}"));
            }
        };
        if let Some(video) = &self.video {
            let share = video.frames_decoded as f64 / video.frames_sent.max(1) as f64;
            at_least("share of pictures decoded", share, bar::DECODED_SHARE);
            at_least("mean PSNR of pictures (dB)", video.psnr_y.mean, bar::PSNR_DB);
            at_least("mean SSIM of pictures", video.ssim.mean, bar::SSIM);
        }
        let mut at_most = |what: &str, is: f64, bar: f64| {
            if is.is_nan() || is > bar {
                short.push(format!("{name}: {what} is {is:.3}, should be at most {bar}"));
            }
        };
        if let Some(video) = &self.video {
            at_most("p95 latency of pictures (ms)", video.latency_ms.p95, bar::LATENCY_P95_MS);
        }
        if let Some(audio) = &self.audio {
            let played = audio.total_samples_received.max(1);
            let share = audio.concealed_samples as f64 / played as f64;
            at_most("share of sound concealed", share, bar::CONCEALED_SHARE);
            if audio.total_samples_received == 0 {
                short.push(format!("{name}: no sound arrived"));
            }
        }
        if let Some(sync) = &self.av_sync_ms {
            let mut at_most = |what: &str, is: f64, bar: f64| {
                if is > bar {
                    short.push(format!("{name}: {what} is {is:.3}, should be at most {bar}"));
                }
            };
            at_most("p95 offset of picture to sound (ms)", sync.p95, bar::SYNC_P95_MS);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn good() -> Direction {
        let video = VideoReport {
            frames_sent: 300,
            frames_decoded: 300,
            psnr_y: MeanMin { mean: 42.0, min: 38.0 },
            ssim: MeanMin { mean: 0.98, min: 0.95 },
            ..Default::default()
        };
        let audio = AudioReport { total_samples_received: 480_000, ..Default::default() };
        Direction { video: Some(video), audio: Some(audio), av_sync_ms: Some(Spread::default()) }
    }

    #[test]
    fn passes_and_says_so_in_one_word() {
        let report = LoopbackReport {
            caller_to_callee: good(),
            callee_to_caller: good(),
            ..Default::default()
        };
        let json = serde_json::to_value(report.judged()).unwrap();
        assert_eq!(json["verdict"], "pass");
    }

    #[test]
    fn names_what_fell_short() {
        let mut bad = good();
        bad.video.as_mut().unwrap().frames_decoded = 280;
        bad.audio.as_mut().unwrap().concealed_samples = 48_000;
        let report = LoopbackReport {
            caller_to_callee: bad,
            callee_to_caller: good(),
            ..Default::default()
        };
        let Verdict::FellShort(lines) = report.judged().verdict else {
            panic!("should fall short")
        };
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("caller to callee: share of pictures decoded is 0.933"));
    }

    #[test]
    fn percentiles_of_nothing_and_of_a_hundred() {
        assert_eq!(Spread::of(vec![]), Spread::default());
        let spread = Spread::of((1..=101).map(f64::from).collect());
        assert_eq!((spread.p50, spread.p95, spread.max), (51.0, 96.0, 101.0));
    }
}
