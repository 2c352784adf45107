//! Whether other users of this machine may read what should be secret.
//!
//! Asks the file system for the modes of files, and reads nothing.

use std::path::Path;

use super::output::Output;

/// Warns of a file that others than its owner and its group may read or write.
pub fn warn_if_open(path: &Path, what: &str, output: &Output) {
    if is_open(path) {
        let path = path.display();
        output.warn(&format!("other users may read {what} in {path}; run chmod o= {path}"));
    }
}

/// A file that is not there, or on a system without modes, is no matter of ours.
#[cfg(unix)]
fn is_open(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    const OTHERS: u32 = 0o006;
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & OTHERS != 0)
}

#[cfg(not(unix))]
fn is_open(_: &Path) -> bool {
    false
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_open_when_others_may_read_or_write_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "north").unwrap();
        for (mode, open) in [(0o600, false), (0o640, false), (0o644, true), (0o602, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(is_open(&path), open, "{mode:o}");
        }
        assert!(!is_open(&folder.path().join("nothing")) && !is_open(folder.path()));
    }
}
