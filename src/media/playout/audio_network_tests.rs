//! Sound through the buffer over networks of all kinds, in virtual time: what is made up, how long it
//! waits, and how soon that is over.

use std::time::Duration;

use super::*;
use crate::clock;
use crate::media::codec::opus::{OpusDecoder, OpusEncoder};
use crate::media::codec::{AudioEncoder, AudioEncoderSettings};

/// A network: where packets of 20 ms go, and what else comes with them.
struct Network {
    /// When each packet arrives, ms since the start; `None` when it is lost.
    arrivals: Vec<Option<f64>>,
    /// What the encoder is told is lost.
    loss: f64,
    /// How much earlier the packets are that each one carries again.
    copies: &'static [usize],
    /// Samples of each packet.
    samples: Vec<usize>,
    /// How much faster than ours the sender's clock runs.
    drift: f64,
}

/// One block as it was played.
struct Block {
    at: f64,
    /// How long after it was captured, ms; `None` when it was made up.
    late: Option<f64>,
    concealed: u64,
}

struct Heard {
    blocks: Vec<Block>,
    samples: Vec<f32>,
    counters: AudioCounters,
}

/// The same wild numbers every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

impl Network {
    /// Packets of 20 ms on a path of 25 ms.
    fn steady(count: usize) -> Self {
        Self::late_by(count, |_| Some(0.0))
    }

    fn late_by(count: usize, mut late: impl FnMut(usize) -> Option<f64>) -> Self {
        let arrivals = (0..count).map(|n| Some(n as f64 * 20.0 + 45.0 + late(n)?)).collect();
        Self { arrivals, loss: 0.0, copies: &[], samples: vec![960; count], drift: 0.0 }
    }

    fn losing(count: usize, loss: f64, copies: &'static [usize]) -> Self {
        let mut dice = Dice(42);
        let network = Self::late_by(count, |_| {
            let jitter = dice.roll() * 3.0;
            (dice.roll() >= loss).then_some(jitter)
        });
        Self { loss, copies, ..network }
    }

    /// Voiced and unvoiced syllables with pauses, in packets.
    fn packets(&self) -> Vec<(u32, Bytes)> {
        let settings =
            AudioEncoderSettings { channels: 1, bitrate: 24_000, inband_fec: true, dtx: false };
        let mut encoder = OpusEncoder::new(settings).unwrap();
        encoder.set_packet_loss(self.loss);
        let mut dice = Dice(7);
        let (mut at, mut phase) = (0_usize, 0.0_f32);
        let mut made = Vec::new();
        for samples in &self.samples {
            let sound: Vec<f32> = (at..at + samples)
                .map(|n| {
                    let t = n as f32 / 48_000.0;
                    phase += (110.0 + 40.0 * (t * 2.0).sin()) / 48_000.0 * std::f32::consts::TAU;
                    let voice = phase.sin() + 0.6 * (2.0 * phase).sin() + 0.4 * (5.0 * phase).cos();
                    let hiss = dice.roll() as f32 - 0.5;
                    let part = (t * 4.0).fract();
                    let soft = (part * 20.0).min((1.0 - part) * 20.0).min(1.0);
                    match (t * 4.0) as usize % 5 {
                        0..3 => 0.15 * soft * voice + 0.002 * hiss,
                        3 => 0.1 * soft * hiss,
                        _ => 0.002 * hiss,
                    }
                })
                .collect();
            let block = AudioFrame { samples: sound, channels: 1, captured_at: clock::now() };
            let packet = encoder.encode(&block).unwrap();
            made.push((3_000_000_000_u32.wrapping_add(at as u32), packet.data));
            at += samples;
        }
        made
    }

    /// Plays until the last packet was captured; blocks of `samples` are taken.
    fn play(&self, samples: usize) -> Heard {
        let start = clock::now();
        let after = |ms: f64| start + Duration::from_secs_f64(ms / 1e3);
        let packets = self.packets();
        let captured = |n: usize| self.arrivals[n].map(|at| (at, n));
        let mut order: Vec<(f64, usize)> = (0..packets.len()).filter_map(captured).collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0));
        let end = self.samples.iter().sum::<usize>() as f64 / 48.0;
        let mut playout = AudioPlayout::new(Box::new(OpusDecoder::new(1).unwrap()));
        let mut order = order.into_iter().peekable();
        let mut heard = Heard { blocks: vec![], samples: vec![], counters: playout.counters() };
        let step = samples as f64 / 48.0;
        for tick in 0..(end / step) as usize {
            let now = tick as f64 * step;
            while let Some((at, n)) = order.next_if(|(at, _)| at * (1.0 - self.drift) <= now) {
                let at = after(at * (1.0 - self.drift));
                for before in self.copies.iter().filter(|before| **before <= n) {
                    let (timestamp, copy) = &packets[n - before];
                    playout.insert_copy(at, *timestamp, copy.clone());
                }
                playout.insert(
                    at,
                    65_000_u16.wrapping_add(n as u16),
                    packets[n].0,
                    packets[n].1.clone(),
                );
            }
            let before = playout.counters().concealed_samples;
            let Some(block) = playout.next_block(after(now), samples, samples) else { continue };
            let sent = |rtp: u32| f64::from(rtp.wrapping_sub(3_000_000_000)) / 48.0;
            heard.blocks.push(Block {
                at: now,
                late: block.rtp_timestamp.map(|rtp| now - sent(rtp) * (1.0 - self.drift)),
                concealed: playout.counters().concealed_samples - before,
            });
            heard.samples.extend(block.frame.samples);
        }
        heard.counters = playout.counters();
        heard
    }
}

impl Heard {
    /// The share of what was played in these seconds that was made up.
    fn concealed(&self, from: f64, to: f64) -> f64 {
        let part = self.blocks.iter().filter(|b| (from * 1e3..to * 1e3).contains(&b.at));
        let (mut made_up, mut blocks) = (0, 0);
        part.for_each(|block| (made_up, blocks) = (made_up + block.concealed, blocks + 1));
        made_up as f64 / (blocks.max(1) as f64 * 480.0)
    }

    /// Where sound was made up: from which second on, and for how many milliseconds.
    fn gaps(&self) -> Vec<(f64, u64)> {
        let mut gaps: Vec<(f64, u64)> = Vec::new();
        let mut before = f64::NEG_INFINITY;
        for block in self.blocks.iter().filter(|block| block.concealed > 0) {
            match gaps.last_mut() {
                Some((_, ms)) if block.at - before < 25.0 => *ms += block.concealed / 48,
                _ => gaps.push((block.at / 1e3, block.concealed / 48)),
            }
            before = block.at;
        }
        gaps
    }

    /// The mean delay in these seconds, ms.
    fn delay(&self, from: f64, to: f64) -> f64 {
        let part = self.blocks.iter().filter(|b| (from * 1e3..to * 1e3).contains(&b.at));
        let late: Vec<f64> = part.filter_map(|block| block.late).collect();
        late.iter().sum::<f64>() / late.len().max(1) as f64
    }

    /// Steps that no sound of these makes by itself.
    fn clicks(&self, from: f64, to: f64) -> usize {
        let from = (from * 48_000.0) as usize;
        let part = &self.samples[from..((to * 48_000.0) as usize).min(self.samples.len())];
        part.windows(2).filter(|pair| (pair[1] - pair[0]).abs() > 0.25).count()
    }
}

#[test]
fn a_steady_path_adds_ten_milliseconds_and_stays_so() {
    let heard = Network::steady(1_000).play(480);
    // 25 ms of path, 20 of packet, and the least that waits.
    let delay = heard.delay(5.0, 20.0);
    assert!((46.0..72.0).contains(&delay), "{delay}");
    assert_eq!(heard.counters.concealed_samples, 0);
}

#[test]
fn random_loss_is_repaired_in_band() {
    for (loss, most) in [(0.05, 0.01), (0.1, 0.03), (0.2, 0.065)] {
        let heard = Network::losing(2_000, loss, &[]).play(480);
        let concealed = heard.concealed(2.0, 40.0);
        println!("{loss}: {concealed:.4}, {:.0} ms", heard.delay(5.0, 40.0));
        assert!(concealed < most, "{loss}: {concealed}");
        assert!(heard.delay(5.0, 40.0) < 135.0, "{loss}: {}", heard.delay(5.0, 40.0));
        assert_eq!(heard.clicks(1.0, 40.0), 0, "{loss}");
    }
}

#[test]
fn copies_repair_nearly_all() {
    let cases: [(f64, &[usize], f64); 3] =
        [(0.05, &[1], 0.008), (0.2, &[6, 3, 1], 0.01), (0.3, &[6, 3, 1], 0.015)];
    for (loss, copies, most) in cases {
        let heard = Network::losing(2_000, loss, copies).play(480);
        let concealed = heard.concealed(2.0, 40.0);
        println!("{loss} x{copies:?}: {concealed:.4}, {:.0} ms", heard.delay(5.0, 40.0));
        assert!(concealed < most, "{loss}: {concealed}");
        assert!(heard.counters.repaired_samples > 0);
        assert!(heard.delay(5.0, 40.0) < 190.0, "{loss}: {}", heard.delay(5.0, 40.0));
    }
}

#[test]
fn bursts_are_repaired_by_copies_that_are_apart() {
    let (mut dice, mut bad) = (Dice(9), false);
    let network = Network::late_by(3_000, |_| {
        bad = if bad { dice.roll() > 0.5 } else { dice.roll() < 0.055 };
        (!bad).then_some(0.0)
    });
    let lost = network.arrivals.iter().filter(|at| at.is_none()).count() as f64 / 3_000.0;
    let heard = Network { loss: 0.1, copies: &[6, 3, 1], ..network }.play(480);
    let concealed = heard.concealed(2.0, 60.0);
    println!("{lost:.3} lost in bursts: {concealed:.4}, {:.0} ms", heard.delay(5.0, 60.0));
    assert!(concealed < 0.012, "{concealed}");
}

#[test]
fn jitter_with_reordering_is_absorbed() {
    for seed in [1, 2, 3] {
        let mut dice = Dice(seed);
        let network = Network::late_by(1_500, |_| Some(dice.roll() * 100.0));
        for samples in [480, 120] {
            let heard = network.play(samples);
            let concealed = heard.counters.concealed_samples as f64 / (30.0 * 48_000.0);
            println!("{seed} {samples}: {concealed:.4}, {:.0} ms", heard.delay(5.0, 30.0));
            assert!(concealed < 0.008, "{concealed}");
            assert!(heard.delay(5.0, 30.0) < 45.0 + 130.0, "{}", heard.delay(5.0, 30.0));
            assert_eq!(heard.clicks(1.0, 30.0), 0);
        }
    }
}

#[test]
fn jitter_is_followed_both_ways() {
    let mut dice = Dice(5);
    let network = Network::late_by(1_200, |n| {
        Some(if (400..700).contains(&n) { dice.roll() * 100.0 } else { dice.roll() * 2.0 })
    });
    let heard = network.play(480);
    let (calm, shaky, again) =
        (heard.delay(6.0, 8.0), heard.delay(10.5, 14.0), heard.delay(17.0, 24.0));
    println!("{calm:.0} {shaky:.0} {again:.0} ms");
    assert!(shaky > calm + 60.0 && again < calm + 20.0, "{calm} {shaky} {again}");
    assert!(heard.concealed(10.0, 14.0) < 0.01, "{}", heard.concealed(10.0, 14.0));
}

/// Five seconds of nothing, then everything at once, as fast as a link brings it, or nothing of it.
#[test]
fn after_a_gap_of_five_seconds_it_is_as_before() {
    let queued = |spread: f64| {
        move |n: usize| {
            let inside = (500..750).contains(&n);
            Some(if inside { (750.0 - n as f64) * 20.0 + (n as f64 - 500.0) * spread } else { 0.0 })
        }
    };
    // A queue that drains takes a while to have drained.
    let draining = move |n: usize| match n {
        750.. => Some((500.0 - (n as f64 - 750.0) * 18.0).max(0.0)),
        _ => queued(2.0)(n),
    };
    let dropped = |n: usize| (!(500..750).contains(&n)).then_some(0.0);
    let kept_last = move |n: usize| (!(500..735).contains(&n)).then(|| queued(0.0)(n)).flatten();
    type Late = Box<dyn FnMut(usize) -> Option<f64>>;
    let cases: [(&str, Late); 4] = [
        ("at once", Box::new(queued(0.0))),
        ("draining", Box::new(draining)),
        ("dropped", Box::new(dropped)),
        ("300 ms kept", Box::new(kept_last)),
    ];
    for (name, late) in cases {
        let heard = Network::late_by(1_000, late).play(480);
        let (before, after) = (heard.delay(5.0, 10.0), heard.delay(16.0, 20.0));
        let late = if name == "draining" { 0.6 } else { 0.15 };
        let back = heard.concealed(15.05 + late, 20.0);
        println!("{name}: {before:.0} then {after:.0} ms, {back:.4} made up");
        assert!((after - before).abs() < 20.0, "{name}: {before} then {after}");
        assert!(back < 0.01, "{name}: {back}");
        assert_eq!(heard.clicks(1.0, 20.0), 0, "{name}");
    }
}

#[test]
fn a_backlog_at_the_beginning_is_never_heard() {
    for backlog in [200.0, 950.0, 2_400.0] {
        for spread in [0.0, 4.0] {
            let late = |n: usize| Some((backlog - n as f64 * (20.0 - spread)).max(0.0));
            let heard = Network::late_by(500, late).play(480);
            let since = heard.blocks[0].at / 1e3;
            let delay = heard.delay(since + 1.0 + backlog / 1e3 * spread / 20.0, 10.0);
            println!("{backlog} {spread}: begins at {since:.2} s, then {delay:.0} ms");
            assert!(delay < 80.0, "{backlog} {spread}: {delay}");
            assert_eq!(heard.clicks(0.0, 10.0), 0, "{backlog} {spread}");
        }
    }
}

#[test]
fn a_path_that_changes_is_followed() {
    // 200 ms longer from 8 s to 16 s, and once more by so much that it must be dropped.
    for more in [200.0, 700.0] {
        let heard =
            Network::late_by(1_200, |n| Some(if (400..800).contains(&n) { more } else { 0.0 }))
                .play(480);
        let (before, during, after) =
            (heard.delay(5.0, 8.0), heard.delay(12.0, 16.0), heard.delay(18.0, 24.0));
        println!("{before:.0} {during:.0} {after:.0} ms");
        assert!((during - before - more).abs() < 40.0, "{before} {during}");
        assert!(after < before + 20.0, "{before} {after}");
        // Where it becomes shorter, what is under way on the longer one comes too late.
        assert!(heard.concealed(9.2, 24.0) * 14.8 < more / 1e3 + 0.05, "{:?}", heard.gaps());
        assert_eq!(heard.clicks(1.0, 24.0), 0);
    }
}

#[test]
fn a_sender_whose_clock_is_off_is_followed() {
    for drift in [-0.002, 0.002] {
        let heard = Network { drift, ..Network::steady(3_000) }.play(480);
        let (early, late) = (heard.delay(5.0, 10.0), heard.delay(50.0, 60.0));
        println!("{drift}: {early:.0} then {late:.0} ms, {}", heard.counters.concealed_samples);
        assert!((early - late).abs() < 25.0, "{drift}: {early} {late}");
        assert!(heard.concealed(2.0, 60.0) < 0.002, "{drift}: {}", heard.concealed(2.0, 60.0));
    }
}

#[test]
fn packets_may_change_their_length_at_any_time() {
    let lengths = [960, 2_880, 1_920, 960, 1_920, 2_880, 960, 960];
    let samples: Vec<usize> =
        lengths.iter().flat_map(|samples| vec![*samples; 96_000 / samples]).collect();
    let mut captured = 0;
    let arrivals = samples.iter().map(|samples| {
        captured += samples;
        Some(captured as f64 / 48.0 + 25.0)
    });
    let arrivals = arrivals.collect();
    let network = Network { arrivals, loss: 0.02, copies: &[], samples, drift: 0.0 };
    let heard = network.play(480);
    let made_up = heard.counters.concealed_samples as f64 / 48.0;
    println!("{made_up} ms made up in six changes; {:.0} ms at the end", heard.delay(15.0, 16.0));
    assert!(made_up < 6.0 * 45.0, "{made_up}");
    assert_eq!(heard.clicks(1.0, 16.0), 0);
    assert!(heard.delay(15.0, 16.0) < 75.0, "{}", heard.delay(15.0, 16.0));
}

#[test]
fn a_silence_that_is_not_sent_is_none_that_is_lost() {
    let settings =
        AudioEncoderSettings { channels: 1, bitrate: 24_000, inband_fec: true, dtx: true };
    let mut encoder = OpusEncoder::new(settings).unwrap();
    let start = clock::now();
    let mut playout = AudioPlayout::new(Box::new(OpusDecoder::new(1).unwrap()));
    let (mut sequence, mut skipped) = (0_u16, 0);
    for n in 0..300_u32 {
        let loud = if (50..200).contains(&n) { 0.0 } else { 0.3 };
        let sound: Vec<f32> = (0..960).map(|at| loud * (at as f32 * 0.0576).sin()).collect();
        let block = AudioFrame { samples: sound, channels: 1, captured_at: start };
        let packet = encoder.encode(&block).unwrap().data;
        let at = start + Duration::from_millis(u64::from(n) * 20);
        // As a browser does: of a silence only every twentieth packet is sent.
        if packet.len() > 2 || n % 20 == 0 || skipped == 0 {
            playout.insert(at, sequence, n * 960, packet.clone());
            sequence += 1;
        }
        skipped = if packet.len() > 2 { 0 } else { skipped + 1 };
        playout.next_block(at, BLOCK, BLOCK);
        playout.next_block(at + Duration::from_millis(10), BLOCK, BLOCK);
    }
    let counters = playout.counters();
    assert!(skipped == 0 && counters.packets_lost == 0, "{counters:?}");
    assert!(counters.concealed_samples < 4_800, "{counters:?}");
    assert!(counters.total_audio_energy > 0.1);
}
