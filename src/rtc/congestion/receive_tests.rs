//! Repairs and padding in, packets and requests out.

use std::sync::Mutex;

use bytes::Bytes;
use rtc::rtp;
use tokio::sync::mpsc;

use super::*;
use crate::clock;
use crate::rtc::agreed::agreed;
use crate::rtc::events::ConnectionEvent;
use crate::rtc::interceptors::RtcpCounters;
use crate::rtc::receiver::RemoteTrack;
use crate::rtc::tracks::Tracks;

const MEDIA: u32 = 1;
const RTX: u32 = 2;

const SESSION: &str = "v=0\r\nm=video 9 X 102 103\r\na=mid:0\r\na=rtpmap:102 H264/90000\r\n\
    a=rtcp-fb:102 nack\r\na=rtpmap:103 rtx/90000\r\na=fmtp:103 apt=102\r\na=ssrc-group:FID 1 2\r\n";

fn receive() -> (Receive, mpsc::Receiver<ConnectionEvent>) {
    let (to, news) = mpsc::channel(8);
    let path = Path::new(1_000_000);
    let tracks = Arc::new(Tracks::new(path.clone()));
    tracks.settle(agreed(SESSION, SESSION, true));
    tracks.vouched(&to);
    let state = Arc::new(TapState {
        counters: RtcpCounters::default(),
        video_ssrc: 0,
        video_rtx_ssrc: 0,
        audio_ssrc: 0,
        mappings: Mutex::default(),
        tracks,
        news: to,
    });
    (Receive::new(state, path), news)
}

fn take(
    receive: &mut Receive,
    (ssrc, payload_type): (u32, u8),
    number: u16,
    payload: &'static [u8],
) {
    let header =
        rtp::header::Header { ssrc, sequence_number: number, payload_type, ..Default::default() };
    let packet = rtp::Packet { header, payload: Bytes::from_static(payload) };
    let message = Packet::Rtp(packet).into();
    let tagged = TaggedPacket { now: clock::now(), transport: Default::default(), message };
    receive.handle_read(tagged).ok();
    assert!(receive.poll_read().is_none(), "it has gone to its track");
}

fn asked(receive: &mut Receive) -> Vec<u16> {
    let rtcp = std::iter::from_fn(|| receive.poll_write());
    rtcp.flat_map(|tagged| match tagged.message.packet {
        Packet::Rtcp(packets) => packets,
        _ => panic!("only RTCP is made here"),
    })
    .filter_map(|packet| packet.as_any().downcast_ref::<TransportLayerNack>().cloned())
    .flat_map(|nack| nack.nacks.iter().map(|pair| pair.packet_id).collect::<Vec<_>>())
    .collect()
}

fn track(news: &mut mpsc::Receiver<ConnectionEvent>) -> RemoteTrack {
    match news.try_recv() {
        Ok(ConnectionEvent::Track(track)) => track,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_repair_becomes_the_packet_that_it_repairs() {
    let (mut receive, mut news) = receive();
    take(&mut receive, (RTX, 103), 9, &[0x12, 0x34, 9, 8]);
    let repaired =
        track(&mut news).next_packet().await.map(|p| (p.ssrc, p.sequence_number, p.payload));
    assert_eq!(repaired, Some((MEDIA, 0x1234, Bytes::from_static(&[9, 8]))));
}

#[test]
fn padding_reaches_nobody() {
    let (mut receive, mut news) = receive();
    take(&mut receive, (RTX, 103), 9, &[]);
    assert!(news.try_recv().is_err());
}

#[test]
fn what_is_missing_is_asked_for_once_and_not_when_a_keyframe_is_on_its_way() {
    let (mut receive, _news) = receive();
    take(&mut receive, (RTX, 103), 1, &[0, 7, 1]);
    assert_eq!(asked(&mut receive), [0_u16; 0], "a repair says nothing about what was sent since");
    take(&mut receive, (MEDIA, 102), 10, &[1]);
    take(&mut receive, (MEDIA, 102), 12, &[1]);
    assert_eq!(asked(&mut receive), [11]);
    let rtt = receive.round_trip();
    let due = |receive: &Receive| receive.missing.values().filter_map(|m| m.deadline(rtt)).next();
    assert!(due(&receive).is_some());
    let pli = PictureLossIndication { sender_ssrc: 0, media_ssrc: MEDIA };
    let message = Packet::Rtcp(vec![Box::new(pli)]).into();
    let tagged = TaggedPacket { now: clock::now(), transport: Default::default(), message };
    receive.handle_write(tagged).ok();
    assert!(due(&receive).is_none());
}

#[test]
fn there_is_an_end_to_streams_and_the_newest_are_known() {
    let (mut receive, _news) = receive();
    for ssrc in 100..1_100 {
        take(&mut receive, (ssrc, 102), 10, &[1]);
        take(&mut receive, (ssrc, 102), 12, &[1]);
        assert_eq!(asked(&mut receive), [11], "stream {ssrc}");
    }
    assert!(receive.known.len() <= MOST_STREAMS && receive.missing.len() <= MOST_STREAMS);
}
