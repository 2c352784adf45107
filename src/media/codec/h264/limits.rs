//! What H.264 may ask for before a decoder sees it: pictures of what size, how many of them kept, in
//! how many pieces. Pure, over bytes that may come from anybody.
//!
//! A decoder takes memory for the size that a parameter set names, so the set is read first.

use super::nal::{nal_type, nal_unit_type, nal_units};
use super::sps::Sps;
use crate::media::frame::{MaxPicture, Size, TooLarge};

/// Slices of a picture: more than a row of macroblocks of the highest pictures each on its own, or
/// packets of a keyframe. The decoder takes milliseconds for each when there are thousands.
const MOST_SLICES: usize = 1024;

/// Macroblocks of all pictures that are kept, at the highest level below 6 (ITU-T H.264 table A-1).
const MOST_KEPT: u64 = 184_320;

/// Macroblocks have 16 pixels a side.
const MACROBLOCK: u32 = 16;

/// A parameter set of a scalable or stereo stream (ITU-T H.264 table 7-1), which the decoder reads too.
const SUBSET_SPS: u8 = 15;

/// Why something is not decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooMuch {
    /// Its pictures are larger than is allowed.
    #[error(transparent)]
    Picture(#[from] TooLarge),
    /// It wants more pictures kept than any level has.
    #[error("it wants {0} pictures kept, more than any H.264 level has")]
    Kept(u32),
    /// A picture is cut into too many pieces.
    #[error("a picture in more than {MOST_SLICES} pieces")]
    Slices,
    /// A parameter set that cannot be read.
    #[error("a broken parameter set")]
    Broken,
}

/// Whether a decoder may see this access unit in Annex B form.
///
/// # Errors
/// What of it is too much.
pub fn check(annex_b: &[u8], most: MaxPicture) -> Result<(), TooMuch> {
    let mut slices = 0;
    for nal in nal_units(annex_b) {
        match nal_unit_type(nal) {
            nal_type::SPS | SUBSET_SPS => {
                check_sps(&Sps::parse_any(nal).ok_or(TooMuch::Broken)?, most)?;
            }
            1..=5 | 20 | 21 => slices += 1,
            _ => {}
        }
        if slices > MOST_SLICES {
            return Err(TooMuch::Slices);
        }
    }
    Ok(())
}

/// Whether pictures as this parameter set describes them may be decoded.
///
/// # Errors
/// What of it is too much.
pub fn check_sps(sps: &Sps, most: MaxPicture) -> Result<(), TooMuch> {
    let whole = |side: u32| side.next_multiple_of(MACROBLOCK);
    let (width, height) = sps.coded;
    let limit = most.size();
    let rounded = MaxPicture::new(Size { width: whole(limit.width), height: whole(limit.height) });
    if !rounded.admits(width, height) {
        return Err(TooLarge { size: Size { width, height }, limit }.into());
    }
    let blocks = |width: u32, height: u32| {
        u64::from(width.div_ceil(MACROBLOCK)) * u64::from(height.div_ceil(MACROBLOCK))
    };
    let kept = blocks(width, height) * u64::from(sps.references);
    let most_kept = MOST_KEPT.max(5 * blocks(limit.width, limit.height));
    if sps.references > 16 || kept > most_kept {
        return Err(TooMuch::Kept(sps.references));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Bits of a parameter set, written as they are read.
    #[derive(Default)]
    struct Bits(Vec<bool>);

    impl Bits {
        fn put(&mut self, value: u32, count: u32) {
            self.0.extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
        }

        fn ue(&mut self, value: u32) {
            let length = 32 - (value + 1).leading_zeros();
            self.put(0, length - 1);
            self.put(value + 1, length);
        }

        /// With emulation prevention (ITU-T H.264 section 7.4.1).
        fn bytes(mut self) -> Vec<u8> {
            self.0.push(true);
            let bytes = self.0.chunks(8).map(|bits| {
                (0..8).fold(0, |byte, at| byte << 1 | u8::from(*bits.get(at).unwrap_or(&false)))
            });
            let mut out = Vec::new();
            let mut zeros = 0;
            for byte in bytes {
                if zeros >= 2 && byte <= 3 {
                    out.push(3);
                    zeros = 0;
                }
                zeros = if byte == 0 { zeros + 1 } else { 0 };
                out.push(byte);
            }
            out
        }
    }

    /// Of baseline; `cropped` to 16x16.
    fn sps(kind: u8, (width, height): (u32, u32), references: u32, cropped: bool) -> Vec<u8> {
        let mut bits = Bits::default();
        bits.put(66, 8);
        bits.put(0, 8);
        bits.put(51, 8);
        for value in [0, 0, 2, references] {
            bits.ue(value);
        }
        bits.put(0, 1);
        bits.ue(width / 16 - 1);
        bits.ue(height / 16 - 1);
        bits.put(0b11, 2);
        bits.put(u32::from(cropped), 1);
        if cropped {
            for value in [0, width / 2 - 8, 0, height / 2 - 8] {
                bits.ue(value);
            }
        }
        bits.put(0, 1);
        [vec![0, 0, 1, 0x60 | kind], bits.bytes()].concat()
    }

    #[test]
    fn sizes_up_to_the_limit_pass_either_way_round() {
        let most = MaxPicture::default();
        for size in [(4096, 2304), (2304, 4096), (1920, 1088), (16, 16)] {
            assert_eq!(check(&sps(7, size, 4, false), most), Ok(()), "{size:?}");
        }
        for size in [(4112, 16), (4096, 2320), (2320, 4096), (16_384, 16_384), (2320, 2320)] {
            for (kind, cropped) in [(7, false), (7, true), (15, false)] {
                let refused = check(&sps(kind, size, 1, cropped), most);
                assert!(matches!(refused, Err(TooMuch::Picture(..))), "{size:?} {refused:?}");
            }
        }
        let more = MaxPicture::new(Size { width: 7680, height: 4320 });
        assert_eq!(check(&sps(7, (7680, 4320), 4, false), more), Ok(()));
        let less = MaxPicture::new(Size { width: 640, height: 360 });
        assert_eq!(check(&sps(7, (640, 368), 4, false), less), Ok(()), "whole macroblocks");
        assert!(check(&sps(7, (656, 368), 4, false), less).is_err());
    }

    #[test]
    fn what_no_level_has_is_too_much() {
        let most = MaxPicture::default();
        assert_eq!(check(&sps(7, (1920, 1088), 16, false), most), Ok(()));
        assert_eq!(check(&sps(7, (4096, 2304), 16, false), most), Err(TooMuch::Kept(16)));
        assert_eq!(check(&sps(7, (64, 64), 17, false), most), Err(TooMuch::Kept(17)));
        let slices = |count: usize| [0, 0, 1, 0x65, 0x88].repeat(count);
        assert_eq!(check(&slices(MOST_SLICES), most), Ok(()));
        assert_eq!(check(&slices(MOST_SLICES + 1), most), Err(TooMuch::Slices));
        assert_eq!(check(&[0, 0, 1, 0x67, 66], most), Err(TooMuch::Broken));
        assert_eq!(check(b"anything", most), Ok(()));
    }
}
