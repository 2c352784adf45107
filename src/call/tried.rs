//! What was tried to find a path: kinds of candidates on both sides, and what servers said. Pure.
//!
//! Owns the line in which a person reads it, and the one thing that they can do. Keeps no address.

use std::collections::BTreeSet;

use super::reason::Because;
use crate::ice::url::ServerKind;
use crate::rtc::handshake::Handshake;
use crate::rtc::relay::{Answer, ServerFault, ServerReport};

/// Servers that are named; more are not of interest to anybody.
const MOST_SERVERS: usize = 8;

/// A kind of candidate (RFC 8445 section 5.1.1), in the order in which people think of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Host,
    Reflexive,
    Relay,
    Tcp,
}

/// All that was tried for one call.
#[derive(Debug, Clone, Default)]
pub(super) struct Tried {
    ours: BTreeSet<Kind>,
    theirs: BTreeSet<Kind>,
    servers: Vec<ServerReport>,
    /// Why a round of offer and answer did not work.
    refused: Option<String>,
    impostor: Option<Seen>,
    /// There was a path, and this became of its encryption.
    handshake: Option<Handshake>,
}

/// Which side has seen that the other is not who was described.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// We.
    Here,
    /// They.
    There,
}

impl Tried {
    /// A candidate line of ours (RFC 8839 section 5.1).
    pub(super) fn ours(&mut self, line: &str) {
        self.ours.extend(kind(line));
    }

    /// A candidate line of theirs, from a message or a description.
    pub(super) fn theirs(&mut self, line: &str) {
        self.theirs.extend(kind(line));
    }

    /// All candidates in a description of theirs.
    pub(super) fn their_description(&mut self, sdp: &str) {
        for line in sdp.lines().filter_map(|line| line.strip_prefix("a=candidate:")) {
            self.theirs(line);
        }
    }

    /// What servers said, or did not say.
    pub(super) fn servers(&mut self, mut servers: Vec<ServerReport>) {
        servers.truncate(MOST_SERVERS);
        self.servers = servers;
    }

    /// A round of offer and answer did not work, and why.
    pub(super) fn refused(&mut self, reason: String) {
        self.refused = Some(reason);
    }

    /// What became of the encryption of the path that was found; `None` where none was.
    pub(super) fn handshake(&mut self, handshake: Option<Handshake>) {
        self.handshake = handshake;
    }

    /// Who is there is not who was described.
    pub(super) fn impostor(&mut self, seen: Seen) {
        self.impostor = Some(seen);
    }

    /// Whether one side has seen that the other is not who was described.
    pub(super) fn is_impostor(&self) -> bool {
        self.impostor.is_some()
    }

    /// Why a connection that never was has failed.
    pub(super) fn because(&self) -> Because {
        if let Some(seen) = self.impostor {
            let found = "the other side is not who the signaling server says it is";
            let message = match seen {
                Seen::Here => found.to_owned(),
                Seen::There => format!("reported by the other side: {found}"),
            };
            let advice = "somebody may stand between you: use a server of your own, over TLS, and \
                          ask the other side through another channel";
            return Because { message, advice: Some(advice.to_owned()) };
        }
        if let Some(reason) = &self.refused {
            return Because { message: reason.clone(), advice: None };
        }
        if let Some(handshake) = self.handshake {
            let advice = handshake.advice().to_owned();
            return Because { message: handshake.to_string(), advice: Some(advice) };
        }
        Because { message: self.line(), advice: Some(self.advice().to_owned()) }
    }

    /// In one line: what there was on both sides, and who answered.
    fn line(&self) -> String {
        let mut parts = vec![
            format!("our candidates: {}", words(&self.ours)),
            format!("theirs: {}", words(&self.theirs)),
        ];
        parts.extend(self.servers.iter().map(ToString::to_string));
        if !self.has_turn() {
            parts.push("no TURN server".to_owned());
        }
        format!("no path was found; {}", parts.join("; "))
    }

    /// What can be done about it.
    fn advice(&self) -> &'static str {
        let relayed = |kinds: &BTreeSet<Kind>| kinds.contains(&Kind::Relay);
        let turn = self.servers.iter().filter(|server| server.kind == ServerKind::Turn);
        let mut faults = turn.filter_map(|server| match &server.answer {
            Answer::Fault(fault) => Some(fault.advice()).filter(|advice| !advice.is_empty()),
            _ => None,
        });
        let silent = |server: &ServerReport| {
            matches!(server.answer, Answer::Open | Answer::Fault(ServerFault::Silent { .. }))
        };
        if let Some(advice) = faults.next_back().filter(|_| !relayed(&self.ours)) {
            advice
        } else if self.theirs.is_empty() {
            "no addresses came from the other side: try again, or check its network"
        } else if relayed(&self.ours) && relayed(&self.theirs) {
            "even the relays do not reach each other: try another TURN server"
        } else if self.has_turn() {
            "the TURN server has no path to the other side: try another, or one over TLS, --turn turns:HOST:443"
        } else if !self.servers.is_empty() && self.servers.iter().all(silent) {
            "UDP seems to be blocked here: use a TURN server over TLS, --turn turns:HOST:443"
        } else {
            "behind strict firewalls a TURN server helps: --turn turn:HOST:PORT"
        }
    }

    fn has_turn(&self) -> bool {
        self.servers.iter().any(|server| server.kind == ServerKind::Turn)
    }
}

fn kind(line: &str) -> Option<Kind> {
    let mut words = line.split_ascii_whitespace();
    let is_tcp = words.nth(2).is_some_and(|transport| transport.eq_ignore_ascii_case("tcp"));
    words.find(|word| *word == "typ")?;
    Some(match words.next()? {
        "relay" => Kind::Relay,
        _ if is_tcp => Kind::Tcp,
        "srflx" | "prflx" => Kind::Reflexive,
        _ => Kind::Host,
    })
}

fn words(kinds: &BTreeSet<Kind>) -> String {
    let word = |kind: &Kind| match kind {
        Kind::Host => "host",
        Kind::Reflexive => "srflx",
        Kind::Relay => "relay",
        Kind::Tcp => "tcp",
    };
    match kinds.is_empty() {
        true => "none".to_owned(),
        false => kinds.iter().map(word).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "candidate:1 1 udp 2130706431 192.0.2.1 9 typ host";
    const SRFLX: &str = "candidate:2 1 UDP 1 203.0.113.1 9 typ srflx raddr 192.0.2.1 rport 9";
    const RELAY: &str = "candidate:3 1 udp 1 203.0.113.9 9 typ relay raddr 0.0.0.0 rport 0";
    const TCP: &str = "candidate:4 1 tcp 1 192.0.2.1 9 typ host tcptype active";

    fn server(url: &str, answer: Answer) -> ServerReport {
        let kind = if url.starts_with("turn") { ServerKind::Turn } else { ServerKind::Stun };
        ServerReport { url: url.to_owned(), kind, answer }
    }

    fn serves() -> Answer {
        Answer::Serves(([192, 0, 2, 1], 9).into())
    }

    #[test]
    fn the_line_says_what_there_was_and_who_answered_but_no_address() {
        let mut tried = Tried::default();
        for line in [SRFLX, HOST, HOST] {
            tried.ours(line);
        }
        tried.their_description(&format!("v=0\r\na={HOST}\r\na={TCP}\r\na=sendrecv\r\n"));
        tried.servers(vec![server("stun:s", serves())]);
        let because = tried.because();
        assert_eq!(
            because.message,
            "no path was found; our candidates: host, srflx; theirs: host, tcp; stun:s answered; \
             no TURN server"
        );
        assert!(because.advice.is_some_and(|advice| advice.contains("--turn turn:HOST")));
        tried.handshake(Some(Handshake::Refused(40)));
        let because = tried.because();
        assert!(because.message.contains("DTLS") && because.advice.is_some(), "{because:?}");
        tried.refused("no codec in common".to_owned());
        assert_eq!(tried.because().message, "no codec in common");
        for seen in [Seen::Here, Seen::There] {
            tried.impostor(seen);
            let message = tried.because().message;
            assert!(message.ends_with("is not who the signaling server says it is"), "{message}");
        }
    }

    #[test]
    fn the_advice_follows_from_what_happened() {
        let all = |ours: &[&str], theirs: &[&str], servers: Vec<ServerReport>| {
            let mut tried = Tried::default();
            ours.iter().for_each(|line| tried.ours(line));
            theirs.iter().for_each(|line| tried.theirs(line));
            tried.servers(servers);
            tried.advice()
        };
        let refused = ServerFault::Refused { code: 401, reason: "Unauthorized".to_owned() };
        let (stun, turn) = (|answer| server("stun:s", answer), |answer| server("turn:t", answer));
        for (advice, words) in [
            (all(&[HOST], &[HOST], vec![turn(Answer::Fault(refused))]), "--turn-user"),
            (all(&[HOST], &[HOST], vec![stun(Answer::Open)]), "UDP seems to be blocked"),
            (all(&[HOST], &[HOST], vec![stun(serves())]), "--turn turn:"),
            (all(&[HOST], &[HOST], vec![stun(serves()), turn(Answer::Open)]), "TLS"),
            (all(&[RELAY], &[RELAY], vec![turn(serves())]), "another TURN server"),
            (all(&[HOST], &[], vec![stun(serves())]), "other side"),
        ] {
            assert!(advice.contains(words), "{advice}");
        }
    }

    #[test]
    fn wild_lines_say_nothing() {
        let mut tried = Tried::default();
        for line in ["", "typ", "candidate:1 1 udp 1 x 9 typ", "a b c d"] {
            tried.ours(line);
            tried.theirs(line);
        }
        tried.their_description("a=candidate:\r\na=candidate:1 1 udp");
        assert!(tried.line().contains("our candidates: none; theirs: none"), "{}", tried.line());
    }
}
