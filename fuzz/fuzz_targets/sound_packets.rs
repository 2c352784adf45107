//! Fuzzes the way in for sound: payloads with and without copies (RED), in any order, with any
//! timestamps, through the splitter and the jitter buffer. Nothing panics, nothing grows without end,
//! and what is asked for is given.

#![no_main]

use std::time::Duration;

use arbitrary::Arbitrary;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use peer::clock;
use peer::media::codec::opus::OpusDecoder;
use peer::media::playout::audio::AudioPlayout;
use peer::rtc::red;

#[derive(Debug, Arbitrary)]
struct Packet {
    sequence_number: u16,
    timestamp: u32,
    copies: bool,
    after_ms: u16,
    asked: u16,
    payload: Vec<u8>,
}

fuzz_target!(|packets: Vec<Packet>| {
    let Ok(decoder) = OpusDecoder::new(2) else { return };
    let mut playout = AudioPlayout::new(Box::new(decoder));
    let mut now = clock::now();
    for packet in packets {
        now += Duration::from_millis(u64::from(packet.after_ms));
        let mut payload = Bytes::from(packet.payload);
        if packet.copies {
            let Some((copies, new)) = red::split(packet.timestamp, &payload) else { continue };
            for copy in copies {
                playout.insert_copy(now, copy.timestamp, copy.payload);
            }
            payload = new;
        }
        playout.insert(now, packet.sequence_number, packet.timestamp, payload);
        let samples = usize::from(packet.asked) % 2_000;
        if let Some(block) = playout.next_block(now, samples, samples) {
            assert_eq!(block.frame.samples.len(), samples * 2);
        }
    }
});
