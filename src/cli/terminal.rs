//! The terminal itself: its size, single keys, and giving it back as it was on every way out.
//!
//! Owns what was changed about it, which is the process's as the terminal is.

use std::io::{IsTerminal, Read, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::termios::{
    LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr,
};
use tokio::sync::mpsc;

use super::output::Output;
use crate::media::sink::terminal::{GIVE_BACK, Graphics, Grid, Terminal};
use crate::media::sink::window::WindowKey;

/// What must be undone.
static CHANGED: Mutex<Changed> = Mutex::new(Changed { modes: None, screen: false });

struct Changed {
    /// As they were before keys came one by one.
    modes: Option<Termios>,
    /// Pictures were drawn.
    screen: bool,
}

/// Gives the terminal back when it goes, on whatever way out.
#[derive(Debug)]
pub struct Borrowed;

impl Drop for Borrowed {
    fn drop(&mut self) {
        give_back();
    }
}

/// Undoes what was changed.
pub fn give_back() {
    let mut changed = CHANGED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(modes) = changed.modes.take() {
        // A terminal that is gone needs no modes.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &modes);
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

/// Keys that steer a call, one by one, without Enter; `None` where nobody types them. Ctrl-C stays
/// what it is.
#[must_use]
pub fn keys() -> Option<mpsc::Receiver<WindowKey>> {
    let stdin = std::io::stdin();
    // In the background the terminal is somebody else's. One that is nobody's has no such group.
    let ours = || tcgetpgrp(&stdin).map_or(true, |group| group == rustix::process::getpgrp());
    if !stdin.is_terminal() || !ours() {
        return None;
    }
    let modes = tcgetattr(&stdin).ok()?;
    let mut single = modes.clone();
    single.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Now, &single).ok()?;
    CHANGED.lock().unwrap_or_else(PoisonError::into_inner).modes = Some(modes);
    let (to, keys) = mpsc::channel(16);
    // A read cannot be cancelled: the thread ends with the process.
    let reader = std::thread::Builder::new().name("keys".into()).spawn(move || {
        for byte in std::io::stdin().lock().bytes().map_while(Result::ok) {
            if let Some(key) = meaning(byte)
                && to.blocking_send(key).is_err()
            {
                return;
            }
        }
    });
    reader.is_ok().then_some(keys)
}

fn meaning(byte: u8) -> Option<WindowKey> {
    match byte.to_ascii_lowercase() {
        b'm' => Some(WindowKey::Mute),
        b'v' => Some(WindowKey::Video),
        b'q' => Some(WindowKey::HangUp),
        _ => None,
    }
}

/// A place for pictures on the terminal behind `output`.
#[must_use]
pub fn canvas(output: &Output, graphics: Option<Graphics>) -> Terminal {
    let get = |name: &str| std::env::var(name).ok();
    let output = output.clone();
    Terminal {
        grid: Box::new(grid),
        write: Box::new(move |bytes| {
            CHANGED.lock().unwrap_or_else(PoisonError::into_inner).screen = bytes != GIVE_BACK;
            output.raw(bytes)
        }),
        graphics: graphics.unwrap_or_else(|| Graphics::detect(get)),
        far: get("SSH_CONNECTION").is_some_and(|from| !from.is_empty()),
    }
}

fn grid() -> Option<Grid> {
    let size = tcgetwinsize(std::io::stderr()).ok()?;
    let (columns, rows) = (size.ws_col, size.ws_row);
    let cell = (size.ws_xpixel > 0 && size.ws_ypixel > 0 && columns > 0 && rows > 0)
        .then(|| ((size.ws_xpixel / columns).max(1), (size.ws_ypixel / rows).max(1)));
    (columns > 0 && rows > 0).then_some(Grid { columns, rows, cell })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_meaning_that_they_have_in_a_window() {
        assert_eq!(meaning(b'm'), Some(WindowKey::Mute));
        assert_eq!(meaning(b'Q'), Some(WindowKey::HangUp));
        assert_eq!(meaning(b'x'), None);
    }
}
