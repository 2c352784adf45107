//! The line that a person types at the prompt: editing, history, completion.
//!
//! Owns the thread that reads the terminal through rustyline, and the file of the history. What a
//! line means is decided in `prompt.rs`; what is printed meanwhile goes through `above.rs`.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc as blocking;

use rustix::process::{Signal, getpid, kill_process};
use rustyline::completion::Completer;
use rustyline::config::BellStyle;
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{Behavior, ColorMode, CompletionType, Config, Context, Editor, Helper};
use tokio::sync::mpsc;

use super::above::Above;
use super::output::{Output, fitted, terminal_width};
use super::people::People;
use super::stdin::Lines;
use super::{prompt, terminal, tty};

/// Lines of the history that are kept.
const HISTORY: usize = 500;

/// A place for the status, then the line. Only its rows count: the highlighter fills them.
const PROMPT: &str = "\n> ";

/// Lets a person type; `None` where the terminal can do no more than take whole lines.
#[must_use]
pub fn start(output: &Output, people: People, history: Option<PathBuf>) -> Option<Lines> {
    let above = Above::default();
    let (typed, lines) = mpsc::channel(1);
    let (ready, go) = blocking::sync_channel(1);
    let (tell, started) = blocking::sync_channel(1);
    terminal::keep_modes();
    let helper = PromptHelper {
        above: above.clone(),
        people,
        last: Cell::new(false),
        fresh: Cell::new(true),
        typed: RefCell::default(),
    };
    let thread = std::thread::Builder::new().name("prompt".into()).spawn(move || {
        tty::leave_input_alone();
        let above = helper.above.clone();
        let printing = (|| {
            let mut editor: Editor<PromptHelper, FileHistory> = Editor::with_config(config())?;
            let printer = editor.create_external_printer()?;
            Ok::<_, ReadlineError>((editor, printer))
        })();
        let Ok((mut editor, printer)) = printing else { return };
        let feeding = above.clone();
        let feeder = std::thread::Builder::new().name("above".into());
        if feeder.spawn(move || feeding.feed(printer)).is_err() || tell.send(()).is_err() {
            return;
        }
        editor.set_helper(Some(helper));
        read(&mut editor, &above, history.as_deref(), &typed, &go);
    });
    thread.ok()?;
    started.recv().ok()?;
    output.put_above(above);
    Some(Lines::edited(lines, ready))
}

fn config() -> Config {
    Config::builder()
        // stdout belongs to `--json`.
        .behavior(Behavior::PreferTerm)
        // There are none, but only then is the highlighter asked, which shows the status.
        .color_mode(ColorMode::Forced)
        // One after the other: a list of them would be drawn over by the status.
        .completion_type(CompletionType::Circular)
        // The bell means a call.
        .bell_style(BellStyle::None)
        .history_ignore_space(true)
        .auto_add_history(true)
        .build()
}

/// Reads until the end of the input, or until nobody takes the lines any more.
fn read(
    editor: &mut Editor<PromptHelper, FileHistory>,
    above: &Above,
    history: Option<&Path>,
    typed_to: &mpsc::Sender<String>,
    go: &blocking::Receiver<()>,
) {
    let mut history = history.and_then(|path| open_history(editor, path));
    let mut begun = None;
    loop {
        let typed = match begun.take() {
            Some(typed) => typed,
            None if go.recv().is_ok() => String::new(),
            None => return,
        };
        // Started in the background, it must not set a terminal that is the shell's.
        if !terminal::comes_back() {
            return;
        }
        match edit(editor, above, &typed) {
            Ok(line) => {
                let kept = history.as_ref().map(|path| editor.append_history(path));
                if let Some(Err(error)) = kept {
                    tracing::warn!(%error, "the history is not kept any more");
                    history = None;
                }
                if typed_to.blocking_send(line).is_err() {
                    return;
                }
            }
            // Ctrl-C takes back what is typed before it ends anything.
            Err(ReadlineError::Interrupted) if !so_far(editor).is_empty() => {
                begun = Some(String::new());
            }
            Err(ReadlineError::Interrupted) => {
                // Ctrl-C is a signal here as everywhere; the terminal is as it was, so the next one
                // is one by itself. Nothing more is read, and nobody waits for it.
                let _ = kill_process(getpid(), Signal::INT);
            }
            // In the background nothing can be read.
            Err(error) if is_lent(&error) && terminal::comes_back() => {
                begun = Some(so_far(editor));
            }
            Err(error) => {
                if !matches!(error, ReadlineError::Eof) {
                    tracing::warn!(%error, "the terminal cannot be read");
                }
                return;
            }
        }
    }
}

/// Lets a person edit a line that has begun so.
fn edit(
    editor: &mut Editor<PromptHelper, FileHistory>,
    above: &Above,
    begun: &str,
) -> rustyline::Result<String> {
    if let Some(helper) = editor.helper() {
        helper.fresh.set(true);
        helper.typed.borrow_mut().clear();
    }
    above.set_editing(true);
    let line = editor.readline_with_initial(PROMPT, (begun, ""));
    above.set_editing(false);
    terminal::edits(None);
    line
}

/// What stood in the line when its editing ended.
fn so_far(editor: &Editor<PromptHelper, FileHistory>) -> String {
    editor.helper().map(|helper| helper.typed.borrow().clone()).unwrap_or_default()
}

/// Whether the terminal was somebody else's (EIO; POSIX, "Terminal Access Control").
fn is_lent(error: &ReadlineError) -> bool {
    let number = match error {
        ReadlineError::Io(error) => error.raw_os_error(),
        ReadlineError::Errno(error) => Some(*error as i32),
        _ => None,
    };
    number == Some(rustix::io::Errno::IO.raw_os_error())
}

/// Makes the file if need be, readable by this user only, and reads it.
fn open_history(editor: &mut Editor<PromptHelper, FileHistory>, path: &Path) -> Option<PathBuf> {
    let open = || {
        let folder = path.parent().ok_or_else(|| std::io::Error::other("it has no folder"))?;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let file = std::fs::File::options().append(true).create(true).mode(0o600).open(path)?;
        file.set_permissions(std::fs::Permissions::from_mode(0o600))
    };
    let limited = rustyline::history::History::set_max_len(editor.history_mut(), HISTORY);
    let opened = limited.and_then(|()| Ok(open()?)).and_then(|()| editor.load_history(path));
    match opened {
        Ok(()) => Some(path.to_owned()),
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "there is no history");
            None
        }
    }
}

/// What rustyline asks while a line is typed.
struct PromptHelper {
    above: Above,
    people: People,
    /// The line is being left: it is drawn once more, without the status.
    last: Cell<bool>,
    /// The library has just set the terminal, and Ctrl-Z is none of its business.
    fresh: Cell<bool>,
    /// The line so far.
    typed: RefCell<String>,
}

impl Helper for PromptHelper {}
impl Validator for PromptHelper {}
impl Hinter for PromptHelper {
    type Hint = String;
}

impl Completer for PromptHelper {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(prompt::completions(line.get(..at).unwrap_or_default(), &self.people.names()))
    }
}

impl Highlighter for PromptHelper {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, text: &'p str, ours: bool) -> Cow<'b, str> {
        if self.fresh.replace(false) {
            terminal::edits(tty::stop_key_only());
        }
        match (ours, self.last.get()) {
            (false, _) => Cow::Borrowed(text),
            (true, true) => Cow::Borrowed(text.trim_start_matches('\n')),
            (true, false) => Cow::Owned(fitted(&self.above.status(), terminal_width()) + text),
        }
    }

    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        line.clone_into(&mut self.typed.borrow_mut());
        Cow::Borrowed(line)
    }

    fn highlight_char(&self, _: &str, _: usize, kind: CmdKind) -> bool {
        self.last.set(kind == CmdKind::ForcedRefresh);
        kind != CmdKind::ForcedRefresh
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_history_is_private_and_has_an_end() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("state").join("history");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "").unwrap();
        for _ in 0..3 {
            let mut editor = Editor::with_config(config()).unwrap();
            assert!(open_history(&mut editor, &path).is_some());
            for number in 0..HISTORY {
                editor.add_history_entry(format!("call n{number}")).unwrap();
                editor.append_history(&path).unwrap();
            }
            editor.save_history(&path).unwrap();
        }
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!((HISTORY..=HISTORY + 1).contains(&lines), "{lines}");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_history_that_cannot_be_is_done_without() {
        let home = tempfile::tempdir().unwrap();
        let mut editor = Editor::with_config(config()).unwrap();
        assert_eq!(open_history(&mut editor, home.path()), None);
    }
}
