//! How loud made-up sound is: it fades away into the noise of the place, and real sound comes back
//! softly. Pure.

use super::comfort::Comfort;

/// Made-up sound begins to fade after this, samples per channel (50 ms), and is gone after that
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
    comfort: Comfort,
}

impl Default for Fade {
    fn default() -> Self {
        Self { made_up: 0, gain: 1.0, comfort: Comfort::default() }
    }
}

impl Fade {
    /// Samples per channel made up since the last real one.
    pub(super) fn made_up(&self) -> usize {
        self.made_up
    }

    /// Interleaved sound that was made up, to follow on what was before; gives back how many samples per
    /// channel are nothing but noise, or silence.
    pub(super) fn away(&mut self, sound: &mut [f32], channels: usize) -> usize {
        if self.made_up == 0 {
            self.comfort.breaks_off();
        }
        let mut silent = 0;
        for frame in sound.chunks_mut(channels) {
            let over = self.made_up.saturating_sub(FADES_AFTER) as f32;
            let wanted = 1.0 - over / (SILENT_AFTER - FADES_AFTER) as f32;
            // What had not come back all the way does not jump.
            self.gain = wanted.clamp(0.0, self.gain.max(f32::EPSILON));
            self.mix(frame);
            silent += usize::from(self.gain <= f32::EPSILON);
            self.made_up += 1;
        }
        silent
    }

    /// Interleaved sound that is real.
    pub(super) fn back(&mut self, sound: &mut [f32], channels: usize) {
        self.comfort.hear(sound, channels);
        self.made_up = 0;
        for frame in sound.chunks_mut(channels) {
            if self.gain >= 1.0 {
                return self.comfort.rest();
            }
            self.gain = (self.gain + 1.0 / RETURNS_IN as f32).min(1.0);
            self.mix(frame);
        }
    }

    /// What the sound has lost the noise has: both together are as loud as the place.
    fn mix(&mut self, frame: &mut [f32]) {
        let rest = 1.0 - self.gain * self.gain;
        let noise = if rest > 0.0 { self.comfort.next() * rest.sqrt() } else { 0.0 };
        frame.iter_mut().for_each(|sample| *sample = *sample * self.gain + noise);
    }
}

#[cfg(test)]
mod tests {
    use super::super::room::room;
    use super::super::stretch::energy;
    use super::*;

    #[test]
    fn it_goes_and_comes_back_without_a_step() {
        let mut fade = Fade::default();
        let mut heard = vec![1.0; 480];
        fade.back(&mut heard, 1);
        let mut gap = vec![1.0; 2 * 9_600];
        assert_eq!(fade.away(&mut gap, 2), 9_600 - SILENT_AFTER);
        heard.extend(gap.chunks(2).map(|frame| frame[1]));
        assert_eq!((heard[480 + FADES_AFTER], heard[480 + SILENT_AFTER + 10]), (1.0, 0.0));
        let mut again = vec![1.0; 960];
        fade.back(&mut again, 1);
        assert_eq!((fade.made_up(), again[959]), (0, 1.0));
        heard.extend(again);
        assert!(heard.windows(2).all(|pair| (pair[1] - pair[0]).abs() < 0.01));
    }

    /// A place is heard, then nothing comes for a second, then the place again: it is never louder nor
    /// much quieter than it was, in each 20 ms.
    #[test]
    fn a_place_does_not_go_away() {
        let (mut fade, loud) = (Fade::default(), 0.01);
        let place: Vec<f32> = room(144_000, 0.5).iter().map(|s| s * loud).collect();
        let usual = energy(&place);
        let mut heard = place.clone();
        fade.back(&mut heard, 1);
        for _ in 0..3 {
            let mut gap: Vec<f32> = place[..48_000].to_vec();
            fade.away(&mut gap, 1);
            let mut again: Vec<f32> = place[48_000..72_000].to_vec();
            fade.back(&mut again, 1);
            gap.extend(again);
            for (n, part) in gap.chunks(960).enumerate() {
                let share = energy(part) / usual;
                assert!((0.35..1.6).contains(&share), "{} ms: {share}", n * 20);
            }
            assert!(gap[48_000 - 4_800..].iter().all(|sample| sample.abs() < loud));
        }
    }
}
