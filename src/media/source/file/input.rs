//! What containers are read from: a file, or a stream that comes once.
//!
//! A stream can be read forward only. What was read of it is kept until somebody says that nobody
//! will want it again, so that its kind can be found out.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

/// What a container is read from.
pub(super) enum Input {
    File(Whole),
    Stream(Stream),
}

/// A file, and how long it was when it was opened.
pub(super) struct Whole {
    reader: BufReader<File>,
    len: u64,
}

/// A stream with a place in it.
pub(super) struct Stream {
    reader: Box<dyn Read + Send>,
    /// What was read from the start on, as long as it may be wanted again.
    kept: Vec<u8>,
    keeps: bool,
    /// The place that is read next, and how far the stream was read.
    at: u64,
    read: u64,
}

/// So much of a stream is kept at most: its head, and the first picture, in which its size stands.
const MOST_KEPT: usize = 16 << 20;

impl Input {
    /// A file of so many bytes.
    pub(super) fn file(file: File, len: u64) -> Self {
        Self::File(Whole { reader: BufReader::with_capacity(64 << 10, file), len })
    }

    pub(super) fn stream(reader: Box<dyn Read + Send>) -> Self {
        Self::Stream(Stream { reader, kept: Vec::new(), keeps: true, at: 0, read: 0 })
    }
}

impl Read for Input {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(to),
            Self::Stream(stream) => stream.read(to),
        }
    }
}

impl Seek for Input {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::File(file) => file.reader.seek(to),
            Self::Stream(stream) => stream.seek(to),
        }
    }
}

impl Whole {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(to)?;
        // At the end of what was opened there is an end; before it, somebody cut the file meanwhile.
        if count == 0 && !to.is_empty() && self.reader.get_ref().metadata()?.len() < self.len {
            return Err(io::Error::other("it became shorter while it was read"));
        }
        Ok(count)
    }
}

impl Stream {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.at < self.read {
            let kept = self.kept.get(self.at as usize..).unwrap_or_default();
            let count = kept.len().min(to.len());
            to[..count].copy_from_slice(&kept[..count]);
            self.at += count as u64;
            return Ok(count);
        }
        let count = self.reader.read(to)?;
        if self.keeps {
            self.kept.extend_from_slice(&to[..count]);
            if self.kept.len() > MOST_KEPT {
                (self.keeps, self.kept) = (false, Vec::new());
            }
        }
        self.at += count as u64;
        self.read = self.at;
        Ok(count)
    }

    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let gone = || io::Error::new(io::ErrorKind::Unsupported, "a stream cannot be read again");
        let target = match to {
            SeekFrom::Start(target) => target,
            SeekFrom::Current(by) => self.at.checked_add_signed(by).ok_or_else(gone)?,
            SeekFrom::End(_) => return Err(gone()),
        };
        if target < self.read && self.kept.is_empty() && target != self.at {
            return Err(gone());
        }
        if target <= self.read {
            self.at = target;
            return Ok(target);
        }
        let mut left = target - self.at;
        let mut scratch = [0; 4096];
        while left > 0 {
            let part = left.min(scratch.len() as u64) as usize;
            match self.read(&mut scratch[..part])? {
                0 => break,
                count => left -= count as u64,
            }
        }
        Ok(self.at)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn stream(len: usize) -> Input {
        let data: Vec<u8> = (0..len).map(|n| n as u8).collect();
        Input::stream(Box::new(io::Cursor::new(data)))
    }

    #[test]
    fn the_beginning_of_a_stream_can_be_read_twice_and_what_is_passed_is_gone() {
        let mut input = stream(40 << 20);
        let mut head = [0; 16];
        for _ in 0..2 {
            input.read_exact(&mut head).unwrap();
            assert_eq!((head[0], head[15]), (0, 15));
            input.rewind().unwrap();
        }
        assert_eq!(input.seek(SeekFrom::Current(300)).unwrap(), 300);
        input.read_exact(&mut head).unwrap();
        assert_eq!(head[0], 44);
        input.seek(SeekFrom::Start(32 << 20)).unwrap();
        assert!(input.rewind().is_err());
        assert!(input.seek(SeekFrom::End(0)).is_err());
        input.read_exact(&mut head).unwrap();
        assert_eq!(head[1], 1);
    }
    #[test]
    fn a_file_that_shrinks_is_a_fault_and_one_that_grows_is_none() {
        let named = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(named.path(), [7; 1000]).unwrap();
        let mut input = Input::file(File::open(named.path()).unwrap(), 1000);
        let mut all = Vec::new();
        input.read_to_end(&mut all).unwrap();
        named.as_file().set_len(2000).unwrap();
        input.rewind().unwrap();
        input.read_to_end(&mut all).unwrap();
        assert_eq!(all.len(), 3000);
        named.as_file().set_len(500).unwrap();
        input.rewind().unwrap();
        let error = input.read_to_end(&mut all).unwrap_err();
        assert!(error.to_string().contains("shorter"), "{error}");
    }
}
