//! The machine and the signaling server: what waits while it is away, and what is said again when it is
//! back. Pure, as the machine is.

use std::time::{Duration, Instant};

use super::{Machine, Stage};
use crate::call::negotiation;
use crate::call::reason::EndReason;

/// Everybody comes back to a server that was away within some seconds; so often those who are not yet
/// there are called again.
const AGAIN: Duration = Duration::from_secs(1);

impl Machine {
    pub(super) fn lose_server(&mut self) {
        self.server_gone = true;
        self.repeat_at = None;
        // A server that comes back may have forgotten them, and not every server survives a
        // `leave` to a name that it does not know.
        self.peer_seen &= self.setup.server_reports_unknown;
    }

    pub(super) fn regain_server(&mut self, now: Instant) {
        self.server_gone = false;
        // One that began anew passes no answer on to an offer of before, which it has not seen.
        self.repeats |= self.is_offering();
        for message in std::mem::take(&mut self.held) {
            self.send(message);
        }
        if self.repeats {
            self.repeat_offer(now);
        }
        // What was said of a restart before may have been lost with the connection.
        let restarts = self.outage.is_some() || self.negotiation.is_restarting();
        if restarts && self.may_restart() {
            self.restart(now);
        }
    }

    /// Says the first offer again, unless it has been answered since.
    pub(super) fn repeat_offer(&mut self, now: Instant) {
        self.repeat_at = None;
        if self.is_offering() {
            self.negotiate(now, negotiation::Input::RepeatFirst);
        }
    }

    /// The server says that nobody of their name is online.
    pub(super) fn not_there(&mut self, now: Instant) {
        match (self.is_offering(), self.repeats) {
            (true, true) => self.repeat_at = now.checked_add(AGAIN),
            (true, false) => self.end(EndReason::UnknownUser, None),
            (false, _) => {}
        }
    }

    fn is_offering(&self) -> bool {
        matches!(self.stage, Stage::Calling { .. }) && self.offer_sent
    }
}
