//! The one task that owns the switchboard, and the queues to the connections.
//!
//! It never waits for a connection: whose queue is full is closed, so that one slow
//! reader cannot hold up the others.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::ws::{CloseCode, close_code};
use tokio::sync::{mpsc, oneshot};

use crate::clock;
use crate::signaling::switchboard::{CloseReason, ConnectionId, Input, Output, Switchboard};

const QUEUE_MESSAGES: usize = 256;
const QUEUE_BYTES: usize = 512 * 1024;

/// What a connection tells the exchange.
pub(super) enum Event {
    Connected { id: ConnectionId, link: Link },
    Message { id: ConnectionId, text: String },
    Closed { id: ConnectionId },
}

/// The exchange's end of a connection. Dropped, the connection closes: the server goes away.
pub(super) struct Link {
    queue: mpsc::Sender<String>,
    queued: Arc<AtomicUsize>,
    close: oneshot::Sender<CloseFor>,
}

/// The connection's end.
pub(super) struct Inbox {
    pub(super) queue: Queue,
    pub(super) close: oneshot::Receiver<CloseFor>,
}

/// What waits to be sent.
pub(super) struct Queue {
    messages: mpsc::Receiver<String>,
    queued: Arc<AtomicUsize>,
}

/// What a close frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CloseFor {
    pub(super) code: CloseCode,
    pub(super) reason: &'static str,
}

impl CloseFor {
    pub(super) const GOING_AWAY: Self =
        Self { code: close_code::AWAY, reason: "the server is shutting down" };
    pub(super) const TOO_LARGE: Self =
        Self { code: close_code::SIZE, reason: "the message is too large" };
    pub(super) const TOO_FAST: Self =
        Self { code: close_code::POLICY, reason: "too many messages" };
    const TOO_SLOW: Self = Self { code: close_code::POLICY, reason: "messages are not read" };
    const FULL: Self = Self { code: close_code::AGAIN, reason: "the server is full" };
}

impl From<CloseReason> for CloseFor {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::Full => Self::FULL,
            CloseReason::TooFast => Self::TOO_FAST,
            CloseReason::TooLarge => Self::TOO_LARGE,
        }
    }
}

/// Both ends of a new connection.
pub(super) fn link() -> (Link, Inbox) {
    let (queue, messages) = mpsc::channel(QUEUE_MESSAGES);
    let (close, closed) = oneshot::channel();
    let queued = Arc::new(AtomicUsize::new(0));
    let inbox = Queue { messages, queued: Arc::clone(&queued) };
    (Link { queue, queued, close }, Inbox { queue: inbox, close: closed })
}

impl Link {
    /// Queues a text; `false` when there is no room, and then there is none ever after.
    fn push(&self, text: String) -> bool {
        // Counted before it is sent, so that the reader never takes off more than there is.
        let bytes = text.len();
        let queued = self.queued.fetch_add(bytes, Ordering::Relaxed) + bytes;
        queued <= QUEUE_BYTES && self.queue.try_send(text).is_ok()
    }
}

impl Queue {
    /// The next text; `None` when the exchange has let go of this connection.
    pub(super) async fn next(&mut self) -> Option<String> {
        let text = self.messages.recv().await?;
        self.queued.fetch_sub(text.len(), Ordering::Relaxed);
        Some(text)
    }
}

/// Routes until every connection and the server have let go.
pub(super) async fn run(mut switchboard: Switchboard, mut events: mpsc::Receiver<Event>) {
    let mut links: HashMap<ConnectionId, Link> = HashMap::new();
    while let Some(event) = events.recv().await {
        let input = match event {
            Event::Connected { id, link } => {
                links.insert(id, link);
                Input::Connected { id }
            }
            Event::Message { id, text } => Input::Message { id, text },
            Event::Closed { id } => {
                links.remove(&id);
                Input::Closed { id }
            }
        };
        switchboard.handle(clock::now(), input);
        deliver(&mut switchboard, &mut links);
    }
}

fn deliver(switchboard: &mut Switchboard, links: &mut HashMap<ConnectionId, Link>) {
    while let Some(output) = switchboard.poll() {
        match output {
            Output::Send { to, text } => {
                let full = links.get(&to).is_some_and(|link| !link.push(text));
                if full {
                    close(links, to, CloseFor::TOO_SLOW);
                    switchboard.handle(clock::now(), Input::Closed { id: to });
                }
            }
            Output::Close { id, reason } => close(links, id, reason.into()),
        }
    }
}

fn close(links: &mut HashMap<ConnectionId, Link>, id: ConnectionId, why: CloseFor) {
    if let Some(link) = links.remove(&id) {
        tracing::debug!(connection = id.0, why.reason, "closing a connection");
        // It may have ended by itself meanwhile.
        let _ = link.close.send(why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_queue_is_bounded_in_messages_and_in_bytes() {
        let (link, _inbox) = link();
        let taken = (0..QUEUE_MESSAGES + 5).filter(|_| link.push("x".to_owned())).count();
        assert_eq!(taken, QUEUE_MESSAGES);

        let (link, mut inbox) = super::link();
        let large = "x".repeat(QUEUE_BYTES / 4);
        assert!((0..4).all(|_| link.push(large.clone())));
        assert_eq!(inbox.queue.next().await, Some(large.clone()));
        assert!(link.push(large.clone()), "what was read makes room");
        assert!(!link.push(large));
    }
}
