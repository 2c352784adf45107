//! What a server counts: plain numbers, and how they are written for whoever collects them.
//!
//! Owns the names of the metrics (OpenMetrics 1.0). Pure: it reads no clock and knows no sockets.

use std::fmt::Write;
use std::time::Duration;

/// Why something was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// A login: somebody else has the name.
    NameTaken,
    /// A login: not the token of that name.
    WrongToken,
    /// A login: no token.
    TokenNeeded,
    /// A login: too many of one address, or too many wrong tokens.
    TooManyTries,
    /// A login: nobody can have the name.
    BadName,
    /// A message before the login.
    NotLoggedIn,
    /// An offer to nobody.
    UnknownUser,
    /// An answer, a candidate or a `leave` to somebody without an offer between the two.
    NoCall,
    /// An offer: too many to one name, from another, from an address or in all.
    TooManyOffers,
    /// What is no message.
    InvalidMessage,
    /// A message of a type that is not for servers.
    UnknownType,
    /// Too many messages, or too many bytes.
    TooFast,
    /// A message over the limit.
    TooLarge,
    /// Messages are not read.
    TooSlow,
    /// A message: for somebody who does not read as fast as he is sent to.
    NotRead,
    /// A connection: it did not log in.
    NoLogin,
    /// A connection: there are enough.
    Full,
    /// A connection: there are enough from this address, or from its network.
    AddressFull,
    /// A connection: of a page of another origin.
    ForeignOrigin,
    /// A request: for a host name that is not the server's.
    ForeignHost,
    /// A handshake that was not over when there were too many.
    Handshake,
}

impl Refused {
    const ALL: [(Self, &'static str); 21] = [
        (Self::NameTaken, "name-taken"),
        (Self::WrongToken, "wrong-token"),
        (Self::TokenNeeded, "token-needed"),
        (Self::TooManyTries, "too-many-tries"),
        (Self::BadName, "bad-name"),
        (Self::NotLoggedIn, "not-logged-in"),
        (Self::UnknownUser, "unknown-user"),
        (Self::NoCall, "no-call"),
        (Self::TooManyOffers, "too-many-offers"),
        (Self::InvalidMessage, "invalid-message"),
        (Self::UnknownType, "unknown-type"),
        (Self::TooFast, "too-fast"),
        (Self::TooLarge, "too-large"),
        (Self::TooSlow, "too-slow"),
        (Self::NotRead, "not-read"),
        (Self::NoLogin, "no-login"),
        (Self::Full, "full"),
        (Self::AddressFull, "address-full"),
        (Self::ForeignOrigin, "foreign-origin"),
        (Self::ForeignHost, "foreign-host"),
        (Self::Handshake, "handshake"),
    ];
}

/// Upper bounds of the buckets, in microseconds.
const BOUNDS: [u64; 12] =
    [10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 100_000, 1_000_000];

/// Numbers since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Logins that succeeded.
    pub logins: u64,
    /// Offers that brought two together who were not.
    pub calls: u64,
    /// Messages that were passed on.
    pub forwards: u64,
    refused: [u64; Refused::ALL.len()],
    /// How many forwards took up to each of the bounds and no less; the last is for the rest.
    latency: [u64; BOUNDS.len() + 1],
    latency_sum: Duration,
}

/// Numbers of the moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Now {
    /// Connections.
    pub connections: usize,
    /// Of them, those that are logged in.
    pub logged_in: usize,
}

impl Counts {
    /// Counts a refusal.
    pub fn refuse(&mut self, why: Refused) {
        if let Some(at) = Refused::ALL.iter().position(|(refused, _)| *refused == why) {
            self.refused[at] += 1;
        }
    }

    /// How often something was refused for this reason.
    #[must_use]
    pub fn refused(&self, why: Refused) -> u64 {
        let at = Refused::ALL.iter().position(|(refused, _)| *refused == why);
        at.map_or(0, |at| self.refused[at])
    }

    /// Counts a forward that took so long from the socket to the other's queue.
    pub fn forwarded(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let at = BOUNDS.iter().position(|bound| micros <= *bound).unwrap_or(BOUNDS.len());
        self.latency[at] += 1;
        self.latency_sum += took;
    }

    /// As OpenMetrics text.
    #[must_use]
    pub fn open_metrics(&self, now: Now) -> String {
        let mut text = String::with_capacity(4096);
        for (name, help, value) in [
            ("peer_connections", "WebSocket connections.", now.connections),
            ("peer_logged_in", "Names that are online.", now.logged_in),
        ] {
            let _ = writeln!(text, "# TYPE {name} gauge\n# HELP {name} {help}\n{name} {value}");
        }
        for (name, help, value) in [
            ("peer_logins", "Logins that succeeded.", self.logins),
            ("peer_calls", "Offers to somebody new.", self.calls),
            ("peer_forwards", "Messages that were passed on.", self.forwards),
        ] {
            let _ =
                writeln!(text, "# TYPE {name} counter\n# HELP {name} {help}\n{name}_total {value}");
        }
        text.push_str(
            "# TYPE peer_refusals counter\n# HELP peer_refusals What was refused, and why.\n",
        );
        for ((_, reason), value) in Refused::ALL.iter().zip(self.refused) {
            let _ = writeln!(text, "peer_refusals_total{{reason=\"{reason}\"}} {value}");
        }
        self.write_latency(&mut text);
        text.push_str("# EOF\n");
        text
    }

    fn write_latency(&self, text: &mut String) {
        const NAME: &str = "peer_forward_seconds";
        let _ = writeln!(
            text,
            "# TYPE {NAME} histogram\n# UNIT {NAME} seconds\n\
             # HELP {NAME} From a message's arrival to the queue of whom it is for."
        );
        let mut count = 0;
        for (bound, of_bound) in BOUNDS.iter().zip(self.latency) {
            count += of_bound;
            let bound = *bound as f64 / 1e6;
            let _ = writeln!(text, "{NAME}_bucket{{le=\"{bound:?}\"}} {count}");
        }
        count += self.latency[BOUNDS.len()];
        let _ = writeln!(text, "{NAME}_bucket{{le=\"+Inf\"}} {count}");
        let _ = writeln!(text, "{NAME}_sum {:?}", self.latency_sum.as_secs_f64());
        let _ = writeln!(text, "{NAME}_count {count}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_place() {
        let mut counts = Counts::default();
        for (at, (why, _)) in Refused::ALL.iter().enumerate() {
            (0..=at).for_each(|_| counts.refuse(*why));
            assert_eq!(counts.refused(*why), at as u64 + 1);
        }
    }

    #[test]
    fn the_text_is_what_collectors_read() {
        let mut counts = Counts { logins: 3, calls: 2, forwards: 5, ..Counts::default() };
        counts.refuse(Refused::WrongToken);
        for micros in [7, 10, 11, 2_000_000] {
            counts.forwarded(Duration::from_micros(micros));
        }
        let text = counts.open_metrics(Now { connections: 9, logged_in: 8 });
        for line in [
            "# TYPE peer_connections gauge",
            "peer_connections 9",
            "peer_logged_in 8",
            "# TYPE peer_logins counter",
            "peer_logins_total 3",
            "peer_calls_total 2",
            "peer_forwards_total 5",
            "peer_refusals_total{reason=\"wrong-token\"} 1",
            "peer_refusals_total{reason=\"full\"} 0",
            "# UNIT peer_forward_seconds seconds",
            "peer_forward_seconds_bucket{le=\"1e-5\"} 2",
            "peer_forward_seconds_bucket{le=\"2.5e-5\"} 3",
            "peer_forward_seconds_bucket{le=\"1.0\"} 3",
            "peer_forward_seconds_bucket{le=\"+Inf\"} 4",
            "peer_forward_seconds_sum 2.000028",
            "peer_forward_seconds_count 4",
        ] {
            assert!(text.lines().any(|l| l == line), "no '{line}' in\n{text}");
        }
        assert!(text.ends_with("\n# EOF\n"));
        assert!(text.lines().all(|line| !line.trim().is_empty()));
    }
}
