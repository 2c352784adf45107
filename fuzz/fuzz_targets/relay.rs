//! Fuzzes TURN over a stream: whatever comes is cut into messages or refused, however it was cut on
//! the way, and a message that came is sent as the same bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use peer::rtc::relay::framing::{Framer, frame};

/// All messages, and whether the end is a stranger.
fn messages(bytes: &[u8], pieces: usize) -> (Vec<Vec<u8>>, bool) {
    let (mut framer, mut found) = (Framer::default(), Vec::new());
    for piece in bytes.chunks(pieces.max(1)) {
        framer.push(piece);
        loop {
            match framer.next_message() {
                Ok(Some(message)) => found.push(message.to_vec()),
                Ok(None) => break,
                Err(_) => return (found, true),
            }
        }
    }
    (found, false)
}

fuzz_target!(|input: (u8, &[u8])| {
    let (pieces, bytes) = input;
    let whole = messages(bytes, bytes.len());
    assert_eq!(whole, messages(bytes, usize::from(pieces)));
    let mut stream = Vec::new();
    for message in &whole.0 {
        assert!(frame(message, &mut stream));
    }
    assert_eq!(whole.0, messages(&stream, stream.len()).0);
    frame(bytes, &mut stream);
});
