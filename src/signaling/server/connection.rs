//! One WebSocket of the server: frames in, queued texts out, and a pulse.
//!
//! Knows no message: text goes to the exchange as it came.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use futures_util::{FutureExt, SinkExt};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite;

use super::close::CloseFor;
use super::exchange::Event;
use super::queue::{self, Queue, Slowed};
use crate::clock;
use crate::signaling::limiter::Source;
use crate::signaling::switchboard::{ConnectionId, End};
use crate::signaling::token_bucket::TokenBucket;

/// How long the other side has to take our goodbye and to give its own.
const GOODBYE: Duration = Duration::from_secs(1);
/// Pings and pongs a second; nobody needs more, and each costs us an answer.
const CONTROL_PER_SECOND: f64 = 5.0;
const CONTROL_BURST: f64 = 50.0;
/// How long nothing is read of who sends more than is read of him.
const SLOWED: Duration = Duration::from_millis(500);
/// Messages that are read, or written, before the other direction has its turn.
const BATCH: usize = 64;

/// Serves one connection to its end.
pub(super) async fn run(
    mut socket: WebSocket,
    (id, source): (ConnectionId, Source),
    events: mpsc::Sender<Event>,
    ping_every: Duration,
) {
    let (link, mut inbox) = queue::link();
    let slowed = &inbox.slowed;
    let mut pipe = Pipe { socket: &mut socket, id, events: &events, slowed, ping_every };
    let over = if events.send(Event::Connected { id, source, link }).await.is_err() {
        Over::We(CloseFor::GOING_AWAY)
    } else {
        // The reason is there before the queue ends; looked at first, it is never lost.
        let told = tokio::select! {
            biased;
            why = &mut inbox.close => Err(why),
            over = pipe.run(&mut inbox.queue) => Ok(over),
        };
        match told {
            Ok(over) => {
                if let Some(why) = over.reason().and_then(CloseFor::refusal) {
                    let _ = events.send(Event::Refused { why }).await;
                }
                over
            }
            Err(Ok(why)) => Over::We(why),
            // The exchange is gone; what it had queued still goes out.
            Err(Err(_)) => {
                pipe.send_rest(&mut inbox.queue).await;
                Over::We(CloseFor::GOING_AWAY)
            }
        }
    };
    // What waited is counted no more, and need not wait for the goodbye.
    drop(inbox);
    // When the exchange is gone, there is nobody left to tell.
    let _ = events.send(Event::Closed { id, end: over.end() }).await;
    let _ = clock::timeout(GOODBYE, goodbye(socket, over.reason())).await;
}

/// Why a connection is over.
enum Over {
    /// We close it.
    We(CloseFor),
    /// It just is.
    They(End),
}

impl Over {
    /// What we say.
    fn reason(&self) -> Option<CloseFor> {
        match self {
            Self::We(why) => Some(*why),
            Self::They(_) => None,
        }
    }

    fn end(&self) -> End {
        match self {
            Self::We(_) => End::Lost,
            Self::They(end) => *end,
        }
    }
}

/// Says why, and reads on until the other side has closed too: closing with unread
/// data would reset the connection, and the reason would be lost.
async fn goodbye(mut socket: WebSocket, close: Option<CloseFor>) {
    let Some(CloseFor { code, reason }) = close else { return };
    let frame = CloseFrame { code, reason: reason.into() };
    if socket.send(Message::Close(Some(frame))).await.is_ok() {
        while let Some(Ok(_)) = socket.recv().await {}
    }
}

struct Pipe<'a> {
    socket: &'a mut WebSocket,
    id: ConnectionId,
    events: &'a mpsc::Sender<Event>,
    slowed: &'a Slowed,
    ping_every: Duration,
}

impl Pipe<'_> {
    /// Until it is over.
    async fn run(&mut self, queue: &mut Queue) -> Over {
        let ended = self.pass(queue).await;
        ended.map_or_else(|over| over, |never| match never {})
    }

    async fn pass(&mut self, queue: &mut Queue) -> Result<Infallible, Over> {
        let mut control = TokenBucket::new(clock::now(), CONTROL_PER_SECOND, CONTROL_BURST);
        let mut pinged = false;
        // Only what is heard counts: what we send may go nowhere.
        let mut due = clock::now() + self.ping_every;
        let mut read_from = None;
        loop {
            if self.slowed.take() {
                read_from = Some(clock::now() + SLOWED);
            }
            let next = async {
                tokio::select! {
                    received = receive(self.socket, read_from) => Next::Received(received),
                    queued = queue.next() => Next::Queued(queued),
                }
            };
            match clock::timeout(due.saturating_duration_since(clock::now()), next).await {
                None if pinged => return Err(Over::They(End::Lost)),
                None => {
                    pinged = true;
                    due = clock::now() + self.ping_every;
                    let ping = Message::Ping(axum::body::Bytes::new());
                    sent(clock::timeout(self.ping_every, self.socket.send(ping)).await)?;
                }
                Some(Next::Queued(None)) => return Err(Over::We(CloseFor::GOING_AWAY)),
                Some(Next::Queued(Some(text))) => self.send_all(text, queue).await?,
                Some(Next::Received(received)) => {
                    pinged = false;
                    read_from = None;
                    let now = clock::now();
                    due = now + self.ping_every;
                    self.receive_all(received, &mut control, now).await?;
                }
            }
        }
    }

    /// Passes on what came, and what came with it.
    async fn receive_all(
        &mut self,
        first: Option<Result<Message, axum::Error>>,
        control: &mut TokenBucket,
        came_at: Instant,
    ) -> Result<(), Over> {
        let mut received = first;
        for taken in 1.. {
            let text = match received.ok_or(Over::They(End::Dropped))? {
                Ok(Message::Text(text)) => Some(text),
                Ok(Message::Binary(bytes)) => Some(text_of(&bytes)),
                Ok(Message::Close(_)) => return Err(Over::They(End::Goodbye)),
                Ok(Message::Ping(_) | Message::Pong(_)) if control.take(came_at) => None,
                Ok(_) => return Err(Over::We(CloseFor::TOO_FAST)),
                Err(error) => return Err(unreadable(error)),
            };
            if let Some(text) = text {
                let event = Event::Message { id: self.id, text, came_at };
                let passed = self.events.send(event).await;
                passed.map_err(|_| Over::We(CloseFor::GOING_AWAY))?;
            }
            if taken == BATCH {
                break;
            }
            match self.socket.recv().now_or_never() {
                Some(next) => received = next,
                None => break,
            }
        }
        Ok(())
    }

    /// Sends what waits with as few system calls as possible.
    async fn send_all(&mut self, first: String, queue: &mut Queue) -> Result<(), Over> {
        let sending = async {
            self.socket.feed(Message::Text(first.into())).await?;
            for _ in 1..BATCH {
                let Some(text) = queue.next_at_once() else { break };
                self.socket.feed(Message::Text(text.into())).await?;
            }
            self.socket.flush().await
        };
        sent(clock::timeout(self.ping_every, sending).await)
    }

    /// Sends what still waits, as far as it gets through.
    async fn send_rest(&mut self, queue: &mut Queue) {
        while let Some(text) = queue.next_at_once() {
            if self.send_all(text, queue).await.is_err() {
                return;
            }
        }
    }
}

/// What comes, from then on.
async fn receive(
    socket: &mut WebSocket,
    read_from: Option<Instant>,
) -> Option<Result<Message, axum::Error>> {
    if read_from.is_some() {
        clock::until(read_from).await;
    }
    socket.recv().await
}

/// Whether it got through: in time, and at all.
fn sent(sent: Option<Result<(), axum::Error>>) -> Result<(), Over> {
    match sent {
        Some(Ok(())) => Ok(()),
        Some(Err(_)) => Err(Over::They(End::Dropped)),
        None => Err(Over::They(End::Lost)),
    }
}

enum Next {
    Received(Option<Result<Message, axum::Error>>),
    Queued(Option<String>),
}

/// Some clients send their JSON in binary frames.
fn text_of(bytes: &[u8]) -> Utf8Bytes {
    String::from_utf8_lossy(bytes).into_owned().into()
}

/// Of all errors only these leave somebody there to be told.
fn unreadable(error: axum::Error) -> Over {
    let error = error.into_inner();
    match error.downcast_ref::<tungstenite::Error>() {
        Some(tungstenite::Error::Capacity(_)) => Over::We(CloseFor::TOO_LARGE),
        Some(tungstenite::Error::Utf8(_)) => Over::We(CloseFor::NOT_TEXT),
        _ => Over::They(End::Dropped),
    }
}
