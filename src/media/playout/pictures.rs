//! How long pictures wait so that they are shown as evenly as they were taken. Pure.
//!
//! Repairs and unsteady paths make pictures whole in bursts. Each is shown
//! when nine of ten would have been whole by then; where all come evenly,
//! none waits. All is counted in time, whatever the pictures a second: what
//! the path does now is followed within two seconds, up and down.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::sequence::ticks_between;

/// How far is looked back, seconds.
const WINDOW: f64 = 1.5;

/// Pictures that are kept at most, should somebody send hundreds a second.
const MOST_KEPT: usize = 256;

/// The share of pictures that shall be whole when they are due; and the share that would have to be
/// with less of a wait, before it shrinks: or each late picture would make it jump anew.
const IN_TIME: f64 = 0.92;
const IN_TIME_WITH_LESS: f64 = 0.97;

/// Unevenness that nobody sees, seconds.
const UNSEEN: f64 = 0.012;

/// The most that pictures wait, seconds: more is no conversation.
const MOST: f64 = 0.14;

/// How fast the wait shrinks, seconds a second; it grows at once. All of it is gone half a second after
/// what is looked back on.
const SHRINKS: f64 = 0.35;

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
    /// When each picture was whole, and how late that was but for a constant; seconds.
    lateness: VecDeque<(f64, f64)>,
    /// The latenesses alone, to be put in order.
    ordered: Vec<f64>,
    wait: f64,
}

impl PictureTiming {
    /// `epoch` is any instant; times are counted from it.
    #[must_use]
    pub fn new(epoch: Instant) -> Self {
        let (lateness, ordered) = (VecDeque::new(), Vec::new());
        Self { epoch, last: None, there: 0.0, lateness, ordered, wait: 0.0 }
    }

    /// When the picture with this RTP timestamp, which is whole at `now`, is to be shown.
    pub fn due(&mut self, rtp: u32, now: Instant) -> Instant {
        let here = now.saturating_duration_since(self.epoch).as_secs_f64();
        let last = self.last.replace(rtp).unwrap_or(rtp);
        self.there += f64::from(ticks_between(last, rtp)) / CLOCK;
        let late = here - self.there;
        let before = self.lateness.back().copied();
        if before.is_some_and(|(_, before)| (late - before).abs() > RESTART) {
            (self.wait, self.there) = (0.0, 0.0);
            self.lateness.clear();
            return now;
        }
        let passed = before.map_or(0.0, |(at, _)| (here - at).max(0.0));
        self.lateness.push_back((here, late));
        while self.lateness.len() > MOST_KEPT
            || self.lateness.front().is_some_and(|(at, _)| *at < here - WINDOW)
        {
            self.lateness.pop_front();
        }
        let earliest = self.lateness.iter().map(|(_, late)| *late).fold(late, f64::min);
        let (wanted, with_less) = self.wanted(earliest);
        self.wait = wanted.max((self.wait - SHRINKS * passed).max(self.wait.min(with_less)));
        let waits = earliest + self.wait - late;
        now + Duration::from_secs_f64(waits.clamp(0.0, MOST))
    }

    /// How long pictures must wait after the earliest so that enough of them are in time; and less than
    /// what they do not wait.
    fn wanted(&mut self, earliest: f64) -> (f64, f64) {
        self.ordered.clear();
        self.ordered.extend(self.lateness.iter().map(|(_, late)| *late));
        let last = (self.ordered.len() - 1) as f64;
        let (enough, more) = (last * IN_TIME, (last * IN_TIME_WITH_LESS).ceil());
        let wait = |late: f64| (late - earliest - UNSEEN).clamp(0.0, MOST);
        // Two places of the order are asked for: that takes no sorting.
        let (below, with_less, _) =
            self.ordered.select_nth_unstable_by(more as usize, f64::total_cmp);
        let with_less = *with_less;
        let wanted = match below.is_empty() || enough as usize == more as usize {
            true => with_less,
            false => *below.select_nth_unstable_by(enough as usize, f64::total_cmp).1,
        };
        (wait(wanted), wait(with_less))
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

    /// How long after they were taken pictures are shown, ms, with when they were taken: so many a second,
    /// shaken by up to 180 ms from second 4 to second 8.
    fn shaken(fps: u64) -> Vec<(f64, f64)> {
        let (start, mut timing) = (clock::now(), PictureTiming::new(clock::now()));
        let (mut whole, mut shown) = (start, vec![]);
        for n in 0..12 * fps {
            let taken = start + Duration::from_secs(n) / fps as u32;
            let shakes = (4 * fps..8 * fps).contains(&n);
            let late = 20 + if shakes { n * 37 % 10 * 20 } else { 0 };
            whole = whole.max(taken + Duration::from_millis(late));
            let due = timing.due((n * 90_000 / fps) as u32, whole);
            let at = (taken - start).as_secs_f64();
            shown.push((at, (due - taken).as_secs_f64() * 1e3));
        }
        shown
    }

    #[test]
    fn a_path_is_followed_within_two_seconds_both_ways_at_any_rate_of_pictures() {
        for fps in [5, 15, 30, 60] {
            let shown = shaken(fps);
            let part = |from: f64, to: f64| {
                let delays = shown.iter().filter(move |(at, _)| (from..to).contains(at));
                delays.map(|(_, delay)| *delay)
            };
            let most = |from, to| part(from, to).fold(0.0, f64::max);
            let least = |from, to| part(from, to).fold(f64::INFINITY, f64::min);
            assert!(most(1.0, 4.0) < 21.0, "{fps}: calm, {}", most(1.0, 4.0));
            let (even, uneven) = (least(6.0, 8.0), most(6.0, 8.0));
            assert!(even > 130.0 && uneven - even < 60.0, "{fps}: {even} to {uneven}");
            assert!(most(10.0, 12.0) < 21.0, "{fps}: calm again, {}", most(10.0, 12.0));
        }
    }

    #[test]
    fn pictures_of_which_one_in_fourteen_is_late_keep_their_wait() {
        let (start, mut timing) = (clock::now(), PictureTiming::new(clock::now()));
        let mut waits = vec![];
        for n in 0..300_u64 {
            // Half of them are late for two seconds, then few.
            let late = if n < 60 { n % 2 == 0 } else { n % 14 == 0 };
            let at = Duration::from_micros(33_333 * n + if late { 80_000 } else { 0 });
            let taken = start + Duration::from_micros(33_333 * n);
            waits.push((timing.due(n as u32 * 3_000, start + at) - taken).as_millis());
        }
        assert!(waits[60..].iter().all(|wait| *wait > 60), "{waits:?}");
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
