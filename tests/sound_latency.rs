//! How long sound takes from a microphone through two `peer`s to a speaker, measured on a real
//! sound server; and whether it clicks or drifts on the way.

use std::f64::consts::TAU;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::server::{Server, peer};
use crate::support::sound_server::SoundServer;
use crate::support::{PATIENCE, one_at_a_time};

const RATE: usize = 48_000;

/// Every second begins with a chirp of 20 ms; under it lies a quiet, steady tone.
const CHIRP: usize = RATE / 50;
const TONE_HZ: f64 = 440.0;

/// One sample of the chirp: 1 to 4 kHz.
fn chirp(at: usize) -> f64 {
    let (t, whole) = (at as f64 / RATE as f64, CHIRP as f64 / RATE as f64);
    let window = (TAU / 2.0 * t / whole).sin();
    0.4 * window * (TAU * (1_000.0 + 1_500.0 * t / whole) * t).sin()
}

fn signal(folder: &Path, seconds: usize) -> PathBuf {
    let to = folder.join("signal.wav");
    let samples = (0..seconds * RATE).map(|at| {
        let tone = 0.05 * (TAU * TONE_HZ * at as f64 / RATE as f64).sin();
        let value = if at % RATE < CHIRP { chirp(at % RATE) } else { tone };
        ((value * 32_767.0) as i16).to_le_bytes()
    });
    let data: Vec<u8> = samples.flatten().collect();
    let mut wav = Vec::with_capacity(data.len() + 44);
    let length = u32::try_from(data.len()).expect("under 4 GB");
    wav.extend(b"RIFF");
    wav.extend((length + 36).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend((RATE as u32).to_le_bytes());
    wav.extend((RATE as u32 * 2).to_le_bytes());
    wav.extend(b"\x02\0\x10\0data");
    wav.extend(length.to_le_bytes());
    wav.extend(data);
    std::fs::write(&to, wav).expect("a file");
    to
}

/// What a sink plays, and when: the least time that any part of it took to come.
struct Recording {
    samples: Vec<f32>,
    began_at: Instant,
}

fn record(mut output: impl Read + Send + 'static) -> JoinHandle<Recording> {
    std::thread::spawn(move || {
        let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
        let mut began_at: Option<Instant> = None;
        while let Ok(length @ 1..) = output.read(&mut buffer) {
            bytes.extend(&buffer[..length]);
            let heard = Duration::from_secs_f64(bytes.len() as f64 / 4.0 / RATE as f64);
            let began =
                peer::clock::now().checked_sub(heard).expect("a machine that runs for a while");
            began_at = Some(began_at.map_or(began, |earlier| earlier.min(began)));
        }
        let samples = bytes.as_chunks().0.iter().map(|sample| f32::from_le_bytes(*sample));
        Recording { samples: samples.collect(), began_at: began_at.expect("a recording") }
    })
}

impl Recording {
    /// When each chirp began.
    fn chirps(&self) -> Vec<Instant> {
        let template: Vec<f64> = (0..CHIRP).map(chirp).collect();
        let likeness = |at: usize| {
            let part = self.samples.get(at..at + CHIRP)?;
            Some(part.iter().zip(&template).map(|(a, b)| f64::from(*a) * b).sum::<f64>())
        };
        let (mut found, mut at) = (Vec::new(), 0);
        while at + CHIRP < self.samples.len() {
            // Loud is a chirp; where exactly it begins is where it is most alike.
            if self.samples[at].abs() < 0.12 {
                at += 1;
                continue;
            }
            let around = at.saturating_sub(CHIRP)..at + CHIRP;
            let best = around.filter_map(|at| Some((likeness(at)?, at)));
            let best = best.max_by(|one, other| one.0.total_cmp(&other.0));
            let begins = best.expect("samples around").1;
            found.push(self.began_at + Duration::from_secs_f64(begins as f64 / RATE as f64));
            at = begins + RATE / 2;
        }
        found
    }

    /// Where the tone breaks, seconds: what is left when it is taken away, much over the usual.
    fn clicks(&self) -> Vec<usize> {
        let turn = 2.0 * (TAU * TONE_HZ / RATE as f64).cos();
        let rest: Vec<f64> = self
            .samples
            .windows(3)
            .map(|w| (f64::from(w[0]) - turn * f64::from(w[1]) + f64::from(w[2])).abs())
            .collect();
        let mut usual = rest.clone();
        usual.sort_by(f64::total_cmp);
        // A seam that nobody hears is none: 4 % of the tone.
        let limit = (usual[usual.len() / 2] * 30.0).max(0.002);
        let (mut clicks, mut at) = (Vec::new(), RATE);
        while at + RATE < rest.len() {
            let chirps = || self.samples[at.saturating_sub(RATE / 10)..at + RATE / 10].iter();
            if rest[at] > limit && chirps().all(|sample| sample.abs() < 0.12) {
                clicks.push(at / RATE);
                at += RATE / 20;
            }
            at += 1;
        }
        clicks
    }
}

/// `PEER_MINUTES=10` measures so long; half a minute otherwise.
#[tokio::test]
#[ignore = "a measurement"]
async fn measure_microphone_to_speaker() {
    let _alone = one_at_a_time().await;
    let minutes = std::env::var("PEER_MINUTES").ok().and_then(|n| n.parse::<f64>().ok());
    let seconds = (minutes.unwrap_or(0.5) * 60.0) as usize;
    let (server, sound) = (Server::start().await, SoundServer::start().await);
    let folder = tempfile::tempdir().expect("a temporary folder");
    // The sound server's own share: it ties microphone and speaker itself, as closely as it can.
    let tie = ["load-module", "module-loopback", "source=mic", "sink=speaker", "latency_msec=1"];
    sound.tell(&tie).await;
    let alone = measure(&sound, &signal(folder.path(), 20)).await;
    println!("the sound server alone: {alone}");
    sound.tell(&["unload-module", "module-loopback"]).await;
    let signal = signal(folder.path(), seconds);
    let heard = ["--speaker", "default", "--audio", "none"];
    let words = [&["login", "bob", "--auto-answer", "--video", "none"], &heard[..]].concat();
    let mut bob = sound.with(peer(server.url(), &words)).with_input().start();
    bob.await_event("logged-in", PATIENCE).await;
    let words = ["call", "bob", "--as", "alice", "--audio", "mic", "--video", "none"];
    let as_it_is = ["--no-noise-suppression", "--no-auto-gain"];
    let mut alice = sound.with(peer(server.url(), &words)).args(as_it_is).start();
    bob.await_event("first-audio", PATIENCE).await;
    println!("through two peers: {}", measure(&sound, &signal).await);
    alice.interrupt();
    let ended = alice.await_event("ended", PATIENCE).await;
    println!("we: {}", ended["summary"]["process"]);
    let ended = bob.await_event("ended", PATIENCE).await;
    println!("they: {} {}", ended["summary"]["process"], ended["summary"]["inbound"]["audio"]);
}

/// Plays the signal into the microphone and compares it with what the speaker plays.
async fn measure(sound: &SoundServer, signal: &Path) -> String {
    let (said, heard) = (sound.listen("micfeed"), sound.listen("speaker"));
    let (listeners, said, heard) = ((said.0, heard.0), record(said.1), record(heard.1));
    let talker = sound.play_into_microphone(signal);
    tokio::task::spawn_blocking(move || talker.wait()).await.expect("it plays to its end");
    drop(listeners);
    let (said, heard) = (said.join().expect("a recording"), heard.join().expect("a recording"));
    let heard_at = heard.chirps();
    let mut latencies: Vec<f64> = Vec::new();
    for said_at in said.chirps() {
        let next = heard_at.iter().find(|at| **at > said_at);
        let late = next.map(|at| (*at - said_at).as_secs_f64() * 1e3);
        latencies.extend(late.filter(|late| *late < 900.0));
    }
    let median = |part: &[f64]| {
        let mut part = part.to_vec();
        part.sort_by(f64::total_cmp);
        part.get(part.len() / 2).copied().unwrap_or(f64::NAN)
    };
    for (at, part) in latencies.chunks(15).enumerate() {
        print!("{}s {:.0} ", at * 15, median(part));
    }
    println!("ms; clicks at {:?} s", heard.clicks());
    let tenth = (latencies.len() / 10).max(1);
    let (first, last) = (&latencies[..tenth], &latencies[latencies.len() - tenth..]);
    let mut sorted = latencies.clone();
    sorted.sort_by(f64::total_cmp);
    format!(
        "{} chirps, p50 {:.1} ms, p95 {:.1}, max {:.1}; the first tenth {:.1}, the last {:.1}; {} clicks",
        sorted.len(),
        median(&sorted),
        sorted[(sorted.len() * 95 / 100).min(sorted.len() - 1)],
        sorted[sorted.len() - 1],
        median(first),
        median(last),
        heard.clicks().len(),
    )
}
