//! Stores what was received, as it was received, so that it plays to the last second.
//!
//! Owns the file, when the recording begins and the order of times. Bytes come
//! from the two writers; nothing is encoded again.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::SinkError;
use crate::media::codec::h264::sps::Sps;
use crate::media::container::avc::{build_config, parameter_sets_of, to_length_prefixed};
use crate::media::container::mkv_writer::MkvWriter;
use crate::media::container::mp4_writer::Mp4Writer;
use crate::media::container::mux::{Heads, MuxSample, Track, VideoHead};

/// What a recording will hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecorderTracks {
    /// Whether pictures will come.
    pub video: bool,
    /// Channels (1 or 2) of the sound that will come, if any.
    pub audio: Option<u8>,
}

/// Writes one call to a file: H.264 and Opus as received, nothing encoded again.
///
/// The recording begins with the first keyframe. A frame that was lost leaves a gap in time. After
/// a write that failed (a full disk) the error is given back once and the rest is left out.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    tracks: RecorderTracks,
    format: Format,
    file: File,
    state: State,
    /// Sound that waits for the first keyframe.
    waiting: VecDeque<(Vec<u8>, u64, u64)>,
    last_video: Option<u64>,
    last_audio: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Mkv,
    Mp4,
}

#[derive(Debug)]
enum State {
    Waiting,
    Recording { writer: Writer, origin: u64 },
    Failed,
}

#[derive(Debug)]
enum Writer {
    Mkv(Box<MkvWriter>),
    Mp4(Box<Mp4Writer>),
}

/// How much sound waits for a picture before the recording begins without one, nanoseconds.
const PATIENCE: u64 = 5_000_000_000;

/// Packets of sound that wait at most, whatever times they claim: five seconds of the shortest.
const MAX_WAITING: usize = 2_000;

/// How long a picture lasts when no other follows, nanoseconds.
const PICTURE_LASTS: u64 = 33_333_333;

impl Recorder {
    /// Creates the file, over one that is there, so that a path that cannot be written fails now.
    /// The ending says which container: `.mkv` or `.mp4`.
    ///
    /// # Errors
    /// When the ending is another, the path is a directory, or the file cannot be created.
    pub fn create(path: &Path, tracks: RecorderTracks) -> Result<Self, SinkError> {
        Self::open(path, tracks, OpenOptions::new().create(true).truncate(true))
    }

    /// The same, but only where there is no such file yet; `None` where there is.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn create_new(path: &Path, tracks: RecorderTracks) -> Result<Option<Self>, SinkError> {
        if path.symlink_metadata().is_ok() {
            return Ok(None);
        }
        Self::open(path, tracks, OpenOptions::new().create_new(true)).map(Some)
    }

    fn open(path: &Path, tracks: RecorderTracks, how: &mut OpenOptions) -> Result<Self, SinkError> {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        let format = match ending.as_deref() {
            Some("mkv") => Format::Mkv,
            Some("mp4") => Format::Mp4,
            _ => {
                return Err(unwritable(path, "a recording ends in .mkv or .mp4".to_owned()));
            }
        };
        if path.is_dir() {
            return Err(unwritable(path, "it is a directory; name a file".to_owned()));
        }
        let file =
            how.write(true).open(path).map_err(|error| unwritable(path, error.to_string()))?;
        Ok(Self {
            path: path.to_owned(),
            tracks,
            format,
            file,
            state: State::Waiting,
            waiting: VecDeque::new(),
            last_video: None,
            last_audio: None,
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes one access unit in Annex B form. `at` is its presentation time on the clock that it
    /// shares with the sound.
    ///
    /// # Errors
    /// When the file cannot be written; only once, then the recording has ended.
    pub fn video(&mut self, data: &[u8], keyframe: bool, at: Duration) -> Result<(), SinkError> {
        if !self.tracks.video {
            return Ok(());
        }
        let at = nanos(at);
        if matches!(self.state, State::Waiting)
            && keyframe
            && let Some(head) = video_head(data)
        {
            self.begin(Some(head), at)?;
        }
        let Some(at) = self.time_of(at, Track::Video) else { return Ok(()) };
        let data = to_length_prefixed(data);
        if data.is_empty() {
            return Ok(());
        }
        let lasts = PICTURE_LASTS;
        self.write(MuxSample { track: Track::Video, data, keyframe, at, lasts })
    }

    /// Takes one Opus packet of `samples_per_channel` samples at 48 kHz.
    ///
    /// # Errors
    /// When the file cannot be written; only once, then the recording has ended.
    pub fn audio(
        &mut self,
        packet: &[u8],
        samples_per_channel: u32,
        at: Duration,
    ) -> Result<(), SinkError> {
        if self.tracks.audio.is_none() || packet.is_empty() {
            return Ok(());
        }
        let at = nanos(at);
        let lasts = u64::from(samples_per_channel) * 1_000_000_000 / 48_000;
        if matches!(self.state, State::Waiting) {
            self.waiting.push_back((packet.to_vec(), at, lasts));
            let first = self.waiting.front().map_or(at, |(_, first, _)| *first);
            let patient = at.saturating_sub(first) <= PATIENCE && self.waiting.len() < MAX_WAITING;
            if !self.tracks.video || !patient {
                return self.begin(None, first);
            }
            return Ok(());
        }
        self.sound(packet.to_vec(), at, lasts)
    }

    fn sound(&mut self, data: Vec<u8>, at: u64, lasts: u64) -> Result<(), SinkError> {
        let Some(at) = self.time_of(at, Track::Audio) else { return Ok(()) };
        self.write(MuxSample { track: Track::Audio, data, keyframe: true, at, lasts })
    }

    /// Ends the recording and writes what is only known now: its length and where keyframes are.
    /// `false` when nothing came: then there is no file.
    ///
    /// # Errors
    /// When the file cannot be written, unless that was said before.
    pub fn finish(mut self) -> Result<bool, SinkError> {
        if matches!(self.state, State::Waiting)
            && let Some((_, first, _)) = self.waiting.front()
        {
            let first = *first;
            self.begin(None, first)?;
        }
        if matches!(self.state, State::Waiting) {
            return Ok(false);
        }
        let State::Recording { writer, .. } = std::mem::replace(&mut self.state, State::Failed)
        else {
            return Ok(true);
        };
        let (tail, head) = match writer {
            Writer::Mkv(mkv) => mkv.finish(),
            Writer::Mp4(mp4) => mp4.finish(),
        };
        let written = self
            .file
            .write_all(&tail)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)))
            .and_then(|_| self.file.write_all(&head));
        written.map_err(|error| unwritable(&self.path, error.to_string()))?;
        Ok(true)
    }

    /// Writes the head; then the sound that waited, from `origin` on.
    fn begin(&mut self, video: Option<VideoHead>, origin: u64) -> Result<(), SinkError> {
        self.tracks.video = video.is_some();
        let heads = Heads { video, audio: self.tracks.audio };
        let (writer, head) = match self.format {
            Format::Mkv => {
                let (mkv, head) = MkvWriter::new(heads);
                (Writer::Mkv(Box::new(mkv)), head)
            }
            Format::Mp4 => {
                let (mp4, head) = Mp4Writer::new(heads);
                (Writer::Mp4(Box::new(mp4)), head)
            }
        };
        self.state = State::Recording { writer, origin };
        self.append(&head)?;
        for (data, at, lasts) in std::mem::take(&mut self.waiting) {
            self.sound(data, at, lasts)?;
        }
        Ok(())
    }

    /// The time since the recording began; later than the last one of its track. `None` when the
    /// recording has not begun, or the sample belongs before it.
    fn time_of(&mut self, at: u64, track: Track) -> Option<u64> {
        let State::Recording { origin, .. } = &self.state else { return None };
        let at = at.checked_sub(*origin)?;
        let last = match track {
            Track::Video => &mut self.last_video,
            Track::Audio => &mut self.last_audio,
        };
        // A millisecond is the finest step that Matroska stores.
        let at = last.map_or(at, |last| at.max(last + 1_000_000));
        *last = Some(at);
        Some(at)
    }

    fn write(&mut self, sample: MuxSample) -> Result<(), SinkError> {
        let State::Recording { writer, .. } = &mut self.state else { return Ok(()) };
        let piece = match writer {
            Writer::Mkv(mkv) => mkv.push(&sample),
            Writer::Mp4(mp4) => mp4.push(sample),
        };
        piece.map_or(Ok(()), |piece| self.append(&piece))
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        self.file.write_all(bytes).map_err(|error| {
            self.state = State::Failed;
            unwritable(&self.path, error.to_string())
        })
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // An empty file is no recording. Should it not go away, it is in nobody's way.
        let about = self.path.symlink_metadata();
        let is_empty = about.is_ok_and(|about| about.is_file() && about.len() == 0);
        if is_empty && matches!(self.state, State::Waiting) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn unwritable(path: &Path, reason: String) -> SinkError {
    SinkError::Unwritable { path: path.to_owned(), reason }
}

fn nanos(at: Duration) -> u64 {
    u64::try_from(at.as_nanos()).unwrap_or(u64::MAX / 4)
}

/// What the head of the file says of the pictures, from the first keyframe.
fn video_head(unit: &[u8]) -> Option<VideoHead> {
    let (sps, pps) = parameter_sets_of(unit)?;
    let size = Sps::parse(sps)?;
    Some(VideoHead { config: build_config(sps, pps)?, width: size.width, height: size.height })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
#[path = "recorder_tests.rs"]
mod tests;
