//! Our pictures and sound on their way out of one call.
//!
//! Owns the capture and encode threads and the tasks that put their packets on
//! the connection; decides nothing about the call.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::media_event::{MediaEvent, no_panic, no_thread, tell_notice};
use super::recording::Recording;
use crate::clock;
use crate::media::adaptation::{Content, Ladder, picture_share, sound_share};
use crate::media::codec::{AudioEncoderSettings, CodecError, VideoEncoderSettings, table};
use crate::media::encoded::{Codec, EncodedFrame};
use crate::media::pipeline::Ended;
use crate::media::pipeline::audio_out::{AudioOut, AudioOutHooks, AudioOutState};
use crate::media::pipeline::video_out::{
    Allowance, Delivery, VideoOut, VideoOutHooks, VideoOutState,
};
use crate::media::sink::VideoSink;
use crate::media::sound_rate::SoundRate;
use crate::media::source::{AudioSource, Sources, VideoSource};
use crate::rtc::connection::Connection;
use crate::rtc::path::Path;
use crate::rtc::sender::{AudioWriter, VideoWriter};

/// Encoded pictures that wait for the connection; more means that it does not keep up.
const VIDEO_QUEUE: usize = 8;

/// Packets of sound that wait. Sound is never dropped silently.
const AUDIO_QUEUE: usize = 50;

/// What waited for the connection so long is too late for a conversation, however few they are: packets
/// of sound may be 60 ms long, and pictures 200 ms apart.
const TOO_LATE: Duration = Duration::from_millis(400);

/// Pictures are held back, before they are encoded, while more than this waits to be sent: one of
/// the usual rate, so that the one behind it does not wait for two.
const HOLD: Duration = Duration::from_millis(45);

/// The running senders.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    video: Option<Arc<VideoOutState>>,
    audio: Option<Arc<AudioOutState>>,
    /// What each is encoded in, and how its encoder was set at first.
    codecs: (Option<Codec>, Option<Codec>),
    settings: (Option<VideoEncoderSettings>, Option<AudioEncoderSettings>),
    threads: (Option<VideoOut>, Option<AudioOut>),
    /// To the tasks that send.
    queues: (Option<Pictures>, Option<Sound>),
    tasks: Vec<JoinHandle<()>>,
}

type Queue<P, W> = mpsc::Sender<ToSend<P, W>>;
type Pictures = Queue<EncodedFrame, VideoWriter>;
/// With how many packets before it each is worth sending again.
type Sound = Queue<(EncodedFrame, usize), AudioWriter>;

/// What a task that sends is given.
#[derive(Debug)]
enum ToSend<P, W> {
    /// Something to send, and since when it waits.
    Packet(Instant, P),
    /// How it is sent from now on.
    Over(W),
}

impl Outgoing {
    /// Another round of offer and answer is over, and they take our media so: what they do not take any
    /// more is not encoded, what they take in another codec is encoded in that. What is given back tells
    /// those who send.
    pub(super) fn agree(
        &mut self,
        video: Option<VideoWriter>,
        audio: Option<AudioWriter>,
    ) -> impl Future<Output = ()> + Send + 'static {
        if let Some(state) = &self.video {
            state.set_idle(video.is_none());
        }
        if let Some(state) = &self.audio {
            state.set_idle(audio.is_none());
        }
        let changed = video.as_ref().filter(|writer| self.encodes_in(writer.codec()));
        let changed = changed.and(self.video.clone());
        if let Some(writer) = &audio {
            self.sounds_in(writer.codec());
        }
        let (pictures, sound) = self.queues.clone();
        async move {
            over(pictures, video).await;
            over(sound, audio).await;
            // What was encoded before the writer changed has not left.
            if let Some(state) = changed {
                state.need_keyframe();
            }
        }
    }

    /// Encodes pictures in this codec from now on; whether that is another.
    fn encodes_in(&mut self, codec: Codec) -> bool {
        let (Some(state), Some(settings)) = (&self.video, self.settings.0) else { return false };
        if self.codecs.0 == Some(codec) {
            return false;
        }
        match table::video_encoder(codec, settings) {
            Ok(encoder) => state.encode_with(encoder),
            Err(error) => {
                tracing::error!(%error, "pictures cannot be sent in the codec that was agreed on");
                return false;
            }
        }
        self.codecs.0 = Some(codec);
        true
    }

    /// The same for sound.
    fn sounds_in(&mut self, codec: Codec) {
        let (Some(state), Some(settings)) = (&self.audio, self.settings.1) else { return };
        if self.codecs.1 == Some(codec) {
            return;
        }
        match table::audio_encoder(codec, settings) {
            Ok(encoder) => {
                state.encode_with(encoder);
                self.codecs.1 = Some(codec);
            }
            Err(error) => {
                tracing::error!(%error, "sound cannot be sent in the codec that was agreed on");
            }
        }
    }

    /// Starts what the connection negotiated; what the other side does not take is not encoded.
    pub(super) async fn start(
        connection: &Connection,
        (sources, content): (Sources, Content),
        preview: Option<Box<dyn VideoSink>>,
        recording: Option<Recording>,
        events: &mpsc::Sender<MediaEvent>,
    ) -> Result<Self, CodecError> {
        let mut outgoing = Self::default();
        let path = connection.path();
        if let Some(source) = sources.audio
            && let Some(writer) = connection.audio_writer().await
        {
            outgoing.start_audio(source, writer, path.clone(), recording.clone(), events)?;
        }
        if let Some(source) = sources.video
            && let Some(writer) = connection.video_writer().await
        {
            let format = source.format();
            let size = writer.codec().encodable(format.size);
            let ladder = Ladder::new(size, format.fps, content);
            let allowance = (path.clone(), ladder);
            outgoing.start_video(source, preview, writer, allowance, recording, events)?;
        }
        Ok(outgoing)
    }

    fn start_video(
        &mut self,
        source: Box<dyn VideoSource>,
        preview: Option<Box<dyn VideoSink>>,
        writer: VideoWriter,
        (path, mut ladder): (Path, Ladder),
        recording: Option<Recording>,
        events: &mpsc::Sender<MediaEvent>,
    ) -> Result<(), CodecError> {
        let format = source.format();
        let sound = self.audio.clone();
        let pictures = move |path: u32| {
            picture_share(path, sound.as_ref().map_or(0, |sound| sound.bits_per_second()))
        };
        let bitrate = pictures(path.media_bitrate());
        let settings = VideoEncoderSettings { size: format.size, fps: format.fps, bitrate };
        let allowance = move |now: Instant| {
            let sustained = path.sustained_bitrate();
            let rung = ladder.step(now, sustained, pictures(sustained));
            let bitrate = pictures(path.media_bitrate());
            let (round_trip, backlog) = (path.round_trip(), path.backlog());
            let hold = path.is_stalled() || path.is_draining() || backlog > HOLD;
            Allowance { bitrate, rung, limited: ladder.is_limited(), hold, round_trip, backlog }
        };
        let encoder = table::video_encoder(writer.codec(), settings)?;
        let (to_send, queue) = mpsc::channel(VIDEO_QUEUE);
        self.queues.0 = Some(to_send.clone());
        let deliver = move |frame: EncodedFrame| {
            let wanted = recording.as_ref().is_some_and(|recording| recording.take(&frame));
            match to_send.try_send(ToSend::Packet(clock::now(), frame)) {
                Ok(()) if wanted => Delivery::TakenAndKeyframe,
                Ok(()) => Delivery::Taken,
                Err(_) => Delivery::Dropped,
            }
        };
        let hooks =
            VideoOutHooks { preview, notice: tell_notice(events), ended: tell_ended(events) };
        let out = VideoOut::start(source, encoder, allowance, deliver, hooks).map_err(no_thread)?;
        let state = Arc::clone(out.state());
        self.video = Some(Arc::clone(&state));
        (self.codecs.0, self.settings.0) = (Some(writer.codec()), Some(settings));
        self.threads.0 = Some(out);
        self.tasks.push(tokio::spawn(send_video(writer, queue, state)));
        Ok(())
    }

    fn start_audio(
        &mut self,
        source: Box<dyn AudioSource>,
        writer: AudioWriter,
        path: Path,
        recording: Option<Recording>,
        events: &mpsc::Sender<MediaEvent>,
    ) -> Result<(), CodecError> {
        let channels = source.channels();
        let dtx = writer.remote_wants("usedtx=1");
        let rate = SoundRate::new(channels, writer.takes_copies());
        let bitrate = rate.best().bitrate;
        let settings = AudioEncoderSettings { channels, bitrate, inband_fec: true, dtx };
        let encoder = table::audio_encoder(writer.codec(), settings)?;
        let allowance = move || sound_share(path.sustained_bitrate());
        let (to_send, queue) = mpsc::channel(AUDIO_QUEUE);
        self.queues.1 = Some(to_send.clone());
        let deliver = move |packet: EncodedFrame, copies: usize| {
            if let Some(recording) = &recording {
                recording.take(&packet);
            }
            // When it is closed, the call is over.
            let sent = to_send.try_send(ToSend::Packet(clock::now(), (packet, copies)));
            !matches!(sent, Err(mpsc::error::TrySendError::Full(_)))
        };
        let hooks = AudioOutHooks { notice: tell_notice(events), ended: tell_ended(events) };
        let out = AudioOut::start(source, encoder, (rate, allowance), deliver, hooks)
            .map_err(no_thread)?;
        let state = Arc::clone(out.state());
        self.audio = Some(Arc::clone(&state));
        (self.codecs.1, self.settings.1) = (Some(writer.codec()), Some(settings));
        self.threads.1 = Some(out);
        self.tasks.push(tokio::spawn(send_audio(writer, queue, state)));
        Ok(())
    }

    pub(super) fn video(&self) -> Option<&Arc<VideoOutState>> {
        self.video.as_ref()
    }

    pub(super) fn audio(&self) -> Option<&Arc<AudioOutState>> {
        self.audio.as_ref()
    }

    /// What our pictures and our sound are encoded in, as far as there are any.
    pub(super) fn codecs(&self) -> (Option<Codec>, Option<Codec>) {
        self.codecs
    }

    /// Stops threads and tasks and waits until they have stopped.
    pub(super) async fn end(&mut self) {
        let threads = std::mem::take(&mut self.threads);
        // Waited for where waiting is allowed: a source may take until its next picture.
        no_panic(tokio::task::spawn_blocking(move || drop(threads)).await);
        self.queues = (None, None);
        // What is still queued goes out now: without the threads the queues end by themselves.
        for task in self.tasks.drain(..) {
            let _ = task.await;
        }
    }
}

fn tell_ended(events: &mpsc::Sender<MediaEvent>) -> Ended {
    let events = events.clone();
    Box::new(move |why| {
        let _ = events.blocking_send(MediaEvent::SourceEnded(why));
    })
}

/// Fails only when the task has ended with the connection.
async fn over<P, W>(queue: Option<Queue<P, W>>, writer: Option<W>) {
    if let (Some(queue), Some(writer)) = (queue, writer) {
        let _ = queue.send(ToSend::Over(writer)).await;
    }
}

/// Which pictures are still sent when their turn comes. Pure.
#[derive(Debug, Default)]
struct InTime {
    /// What follows builds on a picture that was left out.
    broken: bool,
}

impl InTime {
    /// Whether this picture is sent at `now`, which waited since `since`.
    fn takes(&mut self, now: Instant, since: Instant, keyframe: bool) -> bool {
        let late = now.saturating_duration_since(since) > TOO_LATE;
        self.broken = late || self.broken && !keyframe;
        !self.broken
    }
}

async fn send_video(
    mut writer: VideoWriter,
    mut queue: mpsc::Receiver<ToSend<EncodedFrame, VideoWriter>>,
    state: Arc<VideoOutState>,
) {
    let mut in_time = InTime::default();
    while let Some(next) = queue.recv().await {
        match next {
            ToSend::Packet(since, frame) if in_time.takes(clock::now(), since, frame.keyframe) => {
                if writer.send(&frame).await.is_err() {
                    return;
                }
            }
            ToSend::Packet(..) => state.left_out(),
            ToSend::Over(other) => writer = other,
        }
    }
}

async fn send_audio(
    mut writer: AudioWriter,
    mut queue: mpsc::Receiver<ToSend<(EncodedFrame, usize), AudioWriter>>,
    state: Arc<AudioOutState>,
) {
    while let Some(next) = queue.recv().await {
        let (since, (packet, copies)) = match next {
            ToSend::Packet(since, packet) => (since, packet),
            ToSend::Over(other) => {
                writer = other;
                continue;
            }
        };
        if clock::now().saturating_duration_since(since) > TOO_LATE {
            tracing::warn!("a packet of sound waited too long on the way out");
            writer.leave_out(&packet);
            state.count_discarded();
        } else if writer.send(packet, copies).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_that_waited_too_long_are_left_out_up_to_a_keyframe() {
        let (start, mut in_time) = (clock::now(), InTime::default());
        let ms = Duration::from_millis;
        assert!(in_time.takes(start + TOO_LATE, start, false));
        assert!(!in_time.takes(start + TOO_LATE + ms(1), start, false), "few as they are");
        assert!(!in_time.takes(start + ms(500), start + ms(400), false), "it builds on that one");
        assert!(
            !in_time.takes(start + ms(900), start + ms(400), true),
            "a keyframe may be late too"
        );
        assert!(in_time.takes(start + ms(900), start + ms(600), true));
        assert!(in_time.takes(start + ms(910), start + ms(800), false));
    }
}
