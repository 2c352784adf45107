//! What STUN and TURN servers say, read off the packets that pass: the library keeps it to itself.
//!
//! Pure. Owns what each server was asked and what came of it; it sends nothing and asks nobody.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::stun::{ALLOCATE, BINDING, Class, Stun, TransactionId};
use crate::ice::url::ServerKind;
use crate::rtc::server_fault::ServerFault;

/// How long a server may say nothing.
const PATIENCE: Duration = Duration::from_secs(5);

/// Questions of one server that are remembered: each local address asks, and asks again.
const MOST_QUESTIONS: usize = 64;

/// What is known of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It was not asked, or may still answer.
    Open,
    /// A STUN server said how it sees us, a TURN server from where it relays.
    Serves(SocketAddr),
    /// It is of no use, and why.
    Fault(ServerFault),
}

/// A server and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerReport {
    /// Its URL.
    pub url: String,
    /// What it is for.
    pub kind: ServerKind,
    /// What it said.
    pub answer: Answer,
}

impl fmt::Display for ServerReport {
    /// In a few words: `turn:a.example relays`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.url)?;
        match (&self.answer, self.kind) {
            (Answer::Open, _) => f.write_str("has not answered"),
            (Answer::Serves(_), ServerKind::Stun) => f.write_str("answered"),
            (Answer::Serves(_), ServerKind::Turn) => f.write_str("relays"),
            (Answer::Fault(ServerFault::Silent { .. }), _) => f.write_str("did not answer"),
            (Answer::Fault(fault), _) => write!(f, "failed ({fault})"),
        }
    }
}

/// One server, and the ways to it: each local address of ours is one.
#[derive(Debug)]
struct Server {
    url: String,
    kind: ServerKind,
    asked_at: Option<Instant>,
    /// Requests that are out, and whether each proved who we are.
    questions: VecDeque<(TransactionId, bool)>,
    /// It wanted a proof, and is about to get it.
    challenges: usize,
    /// What one way gave.
    serves: Option<SocketAddr>,
    /// The fault that says most, of those met on all ways.
    fault: Option<ServerFault>,
}

/// All servers of one connection, by the place in which they were given.
#[derive(Debug, Default)]
pub(super) struct Answers {
    servers: Vec<Server>,
}

impl Answers {
    pub(super) fn new(servers: impl Iterator<Item = (String, ServerKind)>) -> Self {
        let servers = servers.map(|(url, kind)| Server {
            url,
            kind,
            asked_at: None,
            questions: VecDeque::new(),
            challenges: 0,
            serves: None,
            fault: None,
        });
        Self { servers: servers.collect() }
    }

    /// They are asked anew.
    pub(super) fn begin(&mut self) {
        for server in &mut self.servers {
            server.questions.clear();
            (server.asked_at, server.challenges) = (None, 0);
            (server.serves, server.fault) = (None, None);
        }
    }

    /// A request goes to one of these servers, which share an address: the one whose business it
    /// is has been asked. `true` when it has been silent for too long.
    pub(super) fn on_sent(&mut self, now: Instant, to: &[usize], message: &Stun<'_>) -> bool {
        let kind = match (message.class, message.method) {
            (Class::Request, BINDING) => ServerKind::Stun,
            (Class::Request, ALLOCATE) => ServerKind::Turn,
            _ => return false,
        };
        let mut news = false;
        for at in to {
            if let Some(server) = self.servers.get_mut(*at).filter(|server| server.kind == kind) {
                news |= server.is_asked(now, message);
            }
        }
        news
    }

    /// Something came from anywhere; `true` when it says something new of a server.
    pub(super) fn on_received(&mut self, message: &Stun<'_>) -> bool {
        if !matches!(message.class, Class::Success | Class::Error) {
            return false;
        }
        let mut news = false;
        for server in &mut self.servers {
            let Some(at) = server.questions.iter().position(|(id, _)| *id == message.id) else {
                continue;
            };
            let Some((_, proved)) = server.questions.remove(at) else { continue };
            news |= server.answers(proved, message);
        }
        news
    }

    /// One way to a server is of no use, and what was asked on it gets no answer; `true` when that
    /// is news.
    pub(super) fn on_fault(
        &mut self,
        at: usize,
        fault: ServerFault,
        dead: &[TransactionId],
    ) -> bool {
        let Some(server) = self.servers.get_mut(at) else { return false };
        server.questions.retain(|(id, _)| !dead.contains(id));
        server.fails(fault)
    }

    /// Each of these faults stands for its TURN server; empty while one relays or may yet.
    pub(super) fn no_relay(&self) -> Vec<(String, ServerFault)> {
        let relays = self.servers.iter().filter(|server| server.kind == ServerKind::Turn);
        let faults: Option<Vec<_>> = relays
            .map(|server| match server.answer(None) {
                Answer::Fault(fault) => Some((server.url.clone(), fault)),
                Answer::Open | Answer::Serves(_) => None,
            })
            .collect();
        faults.unwrap_or_default()
    }

    /// What is known of each at this time.
    pub(super) fn reports(&self, now: Instant) -> Vec<ServerReport> {
        let report = |server: &Server| ServerReport {
            url: server.url.clone(),
            kind: server.kind,
            answer: server.answer(Some(now)),
        };
        self.servers.iter().map(report).collect()
    }
}

impl Server {
    fn is_asked(&mut self, now: Instant, message: &Stun<'_>) -> bool {
        let asked_at = *self.asked_at.get_or_insert(now);
        if self.questions.iter().any(|(id, _)| *id == message.id) {
            // Once more: the longer it has been, the less will come.
            let after = now.saturating_duration_since(asked_at);
            if after < PATIENCE {
                return false;
            }
            self.questions.clear();
            return self.fails(ServerFault::Silent { after });
        }
        if self.questions.len() == MOST_QUESTIONS {
            self.questions.pop_front();
        }
        let proves = message.has_user();
        if proves {
            self.challenges = self.challenges.saturating_sub(1);
        }
        self.questions.push_back((message.id, proves));
        false
    }

    fn answers(&mut self, proved: bool, message: &Stun<'_>) -> bool {
        let odd = |what: &str| ServerFault::NotTurn { reason: what.to_owned() };
        match (message.class, message.error(), message.address()) {
            (Class::Success, _, Some(address)) => self.serves.replace(address).is_none(),
            (Class::Success, _, None) => self.fails(odd("its answer has no address")),
            // So every server that wants credentials begins (RFC 8489 section 9.2.4).
            (_, Some((401 | 438, _)), _) if !proved => {
                self.challenges = (self.challenges + 1).min(MOST_QUESTIONS);
                false
            }
            (_, Some((code, reason)), _) => self.fails(ServerFault::Refused { code, reason }),
            (_, None, _) => self.fails(odd("its refusal gives no code")),
        }
    }

    fn fails(&mut self, fault: ServerFault) -> bool {
        if self.fault.as_ref().is_none_or(|known| known.weight() < fault.weight()) {
            self.fault = Some(fault);
        }
        matches!(self.answer(None), Answer::Fault(_))
    }

    /// A way that works counts, then one that may yet, then the fault.
    fn answer(&self, now: Option<Instant>) -> Answer {
        if let Some(address) = self.serves {
            return Answer::Serves(address);
        }
        let waited = now.zip(self.asked_at).map(|(now, at)| now.saturating_duration_since(at));
        let is_open = !self.questions.is_empty() || self.challenges > 0;
        match (&self.fault, waited) {
            (None, Some(after)) if after >= PATIENCE => {
                Answer::Fault(ServerFault::Silent { after })
            }
            (Some(fault), Some(after)) if after >= PATIENCE => Answer::Fault(fault.clone()),
            (Some(fault), _) if !is_open && !fault.is_of_one_way() => Answer::Fault(fault.clone()),
            _ => Answer::Open,
        }
    }
}

/// Puts datagrams, each `true` from us and else from a server, through the reading of a connection.
pub(in crate::rtc) fn look_at(now: Instant, datagrams: &[(bool, Vec<u8>)]) {
    let servers = [("stun:s", ServerKind::Stun), ("turn:s", ServerKind::Turn)];
    let mut answers = Answers::new(servers.into_iter().map(|(url, kind)| (url.to_owned(), kind)));
    for (ours, bytes) in datagrams {
        let Some(message) = Stun::read(bytes) else { continue };
        match ours {
            true => answers.on_sent(now, &[0, 1], &message),
            false => answers.on_received(&message),
        };
        let _ = (answers.reports(now), answers.no_relay());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::stun::tests::{
        ALLOCATE_REQUEST, ALLOCATE_SUCCESS, BINDING_SUCCESS, refusal, user, written,
    };
    use super::*;
    use crate::clock;

    const RELAYED: (u16, &[u8]) = (0x0016, &[0, 1, 1, 1, 1, 1, 1, 1]);
    const SEEN: (u16, &[u8]) = (0x0020, &[0, 1, 1, 1, 1, 1, 1, 1]);

    struct Script(Answers, Instant);

    impl Script {
        /// A STUN server and two TURN servers.
        fn new() -> Self {
            let kinds = [ServerKind::Stun, ServerKind::Turn, ServerKind::Turn];
            let servers = kinds.into_iter().enumerate().map(|(at, kind)| (format!("s{at}"), kind));
            Self(Answers::new(servers), clock::now())
        }

        fn asks(&mut self, to: &[usize], kind: u16, id: u8, proved: bool) {
            let with = if proved { vec![user()] } else { vec![] };
            let bytes = written(kind, id, &with);
            self.0.on_sent(self.1, to, &Stun::read(&bytes).unwrap());
        }

        fn hears(&mut self, bytes: &[u8]) -> bool {
            self.0.on_received(&Stun::read(bytes).unwrap())
        }

        fn answers(&self) -> Vec<Answer> {
            self.0.reports(self.1).into_iter().map(|report| report.answer).collect()
        }
    }

    fn refused(code: u16) -> Answer {
        Answer::Fault(ServerFault::Refused { code, reason: "No".into() })
    }

    #[test]
    fn the_first_401_is_a_question_and_the_second_an_answer() {
        let mut script = Script::new();
        script.asks(&[1], ALLOCATE_REQUEST, 1, false);
        assert!(!script.hears(&refusal(1, 401)));
        script.asks(&[1], ALLOCATE_REQUEST, 2, true);
        assert_eq!(script.answers()[1], Answer::Open);
        assert!(script.hears(&refusal(2, 401)));
        assert_eq!(script.answers()[1], refused(401));
        assert!(!script.hears(&refusal(2, 401)), "said once");
    }

    #[test]
    fn one_address_for_stun_and_turn_and_each_gets_its_own_answer() {
        let mut script = Script::new();
        script.asks(&[0, 1], 0x0001, 1, false);
        script.asks(&[0, 1], ALLOCATE_REQUEST, 2, true);
        assert!(script.hears(&written(BINDING_SUCCESS, 1, &[SEEN])));
        assert!(matches!(script.answers()[0], Answer::Serves(_)));
        assert_eq!(script.answers()[1], Answer::Open);
        assert!(script.hears(&written(ALLOCATE_SUCCESS, 2, &[RELAYED])));
        assert!(matches!(script.answers()[1], Answer::Serves(_)));
    }

    #[test]
    fn no_relay_is_told_when_none_can_come_any_more() {
        let mut script = Script::new();
        script.asks(&[1], ALLOCATE_REQUEST, 1, true);
        script.asks(&[2], ALLOCATE_REQUEST, 2, true);
        script.hears(&refusal(1, 486));
        assert_eq!(script.0.no_relay(), []);
        let reason = "no".to_owned();
        assert!(script.0.on_fault(2, ServerFault::Unreachable { reason }, &[[2; 12]]));
        let told: Vec<_> = script.0.no_relay().into_iter().map(|(url, _)| url).collect();
        assert_eq!(told, ["s1", "s2"]);
        script.0.begin();
        assert_eq!(script.0.no_relay(), []);
    }

    #[test]
    fn of_two_ways_the_working_one_counts_and_else_the_telling_one() {
        let mut script = Script::new();
        let unsendable = ServerFault::Unsendable { reason: "no".into() };
        for id in 1..=3 {
            script.asks(&[1], ALLOCATE_REQUEST, id, true);
        }
        assert!(!script.0.on_fault(1, unsendable.clone(), &[[3; 12]]), "others may work");
        assert!(!script.hears(&refusal(1, 508)));
        assert_eq!(script.answers()[1], Answer::Open);
        assert!(script.0.on_fault(1, unsendable, &[[2; 12]]));
        assert_eq!(script.answers()[1], refused(508));
        script.asks(&[1], ALLOCATE_REQUEST, 4, true);
        assert!(script.hears(&written(ALLOCATE_SUCCESS, 4, &[RELAYED])));
        assert!(matches!(script.answers()[1], Answer::Serves(_)));
    }

    #[test]
    fn between_challenge_and_proof_nothing_is_lost_yet() {
        let mut script = Script::new();
        script.asks(&[1], ALLOCATE_REQUEST, 1, false);
        script.asks(&[1], ALLOCATE_REQUEST, 2, false);
        script.hears(&refusal(1, 401));
        let reason = "no".to_owned();
        assert!(!script.0.on_fault(1, ServerFault::Unsendable { reason }, &[[2; 12]]));
        assert_eq!(script.answers()[1], Answer::Open);
        script.asks(&[1], ALLOCATE_REQUEST, 3, true);
        assert!(script.hears(&refusal(3, 401)));
    }

    #[test]
    fn who_says_nothing_for_long_is_silent() {
        let mut script = Script::new();
        script.asks(&[1], ALLOCATE_REQUEST, 1, false);
        assert_eq!(script.answers()[1], Answer::Open);
        script.1 += PATIENCE;
        let silent = Answer::Fault(ServerFault::Silent { after: PATIENCE });
        assert_eq!(script.answers()[1], silent);
        assert_eq!(script.answers()[2], Answer::Open, "nobody asked it");
        assert_eq!(script.0.no_relay(), []);
        script.asks(&[1], ALLOCATE_REQUEST, 1, false);
        assert_eq!(script.0.servers[1].answer(None), silent);
        script.asks(&[1], ALLOCATE_REQUEST, 1, false);
        script.hears(&written(ALLOCATE_SUCCESS, 1, &[RELAYED]));
        assert!(matches!(script.answers()[1], Answer::Serves(_)), "late, but there");
    }

    #[test]
    fn a_stranger_cannot_answer() {
        let mut script = Script::new();
        script.asks(&[1], ALLOCATE_REQUEST, 1, true);
        assert!(!script.hears(&refusal(9, 401)));
        assert!(!script.hears(&written(ALLOCATE_REQUEST, 1, &[])));
        assert_eq!(script.answers()[1], Answer::Open);
    }

    #[test]
    fn questions_that_are_never_answered_are_forgotten() {
        let mut script = Script::new();
        for id in 0..=255 {
            script.asks(&[1], ALLOCATE_REQUEST, id, true);
        }
        assert_eq!(script.0.servers[1].questions.len(), MOST_QUESTIONS);
    }
}
