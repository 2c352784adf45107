//! The two files of an operator's certificate, and when they are worth reading again.
//!
//! When is decided by `Watch`, which is pure: whoever looks hands in what was seen.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::TlsError;
use super::certificate::Certificate;
use crate::system;

/// More than any chain with its key; what is longer is some other file.
const MOST_BYTES: u64 = 1024 * 1024;

/// A certificate's file and that of its key.
pub(super) struct FilePair {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// Tells one content of the two files from another: modified (seconds, nanoseconds), length, inode.
pub(super) type Stamp = [Option<(i64, i64, u64, u64)>; 2];

impl FilePair {
    pub(super) fn load(&self) -> Result<Certificate, TlsError> {
        let (chain, secret) = (read(&self.certificate)?, read(&self.key)?);
        Certificate::from_pem((&self.certificate, &chain), (&self.key, &secret))
    }

    pub(super) fn stamp(&self) -> Stamp {
        [&self.certificate, &self.key].map(|path| {
            let file = std::fs::metadata(path).ok()?;
            Some((file.mtime(), file.mtime_nsec(), file.len(), file.ino()))
        })
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |reason: String| TlsError::Unreadable { path: path.to_owned(), reason };
    let file = std::fs::File::open(path).map_err(|error| unreadable(system::words(&error)))?;
    let mut bytes = Vec::new();
    let read = file.take(MOST_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| unreadable(system::words(&error)))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(unreadable("it is too large to be a certificate or a key".to_owned()));
    }
    Ok(bytes)
}

/// Notices a change, and waits until the files hold still: the certificate is often replaced a
/// moment before its key, and in between they are no pair.
pub(super) struct Watch<S> {
    read: S,
    last: S,
}

impl<S: PartialEq + Clone> Watch<S> {
    /// `seen` is what is about to be read.
    pub(super) fn new(seen: S) -> Self {
        Self { read: seen.clone(), last: seen }
    }

    /// Whether to read now; each content is read once.
    pub(super) fn look(&mut self, seen: S) -> bool {
        let still = seen == self.last;
        self.last = seen;
        let due = still && self.last != self.read;
        if due {
            self.read = self.last.clone();
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_read_once_and_only_when_it_holds_still() {
        let mut watch = Watch::new(1);
        let looks = [1, 1, 2, 3, 3, 3, 4, 3, 3, 5, 5, 5];
        let read: Vec<_> = looks.into_iter().map(|seen| watch.look(seen)).collect();
        let wanted = [4, 10].map(|at| at as usize);
        let got: Vec<_> =
            read.iter().enumerate().filter_map(|(at, due)| due.then_some(at)).collect();
        assert_eq!(got, wanted);
    }
}
