//! The switch and the keys of others: whom a call is to be with, who is let in, what is remembered.
//!
//! What is decided is decided in `screening.rs` and `known.rs`; here it is looked up, carried out and
//! told. The files are small, and are read once a call, written once an acquaintance.

use super::Switch;
use crate::call::vouch::{Expected, KeyChange, Part, Shown, Way};
use crate::clock;
use crate::key::{Key, KeyName};
use crate::phone::callers::Merit;
use crate::phone::event::EventKind;
use crate::phone::known::Met;
use crate::phone::screening::{Verdict, screen};
use crate::signaling::message::LeaveReason;

/// Somebody who may ring.
pub(super) struct Let {
    /// Whom the call is to be with.
    pub(super) expected: Expected,
    /// What is to be told first.
    pub(super) warning: Option<KeyChange>,
}

impl Switch {
    /// Whom a call to this name is to be with.
    pub(super) fn expected(&mut self, name: &str) -> Expected {
        Expected::remembered(self.known_key(name))
    }

    fn known_key(&mut self, name: &str) -> Option<Key> {
        match self.config.keyring.as_ref().map(|keyring| keyring.known()) {
            Some(Ok(known)) => self.known = known,
            // What was known before stays known.
            Some(Err(error)) => tracing::warn!(%error, "the keys of others cannot be read"),
            None => {}
        }
        self.known.find(&self.config.server, name)
    }

    /// Looks at what a caller shows; `None` when they are refused, and told so.
    pub(super) fn screen(&mut self, name: Option<&str>, offer: &str) -> Option<Let> {
        let shown = name.map_or(Shown::NoKey, |from| {
            Shown::of(Way { from, to: &self.config.name, part: Part::Offer }, offer)
        });
        let known = name.and_then(|name| self.known_key(name));
        match screen(&self.config.call, name, known, shown) {
            Verdict::In(expected) => return Some(Let { expected, warning: None }),
            Verdict::Warn(expected, change) => {
                return Some(Let { expected, warning: Some(change) });
            }
            Verdict::Out(change) => self.tell_change(None, name, &change),
            Verdict::WrongKey(shown) => self.tell_wrong_key(name, shown),
        }
        tracing::info!(name, "a call was refused for its key");
        name.into_iter().for_each(|name| self.refuse(name.to_owned(), LeaveReason::Rejected));
        None
    }

    /// What speaks for a caller, by what we remember of the keys of others already.
    pub(super) fn merit(&self, name: &str, offer: &str) -> Merit {
        let known = self.known.find(&self.config.server, name);
        let allowed = self.config.call.names(name);
        if known.is_none() && !allowed {
            return Merit::Stranger;
        }
        let way = Way { from: name, to: &self.config.name, part: Part::Offer };
        let is_friend = match screen(&self.config.call, Some(name), known, Shown::of(way, offer)) {
            Verdict::In(Expected::Key(_)) => true,
            // Where a name in the list is enough, it is enough here.
            Verdict::In(_) => allowed,
            Verdict::Warn(..) | Verdict::Out(_) | Verdict::WrongKey(_) => false,
        };
        if is_friend { Merit::Friend } else { Merit::Stranger }
    }

    fn tell_wrong_key(&self, name: Option<&str>, shown: Option<KeyName>) {
        let who = name.map_or_else(|| "somebody".to_owned(), |name| format!("'{name}'"));
        let shown = shown.map_or_else(|| "no key".to_owned(), |key| format!("the key {key}"));
        let message = format!(
            "a call from {who} was refused: it showed {shown}, and --allow names another key for {who}"
        );
        let kind = EventKind::Error { code: "wrong-key".to_owned(), message };
        self.emit_about(None, name.map(str::to_owned), kind);
    }

    /// Tells that somebody may be another than they were, and keeps it for `trust`.
    pub(super) fn tell_change(&mut self, id: Option<u64>, name: Option<&str>, change: &KeyChange) {
        self.changed = name.map(|name| (name.to_owned(), change.shown));
        let kind = EventKind::KeyChanged {
            known: change.known_name().map(|name| name.to_string()),
            shown: change.shown_name().map(|name| name.to_string()),
            message: change.to_string(),
        };
        self.emit_about(id, name.map(str::to_owned), kind);
    }

    /// A person goes on with whom the last change was about.
    pub(super) fn trust(&mut self) {
        match self.changed.take() {
            Some((name, shown)) => self.call_expecting(name, Expected::after_all(shown)),
            None => self.no_call("no key has changed, so there is none to accept"),
        }
    }

    /// They have proved that the key is theirs.
    pub(super) fn remember(&mut self, id: u64, key: Key) {
        let Some(live) = self.calls.get(&id) else { return };
        let Some(name) = live.name.clone() else { return };
        let ours = live.ours || self.config.call.names(&name);
        let met = Met { key, at: clock::wall(), ours };
        self.known_key(&name);
        let server = &self.config.server;
        if self.known.has(server, &name, met) {
            return;
        }
        let Some(keyring) = &self.config.keyring else { return };
        let changed = keyring.change(|known| known.remember(server, &name, met));
        let trouble = match changed {
            Ok(Ok(_)) => return,
            Ok(Err(full)) => full.to_string(),
            Err(error) => error.to_string(),
        };
        let message = format!("the key of '{name}' is not remembered: {trouble}");
        self.emit(Some(id), EventKind::Error { code: "key-not-kept".to_owned(), message });
    }
}
