//! Pictures and sound out of files.
//!
//! Owns finding out what a file is and saying clearly why it cannot be
//! played. The two sources behind it decode just in time.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use super::SourceError;
use crate::media::container::{ContainerError, Kind, detect};
use crate::media::device::{DeviceNews, DeviceNotice};

mod aac;
mod audio;
mod h264;
mod input;
pub mod live;
mod mixdown;
mod packets;
mod pcm;
mod pictures;
mod pipe;
mod placing;
mod together;
mod video;

pub use audio::FileAudioSource;
use input::Input;
pub use together::{near, shared};
pub use video::FileVideoSource;

/// A file of known kind, opened for reading.
struct Opened {
    reader: Input,
    kind: Kind,
    /// Whether it can be read again from the start.
    seekable: bool,
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
    known(Input::file(file), true).map_err(in_file(path))
}

/// Finds out by its first bytes what is read.
fn known(mut reader: Input, seekable: bool) -> Result<Opened, ContainerError> {
    let mut head = Vec::new();
    (&mut reader).take(16).read_to_end(&mut head)?;
    reader.rewind()?;
    if head.is_empty() {
        return Err(ContainerError::corrupt("it is empty"));
    }
    let kind = detect(&head).ok_or_else(|| {
        ContainerError::unsupported(
            "it is none of y4m, mp4, mkv/webm, ivf, h264 (pictures), wav, ogg (sound); \
             convert it with `ffmpeg -i IN OUT.mp4`",
        )
    })?;
    Ok(Opened { reader, kind, seekable })
}

/// That a file ends before its time, told once for picture and sound.
fn cut_notice(path: &Path) -> DeviceNotice {
    let name = path.display();
    let message =
        format!("{name} ends in the middle: it was not copied whole; what is there plays");
    DeviceNotice { news: DeviceNews::Cut, message }
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
#[path = "file_samples_tests.rs"]
mod samples_tests;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
#[path = "file_tests.rs"]
mod tests;
