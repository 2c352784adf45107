//! Reads from a pipe without being caught in it: a reader whom nobody wants any more lets go, whether
//! somebody writes or not.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::clock;
use crate::media::identity::STANDARD_INPUT;

/// A named pipe, or standard input.
pub(super) struct Pipe {
    file: File,
    /// Whether nobody wants it any more.
    gone: Box<dyn Fn() -> bool + Send>,
    /// Whether there was a writer: before the first a pipe looks as if it had ended.
    begun: bool,
}

/// How long it is waited before looking whether anybody still wants it.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// That a writer opens the other end is no event, so it is looked for so often.
const WRITER: Duration = Duration::from_millis(50);

impl Pipe {
    /// Opens `path`, or standard input for `-`, without waiting for a writer.
    pub(super) fn open(path: &Path, gone: Box<dyn Fn() -> bool + Send>) -> io::Result<Self> {
        let is_input = path == Path::new(STANDARD_INPUT);
        let file = if is_input { standard_input()? } else { open_without_waiting(path)? };
        Ok(Self { file, gone, begun: is_input })
    }
}

fn standard_input() -> io::Result<File> {
    use std::os::fd::AsFd;
    if io::stdin().is_terminal() {
        let reason =
            "it is a terminal; feed it by a pipe (COMMAND | peer ...) or from a file (< FILE)";
        return Err(io::Error::other(reason));
    }
    Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?))
}

fn open_without_waiting(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = rustix::fs::OFlags::NONBLOCK.bits();
    File::options().read(true).custom_flags(flags.cast_signed()).open(path)
}

impl Read for Pipe {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        loop {
            if (self.gone)() {
                return Ok(0);
            }
            let mut asked = [PollFd::new(&self.file, PollFlags::IN)];
            match poll(&mut asked, Some(&LOOK)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
            match self.file.read(to) {
                Ok(0) if !self.begun => clock::sleep_until(clock::now() + WRITER),
                Ok(count) => {
                    self.begun = true;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}
