//! Raw H.264 files (ITU-T H.264 annex B), one access unit after the other.
//!
//! Pure over `Read`. Looks into a NAL unit only as far as finding the borders of pictures needs.

use std::io::{Read, Seek};

use super::{ContainerError, MAX_PACKET};
use crate::media::codec::h264::nal::{find_start_code, nal_type, nal_unit_type};

/// Reads a raw .h264 file one access unit at a time.
#[derive(Debug)]
pub struct AnnexBReader<R> {
    reader: R,
    buffer: Vec<u8>,
    /// Where in `buffer` the search for the next NAL unit goes on.
    scanned: usize,
    /// Whether the access unit that begins the buffer already holds a slice.
    has_slice: bool,
    at_end: bool,
}

impl<R: Read + Seek> AnnexBReader<R> {
    /// A reader at the start of the file.
    pub fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new(), scanned: 0, has_slice: false, at_end: false }
    }

    /// The next access unit with its start codes; `None` at the end.
    ///
    /// # Errors
    /// When the file cannot be read, or a picture is too large to be one.
    pub fn next_unit(&mut self) -> Result<Option<Vec<u8>>, ContainerError> {
        loop {
            if let Some(border) = self.find_border() {
                return Ok(Some(self.cut(border)));
            }
            if self.at_end {
                let all = self.buffer.len();
                return Ok((all > 0).then(|| self.cut(all)));
            }
            self.fill()?;
        }
    }

    /// Goes back to the first picture.
    ///
    /// # Errors
    /// When the file cannot be sought.
    pub fn rewind(&mut self) -> Result<(), ContainerError> {
        self.reader.rewind()?;
        self.buffer.clear();
        self.scanned = 0;
        self.has_slice = false;
        self.at_end = false;
        Ok(())
    }

    fn cut(&mut self, border: usize) -> Vec<u8> {
        let rest = self.buffer.split_off(border);
        self.scanned = 0;
        self.has_slice = false;
        std::mem::replace(&mut self.buffer, rest)
    }

    fn fill(&mut self) -> Result<(), ContainerError> {
        if self.buffer.len() > MAX_PACKET {
            return Err(ContainerError::corrupt("a picture without an end; is this H.264?"));
        }
        // What there is, and no more: a pipe may give the next picture much later.
        let before = self.buffer.len();
        self.buffer.resize(before + (64 << 10), 0);
        let got = self.reader.read(&mut self.buffer[before..]);
        self.buffer.truncate(before + *got.as_ref().unwrap_or(&0));
        self.at_end = got? == 0;
        Ok(())
    }

    /// Looks at the NAL units not seen yet; a border lies before the first one of the next picture
    /// (ITU-T H.264 section 7.4.1.2.3, as far as streams without redundant pictures need it).
    fn find_border(&mut self) -> Option<usize> {
        loop {
            let Some(found) = find_start_code(self.buffer.get(self.scanned..)?) else {
                self.scanned = self.scanned.max(self.buffer.len().saturating_sub(2));
                return None;
            };
            let at = self.scanned + found;
            // Header and first byte of the slice must be there before it can be judged.
            let nal = self.buffer.get(at + 3..).filter(|nal| nal.len() >= 2 || self.at_end)?;
            let starts_picture = match nal_unit_type(nal) {
                nal_type::SLICE | nal_type::IDR => {
                    let first_mb_is_zero = nal.get(1).is_some_and(|byte| byte & 0x80 != 0);
                    let border = self.has_slice && first_mb_is_zero;
                    self.has_slice = true;
                    border
                }
                6..=9 | 14..=18 => self.has_slice,
                _ => false,
            };
            if starts_picture {
                // The zero byte of a four-byte start code belongs to the next unit.
                let long = at > 0 && self.buffer[at - 1] == 0;
                return Some(at - usize::from(long));
            }
            self.scanned = at + 3;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_file_is_cut_before_each_picture() {
        let first =
            [0, 0, 0, 1, 0x67, 9, 0, 0, 0, 1, 0x68, 9, 0, 0, 1, 0x65, 0x88, 0, 0, 1, 0x65, 0x08];
        let second = [0, 0, 0, 1, 0x41, 0x9A, 5];
        let third = [0, 0, 0, 1, 9, 0xF0, 0, 0, 0, 1, 0x41, 0x9A, 6];
        let mut reader = AnnexBReader::new(Cursor::new([&first[..], &second, &third].concat()));
        for _ in 0..2 {
            assert_eq!(reader.next_unit().unwrap().unwrap(), first);
            assert_eq!(reader.next_unit().unwrap().unwrap(), second);
            assert_eq!(reader.next_unit().unwrap().unwrap(), third);
            assert_eq!(reader.next_unit().unwrap(), None);
            reader.rewind().unwrap();
        }
    }

    proptest! {
        #[test]
        fn wild_bytes_come_back_whole(data in proptest::collection::vec(0u8..4, 0..300)) {
            let mut reader = AnnexBReader::new(Cursor::new(data.clone()));
            let mut all = Vec::new();
            while let Some(unit) = reader.next_unit().unwrap() {
                prop_assert!(!unit.is_empty());
                all.extend(unit);
            }
            prop_assert_eq!(all, data);
        }
    }
}
