//! How much may be sent to an end that reports no packet's arrival. Pure.
//!
//! Some ends send no transport-wide feedback. Then receiver reports (RFC 3550
//! section 6.4) say how much is lost, and REMB
//! (draft-alvestrand-rmcat-remb-03), where it comes, what they think of the
//! path. Without either for long, little is sent (RFC 8083 section 4.2).

use std::time::{Duration, Instant};

use super::estimator::LEAST;
use crate::rtc::path::START;

/// What is begun with: between too much for a narrow path and too little for a usual one.
const FIRST: f64 = 600_000.0;

/// Less loss than this lets the rate grow, more lets it fall.
const LITTLE: f64 = 0.03;
const MUCH: f64 = 0.12;

/// Growth a second.
const GROWTH: f64 = 0.12;

/// Two falls are so far apart, that the first can be seen in the reports.
const BETWEEN_FALLS: Duration = Duration::from_millis(800);

/// Silence after which the other side may be gone.
const SILENCE: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(super) struct Fallback {
    target: f64,
    max: f64,
    remb: Option<f64>,
    loss: f64,
    last: Option<Instant>,
    fell_at: Option<Instant>,
}

impl Fallback {
    /// Stays at or under `max` bits a second.
    pub(super) fn new(max: f64) -> Self {
        Self { target: FIRST.min(max), max, remb: None, loss: 0.0, last: None, fell_at: None }
    }

    /// A report says that this share of a stream was lost since the one before.
    pub(super) fn on_loss(&mut self, now: Instant, fraction: f64) {
        let since = self.last.replace(now).map_or(Duration::ZERO, |last| now - last);
        self.loss += (fraction - self.loss) * 0.4;
        if fraction > MUCH {
            if self.fell_at.is_none_or(|at| now > at + BETWEEN_FALLS) {
                self.target *= 1.0 - fraction.min(0.5) / 2.0;
                self.fell_at = Some(now);
            }
        } else if fraction < LITTLE {
            let seconds = since.min(Duration::from_secs(2)).as_secs_f64();
            self.target *= 1.0 + GROWTH * seconds;
        }
        self.target = self.target.clamp(LEAST, self.max);
    }

    /// They say what the path carries, bits a second.
    pub(super) fn on_remb(&mut self, now: Instant, bitrate: f64) {
        self.last = Some(now);
        self.remb = Some(bitrate.clamp(LEAST, self.max));
    }

    /// What may be sent now, bits a second.
    pub(super) fn target(&self, now: Instant) -> f64 {
        let known = self.remb.map_or(self.target, |remb| match self.loss > MUCH {
            true => remb.min(self.target),
            false => remb,
        });
        let silent = self.last.is_some_and(|at| now.saturating_duration_since(at) > SILENCE);
        if silent { known.min(START / 2.0) } else { known }
    }

    /// The share that is lost, smoothed, 0.0 to 1.0.
    pub(super) fn loss(&self) -> f64 {
        self.loss
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn grows_without_loss_falls_with_it_and_heeds_what_they_say() {
        let (mut fallback, start) = (Fallback::new(2e6), clock::now());
        for n in 0..20 {
            fallback.on_loss(start + n * SECOND, 0.0);
        }
        let now = start + 20 * SECOND;
        assert_eq!(fallback.target(now), 2e6);
        fallback.on_loss(now, 0.4);
        fallback.on_loss(now, 0.4);
        assert_eq!(fallback.target(now), 1.6e6, "one fall, until it can be seen");
        fallback.on_remb(now, 500e3);
        assert_eq!(fallback.target(now), 500e3);
        assert_eq!(fallback.target(now + 6 * SECOND), START / 2.0, "they may be gone");
    }
}
