//! When a check of ours may leave. Pure.
//!
//! W14: the library asks all pairs of candidates at once, again and again, and whoever calls chooses
//! the addresses: he could make us send some thousand datagrams a second to somebody who knows of
//! nothing. RFC 8445 section 14.2 wants 50 ms between checks, and section 6.1.2.5 a hundred pairs at
//! most. So a check of a pair whose other end has not answered yet leaves only when it is its turn:
//! who was never asked first, then who was not asked for longest. What does not leave is as good as
//! lost, and the library asks again. A few pairs, as between two machines in one network, are asked
//! without waiting.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Pairs that are asked at all.
const MOST_PAIRS: usize = 100;

/// How often one pair is asked at most.
const REPEAT: Duration = Duration::from_millis(45);

/// Checks a second, and how many of them may leave in one go, since the library looks only every 50 to
/// 200 ms.
const RATE: f64 = 20.0;
const AT_ONCE: f64 = 4.0;

/// So many pairs are asked for the first time without waiting; one more each second.
const NEW_AT_ONCE: f64 = 12.0;
const NEW_RATE: f64 = 1.0;

/// So few pairs need not wait for each other in the first second.
const FEW: usize = 4;
const QUICK: Duration = Duration::from_secs(1);

/// The library has given up a pair that it has not wanted to ask for so long.
const GIVEN_UP: Duration = Duration::from_secs(3);

/// Ends that have answered and are known for it.
const MOST_ANSWERED: usize = 128;

/// So many checks go without waiting to who has asked us with our password: he waits for them where he
/// is whom he says. He may have written somebody else's address on his, who then gets no more of us.
const IN_RETURN: u8 = 3;
const MOST_VISITORS: usize = 64;

/// Who is asked: an address, or somebody behind a TURN server by the address or channel that stands in
/// the message to it (RFC 8656 sections 11.1 and 12.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Whom {
    pub(super) to: SocketAddr,
    pub(super) behind: Option<[u8; 20]>,
}

/// From where whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) from: (SocketAddr, Option<IpAddr>),
    pub(super) whom: Whom,
}

#[derive(Debug)]
struct Asked {
    pair: Pair,
    /// When it was last asked, if it was.
    last: Option<Instant>,
    /// When the library last wanted to.
    wanted: Instant,
}

/// Something that fills with time.
#[derive(Debug)]
struct Bucket {
    has: f64,
    most: f64,
    rate: f64,
}

impl Bucket {
    fn full(most: f64, rate: f64) -> Self {
        Self { has: most, most, rate }
    }

    fn fill(&mut self, elapsed: Duration) {
        self.has = elapsed.as_secs_f64().mul_add(self.rate, self.has).min(self.most);
    }

    fn take(&mut self) -> bool {
        let takes = self.has >= 1.0;
        self.has -= f64::from(u8::from(takes));
        takes
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Checks {
    asked: Vec<Asked>,
    answered: VecDeque<Whom>,
    /// Who has asked us, and how many more checks go there at once.
    visitors: VecDeque<(Whom, u8)>,
    turns: Bucket,
    new: Bucket,
    filled: Option<Instant>,
    since: Option<Instant>,
    over: bool,
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            asked: Vec::new(),
            answered: VecDeque::new(),
            visitors: VecDeque::new(),
            turns: Bucket::full(AT_ONCE, RATE),
            new: Bucket::full(NEW_AT_ONCE, NEW_RATE),
            filled: None,
            since: None,
            over: false,
        }
    }
}

impl Checks {
    /// Whether this check may leave.
    pub(super) fn may_leave(&mut self, now: Instant, pair: Pair) -> bool {
        if self.is_known(pair.whom) || self.goes_in_return(pair.whom) {
            return true;
        }
        self.pass_time(now);
        let Some(at) = self.place(now, pair) else { return false };
        let few = self.asked.len() <= FEW && self.since.is_none_or(|since| now < since + QUICK);
        let Some(last) = self.asked.get(at).map(|asked| asked.last) else { return false };
        if last.is_some_and(|last| now.saturating_duration_since(last) < REPEAT) {
            return false;
        }
        let longer = self.asked.iter().filter(|other| other.last < last).count();
        let may = few
            || (last.is_none() && self.new.take())
            || ((longer as f64) < self.turns.has.floor() && self.turns.take());
        if let Some(asked) = self.asked.get_mut(at).filter(|_| may) {
            asked.last = Some(now);
        }
        may
    }

    /// They have asked us, with our password.
    pub(super) fn visited_by(&mut self, whom: Whom) {
        if self.visitors.len() == MOST_VISITORS {
            self.visitors.pop_front();
        }
        self.visitors.push_back((whom, IN_RETURN));
    }

    fn goes_in_return(&mut self, whom: Whom) -> bool {
        let visitor = self.visitors.iter_mut().find(|(visitor, _)| *visitor == whom);
        let Some((_, left)) = visitor.filter(|(_, left)| *left > 0) else { return false };
        *left -= 1;
        true
    }

    /// They have answered a check: they know of the call, and wait for nobody.
    pub(super) fn knows(&mut self, whom: Whom) {
        self.asked.retain(|asked| asked.pair.whom != whom);
        if self.is_known(whom) {
            return;
        }
        if self.answered.len() == MOST_ANSWERED {
            self.answered.pop_front();
        }
        self.answered.push_back(whom);
    }

    /// Whether they have.
    pub(super) fn is_known(&self, whom: Whom) -> bool {
        self.answered.contains(&whom)
    }

    fn pass_time(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.filled.replace(now).unwrap_or(now));
        self.turns.fill(elapsed);
        self.new.fill(elapsed);
        self.asked.retain(|asked| now.saturating_duration_since(asked.wanted) < GIVEN_UP);
        if self.asked.is_empty() {
            self.since = Some(now);
        }
    }

    fn place(&mut self, now: Instant, pair: Pair) -> Option<usize> {
        if let Some(at) = self.asked.iter().position(|asked| asked.pair == pair) {
            self.asked.get_mut(at)?.wanted = now;
            return Some(at);
        }
        if self.asked.len() == MOST_PAIRS {
            if !std::mem::replace(&mut self.over, true) {
                tracing::info!("more pairs of addresses than are asked");
            }
            return None;
        }
        self.asked.push(Asked { pair, last: None, wanted: now });
        Some(self.asked.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn pair(n: u16) -> Pair {
        let whom = Whom { to: ([192, 0, 2, 1], n).into(), behind: None };
        Pair { from: (([127, 0, 0, 1], 9).into(), None), whom }
    }

    /// As the library asks: all pairs, as often as `runtime.rs` lets it. Those that left, with when.
    fn asks(checks: &mut Checks, pairs: u16, seconds: u64) -> Vec<(u64, u16)> {
        let start = clock::now();
        let mut left = Vec::new();
        let mut at = 0;
        while at < seconds * 1000 {
            let now = start + Duration::from_millis(at);
            left.extend((0..pairs).filter(|n| checks.may_leave(now, pair(*n))).map(|n| (at, n)));
            at += if at < 250 {
                50
            } else if at < 1000 {
                100
            } else {
                200
            };
        }
        left
    }

    fn within(left: &[(u64, u16)], from: u64, to: u64) -> usize {
        left.iter().filter(|(at, _)| (from..to).contains(at)).count()
    }

    #[test]
    fn many_pairs_are_asked_one_in_fifty_milliseconds_and_all_of_them() {
        let mut checks = Checks::default();
        let left = asks(&mut checks, 96, 20);
        assert!(within(&left, 0, 1000) <= 40, "{}", within(&left, 0, 1000));
        for second in 1..20 {
            let (from, to) = (second * 1000, second * 1000 + 1000);
            assert!((19..=21).contains(&within(&left, from, to)), "{}", within(&left, from, to));
        }
        let times = |n| left.iter().filter(|(_, asked)| *asked == n).count();
        assert!((0..96).all(|n| (3..=7).contains(&times(n))), "each in its turn: {left:?}");
    }

    #[test]
    fn a_few_are_asked_without_waiting() {
        let left = asks(&mut Checks::default(), 4, 1);
        assert_eq!(within(&left, 0, 1), 4);
        assert_eq!(within(&left, 0, 250), 20);
        let left = asks(&mut Checks::default(), 18, 1);
        assert_eq!(within(&left, 0, 1), 18, "all in the first round");
        let left = asks(&mut Checks::default(), 4, 5);
        assert!(within(&left, 2000, 5000) <= 61, "and less often when it takes long");
    }

    #[test]
    fn there_is_an_end_to_pairs_and_to_what_beginning_anew_brings() {
        let (mut checks, start) = (Checks::default(), clock::now());
        for n in 0..1000 {
            checks.may_leave(start, pair(n));
        }
        assert_eq!(checks.asked.len(), MOST_PAIRS);
        let mut left = 0;
        for second in 1..=60_u16 {
            let now = start + Duration::from_secs(u64::from(second));
            left += (0..32).filter(|n| checks.may_leave(now, pair(1000 + second * 32 + n))).count();
        }
        assert!(left <= 60 * 21 + 20, "{left}");
        assert!(checks.asked.len() <= MOST_PAIRS);
    }

    #[test]
    fn who_has_just_asked_is_asked_in_return_at_once() {
        let (mut checks, now) = (Checks::default(), clock::now());
        // He could not hear the first yet.
        assert!(checks.may_leave(now, pair(1)) && !checks.may_leave(now, pair(1)));
        checks.visited_by(pair(1).whom);
        let left = (0..10).filter(|_| checks.may_leave(now, pair(1))).count();
        assert_eq!(left, usize::from(IN_RETURN));
    }

    #[test]
    fn who_knows_of_the_call_does_not_wait_nor_hold_others_up() {
        let (mut checks, now) = (Checks::default(), clock::now());
        let behind = |n| {
            let one = pair(n);
            Pair { whom: Whom { behind: Some([7; 20]), ..one.whom }, ..one }
        };
        for n in 0..100 {
            checks.may_leave(now, behind(n));
        }
        assert!(!checks.may_leave(now, behind(50)));
        checks.knows(behind(50).whom);
        assert!(checks.may_leave(now, behind(50)) && checks.may_leave(now, behind(50)));
        assert_eq!(checks.asked.len(), 99);
        for n in 0..1000 {
            checks.knows(behind(n).whom);
        }
        assert_eq!((checks.asked.len(), checks.answered.len()), (0, MOST_ANSWERED));
    }
}
