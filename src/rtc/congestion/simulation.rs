//! A call's sending half on an emulated link, in virtual time: estimator, pacer and history as they
//! are, an encoder that obeys roughly, a receiver that reports. For tests only.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::estimator::Estimator;
use super::history::History;
use super::pacer::{Class, Pacer};
use super::simulation_tcp::{Bbr, Flow, SEGMENT, Tcp};
use super::transmit_rate;
use crate::clock;

const TICK: Duration = Duration::from_millis(1);
/// UDP, IP, SRTP and RTP around a payload, bytes.
const HEADERS: u32 = 60;

/// What lies between two ends.
pub(super) struct Link {
    /// Bits a second at a second of the call.
    pub(super) rate: fn(f64) -> f64,
    /// One way, ms.
    pub(super) delay_ms: f64,
    /// What waits at most, ms.
    pub(super) queue_ms: f64,
    /// The chance of a packet to be lost.
    pub(super) loss: f64,
    /// How many are lost on end, when they are.
    pub(super) burst: u32,
    /// Delay added to each packet at random, up to so many ms; packets may overtake each other.
    pub(super) jitter_ms: f64,
    /// The way back is as narrow and as full: reports wait as long.
    pub(super) both: bool,
    /// What the way back has of a queue by itself, ms at a second of the call.
    pub(super) back_queue_ms: fn(f64) -> f64,
    /// Nothing comes through in these seconds.
    pub(super) gap: std::ops::Range<f64>,
    /// What the path is longer by from a second of the call on, ms one way.
    pub(super) detour: (f64, f64),
    /// A long TCP flow begins after so many seconds; like BBR, or with CUBIC.
    pub(super) tcp_from: f64,
    pub(super) bbr: bool,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            rate: |_| 3e6,
            delay_ms: 25.0,
            queue_ms: 300.0,
            loss: 0.0,
            burst: 1,
            jitter_ms: 0.0,
            both: false,
            back_queue_ms: |_| 0.0,
            gap: 0.0..0.0,
            detour: (f64::INFINITY, 0.0),
            tcp_from: f64::INFINITY,
            bbr: false,
        }
    }
}

/// What is seen of a call.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Bits that left the link in each second.
    pub(super) carried: Vec<f64>,
    /// Queue of the link at each tick, ms.
    pub(super) queue_ms: Vec<f64>,
    pub(super) tail_drops: usize,
    /// Target at each tenth of a second, bits a second.
    pub(super) target: Vec<f64>,
    /// Ticks of a stalled path.
    pub(super) stalled: usize,
}

impl Seen {
    fn note(&mut self, tick: u32, queue_ms: f64, estimator: &Estimator) {
        let view = estimator.view();
        self.stalled += usize::from(view.stalled);
        self.queue_ms.push(queue_ms);
        if tick.is_multiple_of(100) {
            self.target.push(view.target);
        }
    }

    /// The share of the link that was used from second `from` on.
    pub(super) fn used(&self, link: &Link, from: usize) -> f64 {
        let could: f64 = (from..self.carried.len()).map(|s| (link.rate)(s as f64 + 0.5)).sum();
        self.carried[from..].iter().sum::<f64>() / could
    }

    pub(super) fn queue_p95(&self, from: usize) -> f64 {
        let mut queue = self.queue_ms[from * 1_000..].to_vec();
        queue.sort_by(f64::total_cmp);
        queue[queue.len() * 95 / 100]
    }

    /// The first second that used so much of the link.
    pub(super) fn first_second_over(&self, link: &Link, share: f64) -> usize {
        let over = |(s, bits): &(usize, &f64)| **bits >= share * (link.rate)(*s as f64 + 0.5);
        self.carried.iter().enumerate().find(over).map_or(usize::MAX, |(second, _)| second + 1)
    }
}

/// Numbers, and when each came, if it did.
type Statuses = Vec<(u16, Option<i64>)>;

/// One sending end.
pub(super) struct Sender {
    pub(super) estimator: Estimator,
    history: History,
    pacer: Pacer<u32>,
    next_picture: Instant,
    next_sound: Instant,
    keyframe: bool,
    cluster_until: Option<Instant>,
    cluster: Option<(u32, f64)>,
    /// Numbers and arrivals that were not reported yet.
    to_report: Vec<(u16, i64)>,
    highest: Option<u64>,
    arrived: u64,
    reported: Option<u16>,
    reports: VecDeque<(Instant, Statuses)>,
    /// When their sound comes, and its time stamp.
    sound: VecDeque<(Instant, u32)>,
    sent: u64,
}

impl Sender {
    pub(super) fn new(now: Instant, max: f64) -> Self {
        Self {
            estimator: Estimator::new(now, 0.0..max),
            history: History::default(),
            pacer: Pacer::new(300e3),
            next_picture: now,
            next_sound: now,
            keyframe: true,
            cluster_until: None,
            cluster: None,
            to_report: Vec::new(),
            highest: None,
            arrived: 0,
            reported: None,
            reports: VecDeque::new(),
            sound: VecDeque::new(),
            sent: 0,
        }
    }

    fn encode(&mut self, now: Instant, random: &mut StdRng) {
        let view = self.estimator.view();
        if now >= self.next_sound {
            self.next_sound += Duration::from_millis(20);
            self.pacer.push(now, Class::Sound, f64::from(80 + HEADERS) * 8.0, 80 + HEADERS);
        }
        if now < self.next_picture {
            return;
        }
        self.next_picture += Duration::from_micros(33_333);
        if view.stalled {
            self.keyframe = true;
            return;
        }
        if self.pacer.backlog(now) > Duration::from_millis(50) {
            return;
        }
        let media = (view.target - 56e3).max(40e3) * 0.92;
        let large = if std::mem::take(&mut self.keyframe) { 5.0 } else { 1.0 };
        let bytes = media / 8.0 / 30.0 * large * random.random_range(0.6..1.4);
        let packets = (bytes / 1_150.0).ceil().max(1.0);
        for _ in 0..packets as u32 {
            let size = (bytes / packets) as u32 + HEADERS;
            self.pacer.push(now, Class::Picture, f64::from(size) * 8.0, size);
        }
    }

    /// Sizes of what leaves now, with its number.
    fn send(&mut self, now: Instant) -> Vec<(u64, u32)> {
        let view = self.estimator.view();
        if self.cluster_until.is_some_and(|until| now >= until) {
            (self.cluster, self.cluster_until) = (None, None);
        }
        if let Some(cluster) = self.estimator.poll_probe(now) {
            (self.cluster, self.cluster_until) =
                (Some((cluster.id, cluster.rate)), Some(cluster.until));
        }
        self.pacer.set_rate(now, transmit_rate(&view, self.cluster.map(|(_, rate)| rate)));
        let mut out = Vec::new();
        loop {
            let size = match self.pacer.pop(now) {
                Some((_, size)) => size,
                None if self.cluster.is_some() && self.pacer.may_send(now) => {
                    self.pacer.pay(now, 1_200.0 * 8.0);
                    1_200
                }
                None => break,
            };
            self.history.on_sent(now, size, self.cluster.map(|(id, _)| id));
            out.push((self.sent, size));
            self.sent += 1;
        }
        out
    }

    fn on_arrival(&mut self, number: u64, at_us: i64) {
        self.to_report.push((number as u16, at_us));
        self.arrived += 1;
        self.highest = self.highest.max(Some(number));
    }

    fn report(&mut self, now: Instant, back: Duration, lost: bool) {
        if self.to_report.is_empty() {
            return;
        }
        let came = std::mem::take(&mut self.to_report);
        let (first, last) = (came.iter().map(|c| c.0).min(), came.iter().map(|c| c.0).max());
        let (Some(first), Some(last)) = (first, last) else { return };
        // Everything since the last report, also what did not come.
        let first = self.reported.map_or(first, |reported| reported.wrapping_add(1));
        let behind = came.iter().map(|c| c.0.wrapping_sub(first)).filter(|n| *n > 1 << 15).max();
        let first = behind.map_or(first, |n| first.wrapping_add(n));
        self.reported = Some(last);
        let statuses = (0..=last.wrapping_sub(first))
            .map(|n| first.wrapping_add(n))
            .map(|n| (n, came.iter().find(|(number, _)| *number == n).map(|(_, at)| *at)))
            .collect();
        if !lost {
            self.reports.push_back((now + back, statuses));
        }
    }

    fn take_reports(&mut self, now: Instant) {
        while self.sound.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, timestamp)) = self.sound.pop_front() else { return };
            self.estimator.on_sound(now, timestamp, 48_000);
        }
        while self.reports.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, statuses)) = self.reports.pop_front() else { return };
            let told = self.history.on_feedback(statuses.into_iter());
            self.estimator.on_report(now, &told, &self.history);
        }
        self.estimator.on_tick(now, self.history.waiting_since());
    }
}

/// The link: what waits in it, and what is on its way behind it.
#[derive(Debug, Default)]
struct Wire {
    /// Sender, number, size.
    queue: VecDeque<(usize, u64, u32)>,
    queued_bits: f64,
    budget: f64,
    /// Arrival, sender, number.
    flying: Vec<(Instant, usize, u64)>,
}

impl Wire {
    fn queue_ms(&self, rate: f64) -> f64 {
        self.queued_bits / rate * 1e3
    }

    /// Takes a packet, or drops it where the queue is full.
    fn take(&mut self, link: &Link, rate: f64, packet: (usize, u64, u32)) -> bool {
        let fits = self.queue_ms(rate) <= link.queue_ms;
        if fits {
            self.queue.push_back(packet);
            self.queued_bits += f64::from(packet.2) * 8.0;
        }
        fits
    }

    /// Lets out what has its turn in this tick; gives sender and bits of each.
    fn pass(
        &mut self,
        link: &Link,
        (now, t): (Instant, f64),
        random: &mut StdRng,
    ) -> Vec<(usize, f64)> {
        self.budget += (link.rate)(t) / 1e3;
        let mut passed = Vec::new();
        while let Some(&(index, number, size)) = self.queue.front() {
            let bits = f64::from(size) * 8.0;
            if bits > self.budget {
                break;
            }
            self.budget -= bits;
            self.queued_bits -= bits;
            self.queue.pop_front();
            passed.push((index, bits));
            let jitter = link.jitter_ms * random.random_range(0.0..=1.0);
            let detour = if t >= link.detour.0 { link.detour.1 } else { 0.0 };
            let delay = Duration::from_secs_f64((link.delay_ms + detour + jitter) / 1e3);
            self.flying.push((now + delay, index, number));
        }
        if self.queue.is_empty() {
            self.budget = 0.0;
        }
        passed
    }

    /// Sender and number of what arrives now.
    fn arrived(&mut self, now: Instant) -> Vec<(usize, u64)> {
        let here = self.flying.iter().filter(|(at, ..)| *at <= now);
        let here = here.map(|&(_, index, number)| (index, number)).collect();
        self.flying.retain(|(at, ..)| *at > now);
        here
    }
}

/// What a link loses by itself, one way.
#[derive(Debug, Default)]
struct Losses {
    /// So many of this burst are to come.
    left: u32,
}

impl Losses {
    /// Whether the next packet is lost.
    fn takes(&mut self, link: &Link, random: &mut StdRng) -> bool {
        if self.left == 0 {
            // So that the share is that of the link.
            let burst = f64::from(link.burst);
            let begins = link.loss / (burst * (1.0 - link.loss) + link.loss);
            self.left = u32::from(random.random_bool(begins)) * link.burst;
        }
        let takes = self.left > 0;
        self.left = self.left.saturating_sub(1);
        takes
    }
}

/// A TCP flow beside the senders.
struct Beside {
    flow: Box<dyn Flow>,
    acks: VecDeque<(Instant, u64)>,
    sent: Vec<Instant>,
}

impl Beside {
    fn new(bbr: bool) -> Self {
        let flow: Box<dyn Flow> = if bbr { Box::new(Bbr::new()) } else { Box::new(Tcp::new()) };
        Self { flow, acks: VecDeque::new(), sent: Vec::new() }
    }

    /// The segments that leave now.
    fn send(&mut self, now: Instant) -> Vec<u64> {
        while self.acks.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, number)) = self.acks.pop_front() else { break };
            self.flow.on_ack(now, number, now - self.sent[number as usize]);
        }
        let segments: Vec<u64> = std::iter::from_fn(|| self.flow.send(now)).collect();
        self.sent.resize(self.sent.len() + segments.len(), now);
        segments
    }
}

/// Plays `seconds` of a call of one or more senders over `link`.
pub(super) fn play(link: &Link, seconds: u32, senders: usize, max: f64, seed: u64) -> Vec<Seen> {
    let start = clock::now();
    let mut random = StdRng::seed_from_u64(seed);
    let mut all: Vec<Sender> = (0..senders).map(|_| Sender::new(start, max)).collect();
    let mut seen: Vec<Seen> = (0..senders).map(|_| Seen::default()).collect();
    let (mut wire, mut tcp) = (Wire::default(), Beside::new(link.bbr));
    let (mut there, mut back) = (Losses::default(), Losses::default());
    for tick in 0..seconds * 1_000 {
        let (now, t) = (start + tick * TICK, f64::from(tick) / 1e3);
        let rate = (link.rate)(t);
        let gap = link.gap.contains(&t);
        for (index, sender) in all.iter_mut().enumerate() {
            sender.encode(now, &mut random);
            sender.take_reports(now);
            for (number, size) in sender.send(now) {
                if !gap && !there.takes(link, &mut random) {
                    let fits = wire.take(link, rate, (index, number, size));
                    seen[index].tail_drops += usize::from(!fits);
                }
            }
        }
        if t >= link.tcp_from {
            for number in tcp.send(now) {
                wire.take(link, rate, (senders, number, SEGMENT));
            }
        }
        for (index, bits) in wire.pass(link, (now, t), &mut random) {
            if let Some(seen) = seen.get_mut(index) {
                seen.carried.resize(t as usize + 1, 0.0);
                seen.carried[t as usize] += bits;
            }
        }
        for (index, number) in wire.arrived(now) {
            match all.get_mut(index) {
                Some(sender) => sender.on_arrival(number, i64::from(tick) * 1_000),
                None => {
                    let back = Duration::from_secs_f64(link.delay_ms / 1e3);
                    tcp.acks.push_back((now + back, number));
                }
            }
        }
        let queue_ms = wire.queue_ms(rate);
        let waits = (link.back_queue_ms)(t) + if link.both { queue_ms } else { 0.0 };
        let way = Duration::from_secs_f64((link.delay_ms + waits) / 1e3);
        for (index, sender) in all.iter_mut().enumerate() {
            if tick % 50 == 17 * index as u32 % 50 {
                let lost = gap || back.takes(link, &mut random);
                sender.report(now, way, lost);
            }
            if tick.is_multiple_of(20) && !gap && !back.takes(link, &mut random) {
                sender.sound.push_back((now + way, tick * 48));
            }
            seen[index].note(tick, queue_ms, &sender.estimator);
        }
    }
    for seen in &mut seen {
        seen.carried.resize(seconds as usize, 0.0);
    }
    seen
}
