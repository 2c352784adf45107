//! A microphone's and a speaker's stream: each a thread on a connection of its own.
//!
//! Owns in which form sound is asked for, and how old it is or when it is heard.

use std::convert::Infallible;
use std::ffi::CString;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pulseaudio::protocol::stream::{BufferAttr, StreamFlags};
use pulseaudio::protocol::{
    ChannelMap, Command, CreatePlaybackStreamReply, CreateRecordStreamReply, LatencyParams,
    PlaybackLatency, PlaybackStreamParams, Prop, Props, RecordLatency, RecordStreamParams,
    SampleFormat, SampleSpec,
};

use super::{BYTES_PER_SAMPLE, Message, Server, failure, read};
use crate::clock;
use crate::media::audio::backend::{Failure, PERIODS, Stream, Why};
use crate::media::frame::SAMPLE_RATE;

/// Samples per channel in a period.
const PERIOD: u32 = SAMPLE_RATE / PERIODS;

/// A speaker's server holds so many periods: one that is played, one that is on its way.
const HELD: u32 = 2;

/// Channels of what we play; the server brings them to those of the speaker.
const CHANNELS: usize = 2;

/// Once in so many periods the server is asked how far the device is.
const ASK_EVERY: u32 = 20;

impl Server {
    /// Opens a microphone; see [`crate::media::audio::device::open_microphone`].
    pub(in crate::media::audio) fn record(
        mut self,
        id: Option<&str>,
        mut heard: impl FnMut(&[f32], Duration) + Send + 'static,
        broke: impl FnMut(String) + Send + 'static,
    ) -> Result<Stream, Failure> {
        let params = RecordStreamParams {
            sample_spec: form(1),
            channel_map: ChannelMap::mono(),
            source_name: named(id)?,
            buffer_attr: BufferAttr { fragment_size: bytes(PERIOD, 1), ..BufferAttr::default() },
            flags: flags(id),
            props: a_call(),
            ..RecordStreamParams::default()
        };
        let made: CreateRecordStreamReply = self.ask(&Command::CreateRecordStream(params))?;
        // A device that sleeps is none until it wakes up.
        let mut samples = loop {
            match self.next() {
                Ok(Message::Sound(bytes)) => break samples_in(bytes).collect::<Vec<_>>(),
                Ok(_) => {}
                Err(_) => return Err(failure(Why::Other, "it delivers no sound")),
            }
        };
        let listen = move |mut server: Self| {
            let version = server.version;
            // Samples that came, and how many the device has heard.
            let mut came = samples.len() as f64;
            let mut device = Progress::new(clock::now(), came);
            heard(&samples, seconds(came));
            server.send(&Command::GetRecordLatency(now_of(made.channel)))?;
            let mut periods = 1;
            loop {
                match server.next()? {
                    Message::Sound(bytes) => {
                        samples.clear();
                        samples.extend(samples_in(bytes));
                        heard(&samples, seconds(device.at(clock::now()) - came));
                        came += samples.len() as f64;
                        if periods % ASK_EVERY == 0 {
                            server.send(&Command::GetRecordLatency(now_of(made.channel)))?;
                        }
                        periods += 1;
                    }
                    Message::Answer(answer) => {
                        let told: RecordLatency = read(answer, version)?;
                        // All that the server sent before it has come.
                        let waits = (told.write_offset - told.read_offset) as f64
                            / BYTES_PER_SAMPLE as f64
                            + in_samples(told.source_usec);
                        device = Progress::new(clock::now(), came + waits);
                    }
                    Message::Wanted(_) | Message::Aside => {}
                }
            }
        };
        self.flow("peer-microphone", 1, listen, broke)
    }

    /// Opens a speaker; see [`crate::media::audio::device::open_speaker`].
    pub(in crate::media::audio) fn play(
        mut self,
        id: Option<&str>,
        mut fill: impl FnMut(u32, usize, &mut [f32], Duration) + Send + 'static,
        broke: impl FnMut(String) + Send + 'static,
    ) -> Result<Stream, Failure> {
        let params = PlaybackStreamParams {
            sample_spec: form(CHANNELS as u8),
            channel_map: ChannelMap::stereo(),
            sink_name: named(id)?,
            buffer_attr: BufferAttr {
                target_length: bytes(PERIOD * HELD, CHANNELS),
                minimum_request_length: bytes(PERIOD, CHANNELS),
                ..BufferAttr::default()
            },
            flags: flags(id),
            props: a_call(),
            ..PlaybackStreamParams::default()
        };
        let made: CreatePlaybackStreamReply = self.ask(&Command::CreatePlaybackStream(params))?;
        let speak = move |mut server: Self| {
            let version = server.version;
            // Samples per channel that went, when last asked too, and how many the device has played.
            let (mut went, mut went_then) = (0.0, 0.0);
            let mut device = Progress::new(clock::now(), 0.0);
            let (mut block, mut periods) = (Vec::new(), 0);
            let frame = CHANNELS * BYTES_PER_SAMPLE;
            let mut wanted = made.requested_bytes as usize;
            loop {
                while wanted >= frame {
                    let frames = (wanted / frame).min(SAMPLE_RATE as usize);
                    block.clear();
                    block.resize(frames * CHANNELS, 0.0);
                    let ahead = seconds(went - device.at(clock::now()));
                    fill(SAMPLE_RATE, CHANNELS, &mut block, ahead);
                    server.send_sound(made.channel, &block)?;
                    went += frames as f64;
                    wanted -= frames * frame;
                    if periods % ASK_EVERY == 0 {
                        server.send(&Command::GetPlaybackLatency(now_of(made.channel)))?;
                        went_then = went;
                    }
                    periods += 1;
                }
                match server.next()? {
                    Message::Wanted(more) => wanted += more,
                    Message::Answer(answer) => {
                        let told: PlaybackLatency = read(answer, version)?;
                        let waits = (told.write_offset - told.read_offset) as f64 / frame as f64
                            + in_samples(told.sink_usec);
                        device = Progress::new(clock::now(), went_then - waits);
                    }
                    Message::Sound(_) | Message::Aside => {}
                }
            }
        };
        self.flow("peer-speaker", CHANNELS, speak, broke)
    }

    /// Runs a stream on a thread of its own until it breaks or is dropped.
    fn flow(
        self,
        name: &str,
        channels: usize,
        run: impl FnOnce(Self) -> Result<Infallible, Failure> + Send + 'static,
        mut broke: impl FnMut(String) + Send + 'static,
    ) -> Result<Stream, Failure> {
        let socket = self.socket.get_ref().try_clone()?;
        // From now on it may be silent for as long as it likes: whoever listens has a watch of his own.
        socket.set_read_timeout(None)?;
        let closed = Arc::new(AtomicBool::new(false));
        let by_us = Arc::clone(&closed);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let Err(error) = run(self);
            if !by_us.load(Ordering::Relaxed) {
                broke(error.reason);
            }
        });
        let held = Box::new(Flow { socket, closed, thread: Some(thread?) });
        Ok(Stream { held, rate: SAMPLE_RATE, channels })
    }
}

/// A running stream. It ends when it is dropped.
struct Flow {
    socket: UnixStream,
    closed: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
        // Wakes the thread up. It fails where the server has hung up already.
        let _ = self.socket.shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("a sound stream's thread panicked");
        }
    }
}

/// How far a device is in a stream, in samples per channel: known for a moment, and from then on it
/// goes by the clock.
pub(super) struct Progress {
    at: Instant,
    samples: f64,
}

impl Progress {
    pub(super) fn new(at: Instant, samples: f64) -> Self {
        Self { at, samples }
    }

    pub(super) fn at(&self, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.samples + since * f64::from(SAMPLE_RATE)
    }
}

/// Samples per channel as a time; what would be negative is none.
pub(super) fn seconds(samples: f64) -> Duration {
    Duration::from_secs_f64(samples.max(0.0) / f64::from(SAMPLE_RATE))
}

pub(super) fn in_samples(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6 * f64::from(SAMPLE_RATE)
}

fn bytes(samples: u32, channels: usize) -> u32 {
    samples * (channels * BYTES_PER_SAMPLE) as u32
}

pub(super) fn samples_in(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.as_chunks().0.iter().map(|sample| f32::from_le_bytes(*sample))
}

/// Our own form; the server brings it to that of the device.
pub(super) fn form(channels: u8) -> SampleSpec {
    SampleSpec { format: SampleFormat::Float32Le, channels, sample_rate: SAMPLE_RATE }
}

/// A device that was named is not changed for another.
fn flags(id: Option<&str>) -> StreamFlags {
    StreamFlags { adjust_latency: true, no_move: id.is_some(), ..StreamFlags::default() }
}

/// No name is the default device, and whichever becomes it while the stream flows.
fn named(id: Option<&str>) -> Result<Option<CString>, Failure> {
    let name = id.map(CString::new).transpose();
    name.map_err(|_| failure(Why::Other, "no device has such a name"))
}

/// Desktops lower music, and bring headsets into the mode with a microphone, while this lasts.
fn a_call() -> Props {
    let mut about = Props::new();
    about.set(Prop::MediaName, c"call");
    about.set(Prop::MediaRole, c"phone");
    about
}

fn now_of(channel: u32) -> LatencyParams {
    LatencyParams { channel, now: clock::wall() }
}
