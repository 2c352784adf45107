//! Who may ring, and when: a caller whose calls come to nothing waits longer each time, and who was
//! told `busy` meanwhile goes first. Pure.
//!
//! A phone has one line. Whoever calls again and again and never connects would hold it, under one
//! name or many, and everybody else would hear `busy` for ever. So those who are known go before those
//! who are not: names cost nothing. Servers that give no names leave nobody to tell apart; there only
//! the limit on connecting helps.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::call::reason::EndReason;

/// Callers that are remembered, and characters of a name.
const MOST_KNOWN: usize = 256;
const LONGEST_NAME: usize = 128;

/// Callers who were told `busy` and are remembered for it, and how long each is after he last tried.
const MOST_IN_LINE: usize = 16;
const IN_LINE: Duration = Duration::from_secs(15);

/// How long the line is kept for who waits longest, after a call that came to nothing; and for who is
/// known.
const KEPT: Duration = Duration::from_secs(5);
const KEPT_FOR_KNOWN: Duration = Duration::from_secs(10);

/// What a call that came to nothing counts: it held the line for nothing, or was given up.
const FAILED: u32 = 4;
const GIVEN_UP: u32 = 1;

/// The wait from so many counts on; each two more double it.
const FIRST_WAIT: Duration = Duration::from_secs(4);
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// Counts are forgotten so long after the last.
const FORGOTTEN: Duration = Duration::from_secs(900);

/// Who rang so long has waited for a person, and does no harm.
const PATIENT: Duration = Duration::from_secs(5);

/// What speaks for a caller: the more, the further in front he stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Merit {
    /// Nothing: a name.
    #[default]
    Stranger,
    /// A call of theirs has come up since we are logged in.
    Connected,
    /// They show the key that is remembered of their name, or stand in `--allow`.
    Friend,
}

/// What became of a call of theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Media could flow.
    Connected,
    /// It was answered and never came up.
    Failed,
    /// They ended it before it came up.
    GivenUp,
    /// Our user, or our list, refused it.
    Refused,
    /// It came to nothing, by no fault of theirs.
    Nothing,
}

impl Outcome {
    /// By how a call that never connected ended, `rang` after it began and `answered` or not.
    pub(super) fn of(reason: EndReason, answered: bool, rang: Duration) -> Self {
        match reason {
            EndReason::ConnectionFailed => Self::Failed,
            EndReason::RemoteHangup if answered || rang < PATIENT => Self::GivenUp,
            EndReason::Rejected => Self::Refused,
            _ => Self::Nothing,
        }
    }
}

/// A caller whose calls came to nothing lately.
#[derive(Debug)]
struct Caller {
    name: String,
    counts: u32,
    last: Instant,
}

impl Caller {
    fn wait(&self) -> Duration {
        match self.counts.checked_sub(FAILED) {
            None => Duration::ZERO,
            Some(more) => (FIRST_WAIT * 2_u32.pow((more / 2).min(10))).min(LONGEST_WAIT),
        }
    }

    fn waits(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) < self.wait()
    }
}

/// The callers of one login.
#[derive(Debug, Default)]
pub(super) struct Callers {
    /// The one with the oldest news first.
    known: VecDeque<Caller>,
    /// Whose calls have come up, the latest last.
    connected: VecDeque<String>,
    /// Who was told `busy`, in the order in which they first were.
    in_line: VecDeque<Waiting>,
    kept_until: Option<Instant>,
}

/// Somebody who was told `busy`.
#[derive(Debug)]
struct Waiting {
    name: String,
    merit: Merit,
    /// When he was told last.
    last: Instant,
}

impl Callers {
    /// Whether a call of theirs may ring while the line is free; who may not is told `busy`.
    pub(super) fn may_ring(&mut self, now: Instant, name: &str, merit: Merit) -> bool {
        let name = key(name);
        if self.waits(now, &name) {
            return false;
        }
        if self.kept_until.is_some_and(|until| now < until) {
            self.prune(now);
            let merit = self.merit(&name, merit);
            let first = self.first(now).filter(|first| first.merit >= merit);
            if first.is_some_and(|first| first.name != name) {
                self.stand_in_line(now, name, merit);
                return false;
            }
        }
        self.kept_until = None;
        self.in_line.retain(|other| other.name != name);
        true
    }

    /// They were told `busy`, since the line is taken.
    pub(super) fn turned_away(&mut self, now: Instant, name: &str, merit: Merit) {
        let name = key(name);
        if !self.waits(now, &name) {
            self.prune(now);
            let merit = self.merit(&name, merit);
            self.stand_in_line(now, name, merit);
        }
    }

    fn merit(&self, name: &str, merit: Merit) -> Merit {
        let has_connected = self.connected.iter().any(|other| other == name);
        let connected = has_connected.then_some(Merit::Connected);
        merit.max(connected.unwrap_or_default())
    }

    /// Whose turn it is: of those who are known best whoever waits longest.
    fn first(&self, now: Instant) -> Option<&Waiting> {
        let waiting = self.in_line.iter().enumerate();
        let may = waiting.filter(|(_, one)| !self.waits(now, &one.name));
        may.max_by_key(|(at, one)| (one.merit, Reverse(*at))).map(|(_, one)| one)
    }

    /// A call of theirs is over, or one that we have accepted has come up.
    pub(super) fn note(&mut self, now: Instant, name: &str, outcome: Outcome) {
        let name = key(name);
        let more = match outcome {
            Outcome::Connected => return self.came_up(name),
            Outcome::Failed => FAILED,
            Outcome::GivenUp | Outcome::Refused => GIVEN_UP,
            Outcome::Nothing => 0,
        };
        self.prune(now);
        let held = matches!(outcome, Outcome::Failed | Outcome::GivenUp);
        if held && !self.in_line.is_empty() {
            let is_known = self.first(now).is_some_and(|first| first.merit > Merit::Stranger);
            self.kept_until = now.checked_add(if is_known { KEPT_FOR_KNOWN } else { KEPT });
        }
        if more == 0 {
            return;
        }
        let at = self.known.iter().position(|caller| caller.name == name);
        let before = at.and_then(|at| self.known.remove(at)).filter(|caller| !caller.old(now));
        let counts = before.map_or(0, |caller| caller.counts).saturating_add(more);
        if self.known.len() == MOST_KNOWN {
            self.known.pop_front();
        }
        self.known.push_back(Caller { name, counts, last: now });
    }

    fn came_up(&mut self, name: String) {
        self.known.retain(|caller| caller.name != name);
        self.connected.retain(|other| *other != name);
        if self.connected.len() == MOST_KNOWN {
            self.connected.pop_front();
        }
        self.connected.push_back(name);
    }

    /// When all places are taken, the last of the least known goes for who is known better.
    fn stand_in_line(&mut self, now: Instant, name: String, merit: Merit) {
        if let Some(waiting) = self.in_line.iter_mut().find(|other| other.name == name) {
            (waiting.merit, waiting.last) = (waiting.merit.max(merit), now);
            return;
        }
        if self.in_line.len() >= MOST_IN_LINE {
            let waiting = self.in_line.iter().enumerate();
            let least = waiting.min_by_key(|(at, one)| (one.merit, Reverse(*at)));
            match least.filter(|(_, one)| one.merit < merit).map(|(at, _)| at) {
                Some(at) => self.in_line.remove(at),
                None => return,
            };
        }
        self.in_line.push_back(Waiting { name, merit, last: now });
    }

    fn waits(&self, now: Instant, name: &str) -> bool {
        self.known.iter().any(|caller| caller.name == name && caller.waits(now))
    }

    fn prune(&mut self, now: Instant) {
        self.in_line.retain(|one| now.saturating_duration_since(one.last) < IN_LINE);
    }
}

impl Caller {
    fn old(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) > FORGOTTEN
    }
}

/// A foreign server may pass on names of any length.
fn key(name: &str) -> String {
    name.chars().take(LONGEST_NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn who_never_connects_waits_longer_each_time_and_who_does_never() {
        let (mut callers, mut now) = (Callers::default(), clock::now());
        for wait in [4, 16, 64, 256, 300, 300] {
            assert!(callers.may_ring(now, "mal", Merit::Stranger));
            callers.note(now, "mal", Outcome::Failed);
            assert!(!callers.may_ring(
                now + seconds(wait) - Duration::from_millis(1),
                "mal",
                Merit::Stranger
            ));
            assert!(callers.may_ring(now, "bob", Merit::Stranger), "another");
            now += seconds(wait);
        }
        callers.note(now, "mal", Outcome::Connected);
        assert!(callers.may_ring(now, "mal", Merit::Stranger));
        for _ in 0..3 {
            callers.note(now, "mal", Outcome::GivenUp);
            assert!(callers.may_ring(now, "mal", Merit::Stranger), "that happens");
        }
        callers.note(now, "mal", Outcome::GivenUp);
        assert!(!callers.may_ring(now, "mal", Merit::Stranger));
        assert!(callers.may_ring(now + FORGOTTEN, "mal", Merit::Stranger));
        callers.note(now + FORGOTTEN + seconds(1), "mal", Outcome::GivenUp);
        assert!(
            callers.may_ring(now + FORGOTTEN + seconds(1), "mal", Merit::Stranger),
            "it is long ago"
        );
    }

    #[test]
    fn what_is_no_fault_of_theirs_does_not_count() {
        let (short, long) = (seconds(1), PATIENT);
        for (reason, answered, rang, outcome) in [
            (EndReason::ConnectionFailed, true, long, Outcome::Failed),
            (EndReason::RemoteHangup, true, long, Outcome::GivenUp),
            (EndReason::RemoteHangup, false, short, Outcome::GivenUp),
            (EndReason::RemoteHangup, false, long, Outcome::Nothing),
            (EndReason::Rejected, false, short, Outcome::Refused),
            (EndReason::NoAnswer, false, long, Outcome::Nothing),
            (EndReason::MediaFailed, true, short, Outcome::Nothing),
            (EndReason::Hangup, true, short, Outcome::Nothing),
        ] {
            assert_eq!(Outcome::of(reason, answered, rang), outcome, "{reason:?}");
        }
        let (mut callers, now) = (Callers::default(), clock::now());
        for _ in 0..20 {
            callers.note(now, "bob", Outcome::Nothing);
        }
        assert!(callers.may_ring(now, "bob", Merit::Stranger));
    }

    #[test]
    fn who_was_told_busy_first_is_first() {
        let (mut callers, now) = (Callers::default(), clock::now());
        for name in ["one", "two", "friend"] {
            callers.turned_away(now, name, Merit::Stranger);
        }
        callers.note(now, "mal", Outcome::Failed);
        assert!(
            !callers.may_ring(now, "friend", Merit::Stranger)
                && !callers.may_ring(now, "new", Merit::Stranger)
        );
        assert!(callers.may_ring(now, "one", Merit::Stranger));
        callers.note(now, "one", Outcome::Failed);
        assert!(callers.may_ring(now, "two", Merit::Stranger));
        callers.note(now, "two", Outcome::Failed);
        assert!(!callers.may_ring(now, "new", Merit::Stranger), "he has not waited");
        assert!(callers.may_ring(now, "friend", Merit::Stranger));
        callers.note(now, "friend", Outcome::Connected);
        assert!(callers.may_ring(now, "new", Merit::Stranger));
    }

    #[test]
    fn the_line_is_kept_for_a_while_only() {
        let (mut callers, now) = (Callers::default(), clock::now());
        callers.turned_away(now, "friend", Merit::Stranger);
        callers.note(now, "mal", Outcome::GivenUp);
        assert!(!callers.may_ring(now, "bob", Merit::Stranger));
        assert!(callers.may_ring(now + KEPT, "bob", Merit::Stranger));
        callers.turned_away(now, "friend", Merit::Stranger);
        callers.note(now + IN_LINE, "mal", Outcome::GivenUp);
        assert!(callers.may_ring(now + IN_LINE, "bob", Merit::Stranger), "he has stopped trying");
    }

    #[test]
    fn who_is_known_has_a_place_and_goes_before_any_number_of_strangers() {
        let (mut callers, now) = (Callers::default(), clock::now());
        callers.note(now, "acquaintance", Outcome::Connected);
        for number in 0..MOST_IN_LINE + 1 {
            callers.turned_away(now, &format!("pest {number}"), Merit::Stranger);
        }
        callers.turned_away(now, "acquaintance", Merit::Stranger);
        callers.turned_away(now, "friend", Merit::Friend);
        assert_eq!(callers.in_line.len(), MOST_IN_LINE);
        callers.note(now, "mal", Outcome::Failed);
        for name in ["pest 0", "pest 15", "new", "acquaintance"] {
            assert!(!callers.may_ring(now, name, Merit::Stranger), "{name}");
        }
        assert!(callers.may_ring(now, "friend", Merit::Friend));
        callers.note(now, "friend", Outcome::Failed);
        assert!(!callers.may_ring(now, "pest 0", Merit::Stranger));
        let later = now + KEPT_FOR_KNOWN - Duration::from_millis(1);
        assert!(!callers.may_ring(later, "pest 0", Merit::Stranger), "it is kept for longer");
        assert!(callers.may_ring(later, "acquaintance", Merit::Stranger));
        callers.note(later, "acquaintance", Outcome::Failed);
        assert!(!callers.may_ring(later, "pest 1", Merit::Stranger));
        assert!(callers.may_ring(later, "pest 0", Merit::Stranger), "strangers in their order");
    }

    #[test]
    fn a_friend_who_comes_while_the_line_is_kept_for_a_stranger_goes_first() {
        let (mut callers, now) = (Callers::default(), clock::now());
        callers.turned_away(now, "pest", Merit::Stranger);
        callers.note(now, "mal", Outcome::Failed);
        assert!(!callers.may_ring(now, "new", Merit::Stranger));
        assert!(callers.may_ring(now, "friend", Merit::Friend));
    }

    #[test]
    fn among_equals_nobody_loses_his_place() {
        let (mut callers, now) = (Callers::default(), clock::now());
        for number in 0..MOST_IN_LINE {
            callers.turned_away(now, &format!("friend {number}"), Merit::Friend);
        }
        callers.turned_away(now, "one more", Merit::Friend);
        callers.turned_away(now, "pest", Merit::Stranger);
        assert!(callers.in_line.iter().all(|one| one.name.starts_with("friend")));
    }

    #[test]
    fn what_is_remembered_has_an_end() {
        let (mut callers, now) = (Callers::default(), clock::now());
        let long = "x".repeat(10_000);
        for number in 0..10_000 {
            callers.turned_away(now, &format!("{number}{long}"), Merit::Stranger);
            callers.note(now, &format!("{number}{long}"), Outcome::Connected);
            callers.note(now, &format!("{number}{long}"), Outcome::Failed);
        }
        assert_eq!(callers.connected.len(), MOST_KNOWN);
        assert_eq!((callers.known.len(), callers.in_line.len()), (MOST_KNOWN, MOST_IN_LINE));
        assert!(callers.known.iter().all(|caller| caller.name.len() <= LONGEST_NAME));
        assert!(callers.may_ring(now + IN_LINE, "bob", Merit::Stranger));
    }
}
