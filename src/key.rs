//! Ed25519 keys (RFC 8032) by which a login is known: one's own, which signs, and those of others.
//!
//! Plain values and the mathematics; which key is believed is decided elsewhere.

use std::fmt;
use std::str::FromStr;

use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

/// Bytes of a key (RFC 8032 section 5.1.5).
pub const KEY_BYTES: usize = 32;

/// Bytes of a signature (RFC 8032 section 5.1.6).
pub const SIGNATURE_BYTES: usize = 64;

/// Digits of a key's name, five bits each: nobody finds a second key for one.
const DIGITS: usize = 20;

/// Digits that stand together.
const GROUP: usize = 4;

/// No two of these are easily taken for each other.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Somebody's public key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key([u8; KEY_BYTES]);

impl Key {
    /// From its bytes; `None` when there are too many or too few.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether whoever holds this key has signed the message.
    #[must_use]
    pub fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).is_ok()
    }

    /// What people call it by.
    #[must_use]
    pub fn name(&self) -> KeyName {
        let hash = digest(&SHA256, &self.0);
        let mut digits = [0; DIGITS];
        for (at, digit) in digits.iter_mut().enumerate() {
            *digit = ALPHABET[usize::from(bits(hash.as_ref(), at * 5, 5))];
        }
        KeyName(digits)
    }
}

/// `count` bits (at most 16) of `bytes`, the most significant first, from bit `at` on.
#[must_use]
pub fn bits(bytes: &[u8], at: usize, count: usize) -> u16 {
    (at..at + count).fold(0, |value, bit| {
        let byte = bytes.get(bit / 8).copied().unwrap_or_default();
        value << 1 | u16::from(byte >> (7 - bit % 8) & 1)
    })
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.name())
    }
}

/// A key's short form: the first 100 bits of its SHA-256 in five groups of four digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyName([u8; DIGITS]);

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, digit) in self.0.iter().enumerate() {
            let dash = if at > 0 && at % GROUP == 0 { "-" } else { "" };
            write!(f, "{dash}{}", char::from(*digit))?;
        }
        Ok(())
    }
}

impl fmt::Debug for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// That a text is no short form of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a key is {DIGITS} letters and digits, such as 7k2m-q9wd-xh4t-0bz8-nrc5; 'peer keys' lists them"
)]
pub struct NotAKey;

impl FromStr for KeyName {
    type Err = NotAKey;

    /// In any case, with or without its dashes.
    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let mut digits = text.bytes().filter(|byte| *byte != b'-').map(|b| b.to_ascii_lowercase());
        let mut name = [0; DIGITS];
        for digit in &mut name {
            *digit = digits.next().filter(|digit| ALPHABET.contains(digit)).ok_or(NotAKey)?;
        }
        if digits.next().is_none() { Ok(Self(name)) } else { Err(NotAKey) }
    }
}

/// One's own key. Never printed.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    key: Key,
}

/// That there is no key in this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an Ed25519 key")]
pub struct BadKey;

impl SigningKey {
    /// A new one, as PKCS#8 (RFC 8410 section 7), to be kept where nobody else reads it.
    ///
    /// # Errors
    /// When the operating system has no random numbers.
    pub fn generate() -> Result<Vec<u8>, BadKey> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| BadKey)?;
        Ok(document.as_ref().to_vec())
    }

    /// Out of what [`Self::generate`] made.
    ///
    /// # Errors
    /// When it is something else, or broken.
    pub fn from_pkcs8(document: &[u8]) -> Result<Self, BadKey> {
        let pair = Ed25519KeyPair::from_pkcs8(document).map_err(|_| BadKey)?;
        let key = Key::from_bytes(pair.public_key().as_ref()).ok_or(BadKey)?;
        Ok(Self { pair, key })
    }

    /// By which others know it.
    #[must_use]
    pub fn key(&self) -> Key {
        self.key
    }

    /// Signs; the same message always in the same way.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(of {})", self.key.name())
    }
}

impl PartialEq for SigningKey {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for SigningKey {}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn new_key() -> SigningKey {
        SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap()
    }

    #[test]
    fn only_the_holder_signs_and_only_what_was_signed() {
        let (ours, other) = (new_key(), new_key());
        let signature = ours.sign(b"one");
        assert_eq!(signature.len(), SIGNATURE_BYTES);
        assert!(ours.key().has_signed(b"one", &signature));
        assert!(!ours.key().has_signed(b"two", &signature));
        assert!(!other.key().has_signed(b"one", &signature));
        assert!(!ours.key().has_signed(b"one", &signature[1..]));
        assert_ne!(ours, other);
        assert!(SigningKey::from_pkcs8(b"").is_err() && SigningKey::from_pkcs8(&[48; 85]).is_err());
    }

    #[test]
    fn what_signs_is_never_shown() {
        let document = SigningKey::generate().unwrap();
        let key = SigningKey::from_pkcs8(&document).unwrap();
        assert_eq!(format!("{key:?}"), format!("SigningKey(of {})", key.key().name()));
    }

    #[test]
    fn a_short_form_is_read_as_people_write_it() {
        let name = Key([7; KEY_BYTES]).name();
        let text = name.to_string();
        assert_eq!((text.len(), text.matches('-').count()), (24, 4));
        for written in [text.clone(), text.to_uppercase(), text.replace('-', "")] {
            assert_eq!(written.parse(), Ok(name));
        }
        for odd in ["", "-", &text[1..], &format!("{text}0"), &text.replace('-', " "), "il0u"] {
            assert_eq!(odd.parse::<KeyName>(), Err(NotAKey), "{odd}");
        }
        assert_ne!(name, Key([8; KEY_BYTES]).name());
    }

    #[test]
    fn bits_are_read_from_the_left() {
        assert_eq!(bits(&[0b1010_0000, 0xff], 0, 3), 0b101);
        assert_eq!(bits(&[0, 0b0111_1111], 7, 11), 0b001_1111_1100);
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_written_the_same(text in "[0-9a-zA-Z-]{0,30}") {
            if let Ok(name) = text.parse::<KeyName>() {
                prop_assert_eq!(name.to_string().parse(), Ok(name));
            }
        }
    }
}
