//! The secret that gives a program its name back on a server when the one before it has crashed.
//!
//! Owns a file for each server and name, which only we may read. Who runs has it locked: another
//! program of ours under the same name must not show the secret of one that is still there.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};

use super::place::place;
use super::secret_files::{KeyringError, io, private_folder};
use crate::secret::Secret;
use crate::signaling::message::MAX_TOKEN;
use crate::signaling::name::Looks;

/// The file, while it is ours.
#[derive(Debug)]
pub(super) struct Resume {
    file: File,
    path: PathBuf,
    /// What the last login was given, if that was never ended in order.
    pub(super) last: Option<Secret>,
}

impl Resume {
    /// The file for this name on this server; `None` while another program of ours has it.
    pub(super) fn open(
        folder: &Path,
        server: &str,
        name: &str,
    ) -> Result<Option<Self>, KeyringError> {
        let folder = folder.join("resume");
        private_folder(&folder)?;
        let path = folder.join(file_name(server, name));
        let mut options = File::options();
        options.create(true).truncate(false).read(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&path).map_err(|error| io(&path, error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(io(&path, error)),
        }
        let mut text = String::new();
        let read = (&mut file).take(MAX_TOKEN as u64 + 1).read_to_string(&mut text);
        // What is not ours is no secret, and is written over.
        let good = read.is_ok() && !text.is_empty() && text.len() <= MAX_TOKEN;
        Ok(Some(Self { file, path, last: good.then(|| Secret::new(text)) }))
    }

    /// Writes down what a login was given.
    pub(super) fn keep(&mut self, secret: &Secret) -> Result<(), KeyringError> {
        let mut write = || {
            self.file.set_len(0)?;
            self.file.rewind()?;
            self.file.write_all(secret.expose().as_bytes())
        };
        write().map_err(|error: std::io::Error| io(&self.path, error))
    }

    /// We said goodbye: there is nothing to come back to.
    pub(super) fn forget(self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "a secret that is of no use any more stays");
        }
    }
}

fn file_name(server: &str, name: &str) -> String {
    let mut hash = Context::new(&SHA256);
    hash.update(place(server).as_bytes());
    hash.update(b"\n");
    let looks = Looks::of(name);
    // The last is the one that does not depend on case.
    hash.update(looks.iter().last().unwrap_or(name).as_bytes());
    hash.finish().as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_program_that_begins_anew_has_what_the_one_before_was_given() {
        let home = tempfile::tempdir().unwrap();
        let open = |name| Resume::open(home.path(), "ws://h:1", name).unwrap();
        let mut first = open("alice").unwrap();
        assert_eq!(first.last, None);
        first.keep(&Secret::new("a longer one")).unwrap();
        first.keep(&Secret::new("one")).unwrap();
        assert!(open("alice").is_none(), "it is there, and its name is its own");
        assert!(open("bob").is_some());
        assert_eq!(first.path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        drop(first);
        let second = open("alice").unwrap();
        assert_eq!(second.last, Some(Secret::new("one")));
        second.forget();
        assert_eq!(open("alice").unwrap().last, None);
    }

    #[test]
    fn what_is_no_secret_is_not_shown() {
        let home = tempfile::tempdir().unwrap();
        let open = || Resume::open(home.path(), "ws://h:1", "alice").unwrap().unwrap();
        let path = open().path;
        for bad in [Vec::new(), vec![0xff; 9], vec![b'x'; MAX_TOKEN + 1]] {
            std::fs::write(&path, bad).unwrap();
            assert_eq!(open().last, None);
        }
    }
}
