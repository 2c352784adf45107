//! What a server on the internet has to live with: nothing of it slows the others down or stays in
//! memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::support::server::Server;
use crate::support::sockets::{Client, TEXT, frame, get};
use crate::support::{PATIENCE, within_patience};

/// However much comes in, it does not stay: what a few connections of honest size take, and no more.
const GROWTH: u64 = 48 * 1024 * 1024;

const MIB: usize = 1024 * 1024;

/// Two who talk with each other.
struct Honest {
    alice: Client,
    bob: Client,
    number: u64,
}

impl Honest {
    async fn start(server: &Server) -> Self {
        let mut alice = Client::login(server.address(), "alice").await;
        let mut bob = Client::login(server.address(), "bob").await;
        alice.say(r#"{"type":"offer","offer":{"sdp":"v=0"},"name":"bob"}"#).await;
        assert!(bob.hear().await.expect("an offer").contains("alice"));
        Self { alice, bob, number: 0 }
    }

    /// They get on with it, whatever else there is.
    async fn go_on(&mut self, meanwhile: &str) {
        let talk = async {
            for _ in 0..20 {
                self.number += 1;
                let number = self.number;
                let text = |to| {
                    format!(r#"{{"type":"candidate","candidate":null,"n":{number},"name":"{to}"}}"#)
                };
                self.alice.say(&text("bob")).await;
                assert_eq!(self.bob.hear().await, Some(text("alice")), "{meanwhile}");
                self.bob.say(&text("alice")).await;
                assert_eq!(self.alice.hear().await, Some(text("bob")), "{meanwhile}");
            }
        };
        let talked = tokio::time::timeout(PATIENCE, talk).await;
        assert!(talked.is_ok(), "{meanwhile}: the two do not get through");
    }
}

/// Memory in use, in bytes (proc(5)).
fn memory(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

async fn server() -> Server {
    let words = [
        "--listen=127.0.0.1:0",
        "--max-connections-per-address=5000",
        "--logins-per-minute=100000",
        "--messages-per-second=2000",
    ];
    Server::start_with(&words).await
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_and_slow_readers_are_closed_and_nobody_else_is() {
    let server = server().await;
    let mut honest = Honest::start(&server).await;
    let before = memory(server.pid());

    let mut floods = JoinSet::new();
    for number in 0..20 {
        let address = server.address().to_owned();
        floods.spawn(async move {
            let mut flood = Client::login(&address, &format!("flood{number}")).await;
            let message = frame(TEXT, br#"{"type":"candidate","candidate":null,"name":"bobby"}"#);
            let messages = message.repeat(100);
            // Until it is closed.
            for _ in 0..1000 {
                if flood.stream.write_all(&messages).await.is_err() {
                    break;
                }
            }
            // The reason may be lost where its reset overtakes it.
            let code = flood.closed().await;
            assert!(matches!(code, Some(1008) | None), "{code:?}");
        });
    }
    honest.go_on("a flood").await;
    while let Some(ended) = within_patience(floods.join_next()).await {
        ended.expect("the flood is closed");
    }

    let mut slow = Client::login(server.address(), "slow").await;
    let filler = "x".repeat(60_000);
    let large = format!(r#"{{"type":"offer","offer":{{"sdp":"{filler}"}},"name":"slow"}}"#);
    // He does not read: his sockets fill, then this address' share of his queue; then they are told,
    // and slowed, and he stays.
    let mut told = false;
    for number in 0..1000 {
        let mut sender = Client::login(server.address(), &format!("sender{number}")).await;
        for _ in 0..4 {
            sender.say(&large).await;
        }
        sender.say(r#"{"type":"ping"}"#).await;
        if sender.hear().await.expect("an answer").contains("not-read") {
            told = true;
            break;
        }
    }
    assert!(told, "a reader that never reads took everything");
    honest.go_on("a slow reader").await;
    assert!(slow.hear().await.is_some_and(|text| text.contains("sender0")), "he stays");
    let after = memory(server.pid());
    assert!(after < before + GROWTH, "{before} bytes grew to {after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_or_no_text_is_refused() {
    let server = server().await;
    let mut honest = Honest::start(&server).await;
    let before = memory(server.pid());

    let mut header = TcpStream::connect(server.address()).await.expect("the server listens");
    let _ = header.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX-Large: ").await;
    let sent = header.write_all(&vec![b'x'; 20 * MIB]).await;
    assert!(sent.is_err(), "20 MB of header were read");
    honest.go_on("a header of 20 MB").await;

    let mut large = Client::connect(server.address(), "").await.expect("a place");
    // It may be closed before all of it is sent.
    let _ = large.stream.write_all(&frame(TEXT, &vec![b'x'; 20 * MIB])).await;
    let code = large.closed().await;
    assert!(matches!(code, Some(1009) | None), "{code:?}");
    let mut told = Client::connect(server.address(), "").await.expect("a place");
    told.stream.write_all(&frame(TEXT, &vec![b'x'; 20 * MIB])[..14]).await.expect("a few bytes");
    assert_eq!(told.closed().await, Some(1009), "the length alone is enough");
    honest.go_on("a message of 20 MB").await;

    let mut not_text = Client::connect(server.address(), "").await.expect("a place");
    not_text.stream.write_all(&frame(TEXT, b"{\"type\":\"\xff\xfe\"}")).await.expect("a frame");
    assert_eq!(not_text.closed().await, Some(1007));
    honest.go_on("a text that is none").await;

    let mut deep = Client::login(server.address(), "deep").await;
    for open in [r#"{"a":"#, "["] {
        deep.say(&open.repeat(60_000 / open.len())).await;
        let complaint = deep.hear().await.expect("an answer");
        assert!(complaint.contains("invalid-message"), "{complaint}");
    }
    let inside = format!(
        r#"{{"type":"candidate","candidate":null,"name":"bob","x":{}{}}}"#,
        "[".repeat(20_000),
        "]".repeat(20_000)
    );
    deep.say(&inside).await;
    assert!(deep.hear().await.expect("an answer").contains("invalid-message"));
    honest.go_on("deep JSON").await;

    for name in ["__proto__", "constructor", "toString"] {
        let offer = |to| format!(r#"{{"type":"offer","offer":{{"sdp":"v=0"}},"name":"{to}"}}"#);
        deep.say(&offer(name)).await;
        assert!(deep.hear().await.expect("an answer").contains("unknown-user"), "{name}");
        let mut odd = Client::login(server.address(), name).await;
        deep.say(&offer(name)).await;
        assert_eq!(odd.hear().await, Some(offer("deep")));
        odd.say(&offer("deep")).await;
        assert_eq!(deep.hear().await, Some(offer(name)));
        drop(odd);
        assert!(deep.hear().await.expect("an answer").contains("leave"));
    }
    honest.go_on("odd names").await;
    let after = memory(server.pid());
    assert!(after < before + GROWTH, "{before} bytes grew to {after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_sockets_stand_in_nobodys_way() {
    let server = server().await;
    let mut honest = Honest::start(&server).await;
    let before = memory(server.pid());
    let mut half_open = Vec::new();
    // More than are kept at a time.
    for number in 0..1500 {
        let mut stream = TcpStream::connect(server.address()).await.expect("the server listens");
        if number % 2 == 0 {
            let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: lo").await;
        }
        half_open.push(stream);
    }
    honest.go_on("half-open sockets").await;
    for number in 0..20 {
        let mut late = Client::login(server.address(), &format!("late{number}")).await;
        late.say(r#"{"type":"offer","offer":{"sdp":"v=0"},"name":"nobody"}"#).await;
        assert!(late.hear().await.expect("an answer").contains("unknown-user"));
    }
    assert!(get(server.address(), "/").await.starts_with("HTTP/1.1 200"));
    let after = memory(server.pid());
    assert!(after < before + GROWTH, "{before} bytes grew to {after}");
    drop(half_open);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_becomes_a_message_is_not_read_without_end() {
    let server = server().await;
    let mut honest = Honest::start(&server).await;
    let before = memory(server.pid());
    let mut endless = Client::login(server.address(), "endless").await;
    // A message that has begun, and goes on with nothing in it.
    let mut first = frame(TEXT, b"[");
    first[0] = TEXT;
    endless.stream.write_all(&first).await.expect("the server reads");
    let mut nothing = frame(0, b"").repeat(10_000);
    nothing.chunks_mut(6).for_each(|head| head[0] = 0);
    let flood = async {
        for _ in 0..64 * MIB / nothing.len() {
            endless.stream.write_all(&nothing).await.expect("the server reads, in time");
        }
    };
    // What the system holds for both is a few MB; all of it would be read in a fraction of that.
    let flooded = tokio::time::timeout(Duration::from_secs(5), flood).await;
    assert!(flooded.is_err(), "64 MB of nothing were read");
    honest.go_on("a message without an end").await;
    let after = memory(server.pid());
    assert!(after < before + GROWTH, "{before} bytes grew to {after}");
}

/// The same request as fast as it is answered, each on a connection of its own, until this is dropped;
/// counts those that went out.
async fn ask_again_and_again(from: String, to: String, request: Arc<[u8]>, sent: Arc<AtomicU32>) {
    let to = to.parse().expect("an address");
    let from = from.parse().expect("an address");
    loop {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(from).expect("a free port");
        // It may be dropped at any moment for one that is newer.
        let Ok(mut stream) = socket.connect(to).await else { continue };
        if stream.write_all(&request).await.is_ok() {
            let _ = stream.read(&mut [0; 16]).await;
        }
        sent.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_requests_stand_in_nobodys_way() {
    let server = server().await;
    let mut honest = Honest::start(&server).await;
    let host = server.address();
    let plain = |method: &str, path: &str, more: &str| {
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n")
    };
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n";
    let headers: String = (0..60).map(|n| format!("x{n}: {}\r\n", "y".repeat(240))).collect();
    let login = frame(TEXT, br#"{"type":"login","name":"everybody"}"#);
    let floods: [(&str, Vec<u8>); 9] = [
        ("the page", plain("GET", "/", "").into()),
        ("its largest file", plain("GET", "/words.txt", "").into()),
        ("the numbers", plain("GET", "/metrics", "").into()),
        ("what is not there", plain("GET", &format!("/{}", "x".repeat(4_000)), "").into()),
        ("16 kB of headers", plain("GET", "/", &headers).into()),
        ("a body without end", plain("POST", "/", "Content-Length: 1000000000\r\n\r\nxx").into()),
        ("another host", "GET / HTTP/1.1\r\nHost: elsewhere\r\n\r\n".into()),
        ("sockets", plain("GET", "/", upgrade).into()),
        ("logins", [plain("GET", "/", upgrade).as_bytes(), &login].concat()),
    ];
    honest.go_on("nobody else").await;
    let before = memory(server.pid());
    for (number, (what, request)) in floods.into_iter().enumerate() {
        let (request, sent) = (Arc::from(request), Arc::new(AtomicU32::new(0)));
        let mut flood = JoinSet::new();
        for number in 0..48 {
            // From one address, and as many from those beside it.
            let from = format!("127.0.9.{}:0", if number % 2 == 0 { 1 } else { number });
            let (request, sent) = (Arc::clone(&request), Arc::clone(&sent));
            flood.spawn(ask_again_and_again(from, host.to_owned(), request, sent));
        }
        let floods = async {
            while sent.load(Ordering::Relaxed) < 200 {
                tokio::task::yield_now().await;
            }
        };
        within_patience(floods).await;
        honest.go_on(what).await;
        for late in 0..3 {
            let mut late = Client::login(host, &format!("late-{number}-{late}")).await;
            late.say(r#"{"type":"offer","offer":{"sdp":"v=0"},"name":"nobody"}"#).await;
            assert!(late.hear().await.expect("an answer").contains("unknown-user"), "{what}");
            assert!(get(host, "/").await.starts_with("HTTP/1.1 200"), "{what}");
        }
        flood.shutdown().await;
        println!("{what}: {} requests", sent.load(Ordering::Relaxed));
    }
    let after = memory(server.pid());
    assert!(after < before + GROWTH, "{before} bytes grew to {after}");
}
