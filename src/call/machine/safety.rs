//! The machine and who the other side is: what ends a call with somebody else, and when the words to
//! compare are told. Pure, as the machine is.

use std::time::{Duration, Instant};

use super::Machine;
use crate::call::reason::EndReason;
use crate::call::safety::Doubt;
use crate::call::step::{Action, Progress};
use crate::call::vouch::Part;
use crate::call::words::SafetyWords;
use crate::key::Key;
use crate::signaling::message::{LeaveReason, Message};

/// How long `connected` waits for words that come over the server: on a short path media are sooner.
const WORDS_WITHIN: Duration = Duration::from_secs(1);

impl Machine {
    /// The words to compare, once they are known.
    #[must_use]
    pub fn safety_words(&self) -> Option<&SafetyWords> {
        self.safety.words()
    }

    /// Whether it is about to tell the words, or that there are none in time: `Progress::Words`.
    #[must_use]
    pub fn awaits_words(&self) -> bool {
        self.words_due.is_some()
    }

    /// The key that the other side has shown.
    #[must_use]
    pub fn their_key(&self) -> Option<Key> {
        self.safety.their_key()
    }

    /// Whether a description of theirs shows what it must; if not, the call is over.
    pub(super) fn believes(&mut self, part: Part, sdp: &str) -> bool {
        match self.safety.judge(part, sdp) {
            Ok(()) => return true,
            Err(Doubt::Key(change)) => {
                self.report(Progress::KeyChanged(change));
                self.hang_up(EndReason::KeyChanged);
            }
            Err(Doubt::Certificate) => {
                self.report(Progress::Impostor);
                self.end(EndReason::ConnectionFailed, Some(LeaveReason::Impostor));
            }
        }
        false
    }

    /// A round may be over: after the first, each side has what the words are made of.
    pub(super) fn agree_on_words(&mut self) {
        if self.is_ended() || !self.negotiation.is_established() {
            return;
        }
        if let Some(nonce) = self.safety.settle() {
            self.send(Message::Reveal { nonce, name: self.setup.peer.clone() });
        }
    }

    pub(super) fn revealed(&mut self, nonce: &str) {
        if self.safety.revealed(nonce) && self.is_connected() {
            self.tell_words();
        }
    }

    /// Media can flow, and the words are told with it, if they come soon.
    pub(super) fn await_words(&mut self, now: Instant) {
        if self.safety.is_waiting() {
            self.words_due = now.checked_add(WORDS_WITHIN);
        }
    }

    pub(super) fn tell_words(&mut self) {
        self.words_due = None;
        self.actions.push_back(Action::Report(Progress::Words));
    }
}
