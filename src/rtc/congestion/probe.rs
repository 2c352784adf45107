//! When to send faster for a moment to see whether the path carries it. Pure.
//!
//! Owns the schedule of probes and what they show. The rate at which a
//! cluster of packets comes out of a path is the rate of its narrowest part.

use std::time::{Duration, Instant};

use super::history::Rates;

/// A cluster is at least so long and has at least so many packets (of about 1,200 bytes).
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_millis(200);
const PACKETS: f64 = 6.0;
const PACKET_BITS: f64 = 1_250.0 * 8.0;

/// Between probes that showed nothing new: at first, at most, and what each adds.
const PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const PAUSE_GROWS: f64 = 1.5;

/// A cluster that comes at this share of its own rate has met nothing narrower.
const UNHINDERED: f64 = 0.85;

/// Losses without a queue are of the path, or of a queue too short to be seen: a cluster that had too
/// many shows nothing, and so many in a row are tried again at once.
const UNCLEAR: u32 = 4;

/// How much of what a cluster showed is taken: it is short, and others may use the path too.
const CAUTION: f64 = 0.88;

/// How much faster a probe is than what is known. Where little is known to fit, a little more is
/// tried: a cluster there is long, and all of what is too much waits in the path's queue.
const STEP: f64 = 2.0;
const SMALL_STEP: f64 = 1.5;
const SMALL: f64 = 250_000.0;

/// A cluster on its way out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cluster {
    /// Names its packets.
    pub(super) id: u32,
    /// Bits a second.
    pub(super) rate: f64,
    /// When it ends.
    pub(super) until: Instant,
}

/// What a cluster showed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Shown {
    /// The path carries at least this, bits a second.
    AtLeast(f64),
    /// The path carries this and no more, bits a second.
    Limit(f64),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Prober {
    cluster: Option<Cluster>,
    ids: u32,
    next_at: Option<Instant>,
    pause: Option<Duration>,
    /// Clusters in a row that lost too much to show anything.
    unclear: u32,
}

impl Prober {
    /// Probes as soon as it may.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.next_at = Some(now);
        self.pause = None;
    }

    /// Something is in the way; not before a pause.
    pub(super) fn wait(&mut self, now: Instant) {
        let pause = self.pause.unwrap_or(PAUSE);
        self.pause = Some(pause.mul_f64(PAUSE_GROWS).min(LONGEST_PAUSE));
        self.next_at = Some(now + pause);
    }

    /// The cluster that is being sent or waited for.
    pub(super) fn cluster(&self) -> Option<Cluster> {
        self.cluster
    }

    /// Begins a cluster if one is due. `noise_ms` of jitter makes it longer: what single packets
    /// wander must be little beside it.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        target: f64,
        max: f64,
        noise_ms: f64,
    ) -> Option<Cluster> {
        if self.cluster.is_some() || target >= max || self.next_at.is_none_or(|at| now < at) {
            return None;
        }
        let step = if target < SMALL { SMALL_STEP } else { STEP };
        let rate = (target * step).min(max * 1.1);
        let for_packets = Duration::from_secs_f64(PACKETS * PACKET_BITS / rate);
        let for_noise = Duration::from_secs_f64(noise_ms * 4.0 / 1e3);
        let lasts = SHORTEST.max(for_packets).max(for_noise).min(LONGEST);
        self.ids = self.ids.wrapping_add(1);
        self.cluster = Some(Cluster { id: self.ids, rate, until: now + lasts });
        self.cluster
    }

    /// Looks whether the cluster has been heard of: `rates` are those of its packets so far. `rtt` is
    /// how long an answer takes, `loss` what is lost at any rate.
    pub(super) fn look(
        &mut self,
        now: Instant,
        rates: Option<Rates>,
        rtt: Duration,
        (target, loss): (f64, f64),
    ) -> Option<Shown> {
        let cluster = self.cluster?;
        let due = cluster.until + rtt + Duration::from_millis(60);
        if now < due {
            return None;
        }
        let enough = rates.filter(|rates| rates.packets as f64 >= PACKETS / 2.0);
        let Some(rates) = enough else {
            if now > due + Duration::from_millis(300) {
                self.cluster = None;
                self.wait(now);
            }
            return None;
        };
        self.cluster = None;
        let carried = rates.carried(loss);
        if carried >= rates.sent * UNHINDERED && rates.sent > target {
            self.unclear = 0;
            self.hurry(now);
            return Some(Shown::AtLeast(rates.sent.min(carried) * CAUTION));
        }
        // As if all had come: a queue stretches what comes, losses do not.
        let unqueued = rates.carried(1.0) >= rates.sent * UNHINDERED;
        if carried < rates.sent * UNHINDERED && unqueued && rates.sent > target {
            self.unclear += 1;
            match self.unclear.is_multiple_of(UNCLEAR) {
                true => self.wait(now),
                false => self.next_at = Some(now),
            }
            return None;
        }
        self.unclear = 0;
        self.wait(now);
        (carried < rates.sent * UNHINDERED).then_some(Shown::Limit(carried))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::clock;

    const RTT: Duration = Duration::from_millis(50);

    fn rates(sent: f64, delivered: f64) -> Option<Rates> {
        Some(Rates { sent, delivered, lost: 0.0, packets: 8, span: SHORTEST })
    }

    #[test]
    fn goes_on_while_the_path_carries_it_and_pauses_when_it_does_not() {
        let (mut prober, start) = (Prober::default(), clock::now());
        assert_eq!(prober.begin(start, 300e3, 4e6, 0.0), None, "nobody asked yet");
        prober.hurry(start);
        let cluster = prober.begin(start, 300e3, 4e6, 0.0).unwrap();
        assert_eq!(cluster.rate, 600e3);
        assert_eq!(prober.look(start, rates(600e3, 600e3), RTT, (300e3, 0.0)), None, "too early");
        let later = start + 4 * RTT + SHORTEST;
        let shown = prober.look(later, rates(600e3, 590e3), RTT, (300e3, 0.0));
        assert_eq!(shown, Some(Shown::AtLeast(590e3 * CAUTION)));
        assert!(prober.begin(later, 520e3, 4e6, 0.0).is_some(), "on at once");
        let later = later + 10 * RTT;
        assert_eq!(
            prober.look(later, rates(1e6, 700e3), RTT, (520e3, 0.0)),
            Some(Shown::Limit(700e3))
        );
        assert_eq!(prober.begin(later, 600e3, 4e6, 0.0), None, "not at once again");
        assert!(prober.begin(later + PAUSE, 600e3, 4e6, 0.0).is_some());
    }

    #[test]
    fn a_cluster_that_is_never_heard_of_is_given_up() {
        let (mut prober, start) = (Prober::default(), clock::now());
        prober.hurry(start);
        prober.begin(start, 300e3, 4e6, 0.0).unwrap();
        assert_eq!(prober.look(start + 10 * RTT + 2 * LONGEST, None, RTT, (300e3, 0.0)), None);
        assert_eq!(prober.cluster(), None);
        assert_eq!(
            prober.begin(start + Duration::from_secs(9), 9e6, 4e6, 0.0),
            None,
            "fast enough"
        );
    }
}
