//! The screen as a source: what one monitor shows, pointer and all, through X11.
//!
//! Owns the connection to the display. A display that goes away is looked for
//! again while a card is sent.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use x11rb::connection::Connection;
use x11rb::protocol::randr::ConnectionExt as _;
use x11rb::protocol::xfixes::{ConnectionExt as _, GetCursorImageReply};
use x11rb::protocol::xproto::{ConnectionExt as _, ImageFormat, ImageOrder, Window};
use x11rb::rust_connection::RustConnection;
use yuv::{
    BufferStoreMut, YuvConversionMode, YuvPlanarImageMut, YuvRange, YuvStandardMatrix,
    bgra_to_yuv420,
};

use super::{SourceError, VideoFormat, VideoSource, card};
use crate::clock;
use crate::media::device::{DeviceError, DeviceNews, DeviceNotice};
use crate::media::frame::{FramePool, Size, VideoFrame};
use crate::media::scale::{Planes, Scaler};

/// While the screen is gone the card is sent, and the screen looked for, so often.
const RETRY: Duration = Duration::from_millis(500);

/// Without a wish no more is sent than this; larger screens are made smaller.
const LARGEST: Size = Size { width: 1920, height: 1080 };

/// One monitor of the display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Monitor {
    /// What the display calls it.
    pub name: String,
    /// Its pixels.
    pub size: Size,
    left: i16,
    top: i16,
}

/// The monitors of the display, in the order of their numbers.
///
/// # Errors
/// When there is no X11 display, or it turns us away.
pub fn list() -> Result<Vec<Monitor>, DeviceError> {
    let display = Display::connect("screen")?;
    display.monitors().map_err(|reason| failed("screen", reason))
}

/// Pictures of one monitor.
#[derive(Debug)]
pub struct ScreenSource {
    number: u32,
    format: VideoFormat,
    grabber: Option<Grabber>,
    due: Instant,
    pool: FramePool,
    notices: VecDeque<DeviceNotice>,
}

impl ScreenSource {
    /// Opens monitor `number`, counted from 0. `size` is what is sent; without it the monitor's own,
    /// at most 1920x1080.
    ///
    /// # Errors
    /// When there is no display, or no such monitor.
    pub fn open(number: u32, size: Option<Size>, fps: f64) -> Result<Self, DeviceError> {
        let grabber = Grabber::open(number)?;
        let own = grabber.monitor.size;
        let size = size.unwrap_or_else(|| within(own, LARGEST));
        Ok(Self {
            number,
            format: VideoFormat { size, fps },
            grabber: Some(grabber),
            due: clock::now(),
            pool: FramePool::default(),
            notices: VecDeque::new(),
        })
    }

    fn tell(&mut self, news: DeviceNews, message: String) {
        self.notices.push_back(DeviceNotice { news, message });
    }
}

impl VideoSource for ScreenSource {
    fn next_frame(&mut self) -> Result<Option<Arc<VideoFrame>>, SourceError> {
        clock::sleep_until(self.due);
        let now = clock::now();
        if self.grabber.is_none() {
            self.grabber = Grabber::open(self.number).ok();
            if self.grabber.is_some() {
                self.tell(DeviceNews::Back, format!("screen {} is back", self.number));
            }
        }
        if let Some(grabber) = &mut self.grabber {
            let mut frame = self.pool.take(self.format.size, now);
            match grabber.draw(&mut frame) {
                Ok(()) => {
                    // What a slow machine is late with is left out, not made up for.
                    self.due = (self.due + Duration::from_secs_f64(1.0 / self.format.fps)).max(now);
                    return Ok(Some(Arc::new(frame)));
                }
                Err(reason) => {
                    self.grabber = None;
                    let number = self.number;
                    let message = format!(
                        "screen {number} is gone ({reason}); sending a card until it is back"
                    );
                    self.tell(DeviceNews::Lost, message);
                }
            }
        }
        self.due = now + RETRY;
        Ok(Some(Arc::new(card::draw("no screen", self.format.size, now))))
    }

    fn format(&self) -> VideoFormat {
        self.format
    }

    fn notice(&mut self) -> Option<DeviceNotice> {
        self.notices.pop_front()
    }
}

/// The largest even size with the same aspect that is no larger than `most`.
fn within(own: Size, most: Size) -> Size {
    let across = f64::from(most.width) / f64::from(own.width);
    let down = f64::from(most.height) / f64::from(own.height);
    let by = across.min(down).min(1.0);
    let side = |length: u32| (f64::from(length) * by).round() as u32;
    Size::even(side(own.width), side(own.height))
}

/// A connection to the display.
#[derive(Debug)]
struct Display {
    connection: RustConnection,
    root: Window,
}

impl Display {
    fn connect(device: &str) -> Result<Self, DeviceError> {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        if !set("DISPLAY") && set("WAYLAND_DISPLAY") {
            let reason =
                "Wayland lets no program read its screen, and its portal is not in this build";
            return Err(failed(device, reason.to_owned()));
        }
        let (connection, number) = x11rb::connect(None)
            .map_err(|error| failed(device, format!("there is no display ({error})")))?;
        let setup = connection.setup();
        let screen = setup
            .roots
            .get(number)
            .ok_or_else(|| failed(device, "the display has no screen".to_owned()))?;
        let bits = setup
            .pixmap_formats
            .iter()
            .find(|format| format.depth == screen.root_depth)
            .map_or(0, |format| format.bits_per_pixel);
        if bits != 32 || setup.image_byte_order != ImageOrder::LSB_FIRST {
            let reason = format!("its pixels of {bits} bits are not supported, only those of 32");
            return Err(failed(device, reason));
        }
        let root = screen.root;
        Ok(Self { connection, root })
    }

    fn monitors(&self) -> Result<Vec<Monitor>, String> {
        let reply = self.connection.randr_get_monitors(self.root, true).map_err(text)?;
        let monitors = reply.reply().map_err(text)?.monitors;
        let named = monitors.into_iter().map(|monitor| {
            let name = self.connection.get_atom_name(monitor.name).map_err(text)?;
            let name = name.reply().map_err(text)?.name;
            Ok(Monitor {
                name: String::from_utf8_lossy(&name).into_owned(),
                size: Size::even(u32::from(monitor.width), u32::from(monitor.height)),
                left: monitor.x,
                top: monitor.y,
            })
        });
        named.collect()
    }
}

/// Takes pictures of one monitor.
struct Grabber {
    display: Display,
    monitor: Monitor,
    has_pointer: bool,
    planar: Vec<u8>,
    scaler: Scaler,
}

impl std::fmt::Debug for Grabber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grabber").field("monitor", &self.monitor).finish_non_exhaustive()
    }
}

impl Grabber {
    fn open(number: u32) -> Result<Self, DeviceError> {
        let device = format!("screen {number}");
        let display = Display::connect(&device)?;
        let monitors = display.monitors().map_err(|reason| failed(&device, reason))?;
        let count = monitors.len();
        let monitor = monitors.into_iter().nth(number as usize).ok_or_else(|| DeviceError {
            device: device.clone(),
            reason: "there is no such screen".to_owned(),
            hint: match count {
                0 => "the display has none; use --video test or --video FILE".to_owned(),
                1 => "there is one; use --video screen".to_owned(),
                _ => format!("there are {count}; use --video screen:0 to screen:{}", count - 1),
            },
        })?;
        // Without the extension the picture comes without a pointer.
        let asked = display.connection.xfixes_query_version(5, 0).map_err(text);
        let has_pointer = asked.is_ok_and(|asked| asked.reply().is_ok());
        Ok(Self { display, monitor, has_pointer, planar: Vec::new(), scaler: Scaler::default() })
    }

    fn draw(&mut self, frame: &mut VideoFrame) -> Result<(), String> {
        let (connection, size) = (&self.display.connection, self.monitor.size);
        let (width, height) = (size.width as u16, size.height as u16);
        let (left, top) = (self.monitor.left, self.monitor.top);
        let (form, root) = (ImageFormat::Z_PIXMAP, self.display.root);
        let asked = connection.get_image(form, root, left, top, width, height, u32::MAX);
        // Both questions are under way before the first answer is awaited.
        let pointer = match self.has_pointer {
            true => Some(connection.xfixes_get_cursor_image().map_err(text)?),
            false => None,
        };
        let mut pixels = asked.map_err(text)?.reply().map_err(text)?.data;
        let stride = size.width as usize * 4;
        if pixels.len() < stride * size.height as usize {
            return Err("a picture is cut off".to_owned());
        }
        if let Some(pointer) = pointer {
            let pointer = pointer.reply().map_err(text)?;
            draw_pointer(&pointer, (left, top), (&mut pixels, stride));
        }
        convert(&pixels, size, &mut self.planar)?;
        let planes = Planes::packed(size.width as usize, size.height as usize, &self.planar);
        self.scaler.draw(planes.ok_or("a picture of no size")?, frame);
        Ok(())
    }
}

/// BGRA as packed I420.
fn convert(bgra: &[u8], size: Size, planar: &mut Vec<u8>) -> Result<(), String> {
    planar.resize(size.i420_len(), 0);
    let (y, chroma) = planar.split_at_mut(size.luma_len());
    let (u, v) = chroma.split_at_mut(size.luma_len() / 4);
    let mut image = YuvPlanarImageMut {
        y_plane: BufferStoreMut::Borrowed(y),
        y_stride: size.width,
        u_plane: BufferStoreMut::Borrowed(u),
        u_stride: size.width / 2,
        v_plane: BufferStoreMut::Borrowed(v),
        v_stride: size.width / 2,
        width: size.width,
        height: size.height,
    };
    let (range, matrix) = (YuvRange::Limited, YuvStandardMatrix::Bt601);
    let mode = YuvConversionMode::Balanced;
    bgra_to_yuv420(&mut image, bgra, size.width * 4, range, matrix, mode).map_err(text)
}

/// Lays the pointer, premultiplied ARGB, over a picture whose upper left stands at `origin`.
fn draw_pointer(
    pointer: &GetCursorImageReply,
    origin: (i16, i16),
    (pixels, stride): (&mut [u8], usize),
) {
    let left = i32::from(pointer.x) - i32::from(pointer.xhot) - i32::from(origin.0);
    let top = i32::from(pointer.y) - i32::from(pointer.yhot) - i32::from(origin.1);
    let rows = pointer.cursor_image.chunks_exact(usize::from(pointer.width.max(1)));
    for (row, y) in rows.zip(top..) {
        for (argb, x) in row.iter().zip(left..) {
            let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else { continue };
            if (x + 1) * 4 > stride {
                continue;
            }
            let at = y * stride + x * 4;
            let Some(under) = pixels.get_mut(at..at + 3) else { continue };
            let [alpha, red, green, blue] = argb.to_be_bytes();
            for (under, over) in under.iter_mut().zip([blue, green, red]) {
                let through = u16::from(*under) * u16::from(255 - alpha) / 255;
                *under = (through + u16::from(over)).min(255) as u8;
            }
        }
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn failed(device: &str, reason: String) -> DeviceError {
    let hint = "use --video test or --video FILE".to_owned();
    DeviceError { device: device.to_owned(), reason, hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_screens_are_made_smaller_and_keep_their_aspect() {
        for ((width, height), (w, h)) in [
            ((1280, 800), (1280, 800)),
            ((3840, 2160), (1920, 1080)),
            ((2560, 1600), (1728, 1080)),
            ((1366, 769), (1366, 768)),
        ] {
            let found = within(Size { width, height }, LARGEST);
            assert_eq!(found, Size { width: w, height: h });
        }
    }

    #[test]
    fn the_pointer_is_laid_over_and_cut_off_at_the_edges() {
        let pointer = GetCursorImageReply {
            x: 0,
            y: 0,
            width: 2,
            height: 2,
            xhot: 1,
            yhot: 1,
            cursor_image: vec![0xff12_3456, 0xff12_3456, 0xff12_3456, 0x8040_0000],
            ..GetCursorImageReply::default()
        };
        let mut pixels = vec![100; 4 * 4 * 4];
        draw_pointer(&pointer, (0, 0), (&mut pixels, 16));
        // Only its lower right is within, half over the grey.
        assert_eq!(pixels[..3], [49, 49, 113]);
        assert!(pixels[4..].iter().all(|byte| *byte == 100));
    }
}
