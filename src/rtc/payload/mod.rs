//! How each codec travels in RTP: the one match. Pure.
//!
//! Owns what is offered of a codec, which of its forms can be read and sent, and how its pictures are
//! cut into payloads and put together again. What a payload type means in a session is read in
//! `codecs.rs`.

mod h264;
mod opus;

use bytes::Bytes;

use crate::media::encoded::Codec;

/// The largest frame that is believed: far beyond a keyframe at the highest rates.
pub(super) const MAX_FRAME: usize = 4 * 1024 * 1024;

/// How one codec travels.
pub(super) struct Payload {
    /// RTP clock, Hz.
    pub(super) clock_rate: u32,
    /// As descriptions have it; 0 for pictures.
    pub(super) channels: u16,
    /// As we offer it, best first.
    pub(super) offers: &'static [Offer],
    /// What can be done with a form of it that has these parameters (`a=fmtp`); `None`: it cannot be
    /// read.
    pub(super) reads: fn(&str) -> Option<Readable>,
    /// How pictures are cut up. Packets of sound travel as they are.
    pub(super) pictures: Option<Pictures>,
}

/// One form in which a codec is offered.
pub(super) struct Offer {
    /// The number that packets bear.
    pub(super) payload_type: u8,
    /// That of their repairs (RTX, RFC 4588), if any.
    pub(super) repairs: Option<u8>,
    /// Its parameters.
    pub(super) parameters: &'static str,
}

/// What can be done with a form of a codec that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readable {
    /// We can send it so, too.
    AndSendable,
    /// It can only be read.
    Only,
}

/// How the pictures of a codec are cut into payloads and put together.
#[derive(Clone, Copy)]
pub(super) struct Pictures {
    /// The payloads of one picture, in order, of at most so many bytes each.
    pub(super) split: fn(&Bytes, usize) -> Vec<Bytes>,
    /// The picture that all its payloads in order are; `None` when it is not whole, breaks the syntax,
    /// or is larger than [`MAX_FRAME`].
    pub(super) join: fn(&[Bytes]) -> Option<Bytes>,
    /// Whether a payload may be the first of a picture.
    pub(super) begins: fn(&[u8]) -> bool,
    /// Whether it is the first of a picture that needs no other, as senders begin one.
    pub(super) begins_keyframe: fn(&[u8]) -> bool,
}

/// How this codec travels; `None` for what stands in files only.
pub(super) fn of(codec: Codec) -> Option<&'static Payload> {
    match codec {
        Codec::H264 => Some(&h264::PAYLOAD),
        Codec::Opus => Some(&opus::PAYLOAD),
        Codec::Aac => None,
    }
}

/// How the pictures of this codec are cut up; `None` when it has none.
pub(super) fn pictures(codec: Codec) -> Option<&'static Pictures> {
    of(codec)?.pictures.as_ref()
}

/// A parameter of `a=fmtp`; names are the same in capitals and small letters.
pub(super) fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = parameters.split(';').filter_map(|part| part.trim().split_once('='));
    pairs.find(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::codec::table;

    #[test]
    fn what_we_offer_we_can_read_and_send_and_every_picture_can_be_cut() {
        let mut numbers = Vec::new();
        for codec in table::PICTURES.iter().chain(table::SOUND) {
            let payload = of(*codec).expect("what calls have travels");
            assert_eq!(payload.pictures.is_some(), table::PICTURES.contains(codec));
            for offer in payload.offers {
                assert_eq!((payload.reads)(offer.parameters), Some(Readable::AndSendable));
                numbers.extend([Some(offer.payload_type), offer.repairs].into_iter().flatten());
            }
        }
        let count = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), count, "one number, one meaning");
    }

    #[test]
    fn parameters_are_found_whatever_their_letters() {
        let all = "a=1; Packetization-Mode = 1 ;b";
        assert_eq!(parameter(all, "packetization-mode"), Some("1"));
        assert_eq!(parameter(all, "b"), None);
    }
}
