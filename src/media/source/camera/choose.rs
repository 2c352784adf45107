//! Which of a camera's formats gives the asked size and rate at the least cost. Pure.

use crate::media::frame::Size;

/// How a camera may deliver its pictures, cheapest to use first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PixelFormat {
    /// Planar luma, interleaved chroma, 4:2:0: as good as ours.
    Nv12,
    /// Packed 4:2:2.
    Yuyv,
    /// JPEG pictures, which take a while to decode; high sizes come so over USB.
    Mjpeg,
    /// Luma only.
    Grey,
}

impl std::fmt::Display for PixelFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nv12 => "NV12",
            Self::Yuyv => "YUYV",
            Self::Mjpeg => "MJPEG",
            Self::Grey => "GREY",
        })
    }
}

/// One of the ways in which a camera can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CameraFormat {
    /// How a picture is stored.
    pub pixels: PixelFormat,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Pictures a second.
    pub fps: u32,
}

/// The cheapest format that reaches the rate at the size, or comes nearest: first no less than half
/// of the rate, then the very size, else the smallest that covers it, else the largest; then the
/// rate; then what costs least.
pub(super) fn choose(offered: &[CameraFormat], size: Size, fps: f64) -> Option<CameraFormat> {
    offered.iter().copied().min_by_key(|offer| {
        let missing = (fps * 0.97 - f64::from(offer.fps)).max(0.0);
        let (width, height) = (i64::from(offer.width), i64::from(offer.height));
        let (area, asked) = (width * height, size.luma_len() as i64);
        let covers = offer.width >= size.width && offer.height >= size.height;
        let fit = match covers {
            true if area == asked => (0, 0),
            true => (1, area),
            false => (2, -area),
        };
        let too_slow = missing > fps / 2.0;
        (too_slow, fit, (missing * 10.0) as i64, offer.pixels, offer.fps)
    })
}

#[cfg(test)]
mod tests {
    use super::PixelFormat::{Grey, Mjpeg, Nv12, Yuyv};
    use super::*;

    fn offers(list: &[(PixelFormat, u32, u32, &[u32])]) -> Vec<CameraFormat> {
        let each = |&(pixels, width, height, rates): &(PixelFormat, u32, u32, &[u32])| {
            let offer = move |&fps| CameraFormat { pixels, width, height, fps };
            rates.iter().map(offer).collect::<Vec<_>>()
        };
        list.iter().flat_map(each).collect()
    }

    fn chosen(offered: &[CameraFormat], width: u32, height: u32, fps: f64) -> String {
        match choose(offered, Size { width, height }, fps) {
            Some(c) => format!("{} {}x{} {}", c.pixels, c.width, c.height, c.fps),
            None => "none".to_owned(),
        }
    }

    /// A common USB 2 web camera: raw pictures are slow at high sizes.
    fn usb() -> Vec<CameraFormat> {
        offers(&[
            (Yuyv, 640, 480, &[30, 24, 15]),
            (Yuyv, 640, 360, &[30, 24, 15]),
            (Yuyv, 1280, 720, &[10, 5]),
            (Yuyv, 1920, 1080, &[5]),
            (Mjpeg, 640, 480, &[60, 30]),
            (Mjpeg, 1280, 720, &[60, 30]),
            (Mjpeg, 1920, 1080, &[30]),
        ])
    }

    #[test]
    fn raw_where_it_reaches_the_rate_and_jpeg_where_it_does_not() {
        assert_eq!(chosen(&usb(), 640, 360, 30.0), "YUYV 640x360 30");
        assert_eq!(chosen(&usb(), 640, 360, 15.0), "YUYV 640x360 15");
        assert_eq!(chosen(&usb(), 1280, 720, 30.0), "MJPEG 1280x720 30");
        assert_eq!(chosen(&usb(), 1280, 720, 10.0), "YUYV 1280x720 10");
        assert_eq!(chosen(&usb(), 1920, 1080, 60.0), "MJPEG 1920x1080 30");
    }

    #[test]
    fn the_smallest_that_covers_else_the_largest() {
        assert_eq!(chosen(&usb(), 800, 600, 30.0), "MJPEG 1280x720 30");
        assert_eq!(chosen(&usb(), 3840, 2160, 30.0), "MJPEG 1920x1080 30");
        let laptop =
            offers(&[(Nv12, 640, 480, &[30]), (Yuyv, 640, 480, &[30]), (Grey, 640, 360, &[30])]);
        assert_eq!(chosen(&laptop, 640, 480, 30.0), "NV12 640x480 30");
        assert_eq!(chosen(&[], 640, 480, 30.0), "none");
    }

    #[test]
    fn a_slide_show_is_no_camera() {
        let slow = offers(&[(Yuyv, 1280, 720, &[5]), (Yuyv, 640, 480, &[30])]);
        assert_eq!(chosen(&slow, 1280, 720, 30.0), "YUYV 640x480 30");
    }
}
