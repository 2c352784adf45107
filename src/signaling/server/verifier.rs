//! Looks at tokens, which takes long on purpose, without holding up anybody else.
//!
//! Owns how many are looked at at a time, and who comes first: whoever guesses, from however many
//! addresses, does not stand before those who come from where their token was right before. What a
//! right token is, `users.rs` knows.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::users::UsersFile;
use crate::secret::Secret;
use crate::signaling::switchboard::{ConnectionId, Verdict};

/// Each takes a thread, and some 20 MB with the usual parameters.
const AT_A_TIME: usize = 2;
/// Those that wait, of the known and of the others; with more, logins are refused.
const AT_MOST: usize = 512;

/// A token that somebody shows.
pub(super) struct Shown {
    pub(super) id: ConnectionId,
    pub(super) name: String,
    pub(super) token: Secret,
    /// They come from where the right token came from before.
    pub(super) is_known: bool,
}

/// Tokens that are being looked at.
pub(super) struct Verifier {
    users: Option<Arc<UsersFile>>,
    known: VecDeque<Shown>,
    others: VecDeque<Shown>,
    /// For whom there was no room.
    refused: VecDeque<ConnectionId>,
    running: JoinSet<(ConnectionId, Verdict)>,
}

impl Verifier {
    pub(super) fn new(users: Option<Arc<UsersFile>>) -> Self {
        let (known, others, refused) = (VecDeque::new(), VecDeque::new(), VecDeque::new());
        Self { users, known, others, refused, running: JoinSet::new() }
    }

    /// Whether names have tokens here.
    pub(super) fn has_users(&self) -> bool {
        self.users.is_some()
    }

    /// Begins to look; the verdict comes out of [`Verifier::next`].
    pub(super) fn start(&mut self, shown: Shown) {
        let waiting = if shown.is_known { &mut self.known } else { &mut self.others };
        if waiting.len() >= AT_MOST || self.users.is_none() {
            return self.refused.push_back(shown.id);
        }
        waiting.push_back(shown);
        self.look();
    }

    fn look(&mut self) {
        while self.running.len() < AT_A_TIME {
            let Some(users) = self.users.clone() else { return };
            let next = self.known.pop_front().or_else(|| self.others.pop_front());
            let Some(Shown { id, name, token, .. }) = next else { return };
            self.running.spawn_blocking(move || {
                (id, if users.check(&name, &token) { Verdict::Right } else { Verdict::Wrong })
            });
        }
    }

    /// The next verdict; never, while none is under way. Nothing is lost when this is dropped.
    pub(super) async fn next(&mut self) -> (ConnectionId, Verdict) {
        loop {
            if let Some(id) = self.refused.pop_front() {
                return (id, Verdict::Busy);
            }
            let looked = self.running.join_next().await;
            self.look();
            match looked {
                Some(Ok(verdict)) => return verdict,
                // They do not panic; one that did is as good as gone.
                Some(Err(error)) => tracing::error!(%error, "a token could not be looked at"),
                None => std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::signaling::server::users;

    #[tokio::test]
    async fn who_is_known_waits_for_nobody_who_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        let line = users::line("alice", &Secret::new("north")).unwrap();
        std::fs::write(&path, line).unwrap();
        let mut verifier = Verifier::new(Some(Arc::new(UsersFile::open(&path).unwrap())));
        let mut show = |number: usize, token: &str, is_known| {
            let (id, name) = (ConnectionId(number as u64), "alice".to_owned());
            verifier.start(Shown { id, name, token: Secret::new(token), is_known });
        };
        // More than are looked at and wait: the rest is refused.
        (0..AT_A_TIME + AT_MOST + 3).for_each(|number| show(number, "guess", false));
        show(9_999, "north", true);
        let mut before = 0;
        let mut refused = 0;
        loop {
            match verifier.next().await {
                (ConnectionId(9_999), verdict) => {
                    assert_eq!(verdict, Verdict::Right);
                    break;
                }
                (_, Verdict::Busy) => refused += 1,
                (_, verdict) => {
                    assert_eq!(verdict, Verdict::Wrong);
                    before += 1;
                }
            }
        }
        assert_eq!(refused, 3);
        // Those that were being looked at already, and the one that was next to it.
        assert!(before < 2 * AT_A_TIME, "{before}");
    }
}
