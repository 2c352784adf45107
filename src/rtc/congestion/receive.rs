//! The way in: takes repairs out of their stream, and asks for what is missing.
//!
//! Thin: an interceptor of the library around `missing.rs`, in the place of
//! its NACK generator, which asks for ever since repairs pass it by (W3).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{
    TransportLayerNack, nack_pairs_from_sequence_numbers,
};
use rtc::rtp;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;

use super::missing::Missing;
use super::path::Path;
use crate::rtc::interceptors::{TapState, add};

/// See the module.
pub(in crate::rtc) struct Receive {
    state: Arc<TapState>,
    path: Path,
    /// From a repair stream to the stream that it repairs, and the payload type there.
    repairs: HashMap<u32, (u32, u8)>,
    missing: HashMap<u32, Missing>,
    read: VecDeque<TaggedPacket>,
    write: VecDeque<TaggedPacket>,
}

impl Receive {
    /// `path` knows the round trip.
    pub(in crate::rtc) fn new(state: Arc<TapState>, path: Path) -> Self {
        Self {
            state,
            path,
            repairs: HashMap::new(),
            missing: HashMap::new(),
            read: VecDeque::new(),
            write: VecDeque::new(),
        }
    }

    fn round_trip(&self) -> Option<Duration> {
        Some(self.path.round_trip()).filter(|rtt| !rtt.is_zero())
    }

    fn inbound(&mut self, now: Instant, packet: &mut rtp::Packet) {
        let repair = self.unpack(packet);
        let header = &packet.header;
        if let Some(missing) = self.missing.get_mut(&header.ssrc) {
            missing.on_packet(now, header.sequence_number, repair);
            self.ask(now);
        }
    }

    /// Turns a repair back into what it repairs (RFC 4588 section 4); whether it was one.
    fn unpack(&self, packet: &mut rtp::Packet) -> bool {
        let Some(&(ssrc, payload_type)) = self.repairs.get(&packet.header.ssrc) else {
            return false;
        };
        // Two bytes of original sequence number, then the payload. Less is padding to probe the
        // path: it goes on as it is, because a probe that is not reported counts as lost, and the
        // other side would send at a fraction of what the path carries.
        let [high, low, ..] = packet.payload[..] else { return false };
        packet.payload = packet.payload.slice(2..);
        packet.header.sequence_number = u16::from_be_bytes([high, low]);
        packet.header.ssrc = ssrc;
        packet.header.payload_type = payload_type;
        add(&self.state.counters.repairs_received, 1);
        true
    }

    fn ask(&mut self, now: Instant) {
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
            // Not at the next tick: every round trip begins here.
            self.ask(msg.now);
        }
        self.read.push_back(msg);
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
        self.write.pop_front()
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.ask(now);
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        let rtt = self.round_trip();
        self.missing.values().filter_map(|missing| missing.deadline(rtt)).min()
    }
}

impl Interceptor for Receive {
    fn bind_local_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _info: &StreamInfo) {}

    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        if let Some(rtx) = info.ssrc_rtx {
            self.repairs.insert(rtx, (info.ssrc, info.payload_type));
        }
        let repeats = |feedback: &rtc::interceptor::RTCPFeedback| {
            feedback.typ == "nack" && feedback.parameter.is_empty()
        };
        if info.rtcp_feedback.iter().any(repeats) {
            self.missing.entry(info.ssrc).or_default();
        }
    }

    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        if let Some(rtx) = info.ssrc_rtx {
            self.repairs.remove(&rtx);
        }
        self.missing.remove(&info.ssrc);
    }
}

#[cfg(test)]
#[path = "receive_tests.rs"]
mod tests;
