//! Whether what was heard is what was said: compares recordings.

/// Samples that are kept of 48 kHz: one in twelve. A voice is recognised by its lower part.
const KEPT: usize = 12;

/// A quarter of a second at the kept rate.
const WINDOW: usize = 1_000;

/// How alike two recordings (mono, 48 kHz) are: the median over all loud quarters of a second of
/// `heard` of the best normalised correlation with any part of `said`. 1.0 is the same, anything
/// under 0.3 is something else.
pub(crate) fn likeness(said: &[f32], heard: &[f32]) -> f64 {
    let (said, heard) = (thinned(said), thinned(heard));
    let (windows, _) = heard.as_chunks::<WINDOW>();
    let loudest = windows.iter().map(|window| energy(window)).fold(0.0, f64::max);
    let loud = |window: &&[f32; WINDOW]| energy(*window) > (loudest / 30.0).max(1e-3);
    let mut all: Vec<f64> =
        windows.iter().filter(loud).map(|window| best_match(&said, window)).collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(0.0)
}

/// Root mean square.
pub(crate) fn loudness(samples: &[f32]) -> f64 {
    (energy(samples) / samples.len().max(1) as f64).sqrt()
}

fn energy(samples: &[f32]) -> f64 {
    samples.iter().map(|sample| f64::from(*sample) * f64::from(*sample)).sum()
}

fn thinned(samples: &[f32]) -> Vec<f32> {
    let (parts, _) = samples.as_chunks::<KEPT>();
    parts.iter().map(|part| part.iter().sum::<f32>() / KEPT as f32).collect()
}

fn best_match(said: &[f32], window: &[f32]) -> f64 {
    let own = energy(window).sqrt();
    let mut theirs = energy(&said[..WINDOW.min(said.len())]);
    let mut best = 0.0_f64;
    for (at, part) in said.windows(WINDOW).enumerate() {
        let product: f32 = part.iter().zip(window).map(|(a, b)| a * b).sum();
        best = best.max(f64::from(product) / (own * theirs.max(1e-9).sqrt()));
        let (gone, come) = (f64::from(said[at]), said.get(at + WINDOW));
        theirs += come.map_or(0.0, |come| f64::from(*come).powi(2)) - gone * gone;
    }
    best
}
