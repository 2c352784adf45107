//! A time in which a running call has no path: when to restart ICE, and when it is over. Pure.
//!
//! The old path is not given up meanwhile: ICE goes on asking there, and whichever answers first,
//! old or new, ends it. Knows no messages; who may restart, the machine says.

use std::time::{Duration, Instant};

/// An offer that nobody has answered is repeated after this: it, or the answer, may have been lost
/// with a connection to the server.
const REPEAT: Duration = Duration::from_secs(2);
/// A restart that has brought no path is followed by another after this: its candidates may be lost,
/// or the addresses have changed once more.
const ANOTHER: Duration = Duration::from_secs(8);

/// One such time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outage {
    since: Instant,
    restart_at: Option<Instant>,
    give_up_at: Option<Instant>,
}

impl Outage {
    /// Begins now; ICE is restarted `restart_after` from now, and it is over `limit` from now.
    pub(super) fn new(now: Instant, restart_after: Duration, limit: Duration) -> Self {
        Self {
            since: now,
            restart_at: now.checked_add(restart_after),
            give_up_at: now.checked_add(limit),
        }
    }

    /// How long it has lasted.
    pub(super) fn lasting(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// When ICE is to be restarted.
    pub(super) fn restart_at(&self) -> Option<Instant> {
        self.restart_at
    }

    /// When the call has failed.
    pub(super) fn give_up_at(&self) -> Option<Instant> {
        self.give_up_at
    }

    /// There is no reason to wait with a restart any more.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.restart_at = Some(now);
    }

    /// An offer to restart is out.
    pub(super) fn offered(&mut self, now: Instant) {
        self.restart_at = now.checked_add(REPEAT);
    }

    /// Both sides have agreed on a restart, ours or theirs.
    pub(super) fn restarted(&mut self, now: Instant) {
        self.restart_at = now.checked_add(ANOTHER);
    }
}
