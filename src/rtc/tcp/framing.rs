//! Datagrams over a stream: where one ends and the next begins (RFC 4571 section 2, for ICE RFC 6544
//! section 3). Pure.
//!
//! Owns the bytes that have come and are no whole frame yet.

use bytes::{Buf, Bytes, BytesMut};

/// What the library takes at once, without the length before it. Nobody sends datagrams of that size.
pub const LARGEST: usize = 4094;

const HEADER: usize = 2;

/// A frame is longer than any that a call has; nothing after it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame is longer than {LARGEST} bytes")]
pub struct TooLong;

/// A stream, cut into frames.
#[derive(Debug, Default)]
pub struct Frames {
    buffer: BytesMut,
}

impl Frames {
    /// Takes what has come. Take the frames out before more is put in: what lies here is then less
    /// than one frame.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, without its length; `None` until there is one. Empty ones are nothing.
    ///
    /// # Errors
    /// When one is too long, as soon as its length is known. The stream is no good any more.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, TooLong> {
        loop {
            let Some(length) = self.buffer.first_chunk::<HEADER>() else { return Ok(None) };
            let length = usize::from(u16::from_be_bytes(*length));
            if length > LARGEST {
                return Err(TooLong);
            }
            if self.buffer.len() < HEADER + length {
                return Ok(None);
            }
            self.buffer.advance(HEADER);
            if length > 0 {
                return Ok(Some(self.buffer.split_to(length).freeze()));
            }
        }
    }
}

/// Appends a datagram with its length before it. `false`, and nothing appended, when it is empty or too
/// long.
pub fn frame(datagram: &[u8], to: &mut Vec<u8>) -> bool {
    let length = u16::try_from(datagram.len()).unwrap_or(u16::MAX);
    if datagram.is_empty() || datagram.len() > LARGEST {
        return false;
    }
    to.extend_from_slice(&length.to_be_bytes());
    to.extend_from_slice(datagram);
    true
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(bytes: &[u8], pieces: &[usize]) -> Result<Vec<Vec<u8>>, TooLong> {
        let (mut frames, mut found, mut rest) = (Frames::default(), Vec::new(), bytes);
        for piece in pieces.iter().cycle() {
            let (now, later) = rest.split_at((*piece).clamp(1, rest.len().max(1)).min(rest.len()));
            frames.push(now);
            while let Some(frame) = frames.next_frame()? {
                found.push(frame.to_vec());
            }
            assert!(frames.buffer.len() < HEADER + LARGEST);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        Ok(found)
    }

    proptest! {
        #[test]
        fn what_is_framed_comes_out_however_it_was_cut(
            datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..1500), 1..8),
            pieces in prop::collection::vec(1_usize..900, 1..8),
        ) {
            let mut stream = Vec::new();
            for datagram in &datagrams {
                prop_assert!(frame(datagram, &mut stream));
                // Nobody need send an empty one, and it says nothing.
                stream.extend([0, 0]);
            }
            prop_assert_eq!(cut(&stream, &pieces), Ok(datagrams));
        }

        #[test]
        fn any_bytes_are_cut_or_refused_alike(
            bytes in prop::collection::vec(any::<u8>(), 0..9000),
            pieces in prop::collection::vec(1_usize..900, 1..8),
        ) {
            prop_assert_eq!(cut(&bytes, &pieces).is_err(), cut(&bytes, &[1]).is_err());
        }
    }

    #[test]
    fn what_is_too_long_is_refused_before_it_is_there() {
        assert_eq!(cut(&[0x0f, 0xff], &[1]), Err(TooLong));
        assert_eq!(cut(&[0x0f, 0xfe, 1], &[1]), Ok(vec![]));
        let mut out = Vec::new();
        assert!(!frame(&[], &mut out) && !frame(&[0; LARGEST + 1], &mut out) && out.is_empty());
        assert!(frame(&[7; LARGEST], &mut out));
        assert_eq!(cut(&out, &[4096]), Ok(vec![vec![7; LARGEST]]));
    }
}
