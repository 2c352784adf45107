//! Enough of STUN to see who is asked what, and what the answer is (RFC 8489 section 5 and 14).
//!
//! Reads in place and copies nothing; the library does the rest.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;

pub(super) const MAGIC_COOKIE: u32 = 0x2112_A442;

pub(super) const BINDING: u16 = 0x001;
pub(super) const ALLOCATE: u16 = 0x003;

const USERNAME: u16 = 0x0006;
const ERROR_CODE: u16 = 0x0009;
const XOR_RELAYED_ADDRESS: u16 = 0x0016;
pub(super) const XOR_MAPPED_ADDRESS: u16 = 0x0020;

/// So much of a server's words is passed on.
const LONGEST_WORDS: usize = 80;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Request,
    Indication,
    Success,
    Error,
}

/// What a response is recognised by.
pub(super) type TransactionId = [u8; 12];

/// One message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stun<'a> {
    pub(super) method: u16,
    pub(super) class: Class,
    pub(super) id: TransactionId,
    attributes: &'a [u8],
}

/// Attributes begin here.
const HEADER: usize = 20;

impl<'a> Stun<'a> {
    /// `None` when it is something else.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (header, attributes) = bytes.split_first_chunk::<HEADER>()?;
        let [t0, t1, _, _, c0, c1, c2, c3, id @ ..] = *header;
        if t0 >> 6 != 0 || u32::from_be_bytes([c0, c1, c2, c3]) != MAGIC_COOKIE {
            return None;
        }
        let kind = u16::from_be_bytes([t0, t1]);
        // The two bits of the class lie among those of the method.
        let class = match (kind & 0x100 != 0, kind & 0x010 != 0) {
            (false, false) => Class::Request,
            (false, true) => Class::Indication,
            (true, false) => Class::Success,
            (true, true) => Class::Error,
        };
        let method = (kind & 0x3e00) >> 2 | (kind & 0x00e0) >> 1 | (kind & 0x000f);
        Some(Self { method, class, id, attributes })
    }

    fn attribute(&self, wanted: u16) -> Option<&'a [u8]> {
        let place = self.place_of(wanted)?;
        self.attributes.get(place.start - HEADER..place.end - HEADER)
    }

    /// Where in the message the value of the first attribute of this type stands.
    pub(super) fn place_of(&self, wanted: u16) -> Option<Range<usize>> {
        let mut rest = self.attributes;
        loop {
            let (&[t0, t1, l0, l1], after) = rest.split_first_chunk::<4>()?;
            let length = usize::from(u16::from_be_bytes([l0, l1]));
            let begins = HEADER + self.attributes.len() - after.len();
            after.get(..length)?;
            if u16::from_be_bytes([t0, t1]) == wanted {
                return Some(begins..begins + length);
            }
            rest = after.get(length.next_multiple_of(4)..)?;
        }
    }

    /// Whether it proves who sent it.
    pub(super) fn has_user(&self) -> bool {
        self.attribute(USERNAME).is_some()
    }

    /// The code of an error, and its words without what could move a cursor.
    pub(super) fn error(&self) -> Option<(u16, String)> {
        let value = self.attribute(ERROR_CODE)?;
        let (&[_, _, class, number], words) = value.split_first_chunk::<4>()?;
        let words = String::from_utf8_lossy(words);
        let words = words.chars().filter(|c| !c.is_control()).take(LONGEST_WORDS).collect();
        Some((u16::from(class & 7) * 100 + u16::from(number), words))
    }

    /// Where it relays from, or which address it saw.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        let wanted = if self.method == ALLOCATE { XOR_RELAYED_ADDRESS } else { XOR_MAPPED_ADDRESS };
        let value = self.attribute(wanted)?;
        let (&[_, family, p0, p1], address) = value.split_first_chunk::<4>()?;
        let cookie = MAGIC_COOKIE.to_be_bytes();
        let port = u16::from_be_bytes([p0 ^ cookie[0], p1 ^ cookie[1]]);
        let key = [&cookie[..], &self.id].concat();
        let ip: IpAddr = match family {
            1 => Ipv4Addr::from(xor::<4>(address, &key)?).into(),
            2 => Ipv6Addr::from(xor::<16>(address, &key)?).into(),
            _ => return None,
        };
        Some(SocketAddr::new(ip, port))
    }
}

fn xor<const N: usize>(value: &[u8], key: &[u8]) -> Option<[u8; N]> {
    let (value, key) = (value.first_chunk::<N>()?, key.first_chunk::<N>()?);
    Some(std::array::from_fn(|at| value[at] ^ key[at]))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in crate::rtc::relay) const ALLOCATE_REQUEST: u16 = 0x0003;
    pub(in crate::rtc::relay) const ALLOCATE_SUCCESS: u16 = 0x0103;
    pub(in crate::rtc::relay) const ALLOCATE_ERROR: u16 = 0x0113;
    pub(in crate::rtc::relay) const BINDING_REQUEST: u16 = 0x0001;
    pub(in crate::rtc::relay) const BINDING_SUCCESS: u16 = 0x0101;

    /// A message of this type with these attributes.
    pub(in crate::rtc::relay) fn written(kind: u16, id: u8, with: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        for (name, value) in with {
            body.extend(name.to_be_bytes());
            body.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        let header = [&kind.to_be_bytes(), &length[..], &MAGIC_COOKIE.to_be_bytes(), &[id; 12]];
        [header.concat(), body].concat()
    }

    pub(in crate::rtc::relay) fn refusal(id: u8, code: u16) -> Vec<u8> {
        let value = [0, 0, (code / 100) as u8, (code % 100) as u8, b'N', b'o', 0x1b];
        written(ALLOCATE_ERROR, id, &[(0x8022, b"odd"), (ERROR_CODE, &value)])
    }

    pub(in crate::rtc::relay) fn user() -> (u16, &'static [u8]) {
        (USERNAME, b"alice")
    }

    #[test]
    fn types_are_taken_apart() {
        for (kind, method, class) in [
            (ALLOCATE_REQUEST, ALLOCATE, Class::Request),
            (ALLOCATE_SUCCESS, ALLOCATE, Class::Success),
            (ALLOCATE_ERROR, ALLOCATE, Class::Error),
            (0x0016, 0x006, Class::Indication),
            (BINDING_SUCCESS, BINDING, Class::Success),
            (0x3eef, 0xfff, Class::Request),
        ] {
            let bytes = written(kind, 1, &[]);
            let read = Stun::read(&bytes).unwrap();
            assert_eq!((read.method, read.class), (method, class), "{kind:x}");
        }
    }

    #[test]
    fn errors_and_addresses_are_read() {
        let bytes = refusal(3, 437);
        assert_eq!(Stun::read(&bytes).unwrap().error(), Some((437, "No".to_owned())));
        let v4 = [0, 1, 0x21 ^ 0x12, 0x12 ^ 0x34, 0x21 ^ 192, 0x12, 0xa4 ^ 2, 0x42 ^ 1];
        let bytes = written(ALLOCATE_SUCCESS, 1, &[(XOR_RELAYED_ADDRESS, &v4)]);
        let address = Stun::read(&bytes).unwrap().address();
        assert_eq!(address, Some("192.0.2.1:4660".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..200), with_cookie in any::<bool>(),
        ) {
            let mut bytes = bytes;
            if let Some(cookie) = bytes.get_mut(4..8) && with_cookie {
                cookie.copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
            }
            if let Some(read) = Stun::read(&bytes) {
                let _ = (read.has_user(), read.error(), read.address());
            }
        }
    }
}
