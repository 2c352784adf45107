//! Who the other side of one call is: what we sign, what they must show in every description that
//! counts, and the words that both can compare. Pure.
//!
//! Knows no server and nothing that is remembered; whom to expect it is told, and what it finds it
//! tells.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::vouch::{Expected, KeyChange, Part, Shown, Way, sign};
use super::words::{NONCE_BYTES, Nonce, Nonces, SafetyWords, commitment};
use crate::key::{Key, SigningKey};
use crate::rtc::attributes::{self, fingerprints};

/// What a call brings along for its safety.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vouching {
    /// What our descriptions are signed with, if with anything.
    pub key: Option<Arc<SigningKey>>,
    /// Whom the call is to be with.
    pub expected: Expected,
    /// For four words instead of seven; new for each call.
    pub nonces: Option<Nonces>,
}

/// Why a description of theirs is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// It shows another key than it must.
    Key(KeyChange),
    /// It is of another certificate than the words to compare are made of.
    Certificate,
}

/// The safety of one call.
#[derive(Debug)]
pub(super) struct Safety {
    our_name: String,
    peer: Option<String>,
    vouching: Vouching,
    ours: Option<Side>,
    theirs: Option<Side>,
    words: Words,
}

/// One side, by its latest description of the first round.
#[derive(Debug)]
struct Side {
    part: Part,
    fingerprints: Vec<String>,
    /// In an answer its nonce; in an offer of ours the nonce that it promises, in one of theirs the
    /// promise.
    number: Option<[u8; NONCE_BYTES]>,
}

#[derive(Debug)]
enum Words {
    /// The first round is not over.
    Open,
    /// They have promised a number in this offer, and have ours.
    Promised,
    Known(SafetyWords),
    /// There is nothing to make them of.
    None,
}

impl Safety {
    pub(super) fn new(our_name: &str, peer: Option<&str>, vouching: Vouching) -> Self {
        let (our_name, peer) = (our_name.to_owned(), peer.map(str::to_owned));
        Self { our_name, peer, vouching, ours: None, theirs: None, words: Words::Open }
    }

    /// Our description with what we say for it.
    pub(super) fn describe(&mut self, part: Part, sdp: &str) -> String {
        let found = fingerprints(sdp);
        let mut lines = Vec::new();
        let mut number = None;
        // Later rounds are of the same connection, and their words stay.
        if let (Words::Open, Some(nonces)) = (&self.words, self.vouching.nonces) {
            let promised = self.theirs.as_ref().is_some_and(|theirs| theirs.number.is_some());
            match part {
                Part::Offer => {
                    number = Some(nonces.offer);
                    let promise = URL_SAFE_NO_PAD.encode(commitment(&nonces.offer, &found));
                    lines.push((attributes::COMMITMENT, promise));
                }
                Part::Answer if promised => {
                    number = Some(nonces.answer);
                    lines.push((attributes::NONCE, URL_SAFE_NO_PAD.encode(nonces.answer)));
                }
                Part::Answer => {}
            }
        }
        if let (Some(key), Some(peer)) = (&self.vouching.key, &self.peer) {
            let way = Way { from: &self.our_name, to: peer, part };
            lines.push((attributes::KEY, sign(key, way, sdp)));
        }
        self.ours = Some(Side { part, fingerprints: found, number });
        attributes::with(sdp, &lines)
    }

    /// Looks at a description of theirs that is about to count.
    ///
    /// # Errors
    /// When it shows another key than it must, or after the first round another certificate: what
    /// people compare must be what the call is with to its end.
    pub(super) fn judge(&mut self, part: Part, sdp: &str) -> Result<(), Doubt> {
        // Without a name nobody can have signed for it.
        let shown = self.peer.as_ref().map_or(Shown::NoKey, |peer| {
            Shown::of(Way { from: peer, to: &self.our_name, part }, sdp)
        });
        self.vouching.expected = self.vouching.expected.judge(shown).map_err(Doubt::Key)?;
        let found = fingerprints(sdp);
        if matches!(self.words, Words::Open) {
            let name = match part {
                Part::Offer => attributes::COMMITMENT,
                Part::Answer => attributes::NONCE,
            };
            let number = attributes::only(sdp, name).and_then(Result::ok).and_then(number);
            self.theirs = Some(Side { part, fingerprints: found, number });
        } else if self.theirs.as_ref().is_some_and(|theirs| theirs.fingerprints != found) {
            return Err(Doubt::Certificate);
        }
        Ok(())
    }

    /// The first round is over. Says the number to reveal to them now, if we have promised one.
    pub(super) fn settle(&mut self) -> Option<String> {
        let (Words::Open, Some(ours), Some(theirs)) = (&self.words, &self.ours, &self.theirs)
        else {
            return None;
        };
        let mut reveal = None;
        self.words = match (ours.part, ours.number, theirs.number) {
            (Part::Offer, Some(promised), Some(told)) => {
                reveal = Some(URL_SAFE_NO_PAD.encode(promised));
                let (ours, theirs) = (ours.fingerprints.as_slice(), theirs.fingerprints.as_slice());
                Words::Known(SafetyWords::of_peers((ours, &promised), (theirs, &told)))
            }
            (Part::Answer, Some(_), Some(_)) => Words::Promised,
            _ if ours.fingerprints.is_empty() || theirs.fingerprints.is_empty() => Words::None,
            _ => {
                let (ours, theirs) = (ours.fingerprints.as_slice(), theirs.fingerprints.as_slice());
                Words::Known(SafetyWords::of_fingerprints(ours, theirs))
            }
        };
        reveal
    }

    /// They reveal the number that they have promised; says whether the words are known by that.
    pub(super) fn revealed(&mut self, text: &str) -> bool {
        let (Words::Promised, Some(ours), Some(theirs)) = (&self.words, &self.ours, &self.theirs)
        else {
            return false;
        };
        let (Some(told), Some(revealed)) = (ours.number, number(text)) else { return false };
        // Anything else was not promised, and gives no words.
        let promise = theirs.number.as_ref().map(|promise| promise.as_slice());
        if promise != Some(&commitment(&revealed, &theirs.fingerprints)) {
            return false;
        }
        let (theirs, ours) = (theirs.fingerprints.as_slice(), ours.fingerprints.as_slice());
        self.words = Words::Known(SafetyWords::of_peers((theirs, &revealed), (ours, &told)));
        true
    }

    /// Whether the words are known as soon as they reveal their number.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.words, Words::Promised)
    }

    /// The words, once they are known.
    pub(super) fn words(&self) -> Option<&SafetyWords> {
        match &self.words {
            Words::Known(words) => Some(words),
            Words::Open | Words::Promised | Words::None => None,
        }
    }

    /// The key that they have shown in all descriptions so far.
    pub(super) fn their_key(&self) -> Option<Key> {
        match self.vouching.expected {
            Expected::Key(key) => Some(key),
            Expected::Anybody | Expected::Nobody => None,
        }
    }
}

fn number(text: &str) -> Option<Nonce> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn side(our_name: &str, peer: &str) -> Safety {
        let key = SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap();
        let nonces = Some(Nonces::random());
        let key = Some(Arc::new(key));
        Safety::new(our_name, Some(peer), Vouching { key, nonces, ..Vouching::default() })
    }

    fn plain(our_name: &str, peer: &str) -> Safety {
        Safety::new(our_name, Some(peer), Vouching::default())
    }

    fn sdp(fingerprint: &str) -> String {
        format!("v=0\r\na=fingerprint:sha-256 {fingerprint}\r\nm=audio 9 X 0\r\n")
    }

    /// A round through a server that may change what passes it.
    fn round(
        offerer: &mut Safety,
        answerer: &mut Safety,
        change: impl Fn(String) -> String,
    ) -> Option<String> {
        round_between((offerer, "AA"), (answerer, "BB"), change)
    }

    /// The same with the certificate of each.
    fn round_between(
        (offerer, ours): (&mut Safety, &str),
        (answerer, theirs): (&mut Safety, &str),
        change: impl Fn(String) -> String,
    ) -> Option<String> {
        let offer = change(offerer.describe(Part::Offer, &sdp(ours)));
        answerer.judge(Part::Offer, &offer).unwrap();
        let answer = change(answerer.describe(Part::Answer, &sdp(theirs)));
        assert_eq!(answerer.settle(), None, "nobody else promises");
        offerer.judge(Part::Answer, &answer).unwrap();
        offerer.settle()
    }

    #[test]
    fn two_of_us_have_four_words_when_the_promise_is_kept() {
        let (mut alice, mut bob) = (side("alice", "bob"), side("bob", "alice"));
        let reveal = round(&mut alice, &mut bob, |sdp| sdp).unwrap();
        assert_eq!(alice.words().unwrap().words().len(), 4);
        assert!(bob.is_waiting() && bob.words().is_none() && !alice.is_waiting());
        for odd in ["", "x", &reveal[1..], &URL_SAFE_NO_PAD.encode([0; 32])] {
            assert!(!bob.revealed(odd), "{odd}");
        }
        assert!(bob.revealed(&reveal) && !bob.is_waiting());
        assert_eq!(bob.words(), alice.words());
        assert!(!bob.revealed(&reveal), "once is enough");
        assert_eq!(alice.their_key(), bob.vouching.key.as_ref().map(|key| key.key()));
    }

    #[test]
    fn later_rounds_leave_the_words_as_they_are() {
        let (mut alice, mut bob) = (side("alice", "bob"), side("bob", "alice"));
        let reveal = round(&mut alice, &mut bob, |sdp| sdp).unwrap();
        bob.revealed(&reveal);
        let words = alice.words().cloned();
        for _ in 0..2 {
            let (offerer, answerer) = ((&mut bob, "BB"), (&mut alice, "AA"));
            assert_eq!(round_between(offerer, answerer, |sdp| sdp), None);
            assert_eq!((alice.words(), bob.words()), (words.as_ref(), words.as_ref()));
        }
        let later = alice.describe(Part::Offer, &sdp("AA"));
        assert!(!later.contains(attributes::COMMITMENT) && later.contains(attributes::KEY));
    }

    #[test]
    fn an_offer_that_was_taken_back_has_told_nothing() {
        let (mut alice, mut bob) = (side("alice", "bob"), side("bob", "alice"));
        let void = bob.describe(Part::Offer, &sdp("BB"));
        let reveal = round(&mut alice, &mut bob, |sdp| sdp).unwrap();
        assert!(bob.revealed(&reveal) && bob.words() == alice.words());
        let told = bob.vouching.nonces.unwrap();
        assert_ne!(told.offer, told.answer);
        assert!(void.contains(attributes::COMMITMENT));
    }

    #[test]
    fn whoever_knows_only_fingerprints_gets_seven_words() {
        let (mut alice, mut page) = (side("alice", "page"), plain("page", "alice"));
        assert_eq!(round(&mut alice, &mut page, |sdp| sdp), None);
        assert_eq!(alice.words().unwrap().words().len(), 7);
        assert_eq!(alice.words(), page.words());
        let (mut alice, mut page) = (side("alice", "page"), plain("page", "alice"));
        assert_eq!(round(&mut page, &mut alice, |sdp| sdp), None);
        assert!(alice.words().is_some() && alice.words() == page.words());
        // The server takes out what two of us need for four: both see seven.
        let (mut alice, mut bob) = (side("alice", "bob"), side("bob", "alice"));
        let strip = |sdp: String| sdp.replace(attributes::COMMITMENT, "x");
        assert_eq!(round(&mut alice, &mut bob, strip), None);
        assert_eq!((alice.words(), alice.words().unwrap().words().len()), (bob.words(), 7));
    }

    #[test]
    fn whoever_stands_between_gives_each_side_other_words() {
        let (mut alice, mut bob) = (side("alice", "bob"), side("bob", "alice"));
        let lie = |sdp: String| {
            let own = sdp.replace("sha-256 AA", "sha-256 EE").replace("sha-256 BB", "sha-256 EE");
            own.replace(attributes::KEY, "x")
        };
        let reveal = round(&mut alice, &mut bob, lie).unwrap();
        assert!(!bob.revealed(&reveal), "the promise was of another connection");
        assert_ne!(alice.words(), bob.words());
        // With a promise of his own he has no better luck.
        let (mut alice, mut bob) = (side("alice", "bob"), side("bob", "alice"));
        let (mut mal_a, mut mal_b) = (side("bob", "alice"), side("alice", "bob"));
        let offer = alice.describe(Part::Offer, &sdp("AA"));
        mal_a.judge(Part::Offer, &offer).unwrap();
        alice.judge(Part::Answer, &mal_a.describe(Part::Answer, &sdp("E1"))).unwrap();
        mal_a.settle();
        assert!(mal_a.revealed(&alice.settle().unwrap()));
        let theirs = round(&mut mal_b, &mut bob, |sdp| sdp).unwrap();
        assert!(bob.revealed(&theirs));
        assert_ne!(alice.words(), bob.words());
    }

    #[test]
    fn a_call_stays_with_the_key_that_it_began_with() {
        let (mut alice, mut bob) = (side("alice", "bob"), side("bob", "alice"));
        round(&mut alice, &mut bob, |sdp| sdp);
        let offer = alice.describe(Part::Offer, &sdp("AA"));
        assert_eq!(bob.judge(Part::Offer, &offer), Ok(()));
        let bare = offer.replace(attributes::KEY, "x");
        let mut shown = |sdp: &str| match bob.judge(Part::Offer, sdp) {
            Err(Doubt::Key(change)) => change.shown,
            other => panic!("{other:?}"),
        };
        assert_eq!(shown(&bare), Shown::NoKey);
        let another = side("alice", "bob").describe(Part::Offer, &sdp("AA"));
        assert!(matches!(shown(&another), Shown::Key(_)));
        let swapped = offer.replace("sha-256 AA", "sha-256 EE");
        assert!(matches!(shown(&swapped), Shown::Forged(_)));
    }

    #[test]
    fn a_call_stays_with_the_certificate_that_the_words_are_made_of() {
        // A server that takes the keys out, so that nothing but the words is left, and waits until
        // they are known.
        let bare = |sdp: String| sdp.replace(attributes::KEY, "x");
        let (mut alice, mut bob) = (side("alice", "bob"), side("bob", "alice"));
        let reveal = round(&mut alice, &mut bob, bare).unwrap();
        let own = "a=mid:0\r\na=fingerprint:sha-256 EE\r\n";
        let later = |sdp: &str| format!("{sdp}{own}");
        for waits in [true, false] {
            assert_eq!(bob.is_waiting(), waits);
            assert_eq!(bob.judge(Part::Offer, &later(&sdp("AA"))), Err(Doubt::Certificate));
            assert_eq!(bob.judge(Part::Offer, &sdp("EE")), Err(Doubt::Certificate));
            assert_eq!(bob.judge(Part::Answer, &later(&sdp("AA"))), Err(Doubt::Certificate));
            assert_eq!(bob.judge(Part::Offer, &sdp("AA")), Ok(()));
            bob.revealed(&reveal);
        }
        assert_eq!(alice.judge(Part::Answer, &later(&sdp("BB"))), Err(Doubt::Certificate));
        let (mut alice, mut page) = (side("alice", "page"), plain("page", "alice"));
        round(&mut alice, &mut page, bare);
        assert_eq!(alice.judge(Part::Offer, &later(&sdp("BB"))), Err(Doubt::Certificate));
        assert_eq!(page.judge(Part::Offer, &later(&sdp("AA"))), Err(Doubt::Certificate));
    }
}
