//! What was sent, joined with what the receiver said of it (transport-wide feedback). Pure.
//!
//! Owns the transport-wide sequence numbers, and when a packet counts as lost:
//! not before packets that left clearly later have arrived, since paths
//! reorder, and never because a report of theirs was lost itself.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Packets that are remembered: some seconds at the highest rates.
const MAX_PACKETS: usize = 16_384;

/// How long a packet is remembered.
const REMEMBERED: Duration = Duration::from_secs(4);

/// How much later than a missing packet another must have left, to have overtaken it for good. Grows
/// with what the path really reorders.
const REORDERING: Duration = Duration::from_millis(60);
const MOST_REORDERING: Duration = Duration::from_millis(250);

/// What the reordering seen loses with each report, so that one odd packet is forgotten in seconds.
const FORGETTING: f64 = 0.995;

/// Packets among which those that came lately are.
const ARRIVALS: usize = 1_024;

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Nothing was said yet.
    Unknown,
    /// They say that it has not come so far.
    Missing,
    /// It counts as lost.
    Lost,
    /// It came at this time of theirs, microseconds.
    Arrived(i64),
}

/// One transmission.
#[derive(Debug, Clone, Copy)]
struct Record {
    departure: Instant,
    size: u32,
    probe: Option<u32>,
    fate: Fate,
}

/// What a report told of one transmission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    /// When it left.
    pub(super) departure: Instant,
    /// When it came, on their clock, microseconds; `None`: it is lost.
    pub(super) arrival_us: Option<i64>,
    /// Bytes on the wire, IP header included.
    pub(super) size: u32,
    /// The probe that it belonged to.
    pub(super) probe: Option<u32>,
}

/// A rate at which packets left and came, bits a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rates {
    /// As they left.
    pub(super) sent: f64,
    /// As they came, lost ones left out.
    pub(super) delivered: f64,
    /// The share of them that was lost, 0.0 to 1.0.
    pub(super) lost: f64,
    /// Packets that came.
    pub(super) packets: usize,
    /// The time over which they came.
    pub(super) span: Duration,
}

impl Rates {
    /// What would have come without a loss that comes at any rate, bits a second.
    pub(super) fn carried(&self, inherent: f64) -> f64 {
        self.delivered / (1.0 - self.lost.min(inherent).clamp(0.0, 0.9))
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct History {
    packets: VecDeque<Record>,
    /// Number of the first record, without wrapping.
    first: u64,
    /// Newest departure of those that came.
    newest: Option<Instant>,
    reordering: Duration,
}

impl Default for History {
    fn default() -> Self {
        Self { packets: VecDeque::new(), first: 0, newest: None, reordering: REORDERING }
    }
}

impl History {
    /// A packet of `size` bytes on the wire leaves now. Gives its transport-wide sequence number.
    pub(super) fn on_sent(&mut self, now: Instant, size: u32, probe: Option<u32>) -> u16 {
        while self.packets.front().is_some_and(|packet| {
            self.packets.len() >= MAX_PACKETS
                || now.saturating_duration_since(packet.departure) > REMEMBERED
        }) {
            self.forget_first();
        }
        let number = self.first + self.packets.len() as u64;
        self.packets.push_back(Record { departure: now, size, probe, fate: Fate::Unknown });
        number as u16
    }

    fn forget_first(&mut self) {
        if self.packets.pop_front().is_some() {
            self.first += 1;
        }
    }

    /// Takes a report: each number with when it came, on their clock in microseconds, or `None`.
    /// Gives what is new, in the order of sending.
    pub(super) fn on_feedback(
        &mut self,
        statuses: impl Iterator<Item = (u16, Option<i64>)>,
    ) -> Vec<Told> {
        let mut arrived = Vec::new();
        for (number, arrival) in statuses {
            let Some(index) = self.index(number) else { continue };
            let Some(packet) = self.packets.get_mut(index) else { continue };
            match (packet.fate, arrival) {
                (Fate::Unknown, None) => packet.fate = Fate::Missing,
                (Fate::Unknown | Fate::Missing | Fate::Lost, Some(at)) => {
                    packet.fate = Fate::Arrived(at);
                    arrived.push(index);
                }
                _ => {}
            }
        }
        self.learn_reordering(&arrived);
        let mut told: Vec<usize> = arrived;
        self.declare_lost(&mut told);
        told.sort_unstable();
        told.into_iter().filter_map(|index| self.packets.get(index)).map(Self::told).collect()
    }

    fn told(packet: &Record) -> Told {
        let arrival_us = match packet.fate {
            Fate::Arrived(at) => Some(at),
            _ => None,
        };
        Told { departure: packet.departure, arrival_us, size: packet.size, probe: packet.probe }
    }

    /// The place of the newest packet with this number, if it is remembered.
    fn index(&self, number: u16) -> Option<usize> {
        let end = self.first + self.packets.len() as u64;
        let back = (end as u16).wrapping_sub(number);
        let back = if back == 0 { 1 << 16 } else { usize::from(back) };
        self.packets.len().checked_sub(back)
    }

    fn learn_reordering(&mut self, arrived: &[usize]) {
        let seen = self.reordering.mul_f64(FORGETTING);
        let mut most = REORDERING;
        for packet in arrived.iter().filter_map(|&index| self.packets.get(index)) {
            if let Some(newest) = self.newest {
                let overtaken = newest.saturating_duration_since(packet.departure);
                // Within one report the order of sending is no order of arrival.
                most = most.max(overtaken.mul_f64(1.25));
            }
        }
        let newest = arrived.iter().filter_map(|&index| self.packets.get(index));
        self.newest = self.newest.max(newest.map(|packet| packet.departure).max());
        self.reordering = seen.max(most).min(MOST_REORDERING);
    }

    fn declare_lost(&mut self, told: &mut Vec<usize>) {
        let Some(newest) = self.newest else { return };
        for (index, packet) in self.packets.iter_mut().enumerate() {
            if packet.departure + self.reordering > newest {
                break;
            }
            if packet.fate == Fate::Missing {
                packet.fate = Fate::Lost;
                told.push(index);
            }
        }
    }

    /// When the first packet after the newest that arrived left.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        let waiting = self.packets.iter().rev().take_while(|packet| {
            matches!(packet.fate, Fate::Unknown)
                && self.newest.is_none_or(|newest| packet.departure > newest)
        });
        waiting.last().map(|packet| packet.departure)
    }

    /// The rates of what left in the last `span` before the newest packet that came. What nobody
    /// reported counts as come: the report was lost, not the packet.
    pub(super) fn rates(&self, span: Duration) -> Option<Rates> {
        let newest = self.newest?;
        self.rates_of(|packet| packet.departure <= newest && packet.departure + span >= newest)
    }

    /// The rate at which packets came in the last `span` on their clock, bits a second: what a path
    /// with a queue carries, however fast they left. Reports that were lost are made up for.
    pub(super) fn arrival_rate(&self, span: Duration) -> Option<f64> {
        let arrival = |packet: &Record| match packet.fate {
            Fate::Arrived(at) => Some(at),
            _ => None,
        };
        let latest = self.packets.iter().rev().take(ARRIVALS).filter_map(arrival).max()?;
        let from = latest - span.as_micros() as i64;
        let mut earliest = (i64::MAX, 0);
        let (mut bytes, mut packets, mut unknown) = (0_u64, 0, 0_u64);
        let newest = self.packets.iter().rev().skip_while(|packet| arrival(packet).is_none());
        for packet in newest.take(ARRIVALS) {
            match packet.fate {
                Fate::Arrived(at) if at >= from => {
                    bytes += u64::from(packet.size) + std::mem::take(&mut unknown);
                    packets += 1;
                    earliest = earliest.min((at, packet.size));
                }
                Fate::Unknown => unknown += u64::from(packet.size),
                _ => {}
            }
        }
        let seconds = (latest - earliest.0) as f64 / 1e6;
        (packets > 2 && seconds > 0.02)
            .then(|| (bytes - u64::from(earliest.1)) as f64 * 8.0 / seconds)
    }

    /// The rates of one probe's packets.
    pub(super) fn probe_rates(&self, probe: u32) -> Option<Rates> {
        self.rates_of(|packet| packet.probe == Some(probe))
    }

    fn rates_of(&self, wanted: impl Fn(&Record) -> bool) -> Option<Rates> {
        let mut first: Option<(Instant, i64)> = None;
        let (mut last_departure, mut last_arrival) = (None, i64::MIN);
        let (mut sent, mut delivered, mut packets) = (0_u64, 0_u64, 0);
        // From the newest back, so that few of the remembered are looked at.
        let newest_first = self.packets.iter().rev();
        let recent: Vec<&Record> = newest_first
            .skip_while(|packet| !wanted(packet))
            .take_while(|packet| wanted(packet))
            .collect();
        for packet in recent.into_iter().rev() {
            let Some((_, begin)) = first else {
                // What came first marks the beginning; its own bytes came before it.
                if let Fate::Arrived(at) = packet.fate {
                    first = Some((packet.departure, at));
                }
                continue;
            };
            sent += u64::from(packet.size);
            match packet.fate {
                Fate::Arrived(at) => {
                    packets += 1;
                    delivered += u64::from(packet.size);
                    last_arrival = last_arrival.max(at.max(begin));
                }
                Fate::Unknown => delivered += u64::from(packet.size),
                Fate::Missing | Fate::Lost => {}
            }
            last_departure = Some(packet.departure);
        }
        let (begin, begin_us) = first?;
        let sending = last_departure?.saturating_duration_since(begin).as_secs_f64();
        if packets == 0 {
            return None;
        }
        let coming = (last_arrival - begin_us) as f64 / 1e6;
        if coming <= 0.0 {
            return None;
        }
        Some(Rates {
            sent: sent as f64 * 8.0 / sending.max(1e-4),
            delivered: delivered as f64 * 8.0 / coming.max(1e-4),
            lost: 1.0 - delivered as f64 / sent.max(1) as f64,
            packets,
            span: Duration::from_secs_f64(coming),
        })
    }

    /// How much the path has reordered lately.
    #[cfg(test)]
    pub(super) fn reordering(&self) -> Duration {
        self.reordering
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::clock;

    const MS: Duration = Duration::from_millis(1);

    /// Twenty packets of 1,000 bytes, 10 ms apart.
    fn sent() -> (History, Instant) {
        let (mut history, start) = (History::default(), clock::now());
        for n in 0..20 {
            assert_eq!(history.on_sent(start + 10 * n * MS, 1_000, None), n as u16);
        }
        (history, start)
    }

    fn came(n: u16) -> (u16, Option<i64>) {
        (n, Some(i64::from(n) * 10_000 + 500_000))
    }

    #[test]
    fn says_what_came_and_later_what_was_lost() {
        let (mut history, start) = sent();
        let told = history.on_feedback([came(0), (1, None), came(2)].into_iter());
        assert_eq!(told.len(), 2, "nobody knows yet whether 1 is only late: {told:?}");
        let told = history.on_feedback((3..8).map(came));
        assert_eq!(told.iter().filter(|told| told.arrival_us.is_none()).count(), 1);
        assert_eq!(told[0].departure, start + 10 * MS);
    }

    #[test]
    fn a_lost_report_is_no_lost_packet() {
        let (mut history, _) = sent();
        history.on_feedback([came(0), came(1)].into_iter());
        let told = history.on_feedback((10..20).map(came));
        assert_eq!(told.len(), 10);
        let rates = history.rates(Duration::from_secs(1)).unwrap();
        assert!((rates.delivered - 800_000.0).abs() < 1.0, "{rates:?}");
    }

    #[test]
    fn the_rate_of_arrivals_is_that_of_the_path() {
        let (mut history, start) = (History::default(), clock::now());
        for n in 0..20 {
            history.on_sent(start + n * MS, 1_000, None);
        }
        // Sent at 8 Mbit/s, they come at 800 kbit/s, but one, of which nobody spoke.
        history.on_feedback((0..20).filter(|n| *n != 11).map(came));
        let rate = history.arrival_rate(200 * MS).unwrap();
        assert!((750e3..=801e3).contains(&rate), "{rate}");
    }

    #[test]
    fn what_comes_after_all_is_told_and_teaches_patience() {
        let (mut history, _) = sent();
        let all_but_one = (0..12).map(|n| if n == 2 { (n, None) } else { came(n) });
        let told = history.on_feedback(all_but_one);
        assert_eq!(told.iter().filter(|told| told.arrival_us.is_none()).count(), 1);
        let told = history.on_feedback([(2, Some(700_000))].into_iter());
        assert_eq!(told[0].arrival_us, Some(700_000));
        assert!(history.reordering() > 90 * MS);
    }

    #[test]
    fn numbers_wrap_and_old_ones_are_forgotten() {
        let (mut history, start) = (History::default(), clock::now());
        for n in 0..100_000_u32 {
            let now = start + n * MS;
            assert_eq!(history.on_sent(now, 100, None), n as u16);
            let told = history.on_feedback([(n as u16, Some(i64::from(n) * 1_000))].into_iter());
            assert_eq!(told.len(), 1);
        }
        assert!(history.packets.len() <= 4_002);
        assert!(history.on_feedback([(7, Some(1))].into_iter()).is_empty());
    }

    #[test]
    fn waits_since_the_first_packet_that_nobody_mentioned() {
        let (mut history, start) = sent();
        assert_eq!(history.waiting_since(), Some(start));
        history.on_feedback([came(4)].into_iter());
        assert_eq!(history.waiting_since(), Some(start + 50 * MS));
    }
}
