//! Safety words: what two people read to each other to find out whether somebody stands between them.
//!
//! Two of us use numbers of which the caller's is promised before the callee's is known, and told
//! after it (commit, then reveal): whoever stands between cannot look for certificates or numbers
//! that give both sides the same four words, and has one try in 2^44. A page knows only the
//! fingerprints, so there it takes seven words, since one side's can be searched for while the call
//! is set up. Pure; the page has the same in `assets/page/safety.js`.

use std::fmt;

use ring::digest::{SHA256, digest};
use serde::{Serialize, Serializer};

use crate::key::bits;

/// 2,048 of them, a line each.
const LIST: &str = include_str!("../../assets/words/english.txt");

/// Bits that a word stands for.
const WORD_BITS: usize = 11;

/// What is hashed begins with what it is for, so that no hash can stand for another.
const OF_PEERS: &str = "peer safety words of two peers 1";
const OF_FINGERPRINTS: &str = "peer safety words of two fingerprints 1";
const COMMITMENT: &str = "peer commitment 1";

/// Bytes of a nonce and of a commitment.
pub const NONCE_BYTES: usize = 32;

/// A number that nobody can guess.
pub type Nonce = [u8; NONCE_BYTES];

/// One for each part that we can have in a call, so that none is told before its time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Nonces {
    /// Promised in our offer, told after their answer.
    pub offer: Nonce,
    /// Told in our answer.
    pub answer: Nonce,
}

impl Nonces {
    /// New ones, for one call.
    #[must_use]
    pub fn random() -> Self {
        Self { offer: rand::random(), answer: rand::random() }
    }
}

impl fmt::Debug for Nonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonces")
    }
}

/// The words of one call.
#[derive(Clone, PartialEq, Eq)]
pub struct SafetyWords(Vec<&'static str>);

impl SafetyWords {
    /// Of two of us: four.
    #[must_use]
    pub fn of_peers(offerer: (&[String], &Nonce), answerer: (&[String], &Nonce)) -> Self {
        let (offered, answered) = (offerer.0.join(","), answerer.0.join(","));
        let parts = [offered.as_bytes(), answered.as_bytes(), offerer.1, answerer.1];
        Self::of(OF_PEERS, &parts, 4)
    }

    /// Of whoever knows only the fingerprints of both sides: seven, whoever of the two is asked.
    #[must_use]
    pub fn of_fingerprints(one: &[String], other: &[String]) -> Self {
        let mut sides = [one.join(","), other.join(",")];
        sides.sort_unstable();
        Self::of(OF_FINGERPRINTS, &sides.each_ref().map(|side| side.as_bytes()), 7)
    }

    fn of(what: &str, parts: &[&[u8]], count: usize) -> Self {
        let hash = digest(&SHA256, &framed(what, parts));
        let list: Vec<&str> = LIST.lines().collect();
        let number = |at| usize::from(bits(hash.as_ref(), at * WORD_BITS, WORD_BITS));
        Self((0..count).filter_map(|at| list.get(number(at)).copied()).collect())
    }

    /// Each of them.
    #[must_use]
    pub fn words(&self) -> &[&'static str] {
        &self.0
    }
}

impl fmt::Display for SafetyWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

impl fmt::Debug for SafetyWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SafetyWords({self})")
    }
}

impl Serialize for SafetyWords {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

/// What an offer promises: to tell this number, of a connection with these fingerprints.
#[must_use]
pub fn commitment(nonce: &Nonce, fingerprints: &[String]) -> Vec<u8> {
    let ours = fingerprints.join(",");
    digest(&SHA256, &framed(COMMITMENT, &[nonce, ours.as_bytes()])).as_ref().to_vec()
}

/// Parts that are hashed or signed together, each behind its length, so that none runs into the next.
pub(super) fn framed(what: &str, parts: &[&[u8]]) -> Vec<u8> {
    let mut all = Vec::new();
    for part in std::iter::once(what.as_bytes()).chain(parts.iter().copied()) {
        all.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        all.extend_from_slice(part);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(fingerprint: &str) -> Vec<String> {
        vec![fingerprint.to_owned()]
    }

    #[test]
    fn the_list_has_every_word_that_can_come() {
        let list: Vec<&str> = LIST.lines().collect();
        assert_eq!((list.len(), list[0], list[2047]), (2048, "abandon", "zoo"));
        let mut begins: Vec<String> =
            list.iter().map(|word| word.chars().take(4).collect()).collect();
        begins.dedup();
        assert_eq!(begins.len(), 2048, "four letters tell them apart");
    }

    #[test]
    fn both_sides_have_the_same_words_and_any_difference_shows() {
        let (one, other) = (side("sha-256 AA"), side("sha-256 BB"));
        let words = SafetyWords::of_fingerprints(&one, &other);
        assert_eq!(words.words().len(), 7);
        assert_eq!(words, SafetyWords::of_fingerprints(&other, &one));
        assert_ne!(words, SafetyWords::of_fingerprints(&one, &side("sha-256 BC")));
        let four = |a: u8, b: u8| SafetyWords::of_peers((&one, &[a; 32]), (&other, &[b; 32]));
        assert_eq!(four(1, 2).words().len(), 4);
        assert_ne!(four(1, 2), four(1, 3));
        assert_ne!(four(1, 2), four(2, 1));
        assert_ne!(four(1, 1), SafetyWords::of_peers((&other, &[1; 32]), (&one, &[1; 32])));
    }

    /// `tests/keys.rs` compares with the page; this one tells when both change together.
    #[test]
    fn the_words_stay_what_they_are() {
        let words = SafetyWords::of_fingerprints(&side("sha-256 AA:BB"), &side("sha-256 CC:DD"));
        assert_eq!(words.to_string(), "pig proud grace animal congress axis pen");
    }

    #[test]
    fn a_promise_is_of_one_number_and_one_connection() {
        let ours = side("sha-256 AA");
        assert_ne!(commitment(&[1; 32], &ours), commitment(&[2; 32], &ours));
        assert_ne!(commitment(&[1; 32], &ours), commitment(&[1; 32], &side("sha-256 AB")));
        assert_eq!(format!("{:?}", Nonces::random()), "Nonces");
        assert_ne!(framed("a", &[b"b", b"cd"]), framed("a", &[b"bc", b"d"]));
    }
}
