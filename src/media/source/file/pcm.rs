//! The sound of a file as samples, at its own rate, silence where it has gaps.
//!
//! Owns decoding, encoder delay and gaps. Samples count from the start of the
//! file, so that they stay in step with its pictures.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use super::aac::Aac;
use super::mixdown::{mix, mixed_channels};
use super::packets::{self, Packets};
use super::{Opened, SourceError, in_file, open_file};
use crate::media::container::wav::WavReader;
use crate::media::container::{AudioCodec, ContainerError, Kind};

/// A file of sound.
pub(super) struct Pcm {
    stream: Stream,
    /// 1 or 2.
    pub(super) channels: usize,
    /// Hz.
    pub(super) rate: u32,
}

enum Stream {
    Wav { reader: WavReader<BufReader<File>>, raw: Vec<f32> },
    Packets(Box<PacketSound>),
}

/// Sound in packets, and how far it was decoded.
struct PacketSound {
    packets: Packets,
    codec: AudioCodec,
    decoder: Decoder,
    /// Samples per channel given out since the start of the file.
    position: i64,
    /// Silence still to be given out, samples per channel.
    silence: i64,
    /// Decoded samples to throw away, per channel; `None` before the first packet.
    skip: Option<usize>,
    raw: Vec<f32>,
    errors: u32,
}

enum Decoder {
    Opus(opus::Decoder),
    Aac(Box<Aac>),
}

/// Gaps shorter than this are rounding, not gaps.
const GAP_MS: i64 = 40;

/// Samples per channel that one step gives out at most, about.
const STEP: usize = 1024;

/// So many broken packets in a row end the file.
const MAX_ERRORS: u32 = 250;

impl Pcm {
    /// Opens the sound of a file and decodes its beginning to be sure.
    pub(super) fn open(path: &Path) -> Result<Self, SourceError> {
        let Opened { reader, kind } = open_file(path)?;
        let mut pcm = if kind == Kind::Wav {
            let reader = WavReader::open(reader).map_err(in_file(path))?;
            let (channels, rate) = (mixed_channels(reader.channels), reader.rate);
            Self { stream: Stream::Wav { reader, raw: Vec::new() }, channels, rate }
        } else {
            let (packets, codec) = packets::open_audio(path)?;
            let (decoder, rate, channels) = decoder(&codec).map_err(in_file(path))?;
            let sound = PacketSound::new(packets, codec, decoder);
            Self { stream: Stream::Packets(Box::new(sound)), channels, rate }
        };
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

    /// Appends some samples, interleaved; `false` when there are no more.
    pub(super) fn read(&mut self, out: &mut Vec<f32>) -> Result<bool, ContainerError> {
        match &mut self.stream {
            Stream::Wav { reader, raw } => {
                raw.clear();
                let frames = reader.read(STEP, raw)?;
                mix(raw, reader.channels, out);
                Ok(frames > 0)
            }
            Stream::Packets(sound) => sound.read(self.rate, self.channels, out),
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

fn decoder(codec: &AudioCodec) -> Result<(Decoder, u32, usize), ContainerError> {
    match codec {
        AudioCodec::Opus { channels, .. } => {
            let layout = if *channels == 1 { opus::Channels::Mono } else { opus::Channels::Stereo };
            let decoder = opus::Decoder::new(48_000, layout)
                .map_err(|error| ContainerError::unsupported(format!("Opus: {error}")))?;
            Ok((Decoder::Opus(decoder), 48_000, usize::from(*channels)))
        }
        AudioCodec::Aac { config } => {
            let (aac, rate, channels) = Aac::new(config)?;
            Ok((Decoder::Aac(Box::new(aac)), rate, channels))
        }
    }
}

impl PacketSound {
    fn new(packets: Packets, codec: AudioCodec, decoder: Decoder) -> Self {
        let raw = Vec::new();
        Self { packets, codec, decoder, position: 0, silence: 0, skip: None, raw, errors: 0 }
    }

    fn rewind(&mut self) -> Result<(), ContainerError> {
        self.packets.rewind()?;
        self.decoder = decoder(&self.codec)?.0;
        self.position = 0;
        self.silence = 0;
        self.skip = None;
        self.raw.clear();
        Ok(())
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
            self.position += part;
            return Ok(true);
        }
        if !self.raw.is_empty() {
            self.position += (self.raw.len() / channels) as i64;
            out.append(&mut self.raw);
            return Ok(true);
        }
        let Some(packet) = self.packets.next()? else { return Ok(false) };
        let at = to_samples(packet.pts, rate);
        self.decode(packet.data, channels)?;
        let skipped = self.drop_delay(at, channels);
        let gap = at.saturating_add(skipped).saturating_sub(self.position);
        if gap > GAP_MS * i64::from(rate) / 1000 {
            // A silence of more than a day is a broken time stamp.
            self.silence = if gap < 86_400 * i64::from(rate) { gap } else { 0 };
        }
        Ok(true)
    }

    /// Decodes a packet; one that is broken becomes nothing, and so a gap.
    fn decode(&mut self, packet: Vec<u8>, channels: usize) -> Result<(), ContainerError> {
        let result = match &mut self.decoder {
            Decoder::Aac(aac) => aac.decode(packet, &mut self.raw),
            Decoder::Opus(decoder) => decode_opus(decoder, &packet, channels, &mut self.raw),
        };
        match result {
            Ok(()) => self.errors = 0,
            Err(reason) => {
                self.raw.clear();
                self.errors += 1;
                if self.errors > MAX_ERRORS {
                    return Err(ContainerError::corrupt(format!("its sound is broken: {reason}")));
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
            let told = match self.codec {
                AudioCodec::Opus { pre_skip, .. } => usize::from(pre_skip),
                AudioCodec::Aac { .. } => 0,
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
    decoder: &mut opus::Decoder,
    packet: &[u8],
    channels: usize,
    out: &mut Vec<f32>,
) -> Result<(), String> {
    out.resize(MAX_OPUS_SAMPLES * channels, 0.0);
    let frames = decoder.decode_float(packet, out, false).map_err(|error| error.to_string())?;
    out.truncate(frames * channels);
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
