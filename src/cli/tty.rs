//! What the operating system knows of the terminal, and how keys come one by one.
//!
//! Owns the calls to it; systems without such terminals have none to use.

use crate::media::sink::terminal::Grid;

#[cfg(unix)]
pub use on_unix::{
    Modes, has_a_shell, is_ours, leave_input_alone, letters_and_no_echo, lines_and_no_echo, modes,
    read_until, restore, size, stop_key_only,
};

#[cfg(not(unix))]
pub use elsewhere::{
    Modes, is_ours, leave_input_alone, letters_and_no_echo, lines_and_no_echo, modes, read_until,
    restore, size,
};

#[cfg(unix)]
mod on_unix {
    use std::io::IsTerminal;
    use std::os::fd::AsFd;
    use std::time::Instant;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::sys::signal::{SigSet, Signal};
    use rustix::process::{Pid, getpgid, getpgrp, getppid, getsid};
    use rustix::termios::{
        LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcgetwinsize,
        tcsetattr,
    };

    use super::Grid;
    use crate::clock;

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

    /// Whether the terminal is ours: not while we are in the background. One that is nobody's, and
    /// none at all, nobody else has.
    #[must_use]
    pub fn is_ours() -> bool {
        let group = tcgetpgrp(std::io::stdin()).or_else(|_| tcgetpgrp(std::io::stderr()));
        group.map_or(true, |group| group == getpgrp())
    }

    /// How deep programs that start programs are looked through for a shell.
    const DEEPEST: usize = 32;

    /// Whether somebody of our session watches over this job from outside: only then may it stop
    /// (POSIX, "orphaned process group").
    #[must_use]
    pub fn has_a_shell() -> bool {
        let (session, group) = (getsid(None).ok(), getpgrp());
        let mut parent = getppid();
        for _ in 0..DEEPEST {
            let Some(pid) = parent.filter(|pid| getsid(Some(*pid)).ok() == session) else {
                return false;
            };
            if getpgid(Some(pid)).is_ok_and(|of| of != group) {
                return true;
            }
            parent = parent_of(pid);
        }
        false
    }

    /// By `/proc`, where there is one (proc_pid_stat(5)).
    fn parent_of(pid: Pid) -> Option<Pid> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name before it may hold anything.
        let fields = stat.rsplit_once(')')?.1;
        Pid::from_raw(fields.split_whitespace().nth(1)?.parse().ok()?)
    }

    /// More than any answer needs.
    const MOST_HEARD: usize = 4096;

    /// Adds what comes on stdin to `heard`, past every buffer; false when nothing comes in time, or
    /// too much has.
    #[must_use]
    pub fn read_until(until: Instant, heard: &mut Vec<u8>) -> bool {
        let stdin = std::io::stdin();
        let left = until.saturating_duration_since(clock::now()).as_millis();
        let limit = i32::try_from(left).ok().and_then(|left| PollTimeout::try_from(left).ok());
        let limit = limit.unwrap_or(PollTimeout::ZERO);
        let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        if left == 0 || heard.len() > MOST_HEARD || !poll(&mut fds, limit).is_ok_and(|n| n > 0) {
            return false;
        }
        let mut bytes = [0; 256];
        match rustix::io::read(&stdin, &mut bytes[..]) {
            Ok(length @ 1..) => {
                heard.extend_from_slice(&bytes[..length]);
                true
            }
            _ => false,
        }
    }

    /// Lets this thread's reads fail in the background, rather than stop the whole program.
    pub fn leave_input_alone() {
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGTTIN);
        signals.add(Signal::SIGTTOU);
        if let Err(error) = signals.thread_block() {
            tracing::debug!(%error, "reading in the background will stop us");
        }
    }

    /// Where each key comes at once and none is a signal: makes Ctrl-Z one, and no other. Says how it
    /// is set then.
    #[must_use]
    pub fn stop_key_only() -> Option<Modes> {
        let stdin = std::io::stdin();
        let mut modes = tcgetattr(&stdin).ok()?;
        if modes.local_modes.contains(LocalModes::ICANON) {
            return None;
        }
        modes.local_modes.insert(LocalModes::ISIG);
        // No key at all (POSIX, _POSIX_VDISABLE).
        const NONE: u8 = if cfg!(target_os = "linux") { 0 } else { 0xff };
        modes.special_codes[SpecialCodeIndex::VINTR] = NONE;
        modes.special_codes[SpecialCodeIndex::VQUIT] = NONE;
        tcsetattr(&stdin, OptionalActions::Now, &modes).ok()?;
        Some(modes)
    }

    /// Lets stdin give each key at once, and show none; says how it was before. `None` where stdin is
    /// no terminal, or somebody else's.
    #[must_use]
    pub fn letters_and_no_echo() -> Option<Modes> {
        let stdin = std::io::stdin();
        if !stdin.is_terminal() || !is_ours() {
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
        let modes = tcgetattr(&stdin).ok().filter(|_| is_ours())?;
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

    /// Nothing comes.
    #[must_use]
    pub fn read_until(_: std::time::Instant, _: &mut Vec<u8>) -> bool {
        false
    }

    /// There is no background.
    #[must_use]
    pub fn is_ours() -> bool {
        true
    }

    /// There is no background.
    pub fn leave_input_alone() {}

    /// Never called.
    pub fn restore(modes: &Modes) {
        match *modes {}
    }
}
