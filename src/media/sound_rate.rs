//! How sound is sent with what the path allows it: bits a second, length of packets, and copies of
//! what went before. Pure.
//!
//! Sound comes before pictures, so that this is about paths that are too narrow for any picture, or
//! that lose packets.

use super::codec::OPUS_FRAME_SAMPLES;
use super::frame::SAMPLE_RATE;

/// What every packet costs beyond its sound, bytes: IPv4 (20), UDP (8), RTP (12) with its extensions
/// (about 8), and the largest SRTP tag (RFC 7714: 16), rounded down.
const HEADERS: u32 = 60;

/// What a copy costs beyond its sound, bytes (RFC 2198 section 3).
const COPY_HEADER: u32 = 4;

/// The ways to send sound, best first: bits a second and packets of so many 20 ms. The first is for
/// one channel; a second one gets as much again.
const RATES: [(u32, usize); 5] = [(32_000, 1), (24_000, 1), (24_000, 2), (16_000, 2), (12_000, 3)];

/// A better way is taken when the path has allowed this much more than it costs for so long, samples
/// (3 s).
const ROOM: f64 = 1.1;
const SURE_AFTER: usize = 144_000;

/// From which loss on (fraction) one, two and three copies are sent, and below which no longer.
const COPIES_FROM: [f64; 3] = [0.02, 0.06, 0.09];
const COPIES_UNTIL: [f64; 3] = [0.01, 0.04, 0.07];

/// How sound is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SoundMode {
    /// What the encoder makes, bits a second.
    pub bitrate: u32,
    /// Samples per channel in a packet.
    pub packet_samples: usize,
    /// How many earlier packets each one carries again.
    pub copies: usize,
}

impl SoundMode {
    /// What goes over the path for it, with all headers, bits a second.
    #[must_use]
    pub fn total(&self) -> u32 {
        let copies = self.copies as u32;
        let packets = SAMPLE_RATE as f64 / self.packet_samples as f64;
        let overhead = HEADERS + copies * COPY_HEADER + copies.min(1);
        self.bitrate * (copies + 1) + (f64::from(overhead * 8) * packets) as u32
    }
}

/// Decides it, and does not change its mind at every word.
#[derive(Debug)]
pub struct SoundRate {
    channels: u32,
    /// Whether the other side takes copies.
    takes_copies: bool,
    rate: usize,
    wanted: usize,
    /// Samples for which the path would have allowed more.
    sure: usize,
}

impl SoundRate {
    /// For sound of 1 or 2 channels; `takes_copies` says that the other side understands RED.
    #[must_use]
    pub fn new(channels: usize, takes_copies: bool) -> Self {
        let channels = channels.clamp(1, 2) as u32;
        Self { channels, takes_copies, rate: 0, wanted: 0, sure: 0 }
    }

    /// How it is sent over a path that takes everything and loses nothing.
    #[must_use]
    pub fn best(&self) -> SoundMode {
        self.mode(0, 0)
    }

    /// How the next packet is sent when the path allows `budget` bits a second with all headers and
    /// loses this fraction of it; `samples` per channel went by since this was last asked.
    pub fn next(&mut self, budget: u32, loss: f64, samples: usize) -> SoundMode {
        self.choose_copies(loss);
        let lowest = RATES.len() - 1;
        let fits = |rate: usize, room: f64| {
            f64::from(self.mode(rate, 0).total()) * room <= f64::from(budget)
        };
        let down = (self.rate..lowest).find(|rate| fits(*rate, 1.0)).unwrap_or(lowest);
        let up = (0..down).find(|rate| fits(*rate, ROOM)).unwrap_or(down);
        self.sure = if up < down { self.sure + samples } else { 0 };
        self.rate = down;
        if self.sure >= SURE_AFTER {
            (self.rate, self.sure) = (up, 0);
        }
        self.with_copies(budget)
    }

    fn choose_copies(&mut self, loss: f64) {
        let enough = |limits: [f64; 3]| limits.iter().filter(|limit| loss >= **limit).count();
        self.wanted = self.wanted.clamp(enough(COPIES_FROM), enough(COPIES_UNTIL));
    }

    /// Copies are worth more than the last bit of quality, and less than what is said at all.
    fn with_copies(&mut self, budget: u32) -> SoundMode {
        let plain = self.mode(self.rate, 0);
        if !self.takes_copies || plain.packet_samples != OPUS_FRAME_SAMPLES {
            return plain;
        }
        let worth = (1..=self.wanted).rev().map(|copies| self.mode(self.rate.max(1), copies));
        worth.into_iter().find(|mode| mode.total() <= budget).unwrap_or(plain)
    }

    fn mode(&self, rate: usize, copies: usize) -> SoundMode {
        let (bitrate, frames) = RATES[rate];
        let bitrate = if rate == 0 { bitrate * self.channels } else { bitrate };
        SoundMode { bitrate, packet_samples: frames * OPUS_FRAME_SAMPLES, copies }
    }
}

/// What is known of the loss: bad news is believed quickly, good news slowly.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LossMemory(f64);

/// How much of a report is believed, when it is worse and when it is better than those before.
const WORSE: f64 = 0.5;
const BETTER: f64 = 0.125;

impl LossMemory {
    /// A report says that this fraction was lost; gives back what is to be reckoned with.
    pub fn on_report(&mut self, fraction: f64) -> f64 {
        let fraction = if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) };
        let share = if fraction > self.0 { WORSE } else { BETTER };
        self.0 += (fraction - self.0) * share;
        self.0
    }

    /// What is to be reckoned with.
    #[must_use]
    pub fn fraction(&self) -> f64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: usize = 960;

    /// What is sent after so many seconds of this budget and loss.
    fn after(rate: &mut SoundRate, seconds: usize, budget: u32, loss: f64) -> SoundMode {
        (0..seconds * 50)
            .map(|_| rate.next(budget, loss, PACKET))
            .last()
            .unwrap_or_else(|| rate.next(budget, loss, PACKET))
    }

    #[test]
    fn with_plenty_it_is_as_good_as_it_gets() {
        for (channels, bitrate) in [(1, 32_000), (2, 64_000)] {
            let mode = SoundRate::new(channels, true).next(u32::MAX, 0.0, PACKET);
            assert_eq!(mode, SoundMode { bitrate, packet_samples: 960, copies: 0 });
        }
    }

    #[test]
    fn it_never_costs_more_than_is_allowed_as_long_as_it_can() {
        for budget in (20_000..200_000).step_by(500) {
            for loss in [0.0, 0.05, 0.3] {
                let mode = SoundRate::new(1, true).next(budget, loss, PACKET);
                assert!(mode.total() <= budget, "{mode:?} for {budget}");
            }
        }
        let least = SoundMode { bitrate: 12_000, packet_samples: 2_880, copies: 0 };
        assert_eq!(SoundRate::new(2, true).next(1_000, 0.5, PACKET), least);
        assert!(least.total() <= 20_000);
    }

    #[test]
    fn twenty_four_kilobits_stay_until_nothing_else_is_left() {
        let mut rate = SoundRate::new(1, true);
        assert_eq!(rate.next(50_000, 0.0, PACKET).bitrate, 24_000);
        let longer = rate.next(38_000, 0.0, PACKET);
        assert_eq!((longer.bitrate, longer.packet_samples), (24_000, 1_920));
        let less = rate.next(30_000, 0.0, PACKET);
        assert_eq!((less.bitrate, less.packet_samples), (16_000, 1_920));
        let least = rate.next(22_000, 0.0, PACKET);
        assert_eq!((least.bitrate, least.packet_samples), (12_000, 2_880));
    }

    #[test]
    fn it_goes_down_at_once_and_up_after_a_while() {
        let mut rate = SoundRate::new(1, false);
        let low = rate.next(30_000, 0.0, PACKET);
        assert_eq!(after(&mut rate, 2, u32::MAX, 0.0), low, "not yet");
        assert_eq!(after(&mut rate, 2, u32::MAX, 0.0).bitrate, 32_000);
        // A budget that goes to and fro by a tenth changes nothing after the first time.
        let swings = |n: usize| if n.is_multiple_of(2) { 47_000 } else { 51_000 };
        rate.next(47_000, 0.0, PACKET);
        let modes: Vec<_> = (0..500).map(|n| rate.next(swings(n), 0.0, PACKET)).collect();
        assert!(modes.iter().all(|mode| *mode == modes[0]));
    }

    #[test]
    fn copies_come_with_loss_and_only_where_they_are_taken() {
        let mut rate = SoundRate::new(1, true);
        assert_eq!(rate.next(u32::MAX, 0.015, PACKET).copies, 0);
        assert_eq!(rate.next(u32::MAX, 0.03, PACKET).copies, 1);
        assert_eq!(rate.next(u32::MAX, 0.015, PACKET).copies, 1, "not at every word");
        assert_eq!(rate.next(u32::MAX, 0.07, PACKET).copies, 2);
        assert_eq!(rate.next(u32::MAX, 0.05, PACKET).copies, 2);
        assert_eq!(rate.next(u32::MAX, 0.02, PACKET).copies, 1);
        assert_eq!(rate.next(u32::MAX, 0.1, PACKET).copies, 3);
        assert_eq!(rate.next(110_000, 0.1, PACKET).copies, 2, "no room for three");
        assert_eq!(rate.next(80_000, 0.1, PACKET).copies, 1, "no room for two");
        assert_eq!(rate.next(60_000, 0.1, PACKET).copies, 0, "no room for one");
        assert_eq!(SoundRate::new(1, false).next(u32::MAX, 0.5, PACKET).copies, 0);
    }

    #[test]
    fn bad_news_is_believed_sooner_than_good_news() {
        let mut memory = LossMemory::default();
        assert!(memory.on_report(0.2) >= 0.1);
        memory.on_report(0.2);
        assert!(memory.fraction() > 0.14);
        memory.on_report(0.0);
        assert!(memory.fraction() > 0.12);
        for _ in 0..40 {
            memory.on_report(0.0);
        }
        assert!(memory.fraction() < 0.01 && memory.on_report(f64::NAN) < 0.01);
    }
}
