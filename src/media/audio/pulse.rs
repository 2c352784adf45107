//! Microphones and speakers of a sound server: PulseAudio, or PipeWire, which speaks its protocol.
//!
//! Owns the connection and the thread of each stream. The messages are those of the
//! `pulseaudio` crate. Its own client, which `cpal` would use, clears a megabyte before
//! each read, and that costs a call more than everything else about its sound.

use std::ffi::CString;
use std::io::{BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pulseaudio::protocol::{
    self as wire, AuthParams, AuthReply, ChannelMap, Command, CommandReply,
    CreatePlaybackStreamReply, CreateRecordStreamReply, DESCRIPTOR_SIZE, Descriptor,
    DescriptorFlags, LatencyParams, MAX_MEMBLOCKQ_LENGTH, MAX_VERSION, PlaybackLatency,
    PlaybackStreamParams, Prop, Props, ProtocolError, PulseError, RecordLatency,
    RecordStreamParams, SampleFormat, SampleSpec, ServerInfo, SetClientNameReply, SinkInfoList,
    SourceInfoList, TagStructReader,
    stream::{BufferAttr, StreamFlags},
};

use super::cookie;
use super::device::{AudioDevice, Failure, Kind, OPENING, PERIODS, Stream, Why};
use crate::clock;
use crate::media::frame::SAMPLE_RATE;

/// Samples per channel in a period.
const PERIOD: u32 = SAMPLE_RATE / PERIODS;

/// A speaker's server holds so many periods: one that is played, one that is on its way.
const HELD: u32 = 2;

/// Channels of what we play; the server brings them to those of the speaker.
const CHANNELS: usize = 2;

const BYTES_PER_SAMPLE: usize = size_of::<f32>();

/// The channel of messages that are commands.
const COMMANDS: u32 = u32::MAX;

/// Once in so many periods the server is asked how far the device is.
const ASK_EVERY: u32 = 20;

/// A connection to the sound server of this session.
pub(super) struct Server {
    socket: BufReader<UnixStream>,
    version: u16,
    /// The number of the last question.
    asked: u32,
    /// Of the message that was read last.
    payload: Vec<u8>,
}

/// What the server says in the middle of a stream.
enum Message<'a> {
    /// Bytes that the microphone heard.
    Sound(&'a [u8]),
    /// The speaker wants so many bytes.
    Wanted(usize),
    /// The answer to the last question.
    Answer(&'a [u8]),
    /// Something that changes nothing for us.
    Aside,
}

impl Server {
    /// Connects to the sound server of this session.
    pub(super) fn reach() -> Result<Self, Failure> {
        let path = pulseaudio::socket_path_from_env();
        let path = path.ok_or_else(|| failure(Why::NoHost, "there is no socket of one"))?;
        let socket = UnixStream::connect(path).map_err(ProtocolError::from)?;
        cookie::ensure();
        let cookie = pulseaudio::cookie_path_from_env().and_then(|path| std::fs::read(path).ok());
        Self::greet(socket, cookie.unwrap_or_default())
    }

    fn greet(socket: UnixStream, cookie: Vec<u8>) -> Result<Self, Failure> {
        for limit in [UnixStream::set_read_timeout, UnixStream::set_write_timeout] {
            limit(&socket, Some(OPENING)).map_err(ProtocolError::from)?;
        }
        let socket = BufReader::new(socket);
        let mut server = Self { socket, version: MAX_VERSION, asked: 0, payload: Vec::new() };
        let version = MAX_VERSION;
        let us = AuthParams { version, supports_shm: false, supports_memfd: false, cookie };
        let them: AuthReply = server.ask(&Command::Auth(us))?;
        server.version = them.version.min(MAX_VERSION);
        let mut about = Props::new();
        about.set(Prop::ApplicationName, c"peer");
        if let Ok(id) = CString::new(std::process::id().to_string()) {
            about.set(Prop::ApplicationProcessId, id);
        }
        server.ask::<SetClientNameReply>(&Command::SetClientName(about))?;
        Ok(server)
    }

    /// All devices of a kind. What a speaker plays could be heard too, but is no microphone.
    pub(super) fn devices(&mut self, kind: Kind) -> Result<Vec<AudioDevice>, Failure> {
        let server: ServerInfo = self.ask(&Command::GetServerInfo)?;
        let device = |name: CString, called: Option<CString>, default: &Option<CString>, form| {
            let SampleSpec { sample_rate: rate, channels, .. } = form;
            AudioDevice {
                is_default: default.as_ref() == Some(&name),
                name: called.as_ref().unwrap_or(&name).to_string_lossy().into_owned(),
                id: name.to_string_lossy().into_owned(),
                rate,
                channels: u16::from(channels),
            }
        };
        Ok(match kind {
            Kind::Microphone => {
                let all: SourceInfoList = self.ask(&Command::GetSourceInfoList)?;
                let real = all.into_iter().filter(|one| one.monitor_of_sink_index.is_none());
                let default = server.default_source_name;
                real.map(|one| device(one.name, one.description, &default, one.sample_spec))
                    .collect()
            }
            Kind::Speaker => {
                let all: SinkInfoList = self.ask(&Command::GetSinkInfoList)?;
                let default = server.default_sink_name;
                all.into_iter()
                    .map(|one| device(one.name, one.description, &default, one.sample_spec))
                    .collect()
            }
        })
    }

    /// Opens a microphone; see [`super::device::open_microphone`].
    pub(super) fn record(
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
            flags: StreamFlags { adjust_latency: true, ..StreamFlags::default() },
            props: a_call(),
            ..RecordStreamParams::default()
        };
        let made: CreateRecordStreamReply = self.ask(&Command::CreateRecordStream(params))?;
        let listen = move |mut server: Self| {
            let version = server.version;
            // Samples that came, and how many the device has heard.
            let (mut came, mut device) = (0.0, Progress::new(clock::now(), 0.0));
            let (mut samples, mut periods) = (Vec::new(), 0);
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

    /// Opens a speaker; see [`super::device::open_speaker`].
    pub(super) fn play(
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
            flags: StreamFlags { adjust_latency: true, ..StreamFlags::default() },
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
        run: impl FnOnce(Self) -> Result<std::convert::Infallible, ProtocolError> + Send + 'static,
        mut broke: impl FnMut(String) + Send + 'static,
    ) -> Result<Stream, Failure> {
        let socket = self.socket.get_ref().try_clone().map_err(ProtocolError::from)?;
        // From now on it may be silent for as long as it likes: whoever listens has a watch of his own.
        socket.set_read_timeout(None).map_err(ProtocolError::from)?;
        let closed = Arc::new(AtomicBool::new(false));
        let by_us = Arc::clone(&closed);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let Err(error) = run(self);
            if !by_us.load(Ordering::Relaxed) {
                broke(Failure::from(error).reason);
            }
        });
        let thread = Some(thread.map_err(ProtocolError::from)?);
        let held = Box::new(Flow { socket, closed, thread });
        Ok(Stream { held, rate: SAMPLE_RATE, channels })
    }

    /// Asks, and waits for the answer.
    fn ask<T: CommandReply>(&mut self, command: &Command) -> Result<T, ProtocolError> {
        self.send(command)?;
        loop {
            if let Message::Answer(_) = self.next()? {
                return read(&self.payload, self.version);
            }
        }
    }

    fn send(&mut self, command: &Command) -> Result<(), ProtocolError> {
        self.asked += 1;
        let mut message = Vec::new();
        wire::encode_command_message(&mut message, self.asked, command, self.version)?;
        Ok(self.socket.get_mut().write_all(&message)?)
    }

    fn send_sound(&mut self, channel: u32, samples: &[f32]) -> Result<(), ProtocolError> {
        let length = (samples.len() * BYTES_PER_SAMPLE) as u32;
        let about = Descriptor { length, channel, offset: 0, flags: DescriptorFlags::empty() };
        let mut head = [0; DESCRIPTOR_SIZE];
        wire::encode_descriptor(&mut head, &about);
        // One write, so that the server wakes up once.
        let mut message = head.to_vec();
        message.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        Ok(self.socket.get_mut().write_all(&message)?)
    }

    /// Waits for the next message.
    fn next(&mut self) -> Result<Message<'_>, ProtocolError> {
        let about = wire::read_descriptor(&mut self.socket)?;
        let length = about.length as usize;
        if length > MAX_MEMBLOCKQ_LENGTH {
            return Err(ProtocolError::Invalid(format!("a message of {length} bytes")));
        }
        self.payload.resize(length, 0);
        self.socket.read_exact(&mut self.payload)?;
        if about.channel != COMMANDS {
            return Ok(Message::Sound(&self.payload));
        }
        let (number, command) = Command::read_tag_prefixed(&mut &*self.payload, self.version)?;
        match command {
            Command::Reply if number == self.asked => Ok(Message::Answer(&self.payload)),
            Command::Error(error) if number == self.asked => Err(ProtocolError::ServerError(error)),
            Command::Request(more) => Ok(Message::Wanted(more.length as usize)),
            Command::PlaybackStreamKilled(_) | Command::RecordStreamKilled(_) => {
                Err(ProtocolError::ServerError(PulseError::Killed))
            }
            _ => Ok(Message::Aside),
        }
    }
}

/// What an answer says after its head: two numbers of five bytes.
fn read<T: CommandReply>(answer: &[u8], version: u16) -> Result<T, ProtocolError> {
    let mut body = answer.get(10..).unwrap_or_default();
    TagStructReader::new(&mut body, version).read()
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
struct Progress {
    at: Instant,
    samples: f64,
}

impl Progress {
    fn new(at: Instant, samples: f64) -> Self {
        Self { at, samples }
    }

    fn at(&self, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.samples + since * f64::from(SAMPLE_RATE)
    }
}

/// Samples per channel as a time; what would be negative is none.
fn seconds(samples: f64) -> Duration {
    Duration::from_secs_f64(samples.max(0.0) / f64::from(SAMPLE_RATE))
}

fn in_samples(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6 * f64::from(SAMPLE_RATE)
}

fn bytes(samples: u32, channels: usize) -> u32 {
    samples * (channels * BYTES_PER_SAMPLE) as u32
}

fn samples_in(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.as_chunks().0.iter().map(|sample| f32::from_le_bytes(*sample))
}

/// Our own form; the server brings it to that of the device.
fn form(channels: u8) -> SampleSpec {
    SampleSpec { format: SampleFormat::Float32Le, channels, sample_rate: SAMPLE_RATE }
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

fn failure(why: Why, reason: &str) -> Failure {
    Failure { why, reason: reason.to_owned() }
}

impl From<ProtocolError> for Failure {
    fn from(error: ProtocolError) -> Self {
        match error {
            ProtocolError::ServerError(error) => {
                let why = match error {
                    PulseError::AccessDenied | PulseError::AuthKey => Why::Forbidden,
                    PulseError::Busy => Why::Busy,
                    _ => Why::Other,
                };
                failure(why, &format!("the sound server says: {error}"))
            }
            ProtocolError::Io(error) => match error.kind() {
                std::io::ErrorKind::UnexpectedEof
                | std::io::ErrorKind::BrokenPipe
                | std::io::ErrorKind::ConnectionReset => {
                    failure(Why::NoHost, "the sound server hung up")
                }
                std::io::ErrorKind::WouldBlock => {
                    failure(Why::NoHost, "the sound server does not answer")
                }
                _ => failure(Why::NoHost, &format!("the sound server: {error}")),
            },
            error => failure(Why::Other, &format!("the sound server: {error}")),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use pulseaudio::protocol::{Request, encode_command_message, encode_reply_message};

    use super::*;

    /// The other end of a connection: answers what a test wants.
    struct Played(BufReader<UnixStream>);

    impl Played {
        /// Reads a command and gives its number.
        fn asked(&mut self) -> (u32, Command) {
            wire::read_command_message(&mut self.0, MAX_VERSION).expect("a command")
        }

        fn answer<T: CommandReply>(&mut self, reply: &T) {
            let (number, _) = self.asked();
            let mut message = Vec::new();
            encode_reply_message(&mut message, number, reply, MAX_VERSION).unwrap();
            self.0.get_mut().write_all(&message).unwrap();
        }

        fn say(&mut self, command: &Command) {
            let mut message = Vec::new();
            encode_command_message(&mut message, u32::MAX, command, MAX_VERSION).unwrap();
            self.0.get_mut().write_all(&message).unwrap();
        }

        fn sound(&mut self, channel: u32, bytes: &[u8]) {
            wire::write_memblock(self.0.get_mut(), channel, bytes, 0).unwrap();
        }
    }

    /// A connection whose other end has greeted us.
    fn connected() -> (Server, Played) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut played = Played(BufReader::new(theirs));
        let greeting = std::thread::spawn(move || {
            played.answer(&AuthReply { version: MAX_VERSION, ..AuthReply::default() });
            played.answer(&SetClientNameReply { client_id: 1 });
            played
        });
        let Ok(server) = Server::greet(ours, vec![0; 256]) else { panic!("it greets") };
        (server, greeting.join().unwrap())
    }

    /// A microphone on it: what it hears, and why it broke.
    fn microphone() -> (Stream, Played, Receiver<Vec<f32>>, Receiver<String>) {
        let (server, mut played) = connected();
        let answering = std::thread::spawn(move || {
            played.answer(&CreateRecordStreamReply { channel: 7, ..Default::default() });
            played
        });
        let ((hear, heard), (tell, told)) = (channel(), channel());
        let stream = server.record(
            Some("desk"),
            move |samples, _| hear.send(samples.to_vec()).unwrap(),
            move |reason| tell.send(reason).unwrap(),
        );
        let Ok(stream) = stream else { panic!("it opens") };
        (stream, answering.join().unwrap(), heard, told)
    }

    #[test]
    fn a_microphone_hears_and_goes_away_without_a_word() {
        let (stream, mut played, heard, told) = microphone();
        played.sound(7, &[0, 0, 0x80, 0x3f, 0, 0, 0, 0xbf]);
        assert_eq!(heard.recv().unwrap(), [1.0, -0.5]);
        assert!(matches!(played.asked().1, Command::GetRecordLatency(_)));
        drop(stream);
        assert!(told.recv().is_err(), "that was our own wish");
    }

    #[test]
    fn what_ends_a_stream_is_told() {
        for (ended, why) in
            [(Some(Command::RecordStreamKilled(7)), "Entity killed"), (None, "hung up")]
        {
            let (_stream, mut played, _heard, told) = microphone();
            if let Some(command) = ended {
                played.say(&command);
                assert!(told.recv().unwrap().contains(why));
            } else {
                drop(played);
                assert!(told.recv().unwrap().contains(why));
            }
        }
    }

    #[test]
    fn nonsense_ends_a_stream() {
        let (_stream, mut played, _heard, told) = microphone();
        played.0.get_mut().write_all(&[0xff; DESCRIPTOR_SIZE]).unwrap();
        assert!(told.recv().unwrap().contains("a message of 4294967295 bytes"));
    }

    #[test]
    fn a_speaker_gives_what_is_wanted_and_says_when_it_is_heard() {
        let (server, mut played) = connected();
        let answering = std::thread::spawn(move || {
            let (channel, requested_bytes) = (3, 8 * 960);
            let made = CreatePlaybackStreamReply { channel, requested_bytes, ..Default::default() };
            played.answer(&made);
            played
        });
        let (tell, told) = channel();
        let stream = server.play(
            None,
            move |rate, channels, block, ahead| {
                block.fill(0.25);
                tell.send((rate, channels, block.len(), ahead)).unwrap();
            },
            |_| {},
        );
        let Ok(_stream) = stream else { panic!("it opens") };
        let mut played = answering.join().unwrap();
        let (rate, channels, length, ahead) = told.recv().unwrap();
        assert_eq!((rate, channels, length, ahead), (48_000, 2, 1_920, Duration::ZERO));
        let about = wire::read_descriptor(&mut played.0).unwrap();
        assert_eq!((about.channel, about.length), (3, 8 * 960));
        let mut sound = vec![0; about.length as usize];
        played.0.read_exact(&mut sound).unwrap();
        assert!(samples_in(&sound).all(|sample| sample == 0.25));
        // The device says that a third of it waits, and it is 100 ms away itself.
        let zero = std::time::SystemTime::UNIX_EPOCH;
        played.answer(&PlaybackLatency {
            sink_usec: 100_000,
            source_usec: 0,
            playing: true,
            local_time: zero,
            remote_time: zero,
            write_offset: 8 * 960,
            read_offset: 8 * 640,
            underrun_for: 0,
            playing_for: 0,
        });
        played.say(&Command::Request(Request { channel: 3, length: 8 * 480 }));
        let (_, _, length, ahead) = told.recv().unwrap();
        assert_eq!(length, 960);
        let told = Duration::from_micros(100_000 + 6_667);
        assert!(ahead <= told && ahead > Duration::ZERO, "{ahead:?}");
    }

    #[test]
    fn a_device_goes_by_the_clock() {
        let start = clock::now();
        let device = Progress::new(start, 480.0);
        assert!((device.at(start + Duration::from_millis(20)) - 1_440.0).abs() < 1e-6);
        assert_eq!(seconds(480.0), Duration::from_millis(10));
        assert_eq!(seconds(-5.0), Duration::ZERO);
        assert!((in_samples(2_000) - 96.0).abs() < 1e-9);
    }
}
