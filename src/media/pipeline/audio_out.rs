//! Sound on its way out: one thread captures and encodes, 20 to 60 ms a packet.
//!
//! Owns the thread, muting, and the joining of 10 ms blocks. Where packets go
//! is the caller's; how sound is sent is decided in `sound_rate.rs`.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Ended, SourceThread};
use crate::media::audio::level::LevelMeter;
use crate::media::codec::AudioEncoder;
use crate::media::device::DeviceNotice;
use crate::media::encoded::EncodedFrame;
use crate::media::frame::{AudioFrame, samples_to_duration};
use crate::media::sound_rate::{LossMemory, SoundMode, SoundRate};
use crate::media::source::AudioSource;

/// What the thread is told; shared with whoever runs the call.
#[derive(Debug, Default)]
pub struct AudioOutState {
    muted: AtomicBool,
    idle: AtomicBool,
    takes: AtomicU32,
    discarded: AtomicU64,
    loss: Mutex<LossMemory>,
    level: LevelMeter,
    next: NextEncoder,
}

/// An encoder that takes the place of the one that runs.
#[derive(Default)]
struct NextEncoder(Mutex<Option<Box<dyn AudioEncoder>>>);

impl std::fmt::Debug for NextEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NextEncoder")
    }
}

impl AudioOutState {
    /// Encodes with this one from the next packet on.
    pub fn encode_with(&self, encoder: Box<dyn AudioEncoder>) {
        *self.next.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(encoder);
    }

    /// Sends silence instead of sound, or sound again.
    pub fn set_muted(&self, muted: bool) {
        self.muted.store(muted, Ordering::Relaxed);
    }

    /// Whether silence is sent.
    #[must_use]
    pub fn muted(&self) -> bool {
        self.muted.load(Ordering::Relaxed)
    }

    /// Encodes nothing, since nobody takes it, or sound again.
    pub fn set_idle(&self, idle: bool) {
        self.idle.store(idle, Ordering::Relaxed);
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

    /// What sound takes of the path at present, bits a second, with all headers and copies.
    #[must_use]
    pub fn bits_per_second(&self) -> u32 {
        self.takes.load(Ordering::Relaxed)
    }

    /// Packets that were not sent because they had waited too long, or found no room.
    #[must_use]
    pub fn discarded(&self) -> u64 {
        self.discarded.load(Ordering::Relaxed)
    }

    /// A packet is not sent.
    pub fn count_discarded(&self) {
        self.discarded.fetch_add(1, Ordering::Relaxed);
    }

    fn loss(&self) -> f64 {
        self.loss.lock().unwrap_or_else(PoisonError::into_inner).fraction()
    }
}

/// What the thread calls; none of it may block.
pub struct AudioOutHooks {
    /// Something happened to the device.
    pub notice: Box<dyn Fn(DeviceNotice) + Send>,
    /// The source has no more sound, or broke.
    pub ended: Ended,
}

/// The running thread; dropping it stops it.
#[derive(Debug)]
pub struct AudioOut {
    state: Arc<AudioOutState>,
    stop: Arc<AtomicBool>,
    thread: Option<SourceThread>,
}

impl AudioOut {
    /// Starts the thread. `allowance` says what sound may take of the path at present, bits a second,
    /// headers and copies counted; sound does with less as well as `rate` can make it. `deliver` is given
    /// each packet, and how many of those before it are worth sending again with it, and says whether
    /// there was room. Both run on the thread and must not block.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(
        source: Box<dyn AudioSource>,
        encoder: Box<dyn AudioEncoder>,
        (rate, allowance): (SoundRate, impl FnMut() -> u32 + Send + 'static),
        deliver: impl FnMut(EncodedFrame, usize) -> bool + Send + 'static,
        hooks: AudioOutHooks,
    ) -> std::io::Result<Self> {
        let takes = AtomicU32::new(rate.best().total());
        let state = Arc::new(AudioOutState { takes, ..Default::default() });
        let stop = Arc::new(AtomicBool::new(false));
        let (told, stopped) = (Arc::clone(&state), Arc::clone(&stop));
        let mut source = source;
        source.set_stop(Arc::clone(&stop));
        let thread = SourceThread::spawn("sound-out", move || {
            let encoding = Encoding::new(encoder, (rate, allowance), deliver);
            let end = run(source, encoding, &hooks.notice, &told, &stopped);
            if !stopped.load(Ordering::Relaxed) {
                (hooks.ended)(end);
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
            thread.join();
        }
    }
}

fn run<A: FnMut() -> u32, D: FnMut(EncodedFrame, usize) -> bool>(
    mut source: Box<dyn AudioSource>,
    mut encoding: Encoding<A, D>,
    notice: &impl Fn(DeviceNotice),
    state: &AudioOutState,
    stop: &AtomicBool,
) -> Result<(), String> {
    while !stop.load(Ordering::Relaxed) {
        let next = source.next_frame();
        source.notice().into_iter().for_each(notice);
        match next {
            Ok(Some(mut frame)) => {
                if state.muted() {
                    frame.samples.fill(0.0);
                }
                if state.idle.load(Ordering::Relaxed) {
                    encoding.pending = None;
                    state.takes.store(0, Ordering::Relaxed);
                    continue;
                }
                state.level.on_sound(&frame.samples, frame.channels);
                encoding.take(frame, state);
            }
            Ok(None) => return Ok(()),
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}

struct Encoding<A, D> {
    encoder: Box<dyn AudioEncoder>,
    rate: SoundRate,
    allowance: A,
    deliver: D,
    pending: Option<AudioFrame>,
    /// How the packet is sent that is being filled; `None` before the first.
    mode: Option<SoundMode>,
    /// What the encoder was told.
    told: (u32, u32),
}

impl<A: FnMut() -> u32, D: FnMut(EncodedFrame, usize) -> bool> Encoding<A, D> {
    fn new(encoder: Box<dyn AudioEncoder>, (rate, allowance): (SoundRate, A), deliver: D) -> Self {
        Self { encoder, rate, allowance, deliver, pending: None, mode: None, told: (0, 0) }
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
            self.encode(&pending, mode, state);
            pending.captured_at += samples_to_duration(mode.packet_samples);
            pending.samples = rest;
            self.next_mode(state, mode.packet_samples);
        }
        if !pending.samples.is_empty() {
            self.pending = Some(pending);
        }
    }

    /// Between two packets everything may change.
    fn next_mode(&mut self, state: &AudioOutState, samples: usize) -> SoundMode {
        let next = state.next.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(next) = next {
            (self.encoder, self.told) = (next, (0, 0));
        }
        let loss = state.loss();
        let mode = self.rate.next((self.allowance)(), loss, samples);
        state.takes.store(mode.total(), Ordering::Relaxed);
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

    fn encode(&mut self, block: &AudioFrame, mode: SoundMode, state: &AudioOutState) {
        let packet = match self.encoder.encode(block) {
            Ok(packet) => packet,
            Err(error) => return tracing::error!(%error, "a packet of sound is lost"),
        };
        if !(self.deliver)(packet, mode.copies) {
            tracing::warn!("a packet of sound found no room on the way out");
            state.count_discarded();
        }
    }
}
