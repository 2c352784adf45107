//! NAL units in Annex B streams: their borders and types.
//!
//! Pure, over bytes that may come from the network: never panics, never reads
//! beyond them. ITU-T H.264 section 7.4.1 and annex B.

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

    proptest! {
        #[test]
        fn wild_bytes_give_units_that_are_not_empty(data: Vec<u8>) {
            for nal in nal_units(&data) {
                prop_assert!(!nal.is_empty());
            }
        }
    }
}
