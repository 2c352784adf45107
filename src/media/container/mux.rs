//! What both writers of recordings take: heads and samples in plain types.
//!
//! Knows neither Matroska nor MP4, and no clock: times come with the samples.

use crate::media::encoded::Codec;
use crate::media::showing::{Orientation, Showing};

/// The track of pictures of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoHead {
    /// What they are encoded in.
    pub codec: Codec,
    /// What their decoder is to be told, as containers keep it: of H.264 the avcC record.
    pub config: Vec<u8>,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Width to height of a sample, where they are not square.
    pub aspect: Option<(u32, u32)>,
    /// Which way up they are to be shown.
    pub orientation: Orientation,
}

impl VideoHead {
    /// Width and height in square pixels, before turning.
    #[must_use]
    pub fn shown(&self) -> (u32, u32) {
        let showing = Showing { aspect: self.aspect, ..Showing::default() };
        match self.aspect {
            Some(_) => showing.shown(self.width as usize, self.height as usize),
            None => (self.width, self.height),
        }
    }
}

/// The codec of a recording's sound.
pub const SOUND: Codec = Codec::Opus;

/// The tracks of a recording that have begun.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Heads {
    /// Pictures, if any.
    pub video: Option<VideoHead>,
    /// Channels of Opus sound, if any.
    pub audio: Option<u8>,
}

/// Which track a sample belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Track {
    /// H.264, four-byte lengths before NAL units.
    Video,
    /// Opus.
    Audio,
}

impl Track {
    /// Its number in the file.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Video => 1,
            Self::Audio => 2,
        }
    }
}

/// One picture or packet of sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MuxSample {
    /// Whose it is.
    pub track: Track,
    /// The bytes as the container stores them.
    pub data: Vec<u8>,
    /// Whether decoding can begin here.
    pub keyframe: bool,
    /// When it is presented, nanoseconds since the recording began.
    pub at: u64,
    /// How long it lasts, as far as is known, nanoseconds.
    pub lasts: u64,
}

/// The tracks are described in so many bytes at the beginning of a file, which can be written over
/// when another track begins.
pub const HEAD: usize = 4096;

/// How much time one piece of the file holds, nanoseconds: what a killed process loses.
pub const PIECE: u64 = 500_000_000;

/// Whether a new piece begins with `next`, after the piece that began at `start`.
#[must_use]
pub fn begins_piece(start: u64, next: &MuxSample) -> bool {
    next.track == Track::Video && next.keyframe || next.at >= start.saturating_add(PIECE)
}
