//! Tests of the client against our own server, a model of the tutorial's, and none at all.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpListener;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message as Frame;

use super::*;
use crate::ice::Candidate;
use crate::secret::Secret;
use crate::signaling::handout::{Handout, Relay};
use crate::signaling::message::LeaveReason;
use crate::signaling::server::ServerConfig;
use crate::signaling::test_support::{RawClient, TestServer, tutorial_server};

type Events = mpsc::Receiver<ClientEvent>;

async fn login(url: &str, name: &str) -> (Client, Events) {
    let (client, mut events) = Client::connect(url, name).await.unwrap();
    match events.recv().await {
        Some(ClientEvent::LoggedIn { ice_servers, tokens: false, .. }) => {
            assert!(ice_servers.is_empty());
        }
        other => panic!("{other:?} instead of a login"),
    }
    (client, events)
}

async fn next_message(events: &mut Events) -> Message {
    match events.recv().await {
        Some(ClientEvent::Message(message)) => message,
        other => panic!("{other:?} instead of a message"),
    }
}

/// Skips what is said while the server is away.
async fn logged_in_again(events: &mut Events) {
    loop {
        match events.recv().await.unwrap() {
            ClientEvent::LoggedIn { .. } => return,
            ClientEvent::Reconnecting { .. } => {}
            other => panic!("{other:?} instead of a login"),
        }
    }
}

fn offer(name: &str) -> Message {
    Message::Offer { sdp: "v=0".to_owned(), name: Some(name.to_owned()) }
}

fn answer(name: Option<&str>) -> Message {
    Message::Answer { sdp: "v=0".to_owned(), name: name.map(str::to_owned) }
}

fn candidate(name: Option<&str>) -> Message {
    let candidate = Candidate {
        candidate: "candidate:1 1 udp 1 192.0.2.1 9 typ host".to_owned(),
        sdp_mid: Some("0".to_owned()),
        sdp_mline_index: Some(0),
        username_fragment: None,
    };
    Message::Candidate { candidate: Some(candidate), name: name.map(str::to_owned) }
}

#[tokio::test]
async fn two_logins_call_each_other_and_leave() {
    let server = TestServer::start(ServerConfig::default()).await;
    let (alice, mut to_alice) = login(&server.url(), "alice").await;
    let (bob, mut to_bob) = login(&server.url(), "bob").await;
    alice.send(&offer("bob")).unwrap();
    assert_eq!(next_message(&mut to_bob).await, offer("alice"));
    bob.send(&answer(Some("alice"))).unwrap();
    assert_eq!(next_message(&mut to_alice).await, answer(Some("bob")));

    // What is sent right before closing arrives.
    let reason = Some(LeaveReason::Busy);
    bob.send(&Message::Leave { name: Some("alice".to_owned()), reason }).unwrap();
    bob.close().await;
    let left = Message::Leave { name: Some("bob".to_owned()), reason };
    assert_eq!(next_message(&mut to_alice).await, left);
    assert_eq!(to_bob.recv().await, None);
    alice.close().await;
    server.stop().await;
}

#[tokio::test]
async fn a_dropped_login_logs_out() {
    let server = TestServer::start(ServerConfig::default()).await;
    let (alice, mut to_alice) = login(&server.url(), "alice").await;
    let (bob, _to_bob) = login(&server.url(), "bob").await;
    alice.send(&offer("bob")).unwrap();
    drop(bob);
    let left = Message::Leave { name: Some("bob".to_owned()), reason: Some(LeaveReason::Gone) };
    let got = next_message(&mut to_alice).await;
    if got != left {
        assert!(matches!(got, Message::Error { .. }), "bob was gone before the offer: {got:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn failures_of_the_first_login_are_told_apart() {
    let server = TestServer::start(ServerConfig::default()).await;
    let _alice = login(&server.url(), "alice").await;
    let taken = Client::connect(&server.url(), "alice").await.unwrap_err();
    assert_eq!(taken, ConnectError::NameTaken { name: "alice".to_owned() });
    let bad = Client::connect(&server.url(), "").await.unwrap_err();
    assert!(matches!(bad, ConnectError::BadName { reason: NameError::Empty, .. }));
    for url in ["http://localhost:1", "localhost", "ws://", "", "wss://"] {
        let bad = Client::connect(url, "bob").await.unwrap_err();
        assert!(matches!(bad, ConnectError::BadUrl { .. }), "{url}: {bad:?}");
    }
    let missing = Client::connect(&format!("{}/nothing", server.url()), "bob").await.unwrap_err();
    assert!(matches!(missing, ConnectError::Refused { .. }), "{missing:?}");
    let url = server.url();
    server.stop().await;
    let gone = Client::connect(&url, "bob").await.unwrap_err();
    assert!(matches!(gone, ConnectError::Unreachable { .. }), "{gone:?}");
}

#[tokio::test]
async fn a_server_that_never_replies_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let timeout = Duration::from_millis(50);
    let options = ClientOptions { timeout, ..ClientOptions::default() };
    // The kernel accepts, nobody answers the handshake.
    let silent = Client::connect_with(&url, "alice", options).await.unwrap_err();
    assert!(matches!(silent, ConnectError::Unreachable { .. }), "{silent:?}");
}

/// So it is where the first packets of a connection are lost, or somebody on the way swallows them.
#[tokio::test]
async fn a_login_on_which_nothing_comes_back_is_tried_again_beside_it() {
    let server = TestServer::start(ServerConfig::default()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let wire = async {
        let swallowed = listener.accept().await.unwrap();
        let (mut near, _) = listener.accept().await.unwrap();
        let mut far = tokio::net::TcpStream::connect(server.address).await.unwrap();
        let copied = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        (swallowed, copied)
    };
    tokio::select! {
        (alice, _events) = login(&url, "alice") => alice.close().await,
        _ = wire => panic!("the second connection ended without a login"),
    }
    server.stop().await;
}

#[tokio::test]
async fn a_login_on_which_a_call_hangs_notices_a_silent_end_and_an_idle_one_is_left_in_peace() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let serve = async |answers: bool| {
        let mut socket = accept_async(listener.accept().await.unwrap().0).await.unwrap();
        socket.next().await.unwrap().unwrap();
        socket.send(Frame::text(r#"{"type":"login","success":true}"#)).await.unwrap();
        // Reading is what answers pings.
        let ping = if answers { Some(socket.next().await) } else { None };
        (socket, ping)
    };
    let ((client, mut events), (_socket, _)) = tokio::join!(login(&url, "alice"), serve(false));
    client.attend(true);
    let away = crate::clock::timeout(Duration::from_secs(10), events.recv()).await;
    assert!(matches!(away, Some(Some(ClientEvent::Reconnecting { .. }))), "{away:?}");
    drop(client);

    // The next is told that a call has begun and ended; it is pinged within seconds, and goes on.
    let begins = async {
        let (client, events) = login(&url, "alice").await;
        client.attend(true);
        (client, events)
    };
    let ((client, mut events), (_socket, ping)) = tokio::join!(begins, serve(true));
    assert!(matches!(ping, Some(Some(Ok(Frame::Ping(_))))), "{ping:?}");
    client.attend(false);
    assert!(events.try_recv().is_err());
}

#[tokio::test]
async fn a_restarted_server_gets_the_login_and_what_was_queued() {
    let server = TestServer::start(ServerConfig::default()).await;
    let address: SocketAddr = server.address;
    let (alice, mut to_alice) = login(&server.url(), "alice").await;
    server.abort().await;
    let away = to_alice.recv().await.unwrap();
    assert!(matches!(away, ClientEvent::Reconnecting { .. }), "{away:?}");
    alice.send(&offer("bob")).unwrap();
    alice.send(&candidate(Some("bob"))).unwrap();

    let server = TestServer::start_at(address, ServerConfig::default()).await;
    logged_in_again(&mut to_alice).await;
    // Bob is not back yet, which proves that the offer was sent.
    let error = next_message(&mut to_alice).await;
    assert!(
        matches!(&error, Message::Error { code: Some(code), .. } if code == "unknown-user"),
        "{error:?}"
    );
    alice.close().await;
    server.stop().await;
}

#[tokio::test]
async fn a_name_still_taken_after_a_break_is_tried_again() {
    let server = TestServer::start(ServerConfig::default()).await;
    let address = server.address;
    let (alice, mut to_alice) = login(&server.url(), "alice").await;
    server.stop().await;
    assert!(matches!(to_alice.recv().await, Some(ClientEvent::Reconnecting { .. })));

    // The pause is over no sooner than 0.1 s from now; should she be faster, she is in.
    let server = TestServer::start_at(address, ServerConfig::default()).await;
    let mut other = RawClient::connect(&server.url()).await;
    other.send(r#"{"type":"login","name":"alice"}"#).await;
    if other.receive().await.contains("true") {
        assert!(matches!(to_alice.recv().await, Some(ClientEvent::Reconnecting { .. })));
        other.close().await;
    }
    logged_in_again(&mut to_alice).await;
    alice.close().await;
    server.stop().await;
}

#[tokio::test]
async fn the_queue_is_bounded_and_large_messages_are_refused() {
    let server = TestServer::start(ServerConfig::default()).await;
    let (alice, mut to_alice) = login(&server.url(), "alice").await;
    server.stop().await;
    assert!(matches!(to_alice.recv().await, Some(ClientEvent::Reconnecting { .. })));
    let taken = (0..QUEUE + 10).take_while(|_| alice.send(&offer("bob")).is_ok()).count();
    assert_eq!(taken, QUEUE);
    assert_eq!(alice.send(&offer("bob")), Err(SendError::Full));
    let large = Message::Offer { sdp: "x".repeat(MAX_MESSAGE), name: None };
    assert!(matches!(alice.send(&large), Err(SendError::TooLarge { .. })));
    // There is nobody to say goodbye to, so that this does not wait.
    alice.close().await;
}

#[tokio::test]
async fn the_tutorials_server_is_understood() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(tutorial_server::run(listener, async {
        let _ = stopped.await;
    }));
    let (alice, mut to_alice) = login(&url, "alice").await;
    let (bob, mut to_bob) = login(&url, "bob").await;
    let taken = Client::connect(&url, "bob").await.unwrap_err();
    assert_eq!(taken, ConnectError::NameTaken { name: "bob".to_owned() });

    alice.send(&offer("bob")).unwrap();
    assert_eq!(next_message(&mut to_bob).await, offer("alice"));
    bob.send(&answer(Some("alice"))).unwrap();
    bob.send(&candidate(Some("alice"))).unwrap();
    assert_eq!(next_message(&mut to_alice).await, answer(None));
    assert_eq!(next_message(&mut to_alice).await, candidate(None));
    bob.close().await;
    assert_eq!(next_message(&mut to_alice).await, Message::Leave { name: None, reason: None });
    alice.close().await;
    stop.send(()).unwrap();
    server.await.unwrap();
}

#[tokio::test]
async fn binary_frames_noise_and_a_silent_end_are_survived() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let mut socket = accept_async(listener.accept().await.unwrap().0).await.unwrap();
        socket.next().await.unwrap().unwrap();
        for text in [r#"{"users":["a"]}"#, "[]", r#"{"type":"login","success":true}"#] {
            socket.send(Frame::binary(text.as_bytes().to_vec())).await.unwrap();
        }
        socket.send(Frame::text(r#"{"type":"updateUsers"}"#)).await.unwrap();
        socket.send(Frame::binary(&br#"{"type":"leave"}"#[..])).await.unwrap();
        // Alive at the TCP level, but it answers no ping and closes nothing.
        (listener, socket)
    });
    let ping_every = Duration::from_millis(20);
    let options = ClientOptions { ping_every, ..ClientOptions::default() };
    let (client, mut events) = Client::connect_with(&url, "alice", options).await.unwrap();
    assert!(matches!(events.recv().await, Some(ClientEvent::LoggedIn { .. })));
    assert_eq!(next_message(&mut events).await, Message::Leave { name: None, reason: None });
    let _kept_open = server.await.unwrap();
    let away = events.recv().await.unwrap();
    assert!(matches!(away, ClientEvent::Reconnecting { .. }), "{away:?}");
    client.close().await;
}

/// A server that counts nothing itself: whatever others do, what we say stays what any server takes, and
/// a call is not held up by it.
#[tokio::test]
async fn a_flood_of_callers_is_refused_at_a_pace_and_a_call_goes_before() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let mut socket = accept_async(listener.accept().await.unwrap().0).await.unwrap();
        socket.next().await.unwrap().unwrap();
        socket.send(Frame::text(r#"{"type":"login","success":true}"#)).await.unwrap();
        socket
    });
    let (client, mut events) = login(&url, "alice").await;
    let mut socket = server.await.unwrap();
    let began = crate::clock::now();
    for number in 0..250 {
        client.refuse(format!("pest {number}"), LeaveReason::Busy).unwrap();
    }
    // So many at once, and ten a second.
    let due = || 31.0 + 10.0 * (crate::clock::now() - began).as_secs_f64();
    let mut said = Vec::new();
    for _ in 0..20 {
        said.push(socket.next().await.unwrap().unwrap().into_text().unwrap().to_string());
    }
    client.send(&answer(Some("friend"))).unwrap();
    while !said.last().is_some_and(|text| text.contains("answer")) {
        said.push(socket.next().await.unwrap().unwrap().into_text().unwrap().to_string());
    }
    assert!(said.len() as f64 <= due() + 1.0, "{} of {}", said.len(), due());
    while said.len() < 50 {
        said.push(socket.next().await.unwrap().unwrap().into_text().unwrap().to_string());
        assert!(said.len() as f64 <= due() + 1.0, "{} of {}", said.len(), due());
    }
    drop(client);
    while events.recv().await.is_some() {}
}

#[tokio::test]
async fn what_the_server_hands_out_is_asked_for_again_before_it_runs_out() {
    let relay = Relay {
        urls: vec!["turn:t".to_owned()],
        secret: Secret::new("north"),
        ttl: Duration::from_secs(2),
    };
    let handout = Handout { servers: Vec::new(), relay: Some(relay) };
    let server = TestServer::start(ServerConfig { handout, ..ServerConfig::default() }).await;
    let (client, mut events) = Client::connect(&server.url(), "alice").await.unwrap();
    let Some(ClientEvent::LoggedIn { ice_servers: first, .. }) = events.recv().await else {
        panic!("no login")
    };
    for _ in 0..2 {
        let Some(ClientEvent::IceServers { ice_servers: later }) = events.recv().await else {
            panic!("nothing new was handed out")
        };
        assert_eq!(later[0].urls, first[0].urls);
        assert_ne!(later[0].credential, first[0].credential);
    }
    client.close().await;
    server.stop().await;
}

#[tokio::test]
async fn refusals_with_a_word_are_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let name = "alice".to_owned();
    let refused = |reason: &str| ConnectError::Refused { url: url.clone(), reason: reason.into() };
    for (code, error) in [
        ("token-needed", ConnectError::TokenNeeded { name: name.clone() }),
        ("wrong-token", ConnectError::WrongToken { name: name.clone() }),
        ("too-many-tries", ConnectError::TooManyTries { url: url.clone() }),
        ("name-taken", ConnectError::NameTaken { name: name.clone() }),
        ("bad-name", refused("in words")),
        ("closed-today", refused("in words")),
    ] {
        let token = Some(Secret::new("north"));
        let options = ClientOptions { token, ..ClientOptions::default() };
        let connecting = Client::connect_with(&url, &name, options);
        let serving = async {
            let mut socket = accept_async(listener.accept().await.unwrap().0).await.unwrap();
            let login = socket.next().await.unwrap().unwrap();
            assert_eq!(
                login.to_text().unwrap(),
                r#"{"type":"login","name":"alice","token":"north","resume":""}"#
            );
            let reply = format!(
                r#"{{"type":"login","success":false,"code":"{code}","message":"in words"}}"#
            );
            socket.send(Frame::text(reply)).await.unwrap();
            socket
        };
        let (connected, _socket) = tokio::join!(connecting, serving);
        assert_eq!(connected.unwrap_err(), error, "{code}");
    }
}
