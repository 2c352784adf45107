//! The JSON messages of the signaling protocol. Pure: text in, messages out, and back.
//!
//! Owns what is tolerated from foreign servers and pages, and the limits on size; what a
//! name may be `name.rs` knows. Knows no sockets and not who may say what to whom. SDP, addresses, tokens and
//! credentials are kept out of `Debug`, so that a message can be logged.

mod login;
mod wire;

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

pub use self::login::{LoginRefusal, LoginReply, MAX_TOKEN};
use self::wire::Wire;
use super::name::{NameError, check_name};
use crate::ice::Candidate;
use crate::secret::Secret;

/// The most bytes of a message that [`Message::parse`] takes.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// The most bytes of a message that a client takes from a server: browsers with many
/// codecs write long offers, and foreign servers wrap them further.
pub const MAX_MESSAGE_FROM_SERVER: usize = 256 * 1024;

/// The most bytes of what is revealed; 43 are in use.
const MAX_REVEAL: usize = 128;

/// What travels between a client and the server, in either direction.
///
/// `name` is the target in what a client sends and the sender in what the server
/// forwards; foreign servers leave it out.
#[derive(Clone, PartialEq)]
pub enum Message {
    /// A client asks for a name.
    Login {
        /// The wanted name.
        name: String,
        /// What proves that it is the client's, where the server wants to know.
        token: Option<Secret>,
        /// What an earlier reply gave: the name is taken over from our own lost connection. Empty at
        /// the first login: it will be shown later.
        resume: Option<Secret>,
    },
    /// The server's reply to a login.
    LoginReply(LoginReply),
    /// An SDP offer.
    Offer {
        /// The SDP text.
        sdp: String,
        /// Target or sender.
        name: Option<String>,
    },
    /// An SDP answer.
    Answer {
        /// The SDP text.
        sdp: String,
        /// Target or sender.
        name: Option<String>,
    },
    /// An ICE candidate; `None` is the end of candidates.
    Candidate {
        /// The candidate.
        candidate: Option<Candidate>,
        /// Target or sender.
        name: Option<String>,
    },
    /// A number that was promised in an offer (`a=peer-commitment`). It travels as an end of candidates
    /// with a field more, which servers pass on and others pass over.
    Reveal {
        /// As the peers write it.
        nonce: String,
        /// Target or sender.
        name: Option<String>,
    },
    /// The end of a call.
    Leave {
        /// Target or sender.
        name: Option<String>,
        /// Why, where the other side says.
        reason: Option<LeaveReason>,
    },
    /// The server's complaint.
    Error {
        /// A code such as `unknown-user`, where the server gives one.
        code: Option<String>,
        /// Whom it is about.
        name: Option<String>,
        /// For people.
        message: String,
    },
    /// A type that we do not know; foreign servers send their own.
    Unknown {
        /// Its `type`.
        kind: String,
    },
}

/// Why a call was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LeaveReason {
    /// The callee said no.
    Rejected,
    /// The callee is in another call.
    Busy,
    /// The call was hung up.
    Hangup,
    /// Nobody answered in time.
    Timeout,
    /// Said by the server: the connection that they were logged in with is gone.
    Gone,
    /// What they send or show could not be had.
    Media,
    /// No path was found, or it was lost for good.
    Failed,
    /// The certificate on the path is not the one in the description.
    Impostor,
}

/// Why a text is not a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Over the limit.
    #[error("the message has {size} bytes; at most {limit} are taken")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Not JSON at all, cut off, or nested too deeply.
    #[error("invalid JSON")]
    NotJson,
    /// JSON, but not an object.
    #[error("the message is not a JSON object")]
    NotAnObject,
    /// A field that the type needs is missing or has the wrong JSON type.
    #[error("'{field}' is missing or is not what it should be")]
    Field {
        /// Its name, dotted.
        field: &'static str,
    },
    /// A name that nobody can have.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl Message {
    /// Reads a message of at most [`MAX_MESSAGE`] bytes.
    ///
    /// # Errors
    /// When it is too large, is not a JSON object, or lacks what its type needs. A
    /// type that we do not know is no error.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        Self::parse_within(text, MAX_MESSAGE)
    }

    /// As [`Message::parse`], with a limit of our own in bytes.
    ///
    /// # Errors
    /// As [`Message::parse`].
    pub fn parse_within(text: &str, limit: usize) -> Result<Self, ParseError> {
        Self::from_object(&object(text, limit)?)
    }

    fn from_object(object: &Map<String, Value>) -> Result<Self, ParseError> {
        let kind = text(object, "type").ok_or(ParseError::Field { field: "type" })?;
        Ok(match kind.as_str() {
            "login" => return login::read(object),
            "offer" => Self::Offer { sdp: sdp(object, "offer")?, name: name(object)? },
            "answer" => Self::Answer { sdp: sdp(object, "answer")?, name: name(object)? },
            "candidate" => match (candidate(object)?, revealed(object)) {
                (None, Some(nonce)) => Self::Reveal { nonce, name: name(object)? },
                (candidate, _) => Self::Candidate { candidate, name: name(object)? },
            },
            "leave" => Self::Leave {
                name: name(object)?,
                reason: text(object, "reason").as_deref().and_then(LeaveReason::from_word),
            },
            "error" => Self::Error {
                code: text(object, "code"),
                name: name(object)?,
                message: text(object, "message").unwrap_or_default(),
            },
            _ => Self::Unknown { kind },
        })
    }

    /// Writes the message in the protocol's own form.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Maps with string keys and plain fields always serialise.
        serde_json::to_string(&Wire::of(self)).unwrap_or_default()
    }

    /// Whether it came through a server that, like ours, says so when a name is not online: one that
    /// hands out ICE servers, names the sender of what others only forward, or has reported one.
    #[must_use]
    pub fn shows_a_reporting_server(&self) -> bool {
        match self {
            Self::LoginReply(reply) => !reply.ice_servers.is_empty(),
            Self::Answer { name, .. }
            | Self::Candidate { name, .. }
            | Self::Reveal { name, .. }
            | Self::Leave { name, .. } => name.is_some(),
            Self::Error { code, .. } => code.as_deref() == Some("unknown-user"),
            _ => false,
        }
    }

    /// The message's `type`.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::Login { .. } | Self::LoginReply(_) => "login",
            Self::Offer { .. } => "offer",
            Self::Answer { .. } => "answer",
            Self::Candidate { .. } | Self::Reveal { .. } => "candidate",
            Self::Leave { .. } => "leave",
            Self::Error { .. } => "error",
            Self::Unknown { kind } => kind,
        }
    }
}

impl LeaveReason {
    const ALL: [Self; 8] = [
        Self::Rejected,
        Self::Busy,
        Self::Hangup,
        Self::Timeout,
        Self::Gone,
        Self::Media,
        Self::Failed,
        Self::Impostor,
    ];

    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.word() == word)
    }

    /// As it stands in a message.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Busy => "busy",
            Self::Hangup => "hangup",
            Self::Timeout => "timeout",
            Self::Gone => "gone",
            Self::Media => "media",
            Self::Failed => "failed",
            Self::Impostor => "impostor",
        }
    }
}

fn object(text: &str, limit: usize) -> Result<Map<String, Value>, ParseError> {
    if text.len() > limit {
        return Err(ParseError::TooLarge { size: text.len(), limit });
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(ParseError::NotAnObject),
        Err(_) => Err(ParseError::NotJson),
    }
}

fn text(object: &Map<String, Value>, field: &str) -> Option<String> {
    object.get(field).and_then(Value::as_str).map(str::to_owned)
}

/// The target or sender; pages without a partner send `null` or nothing.
fn name(object: &Map<String, Value>) -> Result<Option<String>, ParseError> {
    let Some(name) = text(object, "name").filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    check_name(&name)?;
    Ok(Some(name))
}

fn sdp(object: &Map<String, Value>, field: &'static str) -> Result<String, ParseError> {
    let sdp = match object.get(field) {
        Some(Value::Object(description)) => text(description, "sdp"),
        Some(Value::String(sdp)) => Some(sdp.clone()),
        _ => None,
    };
    sdp.ok_or(ParseError::Field { field })
}

/// `null`, `""` and nothing at all are the end of candidates, as is an empty line inside.
fn candidate(object: &Map<String, Value>) -> Result<Option<Candidate>, ParseError> {
    let init = match object.get("candidate") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(line)) if line.is_empty() => return Ok(None),
        Some(Value::Object(init)) => init,
        Some(_) => return Err(ParseError::Field { field: "candidate" }),
    };
    let line = match init.get("candidate") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(line)) if line.is_empty() => return Ok(None),
        Some(Value::String(line)) => line.clone(),
        Some(_) => return Err(ParseError::Field { field: "candidate.candidate" }),
    };
    let index = init.get("sdpMLineIndex").and_then(Value::as_u64);
    Ok(Some(Candidate {
        candidate: line,
        sdp_mid: text(init, "sdpMid"),
        sdp_mline_index: index.and_then(|index| u16::try_from(index).ok()),
        username_fragment: text(init, "usernameFragment"),
    }))
}

/// What stands beside an end of candidates.
fn revealed(object: &Map<String, Value>) -> Option<String> {
    let init = object.get("candidate")?.as_object()?;
    text(init, "peerReveal").filter(|nonce| nonce.len() <= MAX_REVEAL)
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Message");
        out.field("type", &self.kind());
        match self {
            Self::Login { name, token, resume } => {
                out.field("name", name).field("token", token).field("resume", resume)
            }
            Self::LoginReply(reply) => out.field("reply", reply),
            Self::Offer { sdp, name } | Self::Answer { sdp, name } => {
                out.field("sdp_bytes", &sdp.len()).field("name", name)
            }
            Self::Candidate { candidate, name } => {
                out.field("candidate", candidate).field("name", name)
            }
            Self::Reveal { name, .. } => out.field("reveals", &true).field("name", name),
            Self::Leave { name, reason } => out.field("name", name).field("reason", reason),
            Self::Error { code, name, message } => {
                out.field("code", code).field("name", name).field("message", message)
            }
            Self::Unknown { .. } => &mut out,
        };
        out.finish()
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
