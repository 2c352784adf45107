//! The interceptor as the library drives it: packets and reports in, numbered packets out.

use std::sync::Mutex;

use bytes::Bytes;
use rtc::interceptor::RTPHeaderExtension;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::NackPair;
use rtc::shared::marshal::Unmarshal;
use tokio::sync::mpsc;

use super::*;
use crate::clock;
use crate::rtc::congestion::reports::Reports;
use crate::rtc::interceptors::RtcpCounters;
use crate::rtc::tracks::Tracks;

const VIDEO: u32 = 1;
const RTX: u32 = 2;
const SOUND: u32 = 3;
const EXTENSION: u8 = 5;
const MS: Duration = Duration::from_millis(1);

struct Bench {
    transmit: Transmit,
    path: Path,
    now: Instant,
    next: u16,
    news: mpsc::Receiver<ConnectionEvent>,
}

fn bench(reports: bool) -> Bench {
    let (to, news) = mpsc::channel(8);
    let path = Path::new(2_000_000);
    let state = Arc::new(TapState {
        counters: RtcpCounters::default(),
        video_ssrc: VIDEO,
        video_rtx_ssrc: RTX,
        audio_ssrc: SOUND,
        mappings: Mutex::default(),
        tracks: Arc::new(Tracks::new(path.clone())),
        news: to,
    });
    let mut transmit = Transmit::new(state, path.clone(), 0..2_000_000);
    let numbers = RTPHeaderExtension { uri: TRANSPORT_WIDE.to_owned(), id: EXTENSION.into() };
    let extensions = if reports { vec![numbers] } else { vec![] };
    let sound =
        StreamInfo { ssrc: SOUND, rtp_header_extensions: extensions.clone(), ..Default::default() };
    let video = StreamInfo {
        ssrc: VIDEO,
        ssrc_rtx: Some(RTX),
        payload_type_rtx: Some(103),
        rtp_header_extensions: extensions,
        ..Default::default()
    };
    transmit.bind_local_stream(&sound);
    transmit.bind_local_stream(&video);
    Bench { transmit, path, now: clock::now(), next: 0, news }
}

impl Bench {
    fn write(&mut self, ssrc: u32, bytes: usize) {
        let sequence_number = if ssrc == VIDEO { self.next } else { 0 };
        self.next += u16::from(ssrc == VIDEO);
        let header =
            rtp::header::Header { version: 2, ssrc, sequence_number, ..Default::default() };
        let packet = rtp::Packet { header, payload: Bytes::from(vec![0; bytes]) };
        self.transmit.handle_write(tagged(self.now, packet)).ok();
    }

    /// What has left by now: stream, number in it, transport-wide number.
    fn left(&mut self) -> Vec<(u32, u16, Option<u16>)> {
        self.transmit.handle_timeout(self.now).ok();
        let out = std::iter::from_fn(|| self.transmit.poll_write());
        out.filter_map(|tagged| match tagged.message.packet {
            Packet::Rtp(packet) => {
                let number = packet.header.get_extension(EXTENSION);
                let number = number.map(|mut bytes| {
                    TransportCcExtension::unmarshal(&mut bytes).map(|e| e.transport_sequence)
                });
                let number = number.and_then(Result::ok);
                Some((packet.header.ssrc, packet.header.sequence_number, number))
            }
            _ => None,
        })
        .collect()
    }

    fn hear(&mut self, packet: impl rtcp::Packet + 'static) {
        let message = Packet::Rtcp(vec![Box::new(packet)]).into();
        let told = TaggedPacket { now: self.now, transport: Default::default(), message };
        self.transmit.handle_read(told).ok();
    }
}

#[test]
fn sound_leaves_past_pictures_and_everything_is_numbered_as_it_leaves() {
    let mut bench = bench(true);
    for _ in 0..4 {
        bench.write(VIDEO, 1_100);
    }
    bench.write(SOUND, 80);
    let first = bench.left();
    assert_eq!(first[0], (VIDEO, 0, Some(0)));
    assert_eq!(first.last(), Some(&(SOUND, 0, Some(1))), "{first:?}");
    bench.now += 200 * MS;
    let rest = bench.left();
    assert!(rest.iter().all(|(ssrc, _, number)| *ssrc == VIDEO && number.is_some()));
    assert!(bench.path.backlog() > Duration::ZERO);
}

#[test]
fn a_repair_leaves_on_its_stream_with_a_number_of_its_own() {
    let mut bench = bench(true);
    bench.write(VIDEO, 100);
    bench.left();
    bench.now += 100 * MS;
    let nacks = vec![NackPair { packet_id: 0, lost_packets: 0 }];
    bench.hear(TransportLayerNack { sender_ssrc: 9, media_ssrc: VIDEO, nacks: nacks.clone() });
    let repaired = bench.left();
    assert_eq!((repaired[0].0, repaired[0].2), (RTX, Some(1)));
    bench.hear(TransportLayerNack { sender_ssrc: 9, media_ssrc: VIDEO, nacks });
    assert!(bench.left().is_empty(), "it is on its way");
}

#[test]
fn pictures_that_waited_too_long_go_whole_and_leave_no_gap_in_the_numbers() {
    let mut bench = bench(true);
    for _ in 0..100 {
        bench.write(VIDEO, 1_100);
    }
    let before = bench.left().len() as u16;
    bench.now += 600 * MS;
    bench.left();
    assert!(bench.path.expired() > 50);
    assert!(matches!(bench.news.try_recv(), Ok(ConnectionEvent::PicturesDropped)));
    bench.now += 100 * MS;
    bench.write(VIDEO, 100);
    let after = bench.left();
    assert_eq!(after.len(), 1);
    assert_eq!(after[0].1, before, "the other side must not ask for what was never sent");
}

#[test]
fn what_was_lost_before_a_keyframe_does_not_cost_the_keyframe() {
    let mut bench = bench(true);
    for _ in 0..100 {
        bench.write(VIDEO, 1_100);
    }
    let mut sent = bench.left().len();
    for _ in 0..50 {
        bench.now += 10 * MS;
        sent += bench.left().len();
    }
    let dropped = bench.path.expired();
    assert!(sent > 8 && dropped > 50, "{sent} sent, {dropped} dropped");
    for _ in 0..4 {
        bench.write(VIDEO, 1_100);
    }
    let nacks = vec![NackPair { packet_id: 0, lost_packets: u16::MAX }];
    bench.hear(TransportLayerNack { sender_ssrc: 9, media_ssrc: VIDEO, nacks });
    assert_eq!(bench.path.expired(), dropped, "the keyframe waits on");
    bench.now += 300 * MS;
    assert!(
        bench.left().iter().all(|(ssrc, ..)| *ssrc == VIDEO),
        "and nothing before it is repeated"
    );
}

#[test]
fn without_reports_on_arrivals_their_estimate_is_heeded() {
    let mut bench = bench(false);
    bench.write(SOUND, 80);
    assert_eq!(bench.left(), [(SOUND, 0, None)]);
    bench.hear(ReceiverEstimatedMaximumBitrate {
        sender_ssrc: 9,
        bitrate: 1_500_000.0,
        ssrcs: vec![VIDEO],
    });
    bench.now += 100 * MS;
    bench.write(SOUND, 80);
    bench.left();
    assert_eq!(bench.path.media_bitrate(), 1_500_000);
}

#[test]
fn whoever_reports_nothing_at_all_gets_sound_alone() {
    let mut bench = bench(false);
    let start = bench.now;
    while bench.now < start + 16_000 * MS {
        bench.write(SOUND, 80);
        bench.write(VIDEO, 1_100);
        bench.left();
        bench.now += 20 * MS;
    }
    assert!(bench.path.sustained_bitrate() < 60_000, "{}", bench.path.sustained_bitrate());
    bench.write(SOUND, 80);
    assert!(bench.left().iter().any(|(ssrc, ..)| *ssrc == SOUND), "sound goes on");
    // There they are after all.
    let reception = |last_sequence_number| rtcp::reception_report::ReceptionReport {
        ssrc: VIDEO,
        last_sequence_number,
        ..Default::default()
    };
    bench.hear(ReceiverReport { reports: vec![reception(1)], ..Default::default() });
    bench.write(SOUND, 80);
    bench.left();
    assert!(bench.path.sustained_bitrate() > 100_000, "{}", bench.path.sustained_bitrate());
}

#[test]
fn without_reports_on_arrivals_checks_and_then_plain_reports_tell_the_round_trip() {
    let mut bench = bench(false);
    bench.path.check_took(30 * MS);
    assert_eq!(bench.path.round_trip(), 30 * MS, "before anything is sent");
    bench.write(SOUND, 80);
    bench.left();
    assert_eq!(bench.path.round_trip(), 30 * MS);
    let ntp_time = 0x0123_4567_89ab_cdef;
    let report = SenderReport { ssrc: VIDEO, ntp_time, ..Default::default() };
    let message = Packet::Rtcp(vec![Box::new(report)]).into();
    let said = TaggedPacket { now: bench.now, transport: Default::default(), message };
    bench.transmit.handle_write(said).ok();
    assert!(bench.transmit.poll_write().is_some(), "it leaves");
    bench.now += 570 * MS;
    let reception = rtcp::reception_report::ReceptionReport {
        ssrc: VIDEO,
        last_sender_report: 0x4567_89ab,
        delay: 65_536 / 2,
        ..Default::default()
    };
    bench.hear(ReceiverReport { reports: vec![reception], ..Default::default() });
    bench.write(SOUND, 80);
    bench.left();
    assert_eq!(bench.path.round_trip(), 70 * MS);
}

/// A link with 25 ms each way and a queue of 300 ms, and the other side that reports.
struct Wire {
    reports: Reports,
    rate: f64,
    /// When the last packet is through.
    through: Instant,
    flying: VecDeque<TaggedPacket>,
    /// Nothing comes through.
    broken: bool,
    back: VecDeque<TaggedPacket>,
}

impl Wire {
    const WAY: Duration = Duration::from_millis(25);

    fn new(now: Instant, rate: f64) -> Self {
        let mut reports = Reports::new();
        let uri = TRANSPORT_WIDE.to_owned();
        for (ssrc, payload_type) in [(VIDEO, 102), (RTX, 103)] {
            reports.bind_remote_stream(&StreamInfo {
                ssrc,
                payload_type,
                rtp_header_extensions: vec![RTPHeaderExtension {
                    uri: uri.clone(),
                    id: EXTENSION.into(),
                }],
                rtcp_feedback: vec![rtc::interceptor::RTCPFeedback {
                    typ: "transport-cc".to_owned(),
                    parameter: String::new(),
                }],
                ..Default::default()
            });
        }
        let (flying, back) = (VecDeque::new(), VecDeque::new());
        Self { reports, rate, through: now, flying, broken: false, back }
    }

    /// Takes what leaves now, and brings what arrives now. Gives how many packets of pictures left.
    fn pass(&mut self, bench: &mut Bench) -> usize {
        let now = bench.now;
        bench.transmit.handle_timeout(now).ok();
        let mut left = 0;
        while let Some(mut packet) = bench.transmit.poll_write() {
            let Packet::Rtp(rtp) = &packet.message.packet else { continue };
            left += usize::from(rtp.header.ssrc == VIDEO);
            let begins = self.through.max(now);
            if self.broken || begins - now > 300 * MS {
                continue;
            }
            self.through = begins + Duration::from_secs_f64(bits_of(rtp) / self.rate);
            packet.now = self.through + Self::WAY;
            self.flying.push_back(packet);
        }
        while self.flying.front().is_some_and(|packet| packet.now <= now) {
            if let Some(packet) = self.flying.pop_front() {
                self.reports.handle_read(packet).ok();
            }
        }
        self.reports.handle_timeout(now).ok();
        while self.reports.poll_read().is_some() {}
        while let Some(mut report) = self.reports.poll_write() {
            report.now = now + Self::WAY;
            self.back.push_back(report);
        }
        while self.back.front().is_some_and(|report| report.now <= now) {
            if let Some(report) = self.back.pop_front() {
                bench.transmit.handle_read(report).ok();
                while bench.transmit.poll_read().is_some() {}
            }
        }
        left
    }
}

impl Bench {
    /// A picture in packets of 1,100 bytes.
    fn picture(&mut self, bytes: usize) -> usize {
        let packets = bytes.div_ceil(1_100);
        (0..packets).for_each(|_| self.write(VIDEO, bytes / packets));
        packets
    }

    /// A picture each 33 ms, of the size that is asked for.
    fn film(&mut self, ms: u32) {
        if ms.is_multiple_of(33) && !self.path.is_draining() {
            self.picture(self.path.media_bitrate() as usize / 8 / 30);
        }
    }

    fn wants_keyframe(&mut self) -> bool {
        matches!(self.news.try_recv(), Ok(ConnectionEvent::PicturesDropped))
    }
}

#[test]
fn a_fall_to_a_fifth_asks_for_a_keyframe_which_leaves_before_the_queue_is_known_to_be_gone() {
    let mut bench = bench(true);
    let mut wire = Wire::new(bench.now, 2_500_000.0);
    for n in 0..8_000 {
        bench.film(n);
        wire.pass(&mut bench);
        bench.now += MS;
    }
    assert!(bench.path.sustained_bitrate() > 1_500_000, "{}", bench.path.sustained_bitrate());
    while bench.wants_keyframe() {}

    wire.rate = 500_000.0;
    let mut waited = 0;
    while !bench.wants_keyframe() {
        bench.film(waited);
        wire.pass(&mut bench);
        bench.now += MS;
        waited += 1;
        assert!(waited < 500, "nobody asks for a keyframe");
    }
    let asked = bench.now;
    let mut waiting = bench.picture(6_600);
    while waiting > 0 {
        waiting = waiting.saturating_sub(wire.pass(&mut bench));
        bench.now += MS;
        assert!(bench.now - asked < 250 * MS, "{waiting} packets of the keyframe wait still");
    }
}

#[test]
fn the_first_picture_leaves_as_fast_as_the_checks_have_proved() {
    let leaves_after = |round_trip: Option<Duration>| {
        let mut bench = bench(true);
        round_trip.into_iter().for_each(|took| bench.path.check_took(took));
        let start = bench.now;
        (0..4).for_each(|_| bench.write(VIDEO, 1_100));
        let mut left = bench.left().len();
        while left < 4 {
            bench.now += MS;
            left += bench.left().len();
        }
        bench.now - start
    };
    let unknown = leaves_after(None);
    assert!(unknown > 50 * MS, "{unknown:?}");
    assert_eq!(leaves_after(Some(40 * MS)), unknown, "far away a check proves nothing");
    assert!(leaves_after(Some(MS / 5)) < 10 * MS, "{:?}", leaves_after(Some(MS / 5)));
    assert!(leaves_after(Some(Duration::ZERO)) < 10 * MS);
}

#[test]
fn what_checks_have_proved_is_forgotten_when_packets_tell() {
    let mut bench = bench(true);
    bench.path.check_took(MS / 5);
    bench.write(SOUND, 80);
    bench.left();
    bench.now += BEGINNING;
    (0..4).for_each(|_| bench.write(VIDEO, 1_100));
    assert!(bench.left().len() < 4);
}

#[test]
fn a_broken_path_is_asked_whether_it_is_back_though_there_is_no_sound() {
    for repairs in [true, false] {
        let mut bench = bench(true);
        bench.transmit.repeats.set_rtx(repairs.then_some(Rtx { ssrc: RTX, payload_type: 103 }));
        let mut wire = Wire::new(bench.now, 2_500_000.0);
        let mut run = |bench: &mut Bench, ms: std::ops::Range<u32>, broken: bool| {
            wire.broken = broken;
            for n in ms {
                bench.film(n);
                wire.pass(bench);
                bench.now += MS;
            }
        };
        run(&mut bench, 0..2_000, false);
        assert!(!bench.path.is_stalled());
        run(&mut bench, 2_000..3_000, true);
        assert!(bench.path.is_stalled());
        let before = bench.path.padding_sent();
        run(&mut bench, 3_000..6_000, true);
        let asked = bench.path.padding_sent() - before;
        assert!((5..=20).contains(&asked), "asked {asked} times in three seconds");
        run(&mut bench, 6_000..6_500, false);
        assert!(!bench.path.is_stalled(), "with repairs: {repairs}");
    }
}
