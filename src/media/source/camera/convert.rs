//! A camera's picture, however it is stored, as I420 of BT.601 limited range.
//!
//! Owns the buffers in between. A picture that is damaged is an error and no
//! more: the next one is on its way.

use turbojpeg::{Decompressor, Subsamp, YuvImage};

use super::choose::PixelFormat;
use crate::media::colour;
use crate::media::frame::{Size, VideoFrame};
use crate::media::scale::{Planes, Scaler};

/// Converts the pictures of one camera.
#[derive(Default)]
pub(super) struct Converter {
    scaler: Scaler,
    /// I420, packed.
    planar: Vec<u8>,
    /// What the JPEG decoder makes, in whatever subsampling the camera uses.
    jpeg: Vec<u8>,
    decompressor: Option<Decompressor>,
}

impl Converter {
    /// Draws `data`, a picture of `width` x `height`, into `frame`, whatever size that has.
    pub(super) fn draw(
        &mut self,
        pixels: PixelFormat,
        (width, height): (u32, u32),
        data: &[u8],
        frame: &mut VideoFrame,
    ) -> Result<(), String> {
        let size = Size::even(width, height);
        let whole = |len: usize| data.get(..len).ok_or_else(|| "a picture is cut off".to_owned());
        let area = width as usize * height as usize;
        // Straight into the frame, or by way of a picture of the camera's size.
        let mut planar = std::mem::take(&mut self.planar);
        let scales = size != frame.size();
        let to = if scales {
            planar.resize(size.i420_len(), 0);
            &mut planar[..]
        } else {
            frame.i420_mut()
        };
        let rows = (width as usize, height as usize);
        let drawn = match pixels {
            PixelFormat::Yuyv => {
                whole(area * 2).and_then(|data| colour::from_yuyv(data, rows.0, size, to))
            }
            PixelFormat::Nv12 => whole(area * 3 / 2).map(|data| draw_nv12(data, rows, size, to)),
            PixelFormat::Grey => whole(area).map(|data| {
                let (luma, chroma) = to.split_at_mut(size.luma_len());
                plane(data, rows.0, size.width as usize, luma, |y| y);
                chroma.fill(128);
            }),
            PixelFormat::Mjpeg => self.draw_jpeg(data, size, to),
        };
        self.planar = planar;
        drawn?;
        if !scales {
            return Ok(());
        }
        let (width, height) = (size.width as usize, size.height as usize);
        let planes = Planes::packed(width, height, &self.planar);
        self.scaler.draw(planes.ok_or("a picture of no size")?, frame);
        Ok(())
    }

    fn draw_jpeg(&mut self, data: &[u8], size: Size, to: &mut [u8]) -> Result<(), String> {
        let text = |error: turbojpeg::Error| {
            tracing::debug!(%error, "a JPEG picture is not decoded");
            "its JPEG pictures cannot be decoded".to_owned()
        };
        let decompressor = match &mut self.decompressor {
            Some(decompressor) => decompressor,
            none => none.insert(Decompressor::new().map_err(text)?),
        };
        let header = decompressor.read_header(data).map_err(text)?;
        if (header.width as u32, header.height as u32) < (size.width, size.height) {
            return Err(format!("a picture of {}x{}", header.width, header.height));
        }
        let subsamp = header.subsamp;
        let (across, down) = match subsamp {
            Subsamp::None => (1, 1),
            Subsamp::Sub2x1 => (2, 1),
            Subsamp::Sub2x2 => (2, 2),
            Subsamp::Sub1x2 => (1, 2),
            Subsamp::Gray => (0, 0),
            other => {
                return Err(format!("JPEG pictures of subsampling {other:?} are not supported"));
            }
        };
        let (width, height) = (header.width, header.height);
        let luma = width * height;
        let (chroma_width, chroma_height) = match across {
            0 => (0, 0),
            _ => (width.div_ceil(across), height.div_ceil(down)),
        };
        self.jpeg.resize(luma + 2 * chroma_width * chroma_height, 0);
        let pixels = &mut self.jpeg[..];
        let image = YuvImage { pixels, width, align: 1, height, subsamp };
        decompressor.decompress_to_yuv(data, image).map_err(text)?;

        let (y, chroma) = to.split_at_mut(size.luma_len());
        let (u, v) = chroma.split_at_mut(size.luma_len() / 4);
        plane(&self.jpeg[..luma], width, size.width as usize, y, limited_luma);
        if across == 0 {
            u.fill(128);
            v.fill(128);
            return Ok(());
        }
        let (from_u, from_v) = self.jpeg[luma..].split_at(chroma_width * chroma_height);
        for (from, to) in [(from_u, u), (from_v, v)] {
            halve(from, chroma_width, (2 / across, 2 / down), size, to);
        }
        Ok(())
    }
}

/// Copies the rows of a plane, cutting off what the even size has no room for.
fn plane(from: &[u8], stride: usize, width: usize, to: &mut [u8], map: impl Fn(u8) -> u8) {
    for (from, to) in from.chunks_exact(stride.max(1)).zip(to.chunks_exact_mut(width.max(1))) {
        to.iter_mut().zip(from).for_each(|(to, from)| *to = map(*from));
    }
}

/// A chroma plane of a JPEG picture, at 4:2:0 and in limited range: each place is the mean of
/// `across` x `down` places.
fn halve(from: &[u8], stride: usize, (across, down): (usize, usize), size: Size, to: &mut [u8]) {
    let width = (size.width / 2) as usize;
    for (row, to) in to.chunks_exact_mut(width.max(1)).enumerate() {
        let above = from.get(row * down * stride..).unwrap_or_default();
        // In the last row of an odd height there is only one.
        let below = above.get((down - 1) * stride..).filter(|rest| rest.len() >= stride);
        let below = below.unwrap_or(above);
        for (at, to) in to.iter_mut().enumerate() {
            let (left, right) = (at * across, (at * across + across - 1).min(stride - 1));
            let sum = [above.get(left), above.get(right), below.get(left), below.get(right)]
                .iter()
                .map(|place| u32::from(*place.unwrap_or(&128)))
                .sum::<u32>();
            *to = limited_chroma(((sum + 2) / 4) as u8);
        }
    }
}

/// JPEG's full range to the limited range of video (ITU-T T.871 and BT.601).
fn limited_luma(full: u8) -> u8 {
    ((u32::from(full) * 219 + 127) / 255 + 16) as u8
}

fn limited_chroma(full: u8) -> u8 {
    ((i32::from(full) - 128) * 224 / 255 + 128) as u8
}

fn draw_nv12(data: &[u8], (width, height): (usize, usize), size: Size, to: &mut [u8]) {
    let (luma, chroma) = data.split_at(width * height);
    let (y, uv) = to.split_at_mut(size.luma_len());
    let (u, v) = uv.split_at_mut(size.luma_len() / 4);
    plane(luma, width, size.width as usize, y, |y| y);
    let half = (size.width / 2) as usize;
    let rows = u.chunks_exact_mut(half.max(1)).zip(v.chunks_exact_mut(half.max(1)));
    for (from, (u, v)) in chroma.chunks_exact(width.max(1)).zip(rows) {
        // As numbers of 16 bits, and one half after the other: so the compiler makes vectors of it.
        let (pairs, _) = from.as_chunks();
        let pairs = || pairs.iter().map(|pair| u16::from_le_bytes(*pair));
        u.iter_mut().zip(pairs()).for_each(|(u, pair)| *u = pair as u8);
        v.iter_mut().zip(pairs()).for_each(|(v, pair)| *v = (pair >> 8) as u8);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::media::frame::FramePool;

    const SIZE: Size = Size { width: 64, height: 32 };

    /// One colour, converted.
    fn converted(pixels: PixelFormat, data: &[u8]) -> Result<(u8, u8, u8), String> {
        let pool = FramePool::default();
        let mut frame = pool.take(SIZE, clock::now());
        let mut converter = Converter::default();
        converter.draw(pixels, (SIZE.width, SIZE.height), data, &mut frame)?;
        let middle = |plane: &[u8]| plane[plane.len() / 2 + 3];
        Ok((middle(frame.y()), middle(frame.u()), middle(frame.v())))
    }

    fn near(found: (u8, u8, u8), wanted: (u8, u8, u8)) -> bool {
        let each = |a: u8, b: u8| a.abs_diff(b) <= 2;
        each(found.0, wanted.0) && each(found.1, wanted.1) && each(found.2, wanted.2)
    }

    #[test]
    fn every_form_gives_the_same_colour() {
        let area = SIZE.luma_len();
        let colour = (81, 90, 240); // Red, BT.601 limited.
        let yuyv: Vec<u8> = [81, 90, 81, 240].repeat(area / 2);
        assert!(near(converted(PixelFormat::Yuyv, &yuyv).unwrap(), colour));
        let nv12 = [vec![81; area], [90, 240].repeat(area / 4)].concat();
        assert!(near(converted(PixelFormat::Nv12, &nv12).unwrap(), colour));
        let grey = vec![81; area];
        assert!(near(converted(PixelFormat::Grey, &grey).unwrap(), (81, 128, 128)));
        let red = turbojpeg::Image {
            pixels: [255, 0, 0].repeat(area),
            width: SIZE.width as usize,
            pitch: SIZE.width as usize * 3,
            height: SIZE.height as usize,
            format: turbojpeg::PixelFormat::RGB,
        };
        for subsamp in [Subsamp::Sub2x1, Subsamp::Sub2x2, Subsamp::None, Subsamp::Sub1x2] {
            let jpeg = turbojpeg::compress(red.as_deref(), 95, subsamp).unwrap();
            // The driver hands out its whole buffer, with whatever follows the picture.
            let padded = [&jpeg[..], &[0; 500]].concat();
            let found = converted(PixelFormat::Mjpeg, &padded).unwrap();
            assert!(near(found, colour), "{subsamp:?}: {found:?}");
        }
    }

    #[test]
    fn damaged_pictures_are_errors() {
        for pixels in [PixelFormat::Yuyv, PixelFormat::Nv12, PixelFormat::Grey, PixelFormat::Mjpeg]
        {
            assert!(converted(pixels, &[1, 2, 3]).is_err(), "{pixels}");
        }
    }
}
