//! Microphones and speakers of a sound server: PulseAudio, or PipeWire, which speaks its protocol.
//!
//! Owns the connection; what flows over it is in `pulse/streams.rs`. The messages are those of the
//! `pulseaudio` crate. Its own client, which `cpal` would use, clears a megabyte before
//! each read, and that was a tenth of what a call cost.

mod streams;

use std::ffi::CString;
use std::io::{BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use pulseaudio::protocol::{
    self as wire, AuthParams, AuthReply, Command, CommandReply, DEFAULT_SINK, DEFAULT_SOURCE,
    DESCRIPTOR_SIZE, Descriptor, DescriptorFlags, GetSinkInfo, GetSourceInfo, MAX_MEMBLOCKQ_LENGTH,
    MAX_VERSION, Prop, Props, ProtocolError, PulseError, SampleSpec, ServerInfo,
    SetClientNameReply, SinkInfo, SinkInfoList, SourceInfo, SourceInfoList, TagStructReader,
};

use super::backend::{AudioDevice, Failure, Kind, OPENING, Why};
use super::cookie;
use crate::system;

const BYTES_PER_SAMPLE: usize = size_of::<f32>();

/// The channel of messages that are commands.
const COMMANDS: u32 = u32::MAX;

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
        let socket = connect(&path).map_err(std::io::Error::from)?;
        cookie::ensure();
        let cookie = pulseaudio::cookie_path_from_env().and_then(|path| std::fs::read(path).ok());
        Self::greet(socket, cookie.unwrap_or_default())
    }

    fn greet(socket: UnixStream, cookie: Vec<u8>) -> Result<Self, Failure> {
        for limit in [UnixStream::set_read_timeout, UnixStream::set_write_timeout] {
            limit(&socket, Some(OPENING))?;
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
        let device = |id: CString, about: Option<CString>, default: &Option<CString>, form| {
            let SampleSpec { sample_rate: rate, channels, .. } = form;
            AudioDevice {
                is_default: default.as_ref() == Some(&id),
                name: called(&id, about.as_ref()),
                id: id.to_string_lossy().into_owned(),
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

    /// The name of the device that is used when none is named. Where what a speaker plays would be
    /// the default microphone, it is the first real one, by its id.
    pub(super) fn default(
        &mut self,
        kind: Kind,
    ) -> Result<Option<(String, Option<String>)>, Failure> {
        // Not from the list: there, one device that cannot be read hides all.
        match kind {
            Kind::Speaker => {
                let name = Some(DEFAULT_SINK.to_owned());
                let asked = Command::GetSinkInfo(GetSinkInfo { index: None, name });
                let default: Option<SinkInfo> = self.ask_for(&asked)?;
                Ok(default.map(|one| (called(&one.name, one.description.as_ref()), None)))
            }
            Kind::Microphone => {
                let name = Some(DEFAULT_SOURCE.to_owned());
                let asked = Command::GetSourceInfo(GetSourceInfo { index: None, name });
                match self.ask_for::<SourceInfo>(&asked)? {
                    Some(one) if one.monitor_of_sink_index.is_none() => {
                        Ok(Some((called(&one.name, one.description.as_ref()), None)))
                    }
                    _ => {
                        let first = self.devices(kind)?.into_iter().next();
                        Ok(first.map(|device| (device.name, Some(device.id))))
                    }
                }
            }
        }
    }

    /// Asks, and waits for the answer.
    fn ask<T: CommandReply>(&mut self, command: &Command) -> Result<T, Failure> {
        self.send(command)?;
        loop {
            if let Message::Answer(_) = self.next()? {
                return Ok(read(&self.payload, self.version)?);
            }
        }
    }

    /// The same for what may not be there.
    fn ask_for<T: CommandReply>(&mut self, command: &Command) -> Result<Option<T>, Failure> {
        match self.ask(command) {
            Err(Failure { why: Why::Absent, .. }) => Ok(None),
            answer => answer.map(Some),
        }
    }

    fn send(&mut self, command: &Command) -> Result<(), Failure> {
        self.asked += 1;
        let mut message = Vec::new();
        wire::encode_command_message(&mut message, self.asked, command, self.version)?;
        Ok(self.socket.get_mut().write_all(&message)?)
    }

    fn send_sound(&mut self, channel: u32, samples: &[f32]) -> Result<(), Failure> {
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
    fn next(&mut self) -> Result<Message<'_>, Failure> {
        let about = wire::read_descriptor(&mut self.socket)?;
        let length = about.length as usize;
        if length > MAX_MEMBLOCKQ_LENGTH {
            return Err(ProtocolError::Invalid(format!("a message of {length} bytes")).into());
        }
        self.payload.resize(length, 0);
        self.socket.read_exact(&mut self.payload)?;
        if about.channel != COMMANDS {
            return Ok(Message::Sound(&self.payload));
        }
        let Ok((number, command)) = Command::read_tag_prefixed(&mut &*self.payload, self.version)
        else {
            // News in a form of later days.
            return Ok(Message::Aside);
        };
        match command {
            Command::Reply if number == self.asked => Ok(Message::Answer(&self.payload)),
            Command::Error(error) if number == self.asked => {
                Err(ProtocolError::ServerError(error).into())
            }
            Command::Request(more) => Ok(Message::Wanted(more.length as usize)),
            Command::PlaybackStreamKilled(_) | Command::RecordStreamKilled(_) => {
                Err(ProtocolError::ServerError(PulseError::Killed).into())
            }
            // The far side would hear itself.
            Command::RecordStreamMoved(to) if to.device_name.to_bytes().ends_with(b".monitor") => {
                Err(failure(Why::Other, "the microphone is gone"))
            }
            _ => Ok(Message::Aside),
        }
    }
}

/// What people call a device: the words about it, else its id.
fn called(id: &CString, about: Option<&CString>) -> String {
    about.unwrap_or(id).to_string_lossy().into_owned()
}

/// What an answer says after its head: two numbers of five bytes.
fn read<T: CommandReply>(answer: &[u8], version: u16) -> Result<T, ProtocolError> {
    let mut body = answer.get(10..).unwrap_or_default();
    TagStructReader::new(&mut body, version).read()
}

/// A server that is stopped takes no more connections once some wait.
fn connect(path: &Path) -> Result<UnixStream, rustix::io::Errno> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(OPENING))?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(UnixStream::from(socket))
}

fn failure(why: Why, reason: &str) -> Failure {
    Failure { why, reason: reason.to_owned() }
}

impl From<ProtocolError> for Failure {
    fn from(error: ProtocolError) -> Self {
        match error {
            ProtocolError::ServerError(error) => {
                tracing::info!(%error, "the sound server refuses");
                match error {
                    PulseError::Busy => failure(Why::Busy, "it is in use"),
                    PulseError::AccessDenied => {
                        failure(Why::Other, "the sound server does not let us use it")
                    }
                    PulseError::NoEntity => failure(Why::Absent, "it is gone"),
                    PulseError::Killed => failure(Why::Other, "the sound server took it away"),
                    PulseError::NotSupported | PulseError::Invalid => {
                        failure(Why::Other, "the sound server cannot use it as we need it")
                    }
                    _ => failure(Why::Other, "the sound server has a fault of its own"),
                }
            }
            ProtocolError::Io(error) => error.into(),
            error => {
                tracing::info!(%error, "the sound server's protocol");
                failure(Why::Other, "the sound server was not understood")
            }
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof, WouldBlock};
        match error.kind() {
            UnexpectedEof | BrokenPipe | ConnectionReset => {
                failure(Why::Other, "the sound server closed the connection")
            }
            WouldBlock => failure(Why::Other, "the sound server does not answer"),
            _ => failure(Why::Other, &format!("the sound server: {}", system::words(&error))),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::sync::mpsc::{Receiver, sync_channel};
    use std::time::Duration;

    use pulseaudio::protocol::stream::BufferAttr;
    use pulseaudio::protocol::{
        ChannelMap, CreatePlaybackStreamReply, CreateRecordStreamReply, PlaybackLatency,
        RecordLatency, RecordStreamMovedParams, Request, encode_command_message,
        encode_reply_message,
    };

    use super::streams::{Progress, form, in_samples, samples_in, seconds};
    use super::*;
    use crate::clock;
    use crate::media::audio::backend::Stream;

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

    /// Two samples.
    const SOUND: [u8; 8] = [0, 0, 0x80, 0x3f, 0, 0, 0, 0xbf];

    type Heard = Receiver<(Vec<f32>, Duration)>;

    /// A microphone on it, which has heard something: what it hears, and why it broke.
    fn microphone() -> (Stream, Played, Heard, Receiver<String>) {
        let (server, mut played) = connected();
        let answering = std::thread::spawn(move || {
            played.answer(&CreateRecordStreamReply { channel: 7, ..Default::default() });
            played.sound(7, &SOUND);
            played
        });
        let ((hear, heard), (tell, told)) = (sync_channel(4), sync_channel(4));
        let stream = server.record(
            Some("desk"),
            move |samples, age| hear.send((samples.to_vec(), age)).unwrap(),
            move |reason| tell.send(reason).unwrap(),
        );
        let Ok(stream) = stream else { panic!("it opens") };
        (stream, answering.join().unwrap(), heard, told)
    }

    #[test]
    fn a_microphone_says_how_old_its_sound_is() {
        let (stream, mut played, heard, told) = microphone();
        let (samples, age) = heard.recv().unwrap();
        assert_eq!((samples, age), (vec![1.0, -0.5], seconds(2.0)));
        // 10 ms wait at the server, 30 ms in the device.
        let before = clock::now();
        let zero = std::time::SystemTime::UNIX_EPOCH;
        played.answer(&RecordLatency {
            sink_usec: 0,
            source_usec: 30_000,
            playing: false,
            local_time: zero,
            remote_time: zero,
            write_offset: 4 * 500,
            read_offset: 4 * 20,
        });
        played.sound(7, &SOUND);
        let (_, age) = heard.recv().unwrap();
        let told_of = Duration::from_millis(40);
        let slack = clock::now() - before + Duration::from_micros(1);
        assert!(age + Duration::from_micros(1) >= told_of && age <= told_of + slack, "{age:?}");
        drop(stream);
        assert!(told.recv().is_err(), "that was our own wish");
    }

    #[test]
    fn what_a_speaker_plays_is_no_microphone() {
        let (mut server, mut played) = connected();
        let source = |name: &std::ffi::CStr, monitor_of_sink_index| SourceInfo {
            name: name.to_owned(),
            sample_spec: form(1),
            channel_map: ChannelMap::mono(),
            monitor_of_sink_index,
            ..Default::default()
        };
        let (monitor, desk) = (source(c"speaker.monitor", Some(1)), source(c"desk", None));
        let answering = std::thread::spawn(move || {
            played.answer(&monitor);
            played.answer(&ServerInfo::default());
            played.answer(&vec![monitor, desk]);
            played
        });
        let Ok(default) = server.default(Kind::Microphone) else { panic!("it answers") };
        assert_eq!(default, Some(("desk".to_owned(), Some("desk".to_owned()))));
        drop(answering.join().unwrap());
    }

    #[test]
    fn what_ends_a_stream_is_told() {
        let moved = |name: &std::ffi::CStr| {
            Command::RecordStreamMoved(RecordStreamMovedParams {
                stream_index: 1,
                device_index: 2,
                device_name: name.to_owned(),
                device_suspended: false,
                buffer_attr: BufferAttr::default(),
                configured_source_latency: 0,
            })
        };
        for (ended, why) in [
            (Command::RecordStreamKilled(7), "took it away"),
            (moved(c"speaker.monitor"), "the microphone is gone"),
        ] {
            let (_stream, mut played, _heard, told) = microphone();
            played.say(&moved(c"another"));
            played.say(&ended);
            assert!(told.recv().unwrap().contains(why), "{why}");
        }
        let (_stream, played, _heard, told) = microphone();
        drop(played);
        assert!(told.recv().unwrap().contains("closed the connection"));
    }

    #[test]
    fn nonsense_ends_a_stream() {
        let (_stream, mut played, _heard, told) = microphone();
        played.0.get_mut().write_all(&[0xff; DESCRIPTOR_SIZE]).unwrap();
        assert!(told.recv().unwrap().contains("was not understood"));
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
        let (tell, told) = sync_channel(4);
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
        let before = clock::now();
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
        let told_of = Duration::from_micros(106_666);
        let least = told_of.saturating_sub(clock::now() - before);
        assert!(ahead >= least && ahead <= told_of + Duration::from_micros(1), "{ahead:?}");
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
