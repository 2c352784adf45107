//! The screen as a source: what one monitor shows, pointer and all.
//!
//! Owns the pace. A display that goes away is looked for again while a card is
//! sent. How pixels are had from it is `screen/`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
mod cast;
#[cfg(not(unix))]
#[path = "screen/elsewhere.rs"]
mod display;
#[cfg(unix)]
#[path = "screen/x11.rs"]
mod display;
#[cfg(not(target_os = "linux"))]
#[path = "screen/no_portal.rs"]
mod portal;
#[cfg(target_os = "linux")]
mod portal;

pub use portal::ScreenShare;

use super::{SourceError, VideoFormat, VideoSource, card};
use crate::clock;
use crate::media::device::{DeviceError, DeviceNews, DeviceNotice};
use crate::media::frame::{FramePool, Size, VideoFrame};

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
/// When there is no X11 display, or it turns us away; in a Wayland session, which asks the person.
pub fn list() -> Result<Vec<Monitor>, DeviceError> {
    if is_wayland() {
        let reason = "this is a Wayland session, whose portal asks you which one to show";
        let hint = "use --video screen";
        return Err(DeviceError { hint: hint.to_owned(), ..failed("screen", reason.to_owned()) });
    }
    display::list()
}

/// Pictures of one monitor.
#[derive(Debug)]
pub struct ScreenSource {
    number: u32,
    share: ScreenShare,
    format: VideoFormat,
    grabber: Option<Grabber>,
    due: Instant,
    pool: FramePool,
    notices: VecDeque<DeviceNotice>,
}

impl ScreenSource {
    /// Opens monitor `number`, counted from 0. `size` is what is sent; without it the monitor's own,
    /// at most 1920x1080. In a Wayland session the person is asked instead, and `share` keeps the answer.
    ///
    /// # Errors
    /// When there is no display, no such monitor, or the person declines.
    pub fn open(
        number: u32,
        size: Option<Size>,
        fps: f64,
        share: ScreenShare,
    ) -> Result<Self, DeviceError> {
        let grabber = Grabber::open(number, fps, &share)?;
        let own = grabber.size();
        let size = size.unwrap_or_else(|| own.within(LARGEST));
        Ok(Self {
            number,
            share,
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
            self.grabber = Grabber::again(self.number, self.format.fps, &self.share);
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

/// Whether a Wayland compositor has the screen. Its X11 server, if it has one, shows the windows of X11
/// programs only, and all else black.
fn is_wayland() -> bool {
    std::env::var_os("WAYLAND_DISPLAY").is_some_and(|name| !name.is_empty())
}

/// What pictures come from.
#[derive(Debug)]
enum Grabber {
    Display(Box<display::Grabber>),
    #[cfg(target_os = "linux")]
    Cast(Box<cast::Cast>),
}

impl Grabber {
    #[cfg_attr(not(target_os = "linux"), allow(unused_variables))]
    fn open(number: u32, fps: f64, share: &ScreenShare) -> Result<Self, DeviceError> {
        #[cfg(target_os = "linux")]
        if is_wayland() {
            return cast::Cast::open(share, fps).map(Box::new).map(Self::Cast);
        }
        display::Grabber::open(number).map(Box::new).map(Self::Display)
    }

    /// The same, but nobody is asked again.
    #[cfg_attr(not(target_os = "linux"), allow(unused_variables))]
    fn again(number: u32, fps: f64, share: &ScreenShare) -> Option<Self> {
        #[cfg(target_os = "linux")]
        if is_wayland() {
            return cast::Cast::again(share, fps).map(Box::new).map(Self::Cast);
        }
        display::Grabber::open(number).map(Box::new).map(Self::Display).ok()
    }

    fn size(&self) -> Size {
        match self {
            Self::Display(display) => display.size(),
            #[cfg(target_os = "linux")]
            Self::Cast(cast) => cast.size(),
        }
    }

    fn draw(&mut self, frame: &mut VideoFrame) -> Result<(), String> {
        match self {
            Self::Display(display) => display.draw(frame),
            #[cfg(target_os = "linux")]
            Self::Cast(cast) => cast.draw(frame),
        }
    }
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
            let found = Size { width, height }.within(LARGEST);
            assert_eq!(found, Size { width: w, height: h });
        }
    }
}
