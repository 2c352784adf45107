//! Counts of pictures: written by the thread that encodes or decodes them, read from anywhere.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::media::frame::Size;

/// Counted since the start of one stream.
#[derive(Debug, Default)]
pub struct PictureCounters {
    pictures: AtomicU64,
    keyframes: AtomicU64,
    dropped: AtomicU64,
    size: AtomicU64,
}

impl PictureCounters {
    /// Pictures encoded, or decoded.
    #[must_use]
    pub fn pictures(&self) -> u64 {
        self.pictures.load(Ordering::Relaxed)
    }

    /// Keyframes among them.
    #[must_use]
    pub fn keyframes(&self) -> u64 {
        self.keyframes.load(Ordering::Relaxed)
    }

    /// Pictures that were left out: skipped, too late, without room, or not decodable.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Width and height of the last picture; zeros before the first.
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        let packed = self.size.load(Ordering::Relaxed);
        ((packed >> 32) as u32, packed as u32)
    }

    pub(super) fn count(&self, keyframe: bool, size: Size) {
        self.pictures.fetch_add(1, Ordering::Relaxed);
        self.keyframes.fetch_add(u64::from(keyframe), Ordering::Relaxed);
        // Both sides in one store, so that no reader sees the width of one picture and the height
        // of another.
        self.size.store(u64::from(size.width) << 32 | u64::from(size.height), Ordering::Relaxed);
    }

    pub(super) fn count_dropped(&self, pictures: u64) {
        self.dropped.fetch_add(pictures, Ordering::Relaxed);
    }
}
