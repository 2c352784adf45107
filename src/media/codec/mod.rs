//! Pictures and sound to bytes and back.
//!
//! Owns the codec traits. Codecs know no network: they are told a bitrate and asked for keyframes.
//! Which there are stands in `table.rs`.

pub mod h264;
pub mod opus;
pub mod table;

/// Streams that tests are made of, in the first codec of pictures.
#[cfg(test)]
pub(in crate::media) use h264::test_support;

use std::sync::Arc;
use std::time::Instant;

use super::encoded::EncodedFrame;
use super::frame::{AudioFrame, Size, VideoFrame};
use super::scale::Planes;
use super::showing::{ColourHint, Showing};

/// Why encoding or decoding did not work.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The codec library refused its settings.
    #[error("{codec} cannot be used: {reason}")]
    Setup {
        /// Which codec.
        codec: &'static str,
        /// What it was to do.
        reason: String,
    },
    /// One picture or packet could not be encoded.
    #[error("the {codec} encoder failed: {reason}")]
    Encode {
        /// Which codec.
        codec: &'static str,
        /// What was wrong with it.
        reason: String,
    },
    /// One picture or packet could not be decoded; a keyframe mends it.
    #[error("the {codec} decoder failed: {reason}")]
    Decode {
        /// Which codec.
        codec: &'static str,
        /// What was wrong with it.
        reason: String,
    },
    /// The operating system gave no thread for it.
    #[error("the media cannot be started: {reason}; end other programs")]
    Thread {
        /// What the operating system said.
        reason: String,
    },
}

/// What a codec library says is for those who work on it, and goes to the log; `reason` is for people.
fn in_words(
    codec: &'static str,
    said: &dyn std::fmt::Display,
    reason: impl Into<String>,
) -> String {
    let reason = reason.into();
    tracing::debug!(codec, %said, reason, "a codec refuses");
    reason
}

/// What the encoder is told; may change at any frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VideoEncoderSettings {
    /// Width and height of the pictures that will come.
    pub size: Size,
    /// Pictures a second.
    pub fps: f64,
    /// Target, bits a second.
    pub bitrate: u32,
}

/// Encodes pictures.
pub trait VideoEncoder: Send {
    /// Encodes one picture; `None` when the encoder dropped it to keep the rate.
    /// A picture of another size than the last one starts a new sequence with a keyframe.
    ///
    /// # Errors
    /// When the library fails on this picture.
    fn encode(&mut self, frame: &VideoFrame) -> Result<Option<EncodedFrame>, CodecError>;

    /// Makes the next picture a keyframe.
    fn request_keyframe(&mut self);

    /// Sets the target in bits a second from the next picture on.
    fn set_bitrate(&mut self, bitrate: u32);
}

/// Decodes pictures.
pub trait VideoDecoder: Send {
    /// Decodes the bytes of one picture; `None` when it completed none. `captured_at` is passed on to
    /// the picture.
    ///
    /// # Errors
    /// When the stream is broken; decode on from the next keyframe.
    fn decode(
        &mut self,
        data: &[u8],
        captured_at: Instant,
    ) -> Result<Option<Arc<VideoFrame>>, CodecError>;

    /// How the stream says that its pictures are to be shown, beside their colours, which each
    /// picture says itself.
    fn showing(&self) -> Showing {
        Showing::default()
    }
}

/// Why a stream of a file is not played, whatever container it is in.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The stream breaks its own format.
    #[error("{0}")]
    Corrupt(String),
    /// The stream may be whole, but it is not decoded; with what would work.
    #[error("{0}")]
    Unsupported(String),
}

/// What a stream of pictures says of itself before any of them is decoded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StreamHead {
    /// Width and height in pixels, before they are spread, turned or made even.
    pub size: (u32, u32),
    /// Pictures a second, when it says so.
    pub fps: Option<f64>,
    /// Width to height of a sample, when it says so.
    pub aspect: Option<(u32, u32)>,
    /// What it says of its colours.
    pub colour: ColourHint,
}

/// Takes a picture that was decoded: its time in nanoseconds on the clock of the file, and its samples.
pub(in crate::media) type ShowStored<'a> = &'a mut dyn FnMut(i64, Planes<'_>);

/// Decodes the pictures of a file, which may be stored in another order than they are shown in.
pub(in crate::media) trait StoredVideoDecoder: Send {
    /// Decodes one frame; hands on the pictures that came out of it, in the order of showing.
    ///
    /// # Errors
    /// When nothing more is to be had of this stream.
    fn decode(&mut self, frame: &EncodedFrame, show: ShowStored<'_>) -> Result<(), StreamError>;

    /// Hands on what is still inside, and starts afresh.
    ///
    /// # Errors
    /// When the library cannot be set up anew.
    fn finish(&mut self, show: ShowStored<'_>) -> Result<(), StreamError>;

    /// Forgets what it holds: another picture follows than the one it expects.
    ///
    /// # Errors
    /// When the library cannot be set up anew.
    fn renew(&mut self) -> Result<(), StreamError>;
}

/// Encodes sound of 48 kHz: 20, 40 or 60 ms a packet.
pub trait AudioEncoder: Send {
    /// Encodes one block of 20, 40 or 60 ms (960, 1920 or 2880 samples per channel). The length may
    /// change at any packet.
    ///
    /// # Errors
    /// When the block has another length or the library fails.
    fn encode(&mut self, block: &AudioFrame) -> Result<EncodedFrame, CodecError>;

    /// Sets the target in bits a second from the next packet on.
    fn set_bitrate(&mut self, bitrate: u32);

    /// Tells the encoder how much of what it sends is lost (0.0 to 1.0), for in-band FEC.
    fn set_packet_loss(&mut self, fraction: f64);
}

/// Decodes sound to 48 kHz interleaved `f32`.
pub trait AudioDecoder: Send {
    /// Decodes one packet.
    ///
    /// # Errors
    /// When the packet is broken.
    fn decode(&mut self, packet: &[u8]) -> Result<Vec<f32>, CodecError>;

    /// Rebuilds the packet before `next` from the in-band FEC that `next` carries:
    /// `samples` samples per channel.
    ///
    /// # Errors
    /// When `next` is broken.
    fn decode_fec(&mut self, next: &[u8], samples: usize) -> Result<Vec<f32>, CodecError>;

    /// Makes up `samples` samples per channel where a packet is missing.
    ///
    /// # Errors
    /// When the library fails.
    fn conceal(&mut self, samples: usize) -> Result<Vec<f32>, CodecError>;

    /// Channels of what it gives back.
    fn channels(&self) -> usize;

    /// Samples per channel that a packet says it holds; `None` when it is none of this codec.
    fn packet_samples(&self, packet: &[u8]) -> Option<usize>;

    /// Samples per channel right before `packet` that can be rebuilt from it; `None` when it carries
    /// no repair data.
    fn repairs(&self, packet: &[u8]) -> Option<usize>;

    /// Whether `packet` says that silence follows, of which nothing will be sent (DTX).
    fn is_silence(&self, packet: &[u8]) -> bool;
}

/// The block that the audio encoder usually takes: 20 ms at 48 kHz.
pub const OPUS_FRAME_SAMPLES: usize = 960;

/// How sound is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioEncoderSettings {
    /// 1 or 2 channels.
    pub channels: usize,
    /// Target, bits a second.
    pub bitrate: u32,
    /// Whether packets carry repair data for the one before.
    pub inband_fec: bool,
    /// Whether silence is not sent.
    pub dtx: bool,
}
