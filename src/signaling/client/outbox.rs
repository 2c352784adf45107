//! What waits to be said to the server, and how fast it may go. Pure; the time is handed in.
//!
//! A server closes who says too much, and whoever calls us again and again makes us answer each time. So
//! what we say is paced well below what a server of ours takes (`--messages-per-second`), and refusals
//! go behind everything else: one at a moment for each caller, however often he calls. What an ordinary
//! call says is far below that, and never waits.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::signaling::token_bucket::TokenBucket;

/// Messages a second and at once; a server of ours takes 50 and 200.
const MESSAGES: (f64, f64) = (25.0, 120.0);
/// Bytes a second and at once; a server of ours takes 32 KiB and 256 KiB. Any message is less than may
/// go at once.
const BYTES: (f64, f64) = (16_384.0, 131_072.0);
/// Refusals a second and at once, beside the messages.
const REFUSALS: (f64, f64) = (10.0, 30.0);
/// Nobody is refused more often than this: whoever waits for each no hears each.
const APART: Duration = Duration::from_millis(100);

/// Messages that wait; with more, those that follow wait in front of the outbox.
const MOST_WAITING: usize = 256;
/// Callers who wait for a refusal; of more the last hear nothing.
const MOST_REFUSALS: usize = 256;

/// Something to be said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Words {
    /// Of a call, or of us.
    Say {
        /// JSON.
        text: String,
        /// To whom it is an offer or an answer: a refusal that he has not heard yet is not true any
        /// more.
        anew: Option<String>,
    },
    /// No to somebody who calls.
    Refuse {
        /// Who.
        name: String,
        /// JSON.
        text: String,
    },
}

/// All that waits.
#[derive(Debug)]
pub(super) struct Outbox {
    waiting: VecDeque<String>,
    /// By whom they are for.
    refusals: VecDeque<(String, String)>,
    /// Who was refused within [`APART`], and when.
    refused: VecDeque<(Instant, String)>,
    messages: TokenBucket,
    bytes: TokenBucket,
    refusing: TokenBucket,
}

impl Outbox {
    pub(super) fn new(now: Instant) -> Self {
        let bucket = |(rate, burst)| TokenBucket::new(now, rate, burst);
        Self {
            waiting: VecDeque::new(),
            refusals: VecDeque::new(),
            refused: VecDeque::new(),
            messages: bucket(MESSAGES),
            bytes: bucket(BYTES),
            refusing: bucket(REFUSALS),
        }
    }

    /// Whether there is room for more.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < MOST_WAITING
    }

    pub(super) fn put(&mut self, words: Words) {
        match words {
            Words::Say { text, anew } => {
                self.waiting.push_back(text);
                self.refusals.retain(|(name, _)| Some(name) != anew.as_ref());
            }
            Words::Refuse { name, text } => {
                if let Some(before) = self.refusals.iter_mut().find(|(other, _)| *other == name) {
                    // He has called again before he heard of it: he hears once, and the latest.
                    before.1 = text;
                } else if self.refusals.len() < MOST_REFUSALS {
                    self.refusals.push_back((name, text));
                } else {
                    tracing::debug!("too many callers at once; one is not told");
                }
            }
        }
    }

    /// What may go out now.
    pub(super) fn poll(&mut self, now: Instant) -> Option<String> {
        self.say(now).or_else(|| self.refuse(now))
    }

    fn say(&mut self, now: Instant) -> Option<String> {
        let bytes = self.waiting.front()?.len() as f64;
        if self.messages.left(now) < 1.0 || !self.bytes.take_many(now, bytes) {
            return None;
        }
        self.messages.take(now);
        self.waiting.pop_front()
    }

    fn refuse(&mut self, now: Instant) -> Option<String> {
        while self.refused.front().is_some_and(|(at, _)| now >= *at + APART) {
            self.refused.pop_front();
        }
        let at = self.refusals.iter().position(|(name, _)| self.again_at(name).is_none())?;
        if !self.refusing.take(now) {
            return None;
        }
        let (name, text) = self.refusals.remove(at)?;
        self.refused.push_back((now, name));
        Some(text)
    }

    /// From when on this one may be refused again.
    fn again_at(&self, name: &str) -> Option<Instant> {
        let last = self.refused.iter().rev().find(|(_, refused)| refused == name)?;
        last.0.checked_add(APART)
    }

    /// The next, whatever the pace: the connection ends anyway.
    pub(super) fn pop(&mut self) -> Option<String> {
        self.waiting.pop_front().or_else(|| Some(self.refusals.pop_front()?.1))
    }

    /// When something may go out that waits.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let saying = self
            .waiting
            .front()
            .and_then(|text| Some(self.messages.due(1.0)?.max(self.bytes.due(text.len() as f64)?)));
        let turns = self.refusals.iter().map(|(name, _)| self.again_at(name));
        // One that has no turn to wait for may go as soon as any may.
        let turn = turns.min_by_key(|turn| turn.map_or((false, None), |turn| (true, Some(turn))));
        let refusing = turn.and_then(|turn| {
            let due = self.refusing.due(1.0)?;
            Some(turn.map_or(due, |turn| turn.max(due)))
        });
        saying.into_iter().chain(refusing).min()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::signaling::switchboard::Limits;

    fn say(text: &str) -> Words {
        Words::Say { text: text.to_owned(), anew: None }
    }

    fn refuse(name: &str, text: &str) -> Words {
        Words::Refuse { name: name.to_owned(), text: text.to_owned() }
    }

    fn all(outbox: &mut Outbox, now: Instant) -> Vec<String> {
        std::iter::from_fn(|| outbox.poll(now)).collect()
    }

    #[test]
    fn what_a_call_says_goes_at_once_and_in_order() {
        let now = crate::clock::now();
        let mut outbox = Outbox::new(now);
        outbox.put(refuse("pest", "no"));
        let large = "x".repeat(60_000);
        outbox.put(say(&large));
        (0..100).for_each(|number| outbox.put(say(&number.to_string())));
        let said = all(&mut outbox, now);
        let numbers = (0..100).map(|number: u32| number.to_string());
        let wanted: Vec<_> = [large].into_iter().chain(numbers).chain(["no".to_owned()]).collect();
        assert_eq!(said, wanted);
        assert_eq!(outbox.deadline(), None);
    }

    #[test]
    fn who_calls_again_hears_once_at_a_moment_and_the_latest() {
        let now = crate::clock::now();
        let mut outbox = Outbox::new(now);
        outbox.put(refuse("pest", "one"));
        assert_eq!(all(&mut outbox, now), ["one"]);
        for number in 0..60 {
            outbox.put(refuse("pest", &number.to_string()));
        }
        outbox.put(refuse("another", "busy"));
        assert_eq!(all(&mut outbox, now), ["busy"]);
        assert_eq!(outbox.deadline(), Some(now + APART));
        assert_eq!(all(&mut outbox, now + APART), ["59"]);
        assert_eq!(outbox.deadline(), None);
    }

    #[test]
    fn a_refusal_that_is_not_true_any_more_is_never_said() {
        let now = crate::clock::now();
        let mut outbox = Outbox::new(now);
        outbox.put(refuse("friend", "busy"));
        outbox.put(refuse("pest", "busy to pest"));
        outbox.put(Words::Say { text: "answer".to_owned(), anew: Some("friend".to_owned()) });
        assert_eq!(all(&mut outbox, now), ["answer", "busy to pest"]);
    }

    #[test]
    fn a_flood_of_names_is_refused_at_a_pace_and_does_not_hold_up_a_call() {
        let now = crate::clock::now();
        let mut outbox = Outbox::new(now);
        (0..1_000).for_each(|number| outbox.put(refuse(&format!("pest {number}"), "busy")));
        assert_eq!(all(&mut outbox, now).len(), 30);
        outbox.put(say("candidate"));
        assert_eq!(all(&mut outbox, now), ["candidate"]);
        let due = outbox.deadline().unwrap();
        assert!(due > now && due <= now + Duration::from_millis(100), "{:?}", due - now);
        assert_eq!(all(&mut outbox, now + Duration::from_secs(1)).len(), 10);
        assert!(outbox.refusals.len() <= MOST_REFUSALS && outbox.refused.len() <= 40);
    }

    proptest! {
        /// However it is driven, a server of ours takes all of it.
        #[test]
        fn no_server_of_ours_finds_it_too_much(
            inputs in proptest::collection::vec((0..3_u8, 0..20_u8, 1..40_000_usize, 0..300_u64), 1..800),
        ) {
            let limits = Limits::default();
            let mut now = crate::clock::now();
            let bucket = |rate, burst| TokenBucket::new(now, rate, burst);
            let mut messages = bucket(limits.messages_per_second, limits.message_burst);
            let mut bytes = bucket(limits.bytes_per_second, limits.byte_burst);
            let mut outbox = Outbox::new(now);
            for (what, name, size, wait) in inputs {
                match what {
                    0 => outbox.put(say(&"x".repeat(size))),
                    _ => outbox.put(refuse(&format!("pest {name}"), &"x".repeat(size % 120))),
                }
                now += Duration::from_millis(wait / 20);
                for text in all(&mut outbox, now) {
                    prop_assert!(messages.take(now) && bytes.take_many(now, text.len() as f64));
                }
            }
            // And nothing is forgotten that waits: by its own deadlines all of it goes.
            for _ in 0..10_000 {
                let Some(due) = outbox.deadline() else { break };
                now = now.max(due) + Duration::from_millis(1);
                for text in all(&mut outbox, now) {
                    prop_assert!(messages.take(now) && bytes.take_many(now, text.len() as f64));
                }
            }
            prop_assert!(outbox.waiting.is_empty() && outbox.refusals.is_empty());
        }
    }
}
