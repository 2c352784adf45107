//! Fuzzes the way in for pictures: RTP payloads in any order, with any timestamps, some in a codec that
//! has no pictures, through the jitter buffer and what puts them together. Nothing panics, nothing grows without end, and every picture that
//! comes out is in Annex B form.

#![no_main]

use std::time::Duration;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use peer::clock;
use peer::media::codec::h264::nal::nal_units;
use peer::media::codec::h264::sps::Sps;
use peer::media::encoded::Codec;
use peer::rtc::jitter_buffer::{JitterBuffer, Output, VideoPacket};

#[derive(Debug, Arbitrary)]
struct Packet {
    sequence_number: u16,
    timestamp: u32,
    marker: bool,
    other: bool,
    after_ms: u16,
    payload: Vec<u8>,
}

fuzz_target!(|packets: Vec<Packet>| {
    let mut buffer = JitterBuffer::new();
    let mut now = clock::now();
    for packet in packets {
        now += Duration::from_millis(u64::from(packet.after_ms));
        buffer.insert(
            now,
            VideoPacket {
                sequence_number: packet.sequence_number,
                timestamp: packet.timestamp,
                marker: packet.marker,
                codec: if packet.other { Codec::Opus } else { Codec::H264 },
                payload: packet.payload.into(),
                orientation: None,
            },
        );
        buffer.handle_timeout(now);
        while let Some(output) = buffer.poll() {
            if let Output::Frame(frame) = output {
                assert!(nal_units(&frame.data).all(|nal| !nal.is_empty()));
                let _ = Sps::find(&frame.data);
            }
        }
    }
});
