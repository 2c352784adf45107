//! The packets of sound that wait to be decoded, in the order of the sender's clock. Pure.
//!
//! Owns what is held, and the count of what is lost. What is
//! done with packets is decided by whoever plays them.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;

use crate::sequence::{unwrap_number, unwrap_timestamp};

/// What is held at most, samples per channel: two seconds, however long packets are.
const MAX_SAMPLES: usize = 96_000;

/// Packets that were given up and are remembered: a second of the usual 20 ms.
const MAX_MISSED: usize = 50;

/// A packet whose number is this far from the highest belongs to a stream that began anew.
const MAX_JUMP: u64 = 3_000;

/// The same on the sender's clock, samples: a minute.
const MAX_STEP: u64 = 2_880_000;

/// One packet, or a copy of one that came with another (RED).
#[derive(Debug)]
pub(super) struct Packet {
    /// On the sender's clock; does not wrap, and its low 32 bits are what stood in the packet.
    pub(super) timestamp: i64,
    /// `None` for a copy.
    pub(super) sequence: Option<u64>,
    pub(super) samples: usize,
    pub(super) payload: Bytes,
    pub(super) arrived: Instant,
    /// Whether it came as early as was to be expected.
    pub(super) in_time: bool,
}

impl Packet {
    /// The sender's clock after its last sample.
    pub(super) fn end(&self) -> i64 {
        self.timestamp + self.samples as i64
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Packets {
    waiting: BTreeMap<i64, Packet>,
    /// What they hold together, samples.
    samples: usize,
    latest: Option<i64>,
    /// Sequence numbers of this stream: the first, the highest, and how many came in time.
    first: u64,
    highest: Option<u64>,
    came: u64,
    lost_before: u64,
    /// Where packets were given up lately.
    missed: VecDeque<i64>,
}

impl Packets {
    /// The sequence number and the timestamp as they would be if they did not wrap, near those so far;
    /// `None` when they are so far away that the stream began anew.
    pub(super) fn unwrap(&self, sequence_number: u16, timestamp: u32) -> Option<(u64, i64)> {
        let sequence = unwrap_number(sequence_number, self.highest);
        let timestamp = self.unwrap_timestamp(timestamp);
        let jump = self.highest.map_or(0, |highest| sequence.abs_diff(highest));
        let step = self.latest.map_or(0, |latest| timestamp.abs_diff(latest));
        (jump <= MAX_JUMP && step <= MAX_STEP).then_some((sequence, timestamp))
    }

    pub(super) fn unwrap_timestamp(&self, timestamp: u32) -> i64 {
        unwrap_timestamp(timestamp, self.latest)
    }

    /// Keeps a packet; `false` when it is here already.
    pub(super) fn insert(&mut self, packet: Packet) -> bool {
        if self.covers(packet.timestamp) {
            return false;
        }
        self.latest = self.latest.max(Some(packet.timestamp));
        if let Some(sequence) = packet.sequence {
            self.came += 1;
            self.note(sequence);
        }
        self.samples += packet.samples;
        self.waiting.insert(packet.timestamp, packet);
        true
    }

    /// A packet came that can no longer be used.
    pub(super) fn note(&mut self, sequence: u64) {
        if self.highest.is_none() {
            self.first = sequence;
        }
        self.first = self.first.min(sequence);
        self.highest = self.highest.max(Some(sequence));
    }

    /// Whether the sound at this timestamp waits here.
    pub(super) fn covers(&self, timestamp: i64) -> bool {
        let before = self.waiting.range(..=timestamp).next_back();
        before.is_some_and(|(_, packet)| packet.end() > timestamp)
    }

    /// What was between these timestamps, packets of so many samples, never came in time.
    pub(super) fn miss(&mut self, from: i64, to: i64, samples: usize) {
        let packets = (from..to).step_by(samples.max(1)).take(MAX_MISSED);
        self.missed.extend(packets.filter(|at| to - at >= samples as i64));
        while self.missed.len() > MAX_MISSED {
            self.missed.pop_front();
        }
    }

    /// Whether the packet at this timestamp was given up; it is said once.
    pub(super) fn take_missed(&mut self, timestamp: i64) -> bool {
        let found = self.missed.iter().position(|at| *at == timestamp);
        found.is_some_and(|at| self.missed.remove(at).is_some())
    }

    /// The oldest.
    pub(super) fn first(&self) -> Option<&Packet> {
        self.waiting.first_key_value().map(|(_, packet)| packet)
    }

    /// The newest.
    pub(super) fn newest(&self) -> Option<&Packet> {
        self.waiting.last_key_value().map(|(_, packet)| packet)
    }

    pub(super) fn pop(&mut self) -> Option<Packet> {
        let (_, packet) = self.waiting.pop_first()?;
        self.samples = self.samples.saturating_sub(packet.samples);
        Some(packet)
    }

    /// Drops what ends at this timestamp or before; gives back the last of it.
    pub(super) fn drop_until(&mut self, timestamp: i64) -> Option<Packet> {
        let mut dropped = None;
        while self.first().is_some_and(|packet| packet.end() <= timestamp) {
            dropped = self.pop();
        }
        dropped
    }

    /// Whether more waits than anybody wants to hear later.
    pub(super) fn is_too_much(&self) -> bool {
        self.samples > MAX_SAMPLES
    }

    /// Packets that never came, or too late.
    pub(super) fn lost(&self) -> u64 {
        let expected = self.highest.map_or(0, |highest| highest - self.first + 1);
        self.lost_before + expected.saturating_sub(self.came)
    }

    /// Another stream begins; what is lost stays lost.
    pub(super) fn start_over(&mut self) {
        *self = Self { lost_before: self.lost(), ..Self::default() };
    }
}
