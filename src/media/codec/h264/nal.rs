//! NAL units in Annex B streams: their borders and types.
//!
//! Pure, over bytes that may come from the network: never panics, never reads
//! beyond them. ITU-T H.264 section 7.4.1 and annex B.

use std::borrow::Cow;

use super::bits::Bits;

/// NAL unit types (ITU-T H.264 table 7-1).
pub mod nal_type {
    /// A slice of a picture that builds on others.
    pub const SLICE: u8 = 1;
    /// A slice of a picture that can be decoded by itself.
    pub const IDR: u8 = 5;
    /// Supplemental enhancement information.
    pub const SEI: u8 = 6;
    /// Sequence parameter set.
    pub const SPS: u8 = 7;
    /// Picture parameter set.
    pub const PPS: u8 = 8;
    /// Access unit delimiter.
    pub const AUD: u8 = 9;
}

/// The type in a NAL unit's first byte; 0 for an empty one.
#[must_use]
pub fn nal_unit_type(nal: &[u8]) -> u8 {
    nal.first().map_or(0, |byte| byte & 0x1f)
}

/// The NAL units of an Annex B stream, without start codes and trailing zeros.
pub fn nal_units(annex_b: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = after_start_code(annex_b);
    std::iter::from_fn(move || {
        loop {
            let data = rest?;
            let (nal, next) = match find_start_code(data) {
                Some(at) => (&data[..at], after_start_code(&data[at..])),
                None => (data, None),
            };
            rest = next;
            let end = nal.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            if end > 0 {
                return Some(&nal[..end]);
            }
        }
    })
}

/// Where the next `00 00 01` begins.
pub(crate) fn find_start_code(data: &[u8]) -> Option<usize> {
    let mut from = 0;
    // Looking for the 1 first skips three bytes at a time through ordinary data.
    while from + 3 <= data.len() {
        match data[from + 2] {
            0 => from += 1,
            1 if data[from] == 0 && data[from + 1] == 0 => return Some(from),
            _ => from += 3,
        }
    }
    None
}

fn after_start_code(data: &[u8]) -> Option<&[u8]> {
    find_start_code(data).map(|at| &data[at + 3..])
}

/// What of an access unit a decoder is shown: the pictures and their parameter sets. Everything else
/// (prefixes, other layers, what is reserved) is to be ignored by who does not know it (section
/// 7.4.1), and OpenH264 fails on some of it. A level beyond those that it knows is called the
/// highest that it does: what it can decode is found out by decoding.
#[must_use]
pub fn for_decoder(annex_b: &[u8]) -> Cow<'_, [u8]> {
    let needed = |nal: &[u8]| matches!(nal_unit_type(nal), 1..=5 | nal_type::SPS | nal_type::PPS);
    let strange = |nal: &[u8]| {
        !needed(nal) && !matches!(nal_unit_type(nal), nal_type::SEI | nal_type::AUD)
            || nal_unit_type(nal) == nal_type::SPS && strange_level(nal)
    };
    if !nal_units(annex_b).any(strange) {
        return Cow::Borrowed(annex_b);
    }
    let mut out = Vec::with_capacity(annex_b.len());
    for nal in nal_units(annex_b).filter(|nal| needed(nal)) {
        out.extend_from_slice(&[0, 0, 0, 1]);
        let at = out.len();
        out.extend_from_slice(nal);
        if nal_unit_type(nal) == nal_type::SPS
            && strange_level(nal)
            && let Some(level) = out.get_mut(at + 3)
        {
            *level = HIGHEST_LEVEL;
        }
    }
    Cow::Owned(out)
}

/// The highest level_idc that OpenH264 knows: 5.2.
const HIGHEST_LEVEL: u8 = 52;

fn strange_level(sps: &[u8]) -> bool {
    const KNOWN: [u8; 17] = [9, 10, 11, 12, 13, 20, 21, 22, 30, 31, 32, 40, 41, 42, 50, 51, 52];
    sps.get(3).is_some_and(|level| !KNOWN.contains(level))
}

/// Where decoding can begin with an access unit though it holds no IDR: in how many steps of
/// `frame_num` its pictures are right, as a recovery point says (SEI payload 6, section D.2.8), or at
/// once where all its slices are intra.
#[must_use]
pub fn recovery_point(annex_b: &[u8]) -> Option<u32> {
    let (mut slices, mut intra) = (0, true);
    for nal in nal_units(annex_b) {
        match nal_unit_type(nal) {
            nal_type::SEI => {
                if let Some(count) = recovery_frames(nal) {
                    return Some(count);
                }
            }
            nal_type::SLICE => {
                slices += 1;
                intra &= is_intra_slice(nal);
            }
            _ => {}
        }
    }
    (slices > 0 && intra).then_some(0)
}

/// `recovery_frame_cnt` of the recovery point among the messages of an SEI NAL unit (section 7.3.2.3.1),
/// if one is.
fn recovery_frames(nal: &[u8]) -> Option<u32> {
    let mut bits = Bits::new(nal.get(1..)?);
    loop {
        let (kind, size) = (sei_number(&mut bits)?, sei_number(&mut bits)?);
        if kind == RECOVERY_POINT {
            return bits.ue();
        }
        for _ in 0..size {
            bits.read(8)?;
        }
    }
}

/// Payload type of a recovery point (section D.1.1).
const RECOVERY_POINT: u32 = 6;

/// A type or size: as many bytes of 255 as fit into it, and the rest.
fn sei_number(bits: &mut Bits<'_>) -> Option<u32> {
    let mut value = 0u32;
    loop {
        let byte = bits.read(8)?;
        value = value.checked_add(byte)?;
        if byte < 255 {
            return Some(value);
        }
    }
}

/// `frame_num` of the first slice of an access unit whose numbers have so many bits, where the picture
/// is one that others refer to (section 7.3.3).
#[must_use]
pub fn reference_number(annex_b: &[u8], frame_bits: u32) -> Option<u32> {
    let is_slice = |nal: &&[u8]| matches!(nal_unit_type(nal), nal_type::SLICE | nal_type::IDR);
    let nal = nal_units(annex_b).find(is_slice)?;
    if nal.first()? & 0x60 == 0 {
        return None;
    }
    let mut bits = Bits::new(nal.get(1..)?);
    for _ in 0..3 {
        bits.ue()?;
    }
    bits.read(frame_bits)
}

/// Whether `slice_type` is I (section 7.4.3); the two numbers before it fit into a few bytes.
fn is_intra_slice(nal: &[u8]) -> bool {
    let mut bits = Bits::new(nal.get(1..).unwrap_or_default());
    bits.ue().and_then(|_| bits.ue()).is_some_and(|kind| matches!(kind, 2 | 7))
}

/// Whether an access unit holds an IDR picture.
#[must_use]
pub fn contains_idr(annex_b: &[u8]) -> bool {
    nal_units(annex_b).any(|nal| nal_unit_type(nal) == nal_type::IDR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn splits_three_and_four_byte_start_codes() {
        let stream = [0, 0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x68, 3, 0, 0, 0, 1, 0x65, 4, 0, 0];
        let units: Vec<&[u8]> = nal_units(&stream).collect();
        assert_eq!(units, [&[0x67, 1, 2][..], &[0x68, 3], &[0x65, 4]]);
        assert!(contains_idr(&stream));
        assert_eq!(nal_units(&[1, 2, 3]).count(), 0, "without a start code there is nothing");
    }

    #[test]
    fn a_decoder_is_shown_what_it_knows() {
        let plain = [0, 0, 1, 9, 0xF0, 0, 0, 1, 0x67, 66, 0, 31, 1, 0, 0, 1, 0x65, 4];
        assert!(matches!(for_decoder(&plain), Cow::Borrowed(_)));
        let strange = [&plain[..], &[0, 0, 1, 0x6E, 9, 0, 0, 1, 30, 1, 0, 0, 1, 0, 1]].concat();
        let shown = for_decoder(&strange);
        let types: Vec<u8> = nal_units(&shown).map(nal_unit_type).collect();
        assert_eq!(types, [7, 5]);
        let future = [0, 0, 1, 0x67, 66, 0, 62, 1, 0, 0, 1, 0x65, 4];
        assert_eq!(for_decoder(&future)[7], 52);
    }

    #[test]
    fn a_recovery_point_is_known() {
        let slice = [0, 0, 1, 0x41, 0x9A];
        let with = |sei: &[u8]| recovery_point(&[&[0, 0, 1][..], sei, &slice].concat());
        assert_eq!(with(&[6, 6, 1, 0x84, 0x80]), Some(0));
        // ue(11) is 0001100.
        assert_eq!(with(&[6, 6, 2, 0b0001_1001, 0x40, 0x80]), Some(11));
        // Behind others, one of which is long.
        assert_eq!(with(&[6, 1, 2, 6, 9, 6, 1, 0x84, 0x80]), Some(0));
        let long = [&[6, 5, 255, 5][..], &[6; 260], &[6, 1, 0x44, 0x80]].concat();
        assert_eq!(with(&long), Some(1));
        assert_eq!(with(&[6, 1, 3, 6, 1, 0x84, 0x80]), None, "a number in another message");
        assert_eq!(with(&[6, 5, 255]), None);
        // first_mb 0, slice_type 7 (I) and 5 (P).
        assert_eq!(recovery_point(&[0, 0, 1, 0x41, 0b1000_1000]), Some(0));
        assert_eq!(recovery_point(&[0, 0, 1, 0x41, 0b1001_1000]), None);
        assert_eq!(recovery_point(&[0, 0, 1, 0x67, 1]), None);
    }

    #[test]
    fn numbers_of_pictures_that_others_refer_to() {
        // first_mb 0, slice_type 5, set 0, then frame_num 9 in four bits.
        let slice = |first: u8| [0, 0, 1, first, 0b1001_1011, 0b0011_0000];
        assert_eq!(reference_number(&slice(0x41), 4), Some(9));
        assert_eq!(reference_number(&slice(0x01), 4), None);
        assert_eq!(reference_number(&slice(0x67), 4), None);
    }

    proptest! {
        #[test]
        fn wild_bytes_never_panic(data: Vec<u8>) {
            let _ = (recovery_point(&data), reference_number(&data, 16));
            for nal in nal_units(&for_decoder(&data)) {
                prop_assert!(matches!(nal_unit_type(nal), 1..=9));
            }
        }

        #[test]
        fn wild_bytes_give_units_that_are_not_empty(data: Vec<u8>) {
            for nal in nal_units(&data) {
                prop_assert!(!nal.is_empty());
            }
        }
    }
}
