//! The terminal itself: single keys, pictures, and giving it back as it was on every way out.
//!
//! Owns what was changed about it, which is the process's as the terminal is.

use std::io::{BufRead, IsTerminal, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::output::Output;
use super::tty;
use crate::clock;
use crate::media::sink::terminal::answers::{Answers, QUESTIONS};
use crate::media::sink::terminal::{GIVE_BACK, Graphics, Grid, Terminal};
use crate::media::sink::window::WindowKey;

/// What the keys are.
pub const KEYS: &str =
    "keys: m mute, v video off, r record, d numbers, h or q hang up, ? these keys";

/// More than any token needs.
const LONGEST_LINE: u64 = 4096;

/// What must be undone.
static CHANGED: Mutex<Changed> = Mutex::new(Changed {
    modes: None,
    shell: None,
    input: Input::Lines,
    screen: false,
    away: false,
});

/// The terminal is ours again.
static BACK: Condvar = Condvar::new();

struct Changed {
    /// As they were before we changed them.
    modes: Option<tty::Modes>,
    /// As others have set them while the terminal is theirs.
    shell: Option<tty::Modes>,
    input: Input,
    /// Pictures were drawn.
    screen: bool,
    /// The terminal is somebody else's: we are stopped, or in the background.
    away: bool,
}

/// How we read the terminal.
enum Input {
    /// As it was.
    Lines,
    /// Key by key.
    Keys,
    /// A line that is not shown.
    Hidden,
    /// With an editor, which has set it so.
    Editor(tty::Modes),
}

fn changed() -> MutexGuard<'static, Changed> {
    locked(&CHANGED)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives the terminal back when it goes, on whatever way out.
#[derive(Debug)]
pub struct Borrowed;

impl Drop for Borrowed {
    fn drop(&mut self) {
        give_back();
    }
}

/// Undoes what was changed. What is somebody else's stays as it is.
pub fn give_back() {
    let mut changed = changed();
    if changed.away {
        return;
    }
    changed.input = Input::Lines;
    if let Some(modes) = changed.modes.take() {
        tty::restore(&modes);
    }
    if std::mem::take(&mut changed.screen) {
        let _ = std::io::stderr().write_all(GIVE_BACK);
    }
}

/// Undoes it, unless the terminal takes nothing any more (Ctrl-S stops it): then it stays as it is.
pub fn give_back_at_once() {
    let (tell, done) = std::sync::mpsc::sync_channel(1);
    let thread = std::thread::Builder::new().name("give-back".into()).spawn(move || {
        give_back();
        // Nobody waits any more when it took too long.
        let _ = tell.send(());
    });
    if thread.is_ok() {
        let _ = done.recv_timeout(Duration::from_millis(200));
    }
}

/// Lends the terminal to others, as it was before, until [`step_forward`].
pub fn step_back(output: &Output) {
    let mut changed = changed();
    if std::mem::replace(&mut changed.away, true) {
        return;
    }
    output.step_back();
    if std::mem::take(&mut changed.screen) {
        let _ = std::io::stderr().write_all(GIVE_BACK);
    }
    if let Some(modes) = &changed.modes {
        tty::restore(modes);
    }
}

/// Takes the terminal up again, as we had it; harmless when we have it.
pub fn step_forward(output: &Output) {
    let mut changed = changed();
    let set = match &changed.input {
        Input::Lines => None,
        Input::Keys => tty::letters_and_no_echo(),
        Input::Hidden => tty::lines_and_no_echo(),
        Input::Editor(modes) => {
            tty::restore(modes);
            None
        }
    };
    // Where nobody has set them since, they are ours already.
    changed.modes = changed.modes.take().or(set);
    if std::mem::take(&mut changed.away) {
        changed.shell = None;
        output.step_forward();
        BACK.notify_all();
    }
}

/// Whether the terminal is somebody else's.
#[must_use]
pub fn is_away() -> bool {
    changed().away
}

/// Takes down how others have set the terminal that is theirs.
pub fn note_shell() {
    let modes = tty::modes();
    changed().shell = modes;
}

/// Sets it again as others had it, after a library has set it as it was before.
fn leave_to_shell() {
    let changed = changed();
    if let (true, Some(modes)) = (changed.away, &changed.shell) {
        tty::restore(modes);
    }
}

/// Whether there is a terminal to read on, after a read has failed: waits until it is ours.
pub fn comes_back() -> bool {
    leave_to_shell();
    let waited = BACK.wait_while(changed(), |changed| changed.away);
    drop(waited);
    // One that is gone has no modes either.
    tty::modes().is_some()
}

/// Remembers how the terminal is, for an editor that is about to change it.
pub fn keep_modes() {
    if let Some(modes) = tty::modes() {
        changed().modes = Some(modes);
    }
}

/// An editor has set the terminal so; `None`: as it was before.
pub fn edits(modes: Option<tty::Modes>) {
    changed().input = modes.map_or(Input::Lines, Input::Editor);
}

/// Keys that steer a call, one by one, without Enter; `None` where nobody types them. Ctrl-C stays
/// what it is.
#[must_use]
pub fn keys() -> Option<mpsc::Receiver<WindowKey>> {
    {
        let mut changed = changed();
        if !changed.away {
            changed.modes = Some(tty::letters_and_no_echo()?);
        } else if !std::io::stdin().is_terminal() {
            return None;
        }
        changed.input = Input::Keys;
    }
    let (to, keys) = mpsc::channel(16);
    // A read cannot be cancelled: the thread ends with the process.
    let reader = std::thread::Builder::new().name("keys".into()).spawn(move || {
        tty::leave_input_alone();
        let mut typed = Typed::default();
        while let Some(byte) = next_byte(&mut std::io::stdin().lock()) {
            if let Some(key) = typed.take(byte).and_then(meaning)
                && to.blocking_send(key).is_err()
            {
                return;
            }
        }
    });
    reader.is_ok().then_some(keys)
}

fn next_byte(from: &mut impl Read) -> Option<u8> {
    let mut byte = [0];
    loop {
        match from.read(&mut byte) {
            Ok(0) => return None,
            Ok(_) => return Some(byte[0]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) if comes_back() => {}
            Err(_) => return None,
        }
    }
}

/// Tells letters from what other keys send: F2 is the three bytes `ESC O Q`, and hangs nothing up.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Typed {
    #[default]
    Letters,
    /// After ESC.
    Escape,
    /// In a control sequence (ECMA-48 section 5.4), or before its last byte.
    Sequence,
    /// So many more bytes that mean nothing by themselves.
    Skip(u8),
}

impl Typed {
    /// The letter, if this byte is one.
    fn take(&mut self, byte: u8) -> Option<u8> {
        const ESC: u8 = 0x1b;
        let before = *self;
        *self = match (before, byte) {
            (_, ESC) => Self::Escape,
            (Self::Escape, b'[') => Self::Sequence,
            (Self::Escape, b'O') => Self::Skip(1),
            // Linux' console has F1 to F5 as ESC [ [ A and so on; X10 mice send three bytes more.
            (Self::Sequence, b'[') => Self::Skip(1),
            (Self::Sequence, b'M') => Self::Skip(3),
            (Self::Sequence, byte) if !(0x40..=0x7e).contains(&byte) => Self::Sequence,
            (Self::Skip(left @ 2..), _) => Self::Skip(left - 1),
            _ => Self::Letters,
        };
        // After ESC alone comes a letter that was typed with Alt.
        (before == Self::Letters && byte != ESC).then_some(byte)
    }
}

/// Asks for a line that is not shown while it is typed; `None` where there is no terminal, or no line.
pub async fn hidden_line(question: &str, output: &Output) -> Option<String> {
    let modes = tty::lines_and_no_echo()?;
    {
        let mut changed = changed();
        (changed.modes, changed.input) = (Some(modes), Input::Hidden);
    }
    // Not before: who types fast would see it.
    output.raw(question.as_bytes());
    let (to, line) = oneshot::channel();
    // A read cannot be cancelled: the thread ends with the line, or with the process.
    let reader = std::thread::Builder::new().name("hidden-line".into()).spawn(move || {
        tty::leave_input_alone();
        let mut line = String::new();
        let mut read = std::io::stdin().lock().take(LONGEST_LINE).read_line(&mut line);
        while read.is_err() && comes_back() {
            line.clear();
            read = std::io::stdin().lock().take(LONGEST_LINE).read_line(&mut line);
        }
        // Nobody waits for it any more after Ctrl-C.
        let _ = to.send(read.ok().filter(|read| *read > 0).map(|_| line));
    });
    let line = if reader.is_ok() { line.await.ok().flatten() } else { None };
    give_back();
    line.map(|line| line.trim_end_matches(['\r', '\n']).to_owned())
}

fn meaning(byte: u8) -> Option<WindowKey> {
    match byte.to_ascii_lowercase() {
        b'm' => Some(WindowKey::Mute),
        b'v' => Some(WindowKey::Video),
        b'r' => Some(WindowKey::Record),
        b't' => Some(WindowKey::Trust),
        b'd' => Some(WindowKey::Numbers),
        b'?' => Some(WindowKey::Keys),
        b'h' | b'q' => Some(WindowKey::HangUp),
        _ => None,
    }
}

/// How long the terminal has to say what it can draw; through a slow ssh it takes a while.
const ANSWERS_WITHIN: Duration = Duration::from_millis(500);

/// How pictures are drawn on a terminal.
#[derive(Debug, Clone, Copy)]
pub struct Ability {
    graphics: Graphics,
    cell: Option<(u16, u16)>,
}

/// Finds out what the terminal can draw: as somebody has said, else as it answers, else as its
/// environment tells. Before anybody else reads it, and after Ctrl-C is listened for, which would
/// leave the terminal as it is while it is asked.
#[must_use]
pub fn ability(said: Option<Graphics>, output: &Output) -> Ability {
    let answers = ask(output);
    let graphics =
        said.unwrap_or_else(|| Graphics::best(answers, |name: &str| std::env::var(name).ok()));
    Ability { graphics, cell: answers.cell }
}

fn ask(output: &Output) -> Answers {
    {
        let mut changed = changed();
        let before = if changed.away { None } else { tty::letters_and_no_echo() };
        let Some(before) = before else { return Answers::default() };
        (changed.modes, changed.input) = (Some(before), Input::Keys);
    }
    let mut heard = Vec::new();
    let until = clock::now() + ANSWERS_WITHIN;
    if output.raw(QUESTIONS) {
        while !Answers::read(&heard).complete && tty::read_until(until, &mut heard) {}
    }
    let mut changed = changed();
    changed.input = Input::Lines;
    // Others who have it meanwhile have it as it was.
    let (before, away) = (changed.modes.take(), changed.away);
    before.iter().filter(|_| !away).for_each(tty::restore);
    Answers::read(&heard)
}

/// A place for pictures on the terminal behind `output`.
#[must_use]
pub fn canvas(output: &Output, ability: Ability) -> Terminal {
    let get = |name: &str| std::env::var(name).ok();
    let Ability { graphics, cell } = ability;
    let known = move |grid: Grid| Grid { cell: grid.cell.or(cell), ..grid };
    let (looks, output) = (output.clone(), output.clone());
    let drawn_in = Arc::new(Mutex::new(output.turn()));
    let begun_in = Arc::clone(&drawn_in);
    Terminal {
        grid: Box::new(move || {
            let turn = looks.turn();
            // Where others had it since, it is not as it was left, even if nobody drew meanwhile.
            let same = std::mem::replace(&mut *locked(&drawn_in), turn) == turn;
            tty::size().map(known).filter(|_| same && turn.is_some())
        }),
        write: Box::new(move |bytes, words| {
            let Some(turn) = *locked(&begun_in) else { return true };
            let mut changed = changed();
            if changed.away {
                return true;
            }
            let gives_back = bytes == GIVE_BACK;
            changed.screen = !gives_back;
            // Not held meanwhile: a terminal that was stopped (Ctrl-S) takes its time.
            drop(changed);
            let taken = output.draw(bytes, words, turn);
            if gives_back {
                output.redraw_line();
            }
            taken
        }),
        graphics,
        far: get("SSH_CONNECTION").is_some_and(|from| !from.is_empty()),
    }
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_meaning_that_they_have_in_a_window() {
        assert_eq!(meaning(b'm'), Some(WindowKey::Mute));
        assert_eq!(meaning(b'Q'), Some(WindowKey::HangUp));
        assert_eq!(meaning(b'r'), Some(WindowKey::Record));
        assert_eq!(meaning(b'x'), None);
    }

    #[test]
    fn keys_that_are_no_letters_do_nothing() {
        let letters = |bytes: &[u8]| {
            let mut typed = Typed::default();
            let letters = bytes.iter().filter_map(|byte| typed.take(*byte));
            String::from_utf8(letters.collect()).expect("letters")
        };
        assert_eq!(letters(b"mq"), "mq");
        for other in
            ["\x1bOQ", "\x1bOR", "\x1b[A", "\x1b[1;2R", "\x1b[15~", "\x1b[[C", "\x1b[M q!", "\x1bq"]
        {
            assert_eq!(letters(other.as_bytes()), "", "{other:?}");
            assert_eq!(letters(format!("{other}m").as_bytes()), "m", "{other:?}");
        }
        assert_eq!(letters(b"\x1b\x1b[Am"), "m");
    }
}
