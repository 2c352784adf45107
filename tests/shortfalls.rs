//! Files that become less while they are used: a source that is cut short, a recording that is taken
//! away, a disk that is full. Each is told with its reason and its exit code, and what was recorded
//! plays.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::recordings::probe;
use crate::support::process::{Ended, Peer};
use crate::support::server::{Server, THE_END, login, peer};
use crate::support::{PATIENCE, one_at_a_time, sees_more};

/// So much is left of what is cut short, bytes: some of it was read before.
const LEFT: u64 = 300_000;

fn made(folder: &Path, name: &str, words: &[&str]) -> PathBuf {
    let path = folder.join(name);
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i"])
        .args(words)
        .arg(&path)
        .output()
        .expect("ffmpeg; `make deps` installs it");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    path
}

#[tokio::test]
async fn a_source_that_becomes_shorter_ends_the_call_in_words_whatever_its_container() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let film = "testsrc2=s=320x180:r=25:d=20,noise=c0s=60:c0f=t";
    let h264 = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-b:v", "3M"];
    let tone = "aevalsrc=0.5*sin(2764*t)*random(0):s=48000:d=60";
    let mut sources = vec![
        (made(folder.path(), "f.y4m", &[film, "-pix_fmt", "yuv420p"]), "--video", "--audio"),
        (made(folder.path(), "f.wav", &[tone, "-ac", "2"]), "--audio", "--video"),
    ];
    for name in ["f.mp4", "f.mkv", "f.h264"] {
        let path = made(folder.path(), name, &[&[film][..], &h264].concat());
        sources.push((path, "--video", "--audio"));
    }
    let opus = [tone, "-c:a", "libopus", "-b:a", "256k", "-ac", "2"];
    for name in ["f.ogg", "f.mka"] {
        sources.push((made(folder.path(), name, &opus), "--audio", "--video"));
    }
    let mut calls = Vec::new();
    for (at, (path, kind, other)) in sources.iter().enumerate() {
        let (hears, plays) = (format!("hears-{at}"), format!("plays-{at}"));
        let quiet = ["--auto-answer", "--video", "none", "--audio", "none"];
        let there = login(server.url(), &hears, &quiet).await;
        let path = path.to_str().expect("a plain path");
        let words = ["call", &hears, "--as", &plays, kind, path, other, "none"];
        calls.push((peer(server.url(), &words).start(), there));
    }
    for (at, (here, there)) in calls.iter_mut().enumerate() {
        let (path, kind, _) = &sources[at];
        let first = if *kind == "--video" { "first-video-frame" } else { "first-audio" };
        there.await_event(first, PATIENCE).await;
        here.await_event("stats", PATIENCE).await;
        assert!(path.metadata().expect("the file").len() > 2 * LEFT, "{}", path.display());
        let file = OpenOptions::new().write(true).open(path).expect("the file");
        file.set_len(LEFT).expect("a shorter file");
    }
    for (at, (mut here, mut there)) in calls.into_iter().enumerate() {
        let name = sources[at].0.display();
        let ended = here.await_event("ended", THE_END).await;
        assert_eq!(ended["reason"], "media-failed", "{name}: {ended}");
        let message = ended["message"].as_str().unwrap_or_default();
        assert!(message.contains("it became shorter while it was read"), "{name}: {ended}");
        assert_eq!(here.wait(PATIENCE).await.code, Some(5), "{name}");
        let theirs = there.await_event("ended", THE_END).await;
        assert_eq!(theirs["reason"], "media-failed", "{name}: {theirs}");
    }
}

fn stopped(events: &[Value]) -> &Value {
    let stopped = events.iter().find(|event| event["event"] == "recording-stopped");
    stopped.unwrap_or_else(|| panic!("no end of the recording: {events:#?}"))
}

/// A call that is recorded there, up to the moment when there is a second of it; then it goes on.
async fn recording(server: &Server, file: &Path) -> (Peer, Peer) {
    let there = ["--auto-answer", "--size", "320x180"];
    let mut bob = login(server.url(), "bob", &there).await;
    let words = ["call", "bob", "--as", "alice", "--duration", "6s"];
    let mut alice = peer(server.url(), &words).arg("--record").arg(file).start();
    bob.await_event("first-video-frame", PATIENCE).await;
    alice.await_event("first-video-frame", PATIENCE).await;
    sees_more(&mut alice, 45).await;
    (alice, bob)
}

#[tokio::test]
async fn a_recording_that_is_taken_away_is_told_by_reason_and_exit_code() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    type Taking = fn(&Path);
    let takings: [(&str, Taking, &str); 4] = [
        ("mkv", |file| std::fs::remove_file(file).expect("a file"), "was removed"),
        (
            "mp4",
            |file| std::fs::remove_dir_all(file.parent().expect("a folder")).expect("a folder"),
            "was removed",
        ),
        (
            "mkv",
            |file| std::fs::rename(file, file.with_file_name("else.mkv")).expect("a file"),
            "was moved",
        ),
        (
            "mp4",
            |file| {
                std::fs::rename(file, file.with_file_name("else.mp4")).expect("a file");
                std::fs::write(file, "somebody else's").expect("another file");
            },
            "was moved",
        ),
    ];
    for (ending, take, says) in takings {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let inner = folder.path().join("inner");
        std::fs::create_dir(&inner).expect("a folder");
        let file = inner.join(format!("call.{ending}"));
        let (alice, mut bob) = recording(&server, &file).await;
        take(&file);
        let alice = alice.wait(THE_END).await;
        assert_eq!(alice.code, Some(5), "{}", alice.said);
        let stopped = stopped(&alice.events);
        let reason = stopped["reason"].as_str().unwrap_or_default();
        assert!(reason.contains(says), "{stopped}");
        let ended = alice.events.iter().find(|event| event["event"] == "ended").expect("an end");
        assert_eq!(ended["reason"], "duration", "the call went on: {ended}");
        if says == "was moved" {
            let moved = probe(&inner.join(format!("else.{ending}")));
            assert!(moved.video_seconds > 3.0, "it is whole where it is now: {moved:?}");
        }
        bob.await_event("ended", PATIENCE).await;
        bob.quit().await;
    }
}

/// A disk that takes so many kilobytes of a file.
async fn on_a_small_disk(server: &Server, file: &str) -> (Ended, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder").keep();
    let path = folder.join(file);
    let words = ["call", "bob", "--as", "alice", "--duration", "9s"];
    let limits = "trap '' XFSZ; ulimit -f 100; exec \"$0\" \"$@\"";
    let alice =
        peer(server.url(), &words).arg("--record").arg(&path).through(&["bash", "-c", limits]);
    (alice.start().wait(THE_END).await, path)
}

#[tokio::test]
async fn a_disk_that_fills_up_leaves_a_file_that_plays() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let there = ["--auto-answer", "--size", "640x360", "--min-bitrate", "800k"];
    let _bob = login(server.url(), "bob", &there).await;
    for file in ["call.mkv", "call.mp4"] {
        let (alice, path) = on_a_small_disk(&server, file).await;
        assert_eq!(alice.code, Some(5), "{}", alice.said);
        let stopped = stopped(&alice.events);
        let reason = stopped["reason"].as_str().unwrap_or_default();
        assert!(reason.contains("File too large") && !reason.contains("os error"), "{stopped}");
        let len = File::open(&path).and_then(|file| file.metadata()).expect("a recording").len();
        assert!((40_000..=100 * 1024).contains(&len), "{file}: {len}");
        let probed = probe(&path);
        assert!(probed.video_seconds > 0.5 && probed.audio_seconds > 0.5, "{file}: {probed:?}");
        let ends = (probed.video_seconds - probed.audio_seconds).abs();
        assert!(ends < 0.6, "{file}: {probed:?}");
        let said = told_length(&path);
        let played = probed.video_seconds.max(probed.audio_seconds);
        assert!((said - played).abs() < 0.3, "{file} says {said} s: {probed:?}");
        std::fs::remove_dir_all(path.parent().expect("a folder")).expect("our folder");
    }
}

/// How long a file says that it lasts, seconds.
fn told_length(path: &Path) -> f64 {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0"])
        .arg(path)
        .output()
        .expect("ffprobe; `make deps` installs it");
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    text.parse().unwrap_or_else(|_| panic!("{}: {text}", path.display()))
}
