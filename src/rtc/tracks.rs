//! Tracks of theirs: every packet goes to whoever reads its track.
//!
//! Whose it is says `streams.rs`. The library's own tracks are passed by: it tells them apart by ids
//! that a description need not have, and takes a stream that nobody announced only where there is
//! nothing else.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use bytes::Bytes;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtp;
use tokio::sync::mpsc;
use webrtc::peer_connection::PeerConnection;

use super::agreed::{Extensions, Section};
use super::codecs::{Format, MediaKind};
use super::events::ConnectionEvent;
use super::feedback::Feedback;
use super::path::Path;
use super::receiver::{ReceivedPacket, RemoteTrack};
use super::red;
use super::streams::{Streams, Whose};
use crate::media::showing::Orientation;

/// Packets of one track that wait to be read: more than a second at the highest rates.
const QUEUE: usize = 2_048;

/// What came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    /// A packet of media, by itself or as a repair.
    Media {
        /// Pictures or sound.
        kind: MediaKind,
        /// Whether they send again what is asked for.
        repeats: bool,
        /// Whether it was sent again.
        repair: bool,
    },
    /// Nothing that anybody reads: padding that probes the path, or of no section.
    Other,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Tracks {
    inner: Mutex<Inner>,
    feedback: Feedback,
    path: Path,
    /// The stream of sound; above 32 bits: none yet.
    sound: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    streams: Streams,
    readers: HashMap<MediaKind, mpsc::Sender<ReceivedPacket>>,
    /// Whether they are known to be who was described.
    vouched: bool,
    /// Tracks that nobody has been told of.
    untold: Vec<RemoteTrack>,
}

impl Tracks {
    pub(super) fn new(path: Path) -> Self {
        let sound = AtomicU64::new(u64::MAX);
        Self { inner: Mutex::default(), feedback: Feedback::default(), path, sound }
    }

    /// Where what is asked of them goes out.
    pub(super) fn answer_over(&self, connection: Weak<dyn PeerConnection>) {
        self.feedback.over(connection);
    }

    /// A round of offer and answer is over.
    pub(super) fn settle(&self, sections: Vec<Section>) {
        self.inner().streams.settle(sections);
    }

    /// What was agreed on in the last round.
    pub(super) fn sections(&self) -> Vec<Section> {
        self.inner().streams.sections().to_vec()
    }

    /// The numbers of header extensions.
    pub(super) fn extensions(&self) -> Extensions {
        self.inner().streams.extensions()
    }

    /// The stream of their sound that came last.
    pub(super) fn sound(&self) -> Option<u32> {
        u32::try_from(self.sound.load(Ordering::Relaxed)).ok()
    }

    /// What is to be asked of them now, where nothing of ours could carry it.
    pub(super) fn wishes(&self) -> Vec<PictureLossIndication> {
        self.feedback.wishes()
    }

    /// They are who was described: their tracks are told of.
    pub(super) fn vouched(&self, news: &mpsc::Sender<ConnectionEvent>) {
        let mut inner = self.inner();
        inner.vouched = true;
        inner.tell(news);
    }

    /// Takes a packet that came at `now`; a repair is turned back into what it repairs.
    pub(super) fn take(
        &self,
        now: Instant,
        packet: &mut rtp::Packet,
        news: &mpsc::Sender<ConnectionEvent>,
    ) -> Came {
        let mut inner = self.inner();
        let mut whose = inner.whose(&packet.header);
        let repair = matches!(whose, Some(Whose::Repair { .. }));
        if let Some(Whose::Repair { of, payload_type }) = whose {
            if !unpack(packet, of, payload_type) {
                return Came::Other;
            }
            whose = inner.whose(&packet.header);
        }
        let Some(Whose::Media { section, format }) = whose else { return Came::Other };
        let Some(found) = inner.streams.sections().get(section) else { return Came::Other };
        let (kind, repeats) = (found.kind, found.repeats);
        if inner.streams.played(kind) == Some(section) {
            if kind == MediaKind::Audio {
                self.sound.store(u64::from(packet.header.ssrc), Ordering::Relaxed);
            }
            let orientation = inner.streams.extensions().orientation;
            if let Some(read) = read(now, packet, (found, format), orientation) {
                self.hand_over(&mut inner, kind, read, news);
            }
        }
        Came::Media { kind, repeats, repair }
    }

    /// To who reads the track; with its first packet a track begins.
    fn hand_over(
        &self,
        inner: &mut Inner,
        kind: MediaKind,
        packet: ReceivedPacket,
        news: &mpsc::Sender<ConnectionEvent>,
    ) {
        let (ssrc, codec) = (packet.ssrc, packet.codec);
        let mut begun = None;
        let reader = inner.readers.entry(kind).or_insert_with(|| {
            let (to, packets) = mpsc::channel(QUEUE);
            let (path, feedback) = (self.path.clone(), self.feedback.clone());
            begun = Some(RemoteTrack::new(kind, (ssrc, codec), packets, path, feedback));
            to
        });
        // Closed: nobody reads it any more. Full: whoever reads it does not keep up, and sees a gap.
        if let Err(mpsc::error::TrySendError::Full(_)) = reader.try_send(packet) {
            tracing::warn!(?kind, "a packet of theirs found no room");
        }
        inner.untold.extend(begun);
        inner.tell(news);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn whose(&mut self, header: &rtp::header::Header) -> Option<Whose> {
        let mid = self.streams.extensions().mid.and_then(|id| header.get_extension(id));
        self.streams.whose(header.ssrc, header.payload_type, mid.as_deref())
    }

    /// A track that finds no room among the news is told of with its next packet.
    fn tell(&mut self, news: &mpsc::Sender<ConnectionEvent>) {
        while self.vouched
            && let Some(track) = self.untold.pop()
        {
            if let Err(mpsc::error::TrySendError::Full(ConnectionEvent::Track(track))) =
                news.try_send(ConnectionEvent::Track(track))
            {
                return self.untold.push(track);
            }
        }
    }
}

/// Turns a repair back into what it repairs (RFC 4588 section 4); whether it was one. Two bytes of
/// original sequence number, then the payload. Less is padding to probe the path.
fn unpack(packet: &mut rtp::Packet, of: u32, payload_type: u8) -> bool {
    let [high, low, ..] = packet.payload[..] else { return false };
    packet.payload = packet.payload.slice(2..);
    packet.header.sequence_number = u16::from_be_bytes([high, low]);
    packet.header.ssrc = of;
    packet.header.payload_type = payload_type;
    true
}

/// The packet as its readers know it; `None` when it is not whole.
fn read(
    now: Instant,
    packet: &rtp::Packet,
    (section, format): (&Section, Format),
    orientation: Option<u8>,
) -> Option<ReceivedPacket> {
    let header = &packet.header;
    let (payload_type, codec, copies, payload) = match format {
        Format::Media { codec, .. } => {
            (header.payload_type, codec, Vec::new(), Bytes::clone(&packet.payload))
        }
        Format::Red => {
            let payload_type = red::payload_type(&packet.payload)?;
            let (copies, new) = red::split(header.timestamp, &packet.payload)?;
            (payload_type, section.copied(payload_type)?, copies, new)
        }
        Format::Repair { .. } => return None,
    };
    let said = orientation.and_then(|id| header.get_extension(id));
    let said = said.and_then(|said| said.first().copied());
    Some(ReceivedPacket {
        arrived_at: now,
        ssrc: header.ssrc,
        sequence_number: header.sequence_number,
        timestamp: header.timestamp,
        marker: header.marker,
        payload_type,
        codec,
        payload,
        orientation: said.map(Orientation::from_cvo),
        copies,
    })
}

#[cfg(test)]
#[path = "tracks_tests.rs"]
mod tests;
