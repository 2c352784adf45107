//! Measurements, not tests: what a call costs next to its codecs alone and to a browser. They are run
//! by name and print their figures: `cargo test --release -- --ignored --nocapture measure`.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use peer::clock;
use peer::media::codec::h264::{H264Decoder, H264Encoder};
use peer::media::codec::{VideoDecoder, VideoEncoder, VideoEncoderSettings};
use peer::media::container::annexb::AnnexBReader;
use peer::media::frame::VideoFrame;
use peer::media::source::{AudioSourceSpec, MediaOptions, VideoSourceSpec, open};
use serde_json::Value;

use crate::support::bare_page::BarePage;
use crate::support::camera::Camera;
use crate::support::chromium::FakeMedia;
use crate::support::display::Display;
use crate::support::server::{Server, THE_END, login, peer};
use crate::support::sound_server::{SoundServer, speech};
use crate::support::{PATIENCE, clip, one_at_a_time};

const SECONDS: u64 = 30;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement of half a minute"]
async fn measure_a_call_at_720p_with_chromium() {
    let _alone = one_at_a_time().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let camera = folder.path().join("camera.y4m");
    // Another clip can be named, since the shipped one is an easy one.
    let film = std::env::var("PEER_CLIP_720P").unwrap_or_else(|_| clip("camera-720p.mp4"));
    ffmpeg(&["-i", &film, "-vf", "scale=1280:720,fps=30", "-an"], &camera);
    let speech = folder.path().join("speech.wav");
    ffmpeg(&["-i", &clip("speech.opus")], &speech);

    let server = Server::start().await;
    let media = FakeMedia { video: Some(camera.clone()), audio: Some(speech.clone()) };
    let page = BarePage::log_in_sized(server.url(), "page", media, (1280, 720)).await;
    let duration = format!("{SECONDS}s");
    let words = ["call", "page", "--as", "alice", "--duration", &duration, "--record", "page.mkv"];
    let mut alice = peer(server.url(), &words)
        .args(["--max-bitrate", "2.5M", "--video"])
        .arg(&camera)
        .arg("--audio")
        .arg(&speech)
        .start();
    page.wait_for_status("in a call").await;
    alice.await_event("connected", PATIENCE).await;
    let (pid, chromium) = (alice.pid(), chromium_processes());
    let (ours, theirs) = (cpu_seconds(&[pid]), cpu_seconds(&chromium));
    for _ in 0..SECONDS - 3 {
        alice.next_event("stats", PATIENCE).await;
    }
    let ours = cpu_seconds(&[pid]) - ours;
    let theirs = cpu_seconds(&chromium) - theirs;
    let ended = alice.await_event("ended", THE_END).await;
    let summary = &ended["summary"];
    let number = |path: &str| summary.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN);
    let sent = number("/outbound/video/framesEncoded");
    let decoded = number("/inbound/video/framesDecoded");
    let seconds = number("/durationMs") / 1e3;
    let bitrate = number("/outbound/video/bytesSent") * 8.0 / seconds;

    let h264 = folder.path().join("page.h264");
    ffmpeg(&["-i", &alice.home().join("page.mkv").display().to_string(), "-c", "copy"], &h264);
    let codecs = codecs_alone(&camera, bitrate as u32, &h264);
    let measured = (SECONDS - 3) as f64;
    println!("{sent} pictures sent at {:.0} kbit/s, {decoded} received", bitrate / 1e3);
    println!("codecs alone {codecs:.3} of a core");
    println!("peer {:.3} of a core, {:.2} times", ours / measured, ours / measured / codecs);
    println!("Chromium {:.3} of a core", theirs / measured);
    println!("peer's memory {:.0} MB at most", number("/process/peakRssBytes") / 1e6);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement of three minutes"]
async fn measure_devices_at_720p() {
    let _alone = one_at_a_time().await;
    let (server, sound, display) =
        (Server::start().await, SoundServer::start().await, Display::start());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let film = folder.path().join("film.y4m");
    ffmpeg(&["-i", &clip("camera-720p.mp4"), "-vf", "scale=1280:720,fps=30", "-an"], &film);
    let camera = Camera::filming("NV12", (1280, 720), &film);
    let _talker = sound.play_into_microphone(&speech(folder.path(), 40));
    let film = film.to_str().expect("a plain path");
    let theirs = ["--auto-answer", "--video", film, "--audio", &clip("speech.opus")];
    let mut bob = login(server.url(), "bob", &theirs).await;
    let speech = clip("speech.opus");
    let from_files = ["--video", film, "--audio", &speech];
    let compressed = clip("camera-720p.mp4");
    let from_compressed = ["--video", &compressed, "--size", "1280x720", "--audio", &speech];
    let from_devices = ["--video", "camera", "--size", "1280x720", "--audio", "mic"];
    let shown = ["--view", "window", "--speaker", "default"];
    let from_devices = [&from_devices[..], &shown].concat();
    let kinds = [&from_files[..], &from_devices, &from_compressed];
    let (mut costs, mut to_codecs) = ([0.0; 3], [0.0; 3]);
    // In turn and twice: the machine's mood changes.
    for (at, words) in kinds.into_iter().cycle().take(6).enumerate() {
        let call = ["call", "bob", "--as", "alice", "--max-bitrate", "2.5M"];
        let alice = peer(server.url(), &call).args(words);
        let mut alice = display.with(sound.with(camera.with(alice))).start();
        alice.await_event("first-video-frame", PATIENCE).await;
        alice.next_event("stats", PATIENCE).await;
        let before = cpu_seconds(&[alice.pid()]);
        for _ in 0..SECONDS {
            alice.next_event("stats", PATIENCE).await;
        }
        let cost = (cpu_seconds(&[alice.pid()]) - before) / SECONDS as f64;
        println!("{}: {cost:.3} of a core", words.join(" "));
        let threads = threads(alice.pid());
        let words = threads.iter().map(|(name, seconds)| format!("{name} {seconds:.1} s"));
        println!("{}", words.collect::<Vec<_>>().join(", "));
        costs[at % 3] += cost / 2.0;
        to_codecs[at % 3] += share_of_codecs(&threads) / 2.0;
        alice.interrupt();
        alice.await_event("ended", PATIENCE).await;
        bob.await_event("ended", PATIENCE).await;
    }
    let [files, devices, compressed] = costs;
    println!("files {files:.3}, devices {devices:.3} of a core: {:.2} times", devices / files);
    println!("from MP4 {compressed:.3} of a core: {:.2} times", devices / compressed);
    let [files, devices, _] = to_codecs;
    println!("with the codecs' threads as the measure: {:.2} times", files / devices);
}

/// Of all that the threads have used, what encodes and decodes pictures: that is the same work in
/// each call, and says how fast the machine was meanwhile.
fn share_of_codecs(threads: &[(String, f64)]) -> f64 {
    let is_codec = |name: &str| ["peer-encode", "peer-decode"].contains(&name);
    let codecs = threads.iter().filter(|(name, _)| is_codec(name));
    codecs.map(|(_, seconds)| seconds).sum::<f64>()
        / threads.iter().map(|(_, seconds)| seconds).sum::<f64>()
}

/// Seconds that each thread has used since it began, those that did anything.
fn threads(pid: i32) -> Vec<(String, f64)> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("alive").flatten();
    let used = tasks.filter_map(|task| {
        let stat = fs::read_to_string(task.path().join("stat")).ok()?;
        let (name, fields) = stat.split_once('(')?.1.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let ticks: f64 =
            fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
        (ticks >= 10.0).then(|| (name.to_owned(), ticks / 100.0))
    });
    used.collect()
}

fn ffmpeg(input: &[&str], to: &Path) {
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y"])
        .args(input)
        .arg(to)
        .output()
        .expect("ffmpeg; `make deps` installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Processor seconds a second of encoding a clip and decoding a recorded stream, and nothing else: at
/// the pace of a call, since a processor that naps between pictures is slower than one that does not.
fn codecs_alone(clip: &Path, bitrate: u32, h264: &Path) -> f64 {
    let options = MediaOptions {
        video: VideoSourceSpec::File(clip.to_owned()),
        audio: AudioSourceSpec::None,
        once: true,
        ..MediaOptions::default()
    };
    let mut source = open(&options).expect("the clip").video.expect("pictures");
    let all = std::iter::from_fn(|| source.next_frame().expect("a whole clip"));
    let mut frames: Vec<VideoFrame> = all.filter_map(Arc::into_inner).collect();
    let mut reader = AnnexBReader::new(BufReader::new(File::open(h264).expect("a stream")));
    let units: Vec<Vec<u8>> =
        std::iter::from_fn(|| reader.next_unit().expect("a whole stream")).collect();

    let settings = VideoEncoderSettings { size: frames[0].size(), fps: 30.0, bitrate };
    let mut encoder = H264Encoder::new(settings).expect("usual settings");
    let mut decoder = H264Decoder::new().expect("a decoder");
    let (started, began) = (thread_seconds(), clock::now());
    for (number, unit) in units.iter().enumerate() {
        let due = began + Duration::from_secs_f64(number as f64 / 30.0);
        clock::sleep_until(due);
        let at = number % frames.len();
        frames[at].set_captured_at(due);
        encoder.encode(&frames[at]).expect("a picture");
        decoder.decode(unit, clock::now()).expect("a picture");
    }
    (thread_seconds() - started) / (units.len() as f64 / 30.0)
}

fn thread_seconds() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).expect("Linux counts");
    let seconds =
        |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}

/// Every process of the browser; there is only the one of this test.
fn chromium_processes() -> Vec<i32> {
    let processes = fs::read_dir("/proc").expect("Linux").flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        program.ends_with("chromium")
    })
    .collect()
}

fn cpu_seconds(pids: &[i32]) -> f64 {
    let ticks = pids.iter().filter_map(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        Some(fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?)
    });
    // Linux counts these in hundredths of a second for every program.
    ticks.sum::<f64>() / 100.0
}
