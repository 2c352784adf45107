//! How often the other side may make us answer. Pure; the time is handed in.
//!
//! An answer is a description and a dozen candidates, and whoever repeats an offer, or begins a round
//! with each, would have us say many times of what he says. A few rounds are free, since a call that
//! moves from network to network needs them; after that each waits its turn, and the latest counts.

use std::time::{Duration, Instant};

use crate::signaling::token_bucket::TokenBucket;

/// What was said once is said again at most so often.
const AGAIN_EVERY: Duration = Duration::from_secs(1);

/// Offers that are looked at, a second and at once.
const OFFERS: (f64, f64) = (1.0, 5.0);

/// What is due of one call.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// From when on something may be said again.
    again_from: Option<Instant>,
    /// It was asked for before that.
    again: bool,
    offers: Option<TokenBucket>,
    /// The latest offer that came too soon.
    held: Option<String>,
}

impl Pace {
    /// Whether to say the latest again now; if not, [`Self::is_again_due`] will say so in time.
    pub(super) fn again(&mut self, now: Instant) -> bool {
        self.again = self.again_from.is_some_and(|from| now < from);
        if !self.again {
            self.again_from = now.checked_add(AGAIN_EVERY);
        }
        !self.again
    }

    /// An offer, if it is its turn; if not, [`Self::released`] has it in time, unless another follows.
    pub(super) fn admit(&mut self, now: Instant, offer: String) -> Option<String> {
        let (rate, burst) = OFFERS;
        let offers = self.offers.get_or_insert_with(|| TokenBucket::new(now, rate, burst));
        let may = offers.take(now);
        self.held = (!may).then(|| offer.clone());
        may.then_some(offer)
    }

    /// They have answered an offer of ours, and with that given up one of theirs.
    pub(super) fn given_up(&mut self) {
        self.held = None;
    }

    /// When to ask for what is due.
    #[must_use]
    pub(super) fn deadline(&self) -> Option<Instant> {
        let again = self.again_from.filter(|_| self.again);
        let offers = self.offers.as_ref().filter(|_| self.held.is_some());
        again.into_iter().chain(offers.and_then(|offers| offers.due(1.0))).min()
    }

    /// Whether something is to be said again that was asked for too soon.
    pub(super) fn is_again_due(&mut self, now: Instant) -> bool {
        self.again && self.again(now)
    }

    /// The offer whose turn it is now.
    pub(super) fn released(&mut self, now: Instant) -> Option<String> {
        let offer = self.held.take()?;
        self.admit(now, offer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_is_said_again_once_a_second() {
        let (mut pace, now) = (Pace::default(), crate::clock::now());
        assert!(pace.again(now) && pace.deadline().is_none());
        assert!((0..60).all(|_| !pace.again(now)), "sixty at once");
        assert_eq!(pace.deadline(), Some(now + AGAIN_EVERY));
        assert!(!pace.is_again_due(now) && pace.is_again_due(now + AGAIN_EVERY));
        assert!(pace.deadline().is_none() && !pace.is_again_due(now + AGAIN_EVERY * 9));
    }

    #[test]
    fn a_few_rounds_are_free_and_then_the_latest_offer_has_its_turn() {
        let (mut pace, now) = (Pace::default(), crate::clock::now());
        let passed = (0..60).filter(|number| pace.admit(now, number.to_string()).is_some()).count();
        assert_eq!(passed, 5);
        let due = pace.deadline().unwrap_or(now);
        assert_eq!(due, now + Duration::from_secs(1));
        assert_eq!(pace.released(now), None);
        assert_eq!(pace.released(due).as_deref(), Some("59"));
        assert!(pace.released(due).is_none() && pace.deadline().is_none());
    }
}
