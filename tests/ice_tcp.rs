//! Calls where no UDP gets through: over TCP, between two of us and with a browser; who listens there
//! and who comes; and that TCP is of no account where UDP works.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::datagrams::{MEDIA, fps};
use crate::support::bare_page::BarePage;
use crate::support::lying_server::LyingServer;
use crate::support::process::Peer;
use crate::support::server::{login, peer};
use crate::support::{PATIENCE, one_at_a_time, sees_more, within_patience};

/// What the candidates of each have been: who, and the line.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<(String, String)>>>);

impl Heard {
    /// Where somebody listens.
    fn listens(&self, who: &str) -> Vec<SocketAddr> {
        let heard = self.0.lock().expect("nobody panics");
        let lines = heard.iter().filter(|(from, line)| from == who && line.contains("passive"));
        lines.filter_map(|(_, line)| address(line)).collect()
    }

    /// The username fragments of both, the caller's first.
    fn users(&self) -> Vec<String> {
        let heard = self.0.lock().expect("nobody panics");
        let users = heard.iter().filter_map(|(_, line)| line.strip_prefix("a=ice-ufrag:"));
        let mut users: Vec<_> = users.map(|user| user.trim_end().to_owned()).collect();
        users.dedup();
        users
    }

    fn lines(&self, who: &str) -> Vec<String> {
        let heard = self.0.lock().expect("nobody panics");
        let lines = heard.iter().filter(|(from, line)| from == who && line.contains("candidate:"));
        lines.map(|(_, line)| line.clone()).collect()
    }
}

fn address(line: &str) -> Option<SocketAddr> {
    let words: Vec<_> = line.split(' ').collect();
    Some(SocketAddr::new(words.get(4)?.parse().ok()?, words.get(5)?.parse().ok()?))
}

/// A server that passes on the candidates that `keeps` says, and tells all.
async fn server_that(keeps: impl Fn(&str, &str) -> bool + Send + 'static) -> (LyingServer, Heard) {
    let (server, heard) = (LyingServer::start().await, Heard::default());
    let all = heard.clone();
    server.lie(move |from, to, message| {
        for kind in ["offer", "answer"] {
            let sdp = message[kind]["sdp"].as_str().unwrap_or_default().to_owned();
            if let Some(user) = sdp.lines().find(|line| line.starts_with("a=ice-ufrag:")) {
                all.0.lock().expect("nobody panics").push((from.clone(), user.to_owned()));
            }
            if sdp.contains("a=candidate:") {
                let kept = |line: &&str| !line.starts_with("a=candidate:") || keeps(from, line);
                let sdp: String = sdp.split_inclusive('\n').filter(kept).collect();
                message[kind]["sdp"] = json!(sdp);
            }
        }
        let line = message["candidate"]["candidate"].as_str().unwrap_or_default().to_owned();
        if !line.is_empty() {
            if !keeps(from, &line) {
                *to = "nobody".to_owned();
            }
            all.0.lock().expect("nobody panics").push((from.clone(), line));
        }
    });
    (server, heard)
}

/// No word of UDP: as if it were blocked, since neither side knows where to send.
fn over_tcp(_: &str, line: &str) -> bool {
    line.to_ascii_lowercase().contains(" tcp ")
}

/// Ports on which a process listens.
fn listening(pid: i32) -> usize {
    ports(pid, "0A").len()
}

/// The ports of its TCP sockets in this state, as the kernel numbers them. The table is read in pieces,
/// and while many sockets come and go one may stand in it twice; so each is known by its inode.
fn ports(pid: i32, state: &str) -> Vec<u16> {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let links = files.filter_map(|file| std::fs::read_link(file.path()).ok());
    let own: HashSet<String> = links
        .filter_map(|link| {
            Some(link.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned())
        })
        .collect();
    let tables = ["tcp", "tcp6"].map(|table| std::fs::read_to_string(format!("/proc/net/{table}")));
    let tables: Vec<String> = tables.into_iter().flatten().collect();
    let lines = tables.iter().flat_map(|table| table.lines());
    let found: BTreeMap<String, u16> = lines
        .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>())
        .filter(|words| words.get(3) == Some(&state))
        .filter_map(|words| {
            let inode = words.get(9).filter(|inode| own.contains(**inode))?;
            let port = u16::from_str_radix(words.get(1)?.split(':').nth(1)?, 16).ok()?;
            Some(((*inode).to_owned(), port))
        })
        .collect();
    found.into_values().collect()
}

/// The port on which a process listens, as soon as it does.
async fn port(pid: i32) -> u16 {
    let listens = async {
        loop {
            if let Some(port) = ports(pid, "0A").first() {
                return *port;
            }
            tokio::task::yield_now().await;
        }
    };
    within_patience(listens).await
}

async fn path(of: &mut Peer) -> Value {
    of.next_event("stats", PATIENCE).await["selectedCandidatePair"].clone()
}

#[tokio::test]
async fn a_call_without_udp_comes_up_over_tcp_and_lasts() {
    let _alone = one_at_a_time().await;
    let (server, heard) = server_that(over_tcp).await;
    let mut bob = login(server.url(), "bob", &[&["--auto-answer"][..], &MEDIA].concat()).await;
    let words = [&["call", "bob", "--as", "alice"][..], &MEDIA].concat();
    let mut alice = peer(server.url(), &words).start();
    let connected = alice.await_event("connected", PATIENCE).await;
    println!("connected after {} ms", connected["setupMs"]);
    for end in [&mut alice, &mut bob] {
        sees_more(end, 60).await;
        let path = path(end).await;
        assert_eq!(path["protocol"], "tcp", "{path}");
        for end in ["local", "remote"] {
            let end = path[end].as_str().expect("an end");
            assert!(end.contains("127.0.0.1:") || end == "prflx", "{path}");
        }
        assert_eq!(listening(end.pid()), 0, "nobody else need connect");
    }
    let stats = alice.next_event("stats", PATIENCE).await;
    assert!(fps(&stats) > 20.0, "{stats}");
    // Both sorts are told, and below every other (RFC 6544 section 4.2).
    for who in ["alice", "bob"] {
        let (tcp, udp): (Vec<_>, Vec<_>) =
            heard.lines(who).into_iter().partition(|line| line.contains(" tcp "));
        for sort in ["passive", "active"] {
            assert!(tcp.iter().any(|line| line.contains(sort)), "{tcp:?}");
        }
        let priority = |line: &String| line.split(' ').nth(3).and_then(|it| it.parse::<u32>().ok());
        assert!(tcp.iter().map(priority).max() < udp.iter().map(priority).min(), "{tcp:?} {udp:?}");
    }
    alice.interrupt();
    assert_eq!(alice.wait(PATIENCE).await.code, Some(0));
    assert_eq!(bob.await_event("ended", PATIENCE).await["reason"], "remote-hangup");
}

#[tokio::test]
async fn one_side_that_can_be_connected_to_is_enough_whoever_calls() {
    let _alone = one_at_a_time().await;
    for listens in ["alice", "bob"] {
        // The other one is as a browser is, or behind a firewall.
        let keeps = move |who: &str, line: &str| {
            over_tcp(who, line) && (who == listens || !line.contains("passive"))
        };
        let (server, _) = server_that(keeps).await;
        let bob = [&["--auto-answer"][..], &MEDIA].concat();
        let mut bob = login(server.url(), "bob", &bob).await;
        let words = [&["call", "bob", "--as", "alice"][..], &MEDIA].concat();
        let mut alice = peer(server.url(), &words).start();
        alice.await_event("connected", PATIENCE).await;
        sees_more(&mut alice, 20).await;
        sees_more(&mut bob, 20).await;
        alice.interrupt();
        assert_eq!(alice.wait(PATIENCE).await.code, Some(0), "{listens} listens");
    }
}

/// From now on bob's answer names these ports too; candidates go through where they are kept. What was
/// added.
fn add_candidates(
    server: &LyingServer,
    keeps: fn(&str, &str) -> bool,
    doors: &[TcpListener],
) -> Arc<Mutex<String>> {
    let ports = doors.iter().map(|door| door.local_addr().expect("a port").port());
    let lines: String = ports
        .map(|port| format!("a=candidate:7 1 tcp 1 127.0.0.1 {port} typ host tcptype passive\r\n"))
        .collect();
    let added = Arc::<Mutex<String>>::default();
    let adds = Arc::clone(&added);
    server.lie(move |from, to, message| {
        let line = message["candidate"]["candidate"].as_str().unwrap_or_default();
        if !line.is_empty() && !keeps(from, line) {
            *to = "nobody".to_owned();
        }
        if let Some(sdp) = message["answer"]["sdp"].as_str().filter(|_| from == "bob") {
            let sdp = format!("{sdp}{lines}");
            adds.lock().expect("nobody panics").clone_from(&lines);
            message["answer"]["sdp"] = json!(sdp);
        }
    });
    added
}

/// Forty ports on which nobody of the call listens.
fn doors() -> Vec<TcpListener> {
    let doors = (0..40).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    doors.inspect(|door| door.set_nonblocking(true).expect("a socket")).collect()
}

/// How often somebody has come.
fn knocks(doors: &[TcpListener]) -> usize {
    doors.iter().map(|door| std::iter::from_fn(|| door.accept().ok()).count()).sum()
}

#[tokio::test]
async fn where_udp_works_tcp_is_not_used_and_soon_not_there() {
    let _alone = one_at_a_time().await;
    let (server, doors) = (LyingServer::start().await, doors());
    let added = add_candidates(&server, |_, _| true, &doors);
    let mut bob = login(server.url(), "bob", &[&["--auto-answer"][..], &MEDIA].concat()).await;
    let words = [&["call", "bob", "--as", "alice"][..], &MEDIA].concat();
    let mut alice = peer(server.url(), &words).start();
    alice.await_event("connected", PATIENCE).await;
    // Longer than TCP would have waited for its turn.
    sees_more(&mut alice, 100).await;
    assert!(!added.lock().expect("nobody panics").is_empty());
    for end in [&mut alice, &mut bob] {
        assert_eq!(path(end).await["protocol"], "udp");
        assert_eq!(listening(end.pid()), 0);
    }
    assert_eq!(knocks(&doors), 0);
}

#[tokio::test]
async fn few_doors_are_knocked_at_whatever_the_other_side_names() {
    let _alone = one_at_a_time().await;
    let (server, doors) = (LyingServer::start().await, doors());
    let added = add_candidates(&server, |_, _| false, &doors);
    let _bob = login(server.url(), "bob", &[&["--auto-answer"][..], &MEDIA].concat()).await;
    let words = [&["call", "bob", "--as", "alice"][..], &MEDIA].concat();
    let alice = peer(server.url(), &words).run().await;
    assert_eq!(alice.code, Some(6), "{}", alice.said);
    assert!(!added.lock().expect("nobody panics").is_empty());
    assert_eq!(knocks(&doors), 8);
}

#[tokio::test]
async fn where_only_relays_are_allowed_nobody_listens() {
    let _alone = one_at_a_time().await;
    let relay = crate::support::relay::Relay::start().await;
    let (server, heard) = server_that(|_, _| true).await;
    let mut bob = login(server.url(), "bob", &MEDIA).await;
    let turn = relay.turn();
    let words = ["call", "bob", "--as", "alice", "--ice-policy", "relay", "--bind", "127.0.0.1"];
    let how = ["--turn", &turn, "--turn-user", "alice", "--turn-password", "secret"];
    let mut alice = peer(server.url(), &words).args(how).args(&MEDIA[2..]).start();
    bob.await_event("incoming", PATIENCE).await;
    let gathered = async {
        while heard.lines("alice").is_empty() {
            tokio::task::yield_now().await;
        }
    };
    within_patience(gathered).await;
    assert_eq!(listening(alice.pid()), 0);
    bob.type_line("answer");
    alice.await_event("connected", PATIENCE).await;
    alice.interrupt();
    bob.await_event("ended", PATIENCE).await;
    let words = [&["call", "bob", "--as", "carol"][..], &MEDIA].concat();
    let carol = peer(server.url(), &words).start();
    assert_ne!(port(carol.pid()).await, 0, "who does not say so listens");
}

/// Strangers who come one after the other and say something else each; how many came until the port
/// was closed.
async fn flood(at: SocketAddr, says: Vec<Vec<u8>>) -> usize {
    let (mut all, mut pace) = (VecDeque::new(), tokio::time::interval(Duration::from_millis(2)));
    for (came, words) in says.iter().cycle().enumerate() {
        pace.tick().await;
        let Ok(mut stranger) = TcpStream::connect(at).await else { return came };
        // Whom it is for may have closed it already.
        let _ = stranger.write_all(words).await;
        all.push_back(stranger);
        if all.len() > 200 {
            all.pop_front();
        }
    }
    0
}

/// Until the other end has closed it.
async fn is_sent_away(stranger: &mut TcpStream) -> bool {
    matches!(within_patience(stranger.read(&mut [0; 16])).await, Ok(0) | Err(_))
}

#[tokio::test]
async fn strangers_at_the_port_take_no_more_than_their_places() {
    let _alone = one_at_a_time().await;
    let (server, _) = server_that(over_tcp).await;
    let mut bob = login(server.url(), "bob", &MEDIA).await;
    let words = [&["call", "bob", "--as", "alice"][..], &MEDIA].concat();
    let mut alice = peer(server.url(), &words).start();
    bob.await_event("incoming", PATIENCE).await;
    let at = SocketAddr::from(([127, 0, 0, 1], port(alice.pid()).await));
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(at).await.expect("she listens"));
    }
    // One says a byte now and then.
    silent[99].write_all(&[0]).await.expect("a connection");
    let (first, last) = silent.split_at_mut(84);
    for stranger in first {
        assert!(is_sent_away(stranger).await, "there are sixteen places");
    }
    let left = ports(alice.pid(), "01");
    assert!(left.len() <= 16 + 1, "and the server's: {left:?}");
    for stranger in last {
        assert!(is_sent_away(stranger).await, "nobody is waited for long");
    }
    // Nothing, half a length, half a frame, junk, another protocol, too long a frame, and a check for
    // somebody else.
    let check = [&[0, 28, 0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12], b"\0\x06\0\x04a:bc"];
    let says: [&[u8]; 7] = [
        b"",
        &[0],
        &[0, 100, 0, 1],
        &[0, 4, 1, 2, 3, 4],
        b"GET / HTTP/1.1\r\n\r\n",
        &[0xff; 64],
        &check.concat(),
    ];
    let says = says.iter().map(|words| words.to_vec()).collect();
    let flooding = tokio::spawn(flood(at, says));
    bob.type_line("answer");
    alice.await_event("connected", PATIENCE).await;
    let came = within_patience(flooding).await.expect("it floods");
    println!("{came} came meanwhile");
    assert!(came > 100, "{came}");
    sees_more(&mut alice, 30).await;
    sees_more(&mut bob, 30).await;
    assert_eq!(path(&mut alice).await["protocol"], "tcp");
    assert_eq!(listening(alice.pid()), 0);
    let left = ports(alice.pid(), "01");
    assert!(left.len() <= 12, "only the call's: {left:?}");
}

/// A check with the name that only who has read the description knows, and without the password.
fn check_without_password(fragments: &str) -> Vec<u8> {
    let mut user = fragments.as_bytes().to_vec();
    let length = user.len() as u8;
    user.resize(user.len().next_multiple_of(4), 0);
    let all = user.len() as u8 + 4;
    let check = [&[0, 1, 0, all, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12], &[0, 6, 0, length], &user];
    let check = check.concat();
    [&(check.len() as u16).to_be_bytes()[..], &check].concat()
}

#[tokio::test]
async fn who_knows_the_name_of_a_call_and_not_its_password_does_not_stay() {
    let _alone = one_at_a_time().await;
    let (server, heard) = server_that(over_tcp).await;
    let mut bob = login(server.url(), "bob", &[&["--auto-answer"][..], &MEDIA].concat()).await;
    let words = [&["call", "bob", "--as", "alice"][..], &MEDIA].concat();
    let mut alice = peer(server.url(), &words).start();
    let known = async {
        while heard.listens("alice").is_empty() || heard.users().len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    within_patience(known).await;
    let (at, users) = (heard.listens("alice")[0], heard.users());
    let check = check_without_password(&users.join(":"));
    let mut strangers = Vec::new();
    for _ in 0..20 {
        let mut stranger = TcpStream::connect(at).await.expect("she listens");
        stranger.write_all(&check).await.expect("a connection");
        strangers.push(stranger);
    }
    alice.await_event("connected", PATIENCE).await;
    for stranger in &mut strangers {
        assert!(is_sent_away(stranger).await);
    }
    sees_more(&mut alice, 30).await;
    sees_more(&mut bob, 30).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_may_not_use_udp_calls_and_is_called() {
    let _alone = one_at_a_time().await;
    let server = LyingServer::start().await;
    let mut alice = login(server.url(), "alice", &["--auto-answer", "--stun", "none"]).await;
    // By its name of today, and the one before.
    let flags = ["webrtc", "force-webrtc"]
        .map(|which| format!("--{which}-ip-handling-policy=disable_non_proxied_udp"));
    let page = BarePage::log_in_with_flags(server.url(), "page", &flags).await;
    page.call("alice").await;
    let connected = alice.await_event("connected", PATIENCE).await;
    println!("the page calls: connected after {} ms", connected["setupMs"]);
    seen(&page).await;
    sees_more(&mut alice, 30).await;
    assert_eq!(path(&mut alice).await["protocol"], "tcp");
    page.hang_up().await;
    alice.await_event("ended", PATIENCE).await;
    drop(page);
    let page = BarePage::log_in_with_flags(server.url(), "anew", &flags).await;
    alice.type_line("call anew");
    let connected = alice.await_event("connected", PATIENCE).await;
    println!("alice calls: connected after {} ms", connected["setupMs"]);
    seen(&page).await;
    sees_more(&mut alice, 30).await;
    assert_eq!(path(&mut alice).await["protocol"], "tcp");
}

/// A second of pictures, both ways.
async fn seen(page: &BarePage) {
    let both = page.browser.wait_for_call("a second of pictures", |call| {
        call.inbound_video.frames_decoded >= 30 && call.outbound_video.frames_encoded >= 30
    });
    both.await;
}
