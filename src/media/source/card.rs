//! What is sent while a camera or a screen is gone: a dark picture that says so.

use std::time::Instant;

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

use crate::media::frame::{FramePool, Size, VideoFrame};

/// Dark, as luma of limited range.
const GROUND: u8 = 40;

/// A card of this size with these words, as of `now`.
pub(super) fn draw(words: &str, size: Size, now: Instant) -> VideoFrame {
    let mut frame = FramePool::default().take(size, now);
    let data = frame.i420_mut();
    data.fill(128);
    let (width, height) = (size.width as usize, size.height as usize);
    data[..size.luma_len()].fill(GROUND);
    let font = RasterHeight::Size24;
    let letter = get_raster_width(FontWeight::Regular, font);
    let left = width.saturating_sub(letter * words.len()) / 2;
    let top = height.saturating_sub(font.val()) / 2;
    for (at, word) in words.chars().enumerate() {
        let Some(raster) = get_raster(word, FontWeight::Regular, font) else { continue };
        for (y, row) in raster.rows().enumerate() {
            for (x, shade) in row.iter().enumerate() {
                let (x, y) = (left + at * letter + x, top + y);
                if x < width && y < height {
                    data[y * width + x] = GROUND.saturating_add(shade / 4 * 3);
                }
            }
        }
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_dark_with_light_words_in_its_middle() {
        let card = draw("no camera", Size { width: 640, height: 360 }, crate::clock::now());
        let row = |y: usize| &card.y()[y * 640..(y + 1) * 640];
        assert!((170..190).any(|y| row(y).iter().any(|luma| *luma > 150)), "words");
        assert!(row(10).iter().all(|luma| *luma == GROUND));
        let small = draw("no camera", Size { width: 16, height: 16 }, crate::clock::now());
        assert_eq!(small.size(), Size { width: 16, height: 16 });
    }
}
