//! Standard input: whether somebody can be asked on it, and its lines.
//!
//! Owns the reading thread. What a line means is decided in `prompt.rs`.

use std::io::{BufRead, IsTerminal, Read};
use std::sync::mpsc::SyncSender;

use tokio::sync::mpsc;

use super::{terminal, tty};

/// What stands behind standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A person.
    Terminal,
    /// A pipe, a socket or a file: a script that may feed commands.
    Script,
    /// `/dev/null`, or closed: nobody can be asked.
    Nobody,
}

/// Looks what stands behind standard input.
#[must_use]
pub fn kind() -> Kind {
    if std::io::stdin().is_terminal() {
        return Kind::Terminal;
    }
    not_a_terminal()
}

#[cfg(unix)]
fn not_a_terminal() -> Kind {
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileTypeExt;
    let kind = std::io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .and_then(|fd| std::fs::File::from(fd).metadata())
        .map(|metadata| metadata.file_type());
    match kind {
        Ok(kind) if kind.is_fifo() || kind.is_socket() || kind.is_file() => Kind::Script,
        _ => Kind::Nobody,
    }
}

/// Elsewhere the kinds of files are not told apart: one that ends at once has said nothing.
#[cfg(not(unix))]
fn not_a_terminal() -> Kind {
    Kind::Script
}

/// More than any command needs.
const LONGEST_LINE: u64 = 4096;

/// Lines that somebody types or a script feeds.
#[derive(Debug)]
pub struct Lines {
    lines: mpsc::Receiver<String>,
    /// A line editor waits for leave to show its prompt again.
    ready: Option<SyncSender<()>>,
}

impl Lines {
    /// Lines of an editor, which waits for [`Lines::ready`] before each.
    #[must_use]
    pub fn edited(lines: mpsc::Receiver<String>, ready: SyncSender<()>) -> Self {
        Self { lines, ready: Some(ready) }
    }

    /// The next line; `None` at the end.
    pub async fn next(&mut self) -> Option<String> {
        self.lines.recv().await
    }

    /// The last line is done with.
    pub fn ready(&self) {
        if let Some(ready) = &self.ready {
            // It has room for one, and is asked once a line.
            let _ = ready.try_send(());
        }
    }
}

/// The lines of standard input as they come.
///
/// A thread of our own, because a read cannot be cancelled: it ends with the
/// process, where the runtime's own blocking pool would be waited for.
#[must_use]
pub fn lines() -> Lines {
    let (to, lines) = mpsc::channel(16);
    let reader = std::thread::Builder::new().name("stdin".into()).spawn(move || {
        tty::leave_input_alone();
        let mut stdin = std::io::stdin().lock();
        loop {
            match next_line(&mut stdin) {
                Ok(Some(line)) => {
                    if to.blocking_send(line).is_err() {
                        return;
                    }
                }
                Err(_) if stdin.is_terminal() && terminal::comes_back() => {}
                Ok(None) | Err(_) => return,
            }
        }
    });
    if let Err(error) = reader {
        tracing::warn!(%error, "standard input cannot be read");
    }
    Lines { lines, ready: None }
}

/// One line without its end; what is longer than a command can be is cut off.
fn next_line(from: &mut impl BufRead) -> std::io::Result<Option<String>> {
    let mut line = Vec::new();
    if from.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if !line.ends_with(b"\n") {
        from.skip_until(b'\n')?;
    }
    Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn all(mut bytes: &[u8]) -> Vec<String> {
        std::iter::from_fn(|| next_line(&mut bytes).unwrap()).collect()
    }

    #[test]
    fn lines_come_without_their_ends() {
        assert_eq!(all(b"call bob\r\n\nquit"), ["call bob", "", "quit"]);
        assert_eq!(all(b""), [""; 0]);
    }

    #[test]
    fn a_line_without_end_is_cut_and_the_next_one_whole() {
        let mut bytes = vec![b'x'; 100_000];
        bytes.extend_from_slice(b"\nquit\n");
        let lines = all(&bytes);
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [4096, 4]);
        assert_eq!(lines[1], "quit");
    }

    #[test]
    fn bytes_that_are_no_text_do_not_stop_it() {
        assert_eq!(all(b"\xff\xfe\nquit\n")[1], "quit");
    }
}
