//! Calls through a real TURN server and nothing else: over UDP, TCP and TLS, with passwords of the
//! user's and of the signaling server's, and what is said when it does not work.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, Mac};
use peer::ice::{Candidate, IceServer};
use peer::rtc::connection::{Connection, ConnectionConfig};
use peer::rtc::events::ConnectionEvent;
use peer::trust::Trust;
use sha1::Sha1;
use tokio::sync::mpsc::Receiver;

use crate::support::process::{Ended, PeerBuilder};
use crate::support::relay::Relay;
use crate::support::server::{Server, login, peer};
use crate::support::{PATIENCE, one_at_a_time, until, within_patience};

#[tokio::test]
async fn a_call_that_may_only_be_relayed() {
    let _alone = one_at_a_time().await;
    let (server, relay) = (Server::start().await, Relay::start().await);
    let turn = relay.turn();
    let relayed = ["--turn", &turn, "--turn-user", "alice", "--ice-policy", "relay"];
    let words = [&["login", "bob", "--auto-answer"], &relayed[..]].concat();
    let secret = ("PEER_TURN_PASSWORD", "secret");
    let mut bob = peer(server.url(), &words).env(secret.0, secret.1).with_input().start();
    bob.await_event("logged-in", PATIENCE).await;
    let words = [&["call", "bob", "--as", "alice", "--duration", "2s"], &relayed[..]].concat();
    let mut alice = peer(server.url(), &words).env(secret.0, secret.1).start();
    alice.await_event("first-video-frame", PATIENCE).await;
    let ended = alice.await_event("ended", PATIENCE).await;
    assert_eq!(ended["reason"], "duration", "{}", alice.said());
    let path = ended["summary"]["selectedCandidatePair"]["local"].to_string();
    assert!(path.contains("relay"), "{path}");
    alice.gone(PATIENCE).await;
    // The first line is how it was started.
    assert!(!alice.said().lines().skip(1).any(|line| line.contains("secret")), "{}", alice.said());
}

#[tokio::test]
async fn a_call_over_tcp_on_one_end_and_tls_on_the_other() {
    let _alone = one_at_a_time().await;
    let (server, relay) = (Server::start().await, Relay::start().await);
    let relayed = ["--turn-user", "alice", "--ice-policy", "relay"];
    let (tcp, tls, ca) = (relay.turn_tcp(), relay.turns(), relay.certificate());
    let words = [&["login", "bob", "--auto-answer", "--turn", &tcp], &relayed[..]].concat();
    let mut bob = peer(server.url(), &words).env("PEER_TURN_PASSWORD", "secret").start();
    bob.await_event("logged-in", PATIENCE).await;
    let call = ["call", "bob", "--as", "alice", "--duration", "2s", "--turn", &tls, "--ca", &ca];
    let words = [&call[..], &relayed].concat();
    let mut alice = peer(server.url(), &words).env("PEER_TURN_PASSWORD", "secret").start();
    alice.await_event("first-video-frame", PATIENCE).await;
    let ended = alice.await_event("ended", PATIENCE).await;
    assert_eq!(ended["reason"], "duration", "{}", alice.said());
    let path = ended["summary"]["selectedCandidatePair"]["local"].to_string();
    assert!(path.contains("relay"), "{path}");
    alice.gone(PATIENCE).await;
}

/// How a call ends that may only be relayed, and by this server alone.
async fn fails(turn: &str, ca: &[&str]) -> Ended {
    let server = Server::start().await;
    let _bob = login(server.url(), "bob", &["--auto-answer"]).await;
    let words = ["call", "bob", "--as", "alice", "--ice-policy", "relay", "--turn-user", "alice"];
    let alice = peer(server.url(), &[&words[..], &["--turn", turn], ca].concat());
    let ended = alice.env("PEER_TURN_PASSWORD", "secret").start().wait(PATIENCE).await;
    assert_eq!(ended.code, Some(6), "{}", ended.said);
    ended
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_not_taken() {
    let _alone = one_at_a_time().await;
    let (relay, other) = (Relay::start().await, Relay::start().await);
    let by_name = relay.turns().replace("127.0.0.1", "localhost");
    let plain = Server::start().await;
    for (turn, ca, wanted) in [
        (relay.turns(), None, "the certificate is not trusted"),
        (relay.turns(), Some(other.certificate()), "not trusted"),
        (by_name, Some(relay.certificate()), "is for 127.0.0.1"),
        (plain.url().replace("ws://", "turns:"), None, "does not use TLS"),
    ] {
        let ca = ca.as_deref().map_or(vec![], |ca| vec!["--ca", ca]);
        let ended = fails(&turn, &ca).await;
        let told = ended.events.iter().find(|event| event["code"] == "turn-unreachable");
        let told =
            told.unwrap_or_else(|| panic!("not told\n{}", ended.said))["message"].to_string();
        assert!(told.contains(wanted) && told.contains(&turn), "{told}");
        assert!(!told.contains("credentials"), "{told}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_as_that() {
    let _alone = one_at_a_time().await;
    let ended = fails("turn:127.0.0.1:1?transport=tcp", &[]).await;
    assert!(ended.said.contains("nobody listens there"), "{}", ended.said);
}

/// One end of a connection, that tells the other its candidates.
struct End {
    connection: Connection,
    events: Receiver<ConnectionEvent>,
    candidates: Vec<Candidate>,
    times_up: usize,
}

impl End {
    async fn open(turn: String, ca: String) -> Self {
        let config = ConnectionConfig {
            ice_servers: vec![IceServer {
                urls: vec![turn],
                username: Some("alice".to_owned()),
                credential: Some("secret".to_owned()),
            }],
            trust: Trust::Only(ca.into()),
            relay_only: true,
            bind: vec![std::net::Ipv4Addr::LOCALHOST.into()],
            send_video: true,
            send_audio: true,
            max_bitrate: 1_000_000,
            min_bitrate: 0,
            wire: None,
            runtime: None,
        };
        let (connection, events) = Connection::open(config).await.expect("a connection");
        Self { connection, events, candidates: vec![], times_up: 0 }
    }

    async fn next(&mut self) {
        match self.events.recv().await.expect("an event") {
            ConnectionEvent::LocalCandidate(Some(candidate)) => self.candidates.push(candidate),
            ConnectionEvent::IceState(state) if state.is_up() => self.times_up += 1,
            ConnectionEvent::NoRelay(servers) => panic!("no relay: {servers:?}"),
            _ => {}
        }
    }
}

/// A round of offer and answer, and candidates until both are up again.
async fn connect(a: &mut End, b: &mut End, restart: bool) {
    let up = (a.times_up, b.times_up);
    let offer = a.connection.create_offer(restart).await.expect("an offer");
    let answer = b.connection.answer(&offer).await.expect("an answer");
    a.connection.take_answer(&answer).await.expect("it fits");
    while a.times_up == up.0 || b.times_up == up.1 {
        for candidate in std::mem::take(&mut a.candidates) {
            let _ = b.connection.add_candidate(&candidate).await;
        }
        for candidate in std::mem::take(&mut b.candidates) {
            let _ = a.connection.add_candidate(&candidate).await;
        }
        tokio::select! { () = a.next() => {}, () = b.next() => {} }
    }
}

#[tokio::test]
async fn streams_outlive_an_ice_restart_and_are_made_anew_when_they_broke() {
    let _alone = one_at_a_time().await;
    let mut relay = Relay::start().await;
    let mut a = End::open(relay.turn_tcp(), relay.certificate()).await;
    let mut b = End::open(relay.turns(), relay.certificate()).await;
    within_patience(connect(&mut a, &mut b, false)).await;
    within_patience(connect(&mut a, &mut b, true)).await;
    relay.restart().await;
    within_patience(connect(&mut a, &mut b, true)).await;
    for end in [a, b] {
        let servers: Vec<_> = end.connection.servers().iter().map(ToString::to_string).collect();
        assert!(servers[0].ends_with(" relays"), "{servers:?}");
        end.connection.close().await;
    }
}

#[tokio::test]
async fn a_user_types_a_name_and_the_server_hands_out_the_relay() {
    let _alone = one_at_a_time().await;
    let relay = Relay::start_with_secret("north").await;
    let words = ["serve", "--json", "--listen", "127.0.0.1:0", "--ice-server", &relay.turn()];
    let server = Server::of(PeerBuilder::new(words).env("PEER_TURN_SECRET", "north")).await;
    let relayed = ["--ice-policy", "relay"];
    let _bob = login(server.url(), "bob", &[&["--auto-answer"], &relayed[..]].concat()).await;
    let words = [&["call", "bob", "--as", "alice", "--duration", "1s"], &relayed[..]].concat();
    let mut alice = peer(server.url(), &words).start();
    let ended = alice.await_event("ended", PATIENCE).await;
    assert_eq!(ended["reason"], "duration", "{}", alice.said());
    let path = ended["summary"]["selectedCandidatePair"]["local"].to_string();
    assert!(path.contains("relay"), "{path}");
    alice.gone(PATIENCE).await;
    let said = server.said();
    assert!(!said.lines().skip(1).any(|line| line.contains("north")), "{said}");
}

#[tokio::test]
async fn credentials_that_ran_out_are_refused_and_both_sides_say_so() {
    let _alone = one_at_a_time().await;
    let (server, relay) = (Server::start().await, Relay::start_with_secret("north").await);
    let _bob = login(server.url(), "bob", &["--auto-answer"]).await;
    let (user, turn) = ("1000000000:alice", relay.turn());
    let mac = Hmac::<Sha1>::new_from_slice(b"north").unwrap().chain_update(user);
    let password = BASE64_STANDARD.encode(mac.finalize().into_bytes());
    let words = ["call", "bob", "--as", "alice", "--ice-policy", "relay"];
    let turn_words = ["--turn", &turn, "--turn-user", user];
    let alice =
        peer(server.url(), &words).args(turn_words).env("PEER_TURN_PASSWORD", &password).start();
    let ended = alice.wait(PATIENCE).await;
    assert_eq!(ended.code, Some(6), "{}", ended.said);
    let refused = ended.events.iter().find(|event| event["code"] == "turn-refused");
    assert!(refused.is_some(), "{}", ended.said);
    let last = ended.said.lines().rev().find(|line| line.contains("peer: the connection"));
    let last = last.unwrap_or_else(|| panic!("no reason\n{}", ended.said));
    assert!(last.contains("refused the credentials"), "{last}");
    until("the relay's own word", || relay.log().contains(user)).await;
}
