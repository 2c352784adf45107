//! A cursor over bytes that never panics: every read says whether the bytes were there.
//!
//! Owns big-endian reads and bounded reads from a file. Knows no format.

use std::io::Read;

use super::ContainerError;

/// Reads big-endian numbers off the front of a slice.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// A cursor at the start of `data`.
    #[must_use]
    pub fn new(data: &'a [u8]) -> Self {
        Self { rest: data }
    }

    /// What has not been read yet.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], ContainerError> {
        let (head, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or_else(|| ContainerError::corrupt("a part of the file is shorter than it says"))?;
        self.rest = rest;
        Ok(head)
    }

    /// A big-endian number of `bytes` bytes (at most 8).
    ///
    /// # Errors
    /// When there are fewer bytes.
    pub fn uint(&mut self, bytes: usize) -> Result<u64, ContainerError> {
        Ok(self.take(bytes)?.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    /// One byte.
    ///
    /// # Errors
    /// At the end.
    pub fn u8(&mut self) -> Result<u8, ContainerError> {
        Ok(self.take(1)?[0])
    }

    /// A 16-bit number.
    ///
    /// # Errors
    /// At the end.
    pub fn u16(&mut self) -> Result<u16, ContainerError> {
        Ok(self.uint(2)? as u16)
    }

    /// A 32-bit number.
    ///
    /// # Errors
    /// At the end.
    pub fn u32(&mut self) -> Result<u32, ContainerError> {
        Ok(self.uint(4)? as u32)
    }

    /// A 64-bit number.
    ///
    /// # Errors
    /// At the end.
    pub fn u64(&mut self) -> Result<u64, ContainerError> {
        self.uint(8)
    }
}

/// Reads exactly `len` bytes, growing the buffer only with what the file really holds.
///
/// # Errors
/// When `len` is above `limit`, the file ends early or cannot be read.
pub fn read_bounded(
    reader: &mut impl Read,
    len: u64,
    limit: usize,
) -> Result<Vec<u8>, ContainerError> {
    if len > limit as u64 {
        return Err(ContainerError::corrupt(format!(
            "a part of {len} bytes; at most {limit} are read"
        )));
    }
    let mut data = Vec::new();
    reader.take(len).read_to_end(&mut data)?;
    if (data.len() as u64) < len {
        return Err(ContainerError::corrupt("the file ends in the middle of a packet"));
    }
    Ok(data)
}
