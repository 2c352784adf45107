//! Which datagrams go on to the library. Pure.
//!
//! W12: the library takes whatever is no STUN message from any address once it has a path, believes
//! unprotected alerts, and recurses over the fragments of a handshake: a few datagrams of a stranger
//! kept a call from coming up or ended the program. So what a datagram is goes by its first byte (RFC
//! 7983 section 7), and only who has shown that he knows the call is heard: who answered a check of
//! ours, or whose check was answered by us (RFC 8445 section 12.2). Checks themselves are let in from
//! everybody who has our password (`passwords.rs`), and answers to ours from whom was asked. Behind a
//! TURN server too: it lets in everybody at an address that it was told once (RFC 8656 section 9).

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::checks::{Checks, Pair, Whom};
use super::handshake::{Handshake, fatal_alert};
use super::passwords::Passwords;
use super::records::Records;

/// Checks of ours that are on their way at most.
const MOST_CHECKS: usize = 512;

/// Addresses that are known at most; a call has some dozens of pairs.
const MOST_KNOWN: usize = 128;

/// Addresses whose checks are taken in one session, beyond those that are known: as many as candidates
/// that are looked at, and some that nobody could tell us of (peer-reflexive ones). Each becomes a
/// candidate of theirs, whatever their description says.
const MOST_VISITORS: usize = 40;

/// Channels of TURN servers that are known at most.
const MOST_CHANNELS: usize = 128;

/// Where a message has its transaction ID (RFC 8489 section 5), and the types of a binding request
/// and of the answer to one.
const TRANSACTION: std::ops::Range<usize> = 8..20;
pub(super) const REQUEST: [u8; 2] = [0x00, 0x01];
const SUCCESS: [u8; 2] = [0x01, 0x01];
const FAILURE: [u8; 2] = [0x01, 0x11];
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const USE_CANDIDATE: [u8; 2] = [0x00, 0x25];

/// What a TURN server passes on, or is to pass on (RFC 8656 sections 11.6 and 18.4), and where it
/// stands in it; what gives an address a channel there (section 12.1).
const DATA_INDICATION: [u8; 2] = [0x00, 0x17];
const SEND_INDICATION: [u8; 2] = [0x00, 0x16];
const DATA: [u8; 2] = [0x00, 0x13];
const PEER_ADDRESS: [u8; 2] = [0x00, 0x12];
const CHANNEL_BIND: [u8; 2] = [0x00, 0x09];
const CHANNEL_NUMBER: [u8; 2] = [0x00, 0x0c];
pub(super) const STUN_HEADER: usize = 20;
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
    /// It came before, or says nothing. Not counted: the other side may send everything twice.
    Repeated,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Doors {
    checks: VecDeque<([u8; 12], Whom, Instant)>,
    known: VecDeque<Whom>,
    passwords: Passwords,
    /// Who has sent a check with our password in this session.
    visitors: Vec<Whom>,
    /// Of which server, which one, and to whom.
    channels: VecDeque<(SocketAddr, [u8; 2], [u8; 20])>,
    rtt: Option<Duration>,
    records: Records,
    /// Who was the first to refuse the handshake.
    handshake_refused: Option<Handshake>,
    refused: Refused,
    pace: Checks,
    /// The last check of ours that was let out.
    leaving: Option<(Pair, [u8; 12])>,
}

impl Doors {
    /// A description of ours is about to go out.
    pub(super) fn described_here(&mut self, sdp: &str) {
        if self.passwords.described_here(sdp) {
            self.visitors.clear();
        }
    }

    /// Whether this is a check of somebody who has our password.
    pub(super) fn is_check(&self, message: &[u8]) -> bool {
        self.passwords.fit(message)
    }

    /// Whether something may be sent now, `from` a socket and an address of it, to a TURN server where
    /// `relayed`. All but checks may; one that was let out may leave until another is, since a socket
    /// that has no room yet is asked again with it.
    pub fn may_leave(
        &mut self,
        now: Instant,
        from: (SocketAddr, Option<IpAddr>),
        to: SocketAddr,
        (bytes, relayed): (&[u8], bool),
    ) -> bool {
        let Some((whom, message)) = self.whom(to, bytes, relayed) else { return true };
        if !is_binding(message, REQUEST) {
            return true;
        }
        let pair = Pair { from, whom };
        let this = transaction(message).map(|transaction| (pair, transaction));
        if this.is_some() && self.leaving == this {
            return true;
        }
        let may = self.pace.may_leave(now, pair);
        if may {
            self.leaving = this;
        }
        may
    }

    /// Something was sent, through a TURN server where `relayed`.
    pub fn on_sent(&mut self, now: Instant, to: SocketAddr, bytes: &[u8], relayed: bool) {
        if relayed {
            self.note_channel(to, bytes);
        }
        let Some((whom, message)) = self.whom(to, bytes, relayed) else { return };
        let alert = fatal_alert(message).map(Handshake::Refused);
        self.handshake_refused = self.handshake_refused.or(alert);
        let Some(transaction) = transaction(message) else { return };
        if message.starts_with(&REQUEST) {
            if self.checks.len() == MOST_CHECKS {
                self.checks.pop_front();
            }
            self.checks.push_back((transaction, whom, now));
        } else if message.starts_with(&SUCCESS) {
            // The library answers so only to who has the password.
            self.admit(whom);
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
        let passes = match self.whom(from, bytes, relayed) {
            Some((whom, message)) if matches!(message.first(), Some(0..=3)) => {
                self.pass_check(now, whom, message)
            }
            Some((whom, message)) => self.pass(whom, message, secured),
            // What a server itself has to say.
            None => match bytes.first() {
                Some(0..=3) => Ok(()),
                Some(20..=63 | 128..=191) => Err(Refusal::Stranger),
                _ => Err(Refusal::Unknown),
            },
        };
        match passes {
            Ok(()) | Err(Refusal::Repeated) => {}
            Err(Refusal::Unknown) => self.refused.unknown += 1,
            Err(Refusal::Stranger) => self.refused.strangers += 1,
            Err(Refusal::Handshake) => self.refused.handshake += 1,
        }
        passes
    }

    /// A check, or the answer to one; a call has nothing else of the kind.
    fn pass_check(&mut self, now: Instant, whom: Whom, message: &[u8]) -> Result<(), Refusal> {
        let known = self.known.contains(&whom);
        let nothing = if known { Refusal::Repeated } else { Refusal::Stranger };
        if is_binding(message, SUCCESS) || is_binding(message, FAILURE) {
            return if self.answers(now, whom, message) { Ok(()) } else { Err(nothing) };
        }
        if !self.passwords.fit(message) {
            return Err(nothing);
        }
        if known || self.visitors.contains(&whom) {
            return Ok(());
        }
        if self.visitors.len() == MOST_VISITORS {
            return Err(Refusal::Stranger);
        }
        self.visitors.push(whom);
        self.pace.visited_by(whom);
        Ok(())
    }

    fn pass(&mut self, whom: Whom, message: &[u8], secured: bool) -> Result<(), Refusal> {
        match message.first() {
            Some(20..=63) if self.known.contains(&whom) => {
                // Not believed, but what a person is told when nothing comes of it.
                let alert = fatal_alert(message).map(Handshake::RefusedByThem);
                self.handshake_refused = self.handshake_refused.or(alert);
                self.records.pass(message, secured)
            }
            Some(128..=191) if self.known.contains(&whom) => Ok(()),
            Some(20..=79 | 128..=191) => Err(Refusal::Stranger),
            _ => Err(Refusal::Unknown),
        }
    }

    /// Whether this answers a check of ours that was sent to whom it comes from.
    fn answers(&mut self, now: Instant, from: Whom, message: &[u8]) -> bool {
        let Some(answered) = transaction(message) else { return false };
        let asked = |(asked, to, _): &([u8; 12], Whom, Instant)| *asked == answered && *to == from;
        let Some((_, _, at)) =
            self.checks.iter().position(asked).and_then(|n| self.checks.remove(n))
        else {
            return false;
        };
        if message.starts_with(&SUCCESS) {
            let took = now.saturating_duration_since(at);
            self.rtt = Some(self.rtt.map_or(took, |rtt| rtt.min(took)));
            self.pace.knows(from);
            self.admit(from);
        }
        true
    }

    fn admit(&mut self, whom: Whom) {
        if self.known.contains(&whom) {
            return;
        }
        if self.known.len() == MOST_KNOWN {
            self.known.pop_front();
        }
        self.known.push_back(whom);
    }

    /// We asked a server for a channel to an address.
    fn note_channel(&mut self, server: SocketAddr, bytes: &[u8]) {
        let Some(attributes) =
            bytes.get(STUN_HEADER..).filter(|_| bytes.starts_with(&CHANNEL_BIND))
        else {
            return;
        };
        let number =
            attribute(attributes, CHANNEL_NUMBER).and_then(|value| value.first_chunk::<2>());
        let address = attribute(attributes, PEER_ADDRESS).zip(bytes.get(4..STUN_HEADER));
        let address = address.and_then(|(value, hidden_by)| peer_address(value, hidden_by));
        let (Some(number), Some(address)) = (number, address) else { return };
        let server = canonical(server);
        self.channels.retain(|(of, known, _)| (of, known) != (&server, number));
        if self.channels.len() == MOST_CHANNELS {
            self.channels.pop_front();
        }
        self.channels.push_back((server, *number, address));
    }

    /// To or from whom this is, and what he is told or says; `None`: the TURN server itself.
    fn whom<'b>(&self, at: SocketAddr, bytes: &'b [u8], relayed: bool) -> Option<(Whom, &'b [u8])> {
        let to = canonical(at);
        if !relayed {
            return Some((Whom { to, behind: None }, bytes));
        }
        let (behind, inside) = unwrapped(bytes)?;
        let behind = match behind {
            Behind::Address(address) => address,
            Behind::Channel(channel) => {
                let ours =
                    |(of, number, _): &&(SocketAddr, [u8; 2], _)| (*of, *number) == (to, channel);
                self.channels.iter().find(ours)?.2
            }
        };
        Some((Whom { to, behind: Some(behind) }, inside))
    }

    /// Whose check this is that chooses a path (RFC 8445 section 7.3.1.5), where none of ours was
    /// answered from there yet. It must have been let in.
    pub(super) fn chosen_early_by(
        &self,
        from: SocketAddr,
        bytes: &[u8],
        relayed: bool,
    ) -> Option<Whom> {
        let (whom, message) = self.whom(from, bytes, relayed)?;
        let attributes = message.get(STUN_HEADER..).filter(|_| is_binding(message, REQUEST))?;
        attribute(attributes, USE_CANDIDATE)?;
        (!self.has_answered(whom)).then_some(whom)
    }

    /// Whether a check of ours was answered from there.
    pub(super) fn has_answered(&self, whom: Whom) -> bool {
        self.pace.is_known(whom)
    }

    /// Whether whoever is at this address has shown that he knows the call.
    #[must_use]
    pub(super) fn is_known(&self, at: SocketAddr) -> bool {
        self.known.contains(&Whom { to: canonical(at), behind: None })
    }

    /// The least that a check took to be answered, if one was.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.rtt
    }

    /// How the handshake stands that has not ended.
    #[must_use]
    pub fn handshake(&self) -> Handshake {
        match (self.handshake_refused, self.records.newest()) {
            (Some(refused), _) => refused,
            (None, Some(_)) => Handshake::Unfinished,
            (None, None) => Handshake::Unanswered,
        }
    }

    /// Whether one side has refused it.
    #[must_use]
    pub fn is_handshake_refused(&self) -> bool {
        self.handshake_refused.is_some()
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

pub(super) fn is_binding(message: &[u8], kind: [u8; 2]) -> bool {
    message.starts_with(&kind) && message.get(4..8) == Some(&COOKIE)
}

/// How a message through a TURN server says whom it is about.
enum Behind {
    Address([u8; 20]),
    Channel([u8; 2]),
}

/// What a TURN server passes on, or is to pass on, and whom it is about.
fn unwrapped(bytes: &[u8]) -> Option<(Behind, &[u8])> {
    match bytes.first()? {
        64..=79 => {
            Some((Behind::Channel(*bytes.first_chunk::<2>()?), bytes.get(CHANNEL_HEADER..)?))
        }
        _ if [DATA_INDICATION, SEND_INDICATION].iter().any(|kind| bytes.starts_with(kind)) => {
            let attributes = bytes.get(STUN_HEADER..)?;
            // An IPv6 address is hidden by the transaction (RFC 8489 section 14.2).
            let address = attribute(attributes, PEER_ADDRESS)?;
            let address = peer_address(address, bytes.get(4..STUN_HEADER)?)?;
            Some((Behind::Address(address), attribute(attributes, DATA)?))
        }
        _ => None,
    }
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
pub(super) fn attribute(attributes: &[u8], wanted: [u8; 2]) -> Option<&[u8]> {
    attribute_at(attributes, wanted).map(|(_, value)| value)
}

/// The same, and where its type and length begin.
pub(super) fn attribute_at(attributes: &[u8], wanted: [u8; 2]) -> Option<(usize, &[u8])> {
    let mut at = 0;
    while let [t0, t1, l0, l1, rest @ ..] = attributes.get(at..)? {
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        if [*t0, *t1] == wanted {
            return Some((at, rest.get(..length)?));
        }
        at += 4 + length.next_multiple_of(4);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::rtc::passwords::check;
    use proptest::prelude::*;

    const US: &str = "v=0\r\na=ice-ufrag:ours\r\na=ice-pwd:secret\r\n";

    fn doors() -> (Doors, Instant) {
        let mut doors = Doors::default();
        doors.described_here(US);
        (doors, clock::now())
    }

    /// A check of theirs.
    fn request(transaction: u8) -> Vec<u8> {
        check("ours:theirs", "secret", transaction)
    }

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
        let (mut doors, now) = doors();
        let (them, stranger) = (THEM.into(), STRANGER.into());
        assert_eq!(doors.on_received(now, them, &MEDIA, DIRECT), Err(Refusal::Stranger));
        doors.on_sent(now, them, &message(REQUEST, 1), false);
        let later = now + Duration::from_millis(30);
        let answer = message(SUCCESS, 1);
        assert!(doors.on_received(later, stranger, &answer, DIRECT).is_err(), "not asked there");
        assert!(doors.on_received(later, stranger, &MEDIA, DIRECT).is_err());
        assert_eq!(doors.on_received(later, them, &answer, DIRECT), Ok(()));
        assert_eq!(doors.on_received(later, them, &MEDIA, DIRECT), Ok(()));
        assert_eq!(doors.round_trip(), Some(Duration::from_millis(30)));
        let mapped = "[::ffff:192.0.2.1]:5000".parse().expect("an address");
        assert_eq!(doors.on_received(later, mapped, &MEDIA, DIRECT), Ok(()));
        assert_eq!(doors.refused(), Refused { strangers: 3, ..Refused::default() });
    }

    #[test]
    fn whose_check_was_answered_may_begin_the_handshake() {
        let (mut doors, now) = doors();
        let them = THEM.into();
        let early = (false, false);
        assert!(doors.on_received(now, them, &hello(0), early).is_err());
        assert!(doors.on_received(now, them, &request(7), early).is_ok());
        assert!(doors.on_received(now, them, &hello(0), early).is_err(), "nobody has looked at it");
        doors.on_sent(now, them, &message(SUCCESS, 7), false);
        assert!(doors.on_received(now, them, &hello(0), early).is_ok());
    }

    /// A message to or from somebody behind a TURN server, by his address.
    fn wrapped(kind: [u8; 2], address: u8, inside: &[u8]) -> Vec<u8> {
        let mut bytes = message(kind, address);
        let hidden = [address, 1, 2, 3].into_iter().zip(COOKIE).map(|(a, b)| a ^ b);
        bytes.extend([0, 0x12, 0, 8, 0, 1, 2, 3].into_iter().chain(hidden));
        bytes.extend([0, 0x13, 0, inside.len() as u8]);
        bytes.extend(inside);
        bytes
    }

    fn channel(number: u8, inside: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x40, number, 0, inside.len() as u8];
        bytes.extend(inside);
        bytes
    }

    fn bind(number: u8, address: u8) -> Vec<u8> {
        let mut bytes = wrapped(CHANNEL_BIND, address, &[]);
        bytes.extend([0, 0x0c, 0, 4, 0x40, number, 0, 0]);
        bytes
    }

    #[test]
    fn what_a_server_passes_on_is_looked_into() {
        let (mut doors, now) = (Doors::default(), clock::now());
        let server = THEM.into();
        doors.on_sent(now, server, &bind(1, 9), true);
        doors.on_sent(now, server, &wrapped(SEND_INDICATION, 9, &message(REQUEST, 3)), true);
        assert_eq!(
            doors.on_received(now, server, &channel(1, &hello(0)), (true, false)),
            Err(Refusal::Stranger),
            "he has not answered"
        );
        let answer = channel(1, &message(SUCCESS, 3));
        assert_eq!(doors.on_received(now, server, &answer, (true, false)), Ok(()));
        for wrapped in
            [channel(1, &hello(0)), wrapped(DATA_INDICATION, 9, &hello(1)), channel(1, &MEDIA)]
        {
            assert_eq!(doors.on_received(now, server, &wrapped, (true, false)), Ok(()));
        }
        for wrapped in [channel(1, &hello(2)), wrapped(DATA_INDICATION, 9, &hello(3))] {
            let late = doors.on_received(now, server, &wrapped, (true, true));
            assert_eq!(late, Err(Refusal::Handshake));
        }
        assert_eq!(
            doors.on_received(now, server, &channel(1, &MEDIA), DIRECT),
            Err(Refusal::Stranger),
            "no server"
        );
    }

    #[test]
    fn behind_a_server_strangers_are_strangers_too() {
        let (mut doors, now) = doors();
        let server = THEM.into();
        for (number, address) in [(1, 9), (2, 8)] {
            doors.on_sent(now, server, &bind(number, address), true);
        }
        doors.on_sent(now, server, &channel(1, &message(SUCCESS, 3)), true);
        let mut hears = |bytes: &[u8]| doors.on_received(now, server, bytes, (true, false));
        assert_eq!(hears(&channel(2, &request(4))), Ok(()), "for the library");
        assert!(hears(&channel(2, &message(REQUEST, 4))).is_err(), "without a password");
        for stranger in [
            channel(2, &hello(0)),
            channel(3, &hello(0)),
            wrapped(DATA_INDICATION, 8, &hello(0)),
            wrapped(DATA_INDICATION, 8, &MEDIA),
            MEDIA.to_vec(),
        ] {
            assert!(hears(&stranger).is_err(), "{stranger:?}");
        }
        assert_eq!(hears(&wrapped(DATA_INDICATION, 9, &hello(0))), Ok(()));
        assert_eq!(hears(&message(SUCCESS, 5)), Ok(()), "the server itself");
    }

    #[test]
    fn checks_take_turns_and_nothing_else_does() {
        let (mut doors, now) = (Doors::default(), clock::now());
        let from = (STRANGER.into(), None);
        let wrapped = |address, kind| wrapped(SEND_INDICATION, address, &message(kind, 1));
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
        // Who was answered may not be who is there; who has answered is.
        doors.on_sent(now, them, &message(SUCCESS, 1), false);
        assert!(!doors.may_leave(now, from, them, (&message(REQUEST, 1), false)));
        doors.on_sent(now, them, &message(REQUEST, 7), false);
        assert_eq!(doors.on_received(now, them, &message(SUCCESS, 7), DIRECT), Ok(()));
        assert!(doors.may_leave(now, from, them, (&message(REQUEST, 1), false)));
        doors.on_sent(now, other, &wrapped(9, REQUEST), true);
        assert!(!doors.may_leave(now, from, other, (&wrapped(9, REQUEST), true)));
        let answer = super::tests::wrapped(DATA_INDICATION, 9, &message(SUCCESS, 1));
        assert_eq!(doors.on_received(now, other, &answer, (true, true)), Ok(()));
        assert!(doors.may_leave(now, from, other, (&wrapped(9, REQUEST), true)));
        assert!(!doors.may_leave(now, from, other, (&wrapped(8, REQUEST), true)));
    }

    #[test]
    fn a_check_that_was_let_out_may_leave_when_its_socket_has_room() {
        let (mut doors, now) = doors();
        let from = (STRANGER.into(), None);
        let mut may = |transaction| {
            doors.may_leave(now, from, THEM.into(), (&message(REQUEST, transaction), false))
        };
        assert!(may(1) && may(1), "the socket asks again");
        assert!(!may(2), "another one waits for its turn");
    }

    #[test]
    fn who_chooses_a_path_before_he_has_answered_is_known() {
        let (mut doors, now) = doors();
        let (them, server) = (THEM.into(), STRANGER.into());
        let chooses = [&request(1)[..], &USE_CANDIDATE, &[0, 0]].concat();
        assert_eq!(doors.chosen_early_by(them, &request(1), false), None);
        let whom = doors.chosen_early_by(them, &chooses, false).expect("he chooses");
        assert!(
            doors.chosen_early_by(server, &wrapped(DATA_INDICATION, 9, &chooses), true).is_some()
        );
        assert!(!doors.has_answered(whom));
        doors.on_sent(now, them, &message(REQUEST, 5), false);
        assert_eq!(doors.on_received(now, them, &message(SUCCESS, 5), DIRECT), Ok(()));
        assert!(doors.has_answered(whom));
        assert_eq!(doors.chosen_early_by(them, &chooses, false), None, "the library answers");
    }

    #[test]
    fn what_is_no_check_of_theirs_does_not_reach_the_library() {
        let (mut doors, now) = doors();
        let them = THEM.into();
        // Roles, without a name or a sum; an indication; an answer that nobody asked for; a question
        // of another kind; one of multicast DNS.
        let roles = [&message(REQUEST, 1)[..], &[0x80, 0x2a, 0, 8], &[0xff; 8]].concat();
        let others = [[0x00, 0x11], [0x01, 0x01], [0x01, 0x11], [0x00, 0x03], [0x00, 0x00]];
        for known in [false, true] {
            let reason = if known { Refusal::Repeated } else { Refusal::Stranger };
            assert_eq!(doors.on_received(now, them, &roles, DIRECT), Err(reason));
            for kind in others {
                assert_eq!(doors.on_received(now, them, &message(kind, 9), DIRECT), Err(reason));
            }
            doors.on_sent(now, them, &message(REQUEST, 5), false);
            assert_eq!(doors.on_received(now, them, &message(SUCCESS, 5), DIRECT), Ok(()));
        }
        assert_eq!(doors.on_received(now, them, &request(3), DIRECT), Ok(()));
        doors.on_sent(now, them, &message(REQUEST, 6), false);
        assert_eq!(doors.on_received(now, them, &message(FAILURE, 6), DIRECT), Ok(()));
        assert!(doors.on_received(now, them, &message(FAILURE, 6), DIRECT).is_err(), "once");
    }

    #[test]
    fn there_is_an_end_to_who_asks_and_to_what_is_asked_in_return() {
        let (mut doors, now) = doors();
        let at = |n: u16| SocketAddr::from(([198, 51, 100, 1], n));
        let heard = |doors: &mut Doors| {
            let all =
                (0..1000).filter(|n| doors.on_received(now, at(*n), &request(1), DIRECT).is_ok());
            all.count()
        };
        assert_eq!(heard(&mut doors), MOST_VISITORS);
        assert_eq!(heard(&mut doors), MOST_VISITORS, "the same as before");
        let mut left = 0;
        for round in 0..100 {
            let now = now + Duration::from_millis(50 * round);
            for n in 0..1000 {
                doors.on_sent(now, at(n), &message(SUCCESS, 1), false);
                let question = message(REQUEST, round as u8);
                let from = (STRANGER.into(), None);
                left += usize::from(doors.may_leave(now, from, at(n), (&question, false)));
            }
        }
        // Three each in return, and twenty a second in turn.
        assert!(left < 3 * MOST_VISITORS + 5 * 21 + 40, "{left}");
        doors.described_here(&US.replace("ours", "anew").replace("secret", "other"));
        let fresh = check("anew:theirs", "other", 1);
        assert_eq!(doors.on_received(now, at(2000), &fresh, DIRECT), Ok(()));
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
