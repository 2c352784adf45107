//! Sound on its way out: one thread captures and encodes, 20 ms a packet.
//!
//! Owns the thread, muting, and the joining of 10 ms blocks. Where packets go
//! is the caller's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use bytes::Bytes;

use super::spawn;
use crate::media::audio::level::LevelMeter;
use crate::media::codec::{AudioEncoder, OPUS_FRAME_SAMPLES};
use crate::media::device::DeviceNotice;
use crate::media::frame::AudioFrame;
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
}

/// What the thread is told; shared with whoever runs the call.
#[derive(Debug, Default)]
pub struct AudioOutState {
    muted: AtomicBool,
    loss_percent: AtomicU32,
    level: LevelMeter,
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

    /// Tells the encoder how much is lost on the way (0.0 to 1.0), so that it adds repair data.
    pub fn set_packet_loss(&self, fraction: f64) {
        self.loss_percent.store((fraction.clamp(0.0, 1.0) * 100.0) as u32, Ordering::Relaxed);
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
        deliver: impl FnMut(EncodedAudio) + Send + 'static,
        hooks: AudioOutHooks,
    ) -> std::io::Result<Self> {
        let state = Arc::new(AudioOutState::default());
        let stop = Arc::new(AtomicBool::new(false));
        let (told, stopped) = (Arc::clone(&state), Arc::clone(&stop));
        let thread = spawn("sound-out", move || {
            let encoding = Encoding { encoder, deliver, pending: None, loss: 0 };
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
                encoding.take(frame, state.loss_percent.load(Ordering::Relaxed));
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
    deliver: D,
    pending: Option<AudioFrame>,
    loss: u32,
}

impl<D: FnMut(EncodedAudio)> Encoding<D> {
    fn take(&mut self, frame: AudioFrame, loss: u32) {
        if loss != self.loss {
            self.loss = loss;
            self.encoder.set_packet_loss(f64::from(loss) / 100.0);
        }
        let mut pending = match self.pending.take() {
            Some(mut pending) => {
                pending.samples.extend_from_slice(&frame.samples);
                pending
            }
            None => frame,
        };
        let packet = OPUS_FRAME_SAMPLES * pending.channels;
        while pending.samples.len() >= packet {
            let rest = pending.samples.split_off(packet);
            self.encode(&pending);
            pending.captured_at += super::samples_to_duration(OPUS_FRAME_SAMPLES);
            pending.samples = rest;
        }
        if !pending.samples.is_empty() {
            self.pending = Some(pending);
        }
    }

    fn encode(&mut self, block: &AudioFrame) {
        match self.encoder.encode(&block.samples) {
            Ok(data) => (self.deliver)(EncodedAudio {
                data,
                samples: OPUS_FRAME_SAMPLES as u32,
                captured_at: block.captured_at,
            }),
            Err(error) => tracing::error!(%error, "20 ms of sound are lost"),
        }
    }
}
