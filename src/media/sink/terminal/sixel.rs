//! Pictures as DEC sixels: six rows at a time, one bit plane for each colour in them.

use std::io::Write;

use crate::media::frame::Size;

/// Steps of red, green and blue: 6 x 7 x 6 are 252 colours, and terminals have 256. The eye sees green
/// best.
const STEPS: [usize; 3] = [6, 7, 6];

/// Adds a pattern before rounding, so that slopes do not become stairs (Bayer's matrix, of 16).
const PATTERN: [[i32; 4]; 4] = [[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]];

/// Draws `rgb` at the upper left.
pub(super) fn draw(rgb: &[u8], size: Size, out: &mut Vec<u8>) {
    let (width, height) = (size.width as usize, size.height as usize);
    // Pixels are square, what is not drawn stays. Writing into a vector cannot fail.
    let _ = write!(out, "\x1b[1;1H\x1bP0;1q\"1;1;{width};{height}");
    for index in 0..STEPS.iter().product::<usize>() {
        let [r, g, b] = percent(index);
        let _ = write!(out, "#{index};2;{r};{g};{b}");
    }
    let mut band = vec![0; width * 6];
    for top in (0..height).step_by(6) {
        let rows = (height - top).min(6);
        for y in 0..rows {
            for x in 0..width {
                let at = ((top + y) * width + x) * 3;
                band[y * width + x] = index(&rgb[at..at + 3], (x, top + y));
            }
        }
        draw_band(&band[..rows * width], width, out);
    }
    out.extend(b"\x1b\\");
}

fn draw_band(band: &[u8], width: usize, out: &mut Vec<u8>) {
    let mut used: Vec<u8> = band.to_vec();
    used.sort_unstable();
    used.dedup();
    for colour in used {
        let _ = write!(out, "#{colour}");
        let bits = |x: usize| {
            let rows = band.chunks_exact(width).enumerate();
            rows.fold(0, |bits, (y, row)| bits | u8::from(row[x] == colour) << y)
        };
        let mut run: (u8, usize) = (0, 0);
        for x in 0..width {
            match bits(x) {
                same if same == run.0 => run.1 += 1,
                other => {
                    repeat(run, out);
                    run = (other, 1);
                }
            }
        }
        // What is empty to the end needs no words.
        if run.0 != 0 {
            repeat(run, out);
        }
        out.push(b'$');
    }
    out.push(b'-');
}

fn repeat((bits, times): (u8, usize), out: &mut Vec<u8>) {
    match times {
        0 => {}
        1..=3 => out.extend(std::iter::repeat_n(63 + bits, times)),
        _ => {
            let _ = write!(out, "!{times}");
            out.push(63 + bits);
        }
    }
}

/// Of the palette's colour at this index.
fn percent(index: usize) -> [usize; 3] {
    let at = [index / (STEPS[1] * STEPS[2]), index / STEPS[2] % STEPS[1], index % STEPS[2]];
    [0, 1, 2].map(|part| at[part] * 100 / (STEPS[part] - 1))
}

fn index(rgb: &[u8], (x, y): (usize, usize)) -> u8 {
    let shift = PATTERN[y % 4][x % 4];
    let step = |part: usize| {
        let steps = STEPS[part] as i32 - 1;
        // Half a step, less or more by up to half a step.
        ((i32::from(rgb[part]) * steps * 16 + shift * 255) / (255 * 16)).min(steps) as usize
    };
    (step(0) * STEPS[1] * STEPS[2] + step(1) * STEPS[2] + step(2)) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_colour_is_one_run_in_each_band() {
        let size = Size { width: 100, height: 12 };
        let mut out = Vec::new();
        draw(&[255, 0, 0].repeat(1_200), size, &mut out);
        let text = String::from_utf8_lossy(&out).into_owned();
        let red = 5 * 7 * 6;
        assert!(text.contains(&format!("#{red};2;100;0;0")), "{text}");
        assert_eq!(text.matches(&format!("#{red}!100~$-")).count(), 2, "{text}");
        assert!(text.starts_with("\x1b[1;1H\x1bP") && text.ends_with("\x1b\\"));
    }

    #[test]
    fn greys_between_two_steps_are_a_pattern_of_both() {
        let around = |y: usize| (0..4).map(move |x| index(&[127, 127, 127], (x, y)));
        let mut found: Vec<_> = (0..4).flat_map(around).collect();
        found.sort_unstable();
        found.dedup();
        assert!(found.len() > 1, "{found:?}");
    }
}
