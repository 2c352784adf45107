//! The round trip as plain reports tell it (RFC 3550 section 6.4.1). Pure.
//!
//! Who receives says which sender report came last, and how long ago that was when he said so. The
//! rest of the time since it left is the way there and back; no clock but ours is asked.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Sender reports of ours that may still be spoken of: those of all streams in some ten seconds.
const MOST_SENT: usize = 32;

/// How much a new sample counts.
const GAIN: f64 = 0.3;

/// Two clocks are never the same: by so much a delay that they tell may be longer than it was.
const DRIFT: Duration = Duration::from_millis(5);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct RoundTrip {
    /// The middle 32 bits of the time in each report, and when it left.
    sent: VecDeque<(u32, Instant)>,
    smoothed: Option<Duration>,
}

impl RoundTrip {
    /// A sender report of ours leaves, with this NTP time in it.
    pub(super) fn on_sent(&mut self, now: Instant, ntp: u64) {
        if self.sent.len() == MOST_SENT {
            self.sent.pop_front();
        }
        self.sent.push_back(((ntp >> 16) as u32, now));
    }

    /// They say which of them came last (LSR), and `delay` (DLSR), in units of 1/65536 of a second, how long
    /// before they said so.
    pub(super) fn on_report(&mut self, now: Instant, last: u32, delay: u32) {
        // Zero says that none has come.
        let known = self.sent.iter().rev().find(|(sent, _)| *sent == last && last != 0);
        let Some((_, left)) = known else { return };
        let passed = now.saturating_duration_since(*left);
        let delay = Duration::from_secs_f64(f64::from(delay) / 65_536.0);
        if delay > passed + DRIFT {
            return;
        }
        let sample = passed.saturating_sub(delay);
        self.smoothed = Some(match self.smoothed {
            Some(before) => before.mul_f64(1.0 - GAIN) + sample.mul_f64(GAIN),
            None => sample,
        });
    }

    /// Smoothed; `None` before anything has been told.
    pub(super) fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const MS: Duration = Duration::from_millis(1);
    const NTP: u64 = 0x0123_4567_89ab_cdef;
    const MIDDLE: u32 = 0x4567_89ab;
    const SECOND: u32 = 65_536;

    #[test]
    fn what_the_other_side_waited_is_no_part_of_it() {
        let (mut trip, start) = (RoundTrip::default(), clock::now());
        trip.on_sent(start, NTP);
        assert_eq!(trip.smoothed(), None);
        trip.on_report(start + 1_080 * MS, MIDDLE, SECOND);
        assert_eq!(trip.smoothed(), Some(80 * MS));
        trip.on_report(start + 2_180 * MS, MIDDLE, 2 * SECOND);
        let smoothed = trip.smoothed().unwrap_or_default();
        assert!(smoothed > 80 * MS && smoothed < 180 * MS, "{smoothed:?}");
    }

    #[test]
    fn what_cannot_be_is_not_believed() {
        let (mut trip, start) = (RoundTrip::default(), clock::now());
        trip.on_report(start, 0, 0);
        trip.on_sent(start, NTP);
        for (last, delay) in [(MIDDLE, 2 * SECOND), (MIDDLE, u32::MAX), (0, 0), (1, 0)] {
            trip.on_report(start + 1_000 * MS, last, delay);
            assert_eq!(trip.smoothed(), None, "{last} {delay}");
        }
        trip.on_report(start + 1_000 * MS, MIDDLE, SECOND + 100);
        assert_eq!(trip.smoothed(), Some(Duration::ZERO), "their clock goes a little fast");
    }

    #[test]
    fn old_reports_are_forgotten() {
        let (mut trip, start) = (RoundTrip::default(), clock::now());
        for n in 1..=1_000 {
            trip.on_sent(start, n << 16);
        }
        assert_eq!(trip.sent.len(), MOST_SENT);
        trip.on_report(start + MS, 1, 0);
        assert_eq!(trip.smoothed(), None);
    }
}
