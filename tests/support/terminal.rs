//! A terminal of the test's own: a pseudo-terminal, and what a person would see on it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use nix::pty::{Winsize, openpty};

use super::process::PeerBuilder;

/// A terminal that knows colours and no graphics.
pub(crate) struct Terminal {
    keyboard: File,
    inner: OwnedFd,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    /// One of so many letters.
    pub(crate) fn new(rows: u16, columns: u16) -> Self {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(&size, None).expect("a pseudo-terminal");
        let mut output = File::from(pair.master.try_clone().expect("a descriptor"));
        let screen = Arc::new(Mutex::new(vt100::Parser::new(rows, columns, 0)));
        let shown = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // Linux ends it with an error when nobody holds the other side any more.
            while let Ok(length @ 1..) = output.read(&mut bytes) {
                shown.lock().expect("no reader panics").process(&bytes[..length]);
            }
        });
        Self { keyboard: File::from(pair.master), inner: pair.slave, screen }
    }

    /// Runs a `peer` on it.
    pub(crate) fn with(&self, peer: PeerBuilder) -> PeerBuilder {
        let end = || Stdio::from(self.inner.try_clone().expect("a descriptor"));
        peer.on_terminal(end(), end()).env("TERM", "xterm-256color").env("COLORTERM", "truecolor")
    }

    /// Presses keys.
    pub(crate) fn press(&self, keys: &str) {
        (&self.keyboard).write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// The colours of a letter and its ground.
    pub(crate) fn colours(&self, row: u16, column: u16) -> Option<[(u8, u8, u8); 2]> {
        let screen = self.screen.lock().expect("no reader panics");
        let cell = screen.screen().cell(row, column)?;
        match (cell.fgcolor(), cell.bgcolor()) {
            (vt100::Color::Rgb(r, g, b), vt100::Color::Rgb(x, y, z)) => {
                Some([(r, g, b), (x, y, z)])
            }
            _ => None,
        }
    }

    /// What stands on it, line by line.
    pub(crate) fn text(&self) -> String {
        self.screen.lock().expect("no reader panics").screen().contents()
    }

    /// Whether a program has taken the whole screen.
    pub(crate) fn is_taken(&self) -> bool {
        self.screen.lock().expect("no reader panics").screen().alternate_screen()
    }
}
