//! Descriptions and packets in, tracks out.

use super::*;
use crate::clock;
use crate::media::codec::table;
use crate::media::encoded::Codec;
use crate::rtc::agreed::agreed;

const AUDIO: &str = "m=audio 9 X 111 63\r\na=mid:a\r\na=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
    a=rtpmap:111 OPUS/48000/2\r\na=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n";
const VIDEO: &str = "m=video 9 X 96 102 103\r\na=mid:v\r\na=rtpmap:96 VP8/90000\r\n\
    a=extmap:4/sendonly urn:ietf:params:rtp-hdrext:sdes:mid\r\na=extmap:13 urn:3gpp:video-orientation\r\n\
    a=rtpmap:102 h264/90000\r\na=fmtp:102 profile-level-id=42e01f;packetization-mode=1\r\n\
    a=rtpmap:103 rtx/90000\r\na=fmtp:103 apt=102\r\na=rtcp-fb:* nack\r\n";

fn session(sections: &[&str]) -> String {
    ["v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n", &sections.concat()].concat()
}

/// What both agree on who say the same.
fn both(sections: &[&str]) -> Vec<Section> {
    agreed(&session(sections), &session(sections), true)
}

fn streams(sections: Vec<Section>) -> Streams {
    let mut streams = Streams::default();
    streams.settle(sections);
    streams
}

fn media(section: usize, format: Format) -> Option<Whose> {
    Some(Whose::Media { section, format })
}

const PICTURES: Format = Format::Media { codec: table::PICTURES[0], sendable: true };
const SOUND: Format = Format::Media { codec: Codec::Opus, sendable: true };

#[test]
fn what_was_agreed_on_is_read_from_both() {
    let theirs = session(&[&AUDIO.replace("a=mid", "a=sendonly\r\na=mid"), VIDEO]);
    let ours = session(&[
        &AUDIO.replace(" 111 63", " 111").replace("a=mid", "a=recvonly\r\na=mid"),
        &VIDEO.replace(" 96 102", " 102").replace("a=rtpmap:96 VP8/90000\r\n", ""),
    ]);
    let found = agreed(&ours, &theirs, true);
    assert_eq!(found.len(), 2);
    assert_eq!(
        (found[0].we_send, found[0].they_send, found[0].kind),
        (false, true, MediaKind::Audio)
    );
    assert_eq!((found[1].we_send, found[1].they_send, found[1].repeats), (true, true, true));
    let takes: Vec<_> = found[1].takes.iter().map(|taken| taken.payload_type).collect();
    assert_eq!(takes, [102, 103], "and not what we did not answer");
    assert_eq!(
        found[1].taken(|format| format == PICTURES).map(|taken| taken.payload_type),
        Some(102)
    );
    assert!(found[0].taken(|format| format == SOUND).is_none(), "they only send");
    assert_eq!(found[1].extensions.mid, Some(4));
    assert_eq!(found[1].extensions.orientation, Some(13));
}

#[test]
fn what_is_rejected_was_not_agreed_on() {
    let rejected = VIDEO.replace("m=video 9", "m=video 0");
    let offer = session(&[AUDIO, VIDEO]);
    for answered in [true, false] {
        let answer = session(&[AUDIO, &rejected]);
        let (ours, theirs) = if answered { (&answer, &offer) } else { (&offer, &answer) };
        let found = agreed(ours, theirs, answered);
        assert_eq!(found.iter().map(|section| section.mid.as_str()).collect::<Vec<_>>(), ["a"]);
    }
    // Where it only shares the transport of another, the offer has a port of zero too.
    let bundled = rejected.replace("a=mid", "a=bundle-only\r\na=mid");
    let found = agreed(&session(&[AUDIO, VIDEO]), &session(&[AUDIO, &bundled]), true);
    assert_eq!(found.len(), 2);
    assert!(both(&["m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:d\r\n"]).is_empty());
}

#[test]
fn a_section_that_a_packet_names_counts_most() {
    let declared = VIDEO.to_owned() + "a=ssrc:7 cname:x\r\n";
    let second = declared.replace("mid:v", "mid:w").replace("ssrc:7", "ssrc:8");
    let mut streams = streams(both(&[AUDIO, &declared, &second]));
    assert_eq!(streams.whose(7, 102, None), media(1, PICTURES));
    assert_eq!(streams.whose(8, 102, None), media(2, PICTURES));
    assert_eq!(streams.whose(7, 102, Some(b"w")), media(2, PICTURES));
    assert_eq!(streams.whose(7, 102, None), media(2, PICTURES), "as it said last");
    assert_eq!(streams.whose(9, 102, Some(b"x")), None, "there is no such section");
    assert_eq!(streams.whose(9, 102, None), None, "it may be of either");
    assert_eq!(streams.whose(9, 111, Some(b"v")), None, "no sound there");
}

#[test]
fn streams_that_nobody_announced_are_known_by_what_they_carry() {
    let mut streams = streams(both(&[AUDIO, VIDEO]));
    assert_eq!(streams.whose(1, 111, None), media(0, SOUND));
    assert_eq!(streams.whose(1, 63, None), media(0, Format::Red));
    assert_eq!(streams.whose(3, 103, None), None, "a repair of nothing");
    assert_eq!(streams.whose(2, 102, None), media(1, PICTURES));
    assert_eq!(streams.whose(3, 103, None), Some(Whose::Repair { of: 2, payload_type: 102 }));
    for unknown in [96, 0, 127] {
        assert_eq!(streams.whose(4, unknown, None), None);
    }
}

#[test]
fn a_repair_is_of_the_stream_that_was_announced_for_it() {
    let two = VIDEO.to_owned() + "a=ssrc-group:FID 20 21\r\na=ssrc-group:FID 30 31\r\n";
    let mut streams = streams(both(&[AUDIO, &two]));
    assert_eq!(streams.whose(30, 102, None), media(1, PICTURES));
    assert_eq!(streams.whose(21, 103, None), Some(Whose::Repair { of: 20, payload_type: 102 }));
    assert_eq!(streams.whose(31, 103, None), Some(Whose::Repair { of: 30, payload_type: 102 }));
}

#[test]
fn what_is_not_theirs_to_send_is_nobodys() {
    let mut streams = streams(both(&[AUDIO, &VIDEO.replace("a=mid", "a=recvonly\r\na=mid")]));
    assert_eq!(streams.whose(2, 102, None), None);
    assert_eq!(streams.whose(2, 102, Some(b"v")), None);
    assert_eq!(streams.played(MediaKind::Video), None);
    // They may again; what was learned stays.
    streams.settle(both(&[AUDIO, VIDEO]));
    assert_eq!(streams.whose(2, 102, None), media(1, PICTURES));
}

#[test]
fn another_round_may_put_sections_elsewhere() {
    let mut streams = streams(both(&[AUDIO, VIDEO]));
    streams.whose(2, 102, None);
    let second = VIDEO.replace("mid:v", "mid:w");
    streams.settle(both(&[AUDIO, &second, VIDEO]));
    assert_eq!(streams.whose(2, 102, None), media(2, PICTURES));
    assert_eq!(streams.whose(3, 103, None), None, "of either");
    assert_eq!(streams.whose(3, 103, Some(b"v")), Some(Whose::Repair { of: 2, payload_type: 102 }));
    assert_eq!(streams.played(MediaKind::Video), Some(1));
}

fn packet(ssrc: u32, payload_type: u8, number: u16) -> rtp::Packet {
    let header =
        rtp::header::Header { ssrc, payload_type, sequence_number: number, ..Default::default() };
    rtp::Packet { header, payload: Bytes::from_static(&[1, 2, 3]) }
}

#[tokio::test]
async fn nobody_hears_of_a_track_before_it_is_known_whose_it_is() {
    let (to, mut news) = mpsc::channel(1);
    let tracks = Tracks::new(Path::new(1_000_000));
    tracks.settle(both(&[AUDIO, VIDEO]));
    for number in 0..5 {
        for (ssrc, payload_type) in [(1, 111), (2, 102)] {
            let came = tracks.take(clock::now(), &mut packet(ssrc, payload_type, number), &to);
            assert!(matches!(came, Came::Media { repair: false, .. }));
        }
    }
    assert!(news.try_recv().is_err(), "an impostor's are never told of");
    tracks.vouched(&to);
    let mut kinds = Vec::new();
    while let Ok(ConnectionEvent::Track(track)) = news.try_recv() {
        kinds.push(track.kind());
        for number in 0..5 {
            let next = track.next_packet().await.map(|packet| packet.sequence_number);
            assert_eq!(next, Some(number));
        }
        // There was room for one piece of news only.
        tracks.take(clock::now(), &mut packet(9, 111, 9), &to);
    }
    assert_eq!((kinds.len(), tracks.sound()), (2, Some(9)));
}

#[test]
fn a_track_that_nobody_reads_any_more_is_not_told_of_again() {
    let (to, mut news) = mpsc::channel(8);
    let tracks = Tracks::new(Path::new(1_000_000));
    tracks.settle(both(&[AUDIO, VIDEO]));
    tracks.vouched(&to);
    for number in 0..10 {
        tracks.take(clock::now(), &mut packet(2, 102, number), &to);
    }
    assert!(news.try_recv().is_ok() && news.try_recv().is_err());
    tracks.take(clock::now(), &mut packet(2, 102, 11), &to);
    assert!(news.try_recv().is_err());
}

proptest::proptest! {
    #[test]
    fn takes_anything(
        ours in "\\PC*",
        theirs in "(m=(audio|video) [0-9]{1,2} X [0-9]{1,3}|a=(mid|rtpmap|fmtp|ssrc|extmap|ssrc-group):|opus/48000|[ -~]{0,9}|\r\n)*",
        packets: Vec<(u32, u8, Option<Vec<u8>>)>,
    ) {
        let mut streams = streams(agreed(&ours, &theirs, false));
        streams.settle(agreed(&theirs, &theirs, true));
        for (ssrc, payload_type, mid) in &packets {
            streams.whose(*ssrc, *payload_type, mid.as_deref());
        }
    }
}
