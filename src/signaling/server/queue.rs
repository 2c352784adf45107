//! A connection's queue: the exchange's end, and the connection's end.
//!
//! Bounded by the ledger, which knows of every queue. Whatever leaves a queue, sent or not, is given
//! back to it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};

use super::close::CloseFor;
use crate::signaling::ledger::{Entry, Ledger, QUEUE_MESSAGES};

/// What the exchange counts with.
pub(super) type SharedLedger = Arc<Mutex<Ledger>>;

/// The exchange's end of a connection. Dropped, the connection closes: the server goes away.
pub(super) struct Link {
    queue: mpsc::Sender<Box<Queued>>,
    close: oneshot::Sender<CloseFor>,
    slowed: Arc<AtomicBool>,
}

/// The connection's end.
pub(super) struct Inbox {
    pub(super) queue: Queue,
    pub(super) close: oneshot::Receiver<CloseFor>,
    pub(super) slowed: Slowed,
}

/// What waits to be sent. Each connection has room for some from its beginning: so it is pointers.
pub(super) struct Queue(mpsc::Receiver<Box<Queued>>);

/// Whether the connection sends more than is read.
pub(super) struct Slowed(Arc<AtomicBool>);

struct Queued {
    text: String,
    /// Only dropped.
    _counted: Counted,
}

/// Is counted until it is dropped.
struct Counted {
    ledger: SharedLedger,
    entry: Entry,
}

/// Both ends of a new connection.
pub(super) fn link() -> (Link, Inbox) {
    let (queue, queued) = mpsc::channel(QUEUE_MESSAGES);
    let (close, closed) = oneshot::channel();
    let slowed = Arc::new(AtomicBool::new(false));
    let inbox = Inbox { queue: Queue(queued), close: closed, slowed: Slowed(Arc::clone(&slowed)) };
    (Link { queue, close, slowed }, inbox)
}

impl Link {
    /// Queues a text; `false` when there is no room.
    pub(super) fn push(&self, ledger: &SharedLedger, entry: Entry, text: String) -> bool {
        if !ledger.lock().unwrap_or_else(PoisonError::into_inner).take(entry) {
            return false;
        }
        let counted = Counted { ledger: Arc::clone(ledger), entry };
        // Closed, there is nobody to read it; that is no fault of who sent it.
        !matches!(
            self.queue.try_send(Box::new(Queued { text, _counted: counted })),
            Err(mpsc::error::TrySendError::Full(_))
        )
    }

    /// Has the connection read nothing for a moment.
    pub(super) fn slow_down(&self) {
        self.slowed.store(true, Ordering::Relaxed);
    }

    /// Closes it.
    pub(super) fn close(self, why: CloseFor) {
        // It may have ended by itself meanwhile.
        let _ = self.close.send(why);
    }
}

impl Queue {
    /// The next text; `None` when the exchange has let go of this connection.
    pub(super) async fn next(&mut self) -> Option<String> {
        Some(self.0.recv().await?.text)
    }

    /// The next text, if there is one already.
    pub(super) fn next_at_once(&mut self) -> Option<String> {
        Some(self.0.try_recv().ok()?.text)
    }
}

impl Slowed {
    /// Whether to pause now; asked once, it is forgotten.
    pub(super) fn take(&self) -> bool {
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Relaxed)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).give_back(self.entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signaling::ledger::Payer;
    use crate::signaling::switchboard::ConnectionId;

    #[tokio::test]
    async fn what_is_read_makes_room_and_what_is_never_read_too() {
        let ledger = SharedLedger::default();
        let (link, mut inbox) = link();
        let entry = Entry { reader: ConnectionId(1), payer: Payer::Server, bytes: 60_000 };
        let text = || "x".repeat(60_000);
        assert!(link.push(&ledger, entry, text()) && link.push(&ledger, entry, text()));
        assert!(!link.push(&ledger, entry, text()));
        assert_eq!(inbox.queue.next().await, Some(text()));
        assert!(link.push(&ledger, entry, text()), "what was read makes room");
        drop(inbox);
        assert!(link.push(&ledger, entry, text()), "nobody is there any more");
        assert!(link.push(&ledger, entry, text()));
    }
}
