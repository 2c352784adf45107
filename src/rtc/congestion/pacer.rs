//! What leaves when: sound first and at once, then repairs, then pictures, then padding. Pure.
//!
//! Owns the queue in front of the path. Nothing waits in it so long that it is
//! of no use: pictures that do are dropped, all of them, since each needs the
//! one before.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What may leave at once after a pause, in time at the pacing rate.
const BURST: Duration = Duration::from_millis(5);

/// A repair that waited so long is asked for again by then, or of no use any more; where an answer takes
/// longer, it is not asked for again before so many round trips.
pub(super) const REPAIR_EXPIRES: Duration = Duration::from_millis(250);
const ASKED_AGAIN: f64 = 1.2;

/// A picture that waited so long is too late to be shown in a conversation.
pub(super) const PICTURE_EXPIRES: Duration = Duration::from_millis(400);

/// Packets of one kind that wait at most; pictures of a second at the highest rates.
const MOST: usize = 2_048;

/// What a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Leaves at once; the others wait for what it took.
    Sound,
    /// Sent before, and lost.
    Repair,
    /// Part of a picture.
    Picture,
}

#[derive(Debug)]
struct Waiting<T> {
    item: T,
    bits: f64,
    since: Instant,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Pacer<T> {
    sound: VecDeque<Waiting<T>>,
    repairs: VecDeque<Waiting<T>>,
    pictures: VecDeque<Waiting<T>>,
    rate: f64,
    /// When what has left is paid for.
    free_at: Option<Instant>,
    picture_bits: f64,
}

impl<T> Pacer<T> {
    /// A pacer that sends at `rate` bits a second.
    pub(super) fn new(rate: f64) -> Self {
        Self {
            sound: VecDeque::new(),
            repairs: VecDeque::new(),
            pictures: VecDeque::new(),
            rate: rate.max(1.0),
            free_at: None,
            picture_bits: 0.0,
        }
    }

    /// The rate from now on, bits a second. What has left is paid for at it too.
    pub(super) fn set_rate(&mut self, now: Instant, rate: f64) {
        let before = std::mem::replace(&mut self.rate, rate.max(1.0));
        if let Some(owed) = self.free_at.and_then(|at| at.checked_duration_since(now)) {
            self.free_at = Some(now + owed.mul_f64(before / self.rate));
        }
    }

    /// Takes a packet of `bits` on the wire; gives it back when too many wait.
    pub(super) fn push(&mut self, now: Instant, class: Class, bits: f64, item: T) -> Option<T> {
        let queue = match class {
            Class::Sound => &mut self.sound,
            Class::Repair => &mut self.repairs,
            Class::Picture => &mut self.pictures,
        };
        if queue.len() >= MOST {
            return Some(item);
        }
        queue.push_back(Waiting { item, bits, since: now });
        if class == Class::Picture {
            self.picture_bits += bits;
        }
        None
    }

    /// The next packet that may leave now.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(Class, T)> {
        if let Some(sound) = self.sound.pop_front() {
            self.pay(now, sound.bits);
            return Some((Class::Sound, sound.item));
        }
        if !self.may_send(now) {
            return None;
        }
        if let Some(repair) = self.repairs.pop_front() {
            self.pay(now, repair.bits);
            return Some((Class::Repair, repair.item));
        }
        let picture = self.pictures.pop_front()?;
        self.picture_bits -= picture.bits;
        self.pay(now, picture.bits);
        Some((Class::Picture, picture.item))
    }

    /// Whether anything that does not leave at once may leave now.
    pub(super) fn may_send(&self, now: Instant) -> bool {
        self.free_at.is_none_or(|at| at <= now)
    }

    /// Counts what leaves past the queue, such as padding.
    pub(super) fn pay(&mut self, now: Instant, bits: f64) {
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let from = self.free_at.map_or(earliest, |at| at.max(earliest));
        self.free_at = Some(from + Duration::from_secs_f64(bits / self.rate));
    }

    /// Takes out a repair that is of no use any more, where a round trip takes `rtt`.
    pub(super) fn pop_expired_repair(&mut self, now: Instant, rtt: Duration) -> Option<T> {
        let expires = REPAIR_EXPIRES.max(rtt.mul_f64(ASKED_AGAIN));
        let late = |first: &Waiting<T>| now.saturating_duration_since(first.since) >= expires;
        self.repairs.front().filter(|first| late(first))?;
        self.repairs.pop_front().map(|repair| repair.item)
    }

    /// Whether pictures wait that are too old: then none of them is of use.
    pub(super) fn has_expired(&self, now: Instant) -> bool {
        self.pictures
            .front()
            .is_some_and(|first| now.saturating_duration_since(first.since) > PICTURE_EXPIRES)
    }

    /// Whether pictures wait.
    pub(super) fn has_pictures(&self) -> bool {
        !self.pictures.is_empty()
    }

    /// How long the pictures that wait take at `rate` bits a second.
    pub(super) fn pictures_take(&self, rate: f64) -> Duration {
        Duration::from_secs_f64(self.picture_bits.max(0.0) / rate.max(1.0))
    }

    /// What the repairs that wait come to, bits.
    pub(super) fn repair_bits(&self) -> f64 {
        self.repairs.iter().map(|repair| repair.bits).sum()
    }

    /// Takes out all pictures.
    pub(super) fn drop_pictures(&mut self) -> impl Iterator<Item = T> {
        self.picture_bits = 0.0;
        std::mem::take(&mut self.pictures).into_iter().map(|waiting| waiting.item)
    }

    /// How long it takes until what waits has left, without more to come.
    pub(super) fn backlog(&self, now: Instant) -> Duration {
        let queued =
            Duration::from_secs_f64((self.picture_bits + self.repair_bits()).max(0.0) / self.rate);
        queued + self.free_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }

    /// When [`Pacer::pop`] may have something.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let waits = !self.repairs.is_empty() || !self.pictures.is_empty();
        waits.then_some(self.free_at).flatten()
    }

    /// When padding may leave.
    pub(super) fn free_at(&self) -> Option<Instant> {
        self.free_at
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::clock;

    const MS: Duration = Duration::from_millis(1);
    /// A packet that takes 10 ms.
    const BITS: f64 = 10_000.0;

    fn pacer() -> (Pacer<u32>, Instant) {
        (Pacer::new(1e6), clock::now())
    }

    fn drain(pacer: &mut Pacer<u32>, now: Instant) -> Vec<u32> {
        std::iter::from_fn(|| pacer.pop(now)).map(|(_, item)| item).collect()
    }

    #[test]
    fn sound_passes_and_repairs_come_before_pictures() {
        let (mut pacer, start) = pacer();
        for n in 1..=3 {
            pacer.push(start, Class::Picture, BITS, n);
        }
        assert_eq!(drain(&mut pacer, start), [1]);
        pacer.push(start, Class::Repair, BITS, 10);
        pacer.push(start, Class::Sound, BITS, 20);
        assert_eq!(drain(&mut pacer, start + MS), [20]);
        assert_eq!(drain(&mut pacer, start + 10 * MS), [0_u32; 0], "sound is paid for");
        assert_eq!(drain(&mut pacer, start + 16 * MS), [10]);
        assert_eq!(drain(&mut pacer, start + 26 * MS), [2]);
    }

    #[test]
    fn leaves_at_the_rate_and_never_in_a_burst_of_the_past() {
        let (mut pacer, start) = pacer();
        for n in 0..100 {
            pacer.push(start, Class::Picture, BITS, n);
        }
        let left: usize = (0..200).map(|n| drain(&mut pacer, start + n * MS).len()).sum();
        assert!((19..=21).contains(&left), "{left}");
        assert!(pacer.backlog(start + 200 * MS) > 750 * MS);
        let after_a_pause = drain(&mut pacer, start + 500 * MS).len();
        assert!(after_a_pause <= 2, "{after_a_pause}");
    }

    #[test]
    fn what_left_at_a_slow_rate_is_paid_for_at_the_fast_one() {
        let (mut pacer, start) = pacer();
        pacer.set_rate(start, 1e4);
        for n in 0..3 {
            pacer.push(start, Class::Picture, BITS, n);
        }
        assert_eq!(drain(&mut pacer, start + MS), [0]);
        pacer.set_rate(start + 2 * MS, 1e6);
        assert_eq!(drain(&mut pacer, start + 13 * MS), [1]);
    }

    #[test]
    fn what_waited_too_long_is_said_and_dropped_whole() {
        let (mut pacer, start) = pacer();
        for n in 0..100 {
            pacer.push(start, Class::Picture, BITS, n);
        }
        assert!(!pacer.has_expired(start + PICTURE_EXPIRES));
        assert!(pacer.has_expired(start + PICTURE_EXPIRES + MS));
        assert_eq!(pacer.drop_pictures().count(), 100);
        assert_eq!(pacer.backlog(start), Duration::ZERO);
    }

    #[test]
    fn a_repair_expires_when_it_is_asked_for_again() {
        let (mut pacer, start) = pacer();
        let mut expires_after = |rtt: u32| {
            pacer.push(start, Class::Repair, BITS, rtt);
            (0..2_000).find(|ms| pacer.pop_expired_repair(start + *ms * MS, rtt * MS) == Some(rtt))
        };
        assert_eq!((expires_after(0), expires_after(50)), (Some(250), Some(250)));
        assert_eq!(expires_after(500), Some(600), "it is believed to be on its way until then");
        assert_eq!(pacer.pop(start + MS), None, "it is gone");
    }

    #[test]
    fn no_queue_is_endless() {
        let (mut pacer, start) = pacer();
        let refused = (0..5_000).filter_map(|n| pacer.push(start, Class::Repair, 1.0, n)).count();
        assert_eq!(refused, 5_000 - MOST);
    }
}
