//! Tests of who gets a name that was lost, and who may try.

use std::time::Duration;

use super::super::tests::{Transcript, source};
use super::super::{End, Input};
use super::*;

fn elsewhere(number: u8) -> Source {
    Source::of([198, 51, number, 100].into())
}

/// Somebody more; `id` is not in use.
fn connect(at: &mut Transcript, id: u64, source: Source) {
    assert!(at.input(Input::Connected { id: ConnectionId(id), source }).is_empty());
}

/// A login that shows this; the secret that it is given.
fn login(at: &mut Transcript, id: u64, resume: &str) -> Result<String, String> {
    let text = format!(r#"{{"type":"login","name":"alice","resume":"{resume}"}}"#);
    at.board.handle(at.now, Input::Message { id: ConnectionId(id), text: &text });
    let mut secret = None;
    let mut refusal = String::new();
    while let Some(output) = at.board.poll() {
        match output {
            Output::Welcome { resume, .. } => secret = Some(resume.expose().to_owned()),
            Output::Send { text, .. } => refusal = text,
            _ => {}
        }
    }
    secret.ok_or(refusal)
}

const PLAIN: &str = r#"{"type":"login","name":"alice"}"#;

fn is_taken(at: &mut Transcript, id: u64, text: &str) -> bool {
    let got = at.say(id, text);
    assert_eq!(got.len(), 1, "{got:?}");
    got[0].contains("name-taken")
}

#[test]
fn for_a_minute_only_who_shows_the_secret_gets_a_lost_name() {
    let mut at = Transcript::new(3);
    let secret = login(&mut at, 1, "").unwrap();
    at.login(2, "bob");
    at.say(2, r#"{"type":"offer","offer":{"sdp":""},"name":"alice"}"#);
    assert_eq!(at.end(1, End::Lost), [r#"2 {"type":"leave","name":"alice","reason":"gone"}"#]);
    // The same address does not help: it may be the attacker's too.
    for (id, source) in [(4, source(1)), (5, elsewhere(1))] {
        connect(&mut at, id, source);
        assert!(is_taken(&mut at, id, PLAIN));
        assert!(login(&mut at, id, "").unwrap_err().contains("name-taken"));
        assert!(login(&mut at, id, "guessed").unwrap_err().contains("name-taken"));
    }
    connect(&mut at, 6, elsewhere(2));
    let next = login(&mut at, 6, &secret).unwrap();
    assert_ne!(next, secret);
    // Whom it had a call with it still knows.
    let leave = at.say(6, r#"{"type":"leave","name":"bob"}"#);
    assert_eq!(leave, [r#"2 {"type":"leave","name":"alice"}"#]);
    at.end(6, End::Lost);
    assert!(login(&mut at, 5, &secret).is_err(), "each is good for once");
    at.now += Duration::from_secs(59);
    at.input(Input::Timeout);
    assert!(is_taken(&mut at, 5, PLAIN));
    at.now += Duration::from_secs(1);
    at.login(5, "alice");
}

#[test]
fn who_says_goodbye_leaves_the_name_free() {
    let mut at = Transcript::new(2);
    login(&mut at, 1, "").unwrap();
    at.close(1);
    at.login(2, "alice");
}

#[test]
fn a_plain_client_comes_back_to_its_address() {
    for end in [End::Dropped, End::Lost] {
        let mut at = Transcript::new(1);
        at.login(1, "alice");
        at.end(1, end);
        connect(&mut at, 2, elsewhere(1));
        assert!(is_taken(&mut at, 2, PLAIN), "{end:?}");
        connect(&mut at, 3, source(1));
        at.login(3, "alice");
    }
}

#[test]
fn who_said_that_he_has_a_secret_is_known_by_nothing_else() {
    for end in [End::Dropped, End::Lost] {
        let mut at = Transcript::new(1);
        let secret = login(&mut at, 1, "").unwrap();
        at.end(1, end);
        for id in 2..62 {
            connect(&mut at, id, source(1));
            assert!(is_taken(&mut at, id, PLAIN), "somebody behind the same address, {end:?}");
            assert!(login(&mut at, id, "guessed").is_err());
            at.now += Duration::from_millis(900);
        }
        connect(&mut at, 99, source(1));
        login(&mut at, 99, &secret).unwrap();
    }
}

#[test]
fn who_has_the_token_needs_no_secret() {
    let mut at = Transcript::with(Limits::default(), Names::WithTokens, 1);
    let text = r#"{"type":"login","name":"alice","token":"t","resume":""}"#;
    let right = |id| Input::Verified { id: ConnectionId(id), verdict: Verdict::Right };
    at.say(1, text);
    at.input(right(1));
    at.end(1, End::Lost);
    connect(&mut at, 2, elsewhere(1));
    at.say(2, text);
    assert_eq!(at.input(right(2)), ["2 welcome: alice"]);
}

#[test]
fn one_address_keeps_no_more_names_than_it_may_have_connections() {
    let limits = Limits { connections_per_address: 2, ..Limits::default() };
    let mut at = Transcript::with(limits, Names::Free, 0);
    for id in 1..=4 {
        connect(&mut at, id, elsewhere(1));
        at.login(id, &format!("n{id}"));
    }
    (1..=4).for_each(|id| drop(at.end(id, End::Lost)));
    connect(&mut at, 5, elsewhere(2));
    for (name, taken) in [("n1", true), ("n2", true), ("n3", false)] {
        let text = format!(r#"{{"type":"login","name":"{name}"}}"#);
        assert_eq!(is_taken(&mut at, 5, &text), taken, "{name}");
    }
}

#[test]
fn one_network_keeps_no_more_than_a_quarter_of_the_names() {
    let limits = Limits { connections: 40, connections_per_address: 2, ..Limits::default() };
    let mut at = Transcript::with(limits, Names::Free, 0);
    let of = |site: u16, number: u16| {
        let address = std::net::Ipv6Addr::new(0x2001, 0xdb8, site, number, 0, 0, 0, 1);
        Source::of(address.into())
    };
    for number in 0..30 {
        connect(&mut at, u64::from(number), of(1, number));
        at.login(u64::from(number), &format!("mal{number}x"));
    }
    (0..30).for_each(|id| drop(at.end(id, End::Lost)));
    connect(&mut at, 100, of(2, 1));
    login(&mut at, 100, "").unwrap();
    at.end(100, End::Lost);
    connect(&mut at, 101, of(3, 1));
    let taken = |at: &mut Transcript, name: &str| {
        is_taken(at, 101, &format!(r#"{{"type":"login","name":"{name}"}}"#))
    };
    let kept = (0..10).filter(|number| taken(&mut at, &format!("mal{number}x"))).count();
    assert_eq!(kept, 10);
    assert!(taken(&mut at, "alice"), "hers is kept all the same");
    assert!(!taken(&mut at, "mal10x"));
}

#[test]
fn wrong_tokens_from_elsewhere_do_not_lock_the_owner_out() {
    let mut at = Transcript::with(Limits::default(), Names::WithTokens, 1);
    let text = r#"{"type":"login","name":"alice","token":"t"}"#;
    let verdict = |id, verdict| Input::Verified { id: ConnectionId(id), verdict };
    at.say(1, text);
    at.input(verdict(1, Verdict::Right));
    at.close(1);
    for guess in 0..200_u8 {
        let id = 100 + u64::from(guess);
        connect(&mut at, id, elsewhere(guess));
        if at.say(id, text)[0].contains("verify") {
            at.input(verdict(id, Verdict::Wrong));
        }
    }
    assert_eq!(at.board.counts().refused(Refused::WrongToken), 100);
    connect(&mut at, 2, elsewhere(250));
    assert!(at.say(2, text)[0].contains("too-many-tries"), "from where nobody ever logged in");
    connect(&mut at, 3, source(1));
    assert_eq!(at.say(3, text), ["3 verify: alice t"]);
    assert_eq!(at.input(verdict(3, Verdict::Right)), ["3 welcome: alice"]);
}

#[test]
fn who_does_not_log_in_goes_and_who_is_being_looked_at_does_not() {
    let mut at = Transcript::with(Limits::default(), Names::WithTokens, 2);
    at.say(2, r#"{"type":"login","name":"bob","token":"t"}"#);
    at.now += Limits::default().login_within;
    assert!(at.board.deadline().is_some_and(|due| due <= at.now));
    assert_eq!(at.input(Input::Timeout), ["1 closed: NoLogin"]);
    assert_eq!(at.board.deadline(), None);
}

#[test]
fn who_comes_and_goes_leaves_nothing_behind() {
    let mut at = Transcript::new(0);
    for id in 1..500 {
        connect(&mut at, id, elsewhere(1));
        if id % 2 == 0 {
            at.login(id, &format!("user{id}"));
        }
        at.close(id);
    }
    assert!(at.board.to_log_in.is_empty() && at.board.deadline().is_none());
}

#[test]
fn a_token_that_is_being_looked_at_buys_no_more_time_than_that() {
    let mut at = Transcript::with(Limits::default(), Names::WithTokens, 2);
    let login = |name, token| format!(r#"{{"type":"login","name":"{name}","token":"{token}"}}"#);
    at.now += Limits::default().login_within - Duration::from_secs(1);
    assert_eq!(at.say(1, &login("alice", "wrong")), ["1 verify: alice wrong"]);
    assert_eq!(at.say(2, &login("bob", "right")), ["2 verify: bob right"]);
    at.now += Duration::from_secs(1);
    assert!(at.input(Input::Timeout).is_empty(), "both are being looked at");
    let verdict = |id, verdict| Input::Verified { id: ConnectionId(id), verdict };
    let told = at.input(verdict(1, Verdict::Wrong));
    assert!(told[0].contains("wrong-token") && told[1] == "1 closed: NoLogin", "{told:?}");
    assert_eq!(at.input(verdict(2, Verdict::Right)), ["2 welcome: bob"]);
    assert_eq!(at.board.deadline(), None);
}
