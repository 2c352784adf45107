//! A tone through the buffer, over networks of all kinds.

use std::time::Duration;

use super::*;
use crate::clock;
use crate::media::codec::opus::{OpusDecoder, OpusEncoder};
use crate::media::codec::{AudioEncoder, AudioEncoderSettings};

fn packets(count: usize) -> Vec<Bytes> {
    let settings =
        AudioEncoderSettings { channels: 1, bitrate: 32_000, inband_fec: true, dtx: false };
    let mut encoder = OpusEncoder::new(settings).unwrap();
    encoder.set_packet_loss(0.1);
    let step = 440.0 * std::f32::consts::TAU / SAMPLE_RATE as f32;
    (0..count)
        .map(|packet| {
            let samples: Vec<f32> =
                (0..960).map(|n| 0.3 * ((packet * 960 + n) as f32 * step).sin()).collect();
            let block = AudioFrame { samples, channels: 1, captured_at: clock::now() };
            encoder.encode(&block).unwrap().data
        })
        .collect()
}

/// What a run came to.
struct Heard {
    playout: AudioPlayout,
    samples: Vec<f32>,
    /// How long after its packet was due to be sent each block was played, ms.
    delays: Vec<f64>,
}

/// Sends a packet each 20 ms; `travel` says how long each takes (ms), or `None` when it is lost.
fn play(count: usize, travel: impl Fn(usize) -> Option<u64>) -> Heard {
    let start = clock::now();
    let mut arrivals: Vec<(u64, usize)> =
        (0..count).filter_map(|n| Some((n as u64 * 20 + travel(n)?, n))).collect();
    arrivals.sort_unstable();
    let packets = packets(count);
    let mut playout = AudioPlayout::new(Box::new(OpusDecoder::new(1).unwrap()));
    let (mut arrivals, mut samples, mut delays) = (arrivals.into_iter().peekable(), vec![], vec![]);
    for tick in 0..count as u64 * 2 {
        let ms = tick * 10;
        while let Some((at, n)) = arrivals.next_if(|(at, _)| *at <= ms) {
            let at = start + Duration::from_millis(at);
            let timestamp = 1_000_u32.wrapping_sub(96_000).wrapping_add(n as u32 * 960);
            playout.insert(at, (65_500 + n) as u16, timestamp, packets[n].clone());
        }
        if let Some(block) = playout.next_block(start + Duration::from_millis(ms), BLOCK, BLOCK) {
            samples.extend(&block.frame.samples);
            if let Some(timestamp) = block.rtp_timestamp {
                let sent = f64::from(timestamp.wrapping_sub(1_000).wrapping_add(96_000)) / 48.0;
                delays.push(ms as f64 - sent);
            }
        }
    }
    Heard { playout, samples, delays }
}

fn clicks(samples: &[f32]) -> usize {
    // A tone of 440 Hz at 0.3 moves at most 0.0173 a sample; the codec and concealment a bit more.
    samples.windows(2).filter(|pair| (pair[1] - pair[0]).abs() > 0.08).count()
}

#[test]
fn a_steady_network_adds_one_packet_of_delay_and_nothing_is_made_up() {
    let heard = play(200, |_| Some(3));
    let counters = heard.playout.counters();
    assert_eq!((counters.concealed_samples, counters.packets_lost), (0, 0));
    assert_eq!(clicks(&heard.samples), 0);
    let late: Vec<f64> = heard.delays.iter().skip(100).copied().collect();
    assert!(late.iter().all(|delay| (0.0..45.0).contains(delay)), "{late:?}");
    let seconds = counters.total_samples_received as f64 / 48_000.0;
    let energy = counters.total_audio_energy / seconds;
    assert!((0.03..0.06).contains(&energy), "0.3 of full scale is 0.045, not {energy}");
}

#[test]
fn jitter_is_absorbed_after_a_while() {
    let heard = play(600, |n| Some((n * 37 % 60) as u64));
    let early = play(200, |n| Some((n * 37 % 60) as u64)).playout.counters();
    let counters = heard.playout.counters();
    let later = counters.concealed_samples - early.concealed_samples;
    assert!(later < 960 * 4, "{later} samples made up after the first four seconds");
    assert!(heard.playout.target_delay_ms() > 60.0);
    assert_eq!(counters.packets_lost - early.packets_lost, 0, "none is too late any more");
}

#[test]
fn a_packet_that_is_lost_makes_no_click() {
    let heard = play(200, |n| (n % 10 != 5).then_some(2));
    let counters = heard.playout.counters();
    assert_eq!(counters.packets_lost, 20);
    let share = counters.concealed_samples as f64 / counters.total_samples_received as f64;
    // A tone is no speech to the encoder, which adds no repair data to it.
    assert!(share < 0.11, "{share}: one packet in ten is lost");
    assert_eq!(clicks(&heard.samples), 0);
}

#[test]
fn a_delay_that_was_needed_once_goes_away_again() {
    let heard = play(1_000, |n| Some(if n < 300 { (n * 53 % 120) as u64 } else { 2 }));
    let during = heard.delays[400..600].iter().copied().fold(0.0, f64::max);
    let after = heard.delays[heard.delays.len() - 100..].iter().copied().fold(0.0, f64::max);
    assert!(during > 80.0 && after < 60.0, "{during} then {after}");
    assert_eq!(clicks(&heard.samples[600_000..]), 0);
}

#[test]
fn a_pause_on_the_network_is_survived() {
    let heard = play(300, |n| {
        Some(if (100..150).contains(&n) { 1_000 - (n as u64 - 100) * 20 } else { 2 })
    });
    let tail = &heard.samples[heard.samples.len() - 9_600..];
    let energy = tail.iter().map(|s| s * s).sum::<f32>() / tail.len() as f32;
    assert!(energy > 0.02, "sound is back: {energy}");
}

#[test]
fn a_sender_that_begins_anew_is_followed() {
    let packets = packets(20);
    let start = clock::now();
    let mut playout = AudioPlayout::new(Box::new(OpusDecoder::new(1).unwrap()));
    let mut played = 0;
    for (n, packet) in packets.iter().enumerate() {
        let at = start + Duration::from_millis(n as u64 * 20);
        let (sequence, timestamp) = if n < 10 {
            (n as u16, n as u32 * 960)
        } else {
            (30_000 + n as u16, n as u32 * 960 + 7)
        };
        playout.insert(at, sequence, timestamp, packet.clone());
        played += usize::from(playout.next_block(at, BLOCK, BLOCK).is_some());
        played +=
            usize::from(playout.next_block(at + Duration::from_millis(10), BLOCK, BLOCK).is_some());
    }
    assert!(played > 30, "{played}");
}

/// A stream of packets of that many samples each, of what `wave` gives.
fn stream(samples: usize, count: usize, dtx: bool, wave: impl Fn(usize) -> f32) -> Vec<Bytes> {
    let settings = AudioEncoderSettings { channels: 1, bitrate: 32_000, inband_fec: true, dtx };
    let mut encoder = OpusEncoder::new(settings).unwrap();
    let block = |n: usize| {
        let samples = (n * samples..(n + 1) * samples).map(&wave).collect();
        AudioFrame { samples, channels: 1, captured_at: clock::now() }
    };
    (0..count).map(|n| encoder.encode(&block(n)).unwrap().data).collect()
}

/// Plays packets of 20 ms, of which those in `lost` do not come; gives back what was heard, and counted,
/// in each 100 ms.
fn gap(packets: &[Bytes], lost: std::ops::Range<usize>) -> (Vec<f32>, AudioCounters) {
    let start = clock::now();
    let mut playout = AudioPlayout::new(Box::new(OpusDecoder::new(1).unwrap()));
    let mut heard = Vec::new();
    for (n, packet) in packets.iter().enumerate() {
        let at = start + Duration::from_millis(n as u64 * 20);
        if !lost.contains(&n) {
            playout.insert(at, n as u16, n as u32 * 960, packet.clone());
        }
        for at in [at, at + Duration::from_millis(10)] {
            heard.extend(
                playout.next_block(at, BLOCK, BLOCK).into_iter().flat_map(|b| b.frame.samples),
            );
        }
    }
    (heard, playout.counters())
}

/// The mean square of the sound between two seconds.
fn loudness(heard: &[f32], from: f64, to: f64) -> f32 {
    energy(&heard[(from * 48_000.0) as usize..(to * 48_000.0) as usize])
}

#[test]
fn a_long_gap_is_filled_with_the_noise_of_the_place() {
    let noise = super::super::room::room(288_000, 0.7);
    let packets = stream(960, 300, false, |n| noise[n] * 0.02);
    let (heard, counters) = gap(&packets, 150..250);
    let place = loudness(&heard, 1.0, 2.9);
    for tenth in 31..49 {
        let (from, to) = (f64::from(tenth) / 10.0, f64::from(tenth + 1) / 10.0);
        let share = loudness(&heard, from, to) / place;
        assert!((0.1..1.1).contains(&share), "{from} s: {share}");
    }
    let largest = |from: usize, to: usize| {
        heard[from..to].windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max)
    };
    assert!(largest(140_000, 250_000) < 1.5 * largest(48_000, 140_000), "no step");
    // It is made up all the same.
    assert!((92_000..100_000).contains(&counters.concealed_samples), "{counters:?}");
    let spoken = counters.concealed_samples - counters.silent_concealed_samples;
    assert!((2_400..8_000).contains(&spoken), "{counters:?}");
}

#[test]
fn a_gap_in_silence_or_music_stays_silent() {
    let chord = |n: usize| {
        let turn = n as f32 / 48_000.0 * std::f32::consts::TAU;
        0.1 * ((turn * 262.0).sin() + (turn * 330.0).sin() + (turn * 392.0).sin())
    };
    let waves: [&dyn Fn(usize) -> f32; 2] = [&|_| 0.0, &chord];
    for wave in waves {
        let (heard, counters) = gap(&stream(960, 300, false, wave), 150..250);
        assert!(loudness(&heard, 3.3, 4.9) < 1e-12, "{}", loudness(&heard, 3.3, 4.9));
        assert!(counters.silent_concealed_samples > 80_000, "{counters:?}");
    }
}

#[test]
fn a_pause_that_was_announced_has_noise_of_its_own() {
    let noise = super::super::room::room(288_000, 0.7);
    let packets = stream(960, 300, true, |n| noise[n] * if n < 96_000 { 0.1 } else { 0.002 });
    let silent = packets.iter().position(|packet| packet.len() <= 2);
    let after = silent.expect("the encoder falls silent") + 1;
    assert!(after < 240, "{after}");
    let (heard, counters) = gap(&packets, after..300);
    let from = (after + 10) as f64 / 50.0;
    assert!(loudness(&heard, from, 5.7) > 1e-8, "{}", loudness(&heard, from, 5.7));
    assert_eq!((counters.concealed_samples, counters.silent_concealed_samples), (0, 0));
}

/// However long packets are, two seconds wait and no more; and none is dropped before.
#[test]
fn what_waits_is_bounded_in_time() {
    let second = stream(2_880, 16, false, |_| 0.1);
    for (samples, count) in [(2_880, 100_u32), (960, 300)] {
        let start = clock::now();
        let mut playout = AudioPlayout::new(Box::new(OpusDecoder::new(1).unwrap()));
        let packets = if samples == 960 { packets(20) } else { second.clone() };
        for n in 0..count {
            let packet = packets[n as usize % packets.len()].clone();
            playout.insert(start, n as u16, n * samples, packet);
            let (first, last) =
                (playout.packets.first().unwrap(), playout.packets.newest().unwrap());
            let waits = last.end() - first.timestamp;
            let all = i64::from((n + 1) * samples);
            assert!(waits <= 96_000 && (waits > 90_000 || waits == all), "{samples}: {waits}");
        }
    }
    // One frame of 2.5 ms a packet (RFC 6716 section 3.1), as nobody but us might send.
    let mut playout = AudioPlayout::new(Box::new(OpusDecoder::new(1).unwrap()));
    for n in 0..400_u32 {
        playout.insert(clock::now(), n as u16, n * 120, Bytes::from_static(&[16 << 3, 1, 2, 3]));
    }
    assert_eq!(playout.packets.first().map(|packet| packet.timestamp), Some(0), "a second waits");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_comes_it_plays_on_and_stays_bounded(
        input in proptest::collection::vec(
            (proptest::prelude::any::<u16>(), proptest::prelude::any::<u32>(), proptest::collection::vec(proptest::prelude::any::<u8>(), 0..30)),
            0..120,
        ),
    ) {
        let start = clock::now();
        let mut playout = AudioPlayout::new(Box::new(OpusDecoder::new(2).unwrap()));
        for (tick, (sequence, timestamp, payload)) in input.into_iter().enumerate() {
            let now = start + Duration::from_millis(tick as u64 * 10);
            playout.insert(now, sequence, timestamp, Bytes::from(payload));
            if let Some(block) = playout.next_block(now, BLOCK, BLOCK) {
                proptest::prop_assert_eq!(block.frame.samples.len(), 2 * BLOCK);
            }
            proptest::prop_assert!(!playout.packets.is_too_much());
            proptest::prop_assert!(playout.pcm.len() <= 2 * 8 * BLOCK * 12);
        }
    }
}
