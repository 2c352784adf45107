//! Draws pictures and words into the pixels of a window: 32 bits each, 0x00RRGGBB.
//!
//! Owns the buffers in between. Knows no window system.

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

use super::layout::Area;
use crate::media::colour;
use crate::media::frame::{FramePool, Size, VideoFrame};
use crate::media::scale::{Planes, Scaler};

/// Scales and converts; one for each picture, so that buffers keep their size.
pub(super) struct Painter {
    scaler: Scaler,
    pool: FramePool,
    bgra: Vec<u8>,
}

impl Default for Painter {
    fn default() -> Self {
        Self { scaler: Scaler::quick(), pool: FramePool::default(), bgra: Vec::new() }
    }
}

impl Painter {
    /// Draws `frame` into `area` of a buffer that is `stride` pixels wide; `mirrored` swaps left and
    /// right.
    pub(super) fn paint(
        &mut self,
        frame: &VideoFrame,
        area: Area,
        mirrored: bool,
        (pixels, stride): (&mut [u32], usize),
    ) {
        let size = Size { width: area.width as u32, height: area.height as u32 };
        if size == frame.size() {
            return self.place(frame, area, mirrored, (pixels, stride));
        }
        let mut scaled = self.pool.take(size, frame.captured_at());
        scaled.set_colour(frame.colour());
        let own = (frame.size().width as usize, frame.size().height as usize);
        let Some(planes) = Planes::packed(own.0, own.1, frame.i420()) else { return };
        self.scaler.draw(planes, &mut scaled);
        self.place(&scaled, area, mirrored, (pixels, stride));
    }

    /// Draws a frame that has the size of `area`.
    fn place(
        &mut self,
        frame: &VideoFrame,
        area: Area,
        mirrored: bool,
        (pixels, stride): (&mut [u32], usize),
    ) {
        let all = stride * area.height;
        let from = area.top * stride + area.left;
        // Straight into the window where its pixels are stored as the converter writes them.
        if cfg!(target_endian = "little")
            && !mirrored
            && area.left + area.width <= stride
            && let Some(part) = pixels.get_mut(from..from + all)
        {
            return colour::to_bgra(frame, bytemuck::cast_slice_mut(part), stride);
        }
        self.convert(frame);
        let rows = pixels.chunks_exact_mut(stride.max(1)).skip(area.top);
        for (to, from) in rows.zip(self.bgra.chunks_exact(area.width * 4)) {
            let Some(to) = to.get_mut(area.left..area.left + area.width) else { continue };
            let from = from.as_chunks().0.iter();
            let from = from.map(|[b, g, r, _]| u32::from_le_bytes([*b, *g, *r, 0]));
            if mirrored {
                to.iter_mut().rev().zip(from).for_each(|(to, from)| *to = from);
            } else {
                to.iter_mut().zip(from).for_each(|(to, from)| *to = from);
            }
        }
    }

    fn convert(&mut self, frame: &VideoFrame) {
        self.bgra.resize(frame.size().luma_len() * 4, 0);
        colour::to_bgra(frame, &mut self.bgra, frame.size().width as usize);
    }

    /// The whole picture as RGB, for a snapshot.
    pub(super) fn rgb(&mut self, frame: &VideoFrame) -> Vec<u8> {
        self.convert(frame);
        self.bgra.as_chunks().0.iter().flat_map(|[b, g, r, _]| [*r, *g, *b]).collect()
    }
}

/// Rows that one line of words takes.
pub(super) const LINE: usize = 24;

const FONT: RasterHeight = RasterHeight::Size16;

/// Fills an area with one colour.
pub(super) fn fill(area: Area, colour: u32, (pixels, stride): (&mut [u32], usize)) {
    let rows = pixels.chunks_exact_mut(stride.max(1)).skip(area.top).take(area.height);
    for row in rows {
        if let Some(part) = row.get_mut(area.left..area.left + area.width) {
            part.fill(colour);
        }
    }
}

/// Draws a line of one pixel around an area.
pub(super) fn outline(area: Area, colour: u32, (pixels, stride): (&mut [u32], usize)) {
    let (left, top) = (area.left.saturating_sub(1), area.top.saturating_sub(1));
    let (right, bottom) = (area.left + area.width, area.top + area.height);
    let (width, height) = (right + 1 - left, bottom + 1 - top);
    for edge in [
        Area { left, top, width, height: 1 },
        Area { left, top: bottom, width, height: 1 },
        Area { left, top, width: 1, height },
        Area { left: right, top, width: 1, height },
    ] {
        fill(edge, colour, (pixels, stride));
    }
}

/// Draws a round dot; what is outside of the buffer is cut off.
pub(super) fn dot(
    (x, y): (usize, usize),
    radius: usize,
    colour: u32,
    (pixels, stride): (&mut [u32], usize),
) {
    let (top, left) = (y.saturating_sub(radius), x.saturating_sub(radius));
    let rows = pixels.chunks_exact_mut(stride.max(1)).enumerate().skip(top);
    for (row, to) in rows.take(y + radius + 1 - top) {
        let columns = to.iter_mut().enumerate().skip(left).take(x + radius + 1 - left);
        for (column, to) in columns {
            if row.abs_diff(y).pow(2) + column.abs_diff(x).pow(2) <= radius.pow(2) {
                *to = colour;
            }
        }
    }
}

/// Writes a line of light words at the upper left of `area`; what has no room is cut off.
pub(super) fn write(words: &str, area: Area, (pixels, stride): (&mut [u32], usize)) {
    let letter = get_raster_width(FontWeight::Regular, FONT);
    let top = area.top + (LINE - FONT.val()) / 2;
    for (at, word) in words.chars().enumerate() {
        let left = area.left + 8 + at * letter;
        if left + letter > area.left + area.width {
            return;
        }
        let raster = get_raster(word, FontWeight::Regular, FONT)
            .or_else(|| get_raster('?', FontWeight::Regular, FONT));
        let Some(raster) = raster else { continue };
        let rows = pixels.chunks_exact_mut(stride.max(1)).skip(top);
        for (to, from) in rows.zip(raster.rows()) {
            let Some(to) = to.get_mut(left..left + letter) else { continue };
            for (to, shade) in to.iter_mut().zip(from) {
                if *shade > 40 {
                    *to = u32::from_be_bytes([0, *shade, *shade, *shade]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    /// Left half red, right half blue.
    fn halves() -> VideoFrame {
        let size = Size { width: 64, height: 32 };
        let mut frame = FramePool::default().take(size, clock::now());
        let (y, u, v) = frame.planes_mut();
        y.as_chunks_mut::<64>().0.iter_mut().for_each(|row| {
            row[..32].fill(81);
            row[32..].fill(41);
        });
        u.as_chunks_mut::<32>().0.iter_mut().for_each(|row| {
            row[..16].fill(90);
            row[16..].fill(240);
        });
        v.as_chunks_mut::<32>().0.iter_mut().for_each(|row| {
            row[..16].fill(240);
            row[16..].fill(110);
        });
        frame
    }

    fn is_red(pixel: u32) -> bool {
        (pixel >> 16) & 0xff > 200 && pixel & 0xff < 60
    }

    #[test]
    fn pictures_are_painted_scaled_and_mirrored() {
        let mut pixels = vec![0x12_3456; 100 * 60];
        let area = Area { left: 20, top: 10, width: 64, height: 32 };
        Painter::default().paint(&halves(), area, false, (&mut pixels, 100));
        assert!(is_red(pixels[12 * 100 + 24]) && !is_red(pixels[12 * 100 + 80]));
        assert_eq!(pixels[9 * 100 + 24], 0x12_3456, "above it nothing changed");
        assert_eq!(pixels[12 * 100 + 19], 0x12_3456, "nor beside it");
        assert_eq!(pixels[12 * 100 + 84], 0x12_3456);
        let small = Area { left: 0, top: 0, width: 32, height: 16 };
        Painter::default().paint(&halves(), small, true, (&mut pixels, 100));
        assert!(!is_red(pixels[4 * 100 + 4]) && is_red(pixels[4 * 100 + 28]));
    }

    #[test]
    fn words_are_written_and_cut_off() {
        let mut pixels = vec![0; 100 * 24];
        let area = Area { left: 0, top: 0, width: 100, height: 24 };
        fill(area, 0x10_1010, (&mut pixels, 100));
        write("many words that do not fit", area, (&mut pixels, 100));
        assert!(pixels.iter().any(|pixel| *pixel > 0x80_8080));
        write("x", Area { left: 90, top: 20, width: 100, height: 24 }, (&mut pixels, 100));
    }

    #[test]
    fn an_outline_is_around_and_nothing_else() {
        let mut pixels = vec![0; 40 * 30];
        outline(Area { left: 10, top: 8, width: 4, height: 2 }, 7, (&mut pixels, 40));
        assert_eq!(pixels.iter().filter(|pixel| **pixel == 7).count(), 6 * 4 - 4 * 2);
        assert!([7 * 40 + 9, 10 * 40 + 14].iter().all(|at| pixels[*at] == 7));
        assert!(pixels[8 * 40 + 10] == 0 && pixels[9 * 40 + 13] == 0);
    }

    #[test]
    fn a_dot_is_round_and_cut_off_at_the_edges() {
        let mut pixels = vec![0; 40 * 30];
        dot((20, 15), 5, 7, (&mut pixels, 40));
        let at = |x: usize, y: usize| y * 40 + x;
        assert!([(20, 15), (25, 15), (20, 10)].iter().all(|(x, y)| pixels[at(*x, *y)] == 7));
        assert!([(26, 15), (24, 19), (16, 11)].iter().all(|(x, y)| pixels[at(*x, *y)] == 0));
        dot((39, 29), 5, 9, (&mut pixels, 40));
        dot((0, 0), 5, 9, (&mut pixels, 40));
        assert!(pixels[at(39, 29)] == 9 && pixels[at(35, 29)] == 9 && pixels[0] == 9);
        dot((500, 500), 5, 9, (&mut pixels, 40));
        dot((1, 1), 3, 9, (&mut [], 0));
    }

    #[test]
    fn a_snapshot_has_the_colours_of_the_picture() {
        let rgb = Painter::default().rgb(&halves());
        assert_eq!(rgb.len(), 64 * 32 * 3);
        assert!(rgb[0] > 200 && rgb[2] < 60, "{:?}", &rgb[..3]);
    }
}
