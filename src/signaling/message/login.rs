//! The login and the reply to it: name, token, refusals, and the ICE servers that come along. Pure.
//!
//! Owns the words of the refusals. Who gets which is decided in the switchboard.

use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::{Message, ParseError, text};
use crate::ice::IceServer;
use crate::secret::Secret;
use crate::signaling::name::{MAX_NAME, check_name};

/// The most bytes of a token.
pub const MAX_TOKEN: usize = 512;

pub(super) const MAX_ICE_SERVERS: usize = 16;
pub(super) const MAX_ICE_URLS: usize = 8;

/// The server's reply to a login. Only `success` is of the tutorial's protocol.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoginReply {
    /// Whether the name is now ours.
    pub success: bool,
    /// Why not, in a word for programs: one of [`LoginRefusal`], where the server is ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why not, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// ICE servers in the browser's own RTCIceServer form, where the server hands them out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ice_servers: Vec<IceServer>,
    /// For how many seconds they are good; a repeated login gets fresh ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ice_servers_ttl: Option<u32>,
    /// With this in its next login, a client takes the name over from its own lost connection.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "exposed")]
    pub resume: Option<Secret>,
    /// Whether names have tokens on this server: without, anybody can be anybody.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tokens: bool,
}

/// Only on its way to whom it is for.
fn exposed<S: Serializer>(secret: &Option<Secret>, to: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(Secret::expose).serialize(to)
}

/// Why a login is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginRefusal {
    /// Somebody else is online under the name.
    NameTaken,
    /// The token is not that of the name, or nobody has the name.
    WrongToken,
    /// Names have tokens here, and there was none.
    TokenNeeded,
    /// Too many logins from one address, or wrong tokens for one name.
    TooManyTries,
    /// Nobody can have such a name.
    BadName,
}

impl LoginRefusal {
    const ALL: [Self; 5] =
        [Self::NameTaken, Self::WrongToken, Self::TokenNeeded, Self::TooManyTries, Self::BadName];

    /// The word in the reply.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NameTaken => "name-taken",
            Self::WrongToken => "wrong-token",
            Self::TokenNeeded => "token-needed",
            Self::TooManyTries => "too-many-tries",
            Self::BadName => "bad-name",
        }
    }

    /// The refusal behind a word.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|refusal| refusal.code() == code)
    }
}

impl fmt::Display for LoginRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameTaken => f.write_str("the name is taken; choose another"),
            Self::WrongToken => f.write_str("this is not the token of that name"),
            Self::TokenNeeded => f.write_str("names have tokens on this server; log in with yours"),
            Self::TooManyTries => f.write_str("too many tries; wait a minute"),
            Self::BadName => {
                write!(f, "this cannot be a name; choose one of 1 to {MAX_NAME} characters")
            }
        }
    }
}

impl LoginReply {
    /// The reply to a login that is refused.
    #[must_use]
    pub fn refused(why: LoginRefusal, message: String) -> Self {
        Self { code: Some(why.code().to_owned()), message: Some(message), ..Self::default() }
    }

    /// Why the login was refused; servers that say nothing have only one reason.
    #[must_use]
    pub fn refusal(&self) -> Option<LoginRefusal> {
        match &self.code {
            Some(code) => LoginRefusal::from_code(code),
            None => Some(LoginRefusal::NameTaken),
        }
    }
}

pub(super) fn read(object: &Map<String, Value>) -> Result<Message, ParseError> {
    if let Some(success) = object.get("success").and_then(Value::as_bool) {
        let ttl = object.get("iceServersTtl").and_then(Value::as_u64);
        return Ok(Message::LoginReply(LoginReply {
            success,
            code: text(object, "code"),
            message: text(object, "message"),
            ice_servers: ice_servers(object),
            ice_servers_ttl: ttl.and_then(|ttl| u32::try_from(ttl).ok()),
            resume: secret(object, "resume")?,
            tokens: object.get("tokens").and_then(Value::as_bool).unwrap_or(false),
        }));
    }
    let name = text(object, "name").ok_or(ParseError::Field { field: "name" })?;
    check_name(&name)?;
    let token = secret(object, "token")?;
    // Empty, it says that the client knows of it and has none yet.
    let aware = || text(object, "resume").map(Secret::new);
    let resume = secret(object, "resume")?.or_else(aware);
    Ok(Message::Login { name, token, resume })
}

fn secret(object: &Map<String, Value>, field: &'static str) -> Result<Option<Secret>, ParseError> {
    let secret = text(object, field).filter(|secret| !secret.is_empty());
    if secret.as_ref().is_some_and(|secret| secret.len() > MAX_TOKEN) {
        return Err(ParseError::Field { field });
    }
    Ok(secret.map(Secret::new))
}

/// Entries without a usable URL are left out; `url` is the form before 2015.
fn ice_servers(object: &Map<String, Value>) -> Vec<IceServer> {
    let list = object.get("iceServers").and_then(Value::as_array);
    let servers = list.into_iter().flatten().filter_map(|entry| {
        let entry = entry.as_object()?;
        let urls = match entry.get("urls").or_else(|| entry.get("url"))? {
            Value::String(url) => vec![url.clone()],
            Value::Array(urls) => {
                let urls = urls.iter().filter_map(Value::as_str).take(MAX_ICE_URLS);
                urls.map(str::to_owned).collect()
            }
            _ => Vec::new(),
        };
        (!urls.is_empty()).then(|| IceServer {
            urls,
            username: text(entry, "username"),
            credential: text(entry, "credential"),
        })
    });
    servers.take(MAX_ICE_SERVERS).collect()
}
