//! Looks at tokens, which takes long on purpose, without holding up anybody else.
//!
//! Owns how many are looked at at a time. What a right token is, `users.rs` knows.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::users::UsersFile;
use crate::secret::Secret;
use crate::signaling::switchboard::{ConnectionId, Verdict};

/// Each takes a thread, and some 20 MB with the usual parameters.
const AT_A_TIME: usize = 2;
/// Those that wait included; with more, logins are refused.
const AT_MOST: usize = 512;

/// Tokens that are being looked at.
pub(super) struct Verifier {
    users: Option<Arc<UsersFile>>,
    slots: Arc<Semaphore>,
    running: JoinSet<(ConnectionId, Verdict)>,
}

impl Verifier {
    pub(super) fn new(users: Option<Arc<UsersFile>>) -> Self {
        Self { users, slots: Arc::new(Semaphore::new(AT_A_TIME)), running: JoinSet::new() }
    }

    /// Whether names have tokens here.
    pub(super) fn has_users(&self) -> bool {
        self.users.is_some()
    }

    /// Begins to look; the verdict comes out of [`Verifier::next`].
    pub(super) fn start(&mut self, id: ConnectionId, name: String, token: Secret) {
        let busy = self.running.len() >= AT_MOST;
        let users = self.users.clone().filter(|_| !busy);
        let slots = Arc::clone(&self.slots);
        self.running.spawn(async move {
            let Some(users) = users else { return (id, Verdict::Busy) };
            let _slot = slots.acquire_owned().await;
            let looked = tokio::task::spawn_blocking(move || users.check(&name, &token)).await;
            let right = looked.unwrap_or(false);
            (id, if right { Verdict::Right } else { Verdict::Wrong })
        });
    }

    /// The next verdict; never, while none is under way. Nothing is lost when this is dropped.
    pub(super) async fn next(&mut self) -> (ConnectionId, Verdict) {
        loop {
            match self.running.join_next().await {
                Some(Ok(verdict)) => return verdict,
                // They do not panic; one that did is as good as gone.
                Some(Err(error)) => tracing::error!(%error, "a token could not be looked at"),
                None => std::future::pending().await,
            }
        }
    }
}
