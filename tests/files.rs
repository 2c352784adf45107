//! Files and pipes as a user gives them: what would be destroyed, what is not there any more, what
//! makes wait, and what a disk has no room for.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::process::PeerBuilder;
use crate::support::server::{Server, THE_END, login, peer};
use crate::support::{PATIENCE, one_at_a_time, sees_more};

#[tokio::test]
async fn a_recording_never_destroys_what_is_sent() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/media/turned-90.mp4");
    std::fs::copy(&clip, at("clip.mp4")).expect("a copy");
    std::fs::hard_link(at("clip.mp4"), at("hard.mp4")).expect("a link");
    let whole = std::fs::read(&clip).expect("the clip");
    let records = [
        ["--record", &at("clip.mp4"), "--view", "none"],
        ["--record-local", &at("hard.mp4"), "--view", "none"],
        ["--record", &at("a.mkv"), "--record-local", &at("../a.mkv")],
    ];
    for mut record in records {
        let beside = format!("{}/./a.mkv", folder.path().display());
        if record[1].ends_with("a.mkv") {
            record[3] = &beside;
        }
        let words = ["call", "bob", "--as", "alice", "--video", &at("clip.mp4"), "--audio", "none"];
        let alice = peer("ws://127.0.0.1:9", &words).args(record).run().await;
        assert_eq!(alice.code, Some(5), "{record:?}: {}", alice.said);
        assert!(alice.said.contains("cannot write"), "{}", alice.said);
        assert!(std::fs::read(at("clip.mp4")).expect("the copy") == whole, "{record:?}");
    }
}

#[tokio::test]
async fn a_disk_that_is_full_is_said_and_told_by_the_exit_code() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let full = folder.path().join("full.mkv");
    std::os::unix::fs::symlink("/dev/full", &full).expect("a link");
    let there = ["--auto-answer", "--size", "320x180", "--record", full.to_str().expect("plain")];
    let mut bob = login(server.url(), "bob", &there).await;
    let words = ["call", "bob", "--as", "alice", "--duration", "2s"];
    let alice = peer(server.url(), &words).arg("--record").arg(&full).run().await;
    assert_eq!(alice.code, Some(5), "{}", alice.said);
    let stopped = alice.events.iter().find(|event| event["event"] == "recording-stopped");
    let stopped = stopped.unwrap_or_else(|| panic!("no end of the recording: {}", alice.said));
    assert!(stopped["reason"].as_str().is_some_and(|why| why.contains("No space")), "{stopped}");
    let ended = alice.events.iter().find(|event| event["event"] == "ended").expect("an end");
    assert_eq!(ended["reason"], "duration", "the call went on: {ended}");
    bob.await_event("ended", PATIENCE).await;
    bob.type_line("quit");
    let bob = bob.wait(PATIENCE).await;
    assert_eq!(bob.code, Some(5), "a login tells it at its end: {}", bob.said);
}

#[tokio::test]
async fn a_file_that_is_not_there_any_more_ends_the_call_in_words_on_both_sides() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let clip = folder.path().join("clip.mp4").display().to_string();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/media/turned-90.mp4");
    std::fs::copy(from, &clip).expect("a copy");
    let mut bob =
        login(server.url(), "bob", &["--auto-answer", "--video", &clip, "--audio", "none"]).await;
    std::fs::remove_file(&clip).expect("no clip");
    let alice = peer(server.url(), &["call", "bob", "--as", "alice"]).run().await;
    assert_eq!(alice.code, Some(5), "{}", alice.said);
    let ended = alice.events.iter().find(|event| event["event"] == "ended").expect("an end");
    assert_eq!(ended["reason"], "media-failed", "{ended}");
    assert!(ended["message"].as_str().is_some_and(|why| why.contains("the other side")), "{ended}");
    let theirs = bob.await_event("ended", THE_END).await;
    assert_eq!(theirs["reason"], "media-failed", "{theirs}");
    assert!(theirs["message"].as_str().is_some_and(|why| why.contains("clip.mp4")), "{theirs}");
}

#[tokio::test]
async fn a_pipe_makes_nobody_wait() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let mut bob = login(server.url(), "bob", &["--auto-answer"]).await;
    let words = ["call", "bob", "--as", "alice", "--audio", "none"];
    let mut alice = peer(server.url(), &words).arg("--video").arg(&pipe).start();
    let waits = alice.await_event("error", PATIENCE).await;
    assert_eq!(waits["code"], "source-waits", "{waits}");
    bob.await_event("first-video-frame", PATIENCE).await;
    // Somebody writes: pictures of another size come, and go, and the call goes on.
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/media/wide-pixels-sps.mp4");
    let writer = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y", "-i"])
        .arg(&clip)
        .args(["-t", "1", "-f", "yuv4mpegpipe"])
        .arg(&pipe)
        .status();
    assert!(writer.expect("ffmpeg").success());
    let plays = alice.await_event("error", PATIENCE).await;
    assert_eq!(plays["code"], "device-back", "{plays}");
    sees_more(&mut bob, 5).await;
    let before = tokio::time::Instant::now();
    alice.interrupt();
    let alice = alice.wait(PATIENCE).await;
    assert_eq!(alice.code, Some(0), "{}", alice.said);
    assert!(before.elapsed().as_secs() < 5, "{:?}", before.elapsed());
}

#[tokio::test]
async fn one_pipe_is_not_both_picture_and_sound() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pipe = folder.path().join("pipe").display().to_string();
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let link = folder.path().join("link").display().to_string();
    std::os::unix::fs::symlink(&pipe, &link).expect("a link");
    for (video, audio) in [("-", "-"), (&pipe, &pipe), (&pipe, &link)] {
        let words = ["call", "bob", "--as", "alice", "--video", video, "--audio", audio];
        let alice = peer("ws://127.0.0.1:9", &words).run().await;
        assert_eq!(alice.code, Some(5), "{}", alice.said);
        assert!(alice.said.contains("one pipe cannot be both picture and sound"), "{}", alice.said);
    }
}

/// A film whose third picture comes a million seconds after the second.
pub(crate) fn waits_for_years(folder: &Path) -> PathBuf {
    let ivf = folder.join("years.ivf");
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/media/cut-last-packet.ivf");
    let mut data = std::fs::read(clip).expect("the clip");
    let mut at = 32;
    for n in 0..31u64 {
        let size = u32::from_le_bytes(data[at..at + 4].try_into().expect("four bytes")) as usize;
        let time = if n < 2 { n } else { n + 25_000_000 };
        data[at + 4..at + 12].copy_from_slice(&time.to_le_bytes());
        at += 12 + size;
    }
    std::fs::write(&ivf, data).expect("a file");
    ivf
}

#[tokio::test]
async fn a_source_that_waits_for_years_delays_no_end() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ivf = waits_for_years(folder.path());
    let mut bob = login(server.url(), "bob", &["--auto-answer"]).await;
    let words = ["call", "bob", "--as", "alice", "--audio", "none"];
    let mut alice = peer(server.url(), &words).arg("--video").arg(&ivf).start();
    bob.await_event("first-video-frame", PATIENCE).await;
    let before = tokio::time::Instant::now();
    alice.interrupt();
    let ended = alice.await_event("ended", PATIENCE).await;
    assert_eq!(ended["reason"], "interrupted", "{ended}");
    assert!(before.elapsed().as_secs() < 5, "{:?}", before.elapsed());
    bob.await_event("ended", PATIENCE).await;
}

#[tokio::test]
async fn a_recording_has_keyframes_and_a_turned_film_is_sent_upright() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/media/turned-90.mp4");
    let clip = clip.display().to_string();
    let bob = ["--auto-answer", "--video", &clip, "--audio", "none"];
    let _bob = login(server.url(), "bob", &bob).await;
    let words = ["call", "bob", "--as", "alice", "--duration", "11s", "--record", "call.mkv"];
    let mut alice = peer(server.url(), &words).args(["--record-split", "6s"]).start();
    let first = alice.await_event("first-video-frame", PATIENCE).await;
    assert_eq!((&first["width"], &first["height"]), (&136.into(), &320.into()), "{first}");
    alice.await_event("ended", THE_END).await;
    for file in ["call.mkv", "call-2.mkv"] {
        let path = alice.home().join(file);
        let probed = Command::new("ffprobe")
            .args(["-v", "error", "-select_streams", "v", "-show_entries"])
            .args(["packet=flags:stream=color_space,width,height", "-of", "csv=p=0"])
            .arg(&path)
            .output()
            .expect("ffprobe");
        let said = String::from_utf8_lossy(&probed.stdout).into_owned();
        assert!(said.contains('K') && said.contains("136,320,"), "{file}: {said}");
        assert!(probed.stderr.is_empty(), "{}", String::from_utf8_lossy(&probed.stderr));
    }
}

#[tokio::test]
async fn pictures_that_no_encoder_takes_are_sent_smaller() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let _bob = login(server.url(), "bob", &["--auto-answer", "--size", "4096x2304"]).await;
    let words = ["call", "bob", "--as", "alice", "--duration", "3s", "--video", "none"];
    let mut alice = peer(server.url(), &words).start();
    let first = alice.await_event("first-video-frame", PATIENCE).await;
    // A slow machine steps down before its first picture is there.
    let (width, height) = (first["width"].as_u64(), first["height"].as_u64());
    assert!((960..=3840).contains(&width.unwrap_or(0)), "{first}");
    assert_eq!(width.map(|width| width * 9), height.map(|height| height * 16), "{first}");
    assert_eq!(alice.wait(THE_END).await.code, Some(0));
}

/// An H.264 stream of one grey picture of 1920x1088 in so many slices, each of as many macroblocks as
/// that takes, which say no more than that they are predicted from nothing.
fn in_slices(slices: u32) -> Vec<u8> {
    const MACROBLOCKS: u32 = 120 * 68;
    let unit = |kind: u8, bits: &str| {
        let mut bits = format!("{bits}1");
        bits.extend(std::iter::repeat_n('0', bits.len().next_multiple_of(8) - bits.len()));
        let bytes: Vec<_> = (0..bits.len() / 8)
            .map(|at| u8::from_str_radix(&bits[at * 8..at * 8 + 8], 2).expect("bits"))
            .collect();
        // Emulation prevention (section 7.4.1.1): no three bytes look like the start of a unit.
        let mut unit = vec![0, 0, 0, 1, kind];
        for byte in bytes {
            if unit.len() > 6 && unit.ends_with(&[0, 0]) && byte <= 3 {
                unit.push(3);
            }
            unit.push(byte);
        }
        unit
    };
    // Exp-Golomb codes (section 9.1).
    let ue = |number: u32| {
        let bits = format!("{:b}", number + 1);
        format!("{}{bits}", "0".repeat(bits.len() - 1))
    };
    let all = |numbers: &[u32]| numbers.iter().map(|number| ue(*number)).collect::<String>();
    // Baseline, level 4.2; no order but that of decoding, one reference, 120x68 macroblocks.
    let head = format!("{:08b}{:08b}{:08b}", 66, 0, 42);
    let sps =
        [head, all(&[0, 0, 2, 1]), "0".to_owned(), all(&[119, 67]), "1100".to_owned()].concat();
    let pps = format!("{}00{}000{}000", all(&[0, 0]), all(&[0, 0, 0]), all(&[0, 0, 0]));
    let mut stream = [unit(0x67, &sps), unit(0x68, &pps)].concat();
    let each = MACROBLOCKS.div_ceil(slices);
    for first in (0..MACROBLOCKS).step_by(each as usize) {
        let mut slice = format!("{}0000{}00{}", all(&[first, 7, 0]), ue(0), ue(0));
        for _ in first..MACROBLOCKS.min(first + each) {
            slice.push_str(&format!("{}1", all(&[3, 0, 0])));
        }
        stream.extend(unit(0x65, &slice));
    }
    stream
}

#[tokio::test]
async fn a_picture_in_thousands_of_slices_is_refused_at_once_and_in_hundreds_it_is_shown() {
    let _alone = one_at_a_time().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (slices, plays) in [(8_160, false), (1_020, true), (68, true)] {
        let clip = folder.path().join(format!("{slices}.h264"));
        // Some pictures, so that there is something to see for a while.
        std::fs::write(&clip, in_slices(slices).repeat(if plays { 30 } else { 3 }))
            .expect("a clip");
        let clip = clip.to_str().expect("a plain path");
        let words = ["loopback", "--video", clip, "--audio", "none", "--duration", "2s", "--json"];
        let began = peer::clock::now();
        let ended = PeerBuilder::new(words).run().await;
        let took = (peer::clock::now() - began).as_secs_f64();
        if plays {
            let report = ended.events.iter().find(|event| event["event"] == "report");
            let report = report.unwrap_or_else(|| panic!("{slices}: {}", ended.said));
            let decoded = report["callerToCallee"]["video"]["framesDecoded"].as_u64();
            assert!(decoded > Some(3), "{slices}: {}", ended.said);
        } else {
            assert_eq!(ended.code, Some(5), "{slices}: {}", ended.said);
            assert!(ended.said.contains("more than 1024 pieces"), "{slices}: {}", ended.said);
            assert!(took < 10.0, "{slices}: {took} s");
        }
    }
}
