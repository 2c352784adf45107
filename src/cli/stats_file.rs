//! `--stats FILE`: one snapshot a second, as JSON lines, for whoever draws curves later.
//!
//! Owns the file. The lines are the `stats` events of `--json`.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::phone::event::{Event, EventKind};
use crate::system;

/// An open file of snapshots.
#[derive(Debug)]
pub struct StatsFile {
    path: PathBuf,
    /// `None` after a write failed: it is said once, and the call goes on.
    file: Option<File>,
}

impl StatsFile {
    /// Opens the file, at its end when it is there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append(path: &Path) -> std::io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        Ok(Self { path: path.to_owned(), file: Some(file) })
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
        let written =
            serde_json::to_vec(event).map_err(std::io::Error::from).and_then(|mut line| {
                line.push(b'\n');
                file.write_all(&line)
            });
        written.map_err(|error| {
            self.file = None;
            format!(
                "cannot write {}: {}; no more stats are kept",
                self.path.display(),
                system::words(&error)
            )
        })
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

    #[cfg(target_os = "linux")] // The device is Linux's own.
    #[test]
    fn a_full_disk_is_said_once() {
        let mut stats = StatsFile::append(Path::new("/dev/full")).unwrap();
        let snapshot = event(EventKind::Stats(Box::default()));
        assert!(stats.write(&snapshot).unwrap_err().contains("/dev/full"));
        assert_eq!(stats.write(&snapshot), Ok(()));
    }
}
