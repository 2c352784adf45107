//! Sound on its way in: one thread plays 10 ms after the other.
//!
//! Owns the thread and its pace. Which packet is decoded next, and what is
//! made up where one is missing, is decided in `playout`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::spawn;
use crate::clock;
use crate::media::device::DeviceNotice;
use crate::media::playout::audio::AudioPlayout;
use crate::media::sink::AudioSink;
use crate::media::source::AUDIO_BLOCK;

/// A thread that woke later than this does not play what it missed all at once.
const LATE: Duration = Duration::from_millis(100);

/// What the playing thread calls; none of it may block.
pub struct AudioInHooks {
    /// The first sound was decoded.
    pub first: Box<dyn FnOnce() + Send>,
    /// The sound with this RTP timestamp is played at that time.
    pub playing: Box<dyn Fn(u32, Instant) + Send>,
    /// Something happened to the device.
    pub notice: Box<dyn Fn(DeviceNotice) + Send>,
}

/// The running thread; dropping it stops it.
#[derive(Debug)]
pub struct AudioIn {
    playout: Arc<Mutex<AudioPlayout>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl AudioIn {
    /// Starts playing; without a sink sound is decoded and counted only.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(
        playout: AudioPlayout,
        sink: Option<Box<dyn AudioSink>>,
        hooks: AudioInHooks,
    ) -> std::io::Result<Self> {
        let playout = Arc::new(Mutex::new(playout));
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, stopped) = (Arc::clone(&playout), Arc::clone(&stop));
        let thread = spawn("sound-in", move || run(&shared, sink, hooks, &stopped))?;
        Ok(Self { playout, stop, thread: Some(thread) })
    }

    /// The jitter buffer and its counters; lock it only briefly, the playing thread waits.
    #[must_use]
    pub fn playout(&self) -> &Arc<Mutex<AudioPlayout>> {
        &self.playout
    }
}

impl Drop for AudioIn {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            super::join(thread);
        }
    }
}

fn run(
    playout: &Mutex<AudioPlayout>,
    mut sink: Option<Box<dyn AudioSink>>,
    hooks: AudioInHooks,
    stop: &AtomicBool,
) {
    let mut first = Some(hooks.first);
    let mut due = clock::now();
    while !stop.load(Ordering::Relaxed) {
        due += AUDIO_BLOCK;
        clock::sleep_until(due);
        let now = clock::now();
        if now.saturating_duration_since(due) > LATE {
            due = now;
        }
        let played = {
            let mut playout = playout.lock().unwrap_or_else(PoisonError::into_inner);
            playout.next_block(due)
        };
        let Some(block) = played else { continue };
        if let Some(first) = first.take() {
            first();
        }
        if let Some(rtp_timestamp) = block.rtp_timestamp {
            (hooks.playing)(rtp_timestamp, due);
        }
        if let Some(playing) = &mut sink {
            let played = playing.play(&block.frame);
            playing.notice().into_iter().for_each(&hooks.notice);
            if let Err(error) = played {
                tracing::error!(%error, "sound is no longer played");
                sink = None;
            }
        }
    }
}
