//! Tests of the envelope: it agrees with the whole reading of a message, and changes the name only.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::signaling::message::{MAX_MESSAGE, Message};

fn signed(text: &str, sender: &str) -> String {
    Envelope::read(text, MAX_MESSAGE).unwrap().signed(&quoted(sender))
}

#[test]
fn only_the_name_is_changed() {
    for (sent, got) in [
        (
            r#"{"type":"offer","offer":{"sdp":"v=0\r\n"},"name":"bob","extra":[1,null]}"#,
            r#"{"type":"offer","offer":{"sdp":"v=0\r\n"},"name":"alice","extra":[1,null]}"#,
        ),
        (
            r#" { "name" : "bo\u0062" , "type" : "leave" } "#,
            r#" { "name" : "alice" , "type" : "leave" } "#,
        ),
        (r#"{"type":"leave"}"#, r#"{"type":"leave","name":"alice"}"#),
        (r#"{"name":null,"type":"candidate"}"#, r#"{"name":"alice","type":"candidate"}"#),
        (
            r#"{"type":"candidate","candidate":{"candidate":"c","name":"x"},"a":"}"}"#,
            r#"{"type":"candidate","candidate":{"candidate":"c","name":"x"},"a":"}","name":"alice"}"#,
        ),
    ] {
        assert_eq!(signed(sent, "alice"), got);
    }
    let odd = signed(r#"{"type":"leave","name":"bob"}"#, "a\"b\\c");
    assert_eq!(odd, r#"{"type":"leave","name":"a\"b\\c"}"#);
}

#[test]
fn the_target_is_read_whatever_way_it_is_written() {
    for (text, target) in [
        (r#"{"type":"leave","name":"bob"}"#, Some("bob")),
        (r#"{"\u0074ype":"leav\u0065","n\u0061me":"b\u006fb"}"#, Some("bob")),
        (r#"{"type":"leave","name":""}"#, None),
        (r#"{"type":"leave","name":7}"#, None),
        (r#"{"type":"leave","name":"__proto__"}"#, Some("__proto__")),
    ] {
        let envelope = Envelope::read(text, MAX_MESSAGE).unwrap();
        assert_eq!((envelope.kind, envelope.target.as_deref()), (Kind::Leave, target), "{text}");
    }
}

#[test]
fn what_could_be_read_in_two_ways_or_not_at_all_is_refused() {
    let two = r#"{"type":"leave","name":"bob","n\u0061me":"carol"}"#;
    assert!(matches!(Envelope::read(two, 999), Err(ParseError::Field { field: "name" })));
    for depth in [60, 4000] {
        let deep = format!(
            r#"{{"type":"leave","x":{}{}}}"#,
            r#"{"a":["#.repeat(depth / 2),
            "]}".repeat(depth / 2)
        );
        assert_eq!(Envelope::read(&deep, MAX_MESSAGE).is_ok(), depth == 60);
    }
    let open = "[".repeat(30_000);
    assert!(matches!(Envelope::read(&open, MAX_MESSAGE), Err(ParseError::NotJson)));
    let brackets = format!(r#"{{"type":"leave","x":"{}\""}}"#, "[{".repeat(200));
    assert!(Envelope::read(&brackets, MAX_MESSAGE).is_ok(), "in a string they are letters");
    let large = Envelope::read("{}", 1);
    assert!(matches!(large, Err(ParseError::TooLarge { size: 2, limit: 1 })));
}

fn agrees(text: &str) -> Result<(), TestCaseError> {
    let (ours, theirs) = (Envelope::read(text, MAX_MESSAGE), Message::parse(text));
    let envelope = match (ours, &theirs) {
        (Ok(envelope), Ok(_)) => envelope,
        // What a login needs is looked at later.
        (Ok(Envelope { kind: Kind::Login, .. }), Err(_)) => return Ok(()),
        // Of an error, which no server expects, not even the name is.
        (Ok(Envelope { kind: Kind::Other(_), .. }), Err(_)) => return Ok(()),
        (Err(_), Err(_)) => return Ok(()),
        (ours, theirs) => {
            return Err(TestCaseError::fail(format!("{ours:?} but {theirs:?}: {text}")));
        }
    };
    let target = match theirs.unwrap() {
        Message::Offer { name, .. }
        | Message::Answer { name, .. }
        | Message::Candidate { name, .. }
        | Message::Leave { name, .. } => name,
        _ => return Ok(()),
    };
    prop_assert_eq!(envelope.target.as_deref(), target.as_deref());
    let mut wanted: Value = serde_json::from_str(text).unwrap();
    wanted["name"] = Value::from("alice");
    let got: Value = serde_json::from_str(&envelope.signed("\"alice\"")).unwrap();
    prop_assert_eq!(got, wanted);
    Ok(())
}

fn values() -> impl Strategy<Value = Value> {
    let words = vec!["login", "offer", "answer", "candidate", "leave", "error", "", "bob"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        proptest::sample::select(words).prop_map(Value::from),
    ];
    let keys = vec!["type", "name", "offer", "answer", "candidate", "sdp", "more"];
    leaf.prop_recursive(3, 24, 6, move |inner| {
        let fields = (proptest::sample::select(keys.clone()), inner.clone());
        prop_oneof![
            proptest::collection::vec(inner, 0..3).prop_map(Value::from),
            proptest::collection::vec(fields, 0..6).prop_map(|fields| {
                Value::Object(fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn it_agrees_with_the_whole_reading(value in values()) {
        agrees(&value.to_string())?;
        agrees(&serde_json::to_string_pretty(&value).unwrap())?;
    }

    #[test]
    fn messages_of_every_type_agree(
        kind in proptest::sample::select(vec!["offer", "answer", "candidate", "leave"]),
        inner in values(),
        name in values(),
    ) {
        agrees(&format!(r#"{{"type":"{kind}","{kind}":{inner},"name":{name}}}"#))?;
    }

    #[test]
    fn wild_text_never_panics(text in ".{0,200}") {
        let _ = Envelope::read(&text, MAX_MESSAGE);
    }
}
