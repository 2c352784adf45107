//! Mixes many channels down to two.
//!
//! Pure arithmetic over interleaved samples; mono and stereo pass through.

/// How much of a channel goes left and right (ITU-R BS.775: centre and surrounds at -3 dB).
pub(super) type Share = (f32, f32);

pub(super) const LEFT: Share = (1.0, 0.0);
pub(super) const RIGHT: Share = (0.0, 1.0);
pub(super) const CENTRE: Share = (HALF_POWER, HALF_POWER);
pub(super) const SIDE_LEFT: Share = (HALF_POWER, 0.0);
pub(super) const SIDE_RIGHT: Share = (0.0, HALF_POWER);
pub(super) const BASS: Share = (0.0, 0.0);
pub(super) const BACK: Share = (0.5, 0.5);
const HALF_POWER: f32 = std::f32::consts::FRAC_1_SQRT_2;

/// What each bit of WAVE's channel mask stands for, lowest first; those above are on the ceiling.
const SPEAKERS: [Share; 11] =
    [LEFT, RIGHT, CENTRE, BASS, SIDE_LEFT, SIDE_RIGHT, LEFT, RIGHT, BACK, SIDE_LEFT, SIDE_RIGHT];

/// The usual order of channels for each count (WAVE_FORMAT_EXTENSIBLE).
fn usual(channels: usize) -> &'static [Share] {
    match channels {
        0 | 1 => &[CENTRE],
        2 => &[LEFT, RIGHT],
        3 => &[LEFT, RIGHT, CENTRE],
        4 => &[LEFT, RIGHT, SIDE_LEFT, SIDE_RIGHT],
        5 => &[LEFT, RIGHT, CENTRE, SIDE_LEFT, SIDE_RIGHT],
        6 => &[LEFT, RIGHT, CENTRE, BASS, SIDE_LEFT, SIDE_RIGHT],
        7 => &[LEFT, RIGHT, CENTRE, BASS, BACK, SIDE_LEFT, SIDE_RIGHT],
        _ => &[LEFT, RIGHT, CENTRE, BASS, SIDE_LEFT, SIDE_RIGHT, SIDE_LEFT, SIDE_RIGHT],
    }
}

/// How a sound of some channels becomes one of at most two.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mixdown {
    shares: Vec<Share>,
    loudest: f32,
}

impl Mixdown {
    /// For channels with these places.
    pub(super) fn new(shares: Vec<Share>) -> Self {
        let left = shares.iter().map(|share| share.0).sum::<f32>();
        let right = shares.iter().map(|share| share.1).sum::<f32>();
        Self { shares, loudest: left.max(right).max(1.0) }
    }

    /// For channels in WAVE's order; a mask of speakers says which they are, if it names as many.
    pub(super) fn wave(channels: usize, mask: Option<u32>) -> Self {
        let named = mask.filter(|mask| mask.count_ones() as usize == channels);
        let shares = named.map(|mask| {
            let bits = (0..32).filter(|bit| mask >> bit & 1 == 1);
            bits.map(|bit| SPEAKERS.get(bit).copied().unwrap_or(BACK)).collect()
        });
        Self::new(shares.unwrap_or_else(|| usual(channels).to_vec()))
    }

    /// Channels before.
    pub(super) fn channels(&self) -> usize {
        self.shares.len()
    }

    /// Channels that are left: 1 or 2.
    pub(super) fn mixed(&self) -> usize {
        self.shares.len().clamp(1, 2)
    }

    /// Appends interleaved `samples` to `out`, mixed; no sum can clip.
    pub(super) fn mix(&self, samples: &[f32], out: &mut Vec<f32>) {
        if self.shares.len() <= 2 {
            out.extend_from_slice(samples);
            return;
        }
        for block in samples.chunks_exact(self.shares.len()) {
            let both = block.iter().zip(&self.shares).fold((0.0, 0.0), |sum, (sample, share)| {
                (sum.0 + sample * share.0, sum.1 + sample * share.1)
            });
            out.extend_from_slice(&[both.0 / self.loudest, both.1 / self.loudest]);
        }
    }
}

/// Brings interleaved sound of one or two channels to `to` channels.
pub(super) fn rechannel(samples: Vec<f32>, from: usize, to: usize) -> Vec<f32> {
    match (from, to) {
        (1, 2) => samples.iter().flat_map(|sample| [*sample, *sample]).collect(),
        (2, 1) => samples.as_chunks().0.iter().map(|[left, right]| (left + right) / 2.0).collect(),
        _ => samples,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mono_and_stereo_pass_through() {
        let mut out = Vec::new();
        Mixdown::wave(1, None).mix(&[0.25, -0.5], &mut out);
        Mixdown::wave(2, Some(3)).mix(&[0.25, -0.5], &mut out);
        assert_eq!(out, [0.25, -0.5, 0.25, -0.5]);
        assert_eq!(rechannel(vec![0.5], 1, 2), [0.5, 0.5]);
        assert_eq!(rechannel(vec![0.5, 0.25], 2, 1), [0.375]);
    }

    #[test]
    fn full_scale_everywhere_does_not_clip() {
        for channels in 3..=8 {
            let mut out = Vec::new();
            Mixdown::wave(channels, None).mix(&vec![1.0; channels], &mut out);
            assert_eq!(out.len(), 2);
            assert!(out.iter().all(|s| (*s - 1.0).abs() < 1e-6), "{channels}: {out:?}");
        }
    }

    #[test]
    fn a_side_stays_on_its_side() {
        let mut out = Vec::new();
        Mixdown::wave(6, None).mix(&[0.0, 0.0, 0.0, 0.0, 0.5, 0.0], &mut out);
        assert!(out[0] > 0.1 && out[1] == 0.0);
    }

    #[test]
    fn a_mask_says_which_speakers_there_are() {
        // Front left, front right, back centre: the third is no centre.
        let mix = Mixdown::wave(3, Some(0x103));
        assert_eq!(mix, Mixdown::new(vec![LEFT, RIGHT, BACK]));
        assert_eq!(Mixdown::wave(3, Some(3)), Mixdown::wave(3, None), "it names too few");
    }
}
