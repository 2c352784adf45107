//! How long a flight of the DTLS handshake waits for its answer before it is sent again. Pure.
//!
//! W11: the library sends a flight again after a whole second, and gives up after seven. Where
//! packets are lost a call would come up late or never. A record that comes twice is passed over by
//! its number (RFC 6347 section 4.1.2.6), so that the same datagrams can be sent again sooner.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How often one datagram is sent again at most.
pub(super) const TIMES: u32 = 4;

/// What a round trip is taken for before a check was answered, and what an answer takes beyond it.
const GUESSED_RTT: Duration = Duration::from_millis(120);
const SLACK: Duration = Duration::from_millis(25);

/// Checks that are on their way at most.
const CHECKS: usize = 32;

/// Where a binding request has its transaction ID (RFC 8489 section 5).
const TRANSACTION: std::ops::Range<usize> = 8..20;

/// Where the first record of a datagram has epoch and sequence number (RFC 6347 section 4.1).
const NUMBER: std::ops::Range<usize> = 3..11;

type Transaction = [u8; 12];

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Handshake {
    checks: VecDeque<(Transaction, Instant)>,
    rtt: Option<Duration>,
    /// Epoch and sequence number of the newest record that came.
    newest: Option<u64>,
}

impl Handshake {
    /// Something is sent.
    pub(super) fn on_sent(&mut self, now: Instant, bytes: &[u8]) {
        if bytes.starts_with(&[0x00, 0x01])
            && let Some(transaction) = transaction(bytes)
        {
            if self.checks.len() == CHECKS {
                self.checks.pop_front();
            }
            self.checks.push_back((transaction, now));
        }
    }

    /// Something came.
    pub(super) fn on_received(&mut self, now: Instant, bytes: &[u8]) {
        if is_part(bytes) {
            self.newest = self.newest.max(number(bytes));
        } else if bytes.starts_with(&[0x01, 0x01])
            && let Some(answered) = transaction(bytes)
            && let Some(at) = self.checks.iter().position(|(asked, _)| *asked == answered)
            && let Some((_, asked)) = self.checks.remove(at)
        {
            let took = now.saturating_duration_since(asked);
            self.rtt = Some(self.rtt.map_or(took, |rtt| rtt.min(took)));
        }
    }

    /// The newest that came so far: a flight is answered when it is another one.
    pub(super) fn newest(&self) -> Option<u64> {
        self.newest
    }

    /// How long a flight waits for its answer.
    pub(super) fn patience(&self) -> Duration {
        self.rtt.unwrap_or(GUESSED_RTT).mul_f64(1.25) + SLACK
    }
}

/// Whether a datagram is part of a handshake: handshake and change cipher spec, not alerts or data.
pub(super) fn is_part(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(20 | 22))
}

fn transaction(bytes: &[u8]) -> Option<Transaction> {
    bytes.get(TRANSACTION)?.try_into().ok()
}

fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(NUMBER)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn check(method: u8, transaction: u8) -> Vec<u8> {
        let mut bytes = vec![method, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        bytes.extend([transaction; 12]);
        bytes
    }

    fn record(epoch: u8, sequence: u8) -> Vec<u8> {
        vec![22, 254, 253, 0, epoch, 0, 0, 0, 0, 0, sequence, 0, 1, 0]
    }

    #[test]
    fn patience_follows_the_checks() {
        let (mut handshake, start) = (Handshake::default(), clock::now());
        let guessed = handshake.patience();
        handshake.on_sent(start, &check(0, 1));
        handshake.on_received(start + Duration::from_millis(40), &check(1, 2));
        assert_eq!(handshake.patience(), guessed, "an answer to somebody else");
        handshake.on_received(start + Duration::from_millis(40), &check(1, 1));
        assert_eq!(handshake.patience(), Duration::from_millis(75));
        handshake.on_received(start + Duration::from_millis(90), &check(1, 1));
        assert_eq!(handshake.patience(), Duration::from_millis(75), "twice is once");
    }

    #[test]
    fn only_what_is_new_answers() {
        let mut handshake = Handshake::default();
        let now = clock::now();
        let heard = |handshake: &mut Handshake, bytes: &[u8]| {
            let before = handshake.newest();
            handshake.on_received(now, bytes);
            handshake.newest() != before
        };
        assert!(heard(&mut handshake, &record(0, 3)));
        assert!(!heard(&mut handshake, &record(0, 3)), "sent again");
        assert!(!heard(&mut handshake, &record(0, 2)), "overtaken");
        assert!(heard(&mut handshake, &record(1, 0)), "another epoch");
        assert!(!heard(&mut handshake, &[22, 254]), "cut off");
        assert!(!heard(&mut handshake, &[23, 254, 253, 0, 9, 0, 0, 0, 0, 0, 9]), "data");
    }

    proptest::proptest! {
        #[test]
        fn takes_anything(datagrams: Vec<Vec<u8>>) {
            let mut handshake = Handshake::default();
            for bytes in &datagrams {
                handshake.on_sent(clock::now(), bytes);
                handshake.on_received(clock::now(), bytes);
            }
        }
    }
}
