//! The frame stamp: a number that a picture carries through an encoder.
//!
//! Pure. 32 square cells, black or white, in the top left corner: 20 bits of
//! number, 12 bits of checksum. Cells are aligned to the transform blocks of
//! H.264, so that they survive its coarsest quantisation, and as large as lets
//! them survive being sent at a quarter of the size.

use crate::media::frame::{Size, VideoFrame};

/// Side of the smallest cell, pixels: half a macroblock.
const CELL: usize = 8;

/// A larger picture has larger cells: so many of them in its width.
const CELLS_IN_WIDTH: usize = 40;

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
    let Some(side) = cell_side(frame.size()) else { return };
    let width = frame.size().width as usize;
    let bits = with_checksum(number % WRAPS_AT);
    let (y, u, v) = frame.planes_mut();
    for (row, line) in y.chunks_exact_mut(width).take(ROWS * side).enumerate() {
        let first = row / side * COLUMNS;
        for (column, pixels) in line.chunks_exact_mut(side).take(COLUMNS).enumerate() {
            pixels.fill(if bits >> (first + column) & 1 == 1 { WHITE } else { BLACK });
        }
    }
    for plane in [u, v] {
        for row in plane.chunks_exact_mut(width / 2).take(ROWS * side / 2) {
            row[..COLUMNS * side / 2].fill(128);
        }
    }
}

/// Reads the number back that was written into a picture of size `written`, whatever size it has now;
/// `None` when there is none or it did not survive.
#[must_use]
pub fn read_stamp(frame: &VideoFrame, written: Size) -> Option<u32> {
    let side = cell_side(written)?;
    let mut bits = 0_u32;
    for cell in 0..COLUMNS * ROWS {
        let mean = cell_mean(frame, written, side, cell)?;
        if (mean - 128).abs() < CERTAIN {
            return None;
        }
        bits |= u32::from(mean > 128) << cell;
    }
    let number = bits % WRAPS_AT;
    (with_checksum(number) == bits).then_some(number)
}

/// The side of a cell in a picture of that size; `None` when there is no room for the stamp.
fn cell_side(size: Size) -> Option<usize> {
    let (width, height) = (size.width as usize, size.height as usize);
    let side = (width / CELLS_IN_WIDTH / CELL * CELL).max(CELL);
    (width >= COLUMNS * side && height >= ROWS * side).then_some(side)
}

/// The mean of a cell's inner pixels: its border smears.
fn cell_mean(frame: &VideoFrame, written: Size, side: usize, cell: usize) -> Option<i32> {
    let now = frame.size();
    let rows = inner(cell / COLUMNS, side, now.height, written.height);
    let columns = inner(cell % COLUMNS, side, now.width, written.width);
    let (mut sum, count) = (0, rows.len() * columns.len());
    for row in rows {
        let line = frame.y().get(row * now.width as usize..)?.get(columns.clone())?;
        sum += line.iter().map(|y| i32::from(*y)).sum::<i32>();
    }
    Some(sum / count.max(1) as i32)
}

/// The middle half of a cell along one side of a picture that was `written` long and now is `now`.
fn inner(cell: usize, side: usize, now: u32, written: u32) -> std::ops::Range<usize> {
    let scaled = |quarters: usize| quarters * side * now as usize / (4 * written.max(1) as usize);
    let (from, to) = (scaled(4 * cell + 1), scaled(4 * cell + 3));
    from..to.max(from + 1)
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
    use crate::media::codec::{VideoEncoderSettings, table};
    use crate::media::frame::{FramePool, MaxPicture};
    use crate::media::quality::resized;
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
            proptest::prop_assert_eq!(read_stamp(&frame, frame.size()), Some(number % WRAPS_AT));
        }
    }

    #[test]
    fn survives_the_encoder_at_its_lowest_rate() {
        let size = Size { width: 640, height: 360 };
        let settings = VideoEncoderSettings { size, fps: 30.0, bitrate: 60_000 };
        let codec = table::PICTURES[0];
        let mut encoder = table::video_encoder(codec, settings).unwrap();
        let mut decoder = table::video_decoder(codec, MaxPicture::default()).unwrap();
        let (start, mut read) = (clock::now(), 0);
        for number in 0..60 {
            let mut frame = noise(size, number / 20);
            // Grain, as a camera in the dark has; pure noise would leave one picture of sixty.
            frame.i420_mut().iter_mut().for_each(|byte| *byte = 100 + *byte / 16);
            frame.set_captured_at(start + Duration::from_millis(u64::from(number) * 33));
            write_stamp(&mut frame, number * 7_919);
            if let Some(encoded) = encoder.encode(&frame).unwrap() {
                let decoded = decoder.decode(&encoded.data, clock::now()).unwrap().unwrap();
                assert_eq!(read_stamp(&decoded, size), Some(number * 7_919 % WRAPS_AT));
                read += 1;
            }
        }
        assert!(read > 5, "the encoder gave only {read} pictures");
    }

    #[test]
    fn survives_being_made_smaller() {
        let size = Size { width: 640, height: 360 };
        for number in [0, 1, 77_777, WRAPS_AT - 1] {
            let mut frame = noise(size, number);
            write_stamp(&mut frame, number);
            for (width, height) in [(480, 270), (426, 240), (320, 180), (160, 90), (1280, 720)] {
                let other = resized(&frame, Size { width, height });
                assert_eq!(read_stamp(&other, size), Some(number), "{width}x{height}");
            }
        }
    }

    #[test]
    fn pictures_without_a_stamp_give_none() {
        let size = Size { width: 128, height: 16 };
        for level in [0, 16, 128, 235, 255] {
            let mut frame = FramePool::new().take(size, clock::now());
            frame.i420_mut().fill(level);
            assert_eq!(read_stamp(&frame, size), None, "grey {level}");
        }
        assert_eq!((0..20_000).filter_map(|seed| read_stamp(&noise(size, seed), size)).count(), 0);
        let mut small = FramePool::new().take(Size { width: 64, height: 64 }, clock::now());
        write_stamp(&mut small, 5);
        assert_eq!(read_stamp(&small, small.size()), None);
    }
}
