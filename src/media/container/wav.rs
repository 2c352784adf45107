//! Reads RIFF WAVE: PCM of 8 to 32 bits, floats of 32 and 64, any rate, 1 to 8 channels.
//!
//! Written here because the usual crate refuses what `ffmpeg -f wav -` pipes
//! out (an open-ended data chunk). Samples come out as `f32`, interleaved.

use std::io::{Read, Seek, SeekFrom};

use super::bytes::read_bounded;
use super::{ContainerError, names};

/// A WAV file, read block by block.
#[derive(Debug)]
pub struct WavReader<R> {
    reader: R,
    /// Channels, 1 to 8, in the order of the format (front left, front right, centre, ...).
    pub channels: usize,
    /// Sample rate in Hz.
    pub rate: u32,
    /// Which speakers they are for (`dwChannelMask`), where the format says so.
    pub mask: Option<u32>,
    sample: Sample,
    data_start: u64,
    data_len: u64,
    left: u64,
    buffer: Vec<u8>,
    cut: bool,
}

/// How one sample lies in the file, little endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sample {
    U8,
    I16,
    I24,
    I32,
    F32,
    F64,
}

impl Sample {
    fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::I16 => 2,
            Self::I24 => 3,
            Self::I32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    fn value(self, raw: &[u8]) -> f32 {
        match (self, raw) {
            (Self::U8, [a]) => (f32::from(*a) - 128.0) / 128.0,
            (Self::I16, [a, b]) => f32::from(i16::from_le_bytes([*a, *b])) / 32_768.0,
            (Self::I24, [a, b, c]) => i32::from_le_bytes([0, *a, *b, *c]) as f32 / 2_147_483_648.0,
            (Self::I32, [a, b, c, d]) => {
                i32::from_le_bytes([*a, *b, *c, *d]) as f32 / 2_147_483_648.0
            }
            (Self::F32, [a, b, c, d]) => finite(f32::from_le_bytes([*a, *b, *c, *d])),
            (Self::F64, raw) => {
                finite(<[u8; 8]>::try_from(raw).map_or(0.0, f64::from_le_bytes) as f32)
            }
            _ => 0.0,
        }
    }
}

fn finite(value: f32) -> f32 {
    if value.is_finite() { value.clamp(-1.0, 1.0) } else { 0.0 }
}

impl<R: Read + Seek> WavReader<R> {
    /// Reads the chunks up to the sound.
    ///
    /// # Errors
    /// When it is not WAV, is cut, or holds something else than PCM.
    pub fn open(mut reader: R) -> Result<Self, ContainerError> {
        let riff = read_bounded(&mut reader, 12, 12)?;
        if !riff.starts_with(b"RIFF") || &riff[8..12] != b"WAVE" {
            return Err(ContainerError::corrupt("the WAV header does not start with RIFF, WAVE"));
        }
        let mut format = None;
        loop {
            let head = read_bounded(&mut reader, 8, 8).map_err(|_| {
                ContainerError::corrupt("the WAV file holds no sound (no data chunk)")
            })?;
            let len = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
            match &head[..4] {
                b"fmt " => {
                    format = Some(parse_format(&read_bounded(&mut reader, len.into(), 4096)?)?)
                }
                b"data" => {
                    let format = format.ok_or_else(|| {
                        ContainerError::corrupt("the WAV file has its sound before its format")
                    })?;
                    return Self::with_data(reader, format, len);
                }
                _ => {
                    reader.seek(SeekFrom::Current(i64::from(len)))?;
                }
            }
            if len % 2 == 1 && &head[..4] != b"data" {
                reader.seek(SeekFrom::Current(1))?;
            }
        }
    }

    fn with_data(mut reader: R, format: Format, len: u32) -> Result<Self, ContainerError> {
        let Format { channels, rate, sample, mask } = format;
        let data_start = reader.stream_position()?;
        let there = match reader.seek(SeekFrom::End(0)) {
            Ok(end) => {
                reader.seek(SeekFrom::Start(data_start))?;
                end.saturating_sub(data_start)
            }
            // A pipe ends when it ends.
            Err(_) => u64::MAX,
        };
        // Writers that cannot seek back leave 0 or the largest number: then it is all that follows.
        let told = (len > 0 && len < 0xFFFF_FF00).then_some(u64::from(len));
        let cut = told.is_some_and(|told| there < told);
        let data_len = told.map_or(there, |told| told.min(there));
        let block = (channels * sample.bytes()) as u64;
        let data_len = data_len - data_len % block;
        if data_len == 0 {
            return Err(ContainerError::corrupt("the WAV file holds no sound (its data is empty)"));
        }
        let buffer = Vec::new();
        let left = data_len;
        Ok(Self { reader, channels, rate, mask, sample, data_start, data_len, left, buffer, cut })
    }

    /// Whether the file ends before it says so.
    #[must_use]
    pub fn was_cut(&self) -> bool {
        self.cut
    }

    /// Samples per channel in the whole file.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.data_len / (self.channels * self.sample.bytes()) as u64
    }

    /// Appends up to `frames` samples per channel to `out`; gives back how many, 0 at the end.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&mut self, frames: usize, out: &mut Vec<f32>) -> Result<usize, ContainerError> {
        let block = self.channels * self.sample.bytes();
        let want = (frames.min(1 << 16) * block) as u64;
        self.buffer.clear();
        (&mut self.reader).take(want.min(self.left)).read_to_end(&mut self.buffer)?;
        let whole = self.buffer.len() - self.buffer.len() % block;
        // Of a pipe it is known only now.
        let told = self.data_len != u64::MAX - u64::MAX % block as u64;
        self.cut |= whole == 0 && told && self.left >= block as u64;
        self.left = if whole == 0 { 0 } else { self.left.saturating_sub(whole as u64) };
        let samples = self.buffer[..whole].chunks_exact(self.sample.bytes());
        out.extend(samples.map(|raw| self.sample.value(raw)));
        Ok(whole / block)
    }

    /// Goes back to the first sample.
    ///
    /// # Errors
    /// When the file cannot be sought.
    pub fn rewind(&mut self) -> Result<(), ContainerError> {
        self.reader.seek(SeekFrom::Start(self.data_start))?;
        self.left = self.data_len;
        Ok(())
    }
}

/// What a `fmt ` chunk says.
#[derive(Debug, Clone, Copy)]
struct Format {
    channels: usize,
    rate: u32,
    sample: Sample,
    mask: Option<u32>,
}

fn parse_format(chunk: &[u8]) -> Result<Format, ContainerError> {
    if chunk.len() < 16 {
        return Err(ContainerError::corrupt("the WAV format is cut"));
    }
    let le16 = |at: usize| u16::from_le_bytes([chunk[at], chunk[at + 1]]);
    let channels = usize::from(le16(2));
    let rate = u32::from_le_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]);
    // The extensible format names the real one at the start of its sub-format.
    let extensible = le16(0) == 0xFFFE && chunk.len() >= 26;
    let tag = if extensible { le16(24) } else { le16(0) };
    let mask = extensible.then(|| u32::from(le16(20)) | u32::from(le16(22)) << 16);
    let sample = match (tag, le16(14)) {
        (1, 8) => Sample::U8,
        (1, 16) => Sample::I16,
        (1, 24) => Sample::I24,
        (1, 32) => Sample::I32,
        (3, 32) => Sample::F32,
        (3, 64) => Sample::F64,
        (tag, bits) => {
            return Err(ContainerError::unsupported(format!(
                "its sound is {} ({bits} bits), and WAV is played with PCM of 8 to 32 bits or floats; \
                 convert it with `ffmpeg -i IN -c:a pcm_s16le OUT.wav`",
                names::of_wave(tag)
            )));
        }
    };
    if !(1..=8).contains(&channels) {
        return Err(ContainerError::unsupported(format!("{channels} channels; 1 to 8 are played")));
    }
    if !(4_000..=384_000).contains(&rate) {
        return Err(ContainerError::unsupported(format!(
            "a sample rate of {rate} Hz; 4000 to 384000 are played"
        )));
    }
    Ok(Format { channels, rate, sample, mask: mask.filter(|mask| *mask != 0) })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn file(tag: u16, bits: u16, channels: u16, data_len: u32, data: &[u8]) -> Vec<u8> {
        let mut out = b"RIFF\0\0\0\0WAVELIST\x03\0\0\0abc\0fmt \x10\0\0\0".to_vec();
        out.extend_from_slice(&tag.to_le_bytes());
        out.extend_from_slice(&channels.to_le_bytes());
        out.extend_from_slice(&48_000u32.to_le_bytes());
        out.extend_from_slice(&[0; 6]);
        out.extend_from_slice(&bits.to_le_bytes());
        out.extend_from_slice(b"data");
        out.extend_from_slice(&data_len.to_le_bytes());
        out.extend_from_slice(data);
        out
    }

    fn samples(file: Vec<u8>) -> Vec<f32> {
        let mut wav = WavReader::open(Cursor::new(file)).unwrap();
        let mut out = Vec::new();
        while wav.read(2, &mut out).unwrap() > 0 {}
        let mut again = Vec::new();
        wav.rewind().unwrap();
        while wav.read(1000, &mut again).unwrap() > 0 {}
        assert_eq!(out, again);
        out
    }

    #[test]
    fn every_kind_of_sample_means_the_same() {
        let half = 0.5f32;
        assert_eq!(samples(file(1, 8, 1, 2, &[192, 64])), [half, -half]);
        assert_eq!(samples(file(1, 16, 2, 4, &[0, 0x40, 0, 0xC0])), [half, -half]);
        assert_eq!(samples(file(1, 24, 1, 6, &[0, 0, 0x40, 0, 0, 0xC0])), [half, -half]);
        assert_eq!(samples(file(1, 32, 1, 8, &[0, 0, 0, 0x40, 0, 0, 0, 0xC0])), [half, -half]);
        assert_eq!(samples(file(3, 32, 1, 4, &half.to_le_bytes())), [half]);
        assert_eq!(samples(file(3, 64, 1, 8, &0.5f64.to_le_bytes())), [half]);
        assert_eq!(samples(file(3, 32, 1, 4, &f32::NAN.to_le_bytes())), [0.0]);
    }

    #[test]
    fn an_open_ended_data_chunk_is_all_that_follows() {
        assert_eq!(samples(file(1, 16, 1, u32::MAX, &[0, 0x40, 0, 0xC0])), [0.5, -0.5]);
        assert_eq!(samples(file(1, 16, 1, 100, &[0, 0x40, 0])), [0.5]);
    }

    #[test]
    fn a_file_that_ends_before_it_says_so_was_cut() {
        let cut = |len, data: &[u8]| {
            WavReader::open(Cursor::new(file(1, 16, 1, len, data))).unwrap().was_cut()
        };
        assert!(cut(100, &[0; 40]) && cut(41, &[0; 40]));
        assert!(!cut(40, &[0; 40]) && !cut(40, &[0; 90]) && !cut(u32::MAX, &[0; 40]));
    }

    #[test]
    fn what_holds_no_sound_is_refused() {
        assert!(WavReader::open(Cursor::new(file(1, 16, 1, 0, &[]))).is_err());
        assert!(WavReader::open(Cursor::new(file(85, 16, 1, 2, &[0, 0]))).is_err());
        assert!(WavReader::open(Cursor::new(file(1, 16, 9, 18, &[0; 18]))).is_err());
    }

    proptest! {
        #[test]
        fn damage_never_panics(cut in 0usize..70, at in 0usize..60, bit in 0u8..8) {
            let mut data = file(1, 16, 1, 12, &[7; 12]);
            let len = data.len();
            data[at % len] ^= 1 << bit;
            data.truncate(cut);
            if let Ok(mut wav) = WavReader::open(Cursor::new(data)) {
                let mut out = Vec::new();
                while wav.read(3, &mut out).unwrap() > 0 {}
                prop_assert!(out.len() <= 12);
            }
        }
    }
}
