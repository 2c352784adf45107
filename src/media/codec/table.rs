//! Which codecs there are: the one match from a codec to its names, its encoders and its decoders.
//!
//! Owns no state. How a codec travels is `rtc/payload`'s to know, and how it is stored the containers'.

use std::sync::Arc;
use std::time::Instant;

use super::h264::stored::{self, StoredH264Decoder};
use super::h264::{self, H264Decoder, H264Encoder};
use super::opus::{self, OpusDecoder, OpusEncoder};
use super::{
    AudioDecoder, AudioEncoder, AudioEncoderSettings, CodecError, StoredVideoDecoder, StreamError,
    StreamHead, VideoDecoder, VideoEncoder, VideoEncoderSettings,
};
use crate::media::encoded::{Codec, EncodedFrame, MediaKind};
use crate::media::frame::{MaxPicture, Size, VideoFrame};
use crate::media::showing::Showing;

/// The codecs of pictures in which we can send, best first.
pub const PICTURES: &[Codec] = &[Codec::H264];

/// The codecs of sound in which we can send, best first.
pub const SOUND: &[Codec] = &[Codec::Opus];

/// What is known of a codec.
struct Row {
    /// As statistics and descriptions of sessions call it.
    name: &'static str,
    /// As people call it.
    title: &'static str,
    coder: Coder,
}

enum Coder {
    Video(Video),
    Audio(Audio),
    /// Files have it, and decode it by what they say of it.
    FilesOnly(MediaKind),
}

type OpenStored = fn(Vec<u8>, MaxPicture) -> Result<Box<dyn StoredVideoDecoder>, StreamError>;

struct Video {
    encoder: fn(VideoEncoderSettings) -> Result<Box<dyn VideoEncoder>, CodecError>,
    decoder: fn(MaxPicture) -> Result<Box<dyn VideoDecoder>, CodecError>,
    stored: OpenStored,
    head: fn(&[u8], MaxPicture) -> Result<Option<StreamHead>, StreamError>,
    is_keyframe: fn(&[u8]) -> bool,
    encodable: fn(Size) -> Size,
}

struct Audio {
    encoder: fn(AudioEncoderSettings) -> Result<Box<dyn AudioEncoder>, CodecError>,
    decoder: fn(usize) -> Result<Box<dyn AudioDecoder>, CodecError>,
    samples: fn(&[u8]) -> Option<u32>,
}

fn row(codec: Codec) -> Row {
    match codec {
        Codec::H264 => Row {
            name: "H264",
            title: "H.264",
            coder: Coder::Video(Video {
                encoder: |settings| Ok(Box::new(H264Encoder::new(settings)?)),
                decoder: |most| Ok(Box::new(H264Decoder::up_to(most)?)),
                stored: |sets, most| Ok(Box::new(StoredH264Decoder::new(sets, most)?)),
                head: stored::head,
                is_keyframe: h264::nal::contains_idr,
                encodable: h264::encodable,
            }),
        },
        Codec::Opus => Row {
            name: "opus",
            title: "Opus",
            coder: Coder::Audio(Audio {
                encoder: |settings| Ok(Box::new(OpusEncoder::new(settings)?)),
                decoder: |channels| Ok(Box::new(OpusDecoder::new(channels)?)),
                samples: opus::packet_samples,
            }),
        },
        Codec::Aac => Row { name: "AAC", title: "AAC", coder: Coder::FilesOnly(MediaKind::Audio) },
    }
}

impl Codec {
    /// Its name in statistics and descriptions of sessions, such as `opus`.
    #[must_use]
    pub fn name(self) -> &'static str {
        row(self).name
    }

    /// Its name among people.
    #[must_use]
    pub fn title(self) -> &'static str {
        row(self).title
    }

    /// What it is for.
    #[must_use]
    pub fn kind(self) -> MediaKind {
        match row(self).coder {
            Coder::Video(_) => MediaKind::Video,
            Coder::Audio(_) => MediaKind::Audio,
            Coder::FilesOnly(kind) => kind,
        }
    }

    /// Whether decoding can begin with these bytes; with sound it always can.
    #[must_use]
    pub fn is_keyframe(self, data: &[u8]) -> bool {
        match row(self).coder {
            Coder::Video(video) => (video.is_keyframe)(data),
            Coder::Audio(_) | Coder::FilesOnly(_) => true,
        }
    }

    /// As much of that size as can be encoded, in the same aspect.
    #[must_use]
    pub fn encodable(self, size: Size) -> Size {
        match row(self).coder {
            Coder::Video(video) => (video.encodable)(size),
            Coder::Audio(_) | Coder::FilesOnly(_) => size,
        }
    }

    /// Samples per channel at 48 kHz that a packet of sound says it holds; `None` when it is none of
    /// this codec, or does not say.
    #[must_use]
    pub fn samples(self, packet: &[u8]) -> Option<u32> {
        match row(self).coder {
            Coder::Audio(audio) => (audio.samples)(packet),
            Coder::Video(_) | Coder::FilesOnly(_) => None,
        }
    }

    fn video(self) -> Result<Video, CodecError> {
        match row(self).coder {
            Coder::Video(video) => Ok(video),
            Coder::Audio(_) | Coder::FilesOnly(_) => Err(self.unfit("pictures")),
        }
    }

    fn audio(self) -> Result<Audio, CodecError> {
        match row(self).coder {
            Coder::Audio(audio) => Ok(audio),
            Coder::Video(_) | Coder::FilesOnly(_) => Err(self.unfit("sound")),
        }
    }

    fn unfit(self, what: &str) -> CodecError {
        let reason = format!("no call has {what} in it");
        CodecError::Setup { codec: self.title(), reason }
    }
}

/// An encoder of pictures.
///
/// # Errors
/// When the library refuses the settings, or it is no codec of pictures.
pub fn video_encoder(
    codec: Codec,
    settings: VideoEncoderSettings,
) -> Result<Box<dyn VideoEncoder>, CodecError> {
    (codec.video()?.encoder)(settings)
}

/// A decoder of pictures of at most this size, which waits for its first keyframe.
///
/// # Errors
/// When the library cannot be set up, or it is no codec of pictures.
pub fn video_decoder(codec: Codec, most: MaxPicture) -> Result<Box<dyn VideoDecoder>, CodecError> {
    (codec.video()?.decoder)(most)
}

/// An encoder of sound.
///
/// # Errors
/// When the library refuses the settings, or it is no codec of sound.
pub fn audio_encoder(
    codec: Codec,
    settings: AudioEncoderSettings,
) -> Result<Box<dyn AudioEncoder>, CodecError> {
    (codec.audio()?.encoder)(settings)
}

/// A decoder of sound that gives so many channels, 1 or 2.
///
/// # Errors
/// When the library cannot be set up, or it is no codec of sound.
pub fn audio_decoder(codec: Codec, channels: usize) -> Result<Box<dyn AudioDecoder>, CodecError> {
    (codec.audio()?.decoder)(channels)
}

/// A decoder for the pictures of a file. `before` is what the container keeps for decoders outside of
/// the stream, in the form in which the stream has it.
pub(in crate::media) fn stored_decoder(
    codec: Codec,
    before: Vec<u8>,
    most: MaxPicture,
) -> Result<Box<dyn StoredVideoDecoder>, StreamError> {
    let video = codec.video().map_err(|error| StreamError::Unsupported(error.to_string()))?;
    (video.stored)(before, most)
}

/// What these bytes of a stream say of its pictures; `None` where they say nothing.
pub(in crate::media) fn stream_head(
    codec: Codec,
    data: &[u8],
    most: MaxPicture,
) -> Result<Option<StreamHead>, StreamError> {
    let video = codec.video().map_err(|error| StreamError::Unsupported(error.to_string()))?;
    (video.head)(data, most)
}

/// Decodes pictures in whatever codec they come: with another codec begins another decoder.
pub struct AnyVideoDecoder {
    codec: Codec,
    decoder: Box<dyn VideoDecoder>,
    most: MaxPicture,
}

impl std::fmt::Debug for AnyVideoDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AnyVideoDecoder").field("codec", &self.codec).finish_non_exhaustive()
    }
}

impl AnyVideoDecoder {
    /// One that is ready for this codec, for pictures of at most this size.
    ///
    /// # Errors
    /// See [`video_decoder`].
    pub fn new(codec: Codec, most: MaxPicture) -> Result<Self, CodecError> {
        Ok(Self { codec, decoder: video_decoder(codec, most)?, most })
    }

    /// See [`VideoDecoder::decode`].
    ///
    /// # Errors
    /// When the stream is broken, or cannot be decoded at all; decode on from the next keyframe.
    pub fn decode(
        &mut self,
        frame: &EncodedFrame,
        at: Instant,
    ) -> Result<Option<Arc<VideoFrame>>, CodecError> {
        if frame.codec != self.codec {
            *self = Self::new(frame.codec, self.most)?;
        }
        self.decoder.decode(&frame.data, at)
    }

    /// See [`VideoDecoder::showing`].
    #[must_use]
    pub fn showing(&self) -> Showing {
        self.decoder.showing()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_codec_that_we_send_in_can_be_encoded_and_decoded() {
        let size = Size { width: 64, height: 48 };
        for codec in PICTURES {
            let settings = VideoEncoderSettings { size, fps: 30.0, bitrate: 100_000 };
            assert!(video_encoder(*codec, settings).is_ok(), "{}", codec.name());
            assert!(video_decoder(*codec, MaxPicture::default()).is_ok(), "{}", codec.name());
            assert_eq!(codec.kind(), MediaKind::Video);
        }
        for codec in SOUND {
            let settings =
                AudioEncoderSettings { channels: 1, bitrate: 32_000, inband_fec: true, dtx: false };
            assert!(audio_encoder(*codec, settings).is_ok(), "{}", codec.name());
            assert!(audio_decoder(*codec, 2).is_ok(), "{}", codec.name());
            assert_eq!(codec.kind(), MediaKind::Audio);
        }
    }

    #[test]
    fn what_a_codec_is_not_for_is_said() {
        let refused = video_decoder(Codec::Opus, MaxPicture::default()).err().unwrap();
        assert!(refused.to_string().contains("Opus"), "{refused}");
        assert!(audio_decoder(Codec::Aac, 2).is_err() && audio_decoder(PICTURES[0], 2).is_err());
    }
}
