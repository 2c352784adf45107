//! A camera through the system's own interface: it is seen on the other side, goes and comes back,
//! and says what is wrong with it.

use crate::support::camera::{Camera, are_quarters, quarters_of};
use crate::support::process::Peer;
use crate::support::server::{Server, peer};
use crate::support::{PATIENCE, one_at_a_time, sees_more};

/// A login that records what it is sent.
async fn recording_bob(server: &Server) -> Peer {
    let words = ["login", "bob", "--auto-answer", "--record", "seen.mkv"];
    let mut bob = peer(server.url(), &words).with_input().start();
    bob.await_event("logged-in", PATIENCE).await;
    bob
}

#[tokio::test]
async fn every_form_of_picture_is_seen_on_the_other_side() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    for form in ["YUYV", "NV12", "MJPG"] {
        let camera = Camera::new(form);
        let mut bob = recording_bob(&server).await;
        let words = ["call", "bob", "--as", "alice", "--video", "camera:test camera"];
        let mut alice = camera.with(peer(server.url(), &words)).start();
        let first = bob.await_event("first-video-frame", PATIENCE).await;
        assert_eq!((&first["width"], &first["height"]), (&640.into(), &480.into()), "{form}");
        sees_more(&mut bob, 5).await;
        alice.interrupt();
        assert_eq!(alice.await_event("ended", PATIENCE).await["reason"], "interrupted");
        bob.await_event("ended", PATIENCE).await;
        let found = quarters_of(&bob.home().join("seen.mkv"));
        assert!(are_quarters(found), "{form}: {found:?}");
        bob.quit().await;
    }
}

#[tokio::test]
async fn a_camera_that_is_pulled_out_ends_no_call_and_comes_back() {
    let _alone = one_at_a_time().await;
    let (server, camera) = (Server::start().await, Camera::new("YUYV"));
    let mut bob = recording_bob(&server).await;
    let words = ["call", "bob", "--as", "alice", "--video", "camera"];
    let mut alice = camera.with(peer(server.url(), &words)).start();
    bob.await_event("first-video-frame", PATIENCE).await;
    camera.is("gone");
    assert_eq!(alice.await_event("error", PATIENCE).await["code"], "device-lost");
    // A card comes in its place.
    sees_more(&mut bob, 3).await;
    camera.is("there");
    assert_eq!(alice.await_event("error", PATIENCE).await["code"], "device-back");
    sees_more(&mut bob, 10).await;
    alice.interrupt();
    assert_eq!(alice.await_event("ended", PATIENCE).await["reason"], "interrupted");
    bob.await_event("ended", PATIENCE).await;
    let found = quarters_of(&bob.home().join("seen.mkv"));
    assert!(are_quarters(found), "the camera again, not the card: {found:?}");
}

#[tokio::test]
async fn a_camera_that_cannot_be_used_says_why() {
    let (server, camera) = (Server::start().await, Camera::new("YUYV"));
    for (state, name, says) in [
        ("busy", "camera", "another program holds it"),
        ("denied", "camera", "usermod -aG video"),
        ("gone", "camera", "there is none"),
        ("there", "camera:hall", "camera:0 (Test Camera)"),
        ("there", "camera:/dev/video7", "camera:0 (Test Camera)"),
    ] {
        camera.is(state);
        let words = ["call", "bob", "--as", "alice", "--video", name];
        let ended = camera.with(peer(server.url(), &words)).run().await;
        assert_eq!(ended.code, Some(5), "{state}: {}", ended.said);
        assert!(ended.said.contains(says), "{state}: {}", ended.said);
        assert!(!ended.said.contains("panicked"), "{state}: {}", ended.said);
    }
}

#[tokio::test]
async fn without_a_word_a_camera_is_used_if_there_is_one() {
    let _alone = one_at_a_time().await;
    let (server, camera) = (Server::start().await, Camera::new("NV12"));
    for (state, seen) in [("there", true), ("gone", false)] {
        camera.is(state);
        let mut bob = recording_bob(&server).await;
        let words = ["call", "bob", "--as", "alice", "--video", "auto"];
        let mut alice = camera.with(peer(server.url(), &words)).start();
        if seen {
            bob.await_event("first-video-frame", PATIENCE).await;
        } else {
            let error = alice.await_event("error", PATIENCE).await;
            assert_eq!(error["code"], "device-missing", "{error}");
            bob.await_event("first-audio", PATIENCE).await;
        }
        alice.interrupt();
        assert_eq!(alice.wait(PATIENCE).await.code, Some(0));
        bob.quit().await;
    }
}
