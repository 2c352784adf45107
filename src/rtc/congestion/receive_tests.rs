//! Repairs and padding in, packets and requests out.

use std::sync::Mutex;

use bytes::Bytes;
use rtc::rtp;
use tokio::sync::mpsc;

use super::*;
use crate::clock;
use crate::rtc::interceptors::RtcpCounters;

const MEDIA: u32 = 1;
const RTX: u32 = 2;

fn receive() -> Receive {
    let state = Arc::new(TapState {
        counters: RtcpCounters::default(),
        video_ssrc: 0,
        video_rtx_ssrc: 0,
        audio_ssrc: 0,
        mappings: Mutex::default(),
        reading: Arc::default(),
        news: mpsc::channel(1).0,
    });
    let mut receive = Receive::new(state, Path::new(1_000_000));
    receive.bind_remote_stream(&StreamInfo {
        ssrc: MEDIA,
        ssrc_rtx: Some(RTX),
        payload_type: 102,
        rtcp_feedback: vec![rtc::interceptor::RTCPFeedback {
            typ: "nack".to_owned(),
            parameter: String::new(),
        }],
        ..Default::default()
    });
    receive
}

fn take(receive: &mut Receive, ssrc: u32, number: u16, payload: &'static [u8]) -> rtp::Packet {
    let header = rtp::header::Header {
        ssrc,
        sequence_number: number,
        payload_type: 103,
        ..Default::default()
    };
    let packet = rtp::Packet { header, payload: Bytes::from_static(payload) };
    let message = Packet::Rtp(packet).into();
    let tagged = TaggedPacket { now: clock::now(), transport: Default::default(), message };
    receive.handle_read(tagged).ok();
    match receive.poll_read().map(|tagged| tagged.message.packet) {
        Some(Packet::Rtp(packet)) => packet,
        _ => panic!("RTP went in"),
    }
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

#[test]
fn a_repair_becomes_the_packet_that_it_repairs() {
    let repaired = take(&mut receive(), RTX, 9, &[0x12, 0x34, 9, 8]);
    assert_eq!((repaired.header.ssrc, repaired.header.payload_type), (MEDIA, 102));
    assert_eq!((repaired.header.sequence_number, &repaired.payload[..]), (0x1234, &[9, 8][..]));
}

#[test]
fn padding_goes_on_so_that_its_arrival_is_reported() {
    let probe = take(&mut receive(), RTX, 9, &[]);
    assert_eq!((probe.header.ssrc, probe.payload.len()), (RTX, 0));
}

#[test]
fn what_is_missing_is_asked_for_once_and_not_when_a_keyframe_is_on_its_way() {
    let mut receive = receive();
    take(&mut receive, RTX, 1, &[0, 7, 1]);
    assert_eq!(asked(&mut receive), [0_u16; 0], "a repair says nothing about what was sent since");
    take(&mut receive, MEDIA, 10, &[1]);
    take(&mut receive, MEDIA, 12, &[1]);
    assert_eq!(asked(&mut receive), [11]);
    assert!(receive.poll_timeout().is_some());
    let pli = PictureLossIndication { sender_ssrc: 0, media_ssrc: MEDIA };
    let message = Packet::Rtcp(vec![Box::new(pli)]).into();
    let tagged = TaggedPacket { now: clock::now(), transport: Default::default(), message };
    receive.handle_write(tagged).ok();
    assert!(receive.poll_timeout().is_none());
}
