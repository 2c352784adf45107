//! What an H.264 sequence parameter set says: size, profile, timing (ITU-T H.264 section 7.3.2.1.1).
//!
//! Pure, over bytes that may come from the network: reads no further than the fields we need, and
//! never panics on broken bits.

use super::bits::Bits;
use super::nal::{nal_type, nal_unit_type, nal_units};
use crate::media::showing::{ColourHint, Matrix};

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
    /// Width to height of a sample, when the stream says so.
    pub aspect: Option<(u32, u32)>,
    /// What the stream says of its colours.
    pub colour: ColourHint,
    /// How its pictures are numbered.
    pub numbering: Numbering,
}

/// What of it the head of a slice depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Numbering {
    /// `seq_parameter_set_id`.
    pub id: u32,
    /// Bits of `frame_num`.
    pub frame_bits: u32,
    /// Bits of `pic_order_cnt_lsb` where it stands in every slice (type 0).
    pub order_bits: Option<u32>,
    /// Whether the order of pictures is a sum of other numbers (type 1).
    pub is_summed: bool,
    /// Macroblocks of a picture.
    pub blocks: u32,
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
    let id = bits.ue()?;
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
    let frame_bits = number_bits(&mut bits)?;
    let (order_bits, is_summed) = picture_order(&mut bits)?;
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
    let mut vui = Vui::default();
    if bits.flag().unwrap_or(false) {
        // What is cut off is not known; the rest is.
        let _ = vui.read(&mut bits);
    }
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
        fps: vui.fps,
        aspect: vui.aspect,
        colour: vui.colour,
        numbering: Numbering {
            id,
            frame_bits,
            order_bits,
            is_summed,
            blocks: mbs_wide.saturating_mul(map_units_high),
        },
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

/// The length of a number in the heads of slices: 4 to 16 bits.
fn number_bits(bits: &mut Bits<'_>) -> Option<u32> {
    bits.ue().filter(|more| *more <= 12).map(|more| more + 4)
}

/// The bits of `pic_order_cnt_lsb` where there are some, and whether the order is a sum (type 1).
fn picture_order(bits: &mut Bits<'_>) -> Option<(Option<u32>, bool)> {
    match bits.ue()? {
        0 => number_bits(bits).map(|count| (Some(count), false)),
        1 => {
            bits.read(1)?;
            bits.se()?;
            bits.se()?;
            for _ in 0..bits.ue()?.min(255) {
                bits.se()?;
            }
            Some((None, true))
        }
        _ => Some((None, false)),
    }
}

/// What the VUI tells of showing and timing (annex E.1.1).
#[derive(Default)]
struct Vui {
    aspect: Option<(u32, u32)>,
    colour: ColourHint,
    fps: Option<f64>,
}

/// Shapes of samples by `aspect_ratio_idc`, from 1 on (table E-1).
const ASPECTS: [(u32, u32); 16] = [
    (1, 1),
    (12, 11),
    (10, 11),
    (16, 11),
    (40, 33),
    (24, 11),
    (20, 11),
    (32, 11),
    (80, 33),
    (18, 11),
    (15, 11),
    (64, 33),
    (160, 99),
    (4, 3),
    (3, 2),
    (2, 1),
];

impl Vui {
    fn read(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        if bits.flag()? {
            let known = match bits.read(8)? {
                255 => Some((bits.read(16)?, bits.read(16)?)),
                index => ASPECTS.get((index as usize).wrapping_sub(1)).copied(),
            };
            self.aspect = known.filter(|(width, height)| *width > 0 && *height > 0);
        }
        if bits.flag()? {
            bits.read(1)?;
        }
        if bits.flag()? {
            bits.read(3)?;
            self.colour.full_range = Some(bits.flag()?);
            if bits.flag()? {
                bits.read(16)?;
                self.colour.matrix = Matrix::from_code(u64::from(bits.read(8)?));
            }
        }
        if bits.flag()? {
            bits.ue()?;
            bits.ue()?;
        }
        // Two ticks make a picture.
        if bits.flag()? {
            let (ticks, scale) = (bits.read(32)?, bits.read(32)?);
            let fps = f64::from(scale) / (2.0 * f64::from(ticks));
            self.fps = (0.1..=1000.0).contains(&fps).then_some(fps);
        }
        Some(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use openh264::encoder::{Encoder, EncoderConfig, VuiConfig};
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

    #[test]
    fn what_a_stream_says_of_its_colours_is_read() {
        for (vui, matrix, full) in [
            (VuiConfig::bt601(), Matrix::Bt601, false),
            (VuiConfig::bt709_full(), Matrix::Bt709, true),
            (VuiConfig::bt2020(), Matrix::Bt2020, false),
        ] {
            let config = EncoderConfig::new().vui(vui);
            let api = openh264::OpenH264API::from_source();
            let mut encoder = Encoder::with_api_config(api, config).unwrap();
            let unit = encoder.encode(&YUVBuffer::new(64, 48)).unwrap().to_vec();
            let colour = Sps::find(&unit).unwrap().colour;
            assert_eq!(colour, ColourHint { matrix: Some(matrix), full_range: Some(full) });
        }
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
