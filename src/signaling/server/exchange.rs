//! The one task that owns the switchboard, and its ends of the queues to the connections.
//!
//! It never waits for a connection. Where a queue has no room for what somebody sends, it is the
//! sender who is slowed and then closed; whom the server itself cannot answer is closed.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::time::Instant;

use axum::extract::ws::Utf8Bytes;
use tokio::sync::{mpsc, oneshot};

use super::close::CloseFor;
use super::queue::{Link, SharedLedger};
use super::verifier::{Shown, Verifier};
use crate::clock;
use crate::signaling::counts::{Counts, Now, Refused};
use crate::signaling::handout::Handout;
use crate::signaling::ledger::{Entry, Payer};
use crate::signaling::limiter::Source;
use crate::signaling::message::{LoginReply, Message};
use crate::signaling::switchboard::{ConnectionId, End, Input, Output, Switchboard};
use crate::signaling::token_bucket::TokenBucket;

/// Messages that find no room: so many at once, and so many a second, until their sender is closed.
const TOO_MANY: f64 = 8.0;
const TOO_MANY_PER_SECOND: f64 = 0.2;
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
        end: End,
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

/// Somebody who is connected.
struct Reader {
    link: Link,
    source: Source,
    /// For what he sends and nobody reads.
    patience: TokenBucket,
}

type Readers = HashMap<ConnectionId, Reader>;

/// The switchboard and what carries out what it says.
pub(super) struct Exchange {
    switchboard: Switchboard,
    verifier: Verifier,
    handout: Handout,
    ledger: SharedLedger,
    readers: Readers,
}

impl Exchange {
    pub(super) fn new(switchboard: Switchboard, verifier: Verifier, handout: Handout) -> Self {
        let (ledger, readers) = (SharedLedger::default(), Readers::new());
        Self { switchboard, verifier, handout, ledger, readers }
    }

    /// Routes until every connection and the server have let go.
    pub(super) async fn run(mut self, mut events: mpsc::Receiver<Event>) {
        let mut round = Vec::with_capacity(ROUND);
        loop {
            tokio::select! {
                taken = events.recv_many(&mut round, ROUND) => {
                    if taken == 0 {
                        return;
                    }
                    for event in round.drain(..) {
                        self.take(event);
                    }
                    // Whoever reads what was queued now is on the same thread.
                    tokio::task::yield_now().await;
                }
                (id, verdict) = self.verifier.next() => {
                    self.switchboard.handle(clock::now(), Input::Verified { id, verdict });
                    self.deliver();
                }
                () = clock::until(self.switchboard.deadline()) => {
                    self.switchboard.handle(clock::now(), Input::Timeout);
                    self.deliver();
                }
            }
        }
    }

    fn take(&mut self, event: Event) {
        let now = clock::now();
        match event {
            Event::Connected { id, source, link } => {
                let patience = TokenBucket::new(now, TOO_MANY_PER_SECOND, TOO_MANY);
                self.readers.insert(id, Reader { link, source, patience });
                self.switchboard.handle(now, Input::Connected { id, source });
            }
            Event::Message { id, text, came_at } => {
                let before = self.switchboard.counts().forwards;
                self.switchboard.handle(now, Input::Message { id, text: &text });
                self.deliver();
                let counts = self.switchboard.counts();
                if counts.forwards > before {
                    counts.forwarded(clock::now().saturating_duration_since(came_at));
                }
            }
            Event::Closed { id, end } => {
                self.readers.remove(&id);
                self.switchboard.handle(now, Input::Closed { id, end });
            }
            Event::Refused { why } => self.switchboard.counts().refuse(why),
            Event::Count { reply } => {
                let now = self.switchboard.now();
                // Whoever asked may be gone.
                let _ = reply.send((self.switchboard.counts().clone(), now));
            }
        }
        self.deliver();
    }

    fn deliver(&mut self) {
        while let Some(output) = self.switchboard.poll() {
            match output {
                Output::Send { to, text } => self.send(to, text),
                Output::PassOn { from, to, text } => self.pass_on(from, to, text),
                Output::Welcome { to, name, resume } => {
                    let reply = LoginReply {
                        resume: Some(resume),
                        tokens: self.verifier.has_users(),
                        ..self.handout.reply(clock::wall(), &name)
                    };
                    self.send(to, Message::LoginReply(reply).to_json());
                }
                Output::Verify { id, name, token, is_known } => {
                    self.verifier.start(Shown { id, name, token, is_known });
                }
                Output::Close { id, reason } => self.close(id, reason.into()),
            }
        }
    }

    /// Our own words. Who does not read even those is closed.
    fn send(&mut self, to: ConnectionId, text: String) {
        let entry = Entry { reader: to, payer: Payer::Server, bytes: text.len() };
        self.make_room(entry);
        let Some(reader) = self.readers.get(&to) else { return };
        if !reader.link.push(&self.ledger, entry, text) {
            self.turn_out(to, CloseFor::TOO_SLOW, Refused::TooSlow);
        }
    }

    /// Somebody's words for somebody else, who is not to suffer from them.
    fn pass_on(&mut self, from: ConnectionId, to: ConnectionId, text: String) {
        let Some(sender) = self.readers.get(&from) else { return };
        let payer = Payer::Sender(sender.source);
        let entry = Entry { reader: to, payer, bytes: text.len() };
        self.make_room(entry);
        let Some(reader) = self.readers.get(&to) else { return };
        if !reader.link.push(&self.ledger, entry, text) {
            self.not_read(from, to);
        }
    }

    /// Where all queues together are full, those readers go for whom most waits.
    fn make_room(&mut self, entry: Entry) {
        let in_the_way = || {
            let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
            ledger.in_the_way(entry)
        };
        let Some(most) = in_the_way() else { return };
        self.turn_out(most, CloseFor::TOO_SLOW, Refused::TooSlow);
    }

    fn not_read(&mut self, from: ConnectionId, to: ConnectionId) {
        let Some(sender) = self.readers.get_mut(&from) else { return };
        if !sender.patience.take(clock::now()) {
            return self.turn_out(from, CloseFor::NOT_READ, Refused::NotRead);
        }
        sender.link.slow_down();
        self.switchboard.counts().refuse(Refused::NotRead);
        let name = self.switchboard.name_of(to).map(str::to_owned);
        let message =
            "more waits for them than they read; this message was not passed on".to_owned();
        let code = Some("not-read".to_owned());
        self.send(from, Message::Error { code, name, message }.to_json());
    }

    fn turn_out(&mut self, id: ConnectionId, why: CloseFor, refused: Refused) {
        self.close(id, why);
        self.switchboard.counts().refuse(refused);
        self.switchboard.handle(clock::now(), Input::Closed { id, end: End::Lost });
    }

    fn close(&mut self, id: ConnectionId, why: CloseFor) {
        if let Some(reader) = self.readers.remove(&id) {
            tracing::debug!(connection = id.0, why.reason, "closing a connection");
            reader.link.close(why);
            // What waits is dropped with the queue, in a moment.
            self.ledger.lock().unwrap_or_else(PoisonError::into_inner).write_off(id);
        }
    }
}
