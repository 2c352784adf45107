//! The place in the library's interceptor chain that sees all RTCP.
//!
//! Owns the counts of it, what of it goes up to the media, and the times in our
//! sender reports. What paces, repairs and measures stands in `congestion/`.

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
use super::tracks::Tracks;

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
    pub(super) tracks: Arc<Tracks>,
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

pub(super) fn add(counter: &AtomicU64, n: u64) {
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
        if let Packet::Rtcp(packets) = &mut msg.message.packet {
            self.outbound(msg.now, packets);
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
