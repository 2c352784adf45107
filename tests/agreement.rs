//! What both sides have agreed on decides what is sent and what is taken, however their descriptions
//! say it.

use serde_json::Value;

use crate::support::lying_server::LyingServer;
use crate::support::process::Peer;
use crate::support::server::{login, peer};
use crate::support::{PATIENCE, one_at_a_time, sees_more};

const MEDIA: [&str; 6] = ["--bind", "127.0.0.1", "--stun", "none", "--size", "320x180"];

/// Changes the descriptions of this type on their way.
fn change(message: &mut Value, kind: &str, with: impl Fn(&str) -> String) {
    if let Some(sdp) = message[kind]["sdp"].as_str().map(with) {
        message[kind]["sdp"] = sdp.into();
    }
}

/// The description without the lines that begin so.
fn without(sdp: &str, begins: &[&str]) -> String {
    let stays = |line: &&str| !begins.iter().any(|begin| line.starts_with(begin));
    sdp.split_inclusive('\n').filter(stays).collect()
}

/// Alice calls bob, who answers by himself.
async fn call(server: &LyingServer) -> (Peer, Peer) {
    let mut bob = login(server.url(), "bob", &[&["--auto-answer"][..], &MEDIA].concat()).await;
    let words = [&["call", "bob", "--as", "alice"][..], &MEDIA].concat();
    let mut alice = peer(server.url(), &words).start();
    alice.await_event("connected", PATIENCE).await;
    bob.await_event("connected", PATIENCE).await;
    (alice, bob)
}

async fn hang_up(alice: Peer, mut bob: Peer) {
    alice.interrupt();
    assert_eq!(alice.wait(PATIENCE).await.code, Some(0));
    bob.await_event("ended", PATIENCE).await;
}

/// What a direction has of pictures and sound after some seconds: packets, by kind.
async fn packets(peer: &mut Peer, direction: &str, name: &str) -> (u64, u64) {
    let mut last = Value::Null;
    for _ in 0..3 {
        last = peer.next_event("stats", PATIENCE).await;
    }
    let of = |kind: &str| last[direction][kind][name].as_u64().unwrap_or(0);
    (of("video"), of("audio"))
}

#[tokio::test]
async fn media_flow_whether_or_not_their_streams_are_announced() {
    let _alone = one_at_a_time().await;
    let server = LyingServer::start().await;
    let hidden: [&[&str]; 3] =
        [&["a=ssrc"], &["a=msid", "a=msid-semantic"], &["a=ssrc", "a=msid", "a=msid-semantic"]];
    for lines in hidden {
        server.lie(move |_, _, message| {
            change(message, "offer", |sdp| without(sdp, lines));
            change(message, "answer", |sdp| without(sdp, lines));
        });
        let (mut alice, mut bob) = call(&server).await;
        sees_more(&mut alice, 20).await;
        sees_more(&mut bob, 20).await;
        let (_, sound) = packets(&mut bob, "inbound", "packetsReceived").await;
        assert!(sound > 50, "{lines:?} {sound}");
        hang_up(alice, bob).await;
    }
}

#[tokio::test]
async fn nothing_goes_to_who_takes_nothing() {
    let _alone = one_at_a_time().await;
    let server = LyingServer::start().await;
    for (direction, theirs_flow) in [("sendonly", true), ("inactive", false)] {
        server.lie(move |_, _, message| {
            change(message, "offer", |sdp| sdp.replace("a=sendrecv", &format!("a={direction}")));
        });
        let (alice, mut bob) = call(&server).await;
        assert_eq!(packets(&mut bob, "outbound", "packetsSent").await, (0, 0), "{direction}");
        let (pictures, sound) = packets(&mut bob, "inbound", "packetsReceived").await;
        assert_eq!((pictures > 0, sound > 0), (theirs_flow, theirs_flow), "{direction}");
        hang_up(alice, bob).await;
    }
}

#[tokio::test]
async fn a_section_that_an_answer_rejects_is_not_sent() {
    let _alone = one_at_a_time().await;
    let server = LyingServer::start().await;
    server.lie(|_, _, message| {
        change(message, "answer", |sdp| sdp.replace("m=video 9", "m=video 0"));
    });
    let (mut alice, bob) = call(&server).await;
    let (pictures, sound) = packets(&mut alice, "outbound", "packetsSent").await;
    assert_eq!((pictures, sound > 50), (0, true));
    hang_up(alice, bob).await;
}
