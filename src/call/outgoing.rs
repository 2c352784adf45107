//! Our pictures and sound on their way out of one call.
//!
//! Owns the capture and encode threads and the tasks that put their packets on
//! the connection; decides nothing about the call.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::media_event::{MediaEvent, no_panic, no_thread, tell_notice};
use super::recording::Recording;
use crate::media::adaptation::video_bitrate;
use crate::media::codec::h264::H264Encoder;
use crate::media::codec::opus::OpusEncoder;
use crate::media::codec::{
    CodecError, EncodedVideo, OpusSettings, VideoEncoder, VideoEncoderSettings,
};
use crate::media::pipeline::audio_out::{AudioOut, AudioOutHooks, AudioOutState, EncodedAudio};
use crate::media::pipeline::video_out::{Delivery, VideoOut, VideoOutHooks, VideoOutState};
use crate::media::sink::VideoSink;
use crate::media::sound_rate::SoundRate;
use crate::media::source::{AudioSource, Sources, VideoSource};
use crate::rtc::connection::Connection;
use crate::rtc::sender::{AudioWriter, VideoWriter};

/// Encoded pictures that wait for the connection; more means that it does not keep up.
const VIDEO_QUEUE: usize = 8;

/// Packets of sound that wait: one second. Sound is never dropped silently.
const AUDIO_QUEUE: usize = 50;

/// What sound may take, bits a second: one channel, two channels.
const OPUS_BITRATE: [u32; 2] = [32_000, 64_000];

/// The running senders.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    video: Option<Arc<VideoOutState>>,
    audio: Option<Arc<AudioOutState>>,
    threads: (Option<VideoOut>, Option<AudioOut>),
    tasks: Vec<JoinHandle<()>>,
}

impl Outgoing {
    /// Starts what the connection negotiated; what the other side does not take is not encoded.
    pub(super) async fn start(
        connection: &Connection,
        sources: Sources,
        preview: Option<Box<dyn VideoSink>>,
        recording: Option<Recording>,
        events: &mpsc::Sender<MediaEvent>,
    ) -> Result<Self, CodecError> {
        let mut outgoing = Self::default();
        let mut audio_bitrate = 0;
        if let (Some(source), Some(sender)) = (sources.audio, connection.audio())
            && let Some(writer) = sender.open().await
        {
            audio_bitrate = OPUS_BITRATE[source.channels().clamp(1, 2) - 1];
            outgoing.start_audio(source, writer, audio_bitrate, recording.clone(), events)?;
        }
        if let (Some(source), Some(sender)) = (sources.video, connection.video())
            && let Some(writer) = sender.open().await
        {
            let path = connection.target_bitrate();
            let bitrate = move || video_bitrate(path.get(), audio_bitrate);
            outgoing.start_video(source, preview, writer, bitrate, recording, events)?;
        }
        Ok(outgoing)
    }

    fn start_video(
        &mut self,
        source: Box<dyn VideoSource>,
        preview: Option<Box<dyn VideoSink>>,
        writer: VideoWriter,
        bitrate: impl Fn() -> u32 + Send + 'static,
        recording: Option<Recording>,
        events: &mpsc::Sender<MediaEvent>,
    ) -> Result<(), CodecError> {
        let format = source.format();
        let settings =
            VideoEncoderSettings { size: format.size, fps: format.fps, bitrate: bitrate() };
        let encoder: Box<dyn VideoEncoder> = Box::new(H264Encoder::new(settings)?);
        let (to_send, queue) = mpsc::channel::<EncodedVideo>(VIDEO_QUEUE);
        let deliver = move |frame: EncodedVideo| {
            if let Some(recording) = &recording {
                recording.local_video(&frame);
            }
            match to_send.try_send(frame) {
                Ok(()) => Delivery::Taken,
                Err(_) => Delivery::Dropped,
            }
        };
        let hooks =
            VideoOutHooks { preview, notice: tell_notice(events), ended: tell_ended(events) };
        let out = VideoOut::start(source, encoder, bitrate, deliver, hooks).map_err(no_thread)?;
        self.video = Some(Arc::clone(out.state()));
        self.threads.0 = Some(out);
        self.tasks.push(tokio::spawn(send_video(writer, queue)));
        Ok(())
    }

    fn start_audio(
        &mut self,
        source: Box<dyn AudioSource>,
        writer: AudioWriter,
        bitrate: u32,
        recording: Option<Recording>,
        events: &mpsc::Sender<MediaEvent>,
    ) -> Result<(), CodecError> {
        let channels = source.channels();
        let dtx = writer.remote_wants("usedtx=1");
        let settings = OpusSettings { channels, bitrate, inband_fec: true, dtx };
        let encoder = Box::new(OpusEncoder::new(settings)?);
        let rate = SoundRate::new(channels, writer.takes_copies());
        let (to_send, queue) = mpsc::channel::<EncodedAudio>(AUDIO_QUEUE);
        let deliver = move |packet: EncodedAudio| {
            if let Some(recording) = &recording {
                recording.local_audio(&packet);
            }
            // When it is closed, the call is over.
            if let Err(mpsc::error::TrySendError::Full(_)) = to_send.try_send(packet) {
                tracing::warn!("a packet of sound found no room on the way out");
            }
        };
        let hooks = AudioOutHooks { notice: tell_notice(events), ended: tell_ended(events) };
        let out = AudioOut::start(source, encoder, rate, deliver, hooks).map_err(no_thread)?;
        self.audio = Some(Arc::clone(out.state()));
        self.threads.1 = Some(out);
        self.tasks.push(tokio::spawn(send_audio(writer, queue)));
        Ok(())
    }

    pub(super) fn video(&self) -> Option<&Arc<VideoOutState>> {
        self.video.as_ref()
    }

    pub(super) fn audio(&self) -> Option<&Arc<AudioOutState>> {
        self.audio.as_ref()
    }

    /// Stops threads and tasks and waits until they have stopped.
    pub(super) async fn end(&mut self) {
        let threads = std::mem::take(&mut self.threads);
        // Waited for where waiting is allowed: a source may take until its next picture.
        no_panic(tokio::task::spawn_blocking(move || drop(threads)).await);
        // What is still queued goes out now: without the threads the queues end by themselves.
        for task in self.tasks.drain(..) {
            let _ = task.await;
        }
    }
}

fn tell_ended(events: &mpsc::Sender<MediaEvent>) -> Box<dyn FnOnce() + Send> {
    let events = events.clone();
    Box::new(move || {
        let _ = events.blocking_send(MediaEvent::SourceEnded);
    })
}

async fn send_video(mut writer: VideoWriter, mut queue: mpsc::Receiver<EncodedVideo>) {
    while let Some(frame) = queue.recv().await {
        if writer.send(&frame).await.is_err() {
            return;
        }
    }
}

async fn send_audio(mut writer: AudioWriter, mut queue: mpsc::Receiver<EncodedAudio>) {
    while let Some(packet) = queue.recv().await {
        let EncodedAudio { data, samples, captured_at, copies } = packet;
        if writer.send(data, samples, captured_at, copies).await.is_err() {
            return;
        }
    }
}
