//! The task that keeps a login: passes messages both ways, notices a dead server, and
//! gets back. When to try again and when to give up is decided in `reconnect.rs`.

use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::dial::Dialer;
use super::socket::{Received, Socket, Welcome};
use super::{ClientEvent, ClientOptions, ConnectError};
use crate::clock;
use crate::signaling::message::Message;
use crate::signaling::reconnect::{Failure, Next, Reconnect};

/// How long the server has to take what is queued, and again to answer the goodbye.
const GOODBYE: Duration = Duration::from_millis(500);
/// Pings without any sign of life.
const MISSED: u32 = 2;

pub(super) struct Keeper {
    dialer: Dialer,
    name: String,
    options: ClientOptions,
    queue: mpsc::Receiver<String>,
    events: mpsc::Sender<ClientEvent>,
    /// Was about to go out when the connection broke.
    unsent: Option<String>,
    reconnect: Reconnect,
    /// When what the server handed out is to be renewed.
    ask_again_at: Option<Instant>,
}

/// Nobody listens to our events any more.
struct Abandoned;

impl Keeper {
    pub(super) fn new(
        dialer: Dialer,
        name: &str,
        options: ClientOptions,
        queue: mpsc::Receiver<String>,
        events: mpsc::Sender<ClientEvent>,
    ) -> Self {
        Self {
            dialer,
            name: name.to_owned(),
            options,
            queue,
            events,
            unsent: None,
            reconnect: Reconnect::default(),
            ask_again_at: None,
        }
    }

    /// Keeps the login until `close` is sent or dropped, nobody listens, or it is lost.
    pub(super) async fn run(
        mut self,
        socket: Socket,
        welcome: Welcome,
        close: oneshot::Receiver<()>,
    ) {
        let mut socket = Some(socket);
        tokio::select! {
            _ = close => {}
            _ = self.keep(&mut socket, welcome) => {}
        }
        if let Some(socket) = socket {
            self.goodbye(socket).await;
        }
    }

    /// `socket` is empty while there is no connection.
    async fn keep(
        &mut self,
        socket: &mut Option<Socket>,
        mut welcome: Welcome,
    ) -> Result<(), Abandoned> {
        loop {
            self.reconnect.logged_in(clock::now());
            self.ask_again_at = welcome.ask_again_in.map(|pause| clock::now() + pause);
            let ice_servers = welcome.ice_servers;
            self.tell(ClientEvent::LoggedIn { ice_servers }).await?;
            if let Some(socket) = socket {
                let reason = self.pass(socket).await?;
                tracing::info!(reason, "lost the signaling server");
            }
            *socket = None;
            match self.come_back().await? {
                Ok((back, again)) => (*socket, welcome) = (Some(back), again),
                Err(error) => return self.tell(ClientEvent::Lost { error }).await,
            }
        }
    }

    /// Passes messages until the connection is lost; returns why it was.
    async fn pass(&mut self, socket: &mut Socket) -> Result<String, Abandoned> {
        let mut missed = 0;
        let mut due = clock::now() + self.options.ping_every;
        loop {
            if let Some(text) = self.unsent.clone() {
                match clock::timeout(self.options.ping_every * MISSED, socket.send(text)).await {
                    Some(Ok(())) => self.unsent = None,
                    Some(Err(error)) => return Ok(error.to_string()),
                    None => return Ok("the server takes nothing any more".to_owned()),
                }
            }
            let next = async {
                tokio::select! {
                    received = socket.receive() => Some(received),
                    queued = self.queue.recv() => { self.unsent = queued; None }
                }
            };
            let wake = self.ask_again_at.map_or(due, |at| at.min(due));
            match clock::timeout(wake.saturating_duration_since(clock::now()), next).await {
                Some(None) => {}
                Some(Some(Received::Gone(reason))) => return Ok(reason),
                Some(Some(received)) => {
                    missed = 0;
                    due = clock::now() + self.options.ping_every;
                    self.hear(received).await?;
                }
                None if clock::now() < due => self.ask_again(),
                None if missed >= MISSED => return Ok("the server is silent".to_owned()),
                None => {
                    missed += 1;
                    due = clock::now() + self.options.ping_every;
                    if let Some(Err(error)) =
                        clock::timeout(self.options.ping_every, socket.ping()).await
                    {
                        return Ok(error.to_string());
                    }
                }
            }
        }
    }

    /// A login that is repeated gets what is handed out anew; the answer says when to ask again.
    fn ask_again(&mut self) {
        let (name, token) = (self.name.clone(), self.options.token.clone());
        // The queue is looked at after what is unsent, and nothing is: the loop has just waited.
        self.unsent = Some(Message::Login { name, token }.to_json());
        self.ask_again_at = None;
    }

    async fn hear(&mut self, received: Received) -> Result<(), Abandoned> {
        match received {
            Received::Message(Message::LoginReply(reply)) if reply.success => {
                let Welcome { ice_servers, ask_again_in } = Welcome::of(reply);
                self.ask_again_at = ask_again_in.map(|pause| clock::now() + pause);
                self.tell(ClientEvent::IceServers { ice_servers }).await
            }
            Received::Message(Message::Login { .. } | Message::LoginReply(_))
            | Received::Noise
            | Received::Gone(_) => Ok(()),
            Received::Message(message) => self.tell(ClientEvent::Message(message)).await,
        }
    }

    /// Tries until it is logged in again, or until that is hopeless.
    async fn come_back(&mut self) -> Result<Result<(Socket, Welcome), ConnectError>, Abandoned> {
        let mut retry_in = self.reconnect.lost(clock::now(), rand::random());
        loop {
            self.tell(ClientEvent::Reconnecting { retry_in }).await?;
            clock::until(Some(clock::now() + retry_in)).await;
            let attempt = Socket::login(&self.dialer, &self.name, &self.options).await;
            let error = match attempt {
                Ok(back) => return Ok(Ok(back)),
                Err(error) => error,
            };
            tracing::debug!(%error, "could not get back to the signaling server");
            let failure = match error {
                ConnectError::NameTaken { .. } => Failure::NameTaken,
                ConnectError::TokenNeeded { .. } | ConnectError::WrongToken { .. } => {
                    Failure::Unwelcome
                }
                _ => Failure::Other,
            };
            match self.reconnect.failed(clock::now(), failure, rand::random()) {
                Next::Retry(pause) => retry_in = pause,
                Next::GiveUp => return Ok(Err(error)),
            }
        }
    }

    /// What was queued before the goodbye, such as a `leave`, still goes out.
    async fn goodbye(mut self, mut socket: Socket) {
        let flushed = clock::timeout(GOODBYE, async {
            while let Ok(text) = self.queue.try_recv() {
                socket.send(text).await?;
            }
            Ok::<(), tokio_tungstenite::tungstenite::Error>(())
        });
        if let Some(Ok(())) = flushed.await {
            let _ = clock::timeout(GOODBYE, socket.close()).await;
        }
    }

    async fn tell(&self, event: ClientEvent) -> Result<(), Abandoned> {
        self.events.send(event).await.map_err(|_| Abandoned)
    }
}
