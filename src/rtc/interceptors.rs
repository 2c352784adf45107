//! Our places in the library's interceptor chain.
//!
//! Owns two: one unpacks repairs (RTX) before anything asks for them again,
//! one counts RTCP, hands up what media need, and corrects sender reports.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp;
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use tokio::sync::mpsc;

use super::codecs::MediaKind;
use super::events::ConnectionEvent;

/// The RTP timestamp that belongs to an instant of one outgoing stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct RtpMapping {
    /// An instant…
    pub(super) epoch: Instant,
    /// …and its RTP timestamp.
    pub(super) base: u32,
    /// RTP clock, Hz.
    pub(super) clock_rate: u32,
}

impl RtpMapping {
    /// The RTP timestamp at `at`; wraps as RTP timestamps do.
    pub(super) fn at(&self, at: Instant) -> u32 {
        let ticks = |span: std::time::Duration| {
            (span.as_nanos() * u128::from(self.clock_rate) / 1_000_000_000) as u32
        };
        match at.checked_duration_since(self.epoch) {
            Some(after) => self.base.wrapping_add(ticks(after)),
            None => self.base.wrapping_sub(ticks(self.epoch.duration_since(at))),
        }
    }
}

/// Counts that the library leaves at zero (FIELD: webrtc-stats of inbound RTCP), by stream.
#[derive(Debug, Default)]
pub(super) struct RtcpCounters {
    pub(super) nacks_received: AtomicU64,
    pub(super) keyframe_requests_received: AtomicU64,
    pub(super) nacks_sent: AtomicU64,
    pub(super) keyframe_requests_sent: AtomicU64,
    pub(super) retransmitted: AtomicU64,
    pub(super) repairs_received: AtomicU64,
    pub(super) video_lost_remotely: AtomicI64,
    pub(super) audio_lost_remotely: AtomicI64,
}

/// What the tap shares with the connection.
#[derive(Debug)]
pub(super) struct TapState {
    pub(super) counters: RtcpCounters,
    pub(super) video_ssrc: u32,
    pub(super) video_rtx_ssrc: u32,
    pub(super) audio_ssrc: u32,
    pub(super) mappings: Mutex<HashMap<u32, RtpMapping>>,
    pub(super) news: mpsc::Sender<ConnectionEvent>,
}

/// Sees all RTCP in both directions, just above the pacer.
pub(super) struct RtcpTap {
    state: Arc<TapState>,
    read: VecDeque<TaggedPacket>,
    write: VecDeque<TaggedPacket>,
}

impl RtcpTap {
    /// Above the pacer (3000) and below every generator of RTCP and repairs (from 4000).
    pub(super) const SLOT: usize = 3_500;

    pub(super) fn new(state: Arc<TapState>) -> Self {
        Self { state, read: VecDeque::new(), write: VecDeque::new() }
    }

    fn inbound(&self, packets: &[Box<dyn rtcp::Packet>]) {
        for packet in packets {
            let any = packet.as_any();
            if any.is::<PictureLossIndication>() || any.is::<FullIntraRequest>() {
                add(&self.state.counters.keyframe_requests_received, 1);
                self.tell(ConnectionEvent::KeyframeWanted);
            } else if any.is::<TransportLayerNack>() {
                add(&self.state.counters.nacks_received, 1);
            } else if let Some(report) = any.downcast_ref::<SenderReport>() {
                let (ssrc, ntp, rtp) = (report.ssrc, report.ntp_time, report.rtp_time);
                self.tell(ConnectionEvent::SenderReport { ssrc, ntp, rtp });
                self.reception(&report.reports);
            } else if let Some(report) = any.downcast_ref::<ReceiverReport>() {
                self.reception(&report.reports);
            }
        }
    }

    fn reception(&self, reports: &[rtcp::reception_report::ReceptionReport]) {
        for report in reports {
            // 24-bit two's complement (RFC 3550 section 6.4.1).
            let lost = i64::from(((report.total_lost << 8) as i32) >> 8);
            let counters = &self.state.counters;
            let (kind, counter) = match report.ssrc {
                ssrc if ssrc == self.state.video_ssrc => {
                    (MediaKind::Video, &counters.video_lost_remotely)
                }
                ssrc if ssrc == self.state.audio_ssrc => {
                    (MediaKind::Audio, &counters.audio_lost_remotely)
                }
                _ => continue,
            };
            counter.store(lost, Ordering::Relaxed);
            let fraction = f64::from(report.fraction_lost) / 256.0;
            self.tell(ConnectionEvent::FractionLost { kind, fraction });
        }
    }

    /// RTCP repeats itself, so news that finds no room may be lost.
    fn tell(&self, news: ConnectionEvent) {
        let _ = self.state.news.try_send(news);
    }

    fn outbound(&self, now: Instant, packets: &mut [Box<dyn rtcp::Packet>]) {
        for packet in packets {
            let any = packet.as_any();
            if any.is::<PictureLossIndication>() || any.is::<FullIntraRequest>() {
                add(&self.state.counters.keyframe_requests_sent, 1);
            } else if any.is::<TransportLayerNack>() {
                add(&self.state.counters.nacks_sent, 1);
            } else if let Some(report) = any.downcast_ref::<SenderReport>() {
                // The library maps to the moment of sending, which lags the capture by the encoder's
                // time, more for sound than for pictures; lips would be off by the difference.
                let mapping =
                    self.state.mappings.lock().ok().and_then(|m| m.get(&report.ssrc).copied());
                if let Some(mapping) = mapping {
                    *packet =
                        Box::new(SenderReport { rtp_time: mapping.at(now), ..report.clone() });
                }
            }
        }
    }
}

fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for RtcpTap {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, msg: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(packets) = &msg.message.packet {
            self.inbound(packets);
        }
        self.read.push_back(msg);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.read.pop_front()
    }

    fn handle_write(&mut self, mut msg: TaggedPacket) -> Result<(), Error> {
        match &mut msg.message.packet {
            Packet::Rtcp(packets) => self.outbound(msg.now, packets),
            Packet::Rtp(packet) if packet.header.ssrc == self.state.video_rtx_ssrc => {
                add(&self.state.counters.retransmitted, 1);
            }
            _ => {}
        }
        self.write.push_back(msg);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.write.pop_front()
    }
}

impl Interceptor for RtcpTap {
    fn bind_local_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _info: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _info: &StreamInfo) {}
}

/// W3: turns repairs (RTX, RFC 4588 section 4) back into the packets they repair.
///
/// The library does so only after the chain, so that its NACK generator never sees a repair
/// arrive and asks for it again and again.
pub(super) struct RtxUnpacker {
    state: Arc<TapState>,
    streams: HashMap<u32, (u32, u8)>,
    read: VecDeque<TaggedPacket>,
    write: VecDeque<TaggedPacket>,
}

impl RtxUnpacker {
    /// Nearer to the wire than the NACK generator (7000).
    pub(super) const SLOT: usize = 6_500;

    pub(super) fn new(state: Arc<TapState>) -> Self {
        Self { state, streams: HashMap::new(), read: VecDeque::new(), write: VecDeque::new() }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for RtxUnpacker {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, mut msg: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(packet) = &mut msg.message.packet
            && let Some(&(ssrc, payload_type)) = self.streams.get(&packet.header.ssrc)
        {
            // Two bytes of original sequence number, then the payload. Less is padding to probe the
            // path: it goes on as it is, because a probe that is not reported counts as lost, and the
            // other side would send at a fraction of what the path carries.
            if let [high, low, ..] = packet.payload[..] {
                packet.payload = packet.payload.slice(2..);
                packet.header.sequence_number = u16::from_be_bytes([high, low]);
                packet.header.ssrc = ssrc;
                packet.header.payload_type = payload_type;
                add(&self.state.counters.repairs_received, 1);
            }
        }
        self.read.push_back(msg);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.read.pop_front()
    }

    fn handle_write(&mut self, msg: TaggedPacket) -> Result<(), Error> {
        self.write.push_back(msg);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.write.pop_front()
    }
}

impl Interceptor for RtxUnpacker {
    fn bind_local_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _info: &StreamInfo) {}

    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        if let Some(rtx) = info.ssrc_rtx {
            self.streams.insert(rtx, (info.ssrc, info.payload_type));
        }
    }

    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        if let Some(rtx) = info.ssrc_rtx {
            self.streams.remove(&rtx);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use rtc::rtp;

    const MEDIA: u32 = 1;
    const RTX: u32 = 2;

    fn unpacker() -> RtxUnpacker {
        let state = Arc::new(TapState {
            counters: RtcpCounters::default(),
            video_ssrc: 0,
            video_rtx_ssrc: 0,
            audio_ssrc: 0,
            mappings: Mutex::default(),
            news: mpsc::channel(1).0,
        });
        let mut unpacker = RtxUnpacker::new(state);
        unpacker.streams.insert(RTX, (MEDIA, 102));
        unpacker
    }

    fn through(unpacker: &mut RtxUnpacker, payload: &'static [u8]) -> rtp::Packet {
        let header = rtp::header::Header { ssrc: RTX, payload_type: 103, ..Default::default() };
        let packet = rtp::Packet { header, payload: Bytes::from_static(payload) };
        let message = Packet::Rtp(packet).into();
        let tagged =
            TaggedPacket { now: crate::clock::now(), transport: Default::default(), message };
        unpacker.handle_read(tagged).unwrap();
        match unpacker.poll_read().unwrap().message.packet {
            Packet::Rtp(packet) => packet,
            _ => panic!("RTP went in"),
        }
    }

    #[test]
    fn a_repair_becomes_the_packet_that_it_repairs() {
        let repaired = through(&mut unpacker(), &[0x12, 0x34, 9, 8]);
        assert_eq!((repaired.header.ssrc, repaired.header.payload_type), (MEDIA, 102));
        assert_eq!((repaired.header.sequence_number, &repaired.payload[..]), (0x1234, &[9, 8][..]));
    }

    #[test]
    fn padding_goes_on_so_that_its_arrival_is_reported() {
        let probe = through(&mut unpacker(), &[]);
        assert_eq!((probe.header.ssrc, probe.payload.len()), (RTX, 0));
    }
}
