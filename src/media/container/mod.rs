//! Container formats: readers and writers over bytes, shared by the file source and the recorder.
//!
//! Every reader treats its file as hostile: no length is believed before it
//! was compared with a limit, and nothing here panics. Containers know no
//! codecs beyond what must be parsed to cut a stream into packets; how they
//! store pictures, codec by codec, is `pictures.rs`.

use std::io;

use ::bytes::Bytes;

use super::codec::StreamError;
use super::encoded::{Codec, EncodedFrame, FrameTime};

pub mod annexb;
pub mod avc;
pub mod bytes;
pub mod ebml;
pub mod ivf;
pub mod mkv;
mod mkv_elements;
pub mod mkv_writer;
pub mod mp4;
pub mod mp4_boxes;
pub mod mp4_fragments;
mod mp4_index;
mod mp4_put;
pub mod mp4_tables;
pub mod mp4_writer;
pub mod mux;
pub mod names;
pub mod ogg;
pub mod pictures;
pub mod wav;
pub mod y4m;

/// Why a file cannot be read as what it says it is.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// The operating system failed to read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The file breaks its own format.
    #[error("{0}")]
    Corrupt(String),
    /// The file may be whole, but we do not play what is in it.
    #[error("{0}")]
    Unsupported(String),
}

impl ContainerError {
    /// A broken file, with where and how.
    pub fn corrupt(text: impl Into<String>) -> Self {
        Self::Corrupt(text.into())
    }

    /// A file that we do not play, with what would work.
    pub fn unsupported(text: impl Into<String>) -> Self {
        Self::Unsupported(text.into())
    }
}

/// Why a track cannot be played, behind "its pictures are" or "its sound is".
fn shortcoming(error: &ContainerError) -> String {
    match error {
        ContainerError::Unsupported(what) => what.clone(),
        broken => format!("{DAMAGED} ({broken})"),
    }
}

/// What a track is that breaks its own format.
pub const DAMAGED: &str = "damaged";

/// What a track is that only its owner can play.
pub const ENCRYPTED: &str = "encrypted";

/// The largest packet that is read: far above any picture up to 4096x4096.
pub const MAX_PACKET: usize = 32 << 20;

impl From<StreamError> for ContainerError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Corrupt(reason) => Self::Corrupt(reason),
            StreamError::Unsupported(reason) => Self::Unsupported(reason),
        }
    }
}

/// What a track of sound is encoded in, and what its decoder is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AudioConfig {
    /// AAC, with its AudioSpecificConfig (ISO/IEC 14496-3 section 1.6.2.1).
    Aac {
        /// The AudioSpecificConfig.
        config: Vec<u8>,
    },
    /// Opus, with what its identification header says.
    Opus(OpusHead),
}

impl AudioConfig {
    /// The codec alone.
    #[must_use]
    pub fn codec(&self) -> Codec {
        match self {
            Self::Aac { .. } => Codec::Aac,
            Self::Opus(_) => Codec::Opus,
        }
    }
}

/// A packet of sound as it stands in a file; see [`FrameTime::Stored`].
fn stored_sound(codec: Codec, data: Vec<u8>, pts: i64, trim: i64) -> EncodedFrame {
    let data = Bytes::from(data);
    let samples = codec.samples(&data).unwrap_or(0);
    EncodedFrame::sound(codec, data, samples, FrameTime::Stored { pts, trim })
}

/// What an Opus identification header says (RFC 7845 section 5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpusHead {
    /// Samples at 48 kHz to drop from the start.
    pub pre_skip: u16,
    /// What to add to the loudness, in 1/256 dB.
    pub gain: i16,
    /// Streams in a packet, and how many of them are stereo.
    pub streams: (u8, u8),
    /// Which decoded channel each channel is, in the order of WAVE: one to eight.
    pub mapping: Vec<u8>,
}

impl OpusHead {
    /// One stream of one or two channels, as it is.
    #[must_use]
    pub fn plain(channels: u8) -> Self {
        let coupled = u8::from(channels > 1);
        Self { pre_skip: 0, gain: 0, streams: (1, coupled), mapping: (0..=coupled).collect() }
    }
}

/// The containers that are told apart by their first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// YUV4MPEG2.
    Y4m,
    /// IVF.
    Ivf,
    /// ISO base media: mp4, m4a, mov.
    Mp4,
    /// Matroska and WebM.
    Mkv,
    /// Ogg.
    Ogg,
    /// RIFF WAVE.
    Wav,
    /// A raw H.264 byte stream.
    AnnexB,
}

/// The boxes that MP4, QuickTime and pieces of their streams begin with.
const FIRST_BOXES: &[&[u8; 4]] = &[
    b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp", b"moof", b"sidx",
    b"uuid",
];

/// Says what a file is by its first bytes (12 are enough); its name is not asked.
#[must_use]
pub fn detect(head: &[u8]) -> Option<Kind> {
    match head {
        [b'Y', b'U', b'V', b'4', b'M', b'P', b'E', b'G', b'2', ..] => Some(Kind::Y4m),
        [b'D', b'K', b'I', b'F', ..] => Some(Kind::Ivf),
        [0x1A, 0x45, 0xDF, 0xA3, ..] => Some(Kind::Mkv),
        [b'O', b'g', b'g', b'S', ..] => Some(Kind::Ogg),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => Some(Kind::Wav),
        [_, _, _, _, a, b, c, d, ..] if FIRST_BOXES.contains(&&[*a, *b, *c, *d]) => Some(Kind::Mp4),
        [0, 0, 1, ..] | [0, 0, 0, 1, ..] => Some(Kind::AnnexB),
        _ => None,
    }
}

/// `value` ticks of `scale` ticks a second in nanoseconds; saturates instead of overflowing.
#[must_use]
pub fn to_nanos(value: i64, scale: u64) -> i64 {
    let nanos = i128::from(value) * 1_000_000_000 / i128::from(scale.max(1));
    i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_their_first_bytes() {
        assert_eq!(detect(b"YUV4MPEG2 W2 H2"), Some(Kind::Y4m));
        assert_eq!(detect(b"RIFF\0\0\0\0WAVE"), Some(Kind::Wav));
        assert_eq!(detect(b"\0\0\0\x20ftypisom"), Some(Kind::Mp4));
        for first in [b"wide", b"free", b"skip", b"pnot", b"styp", b"moof", b"moov", b"mdat"] {
            assert_eq!(detect(&[&[0, 0, 0, 8][..], first].concat()), Some(Kind::Mp4));
            // A box of more than 4 GiB.
            assert_eq!(detect(&[&[0, 0, 0, 1][..], first].concat()), Some(Kind::Mp4));
        }
        assert_eq!(detect(&[0, 0, 0, 1, 0x67]), Some(Kind::AnnexB));
        assert_eq!(detect(b"RIFF\0\0\0\0AVI "), None);
        assert_eq!(detect(b""), None);
    }

    #[test]
    fn ticks_become_nanoseconds_without_overflow() {
        assert_eq!(to_nanos(90_000, 90_000), 1_000_000_000);
        assert_eq!(to_nanos(i64::MAX, 1), i64::MAX);
        assert_eq!(to_nanos(5, 0), 5_000_000_000);
    }
}
