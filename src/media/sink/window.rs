//! A window that shows a call: their picture large, ours small, a line of words, keys.
//!
//! Owns what is shown and the loop that shows it, which window systems want on
//! the main thread. What a key does is for others to decide.

mod canvas;
mod events;
mod layout;
mod panel;
mod snapshot;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use winit::event_loop::{EventLoop, EventLoopProxy};

use super::{SinkError, VideoSink};
use crate::clock;
use crate::media::device::DeviceError;
use crate::media::frame::VideoFrame;
use events::App;

/// A key that means something outside of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowKey {
    /// `m`: send silence, or sound again.
    Mute,
    /// `v`: send a dark picture, or ours again.
    Video,
    /// `r`: record what the other side sends, or no longer.
    Record,
    /// `t`, typed at a terminal: go on with whom a warning about a key was about.
    Trust,
    /// `d`: how the call goes, in numbers. The window shows them itself.
    Numbers,
    /// `?`: what the keys are. The window shows them itself.
    Keys,
    /// `h` or `q`, or the window was closed: hang up.
    HangUp,
}

/// The keys and what they do, the same in window, terminal and page as far as each has it.
pub const KEYS: [(&str, &str); 8] = [
    ("m", "mute, or send sound again"),
    ("v", "video off, or on again"),
    ("r", "record what they send, or stop"),
    ("f", "full screen; Escape leaves it"),
    ("s", "save their picture as PNG"),
    ("d", "numbers"),
    ("h, q", "hang up"),
    ("?", "these keys"),
];

/// A row of a table: what it is about, what is received, what is sent.
pub type Row = [String; 3];

/// Theirs stands still when none came for so long.
const STILL: Duration = Duration::from_millis(200);

/// Keys that wait to be acted on.
const WAITING: usize = 16;

/// What a window says under the pictures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    /// The window's title; empty: only the program's name.
    pub title: String,
    /// Who, how long, how well.
    pub line: String,
    /// A red dot says that the other side is recorded.
    pub recording: bool,
    /// Numbers that `d` shows and hides.
    pub numbers: Vec<Row>,
}

/// The hand of everybody else on the window. Clones are the same; when the last is gone it closes.
#[derive(Debug, Clone)]
pub struct WindowHandle(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    shown: Arc<Mutex<Shown>>,
    proxy: Mutex<EventLoopProxy<()>>,
}

/// What is to be seen.
#[derive(Debug, Default)]
struct Shown {
    visible: bool,
    closing: bool,
    remote: Option<Arc<VideoFrame>>,
    /// When it came.
    remote_at: Option<Instant>,
    /// And whether it is shown as in a mirror.
    own: Option<(Arc<VideoFrame>, bool)>,
    words: Words,
}

/// The window's loop, for the main thread.
pub struct WindowLoop {
    events: EventLoop<()>,
    app: App,
}

impl std::fmt::Debug for WindowLoop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WindowLoop").finish_non_exhaustive()
    }
}

/// Connects to the display. Nothing is to be seen before [`WindowHandle::show`].
///
/// # Errors
/// When there is no display, or it turns us away.
pub fn connect() -> Result<(WindowLoop, WindowHandle, mpsc::Receiver<WindowKey>), DeviceError> {
    let events = EventLoop::builder().build().map_err(|error| DeviceError {
        device: "window".to_owned(),
        reason: no_display(&error),
        hint: "use --view terminal or --view none".to_owned(),
    })?;
    let shown = Arc::new(Mutex::new(Shown::default()));
    let (to, keys) = mpsc::channel(WAITING);
    let proxy = Mutex::new(events.create_proxy());
    let handle = WindowHandle(Arc::new(Handle { shown: Arc::clone(&shown), proxy }));
    Ok((WindowLoop { events, app: App::new(shown, to) }, handle, keys))
}

/// The library's words are for those who work on it, and go to the log.
fn no_display(error: &winit::error::EventLoopError) -> String {
    tracing::info!(%error, "no display");
    let named = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    match named("WAYLAND_DISPLAY").or_else(|| named("DISPLAY")) {
        Some(display) => format!("the display '{display}' does not answer"),
        None => "there is no display".to_owned(),
    }
}

fn lost(error: &winit::error::EventLoopError) -> String {
    tracing::info!(%error, "the window's loop has ended");
    "the display is gone".to_owned()
}

impl WindowLoop {
    /// Shows what there is to show until the last handle is gone. Blocks.
    ///
    /// # Errors
    /// When the display goes away.
    pub fn run(mut self) -> Result<(), DeviceError> {
        self.events.run_app(&mut self.app).map_err(|error| DeviceError {
            device: "window".to_owned(),
            reason: lost(&error),
            hint: "use --view none".to_owned(),
        })
    }
}

impl WindowHandle {
    /// Opens the window.
    pub fn show(&self) {
        self.change(|shown| shown.visible = true);
    }

    /// Closes the window, until it is shown again.
    pub fn hide(&self) {
        self.change(|shown| *shown = Shown { closing: shown.closing, ..Shown::default() });
    }

    /// Ends the loop, whoever else holds a handle.
    pub fn close(&self) {
        self.change(|shown| shown.closing = true);
    }

    /// Changes the words.
    pub fn say(&self, words: Words) {
        self.change(|shown| shown.words = words);
    }

    /// Where their pictures go.
    #[must_use]
    pub fn remote(&self) -> Box<dyn VideoSink> {
        Box::new(Pane { window: self.clone(), place: Place::Theirs })
    }

    /// Where our pictures go. As in a mirror, if so wished: that is how people know themselves.
    #[must_use]
    pub fn own(&self, mirrored: bool) -> Box<dyn VideoSink> {
        Box::new(Pane { window: self.clone(), place: Place::Ours { mirrored } })
    }

    fn change(&self, change: impl FnOnce(&mut Shown)) {
        change(&mut lock(&self.0.shown));
        self.0.wake();
    }
}

impl Handle {
    fn wake(&self) {
        // Fails when the loop has ended, and then there is nobody to wake.
        let _ = self.proxy.lock().unwrap_or_else(PoisonError::into_inner).send_event(());
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        lock(&self.shown).closing = true;
        self.wake();
    }
}

fn lock(shown: &Mutex<Shown>) -> std::sync::MutexGuard<'_, Shown> {
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One of the two places for pictures. Never blocks: the newest wins.
struct Pane {
    window: WindowHandle,
    place: Place,
}

#[derive(Clone, Copy)]
enum Place {
    Theirs,
    Ours { mirrored: bool },
}

impl VideoSink for Pane {
    fn show(&mut self, frame: &Arc<VideoFrame>) -> Result<(), SinkError> {
        let mut shown = lock(&self.window.0.shown);
        let now = clock::now();
        let wakes = match self.place {
            Place::Theirs => {
                (shown.remote, shown.remote_at) = (Some(Arc::clone(frame)), Some(now));
                true
            }
            // Ours is drawn along with theirs, as long as they come: drawing is what a window costs.
            Place::Ours { mirrored } => {
                shown.own = Some((Arc::clone(frame), mirrored));
                shown.remote_at.is_none_or(|at| now.saturating_duration_since(at) > STILL)
            }
        };
        drop(shown);
        if wakes {
            self.window.0.wake();
        }
        Ok(())
    }
}
