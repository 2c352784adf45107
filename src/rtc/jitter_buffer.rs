//! Which received packets make a picture, and when to give up on one.
//!
//! Pure: packets in (in any order, twice, or not at all), complete pictures
//! out in decoding order; how they are cut up says `payload`. It asks for a keyframe when the stream is
//! broken; repairs (NACK, RTX) are asked for by `congestion/receive.rs`.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::payload::{self, Pictures};
use crate::media::encoded::{Codec, EncodedFrame, FrameTime};
use crate::media::showing::Orientation;
use crate::sequence::unwrap_number;

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
    /// What its payload type means.
    pub codec: Codec,
    /// What it carries.
    pub payload: Bytes,
    /// Which way up its picture is to be shown, where the packet says so.
    pub orientation: Option<Orientation>,
}

/// What the buffer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The next picture.
    Frame(EncodedFrame),
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

impl VideoPacket {
    fn begins(&self) -> bool {
        payload::pictures(self.codec).is_some_and(|pictures| (pictures.begins)(&self.payload))
    }

    fn begins_keyframe(&self) -> bool {
        let pictures = payload::pictures(self.codec);
        pictures.is_some_and(|pictures| (pictures.begins_keyframe)(&self.payload))
    }
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
    /// Of the last picture.
    codec: Option<Codec>,
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
            codec: None,
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
        let sequence = unwrap_number(packet.sequence_number, self.highest);
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
            && same(first).is_some_and(|held| held.packet.begins_keyframe());
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
        if self.next.is_none() && !first.packet.begins() {
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
        let begins =
            |held: &Held| held.packet.timestamp == timestamp && held.packet.begins_keyframe();
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

    /// At the start of a stream nobody says where its first picture begins: what a picture may begin
    /// with is a safe place.
    fn first_beginning(&self) -> Option<u64> {
        let (sequence, held) = self.packets.iter().next()?;
        held.packet.begins().then_some(*sequence)
    }

    fn take_picture(&mut self, first: u64, last: u64) {
        let mut payloads = Vec::new();
        let (mut came, mut codec) = (None, None);
        let (mut timestamp, mut only_padding, mut marked, mut mixed) = (0, true, false, false);
        for sequence in first..=last {
            if let Some(Held { packet, at }) = self.packets.remove(&sequence) {
                came = came.min(Some(at)).or(Some(at));
                timestamp = packet.timestamp;
                only_padding &= packet.payload.is_empty();
                marked |= packet.marker;
                mixed |= codec.replace(packet.codec).is_some_and(|before| before != packet.codec);
                self.orientation = packet.orientation.unwrap_or(self.orientation);
                payloads.push(packet.payload);
            }
        }
        self.next = Some(last + 1);
        if only_padding {
            return;
        }
        // Whoever marks the ends of pictures has not sent the end of this one.
        if std::mem::replace(&mut self.marks, marked) && !marked || mixed {
            return self.drop_picture();
        }
        let (Some(codec), Some(first_packet_at)) = (codec, came) else {
            return self.drop_picture();
        };
        let join = |pictures: &Pictures| (pictures.join)(&payloads);
        let Some(data) = payload::pictures(codec).and_then(join) else {
            return self.drop_picture();
        };
        let keyframe = codec.is_keyframe(&data);
        // What another codec begins with builds on nothing from before.
        self.waits_for_keyframe |= self.codec.is_some_and(|before| before != codec);
        if self.waits_for_keyframe && !keyframe {
            return self.drop_picture();
        }
        (self.waits_for_keyframe, self.codec) = (false, Some(codec));
        let time = FrameTime::Received { rtp_timestamp: timestamp, first_packet_at };
        let frame = EncodedFrame::picture(codec, data, keyframe, time);
        let orientation = self.orientation;
        self.outputs.push_back(Output::Frame(EncodedFrame { orientation, ..frame }));
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
        self.packets.get(&sequence).is_some_and(|held| held.packet.begins())
    }
}

#[cfg(test)]
#[path = "jitter_buffer_tests.rs"]
mod tests;
