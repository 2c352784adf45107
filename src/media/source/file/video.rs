//! Plays the pictures of a file in time.
//!
//! Owns pacing, the frame rate limit, looping and catching up. What decodes is
//! behind [`Pictures`]; when something is due, the [`Timeline`] says.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::pictures::Pictures;
use super::{SourceError, cut_notice, in_file};
use crate::media::device::DeviceNotice;
use crate::media::frame::{FramePool, VideoFrame};
use crate::media::source::timeline::{StopFlag, Timeline};
use crate::media::source::{MediaOptions, VideoFormat, VideoSource};
use crate::media::upright::Upright;

/// The frame rate above which a file is thinned out when nobody asked for one.
const DEFAULT_MAX_FPS: f64 = 30.0;

/// The pictures of a file, in time.
pub struct FileVideoSource {
    path: PathBuf,
    pictures: Pictures,
    upright: Upright,
    pool: FramePool,
    /// The time of the file that becomes zero, nanoseconds.
    clock: FileClock,
    timeline: Timeline,
    format: VideoFormat,
    thinning: Thinning,
    once: bool,
    /// Decoded pictures that are not shown yet, and when each is due; a handful at the end of a file.
    ready: VecDeque<(Duration, VideoFrame)>,
    /// When the current round through the file began.
    round: Duration,
    /// When its last picture so far ends, counted from the start of the round.
    end: Duration,
}

impl std::fmt::Debug for FileVideoSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileVideoSource")
            .field("path", &self.path)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

impl FileVideoSource {
    /// Opens a file and decodes its first picture, so that what cannot be played is known now.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged, or holds no pictures that we play.
    pub fn open(
        path: &Path,
        options: &MediaOptions,
        timeline: Timeline,
    ) -> Result<Self, SourceError> {
        let pictures = Pictures::open(path, options.max_picture)?;
        let limit = options.fps.unwrap_or(DEFAULT_MAX_FPS);
        let format = VideoFormat {
            size: options.size.unwrap_or(pictures.size),
            fps: pictures.fps.min(limit),
        };
        let origin = timeline.origin().unwrap_or(pictures.begins);
        let mut source = Self {
            path: path.to_owned(),
            clock: FileClock::from(origin),
            thinning: Thinning::new(pictures.fps, limit),
            pictures,
            upright: Upright::default(),
            pool: FramePool::new(),
            timeline,
            format,
            once: options.once,
            ready: VecDeque::new(),
            round: Duration::ZERO,
            end: Duration::ZERO,
        };
        source.prepare()?;
        Ok(source)
    }

    /// Decodes until a picture is ready; `false` when there are no more.
    fn prepare(&mut self) -> Result<bool, SourceError> {
        let mut rounds_without = 0;
        while self.ready.is_empty() {
            if self.step()? {
                continue;
            }
            rounds_without += 1;
            if self.once || self.end.is_zero() || rounds_without > 1 {
                return Ok(false);
            }
            self.round += self.timeline.period().unwrap_or(self.end);
            self.end = Duration::ZERO;
            self.clock.last = None;
            self.pictures.rewind().map_err(in_file(&self.path))?;
        }
        Ok(true)
    }

    fn step(&mut self) -> Result<bool, SourceError> {
        let Self { pictures, upright, pool, ready, thinning, clock, .. } = self;
        let (round, size, end) = (self.round, self.format.size, &mut self.end);
        let period = self.timeline.period();
        let lasts = Duration::from_secs_f64(1.0 / pictures.fps);
        let now = crate::clock::now();
        let mut keeps = |nanos: i64| {
            let at = clock.since_start(nanos);
            *end = (*end).max(at + lasts);
            let kept = period.is_none_or(|period| at < period) && thinning.keeps(round + at);
            kept.then_some(round + at)
        };
        let mut frame = pool.take(size, now);
        if let Some(nanos) = pictures.read_into(&mut frame).map_err(in_file(&self.path))? {
            ready.extend(keeps(nanos).map(|at| (at, frame)));
            return Ok(true);
        }
        let showing = pictures.showing;
        let mut show = |nanos: i64, planes: crate::media::scale::Planes<'_>| {
            if let Some(at) = keeps(nanos) {
                let mut frame = pool.take(size, now);
                upright.draw(planes, &showing, &mut frame);
                ready.push_back((at, frame));
            }
        };
        pictures.step(&mut show).map_err(in_file(&self.path))
    }

    /// Leaves out pictures whose successor is due already, a second's worth at most.
    fn catch_up(&mut self) -> Result<(), SourceError> {
        let frame_lasts = Duration::from_secs_f64(1.0 / self.format.fps);
        for _ in 0..self.format.fps.ceil() as u32 {
            let Some((at, _)) = self.ready.front() else { return Ok(()) };
            if !self.timeline.is_due(*at + frame_lasts) {
                return Ok(());
            }
            let late = self.ready.pop_front();
            self.prepare()?;
            let next_is_due = self.ready.front().is_some_and(|(at, _)| self.timeline.is_due(*at));
            if !next_is_due {
                self.ready.extend(late);
                self.ready.rotate_right(1);
                return Ok(());
            }
        }
        Ok(())
    }
}

impl VideoSource for FileVideoSource {
    fn next_frame(&mut self) -> Result<Option<Arc<VideoFrame>>, SourceError> {
        if self.prepare()? {
            self.catch_up()?;
        }
        let Some((at, mut frame)) = self.ready.pop_front() else {
            // The last picture is shown as long as the others were.
            self.timeline.wait(self.round + self.end);
            return Ok(None);
        };
        frame.set_captured_at(self.timeline.wait(at));
        Ok((!self.timeline.is_stopped()).then(|| Arc::new(frame)))
    }

    fn format(&self) -> VideoFormat {
        self.format
    }

    fn notice(&mut self) -> Option<DeviceNotice> {
        let cut = self.pictures.was_cut() && self.timeline.tell_once();
        cut.then(|| cut_notice(&self.path))
    }

    fn set_stop(&mut self, stop: StopFlag) {
        self.timeline.set_stop(stop);
    }
}

/// The clock of a file, made into time since its start.
pub(super) struct FileClock {
    /// The time that becomes zero, nanoseconds.
    origin: i64,
    /// The last time, as it was told.
    last: Option<i64>,
}

/// A step back of more than this, nanoseconds, is a clock that begins anew.
const NEW_CLOCK: i64 = 1_000_000_000;

impl FileClock {
    /// A clock of which this time, nanoseconds, becomes zero.
    pub(super) fn from(origin: i64) -> Self {
        Self { origin, last: None }
    }

    pub(super) fn since_start(&mut self, nanos: i64) -> Duration {
        if let Some(last) = self.last
            && nanos < last.saturating_sub(NEW_CLOCK)
        {
            self.origin = self.origin.saturating_sub(last.saturating_sub(nanos));
        }
        self.last = Some(nanos);
        let since = nanos.saturating_sub(self.origin);
        Duration::from_nanos(u64::try_from(since).unwrap_or(0))
    }
}

/// Brings a frame rate down by leaving pictures out, evenly.
struct Thinning {
    fps: Option<f64>,
    last: Option<u64>,
}

impl Thinning {
    fn new(own: f64, limit: f64) -> Self {
        Self { fps: (own > limit * 1.01 && limit > 0.0).then_some(limit), last: None }
    }

    /// Whether the picture at this time is the first of its place in the lower rate.
    fn keeps(&mut self, at: Duration) -> bool {
        let Some(fps) = self.fps else { return true };
        // Times may be rounded to milliseconds: a tenth of a picture early is in time.
        let place = (at.as_secs_f64() * fps + 0.1) as u64;
        let keeps = self.last.is_none_or(|last| place > last);
        if keeps {
            self.last = Some(place);
        }
        keeps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_begins_anew_goes_on() {
        let mut clock = FileClock::from(4_000_000_000);
        let ms = |clock: &mut FileClock, ms: i64| clock.since_start(ms * 1_000_000).as_millis();
        assert_eq!(ms(&mut clock, 4_000), 0);
        assert_eq!(ms(&mut clock, 9_000), 5_000);
        assert_eq!(ms(&mut clock, 8_960), 4_960, "pictures are reordered");
        assert_eq!(ms(&mut clock, 0), 4_960);
        assert_eq!(ms(&mut clock, 40), 5_000);
    }

    #[test]
    fn thinning_keeps_every_second_picture_of_sixty() {
        let mut thinning = Thinning::new(60.0, 30.0);
        let kept: Vec<u64> =
            (0..12).filter(|n| thinning.keeps(Duration::from_millis(n * 1000 / 60))).collect();
        assert_eq!(kept, [0, 2, 4, 6, 8, 10]);
    }

    #[test]
    fn thinning_leaves_slow_files_alone() {
        let mut thinning = Thinning::new(29.97, 29.97);
        assert!((0..100).all(|n| thinning.keeps(Duration::from_millis(n * 33))));
    }

    #[test]
    fn thinning_fifty_to_thirty_keeps_thirty_a_second() {
        let mut thinning = Thinning::new(50.0, 30.0);
        let kept = (0..500).filter(|n| thinning.keeps(Duration::from_millis(n * 20))).count();
        assert_eq!(kept, 300);
    }
}
