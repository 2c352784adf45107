//! Opus on libopus: 48 kHz, 20 to 60 ms a packet, in-band FEC.
//!
//! Owns both directions, and what can be told of a packet without decoding it;
//! knows nothing of RTP.

use bytes::Bytes;
use opus::{Application, Bitrate, Channels, Decoder, Encoder};

use super::{AudioDecoder, AudioEncoder, CodecError, OPUS_FRAME_SAMPLES, OpusSettings, in_words};
use crate::media::frame::SAMPLE_RATE;

/// How errors name this codec.
const CODEC: &str = "Opus";

/// The largest packet of one frame (RFC 6716 section 3.4, R2).
const MAX_PACKET: usize = 1_275;

/// The longest packet: 120 ms (RFC 6716 section 3.2.5).
const MAX_SAMPLES: usize = 5_760;

/// The packets that are made, samples per channel: 20, 40 and 60 ms.
const PACKETS: [usize; 3] = [OPUS_FRAME_SAMPLES, 2 * OPUS_FRAME_SAMPLES, 3 * OPUS_FRAME_SAMPLES];

/// A packet of a single byte, or with one more, says that nothing follows (RFC 6716 section 2.1.9).
const SILENT_PACKET: usize = 2;

/// With this loss, percent, there is repair data at every bitrate.
const LEAST_LOSS: i32 = 6;

/// Of 10: more costs processor time that nobody hears at these bitrates.
const COMPLEXITY: i32 = 5;

/// Encodes sound.
#[derive(Debug)]
pub struct OpusEncoder {
    encoder: Encoder,
    channels: usize,
}

impl OpusEncoder {
    /// An encoder with these settings.
    ///
    /// # Errors
    /// When the library refuses them.
    pub fn new(settings: OpusSettings) -> Result<Self, CodecError> {
        let setup = |error: opus::Error| CodecError::Setup {
            codec: CODEC,
            reason: in_words(CODEC, &error, "no encoder can be made; is there memory left?"),
        };
        let channels = channels(settings.channels);
        let mut encoder = Encoder::new(SAMPLE_RATE, channels, Application::Voip).map_err(setup)?;
        let bitrate = i32::try_from(settings.bitrate).unwrap_or(i32::MAX);
        encoder.set_bitrate(Bitrate::Bits(bitrate)).map_err(setup)?;
        encoder.set_inband_fec(settings.inband_fec).map_err(setup)?;
        encoder.set_dtx(settings.dtx).map_err(setup)?;
        encoder.set_complexity(COMPLEXITY).map_err(setup)?;
        Ok(Self { encoder, channels: settings.channels.clamp(1, 2) })
    }
}

impl AudioEncoder for OpusEncoder {
    fn encode(&mut self, samples: &[f32]) -> Result<Bytes, CodecError> {
        if !PACKETS.iter().any(|packet| packet * self.channels == samples.len()) {
            let reason = format!("{} samples are not 20, 40 or 60 ms", samples.len());
            return Err(CodecError::Encode { codec: CODEC, reason });
        }
        let packet = self.encoder.encode_vec_float(samples, MAX_PACKET);
        packet.map(Bytes::from).map_err(|error| CodecError::Encode {
            codec: CODEC,
            reason: in_words(CODEC, &error, "it does not take a block of sound"),
        })
    }

    fn set_bitrate(&mut self, bitrate: u32) {
        let bitrate = Bitrate::Bits(i32::try_from(bitrate).unwrap_or(i32::MAX));
        if let Err(error) = self.encoder.set_bitrate(bitrate) {
            tracing::warn!(%error, "the encoder keeps its bitrate");
        }
    }

    fn set_packet_loss(&mut self, fraction: f64) {
        let percent = match (fraction.clamp(0.0, 1.0) * 100.0).round() as i32 {
            0 => 0,
            // Told of less, the library rather keeps a wide band than puts repair data into it.
            some => some.max(LEAST_LOSS),
        };
        if let Err(error) = self.encoder.set_packet_loss_perc(percent) {
            tracing::warn!(%error, "the encoder does not know of the loss");
        }
    }
}

/// Decodes sound; mono packets come out of a stereo decoder on both channels.
#[derive(Debug)]
pub struct OpusDecoder {
    decoder: Decoder,
    channels: usize,
}

impl OpusDecoder {
    /// A decoder that gives 1 or 2 channels.
    ///
    /// # Errors
    /// When the library cannot be set up.
    pub fn new(channel_count: usize) -> Result<Self, CodecError> {
        let decoder = Decoder::new(SAMPLE_RATE, channels(channel_count)).map_err(|error| {
            CodecError::Setup {
                codec: CODEC,
                reason: in_words(CODEC, &error, "no decoder can be made; is there memory left?"),
            }
        })?;
        Ok(Self { decoder, channels: channel_count.clamp(1, 2) })
    }

    fn run(&mut self, packet: &[u8], samples: usize, fec: bool) -> Result<Vec<f32>, CodecError> {
        let mut sound = vec![0.0; samples * self.channels];
        let decoded = self.decoder.decode_float(packet, &mut sound, fec).map_err(|error| {
            CodecError::Decode {
                codec: CODEC,
                reason: in_words(CODEC, &error, "a packet is damaged"),
            }
        })?;
        sound.truncate(decoded * self.channels);
        Ok(sound)
    }
}

/// Made-up and repaired sound comes in steps of 2.5 ms, at most a packet's worth.
fn whole_steps(samples: usize) -> usize {
    (samples / 120 * 120).clamp(120, MAX_SAMPLES)
}

impl AudioDecoder for OpusDecoder {
    fn decode(&mut self, packet: &[u8]) -> Result<Vec<f32>, CodecError> {
        // To the library an empty packet means "make something up".
        if packet.is_empty() {
            let reason = "the packet is empty".to_owned();
            return Err(CodecError::Decode { codec: CODEC, reason });
        }
        self.run(packet, MAX_SAMPLES, false)
    }

    fn decode_fec(&mut self, next: &[u8], samples: usize) -> Result<Vec<f32>, CodecError> {
        self.run(next, whole_steps(samples), true)
    }

    fn conceal(&mut self, samples: usize) -> Result<Vec<f32>, CodecError> {
        self.run(&[], whole_steps(samples), false)
    }

    fn channels(&self) -> usize {
        self.channels
    }

    fn packet_samples(&self, packet: &[u8]) -> Option<usize> {
        packet_samples(packet).map(|samples| samples as usize)
    }

    fn repairs(&self, packet: &[u8]) -> Option<usize> {
        repairs(packet)
    }

    fn is_silence(&self, packet: &[u8]) -> bool {
        packet.len() <= SILENT_PACKET
    }
}

/// Samples per channel before this packet that its in-band FEC can rebuild: as long as one of its
/// frames (RFC 6716 sections 4.2.3 and 4.2.4). `None` when it carries none.
#[must_use]
pub fn repairs(packet: &[u8]) -> Option<usize> {
    let toc = *packet.first()?;
    // The first two layers of Table 2: SILK alone, and SILK below CELT. CELT alone has no FEC.
    let frame = match toc >> 3 {
        config @ 0..12 => [480, 960, 1_920, 2_880][usize::from(config) % 4],
        config @ 12..16 => [480, 960][usize::from(config) % 2],
        _ => return None,
    };
    let parsed = opus::packet::parse(packet).ok()?;
    let flags = *parsed.frames.first()?.first()?;
    // One bit a 20 ms for speech, then one for FEC; the same again for a second channel.
    let parts = (frame / OPUS_FRAME_SAMPLES).max(1);
    let mono = flags >> (7 - parts) & 1 == 1;
    let side = toc & 4 != 0 && flags >> (6 - 2 * parts.min(3)) & 1 == 1;
    (mono || side).then_some(frame)
}

/// Samples per channel at 48 kHz that a packet says it holds; `None` when it is not Opus.
#[must_use]
pub fn packet_samples(packet: &[u8]) -> Option<u32> {
    let samples = opus::packet::get_nb_samples(packet, SAMPLE_RATE).ok()?;
    u32::try_from(samples).ok().filter(|samples| (1..=MAX_SAMPLES as u32).contains(samples))
}

fn channels(count: usize) -> Channels {
    if count >= 2 { Channels::Stereo } else { Channels::Mono }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn settings(channels: usize) -> OpusSettings {
        OpusSettings { channels, bitrate: 32_000, inband_fec: true, dtx: false }
    }

    fn tone(block: usize) -> Vec<f32> {
        (0..OPUS_FRAME_SAMPLES)
            .map(|n| {
                let t = (block * OPUS_FRAME_SAMPLES + n) as f32 / SAMPLE_RATE as f32;
                0.3 * (std::f32::consts::TAU * 440.0 * t).sin()
            })
            .collect()
    }

    fn energy(sound: &[f32]) -> f32 {
        sound.iter().map(|s| s * s).sum::<f32>() / sound.len().max(1) as f32
    }

    #[test]
    fn a_tone_survives_in_both_channel_counts() {
        let mut encoder = OpusEncoder::new(settings(1)).unwrap();
        let (mut mono, mut stereo) = (OpusDecoder::new(1).unwrap(), OpusDecoder::new(2).unwrap());
        let mut heard = (0.0, 0.0);
        for block in 0..10 {
            let packet = encoder.encode(&tone(block)).unwrap();
            let (one, two) = (mono.decode(&packet).unwrap(), stereo.decode(&packet).unwrap());
            assert_eq!((one.len(), two.len()), (960, 1_920));
            heard = (energy(&one), energy(&two));
        }
        assert!((heard.0 - 0.045).abs() < 0.01 && (heard.1 - 0.045).abs() < 0.01, "{heard:?}");
    }

    #[test]
    fn repairs_from_the_next_packet_and_makes_up_the_rest() {
        let mut encoder = OpusEncoder::new(settings(1)).unwrap();
        encoder.set_packet_loss(0.2);
        let packets: Vec<_> = (0..20).map(|block| encoder.encode(&tone(block)).unwrap()).collect();
        let mut decoder = OpusDecoder::new(1).unwrap();
        for packet in &packets[..10] {
            decoder.decode(packet).unwrap();
        }
        let repaired = decoder.decode_fec(&packets[11], 960).unwrap();
        assert_eq!(repaired.len(), 960);
        assert!(energy(&repaired) > 0.01, "the tone goes on through the gap");
        decoder.decode(&packets[11]).unwrap();
        assert_eq!(decoder.conceal(480).unwrap().len(), 480);
    }

    #[test]
    fn a_packet_says_how_long_it_is() {
        assert_eq!(packet_samples(&[15 << 3]), Some(960));
        assert_eq!(packet_samples(&[3 << 3 | 1]), Some(5760));
        assert_eq!(packet_samples(&[31 << 3 | 3, 2]), Some(1920));
        assert_eq!(packet_samples(&[31 << 3 | 3]), None, "a count is missing");
        assert_eq!(packet_samples(&[]), None);
    }

    #[test]
    fn refuses_what_is_not_20_ms_and_what_is_not_opus() {
        assert!(OpusEncoder::new(settings(2)).unwrap().encode(&[0.0; 960]).is_err());
        assert!(OpusDecoder::new(1).unwrap().decode(&[]).is_err());
        assert!(OpusDecoder::new(1).unwrap().decode(&[0xff; 3]).is_err());
    }
}
