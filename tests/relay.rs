//! A call through a real TURN server and nothing else.

use crate::support::relay::Relay;
use crate::support::server::{Server, peer};
use crate::support::{PATIENCE, one_at_a_time};

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
