//! Which loss comes from sending too much, and which would come anyway. Pure.
//!
//! Loss by radio or a bad line does not depend on the rate; loss at a full
//! queue too short to be seen in the delay does. Of the last seconds, each cut
//! into short whiles with their rate and loss, the likeliest explanation is
//! taken: an inherent loss alone, or one with a bound on the rate beside it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A while ends when it is so long and has so many packets.
const WHILE: Duration = Duration::from_millis(200);
const ENOUGH: u32 = 20;

/// Whiles that are looked at, and for how long. What a bound was seen by is forgotten with them, and it
/// shows again if it is there.
const WHILES: usize = 24;
const LOOKED_AT: Duration = Duration::from_secs(6);

/// What is tried as inherent loss.
const INHERENT: [f64; 12] = [0.0, 0.005, 0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5];

/// What a packet tells, of what it would tell if each were lost by itself: losses come in bursts.
const WEIGHT: f64 = 0.3;
/// The same for longer bursts, by their mean length; and how fast that is known, per burst.
const OF_A_BURST: f64 = 0.9;
const BURST_GAIN: f64 = 0.1;

/// What each while counts less than the one after it.
const AGEING: f64 = 0.96;

/// By how much, in nats, a bound must explain better than none before it is believed: one burst of
/// losses alone says nothing.
const CONVINCED: f64 = 3.0;

/// Less than this is never called a bound.
const UNDISPUTED: f64 = 0.03;

/// How fast the mean loss follows, per packet.
const GAIN: f64 = 0.01;
const AT_FIRST: f64 = 12.0;

#[derive(Debug, Clone, Copy)]
struct While {
    ended_at: Instant,
    rate: f64,
    came: f64,
    lost: f64,
}

/// Why packets are lost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Explanation {
    /// The share that is lost at any rate, 0.0 to 1.0.
    pub(super) inherent: f64,
    /// The rate beyond which packets are lost, bits a second, if loss says that there is one.
    pub(super) bound: Option<f64>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct LossModel {
    began_at: Option<Instant>,
    came: u32,
    lost: u32,
    /// Sum of the rates, each as often as it had packets.
    rates: f64,
    whiles: VecDeque<While>,
    /// Packets that are lost on end, on the mean.
    burst: f64,
    fraction: f64,
    packets: u64,
}

impl LossModel {
    /// Packets of which `came` arrived and `lost` did not, in so many bursts, when `rate` bits a second
    /// left.
    pub(super) fn on_packets(
        &mut self,
        now: Instant,
        came: u32,
        (lost, bursts): (u32, u32),
        rate: f64,
    ) {
        if bursts > 0 {
            let gain = 1.0 - (1.0 - BURST_GAIN).powi(i32::try_from(bursts).unwrap_or(i32::MAX));
            self.burst += (f64::from(lost) / f64::from(bursts) - self.burst) * gain;
        }
        self.came += came;
        self.lost += lost;
        self.rates += rate * f64::from(came + lost);
        self.packets += u64::from(came + lost);
        // At first the mean of all, behind some that came.
        let gain = GAIN.max(1.0 / (self.packets as f64 + AT_FIRST));
        for (count, value) in [(came, 0.0), (lost, 1.0)] {
            let weight = 1.0 - (1.0 - gain).powi(i32::try_from(count).unwrap_or(i32::MAX));
            self.fraction += (value - self.fraction) * weight;
        }
        let began_at = *self.began_at.get_or_insert(now);
        let long_enough = now.saturating_duration_since(began_at) >= WHILE;
        if long_enough && self.came + self.lost >= ENOUGH {
            let old = |oldest: &While| now.saturating_duration_since(oldest.ended_at) > LOOKED_AT;
            while self.whiles.len() == WHILES || self.whiles.front().is_some_and(old) {
                self.whiles.pop_front();
            }
            let (came, lost) = (f64::from(self.came), f64::from(self.lost));
            let rate = self.rates / (came + lost);
            self.whiles.push_back(While { ended_at: now, rate, came, lost });
            (self.came, self.lost, self.rates, self.began_at) = (0, 0, 0.0, Some(now));
        }
    }

    /// The share that is lost, over about the last hundred packets, 0.0 to 1.0.
    pub(super) fn fraction(&self) -> f64 {
        self.fraction
    }

    /// The likeliest explanation of what was lost lately.
    pub(super) fn explain(&self) -> Explanation {
        let nothing = Explanation { inherent: self.fraction, bound: None };
        let Some(last) = self.whiles.back() else { return nothing };
        if self.fraction < UNDISPUTED && last.lost / (last.lost + last.came) < UNDISPUTED {
            return nothing;
        }
        let (none, _) = self.likelihood(f64::INFINITY);
        let candidates = self.whiles.iter().map(|w| w.rate * w.came / (w.came + w.lost));
        let best = candidates
            .map(|rate| (self.likelihood(rate), rate))
            .max_by(|a, b| a.0.0.total_cmp(&b.0.0));
        match best {
            Some(((likelihood, inherent), rate)) if likelihood > none + CONVINCED => {
                Explanation { inherent, bound: Some(rate) }
            }
            _ => nothing,
        }
    }

    /// How well `bound` explains what was seen, with the inherent loss that suits it best, and that.
    fn likelihood(&self, bound: f64) -> (f64, f64) {
        let of = |inherent: f64| -> f64 {
            let mut weight = WEIGHT.min(OF_A_BURST / self.burst.max(1.0));
            let newest_first = self.whiles.iter().rev();
            newest_first
                .map(|w| {
                    let over = (1.0 - bound / w.rate.max(1.0)).max(0.0);
                    let loss = (inherent + (1.0 - inherent) * over).clamp(0.002, 0.98);
                    let told = w.lost * loss.ln() + w.came * (1.0 - loss).ln();
                    let weighted = told * weight;
                    weight *= AGEING;
                    weighted
                })
                .sum()
        };
        let tried = INHERENT.iter().map(|&inherent| (of(inherent), inherent));
        tried.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((f64::NEG_INFINITY, 0.0))
    }

    /// The path is another one.
    pub(super) fn start_over(&mut self) {
        *self = Self { fraction: self.fraction, ..Self::default() };
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::clock;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    /// Six seconds at rates around 1 Mbit/s; `loss` gives the chance of a packet at a rate.
    fn model(seed: u64, loss: impl Fn(f64) -> f64) -> LossModel {
        let mut random = StdRng::seed_from_u64(seed);
        let (mut model, start) = (LossModel::default(), clock::now());
        for n in 0..60_u32 {
            let rate = 1e6 * random.random_range(0.5..1.5);
            let packets = (rate / 9_600.0 / 10.0) as u32;
            let lost = (0..packets).filter(|_| random.random_bool(loss(rate))).count() as u32;
            let now = start + n * Duration::from_millis(100);
            model.on_packets(now, packets - lost, (lost, lost), rate);
        }
        model
    }

    #[test]
    fn loss_that_comes_at_any_rate_is_no_bound() {
        for (seed, loss) in [(1, 0.0), (2, 0.02), (3, 0.05), (4, 0.1), (5, 0.2), (6, 0.3)] {
            let model = model(seed, |_| loss);
            assert_eq!(model.explain().bound, None, "{loss}");
            assert!((model.fraction() - loss).abs() < 0.15, "{loss}: {}", model.fraction());
        }
    }

    #[test]
    fn loss_beyond_a_rate_shows_that_rate() {
        let bounds = (0..8)
            .filter_map(|seed| model(seed, |rate| (1.0 - 0.8e6 / rate).max(0.0)).explain().bound);
        let bounds: Vec<f64> = bounds.collect();
        assert!(bounds.len() >= 7, "{bounds:?}");
        assert!(bounds.iter().all(|rate| (0.65e6..0.95e6).contains(rate)), "{bounds:?}");
    }
}
