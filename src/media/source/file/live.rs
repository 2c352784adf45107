//! Pictures and sound that come through a pipe: a named one (FIFO), or standard input (`-`).
//!
//! Owns the threads that read, since a pipe may keep its reader waiting for ever, and what is given
//! meanwhile: a card, or silence. What a stream is, its first bytes say; it plays by its own times,
//! from when it comes.

use std::collections::VecDeque;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

mod reading;

pub use reading::{LiveShare, is_standard_input};
use reading::{Place, Reading, take_up};

use super::input::Input;
use super::pcm::Pcm;
use super::pictures::Pictures;
use super::video::FileClock;
use super::{SourceError, known};
use crate::clock;
use crate::media::audio::resample::ToCallRate;
use crate::media::container::ContainerError;
use crate::media::device::{DeviceNews, DeviceNotice};
use crate::media::frame::{AudioFrame, FramePool, MaxPicture, SAMPLE_RATE, Size, VideoFrame};
use crate::media::identity::Identity;
use crate::media::source::card;
use crate::media::source::timeline::StopFlag;
use crate::media::source::{AUDIO_BLOCK, AudioSource, MediaOptions, VideoFormat, VideoSource};
use crate::media::upright::Upright;

/// Whether what `--video` or `--audio` names comes through a pipe.
#[must_use]
pub fn is_live(path: &Path) -> bool {
    is_standard_input(path) || is_fifo(path)
}

/// Whether both name the same pipe, by whatever names.
#[must_use]
pub fn same_pipe(one: &Path, other: &Path) -> bool {
    Identity::of_input(one) == Identity::of_input(other)
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

/// A stream that is later than this begins its time line anew.
const LATE: Duration = Duration::from_millis(250);

/// A step ahead of more than this is a time line that begins anew, unless the step before was one, too.
const JUMP: Duration = Duration::from_secs(5);

/// When what comes is due: by the stream's own times, which begin when it comes, and begin anew when
/// it is late, or when they jump.
#[derive(Debug, Default)]
struct Pace {
    stream: u32,
    epoch: Option<Instant>,
    /// The last time, and how far it was from the one before.
    last: Duration,
    step: Duration,
}

impl Pace {
    fn due(&mut self, stream: u32, at: Duration, now: Instant) -> Instant {
        if stream != self.stream {
            *self = Self { stream, ..Self::default() };
        }
        let step = at.saturating_sub(self.last);
        let jumps = step > JUMP && step > self.step * 2;
        (self.last, self.step) = (at, step);
        let due = self.epoch.filter(|_| !jumps).and_then(|epoch| epoch.checked_add(at));
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
            let message = format!("data comes on {}; playing it", quoted(&self.path));
            self.notices.push_back(DeviceNotice { news: DeviceNews::Back, message });
        }
    }

    fn nothing(&mut self, instead: &str) {
        if !self.waits && clock::now() >= self.seen_at + SILENCE {
            self.waits = true;
            let name = quoted(&self.path);
            let message = format!("waiting for data on {name}; {instead}");
            self.notices.push_back(DeviceNotice { news: DeviceNews::Waiting, message });
        }
    }
}

/// What people call a pipe.
fn quoted(path: &Path) -> String {
    match is_standard_input(path) {
        true => "standard input".to_owned(),
        false => format!("'{}'", path.display()),
    }
}

/// Pictures that come through a pipe.
pub struct LiveVideoSource {
    reading: Arc<Reading<VideoFrame>>,
    format: VideoFormat,
    pace: Pace,
    news: News,
    stop: StopFlag,
}

impl LiveVideoSource {
    /// Begins to read, or goes on where a source before it has stopped. When there is a writer already,
    /// the size of his pictures is that of the call, unless `options` name one.
    ///
    /// # Errors
    /// When what comes at once is nothing that we play.
    pub fn open(path: &Path, options: &MediaOptions) -> Result<Self, SourceError> {
        let sizes = (options.size, options.max_picture);
        let read_one = Box::new(move |input, place: &_| read_pictures(input, sizes, place));
        let how = (options.once, FIRST);
        let reading = take_up(options.live.video(), path, how, read_one)?;
        let first = reading.place().lock().ready.front().map(|(_, frame)| frame.size());
        let size = options.size.or(first).unwrap_or(DEFAULT_SIZE);
        let fps = options.fps.unwrap_or(DEFAULT_FPS);
        let format = VideoFormat { size, fps };
        let (pace, news, stop) = (Pace::default(), News::new(path), StopFlag::default());
        Ok(Self { reading, format, pace, news, stop })
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
) -> Result<bool, ContainerError> {
    let Some(input) = begun(input)? else { return Ok(false) };
    let opened = known(input, false)?;
    let mut pictures = Pictures::of(opened, most)?;
    let (pool, mut upright) = (FramePool::new(), Upright::default());
    let (showing, size) = (pictures.showing, size.unwrap_or(pictures.size));
    let mut clock = None;
    let mut wanted = true;
    while wanted {
        let mut show = |nanos: i64, planes: crate::media::scale::Planes<'_>| {
            let at = clock.get_or_insert_with(|| FileClock::from(nanos)).since_start(nanos);
            let mut frame = pool.take(size, clock::now());
            upright.draw(planes, &showing, &mut frame);
            wanted &= place.put(at, frame);
        };
        if !pictures.step(&mut show)? {
            break;
        }
    }
    Ok(true)
}

impl VideoSource for LiveVideoSource {
    fn next_frame(&mut self) -> Result<Option<Arc<VideoFrame>>, SourceError> {
        let place = self.reading.place();
        let mut state = place.wait(clock::now() + CARD_EVERY);
        let end = state.end();
        let (next, stream) = (state.ready.pop_front(), state.stream);
        drop(state);
        place.taken();
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
        if self.stop.load(Ordering::Relaxed) {
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

/// Samples per channel in a block of 10 ms.
const BLOCK: usize = SAMPLE_RATE as usize / 100;

/// Channels of what is given: whatever comes later, they stay.
const CHANNELS: usize = 2;

/// Sound that comes through a pipe.
pub struct LiveAudioSource {
    reading: Arc<Reading<Vec<f32>>>,
    next_at: Option<Instant>,
    news: News,
    stop: StopFlag,
}

impl LiveAudioSource {
    /// Begins to read, or goes on where a source before it has stopped.
    ///
    /// # Errors
    /// When what comes at once is nothing that we play.
    pub fn open(path: &Path, options: &MediaOptions) -> Result<Self, SourceError> {
        let how = (options.once, FIRST / 4);
        let reading = take_up(options.live.audio(), path, how, Box::new(read_sound))?;
        let (news, stop) = (News::new(path), StopFlag::default());
        Ok(Self { reading, next_at: None, news, stop })
    }
}

fn read_sound(input: Input, place: &Place<Vec<f32>>) -> Result<bool, ContainerError> {
    let Some(input) = begun(input)? else { return Ok(false) };
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
                return Ok(true);
            }
            blocks += 1;
        }
        if !more {
            return Ok(true);
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
        let place = self.reading.place();
        let mut state = place.lock();
        let end = state.end();
        let next = state.ready.pop_front();
        drop(state);
        place.taken();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(times: &[u64]) -> Vec<u64> {
        let (mut pace, start) = (Pace::default(), clock::now());
        let mut now = start;
        let due = times.iter().map(|ms| {
            now = pace.due(1, Duration::from_millis(*ms), now);
            (now - start).as_millis() as u64
        });
        due.collect()
    }

    #[test]
    fn a_jump_ahead_is_a_new_time_line_and_slow_pictures_are_none() {
        assert_eq!(pace(&[0, 40, 80, 120]), [0, 40, 80, 120]);
        assert_eq!(pace(&[0, 40, 3_600_040, 3_600_080]), [0, 40, 40, 80]);
        assert_eq!(pace(&[0, 4_000, 8_000]), [0, 4_000, 8_000]);
        // Of pictures ten seconds apart only the first comes too early.
        assert_eq!(pace(&[0, 10_000, 20_000, 30_000]), [0, 0, 10_000, 20_000]);
    }
}
