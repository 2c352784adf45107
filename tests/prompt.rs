//! `peer login` fed line by line, as a script or a person does.

use crate::support::server::{Server, login, peer};
use crate::support::{PATIENCE, one_at_a_time};

#[tokio::test]
async fn a_script_calls_answers_mutes_and_hangs_up() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let mut bob = login(server.url(), "bob", &[]).await;
    let mut alice = login(server.url(), "alice", &[]).await;
    alice.type_line("call bob");
    assert_eq!(bob.await_event("incoming", PATIENCE).await["peer"], "alice");
    bob.type_line("answer");
    alice.await_event("first-audio", PATIENCE).await;
    bob.await_event("first-audio", PATIENCE).await;

    bob.type_line("mute");
    let mut last = energy(&alice.next_event("stats", PATIENCE).await);
    loop {
        let now = energy(&alice.await_event("stats", PATIENCE).await);
        if now - last < 1e-4 {
            break; // A second of silence: the tone has 0.03 and more.
        }
        last = now;
    }
    bob.type_line("unmute");
    while energy(&alice.await_event("stats", PATIENCE).await) - last < 1e-3 {}

    bob.type_line("hangup");
    assert_eq!(bob.await_event("ended", PATIENCE).await["reason"], "hangup");
    assert_eq!(alice.await_event("ended", PATIENCE).await["reason"], "remote-hangup");
}

fn energy(stats: &serde_json::Value) -> f64 {
    stats["inbound"]["audio"]["totalAudioEnergy"].as_f64().unwrap_or(f64::NAN)
}

#[tokio::test]
async fn nonsense_is_answered_and_harms_nothing() {
    let server = Server::start().await;
    let mut alice = login(server.url(), "alice", &[]).await;
    for (line, code) in [
        ("dance", "bad-command"),
        ("call", "bad-command"),
        ("call alice", "bad-name"),
        ("answer", "no-call"),
        ("reject", "no-call"),
        ("hangup", "no-call"),
        ("mute", "no-call"),
    ] {
        alice.type_line(line);
        let error = alice.await_event("error", PATIENCE).await;
        assert_eq!(error["code"], code, "{line}: {error}");
    }
    alice.type_line("status");
    alice.type_line("");
    alice.type_line("quit");
    assert_eq!(alice.wait(PATIENCE).await.code, Some(0));
}

#[tokio::test]
async fn without_anybody_to_ask_calls_are_refused() {
    let server = Server::start().await;
    let mut bob = peer(server.url(), &["login", "bob"]).start();
    bob.await_event("logged-in", PATIENCE).await;
    let ended = peer(server.url(), &["call", "bob", "--as", "alice"]).run().await;
    assert_eq!(ended.code, Some(4), "{}", ended.said);
    assert_eq!(ended.events.last().expect("events")["reason"], "rejected");
    assert!(bob.said().contains("--auto-answer"), "says what to do: {}", bob.said());
}
