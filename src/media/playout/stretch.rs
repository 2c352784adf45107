//! Playing a little faster or slower without changing the pitch: whole periods are taken out of,
//! or put into, the sound, with a soft seam (as WSOLA does). Pure.

/// The periods that are looked for, samples at 48 kHz: 400 Hz down to 80 Hz.
const SHORTEST: usize = 120;
const LONGEST: usize = 600;

/// How alike two periods must be (normalised correlation) before one may stand for the other.
const ALIKE: f32 = 0.8;

/// Below this mean square there is nothing to hear, and any seam will do.
const QUIET: f32 = 1e-6;

/// Takes one period out; gives back the samples per channel that are gone, 0 when none may go.
pub(super) fn shorten(pcm: &mut Vec<f32>, channels: usize) -> usize {
    let Some(period) = period(pcm, channels) else { return 0 };
    let (a, b) = (0, period * channels);
    for n in 0..period {
        let fade = n as f32 / period as f32;
        for channel in 0..channels {
            let at = n * channels + channel;
            pcm[b + at] = pcm[a + at] * (1.0 - fade) + pcm[b + at] * fade;
        }
    }
    pcm.drain(..period * channels);
    period
}

/// Puts one period in; gives back the samples per channel that were added, 0 when none may.
pub(super) fn lengthen(pcm: &mut Vec<f32>, channels: usize) -> usize {
    let Some(period) = period(pcm, channels) else { return 0 };
    let length = period * channels;
    // The second period fades into the first, which then is followed by the second again.
    let seam: Vec<f32> = (0..length)
        .map(|at| {
            let fade = (at / channels) as f32 / period as f32;
            pcm[length + at] * (1.0 - fade) + pcm[at] * fade
        })
        .collect();
    pcm.splice(length..length, seam);
    period
}

/// The period at which the beginning of the sound repeats itself best, samples per channel.
fn period(pcm: &[f32], channels: usize) -> Option<usize> {
    let mono: Vec<f32> = pcm.chunks_exact(channels).map(|frame| frame[0]).collect();
    if mono.len() < 2 * SHORTEST {
        return None;
    }
    let longest = LONGEST.min(mono.len() / 2);
    let energy: f32 = mono.iter().map(|s| s * s).sum::<f32>() / mono.len() as f32;
    if energy < QUIET {
        return Some(longest);
    }
    // Every fourth lag first: a period is found by its neighbourhood, then exactly.
    let coarse = (SHORTEST..=longest).step_by(4).max_by(|a, b| score(&mono, *a, *b))?;
    let near = coarse.saturating_sub(3).max(SHORTEST)..=(coarse + 3).min(longest);
    let best = near.max_by(|a, b| score(&mono, *a, *b))?;
    (likeness(&mono, best) >= ALIKE).then_some(best)
}

fn score(mono: &[f32], a: usize, b: usize) -> std::cmp::Ordering {
    likeness(mono, a).total_cmp(&likeness(mono, b))
}

/// Normalised correlation of the first `lag` samples with the next, -1 to 1.
fn likeness(mono: &[f32], lag: usize) -> f32 {
    let (mut cross, mut one, mut other) = (0.0, 0.0, 0.0);
    for (a, b) in mono[..lag].iter().zip(&mono[lag..2 * lag]) {
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

    fn largest_step(pcm: &[f32], channels: usize) -> f32 {
        pcm.windows(channels + 1).map(|w| (w[channels] - w[0]).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn a_tone_loses_or_gains_whole_periods_without_a_click() {
        for channels in [1, 2] {
            let before = tone(1_440, channels);
            let mut shorter = before.clone();
            let gone = shorten(&mut shorter, channels);
            assert_eq!((gone % 200, shorter.len()), (0, before.len() - gone * channels));
            let mut longer = before.clone();
            let added = lengthen(&mut longer, channels);
            assert_eq!((added % 200, longer.len()), (0, before.len() + added * channels));
            assert!(gone > 0 && added > 0);
            let limit = 1.2 * largest_step(&before, channels);
            assert!(largest_step(&shorter, channels) < limit);
            assert!(largest_step(&longer, channels) < limit);
        }
    }

    #[test]
    fn noise_is_left_alone_and_silence_is_not() {
        let mut seed = 1_u32;
        let mut noise: Vec<f32> = (0..960)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 8) as f32 / 8_388_608.0 - 1.0
            })
            .collect();
        assert_eq!(shorten(&mut noise, 1), 0);
        assert!(shorten(&mut vec![0.0; 960], 1) > 0);
        assert_eq!(lengthen(&mut vec![0.5; 100], 1), 0, "too little to judge");
    }
}
