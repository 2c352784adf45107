//! Stores what was received, as it was received, so that it plays to the last second.
//!
//! Owns the order of times and what a recording is made of: tracks that begin when they do, and sound
//! without holes where nothing was sent. Bytes come from the two writers; nothing is encoded again.
//! Where they go is `recorder/place.rs`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::SinkError;
use crate::media::container::mkv_writer::MkvWriter;
use crate::media::container::mp4_writer::Mp4Writer;
use crate::media::container::mux::{Heads, MuxSample, SOUND, Track};
use crate::media::container::pictures;
use crate::media::encoded::{Codec, EncodedFrame, MediaKind};
use crate::media::showing::Orientation;
use crate::system;

mod place;

use place::Place;
pub(super) use place::check as check_place;

/// What a recording will hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecorderTracks {
    /// Whether pictures will come.
    pub video: bool,
    /// Channels (1 or 2) of the sound that will come, if any.
    pub audio: Option<u8>,
}

/// Writes one call to a file: pictures and sound as received, nothing encoded again.
///
/// The recording begins with the first packet of sound or the first keyframe, and what comes later
/// joins it, whenever that is. A picture that was lost leaves a gap in time; where sound was lost or
/// silence was not sent, the decoder is told to make it up. After a write that failed (a full disk)
/// the file is made one that plays, the error is given back once, and the rest is left out.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    tracks: RecorderTracks,
    format: Format,
    place: Place,
    heads: Heads,
    state: State,
    last_video: Option<u64>,
    last_audio: Option<u64>,
    /// The codec and the first byte of the last packet of sound, and when the sound after it is due.
    sound: Option<(Codec, u8, u64)>,
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

#[derive(Debug, Clone)]
enum Writer {
    Mkv(Box<MkvWriter>),
    Mp4(Box<Mp4Writer>),
}

impl Writer {
    fn push(&mut self, sample: MuxSample) -> Option<Vec<u8>> {
        match self {
            Self::Mkv(mkv) => mkv.push(&sample),
            Self::Mp4(mp4) => mp4.push(sample),
        }
    }

    fn add(&mut self, heads: Heads, at: u64) -> Option<Vec<u8>> {
        match self {
            Self::Mkv(mkv) => mkv.add(heads),
            Self::Mp4(mp4) => mp4.add(heads, at),
        }
    }

    fn written(&self) -> u64 {
        match self {
            Self::Mkv(mkv) => mkv.written(),
            Self::Mp4(mp4) => mp4.written(),
        }
    }

    fn abandon(self, whole: u64) -> Vec<u8> {
        match self {
            Self::Mkv(mkv) => mkv.abandon(whole),
            Self::Mp4(mp4) => mp4.abandon(whole),
        }
    }

    fn finish(self) -> (Vec<u8>, Vec<u8>) {
        match self {
            Self::Mkv(mkv) => mkv.finish(),
            Self::Mp4(mp4) => mp4.finish(),
        }
    }
}

/// How long a picture lasts when no other follows, nanoseconds.
const PICTURE_LASTS: u64 = 33_333_333;

/// Sound that is missing for so long was lost, or is silence of which nothing is sent (RFC 7587
/// section 3.1.3); beyond that it is a pause. Nanoseconds.
const HOLE: std::ops::Range<u64> = 15_000_000..3_000_000_000;

impl Recorder {
    /// Records into the file; one that is there is replaced when the first packets are on disk, and
    /// stays when none come. A path that cannot be written fails now. The ending says which
    /// container: `.mkv` or `.mp4`.
    ///
    /// # Errors
    /// When the ending is another, the path is a directory, or the file cannot be created.
    pub fn create(path: &Path, tracks: RecorderTracks) -> Result<Self, SinkError> {
        Self::open(path, tracks, Place::over)
    }

    /// The same, but only where there is no such file yet; `None` where there is.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn create_new(path: &Path, tracks: RecorderTracks) -> Result<Option<Self>, SinkError> {
        if path.symlink_metadata().is_ok() {
            return Ok(None);
        }
        Self::open(path, tracks, Place::new).map(Some)
    }

    fn open(
        path: &Path,
        tracks: RecorderTracks,
        how: impl Fn(&Path) -> std::io::Result<Place>,
    ) -> Result<Self, SinkError> {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        let format = match ending.as_deref() {
            Some("mkv") => Format::Mkv,
            Some("mp4") => Format::Mp4,
            _ => {
                return Err(unwritable(
                    path,
                    "the name of a recording must end in .mkv or .mp4".to_owned(),
                ));
            }
        };
        check_place(path).map_err(|reason| unwritable(path, reason.to_owned()))?;
        let place = how(path).map_err(|error| unwritable(path, system::words(&error)))?;
        Ok(Self {
            path: path.to_owned(),
            tracks,
            format,
            place,
            heads: Heads::default(),
            state: State::Waiting,
            last_video: None,
            last_audio: None,
            sound: None,
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which way up its pictures are shown; `None` before there are any.
    #[must_use]
    pub fn orientation(&self) -> Option<Orientation> {
        self.heads.video.as_ref().map(|head| head.orientation)
    }

    /// What its pictures are encoded in; `None` before there are any.
    #[must_use]
    pub fn codec(&self) -> Option<Codec> {
        self.heads.video.as_ref().map(|head| head.codec)
    }

    /// When it began, on the clock of what is recorded; `None` before that.
    #[must_use]
    pub fn began_at(&self) -> Option<Duration> {
        match &self.state {
            State::Recording { origin, .. } => Some(Duration::from_nanos(*origin)),
            _ => None,
        }
    }

    /// Takes a picture or a packet of sound. `at` is its presentation time on the clock that both share.
    ///
    /// # Errors
    /// When the file cannot be written; only once, then the recording has ended.
    pub fn take(&mut self, frame: &EncodedFrame, at: Duration) -> Result<(), SinkError> {
        if matches!(self.state, State::Failed) {
            return Ok(());
        }
        match frame.codec.kind() {
            MediaKind::Video => self.video(frame, nanos(at)),
            MediaKind::Audio => self.audio(frame, nanos(at)),
        }
    }

    fn video(&mut self, frame: &EncodedFrame, at: u64) -> Result<(), SinkError> {
        if !self.tracks.video {
            return Ok(());
        }
        if self.heads.video.is_none() {
            // Nothing can be shown before the first picture that needs no other.
            let head = if frame.keyframe { pictures::head(frame) } else { None };
            let Some(head) = head else { return Ok(()) };
            self.begin(Heads { video: Some(head), ..self.heads.clone() }, at)?;
            if self.heads.video.is_none() {
                self.tracks.video = false;
                return Ok(());
            }
        }
        // What is in another codec needs a file of its own.
        if self.codec() != Some(frame.codec) {
            return Ok(());
        }
        let Some(at) = self.time_of(at, Track::Video) else { return Ok(()) };
        let data = pictures::to_stored(frame);
        if data.is_empty() {
            return Ok(());
        }
        let (lasts, keyframe) = (PICTURE_LASTS, frame.keyframe);
        self.write(MuxSample { track: Track::Video, data, keyframe, at, lasts })
    }

    fn audio(&mut self, packet: &EncodedFrame, at: u64) -> Result<(), SinkError> {
        // Sound in another codec has no place in the file.
        let channels = self.tracks.audio.filter(|_| packet.codec == SOUND);
        let Some(channels) = channels else { return Ok(()) };
        let Some(first) = packet.data.first() else { return Ok(()) };
        if self.heads.audio.is_none() {
            self.begin(Heads { audio: Some(channels), ..self.heads.clone() }, at)?;
            if self.heads.audio.is_none() {
                self.tracks.audio = None;
                return Ok(());
            }
        }
        let lasts = sound_lasts(packet.samples);
        self.fill_hole(at)?;
        self.sound = Some((packet.codec, *first, at.saturating_add(lasts)));
        self.sound_packet(packet.data.to_vec(), at, lasts)
    }

    fn sound_packet(&mut self, data: Vec<u8>, at: u64, lasts: u64) -> Result<(), SinkError> {
        let Some(at) = self.time_of(at, Track::Audio) else { return Ok(()) };
        self.write(MuxSample { track: Track::Audio, data, keyframe: true, at, lasts })
    }

    /// Where sound is missing before `at`, packets that hold nothing ask the decoder to make it up
    /// (RFC 7845 section 4.1): players take a hole in the packets for a fault of the file.
    fn fill_hole(&mut self, at: u64) -> Result<(), SinkError> {
        let Some((codec, first, mut due)) = self.sound else { return Ok(()) };
        // One frame a packet, of the length that the packet before had.
        let empty = vec![first & 0xFC];
        let lasts = sound_lasts(codec.samples(&empty).unwrap_or(960));
        if !HOLE.contains(&at.saturating_sub(due)) {
            return Ok(());
        }
        while due + lasts <= at.saturating_add(lasts / 4) {
            self.sound_packet(empty.clone(), due, lasts)?;
            due += lasts;
        }
        Ok(())
    }

    /// Ends the recording and writes what is only known now: its length and where keyframes are.
    /// `false` when nothing came: then there is no file.
    ///
    /// # Errors
    /// When the file cannot be written, unless that was said before.
    pub fn finish(mut self) -> Result<bool, SinkError> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Waiting => {
                self.state = State::Waiting;
                Ok(false)
            }
            State::Failed => Ok(true),
            State::Recording { writer, origin } => {
                // What is lost when the end finds no room is the index, not what came.
                let whole = writer.written();
                let (tail, head) = writer.clone().finish();
                let written = self.place.append(&tail).and_then(|()| self.place.over_head(&head));
                if let Err(error) = written.and_then(|()| self.place.settle()) {
                    self.state = State::Recording { writer, origin };
                    return Err(self.fail(&error, whole));
                }
                // It is whole, wherever it is now.
                let there = self.place.is_there();
                there.map(|()| true).map_err(|error| unwritable(&self.path, system::words(&error)))
            }
        }
    }

    /// A track begins, perhaps the first: its description goes to the head of the file.
    fn begin(&mut self, heads: Heads, at: u64) -> Result<(), SinkError> {
        let head = match &mut self.state {
            State::Failed => return Ok(()),
            State::Recording { writer, origin } => {
                let after = at.saturating_sub(*origin);
                let Some(head) = writer.add(heads.clone(), after) else {
                    tracing::warn!("a track came too late for the recording");
                    return Ok(());
                };
                self.place.over_head(&head)
            }
            State::Waiting => {
                let (writer, head) = match self.format {
                    Format::Mkv => {
                        let (mkv, head) = MkvWriter::new(heads.clone());
                        (Writer::Mkv(Box::new(mkv)), head)
                    }
                    Format::Mp4 => {
                        let (mp4, head) = Mp4Writer::new(heads.clone());
                        (Writer::Mp4(Box::new(mp4)), head)
                    }
                };
                self.state = State::Recording { writer, origin: at };
                self.place.append(&head)
            }
        };
        self.heads = heads;
        head.map_err(|error| self.fail(&error, 0))
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
        let whole = writer.written();
        let Some(piece) = writer.push(sample) else { return Ok(()) };
        let written = self.place.append(&piece).and_then(|()| self.place.settle());
        let written = written.and_then(|()| self.place.is_kept());
        written.map_err(|error| self.fail(&error, whole))
    }

    /// Nothing can be written any more: what is there up to `whole` bytes is made a file that plays.
    fn fail(&mut self, error: &std::io::Error, whole: u64) -> SinkError {
        let reason = system::words(error);
        if let State::Recording { writer, .. } = std::mem::replace(&mut self.state, State::Failed)
            && whole > 0
        {
            // It takes the place of what stands there, and so no more of the disk.
            let saved =
                self.place.cut(whole).and_then(|()| self.place.over_head(&writer.abandon(whole)));
            if let Err(error) = saved.and_then(|()| self.place.settle()) {
                tracing::warn!(%error, "the recording keeps an open end");
            }
        }
        unwritable(&self.path, reason)
    }
}

fn unwritable(path: &Path, reason: String) -> SinkError {
    SinkError::Unwritable { path: path.to_owned(), reason }
}

fn nanos(at: Duration) -> u64 {
    u64::try_from(at.as_nanos()).unwrap_or(u64::MAX / 4)
}

fn sound_lasts(samples_per_channel: u32) -> u64 {
    u64::from(samples_per_channel) * 1_000_000_000 / 48_000
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
#[path = "recorder_tests.rs"]
mod tests;
