//! The bad network of a loopback call: a made-up link each way, and what it did.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::report::{LinkReport, NetworkReport, Spread};
use crate::rtc::netem::words::Step;
use crate::rtc::netem::{LinkCounts, LinkProfile, Network, Wire};

/// Both links, running.
pub(super) struct BadNetwork {
    asked: Network,
    /// What the caller sends over.
    pub(super) up: Arc<Wire>,
    /// What the callee sends over.
    pub(super) down: Arc<Wire>,
}

impl BadNetwork {
    /// # Errors
    /// When the operating system gives no thread.
    pub(super) fn start(asked: &Network) -> io::Result<Self> {
        let start = |side: fn(&Step) -> &LinkProfile, seed| {
            let mut steps = asked.steps().iter().map(|step| (step.at, side(step).clone()));
            let (_, first) = steps.next().unwrap_or_default();
            Wire::start(first, steps, seed).map(Arc::new)
        };
        Ok(Self {
            asked: asked.clone(),
            up: start(|step| &step.up, asked.seed)?,
            // The two directions must not lose the same packets.
            down: start(|step| &step.down, !asked.seed)?,
        })
    }

    /// The call is connected: what changes, changes from now on.
    pub(super) fn begin(&self, now: Instant) {
        self.up.begin(now);
        self.down.begin(now);
    }

    pub(super) fn report(&self) -> NetworkReport {
        NetworkReport {
            asked: self.asked.to_string(),
            seed: self.asked.seed,
            caller_to_callee: link_report(&self.up.counts()),
            callee_to_caller: link_report(&self.down.counts()),
        }
    }
}

fn link_report(counts: &LinkCounts) -> LinkReport {
    let wait = |share| counts.wait_ms(share);
    LinkReport {
        packets: counts.packets,
        lost: counts.lost,
        tail_dropped: counts.tail_dropped,
        queue_ms: Spread { p50: wait(0.5), p95: wait(0.95), max: wait(1.0) },
        late_ms: counts.late_ms(0.99),
    }
}

/// What one direction of a network asks of a call: its worst, over a call's time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Hardship {
    /// How long a packet may be under way that is not lost.
    pub(super) longest: Duration,
    /// The same there and back: how long it takes until what was lost comes again.
    pub(super) round_trip: Duration,
    /// The share that is lost at random, outages apart.
    pub(super) loss: f64,
    /// The least that it carries, bits a second; none without a limit.
    pub(super) narrowest: Option<f64>,
    /// The share of the call's time in which nothing gets through.
    pub(super) out: f64,
    /// What it carries at the end, bits a second: none without a limit, nothing when it is out.
    pub(super) at_end: Option<f64>,
}

/// What the network asks of both directions of a call of that length: caller to callee, and back.
pub(super) fn hardships(network: &Network, call: Duration) -> (Hardship, Hardship) {
    let (mut up, mut down) =
        (hardship(network, call, |step| &step.up), hardship(network, call, |step| &step.down));
    let round_trip = up.longest + down.longest;
    (up.round_trip, down.round_trip) = (round_trip, round_trip);
    (up, down)
}

fn hardship(network: &Network, call: Duration, side: fn(&Step) -> &LinkProfile) -> Hardship {
    let steps: Vec<&Step> =
        network.steps().iter().filter(|step| step.at.is_zero() || step.at < call).collect();
    let mut hardship = Hardship::default();
    for (index, step) in steps.iter().enumerate() {
        let link = side(step);
        let until = steps.get(index + 1).map_or(call, |next| next.at);
        let lasts = until.saturating_sub(step.at).as_secs_f64() / call.as_secs_f64().max(1e-3);
        if lasts == 0.0 {
            continue;
        }
        hardship.at_end = if link.is_out() { Some(0.0) } else { link.rate };
        if link.is_out() {
            hardship.out += lasts;
            continue;
        }
        hardship.longest = hardship.longest.max(link.longest());
        hardship.loss = hardship.loss.max(link.loss);
        let rates = [hardship.narrowest, link.rate];
        hardship.narrowest = rates.into_iter().flatten().reduce(f64::min);
    }
    hardship
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_every_step_counts() {
        let text = "rate=3M,delay=25ms,queue=200ms;5 up.rate=600k,loss=5%;10 loss=100%;15 loss=0%;99 rate=50k";
        let network = text.parse().unwrap();
        let (up, down) = hardships(&network, Duration::from_secs(20));
        let ms = Duration::from_millis;
        assert_eq!((up.longest, up.round_trip), (ms(225), ms(450)));
        assert_eq!((up.narrowest, down.narrowest), (Some(600e3), Some(3e6)));
        assert_eq!((up.loss, up.out, up.at_end), (0.05, 0.25, Some(600e3)));
        let ends_out = "loss=0%;10 loss=100%".parse().unwrap();
        let (up, _) = hardships(&ends_out, Duration::from_secs(20));
        assert_eq!((up.loss, up.out, up.at_end), (0.0, 0.5, Some(0.0)));
        let nothing = hardships(&"".parse().unwrap(), Duration::from_secs(20));
        assert_eq!(nothing.0, Hardship::default());
    }
}
