//! What one call is told and what it asks for: the words between the machine and its surroundings.
//!
//! Whoever carries out the actions answers those that bear an id with exactly one input of that
//! id. Pure data: no sockets, no connection, no rules.

use std::time::Duration;

use super::reason::EndReason;
use super::safety::Vouching;
use super::vouch::KeyChange;
use crate::ice::Candidate;
pub use crate::rtc::events::IceState;
use crate::signaling::message::{LeaveReason, Message};

/// Names one asynchronous action, so that its result can be told from another's.
pub type ActionId = u64;

/// Who is in the call, what kind of server is between, and how long things may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// The name that we are logged in with.
    pub our_name: String,
    /// The other side's name; `None` when it called through a server that gives no names.
    pub peer: Option<String>,
    /// Whether the server says so when a name is not online, as ours does. Only then is `leave`
    /// sent to somebody who has not yet shown that he exists: the tutorial's server dies of it.
    pub server_reports_unknown: bool,
    /// The server is away as the call begins.
    pub server_gone: bool,
    /// How long the caller waits for an answer.
    pub ring_timeout: Duration,
    /// How long an incoming call rings when the caller's `leave` does not come.
    pub incoming_timeout: Duration,
    /// How long ICE and DTLS may take, from the answer.
    pub connect_timeout: Duration,
    /// How long the offering side waits in an outage before it restarts ICE; the other side waits
    /// three times as long.
    pub restart_after: Duration,
    /// How long an outage may last from the moment that ICE tells of it.
    pub disconnected_timeout: Duration,
    /// How long an offer in a running call may stay unanswered before it is rolled back.
    pub renegotiation_timeout: Duration,
    /// Hang up after being connected so long.
    pub duration: Option<Duration>,
    /// Who we are, whom we expect, and what the safety words are made of.
    pub vouching: Vouching,
}

impl Setup {
    /// The usual bounds, on a server that is not known to report unknown names.
    #[must_use]
    pub fn new(our_name: impl Into<String>, peer: Option<String>) -> Self {
        Self {
            our_name: our_name.into(),
            peer,
            server_reports_unknown: false,
            server_gone: false,
            ring_timeout: Duration::from_secs(30),
            incoming_timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(20),
            restart_after: Duration::from_millis(500),
            disconnected_timeout: Duration::from_millis(32_500),
            renegotiation_timeout: Duration::from_secs(15),
            duration: None,
            vouching: Vouching::default(),
        }
    }
}

/// What the machine is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The user takes the call that rings; ignored in any other state.
    Answer,
    /// The user refuses the call that rings; ignored in any other state.
    Reject,
    /// The user ends the call, whatever state it is in.
    Hangup,
    /// Ctrl-C or SIGTERM.
    Interrupt,
    /// A message that belongs to this call; the phone's book has sorted out all others.
    Message(Message),
    /// The connection to the server broke: messages are kept until it is back.
    ServerGone,
    /// We are logged in again under the same name.
    ServerBack,
    /// `CreateOffer` is done: the offer, set as the local description.
    OfferCreated {
        /// Of the action.
        id: ActionId,
        /// The SDP text to send.
        sdp: String,
    },
    /// `CreateAnswer` is done: the answer, set as the local description.
    AnswerCreated {
        /// Of the action.
        id: ActionId,
        /// The SDP text to send.
        sdp: String,
    },
    /// `SetRemoteAnswer` or `Rollback` is done.
    DescriptionApplied {
        /// Of the action.
        id: ActionId,
    },
    /// An action with an id did not work.
    ActionFailed {
        /// Of the action.
        id: ActionId,
        /// For the log.
        reason: String,
    },
    /// Our side found a candidate; `None` is the end of candidates (not sent: pages choke on it).
    LocalCandidate(Option<Candidate>),
    /// ICE changed its state.
    IceState(IceState),
    /// The DTLS handshake is done.
    DtlsConnected,
    /// The DTLS handshake failed, or no path can come any more.
    DtlsFailed,
    /// The certificate of the handshake is not the one that was described.
    Impostor,
    /// The connection wants a new round of offer and answer (W3C `negotiationneeded`). Ignored
    /// until the first round is over.
    RenegotiationNeeded,
    /// What we send has ended (`--once`).
    MediaEnded,
    /// What we send or show cannot be had, or not any more.
    MediaFailed,
    /// The other side has closed its end of the connection (RFC 8446 section 6.1, `close_notify`);
    /// its `leave` may say why.
    RemoteClosed,
    /// The other side's program has begun anew and calls again: this call is over.
    Replaced,
    /// The addresses of this machine have changed.
    AddressesChanged {
        /// Whether there is one less that ours may have been.
        lost: bool,
    },
    /// The deadline is due. Harmless when it is not.
    Timeout,
}

/// What the machine asks for. Carry them out in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Create an offer and set it as the local description, then `OfferCreated` with the id.
    CreateOffer {
        /// For the result.
        id: ActionId,
        /// Restart ICE with it.
        ice_restart: bool,
    },
    /// Set this remote offer, create an answer and set it as the local description, then
    /// `AnswerCreated` with the id.
    CreateAnswer {
        /// For the result.
        id: ActionId,
        /// The remote offer's SDP text.
        offer: String,
    },
    /// Set this remote answer, then `DescriptionApplied` with the id.
    SetRemoteAnswer {
        /// For the result.
        id: ActionId,
        /// The remote answer's SDP text.
        sdp: String,
    },
    /// Roll our own offer (or a remote one half answered) back, then `DescriptionApplied`.
    Rollback {
        /// For the result.
        id: ActionId,
    },
    /// Add a remote candidate. Never before a remote description is set.
    AddCandidate(Candidate),
    /// Send this to the server; the target is filled in.
    Send(Message),
    /// Find out whether the server is still there: the path to the other side is not.
    CheckServer,
    /// The call was answered: open what takes long. At most once.
    PrepareMedia,
    /// Pictures and sound can flow. At most once, after `PrepareMedia`.
    StartMedia,
    /// Stop the media and close the connection. Exactly once, the last but one action. With what the
    /// other side is told if it still believes in the call.
    Close(LeaveReason),
    /// Tell whoever watches. `Ended` comes exactly once and is the last action.
    Report(Progress),
}

/// How far the call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The offer is on its way; it rings there as far as we know.
    Calling,
    /// It rings here.
    Incoming,
    /// Answered, by us or by them.
    Accepted,
    /// ICE has a new state.
    Connecting(IceState),
    /// ICE and DTLS are up for the first time.
    Connected,
    /// The safety words are known, or will not be for a while: only where they were still to come
    /// when it was connected.
    Words,
    /// They show another key than they must; the end follows.
    KeyChanged(KeyChange),
    /// A later description of theirs is of another certificate; the end follows.
    Impostor,
    /// It is over.
    Ended(EndReason),
}

/// What the machine waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeadlineReason {
    /// The callee's answer.
    Ringing,
    /// Our user's answer.
    Incoming,
    /// ICE and DTLS.
    Connecting,
    /// The moment to restart ICE in an outage.
    Restart,
    /// The moment to say the offer again that the server may have forgotten.
    Repeat,
    /// The end of an outage.
    Outage,
    /// The answer to an offer in a running call.
    Renegotiation,
    /// The end of the agreed duration.
    Duration,
    /// The word to a connection that the other side has closed.
    Word,
    /// The number that the other side reveals for the safety words.
    Words,
}
