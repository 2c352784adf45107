//! The jitter buffer for sound: which packet is decoded next, what stands in for a missing one,
//! and how long sound waits.
//!
//! Pure but for the decoder it drives: packets and times in, blocks of 10 ms
//! out. The delay follows the jitter that is seen, by playing a little faster
//! or slower where the ear does not notice.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;

use super::delay::DelayEstimator;
use super::stretch::{lengthen, shorten};
use crate::media::codec::AudioDecoder;
use crate::media::frame::{AudioFrame, SAMPLE_RATE};

/// 10 ms at 48 kHz: what is made up at a time, samples per channel.
const BLOCK: usize = 480;

/// Packets that are held at most: two seconds of the usual 20 ms.
const MAX_PACKETS: usize = 100;

/// A packet this far from the expected one belongs to a stream that began anew.
const MAX_JUMP: u64 = 3_000;

/// Sound that is made up at most for one gap, samples per channel: 120 ms. Then it is quiet.
const MAX_CONCEALED: usize = 5_760;

/// How far the buffer may be over or under its target before whole periods are taken out or put in,
/// samples. Less is for whoever can stretch.
const SLACK: f64 = 720.0;

/// What one packet holds until it is known better, samples per channel: 20 ms.
const USUAL_PACKET: usize = 960;

/// Some sound to play.
#[derive(Debug, Clone)]
pub struct PlayedBlock {
    /// The sound.
    pub frame: AudioFrame,
    /// By how many samples too little waits behind it (negative: too much), smoothed: what a device
    /// that runs on its own clock must stretch away.
    pub missing: f64,
    /// The sender's clock at its first sample; `None` when it is made up.
    pub rtp_timestamp: Option<u32>,
}

/// Counted under W3C webrtc-stats names; samples are per channel.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct AudioCounters {
    /// RTP packets, duplicates not counted.
    pub packets_received: u64,
    /// Payload bytes of those.
    pub bytes_received: u64,
    /// Packets that never came, or too late.
    pub packets_lost: u64,
    /// Samples that were made up, in-band repair not counted.
    pub concealed_samples: u64,
    /// Samples played since the first packet.
    pub total_samples_received: u64,
    /// Sum of squared level (of full scale) times seconds.
    pub total_audio_energy: f64,
    delay_seconds: f64,
    delay_count: u64,
}

impl AudioCounters {
    /// Mean time from a packet's arrival to its playing, ms.
    #[must_use]
    pub fn mean_delay_ms(&self) -> f64 {
        self.delay_seconds * 1e3 / self.delay_count.max(1) as f64
    }
}

#[derive(Debug)]
struct Packet {
    timestamp: u32,
    payload: Bytes,
    arrived: Instant,
}

/// See the module.
pub struct AudioPlayout {
    decoder: Box<dyn AudioDecoder>,
    packets: BTreeMap<u64, Packet>,
    highest: Option<u64>,
    /// The packet to be decoded next, once playing has begun.
    next: Option<u64>,
    /// Decoded sound that was not played yet, interleaved.
    pcm: Vec<f32>,
    /// The sender's clock after the last sample in `pcm`.
    end_timestamp: Option<u32>,
    packet_samples: usize,
    /// Samples made up since the last real ones.
    concealed: usize,
    delay: DelayEstimator,
    counters: AudioCounters,
}

impl std::fmt::Debug for AudioPlayout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AudioPlayout").field("counters", &self.counters).finish_non_exhaustive()
    }
}

impl AudioPlayout {
    /// An empty buffer in front of this decoder.
    #[must_use]
    pub fn new(decoder: Box<dyn AudioDecoder>) -> Self {
        Self {
            decoder,
            packets: BTreeMap::new(),
            highest: None,
            next: None,
            pcm: Vec::new(),
            end_timestamp: None,
            packet_samples: USUAL_PACKET,
            concealed: 0,
            delay: DelayEstimator::default(),
            counters: AudioCounters::default(),
        }
    }

    /// Takes a packet that came at `now`.
    pub fn insert(&mut self, now: Instant, sequence_number: u16, timestamp: u32, payload: Bytes) {
        let sequence = self.extend(sequence_number);
        if self.highest.is_some_and(|highest| sequence.abs_diff(highest) > MAX_JUMP) {
            self.start_over();
            return self.insert(now, sequence_number, timestamp, payload);
        }
        self.delay.on_packet(now, timestamp);
        let too_late = self.next.is_some_and(|next| sequence < next);
        if too_late || self.packets.contains_key(&sequence) {
            return;
        }
        self.counters.packets_received += 1;
        self.counters.bytes_received += payload.len() as u64;
        self.highest = self.highest.max(Some(sequence));
        self.packets.insert(sequence, Packet { timestamp, payload, arrived: now });
        while self.packets.len() > MAX_PACKETS {
            // Far too much at once: the oldest is too old to be heard.
            self.packets.pop_first();
            self.next = self.packets.keys().next().copied();
        }
    }

    /// The next `samples` per channel, of `at_once` that are taken at a time; `None` until enough has
    /// come to begin.
    pub fn next_block(
        &mut self,
        now: Instant,
        samples: usize,
        at_once: usize,
    ) -> Option<PlayedBlock> {
        if self.next.is_none() && !self.may_begin(now) {
            return None;
        }
        let channels = self.decoder.channels();
        let wanted = samples * channels;
        let missing = self.adapt(samples, at_once);
        while self.pcm.len() < wanted {
            self.decode_more(now);
        }
        let rtp_timestamp = self.end_timestamp.filter(|_| self.concealed == 0).map(|end| {
            let ahead = self.pcm.len() / channels;
            end.wrapping_sub(u32::try_from(ahead).unwrap_or(u32::MAX))
        });
        let rest = self.pcm.split_off(wanted);
        let samples = std::mem::replace(&mut self.pcm, rest);
        self.count(&samples, channels);
        let frame = AudioFrame { samples, channels, captured_at: now };
        Some(PlayedBlock { frame, missing, rtp_timestamp })
    }

    /// The counters.
    #[must_use]
    pub fn counters(&self) -> AudioCounters {
        self.counters
    }

    /// How long sound is meant to wait now, ms: the middle of a packet.
    #[must_use]
    pub fn target_delay_ms(&self) -> f64 {
        let samples = self.delay.headroom() + self.packet_samples as f64 / 2.0;
        samples * 1e3 / f64::from(SAMPLE_RATE)
    }

    fn extend(&self, sequence_number: u16) -> u64 {
        let near = self.highest.unwrap_or(1 << 32 | u64::from(sequence_number));
        let distance = i64::from(sequence_number.wrapping_sub(near as u16) as i16);
        near.wrapping_add_signed(distance)
    }

    fn start_over(&mut self) {
        self.packets.clear();
        (self.highest, self.next, self.end_timestamp) = (None, None, None);
        self.delay = DelayEstimator::default();
    }

    /// Playing begins when the first packet has waited as long as packets are meant to.
    fn may_begin(&mut self, now: Instant) -> bool {
        let Some((first, packet)) = self.packets.iter().next() else { return false };
        let waited = now.saturating_duration_since(packet.arrived).as_secs_f64();
        if waited * f64::from(SAMPLE_RATE) < self.delay.headroom() {
            return false;
        }
        self.next = Some(*first);
        true
    }

    /// Samples per channel that are here: decoded, and in packets up to the first gap.
    fn buffered(&self) -> usize {
        let Some(next) = self.next else { return 0 };
        let in_order = (next..).take_while(|sequence| self.packets.contains_key(sequence)).count();
        self.pcm.len() / self.decoder.channels() + in_order * self.packet_samples
    }

    /// Plays faster when much too much waits, slower when much too little does; says how many samples
    /// are missing then.
    fn adapt(&mut self, samples: usize, at_once: usize) -> f64 {
        let channels = self.decoder.channels();
        // Packets come whole and are taken in parts: on average half of each waits in any case. Where
        // the parts are out of step with packets, sometimes one more must be there.
        let step = if self.packet_samples.is_multiple_of(at_once.max(1)) { 0 } else { at_once };
        let least = (self.packet_samples + samples + step) as f64 / 2.0;
        let target = self.delay.headroom() + least;
        let level = self.delay.on_level(self.buffered() as f64, samples, target);
        if level > target + SLACK {
            let gone = shorten(&mut self.pcm, channels);
            self.delay.on_stretched(gone as f64);
        } else if level + SLACK < target && self.concealed == 0 {
            let added = lengthen(&mut self.pcm, channels);
            self.delay.on_stretched(-(added as f64));
        }
        target - level
    }

    /// Decodes the next packet, or makes up for it.
    fn decode_more(&mut self, now: Instant) {
        let Some(next) = self.next else { return self.silence() };
        if let Some(packet) = self.packets.remove(&next) {
            self.next = Some(next + 1);
            return self.decode(now, packet);
        }
        match self.packets.iter().next() {
            // Others have come after it: what is missing now will be too late.
            Some((&later, packet)) if self.is_lost(next, later, packet, now) => {
                self.repair(next, later);
            }
            later => {
                if later.is_none() && self.concealed == 0 {
                    self.delay.on_dry();
                }
                self.conceal(BLOCK);
            }
        }
    }

    /// A gap may still be filled as long as there is sound to play meanwhile; there is none now. But
    /// where time stood still on the sender's clock too (DTX), nothing is lost.
    fn is_lost(&self, next: u64, later: u64, packet: &Packet, now: Instant) -> bool {
        let waited = now.saturating_duration_since(packet.arrived).as_secs_f64();
        let worth = (later - next) as f64 * self.packet_samples as f64;
        self.packets.len() > 1 || waited * f64::from(SAMPLE_RATE) >= worth.min(960.0)
    }

    fn repair(&mut self, missing: u64, later: u64) {
        self.counters.packets_lost += later - missing;
        self.next = Some(later);
        let gap = usize::try_from(later - missing).unwrap_or(usize::MAX);
        let samples = self.packet_samples;
        if gap > 1 {
            let unrepairable = gap.saturating_sub(1).saturating_mul(samples);
            self.conceal(unrepairable.min(MAX_CONCEALED));
        }
        // The last one missing may stand in the next packet (RFC 6716 section 2.1.7).
        let payload = self.packets.get(&later).map(|packet| packet.payload.clone());
        let repaired = payload.and_then(|next| self.decoder.decode_fec(&next, samples).ok());
        match repaired {
            Some(sound) => {
                self.end_timestamp = None;
                self.pcm.extend(sound);
            }
            None => self.conceal(samples),
        }
    }

    fn decode(&mut self, now: Instant, packet: Packet) {
        let channels = self.decoder.channels();
        let Ok(sound) = self.decoder.decode(&packet.payload) else {
            self.counters.packets_lost += 1;
            return self.conceal(self.packet_samples);
        };
        let samples = sound.len() / channels;
        self.packet_samples = samples.max(BLOCK / 4);
        self.end_timestamp =
            Some(packet.timestamp.wrapping_add(u32::try_from(samples).unwrap_or(0)));
        self.concealed = 0;
        self.pcm.extend(sound);
        let waited = now.saturating_duration_since(packet.arrived).as_secs_f64();
        self.counters.delay_seconds += waited * samples as f64;
        self.counters.delay_count += samples as u64;
    }

    fn conceal(&mut self, samples: usize) {
        if self.concealed >= MAX_CONCEALED {
            return self.silence();
        }
        match self.decoder.conceal(samples) {
            Ok(sound) if !sound.is_empty() => {
                let made_up = sound.len() / self.decoder.channels();
                self.concealed += made_up;
                self.counters.concealed_samples += made_up as u64;
                self.pcm.extend(sound);
            }
            _ => self.silence(),
        }
    }

    fn silence(&mut self) {
        self.concealed += BLOCK;
        self.counters.concealed_samples += BLOCK as u64;
        self.pcm.resize(self.pcm.len() + BLOCK * self.decoder.channels(), 0.0);
    }

    fn count(&mut self, samples: &[f32], channels: usize) {
        self.counters.total_samples_received += (samples.len() / channels) as u64;
        let squares: f64 = samples.iter().map(|s| f64::from(*s) * f64::from(*s)).sum();
        self.counters.total_audio_energy += squares / channels as f64 / f64::from(SAMPLE_RATE);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "audio_tests.rs"]
mod tests;
