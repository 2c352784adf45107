//! Their pictures and sound on their way into one call.
//!
//! Owns the tasks that read tracks and the threads that decode, show and play;
//! decides nothing about the call.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::media_event::{MediaEvent, no_thread, tell_notice};
use super::recording::RecordingTap;
use crate::clock;
use crate::media::codec::CodecError;
use crate::media::codec::table::{AnyVideoDecoder, audio_decoder};
use crate::media::encoded::{Codec, EncodedFrame, FrameTime};
use crate::media::frame::MaxPicture;
use crate::media::pipeline::audio_in::{AudioIn, AudioInHooks, AudioInState};
use crate::media::pipeline::video_in::{VideoIn, VideoInHooks, VideoInState};
use crate::media::playout::audio::AudioPlayout;
use crate::media::playout::pictures::PictureTiming;
use crate::media::playout::sync::LipSync;
use crate::media::sink::{AudioSink, VideoSink};
use crate::rtc::receiver::{
    KeyframeBell, ReceiveCounters, ReceivedPacket, RemoteTrack, receive_video,
};

/// Channels that sound is decoded to; mono comes out on both.
const PLAYED_CHANNELS: usize = 2;

/// Their pictures; dropping it stops task and threads.
#[derive(Debug)]
pub(super) struct IncomingVideo {
    task: JoinHandle<()>,
    decoding: VideoIn,
    counters: Arc<ReceiveCounters>,
    bell: KeyframeBell,
    codec: Codec,
}

impl IncomingVideo {
    pub(super) fn start(
        track: RemoteTrack,
        (sink, most): (Option<Box<dyn VideoSink>>, MaxPicture),
        recording: RecordingTap,
        sync: &Arc<Mutex<LipSync>>,
        events: &mpsc::Sender<MediaEvent>,
    ) -> Result<Self, CodecError> {
        let bell = KeyframeBell::default();
        let (broken, first, sync) = (bell.clone(), events.clone(), Arc::clone(sync));
        let timing = Mutex::new(PictureTiming::new(clock::now()));
        let hooks = VideoInHooks {
            broken: Box::new(move || broken.ring()),
            first: Box::new(move |size| {
                let _ = first.blocking_send(MediaEvent::FirstVideo { size, at: clock::now() });
            }),
            due: Box::new(move |time, now| {
                let FrameTime::Received { rtp_timestamp: rtp, .. } = time else { return now };
                let even = timing.lock().unwrap_or_else(PoisonError::into_inner).due(rtp, now);
                sync.lock().unwrap_or_else(PoisonError::into_inner).due(rtp, now).max(even)
            }),
        };
        let codec = track.codec();
        let decoder = AnyVideoDecoder::new(codec, most)?;
        let decoding = VideoIn::start(decoder, sink, hooks).map_err(no_thread)?;
        let (input, counters) = (decoding.input(), Arc::new(ReceiveCounters::default()));
        let (counted, rung, wanted) = (Arc::clone(&counters), bell.clone(), bell.clone());
        let task = tokio::spawn(async move {
            let deliver = |frame: EncodedFrame| {
                if recording.take(&frame) {
                    wanted.ring();
                }
                input(frame)
            };
            receive_video(&track, &rung, &counted, deliver).await;
        });
        Ok(Self { task, decoding, counters, bell, codec })
    }

    /// What they began in.
    pub(super) fn codec(&self) -> Codec {
        self.codec
    }

    /// Asks for a picture that needs no other.
    pub(super) fn want_keyframe(&self) {
        self.bell.ring();
    }

    pub(super) fn state(&self) -> &VideoInState {
        self.decoding.state()
    }

    pub(super) fn counters(&self) -> &ReceiveCounters {
        &self.counters
    }

    /// Ends the task, so that nothing feeds the threads any more; then they can be dropped.
    pub(super) async fn end(self) -> VideoIn {
        self.task.abort();
        let _ = self.task.await;
        self.decoding
    }
}

/// Their sound; dropping it stops task and thread.
#[derive(Debug)]
pub(super) struct IncomingAudio {
    task: JoinHandle<()>,
    playing: AudioIn,
    ssrc: Arc<AtomicU64>,
    codec: Codec,
}

impl IncomingAudio {
    pub(super) fn start(
        track: RemoteTrack,
        sink: Option<Box<dyn AudioSink>>,
        recording: RecordingTap,
        sync: &Arc<Mutex<LipSync>>,
        events: &mpsc::Sender<MediaEvent>,
    ) -> Result<Self, CodecError> {
        let (first, sync) = (events.clone(), Arc::clone(sync));
        let hooks = AudioInHooks {
            first: Box::new(move |at| {
                let _ = first.blocking_send(MediaEvent::FirstAudio { at });
            }),
            playing: Box::new(move |rtp, at| {
                let mut sync = sync.lock().unwrap_or_else(PoisonError::into_inner);
                sync.on_playing(rtp, at);
                sync.sound_waits()
            }),
            notice: tell_notice(events),
        };
        let codec = track.codec();
        let playout = AudioPlayout::new(audio_decoder(codec, PLAYED_CHANNELS)?);
        let playing = AudioIn::start(playout, sink, hooks).map_err(no_thread)?;
        let buffer = Arc::clone(playing.playout());
        let ssrc = Arc::new(AtomicU64::new(UNKNOWN));
        let seen = Arc::clone(&ssrc);
        let mut decoded = codec;
        let task = tokio::spawn(async move {
            while let Some(packet) = track.next_packet().await {
                let before = seen.swap(u64::from(packet.ssrc), Ordering::Relaxed);
                let Some(frame) = sound_of(&packet) else { continue };
                recording.take(&frame);
                let mut buffer = buffer.lock().unwrap_or_else(PoisonError::into_inner);
                if decoded != packet.codec {
                    match audio_decoder(packet.codec, PLAYED_CHANNELS) {
                        Ok(decoder) => buffer.decode_with(decoder),
                        Err(error) => {
                            tracing::warn!(%error, "sound in another codec is not played");
                            continue;
                        }
                    }
                    decoded = packet.codec;
                } else if before != UNKNOWN && before != u64::from(packet.ssrc) {
                    buffer.start_over();
                }
                for copy in packet.copies {
                    buffer.insert_copy(packet.arrived_at, copy.timestamp, copy.payload);
                }
                let at = (packet.sequence_number, packet.timestamp);
                buffer.insert(packet.arrived_at, at.0, at.1, frame.data);
            }
        });
        Ok(Self { task, playing, ssrc, codec })
    }

    /// What it began in.
    pub(super) fn codec(&self) -> Codec {
        self.codec
    }

    /// The stream; `None` before its first packet.
    pub(super) fn ssrc(&self) -> Option<u32> {
        u32::try_from(self.ssrc.load(Ordering::Relaxed)).ok()
    }

    pub(super) fn state(&self) -> &AudioInState {
        self.playing.state()
    }

    pub(super) fn playout(&self) -> &Mutex<AudioPlayout> {
        self.playing.playout()
    }

    /// See [`IncomingVideo::end`].
    pub(super) async fn end(self) -> AudioIn {
        self.task.abort();
        let _ = self.task.await;
        self.playing
    }
}

/// What a packet of theirs carries; `None` when it is none of its codec.
fn sound_of(packet: &ReceivedPacket) -> Option<EncodedFrame> {
    let ReceivedPacket { codec, payload, timestamp: rtp_timestamp, arrived_at, .. } = packet;
    let samples = codec.samples(payload)?;
    let time = FrameTime::Received { rtp_timestamp: *rtp_timestamp, first_packet_at: *arrived_at };
    Some(EncodedFrame::sound(*codec, payload.clone(), samples, time))
}

/// No SSRC: those have 32 bits.
const UNKNOWN: u64 = u64::MAX;
