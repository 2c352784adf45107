//! The task that keeps a login: passes messages both ways, notices a dead server, and
//! gets back. When to try again and when to give up is decided in `reconnect.rs`.

use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use super::dial::Dialer;
use super::outbox::{Outbox, Words};
use super::pulse::{Beat, Pulse};
use super::socket::{Received, Socket, Welcome};
use super::{ClientEvent, ClientOptions, ConnectError, Nudge};
use crate::clock;
use crate::secret::Secret;
use crate::signaling::message::Message;
use crate::signaling::reconnect::{Failure, Next as Reconnecting, Reconnect};

/// How long the server has to take what is queued, and again to answer the goodbye.
const GOODBYE: Duration = Duration::from_millis(500);
/// How long an attempt to come back may take for each of its two halves, at most.
const ATTEMPT: Duration = Duration::from_secs(5);

pub(super) struct Keeper {
    dialer: Dialer,
    name: String,
    options: ClientOptions,
    queue: mpsc::Receiver<Words>,
    nudges: mpsc::Receiver<Nudge>,
    /// Whether something hangs on the server.
    attention: watch::Receiver<bool>,
    events: mpsc::Sender<ClientEvent>,
    outbox: Outbox,
    /// Was about to go out when the connection broke.
    unsent: Option<String>,
    reconnect: Reconnect,
    /// When what the server handed out is to be renewed.
    ask_again_at: Option<Instant>,
    /// With what the server gives us our name back.
    resume: Option<Secret>,
}

/// What there is to do on a connection.
enum Next {
    Received(Received),
    Queued(Option<Words>),
    Nudged(Option<Nudge>),
    /// More or less of it is wanted.
    Attention,
}

/// What the owner of a login says, looks after, and wants watched.
pub(super) type Orders = (mpsc::Receiver<Words>, mpsc::Receiver<Nudge>, watch::Receiver<bool>);

/// Nobody listens to our events any more.
struct Abandoned;

impl Keeper {
    pub(super) fn new(
        dialer: Dialer,
        name: &str,
        options: ClientOptions,
        (queue, nudges, attention): Orders,
        events: mpsc::Sender<ClientEvent>,
    ) -> Self {
        Self {
            dialer,
            name: name.to_owned(),
            options,
            queue,
            nudges,
            attention,
            events,
            outbox: Outbox::new(clock::now()),
            unsent: None,
            reconnect: Reconnect::default(),
            ask_again_at: None,
            resume: None,
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
            self.resume.clone_from(&welcome.resume);
            let Welcome { ice_servers, tokens, resume, .. } = welcome;
            self.tell(ClientEvent::LoggedIn { ice_servers, tokens, resume }).await?;
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
        let mut pulse = Pulse::new(clock::now(), &self.options);
        loop {
            if self.unsent.is_none() {
                self.unsent = self.outbox.poll(clock::now());
            }
            if let Some(text) = self.unsent.clone() {
                match clock::timeout(self.options.patience, socket.send(text)).await {
                    Some(Ok(())) => self.unsent = None,
                    Some(Err(error)) => return Ok(error.to_string()),
                    None => return Ok("the server takes nothing any more".to_owned()),
                }
            }
            pulse.attend(*self.attention.borrow_and_update());
            let timers = [self.ask_again_at, self.outbox.deadline()];
            let wake = timers.into_iter().flatten().fold(pulse.deadline(), Instant::min);
            let wait = wake.saturating_duration_since(clock::now());
            let beat = match clock::timeout(wait, self.next(socket)).await {
                Some(Next::Queued(queued)) => {
                    queued.into_iter().for_each(|words| self.outbox.put(words));
                    None
                }
                Some(Next::Received(Received::Gone(reason))) => return Ok(reason),
                Some(Next::Received(received)) => {
                    pulse.heard(clock::now());
                    self.hear(received).await?;
                    None
                }
                Some(Next::Nudged(Some(Nudge::Addresses(addresses)))) => {
                    self.reconnect.hurry(clock::now());
                    if socket.is_orphaned(&addresses) {
                        return Ok("our address is gone".to_owned());
                    }
                    pulse.doubt(clock::now())
                }
                Some(Next::Nudged(Some(Nudge::Check))) => pulse.doubt(clock::now()),
                Some(Next::Nudged(None)) => return Err(Abandoned),
                Some(Next::Attention) => None,
                None if self.ask_again_at.is_some_and(|at| at <= clock::now()) => {
                    self.ask_again();
                    None
                }
                // Unless it is the outbox's time.
                None => pulse.beat(clock::now()),
            };
            match beat {
                Some(Beat::Dead) => return Ok("the server is silent".to_owned()),
                Some(Beat::Ping) => {
                    let patience = pulse.deadline().saturating_duration_since(clock::now());
                    if let Some(Err(error)) = clock::timeout(patience, socket.ping()).await {
                        return Ok(error.to_string());
                    }
                }
                None => {}
            }
        }
    }

    async fn next(&mut self, socket: &mut Socket) -> Next {
        let has_room = self.outbox.has_room();
        tokio::select! {
            received = socket.receive() => Next::Received(received),
            queued = self.queue.recv(), if has_room => Next::Queued(queued),
            nudge = self.nudges.recv() => Next::Nudged(nudge),
            Ok(()) = self.attention.changed() => Next::Attention,
        }
    }

    /// A login that is repeated gets what is handed out anew; the answer says when to ask again.
    fn ask_again(&mut self) {
        let (name, token) = (self.name.clone(), self.options.token.clone());
        // The outbox is looked at after what is unsent, and nothing is: the loop has just waited.
        self.unsent = Some(Message::Login { name, token, resume: None }.to_json());
        self.ask_again_at = None;
    }

    async fn hear(&mut self, received: Received) -> Result<(), Abandoned> {
        match received {
            Received::Message(Message::LoginReply(reply)) if reply.success => {
                let Welcome { ice_servers, ask_again_in, resume, .. } = Welcome::of(reply);
                self.resume = resume.or(self.resume.take());
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
            let error = match self.attempt_after(retry_in).await? {
                Some(Ok(back)) => return Ok(Ok(back)),
                Some(Err(error)) => error,
                None => {
                    // What was under way may have left from an address that is gone.
                    self.reconnect.hurry(clock::now());
                    retry_in = Duration::ZERO;
                    continue;
                }
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
                Reconnecting::Retry(pause) => retry_in = pause,
                Reconnecting::GiveUp => return Ok(Err(error)),
            }
        }
    }

    /// One attempt; `None` when the addresses changed before it had an end.
    async fn attempt_after(
        &mut self,
        pause: Duration,
    ) -> Result<Option<Result<(Socket, Welcome), ConnectError>>, Abandoned> {
        let timeout = self.options.timeout.min(ATTEMPT);
        let options = ClientOptions { timeout, ..self.options.clone() };
        let attempt = async {
            clock::until(Some(clock::now() + pause)).await;
            let resume = self.resume.clone().or_else(|| Some(Secret::new("")));
            Socket::login(&self.dialer, &self.name, &options, resume).await
        };
        tokio::pin!(attempt);
        loop {
            tokio::select! {
                result = &mut attempt => return Ok(Some(result)),
                nudge = self.nudges.recv() => match nudge {
                    Some(Nudge::Addresses(_)) => return Ok(None),
                    Some(Nudge::Check) => {}
                    None => return Err(Abandoned),
                }
            }
        }
    }

    /// What was queued before the goodbye, such as a `leave`, still goes out.
    async fn goodbye(mut self, mut socket: Socket) {
        let flushed = clock::timeout(GOODBYE, async {
            while let Ok(words) = self.queue.try_recv() {
                self.outbox.put(words);
            }
            while let Some(text) = self.outbox.pop() {
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
