//! A QR code for a terminal: two modules of it in each character, black on white whatever the
//! terminal's colours are. Pure.

use fast_qr::qr::QRBuilder;
use fast_qr::{ECL, QRCode};

/// Light modules around the code (ISO/IEC 18004 section 5.3.8).
const QUIET: usize = 4;
/// Black on white, and back to what the terminal has (ECMA-48 SGR).
const COLOURS: &str = "\x1b[38;5;16;48;5;231m";
const PLAIN: &str = "\x1b[0m";

/// The code of a text as lines, with the colours in them; `None` when it is too long for one.
#[must_use]
pub fn lines(text: &str) -> Option<Vec<String>> {
    let code = QRBuilder::new(text).ecl(ECL::L).build().ok()?;
    let size = code.size + 2 * QUIET;
    let line = |y| {
        let pair = |x| half_block(dark(&code, x, y), dark(&code, x, y + 1));
        let blocks: String = (0..size).map(pair).collect();
        format!("{COLOURS}{blocks}{PLAIN}")
    };
    Some((0..size).step_by(2).map(line).collect())
}

/// Whether this module is dark, counted from the corner of the quiet zone.
fn dark(code: &QRCode, x: usize, y: usize) -> bool {
    let inside = |at: usize| at.checked_sub(QUIET).filter(|at| *at < code.size);
    match (inside(x), inside(y)) {
        (Some(x), Some(y)) => code[y][x].value(),
        _ => false,
    }
}

fn half_block(upper: bool, lower: bool) -> char {
    match (upper, lower) {
        (true, true) => '█',
        (true, false) => '▀',
        (false, true) => '▄',
        (false, false) => ' ',
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_drawing_has_every_module_and_a_quiet_zone() {
        let text = "https://192.168.100.200:9090/";
        let code = QRBuilder::new(text).ecl(ECL::L).build().unwrap();
        let drawn = lines(text).unwrap();
        let rows: Vec<Vec<bool>> = drawn
            .iter()
            .flat_map(|line| {
                let blocks = line.strip_prefix(COLOURS).unwrap().strip_suffix(PLAIN).unwrap();
                let half =
                    |halves: [char; 2]| blocks.chars().map(|c| halves.contains(&c)).collect();
                [half(['█', '▀']), half(['█', '▄'])]
            })
            .collect();
        let size = code.size + 2 * QUIET;
        assert!(rows.iter().all(|row| row.len() == size));
        for (y, row) in rows.iter().enumerate() {
            for (x, module) in row.iter().enumerate() {
                let inside =
                    (QUIET..size - QUIET).contains(&x) && (QUIET..size - QUIET).contains(&y);
                let wanted = inside && code[y - QUIET][x - QUIET].value();
                assert_eq!(*module, wanted, "{x}, {y}");
            }
        }
        // A finder pattern's corner (ISO/IEC 18004 section 5.3.2.1): dark, and light inside.
        assert!(rows[QUIET][QUIET] && !rows[QUIET + 1][QUIET + 1] && rows[QUIET + 2][QUIET + 2]);
    }

    #[test]
    fn what_is_too_long_has_none() {
        assert!(lines(&"x".repeat(5000)).is_none());
    }
}
