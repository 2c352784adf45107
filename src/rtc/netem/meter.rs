//! What a link counts: packets, losses, and how long they waited, in all and second by second. Pure.

use std::time::{Duration, Instant};

/// Times are told apart by milliseconds up to here.
const LONGEST_MS: usize = 10_000;

/// Seconds that are told apart: an hour.
const MOST_SECONDS: usize = 3_600;

/// What went into a link and what became of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LinkCounts {
    /// Packets that were sent into it.
    pub packets: u64,
    /// Packets that it lost at random.
    pub lost: u64,
    /// Packets that found its queue full.
    pub tail_dropped: u64,
    /// Second by second since the link's time began.
    pub seconds: Vec<LinkSecond>,
    began: Option<Instant>,
    waits: Times,
    lateness: Times,
}

/// How many took so many milliseconds.
#[derive(Debug, Clone, Default, PartialEq)]
struct Times(Vec<u32>);

impl Times {
    fn add(&mut self, time: Duration) {
        let ms = (time.as_millis() as usize).min(LONGEST_MS);
        if self.0.len() <= ms {
            self.0.resize(ms + 1, 0);
        }
        self.0[ms] += 1;
    }

    /// How long that one took which took longer than such a share of them, ms.
    fn at(&self, share: f64) -> f64 {
        let all: u64 = self.0.iter().map(|count| u64::from(*count)).sum();
        let wanted = ((all as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let at = self.0.iter().position(|count| {
            seen += u64::from(*count);
            seen >= wanted
        });
        at.unwrap_or(0) as f64
    }
}

/// One second of a link.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LinkSecond {
    /// What left the queue, bits with all headers from IP on.
    pub bits: f64,
    /// Packets lost at random.
    pub lost: u64,
    /// Packets that found the queue full.
    pub tail_dropped: u64,
    /// The longest that a packet waited in the queue and was being sent.
    pub longest_wait: Duration,
}

impl LinkCounts {
    /// How long the packet waited in the queue and was being sent that waited longer than such a share
    /// of them, ms.
    #[must_use]
    pub fn wait_ms(&self, share: f64) -> f64 {
        self.waits.at(share)
    }

    /// How much later than the link says the packet was passed on that was later than such a share of
    /// them, ms: a busy machine's doing.
    #[must_use]
    pub fn late_ms(&self, share: f64) -> f64 {
        self.lateness.at(share)
    }

    /// Seconds are counted from here.
    pub(super) fn begin(&mut self, now: Instant) {
        self.began.get_or_insert(now);
    }

    pub(super) fn on_packet(&mut self) {
        self.packets += 1;
    }

    pub(super) fn on_lost(&mut self, now: Instant) {
        self.lost += 1;
        self.second(now, |second| second.lost += 1);
    }

    pub(super) fn on_tail_drop(&mut self, now: Instant) {
        self.tail_dropped += 1;
        self.second(now, |second| second.tail_dropped += 1);
    }

    /// A packet of that many bits has left the queue.
    pub(super) fn on_sent(&mut self, at: Instant, bits: f64, waited: Duration) {
        self.waits.add(waited);
        self.second(at, |second| {
            second.bits += bits;
            second.longest_wait = second.longest_wait.max(waited);
        });
    }

    /// A packet is passed on, so much later than it should be.
    pub(super) fn on_arrival(&mut self, late: Duration) {
        self.lateness.add(late);
    }

    fn second(&mut self, at: Instant, change: impl FnOnce(&mut LinkSecond)) {
        let Some(since) = self.began.and_then(|began| at.checked_duration_since(began)) else {
            return;
        };
        let index = since.as_secs() as usize;
        if index >= MOST_SECONDS {
            return;
        }
        if self.seconds.len() <= index {
            self.seconds.resize(index + 1, LinkSecond::default());
        }
        change(&mut self.seconds[index]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn seconds_and_waits_are_told_apart() {
        let (start, mut counts) = (clock::now(), LinkCounts::default());
        let ms = Duration::from_millis;
        counts.on_sent(start, 8.0, ms(500));
        assert!(counts.seconds.is_empty(), "its time has not begun");
        counts.begin(start);
        for n in 1..100 {
            counts.on_sent(start + ms(20 * n), 100.0, ms(n));
        }
        counts.on_lost(start + ms(2_500));
        counts.on_tail_drop(start + ms(2_500));
        assert_eq!((counts.wait_ms(0.5), counts.wait_ms(0.95)), (50.0, 95.0));
        assert_eq!(counts.wait_ms(1.0), 500.0);
        let [first, second, third] = counts.seconds[..] else { panic!("{:?}", counts.seconds) };
        assert_eq!((first.bits, first.longest_wait), (4_900.0, ms(49)));
        assert_eq!((second.bits, second.lost), (5_000.0, 0));
        assert_eq!((third.lost, third.tail_dropped), (1, 1));
        assert_eq!(LinkCounts::default().wait_ms(0.95), 0.0);
        counts.on_arrival(ms(3));
        assert_eq!(counts.late_ms(0.99), 3.0);
    }
}
