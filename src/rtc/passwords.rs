//! Whether a check knows our password (RFC 8445 section 7.3). Pure.
//!
//! W16: the library acts on what a check says of roles before it looks at who says it, and on what is
//! no check at all without looking: one datagram of a stranger turned the roles round, so that no call
//! came up. So checks are looked at here before they go on.

use std::collections::VecDeque;

use hmac::{Hmac, Mac};
use sha1::Sha1;

use super::stun::{REQUEST, STUN_HEADER, attribute, attribute_at, is_binding};

/// Sessions whose checks may still be on their way when ICE has begun anew.
const MOST: usize = 3;

const USERNAME: [u8; 2] = [0x00, 0x06];
const MESSAGE_INTEGRITY: [u8; 2] = [0x00, 0x08];
/// The sum of HMAC-SHA1, and an attribute's type and length before it.
const SUM: usize = 20;
const ATTRIBUTE_HEADER: usize = 4;

/// The username fragments and passwords of our descriptions, newest last.
#[derive(Debug, Default)]
pub(super) struct Passwords(VecDeque<(String, String)>);

impl Passwords {
    /// Takes up a description of ours; whether it begins another session.
    pub(super) fn described_here(&mut self, sdp: &str) -> bool {
        let mut fragment = None;
        let mut is_new = false;
        for line in sdp.lines().map(str::trim_end) {
            if let Some(found) = line.strip_prefix("a=ice-ufrag:") {
                fragment = Some(found);
            } else if let Some(password) = line.strip_prefix("a=ice-pwd:")
                && let Some(fragment) = fragment
            {
                let session = (fragment.to_owned(), password.to_owned());
                if self.0.contains(&session) {
                    continue;
                }
                if self.0.len() == MOST {
                    self.0.pop_front();
                }
                self.0.push_back(session);
                is_new = true;
            }
        }
        is_new
    }

    /// Whether a binding request bears a fragment of ours first (RFC 8445 section 7.2.2) and was made
    /// with its password (RFC 8489 section 14.5).
    pub(super) fn fit(&self, request: &[u8]) -> bool {
        let Some(attributes) = request.get(STUN_HEADER..).filter(|_| is_binding(request, REQUEST))
        else {
            return false;
        };
        let Some(user) = attribute(attributes, USERNAME) else { return false };
        let fragment = user.split(|byte| *byte == b':').next().unwrap_or_default();
        let mut fitting = self.0.iter().filter(|(ours, _)| ours.as_bytes() == fragment);
        fitting.any(|(_, password)| is_made_with(password, request).unwrap_or(false))
    }
}

/// Whether the sum in a message is that of everything before it, with the length that ends behind it.
fn is_made_with(password: &str, message: &[u8]) -> Option<bool> {
    let attributes = message.get(STUN_HEADER..)?;
    let (at, sum) = attribute_at(attributes, MESSAGE_INTEGRITY)?;
    let mut mac = Hmac::<Sha1>::new_from_slice(password.as_bytes()).ok()?;
    mac.update(message.get(..2)?);
    mac.update(&u16::try_from(at + ATTRIBUTE_HEADER + SUM).ok()?.to_be_bytes());
    mac.update(message.get(4..STUN_HEADER + at)?);
    // One of another length fits nothing.
    Some(mac.verify_slice(sum).is_ok())
}

/// A check with this user name and password, for tests.
#[cfg(test)]
pub(super) fn check(user: &str, password: &str, transaction: u8) -> Vec<u8> {
    let user = user.as_bytes();
    let padded = user.len().next_multiple_of(4);
    let length = (4 + padded + ATTRIBUTE_HEADER + SUM) as u16;
    let mut bytes = vec![REQUEST[0], REQUEST[1]];
    bytes.extend(length.to_be_bytes());
    bytes.extend([0x21, 0x12, 0xa4, 0x42]);
    bytes.extend([transaction; 12]);
    bytes.extend(USERNAME);
    bytes.extend((user.len() as u16).to_be_bytes());
    bytes.extend(user);
    bytes.resize(STUN_HEADER + 4 + padded, 0);
    let sum = Hmac::<Sha1>::new_from_slice(password.as_bytes()).map(|mac| mac.chain_update(&bytes));
    bytes.extend(MESSAGE_INTEGRITY);
    bytes.extend([0, SUM as u8]);
    bytes.extend(sum.map(|sum| sum.finalize().into_bytes().to_vec()).unwrap_or_default());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const US: &str = "v=0\r\nm=audio 9 X 0\r\na=ice-ufrag:ours\r\na=ice-pwd:secret\r\n\
                      m=video 9 X 0\r\na=ice-ufrag:ours\r\na=ice-pwd:secret\r\n";

    #[test]
    fn only_a_check_with_our_password_fits() {
        let mut passwords = Passwords::default();
        assert!(!passwords.fit(&check("ours:theirs", "secret", 1)), "nothing is described");
        assert!(passwords.described_here(US) && !passwords.described_here(US));
        assert!(passwords.fit(&check("ours:theirs", "secret", 1)));
        for (user, password) in [
            ("ours:theirs", "Secret"),
            ("theirs:ours", "secret"),
            ("", "secret"),
            ("ours2:x", "secret"),
        ] {
            assert!(!passwords.fit(&check(user, password, 1)), "{user} {password}");
        }
        let good = check("ours:theirs", "secret", 1);
        for at in 0..good.len() {
            let mut changed = good.clone();
            changed[at] ^= 1;
            // The length says nothing of what is behind the sum.
            assert!(!passwords.fit(&changed) || (2..4).contains(&at), "byte {at}");
        }
        assert!(!passwords.fit(&good[..good.len() - 1]));
    }

    #[test]
    fn what_ice_had_before_it_began_anew_counts_for_a_while() {
        let mut passwords = Passwords::default();
        let ours =
            |n: usize| US.replace("ours", &format!("u{n}")).replace("secret", &format!("p{n}"));
        for n in 0..10 {
            assert!(passwords.described_here(&ours(n)));
        }
        let fits = |n: usize| passwords.fit(&check(&format!("u{n}:x"), &format!("p{n}"), 1));
        assert_eq!((0..10).filter(|n| fits(*n)).collect::<Vec<_>>(), [7, 8, 9]);
        assert!(!passwords.fit(&check("u9:x", "p8", 1)));
    }

    proptest! {
        #[test]
        fn takes_anything(bytes: Vec<u8>, sdp in "\\PC*") {
            let mut passwords = Passwords::default();
            passwords.described_here(&sdp);
            passwords.described_here(US);
            prop_assert!(!passwords.fit(&bytes));
            let made = [&check("ours:x", "secret", 2)[..20], &bytes].concat();
            prop_assert!(!passwords.fit(&made));
        }
    }
}
