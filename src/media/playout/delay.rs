//! How long sound must wait so that almost every packet is there in time. Pure.

use std::collections::VecDeque;
use std::time::Instant;

use crate::media::frame::SAMPLE_RATE;

/// Packets that the estimate looks back on: about four seconds.
const WINDOW: usize = 200;

/// This share of the packets shall come in time.
const IN_TIME: f64 = 0.97;

/// What waits beyond the jitter, samples: at first, at least, at most; what running dry adds; and what
/// each sample played without that takes off, a millisecond a minute: what is needed is found out by
/// running dry, and that can be heard. Whoever asks for sound
/// jitters too, and nobody sees that but here.
const MARGIN: f64 = 240.0;
const LEAST: f64 = 120.0;
const MOST_MARGIN: f64 = 2_400.0;
const GROWS: f64 = 240.0;
const SHRINKS: f64 = 1.0 / 60_000.0;

/// What stands for the jitter at first, samples: 20 ms. What is too much goes away by itself.
const CAUTION: f64 = 960.0;

/// Packets until the jitter is known well enough: half a second.
const KNOWN_AFTER: usize = 25;

/// The most, samples: half a second. More is no conversation.
const MOST: f64 = 24_000.0;

/// How fast the smoothed level follows, per sample played: about half a second.
const LEVEL_SMOOTHING: f64 = 0.02 / 480.0;

/// Estimates the delay from when packets come.
#[derive(Debug)]
pub(super) struct DelayEstimator {
    began_at: Option<Instant>,
    last_timestamp: Option<u32>,
    /// Samples on the sender's clock since the first packet; the timestamps themselves wrap.
    there: i64,
    /// How late each packet came against the first one, samples.
    lateness: VecDeque<f64>,
    jitter: f64,
    margin: f64,
    level: Option<f64>,
}

impl Default for DelayEstimator {
    fn default() -> Self {
        Self {
            began_at: None,
            last_timestamp: None,
            there: 0,
            lateness: VecDeque::with_capacity(WINDOW),
            jitter: CAUTION,
            margin: MARGIN,
            level: None,
        }
    }
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
        let jitter = (sorted[at] - sorted[0]).max(0.0);
        self.jitter = if sorted.len() < KNOWN_AFTER { jitter.max(CAUTION) } else { jitter };
    }

    /// There was nothing to play when it was wanted.
    pub(super) fn on_dry(&mut self) {
        self.margin = (self.margin + GROWS).min(MOST_MARGIN);
    }

    /// Samples that should wait beyond what packets make wait by themselves.
    pub(super) fn headroom(&self) -> f64 {
        (self.jitter + self.margin).min(MOST)
    }

    /// So many samples wait before the next `taken` are played. Gives the smoothed level, which begins
    /// at `target`.
    pub(super) fn on_level(&mut self, samples: f64, taken: usize, target: f64) -> f64 {
        let taken = taken as f64;
        self.margin = (self.margin - taken * SHRINKS).max(LEAST);
        let before = self.level.unwrap_or(target);
        let weight = (LEVEL_SMOOTHING * taken).min(1.0);
        let level = before + (samples - before) * weight;
        self.level = Some(level);
        level
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

    fn feed(late_ms: impl Fn(u32) -> u64) -> f64 {
        let (start, mut delay) = (clock::now(), DelayEstimator::default());
        for n in 0..400 {
            let at = Duration::from_millis(u64::from(n) * 20 + late_ms(n));
            delay.on_packet(start + at, 7_u32.wrapping_sub(5_000).wrapping_add(n * 960));
        }
        delay.headroom()
    }

    #[test]
    fn a_steady_stream_hardly_waits_and_a_shaky_one_longer() {
        assert!((feed(|_| 0) - MARGIN).abs() < 1.0);
        let shaky = feed(|n| u64::from(n % 7) * 10);
        assert!((MARGIN + 2_000.0..MARGIN + 3_000.0).contains(&shaky), "{shaky}");
        assert_eq!(feed(|n| u64::from(n % 7) * 1_000), MOST);
    }

    #[test]
    fn one_late_packet_changes_little() {
        let once = feed(|n| if n == 350 { 200 } else { 0 });
        assert!((once - MARGIN).abs() < 1.0, "{once}");
    }

    #[test]
    fn running_dry_makes_it_wait_longer_and_time_less() {
        let mut delay = DelayEstimator::default();
        let before = delay.headroom();
        delay.on_dry();
        assert_eq!(delay.headroom(), before + GROWS);
        for _ in 0..600_000 {
            delay.on_level(960.0, 480, 960.0);
        }
        assert_eq!(delay.headroom(), CAUTION + LEAST);
    }
}
