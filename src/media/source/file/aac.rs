//! Decodes the AAC-LC of a file, up to eight channels, mixed down to two.
//!
//! The one place that names the AAC decoder's crate, which takes one or two channels. A packet of
//! more is made of elements of one or two each: they are decoded by a decoder each.

use symphonia_codec_aac::AacDecoder;
use symphonia_core::codecs::audio::well_known::CODEC_ID_AAC;
use symphonia_core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia_core::errors::Error;
use symphonia_core::packet::Packet;
use symphonia_core::units::{Duration, Timestamp};

use super::mixdown::{BACK, BASS, CENTRE, LEFT, Mixdown, RIGHT, SIDE_LEFT, SIDE_RIGHT, Share};
use crate::media::container::ContainerError;

/// An AAC-LC decoder for one stream.
pub(super) struct Aac {
    /// Hz.
    pub(super) rate: u32,
    /// Channels that come out: 1 or 2.
    pub(super) channels: usize,
    parts: Parts,
    scratch: Vec<f32>,
}

enum Parts {
    /// One or two channels, as the crate takes them.
    Whole(Box<AacDecoder>),
    Elements {
        elements: Vec<Element>,
        mixdown: Mixdown,
        borders: Borders,
    },
}

/// The sample rates by index (ISO/IEC 14496-3 table 1.18).
const RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// Kinds of elements (ISO/IEC 14496-3 table 4.85).
const SINGLE: u8 = 0;
const PAIR: u8 = 1;
const BASS_ONLY: u8 = 3;
const DATA: u8 = 4;
const FILL: u8 = 6;
const END: u8 = 7;

/// Bits of the kind of an element, which more of its head follow.
const TAGGED: usize = 3;

/// Samples of a channel in a packet.
const FRAME: usize = 1024;

/// Where the channels of an element belong.
#[derive(Debug, Clone, PartialEq)]
struct Place {
    kind: u8,
    shares: Vec<Share>,
}

struct Element {
    kind: u8,
    channels: usize,
    decoder: Box<AacDecoder>,
}

impl Aac {
    /// A decoder for the stream with this AudioSpecificConfig.
    pub(super) fn new(config: &[u8]) -> Result<Self, ContainerError> {
        let (index, places) = parse(config)?;
        let rate = *RATES.get(index).ok_or_else(|| unsupported("an unusual sample rate"))?;
        let channels: usize = places.iter().map(|place| place.shares.len()).sum();
        let parts = if channels <= 2 {
            Parts::Whole(Box::new(open(config, rate)?))
        } else {
            let shares = places.iter().flat_map(|place| place.shares.clone()).collect();
            let elements = places
                .iter()
                .map(|place| {
                    let channels = place.shares.len();
                    let decoder = Box::new(open(&small_config(index, channels), rate)?);
                    Ok(Element { kind: place.kind, channels, decoder })
                })
                .collect::<Result<_, ContainerError>>()?;
            let borders = Borders {
                single: Box::new(open(&small_config(index, 1), rate)?),
                pair: Box::new(open(&small_config(index, 2), rate)?),
            };
            Parts::Elements { elements, mixdown: Mixdown::new(shares), borders }
        };
        Ok(Self { rate, channels: channels.clamp(1, 2), parts, scratch: Vec::new() })
    }

    /// Decodes one packet and appends its samples, interleaved.
    pub(super) fn decode(&mut self, packet: Vec<u8>, out: &mut Vec<f32>) -> Result<(), String> {
        match &mut self.parts {
            Parts::Whole(decoder) => {
                decode(decoder, packet, &mut self.scratch).map_err(|error| error.to_string())?;
                out.extend_from_slice(&self.scratch);
            }
            Parts::Elements { elements, mixdown, borders } => {
                let all = mixdown.channels();
                let mut mixed = vec![0.0; FRAME * all];
                let mut first = 0;
                let mut rest = Bits::new(&packet);
                let last = elements.len().saturating_sub(1);
                for (n, element) in elements.iter_mut().enumerate() {
                    let taken = borders.next(&mut rest, element.kind, n == last)?;
                    decode(&mut element.decoder, taken, &mut self.scratch)
                        .map_err(|error| error.to_string())?;
                    let blocks = self.scratch.chunks_exact(element.channels);
                    for (to, from) in mixed.chunks_exact_mut(all).zip(blocks) {
                        to[first..first + element.channels].copy_from_slice(from);
                    }
                    first += element.channels;
                }
                mixdown.mix(&mixed, out);
            }
        }
        Ok(())
    }
}

fn open(config: &[u8], rate: u32) -> Result<AacDecoder, ContainerError> {
    let mut params = AudioCodecParameters::new();
    params.for_codec(CODEC_ID_AAC).with_sample_rate(rate).with_extra_data(config.into());
    AacDecoder::try_new(&params, &AudioDecoderOptions::default()).map_err(|error| {
        tracing::debug!(%error, "no AAC decoder");
        unsupported("it is of a kind that is not AAC-LC")
    })
}

fn decode(decoder: &mut AacDecoder, packet: Vec<u8>, out: &mut Vec<f32>) -> Result<(), Error> {
    let packet = Packet::new(0, Timestamp::new(0), Duration::new(0), packet);
    decoder.decode(&packet)?.copy_to_vec_interleaved(out);
    Ok(())
}

fn unsupported(what: &str) -> ContainerError {
    ContainerError::unsupported(format!(
        "its AAC sound cannot be decoded ({what}); convert it with \
         `ffmpeg -i IN -c:v copy -c:a aac -ac 2 OUT.mp4`"
    ))
}

/// The AudioSpecificConfig of plain AAC-LC with one or two channels.
fn small_config(rate_index: usize, channels: usize) -> [u8; 2] {
    let bits = 2u16 << 11 | (rate_index as u16) << 7 | (channels as u16) << 3;
    bits.to_be_bytes()
}

/// The index of the sample rate and the elements of a packet, of plain AAC-LC (ISO/IEC 14496-3 section
/// 1.6.2.1).
fn parse(config: &[u8]) -> Result<(usize, Vec<Place>), ContainerError> {
    let cut = || unsupported("its configuration is cut");
    let mut bits = Bits::new(config);
    let object = bits.read(5).ok_or_else(cut)?;
    if object != 2 {
        // ISO/IEC 14496-3 table 1.17.
        let kind = match object {
            1 => "AAC Main",
            4 => "AAC-LTP",
            5 => "HE-AAC",
            29 => "HE-AAC v2",
            _ => "another kind of AAC",
        };
        return Err(unsupported(&format!("it is {kind}, object type {object}, and not AAC-LC")));
    }
    let index = bits.read(4).ok_or_else(cut)? as usize;
    let layout = bits.read(4).ok_or_else(cut)?;
    let single = |share| Place { kind: SINGLE, shares: vec![share] };
    let pair = |left, right| Place { kind: PAIR, shares: vec![left, right] };
    let bass = Place { kind: BASS_ONLY, shares: vec![BASS] };
    let (centre, front, sides) = (single(CENTRE), pair(LEFT, RIGHT), pair(SIDE_LEFT, SIDE_RIGHT));
    // Table 1.19.
    let places = match layout {
        0 => program(&mut bits).ok_or_else(|| unsupported("an unusual order of channels"))?,
        1 => vec![centre],
        2 => vec![front],
        3 => vec![centre, front],
        4 => vec![centre, front, single(BACK)],
        5 => vec![centre, front, sides],
        6 => vec![centre, front, sides, bass],
        7 => vec![centre, front.clone(), front, sides, bass],
        11 => vec![centre, front, sides, single(BACK), bass],
        12 => vec![centre, front, sides.clone(), sides, bass],
        _ => return Err(unsupported("an unusual order of channels")),
    };
    Ok((index, places))
}

/// The elements that a program configuration lists (section 4.4.1.1), in the order of packets.
fn program(bits: &mut Bits<'_>) -> Option<Vec<Place>> {
    // Frame length, core coder, extension; then tag, object type and rate again.
    bits.read(3 + 4 + 2 + 4)?;
    let (front, side, back, bass) = (bits.read(4)?, bits.read(4)?, bits.read(4)?, bits.read(2)?);
    bits.read(3 + 4)?;
    for skipped in [4, 4, 3] {
        if bits.read(1)? == 1 {
            bits.read(skipped)?;
        }
    }
    let mut places = Vec::new();
    let sides = (SIDE_LEFT, SIDE_RIGHT);
    for (count, alone, both) in
        [(front, CENTRE, (LEFT, RIGHT)), (side, BACK, sides), (back, BACK, sides)]
    {
        for _ in 0..count {
            let is_pair = bits.read(1)? == 1;
            bits.read(4)?;
            places.push(match is_pair {
                true => Place { kind: PAIR, shares: vec![both.0, both.1] },
                false => Place { kind: SINGLE, shares: vec![alone] },
            });
        }
    }
    places.extend((0..bass).map(|_| Place { kind: BASS_ONLY, shares: vec![BASS] }));
    let channels: usize = places.iter().map(|place| place.shares.len()).sum();
    (1..=8).contains(&channels).then_some(places)
}

/// Finds where elements end. Their coding says so only to who decodes them, so that decoders that
/// nobody hears are given more and less of one until it is just enough.
struct Borders {
    single: Box<AacDecoder>,
    pair: Box<AacDecoder>,
}

impl Borders {
    /// Takes the next element off, which must be of that kind, as a packet of its own; the last one
    /// with all that follows, where nothing is left to be told apart.
    fn next(&mut self, rest: &mut Bits<'_>, kind: u8, last: bool) -> Result<Vec<u8>, String> {
        let cut = || "a packet of sound is cut".to_owned();
        loop {
            let start = rest.at;
            match rest.read(3).ok_or_else(cut)? as u8 {
                DATA => rest.skip_data().ok_or_else(cut)?,
                FILL => rest.skip_fill().ok_or_else(cut)?,
                found if found == kind => {
                    rest.at = start;
                    let whole = last.then(|| rest.left());
                    let len = whole.or_else(|| self.len(rest, kind)).ok_or_else(cut)?;
                    let packet = rest.packet(len);
                    rest.at += len;
                    return Ok(packet);
                }
                END => return Err(cut()),
                found => return Err(format!("an element {found} of sound where {kind} was due")),
            }
        }
    }

    /// The bits of the element that begins here; `None` when not all of it is there.
    fn len(&mut self, rest: &Bits<'_>, kind: u8) -> Option<usize> {
        let decoder = if kind == PAIR { &mut self.pair } else { &mut self.single };
        let mut scratch = Vec::new();
        let mut is_enough = |bits: usize| {
            // It reads bits, so the one thing that reading can meet is their end; whatever else is
            // wrong lies behind the element.
            !matches!(decode(decoder, rest.packet(bits), &mut scratch), Err(Error::IoError(_)))
        };
        let (mut too_few, mut enough) = (7, rest.left());
        if enough <= too_few || !is_enough(enough) {
            return None;
        }
        while enough - too_few > 1 {
            let middle = too_few + (enough - too_few) / 2;
            // Of what follows the decoder reads a kind and a tag together, seven bits: with four to
            // six of them it misses the end of that, and with three less it does not begin.
            let before = middle.saturating_sub(TAGGED);
            if is_enough(middle) {
                enough = middle;
            } else if before > too_few && is_enough(before) {
                enough = before;
            } else {
                too_few = middle;
            }
        }
        Some(enough)
    }
}

/// Bits of a packet.
#[derive(Debug, Clone)]
struct Bits<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0 }
    }

    fn left(&self) -> usize {
        (self.data.len() * 8).saturating_sub(self.at)
    }

    fn bit(&self, at: usize) -> Option<u8> {
        Some(self.data.get(at / 8)? >> (7 - at % 8) & 1)
    }

    fn read(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            value = value << 1 | u32::from(self.bit(self.at)?);
            self.at += 1;
        }
        Some(value)
    }

    fn skip(&mut self, bits: usize) -> Option<()> {
        (self.left() >= bits).then(|| self.at += bits)
    }

    fn skip_data(&mut self) -> Option<()> {
        self.read(4)?;
        let aligned = self.read(1)? == 1;
        let mut count = self.read(8)?;
        if count == 255 {
            count += self.read(8)?;
        }
        if aligned {
            self.at = self.at.next_multiple_of(8);
        }
        self.skip(count as usize * 8)
    }

    fn skip_fill(&mut self) -> Option<()> {
        let mut count = self.read(4)?;
        if count == 15 {
            count = (count + self.read(8)?).checked_sub(1)?;
        }
        self.skip(count as usize * 8)
    }

    /// The next `bits` as a packet that ends with them exactly: as many empty fill elements of seven
    /// bits stand before them as make whole bytes of it.
    fn packet(&self, bits: usize) -> Vec<u8> {
        let fills = bits % 8;
        let mut packet = vec![0; (fills * 7 + bits) / 8];
        let mut put = |at: usize, bit: u8| {
            if let Some(byte) = packet.get_mut(at / 8) {
                *byte |= bit << (7 - at % 8);
            }
        };
        for fill in 0..fills {
            put(fill * 7, 1);
            put(fill * 7 + 1, 1);
        }
        for n in 0..bits {
            put(fills * 7 + n, self.bit(self.at + n).unwrap_or(0));
        }
        packet
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shape(config: &[u8]) -> (usize, usize) {
        let (index, places) = parse(config).unwrap();
        (index, places.iter().map(|place| place.shares.len()).sum())
    }

    #[test]
    fn a_configuration_says_rate_and_channels() {
        assert_eq!(shape(&[0x12, 0x10]), (4, 2));
        assert_eq!(shape(&[0x11, 0x88]), (3, 1));
        assert_eq!(shape(&[0x11, 0xB0]), (3, 6));
        assert!(parse(&[0x2B, 0x11]).is_err());
        assert!(parse(&[0x12]).is_err());
        assert_eq!(small_config(4, 2), [0x12, 0x10]);
    }

    #[test]
    fn bits_become_packets_of_their_own() {
        let mut bits = Bits::new(&[0b1010_0101, 0b1100_0011]);
        bits.at = 3;
        // Nine bits: one fill of seven before them.
        assert_eq!(bits.packet(9), [0b1100_0000, 0b0101_1100]);
        assert_eq!(bits.packet(8), [0b0010_1110]);
    }

    proptest! {
        #[test]
        fn wild_packets_never_panic(packet in proptest::collection::vec(any::<u8>(), 0..200)) {
            for config in [[0x12, 0x10], [0x12, 0x30]] {
                let mut aac = Aac::new(&config).unwrap();
                let mut out = Vec::new();
                if aac.decode(packet.clone(), &mut out).is_ok() {
                    prop_assert!(out.len() <= 2048);
                }
            }
            let _ = parse(&packet);
        }
    }
}
