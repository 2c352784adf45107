//! The screen as a source: it is seen on the other side, and a display that goes ends no call.

use crate::support::camera::{are_quarters, quarters_of};
use crate::support::desktop::{self, Desktop};
use crate::support::display::Display;
use crate::support::server::{Server, login, peer};
use crate::support::{PATIENCE, one_at_a_time, sees_more};

#[tokio::test]
async fn a_screen_is_seen_goes_away_and_comes_back() {
    let _alone = one_at_a_time().await;
    let (server, mut display) = (Server::start().await, Display::start());
    display.paint_quarters();
    let mut bob = login(server.url(), "bob", &["--auto-answer", "--record", "seen.mkv"]).await;
    let words = ["call", "bob", "--as", "alice", "--video", "screen", "--size", "640x400"];
    let mut alice = display.with(peer(server.url(), &words)).start();
    let first = bob.await_event("first-video-frame", PATIENCE).await;
    assert_eq!((&first["width"], &first["height"]), (&640.into(), &400.into()));
    sees_more(&mut bob, 5).await;
    display.kill();
    assert_eq!(alice.await_event("error", PATIENCE).await["code"], "device-lost");
    // A card comes in its place.
    sees_more(&mut bob, 3).await;
    let display = display.restart();
    display.paint_quarters();
    assert_eq!(alice.await_event("error", PATIENCE).await["code"], "device-back");
    sees_more(&mut bob, 10).await;
    alice.interrupt();
    assert_eq!(alice.await_event("ended", PATIENCE).await["reason"], "interrupted");
    bob.await_event("ended", PATIENCE).await;
    let found = quarters_of(&bob.home().join("seen.mkv"));
    assert!(are_quarters(found), "the screen again: {found:?}");
}

#[tokio::test]
async fn a_wayland_screen_is_seen_through_its_portal_until_it_is_taken_back() {
    if let Some(program) = desktop::missing() {
        return println!("skipped: no screen of a Wayland session, {program} is not installed");
    }
    let _alone = one_at_a_time().await;
    let (server, desktop) = (Server::start().await, Desktop::start().await);
    let mut bob = login(server.url(), "bob", &["--auto-answer", "--record", "seen.mkv"]).await;
    let words = ["call", "bob", "--as", "alice", "--video", "screen"];
    let mut alice = desktop.with_peer(peer(server.url(), &words)).start();
    let first = bob.await_event("first-video-frame", PATIENCE).await;
    assert_eq!((&first["width"], &first["height"]), (&1280.into(), &800.into()));
    sees_more(&mut bob, 30).await;
    // Tried before the login, opened for the call, asked for once.
    assert_eq!(desktop.asked(), 1);
    bob.type_line("norecord");
    bob.await_event("recording-stopped", PATIENCE).await;
    let found = quarters_of(&bob.home().join("seen.mkv"));
    assert!(are_quarters(found), "{found:?}");
    desktop.take_back().await;
    assert_eq!(alice.await_event("error", PATIENCE).await["code"], "device-lost");
    // A card comes in its place, and nobody is asked again.
    sees_more(&mut bob, 3).await;
    assert_eq!(desktop.asked(), 1);
    alice.interrupt();
    assert_eq!(alice.await_event("ended", PATIENCE).await["reason"], "interrupted");
}

#[tokio::test]
async fn a_person_may_decline_to_show_a_wayland_screen() {
    if let Some(program) = desktop::missing() {
        return println!("skipped: no portal of a Wayland session, {program} is not installed");
    }
    let _alone = one_at_a_time().await;
    let (server, desktop) = (Server::start().await, Desktop::that_refuses().await);
    let words = ["call", "bob", "--as", "alice", "--video", "screen"];
    let ended = desktop.with_peer(peer(server.url(), &words)).run().await;
    assert_eq!(ended.code, Some(5), "{}", ended.said);
    assert!(ended.said.contains("choose a screen when you are asked"), "{}", ended.said);
}

#[tokio::test]
async fn a_screen_that_cannot_be_seen_says_why() {
    // The other test comes back to the number of its display.
    let _alone = one_at_a_time().await;
    let (server, display) = (Server::start().await, Display::start());
    for (number, name, wayland, says) in [
        ("screen:3", display.name(), "", "use --video screen"),
        ("screen", "", "", "there is no display (DISPLAY is not set)"),
        ("screen", ":4711", "", "there is no display: nothing answers at ':4711'"),
        ("screen", "none at all", "", "DISPLAY is 'none at all', which names none"),
        ("screen", "", "wayland-0", "Wayland"),
        // Its own X11 server would show black.
        ("screen", display.name(), "wayland-0", "Wayland"),
    ] {
        let words = ["call", "bob", "--as", "alice", "--video", number];
        let alone = peer(server.url(), &words).env("DISPLAY", name).env("WAYLAND_DISPLAY", wayland);
        let ended = alone.run().await;
        assert_eq!(ended.code, Some(5), "{number}: {}", ended.said);
        assert!(ended.said.contains(says), "{number}: {}", ended.said);
        for word in ["panicked", "os error", "Connect", "parse"] {
            assert!(!ended.said.contains(word), "{number}, {word}: {}", ended.said);
        }
    }
}
