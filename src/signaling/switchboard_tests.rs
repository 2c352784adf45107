//! Tests of the switchboard: transcripts, and what holds whatever is sent.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// A switchboard that is fed lines such as `1 {"type":…}` and answers in lines.
struct Transcript {
    board: Switchboard,
    now: Instant,
}

impl Transcript {
    fn new(connections: u64) -> Self {
        Self::with(Limits::default(), Vec::new(), connections)
    }

    fn with(limits: Limits, ice_servers: Vec<IceServer>, connections: u64) -> Self {
        let mut board = Switchboard::new(limits, ice_servers);
        let now = crate::clock::now();
        for id in 1..=connections {
            board.handle(now, Input::Connected { id: ConnectionId(id) });
        }
        assert_eq!(board.poll(), None);
        Self { board, now }
    }

    fn say(&mut self, id: u64, text: &str) -> Vec<String> {
        self.input(Input::Message { id: ConnectionId(id), text: text.to_owned() })
    }

    fn login(&mut self, id: u64, name: &str) {
        let got = self.say(id, &format!(r#"{{"type":"login","name":"{name}"}}"#));
        assert_eq!(got, [format!(r#"{id} {{"type":"login","success":true}}"#)]);
    }

    fn close(&mut self, id: u64) -> Vec<String> {
        self.input(Input::Closed { id: ConnectionId(id) })
    }

    fn input(&mut self, input: Input) -> Vec<String> {
        self.board.handle(self.now, input);
        std::iter::from_fn(|| self.board.poll())
            .map(|output| match output {
                Output::Send { to, text } => format!("{} {text}", to.0),
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
    assert_eq!(at.say(2, again), [r#"2 {"type":"login","success":false}"#]);
    assert!(at.close(1).is_empty());
    at.login(2, "__proto__");
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
    assert!(got[0].contains("the name is empty"), "{got:?}");
    assert_eq!(got[1], r#"1 {"type":"login","success":false}"#);
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
    let leave = r#"{"type":"leave","name":"alice"}"#;
    assert_eq!(at.close(1), [format!("2 {leave}"), format!("3 {leave}")]);
    assert!(at.close(2).is_empty());
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
fn ice_servers_go_out_with_a_login_that_succeeds() {
    let stun = IceServer { urls: vec!["stun:s".to_owned()], ..IceServer::default() };
    let mut at = Transcript::with(Limits::default(), vec![stun], 2);
    let login = r#"{"type":"login","name":"a"}"#;
    let reply = r#"1 {"type":"login","success":true,"iceServers":[{"urls":["stun:s"]}]}"#;
    assert_eq!(at.say(1, login), [reply]);
    assert_eq!(at.say(2, login), [r#"2 {"type":"login","success":false}"#]);
}

#[test]
fn who_sends_too_much_is_closed_and_its_partners_hear_it() {
    let limits = Limits { messages_per_second: 1.0, message_burst: 3.0, ..Limits::default() };
    let mut at = Transcript::with(limits, Vec::new(), 2);
    at.login(1, "alice");
    at.login(2, "bob");
    at.say(1, r#"{"type":"offer","offer":{"sdp":""},"name":"bob"}"#);
    at.say(1, "x");
    assert_eq!(at.say(1, "x"), ["1 closed: TooFast", r#"2 {"type":"leave","name":"alice"}"#]);
    assert!(at.say(1, "x").is_empty(), "it is forgotten");
    at.now += Duration::from_secs(10);
    assert_eq!(at.say(2, "x").len(), 1);

    let large = "x".repeat(message::MAX_MESSAGE + 1);
    assert_eq!(at.say(2, &large), ["2 closed: TooLarge"]);
}

#[test]
fn one_too_many_is_closed() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let mut at = Transcript::with(limits, Vec::new(), 2);
    let three = Input::Connected { id: ConnectionId(3) };
    assert_eq!(at.input(three.clone()), ["3 closed: Full"]);
    at.close(1);
    assert!(at.input(three).is_empty());
}

fn inputs() -> impl Strategy<Value = Input> {
    let name = proptest::sample::select(vec!["a", "b", "c", "constructor", ""]);
    let text = (0..9u8, name).prop_map(|(kind, name)| match kind {
        0..=2 => format!(r#"{{"type":"login","name":"{name}"}}"#),
        3 | 4 => format!(r#"{{"type":"offer","offer":{{"sdp":"{name}"}},"name":"{name}"}}"#),
        5 => format!(r#"{{"type":"answer","answer":{{"sdp":"s"}},"name":"{name}"}}"#),
        6 => format!(r#"{{"type":"candidate","candidate":null,"name":"{name}"}}"#),
        7 => format!(r#"{{"type":"leave","name":"{name}"}}"#),
        _ => "nonsense".to_owned(),
    });
    (0..6u8, 0..5u64, text).prop_map(|(kind, id, text)| match kind {
        0 => Input::Connected { id: ConnectionId(id) },
        1 => Input::Closed { id: ConnectionId(id) },
        _ => Input::Message { id: ConnectionId(id), text },
    })
}

impl Switchboard {
    fn assert_consistent(&self) {
        for (name, id) in &self.names {
            assert_eq!(self.connections[id].name.as_ref(), Some(name));
        }
        let named = self.connections.values().filter(|connection| connection.name.is_some());
        assert_eq!(named.count(), self.names.len(), "no name is held twice");
        for (id, connection) in &self.connections {
            for partner in &connection.partners {
                assert!(self.connections[partner].partners.contains(id), "pairs are mutual");
                assert!(connection.name.is_some() && partner != id);
            }
        }
    }
}

proptest! {
    #[test]
    fn whatever_comes_the_state_holds_and_ends_empty(
        inputs in proptest::collection::vec(inputs(), 0..80),
    ) {
        let now = crate::clock::now();
        let limits = Limits { connections: 4, ..Limits::default() };
        let mut board = Switchboard::new(limits, Vec::new());
        for input in inputs {
            // The sockets give each number once; a number in use never connects again.
            if matches!(&input, Input::Connected { id } if board.connections.contains_key(id)) {
                continue;
            }
            board.handle(now, input.clone());
            board.assert_consistent();
            while let Some(output) = board.poll() {
                let Output::Send { to, text } = output else { continue };
                let Input::Message { id, text: sent } = &input else {
                    prop_assert!(text.contains("leave"));
                    continue;
                };
                if to != *id {
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
                    prop_assert_eq!(message::kind_of(&text), message::kind_of(sent));
                }
            }
        }
        for id in 0..5 {
            board.handle(now, Input::Closed { id: ConnectionId(id) });
        }
        prop_assert!(board.connections.is_empty() && board.names.is_empty());
    }
}

#[test]
fn large_messages_are_bounded_by_their_bytes() {
    let now = crate::clock::now();
    let mut board = Switchboard::new(Limits::default(), Vec::new());
    let id = ConnectionId(1);
    board.handle(now, Input::Connected { id });
    let text = format!(r#"{{"type":"candidate","candidate":null,"x":"{}"}}"#, "x".repeat(60_000));
    let closed = (0..10).any(|_| {
        board.handle(now, Input::Message { id, text: text.clone() });
        let outputs = std::iter::from_fn(|| board.poll());
        let mut outputs = outputs.collect::<Vec<_>>().into_iter();
        outputs.any(|output| output == Output::Close { id, reason: CloseReason::TooFast })
    });
    assert!(closed, "600 KB at once are too much");
}
