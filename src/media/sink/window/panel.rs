//! A table on a dark panel in the upper left corner, as large as the window lets it be.
//!
//! Owns its letters. Knows nothing of what the table is about.

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

use super::Row;
use super::canvas::fill;
use super::layout::Area;

/// The letters, largest first: a font, and how many pixels each of its pixels takes.
const SIZES: [(RasterHeight, usize); 4] = [
    (RasterHeight::Size24, 2),
    (RasterHeight::Size16, 2),
    (RasterHeight::Size24, 1),
    (RasterHeight::Size16, 1),
];

const GROUND: u32 = 0x10_1418;
/// Of what a row is about, and of the rest.
const INK: [u32; 2] = [0x9a_a3ad, 0xff_ffff];

/// Letters between two columns.
const GAP: usize = 2;

/// The panel's own size, and that of a letter with its room.
struct Plan {
    letter: (usize, usize),
    font: RasterHeight,
    by: usize,
    columns: [usize; 3],
    size: (usize, usize),
}

/// Draws the rows in the upper left corner of `room`; what has no room is cut off.
pub(super) fn draw(rows: &[Row], room: Area, (pixels, stride): (&mut [u32], usize)) {
    let Some(plan) = plan(rows, (room.width, room.height)) else { return };
    let margin = plan.letter.0;
    let (left, top) = (room.left + margin, room.top + margin);
    let width = plan.size.0.min(room.width.saturating_sub(2 * margin));
    let height = plan.size.1.min(room.height.saturating_sub(2 * margin));
    let ground = Area { left, top, width, height };
    fill(ground, GROUND, (pixels, stride));
    for (at, row) in rows.iter().enumerate() {
        let mut column = 1;
        for (cell, wide) in row.iter().zip(plan.columns) {
            let ink = INK[usize::from(column > 1)];
            let place = (left + column * plan.letter.0, top + margin / 2 + at * plan.letter.1);
            write(cell, place, ground, &plan, ink, (pixels, stride));
            column += wide + GAP;
        }
    }
}

/// The largest letters with which it leaves a third of the picture free; else the smallest.
fn plan(rows: &[Row], room: (usize, usize)) -> Option<Plan> {
    let mut columns = [0; 3];
    for row in rows {
        for (wide, cell) in columns.iter_mut().zip(row) {
            *wide = cell.chars().count().max(*wide);
        }
    }
    let plans = SIZES.map(|(font, by)| {
        let letter = (get_raster_width(FontWeight::Regular, font) * by, font.val() * by * 5 / 4);
        let wide = columns.iter().sum::<usize>() + 2 * GAP + 2;
        let size = (wide * letter.0, rows.len() * letter.1 + letter.0);
        Plan { letter, font, by, columns, size }
    });
    let fits = |plan: &Plan| plan.size.0 * 3 <= room.0 * 2 && plan.size.1 * 3 <= room.1 * 2;
    let best = plans.iter().position(fits).unwrap_or(plans.len() - 1);
    plans.into_iter().nth(best).filter(|_| !rows.is_empty())
}

fn write(
    words: &str,
    (left, top): (usize, usize),
    within: Area,
    plan: &Plan,
    ink: u32,
    (pixels, stride): (&mut [u32], usize),
) {
    for (at, word) in words.chars().enumerate() {
        let raster = get_raster(word, FontWeight::Regular, plan.font)
            .or_else(|| get_raster('?', FontWeight::Regular, plan.font));
        let Some(raster) = raster else { continue };
        let left = left + at * plan.letter.0;
        if left + plan.letter.0 > within.left + within.width {
            return;
        }
        for (y, row) in raster.rows().enumerate() {
            for (x, shade) in row.iter().enumerate().filter(|(_, shade)| **shade > 40) {
                let dot = Area {
                    left: left + x * plan.by,
                    top: top + y * plan.by,
                    width: plan.by,
                    height: plan.by,
                };
                if dot.top + dot.height <= within.top + within.height {
                    fill(dot, shaded(ink, *shade), (pixels, stride));
                }
            }
        }
    }
}

/// Between the ground and the ink.
fn shaded(ink: u32, shade: u8) -> u32 {
    let part = |shift: u32| {
        let (ground, ink) = ((GROUND >> shift) & 0xff, (ink >> shift) & 0xff);
        (ground + ink.saturating_sub(ground) * u32::from(shade) / 255) << shift
    };
    part(16) | part(8) | part(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        (0..10).map(|_| ["Picture".into(), "640x360".into(), "1280x720".into()]).collect()
    }

    #[test]
    fn letters_grow_with_the_window_and_leave_the_picture_some_room() {
        let height = |room| plan(&rows(), room).map(|plan| plan.letter.1);
        assert_eq!(height((320, 180)), Some(20), "the smallest there is");
        assert_eq!(height((960, 540)), Some(30));
        assert_eq!(height((2560, 1440)), Some(60));
        assert!(plan(&[], (960, 540)).is_none());
    }

    #[test]
    fn it_is_dark_with_light_words_and_stays_in_its_room() {
        for (width, height) in [(960, 540), (100, 40), (16, 16), (0, 0)] {
            let mut pixels = vec![0xff_0000; width * height];
            draw(&rows(), Area { left: 0, top: 0, width, height }, (&mut pixels, width));
            let lower = pixels.iter().skip(width * (height * 3 / 4));
            assert!(height < 500 || lower.into_iter().all(|pixel| *pixel == 0xff_0000));
            let dark = pixels.iter().filter(|pixel| **pixel == GROUND).count();
            let light = pixels.iter().filter(|pixel| **pixel & 0xff > 0xc0).count();
            assert!(width < 500 || (dark > 10_000 && light > 200), "{dark}, {light}");
        }
    }
}
