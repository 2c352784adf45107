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

/// Ann and Ben say that they were here before the server, and so does Mal.
fn after_a_restart() -> Transcript {
    let mut at = Transcript::new(4);
    for (id, name) in [(1, "ann"), (2, "ben"), (3, "mal")] {
        let back = format!(r#"{{"type":"login","name":"{name}","resume":"of another server"}}"#);
        assert_eq!(at.say(id, &back), [format!("{id} welcome: {name}")]);
    }
    at
}

#[test]
fn two_who_were_in_a_call_before_the_server_say_so_both() {
    let mut at = after_a_restart();
    let [_, to_ann, leave_ann] = to("ann");
    let [_, to_ben, leave_ben] = to("ben");
    assert!(at.say(1, &to_ben).is_empty(), "she alone can say what she likes");
    assert_eq!(at.say(2, &to_ann).len(), 1);
    assert_eq!(at.say(1, &to_ben).len(), 1);
    for text in to("ann").into_iter().chain(to("ben")) {
        assert!(at.say(3, &text).is_empty(), "{text}");
    }
    assert_eq!(at.say(1, &leave_ben), [r#"2 {"type":"leave","name":"ann"}"#]);
    assert_eq!(at.say(2, &leave_ann), [r#"1 {"type":"leave","name":"ben"}"#]);
}

#[test]
fn whoever_comes_back_first_need_not_say_it_again() {
    let mut at = Transcript::new(2);
    let back = r#"{"type":"login","name":"NAME","resume":"of another server"}"#;
    at.say(1, &back.replace("NAME", "ann"));
    assert!(at.say(1, &to("ben")[1]).is_empty(), "he is not here yet");
    at.say(2, &back.replace("NAME", "ben"));
    assert_eq!(at.say(2, &to("ann")[1]).len(), 1);
    assert_eq!(at.end(2, super::super::End::Lost).len(), 1, "they are in a call");
}

#[test]
fn a_made_up_secret_gives_nothing() {
    let mut at = after_a_restart();
    for _ in 0..3 {
        for text in to("ann").into_iter().chain(to("ben")) {
            assert!(at.say(3, &text).is_empty(), "{text}");
        }
    }
    // Who logs in as ever cannot say that he was here before, and nobody can for long.
    at.login(4, "new");
    assert!(at.say(1, &to("new")[2]).is_empty() && at.say(4, &to("ann")[2]).is_empty());
    at.now += Duration::from_secs(60);
    assert!(at.say(1, &to("mal")[2]).is_empty() && at.say(3, &to("ann")[2]).is_empty());
}

#[test]
fn offers_of_many_names_from_one_address_do_not_take_what_is_for_others() {
    let mut at = Transcript::new(1);
    at.login(1, "ben");
    let offer = format!(r#"{{{OFFER},"name":"ben"}}"#);
    let from = |address: [u8; 4]| crate::signaling::limiter::Source::of(address.into());
    let connect = |at: &mut Transcript, id, source| {
        at.input(Input::Connected { id: ConnectionId(id), source });
        at.login(id, &format!("n{id}"));
    };
    // More names than anybody remembers, each a few times.
    let mut passed = 0;
    for id in 100..400 {
        connect(&mut at, id, from([192, 0, 2, 7]));
        for _ in 0..5 {
            passed += usize::from(at.say(id, &offer)[0].starts_with("1 "));
        }
    }
    assert!((60..=90).contains(&passed), "{passed}");
    connect(&mut at, 2, from([198, 51, 100, 1]));
    assert!(at.say(2, &offer)[0].starts_with("1 "), "a friend elsewhere gets through");
}

#[test]
fn who_is_called_too_often_may_say_no_each_time() {
    let mut at = Transcript::new(1);
    at.login(1, "ben");
    let offer = format!(r#"{{{OFFER},"name":"ben"}}"#);
    let mut callers = Vec::new();
    for id in 10..18 {
        // From a network each.
        let source = crate::signaling::limiter::Source::of([192, 0, id as u8, 7].into());
        at.input(Input::Connected { id: ConnectionId(id), source });
        at.login(id, &format!("n{id}"));
        for _ in 0..60 {
            if at.say(id, &offer)[0].starts_with("1 ") {
                callers.push(id);
            }
        }
    }
    assert!((180..=240).contains(&callers.len()), "in all: {}", callers.len());
    // As a client does it that paces nothing, with something of its own to say first.
    let own = Limits::default().message_burst as usize - 1;
    for _ in 0..own {
        assert!(at.say(1, r#"{"type":"leave"}"#).iter().all(|out| !out.contains("closed")));
    }
    for id in &callers {
        let leave = format!(r#"{{"type":"leave","name":"n{id}","reason":"busy"}}"#);
        let got = at.say(1, &leave);
        assert!(got.len() == 1 && got[0].starts_with(&format!("{id} ")), "{got:?}");
    }
    let mut more = 0;
    while at.say(1, r#"{"type":"leave"}"#) != ["1 closed: TooFast"] {
        more += 1;
        assert!(more <= super::super::MOST_OWED.0, "it has an end");
    }
}

#[test]
fn who_answers_an_offer_that_comes_again_and_again_is_not_closed() {
    let mut at = Transcript::new(2);
    at.login(1, "ann");
    at.login(2, "ben");
    // As long as a browser's.
    let sdp = "x".repeat(4_000);
    let offer = format!(r#"{{"type":"offer","offer":{{"sdp":"{sdp}"}},"name":"ben"}}"#);
    let answer = format!(r#"{{"type":"answer","answer":{{"sdp":"{sdp}"}},"name":"ann"}}"#);
    let candidate = r#"{"type":"candidate","candidate":{"candidate":"c"},"name":"ann"}"#;
    for round in 0..60 {
        assert!(at.say(1, &offer)[0].starts_with("2 "), "{round}");
        for text in [&*answer].into_iter().chain([candidate; 10]) {
            assert!(at.say(2, text)[0].starts_with("1 "), "{round}");
        }
    }
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
