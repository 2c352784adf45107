//! The window on a real display: what is seen in it, what its keys do, and what happens without one.

use std::path::{Path, PathBuf};

use crate::support::camera::{are_quarters, draw_quarters, quarters_of};
use crate::support::display::Display;
use crate::support::process::Peer;
use crate::support::server::{Server, login, peer};
use crate::support::{PATIENCE, hears, one_at_a_time};

/// The middle of the four quarters of their picture, out of the way of ours, in a window at the
/// upper left of the screen.
const QUARTERS: [(i16, i16); 4] = [(240, 135), (720, 135), (240, 405), (600, 320)];
/// In ours.
const OWN: (i16, i16) = (740, 420);

fn film(folder: &Path) -> PathBuf {
    let film = folder.join("quarters.mp4");
    draw_quarters((640, 360), 30, &["-c:v", "libx264", "-pix_fmt", "yuv420p"], &film);
    film
}

/// Waits until the screen is as it should be; looks once for each snapshot of the call.
async fn until(peer: &mut Peer, what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..PATIENCE.as_secs() {
        if is_so() {
            return;
        }
        peer.next_event("stats", PATIENCE).await;
    }
    panic!("{what}: not seen\n{}", peer.said());
}

fn is_black(colour: (u8, u8, u8)) -> bool {
    colour.0.max(colour.1).max(colour.2) < 10
}

#[tokio::test]
async fn their_picture_ours_and_the_keys() {
    let _alone = one_at_a_time().await;
    let (server, display) = (Server::start().await, Display::start());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let film = film(folder.path());
    let theirs = ["--auto-answer", "--video", film.to_str().expect("a plain path")];
    let mut bob = login(server.url(), "bob", &theirs).await;
    let words = ["call", "bob", "--as", "alice", "--view", "window"];
    let mut alice = display.with(peer(server.url(), &words)).start();
    alice.await_event("first-video-frame", PATIENCE).await;
    let seen = || are_quarters(QUARTERS.map(|at| display.colour(at)));
    until(&mut alice, "their picture", seen).await;
    until(&mut alice, "ours", || !is_black(display.colour(OWN))).await;

    bob.await_event("first-audio", PATIENCE).await;
    hears(&mut bob, "sound", |level| level > 0.01).await;
    display.press('m');
    hears(&mut bob, "silence", |level| level < 0.001).await;
    display.press('m');
    hears(&mut bob, "sound again", |level| level > 0.01).await;

    display.press('v');
    until(&mut alice, "ours, dark", || is_black(display.colour(OWN))).await;
    display.press('v');
    until(&mut alice, "ours again", || !is_black(display.colour(OWN))).await;

    let home = alice.home().to_owned();
    display.press('s');
    until(&mut alice, "a snapshot", || snapshot(&home).is_some()).await;
    display.press('q');
    assert_eq!(alice.await_event("ended", PATIENCE).await["reason"], "hangup");
    alice.gone(PATIENCE).await;
    let saved = snapshot(alice.home()).expect("a snapshot");
    assert!(are_quarters(quarters_of(&saved)), "{}", saved.display());
    assert!(is_black(display.colour(QUARTERS[0])), "the window is gone");
}

fn snapshot(folder: &Path) -> Option<PathBuf> {
    let files = std::fs::read_dir(folder).expect("a folder");
    let mut paths = files.map(|file| file.expect("a file").path());
    paths.find(|path| path.extension().is_some_and(|extension| extension == "png"))
}

#[tokio::test]
async fn a_login_opens_a_window_for_each_call() {
    let _alone = one_at_a_time().await;
    let (server, display) = (Server::start().await, Display::start());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let film = film(folder.path());
    let words = ["login", "alice", "--view", "auto", "--auto-answer"];
    let mut alice = display.with(peer(server.url(), &words)).with_input().start();
    alice.await_event("logged-in", PATIENCE).await;
    for _ in 0..2 {
        assert!(is_black(display.colour(QUARTERS[0])), "no call, no window");
        let words = ["call", "alice", "--as", "bob"];
        let mut bob = peer(server.url(), &words).arg("--video").arg(&film).start();
        bob.await_event("connected", PATIENCE).await;
        let seen = || are_quarters(QUARTERS.map(|at| display.colour(at)));
        until(&mut alice, "their picture", seen).await;
        bob.interrupt();
        bob.await_event("ended", PATIENCE).await;
        alice.await_event("ended", PATIENCE).await;
        let gone = async {
            while !is_black(display.colour(QUARTERS[0])) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, gone).await.expect("the window closes with its call");
    }
    alice.type_line("quit");
    assert_eq!(alice.wait(PATIENCE).await.code, Some(0));
}

#[tokio::test]
async fn without_a_display_a_call_goes_on_unseen() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let _bob = login(server.url(), "bob", &["--auto-answer"]).await;
    for (view, display, is_said) in
        [("window", "", true), ("auto", ":4711", true), ("auto", "", false)]
    {
        let words = ["call", "bob", "--as", "alice", "--duration", "1s", "--view", view];
        let ended = peer(server.url(), &words).env("DISPLAY", display).run().await;
        assert_eq!(ended.code, Some(0), "{view} {display}: {}", ended.said);
        assert_eq!(
            ended.said.contains("nothing is shown"),
            is_said,
            "{view} {display}: {}",
            ended.said
        );
    }
}
