//! Reports on the arrival of each packet, as often as they are worth their bytes.
//!
//! Owns when: the library's recorder makes them. Often enough for the other
//! side to notice a queue before it is long, seldom enough not to fill a narrow
//! way back, and at once after a silence, which is how it learns that the path
//! is there again.

use std::time::{Duration, Instant};

use rtc::interceptor::{
    Interceptor, Packet, StreamInfo, TaggedPacket, TwccReceiverBuilder, TwccReceiverInterceptor,
};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use rtc::shared::marshal::MarshalSize;

/// Reports of a fast stream and of a slow one are so far apart.
const OFTEN: Duration = Duration::from_millis(40);
const SELDOM: Duration = Duration::from_millis(100);

/// A stream of this many bits a second is fast enough for the former.
const FAST: f64 = 250_000.0;

/// Longer than this without a packet is a silence.
const SILENCE: Duration = Duration::from_millis(200);

/// The least that the recorder waits by itself.
const RECORDER: Duration = Duration::from_millis(5);

/// See the module.
pub(in crate::rtc) struct Reports {
    recorder: TwccReceiverInterceptor,
    last_packet: Option<Instant>,
    due: Option<Instant>,
    rate: f64,
}

impl Reports {
    pub(in crate::rtc) fn new() -> Self {
        let recorder = TwccReceiverBuilder::new().with_interval(RECORDER).build();
        Self { recorder, last_packet: None, due: None, rate: 0.0 }
    }

    fn on_packet(&mut self, now: Instant, bits: f64) {
        let since = self.last_packet.replace(now).map(|last| now.saturating_duration_since(last));
        // Half a second's mean.
        let weight = since.map_or(0.0, |since| (since.as_secs_f64() / 0.5).min(1.0));
        self.rate = self.rate * (1.0 - weight) + bits / 0.5;
        let after_silence = since.is_none_or(|since| since > SILENCE);
        let interval = match (after_silence, self.rate > FAST) {
            (true, _) => RECORDER,
            (false, true) => OFTEN,
            (false, false) => SELDOM,
        };
        let due = now + interval;
        self.due = Some(self.due.map_or(due, |before| before.min(due)));
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Reports {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, msg: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(packet) = &msg.message.packet {
            self.on_packet(msg.now, (packet.marshal_size() * 8) as f64);
        }
        self.recorder.handle_read(msg)
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.recorder.poll_read()
    }

    fn handle_write(&mut self, msg: TaggedPacket) -> Result<(), Error> {
        self.recorder.handle_write(msg)
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.recorder.poll_write()
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        if self.due.is_some_and(|due| due <= now) {
            self.due = None;
            self.recorder.handle_timeout(now)?;
        }
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.due
    }
}

impl Interceptor for Reports {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        self.recorder.bind_local_stream(info);
    }

    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        self.recorder.unbind_local_stream(info);
    }

    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        self.recorder.bind_remote_stream(info);
    }

    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        self.recorder.unbind_remote_stream(info);
    }
}
