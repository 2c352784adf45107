//! The only printer: prose to stderr, answers and JSON events to stdout.
//!
//! Owns both streams, the status line and the prompt, and lets nothing tear
//! them. It is told what to print and knows no events.

use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use serde::Serialize;
use unicode_width::UnicodeWidthChar;

use super::above::Above;
use super::output_args::{OutputArgs, Volume};
use super::values::unprintable;

/// A handle to the one printer; cheap to clone.
#[derive(Clone)]
pub struct Output {
    screen: Arc<Mutex<Screen>>,
    volume: Volume,
    json: bool,
    live: bool,
    /// Events go to the terminal that people read.
    mixed: bool,
}

struct Screen {
    stderr: Box<dyn Write + Send>,
    /// `None` once nobody reads it any more.
    stdout: Option<Box<dyn Write + Send>>,
    bottom: Bottom,
    /// Somebody edits a line, and whatever is printed goes above it.
    above: Option<Above>,
    /// The terminal is somebody else's: only whole lines go there.
    away: bool,
    /// How often it was.
    lent: u32,
    /// The last lines that were printed.
    recent: VecDeque<String>,
}

/// What stands in the line where the cursor is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Bottom {
    Nothing,
    Status(String),
    Prompt,
}

/// Back to the first column, and the rest of the line cleared (ECMA-48 EL).
const CLEAR_LINE: &str = "\r\x1b[K";

/// What waits for a command.
const PROMPT: &str = "> ";

/// Bracketed paste, which a line editor switches on (xterm).
const PASTE_ON: &str = "\x1b[?2004h";
const PASTE_OFF: &str = "\x1b[?2004l";

/// The cursor, hidden and shown (xterm, DECTCEM).
const CURSOR_OFF: &[u8] = b"\x1b[?25l";
const CURSOR_ON: &[u8] = b"\x1b[?25h";

/// Lines that are remembered.
const RECENT: usize = 4;

impl Output {
    /// The printer of this process.
    #[must_use]
    pub fn new(args: &OutputArgs) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let live = std::io::stderr().is_terminal() && !dumb;
        let mixed = live && std::io::stdout().is_terminal();
        let (stderr, stdout) = (Box::new(std::io::stderr()), Box::new(std::io::stdout()));
        Self { mixed, ..Self::with_streams(args.volume(), args.json, live, stderr, stdout) }
    }

    fn with_streams(
        volume: Volume,
        json: bool,
        live: bool,
        stderr: Box<dyn Write + Send>,
        stdout: Box<dyn Write + Send>,
    ) -> Self {
        let screen = Screen {
            stderr,
            stdout: Some(stdout),
            bottom: Bottom::Nothing,
            above: None,
            away: false,
            lent: 0,
            recent: VecDeque::new(),
        };
        Self { screen: Arc::new(Mutex::new(screen)), volume, json, live, mixed: false }
    }

    /// How much is said.
    #[must_use]
    pub fn volume(&self) -> Volume {
        self.volume
    }

    /// Whether stderr is a terminal, where a line can be overwritten.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// Says a line, or several, unless quiet.
    pub fn say(&self, text: &str) {
        if self.volume > Volume::Quiet {
            self.screen().lines(text);
        }
    }

    /// Says what is odd, but no reason to stop, unless quiet.
    pub fn warn(&self, text: &str) {
        self.say(&format!("peer: warning: {text}"));
    }

    /// Says an error and, where there is one, what to do about it.
    pub fn error(&self, message: &str, hint: Option<&str>) {
        let text = match hint {
            Some(hint) => format!("peer: {message}\nhint: {hint}"),
            None => format!("peer: {message}"),
        };
        self.screen().lines(&text);
    }

    /// Writes a line of the log, which has its own filter.
    pub fn log(&self, line: &str) {
        self.screen().lines(line);
    }

    /// Writes bytes that steer the terminal, between two lines; says whether it took them.
    pub fn raw(&self, bytes: &[u8]) -> bool {
        let mut screen = self.screen();
        screen.stderr.write_all(bytes).and_then(|()| screen.stderr.flush()).is_ok()
    }

    /// Which of the times this is that the terminal is ours; `None` while it is somebody else's.
    #[must_use]
    pub fn turn(&self) -> Option<u32> {
        let screen = self.screen();
        (!screen.away).then_some(screen.lent)
    }

    /// Writes bytes that were made for one [`Output::turn`], if it is still that one, and after them the
    /// last `words` lines again and what stands below them; says whether the terminal takes any more.
    pub fn draw(&self, bytes: &[u8], words: usize, turn: u32) -> bool {
        let mut screen = self.screen();
        if screen.away || screen.lent != turn {
            return true;
        }
        let edited = screen.above.clone().filter(Above::is_editing);
        let mut whole = Vec::with_capacity(bytes.len() + CURSOR_OFF.len() + CURSOR_ON.len());
        if edited.is_some() {
            // The cursor stands in the line, and is not to be seen on its way over the picture.
            whole.extend_from_slice(CURSOR_OFF);
        }
        whole.extend_from_slice(bytes);
        if words > 0 {
            // Here, where no line can come in between.
            let again = screen.words_again(words, edited.is_some());
            whole.extend_from_slice(again.as_bytes());
        }
        if edited.is_some() {
            whole.extend_from_slice(CURSOR_ON);
        }
        // In one piece: the editor of a line writes by itself, and must not come in between.
        let written = screen.stderr.write_all(&whole).and_then(|()| screen.stderr.flush());
        edited.iter().filter(|_| words > 0).for_each(Above::redraw);
        written.is_ok()
    }

    /// Draws a line that somebody edits anew, after the screen was changed under it.
    pub fn redraw_line(&self) {
        let above = self.screen().above.clone();
        above.iter().filter(|above| above.is_editing()).for_each(Above::redraw);
    }

    /// The terminal is somebody else's from now on: whole lines may go there, and nothing that is
    /// written over.
    pub fn step_back(&self) {
        let mut screen = self.screen();
        screen.away = true;
        screen.lent = screen.lent.wrapping_add(1);
        if screen.above.as_ref().is_some_and(Above::step_back) {
            return screen.write(&format!("{PASTE_OFF}\n"));
        }
        match screen.bottom {
            Bottom::Status(_) => screen.write(CLEAR_LINE),
            Bottom::Prompt => screen.write("\n"),
            Bottom::Nothing => {}
        }
    }

    /// The terminal is ours again: what stood in the last line is drawn anew.
    pub fn step_forward(&self) {
        let mut screen = self.screen();
        screen.away = false;
        if let Some(above) = screen.above.clone() {
            let editing = above.is_editing();
            if editing {
                // Before the editor draws the line, which it does on a thread of its own.
                screen.write(&format!("{PASTE_ON}\n"));
            }
            above.step_forward();
            if editing {
                return;
            }
        }
        let mut bottom = String::new();
        screen.bottom.draw(&mut bottom);
        screen.write(&bottom);
    }

    /// Overwrites the status line. Only for a live terminal; the caller says it otherwise.
    pub fn status(&self, line: &str) {
        if self.volume > Volume::Quiet && self.live {
            self.screen().set_bottom(Bottom::Status(printable(line)));
        }
    }

    /// Changes the status over the line that somebody edits, while somebody does.
    pub fn status_above(&self, line: &str) {
        if let Some(above) = &self.screen().above {
            above.set_status(&printable(line));
        }
    }

    /// Lets whatever is printed from now on go above a line that somebody edits.
    pub fn put_above(&self, above: Above) {
        self.screen().above = Some(above);
    }

    /// Rings, where somebody hears it.
    pub fn bell(&self) {
        if self.live && self.volume > Volume::Quiet {
            self.screen().write("\x07");
        }
    }

    /// Takes the status line away.
    pub fn clear_status(&self) {
        let mut screen = self.screen();
        if matches!(screen.bottom, Bottom::Status(_)) {
            screen.set_bottom(Bottom::Nothing);
        }
    }

    /// Shows the prompt (again); only for a live terminal.
    pub fn prompt(&self) {
        let mut screen = self.screen();
        if self.live && screen.above.is_none() {
            screen.set_bottom(Bottom::Prompt);
        }
    }

    /// Takes the prompt away, for good or until it is shown again.
    pub fn end_prompt(&self) {
        let mut screen = self.screen();
        if let Some(above) = screen.above.take() {
            let rest = above.finish();
            if rest.in_line {
                screen.write("\n");
            }
            rest.texts.iter().for_each(|text| screen.write(text));
        }
        if screen.bottom == Bottom::Prompt {
            screen.set_bottom(Bottom::Nothing);
        }
    }

    /// The person has pressed Enter: the cursor stands in a fresh line.
    pub fn entered(&self) {
        self.screen().bottom = Bottom::Nothing;
    }

    /// Writes one JSON line to stdout, where `--json` asks for it.
    pub fn json(&self, event: &impl Serialize) {
        if !self.json {
            return;
        }
        match serde_json::to_vec(event) {
            Ok(mut line) => {
                line.push(b'\n');
                self.screen().json(line, self.mixed);
            }
            Err(error) => tracing::warn!(%error, "an event could not be written as JSON"),
        }
    }

    /// Writes what a command was asked for to stdout, however quiet it is to be: the event with
    /// `--json`, else these lines.
    ///
    /// # Errors
    /// As [`Output::document`].
    pub fn answer(&self, lines: &[String], event: &impl Serialize) -> anyhow::Result<()> {
        let mut bytes = if self.json {
            serde_json::to_vec(event).context("the answer could not be written as JSON")?
        } else {
            let lines: Vec<_> = lines.iter().map(|line| printable(line)).collect();
            lines.join("\n").into_bytes()
        };
        bytes.push(b'\n');
        self.document(&bytes)
    }

    /// Writes a document to stdout, as it is. Whoever has read enough of it does not fail us.
    ///
    /// # Errors
    /// When it cannot be written for another reason.
    pub fn document(&self, bytes: &[u8]) -> anyhow::Result<()> {
        let mut screen = self.screen();
        let Some(stdout) = &mut screen.stdout else { return Ok(()) };
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(error).context("cannot write to stdout")
            }
            _ => Ok(()),
        }
    }

    fn screen(&self) -> MutexGuard<'_, Screen> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Screen {
    /// Prints above whatever stands in the last line. A stderr that nobody reads is no reason to fail.
    fn lines(&mut self, text: &str) {
        let lines: String = text.lines().flat_map(|line| [printable(line), "\n".into()]).collect();
        self.recent.extend(lines.lines().map(str::to_owned));
        let older = self.recent.len().saturating_sub(RECENT);
        self.recent.drain(..older);
        if self.away {
            return self.write(&lines);
        }
        if let Some(above) = &self.above {
            return above.print(lines);
        }
        let mut whole = String::new();
        if self.bottom != Bottom::Nothing {
            whole.push_str(CLEAR_LINE);
        }
        whole.push_str(&lines);
        self.bottom.draw(&mut whole);
        self.write(&whole);
    }

    /// The last lines of words, and what stands below them. A line that is edited, and its status, have
    /// two rows in which they are drawn by the editor.
    fn words_again(&self, words: usize, edited: bool) -> String {
        let words = if edited { words.saturating_sub(1) } else { words };
        let older = self.recent.len().saturating_sub(words);
        let mut again = String::new();
        for line in self.recent.iter().skip(older) {
            again.push_str(line);
            again.push_str("\r\n");
        }
        if edited {
            again.push_str("\r\n");
        }
        self.bottom.draw(&mut again);
        again
    }

    fn set_bottom(&mut self, bottom: Bottom) {
        if self.away {
            // It is drawn when the terminal is ours again.
            self.bottom = bottom;
            return;
        }
        let mut whole = String::new();
        if self.bottom != Bottom::Nothing {
            whole.push_str(CLEAR_LINE);
        }
        bottom.draw(&mut whole);
        self.bottom = bottom;
        self.write(&whole);
    }

    fn write(&mut self, text: &str) {
        let _ = self.stderr.write_all(text.as_bytes()).and_then(|()| self.stderr.flush());
    }

    /// `mixed`: the line goes where the prompt is, and must not tear it.
    fn json(&mut self, line: Vec<u8>, mixed: bool) {
        if mixed && self.above.is_some() && !self.away {
            return self.lines(&String::from_utf8_lossy(&line));
        }
        let over = mixed && !self.away && self.bottom != Bottom::Nothing;
        if over {
            self.write(CLEAR_LINE);
        }
        let Some(stdout) = &mut self.stdout else { return };
        // A reader that has seen enough (`| head -1`) does not end the call.
        if stdout.write_all(&line).and_then(|()| stdout.flush()).is_err() {
            self.stdout = None;
        }
        if over {
            let mut bottom = String::new();
            self.bottom.draw(&mut bottom);
            self.write(&bottom);
        }
    }
}

impl Bottom {
    fn draw(&self, to: &mut String) {
        match self {
            Self::Nothing => {}
            // At the width of the moment: wrapped, it would push out the words above it.
            Self::Status(line) => to.push_str(&fitted(line, terminal_width())),
            Self::Prompt => to.push_str(PROMPT),
        }
    }
}

/// Names and messages come from strangers: nothing in them may steer the terminal.
fn printable(line: &str) -> String {
    line.chars().map(|c| if unprintable(c) { '\u{fffd}' } else { c }).collect()
}

/// As much of a line as fits into so many columns, with one to spare; where two blanks divide it, it
/// is cut there.
#[must_use]
pub fn fitted(line: &str, columns: usize) -> String {
    let whole = cut(line, columns);
    if whole.len() == line.len() {
        return whole;
    }
    let parts = line.match_indices("  ").map(|(at, _)| at);
    match parts.take_while(|at| *at <= whole.len()).last() {
        Some(at) if at > 0 => line[..at].to_owned(),
        _ => whole,
    }
}

fn cut(line: &str, columns: usize) -> String {
    let mut left = columns.saturating_sub(1);
    let fits = |c: &char| match left.checked_sub(c.width().unwrap_or(0)) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    line.chars().take_while(fits).collect()
}

/// Columns of the terminal that people read.
#[must_use]
pub fn terminal_width() -> usize {
    super::tty::size().map_or(80, |size| size.columns.into())
}

#[cfg(test)]
#[path = "output_tests.rs"]
mod tests;
