//! The sound of a file as samples, at its own rate, each in its place by the time stamps.
//!
//! Owns decoding, encoder delay, trimming and gain. Samples count from the start of the file, so that
//! they stay in step with its pictures.

use std::path::Path;

use bytes::Bytes;

use super::aac::Aac;
use super::mixdown::{Mixdown, rechannel};
use super::packets::{self, Packets, SoundTrack};
use super::placing::Placing;
use super::{Input, Opened, SourceError, in_file, open_file};
use crate::media::container::wav::WavReader;
use crate::media::container::{AudioConfig, ContainerError, Kind, OpusHead};

/// A file of sound.
pub(super) struct Pcm {
    stream: Stream,
    /// 1 or 2.
    pub(super) channels: usize,
    /// Hz.
    pub(super) rate: u32,
}

enum Stream {
    Wav { reader: WavReader<Input>, raw: Vec<f32>, mixdown: Mixdown },
    Packets(Box<PacketSound>),
}

/// Sound in packets, and how far it was decoded.
struct PacketSound {
    packets: Packets,
    codec: AudioConfig,
    decoder: Decoder,
    /// The time that becomes zero, nanoseconds; `None` before the first packet, whose it will be.
    origin: Option<i64>,
    placing: Placing,
    /// Silence still to be given out, samples per channel.
    silence: i64,
    /// Decoded samples to throw away, per channel; `None` before the first packet.
    skip: Option<usize>,
    raw: Vec<f32>,
    errors: u32,
}

enum Decoder {
    Opus { decoder: opus::MSDecoder, mixdown: Mixdown },
    Aac(Box<Aac>),
}

/// Samples per channel that one step gives out at most, about.
const STEP: usize = 1024;

/// So many broken packets in a row end the file.
const MAX_ERRORS: u32 = 250;

impl Pcm {
    /// Opens the sound of a file and decodes its beginning to be sure. What is at `origin` comes
    /// first; without one, whatever it begins with.
    pub(super) fn open(path: &Path, origin: Option<i64>) -> Result<Self, SourceError> {
        let mut pcm = Self::of(open_file(path)?, origin).map_err(in_file(path))?;
        let mut first = Vec::new();
        while first.is_empty() {
            if !pcm.read(&mut first).map_err(in_file(path))? {
                let reason = "no sound in it can be decoded".to_owned();
                return Err(SourceError::Corrupt { path: path.to_owned(), reason });
            }
        }
        pcm.rewind().map_err(in_file(path))?;
        Ok(pcm)
    }

    /// The sound of what was opened.
    pub(super) fn of(opened: Opened, origin: Option<i64>) -> Result<Self, ContainerError> {
        if opened.kind == Kind::Wav {
            let reader = WavReader::open(opened.reader)?;
            let mixdown = Mixdown::wave(reader.channels, reader.mask);
            let (channels, rate) = (mixdown.mixed(), reader.rate);
            return Ok(Self {
                stream: Stream::Wav { reader, raw: Vec::new(), mixdown },
                channels,
                rate,
            });
        }
        let placing = if opened.seekable { Placing::default() } else { Placing::live() };
        let SoundTrack { packets, codec, begins } = packets::open_sound(opened)?;
        let (decoder, rate, channels) = decoder(&codec)?;
        let origin = origin.or(begins);
        let sound = PacketSound { origin, placing, ..PacketSound::new(packets, codec, decoder) };
        Ok(Self { stream: Stream::Packets(Box::new(sound)), channels, rate })
    }

    /// Appends some samples, interleaved; `false` when there are no more.
    pub(super) fn read(&mut self, out: &mut Vec<f32>) -> Result<bool, ContainerError> {
        match &mut self.stream {
            Stream::Wav { reader, raw, mixdown } => {
                raw.clear();
                let frames = reader.read(STEP, raw)?;
                mixdown.mix(raw, out);
                Ok(frames > 0)
            }
            Stream::Packets(sound) => sound.read(self.rate, self.channels, out),
        }
    }

    /// From when to when it plays, nanoseconds, if that can be known; ends at the start.
    pub(super) fn span(&mut self) -> Result<Option<(i64, i64)>, ContainerError> {
        match &mut self.stream {
            Stream::Wav { reader, .. } => {
                let nanos =
                    u128::from(reader.frames()) * 1_000_000_000 / u128::from(self.rate.max(1));
                Ok(Some((0, i64::try_from(nanos).unwrap_or(i64::MAX))))
            }
            Stream::Packets(sound) => sound.packets.span(),
        }
    }

    /// Whether the file turned out to end in the middle of something.
    pub(super) fn was_cut(&self) -> bool {
        match &self.stream {
            Stream::Wav { reader, .. } => reader.was_cut(),
            Stream::Packets(sound) => sound.packets.was_cut(),
        }
    }

    /// Goes back to the start.
    pub(super) fn rewind(&mut self) -> Result<(), ContainerError> {
        match &mut self.stream {
            Stream::Wav { reader, .. } => reader.rewind(),
            Stream::Packets(sound) => sound.rewind(),
        }
    }
}

/// Nanoseconds as samples, to the nearest.
fn to_samples(nanos: i64, rate: u32) -> i64 {
    let scaled = i128::from(nanos) * i128::from(rate) + 500_000_000;
    i64::try_from(scaled.div_euclid(1_000_000_000)).unwrap_or(if nanos < 0 {
        i64::MIN
    } else {
        i64::MAX
    })
}

fn decoder(codec: &AudioConfig) -> Result<(Decoder, u32, usize), ContainerError> {
    match codec {
        AudioConfig::Opus(head) => {
            let decoder = opus_decoder(head).map_err(|error| {
                tracing::debug!(%error, "no Opus decoder");
                ContainerError::unsupported("its Opus sound cannot be decoded")
            })?;
            let mixdown = Mixdown::wave(head.mapping.len(), None);
            let channels = mixdown.mixed();
            Ok((Decoder::Opus { decoder, mixdown }, 48_000, channels))
        }
        AudioConfig::Aac { config } => {
            let aac = Aac::new(config)?;
            let (rate, channels) = (aac.rate, aac.channels);
            Ok((Decoder::Aac(Box::new(aac)), rate, channels))
        }
    }
}

/// A decoder that gives all channels, and the gain that the header wants (RFC 7845 section 5.1).
fn opus_decoder(head: &OpusHead) -> opus::Result<opus::MSDecoder> {
    let (streams, coupled) = head.streams;
    let mut decoder = opus::MSDecoder::new(48_000, streams, coupled, &head.mapping)?;
    decoder.set_gain(i32::from(head.gain))?;
    Ok(decoder)
}

impl PacketSound {
    fn new(packets: Packets, codec: AudioConfig, decoder: Decoder) -> Self {
        Self {
            packets,
            codec,
            decoder,
            origin: None,
            placing: Placing::default(),
            silence: 0,
            skip: None,
            raw: Vec::new(),
            errors: 0,
        }
    }

    fn rewind(&mut self) -> Result<(), ContainerError> {
        self.packets.rewind()?;
        self.take_change();
        self.decoder = decoder(&self.codec)?.0;
        self.placing = self.placing.anew();
        self.silence = 0;
        self.skip = None;
        self.raw.clear();
        Ok(())
    }

    /// Whether another stream has begun inside of the file, which has a header of its own.
    fn take_change(&mut self) -> bool {
        let Some(codec) = self.packets.take_change() else { return false };
        self.codec = codec;
        true
    }

    fn read(
        &mut self,
        rate: u32,
        channels: usize,
        out: &mut Vec<f32>,
    ) -> Result<bool, ContainerError> {
        if self.silence > 0 {
            let part = self.silence.min(STEP as i64);
            out.resize(out.len() + part as usize * channels, 0.0);
            self.silence -= part;
            return Ok(true);
        }
        if !self.raw.is_empty() {
            out.append(&mut self.raw);
            return Ok(true);
        }
        let Some(packet) = self.packets.next()? else { return Ok(false) };
        if self.take_change() {
            self.decoder = decoder(&self.codec)?.0;
            self.skip = None;
        }
        let (pts, trim) = packet.time.stored();
        let origin = *self.origin.get_or_insert(pts);
        let at = to_samples(pts.saturating_sub(origin), rate);
        self.decode(packet.data, channels)?;
        let trim = usize::try_from(to_samples(trim, rate)).unwrap_or(0) * channels;
        self.raw.truncate(self.raw.len().saturating_sub(trim));
        let at = at.saturating_add(self.drop_delay(at, channels));
        if !self.raw.is_empty() {
            self.silence = self.placing.place(at, &mut self.raw, (rate, channels));
        }
        Ok(true)
    }

    /// Decodes a packet; one that is broken becomes nothing, and so a gap.
    fn decode(&mut self, packet: Bytes, channels: usize) -> Result<(), ContainerError> {
        let result = match &mut self.decoder {
            Decoder::Aac(aac) => aac.decode(packet.into(), &mut self.raw),
            Decoder::Opus { decoder, mixdown } => {
                decode_opus(decoder, &packet, mixdown, channels, &mut self.raw)
            }
        };
        match result {
            Ok(()) => self.errors = 0,
            Err(reason) => {
                tracing::debug!(reason, "a packet of sound is not decoded");
                self.raw.clear();
                self.errors += 1;
                if self.errors > MAX_ERRORS {
                    return Err(ContainerError::corrupt(format!(
                        "{MAX_ERRORS} packets of sound one after the other cannot be decoded"
                    )));
                }
            }
        }
        let whole = self.raw.len() - self.raw.len() % channels;
        self.raw.truncate(whole);
        Ok(())
    }

    /// Takes off what the encoder put before the sound; says how much of this packet went.
    fn drop_delay(&mut self, at: i64, channels: usize) -> i64 {
        let skip = self.skip.get_or_insert_with(|| {
            let before = usize::try_from(at.saturating_neg().max(0)).unwrap_or(0);
            let told = match &self.codec {
                AudioConfig::Opus(head) => usize::from(head.pre_skip),
                AudioConfig::Aac { .. } => 0,
            };
            before.min(48_000).max(told)
        });
        let frames = (self.raw.len() / channels).min(*skip);
        *skip -= frames;
        self.raw.drain(..frames * channels);
        frames as i64
    }
}

/// The longest Opus packet: 120 ms at 48 kHz (RFC 6716 section 2.1.4).
const MAX_OPUS_SAMPLES: usize = 5760;

fn decode_opus(
    decoder: &mut opus::MSDecoder,
    packet: &[u8],
    mixdown: &Mixdown,
    channels: usize,
    out: &mut Vec<f32>,
) -> Result<(), String> {
    let mut all = vec![0.0; MAX_OPUS_SAMPLES * mixdown.channels()];
    let frames =
        decoder.decode_float(packet, &mut all, false).map_err(|error| error.to_string())?;
    all.truncate(frames * mixdown.channels());
    let mut mixed = Vec::with_capacity(frames * mixdown.mixed());
    mixdown.mix(&all, &mut mixed);
    // A stream that is chained to another may have other channels than that.
    *out = rechannel(mixed, mixdown.mixed(), channels);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_of_aac_is_exact() {
        assert_eq!(to_samples(-21_333_333, 48_000), -1024);
        assert_eq!(to_samples(-23_219_954, 44_100), -1024);
        assert!(to_samples(i64::MIN, 384_000) < 0);
    }
}
