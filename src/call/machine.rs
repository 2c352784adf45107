//! The life of one call as a pure state machine: calling or ringing, accepted, connected, ended.
//!
//! Owns when it is over and why, what the other side is told, and every bound on waiting. Knows no
//! sockets, no clock and no connection: `handle` an input, `poll` until nothing is left, and come
//! back with `Input::Timeout` when `deadline` is due. Offers and answers are the negotiation's.

mod path;
mod safety;
mod server;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::ending::{self, Reached};
use super::identity;
use super::negotiation::{self, Negotiation, Output, Rules};
use super::outage::Outage;
use super::reason::EndReason;
use super::safety::Safety;
use super::step::{Action, DeadlineReason, IceState, Input, Progress, Setup};
use super::vouch::Part;
use crate::signaling::message::{LeaveReason, Message};

/// The most messages that wait for the server to come back; later ones are dropped.
const MAX_HELD: usize = 512;

/// How long a `leave` may take when the connection was closed already.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Where the call stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    /// Our offer is in the making or out.
    Calling { since: Instant },
    /// Their offer waits for our user.
    Ringing { since: Instant, offer: String },
    /// Answered; the connection comes up.
    Accepted { since: Instant },
    /// Media can flow.
    Connected { since: Instant },
    /// Over.
    Ended,
}

/// One call.
#[derive(Debug)]
pub struct Machine {
    setup: Setup,
    stage: Stage,
    negotiation: Negotiation,
    /// Who the other side is.
    safety: Safety,
    /// When it is told that they can flow at the latest, while the words to compare are not known.
    words_due: Option<Instant>,
    /// Whether the offer that the call stands on is ours; that side restarts ICE.
    is_offerer: bool,
    ice: IceState,
    dtls_up: bool,
    outage: Option<Outage>,
    /// When they lost the server, as far as it has told.
    gone_at: Option<Instant>,
    /// They left the server before they had answered.
    left_unanswered: bool,
    /// When they closed the connection.
    closed_at: Option<Instant>,
    /// Addresses of ours have gone since the first round began.
    moved: bool,
    /// Rounds of offer and answer that were completed, when we last looked.
    rounds: u32,
    server_gone: bool,
    /// Whether our first offer has gone to the server.
    offer_sent: bool,
    /// The server was away since our offer, which is said again; when, where they are not back yet.
    repeats: bool,
    repeat_at: Option<Instant>,
    /// Whether the other side has shown itself since the server was last there.
    peer_seen: bool,
    /// What waits for the server.
    held: VecDeque<Message>,
    actions: VecDeque<Action>,
}

impl Machine {
    /// We call: asks at once for the offer.
    #[must_use]
    pub fn outgoing(setup: Setup, now: Instant) -> Self {
        let mut machine = Self::new(setup, Stage::Calling { since: now }, true);
        machine.negotiate(now, negotiation::Input::Offer { ice_restart: false });
        machine
    }

    /// They call with this offer: rings until `Answer` or `Reject`.
    #[must_use]
    pub fn incoming(setup: Setup, offer: String, now: Instant) -> Self {
        let mut machine = Self::new(setup, Stage::Ringing { since: now, offer }, false);
        machine.peer_seen = true;
        machine.report(Progress::Incoming);
        machine
    }

    fn new(setup: Setup, stage: Stage, is_offerer: bool) -> Self {
        let rules = Rules {
            wins_glare: match &setup.peer {
                Some(peer) => setup.our_name.as_bytes() < peer.as_bytes(),
                None => is_offerer,
            },
            repeat_first_offer: !setup.server_reports_unknown,
            renegotiation_timeout: setup.renegotiation_timeout,
        };
        let (vouching, server_gone) = (setup.vouching.clone(), setup.server_gone);
        let safety = Safety::new(&setup.our_name, setup.peer.as_deref(), vouching);
        Self {
            setup,
            stage,
            negotiation: Negotiation::new(rules),
            safety,
            words_due: None,
            is_offerer,
            ice: IceState::New,
            dtls_up: false,
            outage: None,
            gone_at: None,
            left_unanswered: false,
            closed_at: None,
            moved: false,
            rounds: 0,
            server_gone,
            repeats: false,
            repeat_at: None,
            offer_sent: false,
            peer_seen: false,
            held: VecDeque::new(),
            actions: VecDeque::new(),
        }
    }

    /// Takes one input. Nothing has an effect after the end.
    pub fn handle(&mut self, now: Instant, input: Input) {
        if self.is_ended() {
            return;
        }
        match input {
            Input::Answer => self.answer(now),
            Input::Reject if self.is_ringing() => {
                self.end(EndReason::Rejected, Some(LeaveReason::Rejected));
            }
            Input::Reject => {}
            Input::Hangup => self.hang_up(EndReason::Hangup),
            Input::Interrupt => self.hang_up(EndReason::Interrupted),
            Input::MediaEnded => self.hang_up(EndReason::MediaEnded),
            Input::MediaFailed => self.hang_up(EndReason::MediaFailed),
            Input::Replaced => self.replaced(),
            // Without a server no word can come.
            Input::RemoteClosed if self.server_gone => self.end(EndReason::RemoteHangup, None),
            Input::RemoteClosed => self.closed_at = self.closed_at.or(Some(now)),
            Input::AddressesChanged { lost } => self.addresses_changed(now, lost),
            Input::Message(message) => self.message(now, message),
            Input::ServerGone => self.lose_server(),
            Input::ServerBack => self.regain_server(now),
            Input::OfferCreated { id, sdp } => {
                let sdp = self.safety.describe(Part::Offer, &sdp);
                self.negotiate(now, negotiation::Input::OfferCreated(id, sdp));
            }
            Input::AnswerCreated { id, sdp } => {
                let sdp = self.safety.describe(Part::Answer, &sdp);
                self.negotiate(now, negotiation::Input::AnswerCreated(id, sdp));
                self.settled(now);
            }
            Input::DescriptionApplied { id } => {
                self.negotiate(now, negotiation::Input::Applied(id));
                self.settled(now);
            }
            Input::ActionFailed { id, reason } => {
                self.negotiate(now, negotiation::Input::Failed(id, reason));
            }
            Input::LocalCandidate(Some(candidate)) => {
                self.negotiate(now, negotiation::Input::LocalCandidate(candidate));
            }
            Input::LocalCandidate(None) => {}
            Input::IceState(state) => self.ice(now, state),
            Input::DtlsConnected => {
                self.dtls_up = true;
                self.check_connected(now);
            }
            Input::DtlsFailed => self.hang_up(EndReason::ConnectionFailed),
            Input::Impostor => self.end(EndReason::ConnectionFailed, Some(LeaveReason::Impostor)),
            Input::RenegotiationNeeded => {
                if self.negotiation.is_established() {
                    self.negotiate(now, negotiation::Input::Offer { ice_restart: false });
                }
            }
            Input::Timeout => self.timeout(now),
        }
    }

    /// The next thing to do; poll until there is none.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to come back with `Input::Timeout`, and what for. It may change with every input.
    #[must_use]
    pub fn deadline(&self) -> Option<(Instant, DeadlineReason)> {
        let setup = &self.setup;
        let stage = match &self.stage {
            Stage::Calling { since } => {
                since.checked_add(setup.ring_timeout).zip(Some(DeadlineReason::Ringing))
            }
            Stage::Ringing { since, .. } => {
                since.checked_add(setup.incoming_timeout).zip(Some(DeadlineReason::Incoming))
            }
            Stage::Accepted { since } => {
                since.checked_add(setup.connect_timeout).zip(Some(DeadlineReason::Connecting))
            }
            Stage::Connected { since } => setup
                .duration
                .and_then(|duration| since.checked_add(duration))
                .zip(Some(DeadlineReason::Duration)),
            Stage::Ended => return None,
        };
        let restart = self.outage.filter(|_| self.may_restart()).and_then(|one| one.restart_at());
        let give_up = self.outage.and_then(|outage| outage.give_up_at());
        let word = self.closed_at.and_then(|at| at.checked_add(LAST_WORD));
        let candidates = [
            stage,
            restart.zip(Some(DeadlineReason::Restart)),
            give_up.zip(Some(DeadlineReason::Outage)),
            word.zip(Some(DeadlineReason::Word)),
            self.negotiation.deadline().zip(Some(DeadlineReason::Renegotiation)),
            self.words_due.zip(Some(DeadlineReason::Words)),
            self.repeat_at.zip(Some(DeadlineReason::Repeat)),
        ];
        candidates.into_iter().flatten().min_by_key(|(due, _)| *due)
    }

    /// Whether it waits for our user's `Answer` or `Reject`.
    #[must_use]
    pub fn is_ringing(&self) -> bool {
        matches!(self.stage, Stage::Ringing { .. })
    }

    /// Whether media can flow, or could before an outage.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(self.stage, Stage::Connected { .. })
    }

    /// Whether it has ended because they left the server while we were calling.
    #[must_use]
    pub fn left_unanswered(&self) -> bool {
        self.left_unanswered
    }

    /// Whether it is over. Actions may still wait to be polled.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    fn answer(&mut self, now: Instant) {
        if let Stage::Ringing { offer, .. } = &self.stage {
            let offer = offer.clone();
            // Before anything is opened: it may not be the offer that rang.
            if self.believes(Part::Offer, &offer) {
                self.accept(now);
                self.negotiate(now, negotiation::Input::RemoteOffer(offer));
            }
        }
    }

    fn message(&mut self, now: Instant, message: Message) {
        self.setup.server_reports_unknown |= message.shows_a_reporting_server();
        match message {
            Message::Offer { sdp, .. } => self.remote_offer(now, sdp),
            Message::Answer { sdp, .. } => {
                self.heard();
                self.negotiate(now, negotiation::Input::RemoteAnswer(sdp));
            }
            Message::Candidate { candidate, name } => {
                // A candidate without a name may be a stray from somebody else.
                if name.is_some() {
                    self.heard();
                }
                if let Some(candidate) = candidate {
                    self.negotiate(now, negotiation::Input::RemoteCandidate(candidate));
                }
            }
            Message::Reveal { nonce, .. } => self.revealed(&nonce),
            Message::Leave { reason, .. } => self.remote_left(now, reason),
            Message::Error { code, .. } if code.as_deref() == Some("unknown-user") => {
                self.not_there(now);
            }
            Message::Error { .. } => {}
            Message::Login { .. } | Message::LoginReply(_) | Message::Unknown { .. } => {}
        }
    }

    fn remote_offer(&mut self, now: Instant, sdp: String) {
        self.heard();
        if let Stage::Ringing { offer, .. } = &mut self.stage {
            *offer = sdp;
            return;
        }
        if let Some(outage) = &mut self.outage {
            outage.restarted(now);
        }
        self.negotiate(now, negotiation::Input::RemoteOffer(sdp));
    }

    /// A sign of life of theirs through the server.
    fn heard(&mut self) {
        self.peer_seen = true;
        self.gone_at = None;
    }

    /// They are gone, so they are told nothing; or only from the server, and the call goes on.
    fn remote_left(&mut self, now: Instant, reason: Option<LeaveReason>) {
        let calling = matches!(self.stage, Stage::Calling { .. });
        self.left_unanswered = calling && reason == Some(LeaveReason::Gone);
        match ending::remote_end(self.reached(), reason, self.trouble(now)) {
            Some(reason) => self.end(reason, None),
            None => self.gone_at = Some(now),
        }
    }

    /// Their program has forgotten the call; it must not take our `leave` for one of its new call.
    fn replaced(&mut self) {
        let reason = match self.outage {
            Some(_) => EndReason::ConnectionFailed,
            None => EndReason::RemoteHangup,
        };
        self.end(reason, None);
    }

    fn reached(&self) -> Reached {
        match self.stage {
            Stage::Calling { .. } => Reached::Calling,
            Stage::Ringing { .. } => Reached::Ringing,
            Stage::Accepted { .. } => Reached::Accepted,
            Stage::Connected { .. } | Stage::Ended => Reached::Connected,
        }
    }

    /// For how long there has been no path where there should be one.
    fn trouble(&self, now: Instant) -> Option<Duration> {
        match self.stage {
            Stage::Accepted { since } => Some(now.saturating_duration_since(since)),
            _ => self.outage.map(|outage| outage.lasting(now)),
        }
    }

    fn negotiate(&mut self, now: Instant, input: negotiation::Input) {
        self.negotiation.handle(now, input);
        while let Some(output) = self.negotiation.poll() {
            self.carry_out(now, output);
            if self.is_ended() {
                return;
            }
        }
    }

    fn carry_out(&mut self, now: Instant, output: Output) {
        let name = self.setup.peer.clone();
        match output {
            Output::CreateOffer(id, ice_restart) => {
                self.actions.push_back(Action::CreateOffer { id, ice_restart });
            }
            Output::CreateAnswer(id, offer) => {
                if !self.believes(Part::Offer, &offer) {
                    return;
                }
                if !self.negotiation.is_established() {
                    self.is_offerer = false;
                }
                self.accept(now);
                self.actions.push_back(Action::CreateAnswer { id, offer });
            }
            Output::SetRemoteAnswer(id, sdp) => {
                if !self.believes(Part::Answer, &sdp) {
                    return;
                }
                self.accept(now);
                self.actions.push_back(Action::SetRemoteAnswer { id, sdp });
            }
            Output::Rollback(id) => self.actions.push_back(Action::Rollback { id }),
            Output::AddCandidate(candidate) => {
                self.actions.push_back(Action::AddCandidate(candidate));
            }
            Output::SendOffer(sdp) => {
                let sdp = match self.negotiation.is_established() {
                    true => identity::mark_later(&sdp),
                    false => sdp,
                };
                self.send(Message::Offer { sdp, name });
            }
            Output::SendAnswer(sdp) => self.send(Message::Answer { sdp, name }),
            Output::SendCandidate(candidate) => {
                self.send(Message::Candidate { candidate: Some(candidate), name });
            }
            Output::Broken(_) => self.hang_up(EndReason::ConnectionFailed),
        }
    }

    fn send(&mut self, message: Message) {
        let is_offer = matches!(message, Message::Offer { .. });
        if self.server_gone {
            // An offer to restart is repeated when the server is back.
            let waits = !(is_offer && self.negotiation.is_restarting());
            if waits && self.held.len() < MAX_HELD {
                self.held.push_back(message);
            }
            return;
        }
        self.actions.push_back(Action::Send(message));
        let is_first = is_offer && !std::mem::replace(&mut self.offer_sent, true);
        if is_first && matches!(self.stage, Stage::Calling { .. }) {
            self.report(Progress::Calling);
        }
    }

    /// The call is answered, by either side, for the first time.
    fn accept(&mut self, now: Instant) {
        if matches!(self.stage, Stage::Calling { .. } | Stage::Ringing { .. }) {
            self.stage = Stage::Accepted { since: now };
            self.report(Progress::Accepted);
            self.actions.push_back(Action::PrepareMedia);
            self.check_connected(now);
        }
    }

    fn check_connected(&mut self, now: Instant) {
        if matches!(self.stage, Stage::Accepted { .. }) && self.ice.is_up() && self.dtls_up {
            self.stage = Stage::Connected { since: now };
            self.report(Progress::Connected);
            self.actions.push_back(Action::StartMedia);
            self.await_words(now);
        }
    }

    fn timeout(&mut self, now: Instant) {
        let Some((_, reason)) = self.deadline().filter(|(due, _)| *due <= now) else { return };
        match reason {
            DeadlineReason::Ringing | DeadlineReason::Incoming => {
                self.end(EndReason::NoAnswer, Some(LeaveReason::Timeout));
            }
            DeadlineReason::Connecting | DeadlineReason::Outage => {
                self.hang_up(EndReason::ConnectionFailed);
            }
            DeadlineReason::Word => self.end(EndReason::RemoteHangup, None),
            DeadlineReason::Duration => self.hang_up(EndReason::Duration),
            DeadlineReason::Restart => self.restart(now),
            DeadlineReason::Repeat => self.repeat_offer(now),
            DeadlineReason::Words => self.tell_words(),
            DeadlineReason::Renegotiation => {
                self.negotiate(now, negotiation::Input::Timeout);
            }
        }
    }

    fn hang_up(&mut self, reason: EndReason) {
        self.end(reason, Some(ending::leave_for(reason, self.reached())));
    }

    /// Ends the call. `leave` goes only to somebody who is in it with us, as far as we can know:
    /// he has shown himself, or the server would say that he is not there; then it may also wait
    /// for the server to come back.
    fn end(&mut self, reason: EndReason, leave: Option<LeaveReason>) {
        let there = self.peer_seen || (self.offer_sent && self.setup.server_reports_unknown);
        if leave.is_some() && there {
            let name = self.setup.peer.clone();
            self.actions.push_back(Action::Send(Message::Leave { name, reason: leave }));
        }
        self.held.clear();
        if self.awaits_words() {
            self.tell_words();
        }
        let last_word = ending::leave_for(reason, self.reached());
        self.stage = Stage::Ended;
        self.actions.push_back(Action::Close(last_word));
        self.report(Progress::Ended(reason));
    }

    fn report(&mut self, progress: Progress) {
        self.actions.push_back(Action::Report(progress));
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
