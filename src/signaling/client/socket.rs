//! One connection to a server, as far as the login: the reply, messages in and texts out. It has
//! no patience beyond its time limits and comes back never; how to get there knows `dial.rs`.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message as Frame};

use super::dial::{Dialer, Stream};
use super::{ClientOptions, ConnectError};
use crate::clock;
use crate::ice::IceServer;
use crate::secret::Secret;
use crate::signaling::message::{LoginRefusal, LoginReply, MAX_MESSAGE_FROM_SERVER, Message};
use crate::system;

/// However soon a server says that what it handed out runs out.
const ASK_AGAIN_AT_LEAST: Duration = Duration::from_secs(1);

pub(super) struct Socket {
    frames: WebSocketStream<Stream>,
    /// Our end, where it is known.
    local: Option<IpAddr>,
}

/// What came.
pub(super) enum Received {
    Message(Message),
    /// A sign of life that says nothing to us: a pong, a greeting, an unknown type.
    Noise,
    /// The connection is over; in the server's words, where it has any.
    Gone(String),
}

impl Socket {
    /// Connects and logs in, each within `options.timeout`.
    pub(super) async fn login(
        dialer: &Dialer,
        name: &str,
        options: &ClientOptions,
        resume: Option<Secret>,
    ) -> Result<(Self, Welcome), ConnectError> {
        let (url, limit) = (dialer.url(), options.timeout);
        let (frames, local) = clock::timeout(limit, dialer.dial()).await.unwrap_or_else(|| {
            Err(dialer.unreachable(format!("no answer within {} s", limit.as_secs())))
        })?;
        let mut socket = Self { frames, local };
        let token = options.token.clone();
        let login = Message::Login { name: name.to_owned(), token, resume }.to_json();
        let reply = clock::timeout(limit, async {
            socket.send(login).await.map_err(|error| dialer.unreachable(broken(&error)))?;
            socket.login_reply(url, name).await
        });
        let welcome = reply
            .await
            .unwrap_or_else(|| Err(ConnectError::Timeout { url: url.to_owned(), after: limit }))?;
        Ok((socket, welcome))
    }

    async fn login_reply(&mut self, url: &str, name: &str) -> Result<Welcome, ConnectError> {
        loop {
            let reason = match self.receive().await {
                Received::Message(Message::LoginReply(reply)) if reply.success => {
                    return Ok(Welcome::of(reply));
                }
                Received::Message(Message::LoginReply(reply)) => {
                    return Err(refused(reply, url, name));
                }
                Received::Message(Message::Error { message, .. }) => message,
                Received::Gone(reason) => reason,
                Received::Message(_) | Received::Noise => continue,
            };
            return Err(ConnectError::Refused { url: url.to_owned(), reason });
        }
    }

    /// The next thing from the server. Nothing is lost when this is dropped half-way.
    pub(super) async fn receive(&mut self) -> Received {
        match self.frames.next().await {
            Some(Ok(Frame::Text(text))) => read(text.as_str()),
            Some(Ok(Frame::Binary(bytes))) => read(&String::from_utf8_lossy(&bytes)),
            Some(Ok(Frame::Close(frame))) => Received::Gone(goodbye(frame)),
            Some(Ok(_)) => Received::Noise,
            Some(Err(error)) => Received::Gone(broken(&error)),
            None => Received::Gone("the connection was closed".to_owned()),
        }
    }

    /// Whether it comes from an address that this machine does not have any more.
    pub(super) fn is_orphaned(&self, addresses: &[IpAddr]) -> bool {
        self.local.is_some_and(|local| !local.is_loopback() && !addresses.contains(&local))
    }

    pub(super) async fn send(&mut self, text: String) -> Result<(), Error> {
        self.frames.send(Frame::text(text)).await
    }

    pub(super) async fn ping(&mut self) -> Result<(), Error> {
        self.frames.send(Frame::Ping(Vec::new().into())).await
    }

    /// Says goodbye and waits for the answer.
    pub(super) async fn close(mut self) {
        if self.frames.close(None).await.is_ok() {
            while let Some(Ok(_)) = self.frames.next().await {}
        }
    }
}

/// What the server says when the name is ours.
pub(super) struct Welcome {
    pub(super) ice_servers: Vec<IceServer>,
    /// After how long we should ask again.
    pub(super) ask_again_in: Option<Duration>,
    /// With what we get the name back when the connection is lost.
    pub(super) resume: Option<Secret>,
    /// Whether names have tokens.
    pub(super) tokens: bool,
}

impl Welcome {
    pub(super) fn of(reply: LoginReply) -> Self {
        // At half-time, so that a call that begins then has some time left. From a server, so that
        // it may be anything.
        let half = |seconds: u32| (Duration::from_secs(seconds.into()) / 2).max(ASK_AGAIN_AT_LEAST);
        let ask_again_in = reply.ice_servers_ttl.map(half);
        let LoginReply { ice_servers, resume, tokens, .. } = reply;
        Self { ice_servers, ask_again_in, resume, tokens }
    }
}

fn refused(reply: LoginReply, url: &str, name: &str) -> ConnectError {
    let (url, name) = (url.to_owned(), name.to_owned());
    match reply.refusal() {
        Some(LoginRefusal::NameTaken) => ConnectError::NameTaken { name },
        Some(LoginRefusal::TokenNeeded) => ConnectError::TokenNeeded { name },
        Some(LoginRefusal::WrongToken) => ConnectError::WrongToken { name },
        Some(LoginRefusal::TooManyTries) => ConnectError::TooManyTries { url },
        Some(LoginRefusal::BadName) | None => {
            let reason = reply.message.or(reply.code).unwrap_or_default();
            ConnectError::Refused { url, reason }
        }
    }
}

/// Some servers greet in plain text, and all have types of their own.
fn read(text: &str) -> Received {
    match Message::parse_within(text, MAX_MESSAGE_FROM_SERVER) {
        Ok(Message::Unknown { kind }) => {
            tracing::debug!(kind, "the server sent a type that we do not know");
            Received::Noise
        }
        Ok(message) => Received::Message(message),
        Err(error) => {
            tracing::debug!(%error, "the server sent something that is no message");
            Received::Noise
        }
    }
}

/// The library's words go to the log.
fn broken(error: &Error) -> String {
    tracing::info!(%error, "the connection to the server broke");
    match error {
        Error::Io(error) => format!("the connection broke: {}", system::words(error)),
        _ => "the connection broke".to_owned(),
    }
}

fn goodbye(frame: Option<CloseFrame>) -> String {
    match frame {
        Some(frame) if !frame.reason.is_empty() => frame.reason.as_str().to_owned(),
        _ => "the server closed the connection".to_owned(),
    }
}
