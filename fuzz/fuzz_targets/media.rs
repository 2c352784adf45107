//! Fuzzes RTP and RTCP as we read it: packets that were decrypted, through the library's parsers and
//! all our interceptors, while packets of ours are on their way. Nothing panics, and what is sent in
//! answer has a bound.

#![no_main]

use std::time::Duration;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use peer::clock;
use peer::rtc::inbound::Media;

#[derive(Debug, Arbitrary)]
enum Step {
    Ours { number: u16, bytes: u16 },
    Theirs(Vec<u8>),
    Time { ms: u16 },
}

/// Packets that one of theirs may bring about: repairs, reports, keyframe requests.
const MOST_FOR_ONE: usize = 64;

fuzz_target!(|steps: Vec<Step>| {
    let (mut media, mut now) = (Media::default(), clock::now());
    let (mut left, mut allowed) = (0, 16);
    for step in steps {
        match step {
            Step::Ours { number, bytes } => {
                allowed += 2;
                media.send(now, number, bytes);
            }
            Step::Theirs(bytes) => {
                allowed += MOST_FOR_ONE;
                media.take(now, &bytes);
            }
            Step::Time { ms } => {
                // Probes and reports leave by themselves.
                allowed += 64 + usize::from(ms);
                now += Duration::from_millis(u64::from(ms));
            }
        }
        left += media.pass(now);
    }
    assert!(left <= allowed, "{left} packets, {allowed} at most");
});
