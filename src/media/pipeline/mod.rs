//! The threads between sources, codecs and sinks.
//!
//! Owns threads and the queues between them; no policy. The async side talks
//! to them through channels and atomics and never waits for them.

pub mod audio_in;
pub mod audio_out;
mod backlog;
pub mod counters;
mod spending;
pub mod video_in;
pub mod video_out;

use std::convert::Infallible;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

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

/// A thread that may be held up by what it reads from, a device, a pipe, a file far away: nobody waits
/// for it for long.
#[derive(Debug)]
struct SourceThread {
    thread: JoinHandle<()>,
    ended: Receiver<Infallible>,
}

/// How long a source is waited for. A call that ends shall not be held up by more than this for each
/// of picture and sound.
const SOURCE_PATIENCE: Duration = Duration::from_millis(400);

impl SourceThread {
    fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<Self> {
        let (alive, ended) = sync_channel(0);
        let thread = spawn(name, move || {
            let _alive = alive;
            run();
        })?;
        Ok(Self { thread, ended })
    }

    /// Waits for it a while, and then leaves it alone: it ends when what it reads from lets it.
    fn join(self) {
        match self.ended.recv_timeout(SOURCE_PATIENCE) {
            Err(RecvTimeoutError::Disconnected) => join(self.thread),
            _ => tracing::info!("a source does not answer; nobody waits for it"),
        }
    }
}

/// What a pipeline tells when its source gives no more: that it has ended, or what is wrong.
pub type Ended = Box<dyn FnOnce(Result<(), String>) + Send>;
