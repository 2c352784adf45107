//! Names for files that nobody named, and for the later ones of a name. Pure.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use time::OffsetDateTime;
use time::macros::format_description;

/// Names that are tried; more files in one second are a loop of somebody's.
pub(super) const TRIES: u32 = 100;

/// The `number`-th file beside `path`, counted from 1: `call.mkv`, `call-2.mkv`.
pub(super) fn nth(path: &Path, number: u32) -> PathBuf {
    if number <= 1 {
        return path.to_owned();
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}-{number}.{ending}"))
}

/// In the current folder, after the time: `peer-20261124-093000.mkv`, in UTC.
pub(super) fn after_time(at: SystemTime, ending: &str) -> PathBuf {
    let format = format_description!("[year][month][day]-[hour][minute][second]");
    // Fails only for years beyond four digits.
    let stamp = OffsetDateTime::from(at).format(format).unwrap_or_else(|_| "later".to_owned());
    PathBuf::from(format!("peer-{stamp}.{ending}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn later_files_stand_beside_the_first() {
        let first = after_time(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_512_600), "png");
        assert_eq!(first, Path::new("peer-20261124-093000.png"));
        assert_eq!(nth(&first, 1), first);
        assert_eq!(nth(&first, 2), Path::new("peer-20261124-093000-2.png"));
        assert_eq!(nth(Path::new("a.b/call.mkv"), 3), Path::new("a.b/call-3.mkv"));
    }
}
