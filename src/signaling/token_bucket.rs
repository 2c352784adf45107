//! How fast somebody may send: a bucket that fills steadily and is emptied by use.
//! Pure; the time is handed in.

use std::time::{Duration, Instant};

/// Holds up to `burst` tokens and gains `rate` a second.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    rate: f64,
    burst: f64,
    tokens: f64,
    filled: Instant,
}

impl TokenBucket {
    /// A full one.
    #[must_use]
    pub fn new(now: Instant, rate: f64, burst: f64) -> Self {
        Self { rate, burst, tokens: burst, filled: now }
    }

    /// Takes one token; `false` when there is none.
    pub fn take(&mut self, now: Instant) -> bool {
        self.take_many(now, 1.0)
    }

    /// Takes so many tokens at once, or none; `false` when there are not enough.
    pub fn take_many(&mut self, now: Instant, count: f64) -> bool {
        self.tokens = self.left(now);
        self.filled = self.filled.max(now);
        if self.tokens < count {
            return false;
        }
        self.tokens -= count;
        true
    }

    /// How many tokens there are.
    #[must_use]
    pub fn left(&self, now: Instant) -> f64 {
        let gained = now.saturating_duration_since(self.filled).as_secs_f64() * self.rate;
        (self.tokens + gained).min(self.burst)
    }

    /// When there will be so many; `None` when there never will.
    #[must_use]
    pub fn due(&self, count: f64) -> Option<Instant> {
        if count > self.burst {
            return None;
        }
        let missing = Duration::try_from_secs_f64((count - self.tokens).max(0.0) / self.rate);
        self.filled.checked_add(missing.ok()?)
    }

    /// Gives one back that was not needed after all.
    pub fn give_back(&mut self) {
        self.tokens = (self.tokens + 1.0).min(self.burst);
    }

    /// Whether it is as good as new.
    #[must_use]
    pub fn is_full(&self, now: Instant) -> bool {
        self.left(now) >= self.burst
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let start = crate::clock::now();
        let mut bucket = TokenBucket::new(start, 2.0, 3.0);
        let passed = (0..10).filter(|_| bucket.take(start)).count();
        assert_eq!(passed, 3);
        let later = start + Duration::from_secs(1);
        assert_eq!((0..10).filter(|_| bucket.take(later)).count(), 2);
        let much_later = start + Duration::from_secs(1000);
        assert_eq!((0..10).filter(|_| bucket.take(much_later)).count(), 3);
    }

    #[test]
    fn what_is_given_back_counts_again_but_never_above_the_burst() {
        let start = crate::clock::now();
        let mut bucket = TokenBucket::new(start, 1.0, 2.0);
        bucket.give_back();
        assert!(bucket.is_full(start) && bucket.take(start) && bucket.take(start));
        assert!(!bucket.take(start));
        bucket.give_back();
        assert!(bucket.take(start) && !bucket.take(start) && !bucket.is_full(start));
        assert!(bucket.is_full(start + Duration::from_secs(2)));
    }

    #[test]
    fn when_there_is_enough_can_be_said_before() {
        let start = crate::clock::now();
        let mut bucket = TokenBucket::new(start, 2.0, 3.0);
        assert_eq!(bucket.due(3.0), Some(start));
        assert_eq!(bucket.due(4.0), None);
        assert!(bucket.take_many(start, 3.0));
        assert_eq!(bucket.due(1.0), Some(start + Duration::from_millis(500)));
        assert_eq!(bucket.left(start + Duration::from_millis(500)), 1.0);
        assert_eq!(bucket.left(start + Duration::from_secs(9)), 3.0);
    }

    #[test]
    fn a_clock_that_steps_back_gives_nothing() {
        let start = crate::clock::now();
        let later = start + Duration::from_secs(5);
        let mut bucket = TokenBucket::new(later, 1.0, 1.0);
        assert!(bucket.take(later));
        assert!(!bucket.take(start));
        assert!(!bucket.take(later));
    }
}
