//! How much may be sent. Pure: reports in, a rate out.
//!
//! The standing queue of the path is the signal (`delay.rs`): with one, the
//! rate at which packets come out of it is what the path carries, and a little
//! less is sent until it is gone; without one the rate grows, slowly near what
//! the path carried last, fast elsewhere, and short probes look further
//! (`probe.rs`). Loss alone bounds the rate only where it depends on the rate
//! (`loss.rs`). Where the queue is that of others and does not yield, the rate
//! follows loss as TCP does, so that it keeps its share (`rival.rs`).

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::delay::QueueDelay;
use super::history::{History, Told};
use super::loss::LossModel;
use super::overdue::{Lateness, News, Overdue};
use super::probe::{Cluster, Prober, Shown};
use super::rival::{self, Rival, Verdict};
use super::way_back::WayBack;
use crate::rtc::path::START;

/// The least that is aimed at: sound at its lowest rate.
pub(super) const LEAST: f64 = 30_000.0;

/// A queue is there, or gone, ms beyond what jitter explains.
const HIGH_MS: f64 = 20.0;
const LOW_MS: f64 = 12.0;
/// How many times the noise of the queue's measure is forgiven, and at most how much.
const NOISE_FACTOR: f64 = 3.0;
const MOST_FORGIVEN_MS: f64 = 70.0;

/// What is aimed at of what the path carries.
const SHARE: f64 = 0.93;

/// A queue shall be gone after this long; less is sent meanwhile, but never less than this share.
const DRAIN_MS: f64 = 300.0;
const LEAST_DRAINING: f64 = 0.2;

/// While news is overdue nobody knows how full the path is: hardly more than sound is sent.
const WHILE_OVERDUE: f64 = 0.05;
/// While it is the way back that is full, a path that was healthy a moment ago is half used.
const WHILE_HELD_UP: f64 = 0.5;
/// So much later than at best what comes the way back is held up there.
const HELD_UP: Duration = Duration::from_millis(20);

/// Growth a second: far from any known bound, back to what was carried before, and near that in
/// bounds that are shares of it.
const GROWTH_FAR: f64 = 0.35;
const GROWTH_BACK: f64 = 0.8;
const GROWTH_NEAR: Range<f64> = 0.03..0.12;
/// Where near begins and ends, as shares of what the path carried last.
const NEAR: Range<f64> = 0.8..1.1;

/// What a path carried is believed so long.
const BELIEVED: Duration = Duration::from_secs(30);

/// With less than this share of the target sent, there is nothing to learn from a path that takes it.
const USED: f64 = 0.55;

/// The rates of so long are what the path carries now.
const RECENT: Duration = Duration::from_millis(200);

/// How long the losses of a queue may be told after it was answered.
const QUEUE_LOSSES: Duration = Duration::from_millis(500);

/// Silence of the other side, beyond a round trip, after which the path is taken for broken.
const SILENCE: Duration = Duration::from_millis(300);

/// After an interruption longer than this the path may be another one.
const ANOTHER_PATH: Duration = Duration::from_secs(1);

/// What is begun with after an interruption, of what was sent before.
const RESUMED: f64 = 0.75;

/// What the path looks like now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct PathView {
    /// What may be sent, bits a second on the wire, everything counted.
    pub(super) target: f64,
    /// The same, as it will be when the path's queue has drained.
    pub(super) sustained: f64,
    /// The standing queue, ms.
    pub(super) queue_ms: f64,
    /// The share of packets that is lost, 0.0 to 1.0.
    pub(super) loss: f64,
    /// A round trip, smoothed.
    pub(super) rtt: Duration,
    /// Nothing has been heard for too long: what is sent now is lost.
    pub(super) stalled: bool,
    /// The target is as high as it may be, and the path takes it easily.
    pub(super) unhindered: bool,
    /// The target is low only because news is held up on the way back: some pictures go on.
    pub(super) held_up: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Estimator {
    epoch: Instant,
    max: f64,
    least: f64,
    target: f64,
    queue: QueueDelay,
    loss: LossModel,
    prober: Prober,
    rival: Rival,
    /// What the path carried when it last had a queue, and when that was.
    carried: Option<(f64, Instant)>,
    /// The rate falls no further before what was done last can be seen.
    fell_at: Option<Instant>,
    /// A cluster of ours fills the queue until then.
    our_queue_until: Option<Instant>,
    last_report: Option<Instant>,
    overdue: Overdue,
    way_back: Option<WayBack>,
    /// Since when what comes the way back is held up, and by how much it was when a report said last
    /// that our own path is free.
    held_up: Option<(Instant, Duration)>,
    stalled_since: Option<Instant>,
    resumed_at: Option<Instant>,
    rtt: Rtt,
    /// Without what the way back took longer than at best.
    short_rtt: Rtt,
}

/// Round trips: the least of the last few, since an answer waits for its report, smoothed.
#[derive(Debug)]
struct Rtt {
    smoothed: Duration,
    recent: VecDeque<Duration>,
}

/// Round trips that the least is taken of.
const RECENT_TRIPS: usize = 8;

impl Rtt {
    fn on_sample(&mut self, sample: Duration) {
        if self.recent.len() == RECENT_TRIPS {
            self.recent.pop_front();
        }
        let first = self.recent.is_empty();
        self.recent.push_back(sample);
        let least = self.recent.iter().copied().min().unwrap_or(sample);
        self.smoothed = match first {
            true => least,
            false => self.smoothed.mul_f64(0.8) + least.mul_f64(0.2),
        };
    }
}

impl Estimator {
    /// An estimator that stays within `bounds`, bits a second.
    pub(super) fn new(now: Instant, bounds: Range<f64>) -> Self {
        let least = bounds.start.max(LEAST);
        let max = bounds.end.max(least);
        let guess = Duration::from_millis(100);
        let mut prober = Prober::default();
        prober.wait(now);
        Self {
            epoch: now,
            max,
            least,
            target: START.max(least).min(max),
            queue: QueueDelay::default(),
            loss: LossModel::default(),
            prober,
            rival: Rival::default(),
            carried: None,
            fell_at: None,
            our_queue_until: None,
            last_report: None,
            overdue: Overdue::default(),
            way_back: None,
            held_up: None,
            stalled_since: None,
            resumed_at: None,
            rtt: Rtt { smoothed: guess, recent: VecDeque::new() },
            short_rtt: Rtt { smoothed: guess, recent: VecDeque::new() },
        }
    }

    /// A report came; `told` is what was new in it, `history` what is known of all packets.
    pub(super) fn on_report(&mut self, now: Instant, told: &[Told], history: &History) {
        let late = |told: &Told| now.saturating_duration_since(told.departure);
        let late = told.iter().filter(|told| told.arrival_us.is_some()).map(late).max();
        if let Some(late) = late.filter(|_| !self.is_stalled()) {
            // What waited in a queue tells nothing of how often the other side reports.
            let ours = self.our_queue_until.is_some_and(|until| now < until);
            let calm = !ours && self.queue.queue_ms().is_some_and(|ms| ms < self.bounds_ms().0);
            self.overdue.on_news(self.lateness(late), calm);
        }
        let newest =
            told.iter().filter(|told| told.arrival_us.is_some()).map(|t| t.departure).max();
        let Some(newest) = newest else { return };
        let first = self.last_report.is_none();
        let trip = now.saturating_duration_since(newest);
        self.rtt.on_sample(trip);
        self.short_rtt.on_sample(trip.saturating_sub(self.way_back_is_late()));
        self.resume(now);
        for packet in told {
            if let Some(arrival_us) = packet.arrival_us {
                let departure = packet.departure.saturating_duration_since(self.epoch);
                self.queue.on_packet(departure.as_micros() as i64, arrival_us);
            }
        }
        let rates = history.rates(RECENT.max(self.rtt.smoothed));
        // What an interruption swallowed says nothing about what the path carries now.
        let counts = |told: &&Told| self.resumed_at.is_none_or(|at| told.departure >= at);
        let fates = || told.iter().filter(counts).map(|told| told.arrival_us.is_none());
        let lost = fates().filter(|lost| *lost).count() as u32;
        let before = std::iter::once(false).chain(fates());
        let bursts = before.zip(fates()).filter(|(before, lost)| !before && *lost).count() as u32;
        let came = told.iter().filter(|told| told.arrival_us.is_some()).count() as u32;
        // The losses of a full queue come with its delay, which has been answered already.
        let (lost, bursts) = if self.answers_a_queue(now) { (0, 0) } else { (lost, bursts) };
        let rate = rates.map_or(self.target, |rates| rates.sent);
        self.loss.on_packets(now, came, (lost, bursts), rate);
        let since = self.last_report.replace(now).map_or(Duration::ZERO, |last| now - last);
        if first {
            self.prober.hurry(now);
        }
        self.judge(now, since.min(Duration::from_millis(200)), history, lost > 0);
        self.look_at_way_back(newest);
        // Late news of what left long ago is no news of what left after it.
        self.on_tick(now, history.waiting_since());
    }

    /// Sound of theirs came, with this time stamp of so many ticks a second.
    pub(super) fn on_sound(&mut self, now: Instant, timestamp: u32, clock_rate: u32) {
        let way_back = self.way_back.get_or_insert_with(|| WayBack::new(clock_rate));
        way_back.on_packet(now, timestamp);
        let late = way_back.late() > HELD_UP;
        self.held_up = late.then(|| self.held_up.unwrap_or((now, Duration::ZERO)));
    }

    /// The newest packet that a report speaks of left at `newest`.
    fn look_at_way_back(&mut self, newest: Instant) {
        let free = self.queue.latest_ms() < self.bounds_ms().1;
        let late = self.way_back_is_late();
        if let Some((since, known)) = &mut self.held_up {
            // If both ways became full at once, what left when their sound met the queue met one too.
            match newest + self.short_rtt.smoothed / 2 >= *since {
                true if free => *known = late,
                true => *known = Duration::ZERO,
                false => {}
            }
        }
    }

    fn way_back_is_late(&self) -> Duration {
        self.way_back.as_ref().map_or(Duration::ZERO, WayBack::late)
    }

    /// How late news is of what left `ago`.
    fn lateness(&self, ago: Duration) -> Lateness {
        let whole = ago.saturating_sub(self.rtt.smoothed);
        let Some((_, known)) = self.held_up else { return Lateness { whole, ours: whole } };
        let back = known.min(self.way_back_is_late());
        Lateness { whole, ours: ago.saturating_sub(self.short_rtt.smoothed + back).min(whole) }
    }

    fn answers_a_queue(&self, now: Instant) -> bool {
        self.fell_at.is_some_and(|at| now < at + self.rtt.smoothed + QUEUE_LOSSES)
    }

    /// Whether there is a queue that jitter does not explain, and whether there is none.
    fn bounds_ms(&self) -> (f64, f64) {
        let forgiven = (self.queue.noise_ms() * NOISE_FACTOR).min(MOST_FORGIVEN_MS);
        (HIGH_MS + forgiven, LOW_MS + forgiven * 0.75)
    }

    fn judge(&mut self, now: Instant, since: Duration, history: &History, lost: bool) {
        let queue_ms = self.queue.queue_ms().unwrap_or(0.0);
        let (high, low) = self.bounds_ms();
        let loss = self.loss.explain();
        let inherent = loss.inherent;
        self.look_at_probe(now, history, inherent);
        let carried = history.arrival_rate(RECENT).map(|rate| rate / (1.0 - inherent.min(0.9)));
        let ours = self.our_queue_until.is_some_and(|until| now < until);
        let high = if ours { high + 120.0 } else { high };
        let (target, rtt) = (self.target, self.rtt.smoothed);
        let seen = rival::Seen { queue_ms, high_ms: high, target, lost, rtt };
        let verdict = self.rival.on_report(now, seen);
        self.queue.hold(self.rival.hides_the_path(now));
        if let Verdict::Follow(rate) = verdict {
            self.queue.shorten();
            self.target = rate.clamp(self.least, self.max);
        } else if let Verdict::Longer(rate) = verdict {
            self.queue.lengthen();
            self.target = self.target.max(rate);
        } else if queue_ms > high {
            self.fall(now, carried.unwrap_or(self.target));
        } else if queue_ms < low {
            self.grow(now, since, history);
        }
        if let Some(bound) = loss.bound.filter(|_| self.rival.is_calm()) {
            self.target = self.target.min((bound * SHARE).max(self.target * 0.7));
            self.carried = Some((bound, now));
            self.prober.wait(now);
        }
        self.target = self.target.clamp(self.least, self.max);
    }

    /// The path has a queue: what came out of it is what it carries.
    fn fall(&mut self, now: Instant, carried: f64) {
        let seen_after = self.rtt.smoothed + QueueDelay::MEMORY;
        let settled = self.fell_at.is_none_or(|at| now > at + seen_after);
        self.carried = Some(match self.carried {
            // Until what was done can be seen, the same queue is measured on: less is nearer the truth.
            Some((before, _)) if !settled => (before.min((before + carried) / 2.0), now),
            _ => (carried, now),
        });
        let carried = self.carried.map_or(carried, |(carried, _)| carried);
        self.target = self.target.min(carried * SHARE);
        if settled {
            self.fell_at = Some(now);
            self.prober.wait(now);
            self.rival.on_fall(now, self.target / SHARE);
        }
    }

    fn grow(&mut self, now: Instant, since: Duration, history: &History) {
        let seen_after = self.rtt.smoothed + QueueDelay::MEMORY;
        if self.fell_at.is_some_and(|at| now < at + seen_after) {
            return;
        }
        let recent = history.rates(Duration::from_millis(700));
        if recent.is_none_or(|rates| rates.sent < self.target * USED) {
            return;
        }
        let known = self.carried.filter(|(_, at)| now.saturating_duration_since(*at) < BELIEVED);
        let seconds = since.as_secs_f64();
        let grown = match known {
            Some((carried, _)) if NEAR.contains(&(self.target / carried)) => {
                // The same for all who share the path, as far as they see the same: so shares even out.
                let packet = 1_200.0 * 8.0 / (self.rtt.smoothed.as_secs_f64() + 0.1);
                let growth = packet.clamp(carried * GROWTH_NEAR.start, carried * GROWTH_NEAR.end);
                self.target + growth * seconds
            }
            Some((carried, _)) if self.target < carried => {
                (self.target * (1.0 + GROWTH_BACK * seconds)).min(carried * 0.9)
            }
            _ => self.target * (1.0 + GROWTH_FAR * seconds),
        };
        self.target = self.target.max(grown);
    }

    fn look_at_probe(&mut self, now: Instant, history: &History, inherent: f64) {
        let Some(cluster) = self.prober.cluster() else { return };
        let known = (self.target, inherent);
        let rates = history.probe_rates(cluster.id);
        match self.prober.look(now, rates, self.rtt.smoothed, known) {
            Some(Shown::AtLeast(rate)) => {
                self.target = self.target.max(rate).min(self.max);
                if self.carried.is_some_and(|(carried, _)| carried < rate) {
                    self.carried = None;
                }
            }
            Some(Shown::Limit(rate)) => {
                self.carried = Some((rate, now));
                self.target = self.target.max((rate * 0.85).min(self.max));
            }
            None => {}
        }
    }

    /// A cluster to send, if one is due. Everything that leaves until its end is part of it.
    pub(super) fn poll_probe(&mut self, now: Instant) -> Option<Cluster> {
        let queue_ms = self.queue.queue_ms()?;
        if self.is_stalled() || !self.rival.is_calm() || queue_ms > self.bounds_ms().1 {
            return None;
        }
        let cluster = self.prober.begin(now, self.target, self.max, self.queue.noise_ms())?;
        let drained = (cluster.until - now) + QueueDelay::MEMORY + self.rtt.smoothed;
        self.our_queue_until = Some(cluster.until + drained);
        Some(cluster)
    }

    /// Looks at what has not been heard since `waiting`: the departure of the first packet that left
    /// after the newest that is known to have come.
    pub(super) fn on_tick(&mut self, now: Instant, waiting: Option<Instant>) {
        let patience = self.rtt.smoothed * 2 + SILENCE;
        let heard = self.last_report.is_some();
        if let Some(at) = waiting.filter(|_| heard) {
            let late = now.saturating_duration_since(at);
            self.overdue.on_silence(self.lateness(late));
        }
        // A long queue is no silence: news of what went before still comes.
        let since = waiting.max(self.last_report.filter(|_| waiting.is_some()));
        let silent = since.is_some_and(|at| now.saturating_duration_since(at) > patience);
        if heard && silent && self.stalled_since.is_none() {
            self.stalled_since = Some(now);
        }
    }

    /// Whether the other side reports arrivals at all.
    pub(super) fn has_reports(&self) -> bool {
        self.last_report.is_some()
    }

    fn is_stalled(&self) -> bool {
        self.stalled_since.is_some()
    }

    fn resume(&mut self, now: Instant) {
        let Some(since) = self.stalled_since.take() else { return };
        self.resumed_at = Some(now);
        if now.saturating_duration_since(since) > ANOTHER_PATH {
            self.queue.start_over();
            self.loss.start_over();
        }
        self.target = (self.target * RESUMED).max(START.min(self.target));
        self.fell_at = None;
        self.rival = Rival::default();
        self.prober.hurry(now);
    }

    /// What the path looks like now.
    pub(super) fn view(&self) -> PathView {
        let queue_ms = self.queue.queue_ms().unwrap_or(0.0);
        let (high, low) = self.bounds_ms();
        let draining = match self.rival.is_calm() && queue_ms > low && queue_ms > high * 0.7 {
            true => 1.0 - ((queue_ms - low) / DRAIN_MS).clamp(0.0, 1.0 - LEAST_DRAINING),
            false => 1.0,
        };
        // A queue of a cluster of ours drains by itself.
        let ours = self.our_queue_until.is_some_and(|until| Some(until) > self.last_report);
        let draining = if ours { draining.max(0.8) } else { draining };
        // A queue that was not heard of yet is no smaller for that.
        let held_up = self.overdue.news() == News::HeldUp && draining > WHILE_HELD_UP;
        let draining = match self.overdue.news() {
            News::Fresh => draining,
            News::HeldUp => draining.min(WHILE_HELD_UP),
            News::Overdue => WHILE_OVERDUE,
        };
        PathView {
            target: (self.target * draining).clamp(self.least, self.max),
            sustained: self.target,
            queue_ms,
            loss: self.loss.fraction(),
            rtt: self.rtt.smoothed,
            stalled: self.is_stalled(),
            unhindered: self.target >= self.max && queue_ms < low,
            held_up,
        }
    }
}

#[cfg(test)]
#[path = "estimator_tests.rs"]
mod tests;
