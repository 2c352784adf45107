//! What strangers send to the media ports of a call: parts of handshakes, alerts and junk, without
//! any key, before the call is up and while it goes on.

use std::collections::HashSet;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::support::process::Peer;
use crate::support::server::{Server, login, peer};
use crate::support::{PATIENCE, one_at_a_time, sees_more};

pub(crate) const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// A record of DTLS 1.2 (RFC 6347 section 4.1); in epoch 0 nothing is protected.
pub(crate) fn record(kind: u8, epoch: u8, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, 254, 253, 0, epoch, 0, 0];
    bytes.extend(sequence.to_be_bytes());
    bytes.extend((body.len() as u16).to_be_bytes());
    bytes.extend(body);
    bytes
}

/// A fragment of one byte of a message (RFC 6347 section 4.2.2).
fn fragment(message: u16, length: u32, offset: u32) -> Vec<u8> {
    let three = |number: u32| number.to_be_bytes()[1..].to_vec();
    [vec![1], three(length), message.to_be_bytes().to_vec(), three(offset), three(1), vec![0]]
        .concat()
}

/// Eighty fragments in a datagram, each beginning where the one before ends, of all of a message; where
/// it has no length, as many as of a long one.
pub(crate) fn fragments(message: u16, length: u32) -> impl Iterator<Item = Vec<u8>> {
    (0..length.max(20_000)).step_by(80).map(move |from| {
        let some: Vec<u8> = (from..from + 80).flat_map(|n| fragment(message, length, n)).collect();
        record(HANDSHAKE, 0, from, &some)
    })
}

/// The UDP ports of a process.
fn ports(pid: i32) -> Vec<u16> {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let sockets: HashSet<String> = files
        .filter_map(|file| std::fs::read_link(file.path()).ok())
        .filter_map(|link| {
            Some(link.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned())
        })
        .collect();
    let table = std::fs::read_to_string("/proc/net/udp").unwrap_or_default();
    let lines = table.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    lines
        .filter(|words| words.get(9).is_some_and(|inode| sockets.contains(*inode)))
        .filter_map(|words| u16::from_str_radix(words.get(1)?.rsplit(':').next()?, 16).ok())
        .collect()
}

pub(crate) fn refused(stats: &Value) -> u64 {
    let counts = stats["datagramsRefused"].as_object();
    counts.map_or(0, |counts| counts.values().filter_map(Value::as_u64).sum())
}

fn decoded(stats: &Value) -> u64 {
    stats["inbound"]["video"]["framesDecoded"].as_u64().unwrap_or(0)
}

pub(crate) fn fps(stats: &Value) -> f64 {
    stats["inbound"]["video"]["framesPerSecond"].as_f64().unwrap_or(0.0)
}

/// The call is as it was before the attack, and ends as calls end. The control is bob's second before,
/// the attack the one that has just passed.
pub(crate) async fn goes_on((before, after): (&Value, &Value), mut alice: Peer, mut bob: Peer) {
    assert!(decoded(after) > decoded(before), "{before} {after}");
    assert!(fps(before) > 20.0 && fps(after) > 20.0, "{before} {after}");
    sees_more(&mut alice, 20).await;
    sees_more(&mut bob, 20).await;
    alice.interrupt();
    assert_eq!(alice.wait(PATIENCE).await.code, Some(0));
    let ended = bob.await_event("ended", PATIENCE).await;
    assert_eq!(ended["reason"], "remote-hangup", "{ended}");
}

pub(crate) const MEDIA: [&str; 6] = ["--bind", "127.0.0.1", "--stun", "none", "--size", "320x180"];

#[tokio::test]
async fn a_call_goes_on_while_a_stranger_floods_its_port() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let mut bob = login(server.url(), "bob", &[&["--auto-answer"][..], &MEDIA].concat()).await;
    let words = [&["call", "bob", "--as", "alice"][..], &MEDIA].concat();
    let mut alice = peer(server.url(), &words).start();
    alice.await_event("connected", PATIENCE).await;
    sees_more(&mut alice, 5).await;
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let before = bob.next_event("stats", PATIENCE).await;
    let others = (0..200).flat_map(|n| {
        let media = vec![0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1];
        [record(ALERT, 0, n, &[2, 40]), record(20, 0, n, &[1]), media, vec![0xff; 40]]
    });
    // Of a message that cannot be, and of one that could.
    let all: Vec<_> = fragments(6, 0).chain(fragments(7, 30_000)).chain(others).collect();
    // Three in a millisecond, so that the socket's queue takes them all.
    let mut pace = tokio::time::interval(Duration::from_millis(1));
    let mut sent = 0;
    for port in ports(bob.pid()) {
        for some in all.chunks(3) {
            pace.tick().await;
            for datagram in some {
                sent += u64::from(stranger.send_to(datagram, ("127.0.0.1", port)).is_ok());
            }
        }
    }
    let after = bob.next_event("stats", PATIENCE).await;
    assert!(sent > 1_000 && refused(&after) - refused(&before) > 500, "{sent} {after}");
    goes_on((&before, &after), alice, bob).await;
}

/// Who sends the same to all ports of some processes again and again.
struct Spray {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU32>,
    thread: std::thread::JoinHandle<()>,
}

impl Spray {
    fn at(pids: Vec<i32>, forged: Vec<Vec<u8>>) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let (stops, counts) = (Arc::clone(&stop), Arc::clone(&sent));
        let thread = std::thread::spawn(move || {
            let stranger = UdpSocket::bind("127.0.0.1:0").expect("a free port");
            while !stops.load(Ordering::Relaxed) {
                for port in pids.iter().flat_map(|pid| ports(*pid)) {
                    for datagram in &forged {
                        let gone = stranger.send_to(datagram, ("127.0.0.1", port)).is_ok();
                        counts.fetch_add(u32::from(gone), Ordering::Relaxed);
                    }
                }
            }
        });
        Self { stop, sent, thread }
    }

    /// Waits until so many more have gone.
    async fn goes_on(&self, more: u32) {
        let wanted = self.sent.load(Ordering::Relaxed) + more;
        let mut looks = tokio::time::interval(Duration::from_millis(10));
        while self.sent.load(Ordering::Relaxed) < wanted {
            looks.tick().await;
        }
    }

    fn stop(self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it sprays");
        self.sent.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn a_call_comes_up_though_a_stranger_forges_alerts() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let hello = record(HANDSHAKE, 0, 9, &fragment(0, 1, 0));
    let mut bob = login(server.url(), "bob", &[&["--auto-answer"][..], &MEDIA].concat()).await;
    for forged in
        [record(ALERT, 0, 9, &[2, 40]), record(ALERT, 0, 9, &[1, 0]), hello, record(20, 0, 9, &[1])]
    {
        let spray = Spray::at(vec![bob.pid()], vec![forged]);
        let words = ["call", "bob", "--as", "alice", "--duration", "1s"];
        let alice = peer(server.url(), &words).args(MEDIA).run().await;
        assert!(spray.stop() > 0);
        assert_eq!(alice.code, Some(0), "{}", alice.said);
        bob.await_event("ended", PATIENCE).await;
    }
}

/// A message of STUN with one attribute and nothing that proves anything (RFC 8489 section 5).
fn stun(kind: u16, attribute: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_be_bytes().to_vec();
    bytes.extend((value.len() as u16 + 4).to_be_bytes());
    bytes.extend([0x21, 0x12, 0xa4, 0x42]);
    bytes.extend([7; 12]);
    bytes.extend(attribute.to_be_bytes());
    bytes.extend((value.len() as u16).to_be_bytes());
    bytes.extend(value);
    bytes
}

/// Checks that say who is in control (RFC 8445 section 7.3.1.1), from somebody without the password.
#[tokio::test]
async fn a_call_comes_up_though_a_stranger_turns_the_roles() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let mut bob = login(server.url(), "bob", &MEDIA).await;
    let (controlled, controlling) = (0x8029, 0x802a);
    for forged in [
        vec![stun(1, controlling, &[0xff; 8])],
        vec![stun(1, controlled, &[0; 8])],
        vec![stun(1, controlling, &[0xff; 8]), stun(1, controlled, &[0; 8]), stun(0x11, 0x25, &[])],
        vec![stun(0x101, 0x25, &[]), stun(0x111, 9, &[0, 0, 4, 87])],
    ] {
        let words = ["call", "bob", "--as", "alice", "--duration", "1s"];
        let alice = peer(server.url(), &words).args(MEDIA).start();
        bob.await_event("incoming", PATIENCE).await;
        // Her ports are open while it rings.
        let spray = Spray::at(vec![bob.pid(), alice.pid()], forged.clone());
        spray.goes_on(300).await;
        bob.type_line("answer");
        let end = alice.wait(PATIENCE).await;
        assert!(spray.stop() > 300);
        assert_eq!(end.code, Some(0), "{forged:?} {}", end.said);
        bob.await_event("ended", PATIENCE).await;
    }
}
