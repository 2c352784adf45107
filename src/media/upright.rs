//! Draws pictures as they are meant to be shown: cut, turned, with square pixels, in the colours that
//! every receiver draws right.
//!
//! The one place where a [`Showing`] becomes pixels. Knows nothing of files and networks.

use std::sync::Arc;

use super::frame::{FramePool, Size, VideoFrame};
use super::scale::{Planes, Scaler};
use super::showing::{Colour, Matrix, Orientation, Part, Showing};

/// Draws pictures upright.
#[derive(Default)]
pub(in crate::media) struct Upright {
    scaler: Scaler,
    pool: FramePool,
    turned: Vec<u8>,
}

impl Upright {
    /// Draws a stored picture into `frame`, whatever size that has; its colours become the [`usual`] ones.
    pub(in crate::media) fn draw(
        &mut self,
        planes: Planes<'_>,
        showing: &Showing,
        frame: &mut VideoFrame,
    ) {
        let colour = showing.colour.resolve(planes.height as u32);
        self.draw_as(planes, showing, colour, frame);
        usual(frame);
    }

    /// A received picture as it is to be shown; itself where that is no other.
    pub(in crate::media) fn frame(
        &mut self,
        frame: Arc<VideoFrame>,
        showing: &Showing,
    ) -> Arc<VideoFrame> {
        if showing.is_plain() {
            return frame;
        }
        let own = frame.size();
        let (width, height) = showing.shown(own.width as usize, own.height as usize);
        let planes = Planes::packed(own.width as usize, own.height as usize, frame.i420());
        let Some(planes) = planes else { return frame };
        let mut upright = self.pool.take(bounded(width, height), frame.captured_at());
        self.draw_as(planes, showing, frame.colour(), &mut upright);
        Arc::new(upright)
    }

    fn draw_as(
        &mut self,
        planes: Planes<'_>,
        showing: &Showing,
        colour: Colour,
        frame: &mut VideoFrame,
    ) {
        frame.set_colour(colour);
        let shown = showing.shown(planes.width, planes.height);
        let part = showing.part(planes.width, planes.height);
        let planes = cut(planes, part);
        if showing.orientation == Orientation::UPRIGHT {
            return self.scaler.draw_shown(planes, shown, frame);
        }
        let (width, height) = showing.orientation.turned((part.width, part.height));
        let mut turned = std::mem::take(&mut self.turned);
        turned.resize(width * height * 3 / 2, 0);
        turn_planes(planes, showing.orientation, &mut turned);
        if let Some(planes) = Planes::packed(width, height, &turned) {
            self.scaler.draw_shown(planes, shown, frame);
        }
        self.turned = turned;
    }
}

/// The size of a frame for a picture that is shown in this one: even, and no larger than a call takes.
pub(in crate::media) fn bounded(width: u32, height: u32) -> Size {
    const MOST: u32 = 4096;
    let longest = width.max(height).max(1);
    if longest <= MOST {
        return Size::even(width, height);
    }
    let scaled = |side: u32| (u64::from(side) * u64::from(MOST) / u64::from(longest)) as u32;
    Size::even(scaled(width), scaled(height))
}

/// A rectangle of a picture, without copying it; its sides are even.
fn cut(planes: Planes<'_>, part: Part) -> Planes<'_> {
    let plane = |(data, stride): (&'_ [u8], usize), by: usize| {
        let from = part.top / by * stride + part.left / by;
        (from, stride, data.len())
    };
    let of = |from: (usize, usize, usize)| (from.0.min(from.2), from.1);
    let (y, u, v) = (of(plane(planes.y, 1)), of(plane(planes.u, 2)), of(plane(planes.v, 2)));
    Planes {
        width: part.width,
        height: part.height,
        y: (&planes.y.0[y.0..], y.1),
        u: (&planes.u.0[u.0..], u.1),
        v: (&planes.v.0[v.0..], v.1),
    }
}

fn turn_planes(planes: Planes<'_>, orientation: Orientation, out: &mut [u8]) {
    let (width, height) = (planes.width, planes.height);
    let (y, chroma) = out.split_at_mut(width * height);
    let (u, v) = chroma.split_at_mut(width * height / 4);
    turn(planes.y, (width, height), orientation, y);
    turn(planes.u, (width / 2, height / 2), orientation, u);
    turn(planes.v, (width / 2, height / 2), orientation, v);
}

/// Turns one plane of `width` x `height` samples; `out` is packed.
fn turn(
    (data, stride): (&[u8], usize),
    (width, height): (usize, usize),
    orientation: Orientation,
    out: &mut [u8],
) {
    let (to_width, _) = orientation.turned((width, height));
    let rows = data.chunks(stride.max(1)).filter_map(|row| row.get(..width)).take(height);
    for (y, row) in rows.enumerate() {
        if !orientation.transposed {
            let y = if orientation.flipped { height - 1 - y } else { y };
            let Some(to) = out.get_mut(y * to_width..(y + 1) * to_width) else { return };
            to.copy_from_slice(row);
            if orientation.mirrored {
                to.reverse();
            }
            continue;
        }
        let x = if orientation.mirrored { height - 1 - y } else { y };
        let column = out.get_mut(x..).unwrap_or_default().iter_mut().step_by(to_width.max(1));
        if orientation.flipped {
            column.zip(row.iter().rev()).for_each(|(to, from)| *to = *from);
        } else {
            column.zip(row).for_each(|(to, from)| *to = *from);
        }
    }
}

/// Brings a picture to the colours that every receiver draws right, as cameras have them: limited range,
/// and BT.601 for BT.709. Whoever draws without a graphics processor is off by up to eight of 255 in
/// strong blues and yellows of BT.709 (libyuv, whose share of blue ends at 2.0 of the 2.11 that it is),
/// and some take all calls for BT.601.
pub(in crate::media) fn usual(frame: &mut VideoFrame) {
    let colour = frame.colour();
    if colour.full_range {
        limit(frame);
    }
    if colour.matrix == Matrix::Bt709 {
        to_bt601(frame);
    }
}

fn limit(frame: &mut VideoFrame) {
    let colour = frame.colour();
    // 255 steps become 219 for luma and 224 for chroma (ITU-T T.871, BT.709 section 3).
    let luma: [u8; 256] = std::array::from_fn(|full| ((full * 219 + 127) / 255 + 16) as u8);
    let chroma: [u8; 256] = std::array::from_fn(|full| {
        let scaled = (full as i32 - 128) * 224;
        let half = if scaled < 0 { -127 } else { 127 };
        ((scaled + half) / 255 + 128) as u8
    });
    let (y, u, v) = frame.planes_mut();
    y.iter_mut().for_each(|sample| *sample = luma[usize::from(*sample)]);
    u.iter_mut().chain(v).for_each(|sample| *sample = chroma[usize::from(*sample)]);
    frame.set_colour(Colour { full_range: false, ..colour });
}

/// Parts of one in the numbers below.
const ONE: i32 = 1 << 14;

/// How the chroma of BT.709 becomes that of BT.601, and what it adds to luma: of blue and of red, in
/// parts of [`ONE`].
struct Change {
    luma: [i32; 2],
    blue: [i32; 2],
    red: [i32; 2],
}

impl Change {
    /// Both matrices are linear, so that one becomes the other by way of red, green and blue (BT.601
    /// section 2.5, BT.709 section 3).
    fn to_bt601() -> Self {
        let shares = |red: f64, blue: f64| [red, 1.0 - red - blue, blue];
        let ([red, green, blue], to) = (shares(0.2126, 0.0722), shares(0.299, 0.114));
        let (of_red, of_blue) = (2.0 * (1.0 - red), 2.0 * (1.0 - blue));
        let added =
            [of_blue * (to[2] - to[1] / green * blue), of_red * (to[0] - to[1] / green * red)];
        let parts = |pair: [f64; 2], by: f64| pair.map(|part| (part * by * f64::from(ONE)) as i32);
        Self {
            // 219 steps of luma are 224 of chroma.
            luma: parts(added, 219.0 / 224.0),
            blue: parts([of_blue - added[0], -added[1]], 0.5 / (1.0 - to[2])),
            red: parts([-added[0], of_red - added[1]], 0.5 / (1.0 - to[0])),
        }
    }
}

/// For BT.709 of limited range.
fn to_bt601(frame: &mut VideoFrame) {
    let Change { luma, blue, red } = Change::to_bt601();
    let (colour, width) = (frame.colour(), frame.size().width as usize);
    let sum = |[of_u, of_v]: [i32; 2], u: i32, v: i32| (of_u * u + of_v * v + ONE / 2) >> 14;
    let byte = |sample: i32| sample.clamp(0, 255) as u8;
    let mut steps = vec![0i16; width / 2];
    let (y, u, v) = frame.planes_mut();
    let chroma = u.chunks_exact_mut(width / 2).zip(v.chunks_exact_mut(width / 2));
    for (rows, (us, vs)) in y.chunks_exact_mut(2 * width).zip(chroma) {
        for ((step, u), v) in steps.iter_mut().zip(us).zip(vs) {
            let (from_u, from_v) = (i32::from(*u) - 128, i32::from(*v) - 128);
            *step = sum(luma, from_u, from_v) as i16;
            *u = byte(sum(blue, from_u, from_v) + 128);
            *v = byte(sum(red, from_u, from_v) + 128);
        }
        for row in rows.chunks_exact_mut(width) {
            for (pair, step) in row.as_chunks_mut::<2>().0.iter_mut().zip(&steps) {
                *pair = pair.map(|sample| (i16::from(sample) + step).clamp(0, 255) as u8);
            }
        }
    }
    frame.set_colour(Colour { matrix: Matrix::Bt601, ..colour });
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::media::showing::{ColourHint, Crop};

    /// 8 x 4: each quarter of another grey, with chroma to match.
    fn quarters() -> Vec<u8> {
        let plane = |width: usize, height: usize, values: [u8; 4]| {
            let at = move |n: usize| {
                let (x, y) = (n % width, n / width);
                values[x * 2 / width + 2 * (y * 2 / height)]
            };
            (0..width * height).map(at).collect::<Vec<u8>>()
        };
        [
            plane(8, 4, [50, 90, 130, 170]),
            plane(4, 2, [100, 110, 120, 130]),
            plane(4, 2, [100, 110, 120, 130]),
        ]
        .concat()
    }

    /// The greys of the four quarters of what is drawn, and its first chroma sample.
    fn drawn(showing: Showing) -> (Size, [u8; 4], u8) {
        let data = quarters();
        let planes = Planes::packed(8, 4, &data).unwrap();
        let (width, height) = showing.shown(8, 4);
        let mut frame = FramePool::new().take(bounded(width, height), clock::now());
        Upright::default().draw(planes, &showing, &mut frame);
        let (w, h) = (frame.size().width as usize, frame.size().height as usize);
        let at = |x: usize, y: usize| frame.y()[y * w + x];
        let corners = [at(0, 0), at(w - 1, 0), at(0, h - 1), at(w - 1, h - 1)];
        (frame.size(), corners, frame.u()[0])
    }

    #[test]
    fn the_eight_orientations_put_every_corner_in_its_place() {
        let corners = |orientation| {
            let drawn = drawn(Showing { orientation, ..Showing::default() });
            assert_eq!(drawn.0.width > drawn.0.height, !orientation.transposed);
            let first = [(50, 100), (90, 110), (130, 120), (170, 130)];
            let chroma = first.iter().find(|pair| pair.0 == drawn.1[0]).unwrap().1;
            assert_eq!(drawn.2, chroma, "chroma goes along");
            drawn.1
        };
        assert_eq!(corners(Orientation::quarters(0)), [50, 90, 130, 170]);
        assert_eq!(corners(Orientation::quarters(1)), [130, 50, 170, 90]);
        assert_eq!(corners(Orientation::quarters(2)), [170, 130, 90, 50]);
        assert_eq!(corners(Orientation::quarters(3)), [90, 170, 50, 130]);
        let mirror = Orientation { mirrored: true, ..Orientation::UPRIGHT };
        assert_eq!(corners(mirror), [90, 50, 170, 130]);
        assert_eq!(corners(mirror.then(Orientation::quarters(1))), [170, 90, 130, 50]);
        assert_eq!(corners(mirror.then(Orientation::quarters(2))), [130, 170, 50, 90]);
        assert_eq!(corners(mirror.then(Orientation::quarters(3))), [50, 130, 90, 170]);
    }

    #[test]
    fn a_crop_is_cut_and_wide_samples_are_spread() {
        let crop = Crop { left: 4, ..Crop::default() };
        let (size, corners, _) = drawn(Showing { crop, ..Showing::default() });
        assert_eq!((size, corners), (Size { width: 4, height: 4 }, [90, 90, 170, 170]));
        let (size, corners, _) = drawn(Showing { aspect: Some((2, 1)), ..Showing::default() });
        assert_eq!((size, corners), (Size { width: 16, height: 4 }, [50, 90, 130, 170]));
    }

    #[test]
    fn full_range_becomes_limited() {
        let colour = ColourHint { full_range: Some(true), ..ColourHint::default() };
        let (_, corners, chroma) = drawn(Showing { colour, ..Showing::default() });
        assert_eq!((corners, chroma), ([59, 93, 128, 162], 103));
    }

    /// ITU-R BT.601 section 2.5, BT.709 section 3; limited range.
    fn yuv([r, g, b]: [f64; 3], (red, blue): (f64, f64)) -> [f64; 3] {
        let y = red * r + (1.0 - red - blue) * g + blue * b;
        let (u, v) = ((b - y) / (2.0 * (1.0 - blue)), (r - y) / (2.0 * (1.0 - red)));
        [y * 219.0 + 16.0, u * 224.0 + 128.0, v * 224.0 + 128.0]
    }

    #[test]
    fn bt709_becomes_bt601_of_the_same_colour() {
        let steps = [0.0, 0.1, 0.35, 0.6, 0.85, 1.0];
        for number in 0..216 {
            let rgb = [steps[number / 36], steps[number / 6 % 6], steps[number % 6]];
            let [y, u, v] = yuv(rgb, (0.2126, 0.0722)).map(|sample| sample.round() as u8);
            let data = [vec![y; 32], vec![u; 8], vec![v; 8]].concat();
            let size = Size { width: 8, height: 4 };
            let mut frame = VideoFrame::from_i420(size, data, clock::now()).unwrap();
            frame.set_colour(Colour { matrix: Matrix::Bt709, full_range: false });
            usual(&mut frame);
            assert_eq!(frame.colour(), Colour::default());
            let found = [frame.y()[31], frame.u()[7], frame.v()[7]].map(f64::from);
            let meant = yuv(rgb, (0.299, 0.114));
            let near = found.iter().zip(&meant).all(|(found, meant)| (found - meant).abs() <= 1.6);
            assert!(near, "{rgb:?}: {found:?} where {meant:?} is right");
        }
    }

    #[test]
    fn nothing_grows_beyond_what_a_call_takes() {
        assert_eq!(bounded(8192, 4096), Size { width: 4096, height: 2048 });
        assert_eq!(bounded(641, 361), Size { width: 640, height: 360 });
    }
}
