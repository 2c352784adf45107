//! Puts what flows through a call into recordings, on a thread that may wait for the disk.
//!
//! Owns the times in a recording: RTP timestamps of both streams on one clock.
//! What a file looks like is the recorder's.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::media::codec::EncodedVideo;
use crate::media::pipeline::audio_out::EncodedAudio;
use crate::media::playout::sync::LipSync;
use crate::media::sink::SinkError;
use crate::media::sink::recorder::Recorder;
use crate::rtc::codecs::{AUDIO_CLOCK, VIDEO_CLOCK};
use crate::rtc::jitter_buffer::ReceivedFrame;
use crate::rtc::receiver::ReceivedPacket;

/// What waits for the disk: about two seconds of both streams.
const QUEUE: usize = 256;

/// How far a recording's sound is moved towards its picture with each packet, seconds, once the
/// sender's clock is known. Pictures keep their own steps: players expect them to be even.
const SLEW: f64 = 0.001;

enum Item {
    Video { data: Bytes, keyframe: bool, at: At },
    Audio { data: Bytes, samples: u32, at: At },
}

/// When something happened: here (what we send), or on the sender's clock (what we receive).
enum At {
    Here(Instant),
    There { rtp: u32, arrived: Instant },
}

/// A recording that runs; clones feed the same file. When the last is gone the file is finished.
#[derive(Clone)]
pub(super) struct Recording {
    to_write: SyncSender<Item>,
    path: Arc<Path>,
}

/// How a recording ended: its file, and whether anything is in it, or why it ended before its time.
pub(super) type RecordingEnd = (PathBuf, Result<bool, SinkError>);

impl Recording {
    /// Starts the thread, which tells `ended` when the file is as it stays. The second value waits
    /// for that.
    pub(super) fn start(
        recorder: Recorder,
        sync: Arc<Mutex<LipSync>>,
        epoch: Instant,
        ended: impl FnOnce(RecordingEnd) + Send + 'static,
    ) -> std::io::Result<(Self, RecordingThread)> {
        let (to_write, items) = sync_channel(QUEUE);
        let path: Arc<Path> = recorder.path().into();
        let written = path.to_path_buf();
        let times = Times {
            sync,
            epoch,
            video: Stream::new(VIDEO_CLOCK),
            audio: Stream::new(AUDIO_CLOCK),
            shift: 0.0,
        };
        let thread =
            std::thread::Builder::new().name("peer-record".to_owned()).spawn(move || {
                ended((written, write(recorder, times, &items)));
            })?;
        Ok((Self { to_write, path }, RecordingThread(Some(thread))))
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn local_video(&self, frame: &EncodedVideo) {
        let at = At::Here(frame.captured_at);
        self.put(Item::Video { data: frame.data.clone(), keyframe: frame.keyframe, at });
    }

    pub(super) fn local_audio(&self, packet: &EncodedAudio) {
        let at = At::Here(packet.captured_at);
        self.put(Item::Audio { data: packet.data.clone(), samples: packet.samples, at });
    }

    fn remote_video(&self, frame: &ReceivedFrame) {
        let at = At::There { rtp: frame.timestamp, arrived: frame.first_packet_at };
        self.put(Item::Video { data: frame.data.clone(), keyframe: frame.keyframe, at });
    }

    fn remote_audio(&self, packet: &ReceivedPacket, samples: u32) {
        let at = At::There { rtp: packet.timestamp, arrived: packet.arrived_at };
        self.put(Item::Audio { data: packet.payload.clone(), samples, at });
    }

    fn put(&self, item: Item) {
        // A recording that has ended has said why.
        if let Err(TrySendError::Full(_)) = self.to_write.try_send(item) {
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
        self.lock().as_ref().map(|recording| recording.path().to_owned())
    }

    pub(super) fn remote_video(&self, frame: &ReceivedFrame) {
        if let Some(recording) = &*self.lock() {
            recording.remote_video(frame);
        }
    }

    pub(super) fn remote_audio(&self, packet: &ReceivedPacket, samples: u32) {
        if let Some(recording) = &*self.lock() {
            recording.remote_audio(packet, samples);
        }
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

fn write(
    mut recorder: Recorder,
    mut times: Times,
    items: &Receiver<Item>,
) -> Result<bool, SinkError> {
    for item in items {
        match item {
            Item::Video { data, keyframe, at } => {
                recorder.video(&data, keyframe, times.of_video(&at))?;
            }
            Item::Audio { data, samples, at } => {
                recorder.audio(&data, samples, times.of_audio(&at))?;
            }
        }
    }
    recorder.finish()
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
    fn of_video(&mut self, at: &At) -> Duration {
        match at {
            At::Here(at) => at.saturating_duration_since(self.epoch),
            At::There { rtp, arrived } => {
                Duration::from_secs_f64(self.video.seconds(*rtp, *arrived, self.epoch).max(0.0))
            }
        }
    }

    fn of_audio(&mut self, at: &At) -> Duration {
        let (rtp, arrived) = match at {
            At::Here(at) => return at.saturating_duration_since(self.epoch),
            At::There { rtp, arrived } => (*rtp, *arrived),
        };
        let seconds = self.audio.seconds(rtp, arrived, self.epoch);
        if let Some(wanted) = self.wanted_shift(rtp, seconds) {
            self.shift += (wanted - self.shift).clamp(-SLEW, SLEW);
        }
        Duration::from_secs_f64((seconds + self.shift).max(0.0))
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
                let step = f64::from(rtp.wrapping_sub(last) as i32) / self.clock_rate;
                if step.abs() < NEW_STREAM { at + step } else { arrival }
            }
            None => arrival,
        };
        self.last = Some((rtp, seconds));
        seconds
    }
}
