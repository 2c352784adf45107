//! Fuzzes media over TCP: whatever comes is cut into frames or refused, however it was cut on the way,
//! and a frame that came is sent as the same bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use peer::rtc::tcp::framing::{Frames, LARGEST, frame};

/// All frames, and whether one is too long.
fn frames(bytes: &[u8], pieces: usize) -> (Vec<Vec<u8>>, bool) {
    let (mut frames, mut found) = (Frames::default(), Vec::new());
    for piece in bytes.chunks(pieces.max(1)) {
        frames.push(piece);
        loop {
            match frames.next_frame() {
                Ok(Some(frame)) => found.push(frame.to_vec()),
                Ok(None) => break,
                Err(_) => return (found, true),
            }
        }
    }
    (found, false)
}

fuzz_target!(|input: (u8, &[u8])| {
    let (pieces, bytes) = input;
    let whole = frames(bytes, bytes.len());
    assert_eq!(whole, frames(bytes, usize::from(pieces)));
    let mut stream = Vec::new();
    for datagram in &whole.0 {
        assert!(!datagram.is_empty() && datagram.len() <= LARGEST);
        assert!(frame(datagram, &mut stream));
    }
    assert_eq!(frames(&stream, stream.len()), (whole.0, false));
    frame(bytes, &mut stream);
});
