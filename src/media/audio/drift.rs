//! Two clocks that should run alike and do not: by how much one must be stretched to follow the
//! other.
//!
//! Pure: the error goes in once a block, a ratio comes out. A resampler
//! carries it out, so that drift is never heard as a click.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Adjustable, Async, FixedAsync, PolynomialDegree, Resampler};

use crate::media::frame::SAMPLE_RATE;

/// Blocks that one look at the error takes: half a second of 10 ms blocks.
const WINDOW: usize = 50;

/// How fast an error is worked off, seconds.
const SETTLING: f64 = 5.0;

/// How fast a steady drift is learned, seconds. Four times the settling damps critically.
const LEARNING: f64 = 20.0;

/// The most that is stretched: 0.5 %, a twelfth of a semitone, which nobody hears.
pub(in crate::media) const MOST: f64 = 0.005;

/// Follows a clock by a proportional and an integral part.
///
/// Threads that wake late make single errors too large, never too small, so the least of a window
/// is what counts.
#[derive(Debug, Clone)]
pub struct DriftControl {
    least: f64,
    seen: usize,
    steady: f64,
    ratio: f64,
}

impl Default for DriftControl {
    fn default() -> Self {
        Self { least: f64::INFINITY, seen: 0, steady: 0.0, ratio: 1.0 }
    }
}

impl DriftControl {
    /// Takes the error of one block of 10 ms, in samples at 48 kHz: how many too few there are
    /// (negative: too many). Says how many samples shall be made from one.
    pub fn on_error(&mut self, samples: f64) -> f64 {
        self.least = self.least.min(samples);
        self.seen += 1;
        if self.seen == WINDOW {
            let rate = f64::from(SAMPLE_RATE);
            let now = self.least / (rate * SETTLING);
            let step = WINDOW as f64 * 0.01 / LEARNING;
            self.steady = (self.steady + now * step).clamp(-MOST, MOST);
            self.ratio = 1.0 + (self.steady + now).clamp(-MOST, MOST);
            (self.least, self.seen) = (f64::INFINITY, 0);
        }
        self.ratio
    }

    /// The stream was interrupted: what is known of the clocks stays, the error does not.
    pub fn restart(&mut self) {
        (self.least, self.seen) = (f64::INFINITY, 0);
        self.ratio = 1.0 + self.steady;
    }

    /// Samples made from one, as last said.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.ratio
    }
}

/// Stretches interleaved sound by a ratio that may change with every block, and changes its rate on
/// the way where the device has another one.
pub struct Stretcher {
    inner: Async<f32>,
    channels: usize,
    pending: Vec<f32>,
    block: Vec<f32>,
}

impl std::fmt::Debug for Stretcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stretcher").field("channels", &self.channels).finish_non_exhaustive()
    }
}

/// Frames that are stretched at a time: little, so that little waits.
const CHUNK: usize = 120;

impl Stretcher {
    /// From one rate in Hz to another.
    ///
    /// # Errors
    /// When the rates are so far apart that no resampler can be made, as text.
    pub fn new(from: u32, to: u32, channels: usize) -> Result<Self, String> {
        let ratio = f64::from(to) / f64::from(from);
        let degree = PolynomialDegree::Septic;
        let inner =
            Async::new_poly(ratio, 1.0 + 2.0 * MOST, degree, CHUNK, channels, FixedAsync::Input);
        let inner = inner.map_err(|error| {
            tracing::debug!(%error, "no resampler");
            format!("sound of {from} Hz cannot be brought to {to} Hz")
        })?;
        Ok(Self { inner, channels, pending: Vec::new(), block: Vec::new() })
    }

    /// Appends what becomes of `samples` to `out`; less than a chunk stays behind for the next time.
    ///
    /// # Errors
    /// When the resampler refuses, which would be a fault of ours, as text.
    pub fn push(&mut self, samples: &[f32], ratio: f64, out: &mut Vec<f32>) -> Result<(), String> {
        let text = |error: &dyn std::fmt::Display| {
            tracing::debug!(%error, "sound is not resampled");
            "its sound cannot be brought to another rate".to_owned()
        };
        self.inner.set_resample_ratio_relative(ratio, true).map_err(|error| text(&error))?;
        self.pending.extend_from_slice(samples);
        let mut taken = 0;
        while self.pending.len() - taken >= CHUNK * self.channels {
            let frames = self.inner.output_frames_next();
            self.block.resize(frames * self.channels, 0.0);
            let input = &self.pending[taken..taken + CHUNK * self.channels];
            let input = InterleavedSlice::new(input, self.channels, CHUNK);
            let output = InterleavedSlice::new_mut(&mut self.block, self.channels, frames);
            let (input, mut output) =
                (input.map_err(|error| text(&error))?, output.map_err(|error| text(&error))?);
            let made = self.inner.process_into_buffer(&input, &mut output, None);
            let (used, made) = made.map_err(|error| text(&error))?;
            taken += used * self.channels;
            out.extend_from_slice(&self.block[..made * self.channels]);
        }
        self.pending.drain(..taken);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Ten minutes of a device whose clock is off by `ppm`, read by a thread that is late now and
    /// then. Returns the largest error after the first minute, in samples, and the largest change
    /// of the ratio from one block to the next.
    fn ten_minutes(ppm: f64, late: impl Fn(usize) -> f64) -> (f64, f64) {
        let mut control = DriftControl::default();
        let (mut missing, mut worst, mut jump, mut before) = (0.0_f64, 0.0_f64, 0.0_f64, 1.0_f64);
        for block in 0..60_000 {
            // The device gives a little less or more than 480 in 10 ms; stretching makes up for it.
            missing += 480.0 - 480.0 * (1.0 - ppm / 1e6) * control.ratio();
            let ratio = control.on_error(missing + late(block));
            if block > 6_000 {
                worst = worst.max(missing.abs());
            }
            jump = jump.max((ratio - before).abs());
            before = ratio;
        }
        (worst, jump)
    }

    #[test]
    fn drift_is_absorbed_within_a_millisecond() {
        for ppm in [-300.0, -50.0, 0.0, 20.0, 300.0] {
            let (worst, jump) = ten_minutes(ppm, |_| 0.0);
            assert!(worst < 48.0, "{ppm} ppm: {worst}");
            assert!(jump < 2e-4, "{ppm} ppm: {jump}");
        }
    }

    proptest! {
        #[test]
        fn late_threads_do_not_look_like_drift(ppm in -300.0..300.0_f64, seed in 1_usize..1000) {
            // Late by up to 8 ms, except for one block in ten.
            let late = |block: usize| ((block * seed * 7919) % 10) as f64 * 40.0;
            let (worst, _) = ten_minutes(ppm, late);
            prop_assert!(worst < 200.0, "{worst}");
        }

        #[test]
        fn no_error_leaves_the_bounds(errors in proptest::collection::vec(-1e9..1e9_f64, 1..500)) {
            let mut control = DriftControl::default();
            for error in errors {
                let ratio = control.on_error(error);
                prop_assert!((1.0 - MOST..=1.0 + MOST).contains(&ratio));
            }
        }
    }

    #[test]
    fn a_stretched_tone_stays_a_tone() {
        let tone = |n: usize| 0.5 * (n as f32 * 440.0 * std::f32::consts::TAU / 48_000.0).sin();
        let mut stretcher = Stretcher::new(48_000, 48_000, 1).unwrap();
        let mut out = Vec::new();
        for block in 0..500 {
            let samples: Vec<f32> = (block * 480..(block + 1) * 480).map(tone).collect();
            let ratio = 1.0 + MOST * (block as f64 / 50.0).sin();
            stretcher.push(&samples, ratio, &mut out).unwrap();
        }
        assert!(out.len().abs_diff(240_000) < 1_500, "{}", out.len());
        // A click would be a step far beyond the steepest slope of the tone.
        let steepest = 0.5 * 440.0 * std::f32::consts::TAU / 48_000.0;
        let steps = out[1_000..].windows(2).map(|pair| (pair[1] - pair[0]).abs());
        assert!(steps.fold(0.0, f32::max) < steepest * 1.05);
    }

    #[test]
    fn a_device_of_another_rate_is_followed() {
        for rate in [8_000, 44_100, 96_000] {
            let mut stretcher = Stretcher::new(48_000, rate, 2).unwrap();
            let mut out = Vec::new();
            stretcher.push(&vec![0.1; 96_000], 1.0, &mut out).unwrap();
            assert!((out.len() / 2).abs_diff(rate as usize) < 500, "{rate}: {}", out.len());
        }
    }
}
