//! The one task that owns the switchboard, and the queues to the connections.
//!
//! It never waits for a connection: whose queue is full is closed, so that one slow
//! reader cannot hold up the others.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use axum::extract::ws::{CloseCode, Utf8Bytes, close_code};
use tokio::sync::{mpsc, oneshot};

use super::verifier::Verifier;
use crate::clock;
use crate::signaling::counts::{Counts, Now, Refused};
use crate::signaling::handout::Handout;
use crate::signaling::limiter::Source;
use crate::signaling::message::{LoginReply, Message};
use crate::signaling::switchboard::{CloseReason, ConnectionId, Input, Output, Switchboard};

/// More than a round of the exchange can bring: whoever reads gets his turn after each.
const QUEUE_MESSAGES: usize = 1024;
const QUEUE_BYTES: usize = 512 * 1024;
/// Events that are taken in one round.
const ROUND: usize = 256;

/// What a connection, or a request, tells the exchange.
pub(super) enum Event {
    Connected {
        id: ConnectionId,
        source: Source,
        link: Link,
    },
    Message {
        id: ConnectionId,
        text: Utf8Bytes,
        came_at: Instant,
    },
    Closed {
        id: ConnectionId,
    },
    /// Somebody was refused before the exchange heard of him.
    Refused {
        why: Refused,
    },
    /// Somebody wants to know the numbers.
    Count {
        reply: oneshot::Sender<(Counts, Now)>,
    },
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
    pub(super) const NOT_TEXT: Self =
        Self { code: close_code::INVALID, reason: "the message is not UTF-8" };
    pub(super) const TOO_FAST: Self =
        Self { code: close_code::POLICY, reason: "too many messages" };
    const TOO_SLOW: Self = Self { code: close_code::POLICY, reason: "messages are not read" };
    const RESUMED: Self =
        Self { code: close_code::POLICY, reason: "logged in again on another connection" };
    const FULL: Self = Self { code: close_code::AGAIN, reason: "the server is full" };
}

impl CloseFor {
    /// As what a connection that broke a rule of its own is counted.
    pub(super) fn refusal(self) -> Option<Refused> {
        match self {
            Self::TOO_LARGE => Some(Refused::TooLarge),
            Self::TOO_FAST => Some(Refused::TooFast),
            Self::NOT_TEXT => Some(Refused::InvalidMessage),
            _ => None,
        }
    }
}

impl From<CloseReason> for CloseFor {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::Full => Self::FULL,
            CloseReason::TooFast => Self::TOO_FAST,
            CloseReason::TooLarge => Self::TOO_LARGE,
            CloseReason::Resumed => Self::RESUMED,
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

    /// The next text, if there is one already.
    pub(super) fn next_at_once(&mut self) -> Option<String> {
        let text = self.messages.try_recv().ok()?;
        self.queued.fetch_sub(text.len(), Ordering::Relaxed);
        Some(text)
    }
}

/// The switchboard and what carries out what it says.
pub(super) struct Exchange {
    pub(super) switchboard: Switchboard,
    pub(super) verifier: Verifier,
    pub(super) handout: Handout,
}

impl Exchange {
    /// Routes until every connection and the server have let go.
    pub(super) async fn run(mut self, mut events: mpsc::Receiver<Event>) {
        let mut links: HashMap<ConnectionId, Link> = HashMap::new();
        let mut round = Vec::with_capacity(ROUND);
        loop {
            tokio::select! {
                taken = events.recv_many(&mut round, ROUND) => {
                    if taken == 0 {
                        return;
                    }
                    for event in round.drain(..) {
                        self.take(event, &mut links);
                    }
                    // Whoever reads what was queued now is on the same thread.
                    tokio::task::yield_now().await;
                }
                (id, verdict) = self.verifier.next() => {
                    self.switchboard.handle(clock::now(), Input::Verified { id, verdict });
                    self.deliver(&mut links);
                }
            }
        }
    }

    fn take(&mut self, event: Event, links: &mut HashMap<ConnectionId, Link>) {
        let now = clock::now();
        match event {
            Event::Connected { id, source, link } => {
                links.insert(id, link);
                self.switchboard.handle(now, Input::Connected { id, source });
            }
            Event::Message { id, text, came_at } => {
                let before = self.switchboard.counts().forwards;
                self.switchboard.handle(now, Input::Message { id, text: &text });
                self.deliver(links);
                let counts = self.switchboard.counts();
                if counts.forwards > before {
                    counts.forwarded(clock::now().saturating_duration_since(came_at));
                }
            }
            Event::Closed { id } => {
                links.remove(&id);
                self.switchboard.handle(now, Input::Closed { id });
            }
            Event::Refused { why } => self.switchboard.counts().refuse(why),
            Event::Count { reply } => {
                let now = self.switchboard.now();
                // Whoever asked may be gone.
                let _ = reply.send((self.switchboard.counts().clone(), now));
            }
        }
        self.deliver(links);
    }

    fn deliver(&mut self, links: &mut HashMap<ConnectionId, Link>) {
        while let Some(output) = self.switchboard.poll() {
            match output {
                Output::Send { to, text } => self.send(links, to, text),
                Output::Welcome { to, name, resume } => {
                    let reply = LoginReply {
                        resume: Some(resume),
                        ..self.handout.reply(clock::wall(), &name)
                    };
                    self.send(links, to, Message::LoginReply(reply).to_json());
                }
                Output::Verify { id, name, token } => self.verifier.start(id, name, token),
                Output::Close { id, reason } => close(links, id, reason.into()),
            }
        }
    }

    fn send(&mut self, links: &mut HashMap<ConnectionId, Link>, to: ConnectionId, text: String) {
        let full = links.get(&to).is_some_and(|link| !link.push(text));
        if full {
            close(links, to, CloseFor::TOO_SLOW);
            self.switchboard.counts().refuse(Refused::TooSlow);
            self.switchboard.handle(clock::now(), Input::Closed { id: to });
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
