//! What a monitor shows, through X11.
//!
//! Owns the connection to the display. When a picture is taken is not its business.

use x11rb::connection::Connection;
use x11rb::errors::{ConnectError, ConnectionError, ReplyError};
use x11rb::protocol::randr::ConnectionExt as _;
use x11rb::protocol::xfixes::{ConnectionExt as _, GetCursorImageReply};
use x11rb::protocol::xproto::{ConnectionExt as _, ImageFormat, ImageOrder, Window};
use x11rb::rust_connection::RustConnection;

use super::{Monitor, failed};
use crate::media::colour;
use crate::media::device::DeviceError;
use crate::media::frame::{Size, VideoFrame};
use crate::media::scale::{Planes, Scaler};

/// The monitors of the display.
pub(super) fn list() -> Result<Vec<Monitor>, DeviceError> {
    let display = Display::connect("screen")?;
    display.monitors().map_err(|reason| failed("screen", reason))
}

/// A connection to the display.
#[derive(Debug)]
struct Display {
    connection: RustConnection,
    root: Window,
}

impl Display {
    fn connect(device: &str) -> Result<Self, DeviceError> {
        let (connection, number) = x11rb::connect(None).map_err(|error| {
            let name = std::env::var("DISPLAY").ok().filter(|name| !name.is_empty());
            unreachable(device, &error, name.as_deref())
        })?;
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
        let reply = self.connection.randr_get_monitors(self.root, true).map_err(in_words)?;
        let monitors = reply.reply().map_err(in_words)?.monitors;
        let named = monitors.into_iter().map(|monitor| {
            let name = self.connection.get_atom_name(monitor.name).map_err(in_words)?;
            let name = name.reply().map_err(in_words)?.name;
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
pub(super) struct Grabber {
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
    pub(super) fn open(number: u32) -> Result<Self, DeviceError> {
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
        let asked = display.connection.xfixes_query_version(5, 0).map_err(in_words);
        let has_pointer = asked.is_ok_and(|asked| asked.reply().is_ok());
        Ok(Self { display, monitor, has_pointer, planar: Vec::new(), scaler: Scaler::default() })
    }

    /// The monitor's own.
    pub(super) fn size(&self) -> Size {
        self.monitor.size
    }

    /// What it shows now, made as large as `frame`.
    pub(super) fn draw(&mut self, frame: &mut VideoFrame) -> Result<(), String> {
        let (connection, size) = (&self.display.connection, self.monitor.size);
        let (width, height) = (size.width as u16, size.height as u16);
        let (left, top) = (self.monitor.left, self.monitor.top);
        let (form, root) = (ImageFormat::Z_PIXMAP, self.display.root);
        let asked = connection.get_image(form, root, left, top, width, height, u32::MAX);
        // Both questions are under way before the first answer is awaited.
        let pointer = match self.has_pointer {
            true => Some(connection.xfixes_get_cursor_image().map_err(in_words)?),
            false => None,
        };
        let mut pixels = asked.map_err(in_words)?.reply().map_err(in_words)?.data;
        let stride = size.width as usize * 4;
        if pixels.len() < stride * size.height as usize {
            return Err("a picture is cut off".to_owned());
        }
        if let Some(pointer) = pointer {
            let pointer = pointer.reply().map_err(in_words)?;
            draw_pointer(&pointer, (left, top), (&mut pixels, stride));
        }
        if size == frame.size() {
            return colour::from_bgra(&pixels, size, frame.i420_mut());
        }
        self.planar.resize(size.i420_len(), 0);
        colour::from_bgra(&pixels, size, &mut self.planar)?;
        let planes = Planes::packed(size.width as usize, size.height as usize, &self.planar);
        self.scaler.draw(planes.ok_or("a picture of no size")?, frame);
        Ok(())
    }
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

/// Why there is no connection to the display that DISPLAY names. The library's words are for those who
/// work on it, and go to the log.
fn unreachable(device: &str, error: &ConnectError, name: Option<&str>) -> DeviceError {
    tracing::info!(%error, name, "no X11 display");
    let Some(name) = name else {
        return failed(device, "there is no display (DISPLAY is not set)".to_owned());
    };
    let (reason, hint) = match error {
        ConnectError::SetupAuthenticate(_) | ConnectError::SetupFailed(_) => (
            format!("the display '{name}' turns this user away"),
            Some("allow it with `xhost +si:localuser:$USER` in that session, or set XAUTHORITY"),
        ),
        ConnectError::InvalidScreen => (format!("the display '{name}' has no such screen"), None),
        ConnectError::DisplayParsingError(_) => (
            format!("there is no display: DISPLAY is '{name}', which names none"),
            Some("set DISPLAY to that of your session, such as :0"),
        ),
        _ => (format!("there is no display: nothing answers at '{name}'"), None),
    };
    let error = failed(device, reason);
    DeviceError { hint: hint.map_or(error.hint, str::to_owned), ..error }
}

/// What became of a question to the display.
fn in_words(error: impl Into<ReplyError>) -> String {
    let error = error.into();
    tracing::info!(?error, "the X11 display");
    let reason = match error {
        ReplyError::ConnectionError(ConnectionError::UnsupportedExtension) => {
            "the display does not say what monitors it has (it lacks RandR 1.5)"
        }
        ReplyError::ConnectionError(ConnectionError::InsufficientMemory) => {
            "there is no memory left for its pictures"
        }
        ReplyError::ConnectionError(_) => "the display does not answer any more",
        // The monitor is another now, or its picture is nobody's to see.
        ReplyError::X11Error(_) => "the display gives no picture of it",
    };
    reason.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_display_says_is_told_in_words() {
        let said = |error, name| unreachable("screen", &error, name).to_string();
        let turned_away = x11rb::protocol::xproto::SetupFailed {
            status: 0,
            protocol_major_version: 11,
            protocol_minor_version: 0,
            length: 0,
            reason: b"Authorization required, but no authorization protocol specified\n".to_vec(),
        };
        let turned_away = said(ConnectError::SetupFailed(turned_away), Some(":0"));
        assert!(turned_away.contains("the display ':0' turns this user away"), "{turned_away}");
        assert!(turned_away.contains("xhost +si:localuser:$USER"), "{turned_away}");
        assert!(!turned_away.contains("Authorization"), "{turned_away}");
        let refused = std::io::Error::from_raw_os_error(111);
        let nobody = said(ConnectError::IoError(refused), Some(":7"));
        assert!(nobody.contains("nothing answers at ':7'; "), "{nobody}");
        let screen = said(ConnectError::InvalidScreen, Some(":0.9"));
        assert!(screen.contains("':0.9' has no such screen"), "{screen}");
        let unset = said(ConnectError::UnknownError, None);
        assert!(unset.contains("DISPLAY is not set"), "{unset}");
        let gone = in_words(ConnectionError::IoError(std::io::Error::from_raw_os_error(32)));
        assert_eq!(gone, "the display does not answer any more");
        let old = in_words(ConnectionError::UnsupportedExtension);
        assert!(old.contains("RandR"), "{old}");
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
