//! Which datagrams go on to the library. Pure.
//!
//! W12: the library takes whatever is no STUN message from any address once it has a path, believes
//! unprotected alerts, and recurses over the fragments of a handshake: a few datagrams of a stranger
//! kept a call from coming up or ended the program. So what a datagram is goes by its first byte (RFC
//! 7983 section 7), and only who has shown that he knows the call is heard: who answered a check of
//! ours, or whose check was answered by us (RFC 8445 section 12.2).

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::checks::{Checks, Pair, Whom};
use super::records::Records;

/// Checks of ours that are on their way at most.
const MOST_CHECKS: usize = 512;

/// Addresses that are known at most; a call has some dozens of pairs.
const MOST_KNOWN: usize = 128;

/// Where a message has its transaction ID (RFC 8489 section 5), and the types of a binding request
/// and of the answer to one.
const TRANSACTION: std::ops::Range<usize> = 8..20;
const REQUEST: [u8; 2] = [0x00, 0x01];
const SUCCESS: [u8; 2] = [0x01, 0x01];
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// What a TURN server passes on, or is to pass on (RFC 8656 sections 11.6 and 18.4), and where it
/// stands in it.
const DATA_INDICATION: [u8; 2] = [0x00, 0x17];
const SEND_INDICATION: [u8; 2] = [0x00, 0x16];
const DATA: [u8; 2] = [0x00, 0x13];
const PEER_ADDRESS: [u8; 2] = [0x00, 0x12];
const STUN_HEADER: usize = 20;
const CHANNEL_HEADER: usize = 4;

/// Datagrams that were not let in, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// Neither STUN nor DTLS nor media.
    pub unknown: u64,
    /// From an address that knows nothing of the call.
    pub strangers: u64,
    /// Parts of a handshake that cannot be, come too late or are too many.
    pub handshake: u64,
}

impl Refused {
    /// Whether there was none.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Why a datagram is not let in; see [`Refused`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is nothing that a call has.
    Unknown,
    /// Its sender knows nothing of the call.
    Stranger,
    /// No handshake can have it now.
    Handshake,
    /// It came before. Not counted: the other side may send everything twice.
    Repeated,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Doors {
    checks: VecDeque<([u8; 12], SocketAddr, Instant)>,
    known: VecDeque<SocketAddr>,
    rtt: Option<Duration>,
    records: Records,
    refused: Refused,
    pace: Checks,
}

impl Doors {
    /// Whether something may be sent now, `from` a socket and an address of it, to a TURN server where
    /// `relayed`. All but checks may.
    pub fn may_leave(
        &mut self,
        now: Instant,
        from: (SocketAddr, Option<IpAddr>),
        to: SocketAddr,
        (bytes, relayed): (&[u8], bool),
    ) -> bool {
        let Some(whom) = whom(to, bytes, relayed, REQUEST) else { return true };
        if !relayed && self.knows(to) {
            return true;
        }
        self.pace.may_leave(now, Pair { from, whom })
    }

    /// Something was sent, through a TURN server where `relayed`.
    pub fn on_sent(&mut self, now: Instant, to: SocketAddr, bytes: &[u8], relayed: bool) {
        if relayed && let Some(whom) = whom(to, bytes, relayed, SUCCESS) {
            self.pace.knows(whom);
        }
        let Some(transaction) = transaction(bytes) else { return };
        if bytes.starts_with(&REQUEST) {
            if self.checks.len() == MOST_CHECKS {
                self.checks.pop_front();
            }
            self.checks.push_back((transaction, canonical(to), now));
        } else if bytes.starts_with(&SUCCESS) {
            // The library answers so only to who has the password.
            self.admit(to);
        }
    }

    /// Something came from `from`, through a TURN server where `relayed`; `secured` says that the
    /// handshake is over.
    ///
    /// # Errors
    /// Why it is not let in.
    pub fn on_received(
        &mut self,
        now: Instant,
        from: SocketAddr,
        bytes: &[u8],
        (relayed, secured): (bool, bool),
    ) -> Result<(), Refusal> {
        // A server that tells us our address is not the other side.
        if !relayed {
            self.note_answer(now, from, bytes);
        } else if let Some(whom) = whom(from, bytes, relayed, SUCCESS) {
            self.pace.knows(whom);
        }
        let passes = match (bytes.first(), relayed) {
            (Some(0..=3), false) => Ok(()),
            (Some(0..=3 | 64..=79), true) => {
                inside(bytes).map_or(Ok(()), |inside| self.records.pass(inside, secured))
            }
            (Some(20..=63), _) if self.knows(from) => self.records.pass(bytes, secured),
            (Some(128..=191), _) if self.knows(from) => Ok(()),
            (Some(20..=79 | 128..=191), _) => Err(Refusal::Stranger),
            _ => Err(Refusal::Unknown),
        };
        match passes {
            Ok(()) | Err(Refusal::Repeated) => {}
            Err(Refusal::Unknown) => self.refused.unknown += 1,
            Err(Refusal::Stranger) => self.refused.strangers += 1,
            Err(Refusal::Handshake) => self.refused.handshake += 1,
        }
        passes
    }

    fn note_answer(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        if !bytes.starts_with(&SUCCESS) {
            return;
        }
        let (Some(answered), from) = (transaction(bytes), canonical(from)) else { return };
        let asked =
            |(asked, to, _): &([u8; 12], SocketAddr, Instant)| *asked == answered && *to == from;
        let Some((_, _, at)) =
            self.checks.iter().position(asked).and_then(|n| self.checks.remove(n))
        else {
            return;
        };
        let took = now.saturating_duration_since(at);
        self.rtt = Some(self.rtt.map_or(took, |rtt| rtt.min(took)));
        self.admit(from);
    }

    fn admit(&mut self, address: SocketAddr) {
        let address = canonical(address);
        self.pace.knows(Whom { to: address, behind: None });
        if self.known.contains(&address) {
            return;
        }
        if self.known.len() == MOST_KNOWN {
            self.known.pop_front();
        }
        self.known.push_back(address);
    }

    fn knows(&self, address: SocketAddr) -> bool {
        self.known.contains(&canonical(address))
    }

    /// The least that a check took to be answered, if one was.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.rtt
    }

    /// The newest part of a handshake that came so far: a flight is answered when it is another one.
    #[must_use]
    pub fn newest(&self) -> Option<u64> {
        self.records.newest()
    }

    /// What was not let in so far.
    #[must_use]
    pub fn refused(&self) -> Refused {
        self.refused
    }
}

/// An IPv4 address in IPv6's clothes is the same address.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn transaction(bytes: &[u8]) -> Option<[u8; 12]> {
    bytes.get(TRANSACTION)?.try_into().ok()
}

/// The DTLS records that a TURN server passes on, or is to pass on, if they are some.
pub(super) fn inside(bytes: &[u8]) -> Option<&[u8]> {
    let (_, inside) = unwrapped(bytes)?;
    matches!(inside.first(), Some(20..=63)).then_some(inside)
}

/// To or from whom a STUN message of this type is, if these bytes are one.
fn whom(at: SocketAddr, bytes: &[u8], relayed: bool, kind: [u8; 2]) -> Option<Whom> {
    let (behind, message) = match relayed {
        true => unwrapped(bytes).map(|(behind, inside)| (Some(behind), inside))?,
        false => (None, bytes),
    };
    let is_one = message.starts_with(&kind) && message.get(4..8) == Some(&COOKIE);
    is_one.then(|| Whom { to: canonical(at), behind })
}

/// What a TURN server passes on, or is to pass on, and the channel or address of whom it is about.
fn unwrapped(bytes: &[u8]) -> Option<([u8; 20], &[u8])> {
    let (about, inside) = match bytes.first()? {
        64..=79 => (bytes.get(..2)?, bytes.get(CHANNEL_HEADER..)?),
        _ if [DATA_INDICATION, SEND_INDICATION].iter().any(|kind| bytes.starts_with(kind)) => {
            let attributes = bytes.get(STUN_HEADER..)?;
            // An IPv6 address is hidden by the transaction (RFC 8489 section 14.2).
            let address = attribute(attributes, PEER_ADDRESS)?;
            let transaction = bytes.get(4..STUN_HEADER)?;
            return Some((peer_address(address, transaction)?, attribute(attributes, DATA)?));
        }
        _ => return None,
    };
    let mut behind = [0; 20];
    behind.get_mut(..2)?.copy_from_slice(about);
    Some((behind, inside))
}

/// Family, port and address, the same in every message.
fn peer_address(value: &[u8], cookie_and_transaction: &[u8]) -> Option<[u8; 20]> {
    let mut behind = [0xff; 20];
    let (head, address) = value.split_at_checked(4)?;
    behind.get_mut(..4)?.copy_from_slice(head);
    for ((to, from), hidden) in behind.iter_mut().skip(4).zip(address).zip(cookie_and_transaction) {
        *to = from ^ hidden;
    }
    Some(behind)
}

/// An attribute (RFC 8489 section 14: each is padded to four bytes).
fn attribute(mut attributes: &[u8], wanted: [u8; 2]) -> Option<&[u8]> {
    while let [t0, t1, l0, l1, rest @ ..] = attributes {
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        if [*t0, *t1] == wanted {
            return rest.get(..length);
        }
        attributes = rest.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use proptest::prelude::*;

    const THEM: ([u8; 4], u16) = ([192, 0, 2, 1], 5_000);
    const STRANGER: ([u8; 4], u16) = ([192, 0, 2, 1], 5_001);
    const MEDIA: [u8; 12] = [0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1];
    const DIRECT: (bool, bool) = (false, true);

    fn message(kind: [u8; 2], transaction: u8) -> Vec<u8> {
        let mut bytes = vec![kind[0], kind[1], 0, 0, 0x21, 0x12, 0xa4, 0x42];
        bytes.extend([transaction; 12]);
        bytes
    }

    /// A record of one whole handshake message without a body.
    fn hello(sequence: u8) -> Vec<u8> {
        let mut bytes = vec![22, 254, 253, 0, 0, 0, 0, 0, 0, 0, sequence, 0, 12];
        bytes.extend([14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes
    }

    #[test]
    fn only_who_knows_the_call_is_heard() {
        let (mut doors, now) = (Doors::default(), clock::now());
        let (them, stranger) = (THEM.into(), STRANGER.into());
        assert_eq!(doors.on_received(now, them, &MEDIA, DIRECT), Err(Refusal::Stranger));
        doors.on_sent(now, them, &message(REQUEST, 1), false);
        let later = now + Duration::from_millis(30);
        let answer = message(SUCCESS, 1);
        assert_eq!(doors.on_received(later, stranger, &answer, DIRECT), Ok(()), "for the library");
        assert!(doors.on_received(later, stranger, &MEDIA, DIRECT).is_err(), "not asked there");
        assert_eq!(doors.on_received(later, them, &answer, DIRECT), Ok(()));
        assert_eq!(doors.on_received(later, them, &MEDIA, DIRECT), Ok(()));
        assert_eq!(doors.round_trip(), Some(Duration::from_millis(30)));
        let mapped = "[::ffff:192.0.2.1]:5000".parse().expect("an address");
        assert_eq!(doors.on_received(later, mapped, &MEDIA, DIRECT), Ok(()));
        assert_eq!(doors.refused(), Refused { strangers: 2, ..Refused::default() });
    }

    #[test]
    fn whose_check_was_answered_may_begin_the_handshake() {
        let (mut doors, now) = (Doors::default(), clock::now());
        let them = THEM.into();
        let early = (false, false);
        assert!(doors.on_received(now, them, &hello(0), early).is_err());
        assert!(doors.on_received(now, them, &message(REQUEST, 7), early).is_ok());
        assert!(doors.on_received(now, them, &hello(0), early).is_err(), "nobody has looked at it");
        doors.on_sent(now, them, &message(SUCCESS, 7), false);
        assert!(doors.on_received(now, them, &hello(0), early).is_ok());
    }

    #[test]
    fn what_a_server_passes_on_is_looked_into() {
        let (mut doors, now) = (Doors::default(), clock::now());
        let server = THEM.into();
        let channel = |inside: &[u8]| [&[0x40, 1, 0, inside.len() as u8], inside].concat();
        let indication = |inside: &[u8]| {
            let mut bytes = message(DATA_INDICATION, 1);
            bytes.extend([0, 0x12, 0, 8, 0, 1, 2, 3, 4, 5, 6, 7, 0, 0x13, 0, inside.len() as u8]);
            bytes.extend(inside);
            bytes
        };
        for wrapped in [channel(&hello(0)), indication(&hello(1)), channel(&MEDIA)] {
            assert_eq!(doors.on_received(now, server, &wrapped, (true, false)), Ok(()));
        }
        for wrapped in [channel(&hello(2)), indication(&hello(3))] {
            let late = doors.on_received(now, server, &wrapped, (true, true));
            assert_eq!(late, Err(Refusal::Handshake));
        }
        assert_eq!(
            doors.on_received(now, server, &channel(&MEDIA), DIRECT),
            Err(Refusal::Stranger),
            "no server"
        );
    }

    #[test]
    fn checks_take_turns_and_nothing_else_does() {
        let (mut doors, now) = (Doors::default(), clock::now());
        let from = (STRANGER.into(), None);
        let wrapped = |address: u8, kind| {
            let mut bytes = message(SEND_INDICATION, address);
            let hidden: Vec<u8> =
                [address, 1, 2, 3].iter().zip(COOKIE).map(|(a, b)| a ^ b).collect();
            bytes.extend([&[0, 0x12, 0, 8, 0, 1, 2, 3], &hidden[..], &[0, 0x13, 0, 20]].concat());
            [bytes, message(kind, 1)].concat()
        };
        for n in 0..200 {
            let to = ([192, 0, 2, 1], n).into();
            doors.may_leave(now, from, to, (&message(REQUEST, 1), false));
        }
        let (them, other) = (([192, 0, 2, 1], 50).into(), ([192, 0, 2, 1], 51).into());
        let mut may = |to, bytes: &[u8], relayed| doors.may_leave(now, from, to, (bytes, relayed));
        assert!(!may(them, &message(REQUEST, 1), false));
        assert!(may(them, &message(SUCCESS, 1), false) && may(them, &MEDIA, false));
        assert!(may(them, &message(REQUEST, 1), true), "to a STUN server");
        assert!(!may(them, &wrapped(1, REQUEST), true) && may(them, &wrapped(1, SUCCESS), true));
        doors.on_sent(now, them, &message(SUCCESS, 1), false);
        assert!(doors.may_leave(now, from, them, (&message(REQUEST, 1), false)));
        doors.on_sent(now, other, &wrapped(9, SUCCESS), true);
        assert!(doors.may_leave(now, from, other, (&wrapped(9, REQUEST), true)));
        assert!(!doors.may_leave(now, from, other, (&wrapped(8, REQUEST), true)));
    }

    proptest! {
        #[test]
        fn takes_anything(datagrams: Vec<(Vec<u8>, bool, bool)>) {
            let (mut doors, now) = (Doors::default(), clock::now());
            for (bytes, relayed, secured) in &datagrams {
                doors.may_leave(now, (THEM.into(), None), THEM.into(), (bytes, *relayed));
                doors.on_sent(now, THEM.into(), bytes, *relayed);
                let _ = doors.on_received(now, THEM.into(), bytes, (*relayed, *secured));
            }
        }
    }
}
