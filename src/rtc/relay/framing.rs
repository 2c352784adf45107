//! TURN over a stream: where one message ends and the next begins (RFC 8656 section 3.1 and 12.5,
//! RFC 8489 section 6.2.2).
//!
//! Owns the bytes that have come and are no whole message yet. It reads no more of a message than
//! its length.

use bytes::{Buf, Bytes, BytesMut};

use super::stun::MAGIC_COOKIE;

const STUN_HEADER: usize = 20;
const CHANNEL_HEADER: usize = 4;

/// Whoever is on the other end does not speak TURN; nothing after it can be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what comes from it is not TURN")]
pub struct NotTurn;

/// A stream, cut into messages.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: BytesMut,
}

impl Framer {
    /// Takes what has come. Take the messages out before more is put in: what lies here is then
    /// less than one message, at most 64 KiB and a little.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, without padding; `None` until there is one.
    ///
    /// # Errors
    /// When what has come cannot be TURN. The stream is no good any more.
    pub fn next_message(&mut self) -> Result<Option<Bytes>, NotTurn> {
        let Some(length) = whole_length(&self.buffer)? else { return Ok(None) };
        let padded = length.next_multiple_of(4);
        if self.buffer.len() < padded {
            return Ok(None);
        }
        let message = self.buffer.split_to(length).freeze();
        self.buffer.advance(padded - length);
        Ok(Some(message))
    }
}

/// Appends a message as a stream wants it: channel data padded to four bytes. `false`, and nothing
/// appended, when it is no TURN message.
pub fn frame(message: &[u8], to: &mut Vec<u8>) -> bool {
    let Ok(Some(length)) = whole_length(message) else { return false };
    let Some(whole) = message.get(..length) else { return false };
    to.extend_from_slice(whole);
    to.resize(to.len() + (length.next_multiple_of(4) - length), 0);
    true
}

/// How long the message is that begins here, header included and padding not; `None` when too
/// little is known of it.
fn whole_length(bytes: &[u8]) -> Result<Option<usize>, NotTurn> {
    let Some(&[first, _, high, low]) = bytes.first_chunk::<4>() else {
        // One byte is enough to see that it is something else.
        return if bytes.first().is_some_and(|first| *first > 0x4f) {
            Err(NotTurn)
        } else {
            Ok(None)
        };
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    match first >> 6 {
        0b00 if length % 4 != 0 => Err(NotTurn),
        0b00 => match bytes.get(4..8) {
            None => Ok(None),
            Some(cookie) if cookie == MAGIC_COOKIE.to_be_bytes() => Ok(Some(STUN_HEADER + length)),
            Some(_) => Err(NotTurn),
        },
        // Channel numbers (RFC 8656 section 12).
        0b01 if first <= 0x4f => Ok(Some(CHANNEL_HEADER + length)),
        _ => Err(NotTurn),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stun(body: &[u8]) -> Vec<u8> {
        let body = &body[..body.len() / 4 * 4];
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        let header = [&[0x01, 0x03], &length[..], &MAGIC_COOKIE.to_be_bytes(), &[7; 12]].concat();
        [&header[..], body].concat()
    }

    fn channel(number: u16, data: &[u8]) -> Vec<u8> {
        let length = u16::try_from(data.len()).unwrap();
        [&number.to_be_bytes()[..], &length.to_be_bytes(), data].concat()
    }

    fn message() -> impl Strategy<Value = Vec<u8>> {
        let data = prop::collection::vec(any::<u8>(), 0..1500);
        (data, 0x4000_u16..0x5000, any::<bool>()).prop_map(
            |(data, number, is_stun)| match is_stun {
                true => stun(&data),
                false => channel(number, &data),
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_framed_comes_out_however_it_was_cut(
            messages in prop::collection::vec(message(), 1..8),
            cuts in prop::collection::vec(1_usize..900, 1..8),
        ) {
            let mut stream = Vec::new();
            for message in &messages {
                prop_assert!(frame(message, &mut stream));
                prop_assert_eq!(stream.len() % 4, 0);
            }
            let (mut framer, mut found, mut rest) = (Framer::default(), Vec::new(), &stream[..]);
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                framer.push(now);
                while let Some(message) = framer.next_message().unwrap() {
                    found.push(message.to_vec());
                }
                rest = later;
                if rest.is_empty() { break; }
            }
            prop_assert_eq!(found, messages);
        }

        #[test]
        fn any_bytes_are_cut_or_refused_and_nothing_is_kept(
            bytes in prop::collection::vec(any::<u8>(), 0..4000),
        ) {
            let mut framer = Framer::default();
            framer.push(&bytes);
            while let Ok(Some(message)) = framer.next_message() {
                prop_assert!(message.len() >= CHANNEL_HEADER);
            }
            prop_assert!(framer.buffer.len() <= bytes.len());
            let _ = frame(&bytes, &mut Vec::new());
        }
    }

    #[test]
    fn another_protocol_is_known_by_its_first_bytes() {
        for other in
            [&b"\x15\x03\x03\x00\x02\x02\x16\x00"[..], b"\x00\x01\x00\x03", b"SSH-2.0", b"\xff"]
        {
            let mut framer = Framer::default();
            framer.push(other);
            assert_eq!(framer.next_message(), Err(NotTurn), "{other:?}");
        }
    }

    #[test]
    fn half_a_message_is_not_sent() {
        let mut out = Vec::new();
        assert!(!frame(&stun(&[0; 8])[..24], &mut out) && !frame(b"", &mut out));
        assert!(out.is_empty());
    }
}
