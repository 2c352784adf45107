//! The window on a real display: what is seen in it, what its keys do, and what happens without one.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::recordings::probe;
use crate::support::camera::{are_quarters, draw_quarters, quarters_of};
use crate::support::display::Display;
use crate::support::process::Peer;
use crate::support::server::{Server, login, peer};
use crate::support::terminal::Terminal;
use crate::support::{PATIENCE, hears, one_at_a_time, sees_more};

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
    // A key that was down before the window had the focus is not meant for it.
    display.hold('q');
    display.press('m');
    hears(&mut bob, "silence", |level| level < 0.001).await;
    display.release('q');
    display.press('m');
    hears(&mut bob, "sound again", |level| level > 0.01).await;

    display.press('v');
    until(&mut alice, "ours, dark", || is_black(display.colour(OWN))).await;
    display.press('v');
    until(&mut alice, "ours again", || !is_black(display.colour(OWN))).await;

    let panel = |at| display.colour(at) == (0x10, 0x14, 0x18);
    display.press('d');
    until(&mut alice, "numbers on a dark panel", || panel((24, 24))).await;
    display.press('d');
    until(&mut alice, "their picture alone", || seen() && !panel((24, 24))).await;

    display.press('?');
    until(&mut alice, "the keys on the same panel", || panel((24, 24))).await;
    display.press('?');
    until(&mut alice, "their picture alone again", || seen() && !panel((24, 24))).await;
    // Whether it fills the screen is up to a window manager, which is asked.
    let asked = display.wishes();
    display.press('f');
    until(&mut alice, "the wish for the whole screen", || asked.full_screen()).await;

    let home = alice.home().to_owned();
    display.press('s');
    until(&mut alice, "a snapshot", || snapshot(&home).is_some()).await;
    display.press('h');
    assert_eq!(alice.await_event("ended", PATIENCE).await["reason"], "hangup");
    alice.gone(PATIENCE).await;
    let saved = snapshot(alice.home()).expect("a snapshot");
    assert!(are_quarters(quarters_of(&saved)), "{}", saved.display());
    assert!(is_black(display.colour(QUARTERS[0])), "the window is gone");
}

/// The dot in the upper right corner of a window of the usual size.
const DOT: (i16, i16) = (940, 20);

fn is_red(colour: (u8, u8, u8)) -> bool {
    colour.0 > 180 && colour.1 < 80 && colour.2 < 80
}

#[tokio::test]
async fn a_key_records_and_stops_in_the_middle_of_a_call() {
    let _alone = one_at_a_time().await;
    let (server, display) = (Server::start().await, Display::start());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let film = film(folder.path());
    let theirs = ["--auto-answer", "--video", film.to_str().expect("a plain path")];
    let _bob = login(server.url(), "bob", &theirs).await;
    for (named, files) in [(None, None), (Some("call.mkv"), Some(["call.mkv", "call-2.mkv"]))] {
        let words = ["call", "bob", "--as", "alice", "--view", "window"];
        let record = named.map(|name| ["--record", name]);
        let alice = display.with(peer(server.url(), &words)).args(record.into_iter().flatten());
        let mut alice = alice.start();
        if named.is_some() {
            // This one began with the call.
            alice.await_event("recording-started", PATIENCE).await;
        }
        alice.await_event("first-video-frame", PATIENCE).await;
        until(&mut alice, "the dot", || is_red(display.colour(DOT)) == named.is_some()).await;
        let mut recorded = Vec::new();
        if named.is_some() {
            sees_more(&mut alice, 30).await;
            display.press('r');
            recorded.push(alice.await_event("recording-stopped", PATIENCE).await);
            until(&mut alice, "no dot", || !is_red(display.colour(DOT))).await;
        }
        let asked = |stats: &Value| stats["inbound"]["video"]["pliCount"].as_u64().expect("PLIs");
        let before = asked(&alice.next_event("stats", PATIENCE).await);
        display.press('r');
        let started = alice.await_event("recording-started", PATIENCE).await;
        until(&mut alice, "the dot", || is_red(display.colour(DOT))).await;
        sees_more(&mut alice, 30).await;
        let after = asked(&alice.next_event("stats", PATIENCE).await);
        assert!(after > before, "a keyframe was asked for: {}", alice.said());
        // The end of the call is that of the recording too.
        display.press('q');
        recorded.push(alice.await_event("recording-stopped", PATIENCE).await);
        assert_eq!(recorded.last().expect("it was pushed")["path"], started["path"]);
        assert_eq!(alice.await_event("ended", PATIENCE).await["reason"], "hangup");
        alice.gone(PATIENCE).await;
        for (at, event) in recorded.iter().enumerate() {
            let path = Path::new(event["path"].as_str().expect("a path"));
            assert_eq!(path.parent(), Some(alice.home()), "in the current folder");
            let name = path.file_name().and_then(|name| name.to_str()).expect("a plain name");
            match files {
                Some(names) => assert_eq!(name, names[at]),
                None => assert!(name.starts_with("peer-2") && name.ends_with(".mkv"), "{name}"),
            }
            let probed = probe(path);
            assert!(probed.frames >= 20 && probed.size == (640, 360), "{name}: {probed:?}");
            let apart = (probed.video_seconds - probed.audio_seconds).abs();
            assert!(apart < 0.2, "{name}: {probed:?}");
        }
    }
}

pub(crate) fn snapshot(folder: &Path) -> Option<PathBuf> {
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
    for (view, display, is_said) in [
        ("window", "", true),
        ("window", ":4711", true),
        ("auto", ":4711", false),
        ("auto", "", false),
    ] {
        let words = ["call", "bob", "--as", "alice", "--duration", "1s", "--view", view];
        let ended = peer(server.url(), &words).env("DISPLAY", display).run().await;
        assert_eq!(ended.code, Some(0), "{view} {display}: {}", ended.said);
        assert_eq!(
            ended.said.contains("nothing is shown"),
            is_said,
            "{view} {display}: {}",
            ended.said
        );
        let why = match (view, display) {
            ("auto", "") => "no display: no pictures are shown; --view terminal",
            ("auto", _) => {
                "the display ':4711' does not answer: no pictures are shown; --view terminal"
            }
            (_, "") => "window: there is no display; use --view terminal",
            _ => "window: the display ':4711' does not answer; use --view terminal",
        };
        assert!(ended.said.contains(why), "{view} {display}: {why}\n{}", ended.said);
    }
}

#[tokio::test]
async fn a_large_terminal_takes_the_place_of_a_display_that_died() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let _bob = login(server.url(), "bob", &["--auto-answer"]).await;
    let words = ["call", "bob", "--as", "alice", "--view", "auto"];
    let dead = || {
        let mut display = Display::start();
        display.kill();
        display
    };
    let display = dead();
    let terminal = Terminal::new(24, 80);
    let mut alice = display.with(terminal.with(peer(server.url(), &words))).start();
    terminal.until("a picture", |text| text.contains('\u{2580}')).await;
    terminal.press("q");
    assert_eq!(alice.await_event("ended", PATIENCE).await["reason"], "hangup");
    alice.gone(PATIENCE).await;
    let said = |text: &str| {
        let text = text.replace('\n', "");
        text.contains("does not answer: pictures are drawn in this terminal")
    };
    terminal.until("why it is drawn there", said).await;
}
