//! Pictures on their way out: one thread captures, one encodes.
//!
//! Owns the threads and the keyframe limit. What bitrate to use is told from
//! outside; where encoded pictures go is the caller's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::counters::PictureCounters;
use super::slot::Slot;
use super::spawn;
use crate::clock;
use crate::media::codec::{EncodedVideo, VideoEncoder};
use crate::media::device::DeviceNotice;
use crate::media::frame::{FramePool, VideoFrame};
use crate::media::sink::VideoSink;
use crate::media::source::VideoSource;

/// Keyframes are large; a storm of requests may not make more than one in this time.
pub const KEYFRAME_INTERVAL: Duration = Duration::from_millis(300);

/// Whether a consumer took an encoded picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It is on its way.
    Taken,
    /// There was no room. Later pictures build on it, so the next one must be a keyframe.
    Dropped,
}

/// What the encoding thread is told and what it counts; shared with whoever runs the call.
#[derive(Debug, Default)]
pub struct VideoOutState {
    keyframe_wanted: AtomicBool,
    dark: AtomicBool,
    target_bitrate: AtomicU32,
    counters: PictureCounters,
}

impl VideoOutState {
    /// Makes a keyframe at the next picture, at most one in [`KEYFRAME_INTERVAL`].
    pub fn want_keyframe(&self) {
        self.keyframe_wanted.store(true, Ordering::Relaxed);
    }

    /// Sends dark pictures instead of the source's, or the source's again.
    pub fn set_dark(&self, dark: bool) {
        self.dark.store(dark, Ordering::Relaxed);
    }

    /// What the encoder was last told, bits a second.
    #[must_use]
    pub fn target_bitrate(&self) -> u32 {
        self.target_bitrate.load(Ordering::Relaxed)
    }

    /// Pictures encoded, and those that the encoder skipped or that found no room on the way.
    #[must_use]
    pub fn counters(&self) -> &PictureCounters {
        &self.counters
    }
}

/// What the capturing thread calls; none of it may block.
pub struct VideoOutHooks {
    /// Shows what is captured, if somebody wants to see it.
    pub preview: Option<Box<dyn VideoSink>>,
    /// Something happened to the device.
    pub notice: Box<dyn Fn(DeviceNotice) + Send>,
    /// The source has no more pictures, or broke.
    pub ended: Box<dyn FnOnce() + Send>,
}

/// The running threads; dropping it stops them.
#[derive(Debug)]
pub struct VideoOut {
    state: Arc<VideoOutState>,
    stop: Arc<AtomicBool>,
    slot: Slot<Arc<VideoFrame>>,
    threads: Vec<JoinHandle<()>>,
}

impl VideoOut {
    /// Starts both threads. `bitrate` is asked before each picture for the encoder's target, bits a
    /// second; `deliver` runs on the encoding thread and must not block.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(
        source: Box<dyn VideoSource>,
        encoder: Box<dyn VideoEncoder>,
        bitrate: impl Fn() -> u32 + Send + 'static,
        deliver: impl FnMut(EncodedVideo) -> Delivery + Send + 'static,
        hooks: VideoOutHooks,
    ) -> std::io::Result<Self> {
        let state = Arc::new(VideoOutState::default());
        let stop = Arc::new(AtomicBool::new(false));
        let slot = Slot::default();
        let mut out = Self {
            state: Arc::clone(&state),
            stop: Arc::clone(&stop),
            slot: slot.clone(),
            threads: vec![],
        };
        let (to_encode, counted) = (slot.clone(), Arc::clone(&state));
        let told = Arc::clone(&state);
        out.threads.push(spawn("encode", move || {
            Encoding::new(encoder, counted, bitrate, deliver).run(&to_encode);
        })?);
        out.threads.push(spawn("capture", move || {
            capture(source, hooks.preview, &hooks.notice, &told, &slot, &stop);
            slot.close();
            if !stop.load(Ordering::Relaxed) {
                (hooks.ended)();
            }
        })?);
        Ok(out)
    }

    /// The controls and counters.
    #[must_use]
    pub fn state(&self) -> &Arc<VideoOutState> {
        &self.state
    }
}

impl Drop for VideoOut {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.slot.close();
        for thread in self.threads.drain(..) {
            super::join(thread);
        }
    }
}

fn capture(
    mut source: Box<dyn VideoSource>,
    mut preview: Option<Box<dyn VideoSink>>,
    notice: &impl Fn(DeviceNotice),
    state: &VideoOutState,
    slot: &Slot<Arc<VideoFrame>>,
    stop: &AtomicBool,
) {
    while !stop.load(Ordering::Relaxed) {
        let next = source.next_frame();
        source.notice().into_iter().for_each(notice);
        match next {
            Ok(Some(frame)) => {
                let dark = state.dark.load(Ordering::Relaxed);
                let frame = if dark { darkened(&frame) } else { frame };
                if preview.as_mut().is_some_and(|preview| preview.show(&frame).is_err()) {
                    preview = None;
                }
                slot.put(frame);
            }
            Ok(None) => return,
            Err(error) => {
                tracing::error!(%error, "the pictures end here");
                return;
            }
        }
    }
}

/// A black picture of the same size and time: what W3C has a track send that is not enabled.
fn darkened(frame: &VideoFrame) -> Arc<VideoFrame> {
    let mut dark = FramePool::default().take(frame.size(), frame.captured_at());
    let (y, u, v) = dark.planes_mut();
    y.fill(16);
    u.fill(128);
    v.fill(128);
    Arc::new(dark)
}

struct Encoding<B, D> {
    encoder: Box<dyn VideoEncoder>,
    state: Arc<VideoOutState>,
    bitrate: B,
    deliver: D,
    last_keyframe: Option<Instant>,
    overwritten: u64,
}

impl<B: Fn() -> u32, D: FnMut(EncodedVideo) -> Delivery> Encoding<B, D> {
    fn new(
        encoder: Box<dyn VideoEncoder>,
        state: Arc<VideoOutState>,
        bitrate: B,
        deliver: D,
    ) -> Self {
        Self { encoder, state, bitrate, deliver, last_keyframe: None, overwritten: 0 }
    }

    fn run(mut self, slot: &Slot<Arc<VideoFrame>>) {
        while let Some(frame) = slot.take() {
            self.steer();
            let overwritten = slot.overwritten();
            self.state.counters.count_dropped(overwritten - self.overwritten);
            self.overwritten = overwritten;
            match self.encoder.encode(&frame) {
                Ok(Some(encoded)) => self.hand_over(encoded),
                Ok(None) => self.state.counters.count_dropped(1),
                Err(error) => {
                    tracing::error!(%error, "a picture is lost");
                    self.state.counters.count_dropped(1);
                }
            }
        }
    }

    fn steer(&mut self) {
        let bitrate = (self.bitrate)();
        if bitrate != self.state.target_bitrate.swap(bitrate, Ordering::Relaxed) {
            self.encoder.set_bitrate(bitrate);
        }
        let now = clock::now();
        let allowed = self.last_keyframe.is_none_or(|at| now >= at + KEYFRAME_INTERVAL);
        if allowed && self.state.keyframe_wanted.swap(false, Ordering::Relaxed) {
            self.encoder.request_keyframe();
        }
    }

    fn hand_over(&mut self, encoded: EncodedVideo) {
        let (keyframe, size) = (encoded.keyframe, encoded.size);
        if keyframe {
            self.last_keyframe = Some(clock::now());
        }
        match (self.deliver)(encoded) {
            Delivery::Taken => self.state.counters.count(keyframe, size),
            Delivery::Dropped => {
                self.state.counters.count_dropped(1);
                self.state.want_keyframe();
            }
        }
    }
}
