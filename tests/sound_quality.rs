//! How speech sounds after a path that loses packets: the real encoder, sender's decisions, copies,
//! jitter buffer and decoder, in virtual time, judged by PESQ (ITU-T P.862.2).
//!
//! A measurement: needs ffmpeg, and python3 with PyPI `pesq` (`pip install numpy cython`, then `pip
//! install --no-build-isolation pesq`). Run it with
//! `cargo test --release -- --ignored --nocapture measure_speech`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use peer::clock;
use peer::media::codec::AudioEncoderSettings;
use peer::media::codec::opus::{OpusDecoder, OpusEncoder};
use peer::media::encoded::EncodedFrame;
use peer::media::frame::AudioFrame;
use peer::media::pipeline::audio_out::{AudioOut, AudioOutHooks};
use peer::media::playout::audio::AudioPlayout;
use peer::media::sound_rate::SoundRate;
use peer::media::source::{AudioSource, SourceError};
use peer::rtc::red::{History, split};

const RATE: usize = 48_000;
const BLOCK: usize = RATE / 100;

/// The payload type that stands in copies; any will do.
const OPUS: u8 = 111;

/// Runs of each case, with other packets lost each time.
const RUNS: u64 = 6;

/// A path: how much it loses, in bursts of how many packets on average, and what it carries.
struct Route {
    name: &'static str,
    loss: f64,
    burst: f64,
    copies: bool,
    budget: u32,
}

const PATHS: [Route; 10] = [
    Route { name: "nothing lost", loss: 0.0, burst: 1.0, copies: true, budget: u32::MAX },
    Route { name: "5 %", loss: 0.05, burst: 1.0, copies: true, budget: u32::MAX },
    Route { name: "10 % in bursts", loss: 0.1, burst: 2.0, copies: true, budget: u32::MAX },
    Route {
        name: "10 % in bursts, no RED",
        loss: 0.1,
        burst: 2.0,
        copies: false,
        budget: u32::MAX,
    },
    Route { name: "10 % in long bursts", loss: 0.1, burst: 4.0, copies: true, budget: u32::MAX },
    Route { name: "20 %", loss: 0.2, burst: 1.0, copies: true, budget: u32::MAX },
    Route { name: "30 %", loss: 0.3, burst: 1.0, copies: true, budget: u32::MAX },
    Route { name: "30 %, no RED", loss: 0.3, burst: 1.0, copies: false, budget: u32::MAX },
    Route { name: "nothing lost, 30 kbit/s", loss: 0.0, burst: 1.0, copies: true, budget: 30_000 },
    Route { name: "nothing lost, 22 kbit/s", loss: 0.0, burst: 1.0, copies: true, budget: 22_000 },
];

#[test]
#[ignore = "a measurement"]
fn measure_speech_over_bad_paths() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/clips/speech.opus");
    let said = folder.path().join("said.wav");
    convert(&["-i", &clip.display().to_string(), "-ac", "1"], &said, 16_000);
    let raw = folder.path().join("said.f32");
    let words = ["-i", &clip.display().to_string(), "-ac", "1", "-f", "f32le"];
    convert(&words, &raw, RATE);
    let mut speech = read(&raw);
    // What is judged comes after a while, when both sides know the path.
    let judged = speech.len();
    speech.splice(..0, speech[judged - WARM_UP..].to_vec());
    for path in PATHS {
        let (mut files, mut made_up, mut packets, mut lost) = (Vec::new(), 0.0, 0, 0);
        let mut bitrate = 0;
        for run in 0..RUNS {
            let sent = send(&speech, &path);
            let mut dice = Dice(run * 7_919 + 17);
            let gone = losses(sent.len(), &path, &mut dice);
            packets += sent.len();
            lost += gone.iter().filter(|gone| **gone).count();
            bitrate += sent.iter().map(|packet| packet.data.len() * 8).sum::<usize>();
            let (heard, concealed) = receive(&sent, &gone);
            made_up += concealed;
            let raw = folder.path().join("heard.f32");
            let bytes: Vec<u8> =
                heard[WARM_UP..].iter().flat_map(|sample| sample.to_le_bytes()).collect();
            std::fs::write(&raw, bytes).expect("a file");
            let to = folder.path().join(format!("heard-{run}.wav"));
            let from = raw.display().to_string();
            convert(&["-f", "f32le", "-ar", "48000", "-ac", "1", "-i", &from], &to, 16_000);
            files.push(to);
        }
        let mut scores = pesq(&said, &files);
        scores.sort_by(f64::total_cmp);
        let mean = scores.iter().sum::<f64>() / scores.len() as f64;
        println!(
            "{:24} PESQ-WB {mean:.2} ({:.2} to {:.2}), made up {:.2} %, lost {:.1} %, {:.0} kbit/s of payload",
            path.name,
            scores[0],
            scores[scores.len() - 1],
            made_up * 100.0 / RUNS as f64,
            lost as f64 * 100.0 / packets as f64,
            bitrate as f64 / 14e3 / RUNS as f64,
        );
    }
}

/// The speech as the sender's thread takes it, as fast as it can, once it may.
struct Speech {
    samples: Vec<f32>,
    at: usize,
    began: Instant,
    may_begin: Receiver<()>,
}

impl AudioSource for Speech {
    fn next_frame(&mut self) -> Result<Option<AudioFrame>, SourceError> {
        if self.at == 0 {
            let _ = self.may_begin.recv();
        }
        let captured_at = self.began + Duration::from_millis(self.at as u64 / 48);
        let block = self.samples.get(self.at..self.at + BLOCK).map(<[f32]>::to_vec);
        self.at += BLOCK;
        Ok(block.map(|samples| AudioFrame { samples, channels: 1, captured_at }))
    }

    fn channels(&self) -> usize {
        1
    }
}

/// A packet on its way.
struct Sent {
    data: Bytes,
    copies: bool,
    at: Duration,
    timestamp: u32,
}

fn send(speech: &[f32], path: &Route) -> Vec<Sent> {
    let (began, (go, may_begin)) = (clock::now(), sync_channel(1));
    let source = Speech { samples: speech.to_vec(), at: 0, began, may_begin };
    let settings =
        AudioEncoderSettings { channels: 1, bitrate: 32_000, inband_fec: true, dtx: false };
    let encoder = Box::new(OpusEncoder::new(settings).expect("an encoder"));
    let (to, packets) = sync_channel(speech.len());
    let deliver = move |packet: EncodedFrame, copies: usize| to.send((packet, copies)).is_ok();
    let hooks = AudioOutHooks { notice: Box::new(|_| {}), ended: Box::new(|_| {}) };
    let rate = SoundRate::new(1, path.copies);
    let budget = path.budget;
    let out = AudioOut::start(Box::new(source), encoder, (rate, move || budget), deliver, hooks);
    let out = out.expect("a thread");
    // The call has lasted for a while.
    (0..20).for_each(|_| out.state().set_packet_loss(path.loss));
    go.send(()).expect("the source waits");
    let (mut history, mut timestamp) = (History::default(), 0_u32);
    let mut sent = Vec::new();
    for (packet, copies) in packets {
        let packed = history.pack(OPUS, timestamp, &packet.data, copies);
        let packed = packed.filter(|_| path.copies);
        let end = Duration::from_millis(u64::from(timestamp + packet.samples) / 48);
        let (copies, data) = (packed.is_some(), packed.unwrap_or(packet.data));
        sent.push(Sent { data, copies, at: end, timestamp });
        timestamp += packet.samples;
    }
    sent
}

/// Which packets the path loses: a Gilbert channel.
fn losses(packets: usize, path: &Route, dice: &mut Dice) -> Vec<bool> {
    let leaves = 1.0 / path.burst;
    let enters = leaves * path.loss / (1.0 - path.loss);
    let mut bad = false;
    let mut lost = || {
        // Losses that do not come in bursts do not know of each other either.
        bad = match path.burst <= 1.0 {
            true => dice.roll() < path.loss,
            false if bad => dice.roll() >= leaves,
            false => dice.roll() < enters,
        };
        bad
    };
    (0..packets).map(|_| lost()).collect()
}

/// What is heard of it, and the share of it that was made up.
fn receive(sent: &[Sent], gone: &[bool]) -> (Vec<f32>, f64) {
    let began = clock::now();
    let mut playout = AudioPlayout::new(Box::new(OpusDecoder::new(1).expect("a decoder")));
    let mut arriving = sent.iter().zip(gone).enumerate().peekable();
    let mut heard = Vec::new();
    let (mut before, end) = (playout.counters(), sent.last().expect("packets").at + TRAVEL);
    let mut now = Duration::ZERO;
    while now < end {
        let due = |(_, (packet, _)): &(usize, (&Sent, &bool))| packet.at + TRAVEL <= now;
        while let Some((number, (packet, gone))) = arriving.next_if(due) {
            if *gone {
                continue;
            }
            let at = began + packet.at + TRAVEL;
            let (copies, new) = match packet.copies {
                true => split(packet.timestamp, &packet.data).expect("what we packed"),
                false => (vec![], packet.data.clone()),
            };
            for copy in copies {
                playout.insert_copy(at, copy.timestamp, copy.payload);
            }
            playout.insert(at, number as u16, packet.timestamp, new);
        }
        match playout.next_block(began + now, BLOCK, BLOCK) {
            Some(block) => heard.extend(block.frame.samples),
            None => heard.extend([0.0; BLOCK]),
        }
        now += Duration::from_millis(10);
        if heard.len() == WARM_UP {
            before = playout.counters();
        }
    }
    let after = playout.counters();
    let concealed = after.concealed_samples - before.concealed_samples;
    let played = after.total_samples_received - before.total_samples_received;
    (heard, concealed as f64 / played as f64)
}

/// What is played before what is judged, samples: 4 s.
const WARM_UP: usize = 4 * RATE;

const TRAVEL: Duration = Duration::from_millis(25);

/// The same wild numbers every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn convert(words: &[&str], to: &Path, rate: usize) {
    let status = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y"])
        .args(words)
        .args(["-ar", &rate.to_string(), &to.display().to_string()])
        .status();
    assert!(status.expect("ffmpeg; `make deps` installs it").success());
}

fn read(file: &Path) -> Vec<f32> {
    let bytes = std::fs::read(file).expect("a recording");
    bytes.as_chunks().0.iter().map(|sample| f32::from_le_bytes(*sample)).collect()
}

fn pesq(said: &Path, heard: &[PathBuf]) -> Vec<f64> {
    let script = "import sys, wave, numpy, pesq
def read(name):
    with wave.open(name) as f:
        return numpy.frombuffer(f.readframes(f.getnframes()), dtype=numpy.int16)
said = read(sys.argv[1])
for name in sys.argv[2:]:
    print(pesq.pesq(16000, said, read(name), 'wb'))";
    let output = Command::new("python3").args(["-c", script]).arg(said).args(heard).output();
    let output = output.expect("python3");
    let text = String::from_utf8_lossy(&output.stdout);
    let scores: Vec<f64> = text.lines().filter_map(|line| line.trim().parse().ok()).collect();
    let why = String::from_utf8_lossy(&output.stderr);
    assert_eq!(scores.len(), heard.len(), "python3 with pesq: {why}");
    scores
}
