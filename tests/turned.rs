//! A phone that is held upright films lying pictures and says how they are to be turned (CVO, 3GPP TS
//! 26.114 section 7.4.5; RFC 7742 section 4). A real Chromium sends such pictures here: they stand
//! upright in window, terminal, snapshot and recording, and when the phone is turned in a call.

use serde_json::json;

use crate::support::camera::{QUARTERS, are_quarters, quarters_of};
use crate::support::chromium::Browser;
use crate::support::display::Display;
use crate::support::page::Page;
use crate::support::process::Peer;
use crate::support::server::{Server, peer};
use crate::support::terminal::Terminal;
use crate::support::{PATIENCE, one_at_a_time};

/// A camera whose pictures lie: `held` says how many degrees clockwise they are to be turned, and in
/// which order their quarters are painted.
const FILM_LYING: &str = "
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [640, 360];
    const context = canvas.getContext('2d');
    const media = navigator.mediaDevices;
    const real = media.getUserMedia.bind(media);
    media.getUserMedia = async (wanted) => {
      const stream = await real(wanted);
      if (!wanted.video) return stream;
      const film = new MediaStreamTrackGenerator({ kind: 'video' });
      const writer = film.writable.getWriter();
      let timestamp = 0;
      setInterval(() => {
        held.colours.forEach(([r, g, b], at) => {
          context.fillStyle = `rgb(${r} ${g} ${b})`;
          context.fillRect(at % 2 * 320, Math.floor(at / 2) * 180, 320, 180);
        });
        timestamp += 33333;
        writer.write(new VideoFrame(canvas, { timestamp, rotation: held.turn })).catch(() => {});
      }, 33);
      return new MediaStream([...stream.getAudioTracks(), film]);
    };
    return true";

/// How to paint the quarters so that turning by this much sets them right.
fn held(turn: u32) -> String {
    let order = match turn {
        90 => [1, 3, 0, 2],
        180 => [3, 2, 1, 0],
        270 => [2, 0, 3, 1],
        _ => [0, 1, 2, 3],
    };
    let colours = order.map(|at: usize| json!([QUARTERS[at].0, QUARTERS[at].1, QUARTERS[at].2]));
    format!("window.held = {}", json!({ "turn": turn, "colours": colours }))
}

async fn turn(page: &Page, by: u32) {
    page.browser.evaluate(&held(by)).await;
}

/// A page that films so, logged in.
async fn filming(server: &Server, by: u32) -> Page {
    let page = Page::open(Browser::start().await, server.page()).await;
    turn(&page, by).await;
    page.browser.evaluate(FILM_LYING).await;
    page.ask_for("page").await;
    page.wait_for_status("Online as 'page'").await;
    page
}

/// Looks once a second, when numbers come.
async fn until_upright(peer: &mut Peer, what: &str, look: impl Fn() -> Vec<(u8, u8, u8)>) {
    let mut found = Vec::new();
    for _ in 0..20 {
        peer.next_event("stats", PATIENCE).await;
        found = look();
        if <[_; 4]>::try_from(found.clone()).is_ok_and(are_quarters) {
            return;
        }
    }
    panic!("{what}: meant {QUARTERS:?}\nfound {found:?}");
}

/// The middles of the quarters in a window of 960x540, away from our own small picture.
fn in_window(turn: u32) -> [(i16, i16); 4] {
    match turn {
        90 | 270 => [(404, 135), (556, 135), (404, 405), (556, 405)],
        _ => [(240, 135), (720, 135), (240, 405), (600, 320)],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turned_chromium_stands_upright_in_window_snapshot_and_recording() {
    let _alone = one_at_a_time().await;
    let (server, display) = (Server::start().await, Display::start());
    let words = ["login", "bob", "--auto-answer", "--view", "window", "--record", "call.mkv"];
    let mut bob = display.with(peer(server.url(), &words)).with_input().start();
    bob.await_event("logged-in", PATIENCE).await;
    let page = filming(&server, 90).await;
    page.call("bob").await;
    let first = bob.await_event("first-video-frame", PATIENCE).await;
    assert!(first["height"].as_u64() > first["width"].as_u64(), "{first}");
    for by in [90, 270, 180, 0] {
        turn(&page, by).await;
        let look = || in_window(by).map(|at| display.colour(at)).to_vec();
        until_upright(&mut bob, &format!("window, turned by {by}"), look).await;
        if by == 90 {
            bob.type_line("norecord");
            bob.await_event("recording-stopped", PATIENCE).await;
            display.press('s');
            let home = bob.home().to_owned();
            while crate::window::snapshot(&home).is_none() {
                bob.next_event("stats", PATIENCE).await;
            }
            bob.next_event("stats", PATIENCE).await;
            let saved = crate::window::snapshot(&home).expect("a snapshot");
            for file in [saved, home.join("call.mkv")] {
                let found = quarters_of(&file);
                assert!(are_quarters(found), "{}: {found:?}", file.display());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turned_chromium_stands_upright_in_a_terminal() {
    let _alone = one_at_a_time().await;
    let (server, terminal) = (Server::start().await, Terminal::new(24, 80));
    let words = ["login", "bob", "--auto-answer", "--view", "terminal"];
    let mut bob = terminal.with(peer(server.url(), &words)).start();
    bob.await_event("logged-in", PATIENCE).await;
    let page = filming(&server, 270).await;
    page.call("bob").await;
    bob.await_event("first-video-frame", PATIENCE).await;
    for by in [270, 90] {
        turn(&page, by).await;
        // Twenty rows of two pixels each, and so many columns as are as wide.
        let cells = [(5, 5), (5, 16), (15, 5), (15, 16)];
        let look = || {
            let colours = cells.iter().filter_map(|(row, column)| terminal.colours(*row, *column));
            colours.map(|[upper, _]| upper).collect()
        };
        until_upright(&mut bob, &format!("terminal, turned by {by}"), look).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_is_turned_while_it_is_recorded_has_a_file_for_each_way() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    for ending in ["mkv", "mp4"] {
        let file = format!("call.{ending}");
        let words = ["login", "bob", "--auto-answer", "--record", &file];
        let mut bob = peer(server.url(), &words).with_input().start();
        bob.await_event("logged-in", PATIENCE).await;
        let page = filming(&server, 90).await;
        page.call("bob").await;
        bob.await_event("recording-started", PATIENCE).await;
        bob.await_event("first-video-frame", PATIENCE).await;
        let mut files = vec![bob.home().join(&file)];
        for by in [270, 180] {
            crate::support::sees_more(&mut bob, 20).await;
            turn(&page, by).await;
            let next = bob.await_event("recording-started", PATIENCE).await;
            files.push(next["path"].as_str().expect("a path").into());
        }
        crate::support::sees_more(&mut bob, 20).await;
        bob.type_line("norecord");
        bob.await_event("recording-stopped", PATIENCE).await;
        bob.next_event("stats", PATIENCE).await;
        for file in files {
            let found = quarters_of(&file);
            assert!(are_quarters(found), "{}: {found:?}", file.display());
        }
        bob.quit().await;
    }
}
