//! The test tone: 440 Hz with a higher beep at each full second.

use std::time::Instant;

use crate::clock;
use crate::media::frame::{AudioFrame, SAMPLE_RATE, samples_to_duration};
use crate::media::source::{AudioSource, SourceError};

/// 10 ms.
const BLOCK: usize = 480;

/// -18 dB of full scale: clearly heard, never loud.
const LEVEL: f32 = 0.125;

/// The tone, and the beep of 50 ms in each second.
const TONE_HZ: f32 = 440.0;
const BEEP_HZ: f32 = 880.0;
const BEEP_SAMPLES: u64 = 2_400;

/// Sound that needs no microphone; mono.
#[derive(Debug, Default)]
pub struct Tone {
    began_at: Option<Instant>,
    position: u64,
    phase: f32,
}

impl Tone {
    /// A tone that begins when it is first asked for.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn sample(&mut self) -> f32 {
        let in_beep = self.position % u64::from(SAMPLE_RATE) < BEEP_SAMPLES;
        let pitch = if in_beep { BEEP_HZ } else { TONE_HZ };
        self.position += 1;
        // One running phase: a change of pitch makes no click.
        self.phase = (self.phase + pitch / SAMPLE_RATE as f32).fract();
        LEVEL * (self.phase * std::f32::consts::TAU).sin()
    }
}

impl AudioSource for Tone {
    fn next_frame(&mut self) -> Result<Option<AudioFrame>, SourceError> {
        let began_at = *self.began_at.get_or_insert_with(clock::now);
        let captured_at = began_at + samples_to_duration(self.position as usize);
        let samples = (0..BLOCK).map(|_| self.sample()).collect();
        // A block is there when its last sample is.
        clock::sleep_until(captured_at + samples_to_duration(BLOCK));
        Ok(Some(AudioFrame { samples, channels: 1, captured_at }))
    }

    fn channels(&self) -> usize {
        1
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn blocks_follow_each_other_without_a_click() {
        let mut tone = Tone::new();
        let blocks: Vec<AudioFrame> =
            (0..12).map(|_| tone.next_frame().unwrap().unwrap()).collect();
        let samples: Vec<f32> = blocks.iter().flat_map(|block| block.samples.clone()).collect();
        let step = samples.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
        assert!(step < LEVEL * std::f32::consts::TAU * BEEP_HZ / SAMPLE_RATE as f32 * 1.05);
        assert_eq!(blocks[3].captured_at - blocks[0].captured_at, samples_to_duration(3 * BLOCK));
    }
}
