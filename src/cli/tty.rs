//! What the operating system knows of the terminal, and how keys come one by one.
//!
//! Owns the calls to it; systems without such terminals have none to use.

use crate::media::sink::terminal::Grid;

#[cfg(unix)]
pub use on_unix::{Modes, letters_and_no_echo, lines_and_no_echo, modes, restore, size};

#[cfg(not(unix))]
pub use elsewhere::{Modes, letters_and_no_echo, lines_and_no_echo, modes, restore, size};

#[cfg(unix)]
mod on_unix {
    use std::io::IsTerminal;

    use rustix::termios::{
        LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr,
    };

    use super::Grid;

    /// How a terminal was set.
    pub type Modes = Termios;

    /// How large the terminal behind stderr is.
    #[must_use]
    pub fn size() -> Option<Grid> {
        let size = tcgetwinsize(std::io::stderr()).ok()?;
        let (columns, rows) = (size.ws_col, size.ws_row);
        let cell = (size.ws_xpixel > 0 && size.ws_ypixel > 0 && columns > 0 && rows > 0)
            .then(|| ((size.ws_xpixel / columns).max(1), (size.ws_ypixel / rows).max(1)));
        (columns > 0 && rows > 0).then_some(Grid { columns, rows, cell })
    }

    /// How stdin is set; `None` where it is no terminal.
    #[must_use]
    pub fn modes() -> Option<Modes> {
        tcgetattr(std::io::stdin()).ok()
    }

    /// Lets stdin give each key at once, and show none; says how it was before. `None` where stdin is
    /// no terminal, or somebody else's.
    #[must_use]
    pub fn letters_and_no_echo() -> Option<Modes> {
        let stdin = std::io::stdin();
        // In the background it is somebody else's. One that is nobody's has no such group.
        let ours = || tcgetpgrp(&stdin).map_or(true, |group| group == rustix::process::getpgrp());
        if !stdin.is_terminal() || !ours() {
            return None;
        }
        let modes = tcgetattr(&stdin).ok()?;
        let mut single = modes.clone();
        single.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Now, &single).ok()?;
        Some(modes)
    }

    /// Lets stdin show nothing of a line but its end; says how it was before. `None` where stdin is no
    /// terminal.
    #[must_use]
    pub fn lines_and_no_echo() -> Option<Modes> {
        let stdin = std::io::stdin();
        let modes = tcgetattr(&stdin).ok()?;
        let mut hidden = modes.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        hidden.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(&stdin, OptionalActions::Now, &hidden).ok()?;
        Some(modes)
    }

    /// Sets stdin as it was.
    pub fn restore(modes: &Modes) {
        // A terminal that is gone needs no modes.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, modes);
    }
}

#[cfg(not(unix))]
mod elsewhere {
    use super::Grid;

    /// There is nothing to restore.
    #[derive(Debug)]
    pub enum Modes {}

    /// Not known.
    #[must_use]
    pub fn size() -> Option<Grid> {
        None
    }

    /// Not known.
    #[must_use]
    pub fn modes() -> Option<Modes> {
        None
    }

    /// Not possible.
    #[must_use]
    pub fn letters_and_no_echo() -> Option<Modes> {
        None
    }

    /// Not possible.
    #[must_use]
    pub fn lines_and_no_echo() -> Option<Modes> {
        None
    }

    /// Never called.
    pub fn restore(modes: &Modes) {
        match *modes {}
    }
}
