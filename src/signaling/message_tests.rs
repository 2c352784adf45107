//! Tests of the messages: the table of the protocol, what is tolerated, what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;

use super::login::MAX_ICE_URLS;
use super::*;
use crate::ice::IceServer;

fn some(name: &str) -> Option<String> {
    Some(name.to_owned())
}

fn success(ice_servers: Vec<IceServer>) -> Message {
    Message::LoginReply(LoginReply { success: true, ice_servers, ..LoginReply::default() })
}

#[test]
fn writes_exactly_the_table() {
    let candidate = Candidate {
        candidate: "candidate:1 1 udp 1 192.0.2.1 9 typ host".to_owned(),
        sdp_mid: some("0"),
        sdp_mline_index: Some(0),
        username_fragment: some("u"),
    };
    let table = [
        (
            Message::Login { name: "alice".to_owned(), token: None, resume: None },
            r#"{"type":"login","name":"alice"}"#,
        ),
        (
            Message::Login {
                name: "alice".to_owned(),
                token: Some(Secret::new("t")),
                resume: None,
            },
            r#"{"type":"login","name":"alice","token":"t"}"#,
        ),
        (
            Message::Login {
                name: "alice".to_owned(),
                token: None,
                resume: Some(Secret::new("r")),
            },
            r#"{"type":"login","name":"alice","resume":"r"}"#,
        ),
        (success(Vec::new()), r#"{"type":"login","success":true}"#),
        (
            Message::LoginReply(LoginReply {
                ice_servers_ttl: Some(60),
                ..LoginReply::refused(LoginRefusal::WrongToken, "no".to_owned())
            }),
            concat!(
                r#"{"type":"login","success":false,"code":"wrong-token","message":"no","#,
                r#""iceServersTtl":60}"#
            ),
        ),
        (
            Message::Offer { sdp: "v=0".to_owned(), name: some("bob") },
            r#"{"type":"offer","offer":{"type":"offer","sdp":"v=0"},"name":"bob"}"#,
        ),
        (
            Message::Answer { sdp: "v=0".to_owned(), name: some("alice") },
            r#"{"type":"answer","answer":{"type":"answer","sdp":"v=0"},"name":"alice"}"#,
        ),
        (
            Message::Candidate { candidate: Some(candidate), name: some("bob") },
            concat!(
                r#"{"type":"candidate","candidate":{"candidate":"#,
                r#""candidate:1 1 udp 1 192.0.2.1 9 typ host","sdpMid":"0","#,
                r#""sdpMLineIndex":0,"usernameFragment":"u"},"name":"bob"}"#
            ),
        ),
        (
            Message::Candidate { candidate: None, name: some("bob") },
            r#"{"type":"candidate","candidate":null,"name":"bob"}"#,
        ),
        (Message::Leave { name: some("bob"), reason: None }, r#"{"type":"leave","name":"bob"}"#),
        (
            Message::Leave { name: None, reason: Some(LeaveReason::Busy) },
            r#"{"type":"leave","reason":"busy"}"#,
        ),
        (
            Message::Error { code: None, name: None, message: "Command not found: X".to_owned() },
            r#"{"type":"error","message":"Command not found: X"}"#,
        ),
        (Message::Unknown { kind: "users".to_owned() }, r#"{"type":"users"}"#),
    ];
    for (message, json) in table {
        assert_eq!(message.to_json(), json);
        assert_eq!(Message::parse(json).unwrap(), message);
    }
}

#[test]
fn every_way_to_end_candidates_is_the_end() {
    for json in [
        r#"{"type":"candidate"}"#,
        r#"{"type":"candidate","candidate":null}"#,
        r#"{"type":"candidate","candidate":""}"#,
        r#"{"type":"candidate","candidate":{}}"#,
        r#"{"type":"candidate","candidate":{"candidate":null}}"#,
        r#"{"type":"candidate","candidate":{"candidate":"","sdpMid":"0","sdpMLineIndex":0}}"#,
    ] {
        let end = Message::Candidate { candidate: None, name: None };
        assert_eq!(Message::parse(json).unwrap(), end, "{json}");
    }
}

#[test]
fn candidates_live_without_mid_and_index() {
    for (json, index) in [
        (r#"{"type":"candidate","candidate":{"candidate":"c"}}"#, None),
        (
            r#"{"type":"candidate","candidate":{"candidate":"c","sdpMid":null,"sdpMLineIndex":null}}"#,
            None,
        ),
        (r#"{"type":"candidate","candidate":{"candidate":"c","sdpMLineIndex":1}}"#, Some(1)),
        (r#"{"type":"candidate","candidate":{"candidate":"c","sdpMLineIndex":70000}}"#, None),
        (r#"{"type":"candidate","candidate":{"candidate":"c","sdpMLineIndex":-1}}"#, None),
    ] {
        let Message::Candidate { candidate: Some(candidate), .. } = Message::parse(json).unwrap()
        else {
            panic!("{json}")
        };
        assert_eq!((candidate.sdp_mid, candidate.sdp_mline_index), (None, index), "{json}");
    }
}

#[test]
fn foreign_names_and_fields_are_tolerated() {
    let offer = Message::Offer { sdp: "v=0".to_owned(), name: None };
    for json in [
        r#"{"type":"offer","offer":{"sdp":"v=0"}}"#,
        r#"{"type":"offer","offer":{"sdp":"v=0","type":"offer"},"name":null,"more":[1]}"#,
        r#"{"type":"offer","offer":"v=0","name":""}"#,
    ] {
        assert_eq!(Message::parse(json).unwrap(), offer, "{json}");
    }
    let left = Message::parse(r#"{"type":"leave","reason":"gone fishing"}"#).unwrap();
    assert_eq!(left, Message::Leave { name: None, reason: None });
    let error = Message::parse(r#"{"type":"error"}"#).unwrap();
    assert_eq!(error, Message::Error { code: None, name: None, message: String::new() });
}

#[test]
fn ice_servers_come_in_all_their_forms() {
    let json = r#"{"type":"login","success":true,"iceServers":[
        {"urls":"stun:a"},{"urls":["turn:b","turns:b"],"username":"u","credential":"p"},
        {"url":"stun:c"},{"urls":[]},{"urls":7},{},3]}"#;
    let Message::LoginReply(LoginReply { ice_servers, .. }) = Message::parse(json).unwrap() else {
        panic!("not a reply")
    };
    let urls: Vec<_> = ice_servers.iter().map(|server| server.urls.join(" ")).collect();
    assert_eq!(urls, ["stun:a", "turn:b turns:b", "stun:c"]);
    assert_eq!(ice_servers[1].credential.as_deref(), Some("p"));
    let not_a_list = r#"{"type":"login","success":false,"iceServers":"stun:a"}"#;
    let refused = Message::LoginReply(LoginReply::default());
    assert_eq!(Message::parse(not_a_list).unwrap(), refused);
}

#[test]
fn what_is_no_message_is_refused_with_the_reason() {
    for (text, error) in [
        ("Hello world", ParseError::NotJson),
        ("", ParseError::NotJson),
        ("[1]", ParseError::NotAnObject),
        ("{}", ParseError::Field { field: "type" }),
        (r#"{"type":3}"#, ParseError::Field { field: "type" }),
        (r#"{"type":"login"}"#, ParseError::Field { field: "name" }),
        (r#"{"type":"login","name":""}"#, ParseError::Name(NameError::Empty)),
        (r#"{"type":"login","name":"a\nb"}"#, ParseError::Name(NameError::Unprintable)),
        (
            &format!(r#"{{"type":"login","name":"a","token":"{}"}}"#, "x".repeat(MAX_TOKEN + 1)),
            ParseError::Field { field: "token" },
        ),
        (r#"{"type":"offer","name":"b"}"#, ParseError::Field { field: "offer" }),
        (r#"{"type":"answer","answer":{}}"#, ParseError::Field { field: "answer" }),
        (r#"{"type":"candidate","candidate":5}"#, ParseError::Field { field: "candidate" }),
    ] {
        assert_eq!(Message::parse(text).unwrap_err(), error, "{text}");
    }
    let deep = format!("{{\"type\":{}1{}}}", "[".repeat(4000), "]".repeat(4000));
    assert_eq!(Message::parse(&deep).unwrap_err(), ParseError::NotJson);
    let large = format!(r#"{{"type":"x","y":"{}"}}"#, "z".repeat(MAX_MESSAGE));
    assert!(matches!(Message::parse(&large), Err(ParseError::TooLarge { .. })));
    assert!(Message::parse_within(&large, MAX_MESSAGE_FROM_SERVER).is_ok());
}

#[test]
fn secrets_stay_out_of_debug() {
    let json = r#"{"type":"login","success":true,
        "iceServers":[{"urls":"turn:t","username":"userhush","credential":"hush"}]}"#;
    let reply = format!("{:?}", Message::parse(json).unwrap());
    assert!(reply.contains("turn:t") && !reply.contains("hush"), "{reply}");
    let login = r#"{"type":"login","name":"alice","token":"hush"}"#;
    let login = format!("{:?}", Message::parse(login).unwrap());
    assert!(login.contains("alice") && !login.contains("hush"), "{login}");
    let candidate = r#"{"type":"candidate","candidate":{"candidate":"hush"}}"#;
    let candidate = format!("{:?}", Message::parse(candidate).unwrap());
    assert!(!candidate.contains("hush"), "{candidate}");
    let offer = format!("{:?}", Message::Offer { sdp: "hush".to_owned(), name: some("bob") });
    assert!(offer.contains("bob") && !offer.contains("hush"), "{offer}");
}

#[test]
fn refusals_are_told_by_their_words_and_plain_servers_have_one_reason() {
    for refusal in ["name-taken", "wrong-token", "token-needed", "too-many-tries", "bad-name"] {
        let json = format!(r#"{{"type":"login","success":false,"code":"{refusal}"}}"#);
        let Message::LoginReply(reply) = Message::parse(&json).unwrap() else { panic!("{json}") };
        assert_eq!(reply.refusal().map(LoginRefusal::code), Some(refusal));
    }
    assert_eq!(LoginReply::default().refusal(), Some(LoginRefusal::NameTaken));
    let unknown = LoginReply { code: some("closed-today"), ..LoginReply::default() };
    assert_eq!(unknown.refusal(), None);
}

fn names() -> impl Strategy<Value = Option<String>> {
    proptest::option::of("[!-~]{1,64}|[a-zà-ÿ]{1,20}")
}

fn ice() -> impl Strategy<Value = IceServer> {
    let secret = proptest::option::of(".{0,20}");
    (proptest::collection::vec(".{0,30}", 1..=MAX_ICE_URLS), secret.clone(), secret)
        .prop_map(|(urls, username, credential)| IceServer { urls, username, credential })
}

fn candidates() -> impl Strategy<Value = Candidate> {
    let text = proptest::option::of(".{0,20}");
    (".{1,80}", text.clone(), any::<Option<u16>>(), text).prop_map(
        |(candidate, sdp_mid, sdp_mline_index, username_fragment)| Candidate {
            candidate,
            sdp_mid,
            sdp_mline_index,
            username_fragment,
        },
    )
}

fn messages() -> impl Strategy<Value = Message> {
    let reason = proptest::option::of(proptest::sample::select(vec![
        LeaveReason::Rejected,
        LeaveReason::Busy,
        LeaveReason::Hangup,
        LeaveReason::Timeout,
        LeaveReason::Gone,
        LeaveReason::Media,
        LeaveReason::Failed,
    ]));
    let secret = || proptest::option::of(".{1,20}".prop_map(Secret::new));
    prop_oneof![
        (names(), secret(), secret()).prop_map(|(name, token, resume)| Message::Login {
            name: name.unwrap_or("x".to_owned()),
            token,
            resume,
        }),
        (any::<bool>(), proptest::collection::vec(ice(), 0..4), any::<Option<u32>>(), secret())
            .prop_map(|(success, ice_servers, ice_servers_ttl, resume)| {
                Message::LoginReply(LoginReply {
                    success,
                    ice_servers,
                    ice_servers_ttl,
                    resume,
                    ..LoginReply::default()
                })
            }),
        (any::<String>(), names()).prop_map(|(sdp, name)| Message::Offer { sdp, name }),
        (any::<String>(), names()).prop_map(|(sdp, name)| Message::Answer { sdp, name }),
        (proptest::option::of(candidates()), names())
            .prop_map(|(candidate, name)| Message::Candidate { candidate, name }),
        (names(), reason).prop_map(|(name, reason)| Message::Leave { name, reason }),
        (any::<Option<String>>(), names(), any::<String>())
            .prop_map(|(code, name, message)| Message::Error { code, name, message }),
        "[A-Z][a-z]{0,9}".prop_map(|kind| Message::Unknown { kind }),
    ]
}

/// JSON of the right field names and the wrong everything else.
fn almost_messages() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        proptest::sample::select(vec!["login", "offer", "answer", "candidate", "leave", "error"])
            .prop_map(Value::from),
    ];
    let keys = proptest::sample::select(vec![
        "type",
        "name",
        "success",
        "offer",
        "answer",
        "candidate",
        "sdp",
        "sdpMid",
        "sdpMLineIndex",
        "iceServers",
        "urls",
        "url",
        "reason",
        "code",
        "message",
    ]);
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((keys.clone(), inner), 0..6).prop_map(|fields| {
                Value::Object(fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
            }),
        ]
    })
    .prop_map(|value| value.to_string())
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(message in messages()) {
        prop_assert_eq!(Message::parse(&message.to_json()), Ok(message));
    }

    #[test]
    fn wild_text_never_panics(text in ".{0,200}") {
        let _ = Message::parse(&text);
    }

    #[test]
    fn whatever_is_read_survives_a_round_trip(text in almost_messages()) {
        if let Ok(message) = Message::parse(&text) {
            prop_assert_eq!(Message::parse(&message.to_json()), Ok(message));
        }
    }
}

#[test]
fn a_reveal_is_an_end_of_candidates_for_whoever_does_not_know_it() {
    let reveal = Message::Reveal { nonce: "abc".into(), name: Some("bob".into()) };
    let text = reveal.to_json();
    assert_eq!(
        text,
        r#"{"type":"candidate","candidate":{"candidate":"","sdpMid":"0","sdpMLineIndex":0,"peerReveal":"abc"},"name":"bob"}"#
    );
    assert_eq!(Message::parse(&text), Ok(reveal));
    let end = Message::Candidate { candidate: None, name: None };
    for text in [
        r#"{"type":"candidate","candidate":{"candidate":"","peerReveal":7}}"#,
        r#"{"type":"candidate","candidate":"","peerReveal":"abc"}"#,
        &text.replace("abc", &"x".repeat(200)).replace(",\"name\":\"bob\"", ""),
    ] {
        assert_eq!(Message::parse(text), Ok(end.clone()), "{text}");
    }
    let candidate = text.replace("\"candidate\":\"\"", "\"candidate\":\"candidate:1\"");
    assert!(matches!(
        Message::parse(&candidate),
        Ok(Message::Candidate { candidate: Some(_), .. })
    ));
}
