//! Which file a name leads to, whatever it is called: by hard links, symbolic ones, `..`, or as
//! standard input.
//!
//! Asks the file system; opens nothing.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The name of standard input among files that are read.
pub(super) const STANDARD_INPUT: &str = "-";

/// What two names have in common that lead to the same file: device and inode, or for one that is not
/// there yet those of its folder, and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity(Option<(u64, u64)>, Option<OsString>);

/// Links that are followed one after the other; more are a circle.
const MOST_LINKS: usize = 40;

impl Identity {
    /// Of a file that is read: `-` is standard input.
    pub(super) fn of_input(path: &Path) -> Self {
        let input = (path == Path::new(STANDARD_INPUT)).then(standard_input).flatten();
        input.map_or_else(|| Self::of(path), |about| Self(Some(place(&about)), None))
    }

    /// Of a file that is there, or may be made.
    pub(super) fn of(path: &Path) -> Self {
        let of = |path: &Path| path.metadata().ok().map(|about| place(&about));
        if let Some(found) = of(path) {
            return Self(Some(found), None);
        }
        let path = end_of_links(path);
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let name = path.file_name().unwrap_or(path.as_os_str()).to_owned();
        Self(of(folder.unwrap_or(Path::new("."))), Some(name))
    }

    /// Of what is behind standard input, where it is a file or a pipe: of a terminal or a device
    /// nothing can be destroyed.
    pub(super) fn of_standard_input() -> Option<Self> {
        let about = standard_input()?;
        let kind = about.file_type();
        (kind.is_file() || kind.is_fifo()).then(|| Self(Some(place(&about)), None))
    }
}

/// Device and inode.
pub(super) fn place(about: &Metadata) -> (u64, u64) {
    (about.dev(), about.ino())
}

fn standard_input() -> Option<Metadata> {
    File::from(std::io::stdin().as_fd().try_clone_to_owned().ok()?).metadata().ok()
}

/// Where a link leads to, whether it is there or not.
fn end_of_links(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(target) = path.read_link() else { break };
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    path
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn links_to_what_is_not_there_yet_are_followed_to_their_end() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::os::unix::fs::symlink("two.mkv", at("one.mkv")).unwrap();
        std::os::unix::fs::symlink("three.mkv", at("two.mkv")).unwrap();
        std::os::unix::fs::symlink("round.mkv", at("round.mkv")).unwrap();
        assert_eq!(Identity::of(&at("one.mkv")), Identity::of(&at("three.mkv")));
        assert_ne!(Identity::of(&at("one.mkv")), Identity::of(&at("round.mkv")));
    }
}
