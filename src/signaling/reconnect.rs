//! When a client that lost its server tries again, and when it gives up. Pure: the time
//! and the dice are handed in.

use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(5);
/// A connection that held so long was a good one: the next trouble starts from the beginning.
const STABLE: Duration = Duration::from_secs(10);
/// After an abrupt end the server may hold our old login until its own pings fail.
const TAKEN_FOR: Duration = Duration::from_secs(90);

/// What went wrong with an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The server says that the name is taken, maybe by our own dead connection.
    NameTaken,
    /// Anything else: the server may come back at any time.
    Other,
}

/// What to do after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Try again after this pause.
    Retry(Duration),
    /// Somebody else has the name.
    GiveUp,
}

/// The pauses double from 0.2 s to 5 s, and each is cut by up to a half by chance, so
/// that the clients of a restarted server do not come all at once.
#[derive(Debug, Default)]
pub struct Reconnect {
    attempts: u32,
    logged_in: Option<Instant>,
    taken_since: Option<Instant>,
}

impl Reconnect {
    /// A login succeeded.
    pub fn logged_in(&mut self, now: Instant) {
        self.logged_in = Some(now);
        self.taken_since = None;
    }

    /// The connection was lost; returns the pause before the first attempt. `random` is in 0..1.
    pub fn lost(&mut self, now: Instant, random: f64) -> Duration {
        let held = self.logged_in.take().map(|since| now.saturating_duration_since(since));
        if held.is_some_and(|held| held >= STABLE) {
            self.attempts = 0;
        }
        self.pause(random)
    }

    /// An attempt failed. `random` is in 0..1.
    pub fn failed(&mut self, now: Instant, failure: Failure, random: f64) -> Next {
        if failure == Failure::NameTaken {
            let since = *self.taken_since.get_or_insert(now);
            if now.saturating_duration_since(since) >= TAKEN_FOR {
                return Next::GiveUp;
            }
        }
        Next::Retry(self.pause(random))
    }

    fn pause(&mut self, random: f64) -> Duration {
        let doubled = FIRST.saturating_mul(1 << self.attempts.min(8));
        self.attempts = self.attempts.saturating_add(1);
        doubled.min(LONGEST).mul_f64(1.0 - random.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(pause: Duration) -> f64 {
        pause.as_secs_f64()
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let now = crate::clock::now();
        let mut reconnect = Reconnect::default();
        let mut pauses = vec![seconds(reconnect.lost(now, 0.0))];
        for _ in 0..100 {
            let Next::Retry(pause) = reconnect.failed(now, Failure::Other, 0.0) else {
                panic!("gave up")
            };
            pauses.push(seconds(pause));
        }
        assert_eq!(pauses[..6], [0.2, 0.4, 0.8, 1.6, 3.2, 5.0]);
        assert!(pauses[6..].iter().all(|pause| *pause == 5.0));
    }

    #[test]
    fn chance_cuts_a_pause_by_half_at_most() {
        let now = crate::clock::now();
        for (random, pause) in [(0.0, 0.2), (0.5, 0.15), (1.0, 0.1), (7.0, 0.1), (-1.0, 0.2)] {
            let got = seconds(Reconnect::default().lost(now, random));
            assert!((got - pause).abs() < 1e-9, "{random}: {got}");
        }
    }

    #[test]
    fn only_a_connection_that_held_starts_from_the_beginning() {
        let start = crate::clock::now();
        let mut reconnect = Reconnect::default();
        reconnect.logged_in(start);
        assert_eq!(seconds(reconnect.lost(start, 0.0)), 0.2);
        reconnect.logged_in(start);
        assert_eq!(seconds(reconnect.lost(start + STABLE / 2, 0.0)), 0.4);
        reconnect.logged_in(start);
        assert_eq!(seconds(reconnect.lost(start + STABLE, 0.0)), 0.2);
    }

    #[test]
    fn a_taken_name_is_tried_for_a_while_and_an_absent_server_for_ever() {
        let start = crate::clock::now();
        let mut reconnect = Reconnect::default();
        let mut failed = |after, failure| reconnect.failed(start + after, failure, 0.0);
        assert!(matches!(failed(TAKEN_FOR * 9, Failure::Other), Next::Retry(_)));
        let taken = TAKEN_FOR * 10;
        assert!(matches!(failed(taken, Failure::NameTaken), Next::Retry(_)));
        assert!(matches!(failed(taken + TAKEN_FOR / 2, Failure::NameTaken), Next::Retry(_)));
        assert!(matches!(failed(taken + TAKEN_FOR, Failure::Other), Next::Retry(_)));
        assert_eq!(failed(taken + TAKEN_FOR, Failure::NameTaken), Next::GiveUp);
        reconnect.logged_in(start + taken + TAKEN_FOR);
        let again = reconnect.failed(start + taken + TAKEN_FOR * 2, Failure::NameTaken, 0.0);
        assert!(matches!(again, Next::Retry(_)));
    }
}
