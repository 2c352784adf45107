//! The one place that reads time, and how it is written down.
//!
//! Pure code is handed the time by its caller; threads and tasks take it from
//! here, so that a lint can find any other reader of the clock.

use std::time::{Duration, Instant, SystemTime};

use serde::Serializer;

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

/// Writes a time as RFC 3339 in UTC with milliseconds, as every event bears it.
pub(crate) fn rfc3339<S: Serializer>(at: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    use serde::ser::Error as _;
    use time::OffsetDateTime;
    use time::macros::format_description;
    let format =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    to.serialize_str(&OffsetDateTime::from(*at).format(format).map_err(S::Error::custom)?)
}
