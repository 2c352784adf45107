//! The one place that reads time.
//!
//! Pure code is handed the time by its caller; threads and tasks take it from
//! here, so that a lint can find any other reader of the clock.

use std::time::{Duration, Instant, SystemTime};

/// The monotonic time now.
#[must_use]
#[allow(clippy::disallowed_methods)] // This module is the one reader.
pub fn now() -> Instant {
    Instant::now()
}

/// The wall-clock time now, for RTCP sender reports, file headers and events that people read.
#[must_use]
#[allow(clippy::disallowed_methods)] // This module is the one reader.
pub fn wall() -> SystemTime {
    SystemTime::now()
}

/// Blocks this thread until `due`; returns at once when that has passed.
///
/// Only for the media threads, whose work is due at a time; the async side never blocks.
#[allow(clippy::disallowed_methods)] // Media threads pace pictures and sound by the clock.
pub fn sleep_until(due: Instant) {
    let wait = due.saturating_duration_since(now());
    if wait > Duration::ZERO {
        std::thread::sleep(wait);
    }
}

/// Waits, on the async side, until `due`; for ever when there is nothing due.
#[allow(clippy::disallowed_methods)] // Timers of the async side all come from here.
pub async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// Awaits `future` for at most `limit`, on the async side; `None` when it took longer.
#[allow(clippy::disallowed_methods)] // Timers of the async side all come from here.
pub async fn timeout<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, future).await.ok()
}
