//! A queue that is kept full by others: then the rate follows loss, as theirs does. Pure.
//!
//! A flow that yields to every queue starves beside one that fills it (TCP
//! with loss-based control). Such a queue is known by not yielding: it stays
//! although clearly less is sent. Then the rate is raised by a packet a round
//! trip and lowered at a loss (RFC 5681 section 3.1), until the queue
//! has gone. One that does not even move is no queue: the path has become longer.

use std::ops::Range;
use std::time::{Duration, Instant};

/// A queue of so many times what is called one, for so long, though less is sent, is not ours: it is
/// that of others, or the path has become longer.
const HIGH: f64 = 1.5;
const STAYS: Duration = Duration::from_millis(1_800);

/// Under this share of what is called one, for so long, it is gone: who fills it would be back.
const LOW: f64 = 0.7;
const GONE: Duration = Duration::from_millis(1_000);

/// What is sent of what was sent when the queue came, if it is to show anything.
const YIELDED: f64 = 0.85;

/// What is taken back then of what was sent before.
const BACK: f64 = 0.6;

/// What is kept at a loss; more than TCP's half, for we are the smoother flow.
const KEPT: f64 = 0.8;

/// What is grown by each round trip, bits.
const PACKET_BITS: f64 = 1_200.0 * 8.0;

/// Round trips count as no shorter, and no longer: on long ways theirs grow with time too (RFC 9438).
const SHORTEST_RTT: Duration = Duration::from_millis(20);
const LONGEST_RTT: Duration = Duration::from_millis(300);

/// How long the rate may follow loss before it is looked again whether the queue is still theirs,
/// how long that takes beyond the time in which a queue of ours drains, and what is sent meanwhile, of
/// what was.
const LOOK_AGAIN: Duration = Duration::from_secs(8);
const LOOK: Duration = Duration::from_millis(500);
const LOOKING: f64 = 0.5;

/// A queue that stays still so long, although much less is sent, is none: the path has become longer.
/// Still is what moves by no more than this share of what is called a queue.
const STILL: Duration = Duration::from_millis(600);
const MOVES: f64 = 0.2;

/// A path does not become longer so soon again: that was no longer path but a rival of even pace.
const AGAIN: Duration = Duration::from_secs(30);

/// As long as others fill the queue they lose packets, and so do we; so seldom at most.
const LOSSES: Duration = Duration::from_secs(10);

/// What a report tells.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) queue_ms: f64,
    /// What is called a queue, ms.
    pub(super) high_ms: f64,
    /// What was aimed at, bits a second.
    pub(super) target: f64,
    pub(super) lost: bool,
    pub(super) rtt: Duration,
}

/// Whose the queue is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Verdict {
    /// Ours, if there is one.
    Calm,
    /// Theirs: this may be sent, bits a second.
    Follow(f64),
    /// Nobody's: the path has become longer, and carries this as before, bits a second.
    Longer(f64),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Rival {
    /// Since when a queue has been there, and what was sent then.
    queue: Option<(Instant, f64)>,
    following: Option<Following>,
    low_since: Option<Instant>,
    /// Since when the queue has moved within these bounds only, ms.
    still: Option<(Instant, Range<f64>)>,
    /// When the path was last found to have become longer.
    longer_at: Option<Instant>,
}

#[derive(Debug)]
struct Following {
    /// When it was last found that the queue is theirs, and when the look at it ends.
    found_at: Instant,
    until: Option<Instant>,
    rate: f64,
    at: Instant,
    fell_at: Instant,
    lost_at: Option<Instant>,
}

impl Rival {
    /// The rate fell from `rate` because of a queue.
    pub(super) fn on_fall(&mut self, now: Instant, rate: f64) {
        self.queue.get_or_insert((now, rate));
    }

    /// A report came.
    pub(super) fn on_report(&mut self, now: Instant, seen: Seen) -> Verdict {
        self.look_for_movement(now, seen);
        if seen.queue_ms < seen.high_ms * LOW {
            let since = *self.low_since.get_or_insert(now);
            if self.following.is_none() || now.saturating_duration_since(since) > GONE {
                *self = Self { longer_at: self.longer_at, ..Self::default() };
                return Verdict::Calm;
            }
        } else {
            self.low_since = None;
        }
        let found = match &mut self.following {
            Some(following) => following.step(now, seen),
            None => {
                let Some((since, before)) = self.queue else { return Verdict::Calm };
                let stays = seen.queue_ms > seen.high_ms * HIGH
                    && now.saturating_duration_since(since) > STAYS
                    && seen.target < before * YIELDED;
                if stays {
                    self.following = Some(Following::new(now, seen.target.max(before * BACK)));
                }
                stays
            }
        };
        let Some(following) = &self.following else { return Verdict::Calm };
        let rate = following.rate();
        let so_soon = self.longer_at.is_some_and(|at| now.saturating_duration_since(at) < AGAIN);
        if found && self.is_still(now) && !so_soon {
            *self = Self { longer_at: Some(now), ..Self::default() };
            return Verdict::Longer(rate);
        }
        Verdict::Follow(rate)
    }

    fn look_for_movement(&mut self, now: Instant, seen: Seen) {
        let queue_ms = seen.queue_ms;
        let (since, bounds) = self.still.clone().unwrap_or((now, queue_ms..queue_ms));
        let bounds = bounds.start.min(queue_ms)..bounds.end.max(queue_ms);
        self.still = Some(match bounds.end - bounds.start < seen.high_ms * MOVES {
            true => (since, bounds),
            false => (now, queue_ms..queue_ms),
        });
    }

    fn is_still(&self, now: Instant) -> bool {
        let since = self.still.as_ref().map(|(since, _)| *since);
        since.is_some_and(|since| now.saturating_duration_since(since) >= STILL)
    }

    /// Whether the queue, if there is one, is ours.
    pub(super) fn is_calm(&self) -> bool {
        self.following.is_none()
    }

    /// Whether others fill the queue all the time, so that the path is never seen without it.
    pub(super) fn hides_the_path(&self, now: Instant) -> bool {
        let lost_at = self.following.as_ref().and_then(|following| following.lost_at);
        lost_at.is_some_and(|at| now.saturating_duration_since(at) < LOSSES)
    }
}

impl Following {
    fn new(now: Instant, rate: f64) -> Self {
        Self { found_at: now, until: None, rate, at: now, fell_at: now, lost_at: None }
    }

    /// What may be sent, bits a second.
    fn rate(&self) -> f64 {
        if self.until.is_some() { self.rate * LOOKING } else { self.rate }
    }

    /// A report came; whether it was found again that the queue is theirs.
    fn step(&mut self, now: Instant, seen: Seen) -> bool {
        let rtt = seen.rtt.clamp(SHORTEST_RTT, LONGEST_RTT);
        let rounds = now.saturating_duration_since(self.at).as_secs_f64() / rtt.as_secs_f64();
        self.at = now;
        if seen.lost {
            self.lost_at = Some(now);
        }
        // One loss an RTT counts, as for TCP.
        if seen.lost && now > self.fell_at + rtt {
            self.rate *= KEPT;
            self.fell_at = now;
        } else {
            self.rate += PACKET_BITS / rtt.as_secs_f64() * rounds;
        }
        if now < self.found_at + LOOK_AGAIN {
            return false;
        }
        let drains = Duration::from_secs_f64(seen.queue_ms / (1.0 - LOOKING) / 1e3);
        let is_over = now > *self.until.get_or_insert(now + rtt + drains + LOOK);
        if is_over {
            (self.found_at, self.until) = (now, None);
        }
        is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const RTT: Duration = Duration::from_millis(100);

    fn seen(queue_ms: f64, lost: bool) -> Seen {
        Seen { queue_ms, high_ms: 20.0, target: 5e5, lost, rtt: RTT }
    }

    /// A rival that is followed since the time that is given back.
    fn followed() -> (Rival, Instant) {
        let (mut rival, start) = (Rival::default(), clock::now());
        rival.on_fall(start, 1e6);
        assert_eq!(rival.on_report(start + RTT, seen(180.0, false)), Verdict::Calm);
        assert!(rival.is_calm(), "too early to tell");
        let later = start + 2 * STAYS;
        rival.on_report(later, seen(200.0, false));
        assert!(!rival.is_calm());
        (rival, later)
    }

    fn rate(verdict: Verdict) -> f64 {
        match verdict {
            Verdict::Follow(rate) => rate,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_queue_that_stays_is_followed_until_it_is_gone() {
        let (mut rival, later) = followed();
        let up = rate(rival.on_report(later + 2 * RTT, seen(200.0, false)));
        assert!(up > 6e5);
        let down = rate(rival.on_report(later + 4 * RTT, seen(200.0, true)));
        assert!(down < up);
        assert!(rival.hides_the_path(later + 5 * RTT));
        rate(rival.on_report(later + 5 * RTT, seen(5.0, false)));
        let gone = later + 6 * RTT + GONE;
        assert_eq!(rival.on_report(gone, seen(5.0, false)), Verdict::Calm);
        assert!(rival.is_calm());
    }

    #[test]
    fn a_queue_that_yields_is_ours() {
        let (mut rival, start) = (Rival::default(), clock::now());
        rival.on_fall(start, 1e6);
        rival.on_report(start + RTT, seen(10.0, false));
        rival.on_report(start + 2 * STAYS, seen(200.0, false));
        assert!(rival.is_calm());
    }

    #[test]
    fn what_stays_and_does_not_move_is_a_longer_way() {
        let verdicts = |queue_ms: fn(u32) -> f64| {
            let (mut rival, start) = (Rival::default(), clock::now());
            rival.on_fall(start, 1e6);
            let reports = (1..600).map(|n| (n, start + n * Duration::from_millis(50)));
            let verdicts = reports.map(|(n, now)| rival.on_report(now, seen(queue_ms(n), false)));
            verdicts.filter(|verdict| matches!(verdict, Verdict::Longer(_))).count()
        };
        assert_eq!(verdicts(|n| 60.0 + f64::from(n % 3)), 1);
        assert_eq!(verdicts(|n| 60.0 + f64::from(n % 20)), 0);
    }
}
