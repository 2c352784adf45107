//! A queue that is kept full by others: then the rate follows loss, as theirs does. Pure.
//!
//! A flow that yields to every queue starves beside one that fills it (TCP
//! with loss-based control). Such a queue is known by not yielding: it stays
//! although clearly less is sent. Then the rate is raised by a packet a round
//! trip and lowered at a loss (RFC 5681 section 3.1), until the queue
//! has gone.

use std::time::{Duration, Instant};

/// A queue over this, ms, for so long, though less is sent, is not ours.
const QUEUE_MS: f64 = 60.0;
const STAYS: Duration = Duration::from_millis(1_800);

/// Under this, ms, it is gone.
const GONE_MS: f64 = 25.0;

/// What is sent of what was sent when the queue came, if it is to show anything.
const YIELDED: f64 = 0.85;

/// What is kept at a loss; more than TCP's half, for we are the smoother flow.
const KEPT: f64 = 0.8;

/// What is grown by each round trip, bits.
const PACKET_BITS: f64 = 1_200.0 * 8.0;

/// How long the rate may follow loss before it is looked again whether the queue is still theirs.
const LOOK_AGAIN: Duration = Duration::from_secs(12);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Rival {
    /// Since when a queue has been there, and what was sent then.
    queue: Option<(Instant, f64)>,
    following: Option<Following>,
}

#[derive(Debug)]
struct Following {
    began_at: Instant,
    rate: f64,
    at: Instant,
    fell_at: Instant,
}

impl Rival {
    /// The rate fell from `rate` because of a queue.
    pub(super) fn on_fall(&mut self, now: Instant, rate: f64) {
        self.queue.get_or_insert((now, rate));
    }

    /// A report came while `target` was aimed at; the rate that follows loss, if it does.
    pub(super) fn on_report(
        &mut self,
        now: Instant,
        queue_ms: f64,
        target: f64,
        lost: bool,
        rtt: Duration,
    ) -> Option<f64> {
        if queue_ms < GONE_MS {
            *self = Self::default();
            return None;
        }
        if let Some(following) = &mut self.following {
            following.step(now, lost, rtt);
            let rate = following.rate;
            if now > following.began_at + LOOK_AGAIN {
                *self = Self::default();
            }
            return Some(rate);
        }
        let (since, before) = self.queue?;
        let stays = queue_ms > QUEUE_MS && now.saturating_duration_since(since) > STAYS;
        if stays && target < before * YIELDED {
            let rate = target.max(before * 0.6);
            self.following = Some(Following { began_at: now, rate, at: now, fell_at: now });
        }
        None
    }

    /// Whether the queue, if there is one, is ours.
    pub(super) fn is_calm(&self) -> bool {
        self.following.is_none()
    }
}

impl Following {
    fn step(&mut self, now: Instant, lost: bool, rtt: Duration) {
        let rtt = rtt.max(Duration::from_millis(20));
        let rounds = now.saturating_duration_since(self.at).as_secs_f64() / rtt.as_secs_f64();
        self.at = now;
        // One loss an RTT counts, as for TCP.
        if lost && now > self.fell_at + rtt {
            self.rate *= KEPT;
            self.fell_at = now;
        } else {
            self.rate += PACKET_BITS / rtt.as_secs_f64() * rounds;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const RTT: Duration = Duration::from_millis(100);

    #[test]
    fn a_queue_that_stays_is_followed_until_it_is_gone() {
        let (mut rival, start) = (Rival::default(), clock::now());
        rival.on_fall(start, 1e6);
        assert_eq!(rival.on_report(start + RTT, 200.0, 5e5, false, RTT), None);
        assert!(rival.is_calm(), "too early to tell");
        let later = start + 2 * STAYS;
        rival.on_report(later, 200.0, 5e5, false, RTT);
        assert!(!rival.is_calm());
        let up = rival.on_report(later + 2 * RTT, 200.0, 5e5, false, RTT);
        assert!(up.is_some_and(|rate| rate > 6e5));
        let down = rival.on_report(later + 4 * RTT, 200.0, 5e5, true, RTT);
        assert!(down < up);
        assert_eq!(rival.on_report(later + 5 * RTT, 5.0, 5e5, false, RTT), None);
        assert!(rival.is_calm());
    }

    #[test]
    fn a_queue_that_yields_is_ours() {
        let (mut rival, start) = (Rival::default(), clock::now());
        rival.on_fall(start, 1e6);
        rival.on_report(start + RTT, 10.0, 5e5, false, RTT);
        rival.on_report(start + 2 * STAYS, 200.0, 5e5, false, RTT);
        assert!(rival.is_calm());
    }
}
