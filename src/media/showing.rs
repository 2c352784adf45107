//! How a picture is meant to be shown: which way up, how wide its samples are, which part of it,
//! and what its numbers mean as colours.
//!
//! Plain data that travels from a container, a parameter set or a packet to whoever draws. Pure;
//! the drawing itself is `upright.rs`.

/// Which numbers make a colour (`matrix_coefficients`, ITU-T H.264 table E-5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Matrix {
    /// BT.601: standard definition, cameras, JPEG.
    #[default]
    Bt601,
    /// BT.709: high definition.
    Bt709,
    /// BT.2020, non-constant luminance.
    Bt2020,
}

impl Matrix {
    /// From the number that H.264, MP4 and Matroska share (ISO/IEC 23091-2); `None` for those that say
    /// nothing and those that we do not know.
    #[must_use]
    pub fn from_code(code: u64) -> Option<Self> {
        match code {
            1 => Some(Self::Bt709),
            4..=6 => Some(Self::Bt601),
            9 | 10 => Some(Self::Bt2020),
            _ => None,
        }
    }

    /// What pictures of so many rows have that say nothing, as players take it: standard definition
    /// BT.601, high definition BT.709.
    #[must_use]
    pub fn usual(rows: u32) -> Self {
        if rows < 720 { Self::Bt601 } else { Self::Bt709 }
    }
}

/// What the samples of a picture mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Colour {
    /// How luma and chroma come of red, green and blue.
    pub matrix: Matrix,
    /// 0 to 255 instead of 16 to 235.
    pub full_range: bool,
}

impl Colour {
    /// The luma of black.
    #[must_use]
    pub fn black(self) -> u8 {
        if self.full_range { 0 } else { 16 }
    }
}

/// What somebody says about colours; what he leaves open somebody else may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ColourHint {
    /// The matrix, if told.
    pub matrix: Option<Matrix>,
    /// The range, if told.
    pub full_range: Option<bool>,
}

impl ColourHint {
    /// The same, with what it leaves open as `other` says.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            matrix: self.matrix.or(other.matrix),
            full_range: self.full_range.or(other.full_range),
        }
    }

    /// What it comes to for pictures of so many rows.
    #[must_use]
    pub fn resolve(self, rows: u32) -> Colour {
        Colour {
            matrix: self.matrix.unwrap_or_else(|| Matrix::usual(rows)),
            full_range: self.full_range.unwrap_or(false),
        }
    }
}

/// One of the eight ways to turn and mirror a picture: first its axes change places (or not), then
/// each may run backwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Orientation {
    /// Rows become columns.
    pub transposed: bool,
    /// Then right becomes left.
    pub mirrored: bool,
    /// Then bottom becomes top.
    pub flipped: bool,
}

impl Orientation {
    /// As it is.
    pub const UPRIGHT: Self = Self { transposed: false, mirrored: false, flipped: false };

    /// So many quarter turns clockwise.
    #[must_use]
    pub fn quarters(clockwise: u8) -> Self {
        match clockwise % 4 {
            0 => Self::UPRIGHT,
            1 => Self { transposed: true, mirrored: true, flipped: false },
            2 => Self { transposed: false, mirrored: true, flipped: true },
            _ => Self { transposed: true, mirrored: false, flipped: true },
        }
    }

    /// From the part of a matrix that turns: a point goes to `(a x + c y, b x + d y)` (ISO/IEC
    /// 14496-12 section 6.2.2). `None` for one that does nothing of the kind, such as all zeros;
    /// odd angles become the next quarter.
    #[must_use]
    pub fn from_matrix([a, b, c, d]: [i64; 4]) -> Option<Self> {
        if a.abs() + d.abs() >= b.abs() + c.abs() {
            (a != 0 && d != 0).then_some(Self {
                transposed: false,
                mirrored: a < 0,
                flipped: d < 0,
            })
        } else {
            (b != 0 && c != 0).then_some(Self { transposed: true, mirrored: c < 0, flipped: b < 0 })
        }
    }

    /// As [`Self::from_matrix`] takes it, in units.
    #[must_use]
    pub fn matrix(self) -> [i64; 4] {
        let across = if self.mirrored { -1 } else { 1 };
        let down = if self.flipped { -1 } else { 1 };
        if self.transposed { [0, down, across, 0] } else { [across, 0, 0, down] }
    }

    /// This one, and then the other.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (self.matrix(), next.matrix());
        let both = [e * a + g * b, f * a + h * b, e * c + g * d, f * c + h * d];
        Self::from_matrix(both).unwrap_or_default()
    }

    /// What the header extension `urn:3gpp:video-orientation` says of a picture: how to show it (3GPP
    /// TS 26.114 section 7.4.5: a flip, then so many quarters clockwise).
    #[must_use]
    pub fn from_cvo(byte: u8) -> Self {
        let flip = Self { mirrored: byte & 4 != 0, ..Self::UPRIGHT };
        flip.then(Self::quarters(byte & 3))
    }

    /// So many quarters clockwise after a mirroring of left and right, if any: the other way to say
    /// the same.
    #[must_use]
    pub fn mirror_and_quarters(self) -> (bool, u8) {
        for mirrored in [false, true] {
            for quarters in 0..4 {
                let flip = Self { mirrored, ..Self::UPRIGHT };
                if flip.then(Self::quarters(quarters)) == self {
                    return (mirrored, quarters);
                }
            }
        }
        (false, 0)
    }

    /// A size as it is after turning.
    #[must_use]
    pub fn turned<T>(self, (width, height): (T, T)) -> (T, T) {
        if self.transposed { (height, width) } else { (width, height) }
    }
}

/// Samples that are cut off at each edge of a picture as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Crop {
    /// Columns at the left.
    pub left: u32,
    /// Columns at the right.
    pub right: u32,
    /// Rows at the top.
    pub top: u32,
    /// Rows at the bottom.
    pub bottom: u32,
}

/// How the pictures of a track are shown: cut, then with samples of this shape, then turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Showing {
    /// What is cut off first.
    pub crop: Crop,
    /// Width to height of a sample; `None`: nobody says, so they are square.
    pub aspect: Option<(u32, u32)>,
    /// Which way up.
    pub orientation: Orientation,
    /// What is known of its colours.
    pub colour: ColourHint,
}

impl Showing {
    /// Whether pictures are shown as they are stored.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.crop == Crop::default()
            && self.orientation == Orientation::UPRIGHT
            && self.aspect.is_none_or(|(width, height)| width == height)
    }

    /// The part of a picture of this size that is shown, in samples; even, and all of it where a
    /// crop leaves nothing.
    #[must_use]
    pub fn part(&self, width: usize, height: usize) -> Part {
        let span = |all: usize, before: u32, after: u32| {
            let before = before as usize & !1;
            match all.checked_sub(before + after as usize) {
                Some(left) if left >= 2 => (before, left & !1),
                _ => (0, all & !1),
            }
        };
        let (left, width) = span(width, self.crop.left, self.crop.right);
        let (top, height) = span(height, self.crop.top, self.crop.bottom);
        Part { left, top, width, height }
    }

    /// Width and height in square pixels of a stored picture of this size as it is shown. One side
    /// grows and none shrinks (HTML section 4.8.9, intrinsic dimensions).
    #[must_use]
    pub fn shown(&self, width: usize, height: usize) -> (u32, u32) {
        let part = self.part(width, height);
        let (width, height) = (part.width as u64, part.height as u64);
        let (across, down) = self.aspect.filter(sane).unwrap_or((1, 1));
        let (across, down) = (u64::from(across), u64::from(down));
        let rounded = |side: u64, by: u64, of: u64| (side * by + of / 2) / of;
        let square = match across >= down {
            true => (rounded(width, across, down), height),
            false => (width, rounded(height, down, across)),
        };
        self.orientation.turned((square.0 as u32, square.1 as u32))
    }
}

/// A shape that samples can have; others are mistakes of whoever wrote them.
fn sane(&(across, down): &(u32, u32)) -> bool {
    let (across, down) = (u64::from(across), u64::from(down));
    across > 0 && down > 0 && across <= down * 8 && down <= across * 8
}

/// A rectangle of a stored picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Columns before it.
    pub left: usize,
    /// Rows before it.
    pub top: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Orientation> {
        let both = [false, true];
        let mut all = Vec::new();
        for transposed in both {
            for mirrored in both {
                all.extend(both.map(|flipped| Orientation { transposed, mirrored, flipped }));
            }
        }
        all
    }

    #[test]
    fn all_eight_survive_as_matrices_and_as_turns() {
        for orientation in all() {
            assert_eq!(Orientation::from_matrix(orientation.matrix()), Some(orientation));
            let (mirrored, quarters) = orientation.mirror_and_quarters();
            let mirror = Orientation { mirrored, ..Orientation::UPRIGHT };
            assert_eq!(mirror.then(Orientation::quarters(quarters)), orientation);
        }
        assert_eq!(Orientation::from_matrix([0; 4]), None);
    }

    #[test]
    fn turns_add_up() {
        for one in 0..4 {
            for two in 0..4 {
                let both = Orientation::quarters(one).then(Orientation::quarters(two));
                assert_eq!(both, Orientation::quarters(one + two));
            }
        }
        // A quarter clockwise: what was on top is on the right.
        assert_eq!(Orientation::quarters(1).matrix(), [0, 1, -1, 0]);
    }

    #[test]
    fn sizes_grow_into_square_pixels() {
        let showing = |aspect, quarters| Showing {
            aspect: Some(aspect),
            orientation: Orientation::quarters(quarters),
            ..Showing::default()
        };
        assert_eq!(showing((64, 45), 0).shown(360, 288), (512, 288));
        assert_eq!(showing((1, 2), 0).shown(360, 288), (360, 576));
        assert_eq!(showing((64, 45), 1).shown(360, 288), (288, 512));
        assert_eq!(showing((0, 45), 0).shown(360, 288), (360, 288));
        assert_eq!(showing((1000, 1), 0).shown(360, 288), (360, 288), "nobody means that");
    }

    #[test]
    fn a_crop_leaves_something() {
        let crop = |left, right| Showing {
            crop: Crop { left, right, top: 4, bottom: 3 },
            ..Showing::default()
        };
        assert_eq!(crop(3, 0).part(64, 48), Part { left: 2, top: 4, width: 62, height: 40 });
        assert_eq!(crop(60, 60).part(64, 48).width, 64);
        assert_eq!(crop(u32::MAX, u32::MAX).part(64, 48).width, 64);
    }

    #[test]
    fn what_the_stream_leaves_open_the_container_may_know() {
        let stream = ColourHint { matrix: Some(Matrix::Bt709), full_range: None };
        let container = ColourHint { matrix: Some(Matrix::Bt601), full_range: Some(true) };
        let both = stream.or(container).resolve(360);
        assert_eq!(both, Colour { matrix: Matrix::Bt709, full_range: true });
        assert_eq!(ColourHint::default().resolve(360), Colour::default());
        assert_eq!(ColourHint::default().resolve(1080).matrix, Matrix::Bt709);
    }
}
