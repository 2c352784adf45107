//! Makes a microphone's sound pleasant to talk over: echo out, noise down, level even, rumble off.
//!
//! Owns the port of the WebRTC audio processing module and what it is told.
//! One block of 10 ms in, one out; no devices, no threads.

use std::time::Duration;

use sonora::config::{
    AdaptiveDigital, EchoCanceller, GainController2, HighPassFilter, NoiseSuppression,
};
use sonora::{AudioProcessing, Config, StreamConfig};

use super::echo::EchoReference;
use crate::media::frame::SAMPLE_RATE;

/// What is done to a microphone's sound; all of it by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VoiceOptions {
    /// Take out what the speaker plays.
    pub echo_cancellation: bool,
    /// Turn down what is always there: fans, traffic.
    pub noise_suppression: bool,
    /// Bring quiet and loud voices to one level.
    pub auto_gain: bool,
    /// Take out what is too low to be a voice.
    pub high_pass: bool,
}

impl Default for VoiceOptions {
    fn default() -> Self {
        Self { echo_cancellation: true, noise_suppression: true, auto_gain: true, high_pass: true }
    }
}

impl VoiceOptions {
    /// Whether anything is done at all.
    #[must_use]
    pub fn any(self) -> bool {
        self.echo_cancellation || self.noise_suppression || self.auto_gain || self.high_pass
    }
}

/// A microphone's processing.
pub struct Voice {
    processing: AudioProcessing,
    reference: Option<EchoReference>,
    render_rate: u32,
    render: Vec<f32>,
    scratch: Vec<f32>,
}

impl std::fmt::Debug for Voice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Voice").field("echo", &self.reference.is_some()).finish_non_exhaustive()
    }
}

impl Voice {
    /// Does what the options say; echo is taken out where there is a speaker to listen to.
    #[must_use]
    pub fn new(options: VoiceOptions, reference: Option<EchoReference>) -> Self {
        let reference = reference.filter(|_| options.echo_cancellation);
        let gain = GainController2 {
            adaptive_digital: Some(AdaptiveDigital::default()),
            ..GainController2::default()
        };
        let config = Config {
            high_pass_filter: options.high_pass.then(HighPassFilter::default),
            echo_canceller: reference.is_some().then(EchoCanceller::default),
            noise_suppression: options.noise_suppression.then(NoiseSuppression::default),
            gain_controller2: options.auto_gain.then_some(gain),
            ..Config::default()
        };
        let mono = StreamConfig::new(SAMPLE_RATE, 1);
        let processing = AudioProcessing::builder()
            .config(config)
            .capture_config(mono)
            .render_config(mono)
            .build();
        Self {
            processing,
            reference,
            render_rate: SAMPLE_RATE,
            render: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Works on one block of 10 ms, mono, that was captured `age` ago. Its rate is the microphone's,
    /// and so is its clock: the way of an echo must not grow or shrink.
    pub fn process(&mut self, block: &mut [f32], age: Duration) {
        self.hear_speaker(age);
        self.scratch.clear();
        self.scratch.extend_from_slice(block);
        let config = StreamConfig::new(block.len() as u32 * 100, 1);
        let processed = self.processing.process_capture_f32_with_config(
            &[&self.scratch],
            &config,
            &config,
            &mut [block],
        );
        if let Err(error) = processed {
            tracing::debug!(?error, "a block of sound stays as it is");
        }
    }

    fn hear_speaker(&mut self, age: Duration) {
        let Some(reference) = &self.reference else { return };
        let (rate, ahead) = reference.take(&mut self.render);
        if rate > 0 {
            self.render_rate = rate;
        }
        let config = StreamConfig::new(self.render_rate, 1);
        for block in self.render.chunks_exact((self.render_rate / 100) as usize) {
            self.scratch.resize(block.len(), 0.0);
            let heard = self.processing.process_render_f32_with_config(
                &[block],
                &config,
                &config,
                &mut [&mut self.scratch],
            );
            if let Err(error) = heard {
                tracing::debug!(?error, "a block of the speaker's is not taken out");
            }
        }
        let delay = i32::try_from((ahead + age).as_millis()).unwrap_or(0);
        // What is out of its bounds is clamped.
        let _ = self.processing.set_stream_delay_ms(delay);
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        if let Some(reference) = &self.reference {
            reference.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Something like speech: a tone with a wandering pitch and syllables, with its own noise.
    struct Babble {
        phase: f32,
        noise: u32,
        at: usize,
    }

    impl Babble {
        fn new(noise: u32) -> Self {
            Self { phase: 0.0, noise, at: 0 }
        }

        fn block(&mut self) -> Vec<f32> {
            (0..480).map(|_| self.sample()).collect()
        }

        fn sample(&mut self) -> f32 {
            self.at += 1;
            let seconds = self.at as f32 / 48_000.0;
            let syllable = (seconds * std::f32::consts::TAU * 3.0).sin().max(0.0);
            self.phase += (160.0 + 60.0 * (seconds * 1.7).sin()) / 48_000.0;
            self.noise = self.noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (self.noise >> 8) as f32 / (1 << 23) as f32 - 1.0;
            let voiced: f32 = (1..12)
                .map(|n| (self.phase * std::f32::consts::TAU * n as f32).sin() / n as f32)
                .sum();
            syllable * (0.12 * voiced + 0.05 * noise)
        }
    }

    fn power(samples: &[f32]) -> f32 {
        samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32
    }

    /// Plays far speech, feeds it back at -6 dB after 40 ms, and says by how many dB less comes out
    /// than came in, over the sixth to the tenth second.
    fn echo_return_loss_enhancement(options: VoiceOptions, speaker: u32, microphone: u32) -> f32 {
        let reference = EchoReference::default();
        let mut voice = Voice::new(options, Some(reference.clone()));
        let (mut far, mut late) =
            (Babble::new(1), std::collections::VecDeque::from(vec![0.0; 1_920]));
        let (mut heard, mut left) = (0.0, 0.0);
        for n in 0..1_000 {
            let block = far.block();
            late.extend(block.iter().map(|sample| sample * 0.5));
            // Near enough for a device of another rate: every third sample.
            let at = |rate: u32| (48_000 / rate) as usize;
            let played: Vec<f32> = block.iter().copied().step_by(at(speaker)).collect();
            reference.played(speaker, 1, &played, Duration::from_millis(20));
            let mut near: Vec<f32> = late.drain(..480).step_by(at(microphone)).collect();
            let before = power(&near);
            voice.process(&mut near, Duration::from_millis(20));
            if n > 500 {
                (heard, left) = (heard + before, left + power(&near));
            }
        }
        10.0 * (heard / left.max(1e-12)).log10()
    }

    #[test]
    fn echo_is_taken_out() {
        let enhancement = echo_return_loss_enhancement(VoiceOptions::default(), 48_000, 48_000);
        assert!(enhancement > 30.0, "{enhancement} dB");
    }

    #[test]
    fn without_echo_cancellation_it_stays() {
        let off = VoiceOptions {
            echo_cancellation: false,
            auto_gain: false,
            noise_suppression: false,
            high_pass: false,
        };
        assert!(!off.any() && VoiceOptions::default().any());
        let enhancement = echo_return_loss_enhancement(off, 48_000, 48_000);
        assert!(enhancement < 3.0, "{enhancement} dB");
    }

    #[test]
    fn devices_of_other_rates_do_too() {
        for (speaker, microphone) in [(16_000, 48_000), (48_000, 16_000), (16_000, 16_000)] {
            let enhancement =
                echo_return_loss_enhancement(VoiceOptions::default(), speaker, microphone);
            assert!(enhancement > 15.0, "{enhancement} dB of {speaker} in {microphone} Hz");
        }
    }

    #[test]
    fn near_speech_passes() {
        let mut voice = Voice::new(
            VoiceOptions { auto_gain: false, ..VoiceOptions::default() },
            Some(EchoReference::default()),
        );
        let mut near = Babble::new(7);
        let (mut before, mut after) = (0.0, 0.0);
        for n in 0..500 {
            let mut block = near.block();
            let power_before = power(&block);
            voice.process(&mut block, Duration::from_millis(20));
            if n > 200 {
                (before, after) = (before + power_before, after + power(&block));
            }
        }
        assert!(after > before * 0.3, "{before} became {after}");
    }
}
