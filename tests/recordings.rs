//! What `--record` leaves behind, judged by ffprobe and ffmpeg: whole, in sync, and playable even
//! after `kill -9`.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::server::{Server, THE_END, login, peer};
use crate::support::{PATIENCE, clip, one_at_a_time, sees_more};

/// What ffprobe says of a file.
#[derive(Debug)]
pub(crate) struct Probed {
    /// Length of the picture track, seconds.
    pub(crate) video_seconds: f64,
    /// Length of the sound track, seconds.
    pub(crate) audio_seconds: f64,
    /// Size of the picture.
    pub(crate) size: (u64, u64),
    /// Pictures.
    pub(crate) frames: usize,
}

/// Reads every packet with ffprobe and decodes everything with ffmpeg; neither may complain.
pub(crate) fn probe(path: &Path) -> Probed {
    let streams = ffprobe(path, &["-show_streams"]);
    let stream = |kind: &str| {
        let all = streams["streams"].as_array().expect("streams");
        let found = all.iter().find(|stream| stream["codec_type"] == kind);
        found.unwrap_or_else(|| panic!("no {kind} in {}: {streams:#}", path.display())).clone()
    };
    let (video, audio) = (stream("video"), stream("audio"));
    assert_eq!((&video["codec_name"], &audio["codec_name"]), (&"h264".into(), &"opus".into()));
    let packets = |kind: &str| {
        let packets = ffprobe(path, &["-show_packets", "-select_streams", kind]);
        let packets = packets["packets"].as_array().expect("packets").clone();
        assert!(!packets.is_empty(), "no packets of {kind} in {}", path.display());
        packets
    };
    let (pictures, sound) = (packets("v:0"), packets("a:0"));
    let times: Vec<f64> =
        pictures.iter().filter_map(|packet| seconds(packet, "pts_time")).collect();
    assert!(times.is_sorted_by(|one, next| one < next), "pictures out of order: {times:?}");
    let decode = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-v", "error", "-xerror", "-i"])
        .arg(path)
        // On the recording's own time: else ffmpeg rounds to a rate that it guesses, and complains of
        // itself where a browser's pictures come close together.
        .args(["-enc_time_base:v", "-1", "-f", "null", "-"])
        .output()
        .expect("ffmpeg; `make deps` installs it");
    let complaint = String::from_utf8_lossy(&decode.stderr);
    assert!(decode.status.success() && complaint.trim().is_empty(), "{complaint}");
    Probed {
        video_seconds: end(&pictures, 1.0 / 30.0),
        audio_seconds: end(&sound, 0.02),
        size: (video["width"].as_u64().unwrap_or(0), video["height"].as_u64().unwrap_or(0)),
        frames: pictures.len(),
    }
}

/// When the last packet has been played, seconds from the beginning of the file.
fn end(packets: &[Value], usual: f64) -> f64 {
    let ends = packets.iter().filter_map(|packet| {
        let length: f64 = seconds(packet, "duration_time").unwrap_or(usual);
        Some(seconds(packet, "pts_time")? + length)
    });
    ends.fold(0.0, f64::max)
}

fn seconds(packet: &Value, field: &str) -> Option<f64> {
    packet[field].as_str().and_then(|seconds| seconds.parse().ok())
}

fn ffprobe(path: &Path, what: &[&str]) -> Value {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-of", "json"])
        .args(what)
        .arg(path)
        .output()
        .expect("ffprobe; `make deps` installs it");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaint.trim().is_empty(), "{complaint}");
    serde_json::from_slice(&output.stdout).expect("ffprobe writes JSON")
}

#[tokio::test]
async fn both_containers_both_directions_whole_and_in_sync() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let _bob = login(server.url(), "bob", &["--auto-answer", "--size", "320x180"]).await;
    let clip = clip("camera-360p.mp4");
    for ending in ["mkv", "mp4"] {
        let theirs = format!("theirs.{ending}");
        let ours = format!("ours.{ending}");
        let words = ["call", "bob", "--as", "alice", "--duration", "4s", "--video", &clip];
        let record = ["--audio", &clip, "--record", &theirs, "--record-local", &ours];
        let mut alice = peer(server.url(), &words).args(record).start();
        alice.await_event("ended", THE_END).await;
        alice.gone(PATIENCE).await;
        for (file, size) in [(theirs, (320, 180)), (ours, (640, 360))] {
            let probed = probe(&alice.home().join(&file));
            assert_eq!(probed.size, size, "{file}: {probed:?}");
            assert!(probed.frames > 80, "{file}: {probed:?}");
            assert!(probed.video_seconds > 3.0, "{file}: {probed:?}");
            let apart = (probed.video_seconds - probed.audio_seconds).abs();
            assert!(apart < 0.1, "{file}: {probed:?}");
        }
    }
}

#[tokio::test]
async fn a_killed_recording_plays_to_its_last_second() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let _bob = login(server.url(), "bob", &["--auto-answer"]).await;
    // The name of one that was killed is kept for its home.
    let home = tempfile::tempdir().expect("a temporary folder");
    for ending in ["mkv", "mp4"] {
        let file = format!("{ending}-killed.{ending}");
        let words = ["call", "bob", "--as", "alice", "--record", &file];
        let mut alice = peer(server.url(), &words).in_home(home.path()).start();
        alice.await_event("first-video-frame", PATIENCE).await;
        for _ in 0..4 {
            alice.await_event("stats", PATIENCE).await;
        }
        alice.kill9();
        alice.gone(PATIENCE).await;
        let probed = probe_cut(&home.path().join(&file));
        assert!(probed.video_seconds > 2.5, "{file}: {probed:?}");
        assert!(probed.audio_seconds > 2.5, "{file}: {probed:?}");
    }
}

#[tokio::test]
async fn a_recording_that_begins_in_a_call_plays_though_it_was_cut_off() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let mut bob = login(server.url(), "bob", &["--auto-answer"]).await;
    bob.type_line("record");
    assert_eq!(bob.await_event("error", PATIENCE).await["code"], "no-call");
    let _alice = peer(server.url(), &["call", "bob", "--as", "alice"]).start();
    bob.await_event("first-video-frame", PATIENCE).await;
    sees_more(&mut bob, 15).await;
    bob.type_line("record");
    let started = bob.await_event("recording-started", PATIENCE).await;
    bob.type_line("record");
    sees_more(&mut bob, 60).await;
    bob.kill9();
    bob.gone(PATIENCE).await;
    let path = Path::new(started["path"].as_str().expect("a path"));
    assert_eq!(path.parent(), Some(bob.home()));
    let probed = probe_cut(path);
    assert!(probed.video_seconds > 1.0 && probed.audio_seconds > 1.0, "{probed:?}");
    assert!(!bob.said().contains("recording-stopped"), "twice is once: {}", bob.said());
}

#[tokio::test]
async fn a_recording_that_cannot_begin_says_why_and_the_call_goes_on() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("call.mkv");
    let record = ["--auto-answer", "--record", file.to_str().expect("a plain path")];
    let mut bob = login(server.url(), "bob", &record).await;
    let mut alice = peer(server.url(), &["call", "bob", "--as", "alice"]).start();
    bob.await_event("first-video-frame", PATIENCE).await;
    bob.type_line("norecord");
    bob.await_event("recording-stopped", PATIENCE).await;
    drop(folder);
    bob.type_line("record");
    let error = bob.await_event("error", PATIENCE).await;
    assert_eq!(error["code"], "recording");
    assert!(error["message"].as_str().is_some_and(|said| said.contains("call-2.mkv")), "{error}");
    sees_more(&mut bob, 5).await;
    alice.interrupt();
    assert_eq!(alice.await_event("ended", PATIENCE).await["reason"], "interrupted");
}

/// As [`probe`], for a file whose last bytes may be cut: that is worth a word of ffmpeg's, no more.
fn probe_cut(path: &Path) -> Probed {
    let repaired = path.with_extension("repaired.mkv");
    let copied = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-v", "fatal", "-i"])
        .arg(path)
        .args(["-c", "copy"])
        .arg(&repaired)
        .output()
        .expect("ffmpeg; `make deps` installs it");
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    probe(&repaired)
}

#[tokio::test]
async fn each_call_of_a_login_has_its_own_recording() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let mut bob = login(server.url(), "bob", &["--auto-answer", "--record", "call.mkv"]).await;
    for _ in 0..2 {
        let words = ["call", "bob", "--as", "alice", "--duration", "1s"];
        let mut alice = peer(server.url(), &words).start();
        alice.await_event("ended", THE_END).await;
        alice.gone(PATIENCE).await;
        bob.await_event("ended", PATIENCE).await;
    }
    for file in ["call.mkv", "call-2.mkv"] {
        assert!(probe(&bob.home().join(file)).frames > 10, "{file}");
    }
}

/// When each packet of a kind is due, and whether it is a keyframe.
fn packets(path: &Path, kind: &str) -> Vec<(f64, bool)> {
    let found = ffprobe(path, &["-show_packets", "-select_streams", kind]);
    let packets = found["packets"].as_array().expect("packets");
    let each = packets.iter().map(|packet| {
        let key = packet["flags"].as_str().is_some_and(|flags| flags.starts_with('K'));
        (seconds(packet, "pts_time").expect("a time"), key)
    });
    each.collect()
}

/// The files that a recording was split into, in their order.
fn split(folder: &Path, name: &str, ending: &str) -> Vec<std::path::PathBuf> {
    let later = (2..).map(|n| folder.join(format!("{name}-{n}.{ending}")));
    let first = std::iter::once(folder.join(format!("{name}.{ending}")));
    first.chain(later).take_while(|path| path.exists()).collect()
}

#[tokio::test]
async fn split_recordings_begin_with_a_keyframe_and_lose_nothing_and_long_ones_are_sought() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let words = ["--auto-answer", "--video", "none", "--audio", "none", "--record", "whole.mkv"];
    let mut bob = login(server.url(), "bob", &words).await;
    let words = ["call", "bob", "--as", "alice", "--duration", "24s", "--size", "320x180"];
    let record = ["--record-local", "ours.mp4", "--record-split", "5s"];
    let mut alice = peer(server.url(), &words).args(record).start();
    alice.await_event("ended", THE_END).await;
    bob.await_event("recording-stopped", THE_END).await;
    let whole = bob.home().join("whole.mkv");
    let parts = split(alice.home(), "ours", "mp4");
    // It goes on in another file with a keyframe that is asked for when it is due: left alone, a
    // sender makes one in eight seconds.
    assert!((4..=5).contains(&parts.len()), "{parts:?}");
    assert_lengths(&parts, 5.0);
    for kind in ["v:0", "a:0"] {
        let unsplit = packets(&whole, kind);
        // A busy machine leaves pictures out, here and there alike.
        let left_out = longest_step(&unsplit);
        let mut sum = 0;
        for part in &parts {
            let packets = packets(part, kind);
            let (first, last) = (packets[0], packets[packets.len() - 1]);
            assert!(first.1, "{}: {kind} begins with a keyframe", part.display());
            assert!(first.0 < 0.06, "{}: {kind} begins at {}", part.display(), first.0);
            let usual = (last.0 - first.0) / (packets.len() - 1) as f64;
            let (longest, most) = (longest_step(&packets), left_out.max(usual * 2.5) + 0.01);
            assert!(longest < most, "{}: {kind}: {longest}, {most}", part.display());
            sum += packets.len();
        }
        // What is lost at a seam would be missing here; both begin and end at about the same time.
        let most = unsplit.len() + 15;
        assert!((unsplit.len() - 5..most).contains(&sum), "{kind}: {sum} of {}", unsplit.len());
    }
    let keys: Vec<f64> =
        packets(&whole, "v:0").into_iter().filter(|(_, key)| *key).map(|(at, _)| at).collect();
    let ends = keys.iter().skip(1).chain([&24.0]);
    for (key, next) in keys.iter().zip(ends) {
        assert!(next - key < 10.0, "keyframes at {keys:?}");
    }
}

/// The longest time between two packets, seconds.
fn longest_step(packets: &[(f64, bool)]) -> f64 {
    packets.windows(2).map(|pair| pair[1].0 - pair[0].0).fold(0.0, f64::max)
}

/// All but the last last as long as was asked for, and until the keyframe that was asked for then.
fn assert_lengths(parts: &[std::path::PathBuf], wanted: f64) {
    for part in &parts[..parts.len() - 1] {
        let last = *packets(part, "v:0").last().expect("pictures");
        let lasts = wanted - 0.1..wanted + 2.0;
        assert!(lasts.contains(&last.0), "{} of {wanted} s: {last:?}", part.display());
    }
}

#[tokio::test]
async fn a_keyframe_of_theirs_is_asked_for_when_a_part_is_full() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let _bob = login(server.url(), "bob", &["--auto-answer", "--size", "320x180"]).await;
    for ending in ["mkv", "mp4"] {
        let file = format!("theirs.{ending}");
        let words = ["call", "bob", "--as", "alice", "--duration", "11s", "--record", &file];
        let mut alice = peer(server.url(), &words).args(["--record-split", "3s"]).start();
        alice.await_event("ended", THE_END).await;
        alice.gone(PATIENCE).await;
        let parts = split(alice.home(), "theirs", ending);
        assert!((3..=4).contains(&parts.len()), "{parts:?}");
        assert_lengths(&parts, 3.0);
        for part in &parts {
            let first = packets(part, "v:0")[0];
            assert!(first.1 && first.0 < 0.06, "{}: {first:?}", part.display());
        }
    }
}

#[tokio::test]
async fn sound_alone_is_split_too() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let words = ["--auto-answer", "--video", "none"];
    let _bob = login(server.url(), "bob", &words).await;
    for ending in ["mkv", "mp4"] {
        let file = format!("theirs.{ending}");
        let words = ["call", "bob", "--as", "alice", "--duration", "7s", "--video", "none"];
        let record = ["--record", &file, "--record-split", "2s"];
        let mut alice = peer(server.url(), &words).args(record).start();
        alice.await_event("ended", THE_END).await;
        alice.gone(PATIENCE).await;
        let parts = split(alice.home(), "theirs", ending);
        assert!((3..=4).contains(&parts.len()), "{parts:?}");
        let count: usize = parts.iter().map(|part| packets(part, "a:0").len()).sum();
        // Fifty a second, from the first to the end.
        assert!((300..=360).contains(&count), "{ending}: {count}");
    }
}
