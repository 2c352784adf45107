//! How a flight of the DTLS handshake is sent again. Pure.
//!
//! W11: the library sends a flight again after a whole second, and gives up after seven. Where
//! packets are lost a call would come up late or never. A record that comes twice is passed over by
//! its number (RFC 6347 section 4.1.2.6), so that the same datagrams can be sent again sooner.

use std::time::Duration;

/// How often one datagram is sent again at most, and how much longer each time waits.
pub(super) const TIMES: u32 = 4;
pub(super) const BACK_OFF: f64 = 1.5;

/// What a round trip is taken for before a check was answered, and what an answer takes beyond it.
const GUESSED_RTT: Duration = Duration::from_millis(120);
const SLACK: Duration = Duration::from_millis(25);

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
}
