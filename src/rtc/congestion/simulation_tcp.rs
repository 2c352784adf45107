//! Long TCP flows on the emulated link, with SACK: CUBIC (RFC 9438), which fills every queue, and one
//! that, like BBR, sends at the rate at which its packets come out of it. For tests only.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// A segment on the wire, bytes.
pub(super) const SEGMENT: u32 = 1_500;

/// The constants of RFC 9438 section 5.
const C: f64 = 0.4;
const BETA: f64 = 0.7;

/// What BBR calls its gains (draft-ietf-ccwg-bbr): to begin with, by round trip, and of the window.
const STARTUP: f64 = 2.77;
const CYCLE: [f64; 8] = [1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
const WINDOW: f64 = 2.0;
/// How long its measures are believed, and how it looks for the path without a queue.
const ROUNDS: usize = 10;
const LEAST_RTT: Duration = Duration::from_secs(10);
const LOOKS: Duration = Duration::from_millis(200);

/// A long flow.
pub(super) trait Flow {
    /// A segment to send now, if there is one.
    fn send(&mut self, now: Instant) -> Option<u64>;
    /// A segment that took `rtt` is acknowledged.
    fn on_ack(&mut self, now: Instant, number: u64, rtt: Duration);
}

/// The number of a segment, with what had been delivered when it left, and when it left.
type Sent = BTreeMap<u64, (u64, Instant)>;

/// A flow like BBR.
#[derive(Debug)]
pub(super) struct Bbr {
    next: u64,
    sent: Sent,
    delivered: u64,
    /// Segments a second, the most of each round.
    rates: VecDeque<f64>,
    round_ends: u64,
    rounds: usize,
    full: Option<usize>,
    least: (Duration, Option<Instant>),
    looks_until: Option<Instant>,
    free_at: Option<Instant>,
}

impl Bbr {
    pub(super) fn new() -> Self {
        Self {
            next: 0,
            sent: Sent::new(),
            delivered: 0,
            rates: VecDeque::from([100.0]),
            round_ends: 0,
            rounds: 0,
            full: None,
            least: (Duration::from_secs(1), None),
            looks_until: None,
            free_at: None,
        }
    }

    fn rate(&self) -> f64 {
        self.rates.iter().copied().fold(1.0, f64::max)
    }

    fn gain(&self) -> f64 {
        self.full.map_or(STARTUP, |since| CYCLE[(self.rounds - since) % CYCLE.len()])
    }

    fn window(&self) -> f64 {
        let gain = if self.full.is_none() { STARTUP } else { WINDOW };
        match self.looks_until {
            Some(_) => 4.0,
            None => (self.rate() * self.least.0.as_secs_f64() * gain).max(4.0),
        }
    }

    fn end_round(&mut self) {
        self.rounds += 1;
        self.round_ends = self.next;
        let before = self.rates.iter().rev().nth(2).copied();
        let stands = before.is_some_and(|before| self.rate() < before * 1.25);
        if self.full.is_none() && self.rounds > 4 && stands {
            self.full = Some(self.rounds);
        }
        self.rates.push_back(0.0);
        if self.rates.len() > ROUNDS {
            self.rates.pop_front();
        }
    }
}

impl Flow for Bbr {
    fn send(&mut self, now: Instant) -> Option<u64> {
        let paced = self.free_at.is_none_or(|at| at <= now);
        if !paced || self.sent.len() as f64 >= self.window() {
            return None;
        }
        let from = self.free_at.filter(|at| *at + Duration::from_millis(2) > now).unwrap_or(now);
        self.free_at = Some(from + Duration::from_secs_f64(1.0 / (self.rate() * self.gain())));
        self.sent.insert(self.next, (self.delivered, now));
        self.next += 1;
        Some(self.next - 1)
    }

    fn on_ack(&mut self, now: Instant, number: u64, rtt: Duration) {
        let Some((delivered, left)) = self.sent.remove(&number) else { return };
        // What is older was lost.
        self.sent = self.sent.split_off(&number.saturating_sub(3));
        self.delivered += 1;
        let took = now.saturating_duration_since(left).as_secs_f64().max(1e-3);
        let rate = (self.delivered - delivered) as f64 / took;
        if let Some(last) = self.rates.back_mut() {
            *last = last.max(rate);
        }
        let stale = self.least.1.is_none_or(|at| now.saturating_duration_since(at) > LEAST_RTT);
        if rtt <= self.least.0 || stale && self.looks_until.is_some() {
            self.least = (rtt, Some(now));
        } else if stale {
            self.looks_until = Some(now + LOOKS + rtt);
        }
        if self.looks_until.is_some_and(|until| now > until) {
            self.looks_until = None;
        }
        if number >= self.round_ends {
            self.end_round();
        }
    }
}

/// A flow with CUBIC.
#[derive(Debug)]
pub(super) struct Tcp {
    window: f64,
    threshold: f64,
    next: u64,
    unheard: BTreeSet<u64>,
    lost: u64,
    /// What was sent before the last reduction tells of no new one.
    recover: u64,
    before: f64,
    reduced_at: Option<Instant>,
    /// What Reno would have (RFC 9438 section 4.3).
    friendly: f64,
    rtt: Duration,
}

impl Tcp {
    pub(super) fn new() -> Self {
        Self {
            window: 10.0,
            threshold: f64::INFINITY,
            next: 0,
            unheard: BTreeSet::new(),
            lost: 0,
            recover: 0,
            before: 0.0,
            reduced_at: None,
            friendly: 0.0,
            rtt: Duration::from_millis(50),
        }
    }

    fn reduce(&mut self, now: Instant) {
        self.recover = self.next;
        // Fast convergence (section 4.7).
        self.before = match self.window < self.before {
            true => self.window * (1.0 + BETA) / 2.0,
            false => self.window,
        };
        self.window = (self.window * BETA).max(2.0);
        self.threshold = self.window;
        self.friendly = self.window;
        self.reduced_at = Some(now);
    }
}

impl Flow for Tcp {
    fn send(&mut self, _now: Instant) -> Option<u64> {
        if self.unheard.len() as f64 >= self.window {
            return None;
        }
        self.unheard.insert(self.next);
        self.next += 1;
        Some(self.next - 1)
    }

    fn on_ack(&mut self, now: Instant, number: u64, rtt: Duration) {
        self.rtt = rtt;
        self.unheard.remove(&number);
        let lost: Vec<u64> = self.unheard.range(..number.saturating_sub(3)).copied().collect();
        for lost in lost {
            self.unheard.remove(&lost);
            self.lost += 1;
            if lost >= self.recover {
                self.reduce(now);
            }
        }
        if self.window < self.threshold {
            self.window += 1.0;
            return;
        }
        let Some(at) = self.reduced_at else { return };
        let t = now.saturating_duration_since(at).as_secs_f64() + rtt.as_secs_f64();
        let k = (self.before * (1.0 - BETA) / C).cbrt();
        let cubic = C * (t - k).powi(3) + self.before;
        self.friendly += 3.0 * (1.0 - BETA) / (1.0 + BETA) / self.window;
        let target = cubic.clamp(self.window, self.window * 1.5);
        self.window += (target - self.window) / self.window;
        self.window = self.window.max(self.friendly);
    }
}
