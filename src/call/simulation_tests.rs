//! A seeded simulation: two machines, a switchboard that loses, doubles and delays, two model
//! connections and two users who act at random, in virtual time. Every run must end with both
//! sides connected to each other or both out of the call. A failure prints its seed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::identity::is_later;
use super::machine::Machine;
use super::step::{Action, IceState, Input, Progress, Setup};
use crate::ice::Candidate;
use crate::signaling::message::{LeaveReason, Message};

const NAMES: [&str; 2] = ["alice", "bob"];
/// When users, server and path stop misbehaving, ms.
const QUIET: u64 = 60_000;
/// By when everything must have settled, ms: the longest bounds in a row.
const END: u64 = QUIET + 240_000;

/// What goes wrong in a run.
#[derive(Debug, Clone, Copy)]
struct Faults {
    loss: f64,
    doubling: f64,
    reordering: f64,
    /// Of actions on the connection.
    failure: f64,
    /// Users who reject, hang up and interrupt; servers and paths that go away.
    trouble: bool,
    /// Our own server, which reports unknown names; else the tutorial's, which is silent.
    reports_unknown: bool,
}

#[derive(Debug)]
enum Event {
    Deliver {
        to: usize,
        message: Message,
    },
    /// To one certain call of one side, dead or alive.
    Tell {
        side: usize,
        call: usize,
        input: Input,
    },
    /// The same, if the path has not changed since.
    Ice {
        side: usize,
        call: usize,
        epoch: u32,
        state: IceState,
    },
    /// An action on the model connection is done.
    Done {
        side: usize,
        call: usize,
        action: Action,
    },
    /// To whatever call the side has just now.
    User {
        side: usize,
        input: Input,
    },
    Dial {
        side: usize,
    },
    Online {
        side: usize,
        online: bool,
    },
    Path {
        up: bool,
    },
}

/// One side's model of a peer connection: descriptions are ICE generations.
#[derive(Debug, Default)]
struct Connection {
    local: Option<u64>,
    offered: Option<u64>,
    remote: Option<u64>,
    reachable: bool,
    busy: bool,
    epoch: u32,
    up: bool,
    dtls: bool,
    closed: bool,
}

struct Call {
    machine: Machine,
    connection: Connection,
    /// The other side has shown itself to this call.
    heard: bool,
    left: bool,
    offered: bool,
}

struct World {
    seed: u64,
    rng: StdRng,
    faults: Faults,
    epoch: Instant,
    now: u64,
    serial: u64,
    events: BTreeMap<(u64, u64), Event>,
    calls: [Vec<Call>; 2],
    online: [bool; 2],
    /// What a client keeps until it is logged in again.
    outbox: [Vec<(usize, Message)>; 2],
    was_online: [bool; 2],
    /// When the last message to each side arrives, for order.
    last_arrival: [u64; 2],
    path: bool,
    log: Vec<String>,
}

impl World {
    fn new(seed: u64, faults: Faults, epoch: Instant) -> Self {
        Self {
            seed,
            rng: StdRng::seed_from_u64(seed),
            faults,
            epoch,
            now: 0,
            serial: 0,
            events: BTreeMap::new(),
            calls: [Vec::new(), Vec::new()],
            online: [true; 2],
            outbox: [Vec::new(), Vec::new()],
            was_online: [true; 2],
            last_arrival: [0; 2],
            path: true,
            log: Vec::new(),
        }
    }

    fn check(&self, holds: bool, rule: &str) {
        assert!(
            holds,
            "seed {} at {} ms: {rule}\n{:#?}\n{}",
            self.seed,
            self.now,
            self.faults,
            self.log.join("\n")
        );
    }

    fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.rng.random_bool(probability)
    }

    fn after(&mut self, delay: u64, event: Event) {
        self.serial += 1;
        self.events.insert((self.now + delay, self.serial), event);
    }

    fn instant(&self) -> Instant {
        self.epoch + Duration::from_millis(self.now)
    }

    /// Both users' lives, drawn in advance.
    fn plan(&mut self) {
        if self.faults.trouble && self.chance(0.2) {
            let side = self.rng.random_range(0..2);
            self.online[side] = false;
            self.was_online[side] = false;
            let delay = self.rng.random_range(0..20_000);
            self.after(delay, Event::Online { side, online: true });
        }
        let first = self.rng.random_range(0..2);
        let both = self.chance(0.5);
        for side in [first, 1 - first].into_iter().take(if both { 2 } else { 1 }) {
            let delay = self.rng.random_range(0..150);
            self.after(delay, Event::Dial { side });
        }
        for _ in 0..self.rng.random_range(0..4) {
            let side = self.rng.random_range(0..2);
            let delay = self.rng.random_range(0..QUIET);
            self.after(delay, Event::User { side, input: Input::RenegotiationNeeded });
        }
        if self.faults.trouble {
            for _ in 0..self.rng.random_range(0..4) {
                self.plan_trouble();
            }
        }
    }

    fn plan_trouble(&mut self) {
        let side = self.rng.random_range(0..2);
        let at = self.rng.random_range(0..QUIET - 15_000);
        let lasting = self.rng.random_range(100..15_000);
        match self.rng.random_range(0..6) {
            0 => self.after(at, Event::User { side, input: Input::Hangup }),
            1 => self.after(at, Event::User { side, input: Input::Interrupt }),
            2 => self.after(at, Event::User { side, input: Input::MediaEnded }),
            3 => self.after(at, Event::Dial { side }),
            4 => {
                self.after(at, Event::Online { side, online: false });
                self.after(at + lasting, Event::Online { side, online: true });
            }
            _ => {
                self.after(at, Event::Path { up: false });
                self.after(at + lasting, Event::Path { up: true });
            }
        }
    }

    /// Lives through all that is planned, and all that comes of it.
    fn settle(&mut self) {
        let mut steps = 0;
        loop {
            steps += 1;
            self.check(steps < 20_000, "it never comes to rest");
            let due = self.next_deadline();
            let next = self.events.first_key_value().map(|(key, _)| *key);
            match (due, next) {
                (Some((at, side)), next) if next.is_none_or(|(event, _)| at <= event) => {
                    self.now = self.now.max(at);
                    self.tell_current(side, Input::Timeout);
                }
                (_, Some(key)) => {
                    self.now = key.0;
                    let event = self.events.remove(&key).unwrap();
                    self.happen(event);
                }
                _ => break,
            }
            if self.now > END {
                break;
            }
            self.watch_path();
        }
        self.check_rest();
    }

    fn next_deadline(&self) -> Option<(u64, usize)> {
        let due = |side: usize| {
            let (at, _) = self.calls[side].last()?.machine.deadline()?;
            let since = at.saturating_duration_since(self.epoch);
            Some((u64::try_from(since.as_nanos().div_ceil(1_000_000)).unwrap(), side))
        };
        [due(0), due(1)].into_iter().flatten().min()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { to, message } => self.deliver(to, message),
            Event::Tell { side, call, input } => self.tell(side, call, input),
            Event::Ice { side, call, epoch, state } => {
                if self.calls[side][call].connection.epoch == epoch {
                    self.tell(side, call, Input::IceState(state));
                }
            }
            Event::Done { side, call, action } => self.done(side, call, action),
            Event::User { side, input } => self.tell_current(side, input),
            Event::Dial { side } => self.dial(side),
            Event::Online { side, online } => {
                self.online[side] = online;
                self.was_online[side] |= online;
                self.tell_of_login(side, online);
                let input = if online { Input::ServerBack } else { Input::ServerGone };
                self.tell_current(side, input);
            }
            Event::Path { up } => self.path = up,
        }
    }

    /// What was kept goes out; where the server notices that somebody is gone, it says so.
    fn tell_of_login(&mut self, side: usize, online: bool) {
        if online {
            for (call, message) in std::mem::take(&mut self.outbox[side]) {
                self.send(side, call, message);
            }
        } else if self.faults.reports_unknown && self.chance(0.5) && self.online[1 - side] {
            let reason = Some(LeaveReason::Gone);
            self.transmit(1 - side, Message::Leave { name: None, reason });
        }
    }

    fn setup(&self, side: usize) -> Setup {
        let mut setup = Setup::new(NAMES[side], Some(NAMES[1 - side].to_owned()));
        setup.server_reports_unknown = self.faults.reports_unknown;
        setup
    }

    fn has_call(&self, side: usize) -> bool {
        self.calls[side].last().is_some_and(|call| !call.machine.is_ended())
    }

    /// Calling somebody who calls us is answering; without a server there is no calling.
    fn dial(&mut self, side: usize) {
        if self.has_call(side) {
            self.tell_current(side, Input::Answer);
        } else if self.online[side] {
            let machine = Machine::outgoing(self.setup(side), self.instant());
            self.begin(side, machine, false);
        }
    }

    fn begin(&mut self, side: usize, machine: Machine, heard: bool) {
        let connection = Connection::default();
        self.calls[side].push(Call { machine, connection, heard, left: false, offered: false });
        let call = self.calls[side].len() - 1;
        self.drain(side, call);
    }

    fn deliver(&mut self, to: usize, message: Message) {
        if !self.online[to] {
            return;
        }
        if self.has_call(to) {
            let call = self.calls[to].last_mut().unwrap();
            call.heard |= !matches!(message, Message::Error { .. });
            let gone = Some(LeaveReason::Gone);
            let left = matches!(&message, Message::Leave { reason, .. } if *reason != gone);
            call.left |= left;
            self.tell_current(to, Input::Message(message));
        } else if let Message::Offer { sdp, .. } = message {
            if is_later(&sdp) {
                // As the phone's book does: it does not ring.
                let name = Some(NAMES[1 - to].to_owned());
                let leave = Message::Leave { name, reason: Some(LeaveReason::Failed) };
                return self.transmit(1 - to, leave);
            }
            let machine = Machine::incoming(self.setup(to), sdp, self.instant());
            self.begin(to, machine, true);
            let delay = self.rng.random_range(0..8_000);
            let input = match self.rng.random_range(0..10) {
                0 if self.faults.trouble => Input::Reject,
                1 if self.faults.trouble => return,
                _ => Input::Answer,
            };
            self.after(delay, Event::User { side: to, input });
        }
    }

    fn tell_current(&mut self, side: usize, input: Input) {
        if let Some(call) = self.calls[side].len().checked_sub(1) {
            self.tell(side, call, input);
        }
    }

    fn tell(&mut self, side: usize, call: usize, input: Input) {
        self.log.push(format!("{:>6} {} #{call} <- {input:?}", self.now, NAMES[side]));
        let now = self.instant();
        let machine = &mut self.calls[side][call].machine;
        let was_over = machine.is_ended();
        machine.handle(now, input);
        let acted = self.drain(side, call);
        self.check(!was_over || !acted, "nothing after the end");
    }

    /// Carries out all actions; says whether there were any.
    fn drain(&mut self, side: usize, call: usize) -> bool {
        let mut last = None;
        while let Some(action) = self.calls[side][call].machine.poll() {
            self.log.push(format!("{:>6} {} #{call} -> {action:?}", self.now, NAMES[side]));
            let ended = matches!(last, Some(Action::Report(Progress::Ended(_))));
            self.check(!ended, "nothing after Ended");
            let ends = matches!(action, Action::Report(Progress::Ended(_)));
            self.check(
                !ends || matches!(last, Some(Action::Close(_))),
                "Close comes right before Ended",
            );
            self.carry_out(side, call, &action);
            last = Some(action);
        }
        let ended = matches!(last, Some(Action::Report(Progress::Ended(_))));
        let machine = &self.calls[side][call].machine;
        self.check(last.is_none() || ended == machine.is_ended(), "an end is told at once");
        last.is_some()
    }

    fn carry_out(&mut self, side: usize, call: usize, action: &Action) {
        let closed = self.calls[side][call].connection.closed;
        match action {
            Action::Send(message) => self.send(side, call, message.clone()),
            Action::AddCandidate(candidate) => {
                let added: u64 = candidate.username_fragment.as_ref().unwrap().parse().unwrap();
                let connection = &mut self.calls[side][call].connection;
                let remote = connection.remote;
                connection.reachable |= remote == Some(added);
                self.check(remote.is_some(), "no candidate before a remote description");
            }
            Action::CreateOffer { .. }
            | Action::CreateAnswer { .. }
            | Action::SetRemoteAnswer { .. }
            | Action::Rollback { .. } => {
                let busy = std::mem::replace(&mut self.calls[side][call].connection.busy, true);
                self.check(!busy && !closed, "one action at a time");
                let delay = self.rng.random_range(1..30);
                self.after(delay, Event::Done { side, call, action: action.clone() });
            }
            Action::Close(_) => {
                self.check(!closed, "closed only once");
                self.calls[side][call].connection.closed = true;
            }
            Action::PrepareMedia | Action::StartMedia | Action::CheckServer | Action::Report(_) => {
            }
        }
    }

    fn send(&mut self, side: usize, call: usize, message: Message) {
        let to = 1 - side;
        if !self.online[side] {
            let kept = matches!(message, Message::Leave { .. });
            self.check(kept, "without a server nothing is sent but a leave that harms nobody");
            self.outbox[side].push((call, message));
            return;
        }
        let one = &mut self.calls[side][call];
        one.offered |= matches!(message, Message::Offer { .. });
        if matches!(message, Message::Leave { .. }) {
            let known = one.heard || (one.offered && self.faults.reports_unknown);
            let allowed = known && !one.left;
            self.check(allowed, "no leave to a name that we are not in a call with");
            let there = self.was_online[to] || self.faults.reports_unknown;
            self.check(there, "no leave to a name that the server has never seen");
        }
        if !self.online[to] {
            if self.faults.reports_unknown && matches!(message, Message::Offer { .. }) {
                let code = Some("unknown-user".to_owned());
                let name = Some(NAMES[to].to_owned());
                let message = Message::Error { code, name, message: String::new() };
                self.transmit(side, message);
            }
            return;
        }
        if self.now < QUIET && self.chance(self.faults.loss) {
            self.log.push(format!("{:>6} lost", self.now));
            return;
        }
        if self.chance(self.faults.doubling) {
            self.transmit(to, message.clone());
        }
        self.transmit(to, message);
    }

    fn transmit(&mut self, to: usize, message: Message) {
        let message = from(NAMES[1 - to], message);
        let mut delay = self.rng.random_range(1..60);
        if self.chance(self.faults.reordering) {
            delay += self.rng.random_range(0..3_000);
        } else {
            let arrival = (self.now + delay).max(self.last_arrival[to]);
            self.last_arrival[to] = arrival;
            delay = arrival - self.now;
        }
        self.after(delay, Event::Deliver { to, message });
    }

    /// What the model connection does with a description.
    fn done(&mut self, side: usize, call: usize, action: Action) {
        let fails = self.chance(self.faults.failure);
        self.serial += 1;
        let fresh = self.serial;
        let connection = &mut self.calls[side][call].connection;
        connection.busy = false;
        let (local, remote, offered) = (connection.local, connection.remote, connection.offered);
        let result = match action {
            Action::CreateOffer { id, .. }
            | Action::CreateAnswer { id, .. }
            | Action::SetRemoteAnswer { id, .. }
                if fails =>
            {
                Input::ActionFailed { id, reason: "a fault".into() }
            }
            Action::CreateOffer { id, ice_restart } => {
                self.check(offered.is_none(), "one offer at a time");
                let generation = local.filter(|_| !ice_restart).unwrap_or(fresh);
                self.calls[side][call].connection.offered = Some(generation);
                if !ice_restart {
                    self.gather(side, call, generation, local);
                }
                Input::OfferCreated { id, sdp: describe(generation, fresh) }
            }
            Action::CreateAnswer { id, offer } => {
                self.check(offered.is_none(), "rolled back before answering");
                let theirs = generation_of(&offer);
                let generation = local.filter(|_| remote == Some(theirs)).unwrap_or(fresh);
                self.set(side, call, generation, theirs);
                self.gather(side, call, generation, local);
                Input::AnswerCreated { id, sdp: describe(generation, fresh) }
            }
            Action::SetRemoteAnswer { id, sdp } => {
                self.check(offered.is_some(), "no answer without an offer");
                self.set(side, call, offered.unwrap(), generation_of(&sdp));
                if local.is_some() {
                    // A restart is taken up only now.
                    self.gather(side, call, offered.unwrap(), local);
                }
                Input::DescriptionApplied { id }
            }
            Action::Rollback { id } if offered.is_none() => {
                Input::ActionFailed { id, reason: "nothing to roll back".into() }
            }
            Action::Rollback { id } => {
                self.calls[side][call].connection.offered = None;
                Input::DescriptionApplied { id }
            }
            other => unreachable!("{other:?} has no result"),
        };
        self.tell(side, call, result);
    }

    fn set(&mut self, side: usize, call: usize, local: u64, remote: u64) {
        let connection = &mut self.calls[side][call].connection;
        let first = connection.remote.is_none();
        connection.reachable &= connection.remote == Some(remote);
        connection.offered = None;
        connection.local = Some(local);
        connection.remote = Some(remote);
        if first {
            self.after(5, Event::Ice { side, call, epoch: 0, state: IceState::Checking });
        }
    }

    /// Candidates fire before and after the description is ready to be sent.
    fn gather(&mut self, side: usize, call: usize, generation: u64, old: Option<u64>) {
        if old == Some(generation) {
            return;
        }
        for index in 0..3 {
            let candidate = Candidate {
                candidate: format!("candidate:{index} 1 udp 1 192.0.2.1 9 typ host"),
                sdp_mid: Some("0".into()),
                sdp_mline_index: Some(0),
                username_fragment: Some(generation.to_string()),
            };
            let input = Input::LocalCandidate(Some(candidate));
            if index == 0 {
                self.tell(side, call, input);
            } else {
                let delay = self.rng.random_range(0..200);
                self.after(delay, Event::Tell { side, call, input });
            }
        }
    }

    /// Whether the two sides' connections reach each other just now.
    fn is_linked(&self) -> bool {
        let [Some(one), Some(other)] = [self.calls[0].last(), self.calls[1].last()] else {
            return false;
        };
        let (one, other) = (&one.connection, &other.connection);
        self.path
            && !one.closed
            && !other.closed
            && one.local.is_some()
            && other.local.is_some()
            && one.local == other.remote
            && other.local == one.remote
            && (one.reachable || other.reachable)
    }

    fn watch_path(&mut self) {
        let linked = self.is_linked();
        for side in 0..2 {
            let Some(call) = self.calls[side].len().checked_sub(1) else { continue };
            let connection = &mut self.calls[side][call].connection;
            if connection.up == linked || connection.closed {
                continue;
            }
            connection.up = linked;
            connection.epoch += 1;
            let epoch = connection.epoch;
            let handshake = linked && !std::mem::replace(&mut connection.dtls, true);
            if linked {
                self.after(20, Event::Ice { side, call, epoch, state: IceState::Connected });
            } else {
                self.after(2_500, Event::Ice { side, call, epoch, state: IceState::Disconnected });
            }
            if handshake {
                self.after(40, Event::Tell { side, call, input: Input::DtlsConnected });
            }
        }
    }

    fn check_rest(&self) {
        let connected = [0, 1]
            .map(|side| self.calls[side].last().is_some_and(|call| call.machine.is_connected()));
        let over = [0, 1].map(|side| !self.has_call(side));
        let together = connected == [true; 2] && self.is_linked();
        self.check(together || over == [true; 2], "both connected, or both out of the call");
        for call in self.calls.iter().flatten() {
            let ended = call.machine.is_ended();
            self.check(call.connection.closed == ended, "what has ended is closed");
        }
    }
}

/// A description of one ICE generation; the serial number makes each one different.
fn describe(generation: u64, serial: u64) -> String {
    format!("v=0\r\no=- {serial} 2 IN IP4 127.0.0.1\r\na=ice-ufrag:{generation}\r\n")
}

fn generation_of(sdp: &str) -> u64 {
    super::candidates::ice_ufrags(sdp)[0].parse().unwrap()
}

/// The message as the server forwards it, with the sender's name.
fn from(sender: &str, message: Message) -> Message {
    let name = Some(sender.to_owned());
    match message {
        Message::Offer { sdp, .. } => Message::Offer { sdp, name },
        Message::Answer { sdp, .. } => Message::Answer { sdp, name },
        Message::Candidate { candidate, .. } => Message::Candidate { candidate, name },
        Message::Leave { reason, .. } => Message::Leave { name, reason },
        other => other,
    }
}

/// Runs the seeds and counts those that end with both sides connected.
fn run(seeds: std::ops::Range<u64>, faults: Faults) -> usize {
    #[allow(clippy::disallowed_methods)] // An arbitrary start; time moves by events only.
    let epoch = Instant::now();
    seeds
        .filter(|seed| {
            let faults = Faults { reports_unknown: seed % 2 == 0, ..faults };
            let mut world = World::new(*seed, faults, epoch);
            world.plan();
            world.settle();
            world.is_linked()
        })
        .count()
}

const CALM: Faults = Faults {
    loss: 0.0,
    doubling: 0.0,
    reordering: 0.0,
    failure: 0.0,
    trouble: false,
    reports_unknown: true,
};

#[test]
fn on_a_sound_server_every_call_connects_glare_and_all() {
    assert_eq!(run(0..600, CALM), 600);
}

#[test]
fn doubled_messages_keep_no_call_from_connecting() {
    assert_eq!(run(1_000..1_300, Faults { doubling: 0.2, ..CALM }), 300);
}

#[test]
fn whatever_goes_wrong_both_sides_come_to_the_same_end() {
    let trouble = Faults { trouble: true, ..CALM };
    let linked = run(10_000..10_500, trouble);
    assert!(
        (1..500).contains(&linked),
        "{linked} of 500 connected: the model is too mild or harsh"
    );
    let worst = Faults { loss: 0.1, doubling: 0.1, reordering: 0.2, failure: 0.03, ..trouble };
    let linked = run(20_000..20_800, worst);
    assert!(
        (1..800).contains(&linked),
        "{linked} of 800 connected: the model is too mild or harsh"
    );
}

#[test]
fn somebody_who_was_not_there_when_called_can_call_back() {
    #[allow(clippy::disallowed_methods)] // An arbitrary start.
    let epoch = Instant::now();
    for (early, late) in [(0, 1), (1, 0)] {
        let mut world = World::new(0, Faults { reports_unknown: false, ..CALM }, epoch);
        world.online[late] = false;
        world.after(0, Event::Dial { side: early });
        world.after(5_000, Event::Online { side: late, online: true });
        world.after(6_000, Event::Dial { side: late });
        world.settle();
        assert!(world.is_linked(), "{} called first", NAMES[early]);
    }
}
