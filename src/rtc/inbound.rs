//! What comes from the network, byte by byte, without a socket: for fuzzers, which make it up.
//!
//! Owns no rules. It puts bytes through the parsers in the order in which a connection does, the
//! library's own among them where they stand before ours.

use std::sync::{Arc, LazyLock, Mutex};
use std::time::Instant;

use rtc::interceptor::{Interceptor, Packet, RTPHeaderExtension, StreamInfo, TaggedPacket};
use rtc::sansio::Protocol;
use rtc::shared::marshal::Unmarshal;
use rtc::{rtcp, rtp};
use tokio::sync::mpsc;
use webrtc::peer_connection::RTCSessionDescription;

use super::agreed::agreed;
use super::candidates::Taken;
use super::codecs::TRANSPORT_WIDE;
use super::congestion::{Receive, Transmit};
use super::events::ConnectionEvent;
use super::fingerprints::{Fingerprints, for_library};
use super::interceptors::{RtcpCounters, RtcpTap, TapState};
use super::path::Path;
use super::relay::look_at;
use super::sdp::{
    ice_ufrag, readable, red_payload_types, sections, without_candidates, without_lone_msid,
    without_strange_red,
};
use super::tcp::{look_at as look_at_candidate, take_out};
use super::tracks::Tracks;
use crate::media::codec::table;

/// Puts a description of theirs through all that reads it before the library does, and through the
/// library's parser. Whether it could be read.
pub fn description(sdp: &str) -> bool {
    let Ok(sdp) = &readable(sdp) else { return false };
    let _ = sections(sdp);
    let _ = agreed(sdp, sdp, true);
    let _ = agreed(&SESSION, sdp, false);
    let _ = red_payload_types(sdp).count();
    let _ = without_candidates(sdp);
    let fit = Fingerprints::of(sdp).map(|found| found.fit(sdp.as_bytes()));
    let known = without_lone_msid(&for_library(&without_strange_red(sdp)));
    let mut taken = Taken::default();
    let bounded = taken.bound(&known, ice_ufrag(&known)).into_owned();
    let (bounded, over_tcp) = take_out(&bounded);
    over_tcp.into_iter().chain(sdp.lines()).for_each(|line| {
        taken.take(line);
        look_at_candidate(line);
    });
    fit.is_ok() && RTCSessionDescription::offer(bounded.into_owned()).is_ok()
}

/// Puts a datagram of a STUN or TURN server through what looks at it as it passes.
pub fn server_answer(now: Instant, datagrams: &[(bool, Vec<u8>)]) {
    look_at(now, datagrams);
}

/// What the sides of a call have said.
static SESSION: LazyLock<String> = LazyLock::new(|| {
    let pictures = table::PICTURES.first().map_or("", |codec| codec.name());
    format!(
        "v=0\r\nm=audio 9 X 111 63\r\na=mid:0\r\na=rtpmap:111 opus/48000/2\r\n\
         a=rtpmap:63 red/48000/2\r\na=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
         m=video 9 X 102 103\r\na=mid:1\r\na=rtpmap:102 {pictures}/90000\r\na=rtcp-fb:102 nack\r\n\
         a=fmtp:102 packetization-mode=1\r\na=rtpmap:103 rtx/90000\r\na=fmtp:103 apt=102\r\n"
    )
});

const VIDEO: u32 = 1;
const REPAIRS: u32 = 2;
const SOUND: u32 = 3;

/// The interceptors of a connection that sends pictures and sound and receives both.
pub struct Media {
    tap: RtcpTap,
    transmit: Transmit,
    receive: Receive,
    news: mpsc::Receiver<ConnectionEvent>,
}

impl std::fmt::Debug for Media {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Media").finish_non_exhaustive()
    }
}

impl Default for Media {
    fn default() -> Self {
        let (to, news) = mpsc::channel(8);
        let path = Path::new(2_000_000);
        let tracks = Arc::new(Tracks::new(path.clone()));
        tracks.settle(agreed(&SESSION, &SESSION, true));
        tracks.vouched(&to);
        let state = Arc::new(TapState {
            counters: RtcpCounters::default(),
            video_ssrc: VIDEO,
            video_rtx_ssrc: REPAIRS,
            audio_ssrc: SOUND,
            mappings: Mutex::default(),
            news: to,
            tracks,
        });
        let transmit = Transmit::new(Arc::clone(&state), path.clone(), 0..2_000_000);
        let tap = RtcpTap::new(Arc::clone(&state));
        let mut media = Self { tap, transmit, receive: Receive::new(state, path), news };
        let numbers = RTPHeaderExtension { uri: TRANSPORT_WIDE.to_owned(), id: 5 };
        let sound = StreamInfo {
            ssrc: SOUND,
            rtp_header_extensions: vec![numbers.clone()],
            ..Default::default()
        };
        let video = StreamInfo {
            ssrc: VIDEO,
            ssrc_rtx: Some(REPAIRS),
            payload_type_rtx: Some(103),
            rtp_header_extensions: vec![numbers],
            ..Default::default()
        };
        for stream in [&sound, &video] {
            media.transmit.bind_local_stream(stream);
        }
        media
    }
}

impl Media {
    /// A packet of ours leaves, so that theirs can be about it.
    pub fn send(&mut self, now: Instant, sequence_number: u16, bytes: u16) {
        let header =
            rtp::header::Header { version: 2, ssrc: VIDEO, sequence_number, ..Default::default() };
        let payload = vec![0; usize::from(bytes.min(1200))].into();
        let packet = Packet::Rtp(rtp::Packet { header, payload });
        let _ = self.transmit.handle_write(tagged(now, packet));
    }

    /// A packet of theirs, decrypted: RTP or RTCP (RFC 5761 section 4).
    pub fn take(&mut self, now: Instant, bytes: &[u8]) {
        let mut rest = bytes;
        let packet = match bytes.get(1) {
            Some(192..=223) => rtcp::packet::unmarshal(&mut rest).ok().map(Packet::Rtcp),
            _ => rtp::Packet::unmarshal(&mut rest).ok().map(Packet::Rtp),
        };
        if let Some(packet) = packet {
            let _ = self.transmit.handle_read(tagged(now, packet));
        }
        while let Some(read) = self.transmit.poll_read() {
            let _ = self.tap.handle_read(read);
        }
        while let Some(read) = self.tap.poll_read() {
            let _ = self.receive.handle_read(read);
        }
        while self.receive.poll_read().is_some() {}
        while self.news.try_recv().is_ok() {}
    }

    /// Time passes. How many packets have left.
    pub fn pass(&mut self, now: Instant) -> usize {
        let _ = self.receive.handle_timeout(now);
        let asked = std::iter::from_fn(|| self.receive.poll_write()).count();
        let _ = self.transmit.handle_timeout(now);
        asked + std::iter::from_fn(|| self.transmit.poll_write()).count()
    }
}

fn tagged(now: Instant, packet: Packet) -> TaggedPacket {
    TaggedPacket { now, transport: Default::default(), message: packet.into() }
}
