//! Tests of who may say what to whom.

use std::time::Duration;

use super::super::tests::Transcript;
use super::super::{Input, Limits, Names};
use super::*;

const OFFER: &str = r#""type":"offer","offer":{"sdp":"v=0"}"#;

/// Ann and Ben are in a call; Mal is logged in beside them.
fn a_call() -> Transcript {
    let mut at = Transcript::new(3);
    for (id, name) in [(1, "ann"), (2, "ben"), (3, "mal")] {
        at.login(id, name);
    }
    assert_eq!(at.say(1, &format!(r#"{{{OFFER},"name":"ben"}}"#)).len(), 1);
    at
}

fn to(name: &str) -> [String; 3] {
    [
        format!(r#"{{"type":"answer","answer":{{"sdp":"x"}},"name":"{name}"}}"#),
        format!(r#"{{"type":"candidate","candidate":null,"name":"{name}"}}"#),
        format!(r#"{{"type":"leave","name":"{name}"}}"#),
    ]
}

#[test]
fn nobody_reaches_into_a_call_of_others() {
    let mut at = a_call();
    for text in to("ann").into_iter().chain(to("ben")) {
        assert!(at.say(3, &text).is_empty(), "{text}");
    }
    assert!(at.say(3, r#"{"type":"leave"}"#).is_empty());
    assert_eq!(at.board.counts().refused(Refused::NoCall), 6);
    for (from, name, whom) in [(1, "ben", 2), (2, "ann", 1)] {
        for text in to(name) {
            let got = at.say(from, &text);
            assert!(got.len() == 1 && got[0].starts_with(&format!("{whom} ")), "{text}: {got:?}");
        }
    }
}

#[test]
fn an_offer_lets_both_speak_and_what_is_late_still_arrives() {
    let mut at = a_call();
    at.say(3, &format!(r#"{{{OFFER},"name":"ann"}}"#));
    let [answer, candidate, leave] = to("mal");
    for text in [&answer, &candidate, &leave] {
        assert_eq!(at.say(1, text).len(), 1, "{text}");
        assert!(at.say(2, text).is_empty(), "{text}: there was no offer between these");
    }
    // A call after the call, whose answer crosses the end of the first.
    at.say(3, &format!(r#"{{{OFFER},"name":"ann"}}"#));
    assert_eq!(at.say(1, &leave).len(), 1);
    assert_eq!(at.say(1, &answer).len(), 1);
    at.close(3);
    at.input(Input::Connected {
        id: ConnectionId(4),
        source: crate::signaling::limiter::Source::of([192, 0, 2, 9].into()),
    });
    at.login(4, "mal");
    for text in to("ann") {
        assert!(at.say(4, &text).is_empty(), "{text}: it is somebody else now");
    }
}

#[test]
fn two_who_were_here_before_the_server_may_part() {
    let mut at = Transcript::new(3);
    for (id, name) in [(1, "ann"), (2, "ben")] {
        let back = format!(r#"{{"type":"login","name":"{name}","resume":"of another server"}}"#);
        assert_eq!(at.say(id, &back), [format!("{id} welcome: {name}")]);
    }
    at.login(3, "mal");
    let [answer, candidate, leave] = to("ben");
    assert!(at.say(3, &leave).is_empty(), "who is new has no call to leave");
    assert!(at.say(1, &answer).is_empty() && at.say(1, &candidate).is_empty());
    assert_eq!(at.say(1, &leave), [r#"2 {"type":"leave","name":"ann"}"#]);
}

#[test]
fn one_leave_does_not_become_many_long_ones() {
    let mut at = Transcript::new(11);
    at.login(1, "mal");
    for id in 2..=11 {
        at.login(id, &format!("n{id}"));
        at.say(1, &format!(r#"{{{OFFER},"name":"n{id}"}}"#));
    }
    let filler = "x".repeat(60_000);
    let got = at.say(1, &format!(r#"{{"type":"leave","reason":"busy","x":"{filler}"}}"#));
    assert_eq!(got.len(), 10);
    assert_eq!(got[0], r#"2 {"type":"leave","name":"mal","reason":"busy"}"#);
    assert!(at.say(1, r#"{"type":"leave"}"#).is_empty(), "each is left once");
}

#[test]
fn offers_from_one_to_another_are_limited_and_those_of_others_are_not() {
    let limits = Limits { offers_per_minute: 3.0, ..Limits::default() };
    let mut at = Transcript::with(limits, Names::Free, 4);
    for (id, name) in [(1, "ann"), (2, "ben"), (3, "mal")] {
        at.login(id, name);
    }
    let offer = format!(r#"{{{OFFER},"name":"ben"}}"#);
    for _ in 0..3 {
        assert!(at.say(3, &offer)[0].starts_with("2 "));
    }
    let refused = at.say(3, &offer);
    let head = r#"3 {"type":"error","code":"too-many-offers","name":"ben","message":"#;
    assert!(refused.len() == 1 && refused[0].starts_with(head), "{refused:?}");
    assert!(at.say(1, &offer)[0].starts_with("2 "), "a friend gets through");
    // Another connection under the same name is the same caller.
    at.close(3);
    at.login(4, "mal");
    assert!(at.say(4, &offer)[0].starts_with("4 "));
    at.now += Duration::from_secs(20);
    assert!(at.say(4, &offer)[0].starts_with("2 "));
}
