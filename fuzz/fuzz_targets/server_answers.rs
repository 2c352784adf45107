//! Fuzzes the answers of STUN and TURN servers, and questions of ours, as they pass.

#![no_main]

use libfuzzer_sys::fuzz_target;
use peer::clock;
use peer::rtc::inbound;

fuzz_target!(|datagrams: Vec<(bool, Vec<u8>)>| {
    inbound::server_answer(clock::now(), &datagrams);
});
