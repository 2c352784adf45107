//! RTP to encoded frames: what arrives on a remote track.
//!
//! Owns the task that reads one track and asks for keyframes. Order, loss and
//! assembly are decided in `jitter_buffer.rs`; nothing is decoded here.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Mutex as AsyncMutex, Notify, mpsc};

use super::codecs::MediaKind;
use super::feedback::Feedback;
use super::jitter_buffer::{Counters, JitterBuffer, Output, VideoPacket};
use super::path::Path;
use super::red::AudioCopy;
use crate::clock;
use crate::media::encoded::{Codec, EncodedFrame};
use crate::media::showing::Orientation;

/// One RTP packet of theirs, decrypted, repaired where need was.
#[derive(Debug, Clone)]
pub struct ReceivedPacket {
    /// When it came.
    pub arrived_at: Instant,
    /// Its stream.
    pub ssrc: u32,
    /// RTP sequence number.
    pub sequence_number: u16,
    /// RTP timestamp: 90 kHz for pictures, 48 kHz for sound.
    pub timestamp: u32,
    /// The last packet of a picture, or the first of a talk spurt.
    pub marker: bool,
    /// The number by which it names its codec, of what is in it where there are copies with it.
    pub payload_type: u8,
    /// What that number means in this session.
    pub codec: Codec,
    /// What it carries.
    pub payload: Bytes,
    /// Which way up its picture is to be shown, where it says so.
    pub orientation: Option<Orientation>,
    /// Earlier sound that it carried again (RED), oldest first.
    pub copies: Vec<AudioCopy>,
}

/// Pictures or sound of theirs.
#[derive(Debug, Clone)]
pub struct RemoteTrack {
    kind: MediaKind,
    /// The stream and the codec of its first packet.
    ssrc: u32,
    codec: Codec,
    packets: Arc<AsyncMutex<mpsc::Receiver<ReceivedPacket>>>,
    path: Path,
    feedback: Feedback,
}

impl RemoteTrack {
    pub(super) fn new(
        kind: MediaKind,
        (ssrc, codec): (u32, Codec),
        packets: mpsc::Receiver<ReceivedPacket>,
        path: Path,
        feedback: Feedback,
    ) -> Self {
        Self { kind, ssrc, codec, packets: Arc::new(AsyncMutex::new(packets)), path, feedback }
    }

    /// Pictures or sound.
    #[must_use]
    pub fn kind(&self) -> MediaKind {
        self.kind
    }

    /// What it begins in; each packet says what it is in itself.
    #[must_use]
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// The next packet; `None` when the connection has ended. Cancel-safe.
    pub async fn next_packet(&self) -> Option<ReceivedPacket> {
        self.packets.lock().await.recv().await
    }

    /// Asks for a keyframe of the stream `ssrc` (PLI, RFC 4585 section 6.3.1).
    pub async fn request_keyframe(&self, ssrc: u32) {
        self.feedback.request_keyframe(ssrc).await;
    }

    /// A round trip; zero before one is known.
    #[must_use]
    pub fn round_trip(&self) -> Duration {
        self.path.round_trip()
    }
}

/// When to ask for a keyframe: at once, then again as long as none comes. Pure.
#[derive(Debug, Default)]
pub struct KeyframeRequests {
    wanted: bool,
    asked_at: Option<Instant>,
    times: u32,
    round_trip: Duration,
}

/// How long an encoder and a keyframe on its way may take, beside the round trip, before we ask
/// again; each time is waited longer, so that a narrow path is not filled with keyframes.
const ASK_AGAIN: Duration = Duration::from_millis(300);
const ASK_AGAIN_AT_MOST: Duration = Duration::from_secs(2);
const BACK_OFF: f64 = 1.4;

impl KeyframeRequests {
    /// A keyframe is needed.
    pub fn want(&mut self) {
        self.wanted = true;
    }

    /// One came.
    pub fn satisfied(&mut self) {
        (self.wanted, self.asked_at, self.times) = (false, None, 0);
    }

    /// Some of one came: that is the answer, and the rest of it follows. On a narrow path a keyframe takes
    /// longer than we wait for it.
    pub fn is_coming(&mut self, now: Instant) {
        self.asked_at = self.asked_at.map(|_| now);
    }

    /// Whether one is waited for.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// An answer takes so long.
    pub fn set_round_trip(&mut self, rtt: Duration) {
        self.round_trip = rtt;
    }

    fn wait(&self) -> Duration {
        let wait = (ASK_AGAIN + self.round_trip * 2)
            .mul_f64(BACK_OFF.powi(self.times.saturating_sub(1).min(16) as i32));
        wait.min(ASK_AGAIN_AT_MOST)
    }

    /// When the next request is due, if any.
    #[must_use]
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        self.wanted.then(|| self.asked_at.map_or(now, |at| at + self.wait()))
    }

    /// Whether a request is due now; then it counts as sent.
    pub fn take_due(&mut self, now: Instant) -> bool {
        let due = self.deadline(now).is_some_and(|at| at <= now);
        if due {
            self.asked_at = Some(now);
            self.times += 1;
        }
        due
    }
}

/// Wakes the receiving task to ask for a keyframe, from the decoding thread.
#[derive(Debug, Clone, Default)]
pub struct KeyframeBell(Arc<Notify>);

impl KeyframeBell {
    /// The picture is broken: a keyframe is needed.
    pub fn ring(&self) {
        self.0.notify_one();
    }

    pub(super) fn rung(&self) -> impl Future<Output = ()> + '_ {
        self.0.notified()
    }
}

/// Reads the pictures of `track` until it ends and hands over each complete one.
///
/// `deliver` must not block; it answers whether the picture found room. Keyframes are asked for at
/// the start (the first packets can be lost while SRTP comes up), when the stream is broken, and
/// when `bell` rings.
pub async fn receive_video(
    track: &RemoteTrack,
    bell: &KeyframeBell,
    counters: &ReceiveCounters,
    mut deliver: impl FnMut(EncodedFrame) -> bool + Send,
) {
    let mut buffer = JitterBuffer::new();
    let mut requests = KeyframeRequests::default();
    let mut ssrc = track.ssrc;
    requests.want();
    loop {
        let now = clock::now();
        let rtt = track.round_trip();
        requests.set_round_trip(rtt);
        if !rtt.is_zero() {
            buffer.set_round_trip(rtt);
        }
        if requests.take_due(now) {
            track.request_keyframe(ssrc).await;
        }
        let deadline = [buffer.deadline(), requests.deadline(now)].into_iter().flatten().min();
        tokio::select! {
            packet = track.next_packet() => {
                let Some(packet) = packet else { return };
                if packet.ssrc != ssrc {
                    ssrc = packet.ssrc;
                    buffer.start_over();
                }
                let (at, timestamp) = (packet.arrived_at, packet.timestamp);
                buffer.insert(at, video_packet(packet));
                if requests.is_wanted() && buffer.is_part_of_keyframe(timestamp) {
                    requests.is_coming(at);
                }
            }
            () = bell.rung() => requests.want(),
            () = clock::until(deadline) => buffer.handle_timeout(clock::now()),
        }
        while let Some(output) = buffer.poll() {
            match output {
                Output::Frame(frame) => {
                    if frame.keyframe {
                        requests.satisfied();
                    }
                    if !deliver(frame) {
                        requests.want();
                    }
                }
                Output::KeyframeNeeded => requests.want(),
            }
        }
        counters.publish(Some(ssrc), buffer.counters());
    }
}

fn video_packet(packet: ReceivedPacket) -> VideoPacket {
    VideoPacket {
        sequence_number: packet.sequence_number,
        timestamp: packet.timestamp,
        marker: packet.marker,
        codec: packet.codec,
        payload: packet.payload,
        orientation: packet.orientation,
    }
}

/// The jitter buffer's counters and the stream they belong to, readable while it runs.
#[derive(Debug, Default)]
pub struct ReceiveCounters(Mutex<(Option<u32>, Counters)>);

impl ReceiveCounters {
    fn publish(&self, ssrc: Option<u32>, counters: Counters) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (ssrc, counters);
    }

    /// The counters now.
    #[must_use]
    pub fn get(&self) -> Counters {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    /// The stream; `None` before its first packet.
    #[must_use]
    pub fn ssrc(&self) -> Option<u32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_at_once_and_again_until_a_keyframe_comes() {
        let start = clock::now();
        let mut requests = KeyframeRequests::default();
        assert!(!requests.take_due(start), "nothing is wanted yet");
        requests.want();
        assert!(requests.take_due(start));
        assert!(!requests.take_due(start + ASK_AGAIN / 2), "too soon to ask again");
        assert_eq!(requests.deadline(start), Some(start + ASK_AGAIN));
        assert!(requests.take_due(start + ASK_AGAIN));
        assert!(!requests.take_due(start + 2 * ASK_AGAIN), "less and less often");
        requests.satisfied();
        assert!(!requests.take_due(start + 10 * ASK_AGAIN));
    }

    #[test]
    fn does_not_ask_again_while_a_keyframe_arrives() {
        let start = clock::now();
        let mut requests = KeyframeRequests::default();
        requests.want();
        requests.is_coming(start);
        assert!(requests.take_due(start), "nobody was asked yet");
        for n in 1..10 {
            requests.is_coming(start + n * ASK_AGAIN / 2);
            assert!(!requests.take_due(start + n * ASK_AGAIN / 2));
        }
        assert!(requests.take_due(start + 6 * ASK_AGAIN), "the rest of it does not come");
    }
}
