//! What the window system tells, and what is done about it.
//!
//! Owns the window itself. Runs on the main thread.

use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use softbuffer::{Context, Surface};
use tokio::sync::mpsc;
use winit::application::ApplicationHandler;
use winit::dpi::{LogicalSize, PhysicalSize};
use winit::event::{ElementState, KeyEvent, WindowEvent};
use winit::event_loop::ActiveEventLoop;
use winit::keyboard::{Key, NamedKey};
use winit::window::{Fullscreen, Window, WindowId};

use super::canvas::{LINE, Painter, dot, fill, outline, write};
use super::layout::{Area, place};
use super::{KEYS, Row, Shown, WindowKey, Words, lock, panel, snapshot};
use crate::clock;
use crate::media::frame::VideoFrame;
use crate::system::without_number;

/// The window's state.
pub(super) struct App {
    shown: Arc<Mutex<Shown>>,
    keys: mpsc::Sender<WindowKey>,
    open: Option<Open>,
    painters: (Painter, Painter),
    panel: Panel,
    /// The window has grown for a large picture; from then on its size is the person's.
    grown: bool,
    /// What the last snapshot came to, and until when that is of interest.
    note: Option<(String, Instant)>,
    /// The title that the window has.
    title: String,
}

/// What stands over the pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Panel {
    None,
    Numbers,
    Keys,
}

impl Panel {
    /// The same key takes it away again.
    fn toggle(&mut self, other: Self) {
        *self = if *self == other { Self::None } else { other };
    }
}

/// How long a snapshot's words stand in the place of those of the call.
const NOTE: Duration = Duration::from_secs(3);

/// Of a new window; as high as 16:9 pictures and the line of words want it.
const WIDTH: u32 = 960;

/// What a window manager may put above it.
const TITLE: u32 = 40;

struct Open {
    window: Rc<Window>,
    surface: Surface<Rc<Window>, Rc<Window>>,
}

impl App {
    pub(super) fn new(shown: Arc<Mutex<Shown>>, keys: mpsc::Sender<WindowKey>) -> Self {
        let painters = (Painter::default(), Painter::default());
        let title = String::new();
        let panel = Panel::None;
        Self { shown, keys, open: None, painters, panel, grown: false, note: None, title }
    }

    /// Opens, closes or redraws, as it should be now.
    fn follow(&mut self, events: &ActiveEventLoop) {
        let (visible, closing) = {
            let shown = lock(&self.shown);
            (shown.visible, shown.closing)
        };
        if closing {
            self.open = None;
            return events.exit();
        }
        match (&self.open, visible) {
            (None, true) => match Open::new(events) {
                Ok(open) => {
                    open.window.request_redraw();
                    self.open = Some(open);
                }
                Err(error) => {
                    tracing::error!(error, "the window cannot be opened");
                    lock(&self.shown).visible = false;
                }
            },
            (Some(_), false) => {
                self.open = None;
                self.grown = false;
                self.note = None;
                self.title.clear();
            }
            (Some(open), true) => open.window.request_redraw(),
            (None, false) => {}
        }
    }

    /// Makes room for a large picture as it is: that is crisp, and scaling is most of what a window
    /// costs.
    fn grow(&mut self) {
        let Some(open) = &self.open else { return };
        let size = lock(&self.shown).remote.as_ref().map(|frame| frame.size());
        let Some(size) = size.filter(|size| size.width > WIDTH && !self.grown) else { return };
        self.grown = true;
        let room = open.window.current_monitor().map(|monitor| monitor.size());
        let wanted = PhysicalSize::new(size.width, size.height + LINE as u32);
        let fits = |room: PhysicalSize<u32>| {
            wanted.width <= room.width && wanted.height + TITLE <= room.height
        };
        if room.is_some_and(fits) {
            // Where it is done later, we are told then.
            let _ = open.window.request_inner_size(wanted);
        }
    }

    fn draw(&mut self) {
        self.grow();
        let Some(open) = &mut self.open else { return };
        let (remote, own, words) = {
            let shown = lock(&self.shown);
            (shown.remote.clone(), shown.own.clone(), shown.words.clone())
        };
        if self.title != words.title {
            open.window.set_title(&words.title);
            self.title.clone_from(&words.title);
        }
        self.note.take_if(|(_, until)| *until <= clock::now());
        let size = open.window.inner_size();
        let (Some(width), Some(height)) =
            (NonZeroU32::new(size.width), NonZeroU32::new(size.height))
        else {
            return;
        };
        let drawn = open.surface.resize(width, height).and_then(|()| {
            let mut buffer = open.surface.buffer_mut()?;
            let canvas = (&mut buffer[..], size.width as usize);
            let painting = Painting {
                remote: remote.as_deref(),
                own: own.as_ref().map(|(frame, mirrored)| (&**frame, *mirrored)),
                words: &words,
                panel: self.panel,
                note: self.note.as_ref().map(|(note, _)| note.as_str()),
            };
            painting.paint(&mut self.painters, canvas);
            open.window.pre_present_notify();
            buffer.present()
        });
        if let Err(error) = drawn {
            tracing::debug!(%error, "the window is not drawn");
        }
    }

    fn key(&mut self, key: &Key) {
        match key.as_ref() {
            Key::Character("m" | "M") => self.tell(WindowKey::Mute),
            Key::Character("v" | "V") => self.tell(WindowKey::Video),
            Key::Character("r" | "R") => self.tell(WindowKey::Record),
            Key::Character("h" | "H" | "q" | "Q") => self.tell(WindowKey::HangUp),
            Key::Character("d" | "D") => self.panel.toggle(Panel::Numbers),
            Key::Character("?") => self.panel.toggle(Panel::Keys),
            Key::Character("s" | "S") => self.snapshot(),
            Key::Character("f" | "F") => self.full_screen(None),
            Key::Named(NamedKey::Escape) => self.full_screen(Some(false)),
            _ => return,
        }
        if let Some(open) = &self.open {
            open.window.request_redraw();
        }
    }

    fn tell(&self, key: WindowKey) {
        // Full means that nobody listens any more.
        let _ = self.keys.try_send(key);
    }

    fn full_screen(&self, wanted: Option<bool>) {
        let Some(open) = &self.open else { return };
        let wanted = wanted.unwrap_or_else(|| open.window.fullscreen().is_none());
        open.window.set_fullscreen(wanted.then_some(Fullscreen::Borderless(None)));
    }

    fn snapshot(&mut self) {
        let remote = lock(&self.shown).remote.clone();
        let note = match remote {
            None => "no picture to save yet".to_owned(),
            Some(frame) => {
                let rgb = self.painters.0.rgb(&frame);
                match snapshot::save(&rgb, (frame.size().width, frame.size().height)) {
                    Ok(path) => format!("saved {}", path.display()),
                    Err(reason) => format!("cannot save the picture: {}", without_number(&reason)),
                }
            }
        };
        self.note = Some((note, clock::now() + NOTE));
    }
}

impl ApplicationHandler<()> for App {
    fn resumed(&mut self, events: &ActiveEventLoop) {
        self.follow(events);
    }

    fn user_event(&mut self, events: &ActiveEventLoop, (): ()) {
        self.follow(events);
    }

    fn window_event(&mut self, _: &ActiveEventLoop, _: WindowId, event: WindowEvent) {
        match event {
            WindowEvent::RedrawRequested => self.draw(),
            WindowEvent::CloseRequested => self.tell(WindowKey::HangUp),
            WindowEvent::KeyboardInput {
                event: KeyEvent { logical_key, state: ElementState::Pressed, repeat: false, .. },
                // The others are keys that were down already when the window got the focus.
                is_synthetic: false,
                ..
            } => self.key(&logical_key),
            WindowEvent::Resized(_) => {
                if let Some(open) = &self.open {
                    open.window.request_redraw();
                }
            }
            _ => {}
        }
    }
}

impl Open {
    fn new(events: &ActiveEventLoop) -> Result<Self, String> {
        let wanted = Window::default_attributes()
            .with_title("peer")
            .with_inner_size(LogicalSize::new(WIDTH, WIDTH * 9 / 16 + LINE as u32));
        let window = Rc::new(events.create_window(wanted).map_err(|error| refused(&error))?);
        let context = Context::new(Rc::clone(&window)).map_err(|error| refused(&error))?;
        let surface =
            Surface::new(&context, Rc::clone(&window)).map_err(|error| refused(&error))?;
        Ok(Self { window, surface })
    }
}

/// The libraries' words are for those who work on them, and go to the log.
fn refused(error: &dyn std::fmt::Display) -> String {
    tracing::info!(%error, "no window");
    "the display takes no window of ours".to_owned()
}

/// What one drawing shows.
struct Painting<'a> {
    remote: Option<&'a VideoFrame>,
    /// And whether it is shown as in a mirror.
    own: Option<(&'a VideoFrame, bool)>,
    words: &'a Words,
    panel: Panel,
    note: Option<&'a str>,
}

const BLACK: u32 = 0;
const BAR: u32 = 0x20_2020;
const FRAME: u32 = 0xc0_c0c0;
const RED: u32 = 0xe0_2020;

impl Painting<'_> {
    fn paint(&self, painters: &mut (Painter, Painter), (pixels, stride): (&mut [u32], usize)) {
        let size = (stride, pixels.len() / stride.max(1));
        let sides =
            |frame: &VideoFrame| (frame.size().width as usize, frame.size().height as usize);
        let layout = place(size, LINE, self.remote.map(sides), self.own.map(|(own, _)| sides(own)));
        let whole = Area { left: 0, top: 0, width: size.0, height: size.1 };
        let covered =
            layout.remote.is_some_and(|area| area.width == size.0 && area.height == layout.bar.top);
        if !covered {
            fill(whole, BLACK, (pixels, stride));
        }
        if let (Some(frame), Some(area)) = (self.remote, layout.remote) {
            painters.0.paint(frame, area, false, (pixels, stride));
        }
        if let (Some((frame, mirrored)), Some(area)) = (self.own, layout.own) {
            outline(area, FRAME, (pixels, stride));
            painters.1.paint(frame, area, mirrored, (pixels, stride));
        }
        if self.words.recording {
            // A dark edge sets it off from a red picture.
            let middle = (size.0.saturating_sub(20), 20);
            dot(middle, 10, BAR, (pixels, stride));
            dot(middle, 8, RED, (pixels, stride));
        }
        fill(layout.bar, BAR, (pixels, stride));
        write(self.note.unwrap_or(&self.words.line), layout.bar, (pixels, stride));
        let rows: Vec<Row> = match self.panel {
            Panel::None => Vec::new(),
            Panel::Numbers => self.words.numbers.clone(),
            Panel::Keys => {
                KEYS.iter().map(|(key, does)| [(*key).into(), (*does).into(), "".into()]).collect()
            }
        };
        let room = Area { height: layout.bar.top, ..whole };
        panel::draw(&rows, room, (pixels, stride));
    }
}
