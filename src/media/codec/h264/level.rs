//! Which H.264 level a size and rate need (ITU-T H.264 table A-1). Pure.

use crate::media::frame::Size;

/// level_idc, macroblocks a second, macroblocks a picture, bits a second (baseline).
const LEVELS: [(u8, u32, u32, u32); 15] = [
    (10, 1_485, 99, 64_000),
    (11, 3_000, 396, 192_000),
    (12, 6_000, 396, 384_000),
    (13, 11_880, 396, 768_000),
    (20, 11_880, 396, 2_000_000),
    (21, 19_800, 792, 4_000_000),
    (22, 20_250, 1_620, 4_000_000),
    (30, 40_500, 1_620, 10_000_000),
    (31, 108_000, 3_600, 14_000_000),
    (32, 216_000, 5_120, 20_000_000),
    (40, 245_760, 8_192, 20_000_000),
    (42, 522_240, 8_704, 50_000_000),
    (50, 589_824, 22_080, 135_000_000),
    (51, 983_040, 36_864, 240_000_000),
    (52, 2_073_600, 36_864, 240_000_000),
];

/// The lowest level_idc that fits, such as 31 for 1280x720 at 30 pictures a second.
#[must_use]
pub fn level_idc(size: Size, fps: f64, bitrate: u32) -> u8 {
    let macroblocks = size.width.div_ceil(16) * size.height.div_ceil(16);
    let rate = f64::from(macroblocks) * fps;
    LEVELS
        .iter()
        .find(|(_, max_rate, max_picture, max_bits)| {
            rate <= f64::from(*max_rate) && macroblocks <= *max_picture && bitrate <= *max_bits
        })
        .map_or(52, |level| level.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_sizes() {
        for (width, height, fps, level) in [
            (320, 240, 30.0, 20),
            (640, 360, 30.0, 30),
            (1280, 720, 30.0, 31),
            (1280, 720, 60.0, 32),
            (1920, 1080, 30.0, 40),
            (3840, 2160, 30.0, 51),
        ] {
            let size = Size { width, height };
            assert_eq!(level_idc(size, fps, 1_500_000), level, "{size} at {fps}");
        }
    }
}
