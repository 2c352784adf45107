//! `peer` and headless Chromium on a page that knows only the tutorial's protocol: each side calls,
//! each side hangs up, and everything that a browser and we can get wrong about each other.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::recordings::probe;
use crate::support::bare_page::BarePage;
use crate::support::chromium::{FakeMedia, PageCall};
use crate::support::process::Peer;
use crate::support::server::{Server, login};
use crate::support::{PATIENCE, clip, clips, one_at_a_time};

/// How long the measured calls last.
const SECONDS: u64 = 15;

/// A page that films the shipped clip, and a folder that goes with the test.
async fn filming_page(server: &Server, name: &str) -> (BarePage, TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let media = clips::as_fake_media(folder.path(), 10);
    (BarePage::log_in_with(server.url(), name, media).await, folder)
}

/// Both sides of a call that has run for its time and runs on.
async fn judge(page: &BarePage, alice: &mut Peer) -> PageCall {
    let early = page.browser.wait_for_call("a second of pictures", |call| {
        call.inbound_video.frames_decoded >= 30 && call.outbound_video.frames_encoded >= 30
    });
    let early = early.await;
    // One comes each second.
    for _ in 0..SECONDS - 1 {
        alice.next_event("stats", PATIENCE).await;
    }
    // What is on its way counts as missing, so a driver that answers late may spoil a moment.
    let mut moments = 0;
    let (call, stats) = loop {
        let stats = alice.next_event("stats", PATIENCE).await;
        let call = page.browser.call().await;
        let there = call.inbound_video.frames_decoded as f64
            / number(&stats, "/outbound/video/framesEncoded");
        let here = number(&stats, "/inbound/video/framesDecoded")
            / call.outbound_video.frames_encoded as f64;
        println!("decoded there {there:.3} of ours, here {here:.3} of theirs");
        if there >= 0.95 && here >= 0.95 {
            break (call, stats);
        }
        moments += 1;
        assert!(moments < 10, "{there} and {here}: {call:?} {stats:#}");
    };
    let seen = &call.inbound_video;
    assert!(seen.mime_type.eq_ignore_ascii_case("video/H264"), "{seen:?}");
    assert!(seen.frames_decoded >= SECONDS * 10, "{seen:?}");
    // A busy machine may hold pictures up for moments; a stream that breaks stands for longer.
    let frozen = seen.total_freezes_duration - early.inbound_video.total_freezes_duration;
    assert!(frozen < 5.0, "{early:?} then {call:?}");
    assert!(call.inbound_audio.total_audio_energy > 0.0, "{call:?}");
    assert!(number(&stats, "/inbound/audio/totalAudioEnergy") > 0.0, "{stats:#}");
    call
}

fn number(stats: &Value, path: &str) -> f64 {
    stats.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("no {path}: {stats:#}"))
}

/// The first picture came, nothing is missing, and the recording is whole.
fn judge_the_end(call: &PageCall, ended: &Value, recording: &Path) {
    let summary = &ended["summary"];
    let probed = probe(recording);
    println!("recorded: {probed:?}");
    println!(
        "{} ms: page: first picture {:?} ms, {} freezes; we: {} decoded, {} freezes",
        number(summary, "/durationMs"),
        call.first_picture_ms,
        call.inbound_video.freeze_count,
        number(summary, "/inbound/video/framesDecoded"),
        number(summary, "/inbound/video/freezeCount"),
    );
    assert!(call.first_picture_ms.is_some(), "{call:?}");
    assert!(number(summary, "/inbound/video/packetsLost") < 20.0, "{summary:#}");
    // A browser on a busy machine sends smaller pictures of the same shape.
    assert!(probed.size.0 * 9 == probed.size.1 * 16 && probed.size.0 > 0, "{probed:?}");
    assert!((probed.video_seconds - probed.audio_seconds).abs() < 0.1, "{probed:?}");
    assert!(probed.frames > SECONDS as usize * 10, "{probed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn peer_calls_the_page_and_hangs_up() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let (page, _folder) = filming_page(&server, "page").await;
    let clip = clip("camera-360p.mp4");
    let words = ["--video", &clip, "--audio", &clip, "--record", "page.mkv"];
    let mut alice = login(server.url(), "alice", &words).await;
    alice.type_line("call page");
    alice.await_event("first-video-frame", PATIENCE).await;
    let call = judge(&page, &mut alice).await;
    alice.type_line("hangup");
    let ended = alice.await_event("ended", PATIENCE).await;
    assert_eq!(ended["reason"], "hangup");
    page.wait_for_status("left").await;
    judge_the_end(&call, &ended, &alice.home().join("page.mkv"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_calls_peer_and_hangs_up() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let clip = clip("camera-360p.mp4");
    let words = ["--auto-answer", "--video", &clip, "--audio", &clip, "--record", "page.mp4"];
    let mut alice = login(server.url(), "alice", &words).await;
    let (page, _folder) = filming_page(&server, "page").await;
    page.call("alice").await;
    alice.await_event("first-video-frame", PATIENCE).await;
    let call = judge(&page, &mut alice).await;
    page.hang_up().await;
    let ended = alice.await_event("ended", PATIENCE).await;
    assert_eq!(ended["reason"], "remote-hangup");
    judge_the_end(&call, &ended, &alice.home().join("page.mp4"));
}

#[tokio::test(flavor = "multi_thread")]
async fn peer_hangs_up_on_a_page_that_called_and_calls_another() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let mut alice = login(server.url(), "alice", &[]).await;
    let page = BarePage::log_in(server.url(), "page").await;
    page.call("alice").await;
    assert_eq!(alice.await_event("incoming", PATIENCE).await["peer"], "page");
    alice.type_line("answer");
    alice.await_event("first-video-frame", PATIENCE).await;
    alice.type_line("hangup");
    assert_eq!(alice.await_event("ended", PATIENCE).await["reason"], "hangup");
    page.wait_for_status("left").await;
    drop(page);

    let other = BarePage::log_in(server.url(), "other").await;
    alice.type_line("call other");
    alice.await_event("first-video-frame", PATIENCE).await;
    other.hang_up().await;
    assert_eq!(alice.await_event("ended", PATIENCE).await["reason"], "remote-hangup");
}

/// Its certificate takes several records of a flight, and its signature several times as long.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_with_a_large_rsa_certificate_calls_and_is_called() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let mut alice = login(server.url(), "alice", &["--auto-answer"]).await;
    for calls in [true, false] {
        let page = BarePage::log_in_with_rsa(server.url(), "page", 4096).await;
        if calls {
            page.call("alice").await;
        } else {
            alice.type_line("call page");
        }
        alice.await_event("first-video-frame", PATIENCE).await;
        page.browser.wait_for_call("pictures", |call| call.inbound_video.frames_decoded > 10).await;
        // In base64 the page's own takes 1.6 kB, where ECDSA takes 0.4.
        let script =
            "return await connection.getStats().then((all) => Math.max(...[...all.values()]
            .map((one) => (one.base64Certificate || '').length)))";
        let longest = page.browser.evaluate_async(script).await;
        assert!(longest.as_u64() > Some(1_500), "{longest}");
        page.hang_up().await;
        let ended = alice.await_event("ended", PATIENCE).await;
        assert_eq!(ended["reason"], "remote-hangup", "{ended}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_told_what_it_did_wrong() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let mut alice = login(server.url(), "alice", &[]).await;
    let taken = BarePage::open(server.url(), "alice", FakeMedia::default()).await;
    taken.wait_for_status("refused").await;
    drop(taken);
    let page = BarePage::log_in(server.url(), "page").await;
    page.call("alice").await;
    alice.await_event("incoming", PATIENCE).await;
    alice.type_line("reject");
    page.wait_for_status("left").await;
    assert_eq!(alice.await_event("ended", PATIENCE).await["reason"], "rejected");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_with_a_page_survives_the_servers_restart() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let mut alice = login(server.url(), "alice", &["--auto-answer"]).await;
    let page = BarePage::log_in(server.url(), "page").await;
    page.call("alice").await;
    let before =
        page.browser.wait_for_call("pictures", |call| call.inbound_video.frames_decoded > 10);
    let before = before.await.inbound_video.frames_decoded;
    let server = server.restart().await;
    alice.await_event("logged-in", PATIENCE).await;
    page.browser
        .wait_for_call("more pictures", |call| call.inbound_video.frames_decoded > before + 30)
        .await;
    // This page does not log in again, so nobody tells it that the call is over.
    alice.type_line("hangup");
    assert_eq!(alice.await_event("ended", PATIENCE).await["reason"], "hangup");
    drop(server);
}
