//! Fuzzes the signaling messages: reading never panics, what was read is written and read
//! again as the same message, and what the server would pass on is a message still.

#![no_main]

use libfuzzer_sys::fuzz_target;
use peer::signaling::envelope::Envelope;
use peer::signaling::message::{MAX_MESSAGE, Message};

fuzz_target!(|text: &str| {
    if let Ok(message) = Message::parse(text) {
        let json = message.to_json();
        // Escaping may push a text at the limit over it.
        if json.len() <= MAX_MESSAGE {
            assert_eq!(Message::parse(&json), Ok(message));
        }
    }
    if let Ok(envelope) = Envelope::read(text, MAX_MESSAGE) {
        let passed_on = envelope.signed("\"alice\"");
        assert!(Envelope::read(&passed_on, usize::MAX).is_ok());
    }
});
