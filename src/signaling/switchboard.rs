//! The server's rules as a pure state machine: who is logged in, who gets which
//! message, who is told when somebody goes.
//!
//! Knows connections by number only: no sockets, no queues, no clock of its own. What
//! it says to close is forgotten at once; a later `Closed` for it changes nothing.

mod forwarding;
mod kept;
mod logins;
mod offers;
mod partners;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use self::kept::Kept;
use self::logins::Logins;
use self::offers::Offers;
use self::partners::Partners;
use super::counts::{Counts, Now, Refused};
use super::envelope::{Envelope, Kind};
use super::limiter::Source;
use super::message::{self, LeaveReason, Message, ParseError};
use super::name::{Looks, MAX_NAME};
use super::token_bucket::TokenBucket;
use crate::secret::Secret;

/// What an offer pays for: so many messages, and so many bytes beside twice its own.
const REPLY_MESSAGES: usize = 16;
const SHORT_REPLY: usize = 1024;
/// Messages and bytes that are paid for at a time, at most.
const MOST_OWED: (usize, usize) = (1024, 512 * 1024);

/// A connection to the server; numbers are not used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// What the switchboard allows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Connections at a time.
    pub connections: usize,
    /// Connections at a time from one address (IPv6: one /64); the sockets see to it.
    pub connections_per_address: usize,
    /// Messages a second of one connection, in the long run.
    pub messages_per_second: f64,
    /// Messages that may come at once after a pause: a browser sends its candidates in bursts.
    pub message_burst: f64,
    /// Bytes a second of one connection, in the long run.
    pub bytes_per_second: f64,
    /// Bytes that may come at once after a pause. Less than waits for a slow reader, so that nobody
    /// can fill another's queue before he reads.
    pub byte_burst: f64,
    /// Bytes of one message.
    pub message_bytes: usize,
    /// Characters of a name; [`MAX_NAME`] at most.
    pub name_chars: usize,
    /// Logins a minute from one address.
    pub logins_per_minute: f64,
    /// Wrong tokens a minute, for one name and from one address.
    pub tries_per_minute: f64,
    /// Offers a minute from one name to another. One address may send a quarter more to one name, a network
    /// twice and all together three times as many, and some more for those who have sent few.
    pub offers_per_minute: f64,
    /// How long a connection may be there without a login.
    pub login_within: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_address: 200,
            messages_per_second: 50.0,
            message_burst: 200.0,
            bytes_per_second: 32_768.0,
            byte_burst: 262_144.0,
            message_bytes: message::MAX_MESSAGE,
            name_chars: MAX_NAME,
            logins_per_minute: 300.0,
            tries_per_minute: 10.0,
            offers_per_minute: 60.0,
            login_within: Duration::from_secs(60),
        }
    }
}

/// Who may have a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Whoever comes first.
    Free,
    /// Whoever has its token.
    WithTokens,
}

/// What happens at the sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input<'a> {
    /// Somebody is there.
    Connected {
        /// Their number.
        id: ConnectionId,
        /// From where.
        source: Source,
    },
    /// A text came.
    Message {
        /// From whom.
        id: ConnectionId,
        /// As it came.
        text: &'a str,
    },
    /// A token was looked at.
    Verified {
        /// Whose login it is.
        id: ConnectionId,
        /// What came of it.
        verdict: Verdict,
    },
    /// Somebody is gone.
    Closed {
        /// Their number.
        id: ConnectionId,
        /// How.
        end: End,
    },
    /// The deadline has come.
    Timeout,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// They said goodbye: the name is free.
    Goodbye,
    /// Their side closed it without a word.
    Dropped,
    /// They fell silent, or we closed it.
    Lost,
}

/// What came of looking at a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the name's.
    Right,
    /// It is not, or nobody has the name.
    Wrong,
    /// There were too many to look at.
    Busy,
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
    /// Send what somebody else wants to be sent.
    PassOn {
        /// Who pays for it.
        from: ConnectionId,
        /// To whom.
        to: ConnectionId,
        /// JSON.
        text: String,
    },
    /// Tell them that the name is theirs, and what they should use. Also after a login that is
    /// repeated: what was handed out may have run out.
    Welcome {
        /// Whom.
        to: ConnectionId,
        /// Their name.
        name: String,
        /// With which they may take it over from a connection that they lost.
        resume: Secret,
    },
    /// Find out whether this is the token of the name, then `Verified`. At most one at a time for
    /// each connection.
    Verify {
        /// Whose login it is.
        id: ConnectionId,
        /// The name.
        name: String,
        /// The token.
        token: Secret,
        /// They come from where the right token came from before: they do not wait behind others.
        is_known: bool,
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
    /// Its client has come back on another connection.
    Resumed,
    /// It did not log in within [`Limits::login_within`].
    NoLogin,
}

/// The state: connections, names, and who talks with whom.
#[derive(Debug)]
pub struct Switchboard {
    limits: Limits,
    logins: Logins,
    connections: HashMap<ConnectionId, Connection>,
    names: HashMap<String, ConnectionId>,
    /// The same by what the names look like.
    looks: HashMap<String, ConnectionId>,
    kept: Kept,
    /// By when who has not logged in has to be; those whose token is being looked at apart.
    to_log_in: BTreeSet<(Instant, ConnectionId)>,
    outputs: VecDeque<Output>,
    counts: Counts,
}

#[derive(Debug)]
struct Connection {
    source: Source,
    /// When it has to be logged in.
    log_in_by: Instant,
    login: Option<Login>,
    /// The login whose token is being looked at.
    verifying: Option<Wanted>,
    /// Whom an offer went to or came from.
    partners: Partners,
    /// With whom it says that it was in a call before this server was there.
    named: Vec<String>,
    /// Who calls this one, and how often; made for the first offer, since most are never called.
    offers: Option<Box<Offers>>,
    /// What the offers that came have paid for.
    owed: Owed,
    messages: TokenBucket,
    bytes: TokenBucket,
}

impl Connection {
    /// Whether a message of so many bytes is within what may come of this one.
    fn may_send(&mut self, now: Instant, bytes: usize) -> bool {
        let is_allowed = self.messages.left(now) >= 1.0 && self.bytes.left(now) >= bytes as f64;
        if is_allowed {
            return self.messages.take(now) && self.bytes.take_many(now, bytes as f64);
        }
        self.owed.take(bytes)
    }
}

/// Replies that others have paid for by calling: nobody is closed for answering them, or for saying no.
#[derive(Debug, Default, Clone, Copy)]
struct Owed {
    messages: usize,
    bytes: usize,
}

impl Owed {
    /// An offer of so many bytes: an answer is about as long, and has candidates.
    fn add(&mut self, offer: usize) {
        self.messages = (self.messages + REPLY_MESSAGES).min(MOST_OWED.0);
        self.bytes = (self.bytes + SHORT_REPLY + 2 * offer).min(MOST_OWED.1);
    }

    fn take(&mut self, bytes: usize) -> bool {
        let is_paid = self.messages > 0 && self.bytes >= bytes;
        if is_paid {
            (self.messages, self.bytes) = (self.messages - 1, self.bytes - bytes);
        }
        is_paid
    }
}

#[derive(Debug)]
struct Login {
    name: String,
    looks: Looks,
    /// As it goes into what is passed on.
    quoted: String,
    /// Who shows this has the name.
    resume: Secret,
    /// Its client knows of that secret, and will show it.
    resumes: bool,
    /// Its client says that it was logged in before, at a server that is no more: it showed a secret
    /// that we do not know. Until then it may say with whom it was in a call.
    returned_until: Option<Instant>,
}

impl Login {
    /// Whether this is its secret.
    fn is_shown(&self, shown: Option<&Secret>) -> bool {
        // 128 bits of chance, and a try is a whole login: no time tells anything worth having.
        shown.is_some_and(|shown| self.resume == *shown)
    }
}

/// A name that somebody asks for.
#[derive(Debug)]
struct Wanted {
    name: String,
    /// What an earlier login of the name was given; empty at the first login of who will show it.
    resume: Option<Secret>,
    /// Its token was right, or will have been.
    has_token: bool,
    /// They come from where the right token came from before.
    is_known: bool,
}

impl Switchboard {
    /// An empty one.
    #[must_use]
    pub fn new(limits: Limits, names: Names) -> Self {
        Self {
            limits,
            logins: Logins::new(limits, names),
            connections: HashMap::new(),
            names: HashMap::new(),
            looks: HashMap::new(),
            kept: Kept::new(limits.connections, limits.connections_per_address),
            to_log_in: BTreeSet::new(),
            outputs: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// Takes what happened; drain [`Switchboard::poll`] after it.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Connected { id, source } => self.connected(now, id, source),
            Input::Message { id, text } => self.message(now, id, text),
            Input::Verified { id, verdict } => self.verified(now, id, verdict),
            Input::Closed { id, end } => self.forget(now, id, end),
            Input::Timeout => self.expire(now),
        }
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Timeout`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let to_log_in = self.to_log_in.first().map(|(at, _)| *at);
        [to_log_in, self.kept.deadline()].into_iter().flatten().min()
    }

    /// Under which name somebody is logged in.
    #[must_use]
    pub fn name_of(&self, id: ConnectionId) -> Option<&str> {
        Some(&self.connections.get(&id)?.login.as_ref()?.name)
    }

    /// What was counted; the sockets add what they know.
    pub fn counts(&mut self) -> &mut Counts {
        &mut self.counts
    }

    /// How many there are at the moment.
    #[must_use]
    pub fn now(&self) -> Now {
        Now { connections: self.connections.len(), logged_in: self.names.len() }
    }

    fn connected(&mut self, now: Instant, id: ConnectionId, source: Source) {
        if self.connections.len() >= self.limits.connections {
            self.counts.refuse(Refused::Full);
            self.outputs.push_back(Output::Close { id, reason: CloseReason::Full });
            return;
        }
        let Limits { messages_per_second, message_burst, bytes_per_second, byte_burst, .. } =
            self.limits;
        let log_in_by = now + self.limits.login_within;
        let connection = Connection {
            source,
            log_in_by,
            login: None,
            verifying: None,
            partners: Partners::default(),
            named: Vec::new(),
            offers: None,
            owed: Owed::default(),
            messages: TokenBucket::new(now, messages_per_second, message_burst),
            bytes: TokenBucket::new(now, bytes_per_second, byte_burst),
        };
        self.connections.insert(id, connection);
        self.to_log_in.insert((log_in_by, id));
    }

    /// Who has not logged in by now goes, and names are free again.
    fn expire(&mut self, now: Instant) {
        self.kept.expire(now);
        while let Some((at, id)) = self.to_log_in.first().copied().filter(|(at, _)| *at <= now) {
            self.to_log_in.remove(&(at, id));
            let verifying = |connection: &Connection| connection.verifying.is_some();
            if !self.connections.get(&id).is_some_and(verifying) {
                self.close(now, id, CloseReason::NoLogin);
            }
        }
    }

    fn message(&mut self, now: Instant, id: ConnectionId, text: &str) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if !connection.may_send(now, text.len()) {
            return self.close(now, id, CloseReason::TooFast);
        }
        match Envelope::read(text, self.limits.message_bytes) {
            Ok(envelope) => match envelope.kind {
                Kind::Login => self.login_message(now, id, text),
                Kind::Other(kind) => self.not_found(id, &kind),
                _ => self.forward(now, id, &envelope),
            },
            Err(ParseError::TooLarge { .. }) => self.close(now, id, CloseReason::TooLarge),
            Err(error) => self.complain(id, Refused::InvalidMessage, &error.to_string()),
        }
    }

    fn close(&mut self, now: Instant, id: ConnectionId, reason: CloseReason) {
        let refused = match reason {
            CloseReason::Full => Some(Refused::Full),
            CloseReason::TooFast => Some(Refused::TooFast),
            CloseReason::TooLarge => Some(Refused::TooLarge),
            CloseReason::NoLogin => Some(Refused::NoLogin),
            CloseReason::Resumed => None,
        };
        refused.into_iter().for_each(|why| self.counts.refuse(why));
        self.outputs.push_back(Output::Close { id, reason });
        self.forget(now, id, End::Lost);
    }

    /// Logs out, and tells everybody it was talking with.
    fn forget(&mut self, now: Instant, id: ConnectionId, end: End) {
        let Some(gone) = self.connections.remove(&id) else { return };
        self.to_log_in.remove(&(gone.log_in_by, id));
        let Some(login) = gone.login else { return };
        let name = login.name.clone();
        self.names.remove(&name);
        login.looks.iter().for_each(|look| {
            self.looks.remove(look);
        });
        let text = Message::Leave { name: Some(name), reason: Some(LeaveReason::Gone) }.to_json();
        for to in gone.partners.in_call() {
            self.part(id, to);
            self.outputs.push_back(Output::Send { to, text: text.clone() });
        }
        if end != End::Goodbye {
            self.kept.keep(now, (id, login, gone.partners, gone.offers), gone.source);
        }
    }

    fn not_found(&mut self, to: ConnectionId, kind: &str) {
        self.counts.refuse(Refused::UnknownType);
        let kind: String = kind.chars().take(MAX_NAME).collect();
        let message = format!("Command not found: {kind}");
        self.send(to, &Message::Error { code: None, name: None, message });
    }

    fn complain(&mut self, to: ConnectionId, why: Refused, text: &str) {
        self.counts.refuse(why);
        let code = if why == Refused::NotLoggedIn { "not-logged-in" } else { "invalid-message" };
        self.error(to, code, text.to_owned());
    }

    fn error(&mut self, to: ConnectionId, code: &str, message: String) {
        self.send(to, &Message::Error { code: Some(code.to_owned()), name: None, message });
    }

    fn send(&mut self, to: ConnectionId, message: &Message) {
        self.outputs.push_back(Output::Send { to, text: message.to_json() });
    }
}

#[cfg(test)]
#[path = "switchboard_tests.rs"]
mod tests;
