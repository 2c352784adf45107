//! How loud made-up sound is: it fades away, and real sound comes back softly. Pure.

/// Made-up sound begins to fade after this, samples per channel (50 ms), and is silence after that
/// (120 ms): nobody goes on with one vowel.
const FADES_AFTER: usize = 2_400;
pub(super) const SILENT_AFTER: usize = 5_760;

/// Real sound is as loud as it is after so many samples: 5 ms.
const RETURNS_IN: usize = 240;

/// See the module.
#[derive(Debug)]
pub(super) struct Fade {
    /// Samples made up since the last real one.
    made_up: usize,
    gain: f32,
}

impl Default for Fade {
    fn default() -> Self {
        Self { made_up: 0, gain: 1.0 }
    }
}

impl Fade {
    /// Samples per channel made up since the last real one.
    pub(super) fn made_up(&self) -> usize {
        self.made_up
    }

    /// Interleaved sound that was made up, to follow on what was before.
    pub(super) fn away(&mut self, sound: &mut [f32], channels: usize) {
        for frame in sound.chunks_mut(channels) {
            let over = self.made_up.saturating_sub(FADES_AFTER) as f32;
            let wanted = 1.0 - over / (SILENT_AFTER - FADES_AFTER) as f32;
            // What had not come back all the way does not jump.
            self.gain = wanted.clamp(0.0, self.gain.max(f32::EPSILON));
            frame.iter_mut().for_each(|sample| *sample *= self.gain);
            self.made_up += 1;
        }
    }

    /// Interleaved sound that is real.
    pub(super) fn back(&mut self, sound: &mut [f32], channels: usize) {
        self.made_up = 0;
        for frame in sound.chunks_mut(channels) {
            if self.gain >= 1.0 {
                return;
            }
            self.gain = (self.gain + 1.0 / RETURNS_IN as f32).min(1.0);
            frame.iter_mut().for_each(|sample| *sample *= self.gain);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_and_comes_back_without_a_step() {
        let mut fade = Fade::default();
        let mut heard = vec![1.0; 480];
        fade.back(&mut heard, 1);
        let mut gap = vec![1.0; 2 * 9_600];
        fade.away(&mut gap, 2);
        heard.extend(gap.chunks(2).map(|frame| frame[1]));
        assert_eq!((heard[480 + FADES_AFTER], heard[480 + SILENT_AFTER + 10]), (1.0, 0.0));
        let mut again = vec![1.0; 960];
        fade.back(&mut again, 1);
        assert_eq!((fade.made_up(), again[959]), (0, 1.0));
        heard.extend(again);
        assert!(heard.windows(2).all(|pair| (pair[1] - pair[0]).abs() < 0.01));
    }
}
