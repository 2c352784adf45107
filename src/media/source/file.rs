//! Pictures and sound out of files.
//!
//! Owns finding out what a file is and saying clearly why it cannot be
//! played. The two sources behind it decode just in time.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use super::SourceError;
use crate::media::container::pictures::FILES;
use crate::media::container::{ContainerError, Kind, detect};
use crate::media::device::{DeviceNews, DeviceNotice};
use crate::system;

mod aac;
mod audio;
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
    let file = File::open(path).map_err(|error| unreadable(system::words(&error)))?;
    let about = file.metadata().map_err(|error| unreadable(system::words(&error)))?;
    if about.is_dir() {
        return Err(unreadable("it is a directory".into()));
    }
    if !about.is_file() {
        return Err(unreadable("it is not a regular file".into()));
    }
    known(Input::file(file, about.len()), true).map_err(in_file(path))
}

/// Finds out by its first bytes what is read.
fn known(mut reader: Input, seekable: bool) -> Result<Opened, ContainerError> {
    let mut head = Vec::new();
    (&mut reader).take(16).read_to_end(&mut head)?;
    reader.rewind()?;
    if head.is_empty() {
        return Err(ContainerError::corrupt("it is empty"));
    }
    let Some(kind) = detect(&head) else {
        head.clear();
        (&mut reader).take(512).read_to_end(&mut head)?;
        return Err(ContainerError::unsupported(format!(
            "{}; supported are {FILES} (pictures), wav and ogg (sound); convert it with \
             `ffmpeg -i IN -pix_fmt yuv420p OUT.mp4`",
            other_kind(&head)
        )));
    };
    Ok(Opened { reader, kind, seekable })
}

/// What a file is that is not played, by its first bytes.
fn other_kind(head: &[u8]) -> &'static str {
    // Packets of 188 bytes, on disks with four more before each (ISO/IEC 13818-1 section 2.4.3.2).
    let packets =
        |first: usize, step: usize| (0..2).all(|n| head.get(first + n * step) == Some(&0x47));
    match head {
        _ if packets(0, 188) || packets(4, 192) => "it is MPEG-TS",
        [0x47, 0x49, 0x46, 0x38, ..] => "it is a GIF",
        [0x89, b'P', b'N', b'G', ..] | [0xFF, 0xD8, 0xFF, ..] => "it is a still picture",
        [b'F', b'L', b'V', ..] => "it is FLV",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', ..] => "it is AVI",
        [b'R', b'F', b'6', b'4', ..] | [b'B', b'W', b'6', b'4', ..] => {
            "it is WAV of more than 4 GiB"
        }
        [b'F', b'O', b'R', b'M', _, _, _, _, b'A', b'I', b'F', ..] => "it is AIFF",
        [b'.', b's', b'n', b'd', ..] => "it is AU",
        [b'#', b'!', b'A', b'M', b'R', ..] => "it is AMR",
        [b'c', b'a', b'f', b'f', ..] => "it is Core Audio",
        [0, 0, 1, 0xBA, ..] => "it is MPEG-PS",
        [b'f', b'L', b'a', b'C', ..] => "it is FLAC",
        [b'I', b'D', b'3', ..] | [0xFF, 0xFB | 0xFA | 0xF3 | 0xF2, ..] => "it is MP3",
        [0xFF, 0xF1 | 0xF9, ..] => "it is AAC without a container",
        [0x30, 0x26, 0xB2, 0x75, ..] => "it is WMV or WMA",
        _ => "unknown format",
    }
}

/// That a file ends before its time, told once for picture and sound.
fn cut_notice(path: &Path) -> DeviceNotice {
    let name = path.display();
    let message = format!("{name} is incomplete; playing what is there");
    DeviceNotice { news: DeviceNews::Cut, message }
}

/// Names the file in an error of its container.
fn in_file(path: &Path) -> impl Fn(ContainerError) -> SourceError + '_ {
    move |error| {
        let path: PathBuf = path.to_owned();
        match error {
            ContainerError::Io(error) => {
                SourceError::Unreadable { path, reason: system::words(&error) }
            }
            ContainerError::Corrupt(reason) => SourceError::Corrupt { path, reason },
            ContainerError::Unsupported(reason) => SourceError::Unsupported { path, reason },
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
#[path = "file_shown_tests.rs"]
mod shown_tests;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
#[path = "file_samples_tests.rs"]
mod samples_tests;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
#[path = "file_tests.rs"]
mod tests;
