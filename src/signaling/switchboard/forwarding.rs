//! Who may say what to whom. Pure, as the switchboard is.
//!
//! Offers go to anybody, so often; everything else only between two of whom one has sent the other
//! an offer, so that nobody reaches into a call of others.

use std::time::Instant;

use super::{ConnectionId, Login, Output, Switchboard};
use crate::signaling::counts::Refused;
use crate::signaling::envelope::{Envelope, Kind};
use crate::signaling::limiter::Allowances;
use crate::signaling::message::Message;

/// Callers whose offers to one name are counted at a time, each about 100 bytes.
const CALLERS: usize = 256;

impl Switchboard {
    pub(super) fn forward(&mut self, now: Instant, id: ConnectionId, envelope: &Envelope<'_>) {
        let login = self.connections.get(&id).and_then(|from| from.login.as_ref());
        let Some(login) = login else {
            return self.complain(id, Refused::NotLoggedIn, "log in first");
        };
        let Some(target) = envelope.target.as_deref() else {
            return self.forward_unnamed(id, envelope);
        };
        let Some(to) = self.names.get(target).copied().filter(|to| *to != id) else {
            if envelope.kind == Kind::Offer {
                self.unknown_user(id, target);
            }
            return;
        };
        let name = login.name.clone();
        let text = envelope.signed(&login.quoted);
        if envelope.kind == Kind::Offer {
            if !self.may_offer(now, to, name) {
                return self.too_many_offers(id, target);
            }
            self.pair(id, to);
        } else if !self.may_tell(id, to, &envelope.kind) {
            // In silence, as if there was nobody: old clients know no such complaint.
            return self.counts.refuse(Refused::NoCall);
        }
        if envelope.kind == Kind::Leave {
            self.part(id, to);
        }
        self.pass_on(id, to, text);
    }

    /// Without a target a `leave` ends every call of the sender; an offer is a mistake.
    fn forward_unnamed(&mut self, id: ConnectionId, envelope: &Envelope<'_>) {
        match envelope.kind {
            Kind::Offer => self.complain(id, Refused::InvalidMessage, "an offer needs a name"),
            Kind::Leave => self.leave_all(id, envelope),
            _ => {}
        }
    }

    /// In words of our own: what came once does not go out many times.
    fn leave_all(&mut self, id: ConnectionId, envelope: &Envelope<'_>) {
        let Some(from) = self.connections.get(&id) else { return };
        let Some(Login { name, .. }) = &from.login else { return };
        let name = Some(name.clone());
        let text = Message::Leave { name, reason: envelope.leave_reason() }.to_json();
        for to in from.partners.in_call() {
            self.part(id, to);
            self.pass_on(id, to, text.clone());
        }
    }

    /// Whether one has sent the other an offer. A server that has just begun has seen no offer yet:
    /// two who were logged in before it may part, and route what they hear by its name.
    fn may_tell(&self, from: ConnectionId, to: ConnectionId, kind: &Kind<'_>) -> bool {
        let (Some(one), Some(other)) = (self.connections.get(&from), self.connections.get(&to))
        else {
            return false;
        };
        let was_here = |login: &Option<Login>| login.as_ref().is_some_and(|login| login.returned);
        let know_each_other = one.partners.knows(to) || other.partners.knows(from);
        know_each_other || (*kind == Kind::Leave && was_here(&one.login) && was_here(&other.login))
    }

    /// Counted at whom they are for: coming back on another connection changes nothing.
    fn may_offer(&mut self, now: Instant, to: ConnectionId, from: String) -> bool {
        let per_minute = self.limits.offers_per_minute;
        let Some(callee) = self.connections.get_mut(&to) else { return false };
        let offers = callee.offers.get_or_insert_with(|| Allowances::new(per_minute, CALLERS));
        offers.take(now, from)
    }

    fn pass_on(&mut self, from: ConnectionId, to: ConnectionId, text: String) {
        self.counts.forwards += 1;
        self.outputs.push_back(Output::PassOn { from, to, text });
    }

    fn pair(&mut self, caller: ConnectionId, callee: ConnectionId) {
        for (one, other) in [(caller, callee), (callee, caller)] {
            let Some(connection) = self.connections.get_mut(&one) else { continue };
            let is_new = connection.partners.met(other);
            self.counts.calls += u64::from(is_new && one == caller);
        }
    }

    pub(super) fn part(&mut self, a: ConnectionId, b: ConnectionId) {
        for (one, other) in [(a, b), (b, a)] {
            if let Some(connection) = self.connections.get_mut(&one) {
                connection.partners.left(other);
            }
        }
    }

    fn unknown_user(&mut self, to: ConnectionId, name: &str) {
        self.counts.refuse(Refused::UnknownUser);
        let message = format!("'{name}' is not online");
        self.error_about(to, "unknown-user", name, message);
    }

    fn too_many_offers(&mut self, to: ConnectionId, name: &str) {
        self.counts.refuse(Refused::TooManyOffers);
        let message = format!("too many offers to '{name}'; wait a minute");
        self.error_about(to, "too-many-offers", name, message);
    }

    fn error_about(&mut self, to: ConnectionId, code: &str, name: &str, message: String) {
        let (code, name) = (Some(code.to_owned()), Some(name.to_owned()));
        self.send(to, &Message::Error { code, name, message });
    }
}

#[cfg(test)]
#[path = "forwarding_tests.rs"]
mod tests;
