//! How long sound must wait so that almost every packet is there in time, and how long it does. Pure.
//!
//! Everything is measured on two clocks: ours, and the sender's by its RTP
//! timestamps; what their difference does is all that is looked at. The least
//! of it is the path itself, what is over that is jitter.

use std::collections::VecDeque;
use std::time::Instant;

use crate::media::frame::SAMPLE_RATE;

/// How far the estimator looks back, samples: two seconds.
const WINDOW: f64 = 96_000.0;

/// Arrivals that are kept at most, should somebody send packets of 2.5 ms.
const MOST_ARRIVALS: usize = 400;

/// What a percent of the sound that would come too late is worth, samples of waiting: 20 ms. A single
/// late packet is not waited for, three in a hundred are.
const PRICE: f64 = 960.0 * 100.0;

/// Losses go on, a single late packet does not: what is made good counts so many times, and is
/// remembered for so long, samples (10 s). Bursts of losses are rare, and none of them is like another.
const REPAIRED: f64 = 3.0;
const REPAIRS: f64 = 480_000.0;

/// What waits beyond the jitter, samples: at first, at least, at most; what running dry adds; and
/// what each sample played without that takes off, a millisecond a minute: what is needed is found
/// out by running dry, and that can be heard. Whoever asks for sound jitters too, and nobody sees
/// that but here. What is beyond 15 ms goes faster, in half a minute.
const MARGIN: f64 = 240.0;
const LEAST: f64 = 120.0;
const MOST_MARGIN: f64 = 2_400.0;
const GROWS: f64 = 240.0;
const SHRINKS: f64 = 1.0 / 60_000.0;
const MUCH_MARGIN: f64 = 720.0;
const SHRINKS_FASTER: f64 = 1.0 / 1_440_000.0;

/// What stands for the jitter at first, samples: 20 ms. What is too much goes away by itself.
const CAUTION: f64 = 960.0;

/// Packets until the jitter is known well enough: half a second.
const KNOWN_AFTER: usize = 25;

/// The most, samples: half a second. More is no conversation.
const MOST: f64 = 24_000.0;

/// Nothing came for longer than this, samples: 300 ms. That is a gap, not jitter.
const GAP: f64 = 14_400.0;

/// What waited in the gap comes late, however quiet the path is afterwards: for a second, what is this
/// much (20 ms) later than is waited for says nothing of jitter.
const SETTLES: f64 = 48_000.0;
const LATE_AFTER_GAP: f64 = 960.0;

/// At the beginning, packets each of which is this much less late than the one before, samples (5 ms),
/// are a backlog.
const FALLS: f64 = 240.0;

/// A path on which everything is this much later after a gap (400 ms) than before it is believed to
/// be another one after so long (300 ms).
const MUCH_LATER: f64 = 19_200.0;
const BELIEVED_AFTER: f64 = 14_400.0;

/// How fast the smoothed position follows, per sample played: about half a second.
const SMOOTHING: f64 = 0.02 / 480.0;

#[derive(Debug, Clone, Copy)]
struct Arrival {
    /// When, on our clock.
    at: f64,
    /// Our clock less the sender's: how late it came, but for a constant. For what was made good, how
    /// much later than the path takes.
    late: f64,
}

/// Estimates the delay from when packets come; all lengths are samples.
#[derive(Debug)]
pub(super) struct DelayEstimator {
    epoch: Option<Instant>,
    arrivals: VecDeque<Arrival>,
    repairs: VecDeque<Arrival>,
    seen: usize,
    last_at: f64,
    /// When something came again after a gap, or for the first time, and until when what comes tells
    /// little.
    again_at: f64,
    settled_at: f64,
    /// Whether all that came since then came less late than what was before it.
    falls: bool,
    /// The least lateness: what the fastest packets took.
    base: f64,
    jitter: f64,
    margin: f64,
    /// Our clock less the sender's at what is played, smoothed.
    position: Option<f64>,
}

impl Default for DelayEstimator {
    fn default() -> Self {
        Self {
            epoch: None,
            arrivals: VecDeque::new(),
            repairs: VecDeque::new(),
            seen: 0,
            last_at: 0.0,
            again_at: 0.0,
            settled_at: SETTLES,
            falls: true,
            base: 0.0,
            jitter: CAUTION,
            margin: MARGIN,
            position: None,
        }
    }
}

impl DelayEstimator {
    fn here(&mut self, now: Instant) -> f64 {
        let epoch = *self.epoch.get_or_insert(now);
        now.saturating_duration_since(epoch).as_secs_f64() * f64::from(SAMPLE_RATE)
    }

    /// The packet of the sound at `timestamp` (which does not wrap) came at `now`. Says whether that
    /// was to be expected by now.
    pub(super) fn on_packet(&mut self, now: Instant, timestamp: i64) -> bool {
        let at = self.here(now);
        let late = at - timestamp as f64;
        let gap = at - self.last_at;
        if self.seen > 0 && gap > GAP {
            // What was known before it still is the best guess.
            self.arrivals.iter_mut().for_each(|arrival| arrival.at += gap);
            (self.again_at, self.settled_at, self.falls) = (at, at + SETTLES, false);
        }
        self.last_at = at;
        let in_time = late - self.base <= self.headroom();
        self.seen += 1;
        if at < self.settled_at && !self.arrivals.is_empty() && !self.is_telling(at, late) {
            return in_time;
        }
        self.arrivals.push_back(Arrival { at, late });
        while self.arrivals.len() > MOST_ARRIVALS
            || self.arrivals.front().is_some_and(|first| first.at < at - WINDOW)
        {
            self.arrivals.pop_front();
        }
        self.estimate();
        in_time
    }

    /// The sound at `timestamp` did not come by itself, but can be made good from now on.
    pub(super) fn on_repair(&mut self, now: Instant, timestamp: i64) {
        let at = self.here(now);
        let late = at - timestamp as f64 - self.base;
        if self.seen == 0 || late > MOST {
            return;
        }
        self.repairs.push_back(Arrival { at, late });
        if self.repairs.len() > MOST_ARRIVALS {
            self.repairs.pop_front();
        }
        self.estimate();
    }

    /// Whether a packet that comes right after a gap, or right at the beginning, says how long the path
    /// is, and not only that it had to wait.
    fn is_telling(&mut self, at: f64, late: f64) -> bool {
        let usual = self.base + self.headroom() + LATE_AFTER_GAP;
        let last = self.arrivals.back().map_or(late, |last| last.late);
        self.falls = self.falls && late < last - FALLS;
        if self.falls {
            // A backlog at the beginning: each packet waited less than the one before.
            self.arrivals.pop_back();
            return true;
        }
        if late > usual + MUCH_LATER && self.again_at > 0.0 && at > self.again_at + BELIEVED_AFTER {
            // It does not come back to what it was: this is another path.
            self.arrivals.clear();
            self.settled_at = at;
            return true;
        }
        late <= usual || self.again_at <= 0.0
    }

    fn estimate(&mut self) {
        let remembered = self.last_at - REPAIRS;
        while self.repairs.front().is_some_and(|first| first.at < remembered) {
            self.repairs.pop_front();
        }
        let Some(base) = self.arrivals.iter().map(|arrival| arrival.late).reduce(f64::min) else {
            return;
        };
        // A share of all packets: those of the window came, those made good are of a longer time.
        let each = 1.0 / self.arrivals.len() as f64;
        let windows = (self.last_at / WINDOW).clamp(1.0, REPAIRS / WINDOW);
        let came = self.arrivals.iter().map(|arrival| (arrival.late - base, each));
        let repaired = self.repairs.iter().map(|repair| (repair.late, REPAIRED * each / windows));
        let mut all: Vec<(f64, f64)> = came.chain(repaired).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut too_late: f64 = all.iter().map(|(_, share)| share).sum();
        let cost = |&(waits, share): &(f64, f64)| {
            too_late -= share;
            (waits + PRICE * too_late, waits)
        };
        let best = all.iter().map(cost).min_by(|a, b| a.0.total_cmp(&b.0));
        let jitter = best.map_or(0.0, |(_, waits)| waits);
        self.base = base;
        self.jitter = if self.seen < KNOWN_AFTER { jitter.max(CAUTION) } else { jitter };
    }

    /// Whether there was a gap a moment ago.
    pub(super) fn is_settling(&mut self, now: Instant) -> bool {
        self.here(now) < self.settled_at
    }

    /// Sound came after it was wanted.
    pub(super) fn on_late(&mut self) {
        self.margin = (self.margin + GROWS).min(MOST_MARGIN);
    }

    /// Samples that should wait beyond what packets make wait by themselves.
    pub(super) fn headroom(&self) -> f64 {
        (self.jitter + self.margin).min(MOST)
    }

    /// The sound at `timestamp` is played at `now`, `taken` samples of it.
    pub(super) fn on_playing(&mut self, now: Instant, timestamp: i64, taken: usize) {
        let position = self.here(now) - timestamp as f64;
        let taken = taken as f64;
        let shrinks = SHRINKS + (self.margin - MUCH_MARGIN).max(0.0) * SHRINKS_FASTER;
        self.margin = (self.margin - taken * shrinks).max(LEAST.min(self.margin));
        let before = self.position.unwrap_or(position);
        self.position = Some(before + (position - before) * (SMOOTHING * taken).min(1.0));
    }

    /// Sound will be played so many samples later (negative: earlier) than it would have been.
    pub(super) fn on_moved(&mut self, samples: f64) {
        self.position = self.position.map(|position| position + samples);
    }

    /// By how many samples sound waits longer than it should (negative: less), when it should wait
    /// `more` beyond the headroom.
    pub(super) fn excess(&self, more: f64) -> f64 {
        self.position.map_or(0.0, |position| position - self.base - self.headroom() - more)
    }

    /// The timestamp that should be played at `now`, if sound is to wait `more` beyond the headroom.
    pub(super) fn wanted(&mut self, now: Instant, more: f64) -> i64 {
        (self.here(now) - self.base - self.headroom() - more) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use std::time::Duration;

    /// The headroom after each packet of 20 ms; `late_ms` says how late each comes.
    fn feed(count: u32, late_ms: impl Fn(u32) -> u64) -> Vec<f64> {
        let (start, mut delay) = (clock::now(), DelayEstimator::default());
        let mut order: Vec<(u64, u32)> =
            (0..count).map(|n| (u64::from(n) * 20 + late_ms(n), n)).collect();
        order.sort_unstable();
        let headroom = order.into_iter().map(|(at, n)| {
            delay.on_packet(start + Duration::from_millis(at), i64::from(n) * 960);
            delay.headroom()
        });
        headroom.collect()
    }

    fn last(count: u32, late_ms: impl Fn(u32) -> u64) -> f64 {
        feed(count, late_ms).last().copied().unwrap_or(f64::NAN)
    }

    #[test]
    fn a_steady_stream_hardly_waits_and_a_shaky_one_longer() {
        assert!((last(400, |_| 0) - MARGIN).abs() < 1.0);
        let shaky = last(400, |n| u64::from(n % 7) * 10);
        assert!((MARGIN + 2_000.0..MARGIN + 3_000.0).contains(&shaky), "{shaky}");
        assert!(last(400, |n| u64::from(n * 37 % 100) * 8) > 20_000.0);
    }

    #[test]
    fn one_late_packet_changes_little() {
        let once = last(400, |n| if n == 350 { 200 } else { 0 });
        assert!((once - MARGIN).abs() < 1.0, "{once}");
    }

    #[test]
    fn jitter_is_followed_within_two_seconds_both_ways() {
        // Four seconds quiet, four seconds shaky, four seconds quiet.
        let shaky = |n: u32| if (200..400).contains(&n) { u64::from(n * 37 % 100) } else { 0 };
        let headroom = feed(600, shaky);
        assert!(headroom[199] < MARGIN + 1.0, "{}", headroom[199]);
        assert!(headroom[300] > MARGIN + 4_500.0, "{}", headroom[300]);
        assert!(headroom[502] < MARGIN + 1.0, "{}", headroom[502]);
    }

    #[test]
    fn what_waited_in_a_gap_is_not_taken_for_jitter() {
        // Five seconds of which everything comes at once, behind the gap.
        let after =
            feed(600, |n| if (200..450).contains(&n) { u64::from(450 - n) * 20 } else { 0 });
        assert!(after[440..].iter().all(|headroom| *headroom < MARGIN + LATE_AFTER_GAP + 1.0));
        assert!(after[599] < MARGIN + 1.0, "{}", after[599]);
    }

    #[test]
    fn a_path_that_became_longer_is_believed() {
        let start = clock::now();
        let mut delay = DelayEstimator::default();
        for n in 0..600_u32 {
            let at = u64::from(n) * 20 + if n < 300 { 5 } else { 500 };
            delay.on_packet(start + Duration::from_millis(at), i64::from(n) * 960);
        }
        let wanted = delay.wanted(start + Duration::from_millis(12_500), 0.0);
        assert!((wanted - (600 * 960 - MARGIN as i64)).abs() < 100, "{wanted}");
    }

    #[test]
    fn running_dry_makes_it_wait_longer_and_time_less() {
        let mut delay = DelayEstimator::default();
        let (start, before) = (clock::now(), delay.headroom());
        delay.on_late();
        assert_eq!(delay.headroom(), before + GROWS);
        for _ in 0..600_000 {
            delay.on_playing(start, 0, 480);
        }
        assert_eq!(delay.headroom(), CAUTION + LEAST);
    }
}
