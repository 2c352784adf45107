//! Playing a little faster or slower without changing the pitch: a piece is taken out of, or put
//! into, the sound where it resembles itself, with a soft seam (as WSOLA does). Pure.
//!
//! Sound that repeats itself is cut by whole periods; noise, which nobody can tell from other noise
//! like it, anywhere; what does neither is left alone until somebody presses.

use std::ops::RangeInclusive;

/// The periods that are looked for, samples at 48 kHz: 400 Hz down to 50 Hz. A higher voice repeats
/// itself after several of its periods too.
pub(super) const SHORTEST: usize = 120;
pub(super) const LONGEST: usize = 960;

/// How long a seam is, samples: 10 ms. It is also what is compared.
const SEAM: usize = 480;

/// The least that is compared, samples: 2.5 ms.
const SHORTEST_SEAM: usize = 120;

/// How alike two pieces must be (normalised correlation) before one may stand for the other, and by
/// how much less when somebody presses.
const ALIKE: f32 = 0.8;
const PRESSED: f32 = 0.7;

/// Below this sound does not repeat itself: noise, or several things at once.
const UNLIKE: f32 = 0.5;

/// Noise whose loudest and quietest parts are further apart than this (energy) begins or ends here.
const EVEN: f32 = 4.0;

/// Pieces whose energies are further apart than this are not put for one another, however alike.
const LEVEL: f32 = 8.0;

/// Below this mean square there is nothing to hear, and any seam will do.
const QUIET: f32 = 1e-6;

/// Takes a piece of at most `most` samples out; gives back the samples per channel that are gone, 0
/// when none may go. `pressure` from 0 to 1 says how much a flaw may be heard.
pub(in crate::media) fn shorten(
    pcm: &mut Vec<f32>,
    channels: usize,
    most: usize,
    pressure: f32,
) -> usize {
    let Some(Place { lag, seam, alike }) = place(pcm, channels, most, pressure) else { return 0 };
    for n in 0..seam {
        let (old, new) = gains(n, seam, alike);
        for channel in 0..channels {
            let (from, to) = (n * channels + channel, (lag + n) * channels + channel);
            pcm[to] = pcm[from] * old + pcm[to] * new;
        }
    }
    pcm.drain(..lag * channels);
    lag
}

/// Puts a piece of at most `most` samples in; gives back the samples per channel that were added, 0
/// when none may.
pub(in crate::media) fn lengthen(
    pcm: &mut Vec<f32>,
    channels: usize,
    most: usize,
    pressure: f32,
) -> usize {
    let Some(Place { lag, seam, alike }) = place(pcm, channels, most, pressure) else { return 0 };
    // After the first piece the sound goes on as it would, and fades back into its beginning.
    let mut again: Vec<f32> = Vec::with_capacity((lag + seam) * channels);
    again.extend_from_slice(&pcm[..lag * channels]);
    for n in 0..seam {
        let (old, new) = gains(n, seam, alike);
        for channel in 0..channels {
            let (from, to) = ((lag + n) * channels + channel, n * channels + channel);
            again.push(pcm[from] * old + pcm[to] * new);
        }
    }
    pcm.splice(..seam * channels, again);
    lag
}

/// Lets the end of `pcm` fade into the beginning of `next`, which then follows; the seam itself is in
/// there twice and lost once.
pub(in crate::media) fn join(pcm: &mut Vec<f32>, next: &[f32], channels: usize) {
    let seam = (pcm.len().min(next.len()) / channels).min(SEAM / 2);
    let from = pcm.len() - seam * channels;
    for n in 0..seam {
        let (old, new) = gains(n, seam, 0.0);
        for channel in 0..channels {
            let at = n * channels + channel;
            pcm[from + at] = pcm[from + at] * old + next[at] * new;
        }
    }
    pcm.extend_from_slice(&next[seam * channels..]);
}

/// Mean square of some sound.
pub(super) fn energy(pcm: &[f32]) -> f32 {
    pcm.iter().map(|sample| sample * sample).sum::<f32>() / pcm.len().max(1) as f32
}

/// Whether there is nothing to hear.
pub(super) fn is_quiet(pcm: &[f32]) -> bool {
    energy(pcm) < QUIET
}

/// How much of what ends and of what begins is heard at one place of a seam, so that its loudness
/// stays: like adds up like sound, unlike like noise.
fn gains(n: usize, seam: usize, alike: f32) -> (f32, f32) {
    let new = (n as f32 + 0.5) / seam as f32;
    let old = 1.0 - new;
    let loudness = (old * old + new * new + 2.0 * old * new * alike.clamp(0.0, 1.0)).sqrt();
    (old / loudness, new / loudness)
}

/// Where the beginning of the sound comes again, samples per channel.
struct Place {
    lag: usize,
    seam: usize,
    alike: f32,
}

fn place(pcm: &[f32], channels: usize, most: usize, pressure: f32) -> Option<Place> {
    let there = pcm.len() / channels;
    let longest = most.min(LONGEST).min(there.saturating_sub(SHORTEST_SEAM));
    if longest < SHORTEST {
        return None;
    }
    let seam = SEAM.min(there - longest);
    let heard = &pcm[..(longest + seam) * channels];
    if is_quiet(heard) {
        return Some(Place { lag: longest, seam, alike: 0.0 });
    }
    let (lag, alike) = best(heard, channels, seam, SHORTEST..=longest)?;
    let level = |at: usize| energy(&heard[at * channels..(at + seam) * channels]);
    let (one, other) = (level(0).max(QUIET), level(lag).max(QUIET));
    let resembles = alike >= ALIKE - PRESSED * pressure || (alike < UNLIKE && is_even(heard));
    let fits = resembles && one.max(other) < one.min(other) * LEVEL || pressure >= 1.0;
    fits.then_some(Place { lag, seam, alike })
}

/// Whether it is as loud at its end as at its beginning, and between.
fn is_even(pcm: &[f32]) -> bool {
    let parts = pcm.chunks(pcm.len().div_ceil(4)).map(energy);
    let (least, most) = parts.fold((f32::INFINITY, 0.0_f32), |(l, m), e| (l.min(e), m.max(e)));
    most < least * EVEN
}

/// The lag at which the beginning comes again best, and how alike it is there.
fn best(
    pcm: &[f32],
    channels: usize,
    seam: usize,
    lags: RangeInclusive<usize>,
) -> Option<(usize, f32)> {
    let alike = |lag: usize| (lag, likeness(pcm, lag * channels, seam * channels));
    let better = |a: &(usize, f32), b: &(usize, f32)| a.1.total_cmp(&b.1);
    // Every fourth lag first: a period is found by its neighbourhood, then exactly.
    let (near, _) = lags.clone().step_by(4).map(alike).max_by(better)?;
    let (from, to) = (near.saturating_sub(3).max(*lags.start()), (near + 3).min(*lags.end()));
    (from..=to).map(alike).max_by(better)
}

/// Normalised correlation of the first `length` samples with those `lag` later, -1 to 1.
pub(super) fn likeness(pcm: &[f32], lag: usize, length: usize) -> f32 {
    let (mut cross, mut one, mut other) = (0.0, 0.0, 0.0);
    for (a, b) in pcm[..length].iter().zip(&pcm[lag..lag + length]) {
        cross += a * b;
        one += a * a;
        other += b * b;
    }
    cross / (one * other).sqrt().max(f32::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(samples: usize, channels: usize) -> Vec<f32> {
        (0..samples * channels)
            .map(|n| 0.5 * ((n / channels) as f32 * std::f32::consts::TAU / 200.0).sin())
            .collect()
    }

    fn noise(samples: usize) -> Vec<f32> {
        let mut seed = 1_u32;
        (0..samples)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                ((seed >> 8) as f32 / 8_388_608.0 - 1.0) * 0.3
            })
            .collect()
    }

    fn largest_step(pcm: &[f32], channels: usize) -> f32 {
        pcm.windows(channels + 1).map(|w| (w[channels] - w[0]).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn a_tone_loses_or_gains_whole_periods_without_a_click() {
        for channels in [1, 2] {
            let before = tone(1_440, channels);
            let mut shorter = before.clone();
            let gone = shorten(&mut shorter, channels, LONGEST, 0.0);
            assert_eq!((gone % 200, shorter.len()), (0, before.len() - gone * channels));
            let mut longer = before.clone();
            let added = lengthen(&mut longer, channels, LONGEST, 0.0);
            assert_eq!((added % 200, longer.len()), (0, before.len() + added * channels));
            assert!(gone > 0 && added > 0);
            let limit = 1.1 * largest_step(&before, channels);
            assert!(largest_step(&shorter, channels) < limit);
            assert!(largest_step(&longer, channels) < limit);
        }
    }

    /// Every voice, every instrument: the period is found, and what is left still is the tone.
    #[test]
    fn every_pitch_is_cut_by_its_own_period() {
        for hz in [62.0, 83.0, 110.0, 151.0, 220.0, 311.0, 440.0, 523.0, 1_046.5_f32] {
            let wave = |n: usize, phase: f32| {
                let turn = std::f32::consts::TAU * hz * n as f32 / 48_000.0 + phase;
                0.3 * turn.sin() + 0.2 * (2.0 * turn).sin() + 0.1 * (3.0 * turn).cos()
            };
            let before: Vec<f32> = (0..1_920).map(|n| wave(n, 0.0)).collect();
            let mut pcm = before.clone();
            let gone = shorten(&mut pcm, 1, LONGEST, 0.0);
            let periods = gone as f32 * hz / 48_000.0;
            assert!(gone > 0 && (periods - periods.round()).abs() < 0.03, "{hz} Hz: {periods}");
            let flaw = pcm.iter().enumerate().map(|(n, is)| (is - wave(n, 0.0)).abs());
            assert!(flaw.fold(0.0, f32::max) < 0.12, "{hz} Hz");
        }
    }

    #[test]
    fn a_chord_is_cut_where_it_comes_again() {
        let chord = |n: usize| {
            [261.6, 329.6, 392.0_f32]
                .iter()
                .map(|hz| 0.2 * (std::f32::consts::TAU * hz * n as f32 / 48_000.0).sin())
                .sum::<f32>()
        };
        let before: Vec<f32> = (0..1_920).map(chord).collect();
        let mut pcm = before.clone();
        assert!(shorten(&mut pcm, 1, LONGEST, 0.0) > 0);
        assert!(largest_step(&pcm, 1) < 1.3 * largest_step(&before, 1));
    }

    #[test]
    fn noise_is_cut_anywhere_and_stays_as_loud() {
        let mut pcm = noise(1_920);
        let before = energy(&pcm);
        assert!(shorten(&mut pcm, 1, LONGEST, 0.0) > 0);
        let seam = energy(&pcm[..SEAM]);
        assert!((0.6..1.5).contains(&(seam / before)), "{}", seam / before);
        assert!(lengthen(&mut noise(1_920), 1, LONGEST, 0.0) > 0);
    }

    #[test]
    fn a_beginning_is_left_alone_until_somebody_presses() {
        let mut onset = noise(1_920);
        onset[..700].iter_mut().for_each(|sample| *sample *= 0.01);
        assert_eq!(shorten(&mut onset.clone(), 1, LONGEST, 0.0), 0);
        assert!(shorten(&mut onset, 1, LONGEST, 1.0) > 0);
    }

    #[test]
    fn silence_goes_first_and_too_little_stays() {
        assert_eq!(shorten(&mut vec![0.0; 1_920], 1, LONGEST, 0.0), LONGEST);
        assert_eq!(shorten(&mut vec![0.0; 1_920], 1, 300, 0.0), 300);
        assert_eq!(lengthen(&mut vec![0.5; 200], 1, LONGEST, 1.0), 0, "too little to judge");
    }

    #[test]
    fn a_join_has_no_step() {
        let (mut pcm, next) = (tone(480, 1), tone(960, 1)[130..].to_vec());
        join(&mut pcm, &next, 1);
        assert_eq!(pcm.len(), 480 + 830 - SEAM / 2);
        assert!(largest_step(&pcm, 1) < 0.04, "{}", largest_step(&pcm, 1));
    }
}
