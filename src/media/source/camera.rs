//! A camera as a source: its pictures as they come, a card that says so while it is gone.
//!
//! Owns the thread that the camera lives on and the place for its newest
//! picture. How a camera is opened is `camera/device.rs`.

mod choose;
mod convert;
mod device;

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use choose::{CameraFormat, PixelFormat};
pub use device::{CameraDevice, list};

use super::{SourceError, VideoFormat, VideoSource, card};
use crate::clock;
use crate::media::device::{DeviceError, DeviceNews, DeviceNotice};
use crate::media::frame::{FramePool, Size, VideoFrame};
use crate::media::upright::usual;
use crate::system;
use convert::Converter;
use device::OpenCamera;

/// A camera that gives no picture for so long is gone, whatever it says.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a camera may take for its first picture; some have to wake up.
const WAKING: Duration = Duration::from_secs(6);

/// While it is gone the card is sent so often.
const CARD_EVERY: Duration = Duration::from_millis(200);

/// Between two tries to open it again: at first, at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(4));

/// A camera goes away together with its call, but no call waits longer than this for it.
const GOODBYE: Duration = Duration::from_secs(1);

/// What a camera gives where nobody asks for a size and rate: the nearest that it has.
const DEFAULT_SIZE: Size = Size { width: 640, height: 360 };
const DEFAULT_FPS: f64 = 30.0;

/// Pictures of one camera.
#[derive(Debug)]
pub struct CameraSource {
    place: Arc<Place>,
    format: VideoFormat,
    away: bool,
    seen_at: Instant,
    notices: VecDeque<DeviceNotice>,
}

/// Where the camera's thread leaves its newest picture.
#[derive(Debug, Default)]
struct Place {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    name: String,
    picture: Option<Arc<VideoFrame>>,
    opened: Option<Result<VideoFormat, DeviceError>>,
    broken: Option<String>,
    stop: bool,
    ended: bool,
}

impl Place {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Waits until `done` finds something, at most until `until`.
    fn wait<T>(&self, until: Instant, mut done: impl FnMut(&mut State) -> Option<T>) -> Option<T> {
        let mut state = self.lock();
        loop {
            if let Some(found) = done(&mut state) {
                return Some(found);
            }
            let wait = until.saturating_duration_since(clock::now());
            if wait.is_zero() {
                return None;
            }
            let waited = self.changed.wait_timeout(state, wait);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl CameraSource {
    /// Opens the camera of that index, path or name, or the first there is, and waits for its first
    /// picture. `size` and `fps` are wishes; without a size the nearest to 640x360 is sent as it is.
    ///
    /// # Errors
    /// When there is none, it is busy or forbidden, or gives no picture.
    pub fn open(
        wanted: Option<String>,
        size: Option<Size>,
        fps: Option<f64>,
    ) -> Result<Self, DeviceError> {
        let place = Arc::new(Place::default());
        let wish = Wish { wanted, size, fps: fps.unwrap_or(DEFAULT_FPS) };
        let asked = wish.called();
        let shared = Arc::clone(&place);
        let thread = std::thread::Builder::new().name("peer-camera".into());
        let failed = |reason: String| DeviceError {
            device: asked.clone(),
            reason,
            hint: "use --video test, --video none or --video FILE".to_owned(),
        };
        thread
            .spawn(move || {
                run(&wish, &shared);
                shared.tell(|state| state.ended = true);
            })
            .map_err(|error| failed(format!("nobody can read it: {}", system::words(&error))))?;
        let opened = place.wait(clock::now() + WAKING, |state| match &state.opened {
            Some(Ok(format)) if state.picture.is_some() => Some(Ok(*format)),
            // A camera that somebody else films with opens, and then gives nothing.
            Some(Ok(_)) => state.broken.take().map(|reason| Err(device::failed(&asked, &reason))),
            Some(Err(error)) => Some(Err(error.clone())),
            None => None,
        });
        let silent =
            || Err(failed(format!("it delivered no picture within {} s", WAKING.as_secs())));
        let format = opened.unwrap_or_else(silent).inspect_err(|_| {
            place.tell(|state| state.stop = true);
        })?;
        Ok(Self { place, format, away: false, seen_at: clock::now(), notices: VecDeque::new() })
    }

    fn lose(&mut self, reason: &str) {
        let name = self.place.lock().name.clone();
        let message =
            format!("camera '{name}' is gone ({reason}); sending a card until it is back");
        self.notices.push_back(DeviceNotice { news: DeviceNews::Lost, message });
        self.away = true;
    }

    fn found(&mut self) {
        let name = self.place.lock().name.clone();
        let message = format!("camera '{name}' is back");
        self.notices.push_back(DeviceNotice { news: DeviceNews::Back, message });
        self.away = false;
    }
}

impl VideoSource for CameraSource {
    fn next_frame(&mut self) -> Result<Option<Arc<VideoFrame>>, SourceError> {
        let until = match self.away {
            true => clock::now() + CARD_EVERY,
            false => self.seen_at + PATIENCE,
        };
        let next = self.place.wait(until, |state| match state.picture.take() {
            Some(picture) => Some(Ok(picture)),
            None => state.broken.take().map(Err),
        });
        match next {
            Some(Ok(picture)) => {
                self.seen_at = clock::now();
                if self.away {
                    self.found();
                }
                return Ok(Some(picture));
            }
            Some(Err(reason)) if !self.away => self.lose(&reason),
            None if !self.away => self.lose("it stopped delivering pictures"),
            _ => {}
        }
        Ok(Some(Arc::new(card::draw("no camera", self.format.size, clock::now()))))
    }

    fn format(&self) -> VideoFormat {
        self.format
    }

    fn notice(&mut self) -> Option<DeviceNotice> {
        self.notices.pop_front()
    }
}

impl Drop for CameraSource {
    fn drop(&mut self) {
        self.place.tell(|state| state.stop = true);
        // The thread may be in the driver, which cannot be called off; it ends with its next picture.
        self.place.wait(clock::now() + GOODBYE, |state| state.ended.then_some(()));
    }
}

struct Wish {
    wanted: Option<String>,
    size: Option<Size>,
    fps: f64,
}

impl Wish {
    fn called(&self) -> String {
        self.wanted.as_ref().map_or("camera".to_owned(), |name| format!("camera '{name}'"))
    }
}

/// The camera's thread: opens it, takes its pictures, opens it again.
fn run(wish: &Wish, place: &Place) {
    let mut retry = RETRY.0;
    let mut size = wish.size;
    loop {
        let opened =
            OpenCamera::open(wish.wanted.as_deref(), size.unwrap_or(DEFAULT_SIZE), wish.fps);
        match opened {
            Ok(mut camera) => {
                // A camera that comes back keeps the size that it had.
                let size =
                    *size.get_or_insert(Size::even(camera.format.width, camera.format.height));
                let format = VideoFormat { size, fps: f64::from(camera.format.fps).min(wish.fps) };
                place.tell(|state| {
                    state.name.clone_from(&camera.name);
                    state.opened.get_or_insert(Ok(format));
                });
                let (reason, pictures) = film(&mut camera, size, wish.fps, place);
                if pictures > 0 {
                    retry = RETRY.0;
                }
                place.tell(|state| state.broken = Some(reason));
            }
            Err(error) => {
                let mut state = place.lock();
                if state.opened.is_none() {
                    state.opened = Some(Err(error));
                    state.stop = true;
                    place.changed.notify_all();
                }
            }
        }
        if place.wait(clock::now() + retry, |state| state.stop.then_some(())).is_some() {
            return;
        }
        retry = (retry * 2).min(RETRY.1);
    }
}

/// Takes pictures until the camera breaks or nobody wants more; says why, and how many there were.
fn film(camera: &mut OpenCamera, size: Size, fps: f64, place: &Place) -> (String, u64) {
    let (pool, mut converter) = (FramePool::default(), Converter::default());
    let format = camera.format;
    let (mut pictures, mut damaged) = (0, 0);
    // A camera that is faster than wished gives some pictures that nobody needs.
    let keep = (fps / f64::from(format.fps)).min(1.0);
    let mut share = 1.0;
    loop {
        let (buffer, age) = match camera.next() {
            Ok(next) => next,
            Err(reason) => return (reason, pictures),
        };
        if place.lock().stop {
            return (String::new(), pictures);
        }
        share += keep;
        if share < 1.0 {
            continue;
        }
        share -= 1.0;
        let now = clock::now();
        let mut frame = pool.take(size, now.checked_sub(age).unwrap_or(now));
        let data = buffer.buffer();
        match converter.draw(format.pixels, (format.width, format.height), data, &mut frame) {
            Ok(()) => {
                // A JPEG picture is what JFIF says, whatever the driver thinks of it.
                if matches!(format.pixels, PixelFormat::Nv12 | PixelFormat::Yuyv) {
                    frame.set_colour(camera.colour);
                    usual(&mut frame);
                }
                pictures += 1;
                place.tell(|state| state.picture = Some(Arc::new(frame)));
            }
            Err(reason) => {
                damaged += 1;
                tracing::debug!(reason, damaged, "a camera's picture is damaged");
            }
        }
    }
}
