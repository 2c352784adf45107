//! Files that only we may read, and what can be wrong with them.

use std::path::{Path, PathBuf};

use crate::system;

/// What is wrong with a file of keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// It cannot be read or written.
    #[error("{}: {reason}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        reason: String,
    },
    /// Others may read what only we must know.
    #[error("other users may read {}; run chmod 600 {}", .path.display(), .path.display())]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// It is not what we wrote.
    #[error("{} is not what peer wrote; put it back as it was, or remove it", .path.display())]
    Broken {
        /// The file.
        path: PathBuf,
    },
}

pub(super) fn private_folder(folder: &Path) -> Result<(), KeyringError> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder).map_err(|error| io(folder, error))
}

pub(super) fn io(path: &Path, reason: impl ToString) -> KeyringError {
    let reason = system::without_number(&reason.to_string());
    KeyringError::Io { path: path.to_owned(), reason }
}
