//! One direction of a link as a pure machine: packets in, the same packets out when they arrive.
//!
//! Owns rate, queue, delay, jitter and loss. It reads no clock and knows no socket; what is carried is
//! the caller's, only its size matters.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::meter::LinkCounts;
use super::words::{JitterSpread, LinkProfile};

/// Whatever the rate, two full packets fit into the queue.
const SMALLEST_QUEUE_BYTES: f64 = 3_000.0;

/// Packets that may wait and be under way together; more only bad faith would send.
const MOST_PACKETS: usize = 65_536;

/// What happens to a link.
pub(super) enum Input<P> {
    /// Something is sent: what, and how many bytes it is with all headers.
    Packet { carried: P, bytes: usize },
    /// The link is another one from now on; what waits or is under way stays.
    Change(LinkProfile),
    /// Seconds are counted from now on.
    Begin,
    /// The deadline has come.
    Timeout,
}

/// One direction.
pub(super) struct Link<P> {
    profile: LinkProfile,
    random: StdRng,
    /// Within a run of losses.
    losing: bool,
    queue: VecDeque<Waiting<P>>,
    queued_bytes: usize,
    /// What is left of the first in the queue, and since when.
    left: Left,
    under_way: BinaryHeap<UnderWay<P>>,
    last_arrival: Option<Instant>,
    sequence: u64,
    now: Option<Instant>,
    counts: LinkCounts,
}

struct Waiting<P> {
    carried: P,
    bytes: usize,
    since: Instant,
}

/// Bits that are still to be sent of the packet whose turn it is.
#[derive(Clone, Copy)]
struct Left {
    bits: f64,
    since: Option<Instant>,
}

struct UnderWay<P> {
    arrives: Instant,
    /// Keeps the order of those that arrive together.
    sequence: u64,
    carried: P,
}

impl<P> Link<P> {
    pub(super) fn new(profile: LinkProfile, seed: u64) -> Self {
        Self {
            profile,
            random: StdRng::seed_from_u64(seed),
            losing: false,
            queue: VecDeque::new(),
            queued_bytes: 0,
            left: Left { bits: 0.0, since: None },
            under_way: BinaryHeap::new(),
            last_arrival: None,
            sequence: 0,
            now: None,
            counts: LinkCounts::default(),
        }
    }

    pub(super) fn handle(&mut self, now: Instant, input: Input<P>) {
        self.now = Some(now);
        self.serve(now);
        match input {
            Input::Packet { carried, bytes } => self.on_packet(now, carried, bytes),
            Input::Change(profile) => self.on_change(now, profile),
            Input::Begin => self.counts.begin(now),
            Input::Timeout => {}
        }
    }

    /// What has arrived by now.
    pub(super) fn poll(&mut self) -> Option<P> {
        let now = self.now?;
        self.under_way.peek().filter(|first| first.arrives <= now)?;
        let first = self.under_way.pop()?;
        self.counts.on_arrival(now.saturating_duration_since(first.arrives));
        Some(first.carried)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let arrival = self.under_way.peek().map(|first| first.arrives);
        [arrival, self.sent_at()].into_iter().flatten().min()
    }

    pub(super) fn counts(&self) -> &LinkCounts {
        &self.counts
    }

    fn on_packet(&mut self, now: Instant, carried: P, bytes: usize) {
        self.counts.on_packet();
        if self.is_lost() {
            self.counts.on_lost(now);
            return;
        }
        let Some(rate) = self.profile.rate else {
            if self.under_way.len() < MOST_PACKETS {
                self.send(now, Waiting { carried, bytes, since: now });
            } else {
                self.counts.on_tail_drop(now);
            }
            return;
        };
        let room = (rate * self.profile.queue.as_secs_f64() / 8.0).max(SMALLEST_QUEUE_BYTES);
        let full = (self.queued_bytes + bytes) as f64 > room;
        if full || self.queue.len() + self.under_way.len() >= MOST_PACKETS {
            self.counts.on_tail_drop(now);
            return;
        }
        self.queued_bytes += bytes;
        self.queue.push_back(Waiting { carried, bytes, since: now });
        if self.queue.len() == 1 {
            self.begin_with_first(now);
        }
    }

    fn on_change(&mut self, now: Instant, profile: LinkProfile) {
        if let (Some(rate), Some(since)) = (self.profile.rate, self.left.since) {
            let sent = rate * now.saturating_duration_since(since).as_secs_f64();
            self.left = Left { bits: (self.left.bits - sent).max(0.0), since: Some(now) };
        }
        self.profile = profile;
        if self.profile.rate.is_none() {
            self.left.since = None;
            self.queued_bytes = 0;
            for waiting in std::mem::take(&mut self.queue) {
                self.send(now, waiting);
            }
        }
    }

    /// Sends from the queue what its rate has allowed by now.
    fn serve(&mut self, now: Instant) {
        while let Some(at) = self.sent_at().filter(|at| *at <= now) {
            let Some(first) = self.queue.pop_front() else { return };
            self.queued_bytes -= first.bytes;
            self.send(at, first);
            self.begin_with_first(at);
        }
    }

    fn begin_with_first(&mut self, at: Instant) {
        self.left = match self.queue.front() {
            Some(first) => Left { bits: first.bytes as f64 * 8.0, since: Some(at) },
            None => Left { bits: 0.0, since: None },
        };
    }

    /// When the last bit of the first in the queue is sent.
    fn sent_at(&self) -> Option<Instant> {
        let (rate, since) = (self.profile.rate?, self.left.since?);
        Some(since + Duration::from_secs_f64(self.left.bits / rate))
    }

    /// Puts what has left the queue on its way.
    fn send(&mut self, at: Instant, packet: Waiting<P>) {
        let waited = at.saturating_duration_since(packet.since);
        self.counts.on_sent(at, packet.bytes as f64 * 8.0, waited);
        let delay = (self.profile.delay.as_secs_f64() + self.jitter()).max(0.0);
        let mut arrives = at + Duration::from_secs_f64(delay);
        if !self.profile.reorder {
            arrives = self.last_arrival.map_or(arrives, |last| last.max(arrives));
            self.last_arrival = Some(arrives);
        }
        self.sequence += 1;
        let sequence = self.sequence;
        self.under_way.push(UnderWay { arrives, sequence, carried: packet.carried });
    }

    /// How much more than the delay this packet takes, seconds.
    fn jitter(&mut self) -> f64 {
        let most = self.profile.jitter.as_secs_f64();
        if most == 0.0 {
            return 0.0;
        }
        match self.profile.spread {
            JitterSpread::Uniform => self.random.random_range(-most..=most),
            JitterSpread::Gauss => loop {
                let jitter = self.normal() * most / 3.0;
                if jitter.abs() <= most {
                    return jitter;
                }
            },
        }
    }

    /// A normally distributed number (Box and Muller 1958).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.random.random::<f64>()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.random.random::<f64>()).cos()
    }

    /// In runs, by Gilbert's model: a run ends with a chance of one in its mean length, and begins
    /// so often that the share of losses is the one that was asked for.
    fn is_lost(&mut self) -> bool {
        let (loss, burst) = (self.profile.loss, self.profile.burst);
        if burst <= 1.0 || loss <= 0.0 || loss >= 1.0 {
            return loss > 0.0 && self.random.random::<f64>() < loss;
        }
        let chance = self.random.random::<f64>();
        self.losing = match self.losing {
            true => chance >= 1.0 / burst,
            false => chance < loss / (burst * (1.0 - loss)),
        };
        self.losing
    }
}

/// The heap gives the earliest first.
impl<P> Ord for UnderWay<P> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.arrives, other.sequence).cmp(&(self.arrives, self.sequence))
    }
}

impl<P> PartialOrd for UnderWay<P> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<P> PartialEq for UnderWay<P> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<P> Eq for UnderWay<P> {}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
