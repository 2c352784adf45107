//! H.264 to pictures.

use std::sync::Arc;
use std::time::Instant;

use openh264::OpenH264API;
use openh264::decoder::{DecodedYUV, Decoder, DecoderConfig, Flush};
use openh264::formats::YUVSource;

use super::CODEC;
use super::limits::{self, TooMuch};
use super::nal::{contains_idr, for_decoder};
use super::sps::Sps;
use crate::media::codec::{CodecError, VideoDecoder, in_words};
use crate::media::frame::{FramePool, MaxPicture, Size, VideoFrame};
use crate::media::showing::{ColourHint, Showing};

/// Decodes access units into pictures; each picture comes out with the access unit that holds it.
pub struct H264Decoder {
    decoder: Decoder,
    pool: FramePool,
    waits_for_keyframe: bool,
    most: MaxPicture,
    /// What was too much, which is said once.
    refused: Option<TooMuch>,
    /// What the last parameter set said.
    showing: Showing,
}

impl std::fmt::Debug for H264Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("H264Decoder").field("waits_for_keyframe", &self.waits_for_keyframe).finish()
    }
}

const BROKEN: &str = "a picture builds on others that were lost or damaged";

impl H264Decoder {
    /// A decoder that waits for its first keyframe.
    ///
    /// # Errors
    /// When the library cannot be set up.
    pub fn new() -> Result<Self, CodecError> {
        Self::up_to(MaxPicture::default())
    }

    /// The same for pictures of at most this size.
    ///
    /// # Errors
    /// When the library cannot be set up.
    pub fn up_to(most: MaxPicture) -> Result<Self, CodecError> {
        let (decoder, pool, showing) = (open()?, FramePool::new(), Showing::default());
        Ok(Self { decoder, pool, waits_for_keyframe: true, most, refused: None, showing })
    }

    /// The library would take memory for whatever a stranger writes.
    fn check(&mut self, data: &[u8]) -> Result<(), CodecError> {
        limits::check(data, self.most).map_err(|refused| {
            if self.refused.replace(refused) != Some(refused) {
                tracing::warn!("pictures that come are not decoded: {refused}");
            }
            CodecError::Decode { codec: CODEC, reason: refused.to_string() }
        })
    }
}

fn open() -> Result<Decoder, CodecError> {
    let config = DecoderConfig::new().flush_after_decode(Flush::NoFlush);
    Decoder::with_api_config(OpenH264API::from_source(), config).map_err(|error| {
        CodecError::Setup {
            codec: CODEC,
            reason: in_words(CODEC, &error, "no decoder can be made; is there memory left?"),
        }
    })
}

impl VideoDecoder for H264Decoder {
    fn decode(
        &mut self,
        data: &[u8],
        captured_at: Instant,
    ) -> Result<Option<Arc<VideoFrame>>, CodecError> {
        self.check(data)?;
        let keyframe = contains_idr(data);
        if self.waits_for_keyframe && !keyframe {
            let reason = BROKEN.to_owned();
            return Err(CodecError::Decode { codec: CODEC, reason });
        }
        if keyframe && let Some(sps) = Sps::find(data) {
            self.showing = Showing { aspect: sps.aspect, colour: sps.colour, ..Showing::default() };
        }
        let data = &*for_decoder(data);
        let mut decoded = self.picture(data, captured_at);
        if decoded.is_err() {
            // After an error this library may stay confused by what it still holds, and it may
            // have been confused before: it does not notice all damage when that comes. So a
            // keyframe, which needs nothing from before, gets a second chance.
            self.renew()?;
            if keyframe {
                decoded = self.picture(data, captured_at);
            }
        }
        if decoded.is_err() && keyframe {
            self.renew()?;
        }
        decoded.map_err(|error| {
            let reason = if keyframe { "a picture is damaged" } else { BROKEN };
            CodecError::Decode { codec: CODEC, reason: in_words(CODEC, &error, reason) }
        })
    }

    fn showing(&self) -> Showing {
        self.showing
    }
}

impl H264Decoder {
    fn picture(
        &mut self,
        data: &[u8],
        captured_at: Instant,
    ) -> Result<Option<Arc<VideoFrame>>, openh264::Error> {
        let Some(picture) = self.decoder.decode(data)? else { return Ok(None) };
        self.waits_for_keyframe = false;
        Ok(Some(Arc::new(copy(&picture, self.showing.colour, &self.pool, captured_at))))
    }

    fn renew(&mut self) -> Result<(), CodecError> {
        self.waits_for_keyframe = true;
        self.decoder = open()?;
        Ok(())
    }
}

/// The library's buffer belongs to its next picture, so this copy is needed.
fn copy(
    picture: &DecodedYUV<'_>,
    colour: ColourHint,
    pool: &FramePool,
    captured_at: Instant,
) -> VideoFrame {
    let (width, height) = picture.dimensions();
    let size = Size::even(width as u32, height as u32);
    let mut frame = pool.take(size, captured_at);
    frame.set_colour(colour.resolve(size.height));
    let (y_stride, u_stride, v_stride) = picture.strides();
    let width = size.width as usize;
    let (y, u, v) = frame.planes_mut();
    copy_plane(picture.y(), y_stride, y, width);
    copy_plane(picture.u(), u_stride, u, width / 2);
    copy_plane(picture.v(), v_stride, v, width / 2);
    frame
}

fn copy_plane(from: &[u8], stride: usize, to: &mut [u8], width: usize) {
    for (from, to) in from.chunks(stride).zip(to.chunks_exact_mut(width)) {
        to.copy_from_slice(&from[..width]);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "tests.rs"]
mod tests;
