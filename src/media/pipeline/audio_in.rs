//! Sound on its way in: a device asks for it, or one thread plays 10 ms after the other.
//!
//! Owns the thread, its pace, and the feed of devices that have a pace of their own.
//! Which packet is decoded next, and what is made up where one is missing, is
//! decided in `playout`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::spawn;
use crate::clock;
use crate::media::audio::level::LevelMeter;
use crate::media::device::DeviceNotice;
use crate::media::playout::audio::{AudioPlayout, PlayedBlock};
use crate::media::sink::{AudioSink, Portion};
use crate::media::source::AUDIO_BLOCK;

/// What is played at a time where the pace is ours, samples per channel: 10 ms.
const BLOCK: usize = 480;

/// A thread that woke later than this does not play what it missed all at once.
const LATE: Duration = Duration::from_millis(100);

/// How often a sink that asks by itself is looked after.
const LOOK: Duration = Duration::from_millis(100);

/// What whoever plays calls; none of it may block but where it says so.
pub struct AudioInHooks {
    /// The first sound was decoded, then. May block: it runs on the thread that plays nothing itself
    /// while a device asks.
    pub first: Box<dyn FnOnce(Instant) + Send>,
    /// The sound with this RTP timestamp is played at that time. Says how much longer than it must
    /// sound should wait, for pictures that come later.
    pub playing: Box<dyn Fn(u32, Instant) -> Duration + Send + Sync>,
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
        let playing = Arc::new(Playing {
            playout: Arc::clone(&playout),
            first: OnceLock::new(),
            playing: hooks.playing,
            waits_us: AtomicU64::new(0),
            state: Arc::clone(&state),
        });
        let (first, notice, stopped) = (hooks.first, hooks.notice, Arc::clone(&stop));
        let thread = spawn("sound-in", move || run(&playing, sink, first, &notice, &stopped))?;
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
            thread.thread().unpark();
            super::join(thread);
        }
    }
}

/// What plays, whoever sets the pace.
struct Playing {
    playout: Arc<Mutex<AudioPlayout>>,
    /// When the first sound was decoded.
    first: OnceLock<Instant>,
    playing: Box<dyn Fn(u32, Instant) -> Duration + Send + Sync>,
    waits_us: AtomicU64,
    state: Arc<AudioInState>,
}

impl Playing {
    /// The next samples, which are heard `delay` after `due`.
    fn next(&self, due: Instant, portion: Portion) -> Option<PlayedBlock> {
        let Portion { samples, at_once, delay } = portion;
        let block = {
            let mut playout = self.playout.lock().unwrap_or_else(PoisonError::into_inner);
            let waits = self.waits_us.load(Ordering::Relaxed);
            playout.wait_for_pictures(Duration::from_micros(waits));
            playout.next_block(due, samples, at_once)?
        };
        self.first.get_or_init(clock::now);
        if let Some(rtp_timestamp) = block.rtp_timestamp {
            let waits = (self.playing)(rtp_timestamp, due + delay);
            self.waits_us.store(waits.as_micros() as u64, Ordering::Relaxed);
        }
        self.state.level.on_sound(&block.frame.samples, block.frame.channels);
        self.state.delay_us.store(delay.as_micros() as u64, Ordering::Relaxed);
        Some(block)
    }
}

fn run(
    playing: &Arc<Playing>,
    mut sink: Option<Box<dyn AudioSink>>,
    first: Box<dyn FnOnce(Instant) + Send>,
    notice: &impl Fn(DeviceNotice),
    stop: &AtomicBool,
) {
    let mut first = Some(first);
    if let Some(sink) = &mut sink {
        let playing = Arc::clone(playing);
        sink.attach(Arc::new(move |portion| playing.next(clock::now(), portion)));
    }
    let mut due = clock::now();
    while !stop.load(Ordering::Relaxed) {
        if sink.as_mut().is_some_and(|sink| sink.asks()) {
            std::thread::park_timeout(if first.is_some() { AUDIO_BLOCK } else { LOOK });
            due = clock::now();
        } else {
            due += AUDIO_BLOCK;
            clock::sleep_until(due);
            let now = clock::now();
            if now.saturating_duration_since(due) > LATE {
                due = now;
            }
            let delay = sink.as_ref().map_or(Duration::ZERO, |sink| sink.delay());
            if let Some(block) =
                playing.next(due, Portion { samples: BLOCK, at_once: BLOCK, delay })
                && let Some(Err(error)) = sink.as_mut().map(|sink| sink.play(&block.frame))
            {
                tracing::error!(%error, "sound is no longer played");
                sink = None;
            }
        }
        if let Some(at) = playing.first.get()
            && let Some(first) = first.take()
        {
            first(*at);
        }
        if let Some(sink) = &mut sink {
            sink.notice().into_iter().for_each(notice);
        }
    }
}
