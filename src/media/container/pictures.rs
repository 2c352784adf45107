//! How containers store pictures, codec by codec, and what they call it: one match for each question.
//!
//! Translates between what stands in files and the form that decoders take. Reads and writes no file.

use bytes::Bytes;

use super::ContainerError;
use super::avc::{AvcConfig, build_config, parameter_sets_of, to_length_prefixed};
use super::mux::VideoHead;
use crate::media::codec::h264::sps::Sps;
use crate::media::encoded::{Codec, EncodedFrame, FrameTime};
use crate::media::showing::Showing;

/// What a track of pictures is encoded in, and what its decoder is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VideoConfig {
    /// H.264 with lengths before its NAL units.
    H264(AvcConfig),
}

impl VideoConfig {
    /// The codec alone.
    #[must_use]
    pub fn codec(&self) -> Codec {
        match self {
            Self::H264(_) => Codec::H264,
        }
    }

    /// What the container keeps for decoders outside of the stream, in the form in which the stream has
    /// it: who begins in the middle must see it first.
    #[must_use]
    pub fn before(&self) -> Vec<u8> {
        match self {
            Self::H264(config) => config.sets(),
        }
    }

    /// A sample in the form that decoders take.
    pub(super) fn frame(&self, sample: &[u8], pts: i64) -> Result<EncodedFrame, ContainerError> {
        Ok(match self {
            Self::H264(config) => stored_picture(Codec::H264, config.to_annexb(sample)?, pts),
        })
    }
}

/// A picture as it stands in a file, in the form that decoders take; see [`FrameTime::Stored`].
#[must_use]
pub fn stored_picture(codec: Codec, data: Vec<u8>, pts: i64) -> EncodedFrame {
    let keyframe = codec.is_keyframe(&data);
    EncodedFrame::picture(codec, Bytes::from(data), keyframe, FrameTime::Stored { pts, trim: 0 })
}

/// What is stored in the raw stream of one codec: an H.264 byte stream has the marks to cut it by.
pub const RAW: Codec = Codec::H264;

/// By the code of four letters that IVF has.
pub(super) fn of_ivf(fourcc: &[u8]) -> Option<Codec> {
    let is = |known: &[u8; 4]| fourcc.eq_ignore_ascii_case(known);
    (is(b"H264") || is(b"AVC1")).then_some(Codec::H264)
}

/// By Matroska's identifier and what it keeps for the codec; `None` for what we do not play.
pub(super) fn of_matroska(id: &str, private: &[u8]) -> Option<Result<VideoConfig, ContainerError>> {
    match id {
        "V_MPEG4/ISO/AVC" => Some(AvcConfig::parse(private).map(VideoConfig::H264)),
        _ => None,
    }
}

/// The same to write.
pub(super) fn matroska_id(codec: Codec) -> Option<&'static [u8]> {
    match codec {
        Codec::H264 => Some(b"V_MPEG4/ISO/AVC"),
        Codec::Opus | Codec::Aac => None,
    }
}

/// By the name of a sample entry of MP4, whose boxes `inner` finds; `None` for what we do not play.
pub(super) fn of_mp4<'a>(
    name: &[u8; 4],
    inner: impl Fn(&[u8; 4]) -> Option<&'a [u8]>,
) -> Option<Result<VideoConfig, ContainerError>> {
    match name {
        b"avc1" | b"avc3" => Some(match inner(b"avcC") {
            Some(avcc) => AvcConfig::parse(avcc).map(VideoConfig::H264),
            None => Err(ContainerError::unsupported("H.264 without its configuration (avcC)")),
        }),
        _ => None,
    }
}

/// What the head of a recording says of its pictures, from the first keyframe; `None` where that does
/// not tell.
#[must_use]
pub fn head(frame: &EncodedFrame) -> Option<VideoHead> {
    let (size, aspect, config) = match frame.codec {
        Codec::H264 => {
            let (sps, pps) = parameter_sets_of(&frame.data)?;
            let about = Sps::parse(sps)?;
            ((about.width, about.height), about.aspect, build_config(sps, pps)?)
        }
        Codec::Opus | Codec::Aac => return None,
    };
    let (width, height) = size;
    let showing = Showing { aspect, ..Showing::default() };
    // A shape that nobody can mean is none.
    let is_wide = showing.shown(width as usize, height as usize) != (width & !1, height & !1);
    let aspect = aspect.filter(|_| is_wide);
    let (codec, orientation) = (frame.codec, frame.orientation);
    Some(VideoHead { codec, config, width, height, aspect, orientation })
}

/// A picture in the form in which recordings store it; empty when there is nothing to store.
#[must_use]
pub fn to_stored(frame: &EncodedFrame) -> Vec<u8> {
    match frame.codec {
        Codec::H264 => to_length_prefixed(&frame.data),
        Codec::Opus | Codec::Aac => frame.data.to_vec(),
    }
}

/// The files of pictures that are played, as people name them.
pub const FILES: &str = "y4m, mp4, mkv, webm, ivf, h264";

/// Why nothing of a file is shown that has no track of pictures.
pub(in crate::media) fn no_pictures() -> ContainerError {
    ContainerError::unsupported(
        "it holds no pictures; files with pictures are y4m, mp4, mkv, ivf and h264",
    )
}

/// Why a track of pictures is not played that is encoded in something else.
pub(in crate::media) fn not_played(codec: &str) -> ContainerError {
    ContainerError::unsupported(format!(
        "its pictures are {codec}, and only H.264 is played; convert it with \
         `ffmpeg -i IN -c:v libx264 -pix_fmt yuv420p OUT.mp4`"
    ))
}
