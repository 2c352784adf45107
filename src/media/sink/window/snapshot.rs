//! A picture of theirs as a PNG file.

use std::fs::OpenOptions;
use std::io::BufWriter;
use std::path::PathBuf;

use super::super::names;
use crate::clock;
use crate::system;

/// Writes `rgb`, `width` x `height`, into a new file in the current folder; says its name.
pub(super) fn save(rgb: &[u8], (width, height): (u32, u32)) -> Result<PathBuf, String> {
    let first = names::after_time(clock::wall(), "png");
    for number in 1..names::TRIES {
        let path = names::nth(&first, number);
        let file = match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(system::words(&error)),
        };
        let mut encoder = png::Encoder::new(BufWriter::new(file), width, height);
        encoder.set_color(png::ColorType::Rgb);
        let written = encoder.write_header().and_then(|mut png| png.write_image_data(rgb));
        return written.map(|()| path).map_err(|error| match error {
            png::EncodingError::IoError(error) => system::words(&error),
            other => {
                tracing::warn!(%other, "a snapshot is not written");
                "the picture cannot be written as PNG".to_owned()
            }
        });
    }
    Err("too many snapshots in one second".to_owned())
}
