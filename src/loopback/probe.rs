//! The measuring ends of a loopback call: a source that stamps what it sends, sinks that compare.
//!
//! Owns the log of what was sent and what of it arrived. It sits on the public
//! source and sink traits, so the call under test is the real one.

use std::collections::VecDeque;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::clock;
use crate::media::device::DeviceNotice;
use crate::media::frame::{AudioFrame, FramePool, VideoFrame};
use crate::media::quality::stamp::{read_stamp, write_stamp};
use crate::media::quality::{psnr_y, resized, ssim_y};
use crate::media::sink::{AudioSink, SinkError, VideoSink};
use crate::media::source::timeline::StopFlag;
use crate::media::source::{AudioSource, SourceError, VideoFormat, VideoSource};

/// Sent pictures that wait to be compared; two seconds at 30 a second. One that comes later counts
/// as any other, but its quality is not known.
const REMEMBERED: usize = 64;

/// Sound that is kept for comparing, samples per channel: five minutes.
const SOUND_KEPT: usize = 48_000 * 300;

/// Pictures that wait to be compared; comparing is faster than 30 a second.
const COMPARE_QUEUE: usize = 32;

/// One direction: what was sent into it and what came out.
#[derive(Debug, Default)]
pub(super) struct Probe {
    /// How long a picture may be under way.
    on_the_way: Duration,
    sent: Mutex<VecDeque<(u32, Arc<VideoFrame>)>>,
    /// When each picture was captured, by number.
    captured_at: Mutex<Vec<Instant>>,
    sent_sound: Mutex<Sound>,
    received: Mutex<Received>,
}

/// What came out.
#[derive(Debug, Default, Clone)]
pub(super) struct Received {
    pub(super) psnr: Vec<f64>,
    pub(super) ssim: Vec<f64>,
    /// From capture to decoded, ms.
    pub(super) latency_ms: Vec<f64>,
    /// When each picture was shown, and how long after its capture, ms.
    pub(super) shown: Vec<(Instant, f64)>,
    /// Pictures without a readable stamp, or of a stamp that was never sent.
    pub(super) unknown: u64,
    /// The highest number among the pictures.
    last_number: Option<u32>,
    /// When the receiver stopped looking.
    pub(super) stopped_at: Option<Instant>,
    pub(super) sound: Sound,
}

/// Mono sound on the machine's clock.
#[derive(Debug, Default, Clone)]
pub(super) struct Sound {
    pub(super) samples: Vec<f32>,
    /// When the first sample was taken or played.
    pub(super) began_at: Option<Instant>,
}

impl Sound {
    fn add(&mut self, frame: &AudioFrame, at: Instant) {
        if self.samples.len() >= SOUND_KEPT {
            return;
        }
        self.began_at.get_or_insert(at);
        let channels = frame.channels.max(1);
        let mono = frame.samples.chunks_exact(channels);
        self.samples.extend(mono.map(|all| all.iter().sum::<f32>() / channels as f32));
    }
}

impl Probe {
    pub(super) fn new(on_the_way: Duration) -> Self {
        Self { on_the_way, ..Self::default() }
    }

    pub(super) fn sent_sound(&self) -> Sound {
        lock(&self.sent_sound).clone()
    }

    pub(super) fn received(&self) -> Received {
        lock(&self.received).clone()
    }

    /// Pictures at the very end that were on their way when the receiver stopped looking: they are
    /// neither received nor lost.
    pub(super) fn under_way(&self) -> u64 {
        let received = lock(&self.received);
        let Some(stopped_at) = received.stopped_at else { return 0 };
        let next = received.last_number.map_or(0, |last| last as usize + 1);
        let captured_at = lock(&self.captured_at);
        let after = captured_at.iter().skip(next);
        after.filter(|at| **at + self.on_the_way > stopped_at).count() as u64
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A source whose pictures carry their number.
pub(super) struct StampingSource {
    inner: Box<dyn VideoSource>,
    probe: Arc<Probe>,
    pool: FramePool,
    next: u32,
}

impl StampingSource {
    pub(super) fn new(inner: Box<dyn VideoSource>, probe: Arc<Probe>) -> Self {
        Self { inner, probe, pool: FramePool::new(), next: 0 }
    }
}

impl VideoSource for StampingSource {
    fn next_frame(&mut self) -> Result<Option<Arc<VideoFrame>>, SourceError> {
        let Some(frame) = self.inner.next_frame()? else { return Ok(None) };
        // The source may show this picture again, so the stamp goes onto a copy.
        let mut stamped = self.pool.take(frame.size(), frame.captured_at());
        stamped.set_colour(frame.colour());
        stamped.i420_mut().copy_from_slice(frame.i420());
        write_stamp(&mut stamped, self.next);
        let stamped = Arc::new(stamped);
        let mut sent = lock(&self.probe.sent);
        if sent.len() == REMEMBERED {
            sent.pop_front();
        }
        sent.push_back((self.next, Arc::clone(&stamped)));
        lock(&self.probe.captured_at).push(stamped.captured_at());
        self.next = self.next.wrapping_add(1);
        Ok(Some(stamped))
    }

    fn format(&self) -> VideoFormat {
        self.inner.format()
    }

    fn notice(&mut self) -> Option<DeviceNotice> {
        self.inner.notice()
    }

    fn set_stop(&mut self, stop: StopFlag) {
        self.inner.set_stop(stop);
    }
}

/// A source that remembers the sound it gave.
pub(super) struct RememberingSource {
    pub(super) inner: Box<dyn AudioSource>,
    pub(super) probe: Arc<Probe>,
}

impl AudioSource for RememberingSource {
    fn next_frame(&mut self) -> Result<Option<AudioFrame>, SourceError> {
        let frame = self.inner.next_frame()?;
        if let Some(frame) = &frame {
            lock(&self.probe.sent_sound).add(frame, frame.captured_at);
        }
        Ok(frame)
    }

    fn channels(&self) -> usize {
        self.inner.channels()
    }

    fn notice(&mut self) -> Option<DeviceNotice> {
        self.inner.notice()
    }

    fn set_stop(&mut self, stop: StopFlag) {
        self.inner.set_stop(stop);
    }
}

/// A sink that compares each picture with the one that was sent, on a thread of its own.
pub(super) struct ComparingSink {
    to_compare: Option<SyncSender<(Arc<VideoFrame>, Instant)>>,
    thread: Option<JoinHandle<()>>,
}

impl ComparingSink {
    /// # Errors
    /// When the operating system gives no thread.
    pub(super) fn new(probe: Arc<Probe>) -> std::io::Result<Self> {
        let (to_compare, pictures) = sync_channel::<(Arc<VideoFrame>, Instant)>(COMPARE_QUEUE);
        let thread =
            std::thread::Builder::new().name("peer-compare".to_owned()).spawn(move || {
                for (picture, shown_at) in pictures {
                    compare(&probe, &picture, shown_at);
                }
                lock(&probe.received).stopped_at = Some(clock::now());
            })?;
        Ok(Self { to_compare: Some(to_compare), thread: Some(thread) })
    }
}

impl VideoSink for ComparingSink {
    fn show(&mut self, frame: &Arc<VideoFrame>) -> Result<(), SinkError> {
        if let Some(to_compare) = &self.to_compare {
            // Waits when comparing falls behind: a picture that is not compared would count as lost.
            let _ = to_compare.send((Arc::clone(frame), clock::now()));
        }
        Ok(())
    }
}

impl Drop for ComparingSink {
    fn drop(&mut self) {
        self.to_compare = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("comparing pictures panicked");
        }
    }
}

fn compare(probe: &Probe, picture: &VideoFrame, shown_at: Instant) {
    let Some((number, captured_at, original)) = probe.original_of(picture) else {
        lock(&probe.received).unknown += 1;
        return;
    };
    let quality = original.map(|original| {
        if original.size() == picture.size() {
            return (psnr_y(&original, picture), ssim_y(&original, picture));
        }
        let picture = resized(picture, original.size());
        (psnr_y(&original, &picture), ssim_y(&original, &picture))
    });
    let ms = |at: Instant| at.saturating_duration_since(captured_at).as_secs_f64() * 1e3;
    let mut received = lock(&probe.received);
    received.last_number = received.last_number.max(Some(number));
    if let Some((psnr, ssim)) = quality {
        received.psnr.push(psnr);
        received.ssim.push(ssim);
    }
    received.latency_ms.push(ms(picture.captured_at()));
    received.shown.push((shown_at, ms(shown_at)));
}

impl Probe {
    /// Which of the sent pictures this is, when it was captured, and that picture if it is remembered.
    fn original_of(&self, picture: &VideoFrame) -> Option<(u32, Instant, Option<Arc<VideoFrame>>)> {
        let sent = lock(&self.sent);
        let number = read_stamp(picture, sent.back()?.1.size())?;
        let captured_at = *lock(&self.captured_at).get(number as usize)?;
        let found = sent.iter().find(|(sent, _)| *sent == number);
        Some((number, captured_at, found.map(|(_, frame)| Arc::clone(frame))))
    }
}

/// A sink that keeps the sound it was given.
pub(super) struct KeepingSink(pub(super) Arc<Probe>);

impl AudioSink for KeepingSink {
    fn play(&mut self, frame: &AudioFrame) -> Result<(), SinkError> {
        lock(&self.0.received).sound.add(frame, clock::now());
        Ok(())
    }
}
