//! The way out: numbers, paces and repeats packets, and learns from reports what the path carries.
//!
//! Thin: an interceptor of the library around the pure parts. It takes the
//! place of the library's own numbering, history, pacer and NACK responder.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket, convert_twcc};
use rtc::rtcp;
use rtc::rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use rtc::rtp;
use rtc::rtp::extension::transport_cc_extension::TransportCcExtension;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use rtc::shared::marshal::{Marshal, MarshalSize};

use super::estimator::{Estimator, PathView};
use super::fallback::Fallback;
use super::history::History;
use super::pacer::{Class, Pacer};
use super::probe::Cluster;
use super::repair_rate::RepairRate;
use super::repeats::{Repeats, Rtx};
use super::transmit_rate;
use crate::rtc::codecs::{AUDIO_CLOCK, TRANSPORT_WIDE};
use crate::rtc::events::ConnectionEvent;
use crate::rtc::interceptors::{TapState, add};
use crate::rtc::path::Path;

/// What IP, UDP and SRTP add to an RTP packet, bytes.
const ENVELOPE: usize = 20 + 8 + 10;

/// How often silence is looked at.
const TICK: Duration = Duration::from_millis(20);

/// How long after the first packet reports on arrivals may be awaited before others are believed.
const NO_REPORTS: Duration = Duration::from_secs(2);

/// With more loss than this, repairs are lost too, again and again.
const MUCH: f64 = 0.1;

/// When the rate falls to less than this share of what it was lately, pictures that wait were made for
/// another path: if they, and what the full queue dropped, take too long, a small one that needs none of
/// them is sooner there.
const FELL: f64 = 0.6;
/// When it falls to less than this share, far more is on its way than the queue of any path holds: some
/// of it is lost for certain, and its loss is told only behind all that is not.
const CRASHED: f64 = 0.4;
const LATELY: Duration = Duration::from_secs(1);
const TOO_LATE: Duration = Duration::from_millis(120);

/// The keyframe after a fall does not wait until the queue is known to be gone, which is a round trip
/// after it is: it shall stand in it when the last before it leaves. For so long this share of the rate
/// is sent, whatever waits on the path.
const HURRIED: Duration = Duration::from_millis(150);
const HURRIED_SHARE: f64 = 0.75;

/// For so long at the beginning, at most, what the checks have proved is the pace where it is more: no
/// packet has said anything yet.
const BEGINNING: Duration = Duration::from_millis(500);

/// While nothing comes through and nothing else is sent, the path is asked so often, or once a round
/// trip if that is longer, whether it carries anything again.
const ASKS: Duration = Duration::from_millis(200);

/// One tick of the reference time in a report (section 3.1 of the draft), microseconds.
const REFERENCE_US: i64 = 64_000;

/// See the module.
pub(in crate::rtc) struct Transmit {
    state: Arc<TapState>,
    path: Path,
    estimator: Option<Estimator>,
    fallback: Fallback,
    bounds: Range<f64>,
    history: History,
    pacer: Pacer<TaggedPacket>,
    repeats: Repeats,
    /// How many pictures' packets were dropped, which later numbers must not show.
    skipped: u16,
    cluster: Option<Cluster>,
    /// The highest rate of the last while, and since when.
    lately: Option<(f64, Instant)>,
    /// What was lost since the rate fell, bits.
    lost_falling: f64,
    hurried_until: Option<Instant>,
    extensions: HashMap<u32, u8>,
    /// The reference time of reports, without its 24 bits' wrapping.
    reference: Option<i64>,
    began_at: Option<Instant>,
    next_tick: Option<Instant>,
    /// When a packet with a number left last.
    numbered_at: Option<Instant>,
    repairs: RepairRate,
    out: VecDeque<TaggedPacket>,
    read: VecDeque<TaggedPacket>,
}

impl Transmit {
    /// Aims at a rate in `bounds`, bits a second; what it learns stands in `path`.
    pub(in crate::rtc) fn new(state: Arc<TapState>, path: Path, bounds: Range<u32>) -> Self {
        let bounds = f64::from(bounds.start)..f64::from(bounds.end);
        Self {
            state,
            path,
            estimator: None,
            fallback: Fallback::new(bounds.clone()),
            history: History::default(),
            pacer: Pacer::new(bounds.end),
            bounds,
            repeats: Repeats::new(None, rand::random()),
            skipped: 0,
            cluster: None,
            lately: None,
            lost_falling: 0.0,
            hurried_until: None,
            extensions: HashMap::new(),
            reference: None,
            began_at: None,
            next_tick: None,
            numbered_at: None,
            repairs: RepairRate::default(),
            out: VecDeque::new(),
            read: VecDeque::new(),
        }
    }

    fn estimator(&mut self, now: Instant) -> &mut Estimator {
        self.estimator.get_or_insert_with(|| Estimator::new(now, self.bounds.clone()))
    }

    fn view(&mut self, now: Instant) -> PathView {
        let began_at = *self.began_at.get_or_insert(now);
        let (loss, target) = (self.fallback.loss(), self.fallback.target(now));
        let rtt = self.fallback.round_trip().or(self.path.check());
        let numbered = !self.extensions.is_empty();
        let estimator = self.estimator(now);
        let unreported = !estimator.has_reports()
            && (!numbered || now.saturating_duration_since(began_at) > NO_REPORTS);
        let view = estimator.view();
        match unreported {
            true => {
                let rtt = rtt.unwrap_or(view.rtt);
                PathView { target, sustained: target, loss, rtt, ..view }
            }
            false => view,
        }
    }

    fn inbound(&mut self, now: Instant, packets: &[Box<dyn rtcp::Packet>]) {
        for packet in packets {
            let any = packet.as_any();
            if let Some(feedback) = any.downcast_ref::<TransportLayerCc>() {
                self.on_arrivals(now, feedback);
            } else if let Some(nack) = any.downcast_ref::<TransportLayerNack>() {
                self.on_nack(now, nack);
            } else if let Some(remb) = any.downcast_ref::<ReceiverEstimatedMaximumBitrate>() {
                self.fallback.on_remb(now, f64::from(remb.bitrate));
            } else if let Some(report) = any.downcast_ref::<SenderReport>() {
                self.fallback.on_reports(now, &report.reports, self.state.video_ssrc);
            } else if let Some(report) = any.downcast_ref::<ReceiverReport>() {
                self.fallback.on_reports(now, &report.reports, self.state.video_ssrc);
            }
        }
    }

    fn on_arrivals(&mut self, now: Instant, feedback: &TransportLayerCc) {
        // 24 bits that wrap (section 3.1 of the draft).
        let raw = i64::from(feedback.reference_time & 0x00ff_ffff);
        let reference = match self.reference {
            Some(last) => last + (((raw - last) << 40) >> 40),
            None => raw,
        };
        self.reference = Some(reference);
        let ahead_us = (reference - i64::from(feedback.reference_time)) * REFERENCE_US;
        let statuses = convert_twcc(feedback).into_iter().map(|told| {
            let arrival = told.arrival.map(|at| at.as_micros() as i64 + ahead_us);
            (told.sequence_number, arrival.filter(|_| told.arrived))
        });
        let told = self.history.on_feedback(statuses);
        let was_stalled = self.path.is_stalled();
        let bounds = self.bounds.clone();
        let estimator = self.estimator.get_or_insert_with(|| Estimator::new(now, bounds));
        estimator.on_report(now, &told, &self.history);
        let view = estimator.view();
        tracing::trace!(?view, told = told.len(), backlog = ?self.pacer.backlog(now), "arrivals");
        let lost = told.iter().filter(|told| told.arrival_us.is_none());
        let lost: f64 = lost.map(|told| f64::from(told.size) * 8.0).sum();
        let (fell, crashed) = self.fell(now, view.sustained);
        self.lost_falling = if fell { self.lost_falling + lost } else { 0.0 };
        let mended = Duration::from_secs_f64(self.lost_falling / view.sustained.max(1.0));
        let waits = self.pacer.pictures_take(view.sustained);
        if crashed || fell && waits + mended > TOO_LATE {
            // Once: what comes next is made for this path.
            self.lately = Some((view.sustained, now));
            self.lost_falling = 0.0;
            self.hurried_until = Some(now + HURRIED);
            self.drop_pictures();
        }
        if was_stalled && !view.stalled {
            self.want_keyframe();
        }
        self.send(now);
    }

    /// Whether clearly less may be sent than lately, now that it is `rate`, bits a second; and whether
    /// hardly anything.
    fn fell(&mut self, now: Instant, rate: f64) -> (bool, bool) {
        let lately = self.lately.filter(|(lately, at)| rate < *lately && now < *at + LATELY);
        let (lately, _) = *self.lately.insert(lately.unwrap_or((rate, now)));
        (rate < lately * FELL, rate < lately * CRASHED)
    }

    fn on_nack(&mut self, now: Instant, nack: &TransportLayerNack) {
        if nack.media_ssrc != self.state.video_ssrc {
            return;
        }
        let wanted = nack.nacks.iter().flat_map(|pair| {
            let bits = (0..16_u16).filter(|bit| pair.lost_packets & (1 << bit) != 0);
            let others = bits.map(|bit| pair.packet_id.wrapping_add(bit + 1));
            std::iter::once(pair.packet_id).chain(others)
        });
        let view = self.view(now);
        let waiting = self.pacer.repair_bits();
        if self.repeats.is_too_much(wanted.clone(), waiting, view.sustained) {
            return self.drop_pictures();
        }
        let repeats = self.repeats.on_nack(now, wanted, view.rtt, (view.target, view.loss > MUCH));
        for packet in repeats {
            let bits = bits_of(&packet);
            let refused = self.pacer.push(now, Class::Repair, bits, tagged(now, packet));
            refused.into_iter().for_each(|refused| self.expired(now, &refused));
        }
        self.send(now);
    }

    /// A packet of ours, new.
    fn outbound(&mut self, msg: TaggedPacket) {
        let now = msg.now;
        let Packet::Rtp(packet) = &msg.message.packet else {
            self.note_reports(&msg);
            return self.out.push_back(msg);
        };
        let class = match packet.header.ssrc == self.state.video_ssrc {
            true => Class::Picture,
            false => Class::Sound,
        };
        // What is sent into a broken path is lost, and takes place from what mends it later.
        if class == Class::Picture && self.path.is_stalled() {
            self.skipped = self.skipped.wrapping_add(1);
            self.path.count_expired(1);
            return;
        }
        let bits = bits_of(packet);
        let refused = self.pacer.push(now, class, bits, msg).is_some();
        if refused && class == Class::Picture {
            // Those that wait have no number yet: it would fit none of them.
            self.drop_pictures();
            self.skipped = self.skipped.wrapping_add(1);
            self.path.count_expired(1);
        }
        self.send(now);
    }

    /// Theirs will say when a report of ours came, and with that how long a round trip takes.
    fn note_reports(&mut self, msg: &TaggedPacket) {
        let Packet::Rtcp(packets) = &msg.message.packet else { return };
        let reports = packets.iter().filter_map(|packet| packet.as_any().downcast_ref());
        for SenderReport { ntp_time, .. } in reports {
            self.fallback.on_sender_report(msg.now, *ntp_time);
        }
    }

    /// Lets leave what may leave now, and publishes how things stand.
    fn send(&mut self, now: Instant) {
        if self.pacer.has_expired(now) || self.path.is_stalled() && self.pacer.has_pictures() {
            self.drop_pictures();
        }
        if self.cluster.is_some_and(|cluster| now >= cluster.until) {
            self.cluster = None;
        }
        if self.cluster.is_none() && self.repeats.can_pad() {
            self.cluster = self.estimator(now).poll_probe(now);
        }
        let mut view = self.view(now);
        if self.hurried_until.is_some_and(|until| now < until) {
            view.target = view.target.max(view.sustained * HURRIED_SHARE);
        }
        let rate = transmit_rate(&view, self.cluster.map(|cluster| cluster.rate));
        let rate = rate.max(self.proved(now));
        self.pacer.set_rate(now, rate);
        while let Some(repair) = self.pacer.pop_expired_repair(now, view.rtt) {
            self.expired(now, &repair);
        }
        while let Some(packet) = self.next(now) {
            self.leave(now, packet);
        }
        let repairs = self.repairs.at(now);
        self.path.publish(&view, repairs, self.pacer.backlog(now));
    }

    /// A repair does not leave.
    fn expired(&mut self, now: Instant, repair: &TaggedPacket) {
        if let Packet::Rtp(rtp) = &repair.message.packet {
            self.repeats.on_expired(now, rtp);
        }
    }

    /// What the path is known to carry before anything is known of it by what we send.
    fn proved(&mut self, now: Instant) -> f64 {
        let begins = self.began_at.is_none_or(|at| now < at + BEGINNING);
        match begins && !self.estimator(now).has_reports() {
            true => self.path.proved(),
            false => 0.0,
        }
    }

    fn next(&mut self, now: Instant) -> Option<TaggedPacket> {
        if let Some((class, mut packet)) = self.pacer.pop(now) {
            match (class, &mut packet.message.packet) {
                (Class::Picture, Packet::Rtp(rtp)) => {
                    let number = rtp.header.sequence_number.wrapping_sub(self.skipped);
                    rtp.header.sequence_number = number;
                    self.repeats.on_sent(now, rtp);
                }
                (Class::Repair, Packet::Rtp(rtp)) => {
                    self.repeats.on_repeated(now, rtp);
                    add(&self.state.counters.retransmitted, 1);
                    self.repairs.on_sent(bits_of(rtp));
                }
                _ => {}
            }
            return Some(packet);
        }
        if self.cluster.is_none() || !self.pacer.may_send(now) {
            return None;
        }
        let padding = self.repeats.padding()?;
        self.pacer.pay(now, bits_of(&padding));
        self.path.count_padding();
        Some(tagged(now, padding))
    }

    /// Numbers a packet and hands it to the wire.
    fn leave(&mut self, now: Instant, mut packet: TaggedPacket) {
        packet.now = now;
        if let Packet::Rtp(rtp) = &packet.message.packet {
            self.fallback.on_sent(now, rtp.header.ssrc, bits_of(rtp));
        }
        if let Packet::Rtp(rtp) = &mut packet.message.packet
            && let Some(extension) = self.extensions.get(&rtp.header.ssrc)
        {
            // Its length does not depend on the number.
            let size = rtp.marshal_size() + ENVELOPE + 8;
            let probe = self.cluster.map(|cluster| cluster.id);
            let number = self.history.on_sent(now, size as u32, probe);
            self.numbered_at = Some(now);
            let number = TransportCcExtension { transport_sequence: number };
            if let Ok(number) = number.marshal() {
                let _ = rtp.header.set_extension(*extension, number.freeze());
            }
        }
        self.out.push_back(packet);
    }

    /// Nobody could decode what waits, and a keyframe follows, which needs no repeats of what it follows:
    /// too many would cost it as well.
    fn drop_pictures(&mut self) {
        self.repeats.forget();
        let dropped = self.pacer.drop_pictures().count();
        tracing::debug!(packets = dropped, "dropping what waits");
        self.skipped = self.skipped.wrapping_add(dropped as u16);
        self.path.count_expired(dropped as u64);
        self.want_keyframe();
    }

    fn want_keyframe(&mut self) {
        // The next picture would need those that were dropped. Without room there is a request already.
        let _ = self.state.news.try_send(ConnectionEvent::PicturesDropped);
    }

    fn tick(&mut self, now: Instant) {
        let waiting = self.history.waiting_since();
        self.estimator(now).on_tick(now, waiting);
        self.send(now);
        self.ask(now);
        let looks = waiting.is_some() || self.path.is_stalled();
        self.next_tick = looks.then_some(now + TICK);
    }

    /// Pictures are not sent into a broken path. Where there is no sound either, nothing would ever be
    /// heard of it again.
    fn ask(&mut self, now: Instant) {
        let pause = ASKS.max(self.path.round_trip());
        let asked = self.numbered_at.is_some_and(|at| now < at + pause);
        if !self.path.is_stalled() || asked {
            return;
        }
        if let Some(question) = self.repeats.question() {
            self.pacer.pay(now, bits_of(&question));
            self.path.count_padding();
            self.leave(now, tagged(now, question));
        }
    }
}

fn tagged(now: Instant, packet: rtp::Packet) -> TaggedPacket {
    TaggedPacket { now, transport: Default::default(), message: Packet::Rtp(packet).into() }
}

/// Bits on the wire.
fn bits_of(packet: &rtp::Packet) -> f64 {
    ((packet.marshal_size() + ENVELOPE) * 8) as f64
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Transmit {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, msg: TaggedPacket) -> Result<(), Error> {
        match &msg.message.packet {
            Packet::Rtcp(packets) => self.inbound(msg.now, packets),
            Packet::Rtp(packet) => {
                let (ssrc, timestamp) = (packet.header.ssrc, packet.header.timestamp);
                if self.state.tracks.sound() == Some(ssrc) {
                    self.estimator(msg.now).on_sound(msg.now, timestamp, AUDIO_CLOCK);
                }
            }
            _ => {}
        }
        self.read.push_back(msg);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.read.pop_front()
    }

    fn handle_write(&mut self, msg: TaggedPacket) -> Result<(), Error> {
        let now = msg.now;
        self.outbound(msg);
        self.next_tick.get_or_insert(now + TICK);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.out.pop_front()
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        match self.next_tick.is_some_and(|at| at <= now) {
            true => self.tick(now),
            false => self.send(now),
        }
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        let padding = self.cluster.and(self.pacer.free_at());
        [self.pacer.deadline(), padding, self.next_tick].into_iter().flatten().min()
    }
}

impl Interceptor for Transmit {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        let rtx = info.ssrc_rtx.zip(info.payload_type_rtx);
        let extension = info.rtp_header_extensions.iter().find(|e| e.uri == TRANSPORT_WIDE);
        let extension = extension.and_then(|e| u8::try_from(e.id).ok()).filter(|id| *id != 0);
        for ssrc in [Some(info.ssrc), info.ssrc_rtx].into_iter().flatten() {
            match extension {
                Some(id) => self.extensions.insert(ssrc, id),
                None => self.extensions.remove(&ssrc),
            };
        }
        if info.ssrc == self.state.video_ssrc {
            self.repeats.set_rtx(rtx.map(|(ssrc, payload_type)| Rtx { ssrc, payload_type }));
        }
    }

    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        for ssrc in [Some(info.ssrc), info.ssrc_rtx].into_iter().flatten() {
            self.extensions.remove(&ssrc);
        }
    }

    fn bind_remote_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _info: &StreamInfo) {}
}

#[cfg(test)]
#[path = "transmit_tests.rs"]
mod tests;
