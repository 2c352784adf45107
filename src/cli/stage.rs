//! Where a command shows its calls, window or terminal, and what the keys there do.
//!
//! Owns no window system: that is the library's, on the main thread.

use tokio::sync::mpsc;

use super::format;
use super::marks::Marks;
use super::numbers::Numbers;
use super::output::Output;
use super::status::{Cadence, Status};
use super::{terminal, tty};
use crate::media::device::DeviceError;
use crate::media::sink::terminal::{Graphics, TerminalView};
use crate::media::sink::window::{WindowHandle, WindowKey, WindowLoop, Words, connect};
use crate::media::sink::{Sinks, ViewSpec};
use crate::phone::command::Command;
use crate::phone::event::{Event, EventKind};

/// Where calls are shown; nowhere, without a window or a terminal.
pub struct Stage {
    window: Option<(WindowHandle, mpsc::Receiver<WindowKey>)>,
    terminal: Option<(Output, Option<Graphics>)>,
    /// Single keys typed at a terminal, and where it says what they ask for.
    typed: Option<(mpsc::Receiver<WindowKey>, Output)>,
    numbers: Numbers,
    status: Status,
    words: Words,
    /// To compare with the other side.
    safety: Option<String>,
    marks: Marks,
    /// The call that the window shows; an older one may end after it was answered.
    shown: Option<u64>,
}

impl Stage {
    /// No window.
    #[must_use]
    pub fn none() -> Self {
        Self {
            window: None,
            terminal: None,
            typed: None,
            numbers: Numbers::default(),
            status: Status::new(Cadence::Live),
            words: Words::default(),
            safety: None,
            marks: Marks::default(),
            shown: None,
        }
    }

    /// A window, and the loop that must run on the main thread while it is used; `None` where there
    /// is to be none. What kept it from being there is told along with a stage that has none. Where nobody
    /// said what to use, and there is no display or a dead one, the terminal takes its place, if it is
    /// large enough.
    #[must_use]
    pub fn set(view: ViewSpec, output: &Output) -> (Self, Option<WindowLoop>, Option<DeviceError>) {
        let instead = |why: &str| {
            let (stage, missing) = match without_display(why, output) {
                ViewSpec::Terminal(graphics) => Self::on_terminal(graphics, output),
                _ => (Self::none(), None),
            };
            (stage, None, missing)
        };
        match view {
            ViewSpec::Terminal(graphics) => {
                let (stage, missing) = Self::on_terminal(graphics, output);
                return (stage, None, missing);
            }
            ViewSpec::None => return (Self::none(), None, None),
            ViewSpec::Auto if !has_display() => return instead("no display"),
            ViewSpec::Auto | ViewSpec::Window => {}
        }
        match connect() {
            Ok((events, handle, keys)) => {
                (Self { window: Some((handle, keys)), ..Self::none() }, Some(events), None)
            }
            // It was set, but nobody is there: an ssh without its other end, a display that died.
            Err(error) if view == ViewSpec::Auto => instead(&error.reason),
            Err(error) => (Self::none(), None, Some(error)),
        }
    }

    fn on_terminal(graphics: Option<Graphics>, output: &Output) -> (Self, Option<DeviceError>) {
        let missing = (!output.is_live()).then(|| DeviceError {
            device: "terminal".to_owned(),
            reason: "stderr is not a terminal that can be drawn on".to_owned(),
            hint: "use --view window or --view none".to_owned(),
        });
        let terminal = missing.is_none().then(|| (output.clone(), graphics));
        (Self { terminal, ..Self::none() }, missing)
    }

    /// Takes single keys from the terminal, where somebody types them; says whether it does.
    pub fn take_keys(&mut self, output: &Output) -> bool {
        self.typed = terminal::keys().map(|keys| (keys, output.clone()));
        self.typed.is_some()
    }

    /// Puts the window's panes, or the terminal, among the sinks of a call; `mirrored` says how our own
    /// picture is shown. The terminal is asked what it can draw, for half a second at most: only where
    /// Ctrl-C is listened for already.
    pub fn panes(&self, mirrored: bool) -> impl Fn(&mut Sinks) + Send + Sync + 'static {
        let window = self.window.as_ref().map(|(handle, _)| handle.clone());
        let terminal = self.terminal.clone();
        let terminal = terminal.map(|(output, said)| (terminal::ability(said, &output), output));
        move |sinks| {
            if let Some((ability, output)) = &terminal {
                match TerminalView::new(terminal::canvas(output, *ability)) {
                    Ok(view) => sinks.video = Some(Box::new(view)),
                    Err(error) => tracing::error!(%error, "the terminal is not drawn on"),
                }
            }
            if let Some(window) = &window {
                (sinks.video, sinks.preview) = (Some(window.remote()), Some(window.own(mirrored)));
            }
        }
    }

    /// Ends the window's loop when the command has ended.
    pub fn curtain(&self) -> impl FnOnce() + Send + 'static {
        let window = self.window.as_ref().map(|(handle, _)| handle.clone());
        move || window.iter().for_each(WindowHandle::close)
    }

    /// Follows what happens: opens with a call, closes with it, says how it goes.
    pub fn follow(&mut self, event: &Event) {
        self.marks.handle(event);
        self.numbers.handle(event);
        let Some((window, _)) = &self.window else { return };
        let line = self.status.handle(event);
        match &event.kind {
            EventKind::Accepted => {
                self.words.title = format!("{} - peer", peer(event));
                self.shown = event.call;
                window.show();
            }
            EventKind::Connected { safety_words, .. } => {
                self.safety = safety_words.as_ref().map(ToString::to_string);
                self.words.line = format!("connected to '{}'", peer(event));
            }
            EventKind::SafetyWords { safety_words } => {
                self.safety = Some(safety_words.to_string());
            }
            EventKind::Stats(_) => {
                let safety = self.safety.clone();
                let safety = safety.map(|words| ["Safety words".to_owned(), words, String::new()]);
                let numbers = self.numbers.rows().iter().cloned();
                self.words.numbers = safety.into_iter().chain(numbers).collect();
                self.words.line = line.unwrap_or_else(|| self.words.line.clone());
            }
            EventKind::RecordingStarted { path } => {
                self.words.line = format!("recording to {path}")
            }
            EventKind::RecordingStopped { path, empty: false, reason: None } => {
                self.words.line = format!("recorded {path}");
            }
            EventKind::RecordingStopped { .. } => {
                self.words.line = "nothing was recorded: no sound or picture came".to_owned();
            }
            EventKind::VideoPaused { .. } | EventKind::VideoResumed { .. } => {
                self.words.line = format::event(event, false).unwrap_or_default();
            }
            EventKind::Error { message, .. } => self.words.line.clone_from(message),
            EventKind::Ended { .. } if self.shown == event.call => {
                (self.words, self.safety) = (Words::default(), None);
                return window.hide();
            }
            _ => return,
        }
        self.say();
    }

    /// What the next key asks for; never, where there are no keys.
    pub async fn next_command(&mut self) -> Command {
        loop {
            let window = self.window.as_mut().map(|(_, keys)| keys);
            let typed = self.typed.as_mut().map(|(keys, _)| keys);
            let key = tokio::select! {
                key = next(window) => key,
                key = next(typed) => key,
            };
            match (key, &self.typed) {
                (WindowKey::Keys, Some((_, output))) => output.say(terminal::KEYS),
                (WindowKey::Numbers, Some((_, output))) => self.say_numbers(output),
                (WindowKey::Keys | WindowKey::Numbers, None) => {}
                _ => {
                    let command = self.marks.other(key);
                    self.told(&command);
                    return command;
                }
            }
        }
    }

    fn say_numbers(&self, output: &Output) {
        // Beside pictures a few lines are all that is seen.
        let lines = match self.terminal {
            Some(_) => self.numbers.short_lines(),
            None => self.numbers.lines(),
        };
        match lines {
            lines if lines.is_empty() => output.say("no numbers yet"),
            lines => output.say(&lines.join("\n")),
        }
    }

    /// The phone is told this, by a key or otherwise.
    pub fn told(&mut self, command: &Command) {
        self.marks.told(command);
        self.say();
    }

    fn say(&self) {
        let Some((window, _)) = &self.window else { return };
        let mut words = self.words.clone();
        words.line.insert_str(0, &self.marks.words());
        words.recording = self.marks.is_recording();
        window.say(words);
    }
}

fn has_display() -> bool {
    let named = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    named("WAYLAND_DISPLAY") || named("DISPLAY")
}

/// Columns and rows in which a picture can be made out.
const LARGE_ENOUGH: (u16, u16) = (60, 20);

/// What is done where nothing was said of where to show pictures, and there is no display that
/// answers; says so, and `why`.
fn without_display(why: &str, output: &Output) -> ViewSpec {
    let grid = tty::size().filter(|_| output.is_live());
    let large =
        grid.is_some_and(|grid| grid.columns >= LARGE_ENOUGH.0 && grid.rows >= LARGE_ENOUGH.1);
    if large {
        output.say(&format!(
            "{why}: pictures are drawn in this terminal; --view none leaves them out"
        ));
        return ViewSpec::Terminal(None);
    }
    output.say(&format!("{why}: no pictures are shown; --view terminal draws them in a terminal"));
    ViewSpec::None
}

async fn next(keys: Option<&mut mpsc::Receiver<WindowKey>>) -> WindowKey {
    match keys {
        Some(keys) => match keys.recv().await {
            Some(key) => key,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

fn peer(event: &Event) -> &str {
    event.peer.as_deref().unwrap_or("the other side")
}
