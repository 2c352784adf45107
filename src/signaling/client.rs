//! A login on a signaling server that outlives its connection.
//!
//! Owns the handle and its vocabulary; a task in `client/keeper.rs` holds the connection.
//! Knows nothing of calls: what is queued while the server is away goes out on return.

mod dial;
mod keeper;
mod outbox;
mod pulse;
mod socket;
pub mod trust;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::message::{LeaveReason, MAX_MESSAGE, Message};
use super::name::{NameError, check_name};
use crate::ice::IceServer;
use crate::secret::Secret;
use dial::Dialer;
use keeper::Keeper;
use outbox::Words;
use socket::Socket;
use trust::Trust;

/// Messages that wait for the server, and events that wait for the owner.
const QUEUE: usize = 256;

/// Nudges that wait; one says as much as many.
const NUDGES: usize = 4;

/// A login. Dropped, it logs out in the background.
#[derive(Debug)]
pub struct Client {
    queue: mpsc::Sender<Words>,
    nudges: mpsc::Sender<Nudge>,
    attention: watch::Sender<bool>,
    close: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// What happens to a login.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientEvent {
    /// The server took our name, for the first time or again.
    LoggedIn {
        /// What the server wants us to use; empty on foreign servers.
        ice_servers: Vec<IceServer>,
        /// Whether names have tokens there; foreign servers say nothing, and have none.
        tokens: bool,
        /// What gives us the name back, should we crash: for the [`ClientOptions::resume`] of the next
        /// program. Foreign servers give none.
        resume: Option<Secret>,
    },
    /// The server wants us to use others from now on: what it handed out before runs out.
    IceServers {
        /// In place of those of the login.
        ice_servers: Vec<IceServer>,
    },
    /// Somebody, or the server, tells us something. Never a login, a reply to one, or an
    /// unknown type.
    Message(Message),
    /// The server is gone; what is sent meanwhile is queued.
    Reconnecting {
        /// The pause before the next attempt.
        retry_in: Duration,
    },
    /// We will not get back; the last event.
    Lost {
        /// Why.
        error: ConnectError,
    },
}

/// A reason to look after the connection at once.
#[derive(Debug, Clone)]
enum Nudge {
    /// Something else went wrong on the network.
    Check,
    /// The addresses of this machine have changed, to these.
    Addresses(Arc<[IpAddr]>),
}

/// Why there is no login.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// Not a URL that we can use.
    #[error("'{url}' is not a server address: {reason}")]
    BadUrl {
        /// As given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Not a name that anybody can have.
    #[error("'{name}' cannot be a name: {reason}")]
    BadName {
        /// As given.
        name: String,
        /// What is wrong with it.
        reason: NameError,
    },
    /// Nobody listens there, or it is no WebSocket.
    #[error("cannot reach {url}: {reason}")]
    Unreachable {
        /// The server's URL.
        url: String,
        /// From the network.
        reason: String,
        /// The address is one of this machine, where no server listens.
        not_running_here: bool,
    },
    /// Something answers there that is no signaling server, or speaks otherwise.
    #[error("{url} is not a server that can be used: {reason}")]
    Unsuitable {
        /// The server's URL.
        url: String,
        /// What it does, and what to write instead.
        reason: String,
    },
    /// It may be another server than the one that was asked for.
    #[error("{url} cannot be trusted: {reason}")]
    Untrusted {
        /// The server's URL.
        url: String,
        /// What is wrong with its certificate, and what to do.
        reason: String,
    },
    /// The file that says whom to trust is no good.
    #[error("cannot take certificates from {}: {reason}", .path.display())]
    BadCa {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Somebody else has the name.
    #[error("the name '{name}' is taken on this server; choose another")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// Names have tokens on this server, and we gave none.
    #[error("this server requires a token for '{name}'")]
    TokenNeeded {
        /// The name.
        name: String,
    },
    /// Our token is not that of the name, or nobody may have the name.
    #[error("wrong token for '{name}'")]
    WrongToken {
        /// The name.
        name: String,
    },
    /// The server has had too many logins from here, or wrong tokens for this name.
    #[error("too many tries at {url}; wait a minute")]
    TooManyTries {
        /// The server's URL.
        url: String,
    },
    /// The server is there but does not answer the login.
    #[error("{url} did not answer the login within {} s", .after.as_secs())]
    Timeout {
        /// The server's URL.
        url: String,
        /// How long we waited.
        after: Duration,
    },
    /// The server is there and does not want us.
    #[error("{url} refused the login: {reason}")]
    Refused {
        /// The server's URL.
        url: String,
        /// In the server's words.
        reason: String,
    },
}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The server has been away for so long that the queue is full.
    #[error("too many messages wait for the server")]
    Full,
    /// The login is over.
    #[error("the login is over")]
    Closed,
    /// Over [`MAX_MESSAGE`]: the server would close the connection.
    #[error("the message has {size} bytes; servers take {MAX_MESSAGE}")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
    },
}

/// What a login has to show, and how patient it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientOptions {
    /// What proves that the name is ours, where the server wants to know.
    pub token: Option<Secret>,
    /// What an earlier login under this name was given, where it did not end in order.
    pub resume: Option<Secret>,
    /// For the connection, and again for the reply to the login.
    pub timeout: Duration,
    /// When the server was silent so long, it is pinged; sooner while something hangs on it.
    pub ping_every: Duration,
    /// How long it has to answer a ping, and to take what we send.
    pub patience: Duration,
    /// For `wss://`: whose word is taken for who the server is.
    pub trust: Trust,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            token: None,
            resume: None,
            timeout: Duration::from_secs(10),
            ping_every: Duration::from_secs(15),
            patience: Duration::from_secs(4),
            trust: Trust::default(),
        }
    }
}

impl Client {
    /// Connects to `url` (`ws://host:port` or `wss://host`), logs in as `name` and stays logged in until
    /// closed. The first event is [`ClientEvent::LoggedIn`].
    ///
    /// # Errors
    /// When the first login fails; later failures are events.
    pub async fn connect(
        url: &str,
        name: &str,
    ) -> Result<(Self, mpsc::Receiver<ClientEvent>), ConnectError> {
        Self::connect_with(url, name, ClientOptions::default()).await
    }

    /// As [`Client::connect`], with options.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn connect_with(
        url: &str,
        name: &str,
        options: ClientOptions,
    ) -> Result<(Self, mpsc::Receiver<ClientEvent>), ConnectError> {
        check_name(name)
            .map_err(|reason| ConnectError::BadName { name: name.to_owned(), reason })?;
        let dialer = Dialer::new(url, options.trust.clone()).await?;
        let resume = options.resume.clone().unwrap_or_else(|| Secret::new(""));
        let (socket, welcome) = Socket::login(&dialer, name, &options, Some(resume)).await?;
        let (queue, queued) = mpsc::channel(QUEUE);
        let (nudges, nudged) = mpsc::channel(NUDGES);
        let (attention, wanted) = watch::channel(false);
        let (events, received) = mpsc::channel(QUEUE);
        let (close, closed) = oneshot::channel();
        let keeper = Keeper::new(dialer, name, options, (queued, nudged, wanted), events);
        let task = tokio::spawn(keeper.run(socket, welcome, closed));
        Ok((Self { queue, nudges, attention, close, task }, received))
    }

    /// Finds out at once whether the server is still there. Never waits; that it is not comes as
    /// [`ClientEvent::Reconnecting`].
    pub fn check(&self) {
        // A full queue means that it is about to be looked at anyway.
        let _ = self.nudges.try_send(Nudge::Check);
    }

    /// Whether something hangs on the server, such as a call that rings or runs: then its silence is
    /// noticed within five seconds, for a few more pings. Never waits.
    pub fn attend(&self, attentive: bool) {
        self.attention.send_if_modified(|before| std::mem::replace(before, attentive) != attentive);
    }

    /// This machine has other addresses now: a connection from one that is gone is given up, any
    /// other is checked, and one that is being sought is sought anew. Never waits.
    pub fn addresses_changed(&self, addresses: Arc<[IpAddr]>) {
        let _ = self.nudges.try_send(Nudge::Addresses(addresses));
    }

    /// Queues a message; never waits. What is sent while the server is away goes out
    /// after the next login, and what is much more than a call has to say at a pace that servers take.
    ///
    /// # Errors
    /// When it is too large, the queue is full or the login is over.
    pub fn send(&self, message: &Message) -> Result<(), SendError> {
        let anew = match message {
            Message::Offer { name, .. } | Message::Answer { name, .. } => name.clone(),
            _ => None,
        };
        let text = message.to_json();
        if text.len() > MAX_MESSAGE {
            return Err(SendError::TooLarge { size: text.len() });
        }
        self.queue(Words::Say { text, anew })
    }

    /// Tells somebody who calls, and with whom there is no call, that there will be none. Behind
    /// everything else that there is to say, and once for as often as he has called meanwhile: whoever
    /// calls without end must not make us say more than the server takes.
    ///
    /// # Errors
    /// When the queue is full or the login is over.
    pub fn refuse(&self, name: String, reason: LeaveReason) -> Result<(), SendError> {
        let leave = Message::Leave { name: Some(name.clone()), reason: Some(reason) };
        self.queue(Words::Refuse { name, text: leave.to_json() })
    }

    fn queue(&self, words: Words) -> Result<(), SendError> {
        self.queue.try_send(words).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SendError::Full,
            mpsc::error::TrySendError::Closed(_) => SendError::Closed,
        })
    }

    /// Sends what is queued, says goodbye and ends, within about a second.
    pub async fn close(self) {
        let Self { queue, nudges, attention, close, task } = self;
        // It may have ended by itself.
        let _ = close.send(());
        let _ = task.await;
        drop((queue, nudges, attention));
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
