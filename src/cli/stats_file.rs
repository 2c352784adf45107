//! `--stats FILE`: one snapshot a second, as JSON lines, for whoever draws curves later.
//!
//! Owns the file. The lines are the `stats` events of `--json`.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::phone::event::{Event, EventKind};
use crate::system;

/// An open file of snapshots.
#[derive(Debug)]
pub struct StatsFile {
    path: PathBuf,
    /// `None` after a write failed: it is said once, and the call goes on.
    file: Option<File>,
    /// What a pipe had no room for yet.
    rest: Vec<u8>,
}

impl StatsFile {
    /// Opens the file, at its end when it is there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append(path: &Path) -> std::io::Result<Self> {
        // Of a pipe neither opening nor writing may wait for a reader: nobody would know why.
        let flags = rustix::fs::OFlags::NONBLOCK.bits();
        let mut options = File::options();
        options.create(true).append(true).custom_flags(flags.cast_signed());
        let file = options.open(path)?;
        Ok(Self { path: path.to_owned(), file: Some(file), rest: Vec::new() })
    }

    /// Writes the event when it is a snapshot.
    ///
    /// # Errors
    /// When the file cannot be written any more; said once, later events are ignored.
    pub fn write(&mut self, event: &Event) -> Result<(), String> {
        let Some(file) = &mut self.file else { return Ok(()) };
        if !matches!(event.kind, EventKind::Stats(_)) {
            return Ok(());
        }
        let line = serde_json::to_vec(event).map_err(std::io::Error::from);
        let written = line.and_then(|mut line| {
            line.push(b'\n');
            // A reader who is too slow misses snapshots, but none is cut.
            if self.rest.is_empty() {
                self.rest = line;
            }
            write_what_fits(file, &mut self.rest)
        });
        written.map_err(|error| {
            self.file = None;
            let reason = refusal(&error);
            format!("cannot write {}: {reason}; no more stats are kept", self.path.display())
        })
    }
}

/// Writes until all is written, or there is no room.
fn write_what_fits(file: &mut File, rest: &mut Vec<u8>) -> std::io::Result<()> {
    while !rest.is_empty() {
        match file.write(rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => drop(rest.drain(..count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Why it cannot be written, in words.
#[must_use]
pub fn refusal(error: &std::io::Error) -> String {
    let nobody = rustix::io::Errno::NXIO.raw_os_error();
    match error.raw_os_error() {
        Some(code) if code == nobody => {
            "it is a pipe that nobody reads; start its reader first".to_owned()
        }
        _ => system::words(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::time::SystemTime;

    use super::*;

    fn event(kind: EventKind) -> Event {
        Event { kind, time: SystemTime::UNIX_EPOCH, call: Some(1), peer: Some("bob".into()) }
    }

    #[test]
    fn snapshots_are_appended_and_other_events_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.jsonl");
        for _ in 0..2 {
            let mut stats = StatsFile::append(&path).unwrap();
            stats.write(&event(EventKind::Calling)).unwrap();
            stats.write(&event(EventKind::Stats(Box::default()))).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1]["event"], "stats");
        assert_eq!(lines[1]["peer"], "bob");
        assert!(lines[1]["inbound"].is_object());
    }

    #[test]
    fn a_folder_cannot_be_opened() {
        let folder = tempfile::tempdir().unwrap();
        assert!(StatsFile::append(folder.path()).is_err());
    }

    #[test]
    fn a_pipe_makes_nobody_wait_and_cuts_no_line() {
        use std::io::Read;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let error = StatsFile::append(&path).unwrap_err();
        assert!(refusal(&error).contains("nobody reads"), "{error}");
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let mut reader = File::options().read(true).custom_flags(flags).open(&path).unwrap();
        let mut stats = StatsFile::append(&path).unwrap();
        let snapshot = event(EventKind::Stats(Box::default()));
        // More than a pipe holds.
        for _ in 0..300 {
            stats.write(&snapshot).unwrap();
        }
        let mut read = || {
            let (mut all, mut part) = (Vec::new(), [0; 4096]);
            while let Ok(count @ 1..) = reader.read(&mut part) {
                all.extend_from_slice(&part[..count]);
            }
            String::from_utf8(all).unwrap()
        };
        let before = read();
        stats.write(&snapshot).unwrap();
        stats.write(&snapshot).unwrap();
        let all = before + &read();
        assert!(all.lines().count() > 3);
        for line in all.lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
        drop(reader);
        assert!(stats.write(&snapshot).unwrap_err().contains("no more stats"));
    }

    #[cfg(target_os = "linux")] // The device is Linux's own.
    #[test]
    fn a_full_disk_is_said_once() {
        let mut stats = StatsFile::append(Path::new("/dev/full")).unwrap();
        let snapshot = event(EventKind::Stats(Box::default()));
        assert!(stats.write(&snapshot).unwrap_err().contains("/dev/full"));
        assert_eq!(stats.write(&snapshot), Ok(()));
    }
}
