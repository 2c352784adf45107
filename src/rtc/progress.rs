//! How far a connection has come: from the first check to the end of the handshake, and who waits for
//! what of it.
//!
//! Owns how long the library may sleep meanwhile (W8, see `runtime.rs`), and the doors, which all ways of
//! the connection ask.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use super::doors::Doors;
use super::events::IceState;
use super::handshake::Handshake;

/// How long the library may sleep between a path and the end of the handshake.
const NAP: Duration = Duration::from_millis(5);

/// How often all candidate pairs are checked, from the beginning on: a few times quickly, then as
/// often as the library would. RFC 8445 section 14.2 wants 50 ms between checks.
const PACE: [(Duration, Duration); 2] = [
    (Duration::from_millis(250), Duration::from_millis(50)),
    (Duration::from_secs(1), Duration::from_millis(100)),
];
const LATER_PACE: Duration = Duration::from_millis(200);

/// Sockets of one connection that wait for a path.
const MOST_WAKERS: usize = 64;

const WAITING: u8 = 0;
const CHECKING: u8 = 1;
const SECURING: u8 = 2;
const UP: u8 = 3;

/// How far a connection has come.
#[derive(Debug, Default)]
pub(super) struct Progress {
    state: AtomicU8,
    /// DTLS was up once; a restart of ICE changes nothing in that.
    secured: AtomicBool,
    /// Since when paths are sought.
    since: Mutex<Option<Instant>>,
    /// A check of ours was answered, so that there is something to be done.
    answered: AtomicBool,
    /// Ends a sleep.
    kick: Notify,
    doors: Mutex<Doors>,
    wakers: Mutex<Vec<Waker>>,
    /// Whether ICE has a path.
    up: watch::Sender<bool>,
}

impl Progress {
    /// Both sides are described.
    pub(super) fn connecting(&self) {
        if self.state.load(Ordering::Relaxed) == WAITING {
            self.seek();
        }
    }

    /// There is another candidate to check: at once, and not when the library next wakes up.
    pub(super) fn has_candidate(&self) {
        self.kick.notify_one();
    }

    /// Waits for what ends a sleep.
    pub(super) async fn kicked(&self) {
        self.kick.notified().await;
    }

    /// ICE has moved on.
    pub(super) fn ice(&self, state: IceState) {
        if state == IceState::Checking {
            self.seek();
        } else if state.is_up() {
            let secured = self.secured.load(Ordering::Relaxed);
            self.state.store(if secured { UP } else { SECURING }, Ordering::Relaxed);
            self.up.send_if_modified(|up| !std::mem::replace(up, true));
            let wakers = std::mem::take(&mut *lock(&self.wakers));
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    /// Tells when ICE finds a path, and when it begins anew.
    pub(super) fn up(&self) -> watch::Receiver<bool> {
        self.up.subscribe()
    }

    /// DTLS is up.
    pub(super) fn connected(&self) {
        self.secured.store(true, Ordering::Relaxed);
        self.state.store(UP, Ordering::Relaxed);
    }

    /// Whether it has been up.
    pub(super) fn is_connected(&self) -> bool {
        self.secured.load(Ordering::Relaxed)
    }

    /// A check of ours was answered.
    pub(super) fn check_answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// Who is let in.
    pub(super) fn doors(&self) -> MutexGuard<'_, Doors> {
        lock(&self.doors)
    }

    /// Whether what is no check reaches the library.
    pub(super) fn has_path(&self) -> bool {
        self.secured.load(Ordering::Relaxed) || self.state.load(Ordering::Relaxed) >= SECURING
    }

    /// How the handshake stands, where there is a path and it has not ended.
    pub(super) fn handshake(&self) -> Option<Handshake> {
        (self.has_path() && !self.is_connected()).then(|| self.doors().handshake())
    }

    /// Wakes whoever waits for the path, once.
    pub(super) fn wake_with_path(&self, waker: &Waker) {
        let mut wakers = lock(&self.wakers);
        if self.has_path() || wakers.iter().any(|known| known.will_wake(waker)) {
            return;
        }
        if wakers.len() == MOST_WAKERS {
            wakers.remove(0);
        }
        wakers.push(waker.clone());
    }

    fn seek(&self) {
        self.state.store(CHECKING, Ordering::Relaxed);
        self.up.send_if_modified(|up| std::mem::replace(up, false));
        *lock(&self.since) = None;
    }

    /// How long the library may sleep that would sleep for `wanted`.
    pub(super) fn rest(&self, now: Instant, wanted: Duration) -> Duration {
        match self.state.load(Ordering::Relaxed) {
            SECURING => wanted.min(NAP),
            CHECKING if self.answered.swap(false, Ordering::Relaxed) => wanted,
            CHECKING => {
                let since = *lock(&self.since).get_or_insert(now);
                let seeking = now.saturating_duration_since(since);
                let pace = PACE.iter().find(|(until, _)| seeking < *until);
                wanted.max(pace.map_or(LATER_PACE, |(_, pace)| *pace))
            }
            _ => wanted,
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_few_when_it_takes_long_and_an_answer_is_seen_to_at_once() {
        let (progress, look) = (Progress::default(), Duration::from_millis(10));
        let start = crate::clock::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(progress.rest(at(0), look), look, "nothing goes on yet");
        progress.connecting();
        for (ms, sleeps) in [(0, 50), (249, 50), (250, 100), (999, 100), (1000, 200), (60_000, 200)]
        {
            assert_eq!(progress.rest(at(ms), look), Duration::from_millis(sleeps), "{ms}");
        }
        assert_eq!(progress.rest(at(0), Duration::from_secs(9)), Duration::from_secs(9));
        progress.check_answered();
        assert_eq!(progress.rest(at(60_000), look), look);
        progress.ice(IceState::Connected);
        assert_eq!(progress.rest(at(60_000), Duration::from_secs(1)), NAP, "the handshake");
        progress.connected();
        assert_eq!(progress.rest(at(60_000), Duration::from_secs(1)), Duration::from_secs(1));
        progress.ice(IceState::Checking);
        assert_eq!(progress.rest(at(90_000), look), Duration::from_millis(50), "a restart");
        progress.ice(IceState::Connected);
        assert_eq!(progress.rest(at(90_000), Duration::from_secs(1)), Duration::from_secs(1));
    }
}
