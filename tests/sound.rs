//! Microphone and speaker on a real sound server: what is said is heard, on both sides, whatever
//! happens to the server; and an echo is not.

use std::path::Path;

use serde_json::Value;

use crate::support::hearing::{likeness, loudness};
use crate::support::process::Peer;
use crate::support::server::{Server, peer};
use crate::support::sound_server::{SoundServer, raw_samples, samples, speech};
use crate::support::{PATIENCE, clip, one_at_a_time};

/// Seconds of sound that are compared.
const SECONDS: usize = 6;

#[tokio::test]
async fn what_is_said_is_heard_on_both_sides() {
    let _alone = one_at_a_time().await;
    let (server, sound) = (Server::start().await, SoundServer::start().await);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (ours, theirs) = (speech(folder.path(), 6), clip("speech.opus"));
    let words = ["login", "bob", "--auto-answer", "--audio", &theirs, "--record", "heard.mkv"];
    let mut bob = peer(server.url(), &words).with_input().start();
    bob.await_event("logged-in", PATIENCE).await;
    let _talker = sound.play_into_microphone(&ours);
    let played = folder.path().join("played.f32");
    let recorder = sound.record_speaker(&played);
    let words = ["call", "bob", "--as", "alice", "--audio", "mic", "--speaker", "default"];
    // What is made quieter or cut off is no longer the same; it has a test of its own.
    let as_it_is = ["--no-noise-suppression", "--no-high-pass", "--no-echo-cancellation"];
    let mut alice = sound.with(peer(server.url(), &words)).args(as_it_is).start();
    alice.await_event("first-audio", PATIENCE).await;
    let stats = some_seconds(&mut alice, SECONDS).await;
    assert!(
        stats["inbound"]["audio"]["playoutDelayMs"].as_f64().is_some_and(|ms| ms > 1.0),
        "{stats:#}"
    );
    assert!(stats["outbound"]["audio"]["audioLevel"].as_f64().is_some(), "{stats:#}");
    alice.interrupt();
    alice.await_event("ended", PATIENCE).await;
    bob.await_event("ended", PATIENCE).await;
    drop(recorder);
    let there = likeness(&samples(&ours), &samples(&bob.home().join("heard.mkv")));
    let here = likeness(&samples(Path::new(&theirs)), &raw_samples(&played));
    println!("their recording is like our speech {there:.3}, our speaker like theirs {here:.3}");
    assert!(there > 0.6 && here > 0.6, "{there} {here}");
}

/// The statistics after so many seconds of a call.
async fn some_seconds(peer: &mut Peer, seconds: usize) -> Value {
    let mut stats = peer.next_event("stats", PATIENCE).await;
    for _ in 0..seconds {
        stats = peer.next_event("stats", PATIENCE).await;
    }
    stats
}

#[tokio::test]
async fn a_sound_server_that_dies_ends_no_call() {
    let _alone = one_at_a_time().await;
    let (server, mut sound) = (Server::start().await, SoundServer::start().await);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ours = speech(folder.path(), 6);
    let mut bob = peer(server.url(), &["login", "bob", "--auto-answer"]).with_input().start();
    bob.await_event("logged-in", PATIENCE).await;
    let words =
        ["call", "bob", "--as", "alice", "--audio", "mic:testmic", "--speaker", "TestSpeaker"];
    let mut alice = sound.with(peer(server.url(), &words)).start();
    alice.await_event("first-audio", PATIENCE).await;
    bob.await_event("first-audio", PATIENCE).await;
    sound.kill();
    // Both devices say so, and the call goes on in silence.
    for _ in 0..2 {
        assert_eq!(alice.await_event("error", PATIENCE).await["code"], "device-lost");
    }
    let before = received(&bob.await_event("stats", PATIENCE).await);
    bob.await_event("stats", PATIENCE).await;
    assert!(received(&bob.await_event("stats", PATIENCE).await) > before, "packets go on");
    sound.resume().await;
    for _ in 0..2 {
        assert_eq!(alice.await_event("error", PATIENCE).await["code"], "device-back");
    }
    let _talker = sound.play_into_microphone(&ours);
    while level(&bob.await_event("stats", PATIENCE).await) < 0.01 {}
    let played = folder.path().join("played.f32");
    let recorder = sound.record_speaker(&played);
    some_seconds(&mut alice, 2).await;
    drop(recorder);
    assert!(loudness(&raw_samples(&played)) > 0.01, "the tone is heard again");
    alice.interrupt();
    assert_eq!(alice.await_event("ended", PATIENCE).await["reason"], "interrupted");
}

fn received(stats: &Value) -> u64 {
    stats["inbound"]["audio"]["packetsReceived"].as_u64().expect("a count")
}

fn level(stats: &Value) -> f64 {
    stats["inbound"]["audio"]["audioLevel"].as_f64().expect("a level")
}

/// What bob hears of alice, whose microphone hears her own speaker at half its strength, and `near`.
async fn heard_in_an_echoing_room(near: Option<&Path>, flags: &[&str]) -> Vec<f32> {
    let (server, sound) = (Server::start().await, SoundServer::start().await);
    // Walls do not follow a clock, so neither does the way from one to the other.
    let room = ["source=speaker.monitor", "sink=micfeed", "latency_msec=30", "adjust_time=0"];
    sound.tell(&[&["load-module", "module-loopback"], &room[..]].concat()).await;
    // Only the echo is made quieter, not what else the microphone hears.
    sound.tell_until(&["set-sink-input-volume", "0", "-6dB"]).await;
    let theirs = clip("speech.opus");
    let words = ["login", "bob", "--auto-answer", "--audio", &theirs, "--record", "echo.mkv"];
    let mut bob = peer(server.url(), &words).with_input().start();
    bob.await_event("logged-in", PATIENCE).await;
    let words = ["call", "bob", "--as", "alice", "--audio", "mic", "--speaker", "default"];
    let alice = sound.with(peer(server.url(), &words)).args(["--no-auto-gain"]);
    let mut alice = alice.args(flags).start();
    alice.await_event("first-audio", PATIENCE).await;
    // What is measured begins after five seconds.
    some_seconds(&mut alice, 5).await;
    let _talker = near.map(|near| sound.play_into_microphone(near));
    some_seconds(&mut alice, SECONDS).await;
    alice.interrupt();
    bob.await_event("ended", PATIENCE).await;
    let heard = samples(&bob.home().join("echo.mkv"));
    heard[heard.len().saturating_sub(SECONDS * 48_000)..].to_vec()
}

#[tokio::test]
async fn an_echo_is_not_sent_back_and_who_talks_over_it_is_heard() {
    let _alone = one_at_a_time().await;
    let with = loudness(&heard_in_an_echoing_room(None, &["--no-echo-cancellation"]).await);
    let without = loudness(&heard_in_an_echoing_room(None, &[]).await);
    let enhancement = 20.0 * (with / without.max(1e-6)).log10();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let near = speech(folder.path(), 6);
    let flags = ["--no-noise-suppression", "--no-high-pass"];
    let heard = heard_in_an_echoing_room(Some(&near), &flags).await;
    let said = likeness(&samples(&near), &heard);
    let echoed = likeness(&samples(Path::new(&clip("speech.opus"))), &heard);
    println!("echo return loss enhancement {enhancement:.1} dB");
    println!("over it the near voice is heard {said:.3}, the far one {echoed:.3}");
    assert!(with > 0.005, "there is an echo to cancel: {with}");
    assert!(enhancement > 30.0, "{enhancement} dB");
    assert!(said > 0.45 && said > echoed, "{said} {echoed}");
}

#[tokio::test]
async fn without_a_word_what_there_is_is_used_and_what_there_is_not_is_said() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let mut bob = peer(server.url(), &["login", "bob", "--auto-answer"]).with_input().start();
    bob.await_event("logged-in", PATIENCE).await;
    let words = ["call", "bob", "--as", "alice", "--audio", "auto", "--speaker", "auto"];
    let mut alice = peer(server.url(), &words).start();
    let mut missing = Vec::new();
    for _ in 0..2 {
        let error = alice.await_event("error", PATIENCE).await;
        assert_eq!(error["code"], "device-missing", "{error}");
        missing.push(error["message"].to_string());
    }
    assert!(missing[0].contains("no sound is sent"), "{missing:?}");
    assert!(missing[1].contains("nothing is heard"), "{missing:?}");
    alice.await_event("first-video-frame", PATIENCE).await;
    alice.interrupt();
    let said = alice.wait(PATIENCE).await;
    assert_eq!(said.code, Some(0));
    assert!(!said.said.contains("ALSA lib"), "{}", said.said);
}
