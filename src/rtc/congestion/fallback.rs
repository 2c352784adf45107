//! How much may be sent to an end that reports no packet's arrival. Pure.
//!
//! Some ends send no transport-wide feedback. Then receiver reports (RFC 3550 section 6.4) say how much
//! is lost, and how long a round trip takes, and REMB (draft-alvestrand-rmcat-remb-03), where it comes,
//! what they think of the path. Where they say nothing, or nothing good, the circuit breaker
//! (`breaker.rs`) leaves sound alone, at its lowest rate.

use std::ops::Range;
use std::time::{Duration, Instant};

use rtc::rtcp::reception_report::ReceptionReport;

use super::breaker::{Breaker, Report, Trip};
use super::estimator::LEAST;
use super::round_trip::RoundTrip;
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

/// Silence after which the other side may be gone: reports of those that keep to the usual five seconds
/// are up to 6.2 apart (RFC 3550 section 6.3.1).
const SILENCE: Duration = Duration::from_secs(7);

/// And what may then be sent; the same where it is back after more silence still.
const WHILE_SILENT: f64 = START / 2.0;

/// So long what REMB said counts; it is repeated every second or two.
const ESTIMATE_COUNTS: Duration = Duration::from_secs(15);

/// A round trip before one is known.
const TRIP: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Debug)]
pub(super) struct Fallback {
    target: f64,
    bounds: Range<f64>,
    remb: Option<(f64, Instant)>,
    loss: f64,
    last: Option<Instant>,
    fell_at: Option<Instant>,
    breaker: Breaker,
    round_trip: RoundTrip,
    /// It was far too much: until the rate has grown back to the least that is wanted, neither that
    /// nor their estimate counts.
    congested: bool,
}

impl Fallback {
    /// Stays within `bounds`, bits a second, while the breaker lets it.
    pub(super) fn new(bounds: Range<f64>) -> Self {
        let least = bounds.start.max(LEAST);
        let bounds = least..bounds.end.max(least);
        Self {
            target: FIRST.clamp(bounds.start, bounds.end),
            bounds,
            remb: None,
            loss: 0.0,
            last: None,
            fell_at: None,
            breaker: Breaker::default(),
            round_trip: RoundTrip::default(),
            congested: false,
        }
    }

    /// A packet of one of our streams leaves, of so many bits.
    pub(super) fn on_sent(&mut self, now: Instant, ssrc: u32, bits: f64) {
        self.breaker.on_sent(now, ssrc, bits);
    }

    /// A sender report of ours leaves, with this NTP time.
    pub(super) fn on_sender_report(&mut self, now: Instant, ntp: u64) {
        self.round_trip.on_sent(now, ntp);
    }

    /// Reports on streams of ours came; the rate heeds that on `main`, else the first.
    pub(super) fn on_reports(&mut self, now: Instant, reports: &[ReceptionReport], main: u32) {
        let unheard = self.breaker.trip(now).is_some();
        for report in reports {
            self.round_trip.on_report(now, report.last_sender_report, report.delay);
            let (ssrc, highest) = (report.ssrc, report.last_sequence_number);
            let report = Report { ssrc, highest, lost: share(report.fraction_lost) };
            let rtt = self.round_trip.smoothed().unwrap_or(TRIP);
            match self.breaker.on_report(now, report, rtt) {
                Some(Trip::Congested) => self.fall_to_the_least(now),
                Some(Trip::Unheard | Trip::NothingArrives) | None => {}
            }
        }
        if unheard {
            self.target = self.target.min(WHILE_SILENT.max(self.floor()));
        }
        let main = reports.iter().find(|report| report.ssrc == main).or(reports.first());
        main.into_iter().for_each(|report| self.on_loss(now, share(report.fraction_lost)));
    }

    fn fall_to_the_least(&mut self, now: Instant) {
        tracing::debug!("far more was sent than TCP would send");
        self.target = LEAST;
        self.congested = true;
        self.fell_at = Some(now);
    }

    /// A report says that this share of a stream was lost since the one before.
    fn on_loss(&mut self, now: Instant, fraction: f64) {
        let since = self.last.replace(now).map_or(Duration::ZERO, |last| now - last);
        self.breaker.on_heard(now);
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
        self.congested &= self.target < self.bounds.start.max(WHILE_SILENT);
        self.target = self.target.clamp(self.floor(), self.bounds.end);
    }

    fn floor(&self) -> f64 {
        if self.congested { LEAST } else { self.bounds.start }
    }

    /// They say what the path carries, bits a second.
    pub(super) fn on_remb(&mut self, now: Instant, bitrate: f64) {
        self.breaker.on_heard(now);
        self.remb = Some((bitrate.clamp(self.bounds.start, self.bounds.end), now));
    }

    /// What may be sent now, bits a second.
    pub(super) fn target(&self, now: Instant) -> f64 {
        if self.breaker.trip(now).is_some() {
            return LEAST.min(self.bounds.end);
        }
        let counts =
            |(_, at): &(f64, Instant)| now.saturating_duration_since(*at) < ESTIMATE_COUNTS;
        let known = self.remb.filter(counts).map_or(self.target, |(remb, _)| {
            match self.loss > MUCH || self.congested {
                true => remb.min(self.target),
                false => remb,
            }
        });
        match self.breaker.unheard(now) > SILENCE {
            true => known.min(WHILE_SILENT.max(self.floor())),
            false => known,
        }
    }

    /// The share that is lost, smoothed, 0.0 to 1.0.
    pub(super) fn loss(&self) -> f64 {
        self.loss
    }

    /// A round trip, smoothed, where reports have told one.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.round_trip.smoothed()
    }
}

/// A share in units of 1/256.
fn share(fraction: u8) -> f64 {
    f64::from(fraction) / 256.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const SECOND: Duration = Duration::from_secs(1);
    const PICTURES: u32 = 1;
    const SOUND: u32 = 2;

    /// An end that reports once a second, and what is sent to it.
    struct Script {
        fallback: Fallback,
        start: Instant,
        now: Instant,
        highest: u32,
    }

    fn script(bounds: Range<f64>) -> Script {
        let start = clock::now();
        Script { fallback: Fallback::new(bounds), start, now: start, highest: 0 }
    }

    impl Script {
        /// What may be sent is sent, for a second.
        fn sends(&mut self) {
            let target = self.fallback.target(self.now);
            for _ in 0..50 {
                self.now += SECOND / 50;
                let streams = [(SOUND, 600.0), (PICTURES, target / 50.0 - 600.0)];
                for (ssrc, bits) in streams.into_iter().filter(|(_, bits)| *bits > 0.0) {
                    self.fallback.on_sent(self.now, ssrc, bits);
                }
            }
        }

        fn report(&mut self, ssrc: u32, new: u32, lost: u8) -> ReceptionReport {
            self.highest += new;
            let last_sequence_number = self.highest;
            ReceptionReport {
                ssrc,
                fraction_lost: lost,
                last_sequence_number,
                ..Default::default()
            }
        }

        fn hears(&mut self, new: u32, lost: u8) -> f64 {
            let reports = [SOUND, PICTURES].map(|ssrc| self.report(ssrc, new, lost));
            self.fallback.on_reports(self.now, &reports, PICTURES);
            self.fallback.target(self.now)
        }
    }

    #[test]
    fn grows_without_loss_falls_with_it_and_heeds_what_they_say() {
        let mut script = script(0.0..2e6);
        for _ in 0..20 {
            script.sends();
            script.hears(50, 0);
        }
        assert_eq!(script.fallback.target(script.now), 2e6);
        script.hears(50, 102);
        let fell = script.hears(50, 102);
        assert!((1.55e6..1.65e6).contains(&fell), "one fall, until it can be seen: {fell}");
        script.fallback.on_remb(script.now, 500e3);
        assert_eq!(script.fallback.target(script.now), 500e3);
        script.sends();
        script.now += 20 * SECOND;
        script.sends();
        script.fallback.on_remb(script.now, 900e3);
        assert_eq!(script.fallback.target(script.now), 900e3);
        for _ in 0..16 {
            script.sends();
            script.hears(50, 0);
        }
        assert!(script.fallback.target(script.now) > 900e3, "what was said long ago is forgotten");
    }

    #[test]
    fn who_never_says_anything_gets_sound_alone() {
        let mut script = script(0.0..2e6);
        let mut rates = Vec::new();
        while script.now < script.start + 20 * SECOND {
            rates.push(script.fallback.target(script.now));
            script.sends();
        }
        assert_eq!(rates[..7], [FIRST; 7]);
        assert_eq!(rates[8..15], [WHILE_SILENT; 7]);
        assert_eq!(rates[16..], [LEAST; 4]);
    }

    #[test]
    fn usual_reports_of_five_seconds_are_no_silence() {
        let mut script = script(0.0..2e6);
        for _ in 0..4 {
            (0..6).for_each(|_| script.sends());
            assert!(script.fallback.target(script.now) >= FIRST);
            script.hears(50, 0);
        }
    }

    #[test]
    fn who_comes_back_gets_pictures_again_and_not_all_at_once() {
        let mut script = script(0.0..2e6);
        (0..20).for_each(|_| script.sends());
        assert_eq!(script.fallback.target(script.now), LEAST);
        assert_eq!(script.hears(50, 0), WHILE_SILENT);
        script.sends();
        assert!(script.hears(50, 0) > WHILE_SILENT);
    }

    #[test]
    fn what_does_not_arrive_is_not_sent_on() {
        let mut script = script(500e3..2e6);
        script.sends();
        script.hears(50, 0);
        let rates: Vec<_> = (0..6)
            .map(|_| {
                script.sends();
                let reports = [SOUND, PICTURES].map(|ssrc| ReceptionReport {
                    ssrc,
                    last_sequence_number: 50 * ssrc,
                    ..Default::default()
                });
                script.fallback.on_reports(script.now, &reports, PICTURES);
                script.fallback.target(script.now)
            })
            .collect();
        assert!(rates[0] > 500e3, "{rates:?}");
        assert_eq!(rates[5], LEAST, "whatever is wanted at least: {rates:?}");
    }

    #[test]
    fn the_least_that_is_wanted_is_kept_until_it_is_ten_times_what_tcp_would_send() {
        let mut script = script(500e3..2e6);
        assert!(script.fallback.target(script.now) >= 500e3);
        // A round trip of a second.
        let mut rates = Vec::new();
        for n in 0..30_u64 {
            script.fallback.on_sender_report(script.now, (n + 1) << 16);
            script.sends();
            let mut report = script.report(PICTURES, 50, 100);
            report.last_sender_report = n as u32 + 1;
            script.fallback.on_reports(script.now, &[report], PICTURES);
            rates.push(script.fallback.target(script.now));
        }
        assert_eq!(script.fallback.round_trip(), Some(SECOND));
        let kept = rates.iter().take_while(|rate| **rate >= 500e3).count();
        assert!((10..17).contains(&kept), "{rates:?}");
        assert_eq!(rates.last(), Some(&LEAST));
        let back = (0..60).find(|_| {
            script.sends();
            script.hears(50, 0) >= 500e3
        });
        assert!(back.is_some_and(|seconds| seconds > 10), "{back:?}");
    }

    #[test]
    fn loss_alone_keeps_what_is_wanted_at_least() {
        let mut script = script(200e3..2e6);
        for _ in 0..60 {
            script.sends();
            script.hears(50, 60);
        }
        assert_eq!(script.fallback.target(script.now), 200e3);
    }
}
