//! Relay addresses of both families: the library never says which it wants, and a server then gives
//! IPv4 (RFC 8656 section 7.1), or none at all.
//!
//! W9. Owns what was asked where, and the rewriting of a request; it sends nothing.

use std::collections::HashMap;
use std::net::SocketAddr;

use rtc::stun::attributes::{
    ATTR_FINGERPRINT, ATTR_MESSAGE_INTEGRITY, ATTR_REALM, ATTR_REQUESTED_ADDRESS_FAMILY,
};
use rtc::stun::fingerprint::FINGERPRINT;
use rtc::stun::integrity::MessageIntegrity;
use rtc::stun::message::{Message, Setter};

use super::stun::{ALLOCATE, Class, Stun, TransactionId};

/// What a server says that has no relay address of the wanted family.
const FAMILY_NOT_SUPPORTED: u16 = 440;

/// The value for IPv6 (RFC 8656 section 18.6); IPv4 is what comes without.
const IPV6: [u8; 4] = [2, 0, 0, 0];

/// More servers than a socket ever asks.
const MOST_SERVERS: usize = 64;

/// With what requests to one server are signed.
#[derive(Clone, Default)]
pub(in crate::rtc) struct Credentials {
    pub(in crate::rtc) user: String,
    pub(in crate::rtc) password: String,
}

/// The relay addresses that one socket asks for.
#[derive(Default)]
pub(in crate::rtc) struct Families {
    asked: HashMap<SocketAddr, Asked>,
}

struct Asked {
    /// Decided with the first request that proves who asks; one before only asks for how.
    ipv6: Option<bool>,
    /// A server that has neither is not asked for ever.
    turned: bool,
    /// The library's, as it came.
    last: (TransactionId, Vec<u8>),
}

impl Families {
    /// A message of the library's to a server: what goes out in its place, if something else does.
    /// `prefer_ipv6` counts the first time.
    pub(in crate::rtc) fn outgoing(
        &mut self,
        to: SocketAddr,
        bytes: &[u8],
        prefer_ipv6: bool,
        credentials: &Credentials,
    ) -> Option<Vec<u8>> {
        let message = Stun::read(bytes)?;
        if (message.class, message.method) != (Class::Request, ALLOCATE) {
            return None;
        }
        if self.asked.len() >= MOST_SERVERS && !self.asked.contains_key(&to) {
            return None;
        }
        let last = (message.id, bytes.to_vec());
        let asked = self.asked.entry(to).or_insert(Asked {
            ipv6: None,
            turned: false,
            last: (message.id, Vec::new()),
        });
        asked.last = last;
        if message.has_user() {
            asked.ipv6.get_or_insert(prefer_ipv6);
        }
        asked.ipv6.unwrap_or(false).then(|| for_ipv6(bytes, credentials))?
    }

    /// Something from a server: what it is to be asked once more, in place of hearing this.
    pub(in crate::rtc) fn incoming(
        &mut self,
        bytes: &[u8],
        credentials: impl FnOnce(SocketAddr) -> Credentials,
    ) -> Option<(SocketAddr, Vec<u8>)> {
        let message = Stun::read(bytes)?;
        if (message.class, message.method) != (Class::Error, ALLOCATE)
            || message.error()?.0 != FAMILY_NOT_SUPPORTED
        {
            return None;
        }
        let (to, asked) =
            self.asked.iter_mut().find(|(_, asked)| asked.last.0 == message.id && !asked.turned)?;
        let ipv6 = !asked.ipv6.unwrap_or(false);
        (asked.ipv6, asked.turned) = (Some(ipv6), true);
        let again = match ipv6 {
            true => for_ipv6(&asked.last.1, &credentials(*to))?,
            false => asked.last.1.clone(),
        };
        Some((*to, again))
    }
}

/// The same request for an IPv6 relay address, signed anew.
fn for_ipv6(bytes: &[u8], credentials: &Credentials) -> Option<Vec<u8>> {
    let mut old = Message::new();
    old.raw = bytes.to_vec();
    old.decode().ok()?;
    let mut new = Message::new();
    (new.typ, new.transaction_id) = (old.typ, old.transaction_id);
    new.write_header();
    for attribute in &old.attributes.0 {
        if ![ATTR_MESSAGE_INTEGRITY, ATTR_FINGERPRINT, ATTR_REQUESTED_ADDRESS_FAMILY]
            .contains(&attribute.typ)
        {
            new.add(attribute.typ, &attribute.value);
        }
    }
    new.add(ATTR_REQUESTED_ADDRESS_FAMILY, &IPV6);
    if old.contains(ATTR_MESSAGE_INTEGRITY) {
        let realm = String::from_utf8(old.get(ATTR_REALM).ok()?).ok()?;
        let crypto = rtc::crypto::default_provider().ok()?;
        let Credentials { user, password } = credentials.clone();
        let integrity = MessageIntegrity::new_long_term_integrity_with_provider(
            user,
            realm,
            password,
            crypto.crypto(),
        );
        integrity.ok()?.add_to(&mut new).ok()?;
    }
    FINGERPRINT.add_to(&mut new).ok()?;
    Some(new.raw)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rtc::stun::attributes::{ATTR_NONCE, ATTR_USERNAME};
    use rtc::stun::textattrs::TextAttribute;

    use super::super::stun::tests::{ALLOCATE_REQUEST, refusal, written};
    use super::*;

    fn signed(id: u8) -> Vec<u8> {
        let mut message = Message::new();
        message.raw = written(ALLOCATE_REQUEST, id, &[(0x0019, &[17, 0, 0, 0])]);
        message.decode().unwrap();
        for (name, text) in [(ATTR_USERNAME, "u"), (ATTR_REALM, "r"), (ATTR_NONCE, "n")] {
            TextAttribute::new(name, text.to_owned()).add_to(&mut message).unwrap();
        }
        let crypto = rtc::crypto::default_provider().unwrap();
        let integrity = MessageIntegrity::new_long_term_integrity_with_provider(
            "u".into(),
            "r".into(),
            "p".into(),
            crypto.crypto(),
        );
        integrity.unwrap().add_to(&mut message).unwrap();
        FINGERPRINT.add_to(&mut message).unwrap();
        message.raw
    }

    fn credentials() -> Credentials {
        Credentials { user: "u".into(), password: "p".into() }
    }

    fn wants_ipv6(bytes: &[u8]) -> bool {
        let mut message = Message::new();
        message.raw = bytes.to_vec();
        message.decode().unwrap();
        message.get(ATTR_REQUESTED_ADDRESS_FAMILY).is_ok_and(|family| family == IPV6)
    }

    #[test]
    fn a_rewritten_request_is_signed_and_the_same_otherwise() {
        let mut families = Families::default();
        let to = "[::1]:3478".parse().unwrap();
        let sent = families.outgoing(to, &signed(1), true, &credentials()).unwrap();
        assert!(wants_ipv6(&sent) && !wants_ipv6(&signed(1)));
        let mut message = Message::new();
        message.raw = sent;
        message.decode().unwrap();
        let crypto = rtc::crypto::default_provider().unwrap();
        let key = MessageIntegrity::long_term_integrity_key(
            "u".into(),
            "r".into(),
            "p".into(),
            crypto.crypto(),
        );
        MessageIntegrity::check(&mut message, &key.unwrap(), crypto.crypto()).unwrap();
        FINGERPRINT.check(&message).unwrap();
        assert_eq!(message.transaction_id.0, [1; 12]);
        // Who only asks how to prove itself has no preference yet.
        let unsigned = written(ALLOCATE_REQUEST, 2, &[]);
        let other = "[::2]:3478".parse().unwrap();
        assert_eq!(families.outgoing(other, &unsigned, true, &credentials()), None);
    }

    #[test]
    fn the_other_family_is_asked_for_once() {
        let to = "192.0.2.1:3478".parse().unwrap();
        for first in [false, true] {
            let mut families = Families::default();
            let sent = families.outgoing(to, &signed(1), first, &credentials());
            assert_eq!(sent.is_some(), first);
            assert_eq!(families.incoming(&refusal(1, 486), |_| credentials()), None);
            assert_eq!(families.incoming(&refusal(2, 440), |_| credentials()), None, "not ours");
            let (whom, again) = families.incoming(&refusal(1, 440), |_| credentials()).unwrap();
            assert_eq!((whom, wants_ipv6(&again)), (to, !first));
            assert_eq!(families.incoming(&refusal(1, 440), |_| credentials()), None, "twice");
            // What follows on the same way asks for what there is.
            let next = families.outgoing(to, &signed(2), first, &credentials());
            assert_eq!(next.is_some(), !first);
        }
    }
}
