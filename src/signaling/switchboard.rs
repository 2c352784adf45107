//! The server's rules as a pure state machine: who is logged in, who gets which
//! message, who is told when somebody goes.
//!
//! Knows connections by number only: no sockets, no queues, no clock of its own. What
//! it says to close is forgotten at once; a later `Closed` for it changes nothing.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Instant;

use super::message::{self, Message, ParseError};
use super::token_bucket::TokenBucket;
use crate::ice::IceServer;

/// A connection to the server; numbers are not used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// What the switchboard allows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Connections at a time.
    pub connections: usize,
    /// Messages a second of one connection, in the long run.
    pub messages_per_second: f64,
    /// Messages that may come at once after a pause: a browser sends its candidates in bursts.
    pub message_burst: f64,
    /// Bytes a second of one connection, in the long run.
    pub bytes_per_second: f64,
    /// Bytes that may come at once after a pause. Less than waits for a slow reader, so that nobody
    /// can fill another's queue before he reads.
    pub byte_burst: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1000,
            messages_per_second: 50.0,
            message_burst: 200.0,
            bytes_per_second: 32_768.0,
            byte_burst: 262_144.0,
        }
    }
}

/// What happens at the sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Somebody is there.
    Connected {
        /// Their number.
        id: ConnectionId,
    },
    /// A text came.
    Message {
        /// From whom.
        id: ConnectionId,
        /// As it came.
        text: String,
    },
    /// Somebody is gone.
    Closed {
        /// Their number.
        id: ConnectionId,
    },
}

/// What is to be done at the sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a text.
    Send {
        /// To whom.
        to: ConnectionId,
        /// JSON.
        text: String,
    },
    /// Close the socket.
    Close {
        /// Whose.
        id: ConnectionId,
        /// Why.
        reason: CloseReason,
    },
}

/// Why the switchboard closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// There are [`Limits::connections`] already.
    Full,
    /// Too many messages, or too many bytes.
    TooFast,
    /// A message over [`message::MAX_MESSAGE`].
    TooLarge,
}

/// The state: connections, names, and who talks with whom.
#[derive(Debug)]
pub struct Switchboard {
    limits: Limits,
    ice_servers: Vec<IceServer>,
    connections: HashMap<ConnectionId, Connection>,
    names: HashMap<String, ConnectionId>,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
struct Connection {
    name: Option<String>,
    /// Whom an offer went to or came from, until one of the two leaves.
    partners: BTreeSet<ConnectionId>,
    messages: TokenBucket,
    bytes: TokenBucket,
}

impl Switchboard {
    /// An empty one. `ice_servers` go out with each login.
    #[must_use]
    pub fn new(limits: Limits, ice_servers: Vec<IceServer>) -> Self {
        Self {
            limits,
            ice_servers,
            connections: HashMap::new(),
            names: HashMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes what happened; drain [`Switchboard::poll`] after it.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Connected { id } => self.connected(now, id),
            Input::Message { id, text } => self.message(now, id, &text),
            Input::Closed { id } => self.forget(id),
        }
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn connected(&mut self, now: Instant, id: ConnectionId) {
        if self.connections.len() >= self.limits.connections {
            self.outputs.push_back(Output::Close { id, reason: CloseReason::Full });
            return;
        }
        let Limits { messages_per_second, message_burst, bytes_per_second, byte_burst, .. } =
            self.limits;
        let connection = Connection {
            name: None,
            partners: BTreeSet::new(),
            messages: TokenBucket::new(now, messages_per_second, message_burst),
            bytes: TokenBucket::new(now, bytes_per_second, byte_burst),
        };
        self.connections.insert(id, connection);
    }

    fn message(&mut self, now: Instant, id: ConnectionId, text: &str) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let bytes = text.len() as f64;
        if !connection.messages.take(now) || !connection.bytes.take_many(now, bytes) {
            return self.close(id, CloseReason::TooFast);
        }
        let message = match Message::parse(text) {
            Ok(message) => message,
            Err(ParseError::TooLarge { .. }) => return self.close(id, CloseReason::TooLarge),
            Err(error) => return self.refuse(id, text, &error),
        };
        match message {
            Message::Login { name } => self.login(id, name),
            Message::LoginReply { .. } => {
                self.complain(id, "invalid-message", "a login needs a name");
            }
            Message::Offer { name, .. } => self.forward(id, Kind::Offer, name, text),
            Message::Answer { name, .. } | Message::Candidate { name, .. } => {
                self.forward(id, Kind::Other, name, text);
            }
            Message::Leave { name, .. } => self.forward(id, Kind::Leave, name, text),
            Message::Error { .. } => self.not_found(id, "error"),
            Message::Unknown { kind } => self.not_found(id, &kind),
        }
    }

    /// A login with an impossible name gets its `success: false`, which every page understands.
    fn refuse(&mut self, id: ConnectionId, text: &str, error: &ParseError) {
        self.complain(id, "invalid-message", &error.to_string());
        let named = matches!(error, ParseError::Name(_));
        if named && message::kind_of(text).as_deref() == Some("login") {
            self.reply(id, false);
        }
    }

    fn login(&mut self, id: ConnectionId, name: String) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if let Some(held) = &connection.name {
            if *held == name {
                return self.reply(id, true);
            }
            let text = format!("already logged in as {held}; connect again to change the name");
            return self.complain(id, "already-logged-in", &text);
        }
        if self.names.contains_key(&name) {
            return self.reply(id, false);
        }
        connection.name = Some(name.clone());
        self.names.insert(name, id);
        self.reply(id, true);
    }

    fn forward(&mut self, id: ConnectionId, kind: Kind, target: Option<String>, text: &str) {
        let Some(sender) = self.connections.get(&id).and_then(|from| from.name.clone()) else {
            return self.complain(id, "not-logged-in", "log in first");
        };
        // The text was parsed before, so that this cannot fail.
        let Ok(text) = message::forwarded(text, &sender) else { return };
        let Some(target) = target else { return self.forward_unnamed(id, kind, &text) };
        match self.names.get(&target).copied().filter(|to| *to != id) {
            Some(to) => {
                match kind {
                    Kind::Offer => self.pair(id, to),
                    Kind::Leave => self.part(id, to),
                    Kind::Other => {}
                }
                self.outputs.push_back(Output::Send { to, text });
            }
            None if kind == Kind::Offer => self.unknown_user(id, target),
            None => {}
        }
    }

    /// Without a target a `leave` ends every call of the sender; an offer is a mistake.
    fn forward_unnamed(&mut self, id: ConnectionId, kind: Kind, text: &str) {
        match kind {
            Kind::Offer => self.complain(id, "invalid-message", "an offer needs a name"),
            Kind::Leave => {
                let partners = self.connections.get(&id).map(|from| from.partners.clone());
                for to in partners.unwrap_or_default() {
                    self.part(id, to);
                    self.outputs.push_back(Output::Send { to, text: text.to_owned() });
                }
            }
            Kind::Other => {}
        }
    }

    fn pair(&mut self, a: ConnectionId, b: ConnectionId) {
        for (one, other) in [(a, b), (b, a)] {
            if let Some(connection) = self.connections.get_mut(&one) {
                connection.partners.insert(other);
            }
        }
    }

    fn part(&mut self, a: ConnectionId, b: ConnectionId) {
        for (one, other) in [(a, b), (b, a)] {
            if let Some(connection) = self.connections.get_mut(&one) {
                connection.partners.remove(&other);
            }
        }
    }

    fn close(&mut self, id: ConnectionId, reason: CloseReason) {
        self.outputs.push_back(Output::Close { id, reason });
        self.forget(id);
    }

    /// Logs out, and tells everybody it was talking with.
    fn forget(&mut self, id: ConnectionId) {
        let Some(gone) = self.connections.remove(&id) else { return };
        let Some(name) = gone.name else { return };
        self.names.remove(&name);
        let text = Message::Leave { name: Some(name), reason: None }.to_json();
        for to in gone.partners {
            self.part(id, to);
            self.outputs.push_back(Output::Send { to, text: text.clone() });
        }
    }

    fn reply(&mut self, to: ConnectionId, success: bool) {
        let ice_servers = if success { self.ice_servers.clone() } else { Vec::new() };
        self.send(to, &Message::LoginReply { success, ice_servers });
    }

    fn unknown_user(&mut self, to: ConnectionId, name: String) {
        let message = format!("there is nobody to call under the name {name}");
        self.send(
            to,
            &Message::Error { code: Some("unknown-user".to_owned()), name: Some(name), message },
        );
    }

    fn not_found(&mut self, to: ConnectionId, kind: &str) {
        let kind: String = kind.chars().take(message::MAX_NAME).collect();
        let message = format!("Command not found: {kind}");
        self.send(to, &Message::Error { code: None, name: None, message });
    }

    fn complain(&mut self, to: ConnectionId, code: &str, text: &str) {
        let code = Some(code.to_owned());
        self.send(to, &Message::Error { code, name: None, message: text.to_owned() });
    }

    fn send(&mut self, to: ConnectionId, message: &Message) {
        self.outputs.push_back(Output::Send { to, text: message.to_json() });
    }
}

/// What a forwarded message does to the pairs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Offer,
    Leave,
    Other,
}

#[cfg(test)]
#[path = "switchboard_tests.rs"]
mod tests;
