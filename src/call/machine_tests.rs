//! Transcripts: what the machine is told on one side, what it asks for on the other.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::ice::Candidate;

/// A machine with a clock of its own that stands still until `wait`.
struct Script {
    machine: Machine,
    now: Instant,
}

const ALICE: &str = "alice";
const BOB: &str = "bob";

fn setup(our_name: &str, peer: &str) -> Setup {
    Setup::new(our_name, Some(peer.to_owned()))
}

impl Script {
    fn new(make: impl FnOnce(Instant) -> Machine) -> Self {
        #[allow(clippy::disallowed_methods)] // An arbitrary start; it moves by `wait` only.
        let now = Instant::now();
        Self { machine: make(now), now }
    }

    /// Alice calls; her offer wins any glare with bob's.
    fn alice_calls() -> Self {
        Self::new(|now| Machine::outgoing(setup(ALICE, BOB), now))
    }

    /// Bob calls; his offer loses any glare with alice's.
    fn bob_calls() -> Self {
        Self::new(|now| Machine::outgoing(setup(BOB, ALICE), now))
    }

    fn bob_rings() -> Self {
        let mut script = Self::new(|now| Machine::incoming(setup(BOB, ALICE), sdp("A1"), now));
        assert_eq!(script.actions(), [report(Progress::Incoming)]);
        script
    }

    /// Alice's offer is out.
    fn alice_waits() -> Self {
        let mut script = Self::alice_calls();
        assert_eq!(script.actions(), [Action::CreateOffer { id: 1, ice_restart: false }]);
        let sent = script.tell(Input::OfferCreated { id: 1, sdp: sdp("A1") });
        assert_eq!(sent, [send_offer("A1", BOB), report(Progress::Calling)]);
        script
    }

    /// Alice called, bob answered, the path is up.
    fn alice_connected() -> Self {
        let mut script = Self::alice_waits();
        script.tell(answer_from("B1", BOB));
        script.tell(Input::DescriptionApplied { id: 2 });
        script.tell(Input::IceState(IceState::Connected));
        let last = script.tell(Input::DtlsConnected);
        assert_eq!(last, [report(Progress::Connected), Action::StartMedia]);
        script
    }

    fn bob_connected() -> Self {
        let mut script = Self::bob_rings();
        script.tell(Input::Answer);
        script.tell(Input::AnswerCreated { id: 1, sdp: sdp("B1") });
        script.tell(Input::DtlsConnected);
        script.tell(Input::IceState(IceState::Connected));
        assert!(script.machine.is_connected());
        script
    }

    fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.machine.poll()).collect()
    }

    fn tell(&mut self, input: Input) -> Vec<Action> {
        self.machine.handle(self.now, input);
        self.actions()
    }

    fn wait(&mut self, seconds: u64) -> Vec<Action> {
        self.now += Duration::from_secs(seconds);
        self.tell(Input::Timeout)
    }
}

fn sdp(ufrag: &str) -> String {
    format!("v=0\r\na=ice-ufrag:{ufrag}\r\n")
}

fn candidate(ufrag: &str) -> Candidate {
    Candidate {
        candidate: format!("candidate:1 1 udp 1 192.0.2.1 9 typ host ufrag {ufrag}"),
        sdp_mid: Some("0".into()),
        sdp_mline_index: Some(0),
        username_fragment: Some(ufrag.into()),
    }
}

fn offer_from(ufrag: &str, name: &str) -> Input {
    Input::Message(Message::Offer { sdp: sdp(ufrag), name: Some(name.into()) })
}

fn answer_from(ufrag: &str, name: &str) -> Input {
    Input::Message(Message::Answer { sdp: sdp(ufrag), name: Some(name.into()) })
}

fn candidate_from(ufrag: &str, name: &str) -> Input {
    let name = Some(name.into());
    Input::Message(Message::Candidate { candidate: Some(candidate(ufrag)), name })
}

fn leave_from(reason: Option<LeaveReason>) -> Input {
    Input::Message(Message::Leave { name: None, reason })
}

fn unknown_user() -> Input {
    Input::Message(Message::Error {
        code: Some("unknown-user".into()),
        name: Some(BOB.into()),
        message: "bob is not online".into(),
    })
}

fn send_offer(ufrag: &str, to: &str) -> Action {
    Action::Send(Message::Offer { sdp: sdp(ufrag), name: Some(to.into()) })
}

fn send_answer(ufrag: &str, to: &str) -> Action {
    Action::Send(Message::Answer { sdp: sdp(ufrag), name: Some(to.into()) })
}

fn send_candidate(ufrag: &str, to: &str) -> Action {
    Action::Send(Message::Candidate { candidate: Some(candidate(ufrag)), name: Some(to.into()) })
}

fn send_leave(to: &str, reason: LeaveReason) -> Action {
    Action::Send(Message::Leave { name: Some(to.into()), reason: Some(reason) })
}

fn report(progress: Progress) -> Action {
    Action::Report(progress)
}

fn ended(reason: EndReason) -> [Action; 2] {
    let word = match reason {
        EndReason::ConnectionFailed => LeaveReason::Failed,
        _ => LeaveReason::Hangup,
    };
    [Action::Close(word), report(Progress::Ended(reason))]
}

/// It rang in vain.
fn unanswered(reason: EndReason) -> [Action; 2] {
    [Action::Close(LeaveReason::Rejected), report(Progress::Ended(reason))]
}

fn left(to: &str, leave: LeaveReason, reason: EndReason) -> Vec<Action> {
    [vec![send_leave(to, leave)], ended(reason).to_vec()].concat()
}

/// An offer of ours in a running call.
fn send_later(ufrag: &str, to: &str) -> Action {
    let sdp = identity::mark_later(&sdp(ufrag));
    Action::Send(Message::Offer { sdp, name: Some(to.into()) })
}

#[test]
fn an_answered_call_connects_when_ice_and_dtls_are_up() {
    let mut alice = Script::alice_waits();
    assert_eq!(
        alice.tell(answer_from("B1", BOB)),
        [
            report(Progress::Accepted),
            Action::PrepareMedia,
            Action::SetRemoteAnswer { id: 2, sdp: sdp("B1") }
        ]
    );
    assert_eq!(alice.tell(Input::DescriptionApplied { id: 2 }), []);
    let checking = Progress::Connecting(IceState::Checking);
    assert_eq!(alice.tell(Input::IceState(IceState::Checking)), [report(checking)]);
    assert_eq!(alice.tell(Input::IceState(IceState::Checking)), []);
    let up = Progress::Connecting(IceState::Connected);
    assert_eq!(alice.tell(Input::IceState(IceState::Connected)), [report(up)]);
    assert_eq!(alice.tell(Input::DtlsConnected), [report(Progress::Connected), Action::StartMedia]);
    assert_eq!(alice.machine.deadline(), None);
    assert_eq!(alice.tell(Input::Hangup), left(BOB, LeaveReason::Hangup, EndReason::Hangup));
}

#[test]
fn a_ringing_call_is_answered_only_when_the_user_says_so() {
    let mut bob = Script::bob_rings();
    assert_eq!(
        bob.tell(Input::Answer),
        [
            report(Progress::Accepted),
            Action::PrepareMedia,
            Action::CreateAnswer { id: 1, offer: sdp("A1") }
        ]
    );
    assert_eq!(bob.tell(Input::Answer), []);
    assert_eq!(bob.tell(Input::Reject), []);
    let sent = bob.tell(Input::AnswerCreated { id: 1, sdp: sdp("B1") });
    assert_eq!(sent, [send_answer("B1", ALICE)]);
}

#[test]
fn the_callee_refuses_with_a_reason() {
    for (input, reason) in
        [(Input::Reject, EndReason::Rejected), (Input::Hangup, EndReason::Hangup)]
    {
        let told = [vec![send_leave(ALICE, LeaveReason::Rejected)], unanswered(reason).to_vec()];
        assert_eq!(Script::bob_rings().tell(input), told.concat());
    }
}

#[test]
fn what_a_leave_means_depends_on_the_state_and_the_reason() {
    use LeaveReason::{Busy, Failed, Gone, Hangup, Rejected, Timeout};
    type Make = fn() -> Script;
    let cases: [(Make, Option<LeaveReason>, EndReason); 13] = [
        (Script::alice_waits, None, EndReason::Rejected),
        (Script::alice_waits, Some(Rejected), EndReason::Rejected),
        (Script::alice_waits, Some(Busy), EndReason::Busy),
        (Script::alice_waits, Some(Timeout), EndReason::NoAnswer),
        (Script::alice_waits, Some(Hangup), EndReason::RemoteHangup),
        (Script::bob_rings, None, EndReason::RemoteHangup),
        (Script::bob_rings, Some(Timeout), EndReason::NoAnswer),
        (Script::bob_rings, Some(Hangup), EndReason::RemoteHangup),
        (Script::alice_connected, None, EndReason::RemoteHangup),
        (Script::alice_connected, Some(Rejected), EndReason::RemoteHangup),
        (Script::bob_connected, Some(Hangup), EndReason::RemoteHangup),
        (Script::bob_connected, Some(Failed), EndReason::ConnectionFailed),
        (Script::alice_waits, Some(Gone), EndReason::NoAnswer),
    ];
    for (make, reason, expected) in cases {
        let mut script = make();
        let rang = script.machine.is_ringing();
        let end = if rang { unanswered(expected) } else { ended(expected) };
        assert_eq!(script.tell(leave_from(reason)), end, "{reason:?}");
        assert_eq!(script.tell(leave_from(reason)), [], "a second leave");
        assert_eq!(script.machine.deadline(), None);
    }
}

#[test]
fn a_caller_without_a_sign_of_life_sends_leave_only_where_the_server_knows_who_is_there() {
    let mut alice = Script::alice_waits();
    assert_eq!(alice.machine.deadline().unwrap().1, DeadlineReason::Ringing);
    assert_eq!(alice.wait(29), []);
    assert_eq!(alice.wait(1), ended(EndReason::NoAnswer));
    assert_eq!(Script::alice_waits().tell(Input::Hangup), ended(EndReason::Hangup));

    let ours = Setup { server_reports_unknown: true, ..setup(ALICE, BOB) };
    let mut alice = Script::new(|now| Machine::outgoing(ours, now));
    alice.tell(Input::OfferCreated { id: 1, sdp: sdp("A1") });
    assert_eq!(alice.wait(30), left(BOB, LeaveReason::Timeout, EndReason::NoAnswer));
}

#[test]
fn a_sign_of_life_is_enough_to_be_told_that_we_leave() {
    let mut alice = Script::alice_waits();
    alice.tell(candidate_from("B1", BOB));
    assert_eq!(alice.wait(30), left(BOB, LeaveReason::Timeout, EndReason::NoAnswer));

    let mut alice = Script::alice_waits();
    let name = None;
    alice.tell(Input::Message(Message::Candidate { candidate: Some(candidate("B1")), name }));
    assert_eq!(alice.wait(30), ended(EndReason::NoAnswer), "a nameless one may be a stray");
}

#[test]
fn nothing_is_sent_before_the_offer_is() {
    let ours = Setup { server_reports_unknown: true, ..setup(ALICE, BOB) };
    let mut alice = Script::new(|now| Machine::outgoing(ours, now));
    alice.actions();
    assert_eq!(alice.tell(unknown_user()), [], "that is about an earlier call");
    assert_eq!(alice.tell(Input::Hangup), ended(EndReason::Hangup));
}

#[test]
fn a_call_that_begins_without_a_server_waits_for_it_and_given_up_leaves_no_trace() {
    let begun = || {
        let ours = Setup { server_reports_unknown: true, server_gone: true, ..setup(ALICE, BOB) };
        let mut alice = Script::new(|now| Machine::outgoing(ours, now));
        alice.actions();
        assert_eq!(alice.tell(Input::OfferCreated { id: 1, sdp: sdp("A1") }), []);
        alice
    };
    assert_eq!(begun().tell(Input::Hangup), ended(EndReason::Hangup));
    let mut alice = begun();
    let sent = alice.tell(Input::ServerBack);
    assert_eq!(sent, [send_offer("A1", BOB), report(Progress::Calling)]);
    assert_eq!(alice.tell(unknown_user()), ended(EndReason::UnknownUser));
}

#[test]
fn an_offer_that_the_server_may_have_forgotten_is_said_again_until_they_are_back() {
    let ours = Setup { server_reports_unknown: true, ..setup(ALICE, BOB) };
    let mut alice = Script::new(|now| Machine::outgoing(ours, now));
    alice.actions();
    alice.tell(Input::OfferCreated { id: 1, sdp: sdp("A1") });
    alice.tell(Input::ServerGone);
    assert_eq!(alice.tell(Input::ServerBack), [send_offer("A1", BOB)]);
    // They come back later.
    assert_eq!(alice.tell(unknown_user()), []);
    assert_eq!(alice.wait(1), [send_offer("A1", BOB)]);
    assert_eq!(alice.tell(unknown_user()), []);
    let mut lost = alice.wait(1);
    assert_eq!(lost.pop(), Some(send_offer("A1", BOB)));
    alice.tell(answer_from("B1", BOB));
    alice.tell(Input::ServerGone);
    assert_eq!(alice.tell(Input::ServerBack), [], "it has been answered");
}

#[test]
fn an_unknown_name_ends_the_call_but_not_a_running_one() {
    assert_eq!(Script::alice_waits().tell(unknown_user()), ended(EndReason::UnknownUser));
    assert_eq!(Script::alice_connected().tell(unknown_user()), []);
}

#[test]
fn an_incoming_call_does_not_ring_for_ever() {
    let mut bob = Script::bob_rings();
    assert_eq!(bob.wait(59), []);
    let told =
        [vec![send_leave(ALICE, LeaveReason::Timeout)], unanswered(EndReason::NoAnswer).to_vec()];
    assert_eq!(bob.wait(1), told.concat());
}

#[test]
fn interrupt_media_end_and_duration_hang_up() {
    let cases =
        [(Input::Interrupt, EndReason::Interrupted), (Input::MediaEnded, EndReason::MediaEnded)];
    for (input, reason) in cases {
        let hung_up = left(BOB, LeaveReason::Hangup, reason);
        assert_eq!(Script::alice_connected().tell(input), hung_up);
    }
    let limited = Setup { duration: Some(Duration::from_secs(10)), ..setup(BOB, ALICE) };
    let mut bob = Script::new(|now| Machine::incoming(limited, sdp("A1"), now));
    bob.tell(Input::Answer);
    bob.tell(Input::AnswerCreated { id: 1, sdp: sdp("B1") });
    assert_eq!(bob.wait(15), []);
    bob.tell(Input::IceState(IceState::Connected));
    bob.tell(Input::DtlsConnected);
    assert_eq!(bob.wait(9), [], "the duration counts from connected");
    assert_eq!(bob.wait(1), left(ALICE, LeaveReason::Hangup, EndReason::Duration));
}

#[test]
fn a_connection_that_never_comes_up_is_given_up() {
    let mut bob = Script::bob_rings();
    bob.tell(Input::Answer);
    bob.tell(Input::AnswerCreated { id: 1, sdp: sdp("B1") });
    assert_eq!(bob.wait(19), []);
    assert_eq!(bob.wait(1), left(ALICE, LeaveReason::Failed, EndReason::ConnectionFailed));

    for input in [Input::DtlsFailed, Input::IceState(IceState::Failed)] {
        let mut bob = Script::bob_rings();
        bob.tell(Input::Answer);
        bob.tell(Input::AnswerCreated { id: 1, sdp: sdp("B1") });
        let failed = left(ALICE, LeaveReason::Failed, EndReason::ConnectionFailed);
        let actions = bob.tell(input);
        assert_eq!(actions[actions.len() - 3..], failed);
    }
}

#[test]
fn who_is_left_before_there_was_a_path_has_not_been_hung_up_on() {
    for (seconds, reason) in [(1, EndReason::RemoteHangup), (9, EndReason::ConnectionFailed)] {
        let mut alice = Script::alice_waits();
        alice.tell(answer_from("B1", BOB));
        alice.tell(Input::DescriptionApplied { id: 2 });
        alice.tell(Input::IceState(IceState::Checking));
        alice.wait(seconds);
        assert_eq!(alice.tell(leave_from(Some(LeaveReason::Hangup))), ended(reason));
    }
}

#[test]
fn media_that_cannot_be_had_end_the_call_and_are_said() {
    let told = [
        send_leave(BOB, LeaveReason::Media),
        Action::Close(LeaveReason::Media),
        report(Progress::Ended(EndReason::MediaFailed)),
    ];
    assert_eq!(Script::alice_connected().tell(Input::MediaFailed), told);
}

/// The first word of an outage.
fn outage() -> [Action; 2] {
    [report(Progress::Connecting(IceState::Disconnected)), Action::CheckServer]
}

#[test]
fn the_offering_side_restarts_ice_and_says_so_until_it_is_answered() {
    let mut alice = Script::alice_connected();
    assert_eq!(alice.tell(Input::IceState(IceState::Disconnected)), outage());
    assert_eq!(alice.machine.deadline().unwrap().1, DeadlineReason::Restart);
    assert_eq!(alice.wait(1), [Action::CreateOffer { id: 3, ice_restart: true }]);
    let sent = alice.tell(Input::OfferCreated { id: 3, sdp: sdp("A2") });
    assert_eq!(sent, [send_later("A2", BOB)]);
    assert_eq!(alice.wait(2), [send_later("A2", BOB)], "it may be lost");
    assert_eq!(alice.tell(answer_from("B1", BOB)), [], "a restart changes both sides");
    let applied = alice.tell(answer_from("B2", BOB));
    assert_eq!(applied, [Action::SetRemoteAnswer { id: 4, sdp: sdp("B2") }]);
    assert_eq!(alice.tell(Input::DescriptionApplied { id: 4 }), []);
    assert_eq!(alice.wait(7), []);
    let again = alice.wait(1);
    assert_eq!(again, [Action::CreateOffer { id: 5, ice_restart: true }], "it brought nothing");
}

#[test]
fn an_outage_is_given_up_by_both_sides_at_the_same_time() {
    for mut script in [Script::alice_connected(), Script::bob_connected()] {
        script.tell(Input::ServerGone);
        script.tell(Input::IceState(IceState::Disconnected));
        assert_eq!(script.wait(32), []);
        let actions = script.wait(1);
        assert_eq!(actions.last(), Some(&report(Progress::Ended(EndReason::ConnectionFailed))));
    }
    let mut alice = Script::alice_connected();
    alice.tell(Input::IceState(IceState::Disconnected));
    alice.now += Duration::from_secs(33);
    let actions = alice.tell(Input::IceState(IceState::Failed));
    assert!(!actions.contains(&Action::Close(LeaveReason::Failed)), "the deadline decides");
}

#[test]
fn an_outage_that_ends_is_forgotten() {
    let mut alice = Script::alice_connected();
    alice.tell(Input::IceState(IceState::Disconnected));
    alice.tell(Input::IceState(IceState::Connected));
    assert_eq!(alice.machine.deadline(), None);
    assert_eq!(alice.wait(100), []);
    assert_eq!(alice.tell(Input::IceState(IceState::Disconnected)), outage());
    assert_eq!(alice.wait(1).len(), 1, "each outage has its restart");
}

#[test]
fn the_answering_side_leaves_the_restart_to_the_other_for_a_while() {
    let mut bob = Script::bob_connected();
    bob.tell(Input::IceState(IceState::Disconnected));
    assert_eq!(bob.wait(1), []);
    let answer = bob.tell(offer_from("A2", ALICE));
    assert_eq!(answer, [Action::CreateAnswer { id: 2, offer: sdp("A2") }]);
    bob.tell(Input::AnswerCreated { id: 2, sdp: sdp("B2") });
    assert_eq!(bob.wait(7), []);

    let mut bob = Script::bob_connected();
    bob.tell(Input::IceState(IceState::Disconnected));
    assert_eq!(bob.wait(2), [Action::CreateOffer { id: 2, ice_restart: true }]);
}

#[test]
fn a_restart_waits_for_the_server_and_is_said_again_when_it_is_back() {
    let mut alice = Script::alice_connected();
    alice.tell(Input::ServerGone);
    alice.tell(Input::IceState(IceState::Disconnected));
    assert_eq!(alice.wait(10), []);
    let offer = alice.tell(Input::ServerBack);
    assert_eq!(offer, [Action::CreateOffer { id: 3, ice_restart: true }]);
    alice.tell(Input::OfferCreated { id: 3, sdp: sdp("A2") });
    alice.tell(Input::ServerGone);
    assert_eq!(alice.tell(Input::ServerBack), [send_later("A2", BOB)]);
}

#[test]
fn lost_addresses_are_followed_at_once_and_new_ones_only_in_an_outage() {
    let restart = [Action::CreateOffer { id: 3, ice_restart: true }];
    let mut alice = Script::alice_connected();
    assert_eq!(alice.tell(Input::AddressesChanged { lost: false }), []);
    assert_eq!(alice.tell(Input::AddressesChanged { lost: true }), restart);
    alice.tell(Input::OfferCreated { id: 3, sdp: sdp("A2") });
    assert_eq!(alice.tell(Input::AddressesChanged { lost: true }), [send_later("A2", BOB)]);
    alice.tell(answer_from("B2", BOB));
    alice.tell(Input::DescriptionApplied { id: 4 });
    // The old path is given up, and the new one is not there yet.
    alice.tell(Input::IceState(IceState::Checking));
    assert_eq!(alice.machine.deadline().unwrap().1, DeadlineReason::Restart);
    alice.tell(Input::IceState(IceState::Connected));
    assert_eq!(alice.machine.deadline(), None);

    let mut alice = Script::alice_connected();
    alice.tell(Input::IceState(IceState::Disconnected));
    assert_eq!(alice.tell(Input::AddressesChanged { lost: false }), restart);

    let mut alice = Script::alice_waits();
    assert_eq!(alice.tell(Input::AddressesChanged { lost: true }), []);
    alice.tell(answer_from("B1", BOB));
    let settled = alice.tell(Input::DescriptionApplied { id: 2 });
    assert_eq!(settled, restart, "what the offer said of us is no longer so");
}

#[test]
fn who_only_lost_the_server_is_still_in_the_call_and_who_is_silent_too_is_gone() {
    let gone = || leave_from(Some(LeaveReason::Gone));
    let mut alice = Script::alice_connected();
    assert_eq!(alice.tell(gone()), []);
    alice.wait(11);
    assert_eq!(alice.tell(Input::IceState(IceState::Disconnected)), outage());
    assert_eq!(alice.tell(gone()), [], "in an outage they may come back");

    let mut alice = Script::alice_connected();
    alice.tell(gone());
    alice.wait(3);
    let actions = alice.tell(Input::IceState(IceState::Disconnected));
    assert_eq!(actions.last(), Some(&report(Progress::Ended(EndReason::RemoteHangup))));

    let mut alice = Script::alice_connected();
    alice.tell(gone());
    alice.tell(candidate_from("B1", BOB));
    alice.wait(3);
    assert_eq!(alice.tell(Input::IceState(IceState::Disconnected)), outage(), "they were back");
}

#[test]
fn a_closed_connection_ends_the_call_when_no_word_follows() {
    let mut alice = Script::alice_connected();
    assert_eq!(alice.tell(Input::RemoteClosed), []);
    assert_eq!(alice.wait(1), ended(EndReason::RemoteHangup));
    let mut alice = Script::alice_connected();
    alice.tell(Input::ServerGone);
    let end = ended(EndReason::RemoteHangup);
    assert_eq!(alice.tell(Input::RemoteClosed), end, "none can come");
    let mut alice = Script::alice_connected();
    alice.tell(Input::RemoteClosed);
    let end = ended(EndReason::ConnectionFailed);
    assert_eq!(alice.tell(leave_from(Some(LeaveReason::Failed))), end);
}

#[test]
fn who_has_begun_anew_is_told_nothing_of_the_old_call() {
    let end = ended(EndReason::RemoteHangup);
    assert_eq!(Script::alice_connected().tell(Input::Replaced), end);
}

#[test]
fn a_running_call_survives_the_server() {
    let mut alice = Script::alice_connected();
    assert_eq!(alice.tell(Input::ServerGone), []);
    assert_eq!(alice.wait(1000), []);
    assert_eq!(alice.tell(Input::RenegotiationNeeded).len(), 1);
    assert_eq!(alice.tell(Input::OfferCreated { id: 3, sdp: sdp("A2") }), []);
    assert_eq!(alice.tell(Input::ServerBack), [send_later("A2", BOB)], "it was kept");
    let actions = alice.tell(Input::Hangup);
    assert!(
        matches!(actions[0], Action::Send(Message::Leave { .. })),
        "one that says if bob is gone"
    );
}

#[test]
fn a_server_that_dies_of_a_leave_to_nobody_gets_none_after_a_restart() {
    let mut alice = Script::alice_calls();
    alice.actions();
    alice.tell(Input::OfferCreated { id: 1, sdp: sdp("A1") });
    alice.tell(Input::Message(Message::Answer { sdp: sdp("B1"), name: None }));
    alice.tell(Input::ServerGone);
    alice.tell(Input::ServerBack);
    assert_eq!(alice.tell(Input::Hangup), ended(EndReason::Hangup), "bob may not be back");
}

#[test]
fn candidates_wait_for_the_description_they_belong_to() {
    let mut bob = Script::bob_rings();
    assert_eq!(bob.tell(candidate_from("A1", ALICE)), []);
    assert_eq!(bob.tell(Input::Answer).len(), 3);
    assert_eq!(bob.tell(Input::LocalCandidate(Some(candidate("B1")))), []);
    assert_eq!(bob.tell(Input::LocalCandidate(None)), []);
    assert_eq!(
        bob.tell(Input::AnswerCreated { id: 1, sdp: sdp("B1") }),
        [
            send_answer("B1", ALICE),
            send_candidate("B1", ALICE),
            Action::AddCandidate(candidate("A1"))
        ]
    );
    let late = bob.tell(Input::LocalCandidate(Some(candidate("B1"))));
    assert_eq!(late, [send_candidate("B1", ALICE)]);
}

#[test]
fn a_newer_offer_replaces_the_one_that_rings() {
    let mut bob = Script::bob_rings();
    assert_eq!(bob.tell(offer_from("A2", ALICE)), []);
    let create = Action::CreateAnswer { id: 1, offer: sdp("A2") };
    assert_eq!(bob.tell(Input::Answer).last(), Some(&create));
}

#[test]
fn when_both_call_the_smaller_name_waits_for_its_answer() {
    let mut alice = Script::alice_waits();
    let again = alice.tell(offer_from("B0", BOB));
    assert_eq!(again, [send_offer("A1", BOB)], "bob may have come online only now");
    assert_eq!(alice.tell(answer_from("B1", BOB)).len(), 3);

    let ours = Setup { server_reports_unknown: true, ..setup(ALICE, BOB) };
    let mut alice = Script::new(|now| Machine::outgoing(ours, now));
    alice.tell(Input::OfferCreated { id: 1, sdp: sdp("A1") });
    assert_eq!(alice.tell(offer_from("B0", BOB)), [], "bob has had our offer");
}

#[test]
fn when_both_call_the_greater_name_rolls_back_and_answers() {
    let mut bob = Script::bob_calls();
    bob.tell(Input::OfferCreated { id: 1, sdp: sdp("B0") });
    assert_eq!(bob.tell(offer_from("A1", ALICE)), [Action::Rollback { id: 2 }]);
    assert_eq!(bob.tell(answer_from("A9", ALICE)), [], "it has no offer out any more");
    assert_eq!(
        bob.tell(Input::DescriptionApplied { id: 2 }),
        [
            report(Progress::Accepted),
            Action::PrepareMedia,
            Action::CreateAnswer { id: 3, offer: sdp("A1") }
        ]
    );
    let sent = bob.tell(Input::AnswerCreated { id: 3, sdp: sdp("B1") });
    assert_eq!(sent, [send_answer("B1", ALICE)]);
}

#[test]
fn an_offer_that_cannot_be_made_ends_the_call() {
    let mut alice = Script::alice_calls();
    alice.actions();
    let failed = Input::ActionFailed { id: 1, reason: "no codec".into() };
    assert_eq!(alice.tell(failed), ended(EndReason::ConnectionFailed));
}

#[test]
fn an_offer_in_a_running_call_is_answered_by_itself() {
    let mut bob = Script::bob_connected();
    let create = bob.tell(offer_from("A2", ALICE));
    assert_eq!(create, [Action::CreateAnswer { id: 2, offer: sdp("A2") }]);
    let failed = Input::ActionFailed { id: 2, reason: "no such codec".into() };
    assert_eq!(bob.tell(failed), [Action::Rollback { id: 3 }], "the call itself goes on");
    assert_eq!(bob.tell(Input::DescriptionApplied { id: 3 }), []);
}

#[test]
fn nothing_happens_after_the_end() {
    let mut alice = Script::alice_connected();
    alice.tell(Input::Hangup);
    for input in [
        Input::Hangup,
        Input::ServerBack,
        answer_from("B1", BOB),
        offer_from("B2", BOB),
        Input::IceState(IceState::Failed),
        Input::Timeout,
    ] {
        assert_eq!(alice.tell(input), []);
    }
}

fn inputs() -> impl Strategy<Value = Input> {
    let ufrag = prop::sample::select(vec!["A1", "A2", "B1", "B2", ""]);
    let reason = prop::option::of(prop::sample::select(vec![
        LeaveReason::Rejected,
        LeaveReason::Busy,
        LeaveReason::Hangup,
        LeaveReason::Timeout,
        LeaveReason::Gone,
        LeaveReason::Media,
        LeaveReason::Failed,
    ]));
    let ice = prop::sample::select(vec![
        IceState::New,
        IceState::Checking,
        IceState::Connected,
        IceState::Completed,
        IceState::Disconnected,
        IceState::Failed,
        IceState::Closed,
    ]);
    let rare = prop_oneof![
        Just(Input::Hangup),
        Just(Input::Interrupt),
        Just(Input::Reject),
        Just(Input::MediaEnded),
        Just(Input::MediaFailed),
        Just(Input::DtlsFailed),
        Just(Input::RemoteClosed),
        Just(Input::Replaced),
        Just(unknown_user()),
        reason.prop_map(leave_from),
    ];
    let frag = ufrag.clone();
    prop_oneof![
        1 => rare,
        4 => Just(Input::Answer),
        4 => (1u64..8, ufrag.clone()).prop_map(|(id, u)| Input::OfferCreated { id, sdp: sdp(u) }),
        4 => (1u64..8, ufrag.clone()).prop_map(|(id, u)| Input::AnswerCreated { id, sdp: sdp(u) }),
        4 => (1u64..8).prop_map(|id| Input::DescriptionApplied { id }),
        2 => (1u64..8).prop_map(|id| Input::ActionFailed { id, reason: String::new() }),
        4 => ufrag.clone().prop_map(|u| offer_from(u, BOB)),
        4 => ufrag.clone().prop_map(|u| answer_from(u, BOB)),
        4 => ufrag.prop_map(|u| candidate_from(u, BOB)),
        4 => frag.prop_map(|u| Input::LocalCandidate(Some(candidate(u)))),
        4 => ice.prop_map(Input::IceState),
        3 => Just(Input::DtlsConnected),
        2 => Just(Input::RenegotiationNeeded),
        1 => Just(Input::ServerGone),
        1 => Just(Input::ServerBack),
        2 => any::<bool>().prop_map(|lost| Input::AddressesChanged { lost }),
        4 => Just(Input::Timeout),
    ]
}

proptest! {
    #[test]
    fn any_inputs_give_one_orderly_end(
        steps in prop::collection::vec((0u64..10, inputs()), 0..60),
        calls in any::<bool>(),
        first in any::<bool>(),
    ) {
        let mut script = Script::new(|now| {
            let setup = if first { setup(ALICE, BOB) } else { setup("carol", BOB) };
            if calls { Machine::outgoing(setup, now) } else { Machine::incoming(setup, sdp("B1"), now) }
        });
        let mut all = script.actions();
        let mut described = false;
        for (seconds, input) in steps {
            described |= matches!(
                input,
                Input::AnswerCreated { .. } | Input::DescriptionApplied { .. }
            );
            script.now += Duration::from_secs(seconds);
            let new = script.tell(input);
            let adds = new.iter().any(|action| matches!(action, Action::AddCandidate(_)));
            prop_assert!(described || !adds, "a candidate before any remote description");
            all.extend(new);
        }
        all.extend(script.tell(Input::Hangup));
        prop_assert!(script.machine.is_ended());
        prop_assert_eq!(script.machine.deadline(), None);
        let count = |wanted: fn(&Action) -> bool| all.iter().filter(|one| wanted(one)).count();
        prop_assert_eq!(count(|one| matches!(one, Action::Close(_))), 1);
        prop_assert_eq!(count(|one| matches!(one, Action::Report(Progress::Ended(_)))), 1);
        prop_assert!(count(|one| *one == Action::StartMedia) <= 1);
        prop_assert!(count(|one| *one == Action::PrepareMedia) <= 1);
        prop_assert!(matches!(all[all.len() - 2], Action::Close(_)));
        prop_assert!(matches!(all[all.len() - 1], Action::Report(Progress::Ended(_))));
    }
}

fn keyed(our_name: &str, peer: &str) -> (Setup, crate::key::Key) {
    use crate::call::{safety::Vouching, words::Nonces};
    use crate::key::SigningKey;
    let key = SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap();
    let public = key.key();
    let nonces = Some(Nonces::random());
    let vouching = Vouching { key: Some(std::sync::Arc::new(key)), nonces, ..Vouching::default() };
    (Setup { vouching, ..setup(our_name, peer) }, public)
}

fn certified(ufrag: &str) -> String {
    format!("{}a=fingerprint:sha-256 {ufrag}\r\n", sdp(ufrag))
}

/// What alice says to bob when she calls: her offer.
fn keyed_offer(setup: &Setup) -> (Script, String) {
    let mut alice = Script::new(|now| Machine::outgoing(setup.clone(), now));
    alice.actions();
    let sent = alice.tell(Input::OfferCreated { id: 1, sdp: certified("A1") });
    let [Action::Send(Message::Offer { sdp, .. }), _] = &sent[..] else { panic!("{sent:?}") };
    let sdp = sdp.clone();
    (alice, sdp)
}

/// Bob, whom alice calls with a key; what he answers; and the number that she reveals then.
fn keyed_call() -> (Script, String) {
    let (mut alice, offer) = keyed_offer(&keyed(ALICE, BOB).0);
    let bobs = keyed(BOB, ALICE).0;
    let mut bob = Script::new(|now| Machine::incoming(bobs, offer, now));
    bob.tell(Input::Answer);
    let sent = bob.tell(Input::AnswerCreated { id: 1, sdp: certified("B1") });
    let Action::Send(Message::Answer { sdp, .. }) = &sent[0] else { panic!("{sent:?}") };
    alice.tell(Input::Message(Message::Answer { sdp: sdp.clone(), name: Some(BOB.into()) }));
    let sent = alice.tell(Input::DescriptionApplied { id: 2 });
    let [Action::Send(Message::Reveal { nonce, .. })] = &sent[..] else { panic!("{sent:?}") };
    bob.tell(Input::IceState(IceState::Connected));
    let nonce = nonce.clone();
    (bob, nonce)
}

fn reveal(nonce: &str) -> Input {
    Input::Message(Message::Reveal { nonce: nonce.to_owned(), name: Some(ALICE.into()) })
}

#[test]
fn an_offer_that_was_exchanged_while_it_rang_opens_nothing() {
    use crate::call::vouch::Expected;
    let (first, known) = keyed(ALICE, BOB);
    let (_, offer) = keyed_offer(&first);
    let (_, other) = keyed_offer(&keyed(ALICE, BOB).0);
    let mut bobs = setup(BOB, ALICE);
    bobs.vouching.expected = Expected::Key(known);
    for swapped in [other, certified("A1"), offer.replace("sha-256 A1", "sha-256 EE")] {
        let mut bob = Script::new(|now| Machine::incoming(bobs.clone(), offer.clone(), now));
        bob.actions();
        bob.tell(Input::Message(Message::Offer { sdp: swapped, name: Some(ALICE.into()) }));
        let done = bob.tell(Input::Answer);
        assert!(matches!(done[0], Action::Report(Progress::KeyChanged(_))), "{done:?}");
        assert_eq!(done.last(), Some(&report(Progress::Ended(EndReason::KeyChanged))));
        assert!(!done.contains(&Action::PrepareMedia), "{done:?}");
    }
    let mut bob = Script::new(|now| Machine::incoming(bobs, offer, now));
    bob.actions();
    assert!(bob.tell(Input::Answer).contains(&Action::PrepareMedia));
}

#[test]
fn a_later_round_with_another_key_or_none_ends_the_call() {
    for strip in [true, false] {
        let (mut bob, nonce) = keyed_call();
        bob.tell(reveal(&nonce));
        bob.tell(Input::DtlsConnected);
        let (_, other) = keyed_offer(&keyed(ALICE, BOB).0);
        let later = if strip { certified("A1") } else { other };
        let offer = Message::Offer { sdp: later, name: Some(ALICE.into()) };
        let done = bob.tell(Input::Message(offer));
        assert_eq!(done.last(), Some(&report(Progress::Ended(EndReason::KeyChanged))), "{done:?}");
    }
}

#[test]
fn words_that_are_known_in_time_are_told_at_once() {
    let (mut bob, nonce) = keyed_call();
    assert_eq!(bob.tell(reveal(&nonce)), []);
    let last = bob.tell(Input::DtlsConnected);
    assert_eq!(last, [report(Progress::Connected), Action::StartMedia]);
    assert_eq!(bob.machine.safety_words().unwrap().words().len(), 4);
}

#[test]
fn words_that_come_later_are_waited_for_but_not_for_long() {
    let media = [report(Progress::Connected), Action::StartMedia];
    let told = [report(Progress::Words)];
    let (mut bob, nonce) = keyed_call();
    assert_eq!(bob.tell(Input::DtlsConnected), media);
    assert!(bob.machine.awaits_words());
    assert_eq!(bob.tell(reveal("AAAA")), [], "that was not promised");
    assert_eq!(bob.tell(reveal(&nonce)), told);
    assert!(!bob.machine.awaits_words());

    let (mut bob, nonce) = keyed_call();
    bob.tell(Input::DtlsConnected);
    assert_eq!(bob.wait(1), told);
    assert_eq!(bob.machine.safety_words(), None);
    assert_eq!(bob.wait(1), []);
    assert_eq!(bob.tell(reveal(&nonce)), told, "better late than never");

    let (mut bob, _) = keyed_call();
    bob.tell(Input::DtlsConnected);
    let ended = bob.tell(Input::Hangup);
    assert!(ended.contains(&told[0]), "{ended:?}");
}

#[test]
fn an_impostor_is_told_so_and_so_are_we() {
    let mut bob = Script::bob_rings();
    bob.tell(Input::Answer);
    bob.tell(Input::AnswerCreated { id: 1, sdp: sdp("B1") });
    let actions = bob.tell(Input::Impostor);
    let left = left(ALICE, LeaveReason::Impostor, EndReason::ConnectionFailed);
    assert_eq!(actions[actions.len() - 3..], left);
    let mut bob = Script::bob_connected();
    let actions = bob.tell(leave_from(Some(LeaveReason::Impostor)));
    assert_eq!(actions.last(), Some(&report(Progress::Ended(EndReason::ConnectionFailed))));
}
