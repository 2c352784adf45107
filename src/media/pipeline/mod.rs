//! The threads between sources, codecs and sinks.
//!
//! Owns threads and the queues between them; no policy. The async side talks
//! to them through channels and atomics and never waits for them.

pub mod audio_in;
pub mod audio_out;
pub mod counters;
pub mod slot;
mod spending;
pub mod video_in;
pub mod video_out;

use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::frame::SAMPLE_RATE;

/// Starts a named thread, so that `top -H` and a debugger tell which is which.
fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    Builder::new().name(format!("peer-{name}")).spawn(run)
}

/// Waits for a thread that was told to stop; a thread that drops its own handle cannot wait for itself.
fn join(thread: JoinHandle<()>) {
    if thread.thread().id() == std::thread::current().id() {
        return;
    }
    if thread.join().is_err() {
        tracing::error!("a media thread panicked");
    }
}

/// How long so many samples per channel last at 48 kHz.
#[must_use]
pub fn samples_to_duration(samples: usize) -> Duration {
    Duration::from_nanos(samples as u64 * 1_000_000_000 / u64::from(SAMPLE_RATE))
}
