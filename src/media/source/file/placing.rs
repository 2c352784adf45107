//! Where decoded sound belongs: in its place by the time stamps, by the gentlest means.
//!
//! Pure. Rounding is left alone; a clock that runs a little fast or slow is followed by pieces of a
//! few milliseconds that nobody hears; a gap becomes silence, an overlap is cut.

use crate::media::playout::stretch::{join, lengthen, shorten};

/// Differences up to this are rounding, in milliseconds.
const ROUNDING: i64 = 12;

/// Differences up to this are worked off in pieces, in milliseconds; beyond it is a gap or an overlap.
const PIECES: i64 = 60;

/// A step back of more than this, in milliseconds, is a clock that begins anew.
const NEW_CLOCK: i64 = 1_000;

/// A gap of more than this, in milliseconds, is a broken time stamp: a day.
const NO_GAP: i64 = 86_400_000;

/// The same for what comes as it is made: nobody waits for what it leaves out.
const NO_GAP_LIVE: i64 = 5_000;

/// Keeps a row of samples in step with its time stamps.
#[derive(Debug, Clone)]
pub(super) struct Placing {
    /// A longer gap, in milliseconds, is a clock that begins anew.
    no_gap: i64,
    /// Samples per channel given out since the start.
    position: i64,
    /// What is added to time stamps since a clock began anew, in samples.
    shift: i64,
}

impl Default for Placing {
    /// For a file.
    fn default() -> Self {
        Self { no_gap: NO_GAP, position: 0, shift: 0 }
    }
}

impl Placing {
    /// For what comes through a pipe.
    pub(super) fn live() -> Self {
        Self { no_gap: NO_GAP_LIVE, ..Self::default() }
    }

    /// The same, before anything was placed.
    pub(super) fn anew(&self) -> Self {
        Self { no_gap: self.no_gap, ..Self::default() }
    }

    /// Samples per channel that are out.
    #[cfg(test)]
    fn position(&self) -> i64 {
        self.position
    }

    /// Takes what was decoded for the place `at` (samples per channel since the start, at `rate`),
    /// and makes of it what fits there; gives back the silence that belongs before it, in samples per
    /// channel. Both count as given out.
    pub(super) fn place(
        &mut self,
        at: i64,
        pcm: &mut Vec<f32>,
        (rate, channels): (u32, usize),
    ) -> i64 {
        let ms = i64::from(rate) / 1000;
        let mut late = at.saturating_add(self.shift).saturating_sub(self.position);
        if late < -NEW_CLOCK * ms || late > self.no_gap * ms {
            self.shift = self.position.saturating_sub(at);
            late = 0;
        }
        let mut silence = 0;
        if late > PIECES * ms {
            silence = late;
        } else if late < -PIECES * ms {
            self.cut(pcm, late.unsigned_abs() as usize, channels);
        } else if late.abs() > ROUNDING * ms {
            let pressure = late.abs() as f32 / (PIECES * ms) as f32;
            let most = late.unsigned_abs() as usize;
            match late > 0 {
                true => lengthen(pcm, channels, most, pressure),
                false => shorten(pcm, channels, most, pressure),
            };
        }
        self.position += silence + (pcm.len() / channels.max(1)) as i64;
        silence
    }

    /// Takes so much off the front, as it was given out before.
    fn cut(&mut self, pcm: &mut Vec<f32>, samples: usize, channels: usize) {
        let cut = (samples * channels).min(pcm.len());
        let mut before: Vec<f32> = pcm.drain(..cut).collect();
        // What is cut off fades into what follows it.
        let seam = before.len().min(pcm.len()).min(240 * channels);
        let from = before.len() - seam;
        let mut joined = before.split_off(from);
        let rest = std::mem::take(pcm);
        join(&mut joined, &rest, channels);
        *pcm = joined;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 48_000;

    /// A hum that goes on over all packets.
    fn hum(from: i64, samples: i64) -> Vec<f32> {
        (from..from + samples)
            .map(|n| 0.5 * (n as f32 * 300.0 * std::f32::consts::TAU / 48_000.0).sin())
            .collect()
    }

    #[test]
    fn a_clock_that_is_two_percent_off_is_followed_for_an_hour() {
        for step in [940, 980] {
            let mut placing = Placing::default();
            let mut worst = 0;
            for n in 0..180_000 {
                let mut pcm = hum(n * 960, 960);
                let silence = placing.place(n * step, &mut pcm, (RATE, 1));
                assert_eq!(silence, 0, "packet {n}");
                worst = worst.max((placing.position() - (n + 1) * step).abs());
            }
            assert!(worst < 48 * 45, "{step}: {worst} samples off");
        }
    }

    #[test]
    fn rounding_is_left_alone() {
        let mut placing = Placing::default();
        for n in 0..1000 {
            let mut pcm = hum(n * 960, 960);
            placing.place(n * 960 + [0, 30, -40][n as usize % 3], &mut pcm, (RATE, 1));
            assert_eq!(pcm.len(), 960);
        }
    }

    #[test]
    fn gaps_become_silence_and_overlaps_are_cut() {
        let mut placing = Placing::default();
        placing.place(0, &mut hum(0, 960), (RATE, 1));
        assert_eq!(placing.place(960 + 9600, &mut hum(0, 960), (RATE, 1)), 9600);
        let mut late = hum(0, 9600);
        assert_eq!(placing.place(11_520 - 4800, &mut late, (RATE, 1)), 0);
        let off = placing.position() - (11_520 + 4800);
        assert!(off.abs() < 48 * 12, "{off}");
    }

    #[test]
    fn what_comes_live_does_not_make_up_for_a_jump() {
        for (mut placing, silence) in [(Placing::live(), 0), (Placing::default(), 480_000 - 960)] {
            placing.place(0, &mut hum(0, 960), (RATE, 1));
            assert_eq!(placing.place(480_000, &mut hum(0, 960), (RATE, 1)), silence);
        }
    }

    #[test]
    fn a_clock_that_begins_anew_goes_on_from_where_it_was() {
        let mut placing = Placing::default();
        for n in 0..100 {
            placing.place(480_000 * 10 + n * 960, &mut hum(n, 960), (RATE, 1));
        }
        let before = placing.position();
        assert_eq!(placing.place(0, &mut hum(0, 960), (RATE, 1)), 0);
        assert_eq!(placing.place(960, &mut hum(0, 960), (RATE, 1)), 0);
        assert_eq!(placing.position() - before, 2 * 960);
    }
}
