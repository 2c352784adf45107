//! Whom a connection has exchanged an offer with, and with whom of them it is in a call. Pure.
//!
//! Bounded: with more, the first are forgotten, and do not hear that it is gone.

use super::ConnectionId;

/// Whom one connection may know.
pub(super) const MAX_PARTNERS: usize = 64;

/// The others, the one met first first. Some may be gone meanwhile; numbers are not used twice.
#[derive(Debug, Default)]
pub(super) struct Partners(Vec<Partner>);

#[derive(Debug, Clone, Copy)]
struct Partner {
    id: ConnectionId,
    /// Since an offer, until one of the two leaves.
    in_call: bool,
}

impl Partners {
    /// An offer went to or came from this one; whether there was no call with him before.
    pub(super) fn met(&mut self, id: ConnectionId) -> bool {
        if let Some(partner) = self.0.iter_mut().find(|partner| partner.id == id) {
            return !std::mem::replace(&mut partner.in_call, true);
        }
        if self.0.len() >= MAX_PARTNERS {
            self.0.remove(0);
        }
        self.0.push(Partner { id, in_call: true });
        true
    }

    /// Whether there ever was an offer between the two.
    pub(super) fn knows(&self, id: ConnectionId) -> bool {
        self.0.iter().any(|partner| partner.id == id)
    }

    /// One of the two has left.
    pub(super) fn left(&mut self, id: ConnectionId) {
        if let Some(partner) = self.0.iter_mut().find(|partner| partner.id == id) {
            partner.in_call = false;
        }
    }

    /// Somebody has come back on another connection.
    pub(super) fn replace(&mut self, old: ConnectionId, new: ConnectionId) {
        if let Some(partner) = self.0.iter_mut().find(|partner| partner.id == old) {
            partner.id = new;
        }
    }

    /// All that are known.
    pub(super) fn all(&self) -> Vec<ConnectionId> {
        self.0.iter().map(|partner| partner.id).collect()
    }

    /// Those of the calls of the moment.
    pub(super) fn in_call(&self) -> Vec<ConnectionId> {
        self.0.iter().filter(|partner| partner.in_call).map(|partner| partner.id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_ends_and_the_acquaintance_stays() {
        let (bob, carol) = (ConnectionId(2), ConnectionId(3));
        let mut partners = Partners::default();
        assert!(!partners.knows(bob));
        assert!(partners.met(bob) && !partners.met(bob) && partners.met(carol));
        partners.left(bob);
        assert!(partners.knows(bob));
        assert_eq!(partners.in_call(), [carol]);
        assert!(partners.met(bob), "another call");
        partners.replace(bob, ConnectionId(9));
        assert_eq!(partners.all(), [ConnectionId(9), carol]);
    }

    #[test]
    fn of_too_many_the_first_are_forgotten() {
        let mut partners = Partners::default();
        let most = MAX_PARTNERS as u64;
        (0..=most).for_each(|id| assert!(partners.met(ConnectionId(id))));
        assert!(!partners.knows(ConnectionId(0)) && partners.knows(ConnectionId(most)));
        assert_eq!(partners.all().len(), MAX_PARTNERS);
    }
}
