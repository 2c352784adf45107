//! I420 and what cameras, screens, windows and terminals have in its place.
//!
//! The only file that names the converter. All pictures are BT.601, limited range;
//! rows are packed unless a stride is named.

use yuv::{
    BufferStoreMut, YuvConversionMode, YuvPackedImage, YuvPlanarImage, YuvPlanarImageMut, YuvRange,
    YuvStandardMatrix, bgra_to_yuv420, yuv420_to_bgra, yuv420_to_rgb, yuyv422_to_yuv420,
};

use super::frame::{Size, VideoFrame};

const RANGE: YuvRange = YuvRange::Limited;
const MATRIX: YuvStandardMatrix = YuvStandardMatrix::Bt601;

/// Writes a picture as bytes in the order blue, green, red, 255 into rows of `stride` pixels.
pub(in crate::media) fn to_bgra(frame: &VideoFrame, bgra: &mut [u8], stride: usize) {
    told(yuv420_to_bgra(&planes(frame), bgra, stride as u32 * 4, RANGE, MATRIX));
}

/// Writes a picture as bytes in the order red, green, blue.
pub(in crate::media) fn to_rgb(frame: &VideoFrame, rgb: &mut [u8]) {
    told(yuv420_to_rgb(&planes(frame), rgb, frame.size().width * 3, RANGE, MATRIX));
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
    drawn.map_err(|error| error.to_string())
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
    drawn.map_err(|error| error.to_string())
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
