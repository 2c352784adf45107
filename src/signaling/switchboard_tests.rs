//! Tests of the switchboard: transcripts, and what holds whatever is sent.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use proptest::prelude::*;

use super::partners::MAX_PARTNERS;
use super::*;

/// Each in a network of its own.
pub(super) fn source(id: u64) -> Source {
    let host = u32::try_from(id).unwrap() << 8;
    Source::of(std::net::Ipv4Addr::from(0x0a00_0001 + host).into())
}

fn refused(id: u64, code: &str) -> String {
    format!(r#"{id} {{"type":"login","success":false,"code":"{code}""#)
}

/// A switchboard that is fed lines such as `1 {"type":…}` and answers in lines.
pub(super) struct Transcript {
    pub(super) board: Switchboard,
    pub(super) now: Instant,
}

impl Transcript {
    pub(super) fn new(connections: u64) -> Self {
        Self::with(Limits::default(), Names::Free, connections)
    }

    /// Each connection from an address of its own.
    pub(super) fn with(limits: Limits, names: Names, connections: u64) -> Self {
        let mut board = Switchboard::new(limits, names);
        let now = crate::clock::now();
        for id in 1..=connections {
            board.handle(now, Input::Connected { id: ConnectionId(id), source: source(id) });
        }
        assert_eq!(board.poll(), None);
        Self { board, now }
    }

    pub(super) fn say(&mut self, id: u64, text: &str) -> Vec<String> {
        self.input(Input::Message { id: ConnectionId(id), text })
    }

    pub(super) fn login(&mut self, id: u64, name: &str) {
        let got = self.say(id, &format!(r#"{{"type":"login","name":"{name}"}}"#));
        assert_eq!(got, [format!("{id} welcome: {name}")]);
    }

    pub(super) fn close(&mut self, id: u64) -> Vec<String> {
        self.end(id, End::Goodbye)
    }

    pub(super) fn end(&mut self, id: u64, end: End) -> Vec<String> {
        self.input(Input::Closed { id: ConnectionId(id), end })
    }

    pub(super) fn input(&mut self, input: Input<'_>) -> Vec<String> {
        self.board.handle(self.now, input);
        std::iter::from_fn(|| self.board.poll())
            .map(|output| match output {
                Output::Send { to, text } | Output::PassOn { to, text, .. } => {
                    format!("{} {text}", to.0)
                }
                Output::Welcome { to, name, .. } => format!("{} welcome: {name}", to.0),
                Output::Verify { id, name, token, .. } => {
                    format!("{} verify: {name} {}", id.0, token.expose())
                }
                Output::Close { id, reason } => format!("{} closed: {reason:?}", id.0),
            })
            .collect()
    }
}

#[test]
fn a_call_from_login_to_leave() {
    let mut at = Transcript::new(2);
    at.login(1, "alice");
    at.login(2, "bob");
    for (from, to, sent, got) in [
        (
            1,
            2,
            r#"{"type":"offer","offer":{"type":"offer","sdp":"v=0"},"name":"bob"}"#,
            r#"{"type":"offer","offer":{"type":"offer","sdp":"v=0"},"name":"alice"}"#,
        ),
        (
            2,
            1,
            r#"{"type":"answer","answer":{"type":"answer","sdp":"v=0"},"name":"alice"}"#,
            r#"{"type":"answer","answer":{"type":"answer","sdp":"v=0"},"name":"bob"}"#,
        ),
        (
            1,
            2,
            r#"{"type":"candidate","candidate":{"candidate":"c","sdpMid":"0"},"name":"bob"}"#,
            r#"{"type":"candidate","candidate":{"candidate":"c","sdpMid":"0"},"name":"alice"}"#,
        ),
        (
            2,
            1,
            r#"{"type":"leave","name":"alice","reason":"busy"}"#,
            r#"{"type":"leave","name":"bob","reason":"busy"}"#,
        ),
    ] {
        assert_eq!(at.say(from, sent), [format!("{to} {got}")]);
    }
    assert!(at.close(1).is_empty(), "the call was left before");
}

#[test]
fn a_name_is_held_by_one_and_free_again_after_it() {
    let mut at = Transcript::new(2);
    at.login(1, "__proto__");
    let again = r#"{"type":"login","name":"__proto__"}"#;
    let got = at.say(2, again);
    assert!(got.len() == 1 && got[0].starts_with(&refused(2, "name-taken")), "{got:?}");
    assert!(at.close(1).is_empty());
    at.login(2, "__proto__");
}

#[test]
fn a_name_that_looks_like_one_in_use_is_taken_and_shown_as_it_was_asked_for() {
    let mut at = Transcript::new(3);
    at.login(1, "Alice");
    for name in ["alice", "ALICE", "\u{410}lice", "A1ice", "AIice"] {
        let got = at.say(2, &format!(r#"{{"type":"login","name":"{name}"}}"#));
        assert!(got[0].starts_with(&refused(2, "name-taken")), "{name}: {got:?}");
        assert!(got[0].contains("looks like"), "{name}: {got:?}");
    }
    let offer = r#"{"type":"offer","offer":{"sdp":""},"name":"alice"}"#;
    at.login(2, "bob");
    assert!(at.say(2, offer)[0].contains(r#""name":"alice""#), "nobody is called that");
    // Lost, it is kept from those that look like it too.
    at.end(1, End::Lost);
    let got = at.say(3, r#"{"type":"login","name":"alice"}"#);
    assert!(got[0].starts_with(&refused(3, "name-taken")), "{got:?}");
    at.now += Duration::from_secs(60);
    at.login(3, "alice");
}

#[test]
fn a_second_login_keeps_the_first_name() {
    let mut at = Transcript::new(2);
    at.login(1, "alice");
    at.login(1, "alice");
    let got = at.say(1, r#"{"type":"login","name":"carol"}"#);
    assert_eq!(got.len(), 1);
    assert!(got[0].contains(r#""code":"already-logged-in""#), "{got:?}");
    at.login(2, "carol");
}

#[test]
fn impossible_names_are_refused_in_words_and_as_pages_know_it() {
    let mut at = Transcript::new(1);
    let got = at.say(1, r#"{"type":"login","name":""}"#);
    assert!(got.len() == 1 && got[0].starts_with(&refused(1, "bad-name")), "{got:?}");
    assert!(got[0].contains("the name is empty"), "{got:?}");
    let got = at.say(1, &format!(r#"{{"type":"leave","name":"{}"}}"#, "x".repeat(65)));
    assert_eq!(got.len(), 1);
    assert_eq!(at.board.names.len(), 0);
}

#[test]
fn an_offer_to_nobody_is_answered_at_once_and_the_rest_is_dropped() {
    let mut at = Transcript::new(1);
    at.login(1, "alice");
    for name in ["bob", "alice"] {
        let got = at.say(1, &format!(r#"{{"type":"offer","offer":{{"sdp":""}},"name":"{name}"}}"#));
        let head =
            format!(r#"1 {{"type":"error","code":"unknown-user","name":"{name}","message":"#);
        assert!(got.len() == 1 && got[0].starts_with(&head), "{got:?}");
    }
    for text in [
        r#"{"type":"candidate","candidate":null,"name":"bob"}"#,
        r#"{"type":"candidate","candidate":null}"#,
        r#"{"type":"answer","answer":{"sdp":""},"name":"bob"}"#,
        r#"{"type":"leave","name":"bob"}"#,
        r#"{"type":"leave"}"#,
    ] {
        assert!(at.say(1, text).is_empty(), "{text}");
    }
}

#[test]
fn nobody_speaks_before_the_login() {
    let mut at = Transcript::new(2);
    at.login(2, "bob");
    for text in
        [r#"{"type":"offer","offer":{"sdp":""},"name":"bob"}"#, r#"{"type":"leave","name":"bob"}"#]
    {
        let got = at.say(1, text);
        assert_eq!(
            got,
            [r#"1 {"type":"error","code":"not-logged-in","message":"log in first"}"#],
            "{text}"
        );
    }
}

#[test]
fn what_is_not_understood_is_said() {
    let mut at = Transcript::new(1);
    for (text, got) in [
        (r#"{"type":"dance"}"#, r#"{"type":"error","message":"Command not found: dance"}"#),
        (r#"{"type":"error"}"#, r#"{"type":"error","message":"Command not found: error"}"#),
        ("hello", r#"{"type":"error","code":"invalid-message","message":"invalid JSON"}"#),
    ] {
        assert_eq!(at.say(1, text), [format!("1 {got}")]);
    }
}

#[test]
fn closing_leaves_every_call() {
    let mut at = Transcript::new(4);
    for (id, name) in [(1, "alice"), (2, "bob"), (3, "carol"), (4, "dave")] {
        at.login(id, name);
    }
    at.say(1, r#"{"type":"offer","offer":{"sdp":""},"name":"bob"}"#);
    at.say(3, r#"{"type":"offer","offer":{"sdp":""},"name":"alice"}"#);
    let leave = r#"{"type":"leave","name":"alice","reason":"gone"}"#;
    assert_eq!(at.close(1), [format!("2 {leave}"), format!("3 {leave}")]);
    assert!(at.close(2).is_empty());
}

#[test]
fn who_comes_back_on_another_connection_takes_the_name_and_the_calls_over() {
    let mut at = Transcript::new(4);
    at.login(2, "bob");
    at.board.handle(
        at.now,
        Input::Message { id: ConnectionId(1), text: r#"{"type":"login","name":"alice"}"# },
    );
    let Some(Output::Welcome { resume, .. }) = at.board.poll() else { panic!("no welcome") };
    at.say(1, r#"{"type":"offer","offer":{"sdp":""},"name":"bob"}"#);

    let taken = at.say(3, r#"{"type":"login","name":"alice","resume":"guessed"}"#);
    assert!(taken[0].starts_with(&refused(3, "name-taken")), "{taken:?}");
    let back = format!(r#"{{"type":"login","name":"alice","resume":"{}"}}"#, resume.expose());
    assert_eq!(at.say(3, &back), ["1 closed: Resumed", "3 welcome: alice"], "bob hears nothing");
    assert!(at.close(1).is_empty());

    let answer = at.say(2, r#"{"type":"leave","name":"alice"}"#);
    assert_eq!(answer, [r#"3 {"type":"leave","name":"bob"}"#]);
    at.say(2, r#"{"type":"offer","offer":{"sdp":""},"name":"alice"}"#);
    let again = at.say(4, &back);
    assert!(again[0].starts_with(&refused(4, "name-taken")), "each is good for once: {again:?}");
    assert_eq!(at.close(3), [r#"2 {"type":"leave","name":"alice","reason":"gone"}"#]);
}

#[test]
fn a_leave_without_a_name_leaves_every_call() {
    let mut at = Transcript::new(2);
    at.login(1, "alice");
    at.login(2, "bob");
    at.say(1, r#"{"type":"offer","offer":{"sdp":""},"name":"bob"}"#);
    assert_eq!(at.say(2, r#"{"type":"leave"}"#), [r#"1 {"type":"leave","name":"bob"}"#]);
    assert!(at.say(2, r#"{"type":"leave"}"#).is_empty());
}

#[test]
fn names_can_be_made_shorter() {
    let limits = Limits { name_chars: 3, ..Limits::default() };
    let mut at = Transcript::with(limits, Names::Free, 1);
    let got = at.say(1, r#"{"type":"login","name":"anna"}"#);
    assert!(got[0].starts_with(&refused(1, "bad-name")) && got[0].contains("at most 3"), "{got:?}");
    at.login(1, "ann");
}

fn login(name: &str, token: &str) -> String {
    format!(r#"{{"type":"login","name":"{name}","token":"{token}"}}"#)
}

fn verdict(id: u64, verdict: Verdict) -> Input<'static> {
    Input::Verified { id: ConnectionId(id), verdict }
}

#[test]
fn a_token_is_asked_for_and_looked_at_before_a_name_is_given() {
    let mut at = Transcript::with(Limits::default(), Names::WithTokens, 2);
    let got = at.say(1, r#"{"type":"login","name":"alice"}"#);
    assert!(got[0].starts_with(&refused(1, "token-needed")), "{got:?}");
    assert_eq!(at.say(1, &login("alice", "a")), ["1 verify: alice a"]);
    let meanwhile = at.say(1, &login("alice", "b"));
    assert!(meanwhile[0].starts_with(&refused(1, "too-many-tries")), "{meanwhile:?}");
    assert!(at.say(1, r#"{"type":"leave"}"#)[0].contains("not-logged-in"));
    let got = at.input(verdict(1, Verdict::Wrong));
    assert!(got[0].starts_with(&refused(1, "wrong-token")), "{got:?}");

    at.say(1, &login("alice", "right"));
    at.say(2, &login("alice", "right"));
    assert_eq!(at.input(verdict(1, Verdict::Right)), ["1 welcome: alice"]);
    let got = at.input(verdict(2, Verdict::Right));
    assert!(got[0].starts_with(&refused(2, "name-taken")), "the first has it: {got:?}");
    assert!(at.input(verdict(2, Verdict::Right)).is_empty(), "nothing is looked at");
    // What is handed out is asked for again so, and costs nothing.
    assert_eq!(at.say(1, &login("alice", "whatever")), ["1 welcome: alice"]);
    at.say(2, &login("bob", "b"));
    at.close(2);
    assert!(at.input(verdict(2, Verdict::Right)).is_empty(), "gone meanwhile");
    assert_eq!(at.board.counts().refused(Refused::WrongToken), 1);
    assert_eq!(at.board.counts().logins, 1);
}

#[test]
fn guesses_are_limited_by_name_and_by_address_and_right_tokens_are_no_guesses() {
    let limits = Limits { tries_per_minute: 3.0, ..Limits::default() };
    let mut at = Transcript::with(limits, Names::WithTokens, 13);
    let guess = |at: &mut Transcript, id, name: &str, answer| {
        let got = at.say(id, &login(name, "t"));
        if got[0].contains("verify") { at.input(verdict(id, answer)) } else { got }
    };
    for _ in 0..3 {
        assert!(guess(&mut at, 1, "alice", Verdict::Wrong)[0].contains("wrong-token"));
    }
    for name in ["alice", "dave"] {
        let got = guess(&mut at, 1, name, Verdict::Right);
        assert!(got[0].starts_with(&refused(1, "too-many-tries")), "of the address: {got:?}");
    }
    assert_eq!(guess(&mut at, 13, "alice", Verdict::Right), ["13 welcome: alice"]);
    at.close(13);
    for id in 2..=10 {
        for _ in 0..3 {
            assert!(guess(&mut at, id, "alice", Verdict::Wrong)[0].contains("wrong-token"));
        }
    }
    let got = guess(&mut at, 11, "alice", Verdict::Right);
    assert!(got[0].starts_with(&refused(11, "too-many-tries")), "of the name: {got:?}");
    assert_eq!(guess(&mut at, 12, "dave", Verdict::Right), ["12 welcome: dave"]);
    at.now += Duration::from_secs(20);
    assert_eq!(guess(&mut at, 11, "alice", Verdict::Right), ["11 welcome: alice"]);
    for round in 0..6 {
        assert_eq!(guess(&mut at, 6, "erin", Verdict::Right), ["6 welcome: erin"], "{round}");
        at.close(6);
        let input = Input::Connected { id: ConnectionId(6), source: source(6) };
        assert!(at.input(input).is_empty());
    }
    assert!(guess(&mut at, 7, "fay", Verdict::Busy)[0].contains("too-many-tries"));
}

#[test]
fn logins_are_limited_by_address() {
    let limits = Limits { logins_per_minute: 2.0, ..Limits::default() };
    let mut at = Transcript::with(limits, Names::Free, 2);
    at.login(1, "alice");
    for _ in 0..5 {
        at.login(1, "alice");
    }
    at.close(1);
    for id in [3, 4] {
        at.input(Input::Connected { id: ConnectionId(id), source: source(1) });
    }
    at.login(3, "bob");
    let got = at.say(4, r#"{"type":"login","name":"carol"}"#);
    assert!(got[0].starts_with(&refused(4, "too-many-tries")), "{got:?}");
    at.login(2, "carol");
}

#[test]
fn whoever_calls_everybody_is_remembered_with_the_last_of_them() {
    let others = MAX_PARTNERS as u64 + 10;
    let mut at = Transcript::new(others + 1);
    at.login(1, "caller");
    for id in 2..=others + 1 {
        at.login(id, &format!("n{id}"));
    }
    let limits = Limits { message_burst: 1e6, ..Limits::default() };
    at.board.limits = limits;
    at.board.connections.get_mut(&ConnectionId(1)).unwrap().messages =
        TokenBucket::new(at.now, 1e6, 1e6);
    for id in 2..=others + 1 {
        at.say(1, &format!(r#"{{"type":"offer","offer":{{"sdp":""}},"name":"n{id}"}}"#));
    }
    assert_eq!(at.board.connections[&ConnectionId(1)].partners.all().len(), MAX_PARTNERS);
    at.board.assert_consistent();
    assert_eq!(at.board.counts().calls, others);
    assert_eq!(at.close(1).len(), MAX_PARTNERS);
}

#[test]
fn who_sends_too_much_is_closed_and_its_partners_hear_it() {
    let limits = Limits { messages_per_second: 1.0, message_burst: 3.0, ..Limits::default() };
    let mut at = Transcript::with(limits, Names::Free, 2);
    at.login(1, "alice");
    at.login(2, "bob");
    at.say(1, r#"{"type":"offer","offer":{"sdp":""},"name":"bob"}"#);
    at.say(1, "x");
    assert_eq!(
        at.say(1, "x"),
        ["1 closed: TooFast", r#"2 {"type":"leave","name":"alice","reason":"gone"}"#]
    );
    assert!(at.say(1, "x").is_empty(), "it is forgotten");
    at.now += Duration::from_secs(10);
    assert_eq!(at.say(2, "x").len(), 1);

    let large = "x".repeat(message::MAX_MESSAGE + 1);
    assert_eq!(at.say(2, &large), ["2 closed: TooLarge"]);
}

#[test]
fn one_too_many_is_closed() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let mut at = Transcript::with(limits, Names::Free, 2);
    let three = Input::Connected { id: ConnectionId(3), source: source(3) };
    assert_eq!(at.input(three.clone()), ["3 closed: Full"]);
    at.close(1);
    assert!(at.input(three).is_empty());
}

/// What may happen, by connection number.
#[derive(Debug, Clone)]
enum Happens {
    Connected,
    Says(String),
    Verified(Verdict),
    Closed(End),
    Later(u64),
}

fn happenings() -> impl Strategy<Value = (u64, Happens)> {
    let name = proptest::sample::select(vec!["a", "B", "b", "constructor", ""]);
    let text = (0..10u8, name).prop_map(|(kind, name)| match kind {
        0 | 1 => format!(r#"{{"type":"login","name":"{name}"}}"#),
        2 | 3 => format!(r#"{{"type":"login","name":"{name}","token":"t"}}"#),
        4 | 5 => format!(r#"{{"type":"offer","offer":{{"sdp":"{name}"}},"name":"{name}"}}"#),
        6 => format!(r#"{{"type":"answer","answer":{{"sdp":"s"}},"name":"{name}"}}"#),
        7 => format!(r#"{{"type":"candidate","candidate":null,"name":"{name}"}}"#),
        8 => format!(r#"{{"type":"leave","name":"{name}"}}"#),
        _ => "nonsense".to_owned(),
    });
    let end = proptest::sample::select(vec![End::Goodbye, End::Dropped, End::Lost]);
    (0..9u8, 0..5u64, text, end, 0..40u64).prop_map(|(kind, id, text, end, seconds)| {
        let happens = match kind {
            0 => Happens::Connected,
            1 => Happens::Closed(end),
            8 => Happens::Later(seconds),
            2 => Happens::Verified(Verdict::Right),
            3 => Happens::Verified(Verdict::Wrong),
            _ => Happens::Says(text),
        };
        (id, happens)
    })
}

impl Switchboard {
    fn assert_consistent(&self) {
        for (name, id) in &self.names {
            let login = self.connections[id].login.as_ref().unwrap();
            assert_eq!((&login.name, &login.quoted), (name, &format!("\"{name}\"")));
        }
        let named = self.connections.values().filter(|connection| connection.login.is_some());
        assert_eq!(named.count(), self.names.len(), "no name is held twice");
        for id in self.looks.values() {
            assert!(self.name_of(*id).is_some_and(|name| self.names.contains_key(name)));
        }
        for (id, connection) in &self.connections {
            for partner in connection.partners.in_call() {
                let back = self.connections[&partner].partners.in_call();
                assert!(back.contains(id) || back.len() == MAX_PARTNERS, "pairs are mutual");
                assert!(connection.login.is_some() && partner != *id);
            }
        }
    }
}

proptest! {
    #[test]
    fn whatever_comes_the_state_holds_and_ends_empty(
        happenings in proptest::collection::vec(happenings(), 0..80),
        names in proptest::sample::select(vec![Names::Free, Names::WithTokens]),
    ) {
        let mut now = crate::clock::now();
        let limits = Limits { connections: 4, ..Limits::default() };
        let mut board = Switchboard::new(limits, names);
        for (number, happens) in happenings {
            let id = ConnectionId(number);
            let input = match &happens {
                // The sockets give each number once; a number in use never connects again.
                Happens::Connected if board.connections.contains_key(&id) => continue,
                Happens::Connected => Input::Connected { id, source: source(number) },
                Happens::Says(text) => Input::Message { id, text },
                Happens::Verified(verdict) => Input::Verified { id, verdict: *verdict },
                Happens::Closed(end) => Input::Closed { id, end: *end },
                Happens::Later(seconds) => {
                    now += Duration::from_secs(*seconds);
                    Input::Timeout
                }
            };
            board.handle(now, input);
            if matches!(happens, Happens::Later(_)) {
                prop_assert!(board.deadline().is_none_or(|due| due > now));
            }
            board.assert_consistent();
            while let Some(output) = board.poll() {
                let (Output::Send { to, text } | Output::PassOn { to, text, .. }) = output else {
                    continue;
                };
                let Happens::Says(sent) = &happens else {
                    prop_assert!(text.contains("leave") || to == id);
                    continue;
                };
                if to != id {
                    let target = match Message::parse(sent).unwrap() {
                        Message::Offer { name, .. }
                        | Message::Answer { name, .. }
                        | Message::Candidate { name, .. }
                        | Message::Leave { name, .. } => name,
                        other => panic!("{other:?} was forwarded"),
                    };
                    if let Some(target) = target {
                        prop_assert_eq!(board.names.get(&target), Some(&to));
                    }
                    let (got, sent) = (Message::parse(&text).unwrap(), Message::parse(sent).unwrap());
                    prop_assert_eq!(got.kind(), sent.kind());
                }
            }
        }
        for id in 0..5 {
            board.handle(now, Input::Closed { id: ConnectionId(id), end: End::Lost });
        }
        prop_assert!(board.connections.is_empty() && board.names.is_empty());
        board.handle(now + Duration::from_secs(60), Input::Timeout);
        prop_assert!(board.kept.is_empty() && board.deadline().is_none());
    }
}

#[test]
fn large_messages_are_bounded_by_their_bytes() {
    let now = crate::clock::now();
    let mut board = Switchboard::new(Limits::default(), Names::Free);
    let id = ConnectionId(1);
    board.handle(now, Input::Connected { id, source: source(1) });
    let text = format!(r#"{{"type":"candidate","candidate":null,"x":"{}"}}"#, "x".repeat(60_000));
    let closed = (0..10).any(|_| {
        board.handle(now, Input::Message { id, text: &text });
        let outputs = std::iter::from_fn(|| board.poll());
        let mut outputs = outputs.collect::<Vec<_>>().into_iter();
        outputs.any(|output| output == Output::Close { id, reason: CloseReason::TooFast })
    });
    assert!(closed, "600 KB at once are too much");
}
