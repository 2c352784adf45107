//! All media of one call: what goes out, what comes in, what is recorded.
//!
//! Owns their start and their end. When that is, the call's machine says.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::incoming::{IncomingAudio, IncomingVideo};
use super::media_event::{MediaEvent, no_panic, no_thread};
use super::outgoing::Outgoing;
use super::recording::{Next, Recording, RecordingTap, RecordingThread};
use crate::clock;
use crate::media::adaptation::Content;
use crate::media::codec::CodecError;
use crate::media::encoded::MediaKind;
use crate::media::playout::sync::LipSync;
use crate::media::sink::recorder::Recorder;
use crate::media::sink::{OpenRecorder, SinkError, Sinks};
use crate::media::source::Sources;
use crate::rtc::codecs::{AUDIO_CLOCK, VIDEO_CLOCK};
use crate::rtc::connection::Connection;
use crate::rtc::receiver::RemoteTrack;

/// The media of one call.
pub(super) struct Media {
    pub(super) outgoing: Outgoing,
    pub(super) video: Option<IncomingVideo>,
    pub(super) audio: Option<IncomingAudio>,
    sinks: Sinks,
    /// Feeds the recording of what they send.
    recording: RecordingTap,
    open_recorder: OpenRecorder,
    split: Option<Duration>,
    recording_local: Option<Recording>,
    recording_threads: Vec<RecordingThread>,
    sync: Arc<Mutex<LipSync>>,
    events: mpsc::Sender<MediaEvent>,
}

impl Media {
    /// Nothing flows yet.
    pub(super) fn new(
        mut sinks: Sinks,
        events: mpsc::Sender<MediaEvent>,
    ) -> Result<Self, CodecError> {
        let epoch = clock::now();
        let sync = Arc::new(Mutex::new(LipSync::new(VIDEO_CLOCK, AUDIO_CLOCK, epoch)));
        let mut media = Self {
            outgoing: Outgoing::default(),
            video: None,
            audio: None,
            recording: RecordingTap::default(),
            open_recorder: Arc::clone(&sinks.open_recorder),
            split: sinks.record_split,
            recording_local: None,
            recording_threads: vec![],
            sync,
            events,
            sinks: Sinks::default(),
        };
        if let Some(recorder) = sinks.record.take() {
            media.record(recorder)?;
        }
        if let Some(recorder) = sinks.record_local.take() {
            let next = Next { after: media.split, open: Arc::clone(&sinks.open_local_recorder) };
            media.recording_local = Some(media.start_recording(recorder, epoch, next, false)?);
        }
        media.sinks = sinks;
        Ok(media)
    }

    /// Makes the file of a recording that begins now; blocks.
    pub(super) fn recorder(&self) -> impl FnOnce() -> Result<Recorder, SinkError> + Send + 'static {
        let open = Arc::clone(&self.open_recorder);
        move || open()
    }

    /// Records what they send, from the next keyframe on, which is asked for.
    pub(super) fn record(&mut self, recorder: Recorder) -> Result<(), CodecError> {
        let next = Next { after: self.split, open: Arc::clone(&self.open_recorder) };
        let recording = self.start_recording(recorder, clock::now(), next, true)?;
        self.recording.set(Some(recording));
        if let Some(video) = &self.video {
            video.want_keyframe();
        }
        Ok(())
    }

    /// Ends the recording of what they send. That its file is as it stays comes as an event.
    pub(super) fn stop_recording(&self) {
        drop(self.recording.set(None));
    }

    /// The file that what they send is recorded to.
    pub(super) fn recorded_to(&self) -> Option<PathBuf> {
        self.recording.path()
    }

    fn start_recording(
        &mut self,
        recorder: Recorder,
        epoch: Instant,
        next: Next,
        theirs: bool,
    ) -> Result<Recording, CodecError> {
        let events = self.events.clone();
        let news = move |news| {
            let _ = events.blocking_send(MediaEvent::Recording(theirs, news));
        };
        let sync = Arc::clone(&self.sync);
        let started = Recording::start(recorder, sync, epoch, next, news);
        let (recording, thread) = started.map_err(no_thread)?;
        self.recording_threads.retain(|thread| !thread.is_over());
        self.recording_threads.push(thread);
        Ok(recording)
    }

    /// Our pictures and sound begin.
    pub(super) async fn start_sending(
        &mut self,
        connection: &Connection,
        sources: Sources,
        content: Content,
    ) -> Result<(), CodecError> {
        let recording = self.recording_local.take();
        let preview = self.sinks.preview.take();
        self.outgoing =
            Outgoing::start(connection, (sources, content), preview, recording, &self.events)
                .await?;
        Ok(())
    }

    /// A track of theirs begins; a second one of a kind is not played.
    pub(super) fn start_receiving(&mut self, track: RemoteTrack) -> Result<(), CodecError> {
        let recording = self.recording.clone();
        match track.kind() {
            MediaKind::Video if self.video.is_none() => {
                let sink = self.sinks.video.take();
                let out = (sink, self.sinks.max_picture);
                let video = IncomingVideo::start(track, out, recording, &self.sync, &self.events)?;
                self.video = Some(video);
            }
            MediaKind::Audio if self.audio.is_none() => {
                let sink = self.sinks.audio.take();
                let audio = IncomingAudio::start(track, sink, recording, &self.sync, &self.events)?;
                self.audio = Some(audio);
            }
            kind => tracing::info!(?kind, "a second track of a kind is not played"),
        }
        Ok(())
    }

    /// A sender report of theirs.
    pub(super) fn on_sender_report(&self, ssrc: u32, ntp: u64, rtp: u32) {
        let mut sync = self.sync.lock().unwrap_or_else(PoisonError::into_inner);
        if self.video.as_ref().and_then(|video| video.counters().ssrc()) == Some(ssrc) {
            sync.on_video_report(ntp, rtp);
        } else if self.audio.as_ref().and_then(IncomingAudio::ssrc) == Some(ssrc) {
            sync.on_audio_report(ntp, rtp);
        }
    }

    /// Our pictures and sound end; their counters stay.
    pub(super) async fn stop_sending(&mut self) {
        self.outgoing.end().await;
    }

    /// Stops everything and waits until it has stopped; recordings are finished.
    pub(super) async fn stop(mut self) {
        self.stop_sending().await;
        let video = match self.video {
            Some(video) => Some(video.end().await),
            None => None,
        };
        let audio = match self.audio {
            Some(audio) => Some(audio.end().await),
            None => None,
        };
        let recordings = (self.recording.set(None), self.recording_local);
        let (threads, sinks) = (self.recording_threads, self.sinks);
        // Threads are waited for where waiting is allowed. Recordings last: the others feed them.
        let stopped = tokio::task::spawn_blocking(move || {
            drop((video, audio, recordings));
            drop((threads, sinks));
        });
        no_panic(stopped.await);
    }
}
