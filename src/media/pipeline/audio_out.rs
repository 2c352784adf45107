//! Sound on its way out: one thread captures and encodes, 20 to 60 ms a packet.
//!
//! Owns the thread, muting, and the joining of 10 ms blocks. Where packets go
//! is the caller's; how sound is sent is decided in `sound_rate.rs`.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use bytes::Bytes;

use super::spawn;
use crate::media::audio::level::LevelMeter;
use crate::media::codec::AudioEncoder;
use crate::media::device::DeviceNotice;
use crate::media::frame::AudioFrame;
use crate::media::sound_rate::{LossMemory, SoundMode, SoundRate};
use crate::media::source::AudioSource;

/// One encoded packet of sound.
#[derive(Debug, Clone)]
pub struct EncodedAudio {
    /// The Opus packet.
    pub data: Bytes,
    /// Samples per channel at 48 kHz.
    pub samples: u32,
    /// When its first sample was taken.
    pub captured_at: Instant,
    /// How many packets before it are worth sending again with it.
    pub copies: usize,
}

/// What the thread is told; shared with whoever runs the call.
#[derive(Debug)]
pub struct AudioOutState {
    muted: AtomicBool,
    budget: AtomicU32,
    takes: AtomicU32,
    loss: Mutex<LossMemory>,
    level: LevelMeter,
}

impl Default for AudioOutState {
    /// Nothing is known of the path: it takes everything and loses nothing.
    fn default() -> Self {
        Self {
            muted: AtomicBool::new(false),
            budget: AtomicU32::new(u32::MAX),
            takes: AtomicU32::new(0),
            loss: Mutex::default(),
            level: LevelMeter::default(),
        }
    }
}

impl AudioOutState {
    /// Sends silence instead of sound, or sound again.
    pub fn set_muted(&self, muted: bool) {
        self.muted.store(muted, Ordering::Relaxed);
    }

    /// Whether silence is sent.
    #[must_use]
    pub fn muted(&self) -> bool {
        self.muted.load(Ordering::Relaxed)
    }

    /// How loud what is sent is, 0.0 to 1.0.
    #[must_use]
    pub fn level(&self) -> f64 {
        self.level.level()
    }

    /// A report says how much is lost on the way (0.0 to 1.0). Repair data is added by what was
    /// reported lately: more at once, less after a while.
    pub fn set_packet_loss(&self, fraction: f64) {
        self.loss.lock().unwrap_or_else(PoisonError::into_inner).on_report(fraction);
    }

    /// What sound may take of the path from now on, bits a second, with all headers and copies. It
    /// does with less as well as it can: with packets of 20, 40 or 60 ms, at 32 to 12 kbit/s. Without
    /// a word it takes what is best.
    pub fn set_budget(&self, bits_per_second: u32) {
        self.budget.store(bits_per_second, Ordering::Relaxed);
    }

    /// What sound takes of the path at present, bits a second, with all headers and copies; 0 before
    /// the first packet.
    #[must_use]
    pub fn bits_per_second(&self) -> u32 {
        self.takes.load(Ordering::Relaxed)
    }

    fn mode(&self, rate: &mut SoundRate, samples: usize) -> (SoundMode, f64) {
        let loss = self.loss.lock().unwrap_or_else(PoisonError::into_inner).fraction();
        let mode = rate.next(self.budget.load(Ordering::Relaxed), loss, samples);
        self.takes.store(mode.total(), Ordering::Relaxed);
        (mode, loss)
    }
}

/// What the thread calls; none of it may block.
pub struct AudioOutHooks {
    /// Something happened to the device.
    pub notice: Box<dyn Fn(DeviceNotice) + Send>,
    /// The source has no more sound, or broke.
    pub ended: Box<dyn FnOnce() + Send>,
}

/// The running thread; dropping it stops it.
#[derive(Debug)]
pub struct AudioOut {
    state: Arc<AudioOutState>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl AudioOut {
    /// Starts the thread. `deliver` runs on it and must not block.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(
        source: Box<dyn AudioSource>,
        encoder: Box<dyn AudioEncoder>,
        rate: SoundRate,
        deliver: impl FnMut(EncodedAudio) + Send + 'static,
        hooks: AudioOutHooks,
    ) -> std::io::Result<Self> {
        let state = Arc::new(AudioOutState::default());
        let stop = Arc::new(AtomicBool::new(false));
        let (told, stopped) = (Arc::clone(&state), Arc::clone(&stop));
        let thread = spawn("sound-out", move || {
            let encoding = Encoding::new(encoder, rate, deliver);
            run(source, encoding, &hooks.notice, &told, &stopped);
            if !stopped.load(Ordering::Relaxed) {
                (hooks.ended)();
            }
        })?;
        Ok(Self { state, stop, thread: Some(thread) })
    }

    /// The controls.
    #[must_use]
    pub fn state(&self) -> &Arc<AudioOutState> {
        &self.state
    }
}

impl Drop for AudioOut {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            super::join(thread);
        }
    }
}

fn run<D: FnMut(EncodedAudio)>(
    mut source: Box<dyn AudioSource>,
    mut encoding: Encoding<D>,
    notice: &impl Fn(DeviceNotice),
    state: &AudioOutState,
    stop: &AtomicBool,
) {
    while !stop.load(Ordering::Relaxed) {
        let next = source.next_frame();
        source.notice().into_iter().for_each(notice);
        match next {
            Ok(Some(mut frame)) => {
                if state.muted() {
                    frame.samples.fill(0.0);
                }
                state.level.on_sound(&frame.samples, frame.channels);
                encoding.take(frame, state);
            }
            Ok(None) => return,
            Err(error) => {
                tracing::error!(%error, "the sound ends here");
                return;
            }
        }
    }
}

struct Encoding<D> {
    encoder: Box<dyn AudioEncoder>,
    rate: SoundRate,
    deliver: D,
    pending: Option<AudioFrame>,
    /// How the packet is sent that is being filled; `None` before the first.
    mode: Option<SoundMode>,
    /// What the encoder was told.
    told: (u32, u32),
}

impl<D: FnMut(EncodedAudio)> Encoding<D> {
    fn new(encoder: Box<dyn AudioEncoder>, rate: SoundRate, deliver: D) -> Self {
        Self { encoder, rate, deliver, pending: None, mode: None, told: (0, 0) }
    }

    fn take(&mut self, frame: AudioFrame, state: &AudioOutState) {
        let mut pending = match self.pending.take() {
            Some(mut pending) => {
                pending.samples.extend_from_slice(&frame.samples);
                pending
            }
            None => frame,
        };
        loop {
            let mode = match self.mode {
                Some(mode) => mode,
                None => self.next_mode(state, 0),
            };
            let packet = mode.packet_samples * pending.channels;
            if pending.samples.len() < packet {
                break;
            }
            let rest = pending.samples.split_off(packet);
            self.encode(&pending, mode);
            pending.captured_at += super::samples_to_duration(mode.packet_samples);
            pending.samples = rest;
            self.next_mode(state, mode.packet_samples);
        }
        if !pending.samples.is_empty() {
            self.pending = Some(pending);
        }
    }

    /// Between two packets everything may change.
    fn next_mode(&mut self, state: &AudioOutState, samples: usize) -> SoundMode {
        let (mode, loss) = state.mode(&mut self.rate, samples);
        // What comes again whole needs no repair data, which would make all of it worse.
        let percent = if mode.copies > 0 { 0 } else { (loss * 100.0).round() as u32 };
        if self.told != (mode.bitrate, percent) {
            self.told = (mode.bitrate, percent);
            self.encoder.set_bitrate(mode.bitrate);
            self.encoder.set_packet_loss(f64::from(percent) / 100.0);
        }
        self.mode = Some(mode);
        mode
    }

    fn encode(&mut self, block: &AudioFrame, mode: SoundMode) {
        match self.encoder.encode(&block.samples) {
            Ok(data) => (self.deliver)(EncodedAudio {
                data,
                samples: mode.packet_samples as u32,
                captured_at: block.captured_at,
                copies: mode.copies,
            }),
            Err(error) => tracing::error!(%error, "a packet of sound is lost"),
        }
    }
}
