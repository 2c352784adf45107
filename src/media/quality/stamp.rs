//! The frame stamp: a number that a picture carries through an encoder.
//!
//! Pure. 32 cells of 8x8 pixels, black or white, in the top left corner: 20
//! bits of number, 12 bits of checksum. Cells are aligned to the transform
//! blocks of H.264, so that they survive its coarsest quantisation.

use crate::media::frame::VideoFrame;

/// Side of a cell, pixels: half a macroblock.
const CELL: usize = 8;

/// Cells in a row, and rows.
const COLUMNS: usize = 16;
const ROWS: usize = 2;

/// Bits of the number; it wraps after about nine hours at 30 pictures a second.
const NUMBER_BITS: u32 = 20;

/// The numbers that a stamp can carry are below this.
pub const WRAPS_AT: u32 = 1 << NUMBER_BITS;

const BLACK: u8 = 16;
const WHITE: u8 = 235;

/// A cell is believed when its mean is this far from the middle.
const CERTAIN: i32 = 24;

/// Writes `number` (modulo [`WRAPS_AT`]) into the picture's corner. Pictures narrower than 128 or
/// lower than 16 pixels carry none.
pub fn write_stamp(frame: &mut VideoFrame, number: u32) {
    if !has_room(frame) {
        return;
    }
    let width = frame.size().width as usize;
    let bits = with_checksum(number % WRAPS_AT);
    let (y, u, v) = frame.planes_mut();
    for row in 0..ROWS * CELL {
        for column in 0..COLUMNS * CELL {
            let cell = row / CELL * COLUMNS + column / CELL;
            y[row * width + column] = if bits >> cell & 1 == 1 { WHITE } else { BLACK };
        }
    }
    for plane in [u, v] {
        for row in plane.chunks_exact_mut(width / 2).take(ROWS * CELL / 2) {
            row[..COLUMNS * CELL / 2].fill(128);
        }
    }
}

/// Reads the number back; `None` when there is none or it did not survive.
#[must_use]
pub fn read_stamp(frame: &VideoFrame) -> Option<u32> {
    if !has_room(frame) {
        return None;
    }
    let mut bits = 0_u32;
    for cell in 0..COLUMNS * ROWS {
        let mean = cell_mean(frame, cell);
        if (mean - 128).abs() < CERTAIN {
            return None;
        }
        bits |= u32::from(mean > 128) << cell;
    }
    let number = bits % WRAPS_AT;
    (with_checksum(number) == bits).then_some(number)
}

fn has_room(frame: &VideoFrame) -> bool {
    let size = frame.size();
    size.width as usize >= COLUMNS * CELL && size.height as usize >= ROWS * CELL
}

/// The mean of a cell's inner pixels: its border smears.
fn cell_mean(frame: &VideoFrame, cell: usize) -> i32 {
    let width = frame.size().width as usize;
    let (top, left) = (cell / COLUMNS * CELL, cell % COLUMNS * CELL);
    let mut sum = 0;
    for row in top + 2..top + CELL - 2 {
        let from = row * width + left;
        sum += frame.y()[from + 2..from + CELL - 2].iter().map(|y| i32::from(*y)).sum::<i32>();
    }
    sum / ((CELL - 4) * (CELL - 4)) as i32
}

/// The number in the low bits, a checksum of 12 bits above.
fn with_checksum(number: u32) -> u32 {
    // Multiplying by an odd constant spreads every bit of the number upwards; a stamp of nothing but
    // black or nothing but white is not a valid one.
    let checksum = number.wrapping_add(1).wrapping_mul(0x9e37_79b1) >> NUMBER_BITS;
    checksum << NUMBER_BITS | number
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::media::codec::h264::{H264Decoder, H264Encoder};
    use crate::media::codec::{VideoDecoder, VideoEncoder, VideoEncoderSettings};
    use crate::media::frame::{FramePool, Size};
    use std::time::Duration;

    fn noise(size: Size, seed: u32) -> VideoFrame {
        let mut frame = FramePool::new().take(size, clock::now());
        let mut state = seed.wrapping_mul(2_654_435_761) | 1;
        for byte in frame.i420_mut() {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            *byte = state as u8;
        }
        frame
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read(number: u32, seed: u32) {
            let mut frame = noise(Size { width: 160, height: 90 }, seed);
            write_stamp(&mut frame, number);
            proptest::prop_assert_eq!(read_stamp(&frame), Some(number % WRAPS_AT));
        }
    }

    #[test]
    fn survives_the_encoder_at_its_lowest_rate() {
        let size = Size { width: 640, height: 360 };
        let settings = VideoEncoderSettings { size, fps: 30.0, bitrate: 60_000 };
        let mut encoder = H264Encoder::new(settings).unwrap();
        let mut decoder = H264Decoder::new().unwrap();
        let (start, mut read) = (clock::now(), 0);
        for number in 0..60 {
            let mut frame = noise(size, number / 20);
            // Grain, as a camera in the dark has; pure noise would leave one picture of sixty.
            frame.i420_mut().iter_mut().for_each(|byte| *byte = 100 + *byte / 16);
            frame.set_captured_at(start + Duration::from_millis(u64::from(number) * 33));
            write_stamp(&mut frame, number * 7_919);
            if let Some(encoded) = encoder.encode(&frame).unwrap() {
                let decoded = decoder.decode(&encoded.data, clock::now()).unwrap().unwrap();
                assert_eq!(read_stamp(&decoded), Some(number * 7_919 % WRAPS_AT));
                read += 1;
            }
        }
        assert!(read > 5, "the encoder gave only {read} pictures");
    }

    #[test]
    fn pictures_without_a_stamp_give_none() {
        let size = Size { width: 128, height: 16 };
        for level in [0, 16, 128, 235, 255] {
            let mut frame = FramePool::new().take(size, clock::now());
            frame.i420_mut().fill(level);
            assert_eq!(read_stamp(&frame), None, "grey {level}");
        }
        assert_eq!((0..20_000).filter_map(|seed| read_stamp(&noise(size, seed))).count(), 0);
        let mut small = FramePool::new().take(Size { width: 64, height: 64 }, clock::now());
        write_stamp(&mut small, 5);
        assert_eq!(read_stamp(&small), None);
    }
}
