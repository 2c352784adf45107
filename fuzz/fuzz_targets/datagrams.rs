//! Fuzzes what comes to a media port, from who is known to the call, from a stranger and through a
//! TURN server, before and after the handshake. Nothing panics, and a stranger is never let in with
//! more than STUN.

#![no_main]

use std::net::SocketAddr;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use peer::clock;
use peer::rtc::doors::Doors;

#[derive(Debug, Arbitrary)]
struct Datagram {
    stranger: bool,
    relayed: bool,
    secured: bool,
    ours: bool,
    bytes: Vec<u8>,
}

fuzz_target!(|datagrams: Vec<Datagram>| {
    let (mut doors, now) = (Doors::default(), clock::now());
    let known = SocketAddr::from(([192, 0, 2, 1], 5_000));
    let stranger = SocketAddr::from(([192, 0, 2, 2], 5_000));
    for Datagram { stranger: is_stranger, relayed, secured, ours, bytes } in &datagrams {
        if *ours {
            doors.may_leave(now, (known, None), known, (bytes, *relayed));
            doors.on_sent(now, known, bytes, *relayed);
            continue;
        }
        let from = if *is_stranger { stranger } else { known };
        let welcome = doors.on_received(now, from, bytes, (*relayed, *secured)).is_ok();
        if *is_stranger && !relayed && welcome {
            assert!(bytes.first().is_some_and(|first| *first < 4));
        }
    }
});
