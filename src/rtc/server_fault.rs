//! Why a STUN or TURN server is of no use: each kind with what happened and what to do about it.
//!
//! Owns the words. Who found out, and how, is elsewhere.

use std::io;
use std::time::Duration;

use crate::system;

/// What Rust's library puts before the resolver's own words.
const RESOLVER: &str = "failed to lookup address information: ";

/// Why a server is of no use to us.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerFault {
    /// Its URL is none that we can use.
    #[error("it cannot be used: {reason}")]
    Unusable {
        /// What is wrong with it.
        reason: String,
    },
    /// Its name has no address.
    #[error("{host} cannot be found: {}", system::without_number(.reason.trim_start_matches(RESOLVER)))]
    Unknown {
        /// The name.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// It said nothing.
    #[error("no answer within {:.1} s", .after.as_secs_f64())]
    Silent {
        /// How long we waited.
        after: Duration,
    },
    /// Nobody took our connection, or it ended.
    #[error("{reason}")]
    Unreachable {
        /// What happened.
        reason: String,
    },
    /// It is not who we think, as far as TLS can tell.
    #[error("it cannot be trusted: {reason}")]
    Untrusted {
        /// Why, and what to do.
        reason: String,
    },
    /// Somebody answers, who does not do TURN.
    #[error("{reason}")]
    NotTurn {
        /// How that shows.
        reason: String,
    },
    /// It said no.
    #[error("{}", refusal(*.code, .reason))]
    Refused {
        /// The STUN error code (RFC 8489 section 14.8, RFC 8656 section 19).
        code: u16,
        /// In the server's words.
        reason: String,
    },
    /// Our own network does not let us ask.
    #[error("cannot send: {reason}")]
    Unsendable {
        /// What the operating system said.
        reason: String,
    },
}

impl ServerFault {
    /// An error of the connection itself, while it was made.
    pub(super) fn of_connecting(error: &io::Error) -> Self {
        let reason = match error.kind() {
            io::ErrorKind::ConnectionRefused => "nobody listens there (connection refused)".into(),
            io::ErrorKind::TimedOut => "it does not answer (connection timed out)".into(),
            // That is about one address of ours; another may do.
            io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::AddrNotAvailable => {
                return Self::Unsendable { reason: system::words(error) };
            }
            _ => format!("no connection to it: {}", system::words(error)),
        };
        Self::Unreachable { reason }
    }

    /// What a person can do.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Unusable { .. } => {
                "write turn:HOST:PORT, turn:HOST:PORT?transport=tcp or turns:HOST:PORT"
            }
            Self::Unknown { .. } => "check its name, and this machine's DNS",
            Self::Silent { .. } => {
                "check host and port; where UDP is blocked, ?transport=tcp or turns: may get through"
            }
            Self::Unreachable { .. } => "check host and port, and that the server runs",
            // The reason says it.
            Self::Untrusted { .. } => "",
            Self::NotTurn { .. } => {
                "check the port: usually 3478 for turn:, 5349 or 443 for turns:"
            }
            Self::Refused { code, .. } => advice(*code),
            Self::Unsendable { .. } => "check this machine's network, and --bind",
        }
    }

    /// Whether the server itself said no.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// Of two faults of one server, met on two ways to it, the one that says more.
    pub(super) fn weight(&self) -> u8 {
        match self {
            Self::Refused { .. } | Self::Unusable { .. } => 5,
            Self::Untrusted { .. } | Self::NotTurn { .. } => 4,
            Self::Unknown { .. } => 3,
            Self::Unreachable { .. } => 2,
            Self::Silent { .. } => 1,
            Self::Unsendable { .. } => 0,
        }
    }

    /// Whether it may be only of one way to the server, of which there are others.
    pub(super) fn is_of_one_way(&self) -> bool {
        matches!(self, Self::Unsendable { .. })
    }

    /// What happened and what to do, in one line.
    #[must_use]
    pub fn with_advice(&self) -> String {
        match self.advice() {
            "" => self.to_string(),
            advice => format!("{self}; {advice}"),
        }
    }
}

/// What a code means here, with the server's own words behind it.
fn refusal(code: u16, reason: &str) -> String {
    let meaning = match code {
        300 => "it wants us to ask another server instead",
        400 => "it does not understand our request",
        401 | 431 => "it refused the credentials",
        403 => "it does not let this user, or this address, use it",
        420 => "it does not know something that we need",
        437 => "it still holds an earlier allocation of ours",
        438 => "it calls our proof outdated, again and again",
        440 => "it has no relay address of the kind (IPv4 or IPv6) that we asked for",
        441 => "it says that the allocation belongs to other credentials",
        442 => "it does not relay UDP",
        443 => "it cannot reach addresses of the other side's kind",
        486 => "this user has as many relays as it allows",
        500 => "it has an error of its own",
        508 => "it has no relay address left",
        _ => "it refused",
    };
    match reason.trim() {
        "" => format!("{meaning} ({code})"),
        words => format!("{meaning} ({code} {words})"),
    }
}

fn advice(code: u16) -> &'static str {
    match code {
        401 | 431 | 441 => {
            "credentials run out and change: log in again, or check --turn-user and \
             PEER_TURN_PASSWORD (--turn-password)"
        }
        403 => "ask who runs it, or name another with --turn",
        437 | 438 | 500 => "try again in a minute; if it stays so, name another server with --turn",
        440 | 443 => {
            "name it by an address of the other kind, or have its IPv4 or IPv6 relaying turned on"
        }
        486 => "end other calls, or wait until their relays run out (up to ten minutes)",
        508 => "try again later, or name another server with --turn",
        _ => "name another server with --turn",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_it_is_and_only_credentials_blame_credentials() {
        for code in [300, 400, 401, 403, 420, 437, 438, 440, 441, 442, 443, 486, 500, 508, 599] {
            let fault = ServerFault::Refused { code, reason: "Some Words".to_owned() };
            let line = fault.with_advice();
            assert!(line.contains(&format!("({code} Some Words)")), "{line}");
            assert!(line.contains("; "), "{line}");
            let blamed = line.contains("--turn-user");
            assert_eq!(blamed, matches!(code, 401 | 441), "{line}");
        }
        let wordless = ServerFault::Refused { code: 486, reason: String::new() };
        assert!(wordless.to_string().ends_with("(486)"), "{wordless}");
    }

    #[test]
    fn every_fault_is_a_sentence_with_a_remedy() {
        let why = || "why".to_owned();
        for fault in [
            ServerFault::Unusable { reason: why() },
            ServerFault::Unknown { host: "turn.example".into(), reason: why() },
            ServerFault::Silent { after: Duration::from_secs(5) },
            ServerFault::of_connecting(&io::ErrorKind::ConnectionRefused.into()),
            ServerFault::of_connecting(&io::ErrorKind::NetworkUnreachable.into()),
            ServerFault::NotTurn { reason: why() },
            ServerFault::Unsendable { reason: why() },
        ] {
            assert!(fault.with_advice().len() > fault.to_string().len() + 10, "{fault}");
        }
        let untrusted = ServerFault::Untrusted { reason: "name it with --ca".into() };
        assert!(untrusted.with_advice().ends_with("--ca"));
    }
}
