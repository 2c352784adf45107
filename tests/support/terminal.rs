//! A terminal of the test's own: a pseudo-terminal, and what a person would see on it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use nix::pty::{Winsize, openpty};
use tokio::sync::watch;

use super::PATIENCE;
use super::process::PeerBuilder;

/// A terminal that knows colours and no graphics.
pub(crate) struct Terminal {
    keyboard: File,
    inner: OwnedFd,
    screen: Arc<Mutex<vt100::Parser<Ears>>>,
    rang: Arc<AtomicUsize>,
    /// How often the job on it was stopped.
    stops: AtomicUsize,
    /// Changes with what stands on it.
    changes: watch::Receiver<()>,
    /// The last that was written, as it came.
    written: Arc<Mutex<Vec<u8>>>,
}

/// So much of what is written is kept.
const KEPT: usize = 1 << 20;

/// Counts the bell, which leaves nothing on a screen.
struct Ears(Arc<AtomicUsize>);

impl vt100::Callbacks for Ears {
    fn audible_bell(&mut self, _: &mut vt100::Screen) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Terminal {
    /// One of so many letters.
    pub(crate) fn new(rows: u16, columns: u16) -> Self {
        Self::answering(rows, columns, b"")
    }

    /// One that answers so when it is asked what it is (DA1).
    pub(crate) fn answering(rows: u16, columns: u16, answer: &'static [u8]) -> Self {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(&size, None).expect("a pseudo-terminal");
        let mut output = File::from(pair.master.try_clone().expect("a descriptor"));
        let rang = Arc::default();
        let parser = vt100::Parser::new_with_callbacks(rows, columns, 0, Ears(Arc::clone(&rang)));
        let screen = Arc::new(Mutex::new(parser));
        let shown = Arc::clone(&screen);
        let (changed, changes) = watch::channel(());
        let written = Arc::new(Mutex::new(Vec::new()));
        let (kept, mut answers) = (Arc::clone(&written), output.try_clone().expect("a descriptor"));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // Linux ends it with an error when nobody holds the other side any more.
            while let Ok(length @ 1..) = output.read(&mut bytes) {
                shown.lock().expect("no reader panics").process(&bytes[..length]);
                let mut kept = kept.lock().expect("no reader panics");
                kept.extend_from_slice(&bytes[..length]);
                if !answer.is_empty() && bytes[..length].ends_with(b"\x1b[c") {
                    answers.write_all(answer).expect("the terminal takes answers");
                }
                let older = kept.len().saturating_sub(KEPT);
                kept.drain(..older);
                drop(kept);
                let _ = changed.send(());
            }
        });
        Self {
            keyboard: File::from(pair.master),
            inner: pair.slave,
            screen,
            rang,
            stops: AtomicUsize::new(0),
            changes,
            written,
        }
    }

    /// Runs a `peer` on it, which owns it: Ctrl-C is a signal, and `/dev/tty` is it.
    pub(crate) fn with(&self, peer: PeerBuilder) -> PeerBuilder {
        self.through(&["setsid", "--ctty"], peer)
    }

    /// Runs a `peer` on it as a shell does, which then shows how the terminal was left.
    pub(crate) fn with_shell(&self, peer: PeerBuilder) -> PeerBuilder {
        let script = r#"trap : INT; "$@"; echo "exit code $?" >&2; stty -a >&2; cat"#;
        self.through(&["setsid", "--ctty", "sh", "-c", script, "sh"], peer)
    }

    /// Runs a `peer` on it as a shell with job control does: says `stopped` and how the terminal was
    /// left, and waits for Enter before it lets the job go on; `bg` first lets it go on behind.
    pub(crate) fn with_job_control(&self, peer: PeerBuilder) -> PeerBuilder {
        // No loop: bash leaves those when a job in them is stopped by SIGTSTP.
        let script = r#"set -m; trap : INT; "$@"; code=$?
            go_on() {
                if [ $code -ne 147 ] && [ $code -ne 148 ]; then return; fi
                stops=$((stops + 1))
                printf 'stopped\n' >&2; stty -a >&2; printf 'how? %s\n' $stops >&2; read -r how
                if [ "$how" = bg ]; then bg >&2; printf 'behind\n' >&2; read -r how; fi
                fg >/dev/null; code=$?; go_on
            }
            go_on
            echo "exit code $code" >&2; stty -a >&2; cat"#;
        self.through(&["setsid", "--ctty", "bash", "-c", script, "bash"], peer)
    }

    /// Ctrl-Z, until the shell has the terminal back as it was; what it says then.
    pub(crate) async fn stop_job(&self) -> String {
        // What it said at earlier stops stands on the screen again.
        let asks = format!("how? {}", self.stops.fetch_add(1, Ordering::Relaxed) + 1);
        self.press("\x1a");
        self.until("the shell", |text| text.contains(&asks)).await;
        let text = self.text();
        let modes = text.rsplit("stopped").next().unwrap_or_default();
        let given_back = ["isig icanon ", " echo "].iter().all(|mode| modes.contains(mode));
        assert!(given_back && !modes.contains("-icanon"), "modes given back\n{text}");
        assert!(!self.is_taken(), "the screen is given back\n{text}");
        text
    }

    /// Makes it another size, and tells whoever runs on it.
    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        self.screen.lock().expect("no reader panics").screen_mut().set_size(rows, columns);
        let size =
            rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&self.keyboard, size).expect("another size");
    }

    /// Runs a `peer` on it whose events go there too.
    pub(crate) fn all_on(&self, peer: PeerBuilder) -> PeerBuilder {
        let peer = self.with(peer);
        peer.events_to(Stdio::from(self.inner.try_clone().expect("a descriptor")))
    }

    fn through(&self, wrapper: &[&str], peer: PeerBuilder) -> PeerBuilder {
        let peer = peer.through(wrapper);
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

    /// Waits until these bytes were written.
    pub(crate) async fn until_written(&self, wanted: &[u8]) {
        let mut changes = self.changes.clone();
        let seen = async {
            loop {
                let written = self.written.lock().expect("no reader panics").clone();
                if written.windows(wanted.len()).any(|part| part == wanted) {
                    return true;
                }
                if changes.changed().await.is_err() {
                    return false;
                }
            }
        };
        let seen = tokio::time::timeout(PATIENCE, seen).await;
        assert_eq!(seen, Ok(true), "not written: {wanted:?}\n{}", self.text());
    }

    /// What stands on it, line by line.
    pub(crate) fn text(&self) -> String {
        self.screen.lock().expect("no reader panics").screen().contents()
    }

    /// Waits until it shows what is wanted.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&str) -> bool) {
        let mut changes = self.changes.clone();
        let seen = async {
            while !is_so(&self.text()) {
                // An error is the end: nobody draws on it any more.
                if changes.changed().await.is_err() {
                    return is_so(&self.text());
                }
            }
            true
        };
        let seen = tokio::time::timeout(PATIENCE, seen).await;
        assert_eq!(seen, Ok(true), "{what}: not seen\n{}", self.text());
    }

    /// Whether what is typed is shown by the terminal itself.
    pub(crate) fn echoes(&self) -> bool {
        let modes = rustix::termios::tcgetattr(&self.keyboard).expect("a terminal");
        modes.local_modes.contains(rustix::termios::LocalModes::ECHO)
    }

    /// The line in which the cursor stands, up to it.
    pub(crate) fn typed(&self) -> String {
        let screen = self.screen.lock().expect("no reader panics");
        let (row, column) = screen.screen().cursor_position();
        screen.screen().contents_between(row, 0, row, column)
    }

    /// How often it rang.
    pub(crate) fn rang(&self) -> usize {
        self.rang.load(Ordering::Relaxed)
    }

    /// Whether a program has taken the whole screen.
    pub(crate) fn is_taken(&self) -> bool {
        self.screen.lock().expect("no reader panics").screen().alternate_screen()
    }
}
