//! Where a recording is written: a file of its own, or beside one that is there, which it replaces
//! once something of it is on disk.
//!
//! Owns files and their names. Knows nothing of what is in them.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{Error, ErrorKind, Result, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile, TempPath};

use crate::media::identity::place;

/// Says why no recording can be written there, if that can be seen.
///
/// # Errors
/// When it is a directory or a pipe, as text.
pub(in crate::media::sink) fn check(path: &Path) -> std::result::Result<(), &'static str> {
    use std::os::unix::fs::FileTypeExt;
    match path.metadata().map(|about| about.file_type()) {
        Ok(kind) if kind.is_dir() => Err("it is a directory; name a file in it"),
        // The beginning is written over at the end; and opening it would wait for a reader.
        Ok(kind) if kind.is_fifo() || kind.is_socket() => {
            Err("it is a pipe, and a recording needs a file, whose beginning is written last")
        }
        _ => Ok(()),
    }
}

/// The place of one recording.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    file: Option<File>,
    /// The name that it has until it takes that of the old file.
    beside: Option<TempPath>,
    /// Whether the file is ours and empty: then it goes when nothing comes.
    fresh: bool,
}

impl Place {
    /// A file that is not there yet.
    pub(super) fn new(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        let path = path.to_owned();
        Ok(Self { path, file: Some(file), beside: None, fresh: true })
    }

    /// A file that may be there; it stays as it is until [`Self::settle`]. Whether it can be replaced
    /// is found out now.
    pub(super) fn over(path: &Path) -> Result<Self> {
        let Ok(about) = path.metadata() else { return Self::new(path) };
        if !about.is_file() {
            // A device or a pipe is written to as it is.
            let file = OpenOptions::new().write(true).open(path)?;
            let path = path.to_owned();
            return Ok(Self { path, file: Some(file), beside: None, fresh: false });
        }
        OpenOptions::new().append(true).open(path)?;
        // What a link leads to is replaced, not the link.
        let path = path.canonicalize()?;
        drop(beside(&path)?);
        Ok(Self { path, file: None, beside: None, fresh: false })
    }

    fn file(&mut self) -> Result<&mut File> {
        if self.file.is_none() {
            let (file, name) = beside(&self.path)?.into_parts();
            (self.file, self.beside) = (Some(file), Some(name));
        }
        self.file.as_mut().ok_or_else(|| std::io::Error::other("there is no file"))
    }

    /// Writes at the end.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.fresh = false;
        self.file()?.write_all(bytes)
    }

    /// Writes over the beginning, and goes back to the end.
    pub(super) fn over_head(&mut self, bytes: &[u8]) -> Result<()> {
        let file = self.file()?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(bytes)?;
        file.seek(SeekFrom::End(0))?;
        Ok(())
    }

    /// Cuts off what is behind so many bytes.
    pub(super) fn cut(&mut self, len: u64) -> Result<()> {
        let file = self.file()?;
        file.set_len(len)?;
        file.seek(SeekFrom::End(0))?;
        Ok(())
    }

    /// There is something to play: it takes the name that was asked for.
    pub(super) fn settle(&mut self) -> Result<()> {
        if let Some(beside) = self.beside.take() {
            beside.persist(&self.path).map_err(|refused| refused.error)?;
        }
        Ok(())
    }

    /// Whether what is written is kept by any name.
    pub(super) fn is_kept(&mut self) -> Result<()> {
        let about = self.file()?.metadata()?;
        if about.is_file() && about.nlink() == 0 {
            return Err(gone("the file was removed while it was written"));
        }
        Ok(())
    }

    /// Whether it is where it was asked for.
    pub(super) fn is_there(&mut self) -> Result<()> {
        self.is_kept()?;
        let about = self.file()?.metadata()?;
        let there = self.path.metadata().is_ok_and(|there| place(&there) == place(&about));
        if about.is_file() && !there {
            let moved = "the file was moved while it was written; what came is where it is now";
            return Err(gone(moved));
        }
        Ok(())
    }
}

fn gone(what: &str) -> Error {
    Error::new(ErrorKind::NotFound, what)
}

impl Drop for Place {
    fn drop(&mut self) {
        // An empty file is no recording. Should it not go away, it is in nobody's way.
        if self.fresh && self.path.symlink_metadata().is_ok_and(|about| about.len() == 0) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A file beside `path`, with the rights that the old one has.
fn beside(path: &Path) -> Result<NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut builder = Builder::new();
    let prefix = format!(".{name}.");
    builder.prefix(&prefix).suffix(".part");
    let file = builder.tempfile_in(folder.unwrap_or(Path::new(".")))?;
    let rights: Option<Permissions> = path.metadata().ok().map(|about| about.permissions());
    if let Some(rights) = rights {
        // Where rights cannot be given, those of a new file do.
        let _ = file.as_file().set_permissions(rights);
    }
    Ok(file)
}
