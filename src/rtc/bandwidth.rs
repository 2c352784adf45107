//! How much we may send: the library's estimator, watched.
//!
//! Pure. Owns the seam to the library's congestion control: it publishes the
//! estimate for the encoder and lets the pacer run faster than that, so that
//! pictures do not wait in its queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use rtc::interceptor::{BandwidthEstimator, EstimatorStats, Gcc, PacketReport};

/// What a call may send before anything is known of the path, bits a second.
pub const START_BITRATE: u32 = 1_000_000;

/// Below this a picture is not worth sending, bits a second.
pub const MIN_BITRATE: u32 = 50_000;

/// How much faster than the target the pacer sends. An encoder's pictures vary in size; a pacer at
/// the target itself would hold back every picture over the mean (libwebrtc paces at 2.5 too).
const PACING_FACTOR: f64 = 2.5;

/// The estimate, readable from any thread, bits a second.
#[derive(Debug, Clone)]
pub struct TargetBitrate(Arc<AtomicU32>);

impl TargetBitrate {
    /// Bits a second that all media together may take now.
    #[must_use]
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The library's estimator, its result published.
pub(super) struct WatchedEstimator {
    inner: Gcc,
    target: TargetBitrate,
}

impl WatchedEstimator {
    /// An estimator that starts at [`START_BITRATE`] and stays at or under `max` bits a second.
    pub(super) fn new(max: u32) -> (Self, TargetBitrate) {
        let max = max.max(MIN_BITRATE);
        let start = START_BITRATE.min(max);
        let target = TargetBitrate(Arc::new(AtomicU32::new(start)));
        let inner = Gcc::new(f64::from(start), f64::from(MIN_BITRATE), f64::from(max));
        (Self { inner, target: target.clone() }, target)
    }

    /// What the pacer starts with, bits a second.
    pub(super) fn pacing_start(max: u32) -> f64 {
        f64::from(START_BITRATE.min(max.max(MIN_BITRATE))) * PACING_FACTOR
    }

    fn publish(&self) {
        let target = self.inner.target_bitrate().clamp(0.0, f64::from(u32::MAX)) as u32;
        self.target.0.store(target, Ordering::Relaxed);
    }
}

impl BandwidthEstimator for WatchedEstimator {
    fn on_reports(&mut self, now: Instant, reports: &[PacketReport]) {
        self.inner.on_reports(now, reports);
        self.publish();
    }

    fn target_bitrate(&self) -> f64 {
        self.inner.target_bitrate() * PACING_FACTOR
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.inner.handle_timeout(now);
        self.publish();
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.inner.poll_timeout()
    }

    fn stats(&self) -> EstimatorStats {
        self.inner.stats()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_at_one_megabit_and_never_above_the_bound() {
        assert_eq!(WatchedEstimator::new(2_000_000).1.get(), 1_000_000);
        assert_eq!(WatchedEstimator::new(300_000).1.get(), 300_000);
        assert_eq!(WatchedEstimator::new(1).1.get(), MIN_BITRATE);
    }

    #[test]
    fn the_pacer_runs_ahead_of_the_encoder() {
        let (estimator, target) = WatchedEstimator::new(2_000_000);
        assert!(estimator.target_bitrate() > f64::from(target.get()) * 2.0);
    }
}
