//! Pictures of half blocks: each letter is two pixels, the upper in the letter's colour, the lower in
//! its ground's. Only what has changed is written.

use std::io::Write;

use crate::media::frame::Size;

type Colour = [u8; 3];

/// What stands on the screen.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    columns: usize,
    cells: Vec<Option<(Colour, Colour)>>,
    /// The row that is drawn exactly in the next picture.
    exact: usize,
}

/// A colour that moved by less is the same: noise of a camera would redraw everything. One row of each
/// picture is drawn as it is all the same, or a still picture would keep the errors of its first.
const SAME: u8 = 6;

impl Blocks {
    /// The screen is empty.
    pub(super) fn forget(&mut self) {
        self.cells.clear();
    }

    /// Draws `rgb` at the upper left.
    pub(super) fn draw(&mut self, rgb: &[u8], size: Size, full: bool, out: &mut Vec<u8>) {
        let (width, rows) = (size.width as usize, size.height as usize / 2);
        if self.columns != width || self.cells.len() != width * rows {
            (self.columns, self.cells) = (width, vec![None; width * rows]);
        }
        let pixel = |x: usize, y: usize| {
            let at = (y * width + x) * 3;
            [rgb[at], rgb[at + 1], rgb[at + 2]]
        };
        let mut colours: (Option<Colour>, Option<Colour>) = (None, None);
        let exact = self.exact % rows.max(1);
        self.exact = exact + 1;
        for row in 0..rows {
            // Where the cursor stands in this row, if it stands in it.
            let mut cursor = None;
            for column in 0..width {
                let drawn = (pixel(column, row * 2), pixel(column, row * 2 + 1));
                let before = self.cells[row * width + column];
                let near = |before: (Colour, Colour)| match row == exact {
                    true => before == drawn,
                    false => near(before.0, drawn.0) && near(before.1, drawn.1),
                };
                if before.is_some_and(near) {
                    continue;
                }
                self.cells[row * width + column] = Some(drawn);
                if cursor != Some(column) {
                    // Writing into a vector cannot fail.
                    let _ = write!(out, "\x1b[{};{}H", row + 1, column + 1);
                }
                if colours.0 != Some(drawn.0) {
                    select(38, drawn.0, full, out);
                }
                if colours.1 != Some(drawn.1) {
                    select(48, drawn.1, full, out);
                }
                colours = (Some(drawn.0), Some(drawn.1));
                out.extend("▀".as_bytes());
                cursor = Some(column + 1);
            }
        }
        out.extend(b"\x1b[0m");
    }
}

fn near(one: Colour, other: Colour) -> bool {
    one.iter().zip(other).all(|(one, other)| one.abs_diff(other) < SAME)
}

/// ISO 8613-6 colours, as xterm has them.
fn select(what: u8, [r, g, b]: Colour, full: bool, out: &mut Vec<u8>) {
    let _ = match full {
        true => write!(out, "\x1b[{what};2;{r};{g};{b}m"),
        false => write!(out, "\x1b[{what};5;{}m", of_256([r, g, b])),
    };
}

/// The nearest of xterm's 256 colours: a cube of 6x6x6, and 24 greys.
fn of_256(colour: Colour) -> u8 {
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let index =
        |value: u8| (0..6).min_by_key(|at: &usize| LEVELS[*at].abs_diff(value)).unwrap_or_default();
    let at = colour.map(index);
    let cube = at.map(|at| LEVELS[at]);
    let mean = colour.iter().map(|value| u32::from(*value)).sum::<u32>() / 3;
    let grey_at = (mean.saturating_sub(3) / 10).min(23) as u8;
    let grey = [8 + grey_at * 10; 3];
    let distance = |other: Colour| {
        colour.iter().zip(other).map(|(a, b)| u32::from(a.abs_diff(b)).pow(2)).sum::<u32>()
    };
    match distance(grey) < distance(cube) {
        true => 232 + grey_at,
        false => (16 + at[0] * 36 + at[1] * 6 + at[2]) as u8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { width: 4, height: 4 };

    #[test]
    fn only_what_changed_is_written() {
        let mut blocks = Blocks::default();
        let (mut picture, mut out) = (vec![200; 4 * 4 * 3], Vec::new());
        // Nothing in the row that is exact changes.
        blocks.exact = 1;
        blocks.draw(&picture, SIZE, true, &mut out);
        let text = String::from_utf8_lossy(&out).into_owned();
        assert_eq!(text.matches('▀').count(), 8);
        assert_eq!(text.matches("38;2;200;200;200m").count(), 1, "{text:?}");
        out.clear();
        picture[7] = 90;
        picture[0] = 203;
        blocks.exact = 1;
        blocks.draw(&picture, SIZE, true, &mut out);
        assert_eq!(
            String::from_utf8_lossy(&out),
            "\x1b[1;3H\x1b[38;2;200;90;200m\x1b[48;2;200;200;200m▀\x1b[0m"
        );
    }

    #[test]
    fn a_still_picture_is_drawn_exactly_after_as_many_pictures_as_rows() {
        let mut blocks = Blocks::default();
        let (mut picture, mut out) = (vec![200; 4 * 4 * 3], Vec::new());
        blocks.draw(&picture, SIZE, true, &mut out);
        picture.fill(203);
        out.clear();
        blocks.draw(&picture, SIZE, true, &mut out);
        blocks.draw(&picture, SIZE, true, &mut out);
        assert_eq!(String::from_utf8_lossy(&out).matches('▀').count(), 8, "each letter once");
    }

    #[test]
    fn colours_become_the_nearest_of_256() {
        for (colour, index) in [
            ([0, 0, 0], 16),
            ([255, 255, 255], 231),
            ([255, 0, 0], 196),
            ([128, 128, 128], 244),
            ([95, 135, 175], 67),
        ] {
            assert_eq!(of_256(colour), index, "{colour:?}");
        }
    }
}
