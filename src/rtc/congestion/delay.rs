//! How long packets queue on the path, apart from its own delay and its jitter. Pure.
//!
//! A queue delays every packet, jitter only some: the least delay of a short
//! while less the least of a long one is the standing queue, however much
//! single packets wander. A trend would take jitter for congestion.

use std::collections::VecDeque;
use std::time::Duration;

/// The short while: at least this long, and at least so many packets, but never longer than a while
/// in which the queue may have changed altogether.
const WHILE_US: i64 = 80_000;
const ENOUGH: usize = 5;
const LONGEST_US: i64 = 300_000;

/// The long while, and the parts in which it is forgotten.
const PART_US: i64 = 1_000_000;
const PARTS: usize = 20;

/// For so many parts it may turn out that the path has not become longer.
const DOUBTED: i64 = 30;

/// How much of a new deviation enters the noise.
const NOISE_GAIN: f64 = 0.06;

/// More deviation than this at once is a queue that comes or goes, ms.
const MOST_NOISE_MS: f64 = 25.0;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct QueueDelay {
    /// Arrival and one-way delay (of two clocks), microseconds, of the short while.
    recent: VecDeque<(i64, i64)>,
    /// Least of the short whiles, by second of arrival.
    least: VecDeque<(i64, i64)>,
    queue_ms: Option<f64>,
    latest_ms: f64,
    /// How far the short while's least wanders by itself.
    noise_ms: f64,
    noted: Option<(i64, f64)>,
    /// The path without a queue is not forgotten: it cannot be seen.
    holds: bool,
    /// When the path was last taken for a longer one, and its least delay until then.
    before: Option<(i64, i64)>,
}

impl QueueDelay {
    /// A packet that left at `departure_us` of our clock came at `arrival_us` of theirs.
    pub(super) fn on_packet(&mut self, departure_us: i64, arrival_us: i64) {
        let latest = self.recent.back().map_or(arrival_us, |&(at, _)| at.max(arrival_us));
        self.recent.push_back((arrival_us, arrival_us - departure_us));
        while self.recent.front().is_some_and(|&(at, _)| {
            let age = latest - at;
            age > LONGEST_US || age > WHILE_US && self.recent.len() > ENOUGH
        }) {
            self.recent.pop_front();
        }
        let full = self.recent.len() >= ENOUGH
            || self.recent.front().is_some_and(|&(at, _)| latest - at >= WHILE_US);
        let Some(least) = self.recent.iter().map(|&(_, delay)| delay).min() else { return };
        if full {
            self.remember(latest, least);
        }
        let base = self.least.iter().map(|&(_, delay)| delay).min().unwrap_or(least).min(least);
        let latest_us = self.recent.back().map_or(least, |&(_, delay)| delay);
        self.latest_ms = (latest_us - base) as f64 / 1e3;
        let queue_ms = (least - base) as f64 / 1e3;
        self.queue_ms = Some(queue_ms);
        self.note(latest, queue_ms);
    }

    fn remember(&mut self, at: i64, least: i64) {
        let part = at / PART_US;
        match self.least.back_mut() {
            Some((last, delay)) if *last >= part => *delay = (*delay).min(least),
            _ => self.least.push_back((part, least)),
        }
        while self.least.len() > 1
            && !self.holds
            && self.least.front().is_some_and(|&(first, _)| part - first >= PARTS as i64)
        {
            self.least.pop_front();
        }
    }

    /// Compares whiles that have no packet in common.
    fn note(&mut self, at: i64, queue_ms: f64) {
        match self.noted {
            Some((then, before)) if at - then >= WHILE_US + WHILE_US / 4 => {
                let change = (queue_ms - before).abs().min(MOST_NOISE_MS);
                self.noise_ms += (change - self.noise_ms) * NOISE_GAIN;
                self.noted = Some((at, queue_ms));
            }
            Some(_) => {}
            None => self.noted = Some((at, queue_ms)),
        }
    }

    /// The standing queue, ms; `None` before the first packet.
    pub(super) fn queue_ms(&self) -> Option<f64> {
        self.queue_ms
    }

    /// How much longer than at best the newest packet took, its jitter included, ms.
    pub(super) fn latest_ms(&self) -> f64 {
        self.latest_ms
    }

    /// How much of the standing queue may be jitter, ms.
    pub(super) fn noise_ms(&self) -> f64 {
        self.noise_ms
    }

    /// Whether the least delay is remembered longer than usual, because nothing like it can be seen.
    pub(super) fn hold(&mut self, holds: bool) {
        self.holds = holds;
    }

    /// The path seems to be a longer one.
    pub(super) fn lengthen(&mut self) {
        let part = self.least.back().map(|(part, _)| *part);
        let least = self.least.iter().map(|(_, delay)| *delay).min();
        let doubted = self.doubted().map(|(_, delay)| delay);
        self.start_over();
        self.before = part.zip(least.into_iter().chain(doubted).min());
    }

    /// It was not: what was thought of it before is true after all.
    pub(super) fn shorten(&mut self) {
        if let Some((_, least)) = self.doubted()
            && let Some((_, delay)) = self.least.back_mut()
        {
            *delay = least.min(*delay);
        }
        self.before = None;
    }

    fn doubted(&self) -> Option<(i64, i64)> {
        let newest = self.least.back().map_or(i64::MIN, |(part, _)| *part);
        self.before.filter(|(part, _)| newest.saturating_sub(*part) <= DOUBTED)
    }

    /// The path is another one.
    pub(super) fn start_over(&mut self) {
        let noise_ms = self.noise_ms;
        *self = Self { noise_ms, ..Self::default() };
    }

    /// How long before packets of now tell about the queue: the short while.
    pub(super) const MEMORY: Duration = Duration::from_micros(WHILE_US as u64);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    /// Packets each 10 ms for five seconds; `delay` in ms gives each one's.
    fn run(mut delay: impl FnMut(i64) -> f64) -> QueueDelay {
        let mut queue = QueueDelay::default();
        for n in 0..500 {
            let at = n * 10_000;
            queue.on_packet(at, 7_000_000_000 + at + (delay(n) * 1e3) as i64);
        }
        queue
    }

    #[test]
    fn a_queue_shows_and_its_end_too() {
        let rising = run(|n| 30.0 + if n >= 400 { (n - 400) as f64 * 2.0 } else { 0.0 });
        assert!(rising.queue_ms().unwrap() > 170.0, "{rising:?}");
        let gone = run(|n| 30.0 + if (200..300).contains(&n) { 200.0 } else { 0.0 });
        assert!(gone.queue_ms().unwrap() < 1.0);
    }

    #[test]
    fn jitter_is_no_queue() {
        let mut random = StdRng::seed_from_u64(1);
        let shaky = run(|_| 100.0 + random.random_range(-50.0..50.0));
        assert!(shaky.queue_ms().unwrap() < 25.0, "{shaky:?}");
        assert!(shaky.noise_ms() > 3.0);
        assert!(run(|_| 100.0).noise_ms() < 0.1);
    }

    #[test]
    fn a_longer_path_is_no_queue_for_ever() {
        let mut queue = QueueDelay::default();
        for n in 0..4_000 {
            let delay = if n < 500 { 10_000 } else { 60_000 };
            queue.on_packet(n * 10_000, n * 10_000 + delay);
        }
        assert!(queue.queue_ms().unwrap() < 1.0);
    }
}
