//! Decodes the H.264 of a file; pictures come in the order they are shown.
//!
//! Owns what can be played, the decoder, and giving times back to pictures that it reordered.
//! Knows nothing of containers.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use openh264::OpenH264API;
use openh264::decoder::{DecodedYUV, Decoder, DecoderConfig, Flush};
use openh264::formats::YUVSource;

use super::grey;
use super::limits::{self, TooMuch};
use super::nal::{
    contains_idr, for_decoder, nal_type, nal_unit_type, nal_units, recovery_point, reference_number,
};
use super::sps::Sps;
use crate::media::codec::{ShowStored, StoredVideoDecoder, StreamError, StreamHead};
use crate::media::encoded::{EncodedFrame, FrameTime};
use crate::media::frame::MaxPicture;
use crate::media::scale::Planes;

/// Decodes access units; takes B-frames.
pub(in crate::media) struct StoredH264Decoder {
    decoder: Decoder,
    inside: Inside,
    errors: u32,
    /// The parameter sets that stand outside of the stream.
    sets: Vec<u8>,
    begun: Begun,
    most: MaxPicture,
}

#[derive(Clone, Copy, PartialEq)]
enum Begun {
    Not,
    WithIdr,
    /// At a recovery point, after grey pictures of our own.
    AfterGrey,
}

/// The pictures that a decoder holds.
#[derive(Default)]
struct Inside {
    /// Their times; the smallest belongs to the next one out.
    times: BinaryHeap<Reverse<i64>>,
    /// How many of our own come out before them.
    grey: usize,
    /// Nothing before this is shown: it lies before the first edit, or builds on pictures that are
    /// not in the file.
    from: i64,
    /// Nothing at all is shown until then.
    recovery: Option<Recovery>,
}

/// When pictures are right again after a recovery point.
#[derive(Debug, Clone, Copy)]
struct Recovery {
    /// Bits of `frame_num`.
    bits: u32,
    /// `frame_num` of the recovery point.
    began: u32,
    /// Steps of it from there to the first picture that is right.
    count: u32,
}

impl Recovery {
    /// The recovery that begins with an access unit, which holds its parameter set; `None` where it is
    /// right at once.
    fn of(whole: &[u8], count: u32) -> Option<Self> {
        let bits = Sps::find(whole)?.numbering.frame_bits;
        let began = reference_number(whole, bits)?;
        // More steps than there are numbers cannot be meant (section D.2.8).
        (1..1 << bits).contains(&count).then_some(Self { bits, began, count })
    }

    /// Whether it is complete with this access unit.
    fn ends_with(self, data: &[u8]) -> bool {
        if contains_idr(data) {
            return true;
        }
        let number = reference_number(data, self.bits);
        let steps = number.map(|number| number.wrapping_sub(self.began) % (1 << self.bits));
        steps.is_some_and(|steps| steps >= self.count)
    }
}

impl Inside {
    /// The time of the picture that came out, unless it is not shown.
    fn next(&mut self) -> Option<i64> {
        if self.grey > 0 {
            self.grey -= 1;
            return None;
        }
        let time = self.times.pop().map(|Reverse(time)| time);
        time.filter(|time| *time >= self.from && self.recovery.is_none())
    }
}

/// The most pictures H.264 holds back for reordering (ITU-T H.264 annex A.3.1: 16 frames).
const MAX_HELD: usize = 17;

/// So many broken pictures in a row end the file.
const MAX_ERRORS: u32 = 120;

impl StoredVideoDecoder for StoredH264Decoder {
    fn decode(&mut self, frame: &EncodedFrame, show: ShowStored<'_>) -> Result<(), StreamError> {
        let FrameTime::Stored { pts, .. } = frame.time else { return Ok(()) };
        let data = match self.begun {
            Begun::WithIdr | Begun::AfterGrey => for_decoder(&frame.data),
            Begun::Not => {
                let whole = [&self.sets[..], &frame.data].concat();
                let whole = for_decoder(&whole).into_owned();
                if contains_idr(&whole) {
                    self.begun = Begun::WithIdr;
                } else if let Some(count) = recovery_point(&frame.data) {
                    self.begin_grey(&whole, pts);
                    self.inside.recovery = Recovery::of(&whole, count);
                } else {
                    // It builds on pictures that are not in the file.
                    return Ok(());
                }
                Cow::Owned(whole)
            }
        };
        match limits::check(&data, self.most) {
            Ok(()) => {}
            // One among others; the decoder would not have made anything of it either.
            Err(TooMuch::Broken) => return self.broken(&"a broken parameter set"),
            Err(refused) => return Err(StreamError::Unsupported(refused.to_string())),
        }
        if self.inside.recovery.is_some_and(|recovery| recovery.ends_with(&data)) {
            // In the order of showing: what the decoder still holds from before is not right.
            (self.inside.recovery, self.inside.from) = (None, pts);
        }
        self.inside.times.push(Reverse(pts));
        match self.decoder.decode(&data) {
            Ok(Some(picture)) => {
                self.errors = 0;
                hand_on(&mut self.inside, &picture, show);
            }
            Ok(None) => {}
            Err(error) => {
                self.broken(&error)?;
                // It would wait for an IDR that never comes.
                if self.begun == Begun::AfterGrey {
                    self.decoder = new_decoder()?;
                    self.begun = Begun::Not;
                    self.inside = Inside::default();
                }
            }
        }
        // Pictures that the decoder gave up must not shift the times of all that follow.
        while self.inside.times.len() > MAX_HELD {
            self.inside.times.pop();
        }
        Ok(())
    }

    fn finish(&mut self, show: ShowStored<'_>) -> Result<(), StreamError> {
        if let Ok(pictures) = self.decoder.flush_remaining() {
            pictures.iter().for_each(|picture| hand_on(&mut self.inside, picture, show));
        }
        self.renew()
    }

    fn renew(&mut self) -> Result<(), StreamError> {
        *self = Self::new(std::mem::take(&mut self.sets), self.most)?;
        Ok(())
    }
}

impl StoredH264Decoder {
    /// A decoder for a stream whose parameter sets are these, in Annex B form, or come with it.
    pub(in crate::media) fn new(sets: Vec<u8>, most: MaxPicture) -> Result<Self, StreamError> {
        let (decoder, inside) = (new_decoder()?, Inside::default());
        Ok(Self { decoder, inside, errors: 0, sets, begun: Begun::Not, most })
    }

    /// Makes the decoder ready for a recovery point that is shown at `from`.
    fn begin_grey(&mut self, whole: &[u8], from: i64) {
        self.begun = Begun::AfterGrey;
        self.inside.from = from;
        for picture in grey::before(whole).unwrap_or_default() {
            self.inside.grey += 1;
            if matches!(self.decoder.decode(&picture), Ok(Some(_))) {
                self.inside.grey -= 1;
            }
        }
    }

    fn broken(&mut self, error: &dyn std::fmt::Display) -> Result<(), StreamError> {
        tracing::debug!(%error, "a picture is not decoded");
        self.errors += 1;
        match self.errors > MAX_ERRORS {
            true => Err(StreamError::Corrupt(format!(
                "{MAX_ERRORS} pictures one after the other cannot be decoded"
            ))),
            false => Ok(()),
        }
    }
}

fn new_decoder() -> Result<Decoder, StreamError> {
    let config = DecoderConfig::new().flush_after_decode(Flush::NoFlush);
    Decoder::with_api_config(OpenH264API::from_source(), config).map_err(|error| {
        tracing::error!(%error, "no H.264 decoder");
        let reason = "the H.264 decoder cannot be set up; is there memory left?";
        StreamError::Unsupported(reason.to_owned())
    })
}

fn hand_on(inside: &mut Inside, picture: &DecodedYUV<'_>, show: &mut dyn FnMut(i64, Planes<'_>)) {
    let Some(time) = inside.next() else { return };
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

/// What the first parameter set among these bytes says; `None` where there is none.
///
/// # Errors
/// When it is broken, or says that its pictures cannot be played.
pub(in crate::media) fn head(
    annex_b: &[u8],
    most: MaxPicture,
) -> Result<Option<StreamHead>, StreamError> {
    let Some(sps) = Sps::find(annex_b) else {
        let there = nal_units(annex_b).any(|nal| nal_unit_type(nal) == nal_type::SPS);
        let broken = || StreamError::Corrupt("the H.264 parameter set is broken".to_owned());
        return if there { Err(broken()) } else { Ok(None) };
    };
    check(&sps, most)?;
    let Sps { width, height, fps, aspect, colour, .. } = sps;
    Ok(Some(StreamHead { size: (width, height), fps, aspect, colour }))
}

/// Says why a stream with this parameter set cannot be played, if so.
fn check(sps: &Sps, most: MaxPicture) -> Result<(), StreamError> {
    if let Err(refused) = limits::check_sps(sps, most) {
        return Err(StreamError::Unsupported(refused.to_string()));
    }
    let (problem, filter) = if !sps.progressive {
        ("interlaced H.264", "-vf yadif=deint=1 ")
    } else if sps.chroma_format != 1 || sps.bit_depth != 8 {
        ("H.264 that is not 8-bit 4:2:0", "")
    } else {
        return Ok(());
    };
    Err(StreamError::Unsupported(format!(
        "its pictures are {problem}; convert it with `ffmpeg -i IN {filter}-c:v libx264 \
         -pix_fmt yuv420p OUT.mp4`"
    )))
}
