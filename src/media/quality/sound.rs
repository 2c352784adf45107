//! How received sound compares with what was sent: delay and signal-to-noise ratio.
//!
//! Pure, over mono samples at 48 kHz. The codec changes the waveform and the
//! jitter buffer its speed, so both are taken piece by piece.

use crate::media::frame::SAMPLE_RATE;

/// What is compared at a time: 200 ms.
const PIECE: usize = SAMPLE_RATE as usize / 5;

/// The longest delay that is looked for: one second.
const MAX_DELAY: usize = SAMPLE_RATE as usize;

/// The search for the delay looks at every so-manieth sample first (3 kHz is enough for speech).
const COARSE: usize = 16;

/// Pieces quieter than this mean square hold nothing to compare.
const QUIET: f64 = 1e-5;

/// A match below this normalised correlation is none.
const ALIKE: f64 = 0.5;

/// One piece of received sound found in the sent one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Match {
    /// Where the piece stands in the received sound, samples.
    pub at: usize,
    /// How many samples later than in the sent sound it stands there.
    pub delay: isize,
    /// Of the piece against the sent one at the best gain, dB.
    pub snr_db: f64,
}

/// Finds the pieces of `received` in `sent`. `expected` is what the delay would be if sound took no
/// time (received index less sent index); delays from there up to a second more are tried.
#[must_use]
pub fn compare(sent: &[f32], received: &[f32], expected: isize) -> Vec<Match> {
    let mut guess = None;
    let mut matches = Vec::new();
    for at in (0..received.len().saturating_sub(PIECE)).step_by(PIECE) {
        let piece = &received[at..at + PIECE];
        if energy(piece) < QUIET {
            continue;
        }
        // After the first match only its neighbourhood is searched, then all again.
        let near = guess.and_then(|delay: isize| best(sent, piece, at, delay - 960..delay + 960));
        let whole = expected..expected + MAX_DELAY as isize;
        let found = near.filter(|found| found.1 > 0.8).or_else(|| best(sent, piece, at, whole));
        if let Some((delay, likeness)) = found
            && likeness > ALIKE
        {
            guess = Some(delay);
            // With the best gain the error is what the correlation leaves: 1 - r^2.
            let snr_db = -10.0 * (1.0 - likeness * likeness).max(1e-9).log10();
            matches.push(Match { at, delay, snr_db });
        }
    }
    matches
}

/// The delay with the highest normalised correlation.
fn best(
    sent: &[f32],
    piece: &[f32],
    at: usize,
    delays: std::ops::Range<isize>,
) -> Option<(isize, f64)> {
    let likeness = |delay: isize, step: usize| {
        let from = usize::try_from(at as isize - delay).ok()?;
        let original = sent.get(from..from + piece.len())?;
        Some((delay, correlation(original, piece, step)))
    };
    let higher = |a: &(isize, f64), b: &(isize, f64)| a.1.total_cmp(&b.1);
    let coarse = delays.step_by(COARSE / 2).filter_map(|d| likeness(d, COARSE)).max_by(higher)?;
    let near = coarse.0 - COARSE as isize..=coarse.0 + COARSE as isize;
    near.filter_map(|delay| likeness(delay, 1)).max_by(higher)
}

fn correlation(a: &[f32], b: &[f32], step: usize) -> f64 {
    let (mut cross, mut one, mut other) = (0.0_f32, 0.0_f32, 0.0_f32);
    for (a, b) in a.iter().step_by(step).zip(b.iter().step_by(step)) {
        cross += a * b;
        one += a * a;
        other += b * b;
    }
    f64::from(cross) / f64::from(one * other).sqrt().max(1e-12)
}

fn energy(samples: &[f32]) -> f64 {
    samples.iter().map(|s| f64::from(s * s)).sum::<f64>() / samples.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Something like speech: a wandering pitch with noise.
    fn voice(samples: usize) -> Vec<f32> {
        let (mut phase, mut seed) = (0.0_f32, 1_u32);
        (0..samples)
            .map(|n| {
                let pitch = 140.0 + 60.0 * (n as f32 / 9_000.0).sin();
                phase += pitch / SAMPLE_RATE as f32 * std::f32::consts::TAU;
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let noise = (seed >> 8) as f32 / 8_388_608.0 - 1.0;
                0.2 * phase.sin() + 0.1 * (3.0 * phase).sin() + 0.02 * noise
            })
            .collect()
    }

    #[test]
    fn finds_a_delay_and_a_known_ratio() {
        let sent = voice(2 * SAMPLE_RATE as usize);
        let mut received = vec![0.0; 3_333];
        let hum = |n: usize| 0.02 * (n as f32 * 0.5).sin();
        received.extend(sent.iter().enumerate().map(|(n, s)| 0.7 * s + 0.7 * hum(n)));
        let matches = compare(&sent, &received, 0);
        assert!(matches.len() >= 8, "{}", matches.len());
        for found in &matches[1..] {
            assert_eq!(found.delay, 3_333);
            assert!((18.0..25.0).contains(&found.snr_db), "{found:?}");
        }
    }

    #[test]
    fn follows_a_delay_that_changes() {
        let sent = voice(3 * SAMPLE_RATE as usize);
        let (early, late) = sent.split_at(70_000);
        let received: Vec<f32> = early.iter().chain(&[0.0; 500]).chain(late).copied().collect();
        let matches = compare(&sent, &received, 0);
        assert_eq!(matches.first().map(|found| found.delay), Some(0));
        assert_eq!(matches.last().map(|found| found.delay), Some(500));
    }

    #[test]
    fn other_sound_and_silence_match_nothing() {
        let sent = voice(SAMPLE_RATE as usize);
        let mut seed = 7_u32;
        let noise: Vec<f32> = (0..SAMPLE_RATE)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 8) as f32 / 8_388_608.0 - 1.0
            })
            .collect();
        assert!(compare(&sent, &noise, 0).is_empty());
        assert!(compare(&sent, &vec![0.0; 48_000], 0).is_empty());
    }
}
