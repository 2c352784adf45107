//! What the server needs to know of a message: of which type it is and for whom. Pure.
//!
//! What is only passed on is checked but not taken apart, and goes out as it came but for the
//! sender's name, which is put into the text. It agrees with `message.rs` on what is a message.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::message::{LeaveReason, Message, ParseError};
use super::name::check_name;

/// How deeply a message may be nested: what reads it at the other end may well be recursive.
const MAX_DEPTH: usize = 64;

/// A message that was looked at from outside.
#[derive(Debug)]
pub struct Envelope<'a> {
    text: &'a str,
    /// Where in the text the value of `name` stands, if there is one.
    name_at: Option<Range<usize>>,
    /// Its type.
    pub kind: Kind<'a>,
    /// For whom it is.
    pub target: Option<Cow<'a, str>>,
}

/// What a server does different things with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A login, or a reply to one; `message.rs` reads the rest.
    Login,
    /// An SDP offer.
    Offer,
    /// An SDP answer.
    Answer,
    /// An ICE candidate, or their end.
    Candidate,
    /// The end of a call.
    Leave,
    /// A type that is not for servers.
    Other(Cow<'a, str>),
}

impl<'a> Envelope<'a> {
    /// Looks at a message of at most `limit` bytes.
    ///
    /// # Errors
    /// When it is too large, is not a JSON object, or lacks what its type needs.
    pub fn read(text: &'a str, limit: usize) -> Result<Self, ParseError> {
        if text.len() > limit {
            return Err(ParseError::TooLarge { size: text.len(), limit });
        }
        if too_deep(text.as_bytes()) {
            return Err(ParseError::NotJson);
        }
        let fields: Fields<'a> =
            serde_json::from_str(text).map_err(|error| match error.classify() {
                Category::Data => ParseError::NotAnObject,
                _ => ParseError::NotJson,
            })?;
        // Readers differ in which of two they take, and one of them would be as the sender wants it.
        if fields.two_names {
            return Err(ParseError::Field { field: "name" });
        }
        let kind = fields.kind.and_then(string).ok_or(ParseError::Field { field: "type" })?;
        let kind = match &*kind {
            "login" => Kind::Login,
            "offer" => Kind::Offer,
            "answer" => Kind::Answer,
            "candidate" => Kind::Candidate,
            "leave" => Kind::Leave,
            _ => Kind::Other(kind),
        };
        fields.check(&kind)?;
        let is_for_somebody = !matches!(kind, Kind::Login | Kind::Other(_));
        let target = fields.name.filter(|_| is_for_somebody).and_then(string);
        let target = target.filter(|target| !target.is_empty());
        if let Some(target) = &target {
            check_name(target)?;
        }
        Ok(Self { text, name_at: fields.name.map(|name| place(text, name.get())), kind, target })
    }

    /// The text that is passed on: as it came, with `name` saying who sent it. `sender` is the name
    /// as JSON, quotes included.
    #[must_use]
    pub fn signed(&self, sender: &str) -> String {
        let text = self.text;
        match &self.name_at {
            Some(at) => [&text[..at.start], sender, &text[at.end..]].concat(),
            None => {
                // An object with a type in it, so that there is a brace, and something before it.
                let end = text.rfind('}').unwrap_or(text.len());
                [&text[..end], ",\"name\":", sender, &text[end..]].concat()
            }
        }
    }
}

impl Envelope<'_> {
    /// Why a call is left, where it says so in a word that we know.
    #[must_use]
    pub fn leave_reason(&self) -> Option<LeaveReason> {
        match Message::parse_within(self.text, self.text.len()) {
            Ok(Message::Leave { reason, .. }) => reason,
            _ => None,
        }
    }
}

/// The name as JSON, as [`Envelope::signed`] wants it.
#[must_use]
pub fn quoted(name: &str) -> String {
    serde_json::Value::from(name).to_string()
}

/// Where `part` stands in `text`, of which it is a part.
fn place(text: &str, part: &str) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    start..start + part.len()
}

fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    let raw = raw.get();
    let plain = serde_json::from_str::<&str>(raw).map(Cow::Borrowed);
    plain.or_else(|_| serde_json::from_str::<String>(raw).map(Cow::Owned)).ok()
}

fn is_string(raw: &RawValue) -> bool {
    raw.get().starts_with('"')
}

/// Counts brackets and braces that are not in a string, when there are enough to matter.
fn too_deep(text: &[u8]) -> bool {
    if text.iter().filter(|byte| matches!(byte, b'[' | b'{')).count() <= MAX_DEPTH {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}

/// The fields that matter, as they stand in the text; of two that are alike the last, as browsers
/// have it.
#[derive(Default)]
struct Fields<'a> {
    kind: Option<&'a RawValue>,
    name: Option<&'a RawValue>,
    offer: Option<&'a RawValue>,
    answer: Option<&'a RawValue>,
    candidate: Option<&'a RawValue>,
    two_names: bool,
}

impl Fields<'_> {
    fn check(&self, kind: &Kind<'_>) -> Result<(), ParseError> {
        let (good, field) = match kind {
            Kind::Offer => (self.offer.is_some_and(is_description), "offer"),
            Kind::Answer => (self.answer.is_some_and(is_description), "answer"),
            Kind::Candidate => (self.candidate.is_none_or(is_candidate), "candidate"),
            _ => (true, ""),
        };
        if good { Ok(()) } else { Err(ParseError::Field { field }) }
    }
}

/// RTCSessionDescriptionInit, or the bare SDP.
fn is_description(raw: &RawValue) -> bool {
    is_string(raw) || Inner::of(raw).and_then(|inner| inner.sdp).is_some_and(is_string)
}

/// RTCIceCandidateInit, or one of the ways to say that there are no more.
fn is_candidate(raw: &RawValue) -> bool {
    let is_none_or_line = |raw: &RawValue| raw.get() == "null" || is_string(raw);
    matches!(raw.get(), "null" | "\"\"")
        || Inner::of(raw).is_some_and(|inner| inner.candidate.is_none_or(is_none_or_line))
}

/// The fields that matter of what is passed on.
#[derive(Default)]
struct Inner<'a> {
    sdp: Option<&'a RawValue>,
    candidate: Option<&'a RawValue>,
}

impl<'a> Inner<'a> {
    fn of(raw: &'a RawValue) -> Option<Self> {
        serde_json::from_str(raw.get()).ok()
    }
}

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a message")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Fields<'de>, M::Error> {
                let mut fields = Fields::default();
                while let Some((Key(key), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    let field = match &*key {
                        "type" => &mut fields.kind,
                        "offer" => &mut fields.offer,
                        "answer" => &mut fields.answer,
                        "candidate" => &mut fields.candidate,
                        "name" => {
                            fields.two_names |= fields.name.is_some();
                            &mut fields.name
                        }
                        _ => continue,
                    };
                    *field = Some(value);
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Inner<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Inner<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a description or a candidate")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Inner<'de>, M::Error> {
                let mut inner = Inner::default();
                while let Some((Key(key), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    match &*key {
                        "sdp" => inner.sdp = Some(value),
                        "candidate" => inner.candidate = Some(value),
                        _ => {}
                    }
                }
                Ok(inner)
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
#[path = "envelope_tests.rs"]
mod tests;
