//! When a client that lost its server tries again, and when it gives up. Pure: the time
//! and the dice are handed in.

use std::time::{Duration, Instant};

/// The first attempt comes at any time between these, so that the clients of a restarted server
/// are spread over a second.
const SOONEST: Duration = Duration::from_millis(100);
const FIRST: Duration = Duration::from_secs(1);
/// The longest pause while the server may just be restarting: everybody is back so soon after it.
const LONGEST: Duration = Duration::from_secs(2);
/// A server that is away for so long is not restarting; it is asked less often.
const LONG_AWAY: Duration = Duration::from_secs(120);
const LONGEST_THEN: Duration = Duration::from_secs(5);
/// A connection that held so long was a good one: the next trouble starts from the beginning.
const STABLE: Duration = Duration::from_secs(10);
/// So long after our addresses have changed the way there may come at any moment, and nobody else
/// comes back for the same reason.
const HURRY: Duration = Duration::from_secs(5);
const HURRIED: Duration = Duration::from_millis(250);
/// After an abrupt end the server may hold our old login until its own pings fail.
const TAKEN_FOR: Duration = Duration::from_secs(90);

/// What went wrong with an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The server says that the name is taken, maybe by our own dead connection.
    NameTaken,
    /// The server no longer takes our token, and will not the next time.
    Unwelcome,
    /// Anything else: the server may come back at any time.
    Other,
}

/// What to do after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Try again after this pause.
    Retry(Duration),
    /// The name is not ours any more.
    GiveUp,
}

/// The first pause is anything from 0.1 to 1 s; the next are 1, then 2 s, after two minutes 5 s,
/// each cut by up to a half by chance. So the clients of a server that comes back are in again
/// within 2 s (5 s), at no more than their number a second.
#[derive(Debug, Default)]
pub struct Reconnect {
    attempts: u32,
    logged_in: Option<Instant>,
    lost_at: Option<Instant>,
    taken_since: Option<Instant>,
    hurry_until: Option<Instant>,
}

impl Reconnect {
    /// A login succeeded.
    pub fn logged_in(&mut self, now: Instant) {
        self.logged_in = Some(now);
        self.taken_since = None;
    }

    /// The addresses of this machine have changed: for a while the pauses are short.
    pub fn hurry(&mut self, now: Instant) {
        self.hurry_until = now.checked_add(HURRY);
    }

    /// The connection was lost; returns the pause before the first attempt. `random` is in 0..1.
    pub fn lost(&mut self, now: Instant, random: f64) -> Duration {
        let held = self.logged_in.take().map(|since| now.saturating_duration_since(since));
        if held.is_some_and(|held| held >= STABLE) {
            self.attempts = 0;
        }
        self.lost_at = Some(now);
        self.pause(now, random)
    }

    /// An attempt failed. `random` is in 0..1.
    pub fn failed(&mut self, now: Instant, failure: Failure, random: f64) -> Next {
        if failure == Failure::Unwelcome {
            return Next::GiveUp;
        }
        if failure == Failure::NameTaken {
            let since = *self.taken_since.get_or_insert(now);
            if now.saturating_duration_since(since) >= TAKEN_FOR {
                return Next::GiveUp;
            }
        }
        Next::Retry(self.pause(now, random))
    }

    fn pause(&mut self, now: Instant, random: f64) -> Duration {
        let random = random.clamp(0.0, 1.0);
        if self.hurry_until.is_some_and(|until| now < until) {
            return HURRIED.mul_f64(1.0 - random);
        }
        let away = self.lost_at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let attempt = self.attempts;
        self.attempts = attempt.saturating_add(1);
        let longest = match attempt {
            0 => return FIRST - (FIRST - SOONEST).mul_f64(random),
            1 => FIRST,
            _ if away < LONG_AWAY => LONGEST,
            _ => LONGEST_THEN,
        };
        longest.mul_f64(1.0 - random / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(pause: Duration) -> f64 {
        pause.as_secs_f64()
    }

    #[test]
    fn pauses_grow_to_two_seconds_and_later_to_five() {
        let start = crate::clock::now();
        let mut reconnect = Reconnect::default();
        let mut pauses = vec![seconds(reconnect.lost(start, 0.0))];
        let mut after = |at| match reconnect.failed(start + at, Failure::Other, 0.0) {
            Next::Retry(pause) => seconds(pause),
            Next::GiveUp => panic!("gave up"),
        };
        pauses.extend((1..6).map(|second| after(Duration::from_secs(second))));
        assert_eq!(pauses, [1.0, 1.0, 2.0, 2.0, 2.0, 2.0]);
        assert_eq!(after(LONG_AWAY - Duration::from_millis(1)), 2.0);
        assert_eq!(after(LONG_AWAY), 5.0);
        assert_eq!(after(LONG_AWAY * 1000), 5.0);
    }

    #[test]
    fn chance_spreads_the_first_attempt_over_a_second_and_cuts_later_pauses_by_half() {
        let now = crate::clock::now();
        for (random, first, later) in
            [(0.0, 1.0, 1.0), (0.5, 0.55, 0.75), (1.0, 0.1, 0.5), (7.0, 0.1, 0.5), (-1.0, 1.0, 1.0)]
        {
            let mut reconnect = Reconnect::default();
            let got = seconds(reconnect.lost(now, random));
            assert!((got - first).abs() < 1e-9, "{random}: {got}");
            let Next::Retry(pause) = reconnect.failed(now, Failure::Other, random) else {
                panic!("gave up")
            };
            assert!((seconds(pause) - later).abs() < 1e-9, "{random}: {pause:?}");
        }
    }

    #[test]
    fn new_addresses_are_tried_at_once_and_often() {
        let start = crate::clock::now();
        let mut reconnect = Reconnect::default();
        reconnect.hurry(start);
        assert!(reconnect.lost(start, 0.0) <= HURRIED);
        for second in 0..5 {
            let Next::Retry(pause) =
                reconnect.failed(start + Duration::from_secs(second), Failure::Other, 0.3)
            else {
                panic!("gave up")
            };
            assert!(pause <= HURRIED, "{second}: {pause:?}");
        }
        let Next::Retry(pause) = reconnect.failed(start + HURRY, Failure::Other, 0.0) else {
            panic!("gave up")
        };
        assert_eq!(pause, FIRST, "and then as ever");
    }

    #[test]
    fn only_a_connection_that_held_starts_from_the_beginning() {
        let start = crate::clock::now();
        let mut reconnect = Reconnect::default();
        reconnect.logged_in(start);
        assert_eq!(seconds(reconnect.lost(start, 1.0)), 0.1);
        reconnect.logged_in(start);
        assert_eq!(seconds(reconnect.lost(start + STABLE / 2, 1.0)), 0.5);
        reconnect.logged_in(start);
        assert_eq!(seconds(reconnect.lost(start + STABLE, 1.0)), 0.1);
    }

    /// Ten thousand clients of a server that is away for so long: how many come in the same tenth of
    /// a second, and when the last is in.
    fn return_of_ten_thousand(away: Duration) -> (usize, f64) {
        let start = crate::clock::now();
        // A sequence without clumps stands for chance.
        let mut dice = (0..).map(|n: u32| (f64::from(n) * 0.618_033_988_75).fract());
        let mut tenths = std::collections::HashMap::new();
        let mut last = 0.0_f64;
        for _ in 0..10_000 {
            let mut roll = || dice.next().unwrap_or_default();
            let mut reconnect = Reconnect::default();
            let mut at = start + reconnect.lost(start, roll());
            while at < start + away {
                match reconnect.failed(at, Failure::Other, roll()) {
                    Next::Retry(pause) => at += pause,
                    Next::GiveUp => panic!("gave up"),
                }
            }
            let after = seconds(at - start - away);
            *tenths.entry((after * 10.0) as u32).or_insert(0) += 1;
            last = last.max(after);
        }
        (tenths.values().copied().max().unwrap_or(0), last)
    }

    #[test]
    fn after_a_restart_everybody_is_back_soon_and_not_at_once() {
        for (away, within) in [(0, 1.0), (1, 2.0), (10, 2.0), (60, 2.0), (3600, 5.0)] {
            let (most, last) = return_of_ten_thousand(Duration::from_secs(away));
            assert!(last <= within, "{away} s away: the last came after {last:.2} s");
            assert!(most <= 2_000, "{away} s away: {most} came within a tenth of a second");
        }
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
        assert_eq!(Reconnect::default().failed(start, Failure::Unwelcome, 0.0), Next::GiveUp);
        reconnect.logged_in(start + taken + TAKEN_FOR);
        let again = reconnect.failed(start + taken + TAKEN_FOR * 2, Failure::NameTaken, 0.0);
        assert!(matches!(again, Next::Retry(_)));
    }
}
