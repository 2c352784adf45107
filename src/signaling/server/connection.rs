//! One WebSocket of the server: frames in, queued texts out, and a pulse.
//!
//! Knows no message: text goes to the exchange as it came.

use std::time::{Duration, Instant};

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use futures_util::{FutureExt, SinkExt};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite;

use super::exchange::{self, CloseFor, Event, Queue};
use crate::clock;
use crate::signaling::limiter::Source;
use crate::signaling::switchboard::ConnectionId;
use crate::signaling::token_bucket::TokenBucket;

/// How long the other side has to take our goodbye and to give its own.
const GOODBYE: Duration = Duration::from_secs(1);
/// Pings and pongs a second; nobody needs more, and each costs us an answer.
const CONTROL_PER_SECOND: f64 = 5.0;
const CONTROL_BURST: f64 = 50.0;
/// Messages that are read, or written, before the other direction has its turn.
const BATCH: usize = 64;

/// Serves one connection to its end.
pub(super) async fn run(
    mut socket: WebSocket,
    (id, source): (ConnectionId, Source),
    events: mpsc::Sender<Event>,
    ping_every: Duration,
) {
    let (link, mut inbox) = exchange::link();
    let mut pipe = Pipe { socket: &mut socket, id, events: &events, ping_every };
    let close = if events.send(Event::Connected { id, source, link }).await.is_err() {
        Some(CloseFor::GOING_AWAY)
    } else {
        // The reason is there before the queue ends; looked at first, it is never lost.
        let told = tokio::select! {
            biased;
            why = &mut inbox.close => Err(why),
            why = pipe.run(&mut inbox.queue) => Ok(why),
        };
        match told {
            Ok(why) => {
                if let Some(why) = why.and_then(CloseFor::refusal) {
                    let _ = events.send(Event::Refused { why }).await;
                }
                why
            }
            Err(Ok(why)) => Some(why),
            // The exchange is gone; what it had queued still goes out.
            Err(Err(_)) => {
                pipe.send_rest(&mut inbox.queue).await;
                Some(CloseFor::GOING_AWAY)
            }
        }
    };
    // When the exchange is gone, there is nobody left to tell.
    let _ = events.send(Event::Closed { id }).await;
    let _ = clock::timeout(GOODBYE, goodbye(socket, close)).await;
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
    ping_every: Duration,
}

impl Pipe<'_> {
    /// Returns the reason to give, or `None` when the other side is gone.
    async fn run(&mut self, queue: &mut Queue) -> Option<CloseFor> {
        let mut control = TokenBucket::new(clock::now(), CONTROL_PER_SECOND, CONTROL_BURST);
        let mut pinged = false;
        // Only what is heard counts: what we send may go nowhere.
        let mut due = clock::now() + self.ping_every;
        loop {
            let next = async {
                tokio::select! {
                    received = self.socket.recv() => Next::Received(received),
                    queued = queue.next() => Next::Queued(queued),
                }
            };
            match clock::timeout(due.saturating_duration_since(clock::now()), next).await {
                None if pinged => return None,
                None => {
                    pinged = true;
                    due = clock::now() + self.ping_every;
                    self.send(Message::Ping(axum::body::Bytes::new())).await?;
                }
                Some(Next::Queued(None)) => return Some(CloseFor::GOING_AWAY),
                Some(Next::Queued(Some(text))) => self.send_all(text, queue).await?,
                Some(Next::Received(received)) => {
                    pinged = false;
                    let now = clock::now();
                    due = now + self.ping_every;
                    if let Err(close) = self.receive_all(received, &mut control, now).await {
                        return close;
                    }
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
    ) -> Result<(), Option<CloseFor>> {
        let mut received = first;
        for taken in 1.. {
            let text = match received.ok_or(None)? {
                Ok(Message::Text(text)) => Some(text),
                Ok(Message::Binary(bytes)) => Some(text_of(&bytes)),
                Ok(Message::Close(_)) => return Err(None),
                Ok(Message::Ping(_) | Message::Pong(_)) if control.take(came_at) => None,
                Ok(_) => return Err(Some(CloseFor::TOO_FAST)),
                Err(error) => return Err(unreadable(error)),
            };
            if let Some(text) = text {
                let event = Event::Message { id: self.id, text, came_at };
                self.events.send(event).await.map_err(|_| Some(CloseFor::GOING_AWAY))?;
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

    /// Sends what waits with as few system calls as possible. `None` when it does not get through.
    async fn send_all(&mut self, first: String, queue: &mut Queue) -> Option<()> {
        let sent = async {
            self.socket.feed(Message::Text(first.into())).await?;
            for _ in 1..BATCH {
                let Some(text) = queue.next_at_once() else { break };
                self.socket.feed(Message::Text(text.into())).await?;
            }
            self.socket.flush().await
        };
        clock::timeout(self.ping_every, sent).await?.ok()
    }

    /// Sends what still waits, as far as it gets through.
    async fn send_rest(&mut self, queue: &mut Queue) {
        while let Some(text) = queue.next_at_once() {
            if self.send_all(text, queue).await.is_none() {
                return;
            }
        }
    }

    /// `None` when it does not get through.
    async fn send(&mut self, message: Message) -> Option<()> {
        clock::timeout(self.ping_every, self.socket.send(message)).await?.ok()
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
fn unreadable(error: axum::Error) -> Option<CloseFor> {
    let error = error.into_inner();
    match error.downcast_ref::<tungstenite::Error>()? {
        tungstenite::Error::Capacity(_) => Some(CloseFor::TOO_LARGE),
        tungstenite::Error::Utf8(_) => Some(CloseFor::NOT_TEXT),
        _ => None,
    }
}
