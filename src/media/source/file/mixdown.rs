//! Mixes many channels down to two.
//!
//! Pure arithmetic over interleaved samples; mono and stereo pass through.

/// How much of a channel goes left and right (ITU-R BS.775: centre and surrounds at -3 dB).
type Share = (f32, f32);

const LEFT: Share = (1.0, 0.0);
const RIGHT: Share = (0.0, 1.0);
const CENTRE: Share = (HALF_POWER, HALF_POWER);
const SIDE_LEFT: Share = (HALF_POWER, 0.0);
const SIDE_RIGHT: Share = (0.0, HALF_POWER);
const BASS: Share = (0.0, 0.0);
const BACK: Share = (0.5, 0.5);
const HALF_POWER: f32 = std::f32::consts::FRAC_1_SQRT_2;

/// The usual order of channels for each count (WAVE_FORMAT_EXTENSIBLE).
fn shares(channels: usize) -> &'static [Share] {
    match channels {
        3 => &[LEFT, RIGHT, CENTRE],
        4 => &[LEFT, RIGHT, SIDE_LEFT, SIDE_RIGHT],
        5 => &[LEFT, RIGHT, CENTRE, SIDE_LEFT, SIDE_RIGHT],
        6 => &[LEFT, RIGHT, CENTRE, BASS, SIDE_LEFT, SIDE_RIGHT],
        7 => &[LEFT, RIGHT, CENTRE, BASS, BACK, SIDE_LEFT, SIDE_RIGHT],
        _ => &[LEFT, RIGHT, CENTRE, BASS, SIDE_LEFT, SIDE_RIGHT, SIDE_LEFT, SIDE_RIGHT],
    }
}

/// Channels that are left of `channels` after mixing down.
pub(super) fn mixed_channels(channels: usize) -> usize {
    channels.clamp(1, 2)
}

/// Appends `samples` of so many channels to `out`, with at most two; no sum can clip.
pub(super) fn mix(samples: &[f32], channels: usize, out: &mut Vec<f32>) {
    if channels <= 2 {
        out.extend_from_slice(samples);
        return;
    }
    let shares = shares(channels);
    let loudest: f32 = shares.iter().map(|share| share.0).sum();
    for block in samples.chunks_exact(channels) {
        let (left, right) = block.iter().zip(shares).fold((0.0, 0.0), |sum, (sample, share)| {
            (sum.0 + sample * share.0, sum.1 + sample * share.1)
        });
        out.extend_from_slice(&[left / loudest, right / loudest]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mono_and_stereo_pass_through() {
        let mut out = Vec::new();
        mix(&[0.25, -0.5], 1, &mut out);
        mix(&[0.25, -0.5], 2, &mut out);
        assert_eq!(out, [0.25, -0.5, 0.25, -0.5]);
    }

    #[test]
    fn full_scale_everywhere_does_not_clip() {
        for channels in 3..=8 {
            let mut out = Vec::new();
            mix(&vec![1.0; channels], channels, &mut out);
            assert_eq!(out.len(), 2);
            assert!(out.iter().all(|s| (*s - 1.0).abs() < 1e-6), "{channels}: {out:?}");
        }
    }

    #[test]
    fn a_side_stays_on_its_side() {
        let mut out = Vec::new();
        mix(&[0.0, 0.0, 0.0, 0.0, 0.5, 0.0], 6, &mut out);
        assert!(out[0] > 0.1 && out[1] == 0.0);
    }
}
