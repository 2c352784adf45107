//! Pictures on their way out: one thread captures, one encodes.
//!
//! Owns the threads, the keyframe limit, and the scaling to what the path is
//! enough for. What that is is told from outside; where encoded pictures go is
//! the caller's.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::counters::PictureCounters;
use super::spending::Spending;
use super::{Ended, SourceThread, spawn};
use crate::clock;
use crate::media::adaptation::Rung;
use crate::media::codec::VideoEncoder;
use crate::media::device::DeviceNotice;
use crate::media::encoded::EncodedFrame;
use crate::media::frame::{FramePool, Size, VideoFrame};
use crate::media::scale::{Planes, Scaler};
use crate::media::sink::VideoSink;
use crate::media::slot::Slot;
use crate::media::source::VideoSource;

/// Keyframes are large; a storm of requests may not make more than one in this time, nor before an
/// answer to the last one can be here; whatever is reckoned, after three seconds.
pub const KEYFRAME_INTERVAL: Duration = Duration::from_millis(300);
const KEYFRAME_AT_MOST: Duration = Duration::from_secs(3);

/// So many pictures that the encoder refuses one after the other are its last word.
const MAX_REFUSED: u32 = 3;

/// Whether a consumer took an encoded picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It is on its way.
    Taken,
    /// The same, and somebody needs a picture soon that needs no other.
    TakenAndKeyframe,
    /// There was no room. Later pictures build on it, so the next one must be a keyframe.
    Dropped,
}

/// What the path allows for the next picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Allowance {
    /// The encoder's target, bits a second.
    pub bitrate: u32,
    /// Its size and rate; `None`: no pictures, the path carries sound alone.
    pub rung: Option<Rung>,
    /// A faster path would have larger or more pictures.
    pub limited: bool,
    /// So much waits to be sent already, or the path is so broken, that this picture would only be
    /// late.
    pub hold: bool,
    /// How long an answer takes; zero before that is known.
    pub round_trip: Duration,
    /// How long what waits already takes to leave.
    pub backlog: Duration,
}

/// When requests for a keyframe are heeded: not before the last one can have been seen. Pure.
#[derive(Debug, Default)]
struct Keyframes {
    /// When those who saw the last one can have said so.
    answered_at: Option<Instant>,
}

impl Keyframes {
    /// A keyframe of so many bytes was made for a path like that.
    fn made(&mut self, now: Instant, bytes: usize, path: &Allowance) {
        let takes = bytes as f64 * 8.0 / f64::from(path.bitrate.max(1));
        let takes = Duration::from_secs_f64(takes.min(KEYFRAME_AT_MOST.as_secs_f64()));
        let answered = path.round_trip + path.backlog + takes;
        self.answered_at = Some(now + answered.clamp(KEYFRAME_INTERVAL, KEYFRAME_AT_MOST));
    }

    /// Whether a request that came is heeded now; else it waits.
    fn heeds(&self, now: Instant) -> bool {
        self.answered_at.is_none_or(|at| now >= at)
    }
}

/// What the encoding thread is told and what it counts; shared with whoever runs the call.
#[derive(Debug, Default)]
pub struct VideoOutState {
    keyframe_wanted: AtomicBool,
    keyframe_needed: AtomicBool,
    dark: AtomicBool,
    idle: AtomicBool,
    paused: AtomicBool,
    limited: AtomicBool,
    target_bitrate: AtomicU32,
    counters: PictureCounters,
    next: NextEncoder,
}

/// An encoder that takes the place of the one that runs.
#[derive(Default)]
struct NextEncoder(Mutex<Option<Box<dyn VideoEncoder>>>);

impl std::fmt::Debug for NextEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NextEncoder")
    }
}

impl NextEncoder {
    fn lock(&self) -> MutexGuard<'_, Option<Box<dyn VideoEncoder>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl VideoOutState {
    /// Encodes with this one from the next picture on, which it begins with a keyframe.
    pub fn encode_with(&self, encoder: Box<dyn VideoEncoder>) {
        *self.next.lock() = Some(encoder);
    }

    /// Makes a keyframe of the next picture, however soon after the last: that one did not leave.
    pub fn need_keyframe(&self) {
        self.keyframe_needed.store(true, Ordering::Relaxed);
    }

    /// Makes a keyframe at the next picture, unless the last one is on its way still; at most one in
    /// [`KEYFRAME_INTERVAL`].
    pub fn want_keyframe(&self) {
        self.keyframe_wanted.store(true, Ordering::Relaxed);
    }

    /// A picture was left out that had been encoded; those that follow build on it.
    pub fn left_out(&self) {
        self.counters.count_dropped(1);
        self.need_keyframe();
    }

    /// Sends dark pictures instead of the source's, or the source's again.
    pub fn set_dark(&self, dark: bool) {
        self.dark.store(dark, Ordering::Relaxed);
    }

    /// Encodes nothing, since nobody takes it, or pictures again, a keyframe first.
    pub fn set_idle(&self, idle: bool) {
        self.idle.store(idle, Ordering::Relaxed);
    }

    /// What the encoder was last told, bits a second.
    #[must_use]
    pub fn target_bitrate(&self) -> u32 {
        self.target_bitrate.load(Ordering::Relaxed)
    }

    /// Whether no pictures are sent, because the path carries sound alone.
    #[must_use]
    pub fn paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// Whether the path is why pictures are smaller or fewer than the source's.
    #[must_use]
    pub fn limited(&self) -> bool {
        self.limited.load(Ordering::Relaxed)
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
    /// The source has no more pictures, or broke, or they cannot be encoded.
    pub ended: Ended,
}

/// The running threads; dropping it stops them.
#[derive(Debug)]
pub struct VideoOut {
    state: Arc<VideoOutState>,
    stop: Arc<AtomicBool>,
    slot: Slot<Arc<VideoFrame>>,
    encoding: Option<JoinHandle<()>>,
    capturing: Option<SourceThread>,
}

impl VideoOut {
    /// Starts both threads. `allowance` is asked before each picture; `deliver` runs on the encoding
    /// thread and must not block.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(
        source: Box<dyn VideoSource>,
        encoder: Box<dyn VideoEncoder>,
        allowance: impl FnMut(Instant) -> Allowance + Send + 'static,
        deliver: impl FnMut(EncodedFrame) -> Delivery + Send + 'static,
        hooks: VideoOutHooks,
    ) -> std::io::Result<Self> {
        let state = Arc::new(VideoOutState::default());
        let stop = Arc::new(AtomicBool::new(false));
        let slot = Slot::default();
        let mut out = Self {
            state: Arc::clone(&state),
            stop: Arc::clone(&stop),
            slot: slot.clone(),
            encoding: None,
            capturing: None,
        };
        let (to_encode, counted) = (slot.clone(), Arc::clone(&state));
        let told = Arc::clone(&state);
        // Whichever thread comes to an end first says why.
        let ended = Arc::new(Mutex::new(Some(hooks.ended)));
        let end = move |why| {
            let told = ended.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(told) = told {
                told(why);
            }
        };
        let failed = end.clone();
        out.encoding = Some(spawn("encode", move || {
            let why = Encoding::new(encoder, counted, allowance, deliver).run(&to_encode);
            if why.is_err() {
                failed(why);
            }
        })?);
        let mut source = source;
        source.set_stop(Arc::clone(&stop));
        out.capturing = Some(SourceThread::spawn("capture", move || {
            let why = capture(source, hooks.preview, &hooks.notice, &told, &slot, &stop);
            slot.close();
            if !stop.load(Ordering::Relaxed) {
                end(why);
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
        if let Some(capturing) = self.capturing.take() {
            capturing.join();
        }
        if let Some(encoding) = self.encoding.take() {
            super::join(encoding);
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
) -> Result<(), String> {
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
            Ok(None) => return Ok(()),
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}

/// A black picture of the same size and time: what W3C has a track send that is not enabled.
fn darkened(frame: &VideoFrame) -> Arc<VideoFrame> {
    let mut dark = FramePool::default().take(frame.size(), frame.captured_at());
    dark.set_colour(frame.colour());
    dark.blacken();
    Arc::new(dark)
}

struct Encoding<A, D> {
    encoder: Box<dyn VideoEncoder>,
    state: Arc<VideoOutState>,
    allowance: A,
    deliver: D,
    scaled: Scaled,
    spending: Spending,
    keyframes: Keyframes,
    /// What the path allowed last.
    allowed: Option<Allowance>,
    last_captured: Option<Instant>,
    told: u32,
    overwritten: u64,
}

impl<A: FnMut(Instant) -> Allowance, D: FnMut(EncodedFrame) -> Delivery> Encoding<A, D> {
    fn new(
        encoder: Box<dyn VideoEncoder>,
        state: Arc<VideoOutState>,
        allowance: A,
        deliver: D,
    ) -> Self {
        Self {
            encoder,
            state,
            allowance,
            deliver,
            scaled: Scaled::default(),
            spending: Spending::default(),
            keyframes: Keyframes::default(),
            allowed: None,
            last_captured: None,
            told: 0,
            overwritten: 0,
        }
    }

    /// Encodes until there are no more pictures, or none can be encoded.
    fn run(mut self, slot: &Slot<Arc<VideoFrame>>) -> Result<(), String> {
        let mut refused = 0;
        while let Some(frame) = slot.take() {
            let overwritten = slot.overwritten();
            self.state.counters.count_dropped(overwritten - self.overwritten);
            self.overwritten = overwritten;
            let Some(frame) = self.steer(frame) else { continue };
            match self.encoder.encode(&frame) {
                Ok(Some(encoded)) => {
                    refused = 0;
                    self.hand_over(encoded, frame.size());
                }
                Ok(None) => self.state.counters.count_dropped(1),
                Err(error) => {
                    tracing::warn!(%error, "a picture is lost");
                    self.state.counters.count_dropped(1);
                    refused += 1;
                    if refused >= MAX_REFUSED {
                        return Err(format!("pictures cannot be sent: {error}"));
                    }
                }
            }
        }
        Ok(())
    }

    /// Tells the encoder what it may spend; gives the picture as it is to be encoded, if it is.
    fn steer(&mut self, frame: Arc<VideoFrame>) -> Option<Arc<VideoFrame>> {
        if self.state.idle.load(Ordering::Relaxed) {
            self.state.target_bitrate.store(0, Ordering::Relaxed);
            self.state.need_keyframe();
            return None;
        }
        let now = clock::now();
        let allowed = (self.allowance)(now);
        self.allowed = Some(allowed);
        self.state.paused.store(allowed.rung.is_none(), Ordering::Relaxed);
        self.state.limited.store(allowed.limited, Ordering::Relaxed);
        let Some(rung) = allowed.rung else {
            self.state.target_bitrate.store(0, Ordering::Relaxed);
            // Those who see pictures again have seen none for long.
            self.state.want_keyframe();
            return None;
        };
        let told = self.spending.tell(now, allowed.bitrate);
        if allowed.hold {
            self.spending.on_held();
            self.state.counters.count_dropped(1);
            return None;
        }
        // A source is never quite regular.
        let interval = Duration::from_secs_f64(0.75 / rung.fps);
        if self.last_captured.is_some_and(|last| frame.captured_at() < last + interval) {
            return None;
        }
        self.last_captured = Some(frame.captured_at());
        if let Some(next) = self.state.next.lock().take() {
            (self.encoder, self.told) = (next, 0);
        }
        self.state.target_bitrate.store(allowed.bitrate, Ordering::Relaxed);
        if told != self.told {
            self.told = told;
            self.encoder.set_bitrate(told);
        }
        if self.takes_keyframe(now) {
            self.encoder.request_keyframe();
        }
        Some(self.scaled.to(rung.size, frame))
    }

    /// Whether the next picture is to be a keyframe.
    fn takes_keyframe(&self, now: Instant) -> bool {
        let needed = self.state.keyframe_needed.swap(false, Ordering::Relaxed);
        let may = needed || self.keyframes.heeds(now);
        let wanted = may && self.state.keyframe_wanted.swap(false, Ordering::Relaxed);
        needed || wanted
    }

    fn hand_over(&mut self, encoded: EncodedFrame, size: Size) {
        let keyframe = encoded.keyframe;
        self.spending.on_picture(encoded.data.len());
        if keyframe {
            tracing::debug!(bytes = encoded.data.len(), %size, "keyframe");
            if let Some(allowed) = &self.allowed {
                self.keyframes.made(clock::now(), encoded.data.len(), allowed);
            }
        }
        match (self.deliver)(encoded) {
            Delivery::Taken => self.state.counters.count(keyframe, size),
            Delivery::TakenAndKeyframe => {
                self.state.counters.count(keyframe, size);
                self.state.want_keyframe();
            }
            Delivery::Dropped => {
                self.state.counters.count_dropped(1);
                self.state.need_keyframe();
            }
        }
    }
}

/// Pictures made smaller.
#[derive(Default)]
struct Scaled {
    scaler: Scaler,
    pool: FramePool,
}

impl Scaled {
    /// The picture in that size, or as it is where it is no larger.
    fn to(&mut self, size: Size, frame: Arc<VideoFrame>) -> Arc<VideoFrame> {
        let own = frame.size();
        let planes = Planes::packed(own.width as usize, own.height as usize, frame.i420());
        let Some(planes) = planes.filter(|_| size.luma_len() < own.luma_len()) else {
            return frame;
        };
        let mut smaller = self.pool.take(size, frame.captured_at());
        smaller.set_colour(frame.colour());
        self.scaler.draw(planes, &mut smaller);
        Arc::new(smaller)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use bytes::Bytes;

    use super::*;
    use crate::media::codec::CodecError;
    use crate::media::encoded::{Codec, FrameTime};
    use crate::media::source::test::TestPicture;

    /// Says only that it was there.
    struct Mark(Codec);

    impl VideoEncoder for Mark {
        fn encode(&mut self, frame: &VideoFrame) -> Result<Option<EncodedFrame>, CodecError> {
            let time = FrameTime::Captured(frame.captured_at());
            Ok(Some(EncodedFrame::picture(self.0, Bytes::from_static(b"x"), true, time)))
        }

        fn request_keyframe(&mut self) {}

        fn set_bitrate(&mut self, _: u32) {}
    }

    #[test]
    fn another_encoder_takes_over_while_pictures_flow() {
        let size = Size { width: 64, height: 48 };
        let (tell, encoded) = sync_channel(64);
        let deliver = move |frame: EncodedFrame| match tell.try_send(frame.codec) {
            Ok(()) => Delivery::Taken,
            Err(_) => Delivery::Dropped,
        };
        let rung = Some(Rung { size, fps: 1_000.0 });
        let allowance = move |_| Allowance {
            bitrate: 100_000,
            rung,
            limited: false,
            hold: false,
            round_trip: Duration::ZERO,
            backlog: Duration::ZERO,
        };
        let hooks =
            VideoOutHooks { preview: None, notice: Box::new(|_| {}), ended: Box::new(|_| {}) };
        let source = Box::new(TestPicture::new(size, 100.0));
        let out = VideoOut::start(source, Box::new(Mark(Codec::Opus)), allowance, deliver, hooks);
        let out = out.unwrap();
        let limit = Duration::from_secs(60);
        assert_eq!(encoded.recv_timeout(limit), Ok(Codec::Opus));
        out.state().encode_with(Box::new(Mark(Codec::Aac)));
        while encoded.recv_timeout(limit).unwrap() != Codec::Aac {}
        assert_eq!(encoded.recv_timeout(limit), Ok(Codec::Aac), "and goes on");
    }

    const MS: Duration = Duration::from_millis(1);

    fn path(bitrate: u32, round_trip: Duration, backlog: Duration) -> Allowance {
        Allowance { bitrate, rung: None, limited: false, hold: false, round_trip, backlog }
    }

    /// When a request is heeded after a keyframe of so many bytes, ms.
    fn heeded(bytes: usize, path: &Allowance) -> Option<u32> {
        let (start, mut keyframes) = (clock::now(), Keyframes::default());
        assert!(keyframes.heeds(start));
        keyframes.made(start, bytes, path);
        (0..5_000).find(|ms| keyframes.heeds(start + *ms * MS))
    }

    #[test]
    fn a_keyframe_on_its_way_is_not_followed_by_another() {
        let near = path(2_000_000, Duration::ZERO, Duration::ZERO);
        assert_eq!(heeded(10_000, &near), Some(300), "at most one in a while");
        let narrow = path(100_000, 200 * MS, 40 * MS);
        assert_eq!(heeded(6_000, &narrow), Some(720), "480 ms to send, and an answer");
        assert_eq!(heeded(5_000, &path(2_000_000, 600 * MS, Duration::ZERO)), Some(620));
        assert_eq!(heeded(1_000_000, &path(0, 9_000 * MS, 9_000 * MS)), Some(3_000));
    }
}
