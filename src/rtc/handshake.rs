//! How a flight of the DTLS handshake is sent again, and what is known of a handshake that does not
//! end. Pure.
//!
//! W11: the library sends a flight again after a whole second, and gives up after seven. Where
//! packets are lost a call would come up late or never. A record that comes twice is passed over by
//! its number (RFC 6347 section 4.1.2.6), so that the same datagrams can be sent again sooner.

use std::fmt;
use std::time::Duration;

/// How often one datagram is sent again at most, and how much longer each time waits.
pub(super) const TIMES: u32 = 4;
pub(super) const BACK_OFF: f64 = 1.5;

/// What a round trip is taken for before a check was answered, and what an answer takes beyond it.
const GUESSED_RTT: Duration = Duration::from_millis(120);
const SLACK: Duration = Duration::from_millis(25);

/// How long a handshake may still end well after one side has refused it: nothing in it is protected,
/// and somebody else may have said so.
pub(super) const REFUSED: Duration = Duration::from_secs(3);

/// Alerts (RFC 5246 section 7.2): their content type, and the level that ends a connection.
const ALERT: u8 = 21;
const FATAL: u8 = 2;

/// What is known of a handshake that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    /// Nothing of it has come.
    Unanswered,
    /// It has begun.
    Unfinished,
    /// We have refused, with this alert (RFC 5246 section 7.2.2).
    Refused(u8),
    /// They have, or somebody in their name.
    RefusedByThem(u8),
}

impl Handshake {
    /// What can be done about it.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Unanswered => {
                "something in between may let only a part through: try a TURN server, --turn turn:HOST:PORT"
            }
            Self::Unfinished => "try again, or use a TURN server, --turn turn:HOST:PORT",
            Self::Refused(_) | Self::RefusedByThem(_) => {
                "look for a newer version of the program on the other side: DTLS 1.2 is needed, with \
                 ECDHE, AES, a certificate on each side and keys for SRTP"
            }
        }
    }
}

impl fmt::Display for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = match self {
            Self::Unanswered => {
                return f.write_str(
                    "a path was found, but the other side never started encryption (DTLS)",
                );
            }
            Self::Unfinished => {
                return f.write_str(
                    "a path was found, but the encryption (DTLS) of it was never agreed on",
                );
            }
            Self::Refused(_) => "",
            Self::RefusedByThem(_) => ", reported by the other side",
        };
        let (Self::Refused(alert) | Self::RefusedByThem(alert)) = self else { return Ok(()) };
        let why = match alert {
            40 | 71 => "no common cipher",
            70 => "no common version",
            41..=46 | 48 | 49 | 116 => "a certificate was rejected",
            _ => "a message was not understood",
        };
        write!(f, "the two sides could not agree on encryption (DTLS): {why}{by} (alert {alert})")
    }
}

/// The alert that ends a connection, where that is what a datagram is. Those that are protected cannot
/// be read; they are longer.
pub(super) fn fatal_alert(datagram: &[u8]) -> Option<u8> {
    match datagram {
        [ALERT, _, _, _, _, _, _, _, _, _, _, 0, 2, FATAL, alert] => Some(*alert),
        _ => None,
    }
}

/// How long a flight waits for its answer on a path with this round trip.
pub(super) fn patience(round_trip: Option<Duration>) -> Duration {
    round_trip.unwrap_or(GUESSED_RTT).mul_f64(1.25) + SLACK
}

/// Whether a datagram is part of a handshake: handshake and change cipher spec, not alerts or data.
pub(super) fn is_part(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(20 | 22))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_it_comes_before_the_library_sends_again() {
        let first = patience(Some(Duration::from_millis(80))).as_secs_f64();
        assert!(first > 0.08);
        let all: f64 = (0..TIMES).map(|n| first * BACK_OFF.powi(n as i32)).sum();
        assert!(all < 1.1, "{all}");
        assert!(is_part(&[22, 254, 253]) && !is_part(&[21, 254, 253]) && !is_part(&[]));
    }

    #[test]
    fn only_what_ends_a_connection_and_can_be_read_is_an_alert() {
        let record = |kind, body: &[u8]| {
            let head = [kind, 254, 253, 0, 0, 0, 0, 0, 0, 0, 7, 0, body.len() as u8];
            [&head[..], body].concat()
        };
        assert_eq!(fatal_alert(&record(21, &[2, 40])), Some(40));
        let others = [(21, &[1, 0][..]), (22, &[2, 40]), (21, &[2]), (21, &[2, 40, 9]), (21, &[])];
        for (kind, body) in others {
            assert_eq!(fatal_alert(&record(kind, body)), None, "{kind} {body:?}");
        }
        assert_eq!(fatal_alert(&[]), None);
    }

    #[test]
    fn the_words_say_who_and_what() {
        let refused = Handshake::Refused(40).to_string();
        assert!(!refused.contains("other side") && refused.contains("no common"), "{refused}");
        let refused = Handshake::RefusedByThem(42).to_string();
        assert!(
            refused.contains("by the other side") && refused.contains("certificate"),
            "{refused}"
        );
        assert!(Handshake::Unanswered.to_string().contains("DTLS"));
        assert!(Handshake::Unfinished.to_string().contains("never agreed on"));
    }
}
