//! How good a received picture or sound is, against what was sent.
//!
//! Pure figures over frames: PSNR and SSIM of pictures, delay and
//! signal-to-noise ratio of sound, and the stamp that tells which picture is
//! which. Knows nothing of calls.

pub mod sound;
pub mod stamp;

use super::frame::{FramePool, Size, VideoFrame};
use super::scale::{Planes, Scaler};

/// What is said of identical pictures, dB; infinity has no place in JSON.
const IDENTICAL: f64 = 100.0;

/// Peak signal-to-noise ratio of two luma planes of the same size, dB; 100 when they are identical.
#[must_use]
pub fn psnr_y(a: &VideoFrame, b: &VideoFrame) -> f64 {
    let squares: u64 = a
        .y()
        .chunks(4_096)
        .zip(b.y().chunks(4_096))
        .map(|(a, b)| {
            let sum = a.iter().zip(b).fold(0_u32, |sum, (a, b)| {
                let difference = i32::from(*a) - i32::from(*b);
                sum + (difference * difference).unsigned_abs()
            });
            u64::from(sum)
        })
        .sum();
    if squares == 0 {
        return IDENTICAL;
    }
    let mean = squares as f64 / a.y().len() as f64;
    10.0 * (255.0 * 255.0 / mean).log10()
}

/// The same picture in another size, to be compared with one of that size.
#[must_use]
pub fn resized(picture: &VideoFrame, size: Size) -> VideoFrame {
    let mut frame = FramePool::new().take(size, picture.captured_at());
    frame.set_colour(picture.colour());
    let (width, height) = (picture.size().width as usize, picture.size().height as usize);
    if let Some(planes) = Planes::packed(width, height, picture.i420()) {
        Scaler::default().draw(planes, &mut frame);
    }
    frame
}

/// Side of the windows that SSIM compares, and how far they are apart.
const WINDOW: usize = 8;
const STRIDE: usize = 4;

/// Mean structural similarity of two luma planes of the same size, at most 1 (Wang et al. 2004, with
/// square windows of 8x8 every 4 pixels).
#[must_use]
pub fn ssim_y(a: &VideoFrame, b: &VideoFrame) -> f64 {
    let (width, height) = (a.size().width as usize, a.size().height as usize);
    let (mut sum, mut windows) = (0.0, 0_u32);
    for top in (0..=height.saturating_sub(WINDOW)).step_by(STRIDE) {
        for left in (0..=width.saturating_sub(WINDOW)).step_by(STRIDE) {
            sum += window_ssim(a.y(), b.y(), top * width + left, width);
            windows += 1;
        }
    }
    sum / f64::from(windows.max(1))
}

fn window_ssim(a: &[u8], b: &[u8], start: usize, width: usize) -> f64 {
    let (mut sum_a, mut sum_b, mut aa, mut bb, mut ab) = (0_u32, 0_u32, 0_u32, 0_u32, 0_u32);
    for row in 0..WINDOW {
        let from = start + row * width;
        for (a, b) in a[from..from + WINDOW].iter().zip(&b[from..from + WINDOW]) {
            let (a, b) = (u32::from(*a), u32::from(*b));
            sum_a += a;
            sum_b += b;
            aa += a * a;
            bb += b * b;
            ab += a * b;
        }
    }
    let n = (WINDOW * WINDOW) as f64;
    let (mean_a, mean_b) = (f64::from(sum_a) / n, f64::from(sum_b) / n);
    let variance_a = f64::from(aa) / n - mean_a * mean_a;
    let variance_b = f64::from(bb) / n - mean_b * mean_b;
    let covariance = f64::from(ab) / n - mean_a * mean_b;
    let (c1, c2) = ((0.01 * 255.0_f64).powi(2), (0.03 * 255.0_f64).powi(2));
    (2.0 * mean_a * mean_b + c1) * (2.0 * covariance + c2)
        / ((mean_a * mean_a + mean_b * mean_b + c1) * (variance_a + variance_b + c2))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::media::frame::Size;

    fn picture(luma: impl Fn(usize) -> u8) -> VideoFrame {
        let size = Size { width: 64, height: 48 };
        let data = (0..size.i420_len()).map(luma).collect();
        VideoFrame::from_i420(size, data, clock::now()).unwrap()
    }

    #[test]
    fn identical_pictures_are_perfect() {
        let one = picture(|n| (n * 7 % 251) as u8);
        assert_eq!(psnr_y(&one, &one), IDENTICAL);
        assert!((ssim_y(&one, &one) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_known_error_gives_the_known_ratio() {
        // Off by 5 everywhere: 10 log10(255^2 / 25).
        let (one, other) = (picture(|_| 100), picture(|_| 105));
        assert!((psnr_y(&one, &other) - 34.151).abs() < 0.001);
        assert!(ssim_y(&one, &other) > 0.99, "a change of brightness keeps the structure");
    }

    #[test]
    fn unlike_pictures_are_not_similar() {
        let (one, other) = (picture(|n| (n % 5 * 50) as u8), picture(|n| (n % 7 * 36) as u8));
        assert!(ssim_y(&one, &other) < 0.3);
        assert!(psnr_y(&one, &other) < 12.0);
    }
}
