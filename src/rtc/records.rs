//! Which DTLS records go on to the library. Pure.
//!
//! Until the handshake is over nothing in it is protected: whoever can send in the name of the other
//! side can forge it. So alerts are not believed then, what cannot be is dropped, and all together is
//! bounded far above what the longest chain of certificates takes; afterwards nothing unprotected is
//! taken at all.

use std::collections::{BTreeMap, BTreeSet};

use super::refused_datagrams::Refusal;

/// Content types (RFC 6347 section 4.1, RFC 5246 section 6.2.1).
const CHANGE_CIPHER_SPEC: u8 = 20;
const HANDSHAKE: u8 = 22;

/// Records and bytes of one handshake, and fragments of one message of it. The longest chains have
/// about 16 kB, 14 fragments, and are sent eight times at most.
const MOST_RECORDS: usize = 512;
const MOST_BYTES: usize = 256 * 1024;
const MOST_FRAGMENTS: u32 = 128;

/// Messages of a handshake are numbered from 0; there are about a dozen.
const MOST_MESSAGES: u16 = 64;

/// No message is longer.
const LONGEST_MESSAGE: u32 = 64 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Records {
    seen: BTreeSet<u64>,
    bytes: usize,
    fragments: BTreeMap<u16, u32>,
}

/// A record: its type, and epoch and sequence number together.
struct Record<'a> {
    kind: u8,
    number: u64,
    body: &'a [u8],
}

impl Record<'_> {
    fn is_protected(&self) -> bool {
        self.number >> 48 > 0
    }
}

impl Records {
    /// Whether a datagram of them goes on; `secured` says that the handshake is over.
    pub(super) fn pass(&mut self, datagram: &[u8], secured: bool) -> Result<(), Refusal> {
        let records = split(datagram).ok_or(Refusal::Handshake)?;
        if secured {
            return match records.iter().all(Record::is_protected) {
                true => Ok(()),
                false => Err(Refusal::Handshake),
            };
        }
        // Whoever sends a number again with something else in it is not heard with that.
        if records.iter().any(|record| self.seen.contains(&record.number)) {
            return Err(Refusal::Repeated);
        }
        records.iter().try_for_each(|record| self.note(record))
    }

    fn note(&mut self, record: &Record<'_>) -> Result<(), Refusal> {
        let fits = self.seen.len() < MOST_RECORDS && self.bytes + record.body.len() <= MOST_BYTES;
        let possible = record.is_protected()
            || match record.kind {
                CHANGE_CIPHER_SPEC => true,
                HANDSHAKE => self.note_fragments(record.body).is_some(),
                _ => false,
            };
        if !fits || !possible {
            return Err(Refusal::Handshake);
        }
        self.bytes += record.body.len();
        self.seen.insert(record.number);
        Ok(())
    }

    /// The fragments of messages in a record (RFC 6347 section 4.2.2); `None` where they cannot be.
    fn note_fragments(&mut self, mut body: &[u8]) -> Option<()> {
        let mut found = Vec::new();
        while !body.is_empty() {
            let (header, rest) = body.split_at_checked(12)?;
            let [_, l0, l1, l2, s0, s1, o0, o1, o2, f0, f1, f2] = header.try_into().ok()?;
            let number = |bytes: [u8; 3]| u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]);
            let (length, offset) = (number([l0, l1, l2]), number([o0, o1, o2]));
            let (sequence, fragment) = (u16::from_be_bytes([s0, s1]), number([f0, f1, f2]));
            let whole = length == 0 && offset == 0 && fragment == 0;
            let part = fragment > 0 && offset.checked_add(fragment)? <= length;
            if !(whole || part) || length > LONGEST_MESSAGE || sequence >= MOST_MESSAGES {
                return None;
            }
            found.push(sequence);
            body = rest.get(usize::try_from(fragment).ok()?..)?;
        }
        for sequence in found {
            let count = self.fragments.entry(sequence).or_default();
            *count += 1;
            if *count > MOST_FRAGMENTS {
                return None;
            }
        }
        Some(())
    }

    /// Epoch and sequence number of the newest record that came, in one number.
    pub(super) fn newest(&self) -> Option<u64> {
        self.seen.last().copied()
    }
}

/// The records of a datagram; `None` when they do not fill it.
fn split(mut datagram: &[u8]) -> Option<Vec<Record<'_>>> {
    let mut records = Vec::new();
    while !datagram.is_empty() {
        let (header, rest) = datagram.split_at_checked(13)?;
        let number = u64::from_be_bytes(header.get(3..11)?.try_into().ok()?);
        let length = u16::from_be_bytes(header.get(11..13)?.try_into().ok()?);
        let (body, rest) = rest.split_at_checked(usize::from(length))?;
        records.push(Record { kind: *header.first()?, number, body });
        datagram = rest;
    }
    (!records.is_empty()).then_some(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, epoch: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind, 254, 253];
        bytes.extend(epoch.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(sequence.to_be_bytes());
        bytes.extend((body.len() as u16).to_be_bytes());
        bytes.extend(body);
        bytes
    }

    fn fragment(message: u16, length: u32, offset: u32, bytes: u32) -> Vec<u8> {
        let three = |number: u32| number.to_be_bytes()[1..].to_vec();
        let message = message.to_be_bytes().to_vec();
        let header = [vec![11], three(length), message, three(offset), three(bytes)];
        [header.concat(), vec![0; bytes as usize]].concat()
    }

    #[test]
    fn a_long_chain_sent_again_and_again_passes() {
        let mut records = Records::default();
        let mut sequence = 0;
        for _ in 0..8 {
            for offset in (0..16_000).step_by(1_150) {
                let bytes = (16_000 - offset).min(1_150);
                let part = record(HANDSHAKE, 0, sequence, &fragment(1, 16_000, offset, bytes));
                assert_eq!(records.pass(&part, false), Ok(()));
                assert_eq!(records.pass(&part, false), Err(Refusal::Repeated), "twice is once");
                sequence += 1;
            }
            let end = [
                record(CHANGE_CIPHER_SPEC, 0, sequence, &[1]),
                record(HANDSHAKE, 1, sequence, &[7; 40]),
            ];
            assert_eq!(records.pass(&end.concat(), false), Ok(()));
            sequence += 1;
        }
        assert_eq!(records.newest(), Some(1 << 48 | u64::from(sequence - 1)));
    }

    #[test]
    fn what_nobody_protects_is_not_taken_after_the_handshake() {
        let mut records = Records::default();
        let (hello, data) = (fragment(0, 0, 0, 0), record(23, 1, 9, &[1; 30]));
        assert_eq!(records.pass(&data, true), Ok(()));
        for bytes in [record(HANDSHAKE, 0, 0, &hello), record(21, 0, 1, &[2, 40])] {
            assert!(records.pass(&bytes, true).is_err());
            assert!(records.pass(&[data.clone(), bytes].concat(), true).is_err());
        }
    }

    #[test]
    fn alerts_and_what_cannot_be_are_dropped_before_it_is_over() {
        let mut records = Records::default();
        let cases: [(&str, Vec<u8>); 8] = [
            ("an alert", record(21, 0, 0, &[2, 40])),
            ("data", record(23, 0, 0, &[0; 10])),
            ("a fragment beyond its message", record(HANDSHAKE, 0, 0, &fragment(0, 0, 1, 1))),
            ("a fragment of nothing", record(HANDSHAKE, 0, 0, &fragment(0, 9, 5, 0))),
            ("a message too long", record(HANDSHAKE, 0, 0, &fragment(0, 70_000, 0, 9))),
            ("a number too high", record(HANDSHAKE, 0, 0, &fragment(100, 9, 0, 9))),
            ("half a header", record(HANDSHAKE, 0, 0, &[11, 0])),
            ("half a record", vec![22, 254, 253, 0]),
        ];
        for (what, bytes) in cases {
            assert_eq!(records.pass(&bytes, false), Err(Refusal::Handshake), "{what}");
        }
    }

    #[test]
    fn a_flood_of_fragments_ends() {
        let mut records = Records::default();
        let passed = (0..5_000).filter(|n| {
            let part = record(HANDSHAKE, 0, *n, &fragment(3, 30_000, *n, 1));
            records.pass(&part, false).is_ok()
        });
        assert_eq!(passed.count(), MOST_FRAGMENTS as usize);
        let whole: Vec<u8> = (0..100).flat_map(|n| fragment(4, 30_000, n, 1)).collect();
        let passed = (0..5_000_u32)
            .filter(|n| records.pass(&record(HANDSHAKE, 0, 9_000 + n, &whole), false).is_ok());
        assert_eq!(passed.count(), 1);
    }
}
