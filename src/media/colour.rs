//! I420 and what cameras, screens, windows and terminals have in its place.
//!
//! The only file that names the converter. What is shown is converted as the picture says; what
//! devices give becomes BT.601 in limited range. Rows are packed unless a stride is named.

use yuv::{
    BufferStoreMut, YuvConversionMode, YuvPackedImage, YuvPlanarImage, YuvPlanarImageMut, YuvRange,
    YuvStandardMatrix, bgra_to_yuv420, yuv420_to_bgra, yuv420_to_rgb, yuyv422_to_yuv420,
};

use super::frame::{Size, VideoFrame};
use super::showing::Matrix;

/// What devices' pictures are made into.
const RANGE: YuvRange = YuvRange::Limited;
const MATRIX: YuvStandardMatrix = YuvStandardMatrix::Bt601;

/// What the samples of a picture mean, in the converter's words.
fn meaning(frame: &VideoFrame) -> (YuvRange, YuvStandardMatrix) {
    let colour = frame.colour();
    let range = if colour.full_range { YuvRange::Full } else { YuvRange::Limited };
    let matrix = match colour.matrix {
        Matrix::Bt601 => YuvStandardMatrix::Bt601,
        Matrix::Bt709 => YuvStandardMatrix::Bt709,
        Matrix::Bt2020 => YuvStandardMatrix::Bt2020,
    };
    (range, matrix)
}

/// Writes a picture as bytes in the order blue, green, red, 255 into rows of `stride` pixels.
pub(in crate::media) fn to_bgra(frame: &VideoFrame, bgra: &mut [u8], stride: usize) {
    let (range, matrix) = meaning(frame);
    told(yuv420_to_bgra(&planes(frame), bgra, stride as u32 * 4, range, matrix));
}

/// Writes a picture as bytes in the order red, green, blue.
pub(in crate::media) fn to_rgb(frame: &VideoFrame, rgb: &mut [u8]) {
    let (range, matrix) = meaning(frame);
    told(yuv420_to_rgb(&planes(frame), rgb, frame.size().width * 3, range, matrix));
}

fn told(drawn: Result<(), yuv::YuvError>) {
    if let Err(error) = drawn {
        tracing::debug!(%error, "a picture is not drawn");
    }
}

/// Writes bytes in the order blue, green, red, anything as I420.
///
/// # Errors
/// When either side has too few bytes for the size.
pub(in crate::media) fn from_bgra(bgra: &[u8], size: Size, i420: &mut [u8]) -> Result<(), String> {
    let mode = YuvConversionMode::Balanced;
    let drawn =
        bgra_to_yuv420(&mut planes_mut(size, i420), bgra, size.width * 4, RANGE, MATRIX, mode);
    drawn.map_err(too_little)
}

fn too_little(error: yuv::YuvError) -> String {
    tracing::debug!(%error, "a picture is not taken");
    "it gave less than a whole picture".to_owned()
}

/// Writes packed 4:2:2, rows of `stride` pixels, as I420.
///
/// # Errors
/// As [`from_bgra`].
pub(in crate::media) fn from_yuyv(
    yuyv: &[u8],
    stride: usize,
    size: Size,
    i420: &mut [u8],
) -> Result<(), String> {
    let Size { width, height } = size;
    let packed = YuvPackedImage { yuy: yuyv, yuy_stride: stride as u32 * 2, width, height };
    let drawn = yuyv422_to_yuv420(&mut planes_mut(size, i420), &packed);
    drawn.map_err(too_little)
}

fn planes(frame: &VideoFrame) -> YuvPlanarImage<'_, u8> {
    let Size { width, height } = frame.size();
    YuvPlanarImage {
        y_plane: frame.y(),
        y_stride: width,
        u_plane: frame.u(),
        u_stride: width / 2,
        v_plane: frame.v(),
        v_stride: width / 2,
        width,
        height,
    }
}

fn planes_mut(size: Size, i420: &mut [u8]) -> YuvPlanarImageMut<'_, u8> {
    let Size { width, height } = size;
    let (y, chroma) = i420.split_at_mut(size.luma_len());
    let (u, v) = chroma.split_at_mut(size.luma_len() / 4);
    YuvPlanarImageMut {
        y_plane: BufferStoreMut::Borrowed(y),
        y_stride: width,
        u_plane: BufferStoreMut::Borrowed(u),
        u_stride: width / 2,
        v_plane: BufferStoreMut::Borrowed(v),
        v_stride: width / 2,
        width,
        height,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::media::frame::FramePool;
    use crate::media::showing::Colour;

    /// One flat colour through the converter, red, green and blue.
    fn shown(yuv: [u8; 3], matrix: Matrix, full_range: bool) -> [u8; 3] {
        let size = Size { width: 32, height: 16 };
        let mut frame = FramePool::new().take(size, clock::now());
        frame.set_colour(Colour { matrix, full_range });
        let (y, u, v) = frame.planes_mut();
        y.fill(yuv[0]);
        u.fill(yuv[1]);
        v.fill(yuv[2]);
        let mut rgb = vec![0; size.luma_len() * 3];
        to_rgb(&frame, &mut rgb);
        let mut bgra = vec![0; size.luma_len() * 4];
        to_bgra(&frame, &mut bgra, size.width as usize);
        assert_eq!([bgra[2], bgra[1], bgra[0]], [rgb[0], rgb[1], rgb[2]]);
        [rgb[0], rgb[1], rgb[2]]
    }

    #[test]
    fn a_colour_is_what_its_picture_says() {
        // Pure red in each (BT.601 and BT.709, table of the standard; JFIF).
        for (yuv, matrix, full) in [
            ([81, 90, 240], Matrix::Bt601, false),
            ([63, 102, 240], Matrix::Bt709, false),
            ([76, 85, 255], Matrix::Bt601, true),
            ([54, 99, 255], Matrix::Bt709, true),
        ] {
            let [red, green, blue] = shown(yuv, matrix, full);
            assert!(
                red >= 252 && green <= 3 && blue <= 3,
                "{matrix:?} {full}: {red} {green} {blue}"
            );
        }
        assert_eq!(shown([30, 128, 128], Matrix::Bt709, true), [30, 30, 30]);
    }
}
