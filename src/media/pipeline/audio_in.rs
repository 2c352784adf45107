//! Sound on its way in: one thread plays 10 ms after the other.
//!
//! Owns the thread and its pace. Which packet is decoded next, and what is
//! made up where one is missing, is decided in `playout`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::spawn;
use crate::clock;
use crate::media::audio::level::LevelMeter;
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

/// What the thread measures; shared with whoever runs the call.
#[derive(Debug, Default)]
pub struct AudioInState {
    level: LevelMeter,
    delay_us: AtomicU64,
}

impl AudioInState {
    /// How loud what is played is, 0.0 to 1.0.
    #[must_use]
    pub fn level(&self) -> f64 {
        self.level.level()
    }

    /// How long the last block took from here to the ear.
    #[must_use]
    pub fn delay(&self) -> Duration {
        Duration::from_micros(self.delay_us.load(Ordering::Relaxed))
    }
}

/// The running thread; dropping it stops it.
#[derive(Debug)]
pub struct AudioIn {
    state: Arc<AudioInState>,
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
        let state = Arc::new(AudioInState::default());
        let (shared, stopped) = (Arc::clone(&playout), Arc::clone(&stop));
        let measured = Arc::clone(&state);
        let thread = spawn("sound-in", move || run(&shared, sink, hooks, &measured, &stopped))?;
        Ok(Self { state, playout, stop, thread: Some(thread) })
    }

    /// What is measured.
    #[must_use]
    pub fn state(&self) -> &AudioInState {
        &self.state
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
    state: &AudioInState,
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
            (hooks.playing)(rtp_timestamp, due + state.delay());
        }
        state.level.on_block(&block.frame.samples);
        if let Some(playing) = &mut sink {
            let played = playing.play(&block.frame);
            state.delay_us.store(playing.delay().as_micros() as u64, Ordering::Relaxed);
            playing.notice().into_iter().for_each(&hooks.notice);
            if let Err(error) = played {
                tracing::error!(%error, "sound is no longer played");
                sink = None;
            }
        }
    }
}
