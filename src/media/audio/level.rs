//! How loud it is now, for people to look at.

use std::sync::atomic::{AtomicU32, Ordering};

/// The level falls by this much in 10 ms: to a tenth in a third of a second.
const FALLS: f32 = 0.93;

/// 10 ms, samples per channel.
const BLOCK: f32 = 480.0;

/// A level that one thread measures and another reads.
#[derive(Debug, Default)]
pub struct LevelMeter(AtomicU32);

impl LevelMeter {
    /// Takes some sound, interleaved, 48 kHz: rises at once, falls slowly.
    pub fn on_sound(&self, samples: &[f32], channels: usize) {
        let blocks = samples.len() as f32 / channels.max(1) as f32 / BLOCK;
        let power = samples.iter().map(|sample| sample * sample).sum::<f32>();
        let level = (power / samples.len().max(1) as f32).sqrt().min(1.0);
        let before = f32::from_bits(self.0.load(Ordering::Relaxed));
        self.0.store(level.max(before * FALLS.powf(blocks)).to_bits(), Ordering::Relaxed);
    }

    /// W3C `audioLevel`: 0.0 is silence, 1.0 is 0 dBov; linear.
    #[must_use]
    pub fn level(&self) -> f64 {
        f64::from(f32::from_bits(self.0.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_at_once_and_falls_slowly() {
        let meter = LevelMeter::default();
        meter.on_sound(&[0.5; 960], 2);
        assert!((meter.level() - 0.5).abs() < 1e-6);
        meter.on_sound(&[0.0; 480], 1);
        assert!((0.4..0.5).contains(&meter.level()));
        for _ in 0..200 {
            meter.on_sound(&[0.0; 480], 1);
        }
        assert!(meter.level() < 1e-3);
    }
}
