//! Fuzzes the front door for descriptions of the other side: what is read out of them by us, what the
//! library's parser is given, and what makes a call of them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use peer::call::identity::{Identity, is_later, mark_later};
use peer::rtc::inbound;

fuzz_target!(|sdp: &str| {
    inbound::description(sdp);
    let identity = Identity::of(sdp);
    let marked = mark_later(sdp);
    if identity.is_some() && !is_later(sdp) {
        inbound::description(&marked);
    }
});
