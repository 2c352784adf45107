//! Somebody who sits on the path of a call: what he adds comes from addresses that the call knows. He
//! has no key, so that he ends nothing but what he does not pass on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use crate::datagrams::{ALERT, MEDIA, decoded, fps, fragments, record, refused};
use crate::support::lying_server::LyingServer;
use crate::support::server::{login, peer};
use crate::support::{PATIENCE, one_at_a_time, sees_more};

/// He forwards between two ports, each of which stands for one end.
struct OnPath {
    /// In the place of the caller, and of the callee.
    places: [Arc<UdpSocket>; 2],
    /// Where these two really are.
    ends: Arc<[AtomicU16; 2]>,
    /// Whether he keeps handshakes, and sends fragments to the callee in their place.
    steals: Arc<AtomicBool>,
    forwards: JoinHandle<()>,
}

impl OnPath {
    /// On the path of all calls of alice on this server.
    async fn of_alice(server: &LyingServer) -> Self {
        let bind = async || Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("a free port"));
        let places = [bind().await, bind().await];
        let ends = Arc::new([AtomicU16::new(0), AtomicU16::new(0)]);
        let steals = Arc::new(AtomicBool::new(false));
        let ports = places.clone().map(|place| place.local_addr().expect("a port").port());
        let real = Arc::clone(&ends);
        server.lie(move |from, to, message| {
            let place = match (&**from, &**to) {
                ("alice", _) => 0,
                (_, "alice") => 1,
                _ => return,
            };
            let instead = |text: &mut Value| {
                let lines: Vec<_> = text.as_str().unwrap_or_default().lines().collect();
                let lines = lines.iter().map(|line| moved(line, ports[place], &real[place]));
                *text = lines.collect::<Vec<_>>().join("\r\n").into();
            };
            for kind in ["offer", "answer"] {
                if let Some(text) = message.get_mut(kind).and_then(|it| it.get_mut("sdp")) {
                    instead(text);
                    *text = (text.as_str().unwrap_or_default().to_owned() + "\r\n").into();
                }
            }
            if let Some(text) = message.get_mut("candidate").and_then(|it| it.get_mut("candidate"))
            {
                instead(text);
            }
        });
        let forwards =
            tokio::spawn(forward(places.clone(), Arc::clone(&ends), Arc::clone(&steals)));
        Self { places, ends, steals, forwards }
    }

    /// Sends to the callee as if he were the caller.
    async fn forge(&self, datagram: &[u8]) {
        let to = ("127.0.0.1", self.ends[1].load(Ordering::Relaxed));
        // Whoever has closed his socket hears nothing.
        let _ = self.places[0].send_to(datagram, to).await;
    }
}

impl Drop for OnPath {
    fn drop(&mut self) {
        self.forwards.abort();
    }
}

/// A candidate over UDP with another port, whose own is noted; other lines as they are.
fn moved(line: &str, instead: u16, real: &AtomicU16) -> String {
    let mut words: Vec<_> = line.split(' ').map(str::to_owned).collect();
    if words.get(2).is_none_or(|transport| transport != "udp") {
        return line.to_owned();
    }
    let Some(at) = words.iter().position(|word| word == "typ").filter(|at| *at > 0) else {
        return line.to_owned();
    };
    real.store(words[at - 1].parse().expect("a port"), Ordering::Relaxed);
    words[at - 1] = instead.to_string();
    words.join(" ")
}

async fn forward(places: [Arc<UdpSocket>; 2], ends: Arc<[AtomicU16; 2]>, steals: Arc<AtomicBool>) {
    let mut buffers = [[0; 2048], [0; 2048]];
    let mut flood = fragments(7, 30_000).chain(fragments(6, 0)).take(450);
    loop {
        let [first, second] = &mut buffers;
        let (came_to, datagram) = tokio::select! {
            received = places[0].recv_from(first) => {
                (0, received.map(|(length, _)| &first[..length]))
            }
            received = places[1].recv_from(second) => {
                (1, received.map(|(length, _)| &second[..length]))
            }
        };
        let Ok(datagram) = datagram else { continue };
        // Who sends to the caller's place is the callee.
        let other = 1 - came_to;
        let to = ("127.0.0.1", ends[came_to].load(Ordering::Relaxed));
        if steals.load(Ordering::Relaxed) && matches!(datagram.first(), Some(20..=63)) {
            let to = ("127.0.0.1", ends[1].load(Ordering::Relaxed));
            for fragments in flood.by_ref().take(50) {
                let _ = places[0].send_to(&fragments, to).await;
            }
            continue;
        }
        let _ = places[other].send_to(datagram, to).await;
    }
}

#[tokio::test]
async fn who_is_on_the_path_of_a_call_ends_it_by_nothing_that_he_adds() {
    let _alone = one_at_a_time().await;
    let server = LyingServer::start().await;
    let path = OnPath::of_alice(&server).await;
    let mut bob = login(server.url(), "bob", &[&["--auto-answer"][..], &MEDIA].concat()).await;
    let words = [&["call", "bob", "--as", "alice"][..], &MEDIA].concat();
    let mut alice = peer(server.url(), &words).start();
    alice.await_event("connected", PATIENCE).await;
    bob.await_event("connected", PATIENCE).await;
    sees_more(&mut bob, 40).await;
    let before = bob.next_event("stats", PATIENCE).await;
    let junk = (0..300).flat_map(|n| {
        let media = [&[0x80, 96, 0, n as u8][..], &[7; 40]].concat();
        let report = [&[0x81, 200, 0, 6][..], &[7; 40]].concat();
        let protected = [21, 22, 23].map(|kind| record(kind, 1, 5_000 + n, &[9; 60]));
        let plain = [record(ALERT, 0, n, &[2, 40]), record(20, 0, n, &[1])];
        [media, report].into_iter().chain(protected).chain(plain)
    });
    let all: Vec<_> = fragments(6, 0).chain(fragments(7, 30_000)).chain(junk).collect();
    let mut pace = tokio::time::interval(Duration::from_millis(1));
    for some in all.chunks(2) {
        pace.tick().await;
        for datagram in some {
            path.forge(datagram).await;
        }
    }
    let after = bob.next_event("stats", PATIENCE).await;
    assert!(refused(&after) - refused(&before) > 500, "{before} {after}");
    assert!(decoded(&after) > decoded(&before), "{before} {after}");
    assert!(fps(&before) > 20.0 && fps(&after) > 20.0, "{before} {after}");
    sees_more(&mut alice, 20).await;
    sees_more(&mut bob, 20).await;
    // What is protected still says what it said, the end of the call as well.
    alice.interrupt();
    assert_eq!(alice.wait(PATIENCE).await.code, Some(0));
    assert_eq!(bob.await_event("ended", PATIENCE).await["reason"], "remote-hangup");
}

#[tokio::test]
async fn a_caller_with_fragments_for_a_handshake_ends_his_own_call_and_nothing_else() {
    let _alone = one_at_a_time().await;
    let server = LyingServer::start().await;
    let path = OnPath::of_alice(&server).await;
    path.steals.store(true, Ordering::Relaxed);
    let mut bob = login(server.url(), "bob", &[&["--auto-answer"][..], &MEDIA].concat()).await;
    let call = |name| ["call", "bob", "--as", name, "--duration", "2s"];
    let alice = peer(server.url(), &[&call("alice")[..], &MEDIA].concat()).run().await;
    assert_eq!(alice.code, Some(6), "{}", alice.said);
    let ended = bob.await_event("ended", PATIENCE).await;
    assert_eq!(ended["reason"], "connection-failed", "{ended}");
    let friend = peer(server.url(), &[&call("friend")[..], &MEDIA].concat()).run().await;
    assert_eq!(friend.code, Some(0), "{}", friend.said);
}
