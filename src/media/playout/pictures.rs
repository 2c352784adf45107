//! How long pictures wait so that they are shown as evenly as they were taken. Pure.
//!
//! Repairs and unsteady paths make pictures whole in bursts. Each is shown
//! when nine of ten would have been whole by then; where all come evenly,
//! none waits.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::sequence::ticks_between;

/// Pictures that are looked back on: two seconds of the usual rate.
const WINDOW: usize = 60;

/// The share of pictures that shall be whole when they are due.
const IN_TIME: f64 = 0.92;

/// Unevenness that nobody sees, seconds.
const UNSEEN: f64 = 0.012;

/// The most that pictures wait, seconds: more is no conversation.
const MOST: f64 = 0.14;

/// How fast the wait shrinks, seconds a picture; it grows at once.
const SHRINKS: f64 = 0.0006;

/// A picture this far from the others belongs to a stream that began anew, seconds.
const RESTART: f64 = 2.0;

/// RTP clock of pictures, Hz (RFC 6184 section 8.2.1).
const CLOCK: f64 = 90_000.0;

/// See the module.
#[derive(Debug)]
pub struct PictureTiming {
    epoch: Instant,
    last: Option<u32>,
    /// Seconds of the sender's clock since the first picture; timestamps wrap.
    there: f64,
    lateness: VecDeque<f64>,
    wait: f64,
}

impl PictureTiming {
    /// `epoch` is any instant; times are counted from it.
    #[must_use]
    pub fn new(epoch: Instant) -> Self {
        Self { epoch, last: None, there: 0.0, lateness: VecDeque::new(), wait: 0.0 }
    }

    /// When the picture with this RTP timestamp, which is whole at `now`, is to be shown.
    pub fn due(&mut self, rtp: u32, now: Instant) -> Instant {
        let here = now.saturating_duration_since(self.epoch).as_secs_f64();
        let last = self.last.replace(rtp).unwrap_or(rtp);
        self.there += f64::from(ticks_between(last, rtp)) / CLOCK;
        let late = here - self.there;
        if self.lateness.back().is_some_and(|before| (late - before).abs() > RESTART) {
            (self.wait, self.there) = (0.0, 0.0);
            self.lateness.clear();
            return now;
        }
        if self.lateness.len() == WINDOW {
            self.lateness.pop_front();
        }
        self.lateness.push_back(late);
        let mut sorted: Vec<f64> = self.lateness.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let earliest = sorted[0];
        let at = ((sorted.len() - 1) as f64 * IN_TIME) as usize;
        let wanted = (sorted[at] - earliest - UNSEEN).clamp(0.0, MOST);
        self.wait = wanted.max(self.wait - SHRINKS);
        let waits = earliest + self.wait - late;
        now + Duration::from_secs_f64(waits.clamp(0.0, MOST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    /// How far apart pictures are shown that come `late_ms` late, ms: least and most, after a second.
    fn shown(late_ms: impl Fn(u64) -> u64) -> (u64, u64, u64) {
        let (start, mut timing) = (clock::now(), PictureTiming::new(clock::now()));
        let (mut last, mut gaps, mut whole, mut longest) = (None, vec![], start, 0);
        for n in 0..240_u64 {
            let taken = start + Duration::from_micros(33_333 * n);
            // None comes out before the one that it needs.
            whole = whole.max(taken + Duration::from_millis(late_ms(n)));
            let rtp = (n as u32).wrapping_mul(3_000).wrapping_sub(100_000);
            let due = timing.due(rtp, whole);
            if let Some(last) = last.replace(due).filter(|_| n > 60) {
                gaps.push(due.saturating_duration_since(last).as_millis() as u64);
                longest = longest.max((due - taken).as_millis() as u64);
            }
        }
        (gaps.iter().copied().min().unwrap_or(0), gaps.iter().copied().max().unwrap_or(0), longest)
    }

    #[test]
    fn bursts_are_shown_evenly_and_even_pictures_at_once() {
        let (least, most, longest) = shown(|n| if n % 5 == 0 { 90 } else { 20 });
        assert!(least > 10 && most < 60, "{least} {most}");
        assert!(longest < 120, "{longest}");
        assert_eq!(shown(|_| 20).2, 20);
        assert!(shown(|n| 20 + n % 8).2 < 30);
    }

    #[test]
    fn a_picture_after_a_long_gap_is_shown_at_once() {
        let start = clock::now();
        let mut timing = PictureTiming::new(start);
        timing.due(0, start);
        let later = start + Duration::from_secs(10);
        assert_eq!(timing.due(3_000, later), later);
        assert_eq!(
            timing.due(6_000, later + Duration::from_millis(33)),
            later + Duration::from_millis(33)
        );
    }
}
