//! Which packets are asked for again, and when. Pure.
//!
//! Owns the gaps of one stream: asked for once the path's own reordering
//! cannot explain them, again about a round trip later if no repair came, less
//! and less often, and given up when the picture is too old to be shown.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::sequence::unwrap_number;

/// Gaps that are kept; more at once is an interruption that only a keyframe mends.
const MOST: usize = 400;

/// How often one packet is asked for at most.
const MOST_TIMES: u32 = 24;

/// How long after a gap was noticed a repair is of use.
const USEFUL: Duration = Duration::from_millis(900);

/// How much longer than a round trip is waited before asking again, beside three times what round
/// trips differ, and what each time adds.
const SLACK: Duration = Duration::from_millis(6);
const DEVIATIONS: u32 = 3;
const MOST_SLACK: f64 = 0.25;
const BACK_OFF: f64 = 1.15;

/// With more loss than this, requests are lost too: each is made so many times, so far apart, as a
/// share of a round trip. A sender repeats at most once a round trip whatever it hears.
const DOUBT: f64 = 0.07;
const TIMES_IN_DOUBT: u32 = 3;
const APART: f64 = 0.2;

/// How much each packet tells of the share that is lost.
const LOSS_GAIN: f64 = 0.01;

/// The most that the path's reordering makes us wait.
const MOST_REORDERING: Duration = Duration::from_millis(120);

/// What seen reordering loses with each packet.
const FORGETTING: f64 = 0.999;

/// Before a repair has shown how long it takes.
const GUESSED_RTT: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy)]
struct Gap {
    noticed: Instant,
    asked: Option<Instant>,
    times: u32,
}

impl Gap {
    /// When it is asked for next, in rounds of `times` requests.
    fn due(&self, reordering: Duration, (wait, times): (Duration, u32)) -> Instant {
        let Some(asked) = self.asked else { return self.noticed + reordering };
        if !self.times.is_multiple_of(times) {
            return asked + wait.mul_f64(APART);
        }
        // The round began with its first request.
        let rest = 1.0 - APART * f64::from(times - 1);
        let round = (self.times / times).saturating_sub(1);
        asked + wait.mul_f64(rest * BACK_OFF.powi(i32::try_from(round).unwrap_or(i32::MAX)))
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Missing {
    highest: Option<u64>,
    gaps: BTreeMap<u64, Gap>,
    reordering: Duration,
    rtt: Duration,
    deviation: Duration,
    rtt_known: bool,
    loss: f64,
}

impl Default for Missing {
    fn default() -> Self {
        Self {
            highest: None,
            gaps: BTreeMap::new(),
            reordering: Duration::ZERO,
            rtt: GUESSED_RTT,
            deviation: Duration::ZERO,
            rtt_known: false,
            loss: 0.0,
        }
    }
}

impl Missing {
    /// A packet came, by itself or as a repair.
    pub(super) fn on_packet(&mut self, now: Instant, number: u16, repair: bool) {
        let sequence = unwrap_number(number, self.highest);
        let highest = self.highest.unwrap_or(sequence);
        if let Some(gap) = self.gaps.remove(&sequence) {
            return self.filled(now, gap, repair);
        }
        if repair {
            // Padding, or a repair of what was given up: says nothing about what was sent since.
            return;
        }
        self.reordering = self.reordering.mul_f64(FORGETTING);
        if self.highest.is_none() || sequence > highest {
            self.highest = Some(sequence);
            let new = highest + 1..sequence;
            let gone = sequence.saturating_sub(highest + 1).min(100) as f64;
            let share = gone / (gone + 1.0);
            self.loss += (share - self.loss) * (LOSS_GAIN * (gone + 1.0)).min(1.0);
            if new.clone().count() + self.gaps.len() > MOST {
                self.gaps.clear();
                return;
            }
            self.gaps.extend(new.map(|n| (n, Gap { noticed: now, asked: None, times: 0 })));
        }
    }

    fn filled(&mut self, now: Instant, gap: Gap, repair: bool) {
        match (repair, gap.asked) {
            // Which of several requests it answers cannot be told; of two, most likely the first.
            (true, Some(asked)) if gap.times == 1 && !self.doubts() => {
                let sample = now.saturating_duration_since(asked);
                if !self.rtt_known {
                    (self.rtt, self.deviation, self.rtt_known) = (sample, sample / 8, true);
                }
                let differs = self.rtt.abs_diff(sample);
                self.rtt = self.rtt.mul_f64(0.85) + sample.mul_f64(0.15);
                self.deviation = self.deviation.mul_f64(0.85) + differs.mul_f64(0.15);
            }
            (false, _) => {
                let late = now.saturating_duration_since(gap.noticed).mul_f64(1.1);
                self.reordering = self.reordering.max(late).min(MOST_REORDERING);
            }
            _ => {}
        }
    }

    /// A keyframe was asked for: what came before it is of no use.
    pub(super) fn give_up(&mut self) {
        self.gaps.clear();
    }

    /// What to ask for now, in order. `rtt` is what is known from elsewhere.
    pub(super) fn take_due(&mut self, now: Instant, rtt: Option<Duration>) -> Vec<u16> {
        self.gaps.retain(|_, gap| {
            gap.times < MOST_TIMES && now.saturating_duration_since(gap.noticed) < USEFUL
        });
        let (reordering, rounds) = (self.reordering, self.rounds(rtt));
        let due = self.gaps.iter_mut().filter(|(_, gap)| gap.due(reordering, rounds) <= now);
        due.map(|(sequence, gap)| {
            gap.asked = Some(now);
            gap.times += 1;
            *sequence as u16
        })
        .collect()
    }

    fn doubts(&self) -> bool {
        self.loss > DOUBT
    }

    /// How long after a request the next round of them begins, and of how many a round is.
    fn rounds(&self, rtt: Option<Duration>) -> (Duration, u32) {
        let wait = match self.rtt_known {
            true => {
                let slack = (self.deviation * DEVIATIONS).min(self.rtt.mul_f64(MOST_SLACK));
                self.rtt + slack + SLACK
            }
            false => rtt.unwrap_or(self.rtt).mul_f64(1.1) + SLACK,
        };
        (wait, if self.doubts() { TIMES_IN_DOUBT } else { 1 })
    }

    /// When [`Missing::take_due`] may have something.
    pub(super) fn deadline(&self, rtt: Option<Duration>) -> Option<Instant> {
        let (reordering, rounds) = (self.reordering, self.rounds(rtt));
        self.gaps.values().map(|gap| gap.due(reordering, rounds)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);
    const RTT: Option<Duration> = Some(Duration::from_millis(50));

    #[test]
    fn asks_at_once_on_a_path_in_order_and_again_after_a_round_trip() {
        let (mut missing, start) = (Missing::default(), clock::now());
        missing.on_packet(start, 65_534, false);
        missing.on_packet(start, 1, false);
        assert_eq!(missing.take_due(start, RTT), [65_535, 0]);
        assert!(missing.take_due(start + 50 * MS, RTT).is_empty(), "the repair is on its way");
        missing.on_packet(start + 55 * MS, 0, true);
        assert_eq!(missing.take_due(start + 90 * MS, RTT), [65_535]);
        assert!(missing.take_due(start + 150 * MS, RTT).is_empty(), "the next one too");
        assert_eq!(missing.take_due(start + 190 * MS, RTT), [65_535]);
        assert!(missing.take_due(start + 2 * USEFUL, RTT).is_empty());
        assert_eq!(missing.deadline(RTT), None);
    }

    #[test]
    fn learns_what_the_path_reorders() {
        let (mut missing, start) = (Missing::default(), clock::now());
        missing.on_packet(start, 0, false);
        missing.on_packet(start, 2, false);
        missing.take_due(start, RTT);
        missing.on_packet(start + 30 * MS, 1, false);
        missing.on_packet(start + 40 * MS, 4, false);
        assert!(missing.take_due(start + 60 * MS, RTT).is_empty(), "it may only be late");
        assert_eq!(missing.take_due(start + 80 * MS, RTT), [3]);
    }

    #[test]
    fn an_interruption_and_a_keyframe_end_the_asking() {
        let (mut missing, start) = (Missing::default(), clock::now());
        missing.on_packet(start, 0, false);
        missing.on_packet(start, 2_000, false);
        assert!(missing.take_due(start + MS, RTT).is_empty());
        missing.on_packet(start, 2_010, false);
        missing.give_up();
        assert!(missing.take_due(start + MS, RTT).is_empty());
    }

    proptest! {
        #[test]
        fn stays_bounded_and_asks_only_for_what_did_not_come(
            numbers in prop::collection::vec((any::<u16>(), any::<bool>()), 1..400),
        ) {
            let (mut missing, start) = (Missing::default(), clock::now());
            let mut now = start;
            let mut last = None;
            for (number, repair) in numbers {
                now += MS;
                missing.on_packet(now, number, repair);
                last = Some(number);
                prop_assert!(missing.gaps.len() <= MOST);
                prop_assert!(!missing.take_due(now, RTT).iter().any(|n| Some(*n) == last));
            }
            prop_assert!(last.is_some());
        }
    }
}
