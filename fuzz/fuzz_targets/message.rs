//! Fuzzes the signaling messages: reading never panics, and what was read is written
//! and read again as the same message.

#![no_main]

use libfuzzer_sys::fuzz_target;
use peer::signaling::message::{Message, forwarded};

fuzz_target!(|text: &str| {
    if let Ok(message) = Message::parse(text) {
        let json = message.to_json();
        // Escaping may push a text at the limit over it.
        if json.len() <= peer::signaling::message::MAX_MESSAGE {
            assert_eq!(Message::parse(&json), Ok(message));
        }
        assert!(forwarded(text, "alice").is_ok());
    }
});
