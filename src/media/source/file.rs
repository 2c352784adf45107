//! Pictures and sound out of files.
//!
//! Owns finding out what a file is and saying clearly why it cannot be
//! played. The two sources behind it decode just in time.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::SourceError;
use crate::media::container::mp4::Mp4Reader;
use crate::media::container::{ContainerError, Kind, detect, mkv};

mod aac;
mod audio;
mod h264;
mod mixdown;
mod packets;
mod pcm;
mod pictures;
mod video;

pub use audio::FileAudioSource;
pub use video::FileVideoSource;

/// A file of known kind, opened for reading.
#[derive(Debug)]
struct Opened {
    reader: BufReader<File>,
    kind: Kind,
}

/// Opens a file and looks at its first bytes.
fn open_file(path: &Path) -> Result<Opened, SourceError> {
    let unreadable = |reason: String| SourceError::Unreadable { path: path.to_owned(), reason };
    let file = File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let about = file.metadata().map_err(|error| unreadable(error.to_string()))?;
    if about.is_dir() {
        return Err(unreadable("it is a directory".into()));
    }
    if !about.is_file() {
        return Err(unreadable("it is not a regular file".into()));
    }
    let mut reader = BufReader::with_capacity(64 << 10, file);
    let mut head = Vec::new();
    (&mut reader).take(16).read_to_end(&mut head).map_err(|error| unreadable(error.to_string()))?;
    reader.rewind().map_err(|error| unreadable(error.to_string()))?;
    if head.is_empty() {
        return Err(SourceError::Corrupt { path: path.to_owned(), reason: "it is empty".into() });
    }
    let kind = detect(&head).ok_or_else(|| SourceError::Unsupported {
        path: path.to_owned(),
        reason: "it is none of y4m, mp4, mkv/webm, ivf, h264 (pictures), wav, ogg (sound); \
                 convert it with `ffmpeg -i IN OUT.mp4`"
            .into(),
    })?;
    Ok(Opened { reader, kind })
}

/// Names the file in an error of its container.
fn in_file(path: &Path) -> impl Fn(ContainerError) -> SourceError + '_ {
    move |error| {
        let path: PathBuf = path.to_owned();
        match error {
            ContainerError::Io(error) => {
                SourceError::Unreadable { path, reason: error.to_string() }
            }
            ContainerError::Corrupt(reason) => SourceError::Corrupt { path, reason },
            ContainerError::Unsupported(reason) => SourceError::Unsupported { path, reason },
        }
    }
}

/// How long picture and sound of one file last: the longer of the two.
///
/// # Errors
/// When the file cannot be read.
pub fn period(path: &Path) -> Result<Option<Duration>, SourceError> {
    let Opened { reader, kind } = open_file(path)?;
    let nanos = match kind {
        Kind::Mp4 => {
            let mp4 = Mp4Reader::open(reader).map_err(in_file(path))?;
            mp4.tracks.iter().map(crate::media::container::mp4::Mp4Track::end).max().unwrap_or(0)
        }
        Kind::Mkv => mkv::duration(reader).map_err(in_file(path))?,
        _ => return Ok(None),
    };
    let period = Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
    // A length that nobody can mean is not believed.
    let sane = Duration::from_millis(10)..Duration::from_secs(7 * 24 * 3600);
    Ok(sane.contains(&period).then_some(period))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
#[path = "file_tests.rs"]
mod tests;
