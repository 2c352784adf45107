//! Two real connections of ours, first over real sockets on 127.0.0.1, then on a virtual clock.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use super::*;
use crate::clock;
use crate::media::codec::table;
use crate::media::encoded::{Codec, EncodedFrame, FrameTime};
use crate::rtc::codecs::MediaKind;
use crate::rtc::events::ConnectionEvent;
use crate::rtc::receiver::RemoteTrack;
use crate::trust::Trust;

const PATIENCE: Duration = Duration::from_secs(30);

fn config() -> ConnectionConfig {
    ConnectionConfig {
        ice_servers: vec![],
        trust: Trust::System,
        relay_only: false,
        bind: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        send_video: true,
        send_audio: true,
        max_bitrate: 2_000_000,
        min_bitrate: 0,
        runtime: None,
        wire: None,
    }
}

struct End {
    connection: Connection,
    events: Receiver<ConnectionEvent>,
    candidates: Vec<Candidate>,
    connected: bool,
    tracks: Vec<RemoteTrack>,
    keyframes_wanted: usize,
    sender_reports: Vec<(u32, u64, u32)>,
}

impl End {
    async fn open(config: ConnectionConfig) -> Self {
        let (connection, events) = Connection::open(config).await.unwrap();
        Self {
            connection,
            events,
            candidates: vec![],
            connected: false,
            tracks: vec![],
            keyframes_wanted: 0,
            sender_reports: vec![],
        }
    }

    async fn next(&mut self) {
        match self.events.recv().await.unwrap() {
            ConnectionEvent::LocalCandidate(Some(candidate)) => self.candidates.push(candidate),
            ConnectionEvent::Connected => self.connected = true,
            ConnectionEvent::Track(track) => self.tracks.push(track),
            ConnectionEvent::KeyframeWanted | ConnectionEvent::PicturesDropped => {
                self.keyframes_wanted += 1
            }
            ConnectionEvent::SenderReport { ssrc, ntp, rtp } => {
                self.sender_reports.push((ssrc, ntp, rtp));
            }
            _ => {}
        }
    }
}

async fn connect(a: &mut End, b: &mut End) {
    let offer = a.connection.create_offer(false).await.unwrap();
    assert!(offer.contains("H264/90000") && !offer.contains("VP8"), "only what we encode: {offer}");
    let answer = b.connection.answer(&offer).await.unwrap();
    a.connection.take_answer(&answer).await.unwrap();
    while !(a.connected && b.connected) {
        for candidate in std::mem::take(&mut a.candidates) {
            b.connection.add_candidate(&candidate).await.unwrap();
        }
        for candidate in std::mem::take(&mut b.candidates) {
            a.connection.add_candidate(&candidate).await.unwrap();
        }
        tokio::select! { () = a.next() => {} () = b.next() => {} }
    }
}

/// Whoever reports no arrivals says with REMB what the path carries, and only if it was agreed on.
#[tokio::test]
async fn remb_is_offered_for_pictures_and_taken_where_it_is_all_that_they_have() {
    let (a, b) = (End::open(config()).await, End::open(config()).await);
    let offer = a.connection.create_offer(false).await.unwrap();
    let (sound, pictures) = {
        let sections: Vec<_> = offer.split("m=").collect();
        let of = |kind: &str| sections.iter().find(|s| s.starts_with(kind)).unwrap().to_string();
        (of("audio"), of("video"))
    };
    assert!(!sound.contains("goog-remb"), "{sound}");
    let h264 = pictures.lines().filter(|line| line.contains("H264/90000")).count();
    let offered = pictures.lines().filter(|line| line.ends_with(" goog-remb")).count();
    assert!(h264 > 0 && offered >= h264, "{pictures}");

    let theirs: Vec<_> = offer.lines().filter(|l| !l.contains("transport")).collect();
    let answer = b.connection.answer(&(theirs.join("\r\n") + "\r\n")).await.unwrap();
    assert!(answer.contains(" goog-remb") && !answer.contains("transport-cc"), "{answer}");
}

fn picture(number: u8) -> EncodedFrame {
    let mut data = vec![0, 0, 0, 1, 0x65, number];
    data.resize(3_000, 0x55);
    let time = FrameTime::Captured(clock::now());
    EncodedFrame::picture(table::PICTURES[0], Bytes::from(data), true, time)
}

fn encoded(sound: Bytes, at: Instant) -> EncodedFrame {
    EncodedFrame::sound(Codec::Opus, sound, 960, FrameTime::Captured(at))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn media_flow_both_ways_and_keyframe_requests_arrive() {
    timeout(PATIENCE, async {
        let (mut a, mut b) = (End::open(config()).await, End::open(config()).await);
        connect(&mut a, &mut b).await;
        let mut writer = a.connection.video_writer().await.unwrap();
        assert_eq!(writer.parameter("profile-level-id"), Some("42e01f"));
        while b.tracks.is_empty() {
            writer.send(&picture(1)).await.unwrap();
            tokio::select! { () = b.next() => {} () = a.next() => {} }
        }
        let track = b.tracks[0].clone();
        assert_eq!(track.kind(), MediaKind::Video);
        let packet = track.next_packet().await.unwrap();
        while a.keyframes_wanted == 0 {
            track.request_keyframe(packet.ssrc).await;
            tokio::select! { () = b.next() => {} () = a.next() => {} }
        }
        assert!(a.connection.counts().keyframe_requests_received > 0);
        assert!(a.connection.counts().video_sent.packets >= 3);
        assert!(a.connection.candidate_pair().await.is_some());
        a.connection.close().await;
        b.connection.close().await;
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sound_comes_with_copies_of_what_went_before() {
    timeout(PATIENCE, async {
        let (mut a, mut b) = (End::open(config()).await, End::open(config()).await);
        connect(&mut a, &mut b).await;
        let mut writer = a.connection.audio_writer().await.unwrap();
        assert!(writer.takes_copies(), "both sides of us do");
        let (mut number, began) = (0, clock::now());
        let mut packet = |n: u8| {
            number += 1;
            (Bytes::from(vec![n; 20]), began + Duration::from_millis(number * 20))
        };
        while b.tracks.is_empty() {
            let (sound, at) = packet(1);
            writer.send(encoded(sound, at), 2).await.unwrap();
            tokio::select! { () = b.next() => {} () = a.next() => {} }
        }
        let track = b.tracks[0].clone();
        assert_eq!(track.kind(), MediaKind::Audio);
        for n in 2..7 {
            let (sound, at) = packet(n);
            writer.send(encoded(sound, at), 2).await.unwrap();
        }
        let last = loop {
            let received = track.next_packet().await.unwrap();
            if received.payload[0] == 6 {
                break received;
            }
        };
        let copies: Vec<_> =
            last.copies.iter().map(|copy| (copy.payload[0], copy.timestamp)).collect();
        let before = |packets: u32| last.timestamp.wrapping_sub(packets * 960);
        assert_eq!(copies, [(2, before(4)), (5, before(1))]);
        a.connection.close().await;
        b.connection.close().await;
    })
    .await
    .unwrap();
}

/// Foreign ends that offer or answer without RED, or with one that is of no use to us.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_go_only_to_who_takes_them() {
    timeout(PATIENCE, async {
        let red = "a=rtpmap:63 red/48000/2\r\n";
        let changes: [(&str, &str, bool); 4] = [
            ("", "", true),
            (" 111 63", " 63 111", true),
            (red, "a=rtpmap:63 red/8000\r\n", false),
            ("useinbandfec=1", "useinbandfec=0", false),
        ];
        for (from, to, taken) in changes {
            let (a, b) = (Connection::open(config()).await, Connection::open(config()).await);
            let ((a, _), (b, _)) = (a.unwrap(), b.unwrap());
            let offer = a.create_offer(false).await.unwrap();
            assert!(offer.contains(" 111 63") && offer.contains(red), "{offer}");
            let answer = b.answer(&offer.replace(from, to)).await.unwrap();
            a.take_answer(&answer).await.unwrap();
            for end in [&a, &b] {
                let writer = end.audio_writer().await.expect("Opus was agreed on");
                assert_eq!(writer.takes_copies(), taken, "{from} -> {to}: {answer}");
            }
        }
        let (a, b) = (Connection::open(config()).await, Connection::open(config()).await);
        let ((a, _), (b, _)) = (a.unwrap(), b.unwrap());
        let answer = b.answer(&a.create_offer(false).await.unwrap()).await.unwrap();
        let plain =
            answer.replace(" 111 63", " 111").replace(red, "").replace("a=fmtp:63 111/111\r\n", "");
        assert!(!plain.contains("red/"), "{plain}");
        a.take_answer(&plain).await.unwrap();
        assert!(!a.audio_writer().await.unwrap().takes_copies());
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolled_back_offer_leaves_room_for_theirs() {
    timeout(PATIENCE, async {
        let (mut a, mut b) = (End::open(config()).await, End::open(config()).await);
        b.connection.create_offer(false).await.unwrap();
        b.connection.rollback().await.unwrap();
        b.candidates.clear();
        connect(&mut a, &mut b).await;
    })
    .await
    .unwrap();
}

/// Both ends on one virtual network, each with a clock that only the test advances.
mod virtual_time {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use webrtc::runtime::mock::{MockRuntime, MockUDPNetwork, VirtualClock};

    use super::*;

    struct Clocks(Vec<Arc<VirtualClock>>);

    impl Clocks {
        fn end(&mut self, network: &Arc<MockUDPNetwork>, address: &str) -> ConnectionConfig {
            let runtime = MockRuntime::with_network(Arc::clone(network));
            self.0.push(runtime.clock());
            let address: SocketAddr = format!("{address}:0").parse().unwrap();
            ConnectionConfig {
                bind: vec![address.ip()],
                runtime: Some(Arc::new(runtime)),
                ..config()
            }
        }

        /// The library's tasks are threads here: they get real time to act on each virtual step.
        async fn advance(&self, step: Duration, real: &mut tokio::time::Interval) {
            real.tick().await;
            self.0.iter().for_each(|clock| clock.advance(step));
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_call_comes_up_and_pictures_arrive_in_virtual_milliseconds() {
        timeout(PATIENCE, async {
            let (network, mut clocks) = (Arc::new(MockUDPNetwork::new()), Clocks(vec![]));
            let mut a = End::open(clocks.end(&network, "127.0.0.1")).await;
            let mut b = End::open(clocks.end(&network, "127.0.0.1")).await;
            let mut real = tokio::time::interval(Duration::from_millis(1));
            let step = Duration::from_millis(1);
            tokio::select! {
                () = connect(&mut a, &mut b) => {}
                () = async { loop { clocks.advance(step, &mut real).await } } => {}
            }
            let connected_after = clocks.0[0].elapsed();
            assert!(connected_after < Duration::from_secs(5), "{connected_after:?}");

            let mut writer = a.connection.video_writer().await.unwrap();
            while b.tracks.is_empty() {
                writer.send(&picture(1)).await.unwrap();
                tokio::select! {
                    () = b.next() => {}
                    () = clocks.advance(step, &mut real) => {}
                }
            }
            let packet = b.tracks[0].next_packet().await.unwrap();
            assert!(!packet.payload.is_empty());
            a.connection.close().await;
            b.connection.close().await;
        })
        .await
        .unwrap();
    }
}
