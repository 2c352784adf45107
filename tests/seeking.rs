//! How fast a browser finds any second of a recording: a measurement, and a test on a short one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::support::chromium::Browser;
use crate::support::one_at_a_time;
use crate::support::server::{Server, THE_END, login, peer};

/// Goes to `count` places all over the file, or to every second of it, forwards and back; how long each
/// took, ms.
const SEEK: &str = "
    let video = document.querySelector('video');
    if (!video) throw 'no player for it';
    if (video.error) throw video.error.message;
    if (video.readyState < 1)
      await new Promise((done) => video.addEventListener('loadedmetadata', done, { once: true }));
    video.pause();
    const took = [];
    const places = count || Math.floor(video.duration);
    // A step that shares no divisor with their number comes by all of them.
    const divides = (one, other) => (other ? divides(other, one % other) : one);
    let step = Math.round(places * 0.37) || 1;
    while (divides(places, step) !== 1) step++;
    for (let n = 0; n < places; n++) {
      const place = Math.max(0, video.duration - 1) * ((n * step) % places) / Math.max(1, places - 1) + 0.01;
      const began = performance.now();
      const there = new Promise((done) => (video.onseeked = done));
      video.currentTime = place;
      await there;
      if (Math.abs(video.currentTime - place) > 0.5) throw `${place}: at ${video.currentTime}`;
      took.push(Math.round(performance.now() - began));
    }
    const sorted = [...took].sort((a, b) => a - b);
    const [half, most] = [sorted[places >> 1], sorted[places - 1]];
    return { seconds: video.duration, places, half, most }";

/// As many places as are asked for, or every second.
async fn seek(browser: &Browser, file: &Path, count: Option<u32>) -> Value {
    browser.open(&format!("file://{}", file.display())).await;
    let count = count.unwrap_or(0);
    browser.evaluate_async(&format!("const count = {count};{SEEK}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_finds_any_second_of_a_recording() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let mut bob = login(server.url(), "bob", &["--auto-answer", "--record", "call.mp4"]).await;
    let words = ["call", "bob", "--as", "alice", "--duration", "12s", "--record", "call.mkv"];
    let mut alice = peer(server.url(), &words).start();
    alice.await_event("ended", THE_END).await;
    bob.await_event("ended", THE_END).await;
    let browser = Browser::start().await;
    for file in [bob.home().join("call.mp4"), alice.home().join("call.mkv")] {
        let sought = seek(&browser, &file, Some(20)).await;
        println!("{}: {sought}", file.display());
        assert!(sought["seconds"].as_f64().is_some_and(|length| length > 10.0), "{sought}");
    }
}

/// Of the recordings in the folder that `PEER_RECORDINGS` names, else of a call of two minutes.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement of two minutes"]
async fn measure_how_fast_a_browser_seeks() {
    let _alone = one_at_a_time().await;
    let given = std::env::var_os("PEER_RECORDINGS");
    let mut made = Vec::new();
    if given.is_none() {
        let server = Server::start().await;
        let answers = ["--auto-answer", "--record", "call.mp4"];
        let bob = login(server.url(), "bob", &answers).await;
        let words = ["call", "bob", "--as", "alice", "--duration", "2m", "--record", "call.mkv"];
        let mut alice = peer(server.url(), &words).start();
        alice.await_event("ended", LONG).await;
        made = vec![alice, bob];
    }
    let folders = given.into_iter().map(PathBuf::from);
    let folders = folders.chain(made.iter().map(|peer| peer.home().to_owned()));
    let browser = Browser::start().await;
    for file in folders.flat_map(|folder| std::fs::read_dir(folder).expect("a folder")) {
        let path = file.expect("a file").path();
        let is_ours = path.extension().is_some_and(|kind| kind == "mkv" || kind == "mp4");
        if is_ours {
            println!("{}: {}", path.display(), seek(&browser, &path, None).await);
        }
    }
}

/// More than a call of two minutes takes.
const LONG: Duration = Duration::from_secs(180);
