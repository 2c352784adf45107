//! Brings sound of any rate to 48 kHz.
//!
//! Owns the resampler and takes its delay off, so that sound stays in step.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler};

use crate::media::container::ContainerError;
use crate::media::frame::SAMPLE_RATE;

/// Resamples a stream of interleaved samples; at 48 kHz it only hands them on.
pub(in crate::media) struct ToCallRate {
    inner: Option<Fft<f32>>,
    channels: usize,
    pending: Vec<f32>,
    block: Vec<f32>,
    /// Samples per channel at the start that are the filter's delay.
    skip: usize,
    /// Samples per channel that came in and went out.
    taken: u64,
    given: u64,
}

impl ToCallRate {
    pub(in crate::media) fn new(rate: u32, channels: usize) -> Result<Self, ContainerError> {
        let inner = if rate == SAMPLE_RATE {
            None
        } else {
            let fft =
                Fft::new(rate as usize, SAMPLE_RATE as usize, 1024, channels, FixedSync::Input);
            Some(fft.map_err(|error| {
                tracing::debug!(%error, rate, "no resampler");
                ContainerError::unsupported(format!(
                    "sound of {rate} Hz cannot be brought to 48 kHz"
                ))
            })?)
        };
        let skip = inner.as_ref().map_or(0, Resampler::output_delay);
        Ok(Self {
            inner,
            channels,
            pending: Vec::new(),
            block: Vec::new(),
            skip,
            taken: 0,
            given: 0,
        })
    }

    /// Takes samples at the file's rate, and appends what is ready at 48 kHz.
    pub(in crate::media) fn push(
        &mut self,
        samples: &[f32],
        out: &mut Vec<f32>,
    ) -> Result<(), String> {
        let Some(fft) = &mut self.inner else {
            out.extend_from_slice(samples);
            return Ok(());
        };
        self.pending.extend_from_slice(samples);
        self.taken += (samples.len() / self.channels) as u64;
        loop {
            let need = fft.input_frames_next();
            if self.pending.len() < need * self.channels {
                return Ok(());
            }
            let frames = fft.output_frames_next();
            self.block.resize(frames * self.channels, 0.0);
            let input = InterleavedSlice::new(&self.pending, self.channels, need)
                .map_err(|error| broken(&error))?;
            let mut output = InterleavedSlice::new_mut(&mut self.block, self.channels, frames)
                .map_err(|error| broken(&error))?;
            let (used, made) = fft
                .process_into_buffer(&input, &mut output, None)
                .map_err(|error| broken(&error))?;
            self.pending.drain(..used * self.channels);
            let skip = self.skip.min(made);
            self.skip -= skip;
            self.given += (made - skip) as u64;
            out.extend_from_slice(&self.block[skip * self.channels..made * self.channels]);
        }
    }

    /// Pushes out what the filter still holds, padded with silence.
    pub(in crate::media) fn flush(&mut self, out: &mut Vec<f32>) -> Result<(), String> {
        let Some(fft) = &self.inner else { return Ok(()) };
        let whole = (self.taken as f64 * fft.resample_ratio()).round() as u64;
        let missing = whole.saturating_sub(self.given) as usize;
        let want = out.len() + missing * self.channels;
        while out.len() < want {
            let before = out.len();
            let missing = self.inner.as_ref().map_or(0, Resampler::input_frames_next);
            self.push(&vec![0.0; missing * self.channels], out)?;
            if out.len() == before {
                break;
            }
        }
        out.truncate(want);
        Ok(())
    }
}

fn broken(error: &dyn std::fmt::Display) -> String {
    tracing::debug!(%error, "sound is not resampled");
    "its sound cannot be brought to 48 kHz".to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn sine(rate: u32, frames: usize) -> Vec<f32> {
        let step = 440.0 * std::f32::consts::TAU / rate as f32;
        (0..frames).map(|n| 0.5 * (n as f32 * step).sin()).collect()
    }

    #[test]
    fn a_tone_keeps_pitch_place_and_length() {
        for rate in [8_000, 11_025, 16_000, 44_100, 96_000] {
            let mut resampler = ToCallRate::new(rate, 1).unwrap();
            let mut out = Vec::new();
            for part in sine(rate, rate as usize).chunks(777) {
                resampler.push(part, &mut out).unwrap();
            }
            resampler.flush(&mut out).unwrap();
            assert!(out.len().abs_diff(48_000) <= 1, "{rate}: {}", out.len());
            let wanted = sine(48_000, 47_000);
            let noise: f32 =
                (1000..46_000).map(|n| (out[n] - wanted[n]).powi(2)).sum::<f32>() / 45_000.0;
            assert!(noise < 1e-6, "{rate}: {noise}");
        }
    }
}
