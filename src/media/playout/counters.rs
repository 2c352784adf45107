//! What is counted of received sound, under its W3C webrtc-stats names. Pure.

use std::time::Duration;

use crate::media::frame::SAMPLE_RATE;

/// Counted under W3C webrtc-stats names; samples are per channel.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct AudioCounters {
    /// RTP packets, duplicates not counted.
    pub packets_received: u64,
    /// Payload bytes of those.
    pub bytes_received: u64,
    /// Packets that never came, or too late.
    pub packets_lost: u64,
    /// Samples that were made up; what was rebuilt from repair data is not counted.
    pub concealed_samples: u64,
    /// Those of them that are noise of the place, or silence.
    pub silent_concealed_samples: u64,
    /// Samples played since the first packet.
    pub total_samples_received: u64,
    /// Samples that were rebuilt: by in-band FEC, or from a copy that came with another packet.
    pub repaired_samples: u64,
    /// Sum of squared level (of full scale) times seconds.
    pub total_audio_energy: f64,
    waited_seconds: f64,
    waited_samples: u64,
}

impl AudioCounters {
    /// Mean time from a packet's arrival to its playing, ms.
    #[must_use]
    pub fn mean_delay_ms(&self) -> f64 {
        self.waited_seconds * 1e3 / self.waited_samples.max(1) as f64
    }

    /// So many samples waited so long.
    pub(super) fn waited(&mut self, time: Duration, samples: usize) {
        self.waited_seconds += time.as_secs_f64() * samples as f64;
        self.waited_samples += samples as u64;
    }

    /// This interleaved sound is played.
    pub(super) fn played(&mut self, samples: &[f32], channels: usize) {
        self.total_samples_received += (samples.len() / channels) as u64;
        let squares: f64 = samples.iter().map(|s| f64::from(*s) * f64::from(*s)).sum();
        self.total_audio_energy += squares / channels as f64 / f64::from(SAMPLE_RATE);
    }
}
