//! Calls between two `peer` programs, over a server of their own: what each says, how each end
//! ends, and what survives.

use serde_json::Value;

use crate::support::process::Peer;
use crate::support::server::{Server, THE_END, login, peer};
use crate::support::terminal::Terminal;
use crate::support::{PATIENCE, clip, one_at_a_time};

#[tokio::test]
async fn a_call_tells_its_story_and_sums_it_up() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let mut bob = login(server.url(), "bob", &["--auto-answer", "--size", "320x180"]).await;
    let words = ["call", "bob", "--as", "alice", "--duration", "3s"];
    let clip = clip("camera-360p.mp4");
    let media = ["--video", &clip, "--audio", &clip, "--stats", "stats.jsonl"];
    let mut alice = peer(server.url(), &words).args(media).start();
    for event in ["logged-in", "calling", "accepted", "connecting", "connected"] {
        alice.await_event(event, PATIENCE).await;
    }
    let first = alice.await_event("first-video-frame", PATIENCE).await;
    assert_eq!((&first["width"], &first["height"]), (&320.into(), &180.into()));
    assert_eq!((&first["call"], &first["peer"]), (&1.into(), &"bob".into()));
    let stats = alice.await_event("stats", PATIENCE).await;
    let local = stats["selectedCandidatePair"]["local"].as_str();
    assert!(
        local.is_some_and(|local| local.contains("127.0.0.1") || local.contains(' ')),
        "{stats}"
    );
    let ended = alice.await_event("ended", THE_END).await;
    assert_eq!(ended["reason"], "duration");
    check_summary(&ended["summary"], (320, 180), (640, 360));
    let kept = std::fs::read_to_string(alice.home().join("stats.jsonl")).expect("a stats file");
    let lines: Vec<Value> =
        kept.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(lines.len() >= 2, "{kept}");
    assert_eq!(alice.wait(PATIENCE).await.code, Some(0));

    let ended = bob.await_event("ended", THE_END).await;
    assert_eq!((&ended["reason"], &ended["peer"]), (&"remote-hangup".into(), &"alice".into()));
    check_summary(&ended["summary"], (640, 360), (320, 180));
    bob.type_line("quit");
    assert_eq!(bob.wait(PATIENCE).await.code, Some(0));
}

fn check_summary(summary: &Value, received: (u64, u64), sent: (u64, u64)) {
    let number = |path: &str| summary.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN);
    for step in ["signaling", "ice", "dtls", "firstVideoFrame", "firstAudio"] {
        assert!(number(&format!("/setupMs/{step}")) >= 0.0, "{step}: {summary:#}");
    }
    for (direction, size, frames) in
        [("inbound", received, "framesDecoded"), ("outbound", sent, "framesEncoded")]
    {
        let video = format!("/{direction}/video");
        assert_eq!(number(&format!("{video}/frameWidth")), size.0 as f64, "{summary:#}");
        assert_eq!(number(&format!("{video}/frameHeight")), size.1 as f64, "{summary:#}");
        assert!(number(&format!("{video}/{frames}")) > 30.0, "{summary:#}");
        assert!(number(&format!("{video}/framesPerSecond")) > 10.0, "{summary:#}");
        assert!(number(&format!("{video}/packetsLost")) < 20.0, "{summary:#}");
    }
    assert!(number("/durationMs") > 1_000.0, "{summary:#}");
    assert!(number("/inbound/audio/totalAudioEnergy") > 0.0, "{summary:#}");
    assert!(number("/selectedCandidatePair/currentRoundTripTime") >= 0.0, "{summary:#}");
    assert!(number("/process/cpuSeconds") > 0.0, "{summary:#}");
}

#[tokio::test]
async fn both_call_at_once_and_it_is_one_call() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let mut alice = login(server.url(), "alice", &[]).await;
    let mut bob = login(server.url(), "bob", &[]).await;
    alice.type_line("call bob");
    bob.type_line("call alice");
    for peer in [&mut alice, &mut bob] {
        peer.await_event("connected", PATIENCE).await;
        peer.await_event("first-video-frame", PATIENCE).await;
    }
    alice.type_line("hangup");
    assert_eq!(alice.await_event("ended", PATIENCE).await["reason"], "hangup");
    assert_eq!(bob.await_event("ended", PATIENCE).await["reason"], "remote-hangup");
    for mut peer in [alice, bob] {
        peer.type_line("quit");
        let ended = peer.wait(PATIENCE).await;
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        let connected = ended.said.matches(r#""event":"connected""#).count();
        assert_eq!(connected, 1, "{}", ended.said);
    }
}

#[tokio::test]
async fn ctrl_c_hangs_up_and_is_no_failure() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let (mut alice, mut bob) = in_a_call(&server).await;
    alice.interrupt();
    assert_eq!(alice.await_event("ended", PATIENCE).await["reason"], "interrupted");
    assert_eq!(alice.wait(PATIENCE).await.code, Some(0));
    assert_eq!(bob.await_event("ended", PATIENCE).await["reason"], "remote-hangup");

    let mut alice = peer(server.url(), &["call", "bob", "--as", "alice"]).start();
    alice.await_event("first-video-frame", PATIENCE).await;
    bob.terminate();
    assert_eq!(bob.await_event("ended", PATIENCE).await["reason"], "interrupted");
    assert_eq!(bob.wait(PATIENCE).await.code, Some(0));
    assert_eq!(alice.await_event("ended", PATIENCE).await["reason"], "remote-hangup");
    assert_eq!(alice.wait(PATIENCE).await.code, Some(0));
}

/// `peer call` and the `peer login` that it has called, both of which see each other.
async fn in_a_call(server: &Server) -> (Peer, Peer) {
    let mut bob = login(server.url(), "bob", &["--auto-answer"]).await;
    let mut alice = peer(server.url(), &["call", "bob", "--as", "alice"]).start();
    for side in [&mut alice, &mut bob] {
        side.await_event("first-video-frame", PATIENCE).await;
    }
    (alice, bob)
}

#[tokio::test]
async fn a_crashed_peer_is_noticed() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let (mut alice, bob) = in_a_call(&server).await;
    // The server notices the closed socket and says `leave`, as for any other end.
    bob.kill9();
    assert_eq!(alice.await_event("ended", THE_END).await["reason"], "remote-hangup");
    assert_eq!(alice.wait(PATIENCE).await.code, Some(0));
}

#[tokio::test]
async fn a_crashed_peer_is_noticed_without_a_server_too() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let (mut alice, bob) = in_a_call(&server).await;
    server.stop().await;
    alice.await_event("reconnecting", PATIENCE).await;
    bob.kill9();
    assert_eq!(alice.await_event("ended", THE_END).await["reason"], "connection-failed");
    assert_eq!(alice.wait(PATIENCE).await.code, Some(6));
}

#[tokio::test]
async fn a_call_survives_the_restart_of_its_server() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let mut bob = login(server.url(), "bob", &["--auto-answer"]).await;
    let mut alice = login(server.url(), "alice", &[]).await;
    alice.type_line("call bob");
    alice.await_event("first-video-frame", PATIENCE).await;
    let server = server.restart().await;
    alice.await_event("reconnecting", PATIENCE).await;
    alice.await_event("logged-in", PATIENCE).await;
    bob.await_event("logged-in", PATIENCE).await;
    let before = frames(&alice.next_event("stats", PATIENCE).await);
    let after = frames(&alice.await_event("stats", PATIENCE).await);
    assert!(after > before, "pictures go on: {before}, then {after}\n{}", alice.said());
    alice.type_line("hangup");
    assert_eq!(alice.await_event("ended", PATIENCE).await["reason"], "hangup");
    assert_eq!(bob.await_event("ended", PATIENCE).await["reason"], "remote-hangup");
    alice.type_line("call bob");
    alice.await_event("connected", PATIENCE).await;
    drop(server);
}

fn frames(stats: &Value) -> u64 {
    stats["inbound"]["video"]["framesDecoded"].as_u64().unwrap_or_default()
}

#[tokio::test]
async fn a_file_that_is_played_once_ends_the_call() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let _bob = login(server.url(), "bob", &["--auto-answer"]).await;
    let clip = clip("camera-720p.mp4");
    let words = ["call", "bob", "--as", "alice", "--once", "--audio", "none"];
    let mut alice =
        peer(server.url(), &words).args(["--size", "320x180", "--video", &clip]).start();
    let ended = alice.await_event("ended", THE_END).await;
    assert_eq!(ended["reason"], "media-ended");
    let sent = ended["summary"]["outbound"]["video"]["framesEncoded"].as_u64();
    assert!(sent.is_some_and(|sent| sent > 100), "{ended:#}");
    assert_eq!(alice.wait(PATIENCE).await.code, Some(0));
}

#[tokio::test]
async fn login_is_remembered_for_call() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let _bob = login(server.url(), "bob", &["--auto-answer"]).await;
    // What a robot does is not what its owner wants the next time.
    let mut robot = login(server.url(), "robot", &[]).await;
    robot.type_line("quit");
    robot.gone(PATIENCE).await;
    assert!(!robot.home().join("state/peer/last.json").exists(), "a login without a terminal");
    let terminal = Terminal::new(24, 100);
    let mut alice = terminal.with(peer(server.url(), &["login", "alice"])).start();
    alice.await_event("logged-in", PATIENCE).await;
    terminal.until("the prompt", |text| text.contains("no call]")).await;
    terminal.press("quit\r");
    alice.gone(PATIENCE).await;
    // Neither --server nor --as: both are known from the login.
    let mut builder = crate::support::process::PeerBuilder::new(["call", "bob", "--json"]);
    builder = builder.args(["--stun", "none", "--duration", "1s"]).in_home(alice.home());
    let mut call = builder.start();
    assert_eq!(call.await_event("logged-in", PATIENCE).await["name"], "alice");
    assert_eq!(call.await_event("ended", THE_END).await["reason"], "duration");
    let both = format!("on {} as 'alice' (both from your last login)", server.url());
    assert!(call.said().contains(&both), "{}", call.said());

    // When it is gone, it is said whose choice it was, and how to go back.
    server.stop().await;
    let again = crate::support::process::PeerBuilder::new(["call", "bob", "--video", "test"]);
    let ended = again.args(["--audio", "tone"]).in_home(alice.home()).run().await;
    assert_eq!(ended.code, Some(3), "{}", ended.said);
    for words in [", the server of your last login: ", "--server", "ws://localhost:9090"] {
        assert!(ended.said.contains(words), "{words}\n{}", ended.said);
    }
}
