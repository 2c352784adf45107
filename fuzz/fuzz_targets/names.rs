//! Fuzzes the words of strangers that are no messages: names, what they look like, hosts and origins
//! of requests, and URLs of servers that are handed out.

#![no_main]

use libfuzzer_sys::fuzz_target;
use peer::ice::url::ServerUrl;
use peer::signaling::name::{Looks, check_name};
use peer::signaling::{host, origin};

fuzz_target!(|text: &str| {
    if check_name(text).is_ok() {
        let looks = Looks::of(text);
        assert_eq!(looks, Looks::of(text));
        assert!(looks.iter().all(|look| !look.is_empty()));
    }
    let _ = host::parse(text);
    let _ = origin::parse(text);
    if let Ok(url) = text.parse::<ServerUrl>() {
        assert!(!url.authority().is_empty());
    }
});
