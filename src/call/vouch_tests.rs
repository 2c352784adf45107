//! What a lying server can try with what was signed, and what comes of it.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

const OFFER: Way<'static> = Way { from: "alice", to: "bob", part: Part::Offer };

fn new_key() -> SigningKey {
    SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap()
}

fn sdp(fingerprint: &str) -> String {
    format!("v=0\r\na=fingerprint:sha-256 {fingerprint}\r\nm=audio 9 X 0\r\na=mid:0\r\n")
}

fn signed_sdp(key: &SigningKey, way: Way<'_>, sdp: &str) -> String {
    attributes::with(sdp, &[(attributes::KEY, sign(key, way, sdp))])
}

#[test]
fn what_was_signed_is_believed_and_nothing_else() {
    let key = new_key();
    let offer = signed_sdp(&key, OFFER, &sdp("AA:BB"));
    let forged = Shown::Forged(Some(key.key()));
    assert_eq!(Shown::of(OFFER, &offer), Shown::Key(key.key()));
    assert_eq!(Shown::of(OFFER, &sdp("AA:BB")), Shown::NoKey);
    // Other fingerprints, in the place of the right one or beside it.
    assert_eq!(Shown::of(OFFER, &offer.replace("AA:BB", "AA:BC")), forged);
    for more in ["a=fingerprint:sha-256 11:22", "\ra=fingerprint:sha-512 11:22"] {
        assert_eq!(Shown::of(OFFER, &format!("{offer}{more}\r\n")), forged, "{more:?}");
    }
    assert_eq!(Shown::of(OFFER, &offer.replace("fingerprint", "finger")), forged);
    // Written otherwise, it is the same.
    let other_way = offer.replace("sha-256 AA:BB", "SHA-256 aa:bb");
    assert_eq!(Shown::of(OFFER, &other_way), Shown::Key(key.key()));
    // For others, from others, and sent back to where it came from.
    for way in [
        Way { to: "carol", ..OFFER },
        Way { from: "carol", ..OFFER },
        Way { from: "Alice", ..OFFER },
        Way { from: "bob", to: "alice", ..OFFER },
        Way { part: Part::Answer, ..OFFER },
        Way { from: "bob", to: "alice", part: Part::Answer },
        Way { from: "alic", to: "ebob", ..OFFER },
    ] {
        assert_eq!(Shown::of(way, &offer), forged, "{way:?}");
    }
}

#[test]
fn what_cannot_be_read_is_no_key_that_could_be_missed() {
    let key = new_key();
    let good = sign(&key, OFFER, &sdp("AA"));
    let with = |value: &str| attributes::with(&sdp("AA"), &[(attributes::KEY, value.to_owned())]);
    assert_eq!(Shown::of(OFFER, &with(&good)), Shown::Key(key.key()));
    for value in ["", " ", "x", &good[1..], &format!(" {}", &good[44..])] {
        assert_eq!(Shown::of(OFFER, &with(value)), Shown::Forged(None), "{value:?}");
    }
    for value in [&good[..43], &good[..80], &format!("{good}AAAA"), &format!("{good} x")] {
        assert_eq!(Shown::of(OFFER, &with(value)), Shown::Forged(Some(key.key())), "{value:?}");
    }
    // Two keys, the right one among them: nobody says which one counts.
    let other = sign(&new_key(), OFFER, &sdp("AA"));
    for two in [[&good, &other], [&other, &good], [&good, &good]] {
        let lines = two.map(|value| (attributes::KEY, value.clone()));
        assert_eq!(Shown::of(OFFER, &attributes::with(&sdp("AA"), &lines)), Shown::Forged(None));
    }
}

#[test]
fn the_first_to_show_a_key_is_whom_the_call_is_with() {
    let (one, other) = (new_key().key(), new_key().key());
    let change = |known, shown| Err(KeyChange { known, shown });
    let (key, none, forged) = (Shown::Key(one), Shown::NoKey, Shown::Forged(Some(one)));
    for (expected, shown, verdict) in [
        (Expected::Anybody, key, Ok(Expected::Key(one))),
        (Expected::Anybody, none, Ok(Expected::Nobody)),
        (Expected::Anybody, forged, change(None, forged)),
        (Expected::Key(one), key, Ok(Expected::Key(one))),
        (Expected::Key(one), none, change(Some(one), none)),
        (Expected::Key(one), forged, change(Some(one), forged)),
        (Expected::Key(other), key, change(Some(other), key)),
        (Expected::Nobody, none, Ok(Expected::Nobody)),
        (Expected::Nobody, key, Ok(Expected::Nobody)),
    ] {
        assert_eq!(expected.judge(shown), verdict, "{expected:?} {shown:?}");
    }
    assert_eq!(Expected::remembered(None), Expected::Anybody);
    assert_eq!(
        Expected::after_all(key).judge(Shown::Key(other)),
        change(Some(one), Shown::Key(other))
    );
    assert_eq!(Expected::after_all(none), Expected::Nobody);
}

#[test]
fn every_change_is_said_with_both_short_forms_and_both_possibilities() {
    let (one, other) = (new_key().key(), new_key().key());
    for shown in [Shown::Key(other), Shown::NoKey, Shown::Forged(Some(other))] {
        let change = KeyChange { known: Some(one), shown };
        let text = change.to_string();
        assert!(text.contains(&one.name().to_string()) && text.contains(" or "), "{text}");
        assert_eq!(change.shown_name().is_some(), shown != Shown::NoKey);
        assert_eq!(text.contains(&other.name().to_string()), shown != Shown::NoKey, "{text}");
        assert!(!text.contains('\n'), "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_passes_for_a_key(text in "\\PC{0,200}") {
        let sdp = format!("{}a=peer-key:{text}\r\n", sdp("AA"));
        prop_assert_eq!(Shown::of(OFFER, &sdp).key(), None);
    }

    #[test]
    fn one_bit_is_enough_to_be_found_out(at in 0_usize..86, flip in 1_u8..64) {
        let key = new_key();
        let good = sign(&key, OFFER, &sdp("AA"));
        // Of the signature, in the alphabet of base64url.
        let mut bytes = good.into_bytes();
        let at = 44 + at % 84;
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let was = alphabet.iter().position(|c| *c == bytes[at]).unwrap();
        bytes[at] = alphabet[(was + usize::from(flip)) % 64];
        let sdp = attributes::with(&sdp("AA"), &[(attributes::KEY, String::from_utf8(bytes).unwrap())]);
        prop_assert_eq!(Shown::of(OFFER, &sdp).key(), None);
    }
}
