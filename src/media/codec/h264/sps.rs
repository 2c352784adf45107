//! What an H.264 sequence parameter set says: size, profile, timing (ITU-T H.264 section 7.3.2.1.1).
//!
//! Pure, over bytes that may come from the network: reads no further than the fields we need, and
//! never panics on broken bits.

use super::nal::{nal_type, nal_unit_type, nal_units};

/// The fields of a sequence parameter set that somebody asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sps {
    /// 66 baseline, 77 main, 100 high.
    pub profile_idc: u8,
    /// constraint_set0_flag is the highest bit.
    pub constraint_flags: u8,
    /// Level times ten.
    pub level_idc: u8,
    /// Width in pixels after cropping.
    pub width: u32,
    /// Height in pixels after cropping.
    pub height: u32,
    /// Width and height before cropping, which is what a decoder takes memory for.
    pub coded: (u32, u32),
    /// `max_num_ref_frames`: pictures that a decoder keeps for others.
    pub references: u32,
    /// Pictures are whole frames, not fields.
    pub progressive: bool,
    /// `chroma_format_idc`: 1 is 4:2:0.
    pub chroma_format: u32,
    /// Bits of a luma sample.
    pub bit_depth: u32,
    /// Pictures a second, when the stream says so.
    pub fps: Option<f64>,
}

/// The largest side that is believed; more would be an attack or a mistake.
const MAX_SIDE: u32 = 16_384;

/// Profiles whose SPS carries chroma format and scaling lists.
const HIGH_PROFILES: [u8; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

impl Sps {
    /// Reads an SPS NAL unit (header byte included, without start code); `None` when it is cut,
    /// breaks the syntax, or its size is beyond belief.
    #[must_use]
    pub fn parse(nal: &[u8]) -> Option<Self> {
        if nal_unit_type(nal) == nal_type::SPS { parse(nal) } else { None }
    }

    /// Reads an SPS or a subset SPS, whatever its header says it is.
    #[must_use]
    pub fn parse_any(nal: &[u8]) -> Option<Self> {
        parse(nal)
    }

    /// The first SPS of an access unit in Annex B form.
    #[must_use]
    pub fn find(annex_b: &[u8]) -> Option<Self> {
        nal_units(annex_b).find_map(Self::parse)
    }
}

fn parse(nal: &[u8]) -> Option<Sps> {
    let mut bits = Bits::new(nal.get(1..)?);
    let profile_idc = bits.read(8)? as u8;
    let constraint_flags = bits.read(8)? as u8;
    let level_idc = bits.read(8)? as u8;
    bits.ue()?;
    let (mut chroma_format, mut bit_depth) = (1, 8);
    if HIGH_PROFILES.contains(&profile_idc) {
        chroma_format = bits.ue()?;
        if chroma_format == 3 {
            bits.read(1)?;
        }
        bit_depth = bits.ue()?.checked_add(8)?;
        bits.ue()?;
        bits.read(1)?;
        if bits.flag()? {
            skip_scaling_lists(&mut bits, if chroma_format == 3 { 12 } else { 8 })?;
        }
    }
    bits.ue()?;
    skip_picture_order(&mut bits)?;
    let references = bits.ue()?;
    bits.read(1)?;
    let mbs_wide = bits.ue()?.checked_add(1)?;
    let map_units_high = bits.ue()?.checked_add(1)?;
    let progressive = bits.flag()?;
    if !progressive {
        bits.read(1)?;
    }
    bits.read(1)?;
    let coded =
        (mbs_wide.checked_mul(16)?, map_units_high.checked_mul(if progressive { 16 } else { 32 })?);
    let (width, height) = cropped(&mut bits, mbs_wide, map_units_high, progressive, chroma_format)?;
    let fps = if bits.flag().unwrap_or(false) { timing(&mut bits) } else { None };
    Some(Sps {
        profile_idc,
        constraint_flags,
        level_idc,
        width,
        height,
        coded,
        references,
        progressive,
        chroma_format,
        bit_depth,
        fps,
    })
}

fn cropped(
    bits: &mut Bits<'_>,
    mbs_wide: u32,
    map_units_high: u32,
    progressive: bool,
    chroma_format: u32,
) -> Option<(u32, u32)> {
    let fields = if progressive { 1 } else { 2 };
    let (mut width, mut height) =
        (mbs_wide.checked_mul(16)?, map_units_high.checked_mul(16 * fields)?);
    if bits.flag()? {
        let unit_x = if matches!(chroma_format, 1 | 2) { 2 } else { 1 };
        let unit_y = if chroma_format == 1 { 2 } else { 1 } * fields;
        let (left, right, top, bottom) = (bits.ue()?, bits.ue()?, bits.ue()?, bits.ue()?);
        width = width.checked_sub(left.checked_add(right)?.checked_mul(unit_x)?)?;
        height = height.checked_sub(top.checked_add(bottom)?.checked_mul(unit_y)?)?;
    }
    let believable = |side| (1..=MAX_SIDE).contains(&side);
    (believable(width) && believable(height)).then_some((width, height))
}

fn skip_scaling_lists(bits: &mut Bits<'_>, count: usize) -> Option<()> {
    for list in 0..count {
        if !bits.flag()? {
            continue;
        }
        let (mut last, mut next) = (8i64, 8i64);
        for _ in 0..if list < 6 { 16 } else { 64 } {
            if next != 0 {
                next = (last + bits.se()? + 256) % 256;
            }
            if next != 0 {
                last = next;
            }
        }
    }
    Some(())
}

fn skip_picture_order(bits: &mut Bits<'_>) -> Option<()> {
    match bits.ue()? {
        0 => {
            bits.ue()?;
        }
        1 => {
            bits.read(1)?;
            bits.se()?;
            bits.se()?;
            for _ in 0..bits.ue()?.min(255) {
                bits.se()?;
            }
        }
        _ => {}
    }
    Some(())
}

/// The frame rate from the VUI (annex E.1.1); two ticks make a picture.
fn timing(bits: &mut Bits<'_>) -> Option<f64> {
    if bits.flag()? && bits.read(8)? == 255 {
        bits.read(32)?;
    }
    if bits.flag()? {
        bits.read(1)?;
    }
    if bits.flag()? {
        bits.read(4)?;
        if bits.flag()? {
            bits.read(24)?;
        }
    }
    if bits.flag()? {
        bits.ue()?;
        bits.ue()?;
    }
    if !bits.flag()? {
        return None;
    }
    let (ticks, scale) = (bits.read(32)?, bits.read(32)?);
    let fps = f64::from(scale) / (2.0 * f64::from(ticks));
    (0.1..=1000.0).contains(&fps).then_some(fps)
}

/// Bits of a NAL unit, emulation prevention bytes left out (section 7.4.1).
struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    zeros: u32,
    byte: u8,
    left: u32,
}

impl<'a> Bits<'a> {
    fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, zeros: 0, byte: 0, left: 0 }
    }

    fn next_byte(&mut self) -> Option<u8> {
        let mut byte = *self.data.get(self.at)?;
        self.at += 1;
        if self.zeros >= 2 && byte == 3 {
            self.zeros = 0;
            byte = *self.data.get(self.at)?;
            self.at += 1;
        }
        self.zeros = if byte == 0 { self.zeros + 1 } else { 0 };
        Some(byte)
    }

    fn flag(&mut self) -> Option<bool> {
        if self.left == 0 {
            self.byte = self.next_byte()?;
            self.left = 8;
        }
        self.left -= 1;
        Some(self.byte >> self.left & 1 == 1)
    }

    /// `count` bits, at most 32.
    fn read(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |value, _| Some(value << 1 | u32::from(self.flag()?)))
    }

    /// An Exp-Golomb number (section 9.1).
    fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        (1u32 << zeros).checked_add(self.read(zeros)?)?.checked_sub(1)
    }

    fn se(&mut self) -> Option<i64> {
        let code = i64::from(self.ue()?);
        Some(if code % 2 == 0 { -code / 2 } else { (code + 1) / 2 })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use openh264::encoder::Encoder;
    use openh264::formats::YUVBuffer;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_size_of_a_real_stream_is_found() {
        for (width, height) in [(320, 180), (64, 48), (16, 16)] {
            let mut encoder = Encoder::new().unwrap();
            let unit = encoder.encode(&YUVBuffer::new(width, height)).unwrap().to_vec();
            let sps = Sps::find(&unit).unwrap();
            assert_eq!((sps.width as usize, sps.height as usize), (width, height));
            assert!(sps.progressive && sps.chroma_format == 1 && sps.bit_depth == 8);
        }
    }

    #[test]
    fn reads_a_cropped_1080p_sps() {
        // Baseline, 1920x1088 cropped by 8 lines.
        let sps = [0x67, 0x42, 0xc0, 0x28, 0xda, 0x01, 0xe0, 0x08, 0x9f, 0x97, 0x01, 0x10, 0x00];
        let sps = Sps::parse(&sps).unwrap();
        assert_eq!((sps.profile_idc, sps.constraint_flags, sps.level_idc), (66, 0xc0, 40));
        assert_eq!((sps.width, sps.height), (1920, 1080));
    }

    proptest! {
        #[test]
        fn wild_bytes_never_panic(data in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut nal = vec![0x67];
            nal.extend(&data);
            for sps in [Sps::parse(&nal), Sps::parse(&data), Sps::find(&data)].into_iter().flatten() {
                prop_assert!(sps.width > 0 && sps.height > 0);
            }
        }
    }
}
