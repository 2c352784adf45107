//! Which received packets make a picture, and when to give up on one.
//!
//! Pure: packets in (in any order, twice, or not at all), complete access
//! units out in decoding order. It asks for a keyframe when the stream is
//! broken; repairs (NACK, RTX) are asked for by `congestion/receive.rs`.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::depacketizer::{Assembler, begins_nal_unit};
use super::packetizer::STAP_A;
use crate::media::codec::h264::nal::{contains_idr, nal_type, nal_unit_type};
use crate::media::showing::Orientation;

/// How long a missing packet may hold up the pictures behind it, before a round trip is known, at
/// least and at most: a repair takes a round trip, and may be lost itself.
const PATIENCE: Duration = Duration::from_millis(400);
const LEAST_PATIENCE: Duration = Duration::from_millis(250);
const MOST_PATIENCE: Duration = Duration::from_millis(900);
const ROUNDS: u32 = 5;
const EACH: Duration = Duration::from_millis(20);

/// Packets that are held at most; two seconds at 10 Mbit/s.
const MAX_PACKETS: usize = 2_048;

/// A packet this far from the others belongs to a stream that began anew.
const MAX_JUMP: u64 = 8_192;

/// One RTP packet of a video stream.
#[derive(Debug, Clone)]
pub struct VideoPacket {
    /// RTP sequence number.
    pub sequence_number: u16,
    /// RTP timestamp, 90 kHz.
    pub timestamp: u32,
    /// The last packet of a picture.
    pub marker: bool,
    /// H.264 payload (RFC 6184).
    pub payload: Bytes,
    /// Which way up its picture is to be shown, where the packet says so.
    pub orientation: Option<Orientation>,
}

/// A complete access unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedFrame {
    /// Annex B form.
    pub data: Bytes,
    /// Whether it holds an IDR.
    pub keyframe: bool,
    /// RTP timestamp, 90 kHz.
    pub timestamp: u32,
    /// When its first packet came.
    pub first_packet_at: Instant,
    /// Which way up it is to be shown: as was said last.
    pub orientation: Orientation,
}

/// What the buffer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The next picture.
    Frame(ReceivedFrame),
    /// Pictures are lost; those that follow cannot be decoded without a keyframe.
    KeyframeNeeded,
}

/// Counted since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets, duplicates not counted.
    pub packets_received: u64,
    /// Payload bytes of those.
    pub bytes_received: u64,
    /// Packets that never came, or too late.
    pub packets_lost: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Pictures given up.
    pub frames_dropped: u64,
}

#[derive(Debug)]
struct Held {
    packet: VideoPacket,
    at: Instant,
}

/// See the module.
#[derive(Debug)]
pub struct JitterBuffer {
    packets: BTreeMap<u64, Held>,
    /// The next packet of the next picture, once it is known where that begins.
    next: Option<u64>,
    highest: Option<u64>,
    waits_for_keyframe: bool,
    /// The sender marks the last packet of each picture.
    marks: bool,
    orientation: Orientation,
    patience: Duration,
    outputs: VecDeque<Output>,
    counters: Counters,
}

impl Default for JitterBuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl JitterBuffer {
    /// An empty buffer that waits for a keyframe.
    #[must_use]
    pub fn new() -> Self {
        Self {
            packets: BTreeMap::new(),
            next: None,
            highest: None,
            waits_for_keyframe: true,
            marks: false,
            orientation: Orientation::UPRIGHT,
            patience: PATIENCE,
            outputs: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// A repair takes so long to be asked for and to come.
    pub fn set_round_trip(&mut self, rtt: Duration) {
        self.patience = ((rtt + EACH) * ROUNDS).clamp(LEAST_PATIENCE, MOST_PATIENCE);
    }

    /// Takes a packet that came at `now`.
    pub fn insert(&mut self, now: Instant, packet: VideoPacket) {
        let sequence = self.extend(packet.sequence_number);
        if self.highest.is_some_and(|highest| sequence.abs_diff(highest) > MAX_JUMP) {
            self.start_over();
            return self.insert(now, packet);
        }
        if self.next.is_some_and(|next| sequence < next) || self.packets.contains_key(&sequence) {
            self.counters.duplicates += 1;
            return;
        }
        self.counters.packets_received += 1;
        self.counters.bytes_received += packet.payload.len() as u64;
        self.highest = self.highest.max(Some(sequence));
        self.packets.insert(sequence, Held { packet, at: now });
        while self.packets.len() > MAX_PACKETS {
            self.give_up();
        }
        self.assemble();
        self.skip_to_keyframe(sequence);
    }

    /// With a whole keyframe here, nothing is worth waiting for that should have come before it.
    fn skip_to_keyframe(&mut self, sequence: u64) {
        let Some(timestamp) = self.packets.get(&sequence).map(|held| held.packet.timestamp) else {
            return;
        };
        let same = |s: u64| self.packets.get(&s).filter(|held| held.packet.timestamp == timestamp);
        let first = (0..=sequence).rev().take_while(|&s| same(s).is_some()).last();
        let Some(first) = first.filter(|first| self.next.is_some_and(|next| next < *first)) else {
            return;
        };
        let last = (sequence..).take_while(|&s| same(s).is_some()).last();
        let whole = last.and_then(same).is_some_and(|held| held.packet.marker)
            && same(first).is_some_and(|held| begins_keyframe(&held.packet.payload));
        if !whole {
            return;
        }
        let kept = self.packets.split_off(&first);
        let missed = std::mem::replace(&mut self.packets, kept);
        let next = self.next.replace(first).unwrap_or(first);
        self.counters.packets_lost += (first - next).saturating_sub(missed.len() as u64);
        let mut pictures: Vec<u32> = missed.values().map(|held| held.packet.timestamp).collect();
        pictures.dedup();
        self.counters.frames_dropped += pictures.len().max(1) as u64;
        self.assemble();
    }

    /// Gives up on what has been missing too long.
    pub fn handle_timeout(&mut self, now: Instant) {
        while self.deadline().is_some_and(|deadline| deadline <= now) {
            self.give_up();
            self.assemble();
        }
    }

    /// When [`JitterBuffer::handle_timeout`] is due: a packet has been missing too long since the
    /// one behind it came, or no more of a picture comes.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let (&oldest, first) = self.packets.first_key_value()?;
        if self.next.is_none() && !begins_nal_unit(&first.packet.payload) {
            // The stream was joined in the middle of a picture.
            return Some(first.at + self.patience);
        }
        let behind_a_gap = (self.next.unwrap_or(oldest)..)
            .zip(&self.packets)
            .find_map(|(expected, (&sequence, held))| (sequence != expected).then_some(held));
        // With nothing missing, a large picture is still arriving over a slow path.
        let since = behind_a_gap.or_else(|| self.packets.values().next_back())?;
        Some(since.at + self.patience)
    }

    /// Whether the picture with this timestamp is a keyframe of which some is here and some is not.
    #[must_use]
    pub fn is_part_of_keyframe(&self, timestamp: u32) -> bool {
        let begins = |held: &Held| {
            held.packet.timestamp == timestamp && begins_keyframe(&held.packet.payload)
        };
        self.packets.values().any(begins)
    }

    /// The next output; drain after every call.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The counters.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// A sequence number that does not wrap, near the highest so far (RFC 3711 section 3.3.1).
    fn extend(&self, sequence_number: u16) -> u64 {
        // Far from zero, so that a packet before the first one has a number too.
        let near = self.highest.unwrap_or(1 << 32 | u64::from(sequence_number));
        let distance = i64::from(sequence_number.wrapping_sub(near as u16) as i16);
        near.wrapping_add_signed(distance)
    }

    /// Another stream begins.
    pub fn start_over(&mut self) {
        self.packets.clear();
        (self.next, self.highest) = (None, None);
        self.broken();
    }

    fn broken(&mut self) {
        self.waits_for_keyframe = true;
        self.outputs.push_back(Output::KeyframeNeeded);
    }

    /// Hands out every picture that is whole, as long as none is missing before it.
    fn assemble(&mut self) {
        while let Some((first, last)) = self.next_whole_picture() {
            self.take_picture(first, last);
        }
    }

    /// The packets of the oldest picture, when all of them are here.
    fn next_whole_picture(&mut self) -> Option<(u64, u64)> {
        let first = match self.next {
            Some(next) => next,
            None => self.first_beginning()?,
        };
        let timestamp = self.packets.get(&first)?.packet.timestamp;
        for sequence in first.. {
            // A picture ends with its marker, or, where a sender sets none, before another timestamp.
            let held = self.packets.get(&sequence)?;
            if held.packet.timestamp != timestamp {
                return Some((first, sequence - 1));
            }
            if held.packet.marker {
                return Some((first, sequence));
            }
        }
        None
    }

    /// At the start of a stream nobody says where its first picture begins: a parameter set or the
    /// first fragment of an IDR is a safe place.
    fn first_beginning(&self) -> Option<u64> {
        let (sequence, held) = self.packets.iter().next()?;
        begins_nal_unit(&held.packet.payload).then_some(*sequence)
    }

    fn take_picture(&mut self, first: u64, last: u64) {
        let mut assembler = Assembler::default();
        let mut first_packet_at = None;
        let (mut timestamp, mut only_padding, mut marked) = (0, true, false);
        for sequence in first..=last {
            if let Some(held) = self.packets.remove(&sequence) {
                first_packet_at = first_packet_at.min(Some(held.at)).or(Some(held.at));
                timestamp = held.packet.timestamp;
                only_padding &= held.packet.payload.is_empty();
                marked |= held.packet.marker;
                self.orientation = held.packet.orientation.unwrap_or(self.orientation);
                // The error is remembered by the assembler, which then gives no picture.
                let _ = assembler.add(&held.packet.payload);
            }
        }
        self.next = Some(last + 1);
        if only_padding {
            return;
        }
        // Whoever marks the ends of pictures has not sent the end of this one.
        if std::mem::replace(&mut self.marks, marked) && !marked {
            return self.drop_picture();
        }
        let (Some(data), Some(first_packet_at)) = (assembler.finish(), first_packet_at) else {
            return self.drop_picture();
        };
        let keyframe = contains_idr(&data);
        if self.waits_for_keyframe && !keyframe {
            return self.drop_picture();
        }
        self.waits_for_keyframe = false;
        let orientation = self.orientation;
        let frame = ReceivedFrame { data, keyframe, timestamp, first_packet_at, orientation };
        self.outputs.push_back(Output::Frame(frame));
    }

    fn drop_picture(&mut self) {
        self.counters.frames_dropped += 1;
        self.broken();
    }

    /// Drops the oldest picture and everything missing before the next one that may be whole.
    fn give_up(&mut self) {
        let Some((&oldest, held)) = self.packets.iter().next() else { return };
        let timestamp = held.packet.timestamp;
        let from = self.next.unwrap_or(oldest);
        let same = |held: &Held| held.packet.timestamp == timestamp;
        // Where packets of another picture are missing before the oldest that came, that picture is
        // given up and the oldest may still be whole.
        let gap_before = oldest > from && self.begins_picture(oldest);
        let until = match gap_before {
            true => oldest,
            false => self
                .packets
                .iter()
                .find(|(_, held)| !same(held))
                .map_or_else(|| self.highest.map_or(oldest, |highest| highest + 1), |(&s, _)| s),
        };
        let mut held_back = 0;
        while let Some((&sequence, _)) = self.packets.iter().next()
            && sequence < until
        {
            self.packets.remove(&sequence);
            held_back += 1;
        }
        self.counters.packets_lost += (until - from).saturating_sub(held_back);
        self.counters.frames_dropped += 1;
        self.next = Some(until);
        self.broken();
    }

    fn begins_picture(&self, sequence: u64) -> bool {
        self.packets.get(&sequence).is_some_and(|held| begins_nal_unit(&held.packet.payload))
    }
}

/// Whether a payload is the first of a picture that needs no other: parameter sets stand before it.
fn begins_keyframe(payload: &[u8]) -> bool {
    match payload {
        [first, _, _, nal, ..] if first & 0x1f == STAP_A => nal & 0x1f == nal_type::SPS,
        payload => !payload.is_empty() && nal_unit_type(payload) == nal_type::SPS,
    }
}

#[cfg(test)]
#[path = "jitter_buffer_tests.rs"]
mod tests;
