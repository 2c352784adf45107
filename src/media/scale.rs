//! Brings a picture to the size that is sent: aspect kept, black bars around it.
//!
//! Owns the arithmetic of the bars and the resizer. Knows nothing of files and devices.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

use crate::media::frame::{Size, VideoFrame};

/// A decoded I420 picture with its strides; chroma sides are rounded up.
#[derive(Debug, Clone, Copy)]
pub(in crate::media) struct Planes<'a> {
    pub(in crate::media) width: usize,
    pub(in crate::media) height: usize,
    pub(in crate::media) y: (&'a [u8], usize),
    pub(in crate::media) u: (&'a [u8], usize),
    pub(in crate::media) v: (&'a [u8], usize),
}

impl<'a> Planes<'a> {
    /// Packed I420 bytes; `None` when there are too few.
    pub(in crate::media) fn packed(width: usize, height: usize, data: &'a [u8]) -> Option<Self> {
        let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
        let (y, chroma) = data.split_at_checked(width * height)?;
        let (u, v) = chroma.split_at_checked(half_width * half_height)?;
        (v.len() >= u.len()).then_some(Self {
            width,
            height,
            y: (y, width),
            u: (u, half_width),
            v: (v, half_width),
        })
    }
}

/// Scales pictures into frames.
#[derive(Default)]
pub(in crate::media) struct Scaler {
    /// Good enough to be looked at for a thirtieth of a second.
    quick: bool,
    resizer: Resizer,
    packed: Vec<u8>,
    scaled: Vec<u8>,
}

impl Scaler {
    /// For pictures that are shown and forgotten: a third of the work of those that are encoded.
    pub(in crate::media) fn quick() -> Self {
        Self { quick: true, ..Self::default() }
    }

    /// Draws `picture` into `frame`, whatever sizes they have. Colours stay as they are: the frame
    /// says what they mean.
    pub(in crate::media) fn draw(&mut self, picture: Planes<'_>, frame: &mut VideoFrame) {
        self.draw_shown(picture, (picture.width as u32, picture.height as u32), frame);
    }

    /// The same for a picture whose samples are not square: `shown` is its size in square pixels.
    pub(in crate::media) fn draw_shown(
        &mut self,
        picture: Planes<'_>,
        shown: (u32, u32),
        frame: &mut VideoFrame,
    ) {
        let to = frame.size();
        let inner = fit(shown.0 as usize, shown.1 as usize, to);
        let (width, height) = (to.width as usize, to.height as usize);
        let own = Size::even(picture.width as u32, picture.height as u32);
        if inner != to {
            frame.blacken();
        }
        let (y, u, v) = frame.planes_mut();
        let half = |side: u32| (side / 2) as usize;
        let (w, h) = (inner.width as usize, inner.height as usize);
        let source = (own.width as usize, own.height as usize);
        self.plane(picture.y, source, y, (width, height), (w, h));
        let source = (half(own.width), half(own.height));
        let (all, part) = ((width / 2, height / 2), (half(inner.width), half(inner.height)));
        self.plane(picture.u, source, u, all, part);
        self.plane(picture.v, source, v, all, part);
    }

    /// Scales one plane of `source` size to `part`, in the middle of a plane of `all`.
    fn plane(
        &mut self,
        (data, stride): (&[u8], usize),
        source: (usize, usize),
        out: &mut [u8],
        all: (usize, usize),
        part: (usize, usize),
    ) {
        if source == part {
            let rows = data.chunks(stride.max(1)).take(source.1);
            place(rows.map(|row| row.get(..source.0)), out, all, part);
            return;
        }
        let packed = match data.get(..source.0 * source.1) {
            Some(packed) if stride == source.0 => packed,
            _ => {
                self.packed.clear();
                let rows = data.chunks(stride.max(1)).take(source.1);
                rows.filter_map(|row| row.get(..source.0))
                    .for_each(|row| self.packed.extend_from_slice(row));
                &self.packed
            }
        };
        if packed.len() < source.0 * source.1 {
            return;
        }
        let has_bars = part != all;
        let scaled = if has_bars {
            self.scaled.resize(part.0 * part.1, 0);
            &mut self.scaled[..]
        } else {
            &mut *out
        };
        if self.quick && source.0 > part.0 * 2 {
            shrink(packed, source, scaled, part);
        } else {
            let options = ResizeOptions::new()
                .resize_alg(match self.quick {
                    false => ResizeAlg::Convolution(FilterType::Bilinear),
                    true => ResizeAlg::Interpolation(FilterType::Bilinear),
                })
                .use_alpha(false);
            let input = TypedImageRef::<U8>::from_buffer(source.0 as u32, source.1 as u32, packed);
            let output = TypedImage::<U8>::from_buffer(part.0 as u32, part.1 as u32, scaled);
            if let (Ok(input), Ok(mut output)) = (input, output)
                && let Err(error) = self.resizer.resize_typed(&input, &mut output, &options)
            {
                tracing::debug!(%error, "a picture is not scaled");
            }
        }
        if has_bars {
            place(self.scaled.chunks(part.0.max(1)).map(Some), out, all, part);
        }
    }
}

/// Scales down quickly: each pixel becomes the mean of four, from the quarters of what it stands for.
fn shrink(from: &[u8], (width, height): (usize, usize), to: &mut [u8], part: (usize, usize)) {
    let quarters = |at: usize, all: usize, part: usize| {
        ((4 * at + 1) * all / (4 * part), (4 * at + 3) * all / (4 * part))
    };
    let columns: Vec<_> = (0..part.0).map(|at| quarters(at, width, part.0)).collect();
    for (at, to) in to.chunks_exact_mut(part.0.max(1)).take(part.1).enumerate() {
        let (above, below) = quarters(at, height, part.1);
        let (above, below) = (&from[above * width..][..width], &from[below * width..][..width]);
        if width == 4 * to.len() {
            // The usual case, by numbers of 32 bits: the compiler makes vectors of it.
            let two = |four: &[u8; 4]| {
                let four = u32::from_le_bytes(*four);
                (four >> 8 & 0xff) + (four >> 24)
            };
            let pairs = above.as_chunks().0.iter().zip(below.as_chunks().0);
            to.iter_mut()
                .zip(pairs)
                .for_each(|(to, (a, b))| *to = ((two(a) + two(b) + 2) / 4) as u8);
            continue;
        }
        for (to, &(left, right)) in to.iter_mut().zip(&columns) {
            let four = [above[left], above[right], below[left], below[right]];
            *to = ((four.map(u16::from).iter().sum::<u16>() + 2) / 4) as u8;
        }
    }
}

/// Copies rows of `part` size into the middle of a plane of `all`, on even pixels of the picture.
fn place<'a>(
    rows: impl Iterator<Item = Option<&'a [u8]>>,
    out: &mut [u8],
    all: (usize, usize),
    part: (usize, usize),
) {
    let (left, top) = bars(all, part);
    for (row, to) in rows.zip(out.chunks_mut(all.0.max(1)).skip(top)) {
        if let (Some(row), Some(to)) = (row, to.get_mut(left..left + part.0)) {
            to.copy_from_slice(row);
        }
    }
}

fn bars(all: (usize, usize), part: (usize, usize)) -> (usize, usize) {
    (all.0.saturating_sub(part.0) / 2, all.1.saturating_sub(part.1) / 2)
}

/// The largest size with the aspect of the picture inside `to`; the bars are multiples of 4 pixels, so
/// that luma and chroma move together.
fn fit(width: usize, height: usize, to: Size) -> Size {
    let (width, height) = (width.max(1) as u64, height.max(1) as u64);
    let (to_width, to_height) = (u64::from(to.width), u64::from(to.height));
    let own = Size::even(width as u32, height as u32);
    if own == to {
        return to;
    }
    let side = |all: u64, scaled: u64| {
        let bar = all.saturating_sub(scaled) / 4 * 4;
        (all - bar.min(all.saturating_sub(4))) as u32
    };
    if width * to_height >= height * to_width {
        Size::even(to.width, side(to_height, height * to_width / width))
    } else {
        Size::even(side(to_width, width * to_height / height), to.height)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock;
    use crate::media::frame::FramePool;

    fn draw(width: usize, height: usize, to: Size, mut scaler: Scaler) -> VideoFrame {
        let chroma = width.div_ceil(2) * height.div_ceil(2);
        let mut data = vec![200; width * height];
        data.extend(vec![90; chroma]);
        data.extend(vec![170; chroma]);
        let mut frame = FramePool::new().take(to, clock::now());
        let planes = Planes::packed(width, height, &data).unwrap();
        scaler.draw(planes, &mut frame);
        frame
    }

    #[test]
    fn a_wide_picture_gets_bars_above_and_below() {
        let frame = draw(64, 32, Size { width: 32, height: 32 }, Scaler::default());
        let row = |n: usize| &frame.y()[n * 32..(n + 1) * 32];
        assert_eq!(row(0), [16; 32]);
        assert_eq!(row(16), [200; 32]);
        assert_eq!(row(31), [16; 32]);
        assert_eq!((frame.u()[0], frame.u()[8 * 16], frame.v()[8 * 16]), (128, 90, 170));
    }

    #[test]
    fn odd_pictures_lose_their_last_row_and_column() {
        let frame = draw(7, 5, Size { width: 6, height: 4 }, Scaler::default());
        assert!(frame.y().iter().all(|y| *y == 200) && frame.v().iter().all(|v| *v == 170));
    }

    #[test]
    fn a_quick_small_picture_is_like_a_careful_one() {
        let (width, height) = (1_280, 720);
        let luma = |at: usize| (16 + at % width * 200 / width + at / width * 19 / height) as u8;
        let mut data: Vec<u8> = (0..width * height).map(luma).collect();
        data.extend(vec![100; width * height / 2]);
        for to in [(318, 180), (320, 180), (160, 90)] {
            let to = Size { width: to.0, height: to.1 };
            let drawn = |mut scaler: Scaler| {
                let mut frame = FramePool::new().take(to, clock::now());
                scaler.draw(Planes::packed(width, height, &data).unwrap(), &mut frame);
                frame
            };
            let (quick, careful) = (drawn(Scaler::quick()), drawn(Scaler::default()));
            let off = quick.i420().iter().zip(careful.i420()).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(off <= Some(2), "{to}: {off:?}");
        }
    }

    proptest! {
        #[test]
        fn every_size_fits_into_every_size(w in 2usize..200, h in 2usize..200, tw in 1u32..100, th in 1u32..100) {
            let to = Size { width: tw * 2, height: th * 2 };
            let inner = fit(w, h, to);
            prop_assert!(inner.width <= to.width && inner.height <= to.height);
            for scaler in [Scaler::default(), Scaler::quick()] {
                let frame = draw(w, h, to, scaler);
                let middle = (to.height / 2 * to.width + to.width / 2) as usize;
                prop_assert!(frame.y()[middle] > 100, "{inner}");
            }
        }
    }
}
