//! What a key says of a description, and whether that is what was expected. Pure.
//!
//! A login signs the fingerprints of its description, so that nobody between the two can put others
//! in their place; both names and the part that the description plays, so that what was signed for one
//! call stands for no other: not for another caller, not for the way back. The certificate of a
//! connection is new for each call, which is why nothing old can be shown again.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::words::framed;
use crate::key::{Key, KeyName, SIGNATURE_BYTES, SigningKey};
use crate::rtc::attributes::{self, fingerprints};

/// What is signed begins with what it is for.
const SIGNED: &str = "peer key of a description 1";

/// The part that a description plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// It offers.
    Offer,
    /// It answers.
    Answer,
}

impl Part {
    fn word(self) -> &'static [u8] {
        match self {
            Self::Offer => b"offer",
            Self::Answer => b"answer",
        }
    }
}

/// Whose description it is and for whom, by the names on the server, as they were logged in with.
#[derive(Debug, Clone, Copy)]
pub struct Way<'a> {
    /// Who wrote it.
    pub from: &'a str,
    /// Who is to read it.
    pub to: &'a str,
    /// As what.
    pub part: Part,
}

/// The value of our `a=peer-key`: the key, a blank and the signature, both in base64url (RFC 4648
/// section 5).
#[must_use]
pub fn sign(key: &SigningKey, way: Way<'_>, sdp: &str) -> String {
    let signature = key.sign(&signed(way, &fingerprints(sdp)));
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    format!("{} {}", text(key.key().as_bytes()), text(&signature))
}

fn signed(way: Way<'_>, fingerprints: &[String]) -> Vec<u8> {
    let mut parts = vec![way.part.word(), way.from.as_bytes(), way.to.as_bytes()];
    parts.extend(fingerprints.iter().map(|fingerprint| fingerprint.as_bytes()));
    framed(SIGNED, &parts)
}

/// What a description of theirs shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// No key: a page, an older program, or somebody has taken it out.
    NoKey,
    /// A key whose holder has signed it.
    Key(Key),
    /// A key, as far as it can be read, that has signed something else.
    Forged(Option<Key>),
}

impl Shown {
    /// Reads what stands in a description and tries its signature.
    #[must_use]
    pub fn of(way: Way<'_>, sdp: &str) -> Self {
        let text = match attributes::only(sdp, attributes::KEY) {
            None => return Self::NoKey,
            Some(Err(attributes::Several)) => return Self::Forged(None),
            Some(Ok(text)) => text,
        };
        let (key, signature) = text.split_once(' ').unwrap_or((text, ""));
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text.trim()).ok();
        let Some(key) = bytes(key).and_then(|key| Key::from_bytes(&key)) else {
            return Self::Forged(None);
        };
        let signature = bytes(signature).filter(|bytes| bytes.len() == SIGNATURE_BYTES);
        let found = fingerprints(sdp);
        let good = |signature: Vec<u8>| key.has_signed(&signed(way, &found), &signature);
        match signature.is_some_and(good) && !found.is_empty() {
            true => Self::Key(key),
            false => Self::Forged(Some(key)),
        }
    }

    /// The key that it proves.
    #[must_use]
    pub fn key(self) -> Option<Key> {
        match self {
            Self::Key(key) => Some(key),
            Self::NoKey | Self::Forged(_) => None,
        }
    }
}

/// Whom a call is to be with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expected {
    /// Whoever it is: nothing is known of this name. What shows first counts for the whole call.
    #[default]
    Anybody,
    /// The holder of this key.
    Key(Key),
    /// Somebody without a key, or whom a person has let in whatever he shows.
    Nobody,
}

impl Expected {
    /// The holder of the key that is remembered, if one is.
    #[must_use]
    pub fn remembered(known: Option<Key>) -> Self {
        known.map_or(Self::Anybody, Self::Key)
    }

    /// Whom the rest of the call is to be with after this.
    ///
    /// # Errors
    /// What is wrong with what is shown.
    pub fn judge(self, shown: Shown) -> Result<Self, KeyChange> {
        match (self, shown) {
            (Self::Nobody, _) | (Self::Anybody, Shown::NoKey) => Ok(Self::Nobody),
            (Self::Anybody, Shown::Key(key)) => Ok(Self::Key(key)),
            (Self::Key(known), Shown::Key(key)) if known == key => Ok(self),
            (Self::Key(known), shown) => Err(KeyChange { known: Some(known), shown }),
            (Self::Anybody, shown) => Err(KeyChange { known: None, shown }),
        }
    }

    /// The rest of a call whose first description a person has let pass in spite of all.
    #[must_use]
    pub fn after_all(shown: Shown) -> Self {
        shown.key().map_or(Self::Nobody, Self::Key)
    }
}

/// They are maybe not who they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyChange {
    /// The key that was expected.
    pub known: Option<Key>,
    /// What came.
    pub shown: Shown,
}

impl KeyChange {
    /// The short form of what was expected.
    #[must_use]
    pub fn known_name(&self) -> Option<KeyName> {
        self.known.map(|key| key.name())
    }

    /// The short form of what came, as far as it could be read.
    #[must_use]
    pub fn shown_name(&self) -> Option<KeyName> {
        match self.shown {
            Shown::NoKey | Shown::Forged(None) => None,
            Shown::Key(key) | Shown::Forged(Some(key)) => Some(key.name()),
        }
    }
}

impl fmt::Display for KeyChange {
    /// In words; both short forms are among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.known_name().map(|name| name.to_string()).unwrap_or_default();
        match (self.known, self.shown) {
            (_, Shown::Key(key)) => write!(
                f,
                "the key was {known} and is now {}: they have another machine or have lost their \
                 key, or somebody stands in between",
                key.name()
            ),
            (_, Shown::NoKey) => write!(
                f,
                "there is no key, and it was {known}: they call from a browser page or with an \
                 older program, or somebody stands in between and has removed the key"
            ),
            (known, Shown::Forged(_)) => {
                let known = known.map(|key| format!(" (the known key is {})", key.name()));
                let shown = self.shown_name().map(|name| format!(" {name}"));
                write!(
                    f,
                    "the key{} did not sign this call{}: it may have been altered in between, or \
                     taken from another call",
                    shown.unwrap_or_default(),
                    known.unwrap_or_default()
                )
            }
        }
    }
}

#[cfg(test)]
#[path = "vouch_tests.rs"]
mod tests;
