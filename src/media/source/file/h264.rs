//! Decodes the H.264 of a file; pictures come in the order they are shown.
//!
//! Owns the decoder and giving times back to pictures that it reordered.
//! Knows nothing of containers.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use openh264::OpenH264API;
use openh264::decoder::{DecodedYUV, Decoder, DecoderConfig, Flush};
use openh264::formats::YUVSource;

use crate::media::codec::h264::limits::{self, TooMuch};
use crate::media::codec::h264::sps::Sps;
use crate::media::container::{ContainerError, Packet};
use crate::media::frame::MaxPicture;
use crate::media::scale::Planes;

/// Decodes access units; takes B-frames.
pub(super) struct FileDecoder {
    decoder: Decoder,
    /// Times of the pictures that are still inside; the smallest belongs to the next one out.
    times: BinaryHeap<Reverse<i64>>,
    errors: u32,
    most: MaxPicture,
}

/// The most pictures H.264 holds back for reordering (ITU-T H.264 annex A.3.1: 16 frames).
const MAX_HELD: usize = 17;

/// So many broken pictures in a row end the file.
const MAX_ERRORS: u32 = 120;

impl FileDecoder {
    pub(super) fn new(most: MaxPicture) -> Result<Self, ContainerError> {
        Ok(Self { decoder: new_decoder()?, times: BinaryHeap::new(), errors: 0, most })
    }

    /// Forgets all that came before.
    pub(super) fn begin_anew(&mut self) -> Result<(), ContainerError> {
        *self = Self::new(self.most)?;
        Ok(())
    }

    /// Decodes one packet; hands on the picture that came out of it, if any.
    pub(super) fn decode(
        &mut self,
        packet: &Packet,
        show: &mut dyn FnMut(i64, Planes<'_>),
    ) -> Result<(), ContainerError> {
        match limits::check(&packet.data, self.most) {
            Ok(()) => {}
            // One among others; the decoder would not have made anything of it either.
            Err(TooMuch::Broken) => return self.broken("a broken parameter set"),
            Err(refused) => return Err(ContainerError::unsupported(refused.to_string())),
        }
        self.times.push(Reverse(packet.pts));
        match self.decoder.decode(&packet.data) {
            Ok(Some(picture)) => {
                self.errors = 0;
                hand_on(&mut self.times, &picture, show);
            }
            Ok(None) => {}
            Err(error) => self.broken(error)?,
        }
        // Pictures that the decoder gave up must not shift the times of all that follow.
        while self.times.len() > MAX_HELD {
            self.times.pop();
        }
        Ok(())
    }

    /// Hands on what is still inside, and starts afresh.
    pub(super) fn finish(
        &mut self,
        show: &mut dyn FnMut(i64, Planes<'_>),
    ) -> Result<(), ContainerError> {
        if let Ok(pictures) = self.decoder.flush_remaining() {
            pictures.iter().for_each(|picture| hand_on(&mut self.times, picture, show));
        }
        self.begin_anew()
    }

    fn broken(&mut self, error: impl std::fmt::Display) -> Result<(), ContainerError> {
        self.errors += 1;
        match self.errors > MAX_ERRORS {
            true => Err(ContainerError::corrupt(format!("H.264: {error}"))),
            false => Ok(()),
        }
    }
}

fn new_decoder() -> Result<Decoder, ContainerError> {
    let config = DecoderConfig::new().flush_after_decode(Flush::NoFlush);
    Decoder::with_api_config(OpenH264API::from_source(), config)
        .map_err(|error| ContainerError::unsupported(format!("no H.264 decoder: {error}")))
}

fn hand_on(
    times: &mut BinaryHeap<Reverse<i64>>,
    picture: &DecodedYUV<'_>,
    show: &mut dyn FnMut(i64, Planes<'_>),
) {
    let Some(Reverse(time)) = times.pop() else { return };
    let (width, height) = picture.dimensions();
    let (y_stride, u_stride, v_stride) = picture.strides();
    let planes = Planes {
        width,
        height,
        y: (picture.y(), y_stride),
        u: (picture.u(), u_stride),
        v: (picture.v(), v_stride),
    };
    show(time, planes);
}

/// Says why a stream with this parameter set cannot be played, if so.
pub(super) fn check(sps: &Sps, most: MaxPicture) -> Result<(), ContainerError> {
    if let Err(refused) = limits::check_sps(sps, most) {
        return Err(ContainerError::unsupported(refused.to_string()));
    }
    let problem = if !sps.progressive {
        "interlaced H.264"
    } else if sps.chroma_format != 1 || sps.bit_depth != 8 {
        "H.264 that is not 8-bit 4:2:0"
    } else {
        return Ok(());
    };
    Err(ContainerError::unsupported(format!(
        "{problem}; convert it with `ffmpeg -i IN -vf yadif=deint=1,scale=1280:-2 -c:v libx264 \
         -pix_fmt yuv420p OUT.mp4`"
    )))
}
