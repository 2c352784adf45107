//! Calls through a real TURN server and nothing else, with passwords of the user's and of the
//! signaling server's.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, Mac};
use sha1::Sha1;

use crate::support::process::PeerBuilder;
use crate::support::relay::Relay;
use crate::support::server::{Server, login, peer};
use crate::support::{PATIENCE, one_at_a_time, until};

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
