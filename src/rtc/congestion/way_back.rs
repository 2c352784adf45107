//! How much longer the way back takes than it did at best. Pure.
//!
//! Reports on what we send wait in the other side's queue, if there is one. That they are late then
//! says nothing of our own path, so what is known of the way back is taken off. Its measure is their
//! sound: it is sent as it is captured, and its time stamps say when that was.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::sequence::unwrap_timestamp;

/// The best is that of the last so many parts of this length.
const PART: Duration = Duration::from_secs(1);
const PARTS: usize = 10;

/// More is no queue, but a clock that jumped.
const MOST: Duration = Duration::from_millis(600);

/// One stream of sound of theirs, as it arrives.
#[derive(Debug)]
pub(super) struct WayBack {
    clock_rate: u32,
    first: Option<(Instant, u32)>,
    /// Newest time stamp, as microseconds since the first, without its wrapping.
    newest: Option<i64>,
    /// The way of the newest, on two clocks, microseconds.
    way_us: i64,
    /// The least in each part.
    least: VecDeque<(u64, i64)>,
}

impl WayBack {
    /// For a stream with so many ticks a second.
    pub(super) fn new(clock_rate: u32) -> Self {
        let clock_rate = clock_rate.max(1);
        Self { clock_rate, first: None, newest: None, way_us: 0, least: VecDeque::new() }
    }

    /// A packet with this time stamp came.
    pub(super) fn on_packet(&mut self, now: Instant, timestamp: u32) {
        let (began, origin) = *self.first.get_or_insert((now, timestamp));
        let at_us = now.saturating_duration_since(began).as_micros() as i64;
        let micros = |ticks: i64| ticks * 1_000_000 / i64::from(self.clock_rate);
        let sent_us = match self.newest {
            None => 0,
            Some(newest) => {
                let expected = newest * i64::from(self.clock_rate) / 1_000_000;
                micros(unwrap_timestamp(timestamp.wrapping_sub(origin), Some(expected)))
            }
        };
        if self.newest.is_some_and(|newest| sent_us <= newest) {
            return;
        }
        self.newest = Some(sent_us);
        self.way_us = at_us - sent_us;
        let part = at_us as u64 / PART.as_micros() as u64;
        match self.least.back_mut() {
            Some((last, least)) if *last == part => *least = (*least).min(self.way_us),
            _ => self.least.push_back((part, self.way_us)),
        }
        while self.least.front().is_some_and(|(first, _)| part - first >= PARTS as u64) {
            self.least.pop_front();
        }
    }

    /// How much later than at best the newest of it came.
    pub(super) fn late(&self) -> Duration {
        let least = self.least.iter().map(|(_, least)| *least).min();
        let late_us = least.map_or(0, |least| self.way_us - least);
        Duration::from_micros(late_us.max(0) as u64).min(MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const MS: Duration = Duration::from_millis(1);

    /// How late the last of so many packets of sound is, 20 ms apart, each of whose ways takes as long
    /// as `way` says, ms.
    fn late(packets: u32, way: impl Fn(u32) -> u32) -> Duration {
        let (mut back, start) = (WayBack::new(48_000), clock::now());
        for n in 0..packets {
            let timestamp = (u32::MAX - 48_000).wrapping_add(n * 960);
            back.on_packet(start + (n * 20 + way(n)) * MS, timestamp);
        }
        back.late()
    }

    #[test]
    fn a_queue_on_the_way_back_shows_and_its_end_too() {
        assert_eq!(late(200, |n| 30 + n.saturating_sub(190) * 15), 135 * MS);
        let gone = late(300, |n| if (100..200).contains(&n) { 230 } else { 30 });
        assert_eq!(gone, Duration::ZERO);
    }

    #[test]
    fn a_longer_way_or_another_clock_is_soon_the_best_there_is() {
        assert_eq!(late(200, |n| if n < 150 { 30 } else { 5_000 }), MOST);
        assert_eq!(late(1_000, |n| if n < 150 { 30 } else { 90 }), Duration::ZERO);
    }

    #[test]
    fn nothing_heard_is_nothing_known() {
        assert_eq!(WayBack::new(0).late(), Duration::ZERO);
    }
}
