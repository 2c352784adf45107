//! Puts what flows through a call into recordings, on a thread that may wait for the disk.
//!
//! Owns the times in a recording: RTP timestamps of both streams on one clock.
//! What a file looks like is the recorder's.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::splitting::{Split, Splitting};
use crate::clock;
use crate::media::encoded::{EncodedFrame, FrameTime, MediaKind};
use crate::media::playout::sync::LipSync;
use crate::media::showing::Orientation;
use crate::media::sink::recorder::Recorder;
use crate::media::sink::{OpenRecorder, SinkError};
use crate::rtc::codecs::{AUDIO_CLOCK, VIDEO_CLOCK};
use crate::sequence::ticks_between;

/// What waits for the disk: about two seconds of both streams.
const QUEUE: usize = 256;

/// How far a recording's sound is moved towards its picture with each packet, seconds, once the
/// sender's clock is known. Pictures keep their own steps: players expect them to be even.
const SLEW: f64 = 0.001;

/// A player can go to a picture that needs no other, so that one is asked for when the last is so
/// long ago; it is there within ten seconds.
const KEYFRAME_EVERY: Duration = Duration::from_secs(8);

/// A recording that runs; clones feed the same file. When the last is gone the file is finished.
#[derive(Clone)]
pub(super) struct Recording {
    to_write: SyncSender<EncodedFrame>,
    shared: Arc<Mutex<Progress>>,
}

/// How far a recording is.
struct Progress {
    path: PathBuf,
    keyframe_at: Instant,
    orientation: Option<Orientation>,
    /// A picture that needs no other is wanted, for another file to begin with.
    split_due: bool,
}

/// How a recording ended: its file, and whether anything is in it, or why it ended before its time.
pub(super) type RecordingEnd = (PathBuf, Result<bool, SinkError>);

/// What a recording tells.
#[derive(Debug)]
pub(super) enum RecordingNews {
    /// A file is as it stays.
    Ended(RecordingEnd),
    /// It goes on in this file.
    Continues(PathBuf),
}

/// How a recording goes on in another file.
pub(super) struct Next {
    /// After so long, if at all.
    pub(super) after: Option<Duration>,
    /// Makes the file.
    pub(super) open: OpenRecorder,
}

impl Recording {
    /// Starts the thread, which tells `news` of each file. The second value waits for its end.
    pub(super) fn start(
        recorder: Recorder,
        sync: Arc<Mutex<LipSync>>,
        epoch: Instant,
        next: Next,
        news: impl FnMut(RecordingNews) + Send + 'static,
    ) -> std::io::Result<(Self, RecordingThread)> {
        let (to_write, items) = sync_channel(QUEUE);
        let path = recorder.path().to_owned();
        let shared = Progress { path, keyframe_at: epoch, orientation: None, split_due: false };
        let shared = Arc::new(Mutex::new(shared));
        let times = Times {
            sync,
            epoch,
            video: Stream::new(VIDEO_CLOCK),
            audio: Stream::new(AUDIO_CLOCK),
            shift: 0.0,
        };
        let mut news = news;
        let (open, splitting) = (next.open, Splitting::new(next.after));
        let writing = Writing { recorder, times, open, shared: Arc::clone(&shared), splitting };
        let thread = std::thread::Builder::new()
            .name("peer-record".to_owned())
            .spawn(move || writing.run(&items, &mut news))?;
        Ok((Self { to_write, shared }, RecordingThread(Some(thread))))
    }

    /// The file.
    pub(super) fn path(&self) -> PathBuf {
        progress(&self.shared).path.clone()
    }

    /// Notes a picture; says whether one that needs no other should be asked for.
    fn wants_keyframe(&self, keyframe: bool, orientation: Orientation) -> bool {
        let now = clock::now();
        let mut progress = progress(&self.shared);
        if keyframe {
            (progress.keyframe_at, progress.orientation) = (now, Some(orientation));
        }
        // Turned pictures go into a file of their own, which begins with a keyframe.
        let turned = progress.orientation.is_some_and(|known| known != orientation);
        let old = now.saturating_duration_since(progress.keyframe_at) >= KEYFRAME_EVERY;
        let due = std::mem::take(&mut progress.split_due) && !keyframe;
        if old || due {
            // Asked for once; who is asked asks again himself.
            progress.keyframe_at = now;
        }
        if turned {
            progress.orientation = Some(orientation);
        }
        turned || old || due
    }

    /// Takes a picture or a packet of sound; says whether a picture that needs no other is wanted.
    pub(super) fn take(&self, frame: &EncodedFrame) -> bool {
        self.put(frame.clone());
        frame.codec.kind() == MediaKind::Video
            && self.wants_keyframe(frame.keyframe, frame.orientation)
    }

    fn put(&self, frame: EncodedFrame) {
        // A recording that has ended has said why.
        if let Err(TrySendError::Full(_)) = self.to_write.try_send(frame) {
            tracing::warn!("the disk is too slow: a frame is missing in the recording");
        }
    }
}

/// Where recordings are plugged into a stream and pulled out again while it flows. Clones are the
/// same place.
#[derive(Clone, Default)]
pub(super) struct RecordingTap(Arc<Mutex<Option<Recording>>>);

impl RecordingTap {
    /// Feeds this one from now on, or none; gives back the one before.
    pub(super) fn set(&self, recording: Option<Recording>) -> Option<Recording> {
        std::mem::replace(&mut *self.lock(), recording)
    }

    /// The file that is fed.
    pub(super) fn path(&self) -> Option<PathBuf> {
        self.lock().as_ref().map(Recording::path)
    }

    /// See [`Recording::take`].
    pub(super) fn take(&self, frame: &EncodedFrame) -> bool {
        self.lock().as_ref().is_some_and(|recording| recording.take(frame))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Recording>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for the end of a recording when dropped; all clones of the [`Recording`] must be gone.
#[derive(Debug)]
pub(super) struct RecordingThread(Option<JoinHandle<()>>);

impl RecordingThread {
    /// Whether waiting for it takes no time.
    pub(super) fn is_over(&self) -> bool {
        self.0.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for RecordingThread {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take()
            && thread.join().is_err()
        {
            tracing::error!("the recording thread panicked");
        }
    }
}

fn progress(shared: &Mutex<Progress>) -> std::sync::MutexGuard<'_, Progress> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread's side of a recording.
struct Writing {
    recorder: Recorder,
    times: Times,
    /// Makes the next file.
    open: OpenRecorder,
    shared: Arc<Mutex<Progress>>,
    splitting: Splitting,
}

impl Writing {
    fn run(mut self, items: &Receiver<EncodedFrame>, news: &mut dyn FnMut(RecordingNews)) {
        let end = self.write(items, news);
        let path = self.recorder.path().to_owned();
        let end = end.and_then(|()| self.recorder.finish());
        news(RecordingNews::Ended((path, end)));
    }

    fn write(
        &mut self,
        items: &Receiver<EncodedFrame>,
        news: &mut dyn FnMut(RecordingNews),
    ) -> Result<(), SinkError> {
        for frame in items {
            let at = self.times.of(&frame);
            let known = self.recorder.orientation();
            let began = self.recorder.began_at();
            let split = match frame.codec.kind() {
                MediaKind::Video => {
                    // A file says once for all which way up its pictures are, and what they are encoded
                    // in.
                    let turned = known.is_some_and(|known| known != frame.orientation);
                    let other = self.recorder.codec().is_some_and(|known| known != frame.codec);
                    self.splitting.on_picture(at, began, frame.keyframe, turned || other)
                }
                MediaKind::Audio => self.splitting.on_sound(at, began, known.is_some()),
            };
            self.follow(split, news)?;
            self.recorder.take(&frame, at)?;
        }
        Ok(())
    }

    fn follow(
        &mut self,
        split: Split,
        news: &mut dyn FnMut(RecordingNews),
    ) -> Result<(), SinkError> {
        if matches!(split, Split::GoOn | Split::GoOnWithoutPictures) {
            self.go_on(news)?;
        }
        if matches!(split, Split::AskForKeyframe | Split::GoOnWithoutPictures) {
            progress(&self.shared).split_due = true;
        }
        Ok(())
    }

    /// Begins another file and ends this one.
    fn go_on(&mut self, news: &mut dyn FnMut(RecordingNews)) -> Result<(), SinkError> {
        let before = std::mem::replace(&mut self.recorder, (self.open)()?);
        let (old, new) = (before.path().to_owned(), self.recorder.path().to_owned());
        progress(&self.shared).path.clone_from(&new);
        news(RecordingNews::Ended((old, before.finish())));
        news(RecordingNews::Continues(new));
        Ok(())
    }
}

/// Times of both streams since `epoch`.
struct Times {
    sync: Arc<Mutex<LipSync>>,
    epoch: Instant,
    video: Stream,
    audio: Stream,
    /// What is added to the sound's times, seconds.
    shift: f64,
}

impl Times {
    fn of(&mut self, frame: &EncodedFrame) -> Duration {
        let (rtp, arrived) = match frame.time {
            FrameTime::Captured(at) => return at.saturating_duration_since(self.epoch),
            FrameTime::Received { rtp_timestamp, first_packet_at } => {
                (rtp_timestamp, first_packet_at)
            }
            FrameTime::Stored { pts, .. } => {
                return Duration::from_nanos(u64::try_from(pts).unwrap_or(0));
            }
        };
        let seconds = match frame.codec.kind() {
            MediaKind::Video => self.video.seconds(rtp, arrived, self.epoch),
            MediaKind::Audio => {
                let seconds = self.audio.seconds(rtp, arrived, self.epoch);
                if let Some(wanted) = self.wanted_shift(rtp, seconds) {
                    self.shift += (wanted - self.shift).clamp(-SLEW, SLEW);
                }
                seconds + self.shift
            }
        };
        Duration::from_secs_f64(seconds.max(0.0))
    }

    /// What would put this sound where the sender's clock says, next to the last picture.
    fn wanted_shift(&self, audio_rtp: u32, audio_seconds: f64) -> Option<f64> {
        let (video_rtp, video_seconds) = self.video.last?;
        let sync = self.sync.lock().unwrap_or_else(PoisonError::into_inner);
        let ahead = sync.offset(video_rtp, audio_rtp)?;
        let shift = video_seconds - ahead - audio_seconds;
        // More is a mistake of the sender's clock.
        (shift.abs() < 1.0).then_some(shift)
    }
}

/// One stream: its first packet stands where it arrived, the others follow by their timestamps.
struct Stream {
    clock_rate: f64,
    last: Option<(u32, f64)>,
}

/// A step this far, seconds, is a stream that began anew: it stands where it arrives.
const NEW_STREAM: f64 = 10.0;

impl Stream {
    fn new(clock_rate: u32) -> Self {
        Self { clock_rate: f64::from(clock_rate), last: None }
    }

    fn seconds(&mut self, rtp: u32, arrived: Instant, epoch: Instant) -> f64 {
        let arrival = arrived.saturating_duration_since(epoch).as_secs_f64();
        let seconds = match self.last {
            Some((last, at)) => {
                let step = f64::from(ticks_between(last, rtp)) / self.clock_rate;
                if step.abs() < NEW_STREAM { at + step } else { arrival }
            }
            None => arrival,
        };
        self.last = Some((rtp, seconds));
        seconds
    }
}
