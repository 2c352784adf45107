//! `peer` against the tutorial's server: it greets in plain text, forwards without names, is silent
//! about unknown users, says `leave` twice, and dies of a `leave` to nobody.

use crate::support::bare_page::BarePage;
use crate::support::server::{THE_END, login, peer, tutorial};
use crate::support::{PATIENCE, one_at_a_time};

#[tokio::test]
async fn two_peers_call_and_hang_up_and_call_again() {
    let _alone = one_at_a_time().await;
    let server = tutorial().await;
    let mut bob = login(&server, "bob", &["--auto-answer"]).await;
    let mut alice = login(&server, "alice", &[]).await;
    for _ in 0..2 {
        alice.type_line("call bob");
        for peer in [&mut alice, &mut bob] {
            peer.await_event("connected", PATIENCE).await;
            peer.await_event("first-video-frame", PATIENCE).await;
        }
        alice.type_line("hangup");
        assert_eq!(alice.await_event("ended", PATIENCE).await["reason"], "hangup");
        assert_eq!(bob.await_event("ended", PATIENCE).await["reason"], "remote-hangup");
    }
}

#[tokio::test]
async fn an_unknown_user_is_waited_for_and_the_server_lives() {
    let server = tutorial().await;
    let words = ["call", "nobody", "--as", "alice", "--timeout", "500ms"];
    let ended = peer(&server, &words).run().await;
    assert_eq!(ended.code, Some(4), "{}", ended.said);
    assert_eq!(ended.events.last().expect("events")["reason"], "no-answer");
    let mut again = login(&server, "alice", &[]).await;
    again.type_line("quit");
    assert_eq!(again.wait(PATIENCE).await.code, Some(0));
}

#[tokio::test]
async fn a_taken_name_is_known_there_too() {
    let server = tutorial().await;
    let _alice = login(&server, "alice", &[]).await;
    let ended = peer(&server, &["login", "alice"]).run().await;
    assert_eq!(ended.code, Some(3), "{}", ended.said);
}

#[tokio::test]
async fn both_call_at_once() {
    let _alone = one_at_a_time().await;
    let server = tutorial().await;
    let mut alice = login(&server, "alice", &[]).await;
    let mut bob = login(&server, "bob", &[]).await;
    alice.type_line("call bob");
    bob.type_line("call alice");
    for peer in [&mut alice, &mut bob] {
        peer.await_event("first-video-frame", PATIENCE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tutorials_page_and_server_and_peer() {
    let _alone = one_at_a_time().await;
    let server = tutorial().await;
    let page = BarePage::log_in(&server, "page").await;
    let words = ["call", "page", "--as", "alice", "--duration", "3s"];
    let mut alice = peer(&server, &words).start();
    alice.await_event("first-video-frame", PATIENCE).await;
    page.browser.wait_for_call("pictures", |call| call.inbound_video.frames_decoded > 20).await;
    assert_eq!(alice.await_event("ended", THE_END).await["reason"], "duration");
    page.wait_for_status("left").await;
}
