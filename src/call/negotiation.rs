//! Who offers, who answers, and what happens when both do: glare, rollback, renegotiation, ICE
//! restart and the candidates of either side. Pure; at most one action is in the making at a time.
//!
//! The rule of glare, shared with the browser page: the offer of the byte-wise smaller name wins;
//! the other side rolls its own back and answers. Knows nothing of people, servers or media.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::answering::Pace;
use super::candidates::{MAX_WAITING, RemoteCandidates};
use super::step::ActionId;
use crate::ice::Candidate;

/// What the negotiation is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Make an offer as soon as nothing else is going on.
    Offer {
        /// Restart ICE with it.
        ice_restart: bool,
    },
    /// The other side's offer.
    RemoteOffer(String),
    /// The other side's answer.
    RemoteAnswer(String),
    /// The other side's candidate.
    RemoteCandidate(Candidate),
    /// A candidate of ours.
    LocalCandidate(Candidate),
    /// `CreateOffer` has worked.
    OfferCreated(ActionId, String),
    /// `CreateAnswer` has worked.
    AnswerCreated(ActionId, String),
    /// `SetRemoteAnswer` or `Rollback` has worked.
    Applied(ActionId),
    /// An action has failed; the text says why.
    Failed(ActionId, String),
    /// Say the offer to restart ICE once more, if one is out: it may have been lost.
    Repeat,
    /// Say the first offer once more, if it is out: the server may have forgotten it.
    RepeatFirst,
    /// The deadline is due.
    Timeout,
}

/// What the negotiation asks for. The actions with an id are those of `step::Action`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Create an offer and set it locally.
    CreateOffer(ActionId, bool),
    /// Set this remote offer, create the answer and set it locally.
    CreateAnswer(ActionId, String),
    /// Set this remote answer.
    SetRemoteAnswer(ActionId, String),
    /// Return to the state before the offer.
    Rollback(ActionId),
    /// Add a remote candidate.
    AddCandidate(Candidate),
    /// Send our offer.
    SendOffer(String),
    /// Send our answer.
    SendAnswer(String),
    /// Send a candidate of ours.
    SendCandidate(Candidate),
    /// The first round failed: there can be no call.
    Broken(String),
}

/// How the rounds of one call are settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Whether our offer wins when both sides offer at once.
    pub wins_glare: bool,
    /// Whether to send the first offer again when the other side's crosses it: on a server that
    /// is silent about unknown names, they may not have been there when it was sent.
    pub repeat_first_offer: bool,
    /// How long a later offer may stay unanswered.
    pub renegotiation_timeout: Duration,
}

/// Where the round stands.
#[derive(Debug, PartialEq, Eq)]
enum State {
    Stable,
    CreatingOffer { id: ActionId, ice_restart: bool },
    OfferOut { sdp: String, ice_restart: bool, since: Instant },
    ApplyingAnswer { id: ActionId, answer: String },
    RollingBack { id: ActionId },
    Answering { id: ActionId, offer: String },
}

/// The last remote offer that we answered.
#[derive(Debug)]
struct Answered {
    offer: String,
    answer: String,
    /// Whether no round has followed it.
    latest: bool,
}

/// The negotiation of one call.
#[derive(Debug)]
pub struct Negotiation {
    rules: Rules,
    state: State,
    next_id: ActionId,
    /// Rounds that were completed.
    rounds: u32,
    /// The remote offer to answer when the action in the making is done.
    pending_offer: Option<String>,
    /// The offer to make when stable; the flag asks for an ICE restart.
    wanted: Option<bool>,
    answered: Option<Answered>,
    remote: RemoteCandidates,
    /// Our candidates that wait for our description to go out.
    local: VecDeque<Candidate>,
    /// Our candidates that followed our latest description, which may have to be repeated.
    sent: Vec<Candidate>,
    /// Whether any description of ours has gone out.
    described: bool,
    /// How often their offers make us say something.
    pace: Pace,
    outputs: VecDeque<Output>,
}

impl Negotiation {
    /// A negotiation with nothing said yet.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            state: State::Stable,
            next_id: 1,
            rounds: 0,
            pending_offer: None,
            wanted: None,
            answered: None,
            remote: RemoteCandidates::default(),
            local: VecDeque::new(),
            sent: Vec::new(),
            described: false,
            pace: Pace::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes one input.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Offer { ice_restart } => {
                self.want(ice_restart);
                self.go_on();
            }
            Input::RemoteOffer(sdp) => self.hear_offer(now, sdp),
            Input::RemoteAnswer(sdp) => self.remote_answer(sdp),
            Input::RemoteCandidate(candidate) => {
                let busy = self.is_setting_remote();
                if let Some(candidate) = self.remote.offer(candidate, busy) {
                    self.outputs.push_back(Output::AddCandidate(candidate));
                }
            }
            Input::LocalCandidate(candidate) => self.local_candidate(candidate),
            Input::OfferCreated(id, sdp) => self.offer_created(now, id, sdp),
            Input::AnswerCreated(id, sdp) => self.answer_created(id, sdp),
            Input::Applied(id) => self.applied(id),
            Input::Failed(id, reason) => self.failed(id, reason),
            Input::Repeat => {
                if let State::OfferOut { sdp, ice_restart: true, .. } = &self.state {
                    self.outputs.push_back(Output::SendOffer(sdp.clone()));
                }
            }
            Input::RepeatFirst => {
                if let State::OfferOut { sdp, .. } = &self.state
                    && !self.is_established()
                {
                    self.outputs.push_back(Output::SendOffer(sdp.clone()));
                    self.outputs.extend(self.sent.iter().cloned().map(Output::SendCandidate));
                }
            }
            Input::Timeout => self.time_out(now),
        }
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When an offer in a running call has stayed unanswered for too long, or something is due that
    /// was asked for too soon.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.unanswered_until().into_iter().chain(self.pace.deadline()).min()
    }

    fn unanswered_until(&self) -> Option<Instant> {
        match self.state {
            State::OfferOut { since, .. } if self.is_established() => {
                since.checked_add(self.rules.renegotiation_timeout)
            }
            _ => None,
        }
    }

    /// Whether a round has been completed, so that both sides have described themselves.
    #[must_use]
    pub fn is_established(&self) -> bool {
        self.rounds > 0
    }

    /// How many rounds have been completed.
    #[must_use]
    pub fn rounds(&self) -> u32 {
        self.rounds
    }

    /// Whether a restart of ICE is being agreed on at our wish.
    #[must_use]
    pub fn is_restarting(&self) -> bool {
        match &self.state {
            State::CreatingOffer { ice_restart, .. } | State::OfferOut { ice_restart, .. } => {
                *ice_restart
            }
            State::ApplyingAnswer { .. } => self.is_established(),
            _ => self.wanted == Some(true),
        }
    }

    fn time_out(&mut self, now: Instant) {
        if self.unanswered_until().is_some_and(|due| due <= now) {
            self.roll_back();
        }
        if self.pace.is_again_due(now) {
            self.say_again();
        }
        if let Some(offer) = self.pace.released(now) {
            self.remote_offer(now, offer);
        }
    }

    fn hear_offer(&mut self, now: Instant, sdp: String) {
        if self.answered.as_ref().is_some_and(|one| one.offer == sdp) {
            // The same offer again gets the same answer again, unless the call has moved on.
            if self.has_answer_to_repeat() && self.pace.again(now) {
                self.say_again();
            }
            return;
        }
        let is_answering = matches!(&self.state, State::Answering { offer, .. } if *offer == sdp);
        if !is_answering && let Some(sdp) = self.pace.admit(now, sdp) {
            self.remote_offer(now, sdp);
        }
    }

    fn has_answer_to_repeat(&self) -> bool {
        self.state == State::Stable && self.answered.as_ref().is_some_and(|one| one.latest)
    }

    /// What we said last may be lost.
    fn say_again(&mut self) {
        if self.has_answer_to_repeat() {
            let answer = self.answered.as_ref().map(|one| Output::SendAnswer(one.answer.clone()));
            self.outputs.extend(answer);
            self.outputs.extend(self.sent.iter().cloned().map(Output::SendCandidate));
        } else if self.rules.wins_glare {
            self.repeat_offer();
        }
    }

    fn remote_offer(&mut self, now: Instant, sdp: String) {
        match &self.state {
            State::Stable => self.answer(sdp),
            State::CreatingOffer { .. } | State::OfferOut { .. } if self.rules.wins_glare => {
                if self.pace.again(now) {
                    self.say_again();
                }
            }
            State::CreatingOffer { .. } => self.pending_offer = Some(sdp),
            State::OfferOut { ice_restart, .. } => {
                let ice_restart = *ice_restart;
                self.yield_to_theirs(sdp, ice_restart);
            }
            State::Answering { .. } | State::RollingBack { .. } | State::ApplyingAnswer { .. } => {
                self.pending_offer = Some(sdp);
            }
        }
    }

    fn remote_answer(&mut self, sdp: String) {
        let State::OfferOut { ice_restart, .. } = &self.state else { return };
        if *ice_restart && self.remote.is_same_generation(&sdp) {
            return; // A late answer to an earlier offer: a restart changes both sides (RFC 8839).
        }
        self.pace.given_up();
        let id = self.new_id();
        self.outputs.push_back(Output::SetRemoteAnswer(id, sdp.clone()));
        self.state = State::ApplyingAnswer { id, answer: sdp };
    }

    fn local_candidate(&mut self, candidate: Candidate) {
        if candidate.candidate.is_empty() {
            return;
        }
        let in_the_making = matches!(
            self.state,
            State::CreatingOffer { .. } | State::Answering { .. } | State::RollingBack { .. }
        );
        if self.described && !in_the_making {
            self.send_candidate(candidate);
        } else {
            if self.local.len() == MAX_WAITING {
                self.local.pop_front();
            }
            self.local.push_back(candidate);
        }
    }

    fn offer_created(&mut self, now: Instant, done: ActionId, sdp: String) {
        let State::CreatingOffer { id, ice_restart } = self.state else { return };
        if id != done {
            return;
        }
        if let Some(theirs) = self.pending_offer.take() {
            self.yield_to_theirs(theirs, ice_restart);
            return;
        }
        self.outputs.push_back(Output::SendOffer(sdp.clone()));
        self.sent.clear();
        self.state = State::OfferOut { sdp, ice_restart, since: now };
        self.send_waiting_candidates();
    }

    fn answer_created(&mut self, done: ActionId, answer: String) {
        match std::mem::replace(&mut self.state, State::Stable) {
            State::Answering { id, offer } if id == done => {
                self.outputs.push_back(Output::SendAnswer(answer.clone()));
                self.sent.clear();
                self.remote.described(&offer);
                self.answered = Some(Answered { offer, answer, latest: true });
                self.send_waiting_candidates();
                self.complete();
            }
            other => self.state = other,
        }
    }

    fn applied(&mut self, done: ActionId) {
        match std::mem::replace(&mut self.state, State::Stable) {
            State::ApplyingAnswer { id, answer } if id == done => {
                self.remote.described(&answer);
                if let Some(answered) = &mut self.answered {
                    answered.latest = false;
                }
                self.complete();
            }
            State::RollingBack { id } if id == done => self.go_on(),
            other => self.state = other,
        }
    }

    fn failed(&mut self, id: ActionId, reason: String) {
        if !self.is_current(id) {
            return;
        }
        let was = std::mem::replace(&mut self.state, State::Stable);
        // A newer offer may still work, and a running call survives a failed round.
        if !self.is_established() && self.pending_offer.is_none() {
            self.outputs.push_back(Output::Broken(reason));
            return;
        }
        match was {
            State::Answering { .. } | State::ApplyingAnswer { .. } => self.roll_back(),
            _ => self.go_on(),
        }
    }

    /// The round is complete.
    fn complete(&mut self) {
        self.rounds = self.rounds.saturating_add(1);
        self.go_on();
    }

    /// Nothing is in the making: let out what waited and start what is next.
    fn go_on(&mut self) {
        if self.state != State::Stable {
            return;
        }
        for candidate in self.remote.release() {
            self.outputs.push_back(Output::AddCandidate(candidate));
        }
        if let Some(offer) = self.pending_offer.take() {
            self.answer(offer);
        } else if let Some(ice_restart) = self.wanted.take() {
            let id = self.new_id();
            self.outputs.push_back(Output::CreateOffer(id, ice_restart));
            self.state = State::CreatingOffer { id, ice_restart };
        } else if self.described {
            self.send_waiting_candidates();
        }
    }

    fn answer(&mut self, offer: String) {
        let id = self.new_id();
        self.outputs.push_back(Output::CreateAnswer(id, offer.clone()));
        self.state = State::Answering { id, offer };
    }

    /// Glare is lost: take our offer back. What it was to say is still to be said, except when
    /// it was the call itself.
    fn yield_to_theirs(&mut self, theirs: String, ice_restart: bool) {
        // Where both want to restart ICE, one restart is enough.
        let said = ice_restart && !self.remote.is_same_generation(&theirs);
        if self.is_established() && !said {
            self.want(ice_restart);
        }
        self.pending_offer = Some(theirs);
        self.roll_back();
    }

    fn want(&mut self, ice_restart: bool) {
        self.wanted = Some(self.wanted.unwrap_or(false) || ice_restart);
    }

    fn roll_back(&mut self) {
        let id = self.new_id();
        self.outputs.push_back(Output::Rollback(id));
        self.state = State::RollingBack { id };
    }

    /// They have not had our offer, as it seems; it may be lost.
    fn repeat_offer(&mut self) {
        let State::OfferOut { sdp, ice_restart, .. } = &self.state else { return };
        if *ice_restart {
            self.outputs.push_back(Output::SendOffer(sdp.clone()));
        } else if self.rules.repeat_first_offer && !self.is_established() {
            self.outputs.push_back(Output::SendOffer(sdp.clone()));
            self.outputs.extend(self.sent.iter().cloned().map(Output::SendCandidate));
        }
    }

    fn send_waiting_candidates(&mut self) {
        self.described = true;
        for candidate in std::mem::take(&mut self.local) {
            self.send_candidate(candidate);
        }
    }

    fn send_candidate(&mut self, candidate: Candidate) {
        if self.sent.len() < MAX_WAITING {
            self.sent.push(candidate.clone());
        }
        self.outputs.push_back(Output::SendCandidate(candidate));
    }

    fn is_setting_remote(&self) -> bool {
        matches!(self.state, State::Answering { .. } | State::ApplyingAnswer { .. })
    }

    fn is_current(&self, wanted: ActionId) -> bool {
        match &self.state {
            State::CreatingOffer { id, .. }
            | State::ApplyingAnswer { id, .. }
            | State::RollingBack { id }
            | State::Answering { id, .. } => *id == wanted,
            State::Stable | State::OfferOut { .. } => false,
        }
    }

    fn new_id(&mut self) -> ActionId {
        let id = self.next_id;
        self.next_id += 1;
        id
    }
}

#[cfg(test)]
#[path = "negotiation_tests.rs"]
mod tests;
