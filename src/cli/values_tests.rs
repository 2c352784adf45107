//! Tests of the flag values: what is taken, what is refused, and what the refusal says.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;

use super::*;

#[test]
fn bitrates_take_k_m_and_plain_numbers() {
    assert_eq!(bitrate("2M"), Ok(2_000_000));
    assert_eq!(bitrate("1.5m"), Ok(1_500_000));
    assert_eq!(bitrate("1500k"), Ok(1_500_000));
    assert_eq!(bitrate("800000"), Ok(800_000));
    assert_eq!(bitrate("50k"), Ok(50_000));
    assert_eq!(bitrate("50M"), Ok(50_000_000));
}

#[test]
fn bitrates_outside_the_bounds_or_not_numbers_are_refused() {
    for text in ["49k", "51M", "0", "1"] {
        assert!(bitrate(text).unwrap_err().contains("50k to 50M"), "{text}");
    }
    for text in ["", "M", "fast", "-1M", "1e6", "1.2.3M", "2G", "+2M", "inf", "NaN", ".5M"] {
        assert!(bitrate(text).unwrap_err().contains("write 2M"), "{text}");
    }
}

#[test]
fn durations_need_a_unit() {
    assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
    assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
    assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
    assert_eq!(duration("1h"), Ok(Duration::from_secs(3600)));
    assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
    assert_eq!(duration("10").unwrap_err(), "'10' has no unit; write 10s for seconds");
    for text in ["", "s", "ten", "-1s", "1d", "1s1s", "1e3s"] {
        assert!(duration(text).unwrap_err().contains("is not a duration"), "{text}");
    }
    for text in ["0s", "25h", "99999999999999999999h"] {
        assert!(duration(text).unwrap_err().contains("1ms to 24h"), "{text}");
    }
}

#[test]
fn frame_rates_run_from_1_to_120() {
    assert_eq!(fps("30"), Ok(30.0));
    assert_eq!(fps("29.97"), Ok(29.97));
    for text in ["0", "0.5", "121", "", "x", "-1", "NaN"] {
        assert!(fps(text).is_err(), "{text}");
    }
}

#[test]
fn names_are_printable_and_short() {
    assert_eq!(name("alice"), Ok("alice".into()));
    assert_eq!(name("Zoë Müller"), Ok("Zoë Müller".into()));
    assert!(name(&"ä".repeat(64)).is_ok());
    let long = "a".repeat(65);
    for text in
        ["", " ", " a", "a ", "a\nb", "a\u{1b}[2J", "a\u{202e}b", "a\u{3164}", "e\u{301}", &long]
    {
        assert!(name(text).is_err(), "{text:?}");
    }
}

#[test]
fn servers_are_ws_urls() {
    for text in
        ["ws://localhost:9090", "ws://example.org", "wss://example.org", "ws://[::1]:9090/path?x=1"]
    {
        assert_eq!(server_url(text), Ok(text.to_owned()));
    }
    for (page, server) in [("http://x:1/", "ws://x:1/"), ("https://[::1]:9", "wss://[::1]:9")] {
        assert!(server_url(page).unwrap_err().ends_with(&format!("write {server}")), "{page}");
    }
    for text in
        ["localhost:9090", "ftp://x", "ws://", "wss://:90", "ws://a:0", "ws://a:b", "ws://a b"]
    {
        assert!(server_url(text).unwrap_err().contains("ws://HOST:PORT"), "{text}");
    }
}

#[test]
fn stun_urls_follow_rfc_7064() {
    for text in ["stun:stun.example.org", "stun:10.0.0.1:3478", "stun:[2001:db8::1]:3478", "none"] {
        assert_eq!(stun_url(text), Ok(text.to_owned()));
    }
    assert!(stun_url("stuns:example.org").unwrap_err().contains("yet"));
    assert_eq!(
        stun_url("stun://example.org").unwrap_err(),
        "'stun://example.org' has slashes; write stun:example.org"
    );
    for text in ["", "example.org", "turn:example.org", "stun:", "stun:::1", "stun:a:99999"] {
        assert!(stun_url(text).unwrap_err().contains("stun:HOST:PORT"), "{text}");
    }
}

#[test]
fn turn_urls_follow_rfc_7065() {
    for text in [
        "turn:example.org",
        "turn:10.0.0.1:3478?transport=udp",
        "turn:[::1]:3478",
        "turn:example.org?transport=tcp",
        "turns:example.org",
        "turns:[::1]:443?transport=tcp",
    ] {
        assert!(text.parse::<crate::ice::url::ServerUrl>().is_ok(), "{text}");
        assert_eq!(turn_url(text), Ok(text.to_owned()));
    }
    assert!(turn_url("turns:example.org?transport=udp").unwrap_err().contains("DTLS"));
    assert!(turn_url("turn:example.org?x=y").unwrap_err().contains("unknown"));
    for text in ["stun:example.org", "turn:", "turn:user@host", "turn:[::1"] {
        assert!(turn_url(text).unwrap_err().contains("turn:HOST:PORT"), "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_a_parser_panic(text in "\\PC{0,24}") {
        let _ = (bitrate(&text), duration(&text), fps(&text));
        let _ = (server_url(&text), stun_url(&text), turn_url(&text));
        if let Ok(taken) = name(&text) {
            prop_assert!(!taken.chars().any(unprintable));
        }
    }

    #[test]
    fn every_bitrate_in_bounds_is_read_back(bits in 50_000u32..=50_000_000) {
        prop_assert_eq!(bitrate(&bits.to_string()), Ok(bits));
    }
}

#[test]
fn servers_that_are_handed_out_may_be_of_any_kind() {
    for text in ["stun:s", "stuns:s:5349", "turn:t?transport=tcp", "turns:[::1]:443"] {
        assert_eq!(ice_url(text).as_deref(), Ok(text));
    }
    for text in
        ["", "s", "http:s", "stun:s?transport=udp", "turn:t?x", "turn://t", "turn:", "stun:a,b"]
    {
        assert!(ice_url(text).is_err(), "{text}");
    }
}
