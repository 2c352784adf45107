//! Pictures on their way in: one thread decodes, one shows.
//!
//! Owns the threads and the queues before them, which drop the oldest
//! pictures when decoding or showing falls behind. When a picture is due is told
//! from outside; broken streams are reported, not mended.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use super::backlog::Backlog;
use super::counters::PictureCounters;
use super::spawn;
use crate::clock;
use crate::media::codec::table::AnyVideoDecoder;
use crate::media::encoded::{EncodedFrame, FrameTime};
use crate::media::frame::{Size, VideoFrame};
use crate::media::playout::freeze::FreezeMeter;
use crate::media::showing::Showing;
use crate::media::sink::VideoSink;
use crate::media::upright::Upright;

/// Pictures that wait for the decoder, at most: half a second at 120 a second. How long they may wait
/// is said in `backlog.rs`.
const DECODE_QUEUE: usize = 60;

/// Decoded pictures that wait to be shown: for at most 140 ms, which are 17 of 120 a second.
const RENDER_QUEUE: usize = 17;

/// A picture that came, and when it was whole.
type Came = (Instant, EncodedFrame);

/// What the threads count; shared with whoever runs the call.
#[derive(Debug, Default)]
pub struct VideoInState {
    counters: PictureCounters,
    wait_us: AtomicU64,
    freezes: Mutex<FreezeMeter>,
}

impl VideoInState {
    /// Pictures decoded, and those that could not be or came too late to be shown.
    #[must_use]
    pub fn counters(&self) -> &PictureCounters {
        &self.counters
    }

    /// Mean time from a picture's first packet to its decoding, ms.
    #[must_use]
    pub fn mean_wait_ms(&self) -> f64 {
        let decoded = self.counters.pictures().max(1);
        self.wait_us.load(Ordering::Relaxed) as f64 / decoded as f64 / 1e3
    }

    /// How often, and for how many seconds, the picture stood still.
    #[must_use]
    pub fn freezes(&self) -> (u64, f64) {
        let meter = self.freezes.lock().unwrap_or_else(PoisonError::into_inner);
        (meter.count(), meter.total().as_secs_f64())
    }

    fn count(&self, frame: &VideoFrame, received: &EncodedFrame) {
        let now = frame.captured_at();
        self.counters.count(received.keyframe, frame.size());
        let came = received.time.here().unwrap_or(now);
        let wait = now.saturating_duration_since(came);
        self.wait_us.fetch_add(wait.as_micros() as u64, Ordering::Relaxed);
        self.freezes.lock().unwrap_or_else(PoisonError::into_inner).on_frame(now);
    }
}

/// What the decoding thread calls; none of it may block.
pub struct VideoInHooks {
    /// The stream is broken: a keyframe is needed.
    pub broken: Box<dyn Fn() + Send>,
    /// The first picture was decoded.
    pub first: Box<dyn FnOnce(Size) + Send>,
    /// When the picture of that time, decoded at that instant, is due.
    pub due: Box<dyn Fn(FrameTime, Instant) -> Instant + Send>,
}

/// The running threads; dropping it stops them.
#[derive(Debug)]
pub struct VideoIn {
    state: Arc<VideoInState>,
    input: Option<SyncSender<Came>>,
    render: Option<RenderQueue>,
    threads: Vec<JoinHandle<()>>,
}

impl VideoIn {
    /// Starts decoding; without a sink pictures are decoded and counted only.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(
        decoder: AnyVideoDecoder,
        sink: Option<Box<dyn VideoSink>>,
        hooks: VideoInHooks,
    ) -> std::io::Result<Self> {
        let state = Arc::new(VideoInState::default());
        let (input, pictures) = sync_channel(DECODE_QUEUE);
        let render = sink.is_some().then(|| RenderQueue::new(Arc::clone(&state)));
        let mut threads = Vec::new();
        if let (Some(sink), Some(render)) = (sink, render.clone()) {
            threads.push(spawn("render", move || show(sink, &render))?);
        }
        let decoding = Decoding {
            decoder,
            backlog: Backlog::default(),
            upright: Upright::default(),
            state: Arc::clone(&state),
            render: render.clone(),
            broken: hooks.broken,
            due: hooks.due,
        };
        threads.push(spawn("decode", move || decoding.run(&pictures, hooks.first))?);
        Ok(Self { state, input: Some(input), render, threads })
    }

    /// The way in for the receiving task. Never blocks; `false` when a keyframe is needed: there was no
    /// room for this picture, or for one that it builds on.
    pub fn input(&self) -> impl Fn(EncodedFrame) -> bool + Send + 'static {
        let (input, state) = (self.input.clone(), Arc::clone(&self.state));
        let broken = AtomicBool::new(false);
        move |picture| {
            let Some(input) = &input else { return true };
            let of_use = picture.keyframe || !broken.load(Ordering::Relaxed);
            let taken = of_use
                && !matches!(input.try_send((clock::now(), picture)), Err(TrySendError::Full(_)));
            broken.store(!taken, Ordering::Relaxed);
            state.counters.count_dropped(u64::from(!taken));
            taken
        }
    }

    /// The counters.
    #[must_use]
    pub fn state(&self) -> &Arc<VideoInState> {
        &self.state
    }
}

impl Drop for VideoIn {
    fn drop(&mut self) {
        self.input = None;
        if let Some(render) = &self.render {
            render.close();
        }
        for thread in self.threads.drain(..) {
            super::join(thread);
        }
    }
}

struct Decoding {
    decoder: AnyVideoDecoder,
    backlog: Backlog,
    upright: Upright,
    state: Arc<VideoInState>,
    render: Option<RenderQueue>,
    broken: Box<dyn Fn() + Send>,
    due: Box<dyn Fn(FrameTime, Instant) -> Instant + Send>,
}

impl Decoding {
    fn run(mut self, pictures: &Receiver<Came>, first: Box<dyn FnOnce(Size) + Send>) {
        let mut first = Some(first);
        while let Some(picture) = self.next(pictures) {
            match self.decoder.decode(&picture, clock::now()) {
                Ok(Some(frame)) => {
                    let frame = decoded_now(frame);
                    self.state.count(&frame, &picture);
                    let orientation = picture.orientation;
                    let showing = Showing { orientation, ..self.decoder.showing() };
                    let frame = self.upright.frame(frame, &showing);
                    if let Some(first) = first.take() {
                        first(frame.size());
                    }
                    if let Some(render) = &self.render {
                        render.push((self.due)(picture.time, frame.captured_at()), frame);
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%error, "asking for a keyframe");
                    self.state.counters.count_dropped(1);
                    (self.broken)();
                }
            }
        }
    }

    /// Waits for the next picture that is to be decoded; `None` when no more come.
    fn next(&mut self, pictures: &Receiver<Came>) -> Option<EncodedFrame> {
        loop {
            while self.backlog.len() < DECODE_QUEUE
                && let Ok((at, picture)) = pictures.try_recv()
            {
                self.backlog.push(at, picture);
            }
            let dropped = self.backlog.drop_late(clock::now());
            if dropped > 0 {
                tracing::debug!(dropped, "the decoder does not keep up");
                self.state.counters.count_dropped(dropped as u64);
                if self.backlog.is_broken() {
                    (self.broken)();
                }
            }
            if let Some(picture) = self.backlog.pop() {
                return Some(picture);
            }
            let (at, picture) = pictures.recv().ok()?;
            self.backlog.push(at, picture);
        }
    }
}

/// A received picture comes into being on this machine when it is decoded.
fn decoded_now(mut frame: Arc<VideoFrame>) -> Arc<VideoFrame> {
    if let Some(frame) = Arc::get_mut(&mut frame) {
        frame.set_captured_at(clock::now());
    }
    frame
}

/// Pictures and when they are due, oldest first; drops the oldest when full.
#[derive(Debug, Clone)]
struct RenderQueue(Arc<Render>);

#[derive(Debug)]
struct Render {
    queue: Mutex<VecDeque<(Instant, Arc<VideoFrame>)>>,
    changed: Condvar,
    closed: AtomicBool,
    state: Arc<VideoInState>,
}

impl RenderQueue {
    fn new(state: Arc<VideoInState>) -> Self {
        Self(Arc::new(Render {
            queue: Mutex::default(),
            changed: Condvar::new(),
            closed: AtomicBool::new(false),
            state,
        }))
    }

    fn push(&self, due: Instant, frame: Arc<VideoFrame>) {
        let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.len() == RENDER_QUEUE {
            queue.pop_front();
            self.0.state.counters.count_dropped(1);
        }
        queue.push_back((due, frame));
        drop(queue);
        self.0.changed.notify_one();
    }

    fn close(&self) {
        // Under the lock, or a thread about to wait would miss it.
        let queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.closed.store(true, Ordering::Relaxed);
        drop(queue);
        self.0.changed.notify_all();
    }

    /// Waits until the oldest picture is due; `None` when closed.
    fn pop(&self) -> Option<Arc<VideoFrame>> {
        let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if self.0.closed.load(Ordering::Relaxed) {
                return None;
            }
            let now = clock::now();
            queue = match queue.front().map(|(due, _)| due.saturating_duration_since(now)) {
                Some(wait) if wait.is_zero() => return queue.pop_front().map(|(_, frame)| frame),
                Some(wait) => {
                    let waited = self.0.changed.wait_timeout(queue, wait);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.0.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

fn show(mut sink: Box<dyn VideoSink>, render: &RenderQueue) {
    while let Some(frame) = render.pop() {
        if let Err(error) = sink.show(&frame) {
            tracing::error!(%error, "pictures are no longer shown");
            return;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::media::container::annexb::AnnexBReader;
    use crate::media::container::pictures::RAW;
    use crate::media::frame::MaxPicture;
    use crate::media::showing::Orientation;
    use crate::media::sink::SinkError;

    struct Sizes(SyncSender<Size>);

    impl VideoSink for Sizes {
        fn show(&mut self, frame: &Arc<VideoFrame>) -> Result<(), SinkError> {
            let _ = self.0.send(frame.size());
            Ok(())
        }
    }

    /// A stream without reordering, as calls have it, whose samples are 64:45.
    fn wide_stream() -> AnnexBReader<File> {
        let named = tempfile::NamedTempFile::new().unwrap();
        let made = std::process::Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i"])
            .args(["testsrc2=s=360x288:r=25:d=1,setsar=64/45", "-c:v", "libx264"])
            .args(["-profile:v", "baseline", "-pix_fmt", "yuv420p", "-f", "h264"])
            .arg(named.path())
            .status();
        assert!(made.expect("ffmpeg; `make deps` installs it").success());
        AnnexBReader::new(named.reopen().unwrap())
    }

    #[test]
    fn wide_samples_of_theirs_are_spread_before_anybody_sees_them() {
        let mut stream = wide_stream();
        for (orientation, width, height) in
            [(Orientation::UPRIGHT, 512, 288), (Orientation::quarters(1), 288, 512)]
        {
            let (tell, sizes) = sync_channel(64);
            let (tell_first, first) = sync_channel(1);
            let hooks = VideoInHooks {
                broken: Box::new(|| {}),
                first: Box::new(move |size| {
                    let _ = tell_first.send(size);
                }),
                due: Box::new(|_, at| at),
            };
            let decoder = AnyVideoDecoder::new(RAW, MaxPicture::default()).unwrap();
            let decoding = VideoIn::start(decoder, Some(Box::new(Sizes(tell))), hooks).unwrap();
            let input = decoding.input();
            stream.rewind().unwrap();
            for index in 0..20 {
                let data = stream.next_unit().unwrap().unwrap().into();
                let (rtp_timestamp, first_packet_at) = (index * 3_600, clock::now());
                let time = FrameTime::Received { rtp_timestamp, first_packet_at };
                let picture = EncodedFrame::picture(RAW, data, index == 0, time);
                assert!(input(EncodedFrame { orientation, ..picture }));
            }
            let wanted = Size { width, height };
            let limit = std::time::Duration::from_secs(60);
            assert_eq!(first.recv_timeout(limit), Ok(wanted));
            assert_eq!(sizes.recv_timeout(limit), Ok(wanted));
        }
    }
}
