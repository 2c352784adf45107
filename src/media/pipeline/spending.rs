//! What an encoder really spends of what it is told. Pure.
//!
//! Rate controls miss their targets by a steady share that depends on the
//! picture. What is measured over a second corrects what the encoder is told,
//! so that what leaves it is what was meant.

use std::time::{Duration, Instant};

/// The measure is taken over this.
const WINDOW: Duration = Duration::from_millis(800);

/// Bounds of the correction: a still picture needs little, whatever it is told.
const LEAST: f64 = 0.8;
const MOST: f64 = 1.5;

/// How much of what is measured is corrected at once.
const GAIN: f64 = 0.6;

/// See the module.
#[derive(Debug)]
pub(super) struct Spending {
    factor: f64,
    began_at: Option<Instant>,
    at: Option<Instant>,
    meant: f64,
    spent: f64,
    held: bool,
}

impl Default for Spending {
    fn default() -> Self {
        Self { factor: 1.0, began_at: None, at: None, meant: 0.0, spent: 0.0, held: false }
    }
}

impl Spending {
    /// What to tell the encoder, when `meant` bits a second shall leave it from now on.
    pub(super) fn tell(&mut self, now: Instant, meant: u32) -> u32 {
        let began_at = *self.began_at.get_or_insert(now);
        let since = self.at.replace(now).map_or(Duration::ZERO, |at| now - at);
        self.meant += f64::from(meant) * since.min(WINDOW).as_secs_f64();
        if now >= began_at + WINDOW {
            self.correct();
            (self.began_at, self.meant, self.spent, self.held) = (Some(now), 0.0, 0.0, false);
        }
        (f64::from(meant) * self.factor) as u32
    }

    fn correct(&mut self) {
        let share = (self.spent / self.meant.max(1.0)).clamp(0.5, 2.0);
        let factor = self.factor * (1.0 + (1.0 / share - 1.0) * GAIN);
        // What was held back was not spent because it was too much, not too little.
        let most = if self.held { self.factor } else { MOST };
        self.factor = factor.min(most).clamp(LEAST, MOST);
    }

    /// A picture of so many bytes came out. Keyframes are asked for by others.
    pub(super) fn on_picture(&mut self, bytes: usize) {
        self.spent += bytes as f64 * 8.0;
    }

    /// A picture was not encoded, because too much waits to be sent.
    pub(super) fn on_held(&mut self) {
        self.held = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    /// What leaves an encoder that spends `share` of what it is told, when 1 Mbit/s is meant.
    fn spent(share: f64, hold: bool) -> f64 {
        let (mut spending, start) = (Spending::default(), clock::now());
        let mut last = 0.0;
        for n in 0..300 {
            let told = spending.tell(start + n * Duration::from_millis(33), 1_000_000);
            last = f64::from(told) * share;
            spending.on_picture((last / 30.0 / 8.0) as usize);
            if hold {
                spending.on_held();
            }
        }
        last
    }

    #[test]
    fn what_is_meant_leaves_the_encoder() {
        for share in [0.75, 0.9, 1.0, 1.2] {
            let spent = spent(share, false);
            assert!((0.95e6..1.05e6).contains(&spent), "{share}: {spent}");
        }
    }

    #[test]
    fn a_still_picture_and_one_held_back_are_not_made_up_for() {
        assert!(spent(0.1, false) < 0.16e6);
        assert!(spent(0.75, true) < 0.8e6);
    }
}
