//! Tests of the server over real sockets on the loopback interface.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Error;

use super::*;
use crate::signaling::message::MAX_MESSAGE;
use crate::signaling::test_support::{RawClient, TestServer};

const OFFER_BOB: &str = r#"{"type":"offer","offer":{"type":"offer","sdp":"v=0"},"name":"bob"}"#;

async fn get_page(server: &TestServer, path: &str) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn two_clients_call_each_other() {
    let server = TestServer::start(ServerConfig::default()).await;
    let mut alice = RawClient::login(&server.url(), "alice").await;
    let mut bob = RawClient::login(&format!("{}/ws", server.url()), "bob").await;

    alice.send(OFFER_BOB).await;
    let offer = r#"{"type":"offer","offer":{"type":"offer","sdp":"v=0"},"name":"alice"}"#;
    assert_eq!(bob.receive().await, offer);
    bob.send_binary(r#"{"type":"answer","answer":{"type":"answer","sdp":"v=0"},"name":"alice"}"#)
        .await;
    let answer = r#"{"type":"answer","answer":{"type":"answer","sdp":"v=0"},"name":"bob"}"#;
    assert_eq!(alice.receive().await, answer);

    alice.close().await;
    assert_eq!(bob.receive().await, r#"{"type":"leave","name":"alice","reason":"gone"}"#);
    server.stop().await;
}

#[tokio::test]
async fn names_that_are_taken_or_unknown_are_said() {
    let server = TestServer::start(ServerConfig::default()).await;
    let mut alice = RawClient::login(&server.url(), "alice").await;
    let mut other = RawClient::connect(&server.url()).await;
    other.send(r#"{"type":"login","name":"alice"}"#).await;
    let refused = r#"{"type":"login","success":false,"code":"name-taken","message":"#;
    assert!(other.receive().await.starts_with(refused));
    alice.send(OFFER_BOB).await;
    assert!(alice.receive().await.starts_with(r#"{"type":"error","code":"unknown-user""#));
    server.stop().await;
}

#[tokio::test]
async fn the_page_and_its_parts_are_served_with_a_policy() {
    let server = TestServer::start(ServerConfig::default()).await;
    for (path, content_type, start) in [
        ("/", "text/html; charset=utf-8", include_str!("../../assets/page/index.html")),
        ("/page.css", "text/css; charset=utf-8", include_str!("../../assets/page/page.css")),
        ("/page.js", "text/javascript; charset=utf-8", include_str!("../../assets/page/page.js")),
        ("/call.js", "text/javascript; charset=utf-8", include_str!("../../assets/page/call.js")),
    ] {
        let answer = get_page(&server, path).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{path}");
        assert!(answer.contains(&format!("content-type: {content_type}\r\n")), "{path}");
        assert!(answer.contains("content-security-policy: default-src 'none';"), "{path}");
        assert!(answer.ends_with(&format!("\r\n\r\n{start}")), "{path}");
    }
    assert!(get_page(&server, "/../Cargo.toml").await.starts_with("HTTP/1.1 404"));
    assert!(get_page(&server, "/ws").await.starts_with("HTTP/1.1 400"));
    server.stop().await;
}

#[tokio::test]
async fn a_message_too_large_closes_with_its_code() {
    let server = TestServer::start(ServerConfig::default()).await;
    let mut client = RawClient::connect(&server.url()).await;
    client.try_send(&"x".repeat(MAX_MESSAGE + 1)).await;
    assert_eq!(u16::from(client.closed().await.unwrap().code), 1009);
    server.stop().await;
}

#[tokio::test]
async fn messages_too_fast_close_with_their_code() {
    let limits = Limits { messages_per_second: 0.001, message_burst: 5.0, ..Limits::default() };
    let server = TestServer::start(ServerConfig { limits, ..ServerConfig::default() }).await;
    let mut client = RawClient::connect(&server.url()).await;
    for _ in 0..6 {
        client.try_send("x").await;
    }
    assert_eq!(u16::from(client.closed().await.unwrap().code), 1008);
    server.stop().await;
}

#[tokio::test]
async fn one_connection_too_many_is_turned_away() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let server = TestServer::start(ServerConfig { limits, ..ServerConfig::default() }).await;
    let _one = RawClient::login(&server.url(), "alice").await;
    let Err(Error::Http(answer)) = connect_async(server.url()).await else {
        panic!("the second connection came through")
    };
    assert_eq!(answer.status(), 503);
    assert!(get_page(&server, "/").await.starts_with("HTTP/1.1 200"), "the page is there");
    server.stop().await;
}

#[tokio::test]
async fn a_handshake_that_stalls_is_dropped() {
    let handshake_timeout = Duration::from_millis(50);
    let server =
        TestServer::start(ServerConfig { handshake_timeout, ..ServerConfig::default() }).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: lo").await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn who_does_not_answer_pings_is_logged_out() {
    let ping_every = Duration::from_millis(500);
    let server = TestServer::start(ServerConfig { ping_every, ..ServerConfig::default() }).await;
    let mut bob = RawClient::login(&server.url(), "bob").await;
    // Alice stays connected but never reads again, so that no pong goes out.
    let mut alice = RawClient::login(&server.url(), "alice").await;
    alice.send(OFFER_BOB).await;
    assert!(bob.receive().await.starts_with(r#"{"type":"offer""#));
    assert_eq!(bob.receive().await, r#"{"type":"leave","name":"alice","reason":"gone"}"#);
    server.stop().await;
}

#[tokio::test]
async fn who_sends_more_than_is_read_is_slowed_and_closed_and_the_reader_stays() {
    let limits = Limits {
        message_burst: 1e6,
        messages_per_second: 1e6,
        byte_burst: 1e9,
        offers_per_minute: 1e6,
        ..Limits::default()
    };
    let server = TestServer::start(ServerConfig { limits, ..ServerConfig::default() }).await;
    let mut mal = RawClient::login(&server.url(), "mal").await;
    let mut friend = RawClient::login(&server.url(), "friend").await;
    let mut bob = RawClient::login(&server.url(), "bob").await;
    let sdp = "x".repeat(MAX_MESSAGE - 200);
    let offer = format!(r#"{{"type":"offer","offer":{{"sdp":"{sdp}"}},"name":"bob"}}"#);
    // Bob does not read: his socket's buffers fill, then Mal's share of his queue.
    let mut told = 0;
    while mal.try_send(&offer).await && mal.try_send(r#"{"type":"ping"}"#).await {
        let Some(mut answer) = mal.try_receive().await else { break };
        if answer.contains(r#""code":"not-read","name":"bob""#) {
            told += 1;
            let Some(next) = mal.try_receive().await else { break };
            answer = next;
        }
        assert!(answer.contains("Command not found"), "{answer}");
    }
    assert!((8..=12).contains(&told), "{told}");
    // A friend's call is behind all that, and comes.
    friend.send(OFFER_BOB).await;
    loop {
        let text = bob.receive().await;
        if text.contains("friend") {
            break;
        }
        assert!(text.contains("mal"), "{text}");
    }
    server.stop().await;
}

#[tokio::test]
async fn who_does_not_log_in_is_closed_and_who_does_is_not() {
    let login_within = Duration::from_millis(300);
    let limits = Limits { login_within, ..Limits::default() };
    let server = TestServer::start(ServerConfig { limits, ..ServerConfig::default() }).await;
    let mut alice = RawClient::login(&server.url(), "alice").await;
    let mut idle = RawClient::connect(&server.url()).await;
    assert_eq!(idle.closed().await.unwrap().reason.as_str(), "no login in time");
    alice.send(OFFER_BOB).await;
    assert!(alice.receive().await.contains("unknown-user"));
    server.stop().await;
}

#[tokio::test]
async fn json_may_come_in_binary_frames() {
    let server = TestServer::start(ServerConfig::default()).await;
    let mut client = RawClient::connect(&server.url()).await;
    client.send_binary("nonsense").await;
    assert!(client.receive().await.contains("invalid-message"), "binary frames are taken");
    server.stop().await;
}

#[tokio::test]
async fn a_draining_server_says_so_to_whoever_watches() {
    let (events, _received) = mpsc::channel(1);
    let (alive, _gone) = mpsc::channel(1);
    let gate = Gate::new(&ServerConfig::default(), false, events.clone());
    let draining = Arc::new(AtomicBool::new(false));
    let shared = Shared {
        gate,
        events,
        alive,
        next_id: Arc::default(),
        draining: Arc::clone(&draining),
        ping_every: Duration::from_secs(1),
        limits: Limits::default(),
    };
    assert_eq!(status::health(State(shared.clone())).await.status(), 200);
    draining.store(true, Ordering::Relaxed);
    assert_eq!(status::health(State(shared)).await.status(), 503);
}

#[tokio::test]
async fn shutdown_says_going_away_and_ends() {
    let mut server = TestServer::start(ServerConfig::default()).await;
    let mut alice = RawClient::login(&server.url(), "alice").await;
    // One that never answers the goodbye does not hold up the end.
    let _deaf = RawClient::connect(&server.url()).await;
    let _silent = TcpStream::connect(server.address).await.unwrap();
    server.begin_stop();
    assert_eq!(u16::from(alice.closed().await.unwrap().code), 1001);
    server.stopped().await;
}
