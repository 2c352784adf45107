//! The way in: asks for what is missing, and tells what came.
//!
//! Thin: an interceptor of the library around `missing.rs`, in the place of
//! its NACK generator, which asks for ever since repairs pass it by (W3). Packets end here: they go to
//! the tracks that they are of, whether or not the library knows them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtc::interceptor::{
    Interceptor, Packet, RTPHeaderExtension, ReceiverReportBuilder, ReceiverReportInterceptor,
    StreamInfo, TaggedPacket,
};
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{
    TransportLayerNack, nack_pairs_from_sequence_numbers,
};
use rtc::rtp;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;

use super::missing::Missing;
use super::reports::Reports;
use crate::rtc::codecs::{MediaKind, TRANSPORT_WIDE};
use crate::rtc::interceptors::{TapState, add};
use crate::rtc::path::Path;
use crate::rtc::tracks::Came;

/// Streams that are reported on at a time; those of one call are few.
const MOST_STREAMS: usize = 64;

/// See the module.
pub(in crate::rtc) struct Receive {
    state: Arc<TapState>,
    path: Path,
    /// The streams that are reported on.
    known: HashSet<u32>,
    missing: HashMap<u32, Missing>,
    /// On the arrival of each packet, for their estimate.
    arrivals: Reports,
    /// On what each stream has lost (RFC 3550 section 6.4.2).
    losses: ReceiverReportInterceptor,
    read: VecDeque<TaggedPacket>,
    write: VecDeque<TaggedPacket>,
}

impl Receive {
    /// `path` knows the round trip.
    pub(in crate::rtc) fn new(state: Arc<TapState>, path: Path) -> Self {
        Self {
            state,
            path,
            known: HashSet::new(),
            missing: HashMap::new(),
            arrivals: Reports::new(),
            losses: ReceiverReportBuilder::new().build(),
            read: VecDeque::new(),
            write: VecDeque::new(),
        }
    }

    fn round_trip(&self) -> Option<Duration> {
        Some(self.path.round_trip()).filter(|rtt| !rtt.is_zero())
    }

    fn inbound(&mut self, now: Instant, packet: &mut rtp::Packet) {
        let came = self.state.tracks.take(now, packet, &self.state.news);
        // What is left is padding to probe the path, or nobody's. It is reported on as it is: a probe
        // that is not counts as lost, and they would send at a fraction of what the path carries.
        let Came::Media { kind, repeats, repair } = came else { return };
        let (ssrc, number) = (packet.header.ssrc, packet.header.sequence_number);
        if repair {
            add(&self.state.counters.repairs_received, 1);
        }
        self.know(ssrc, kind);
        if repeats {
            self.missing.entry(ssrc).or_default().on_packet(now, number, repair);
        }
    }

    /// From its first packet on a stream is reported on.
    fn know(&mut self, ssrc: u32, kind: MediaKind) {
        if self.known.contains(&ssrc) {
            return;
        }
        if self.known.len() == MOST_STREAMS {
            // Whoever begins anew so often has no use for the old ones.
            let unknown = |ssrc| StreamInfo { ssrc, ..Default::default() };
            self.known.drain().for_each(|ssrc| self.losses.unbind_remote_stream(&unknown(ssrc)));
            self.missing.clear();
        }
        self.known.insert(ssrc);
        let number = self.state.tracks.extensions().transport_wide;
        let extension = |id| RTPHeaderExtension { uri: TRANSPORT_WIDE.to_owned(), id };
        let info = StreamInfo {
            ssrc,
            clock_rate: kind.clock_rate(),
            rtp_header_extensions: number.map(u16::from).map(extension).into_iter().collect(),
            ..Default::default()
        };
        self.arrivals.bind_remote_stream(&info);
        self.losses.bind_remote_stream(&info);
    }

    fn ask(&mut self, now: Instant) {
        for wish in self.state.tracks.wishes() {
            if let Some(missing) = self.missing.get_mut(&wish.media_ssrc) {
                missing.give_up();
            }
            self.write.push_back(TaggedPacket {
                now,
                transport: Default::default(),
                message: Packet::Rtcp(vec![Box::new(wish)]).into(),
            });
        }
        let rtt = self.round_trip();
        for (&media_ssrc, missing) in &mut self.missing {
            let numbers = missing.take_due(now, rtt);
            if numbers.is_empty() {
                continue;
            }
            let nack = TransportLayerNack {
                sender_ssrc: self.state.video_ssrc,
                media_ssrc,
                nacks: nack_pairs_from_sequence_numbers(&numbers),
            };
            self.write.push_back(TaggedPacket {
                now,
                transport: Default::default(),
                message: Packet::Rtcp(vec![Box::new(nack)]).into(),
            });
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Receive {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, mut msg: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(packet) = &mut msg.message.packet {
            self.inbound(msg.now, packet);
        }
        // Not at the next tick: every round trip begins here.
        self.ask(msg.now);
        self.arrivals.handle_read(msg)?;
        while let Some(msg) = self.arrivals.poll_read() {
            self.losses.handle_read(msg)?;
        }
        let read = std::iter::from_fn(|| self.losses.poll_read());
        self.read.extend(read.filter(|msg| !matches!(msg.message.packet, Packet::Rtp(_))));
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.read.pop_front()
    }

    fn handle_write(&mut self, msg: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(packets) = &msg.message.packet {
            for packet in packets {
                let any = packet.as_any();
                let pli = any.downcast_ref::<PictureLossIndication>().map(|pli| pli.media_ssrc);
                let fir = any.downcast_ref::<FullIntraRequest>().map(|fir| fir.media_ssrc);
                if let Some(missing) = pli.or(fir).and_then(|ssrc| self.missing.get_mut(&ssrc)) {
                    missing.give_up();
                }
            }
        }
        self.write.push_back(msg);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        let write = self.write.pop_front().or_else(|| self.arrivals.poll_write());
        write.or_else(|| self.losses.poll_write())
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.ask(now);
        self.arrivals.handle_timeout(now)?;
        self.losses.handle_timeout(now)
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        let rtt = self.round_trip();
        let missing = self.missing.values().filter_map(|missing| missing.deadline(rtt)).min();
        [missing, self.arrivals.poll_timeout(), self.losses.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }
}

/// What the library binds is what it makes of descriptions; here packets say what there is.
impl Interceptor for Receive {
    fn bind_local_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _info: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _info: &StreamInfo) {}
}

#[cfg(test)]
#[path = "receive_tests.rs"]
mod tests;
