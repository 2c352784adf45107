//! How often the picture stood still (W3C webrtc-stats freezeCount). Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Intervals that the mean is taken over.
const WINDOW: usize = 30;

/// A gap this much over the mean is a freeze, however steady the stream is.
const MARGIN: Duration = Duration::from_millis(150);

/// Counts freezes: a gap of at least max(3 x mean, mean + 150 ms) of the last 30 intervals.
#[derive(Debug, Default)]
pub struct FreezeMeter {
    last: Option<Instant>,
    intervals: VecDeque<Duration>,
    count: u64,
    total: Duration,
}

impl FreezeMeter {
    /// A picture was decoded at `now`.
    pub fn on_frame(&mut self, now: Instant) {
        let Some(last) = self.last.replace(now) else { return };
        let gap = now.saturating_duration_since(last);
        if !self.intervals.is_empty() {
            let mean = self.intervals.iter().sum::<Duration>() / self.intervals.len() as u32;
            if gap >= (3 * mean).max(mean + MARGIN) {
                self.count += 1;
                self.total += gap;
            }
        }
        if self.intervals.len() == WINDOW {
            self.intervals.pop_front();
        }
        self.intervals.push_back(gap);
    }

    /// Freezes so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How long they lasted together.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn a_steady_stream_never_freezes_and_a_gap_does_once() {
        let start = clock::now();
        let mut meter = FreezeMeter::default();
        let frame = Duration::from_millis(33);
        (0..60).for_each(|n| meter.on_frame(start + frame * n));
        assert_eq!(meter.count(), 0);
        meter.on_frame(start + frame * 59 + Duration::from_millis(180));
        assert_eq!(meter.count(), 0, "under mean + 150 ms");
        meter.on_frame(start + frame * 59 + Duration::from_millis(680));
        assert_eq!((meter.count(), meter.total()), (1, Duration::from_millis(500)));
    }
}
