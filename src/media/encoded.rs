//! The only type for an encoded picture or packet of sound, whether it comes from an encoder, a file or
//! the other side.
//!
//! Owns the list of codecs. What each is called, and what encodes and decodes it, stands in
//! `codec/table.rs`; how it travels in `rtc/payload`; how it is stored in `container`.

use std::time::Instant;

use bytes::Bytes;

use super::showing::Orientation;

/// Which of the two kinds of media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
}

/// What something is encoded in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// ITU-T H.264, in Annex B form; parameter sets before every IDR.
    H264,
    /// Opus (RFC 6716).
    Opus,
    /// AAC (ISO/IEC 14496-3), which comes out of files only.
    Aac,
}

/// One encoded picture (an access unit) or packet of sound. Clones share the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedFrame {
    /// What it is encoded in.
    pub codec: Codec,
    /// The bytes, in the form that decoders of the codec take.
    pub data: Bytes,
    /// Whether decoding can begin with it; with sound it always can.
    pub keyframe: bool,
    /// When it is of, and on whose clock.
    pub time: FrameTime,
    /// Which way up a picture is to be shown.
    pub orientation: Orientation,
    /// Samples per channel at 48 kHz that come out of sound; 0 for pictures, and where only decoding
    /// tells.
    pub samples: u32,
}

/// When a frame is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameTime {
    /// It was taken here at that time, on the monotonic clock; of sound the first sample.
    Captured(Instant),
    /// It came from the other side.
    Received {
        /// The sender's clock: 90 kHz for pictures, 48 kHz for sound.
        rtp_timestamp: u32,
        /// When its first packet came.
        first_packet_at: Instant,
    },
    /// It stands in a file.
    Stored {
        /// When to present it, nanoseconds on the clock of the file; what lies before its start is what
        /// a decoder needs but nobody hears (encoder delay).
        pts: i64,
        /// How much of what comes out of it is not to be heard, nanoseconds at its end: an encoder
        /// fills its last packet up.
        trim: i64,
    },
}

impl FrameTime {
    /// When it was taken or came, on our own clock; `None` for what stands in a file, which is of
    /// whatever time it is played at.
    #[must_use]
    pub fn here(self) -> Option<Instant> {
        match self {
            Self::Captured(at) | Self::Received { first_packet_at: at, .. } => Some(at),
            Self::Stored { .. } => None,
        }
    }

    /// `pts` and `trim` of what stands in a file; zeros where it stands in none.
    #[must_use]
    pub fn stored(self) -> (i64, i64) {
        match self {
            Self::Stored { pts, trim } => (pts, trim),
            Self::Captured(_) | Self::Received { .. } => (0, 0),
        }
    }
}

impl EncodedFrame {
    /// A picture that stands upright.
    #[must_use]
    pub fn picture(codec: Codec, data: Bytes, keyframe: bool, time: FrameTime) -> Self {
        Self { codec, data, keyframe, time, orientation: Orientation::UPRIGHT, samples: 0 }
    }

    /// A packet of sound.
    #[must_use]
    pub fn sound(codec: Codec, data: Bytes, samples: u32, time: FrameTime) -> Self {
        let orientation = Orientation::UPRIGHT;
        Self { codec, data, keyframe: true, time, orientation, samples }
    }
}
