//! How long sound must wait so that almost every packet is there in time. Pure.

use std::collections::VecDeque;
use std::time::Instant;

use crate::media::frame::SAMPLE_RATE;

/// Packets that the estimate looks back on: about four seconds.
const WINDOW: usize = 200;

/// This share of the packets shall come in time.
const IN_TIME: f64 = 0.97;

/// The least that waits, samples: one packet of 20 ms, since sound is played while the next comes.
const LEAST: usize = 960;

/// What waits beyond that at first, samples: a packet. Jitter is not known yet, and what is too much
/// goes away by itself.
const CAUTION: usize = 960;

/// Packets until the jitter is known well enough: half a second.
const KNOWN_AFTER: usize = 25;

/// The most, samples: half a second. More is no conversation.
const MOST: usize = 24_000;

/// How fast the smoothed level follows, per 10 ms: about half a second.
const LEVEL_SMOOTHING: f64 = 0.02;

/// Estimates the delay from when packets come.
#[derive(Debug, Default)]
pub(super) struct DelayEstimator {
    began_at: Option<Instant>,
    last_timestamp: Option<u32>,
    /// Samples on the sender's clock since the first packet; the timestamps themselves wrap.
    there: i64,
    /// How late each packet came against the first one, samples.
    lateness: VecDeque<f64>,
    target: Option<usize>,
    level: Option<f64>,
}

impl DelayEstimator {
    /// A packet with this RTP timestamp came at `now`.
    pub(super) fn on_packet(&mut self, now: Instant, timestamp: u32) {
        let began_at = *self.began_at.get_or_insert(now);
        let here = now.saturating_duration_since(began_at).as_secs_f64() * f64::from(SAMPLE_RATE);
        let last = self.last_timestamp.replace(timestamp).unwrap_or(timestamp);
        self.there += i64::from(timestamp.wrapping_sub(last) as i32);
        let there = self.there as f64;
        if self.lateness.len() == WINDOW {
            self.lateness.pop_front();
        }
        self.lateness.push_back(here - there);
        let mut sorted: Vec<f64> = self.lateness.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let at = ((sorted.len() - 1) as f64 * IN_TIME).round() as usize;
        // Against the earliest of the window, so that drifting clocks do not look like jitter.
        let jitter = (sorted[at] - sorted[0]).max(0.0) as usize;
        let caution = if sorted.len() < KNOWN_AFTER { CAUTION } else { 0 };
        self.target = Some((LEAST + jitter.max(caution)).min(MOST));
    }

    /// Samples that should wait.
    pub(super) fn target_samples(&self) -> usize {
        self.target.unwrap_or(LEAST)
    }

    /// So many samples wait now.
    pub(super) fn on_level(&mut self, samples: usize) {
        let samples = samples as f64;
        self.level = Some(match self.level {
            Some(level) => level + (samples - level) * LEVEL_SMOOTHING,
            None => self.target_samples() as f64,
        });
    }

    /// How many samples waited lately, smoothed.
    pub(super) fn level(&self) -> f64 {
        self.level.unwrap_or_else(|| self.target_samples() as f64)
    }

    /// So many samples were taken out (negative: put in) without being played.
    pub(super) fn on_stretched(&mut self, samples: f64) {
        self.level = self.level.map(|level| level - samples);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use std::time::Duration;

    fn feed(late_ms: impl Fn(u32) -> u64) -> usize {
        let (start, mut delay) = (clock::now(), DelayEstimator::default());
        for n in 0..400 {
            let at = Duration::from_millis(u64::from(n) * 20 + late_ms(n));
            delay.on_packet(start + at, 7_u32.wrapping_sub(5_000).wrapping_add(n * 960));
        }
        delay.target_samples()
    }

    #[test]
    fn a_steady_stream_waits_for_one_packet_and_a_shaky_one_longer() {
        assert_eq!(feed(|_| 0), LEAST);
        let shaky = feed(|n| u64::from(n % 7) * 10);
        assert!((LEAST + 2_000..LEAST + 3_000).contains(&shaky), "{shaky}");
        assert_eq!(feed(|n| u64::from(n % 7) * 1_000), MOST);
    }

    #[test]
    fn one_late_packet_changes_little() {
        let once = feed(|n| if n == 350 { 200 } else { 0 });
        assert_eq!(once, LEAST);
    }
}
