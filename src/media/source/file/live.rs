//! Pictures and sound that come through a pipe: a named one (FIFO), or standard input (`-`).
//!
//! Owns the threads that read, since a pipe may keep its reader waiting for ever, and what is given
//! meanwhile: a card, or silence. What a stream is, its first bytes say; it plays by its own times,
//! from when it comes.

use std::collections::VecDeque;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::input::Input;
use super::pcm::Pcm;
use super::pictures::Pictures;
use super::pipe::Pipe;
use super::{SourceError, known};
use crate::clock;
use crate::media::audio::resample::ToCallRate;
use crate::media::container::ContainerError;
use crate::media::device::{DeviceNews, DeviceNotice};
use crate::media::frame::{AudioFrame, FramePool, MaxPicture, SAMPLE_RATE, Size, VideoFrame};
use crate::media::source::card;
use crate::media::source::timeline::StopFlag;
use crate::media::source::{AUDIO_BLOCK, AudioSource, MediaOptions, VideoFormat, VideoSource};
use crate::media::upright::Upright;

/// Whether what `--video` or `--audio` names comes through a pipe.
#[must_use]
pub fn is_live(path: &Path) -> bool {
    path == Path::new("-") || is_fifo(path)
}

/// Whether both name the same pipe, by whatever names.
#[must_use]
pub fn same_pipe(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| {
        use std::os::fd::AsFd;
        use std::os::unix::fs::MetadataExt;
        let about = match path == Path::new("-") {
            true => std::io::stdin()
                .as_fd()
                .try_clone_to_owned()
                .map(std::fs::File::from)
                .ok()?
                .metadata(),
            false => path.metadata(),
        };
        about.ok().map(|about| (about.dev(), about.ino()))
    };
    one == other || identity(one).is_some_and(|one| identity(other) == Some(one))
}

fn is_fifo(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    path.metadata().is_ok_and(|about| about.file_type().is_fifo())
}

/// How long opening waits for the first picture, whose size the call is then made for.
const FIRST: Duration = Duration::from_millis(1_500);

/// While nothing comes, the card is sent so often.
const CARD_EVERY: Duration = Duration::from_millis(200);

/// Nothing for so long is worth a word.
const SILENCE: Duration = Duration::from_secs(1);

/// What is sent where nobody asked for a size, and none is known.
const DEFAULT_SIZE: Size = Size { width: 640, height: 360 };
const DEFAULT_FPS: f64 = 30.0;

/// Pictures, or blocks of sound, that were read and are not due yet.
const AHEAD: usize = 8;

/// A stream that is later than this begins its time line anew.
const LATE: Duration = Duration::from_millis(250);

/// What the reading thread and the source share.
struct Place<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    gone: AtomicBool,
}

struct State<T> {
    /// Time since the stream began, and what is due then.
    ready: VecDeque<(Duration, T)>,
    /// Counts streams: another writer is another stream.
    stream: u32,
    ended: Option<Result<(), SourceError>>,
}

impl<T> Place<T> {
    fn new() -> Arc<Self> {
        let state = State { ready: VecDeque::new(), stream: 0, ended: None };
        Arc::new(Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            gone: AtomicBool::new(false),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something in when there is room; `false` when nobody wants it any more.
    fn put(&self, at: Duration, item: T) -> bool {
        let mut state = self.lock();
        while state.ready.len() >= AHEAD {
            if self.is_gone() {
                return false;
            }
            let waited = self.changed.wait_timeout(state, CARD_EVERY);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.ready.push_back((at, item));
        drop(state);
        self.changed.notify_all();
        !self.is_gone()
    }

    /// Waits until something is there or all is over, at most until `until`.
    fn wait(&self, until: Instant) -> MutexGuard<'_, State<T>> {
        let mut state = self.lock();
        while state.ready.is_empty() && state.ended.is_none() {
            let left = until.saturating_duration_since(clock::now());
            if left.is_zero() {
                break;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state
    }

    fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    fn leave(&self) {
        self.gone.store(true, Ordering::Relaxed);
        self.changed.notify_all();
    }
}

/// Reads streams one after the other, each from its beginning, until there are no more.
fn read_all<T>(
    path: &Path,
    once: bool,
    place: &Arc<Place<T>>,
    mut read_one: impl FnMut(Input) -> Result<(), ContainerError>,
) where
    T: Send + 'static,
{
    let end = loop {
        let watched = Arc::clone(place);
        let reader = match Pipe::open(path, Box::new(move || watched.is_gone())) {
            Ok(reader) => Box::new(BufReader::with_capacity(64 << 10, reader)),
            Err(error) => break Err(error.into()),
        };
        place.lock().stream += 1;
        let read = read_one(Input::stream(reader));
        if place.is_gone() {
            break Ok(());
        }
        if let Err(error) = read {
            break Err(error);
        }
        // Standard input does not come again; a named pipe may have another writer.
        if once || path == Path::new("-") {
            break Ok(());
        }
    };
    place.lock().ended = Some(end.map_err(super::in_file(path)));
    place.changed.notify_all();
}

/// When what comes is due: by the stream's own times, which begin when it comes, and begin anew when
/// it is late.
#[derive(Debug, Default)]
struct Pace {
    stream: u32,
    epoch: Option<Instant>,
}

impl Pace {
    fn due(&mut self, stream: u32, at: Duration, now: Instant) -> Instant {
        if stream != self.stream {
            (self.stream, self.epoch) = (stream, None);
        }
        let due = self.epoch.map(|epoch| epoch + at);
        match due {
            Some(due) if now < due + LATE => due,
            _ => {
                self.epoch = now.checked_sub(at);
                now
            }
        }
    }
}

/// Waits until `due` or until nobody wants more.
fn wait(due: Instant, stop: &StopFlag) {
    while clock::now() < due && !stop.load(Ordering::Relaxed) {
        clock::sleep_until(due.min(clock::now() + CARD_EVERY / 2));
    }
}

/// What is told of a pipe: that nobody writes, and that somebody does again.
struct News {
    path: PathBuf,
    seen_at: Instant,
    waits: bool,
    notices: VecDeque<DeviceNotice>,
}

impl News {
    fn new(path: &Path) -> Self {
        let seen_at = clock::now();
        Self { path: path.to_owned(), seen_at, waits: false, notices: VecDeque::new() }
    }

    fn seen(&mut self) {
        self.seen_at = clock::now();
        if std::mem::take(&mut self.waits) {
            let message = format!("data comes on {}; playing it", called(&self.path));
            self.notices.push_back(DeviceNotice { news: DeviceNews::Back, message });
        }
    }

    fn nothing(&mut self, instead: &str) {
        if !self.waits && clock::now() >= self.seen_at + SILENCE {
            self.waits = true;
            let name = called(&self.path);
            let message = format!("waiting for data on {name}; {instead}");
            self.notices.push_back(DeviceNotice { news: DeviceNews::Waiting, message });
        }
    }
}

fn called(path: &Path) -> String {
    match path == Path::new("-") {
        true => "standard input".to_owned(),
        false => format!("'{}'", path.display()),
    }
}

/// A thread that reads, which nobody waits for.
fn start(name: &str, path: &Path, run: impl FnOnce() + Send + 'static) -> Result<(), SourceError> {
    let thread = std::thread::Builder::new().name(format!("peer-{name}"));
    thread.spawn(run).map(drop).map_err(|error| SourceError::Unreadable {
        path: path.to_owned(),
        reason: error.to_string(),
    })
}

/// Pictures that come through a pipe.
pub struct LiveVideoSource {
    place: Arc<Place<VideoFrame>>,
    format: VideoFormat,
    pace: Pace,
    news: News,
    stop: StopFlag,
}

impl LiveVideoSource {
    /// Begins to read. When there is a writer already, the size of his pictures is that of the call,
    /// unless `options` name one.
    ///
    /// # Errors
    /// When what comes at once is nothing that we play.
    pub fn open(path: &Path, options: &MediaOptions) -> Result<Self, SourceError> {
        let place = Place::new();
        let (reading, from, once) = (Arc::clone(&place), path.to_owned(), options.once);
        let sizes = (options.size, options.max_picture);
        start("read-picture", path, move || {
            read_all(&from, once, &reading, |input| read_pictures(input, sizes, &reading));
        })?;
        let mut state = place.wait(clock::now() + FIRST);
        if let Some(Err(_)) = &state.ended
            && let Some(Err(error)) = state.ended.take()
        {
            return Err(error);
        }
        let first = state.ready.front().map(|(_, frame)| frame.size());
        drop(state);
        let size = options.size.or(first).unwrap_or(DEFAULT_SIZE);
        let fps = options.fps.unwrap_or(DEFAULT_FPS);
        let format = VideoFormat { size, fps };
        let (pace, news, stop) = (Pace::default(), News::new(path), StopFlag::default());
        Ok(Self { place, format, pace, news, stop })
    }
}

/// A stream in which something comes; who writes nothing has said nothing.
fn begun(mut input: Input) -> io::Result<Option<Input>> {
    if input.read(&mut [0])? == 0 {
        return Ok(None);
    }
    input.rewind()?;
    Ok(Some(input))
}

fn read_pictures(
    input: Input,
    (size, most): (Option<Size>, MaxPicture),
    place: &Place<VideoFrame>,
) -> Result<(), ContainerError> {
    let Some(input) = begun(input)? else { return Ok(()) };
    let opened = known(input, false)?;
    let mut pictures = Pictures::of(opened, most)?;
    let (pool, mut upright) = (FramePool::new(), Upright::default());
    let (showing, size) = (pictures.showing, size.unwrap_or(pictures.size));
    let mut origin = None;
    let mut wanted = true;
    while wanted {
        let mut show = |nanos: i64, planes: crate::media::scale::Planes<'_>| {
            let origin = *origin.get_or_insert(nanos);
            let at = u64::try_from(nanos.saturating_sub(origin)).unwrap_or(0);
            let mut frame = pool.take(size, clock::now());
            upright.draw(planes, &showing, &mut frame);
            wanted &= place.put(Duration::from_nanos(at), frame);
        };
        if !pictures.step(&mut show)? {
            return Ok(());
        }
    }
    Ok(())
}

impl VideoSource for LiveVideoSource {
    fn next_frame(&mut self) -> Result<Option<Arc<VideoFrame>>, SourceError> {
        let mut state = self.place.wait(clock::now() + CARD_EVERY);
        let next = state.ready.pop_front();
        let (stream, ended) = (state.stream, state.ended.is_some());
        let end = if next.is_none() && ended { state.ended.take() } else { None };
        drop(state);
        self.place.changed.notify_all();
        if let Some((at, mut frame)) = next {
            let due = self.pace.due(stream, at, clock::now());
            wait(due, &self.stop);
            frame.set_captured_at(due);
            self.news.seen();
            return Ok(Some(Arc::new(frame)));
        }
        if let Some(end) = end {
            return end.map(|()| None);
        }
        if ended || self.stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        self.news.nothing("sending a placeholder");
        Ok(Some(Arc::new(card::draw("waiting", self.format.size, clock::now()))))
    }

    fn format(&self) -> VideoFormat {
        self.format
    }

    fn notice(&mut self) -> Option<DeviceNotice> {
        self.news.notices.pop_front()
    }

    fn set_stop(&mut self, stop: StopFlag) {
        self.stop = stop;
    }
}

impl Drop for LiveVideoSource {
    fn drop(&mut self) {
        self.place.leave();
    }
}

/// Samples per channel in a block of 10 ms.
const BLOCK: usize = SAMPLE_RATE as usize / 100;

/// Channels of what is given: whatever comes later, they stay.
const CHANNELS: usize = 2;

/// Sound that comes through a pipe.
pub struct LiveAudioSource {
    place: Arc<Place<Vec<f32>>>,
    next_at: Option<Instant>,
    news: News,
    stop: StopFlag,
}

impl LiveAudioSource {
    /// Begins to read.
    ///
    /// # Errors
    /// When what comes at once is nothing that we play.
    pub fn open(path: &Path, once: bool) -> Result<Self, SourceError> {
        let place = Place::new();
        let (reading, from) = (Arc::clone(&place), path.to_owned());
        start("read-sound", path, move || {
            read_all(&from, once, &reading, |input| read_sound(input, &reading));
        })?;
        let mut state = place.wait(clock::now() + FIRST / 4);
        if let Some(Err(_)) = &state.ended
            && let Some(Err(error)) = state.ended.take()
        {
            return Err(error);
        }
        drop(state);
        let (news, stop) = (News::new(path), StopFlag::default());
        Ok(Self { place, next_at: None, news, stop })
    }
}

fn read_sound(input: Input, place: &Place<Vec<f32>>) -> Result<(), ContainerError> {
    let Some(input) = begun(input)? else { return Ok(()) };
    let opened = known(input, false)?;
    let mut pcm = Pcm::of(opened, None)?;
    let mut resampler = ToCallRate::new(pcm.rate, pcm.channels)?;
    let (mut raw, mut ready) = (Vec::new(), Vec::new());
    let mut blocks = 0;
    loop {
        raw.clear();
        let more = pcm.read(&mut raw)?;
        resampler.push(&raw, &mut ready).map_err(ContainerError::corrupt)?;
        if !more {
            resampler.flush(&mut ready).map_err(ContainerError::corrupt)?;
        }
        let block = BLOCK * pcm.channels;
        while ready.len() >= block || !more && !ready.is_empty() {
            let mut part: Vec<f32> = ready.drain(..block.min(ready.len())).collect();
            part.resize(block, 0.0);
            let part = super::mixdown::rechannel(part, pcm.channels, CHANNELS);
            if !place.put(AUDIO_BLOCK * blocks, part) {
                return Ok(());
            }
            blocks += 1;
        }
        if !more {
            return Ok(());
        }
    }
}

impl AudioSource for LiveAudioSource {
    /// A block each 10 ms: what came, or silence.
    fn next_frame(&mut self) -> Result<Option<AudioFrame>, SourceError> {
        let now = clock::now();
        let due = match self.next_at {
            Some(due) if now < due + LATE => due,
            _ => now,
        };
        wait(due, &self.stop);
        if self.stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        self.next_at = Some(due + AUDIO_BLOCK);
        let mut state = self.place.lock();
        let next = state.ready.pop_front();
        let end = if next.is_none() { state.ended.take() } else { None };
        drop(state);
        self.place.changed.notify_all();
        if let Some(end) = end {
            return end.map(|()| None);
        }
        let samples = match next {
            Some((_, samples)) => {
                self.news.seen();
                samples
            }
            None => {
                self.news.nothing("sending silence");
                vec![0.0; BLOCK * CHANNELS]
            }
        };
        Ok(Some(AudioFrame { samples, channels: CHANNELS, captured_at: due }))
    }

    fn channels(&self) -> usize {
        CHANNELS
    }

    fn notice(&mut self) -> Option<DeviceNotice> {
        self.news.notices.pop_front()
    }

    fn set_stop(&mut self, stop: StopFlag) {
        self.stop = stop;
    }
}

impl Drop for LiveAudioSource {
    fn drop(&mut self) {
        self.place.leave();
    }
}
