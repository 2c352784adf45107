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

/// Cells that use the room of two columns have so many letters at least, or go on below.
const LEAST: usize = 24;

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
    let (rows, columns) = laid_out(rows);
    let Some(plan) = plan((rows.len(), columns), (room.width, room.height)) else { return };
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

/// The rows as they stand, and how many letters their columns have. Where the last cell is empty, the
/// one before has its room too, and what is too long for both goes on in another row.
fn laid_out(rows: &[Row]) -> (Vec<Row>, [usize; 3]) {
    let three = rows.iter().any(|row| !row[2].is_empty());
    let is_wide = |row: &Row| three && row[2].is_empty();
    let mut columns = [0; 3];
    for row in rows {
        for (at, (wide, cell)) in columns.iter_mut().zip(row).enumerate() {
            if at != 1 || !is_wide(row) {
                *wide = cell.chars().count().max(*wide);
            }
        }
    }
    if !three {
        return (rows.to_vec(), columns);
    }
    let room = (columns[1] + GAP + columns[2]).max(LEAST);
    columns[2] = room - GAP - columns[1];
    let mut all = Vec::new();
    for row in rows {
        if !is_wide(row) {
            all.push(row.clone());
            continue;
        }
        let mut label = row[0].clone();
        for line in wrapped(&row[1], room) {
            all.push([std::mem::take(&mut label), line, String::new()]);
        }
    }
    (all, columns)
}

/// The words in lines of so many letters, one line at least.
fn wrapped(words: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in words.split_whitespace() {
        let line = lines.last_mut().filter(|line| {
            line.is_empty() || line.chars().count() + 1 + word.chars().count() <= room
        });
        match line {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The largest letters with which it leaves a third of the picture free; else the smallest.
fn plan((rows, columns): (usize, [usize; 3]), room: (usize, usize)) -> Option<Plan> {
    let plans = SIZES.map(|(font, by)| {
        let letter = (get_raster_width(FontWeight::Regular, font) * by, font.val() * by * 5 / 4);
        let wide = columns.iter().sum::<usize>() + 2 * GAP + 2;
        let size = (wide * letter.0, rows * letter.1 + letter.0);
        Plan { letter, font, by, columns, size }
    });
    let fits = |plan: &Plan| plan.size.0 * 3 <= room.0 * 2 && plan.size.1 * 3 <= room.1 * 2;
    let best = plans.iter().position(fits).unwrap_or(plans.len() - 1);
    plans.into_iter().nth(best).filter(|_| rows > 0)
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
        let height = |room| {
            let (rows, columns) = laid_out(&rows());
            plan((rows.len(), columns), room).map(|plan| plan.letter.1)
        };
        assert_eq!(height((320, 180)), Some(20), "the smallest there is");
        assert_eq!(height((960, 540)), Some(30));
        assert_eq!(height((2560, 1440)), Some(60));
        assert!(plan((0, [0; 3]), (960, 540)).is_none());
    }

    #[test]
    fn long_words_use_the_room_of_two_columns_and_go_on_below() {
        let safety = "history pulp across stairs style stumble code";
        let mut table = rows();
        table.insert(0, ["Safety words".into(), safety.into(), String::new()]);
        let (laid, columns) = laid_out(&table);
        assert_eq!(columns, [12, 7, LEAST - GAP - 7]);
        let said: Vec<&str> = laid[..2].iter().map(|row| row[1].as_str()).collect();
        assert_eq!(said, ["history pulp across", "stairs style stumble"]);
        assert_eq!((laid[1][0].as_str(), laid[2][1].as_str()), ("", "code"));
        // Two columns are as wide as they must be.
        let keys: Vec<Row> = vec![["m".into(), "x".repeat(60), String::new()]];
        assert_eq!(laid_out(&keys), (keys.clone(), [1, 60, 0]));
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
