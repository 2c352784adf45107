//! How much of the rate goes into repairs. Pure.

use std::time::{Duration, Instant};

/// It is measured over this, and smoothed.
const WINDOW: Duration = Duration::from_millis(200);
const GAIN: f64 = 0.25;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct RepairRate {
    /// Bits since the window began.
    bits: f64,
    since: Option<Instant>,
    rate: f64,
}

impl RepairRate {
    /// A repair of so many bits leaves.
    pub(super) fn on_sent(&mut self, bits: f64) {
        self.bits += bits;
    }

    /// Bits a second, by now.
    pub(super) fn at(&mut self, now: Instant) -> f64 {
        let since = *self.since.get_or_insert(now);
        let passed = now.saturating_duration_since(since);
        if passed >= WINDOW {
            let measured = std::mem::take(&mut self.bits) / passed.as_secs_f64();
            self.rate += (measured - self.rate) * GAIN;
            self.since = Some(now);
        }
        self.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn it_is_followed_within_a_second_and_forgotten_as_fast() {
        let (start, mut repairs) = (clock::now(), RepairRate::default());
        let at = |ms: u32| start + Duration::from_millis(ms.into());
        for ms in (0..2_000).step_by(10) {
            repairs.on_sent(1_000.0);
            repairs.at(at(ms));
        }
        let rate = repairs.at(at(2_000));
        assert!((85e3..110e3).contains(&rate), "{rate}");
        let later = (2_000..4_000).step_by(10).map(|ms| repairs.at(at(ms))).last();
        assert!(later.is_some_and(|rate| rate < 10e3), "{later:?}");
    }
}
