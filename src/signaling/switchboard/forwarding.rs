//! Who may say what to whom. Pure, as the switchboard is.
//!
//! Offers go to anybody, so often; everything else only between two of whom one has sent the other
//! an offer, so that nobody reaches into a call of others.

use std::time::Instant;

use super::offers::Offers;
use super::{ConnectionId, Login, Output, Switchboard};
use crate::signaling::counts::Refused;
use crate::signaling::envelope::{Envelope, Kind};
use crate::signaling::message::Message;

/// Calls of the time before the server that somebody may name; a peer has one, a page as many as it
/// has tabs.
const MOST_NAMED: usize = 8;

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
            } else {
                self.name(now, id, target);
            }
            return;
        };
        let name = login.name.clone();
        let text = envelope.signed(&login.quoted);
        if envelope.kind == Kind::Offer {
            if !self.may_offer(now, (id, &name, text.len()), to) {
                return self.too_many_offers(id, target);
            }
            self.pair(id, to);
        } else if !self.may_tell(id, to) && !self.know_each_other(now, (id, &name), (to, target)) {
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

    /// Whether one has sent the other an offer.
    fn may_tell(&self, from: ConnectionId, to: ConnectionId) -> bool {
        let knows = |one: ConnectionId, other| {
            self.connections.get(&one).is_some_and(|one| one.partners.knows(other))
        };
        knows(from, to) || knows(to, from)
    }

    /// A server that has just begun has seen no offer yet. Two who were logged in before it are in a call
    /// when each of them says so, by sending something to the other; one alone can say what he likes.
    fn know_each_other(
        &mut self,
        now: Instant,
        (from, name): (ConnectionId, &str),
        (to, target): (ConnectionId, &str),
    ) -> bool {
        self.name(now, from, target);
        let has_named = |one: ConnectionId, other: &str| {
            let one = self.connections.get(&one);
            one.is_some_and(|one| one.named.iter().any(|named| named == other))
        };
        let both = has_named(from, target) && has_named(to, name);
        for (one, other) in [(from, to), (to, from)].into_iter().filter(|_| both) {
            if let Some(connection) = self.connections.get_mut(&one) {
                connection.partners.met(other);
            }
        }
        both
    }

    /// Somebody says with whom he was in a call before this server was there.
    fn name(&mut self, now: Instant, from: ConnectionId, target: &str) {
        let Some(connection) = self.connections.get_mut(&from) else { return };
        let login = connection.login.as_ref();
        let may = login.and_then(|login| login.returned_until).is_some_and(|until| now < until);
        let is_new = connection.named.iter().all(|named| named != target);
        if may && is_new && connection.named.len() < MOST_NAMED {
            connection.named.push(target.to_owned());
        }
    }

    /// Counted at whom they are for: coming back on another connection changes nothing. Each pays for a
    /// reply, so that who is called is not closed for it.
    fn may_offer(
        &mut self,
        now: Instant,
        (id, from, bytes): (ConnectionId, &str, usize),
        to: ConnectionId,
    ) -> bool {
        let per_minute = self.limits.offers_per_minute;
        let Some(source) = self.connections.get(&id).map(|caller| caller.source) else {
            return false;
        };
        let Some(callee) = self.connections.get_mut(&to) else { return false };
        let offers = callee.offers.get_or_insert_with(|| Box::new(Offers::new(per_minute)));
        let may = offers.take(now, from, source);
        if may {
            callee.owed.add(bytes);
        }
        may
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
