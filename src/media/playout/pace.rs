//! Whether sound is played faster, slower or as it is, and when a backlog is dropped. Pure.

use super::stretch::{LONGEST, SHORTEST};

/// How far the delay may be over or under its target before sound is stretched, samples (15 ms), and
/// where that ends. Less is for whoever can stretch by a hair.
pub(super) const SLACK: f64 = 720.0;
const REST: f64 = 120.0;

/// In a pause nobody hears it, and less is worth it, samples (5 ms).
pub(super) const SLACK_IN_PAUSES: f64 = 240.0;

/// The most by which sound is played faster or slower: 15 %.
const MOST_SPEED: f64 = 0.15;

/// What may be saved up of that, samples, and what must be there before the sound is looked at: with
/// less, low voices would have no period to be cut by.
const MOST_CREDIT: f64 = 1_440.0;
const LEAST_CREDIT: f64 = 480.0;

/// How often the sound is looked at, samples: every 10 ms.
const LOOKS_EVERY: usize = 480;

/// A backlog over this, samples (400 ms), is dropped at a quiet place, and when none comes for so
/// long (300 ms) anywhere.
pub(super) const BACKLOG: f64 = 19_200.0;
const PATIENCE: usize = 14_400;

/// Right after a gap in the sound a second one is not much worse: then over this (100 ms).
const BACKLOG_AFTER_GAP: f64 = 4_800.0;

/// Sound that resembles itself nowhere is cut all the same when that takes longer than this (200 ms);
/// after half a second more anywhere. A delay of less than 60 ms is not worth that.
const PRESSES_AFTER: usize = 9_600;
const PRESSES_FOR: f32 = 24_000.0;
const HARDLY_LATE: f64 = 2_880.0;
const HARDLY_PRESSED: f32 = 0.3;

/// What to do before the next samples are played.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Move {
    /// Nothing.
    Stay,
    /// Take a piece out, of so many samples at most, the more carelessly the higher the pressure.
    Faster { most: usize, pressure: f32 },
    /// Put one in.
    Slower { most: usize, pressure: f32 },
    /// Drop what waits too long.
    Skip,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Pace {
    /// Faster is 1, slower -1.
    way: i8,
    credit: f64,
    looked: usize,
    /// Samples played since something was to be cut and could not.
    waits: usize,
    overdue: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self { way: 0, credit: MOST_CREDIT, looked: 0, waits: 0, overdue: 0 }
    }
}

impl Pace {
    /// `samples` are about to be played, and wait `excess` longer than they should; `quiet` says that
    /// they are much quieter than what was before, `after_gap` that nothing came a moment ago.
    pub(super) fn next(
        &mut self,
        excess: f64,
        samples: usize,
        quiet: bool,
        after_gap: bool,
    ) -> Move {
        self.credit = (self.credit + MOST_SPEED * samples as f64).min(MOST_CREDIT);
        self.looked += samples;
        let backlog = if after_gap { BACKLOG_AFTER_GAP } else { BACKLOG };
        self.overdue = if excess > backlog { self.overdue + samples } else { 0 };
        if excess > backlog && (quiet || self.overdue >= PATIENCE) {
            self.overdue = 0;
            return Move::Skip;
        }
        self.way = match self.way {
            1 if excess > REST => 1,
            -1 if excess < -REST => -1,
            _ if excess > SLACK || (quiet && excess > SLACK_IN_PAUSES) => 1,
            _ if excess < -SLACK => -1,
            _ => 0,
        };
        if self.way == 0 {
            self.waits = 0;
            return Move::Stay;
        }
        self.waits += samples;
        // A pause may be shortened as one likes.
        let may = if quiet { LONGEST as f64 } else { self.credit };
        if self.looked < LOOKS_EVERY || may < LEAST_CREDIT {
            return Move::Stay;
        }
        self.looked = 0;
        let most = may.min(excess.abs() + 2.0 * REST).max(SHORTEST as f64) as usize;
        let late = self.waits.saturating_sub(PRESSES_AFTER) as f32;
        let limit = if excess < HARDLY_LATE { HARDLY_PRESSED } else { 1.0 };
        let pressure = (late / PRESSES_FOR).min(limit);
        match self.way {
            1 => Move::Faster { most, pressure },
            _ => Move::Slower { most, pressure },
        }
    }

    /// So many samples went out or in.
    pub(super) fn moved(&mut self, samples: usize) {
        if samples > 0 {
            self.credit = (self.credit - samples as f64).max(0.0);
            self.waits = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_faster_than_15_percent_and_not_for_a_trifle() {
        let mut pace = Pace::default();
        assert_eq!(pace.next(SLACK - 1.0, 480, false, false), Move::Stay);
        let mut gone = 0;
        for _ in 0..100 {
            if let Move::Faster { most, pressure } = pace.next(9_600.0, 480, false, false) {
                assert!(pressure < 0.01);
                pace.moved(most);
                gone += most;
            }
        }
        // What was saved up comes on top, once.
        assert!((5_700..=7_200 + 1_440).contains(&gone), "{gone} of 48000");
        assert!(matches!(pace.next(200.0, 9_600, false, false), Move::Faster { .. }), "to the end");
        assert_eq!(pace.next(100.0, 9_600, false, false), Move::Stay);
        assert!(matches!(pace.next(-900.0, 9_600, false, false), Move::Slower { .. }));
    }

    #[test]
    fn a_backlog_goes_at_a_quiet_place_or_after_300_ms() {
        let mut pace = Pace::default();
        assert_ne!(pace.next(30_000.0, 480, false, false), Move::Skip);
        assert_eq!(pace.next(30_000.0, 480, true, false), Move::Skip);
        let waits = (0..100).position(|_| pace.next(30_000.0, 480, false, false) == Move::Skip);
        assert_eq!(waits, Some(29));
    }

    #[test]
    fn it_presses_when_nothing_can_be_cut() {
        let mut pace = Pace::default();
        let mut most_pressed = |excess| {
            let pressed = (0..100).map(|_| match pace.next(excess, 480, false, false) {
                Move::Faster { pressure, .. } => pressure,
                _ => 0.0,
            });
            pressed.fold(0.0, f32::max)
        };
        assert!((most_pressed(1_000.0) - HARDLY_PRESSED).abs() < 1e-6);
        assert!(most_pressed(10_000.0) >= 1.0);
    }
}
