//! Decodes the AAC-LC of a file.
//!
//! The one place that names the AAC decoder's crate.

use symphonia_codec_aac::AacDecoder;
use symphonia_core::codecs::audio::well_known::CODEC_ID_AAC;
use symphonia_core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia_core::packet::Packet;
use symphonia_core::units::{Duration, Timestamp};

use crate::media::container::ContainerError;

/// An AAC-LC decoder for one stream.
pub(super) struct Aac {
    decoder: AacDecoder,
    scratch: Vec<f32>,
}

/// The sample rates by index (ISO/IEC 14496-3 table 1.18).
const RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

impl Aac {
    /// A decoder for the stream with this AudioSpecificConfig; also its rate and channels.
    pub(super) fn new(config: &[u8]) -> Result<(Self, u32, usize), ContainerError> {
        let (rate, channels) = parse(config)?;
        let mut params = AudioCodecParameters::new();
        params.for_codec(CODEC_ID_AAC).with_sample_rate(rate).with_extra_data(config.into());
        let decoder = AacDecoder::try_new(&params, &AudioDecoderOptions::default())
            .map_err(|error| unsupported(&error.to_string()))?;
        Ok((Self { decoder, scratch: Vec::new() }, rate, channels))
    }

    /// Decodes one packet and appends its samples, interleaved.
    pub(super) fn decode(&mut self, packet: Vec<u8>, out: &mut Vec<f32>) -> Result<(), String> {
        let packet = Packet::new(0, Timestamp::new(0), Duration::new(0), packet);
        let buffer = self.decoder.decode(&packet).map_err(|error| error.to_string())?;
        buffer.copy_to_vec_interleaved(&mut self.scratch);
        out.extend_from_slice(&self.scratch);
        Ok(())
    }
}

fn unsupported(what: &str) -> ContainerError {
    ContainerError::unsupported(format!(
        "its AAC sound cannot be decoded ({what}); convert it with \
         `ffmpeg -i IN -c:v copy -c:a aac -ac 2 OUT.mp4`"
    ))
}

/// Rate and channels of plain AAC-LC (ISO/IEC 14496-3 section 1.6.2.1).
fn parse(config: &[u8]) -> Result<(u32, usize), ContainerError> {
    let [a, b, ..] = *config else { return Err(unsupported("its configuration is cut")) };
    let object = a >> 3;
    if object != 2 {
        return Err(unsupported(&format!("audio object type {object} is not AAC-LC")));
    }
    let index = usize::from((a & 7) << 1 | b >> 7);
    let channels = usize::from(b >> 3 & 0xF);
    let rate = *RATES.get(index).ok_or_else(|| unsupported("an unusual sample rate"))?;
    if !(1..=2).contains(&channels) {
        return Err(unsupported("it has more than two channels"));
    }
    Ok((rate, channels))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_configuration_says_rate_and_channels() {
        assert_eq!(parse(&[0x12, 0x10]).unwrap(), (44_100, 2));
        assert_eq!(parse(&[0x11, 0x88]).unwrap(), (48_000, 1));
        assert!(parse(&[0x2B, 0x11]).is_err());
        assert!(parse(&[0x12]).is_err());
    }

    proptest! {
        #[test]
        fn wild_packets_never_panic(packet in proptest::collection::vec(any::<u8>(), 0..200)) {
            let (mut aac, ..) = Aac::new(&[0x12, 0x10]).unwrap();
            let mut out = Vec::new();
            if aac.decode(packet, &mut out).is_ok() {
                prop_assert!(out.len() <= 2048);
            }
        }
    }
}
