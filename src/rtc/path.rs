//! What the path carries now, readable from any thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What is sent before anything is known of the path, bits a second.
pub(super) const START: f64 = 300_000.0;

/// An ICE check is no shorter with all its headers, bits (RFC 8445 section 7.1).
const CHECK_BITS: f64 = 800.0;
/// The most that a check is believed to prove, bits a second.
const MOST_PROVED: f64 = 10e6;

/// Shared between what measures the path and what fills it.
#[derive(Debug, Clone)]
pub struct Path(pub(super) Arc<Shared>);

#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) media: AtomicU32,
    pub(super) sustained: AtomicU32,
    pub(super) draining: AtomicBool,
    pub(super) backlog_us: AtomicU32,
    pub(super) rtt_us: AtomicU32,
    pub(super) stalled: AtomicBool,
    /// Millionths.
    pub(super) loss: AtomicU32,
    padding: AtomicU64,
    expired: AtomicU64,
    /// Bits a second.
    proved: AtomicU32,
    /// How long a check took; zero without one.
    check_us: AtomicU32,
}

impl Path {
    /// Before anything is known; at most `max` bits a second.
    #[must_use]
    pub fn new(max: u32) -> Self {
        let shared = Shared::default();
        shared.media.store((START as u32).min(max), Relaxed);
        shared.sustained.store((START as u32).min(max), Relaxed);
        Self(Arc::new(shared))
    }

    /// A check was answered within this time. What a link takes for each bit is part of that, so that
    /// the path carries at least a check in it: a lot where the other side is near, next to nothing
    /// where it is far.
    pub(super) fn check_took(&self, round_trip: Duration) {
        let proved = CHECK_BITS / round_trip.as_secs_f64().max(CHECK_BITS / MOST_PROVED);
        self.0.proved.store(proved as u32, Relaxed);
        let micros = u32::try_from(round_trip.as_micros()).unwrap_or(u32::MAX);
        self.0.check_us.store(micros.max(1), Relaxed);
    }

    /// What the path carries at least, bits a second, by the checks before the call; zero without.
    pub(super) fn proved(&self) -> f64 {
        f64::from(self.0.proved.load(Relaxed))
    }

    /// How long a check took to be answered, before the call.
    pub(super) fn check(&self) -> Option<Duration> {
        let micros = self.0.check_us.load(Relaxed);
        (micros > 0).then(|| Duration::from_micros(micros.into()))
    }

    pub(super) fn count_padding(&self) {
        self.0.padding.fetch_add(1, Relaxed);
    }

    pub(super) fn count_expired(&self, packets: u64) {
        self.0.expired.fetch_add(packets, Relaxed);
    }

    /// What sound and pictures may take together, all headers counted, bits a second.
    #[must_use]
    pub fn media_bitrate(&self) -> u32 {
        self.0.media.load(Relaxed)
    }

    /// The same, as it will be when the path's queue has drained.
    #[must_use]
    pub fn sustained_bitrate(&self) -> u32 {
        self.0.sustained.load(Relaxed)
    }

    /// Whether the path's queue is so long that a picture sent now would only make it longer.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.draining.load(Relaxed)
    }

    /// How long what waits here needs to leave.
    #[must_use]
    pub fn backlog(&self) -> Duration {
        Duration::from_micros(u64::from(self.0.backlog_us.load(Relaxed)))
    }

    /// A round trip: as media tell it, else as a check did; zero before one is known.
    #[must_use]
    pub fn round_trip(&self) -> Duration {
        match self.0.rtt_us.load(Relaxed) {
            0 => self.check().unwrap_or_default(),
            micros => Duration::from_micros(u64::from(micros)),
        }
    }

    /// Nothing comes through at the moment: a picture that is sent now is lost.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        self.0.stalled.load(Relaxed)
    }

    /// The share of packets that is lost on the way, 0.0 to 1.0.
    #[must_use]
    pub fn loss(&self) -> f64 {
        f64::from(self.0.loss.load(Relaxed)) / 1e6
    }

    /// Packets sent only to see what the path carries.
    #[must_use]
    pub fn padding_sent(&self) -> u64 {
        self.0.padding.load(Relaxed)
    }

    /// Packets of pictures that were too old when the path could have taken them.
    #[must_use]
    pub fn expired(&self) -> u64 {
        self.0.expired.load(Relaxed)
    }
}
