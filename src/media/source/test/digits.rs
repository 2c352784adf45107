//! Numbers drawn into a luma plane: a font of 5x7 dots for digits and the clock's punctuation.

/// Dots of a glyph: width and height.
const WIDE: usize = 5;
const HIGH: usize = 7;

/// One byte a row, the lowest five bits from left to right.
const GLYPHS: [(char, [u8; HIGH]); 13] = [
    ('0', [0x0e, 0x11, 0x13, 0x15, 0x19, 0x11, 0x0e]),
    ('1', [0x04, 0x0c, 0x04, 0x04, 0x04, 0x04, 0x0e]),
    ('2', [0x0e, 0x11, 0x01, 0x02, 0x04, 0x08, 0x1f]),
    ('3', [0x1f, 0x02, 0x04, 0x02, 0x01, 0x11, 0x0e]),
    ('4', [0x02, 0x06, 0x0a, 0x12, 0x1f, 0x02, 0x02]),
    ('5', [0x1f, 0x10, 0x1e, 0x01, 0x01, 0x11, 0x0e]),
    ('6', [0x06, 0x08, 0x10, 0x1e, 0x11, 0x11, 0x0e]),
    ('7', [0x1f, 0x01, 0x02, 0x04, 0x08, 0x08, 0x08]),
    ('8', [0x0e, 0x11, 0x11, 0x0e, 0x11, 0x11, 0x0e]),
    ('9', [0x0e, 0x11, 0x11, 0x0f, 0x01, 0x02, 0x0c]),
    (':', [0x00, 0x04, 0x04, 0x00, 0x04, 0x04, 0x00]),
    ('.', [0x00, 0x00, 0x00, 0x00, 0x00, 0x0c, 0x0c]),
    ('#', [0x0a, 0x0a, 0x1f, 0x0a, 0x1f, 0x0a, 0x0a]),
];

/// Pixels that a text takes at this scale: width and height.
pub(super) fn extent(text: &str, scale: usize) -> (usize, usize) {
    (text.chars().count() * (WIDE + 1) * scale, HIGH * scale)
}

/// Draws white text; what does not fit, and characters without a glyph, stay out.
pub(super) fn draw(
    luma: &mut [u8],
    width: usize,
    (left, top): (usize, usize),
    scale: usize,
    text: &str,
) {
    for (index, character) in text.chars().enumerate() {
        let Some((_, rows)) = GLYPHS.iter().find(|(glyph, _)| *glyph == character) else {
            continue;
        };
        let left = left + index * (WIDE + 1) * scale;
        for (row, dots) in rows.iter().enumerate() {
            for dot in (0..WIDE).filter(|dot| dots >> (WIDE - 1 - dot) & 1 == 1) {
                fill(luma, width, (left + dot * scale, top + row * scale), scale);
            }
        }
    }
}

fn fill(luma: &mut [u8], width: usize, (left, top): (usize, usize), side: usize) {
    if left + side > width {
        return;
    }
    for row in top..top + side {
        if let Some(pixels) = luma.get_mut(row * width + left..row * width + left + side) {
            pixels.fill(235);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_what_fits_and_never_beyond() {
        let mut luma = vec![0; 64 * 16];
        draw(&mut luma, 64, (0, 0), 2, "18:");
        let lit = luma.iter().filter(|pixel| **pixel == 235).count();
        assert_eq!(lit, (10 + 17 + 4) * 4, "dots of the three glyphs, 2x2 pixels each");
        draw(&mut luma, 64, (60, 12), 2, "8888");
        assert_eq!(extent("88", 2), (24, 14));
    }
}
