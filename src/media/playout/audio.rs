//! The jitter buffer for sound: which packet is decoded next, what stands in for a missing one,
//! and how long sound waits.
//!
//! Pure but for the decoder it drives: packets and times in, blocks of 10 ms
//! out. The delay follows the jitter that is seen, by playing a little faster
//! or slower where the ear does not notice.

use std::time::{Duration, Instant};

use bytes::Bytes;

pub use super::counters::AudioCounters;
use super::delay::DelayEstimator;
use super::fade::{Fade, SILENT_AFTER};
use super::pace::{BACKLOG, Move, Pace, SLACK, SLACK_IN_PAUSES};
use super::packets::{Packet, Packets};
use super::stretch::{LONGEST, energy, is_quiet, join, lengthen, shorten};
use crate::media::codec::AudioDecoder;
use crate::media::frame::{AudioFrame, SAMPLE_RATE};

/// 10 ms at 48 kHz: what is made up at a time, samples per channel.
const BLOCK: usize = 480;

/// Timestamps that are off by less than this, samples (2.5 ms), are taken for what they should be.
const TOLERANCE: i64 = 120;

/// What one packet holds until it is known better, samples per channel: 20 ms.
const USUAL_PACKET: usize = 960;

/// What a stretch needs beyond the piece that it cuts: the seam, samples per channel.
const SEAM: usize = 480;

/// A packet that is late by more than this, samples (200 ms), was held up by more than a device.
const DEVICE_JITTER: usize = 9_600;

/// Sound this much under the mean (energy, 15 dB) is a quiet place, and how fast the mean follows a
/// packet of 20 ms: about two seconds.
const QUIET_PLACE: f32 = 0.03;
const LOUDNESS_SMOOTHING: f32 = 0.01;

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

/// See the module.
pub struct AudioPlayout {
    decoder: Box<dyn AudioDecoder>,
    packets: Packets,
    /// The sender's clock at what is to be decoded next, once playing has begun.
    next: Option<i64>,
    /// Samples per channel made up in its place so far.
    stood_in: usize,
    /// The number of the last packet decoded, and whether it said that silence follows.
    last: Option<u64>,
    dtx: bool,
    /// Decoded sound that was not played yet, interleaved.
    pcm: Vec<f32>,
    /// What comes next does not follow on `pcm`.
    broken: bool,
    fade: Fade,
    pace: Pace,
    packet_samples: usize,
    /// Samples that sound waits for pictures.
    for_pictures: f64,
    /// Mean energy of what was decoded.
    loudness: f32,
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
            packets: Packets::default(),
            next: None,
            stood_in: 0,
            last: None,
            dtx: false,
            pcm: Vec::new(),
            broken: false,
            fade: Fade::default(),
            pace: Pace::default(),
            packet_samples: USUAL_PACKET,
            for_pictures: 0.0,
            loudness: 0.0,
            delay: DelayEstimator::default(),
            counters: AudioCounters::default(),
        }
    }

    /// Takes a packet that came at `now`.
    pub fn insert(&mut self, now: Instant, sequence_number: u16, timestamp: u32, payload: Bytes) {
        let Some((sequence, timestamp)) = self.packets.unwrap(sequence_number, timestamp) else {
            self.start_over();
            return self.insert(now, sequence_number, timestamp, payload);
        };
        let Some(samples) = self.decoder.packet_samples(&payload) else { return };
        let in_time = self.delay.on_packet(now, timestamp);
        self.note_repairs(now, timestamp, &payload);
        if self.is_over(timestamp + samples as i64) {
            return self.packets.note(sequence);
        }
        let bytes = payload.len() as u64;
        let sequence = Some(sequence);
        let packet = Packet { timestamp, sequence, samples, payload, arrived: now, in_time };
        if self.packets.insert(packet) {
            self.counters.packets_received += 1;
            self.counters.bytes_received += bytes;
        }
        self.bound();
    }

    /// Far too much at once: the oldest is too old to be heard.
    fn bound(&mut self) {
        while self.packets.is_too_much()
            && let Some(oldest) = self.packets.pop()
        {
            self.go_on_at(oldest.end());
        }
    }

    /// Takes a copy of an earlier packet that came with another one (RED, RFC 2198) at `now`.
    pub fn insert_copy(&mut self, now: Instant, timestamp: u32, payload: Bytes) {
        let timestamp = self.packets.unwrap_timestamp(timestamp);
        let Some(samples) = self.decoder.packet_samples(&payload) else { return };
        let over = self.is_over(timestamp + samples as i64);
        if over && self.packets.take_missed(timestamp) {
            // Too late this time, but a reason to wait longer.
            self.delay.on_repair(now, timestamp);
        }
        if over || self.packets.covers(timestamp) {
            return;
        }
        self.delay.on_repair(now, timestamp);
        self.note_repairs(now, timestamp, &payload);
        let (sequence, in_time) = (None, false);
        self.packets.insert(Packet {
            timestamp,
            sequence,
            samples,
            payload,
            arrived: now,
            in_time,
        });
        self.bound();
    }

    /// What this packet can rebuild is there from now on, as if it had come by itself.
    fn note_repairs(&mut self, now: Instant, timestamp: i64, payload: &Bytes) {
        let Some(repairs) = self.decoder.repairs(payload) else { return };
        let from = timestamp - repairs as i64;
        if !self.is_over(timestamp) && !self.packets.covers(from) {
            self.delay.on_repair(now, from);
        }
    }

    /// Whether the sound before this timestamp has been decoded, or given up.
    fn is_over(&self, timestamp: i64) -> bool {
        self.next.is_some_and(|next| timestamp <= next)
    }

    /// The next `samples` per channel, of `at_once` that are taken at a time; `None` until enough has
    /// come to begin.
    pub fn next_block(
        &mut self,
        now: Instant,
        samples: usize,
        at_once: usize,
    ) -> Option<PlayedBlock> {
        let more = self.more(samples, at_once);
        if self.next.is_none() && !self.may_begin(now, more) {
            return None;
        }
        let channels = self.decoder.channels();
        let wanted = samples * channels;
        let missing = self.adapt(now, samples, more);
        while self.pcm.len() < wanted {
            self.decode_more(now, more);
        }
        let rtp_timestamp =
            self.position().filter(|_| self.fade.made_up() == 0).map(|position| position as u32);
        let rest = self.pcm.split_off(wanted);
        let samples = std::mem::replace(&mut self.pcm, rest);
        self.counters.played(&samples, channels);
        let frame = AudioFrame { samples, channels, captured_at: now };
        Some(PlayedBlock { frame, missing, rtp_timestamp })
    }

    /// Sound is to wait so much longer than it must, for pictures that come later.
    pub fn wait_for_pictures(&mut self, wait: Duration) {
        self.for_pictures = wait.as_secs_f64() * f64::from(SAMPLE_RATE);
    }

    /// The counters.
    #[must_use]
    pub fn counters(&self) -> AudioCounters {
        let mut counters = self.counters;
        counters.packets_lost = self.packets.lost();
        counters
    }

    /// How long sound is meant to wait now, ms: the middle of a packet.
    #[must_use]
    pub fn target_delay_ms(&self) -> f64 {
        let samples = self.delay.headroom() + self.packet_samples as f64 / 2.0;
        samples * 1e3 / f64::from(SAMPLE_RATE)
    }

    /// Another stream begins.
    pub fn start_over(&mut self) {
        self.packets.start_over();
        self.break_off();
        (self.next, self.last, self.stood_in) = (None, None, 0);
        self.delay = DelayEstimator::default();
    }

    /// Another stream begins, which this decoder is for.
    pub fn decode_with(&mut self, decoder: Box<dyn AudioDecoder>) {
        self.start_over();
        self.decoder = decoder;
    }

    /// What is waited for beyond the headroom: sound is taken in parts, the middle of which counts.
    /// Where the parts are out of step with packets, sometimes one more must be there.
    fn more(&self, samples: usize, at_once: usize) -> f64 {
        let step = if self.packet_samples.is_multiple_of(at_once.max(1)) { 0 } else { at_once };
        (samples + step) as f64 / 2.0 + self.for_pictures
    }

    /// Playing begins when the first packet has waited as long as packets are meant to. What is too
    /// old by then is a backlog, and never heard.
    fn may_begin(&mut self, now: Instant, more: f64) -> bool {
        let Some(first) = self.packets.first() else { return false };
        let waited = now.saturating_duration_since(first.arrived).as_secs_f64();
        if waited * f64::from(SAMPLE_RATE) < self.delay.headroom() {
            return false;
        }
        let wanted = self.delay.wanted(now, more);
        let first = first.timestamp;
        self.packets.drop_until(wanted);
        self.next = Some(self.packets.first().map_or(first, |packet| packet.timestamp));
        true
    }

    /// The sender's clock at the first sample that was not played yet.
    fn position(&self) -> Option<i64> {
        let ahead = self.pcm.len() / self.decoder.channels();
        self.next.map(|next| next + self.stood_in as i64 - ahead as i64)
    }

    /// Playing goes on at this timestamp, wherever it was.
    fn go_to(&mut self, timestamp: i64) {
        if let Some(next) = self.next {
            let moved = next + self.stood_in as i64 - timestamp;
            self.delay.on_moved(moved as f64);
            (self.next, self.stood_in) = (Some(timestamp), 0);
        }
    }

    /// What is before this timestamp is given up; what stood in for it so far is kept.
    fn go_on_at(&mut self, timestamp: i64) {
        let Some(next) = self.next.filter(|next| *next < timestamp) else { return };
        let stood_in = self.stood_in as i64 - (timestamp - next);
        if stood_in < 0 {
            self.break_off();
            return self.go_to(timestamp);
        }
        (self.next, self.stood_in) = (Some(timestamp), stood_in as usize);
    }

    /// Plays faster when too much waits, slower when too little does; says how many samples are
    /// missing then.
    fn adapt(&mut self, now: Instant, samples: usize, more: f64) -> f64 {
        if let Some(position) = self.position() {
            self.delay.on_playing(now, position, samples);
        }
        let (channels, excess) = (self.decoder.channels(), self.delay.excess(more));
        // What is to be stretched must be there.
        if excess.abs() > SLACK_IN_PAUSES && self.stood_in == 0 {
            self.decode_ahead(now, LONGEST + SEAM);
        }
        let quiet = self.stood_in > 0 || self.is_pausing();
        let again = self.delay.is_settling(now);
        match self.pace.next(excess, samples, quiet, again) {
            Move::Stay => {}
            Move::Skip => self.skip(excess),
            Move::Faster { most, pressure } if self.stood_in == 0 => {
                let gone = shorten(&mut self.pcm, channels, most, pressure);
                self.delay.on_moved(-(gone as f64));
                self.pace.moved(gone);
            }
            Move::Slower { most, pressure } if self.fade.made_up() == 0 => {
                let added = lengthen(&mut self.pcm, channels, most, pressure);
                self.delay.on_moved(added as f64);
                self.pace.moved(added);
            }
            Move::Faster { .. } | Move::Slower { .. } => {}
        }
        // What is stretched here need not be stretched there.
        (-self.delay.excess(more)).clamp(-SLACK, SLACK)
    }

    /// What comes next does not follow on what is there: there must be something to fade from.
    fn break_off(&mut self) {
        self.broken = true;
        if self.pcm.is_empty() && self.fade.made_up() == 0 {
            self.pcm = self.decoder.conceal(SEAM / 2).unwrap_or_default();
        }
    }

    /// Whether what comes next is much quieter than what was.
    fn is_pausing(&self) -> bool {
        let there = !self.pcm.is_empty();
        there && (is_quiet(&self.pcm) || energy(&self.pcm) < self.loudness * QUIET_PLACE)
    }

    /// Drops what waits too long; the decoder still hears the last of it, to know what follows.
    fn skip(&mut self, excess: f64) {
        let Some(next) = self.next else { return };
        self.break_off();
        let until = next + self.stood_in as i64 + excess as i64;
        if let Some(last) = self.packets.drop_until(until) {
            // Nothing is to be heard of it.
            let _ = self.decoder.decode(&last.payload);
            self.last = last.sequence.or(self.last);
        }
        if let Some(first) = self.packets.first() {
            self.go_to(first.timestamp.min(until));
        }
    }

    /// Decodes what is there already until so many samples per channel are.
    fn decode_ahead(&mut self, now: Instant, samples: usize) {
        while self.pcm.len() < samples * self.decoder.channels() {
            let follows = |packet: &Packet| self.next.is_some_and(|next| packet.timestamp <= next);
            if !self.packets.first().is_some_and(follows) {
                return;
            }
            self.play_first(now);
        }
    }

    /// Decodes the next packet, or makes up for it.
    fn decode_more(&mut self, now: Instant, more: f64) {
        let Some(next) = self.next else { return self.conceal(BLOCK, true) };
        let reached = next + self.stood_in as i64;
        self.drop_late(next, reached, more);
        let Some(first) = self.packets.first() else {
            return self.conceal(BLOCK, !self.dtx);
        };
        if first.timestamp < reached + TOLERANCE {
            return self.play_first(now);
        }
        // Time stood still on the sender's clock too: nothing is lost.
        let lost = first.sequence.is_none_or(|at| self.last.is_none_or(|last| at != last + 1));
        let begins = first.timestamp;
        let repairs = self.decoder.repairs(&first.payload).filter(|_| lost);
        let from = repairs.map(|samples| begins - samples as i64).filter(|from| *from >= next);
        // Whoever is late may pass over what is missing instead of making it up.
        let passed_over = self.delay.excess(more) >= (begins - reached) as f64;
        match from {
            Some(from) if from < reached + TOLERANCE => self.repair(from, begins),
            _ if passed_over && lost => {
                self.break_off();
                self.go_to(begins);
                self.play_first(now);
            }
            from => {
                let gap = usize::try_from(from.unwrap_or(begins) - reached).unwrap_or(BLOCK);
                self.conceal(gap.min(BLOCK), lost);
            }
        }
    }

    /// What stood in for sound that comes now was heard in its place; the sound itself is played only
    /// where it must wait longer in future, and where nothing newer has come.
    fn drop_late(&mut self, next: i64, reached: i64, more: f64) {
        let back = (-self.delay.excess(more)).clamp(0.0, self.stood_in as f64);
        let newest = self.packets.newest().map_or(reached, |packet| packet.timestamp);
        let newest = newest.clamp(next.max(reached - BACKLOG as i64), reached);
        self.packets.drop_until(newest.min(reached - back as i64));
    }

    /// Rebuilds what is missing between two timestamps from the packet at the second.
    fn repair(&mut self, from: i64, to: i64) {
        let samples = usize::try_from(to - from).unwrap_or(0);
        self.packets.miss(self.next.unwrap_or(from), from, self.packet_samples);
        let payload = self.packets.first().map(|packet| packet.payload.clone());
        let sound = payload.and_then(|payload| self.decoder.decode_fec(&payload, samples).ok());
        self.go_to(from);
        match sound {
            Some(sound) => {
                self.counters.repaired_samples += samples as u64;
                self.next = Some(to);
                self.hear(sound);
            }
            None => self.conceal(samples, true),
        }
    }

    fn play_first(&mut self, now: Instant) {
        let Some(packet) = self.packets.pop() else { return };
        let next = self.next.unwrap_or(packet.timestamp);
        if self.stood_in > 0 {
            if packet.in_time && packet.sequence.is_some() && self.stood_in < DEVICE_JITTER {
                self.delay.on_late();
            }
            self.go_to(packet.timestamp);
        }
        let channels = self.decoder.channels();
        if self.last.is_some_and(|last| packet.sequence != Some(last + 1)) {
            self.packets.miss(next, packet.timestamp, self.packet_samples);
        }
        self.last = packet.sequence.or(self.last.map(|last| last + 1));
        self.next = Some(packet.end());
        let Ok(mut sound) = self.decoder.decode(&packet.payload) else {
            self.next = Some(packet.timestamp);
            self.conceal(packet.samples, true);
            return self.go_on_at(packet.end());
        };
        self.dtx = self.decoder.is_silence(&packet.payload);
        let samples = sound.len() / channels;
        self.packet_samples = samples.max(BLOCK / 4);
        if packet.sequence.is_none() {
            self.counters.repaired_samples += samples as u64;
        }
        self.counters.waited(now.saturating_duration_since(packet.arrived), samples);
        // Of what overlaps with what was there before only the rest is new.
        let twice = usize::try_from(next - packet.timestamp - TOLERANCE).unwrap_or(0);
        sound.drain(..twice.min(samples) * channels);
        self.loudness += (energy(&sound) - self.loudness) * LOUDNESS_SMOOTHING;
        self.hear(sound);
    }

    /// Real sound follows.
    fn hear(&mut self, mut sound: Vec<f32>) {
        let channels = self.decoder.channels();
        self.fade.back(&mut sound, channels);
        if std::mem::take(&mut self.broken) {
            join(&mut self.pcm, &sound, channels);
        } else {
            self.pcm.extend(sound);
        }
    }

    /// Makes up sound until something comes; `missing` says that there was some.
    fn conceal(&mut self, samples: usize, missing: bool) {
        let channels = self.decoder.channels();
        // In a pause that was announced the decoder makes the noise of the place itself.
        let fades = missing && !self.dtx;
        let silent = fades && self.fade.made_up() >= SILENT_AFTER;
        let made_up = if silent { None } else { self.decoder.conceal(samples).ok() };
        let mut sound = made_up
            .filter(|sound| !sound.is_empty())
            .unwrap_or_else(|| vec![0.0; samples * channels]);
        let samples = sound.len() / channels;
        self.stood_in += samples;
        let noise = if fades { self.fade.away(&mut sound, channels) } else { samples };
        if missing {
            self.counters.concealed_samples += samples as u64;
            self.counters.silent_concealed_samples += noise as u64;
        }
        self.pcm.extend(sound);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "audio_tests.rs"]
mod tests;

#[cfg(test)]
// They say what they measured, to whoever asks with --nocapture.
#[allow(clippy::unwrap_used, clippy::print_stdout)]
#[path = "audio_network_tests.rs"]
mod network_tests;
