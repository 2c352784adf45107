//! Transaction IDs of our own for questions that the library asks without one. Pure.
//!
//! W20: the library's questions to STUN servers all have the ID zero. Two servers, or two ways to one,
//! are then not told apart, and whoever can forge a sender's address needs to guess nothing to tell us
//! an address of his choice; an ID is to be random (RFC 8489 section 5). Owns which ID stands for zero
//! in front of which server.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::stun::{BINDING, Class, Stun, TransactionId, XOR_MAPPED_ADDRESS};

/// What the library asks with.
const NONE: TransactionId = [0; 12];

/// Servers that are asked from one socket, at most.
const MOST: usize = 64;

/// Where the ID stands in a message, and where attributes begin.
const ID: std::ops::Range<usize> = 8..20;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ids(HashMap<SocketAddr, TransactionId>);

impl Ids {
    /// The same question with an ID of its own, where it has none; asked again it has the same one.
    pub(super) fn outgoing(&mut self, to: SocketAddr, bytes: &[u8]) -> Option<Vec<u8>> {
        let message = Stun::read(bytes)?;
        let is_ours =
            (message.class, message.method, message.id) == (Class::Request, BINDING, NONE);
        // A signature would not fit any more.
        if !is_ours || message.has_user() {
            return None;
        }
        if self.0.len() >= MOST && !self.0.contains_key(&to) {
            self.0.clear();
        }
        let id = self.0.entry(to).or_insert_with(rand::random);
        let mut bytes = bytes.to_vec();
        bytes.get_mut(ID)?.copy_from_slice(id);
        Some(bytes)
    }

    /// Makes an answer to such a question what the library waits for. `false` when it answers no
    /// question of ours, and only looks as if it did.
    pub(super) fn incoming(&self, bytes: &mut [u8]) -> bool {
        let Some(message) = Stun::read(bytes) else { return true };
        let is_answer = matches!(message.class, Class::Success | Class::Error);
        if message.method != BINDING || !is_answer {
            return true;
        }
        let id = message.id;
        if id == NONE {
            return false;
        }
        if !self.0.values().any(|known| *known == id) {
            return true;
        }
        // An IPv6 address is masked with the ID too (RFC 8489 section 14.2), behind the four bytes of
        // the cookie and the four in front of the address.
        let address = message.place_of(XOR_MAPPED_ADDRESS).filter(|place| place.len() == 20);
        if let Some(masked) = address.and_then(|place| bytes.get_mut(place)) {
            masked.iter_mut().skip(8).zip(id).for_each(|(byte, mask)| *byte ^= mask);
        }
        if let Some(place) = bytes.get_mut(ID) {
            place.fill(0);
        }
        true
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::stun::tests::{BINDING_REQUEST, BINDING_SUCCESS, user, written};
    use super::*;

    fn servers() -> (SocketAddr, SocketAddr) {
        ("0.0.0.1:3478".parse().unwrap(), "[100::1]:3478".parse().unwrap())
    }

    /// The answer of a server that saw this address.
    fn answer(id: TransactionId, saw: SocketAddr) -> Vec<u8> {
        let mask = [&super::super::stun::MAGIC_COOKIE.to_be_bytes()[..], &id].concat();
        let port = saw.port().to_be_bytes();
        let (family, ip) = match saw.ip() {
            std::net::IpAddr::V4(ip) => (1, ip.octets().to_vec()),
            std::net::IpAddr::V6(ip) => (2, ip.octets().to_vec()),
        };
        let ip = ip.iter().zip(&mask).map(|(byte, mask)| byte ^ mask);
        let value: Vec<u8> =
            [0, family, port[0] ^ mask[0], port[1] ^ mask[1]].into_iter().chain(ip).collect();
        let mut bytes =
            written(BINDING_SUCCESS, 0, &[(0x8022, b"odd"), (XOR_MAPPED_ADDRESS, &value)]);
        bytes[ID].copy_from_slice(&id);
        bytes
    }

    #[test]
    fn each_server_is_asked_with_an_id_of_its_own_and_its_answer_is_understood() {
        let (mut ids, (v4, v6)) = (Ids::default(), servers());
        let question = written(BINDING_REQUEST, 0, &[]);
        let id = |bytes: &[u8]| Stun::read(bytes).unwrap().id;
        let first = id(&ids.outgoing(v4, &question).unwrap());
        let second = id(&ids.outgoing(v6, &question).unwrap());
        assert!(first != second && first != NONE && second != NONE);
        assert_eq!(id(&ids.outgoing(v4, &question).unwrap()), first, "asked again");
        for (id, saw) in [(first, "198.51.100.7:4660"), (second, "[2001:db8::7]:4660")] {
            let saw = saw.parse().unwrap();
            let mut bytes = answer(id, saw);
            assert_eq!(Stun::read(&bytes).unwrap().address(), Some(saw));
            assert!(ids.incoming(&mut bytes));
            let heard = Stun::read(&bytes).unwrap();
            assert_eq!((heard.id, heard.address()), (NONE, Some(saw)));
        }
    }

    #[test]
    fn who_guesses_zero_is_not_heard_and_others_pass_as_they_are() {
        let (mut ids, (v4, _)) = (Ids::default(), servers());
        ids.outgoing(v4, &written(BINDING_REQUEST, 0, &[])).unwrap();
        let saw = "203.0.113.66:66".parse().unwrap();
        assert!(!ids.incoming(&mut answer(NONE, saw)));
        let mut other = answer([7; 12], saw);
        let before = other.clone();
        assert!(ids.incoming(&mut other));
        assert_eq!(other, before);
        for question in [
            written(BINDING_REQUEST, 5, &[]),
            written(BINDING_REQUEST, 0, &[user()]),
            vec![1, 2, 3],
        ] {
            assert_eq!(ids.outgoing(v4, &question), None);
        }
        for mut bytes in [vec![], vec![1; 19], vec![0; 64]] {
            assert!(ids.incoming(&mut bytes));
        }
    }
}
