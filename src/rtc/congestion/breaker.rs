//! When media do more harm than good, whatever a rate control thinks: the circuit breaker of RFC 8083.
//! Pure.
//!
//! It looks at nothing but what every receiver of RTP tells, and trips when nobody reports (section
//! 4.1), when reports say that nothing arrives (4.2), and when far more is sent than TCP would send on
//! such a path (4.3). What becomes of the media then decides who asks.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Receivers that are there report once in so long on average, or more often (Td, RFC 3550 section 6.2).
const INTERVAL: Duration = Duration::from_secs(5);

/// So many of those without a report are too many (section 4.1).
const UNHEARD: u32 = 3;

/// So many reports in a row that say that nothing new has come are too many, and as many round trips
/// (k in section 4.2).
const NOTHING_NEW: u32 = 5;

/// Congestion is judged over this at least and at most, ten round trips and three reports (CB_INTERVAL
/// in section 4.3, for pictures of five a second).
const JUDGED: std::ops::Range<Duration> = Duration::from_secs(2)..Duration::from_secs(15);
const JUDGED_TRIPS: u32 = 10;
const JUDGED_REPORTS: usize = 3;

/// More than so many times what TCP would send is too much (section 4.3).
const TOO_MUCH: f64 = 10.0;

/// Reports that are remembered of a stream.
const MOST_REPORTS: usize = 256;

/// What a report says of one of our streams.
#[derive(Debug, Clone, Copy)]
pub(super) struct Report {
    /// Which.
    pub(super) ssrc: u32,
    /// The share that was lost since the report before, 0.0 to 1.0.
    pub(super) lost: f64,
    /// The highest sequence number that has come, with the count of its cycles.
    pub(super) highest: u32,
}

/// Why it has tripped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trip {
    /// Nobody reports on what we send.
    Unheard,
    /// Nothing of it arrives.
    NothingArrives,
    /// It is far too much.
    Congested,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    streams: HashMap<u32, Stream>,
    sending: Option<Sending>,
    heard_at: Option<Instant>,
}

/// Since when we have been sending, and when we did last.
#[derive(Debug, Clone, Copy)]
struct Sending {
    since: Instant,
    last: Instant,
}

#[derive(Debug, Default)]
struct Stream {
    highest: Option<u32>,
    /// Reports in a row that brought nothing new, and when the first of them came.
    stuck: Option<(u32, Instant)>,
    /// When it was last clear that nothing of it arrives.
    nothing_at: Option<Instant>,
    /// Since the last report.
    sent: Sent,
    judged: VecDeque<Judged>,
}

/// What was sent: packets, and bits on the wire.
#[derive(Debug, Clone, Copy, Default)]
struct Sent {
    packets: f64,
    bits: f64,
}

/// A report, with what was sent before it.
#[derive(Debug, Clone, Copy)]
struct Judged {
    at: Instant,
    lost: f64,
    sent: Sent,
}

impl Breaker {
    /// A packet of a stream of ours leaves, of so many bits.
    pub(super) fn on_sent(&mut self, now: Instant, ssrc: u32, bits: f64) {
        let paused = |sending: &Sending| now.saturating_duration_since(sending.last) > INTERVAL;
        // Who was sent nothing had nothing to report on.
        let since = match self.sending.filter(|sending| !paused(sending)) {
            Some(sending) => sending.since,
            None => now,
        };
        self.sending = Some(Sending { since, last: now });
        let sent = &mut self.streams.entry(ssrc).or_default().sent;
        sent.packets += 1.0;
        sent.bits += bits;
    }

    /// They say something of how our media fare.
    pub(super) fn on_heard(&mut self, now: Instant) {
        self.heard_at = Some(now);
    }

    /// A report; `rtt` is the round trip.
    pub(super) fn on_report(
        &mut self,
        now: Instant,
        report: Report,
        rtt: Duration,
    ) -> Option<Trip> {
        self.on_heard(now);
        let stream = self.streams.get_mut(&report.ssrc)?;
        let sent = std::mem::take(&mut stream.sent);
        if sent.packets == 0.0 {
            return None;
        }
        let is_new = stream.highest.replace(report.highest) != Some(report.highest);
        let (count, since) = stream.stuck.unwrap_or((0, now));
        stream.stuck = (!is_new).then_some((count + 1, since));
        stream.nothing_at = stream.is_stuck(now, rtt).then_some(now);
        if stream.nothing_at.is_some() {
            return Some(Trip::NothingArrives);
        }
        stream.judged.push_back(Judged { at: now, lost: report.lost, sent });
        if stream.is_congested(now, rtt) {
            stream.judged.clear();
            return Some(Trip::Congested);
        }
        None
    }

    /// How long nobody has reported on what we send; zero while nothing is sent.
    pub(super) fn unheard(&self, now: Instant) -> Duration {
        let Some(sending) = self.sending else { return Duration::ZERO };
        let since = self.heard_at.map_or(sending.since, |heard| heard.max(sending.since));
        now.saturating_duration_since(since)
    }

    /// Whether it is open now, because of what has not come. A stream that is not sent any more for it
    /// is tried again after a while: nobody could say that it would arrive now.
    pub(super) fn trip(&self, now: Instant) -> Option<Trip> {
        let limit = INTERVAL * UNHEARD;
        let lately = |at: Instant| now.saturating_duration_since(at) < limit;
        match self.unheard(now) >= limit {
            true => Some(Trip::Unheard),
            false if self.streams.values().any(|stream| stream.nothing_at.is_some_and(lately)) => {
                Some(Trip::NothingArrives)
            }
            false => None,
        }
    }
}

impl Stream {
    fn is_stuck(&self, now: Instant, rtt: Duration) -> bool {
        self.stuck.is_some_and(|(count, since)| {
            let passed = now.saturating_duration_since(since);
            count >= NOTHING_NEW && passed >= rtt * NOTHING_NEW
        })
    }

    fn is_congested(&mut self, now: Instant, rtt: Duration) -> bool {
        let span = (rtt * JUDGED_TRIPS).clamp(JUDGED.start, JUDGED.end);
        // What was sent before a report began at the one before.
        let covers = |from: &Judged| now.saturating_duration_since(from.at) >= span;
        while self.judged.len() > MOST_REPORTS
            || self.judged.len() > JUDGED_REPORTS + 1 && self.judged.get(1).is_some_and(covers)
        {
            self.judged.pop_front();
        }
        let Some(first) = self.judged.front().filter(|first| covers(first)) else { return false };
        let count = self.judged.len() - 1;
        if count < JUDGED_REPORTS {
            return false;
        }
        let sum = |of: fn(&Judged) -> f64| self.judged.iter().skip(1).map(of).sum::<f64>();
        let lost = sum(|judged| judged.lost) / count as f64;
        let (packets, bits) = (sum(|judged| judged.sent.packets), sum(|judged| judged.sent.bits));
        let passed = now.saturating_duration_since(first.at).as_secs_f64();
        bits / passed > TOO_MUCH * tcp_rate(bits / packets, rtt, lost)
    }
}

/// What TCP would send, bits a second, in packets of so many bits, losing such a share of them: the
/// simple form, which is the one to be taken (section 4.3).
fn tcp_rate(packet: f64, rtt: Duration, lost: f64) -> f64 {
    let rtt = rtt.max(Duration::from_millis(1)).as_secs_f64();
    packet / (rtt * (2.0 * lost.max(1e-6) / 3.0).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const SECOND: Duration = Duration::from_secs(1);
    const RTT: Duration = Duration::from_millis(100);
    const PACKET: f64 = 9_600.0;

    struct Script {
        breaker: Breaker,
        start: Instant,
        now: Instant,
        highest: u32,
    }

    fn script() -> Script {
        let start = clock::now();
        Script { breaker: Breaker::default(), start, now: start, highest: 0 }
    }

    impl Script {
        /// Sends for a second at this rate, bits a second.
        fn sends(&mut self, rate: f64) {
            let packets = (rate / PACKET) as u32;
            for _ in 0..packets {
                self.now += SECOND / packets;
                self.breaker.on_sent(self.now, 1, PACKET);
            }
        }

        fn hears(&mut self, new: u32, lost: f64, rtt: Duration) -> Option<Trip> {
            self.highest += new;
            let report = Report { ssrc: 1, lost, highest: self.highest };
            self.breaker.on_report(self.now, report, rtt)
        }
    }

    #[test]
    fn who_is_never_heard_of_trips_it_after_three_intervals() {
        let mut script = script();
        while script.breaker.trip(script.now).is_none() {
            script.sends(600e3);
        }
        assert_eq!(script.breaker.trip(script.now), Some(Trip::Unheard));
        let after = script.now - script.start;
        assert!((15 * SECOND..17 * SECOND).contains(&after), "{after:?}");
        assert_eq!(script.hears(1, 0.0, RTT), None);
        assert_eq!(script.breaker.trip(script.now), None, "there they are");
    }

    #[test]
    fn after_a_pause_reports_are_waited_for_anew() {
        let mut script = script();
        script.sends(600e3);
        script.now += 60 * SECOND;
        script.sends(600e3);
        assert_eq!(script.breaker.trip(script.now), None);
    }

    #[test]
    fn reports_that_nothing_new_arrives_trip_it_until_something_does() {
        let mut script = script();
        script.sends(600e3);
        assert_eq!(script.hears(9, 0.0, RTT), None);
        let tripped: Vec<_> = (0..5)
            .map(|_| {
                script.sends(600e3);
                script.hears(0, 0.0, RTT)
            })
            .collect();
        assert_eq!(tripped, [None, None, None, None, Some(Trip::NothingArrives)]);
        assert_eq!(script.breaker.trip(script.now), Some(Trip::NothingArrives));
        script.sends(30e3);
        assert_eq!(script.hears(1, 0.0, RTT), None);
        assert_eq!(script.breaker.trip(script.now), None);
    }

    #[test]
    fn reports_on_what_is_not_sent_say_nothing() {
        let mut script = script();
        script.sends(600e3);
        for _ in 0..20 {
            script.now += SECOND;
            assert_eq!(script.hears(0, 0.0, RTT), None);
            script.breaker.on_sent(script.now, 2, PACKET);
        }
        assert_eq!(script.breaker.trip(script.now), None);
    }

    #[test]
    fn many_reports_within_a_round_trip_are_patient() {
        let mut script = script();
        script.sends(600e3);
        script.hears(9, 0.0, SECOND);
        for _ in 0..20 {
            script.now += SECOND / 10;
            script.breaker.on_sent(script.now, 1, PACKET);
            assert_eq!(script.hears(0, 0.0, SECOND), None);
            assert_eq!(script.breaker.trip(script.now), None);
        }
    }

    #[test]
    fn a_stream_that_was_stopped_for_it_is_tried_again() {
        let mut script = script();
        script.sends(600e3);
        script.hears(9, 0.0, RTT);
        for _ in 0..5 {
            script.sends(600e3);
            script.hears(0, 0.0, RTT);
        }
        let stopped = script.now;
        while script.breaker.trip(script.now).is_some() {
            script.now += SECOND / 2;
            script.breaker.on_sent(script.now, 2, PACKET);
            script.breaker.on_heard(script.now);
        }
        assert_eq!(script.now - stopped, 15 * SECOND);
    }

    #[test]
    fn ten_times_what_tcp_would_send_is_too_much_and_loss_alone_is_not() {
        for (rate, lost, rtt, trips) in [
            (2e6, 0.2, RTT, false),
            (600e3, 0.05, RTT, false),
            (2e6, 0.0, SECOND, false),
            (600e3, 0.3, SECOND, true),
            (2e6, 0.9, SECOND / 4, true),
        ] {
            let mut script = script();
            let tripped = (0..30).find_map(|_| {
                script.sends(rate);
                script.hears(9, lost, rtt).map(|trip| (trip, script.now - script.start))
            });
            assert_eq!(tripped.map(|(trip, _)| trip), trips.then_some(Trip::Congested), "{rate}");
            let late = tripped.is_some_and(|(_, after)| after > 17 * SECOND);
            assert!(!late, "{tripped:?}");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut script = script();
        for _ in 0..10_000 {
            script.now += SECOND / 1_000;
            script.breaker.on_sent(script.now, 1, PACKET);
            script.hears(1, 0.1, 20 * SECOND);
        }
        assert!(script.breaker.streams[&1].judged.len() <= MOST_REPORTS + 1);
    }
}
