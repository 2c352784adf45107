//! Which packets are sent again when they are asked for. Pure.
//!
//! Owns what of one stream was sent lately, and its repair stream (RTX, RFC
//! 4588): a packet is repeated at most once a round trip, never when it is too
//! old to be of use, and all repeats together take a bounded share of the rate.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};
use rtc::rtp;

/// Packets that are remembered.
const MOST: usize = 2_048;

/// A picture of longer ago is not shown any more.
const USEFUL: Duration = Duration::from_millis(1_200);

/// One that was sent again less than this share of a round trip ago cannot have been missed yet.
const ON_ITS_WAY: f64 = 0.9;

/// Packets that clusters are filled with, in turn.
const FILLING: usize = 32;

/// What takes longer than this to send again is not worth waiting for.
const MENDED_WITHIN: Duration = Duration::from_millis(200);

/// The share of the rate that repeats may take, and over which time that is looked at.
const SHARE: f64 = 0.5;
const OVER: Duration = Duration::from_millis(500);

/// The repair stream (RFC 4588 section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rtx {
    /// Its SSRC.
    pub(super) ssrc: u32,
    /// Its payload type.
    pub(super) payload_type: u8,
}

#[derive(Debug)]
struct Sent {
    packet: rtp::Packet,
    at: Instant,
    repeated: Repeated,
}

/// Whether a packet was sent again.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Repeated {
    No,
    /// It waits for its turn; whether it had left before.
    Waits {
        again: bool,
    },
    /// It left, the last time then.
    At(Instant),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Repeats {
    rtx: Option<Rtx>,
    rtx_sequence: u16,
    sent: VecDeque<Sent>,
    /// The last of what is forgotten: the path is looked at also while no pictures flow, or they would
    /// never flow again.
    filling: Vec<rtp::Packet>,
    /// Bits of repeats that are not paid for by time yet.
    debt: f64,
    paid_at: Option<Instant>,
    padding_from: usize,
}

impl Repeats {
    /// Repeats on `rtx`, or as they were where the other side takes no RTX.
    pub(super) fn new(rtx: Option<Rtx>, first_sequence: u16) -> Self {
        Self {
            rtx,
            rtx_sequence: first_sequence,
            sent: VecDeque::new(),
            filling: Vec::new(),
            debt: 0.0,
            paid_at: None,
            padding_from: 0,
        }
    }

    /// Negotiated anew; what was sent stays.
    pub(super) fn set_rtx(&mut self, rtx: Option<Rtx>) {
        self.rtx = rtx;
    }

    /// A packet of the stream left.
    pub(super) fn on_sent(&mut self, now: Instant, packet: &rtp::Packet) {
        while self.sent.len() >= MOST
            || self.sent.front().is_some_and(|s| now.saturating_duration_since(s.at) > USEFUL)
        {
            self.sent.pop_front();
        }
        self.filling.clear();
        self.sent.push_back(Sent { packet: packet.clone(), at: now, repeated: Repeated::No });
    }

    /// A keyframe follows: nothing that was sent before it is of use.
    pub(super) fn forget(&mut self) {
        let last = self.sent.len().saturating_sub(FILLING);
        let last: Vec<_> = self.sent.drain(..).skip(last).map(|sent| sent.packet).collect();
        if !last.is_empty() {
            self.filling = last;
        }
    }

    /// Whether so much is asked for, and `waiting` already, in bits, that a keyframe mends it sooner, at
    /// `rate` bits a second.
    pub(super) fn is_too_much(
        &self,
        wanted: impl Iterator<Item = u16>,
        waiting: f64,
        rate: f64,
    ) -> bool {
        let sizes = wanted.take(MOST).filter_map(|number| self.sent.get(self.index(number)?));
        let bits: usize = sizes.map(|sent| sent.packet.payload.len() * 8).sum();
        bits as f64 + waiting > rate * MENDED_WITHIN.as_secs_f64()
    }

    /// The packets to send again of those that were asked for; `rate` is what may be sent in all.
    /// Where `much` is lost, what was lost twice is sent twice: a third round would be late.
    pub(super) fn on_nack(
        &mut self,
        now: Instant,
        wanted: impl Iterator<Item = u16>,
        rtt: Duration,
        (rate, much): (f64, bool),
    ) -> Vec<rtp::Packet> {
        let passed = self.paid_at.replace(now).map_or(OVER, |at| now.saturating_duration_since(at));
        self.debt = (self.debt - passed.as_secs_f64() * rate * SHARE).max(0.0);
        let mut repeats = Vec::new();
        for number in wanted {
            if self.debt > OVER.as_secs_f64() * rate * SHARE {
                break;
            }
            let Some(index) = self.index(number) else { continue };
            let Some(sent) = self.sent.get_mut(index) else { continue };
            let on_its_way = match sent.repeated {
                Repeated::No => false,
                Repeated::Waits { .. } => true,
                Repeated::At(at) => now.saturating_duration_since(at) < rtt.mul_f64(ON_ITS_WAY),
            };
            if on_its_way || now.saturating_duration_since(sent.at) > USEFUL {
                continue;
            }
            let again = sent.repeated != Repeated::No;
            sent.repeated = Repeated::Waits { again };
            let packet = sent.packet.clone();
            for _ in 0..if again && much && self.rtx.is_some() { 2 } else { 1 } {
                self.debt += packet.payload.len() as f64 * 8.0;
                repeats.push(self.repeat(packet.clone()));
            }
        }
        repeats
    }

    /// A repeat leaves.
    pub(super) fn on_repeated(&mut self, now: Instant, repeat: &rtp::Packet) {
        if let Some(sent) = self.original(repeat) {
            sent.repeated = Repeated::At(now);
        }
    }

    /// A repeat will not leave: it was none.
    pub(super) fn on_expired(&mut self, now: Instant, repeat: &rtp::Packet) {
        self.debt = (self.debt - repeat.payload.len() as f64 * 8.0).max(0.0);
        let Some(sent) = self.original(repeat) else { return };
        if let Repeated::Waits { again } = sent.repeated {
            // One that left before did so longer than a round trip ago.
            let long_ago = now.checked_sub(USEFUL).unwrap_or(now);
            sent.repeated = if again { Repeated::At(long_ago) } else { Repeated::No };
        }
    }

    /// What a repeat repeats, if that is remembered still.
    fn original(&mut self, repeat: &rtp::Packet) -> Option<&mut Sent> {
        let number = match self.rtx {
            Some(rtx) if rtx.ssrc == repeat.header.ssrc => {
                u16::from_be_bytes(*repeat.payload.first_chunk()?)
            }
            _ => repeat.header.sequence_number,
        };
        let index = self.index(number)?;
        self.sent.get_mut(index)
    }

    /// Whether [`Repeats::padding`] has something.
    pub(super) fn can_pad(&self) -> bool {
        self.rtx.is_some() && !(self.sent.is_empty() && self.filling.is_empty())
    }

    /// A packet to fill a cluster with, if there is one and the other side can tell it from new ones.
    /// Repeats what was sent last, in turn: it may mend a loss that nobody asked about yet.
    pub(super) fn padding(&mut self) -> Option<rtp::Packet> {
        self.rtx?;
        let last = self.sent.len().max(self.filling.len()).min(FILLING);
        self.padding_from = self.padding_from.checked_add(1).filter(|n| *n < last).unwrap_or(0);
        let sent = self.sent.iter().rev().nth(self.padding_from).map(|sent| &sent.packet);
        let packet = sent.or_else(|| self.filling.get(self.padding_from))?.clone();
        Some(self.repeat(packet))
    }

    /// A packet that asks whether the path carries anything again, where nothing new may be sent. Without
    /// RTX it is one as it was: most likely lost, or thrown away as known.
    pub(super) fn question(&mut self) -> Option<rtp::Packet> {
        self.padding().or_else(|| {
            let last = self.sent.back().map(|sent| &sent.packet);
            last.or_else(|| self.filling.last()).cloned()
        })
    }

    fn index(&self, number: u16) -> Option<usize> {
        let newest = self.sent.back()?.packet.header.sequence_number;
        let back = usize::from(newest.wrapping_sub(number));
        let index = self.sent.len().checked_sub(1)?.checked_sub(back)?;
        // Numbers are without a gap, and this is what would show if they were not.
        (self.sent.get(index)?.packet.header.sequence_number == number).then_some(index)
    }

    fn repeat(&mut self, packet: rtp::Packet) -> rtp::Packet {
        let Some(rtx) = self.rtx else { return packet };
        let mut payload = BytesMut::with_capacity(2 + packet.payload.len());
        payload.put_u16(packet.header.sequence_number);
        payload.put_slice(&packet.payload);
        let header = rtp::header::Header {
            version: 2,
            marker: packet.header.marker,
            payload_type: rtx.payload_type,
            sequence_number: self.rtx_sequence,
            timestamp: packet.header.timestamp,
            ssrc: rtx.ssrc,
            ..Default::default()
        };
        self.rtx_sequence = self.rtx_sequence.wrapping_add(1);
        rtp::Packet { header, payload: payload.freeze() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use bytes::Bytes;

    #[test]
    fn the_path_is_looked_at_while_no_pictures_flow() {
        let start = clock::now();
        let mut repeats = repeats(start);
        repeats.forget();
        repeats.forget();
        assert!(repeats.on_nack(start, 0..50, RTT, (RATE, false)).is_empty(), "of no use");
        assert!(repeats.can_pad());
        let padding: Vec<_> = (0..100).filter_map(|_| repeats.padding()).collect();
        assert_eq!(padding.len(), 100);
        assert!(padding.iter().all(|packet| packet.header.ssrc == RTX.ssrc));
        assert!(!Repeats::new(Some(RTX), 7).can_pad(), "nothing was ever sent");
    }

    const RTT: Duration = Duration::from_millis(50);
    const RATE: f64 = 1e6;
    const RTX: Rtx = Rtx { ssrc: 2, payload_type: 103 };

    fn repeats(start: Instant) -> Repeats {
        let mut repeats = Repeats::new(Some(RTX), 7);
        for n in 0..100_u16 {
            let sequence_number = n.wrapping_sub(50);
            let header = rtp::header::Header { sequence_number, ssrc: 1, ..Default::default() };
            let packet = rtp::Packet { header, payload: Bytes::from(vec![n as u8; 1_000]) };
            repeats.on_sent(start, &packet);
        }
        repeats
    }

    #[test]
    fn repeats_on_the_repair_stream_once_a_round_trip() {
        let start = clock::now();
        let mut repeats = repeats(start);
        let sent = repeats.on_nack(start + RTT, [0, 3, 200].into_iter(), RTT, (RATE, false));
        assert_eq!(sent.len(), 2, "what was never sent cannot be repeated");
        sent.iter().for_each(|packet| repeats.on_repeated(start + RTT, packet));
        assert_eq!((sent[0].header.ssrc, sent[0].header.payload_type), (2, 103));
        assert_eq!((sent[0].header.sequence_number, sent[1].header.sequence_number), (7, 8));
        assert_eq!(&sent[1].payload[..3], [0, 3, 53]);
        let again = |at| [(at, 0_u16)];
        for (at, number) in again(start + RTT + RTT / 2) {
            assert!(repeats.on_nack(at, [number].into_iter(), RTT, (RATE, false)).is_empty());
        }
        for (at, number) in again(start + 3 * RTT) {
            let sent = repeats.on_nack(at, [number].into_iter(), RTT, (RATE, false));
            assert_eq!(sent.len(), 1);
            repeats.on_repeated(at, &sent[0]);
        }
        for (at, number) in again(start + 5 * RTT) {
            assert_eq!(repeats.on_nack(at, [number].into_iter(), RTT, (RATE, true)).len(), 2);
        }
        assert!(
            repeats.on_nack(start + 2 * USEFUL, [1].into_iter(), RTT, (RATE, false)).is_empty()
        );
    }

    #[test]
    fn what_waits_for_its_turn_is_not_repeated_twice_and_what_expired_was_not_repeated() {
        let start = clock::now();
        for rtx in [Some(RTX), None] {
            let mut repeats = repeats(start);
            repeats.set_rtx(rtx);
            let ask = |repeats: &mut Repeats, ms: u32| {
                let at = start + ms * Duration::from_millis(1);
                repeats.on_nack(at, [7].into_iter(), RTT, (RATE, true))
            };
            let first = ask(&mut repeats, 100);
            assert_eq!((first.len(), repeats.debt), (1, 8_000.0));
            assert!(ask(&mut repeats, 180).is_empty(), "it has not even left");
            repeats.on_expired(start + 300 * Duration::from_millis(1), &first[0]);
            let second = ask(&mut repeats, 301);
            assert_eq!(second.len(), 1, "at once, and not as if it had been lost twice");
            repeats.on_repeated(start + 320 * Duration::from_millis(1), &second[0]);
            assert!(ask(&mut repeats, 360).is_empty(), "counted from when it left");
            assert!(!ask(&mut repeats, 370).is_empty());
        }
    }

    #[test]
    fn a_flood_of_requests_gets_a_bounded_answer() {
        let start = clock::now();
        let mut repeats = repeats(start);
        let all = (0..=u16::MAX).cycle().take(500_000);
        let answer = repeats.on_nack(start, all, Duration::ZERO, (RATE, false));
        let bits: usize = answer.iter().map(|packet| packet.payload.len() * 8).sum();
        assert!((bits as f64) < RATE * SHARE, "{bits}");
    }

    #[test]
    fn a_loss_that_takes_long_to_mend_is_known() {
        let repeats = repeats(clock::now());
        assert!(!repeats.is_too_much([0, 1, 2].into_iter(), 0.0, RATE));
        assert!(repeats.is_too_much(0..40, 0.0, RATE));
        assert!(!repeats.is_too_much(300..400, 0.0, RATE), "what was never sent takes no time");
        assert!(repeats.is_too_much([0].into_iter(), RATE, RATE), "others wait already");
    }

    #[test]
    fn padding_is_what_was_sent_last() {
        let start = clock::now();
        let mut repeats = repeats(start);
        let padding = repeats.padding().map(|packet| packet.header.ssrc);
        assert_eq!(padding, Some(2));
        repeats.set_rtx(None);
        assert_eq!(repeats.padding(), None, "it would look like new packets");
        assert_eq!(repeats.question().map(|packet| packet.header.ssrc), Some(1));
        repeats.forget();
        assert_eq!(repeats.question().map(|packet| packet.header.sequence_number), Some(49));
        assert_eq!(Repeats::new(None, 7).question(), None, "nothing was ever sent");
    }
}
