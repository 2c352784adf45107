//! Sound with copies of earlier sound: redundant audio data (RFC 2198). Pure.
//!
//! Owns the payload format both ways. Whether copies are worth their bits is
//! decided elsewhere.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};

/// How many packets later a copy is sent, by how many there are: the first right with the next, the
/// others when a burst of losses may be over. Closer together, all would often be lost with what they
/// are to replace.
const DISTANCES: [&[usize]; 4] = [&[], &[1], &[1, 4], &[1, 3, 6]];

/// Packets that are remembered for that.
const REMEMBERED: usize = 6;

/// Copies that are taken at most; more than this in one packet is no call.
const MAX_TAKEN: usize = 8;

/// What the header has room for: 14 bits of timestamp and 10 of length (RFC 2198 section 3).
const MAX_OFFSET: u32 = (1 << 14) - 1;
const MAX_LENGTH: usize = (1 << 10) - 1;

/// A block header, and that of the last block.
const HEADER: usize = 4;
const LAST_HEADER: usize = 1;

/// Earlier sound that came again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioCopy {
    /// RTP timestamp of its first sample.
    pub timestamp: u32,
    /// What it carried.
    pub payload: Bytes,
}

/// The payload type of what is new in a payload, which is that of the copies too.
#[must_use]
pub fn payload_type(payload: &[u8]) -> Option<u8> {
    let headers = payload.chunks(HEADER).take(MAX_TAKEN + 1).map(|header| header[0]);
    headers.into_iter().find(|first| first & 0x80 == 0)
}

/// Takes a payload apart: the copies, oldest first, and what is new. `None` when it is not whole.
#[must_use]
pub fn split(timestamp: u32, payload: &Bytes) -> Option<(Vec<AudioCopy>, Bytes)> {
    let mut headers = Vec::new();
    let mut at = 0;
    let primary = loop {
        let first = *payload.get(at)?;
        if first & 0x80 == 0 {
            at += LAST_HEADER;
            break first;
        }
        let [_, high, middle, low] = *payload.get(at..)?.first_chunk::<HEADER>()?;
        let offset = u32::from(high) << 6 | u32::from(middle) >> 2;
        let length = usize::from(middle & 3) << 8 | usize::from(low);
        headers.push((first & 0x7f, offset, length));
        if headers.len() > MAX_TAKEN {
            return None;
        }
        at += HEADER;
    };
    let mut copies = Vec::with_capacity(headers.len());
    for (payload_type, offset, length) in headers {
        let end = at + length;
        if end > payload.len() {
            return None;
        }
        // What is in another codec is not for us.
        if payload_type == primary && length > 0 && offset > 0 {
            let timestamp = timestamp.wrapping_sub(offset);
            copies.push(AudioCopy { timestamp, payload: payload.slice(at..end) });
        }
        at = end;
    }
    let new = payload.slice(at..);
    (!new.is_empty()).then_some((copies, new))
}

/// Remembers what was sent, to send it again.
#[derive(Debug, Default)]
pub struct History(VecDeque<(u32, Bytes)>);

impl History {
    /// Packs a payload of this type with so many copies of those before it, 3 at most; `None` when
    /// there are none to pack. It is remembered in any case.
    #[must_use]
    pub fn pack(
        &mut self,
        payload_type: u8,
        timestamp: u32,
        payload: &Bytes,
        copies: usize,
    ) -> Option<Bytes> {
        let wanted = DISTANCES[copies.min(DISTANCES.len() - 1)].iter().rev();
        let before = wanted.filter_map(|distance| self.0.get(self.0.len().checked_sub(*distance)?));
        let fits = |(at, copy): &&(u32, Bytes)| {
            (1..=MAX_OFFSET).contains(&timestamp.wrapping_sub(*at)) && copy.len() <= MAX_LENGTH
        };
        let packed: Vec<_> = before.filter(fits).collect();
        let size = packed.iter().map(|(_, copy)| HEADER + copy.len()).sum::<usize>();
        let mut out = BytesMut::with_capacity(size + LAST_HEADER + payload.len());
        for (at, copy) in &packed {
            let offset = timestamp.wrapping_sub(*at);
            let length = copy.len() as u32;
            out.put_u32(u32::from(0x80 | payload_type) << 24 | offset << 10 | length);
        }
        out.put_u8(payload_type & 0x7f);
        packed.iter().for_each(|(_, copy)| out.put_slice(copy));
        out.put_slice(payload);
        let packed = (!packed.is_empty()).then(|| out.freeze());
        self.0.push_back((timestamp, payload.clone()));
        while self.0.len() > REMEMBERED {
            self.0.pop_front();
        }
        packed
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn sound(n: u8) -> Bytes {
        Bytes::from(vec![n; 80 + usize::from(n)])
    }

    #[test]
    fn what_is_packed_comes_out_again_oldest_first() {
        let mut history = History::default();
        let at = |n: u8| (u32::MAX - 500).wrapping_add(u32::from(n) * 960);
        assert_eq!(history.pack(111, at(0), &sound(0), 2), None, "nothing before it");
        let packed: Vec<Bytes> =
            (1..6).map(|n| history.pack(111, at(n), &sound(n), 2).unwrap()).collect();
        let copy = |n: u8| AudioCopy { timestamp: at(n), payload: sound(n) };
        assert_eq!(split(at(1), &packed[0]), Some((vec![copy(0)], sound(1))));
        assert_eq!(split(at(5), &packed[4]), Some((vec![copy(1), copy(4)], sound(5))));
        assert_eq!(payload_type(&packed[4]), Some(111));
        let more = history.pack(111, at(6), &sound(6), 3).unwrap();
        assert_eq!(split(at(6), &more), Some((vec![copy(0), copy(3), copy(5)], sound(6))));
    }

    /// RFC 2198 section 7, as it would stand there for Opus: the header is written out.
    #[test]
    fn the_header_is_as_the_rfc_draws_it() {
        let mut history = History::default();
        let _ = history.pack(111, 1_000, &Bytes::from_static(b"ab"), 1);
        let packed = history.pack(111, 1_960, &Bytes::from_static(b"xyz"), 1).unwrap();
        // F and 111, then 960 in 14 bits and 2 in 10, then the last block's type.
        assert_eq!(&packed[..], b"\xef\x0f\x00\x02\x6fabxyz");
    }

    #[test]
    fn only_as_many_copies_as_are_wanted_and_fit() {
        let mut history = History::default();
        let _ = history.pack(111, 0, &sound(1), 0);
        let _ = history.pack(111, 960, &sound(2), 0);
        let packed = history.pack(111, 1_920, &sound(3), 1).unwrap();
        assert_eq!(split(1_920, &packed).unwrap().0.len(), 1);
        assert_eq!(history.pack(111, 2_880, &sound(3), 0), None);
        assert_eq!(history.pack(111, 40_000, &sound(4), 2), None, "both are too old to be named");
    }

    #[test]
    fn what_is_broken_or_boundless_is_refused() {
        let bad: [&[u8]; 5] =
            [b"", b"\xef\x0f", b"\xef\x0f\x00\x09\x6fab", b"\x6f", &[0xef; 4 * (MAX_TAKEN + 2)]];
        for payload in bad {
            assert_eq!(split(0, &Bytes::copy_from_slice(payload)), None, "{payload:?}");
            let _ = payload_type(payload);
        }
        // A block of another type is passed over, and the rest taken.
        let other = Bytes::from_static(b"\x80\x0f\x00\x02\x6fabxyz");
        assert_eq!(split(0, &other), Some((vec![], Bytes::from_static(b"xyz"))));
    }

    proptest::proptest! {
        #[test]
        fn never_panics_and_makes_nothing_up(timestamp: u32, payload: Vec<u8>) {
            let payload = Bytes::from(payload);
            if let Some((copies, new)) = split(timestamp, &payload) {
                let sum: usize = copies.iter().map(|copy| copy.payload.len()).sum();
                proptest::prop_assert!(copies.len() <= MAX_TAKEN && sum + new.len() < payload.len());
            }
        }
    }
}
