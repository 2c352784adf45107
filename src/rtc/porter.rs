//! Who lets in and out what goes between the network and the library, by datagram or in a frame of a
//! stream.
//!
//! Owns what has to wait for a path (W9). Who is let in is decided in `doors.rs`.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use webrtc::runtime::Runtime;

use super::checks::Whom;
use super::doors::Doors;
use super::events::ConnectionEvent;
use super::handshake;
use super::progress::Progress;
use super::refused_datagrams::Refusal;
use super::relay::Relays;

/// A flight of a handshake has a few datagrams; whoever sends more is not waited for.
pub(super) const MOST_HELD: usize = 16;
const LARGEST_HELD: usize = 2048;

/// What all ways of one connection ask.
#[derive(Debug, Clone)]
pub(super) struct Porter {
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) relays: Arc<Relays>,
    pub(super) progress: Arc<Progress>,
    /// Who is told that a handshake was refused.
    pub(super) news: mpsc::Sender<ConnectionEvent>,
}

impl Porter {
    /// Whether something that came is the call's.
    pub(super) fn lets_in(&self, from: SocketAddr, bytes: &[u8]) -> bool {
        if may_answer_a_check(bytes) {
            self.progress.check_answered();
        }
        let relayed = self.relays.is_server(from);
        let how = (relayed, self.progress.is_connected());
        let (before, welcome) = self.at_the_doors(|doors| {
            let before = doors.refused();
            (before, doors.on_received(self.runtime.now(), from, bytes, how))
        });
        let Err(refusal) = welcome else { return true };
        let first = match refusal {
            Refusal::Unknown => before.unknown == 0,
            Refusal::Stranger => before.strangers == 0,
            Refusal::Handshake => before.handshake == 0,
            Refusal::Repeated => false,
        };
        if first {
            tracing::info!(%from, ?refusal, "datagrams that are none of the call's are dropped");
        }
        false
    }

    /// Whose check this is that chooses a path too early for the library, if it is one; it was let in.
    pub(super) fn chosen_early_by(&self, from: SocketAddr, bytes: &[u8]) -> Option<Whom> {
        let relayed = self.relays.is_server(from);
        self.progress.doors().chosen_early_by(from, bytes, relayed)
    }

    /// Whether something of ours may leave now, `from` a socket and an address of it.
    pub(super) fn lets_out(
        &self,
        from: (SocketAddr, Option<IpAddr>),
        to: SocketAddr,
        bytes: &[u8],
    ) -> bool {
        let relayed = self.relays.is_server(to);
        self.progress.doors().may_leave(self.runtime.now(), from, to, (bytes, relayed))
    }

    /// It has left.
    pub(super) fn has_sent(&self, to: SocketAddr, bytes: &[u8]) {
        let relayed = self.relays.is_server(to);
        self.at_the_doors(|doors| doors.on_sent(self.runtime.now(), to, bytes, relayed));
    }

    /// What `looks` sees at the doors, and what follows from it.
    fn at_the_doors<T>(&self, looks: impl FnOnce(&mut Doors) -> T) -> T {
        let (seen, refused) = {
            let mut doors = self.progress.doors();
            let before = doors.is_handshake_refused();
            let seen = looks(&mut doors);
            (seen, !before && doors.is_handshake_refused())
        };
        if refused && !self.progress.is_connected() {
            self.give_up_soon();
        }
        seen
    }

    /// One side has refused the handshake. If it is up nevertheless in a moment, somebody else has said
    /// so in its name; else nothing comes of it any more.
    fn give_up_soon(&self) {
        let sleep = self.runtime.sleep(handshake::REFUSED);
        let (progress, news) = (Arc::clone(&self.progress), self.news.clone());
        self.runtime.spawn(Box::pin(async move {
            sleep.await;
            if !progress.is_connected() {
                // Without room the time for coming up ends it.
                let _ = news.try_send(ConnectionEvent::Failed);
            }
        }));
    }
}

/// Parts of a handshake that wait for a path, each with what is known of how it came.
#[derive(Debug)]
pub(super) struct Held<T>(Mutex<VecDeque<(Vec<u8>, T)>>);

impl<T> Default for Held<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Held<T> {
    /// Whether this waits here now.
    pub(super) fn hold(&self, progress: &Progress, bytes: &[u8], about: T) -> bool {
        if !is_dtls(bytes) || bytes.len() > LARGEST_HELD || progress.has_path() {
            return false;
        }
        let mut held = self.held();
        let has_room = held.len() < MOST_HELD;
        if has_room {
            held.push_back((bytes.to_vec(), about));
        }
        has_room
    }

    /// The next that may go on.
    pub(super) fn release(&self, progress: &Progress) -> Option<(Vec<u8>, T)> {
        progress.has_path().then(|| self.held().pop_front()).flatten()
    }

    fn held(&self) -> MutexGuard<'_, VecDeque<(Vec<u8>, T)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_dtls(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(20..=63))
}

/// A success response to a binding request (RFC 8489 section 5), or what a TURN server passes on
/// (RFC 8656 sections 11.4 and 12.4).
fn may_answer_a_check(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x01, 0x01])
        || bytes.starts_with(&[0x00, 0x17])
        || matches!(bytes.first(), Some(64..=79))
}
