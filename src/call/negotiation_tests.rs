//! Transcripts of rounds in a running call: glare, restart, failure, repetition, candidates.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

const RENEGOTIATION: Duration = Duration::from_secs(15);

struct Script {
    negotiation: Negotiation,
    now: Instant,
}

impl Script {
    fn new(wins_glare: bool) -> Self {
        let rules =
            Rules { wins_glare, repeat_first_offer: true, renegotiation_timeout: RENEGOTIATION };
        #[allow(clippy::disallowed_methods)] // An arbitrary start.
        let now = Instant::now();
        Self { negotiation: Negotiation::new(rules), now }
    }

    /// They offered R1 and were answered L1 (action 1).
    fn established(wins_glare: bool) -> Self {
        let mut script = Self::new(wins_glare);
        script.tell(Input::RemoteOffer(sdp("R1")));
        let sent = script.tell(Input::AnswerCreated(1, sdp("L1")));
        assert_eq!(sent, [Output::SendAnswer(sdp("L1"))]);
        script
    }

    /// Our next offer is out (action 2).
    fn offered(wins_glare: bool, ice_restart: bool) -> Self {
        let mut script = Self::established(wins_glare);
        let asked = script.tell(Input::Offer { ice_restart });
        assert_eq!(asked, [Output::CreateOffer(2, ice_restart)]);
        let sent = script.tell(Input::OfferCreated(2, sdp("L2")));
        assert_eq!(sent, [Output::SendOffer(sdp("L2"))]);
        script
    }

    fn tell(&mut self, input: Input) -> Vec<Output> {
        self.negotiation.handle(self.now, input);
        std::iter::from_fn(|| self.negotiation.poll()).collect()
    }
}

fn sdp(ufrag: &str) -> String {
    format!("v=0\r\nm=audio 9 x\r\na=ice-ufrag:{ufrag}\r\nm=video 9 x\r\na=ice-ufrag:{ufrag}\r\n")
}

/// Another description of the same ICE generation.
fn plain(ufrag: &str) -> String {
    format!("{}a=sendonly\r\n", sdp(ufrag))
}

fn candidate(ufrag: &str) -> Candidate {
    Candidate {
        candidate: "candidate:1 1 udp 1 192.0.2.1 9 typ host".into(),
        sdp_mid: None,
        sdp_mline_index: Some(0),
        username_fragment: Some(ufrag.into()).filter(|ufrag: &String| !ufrag.is_empty()),
    }
}

#[test]
fn the_winner_of_a_later_glare_ignores_the_other_offer() {
    let mut script = Script::offered(true, false);
    assert_eq!(script.tell(Input::RemoteOffer(sdp("R2"))), []);
    let set = script.tell(Input::RemoteAnswer(sdp("R3")));
    assert_eq!(set, [Output::SetRemoteAnswer(3, sdp("R3"))]);
}

#[test]
fn the_loser_of_a_later_glare_offers_again_when_it_has_answered() {
    let mut script = Script::offered(false, true);
    assert_eq!(script.tell(Input::RemoteOffer(sdp("R2"))), [Output::Rollback(3)]);
    let answer = script.tell(Input::Applied(3));
    assert_eq!(answer, [Output::CreateAnswer(4, sdp("R2"))]);
    let sent = script.tell(Input::AnswerCreated(4, sdp("L3")));
    assert_eq!(sent, [Output::SendAnswer(sdp("L3"))], "theirs was a restart too");

    let mut script = Script::offered(false, true);
    assert_eq!(script.tell(Input::RemoteOffer(plain("R1"))), [Output::Rollback(3)]);
    script.tell(Input::Applied(3));
    let sent = script.tell(Input::AnswerCreated(4, sdp("L3")));
    assert_eq!(sent, [Output::SendAnswer(sdp("L3")), Output::CreateOffer(5, true)]);
}

#[test]
fn an_offer_to_restart_is_said_again_until_it_is_answered() {
    let mut script = Script::offered(true, true);
    for input in [Input::Repeat, Input::RemoteOffer(sdp("R2"))] {
        assert_eq!(script.tell(input), [Output::SendOffer(sdp("L2"))]);
    }
    assert!(script.negotiation.is_restarting());
    script.tell(Input::RemoteAnswer(sdp("R3")));
    script.tell(Input::Applied(3));
    assert!(!script.negotiation.is_restarting());
    assert_eq!(script.tell(Input::Repeat), []);
    let mut script = Script::offered(true, false);
    assert_eq!(script.tell(Input::Repeat), [], "no other is");
}

#[test]
fn an_answer_that_is_repeated_comes_with_its_candidates() {
    let mut script = Script::established(true);
    script.tell(Input::LocalCandidate(candidate("L1")));
    script.tell(Input::RemoteOffer(sdp("R2")));
    script.tell(Input::AnswerCreated(2, sdp("L2")));
    script.tell(Input::LocalCandidate(candidate("L2")));
    let again = script.tell(Input::RemoteOffer(sdp("R2")));
    let answer = Output::SendAnswer(sdp("L2"));
    assert_eq!(again, [answer, Output::SendCandidate(candidate("L2"))]);
}

#[test]
fn however_often_an_offer_is_repeated_it_is_answered_once_a_second() {
    let mut script = Script::established(true);
    script.tell(Input::LocalCandidate(candidate("L1")));
    let again = [Output::SendAnswer(sdp("L1")), Output::SendCandidate(candidate("L1"))];
    let said: Vec<_> = (0..60).flat_map(|_| script.tell(Input::RemoteOffer(sdp("R1")))).collect();
    assert_eq!(said, again);
    assert_eq!(script.tell(Input::Timeout), []);
    script.now = script.negotiation.deadline().expect("it was asked for again");
    assert_eq!(script.tell(Input::Timeout), again);
    assert_eq!(script.negotiation.deadline(), None);
}

#[test]
fn however_often_a_round_is_begun_a_few_are_answered_and_then_the_latest() {
    let mut script = Script::established(true);
    let mut answered = 0;
    for number in 0..60 {
        let asked = script.tell(Input::RemoteOffer(sdp(&format!("N{number}"))));
        for output in asked {
            let Output::CreateAnswer(id, _) = output else { panic!("{output:?}") };
            let sent = script.tell(Input::AnswerCreated(id, sdp(&format!("L{id}"))));
            answered += sent.len();
        }
    }
    assert!((2..10).contains(&answered), "{answered}");
    script.now = script.negotiation.deadline().expect("the latest waits");
    let asked = script.tell(Input::Timeout);
    assert!(matches!(&asked[..], [Output::CreateAnswer(_, offer)] if *offer == sdp("N59")));
}

#[test]
fn an_offer_of_ours_that_wins_is_not_repeated_for_each_of_theirs() {
    let mut script = Script::offered(true, true);
    let said: Vec<_> = (0..60)
        .flat_map(|number| script.tell(Input::RemoteOffer(sdp(&format!("N{number}")))))
        .collect();
    assert_eq!(said, [Output::SendOffer(sdp("L2"))]);
}

#[test]
fn an_offer_in_the_making_that_has_lost_is_never_sent() {
    let mut script = Script::established(false);
    script.tell(Input::Offer { ice_restart: false });
    assert_eq!(script.tell(Input::RemoteOffer(sdp("R2"))), []);
    assert_eq!(script.tell(Input::OfferCreated(2, sdp("L2"))), [Output::Rollback(3)]);
    let answer = script.tell(Input::Failed(3, "nothing to roll back".into()));
    assert_eq!(answer, [Output::CreateAnswer(4, sdp("R2"))], "a failed rollback stops nothing");
}

#[test]
fn a_second_answer_and_one_without_an_offer_are_ignored() {
    let mut script = Script::established(true);
    assert_eq!(script.tell(Input::RemoteAnswer(sdp("R2"))), []);
    let mut script = Script::offered(true, false);
    assert_eq!(script.tell(Input::RemoteAnswer(sdp("R2"))).len(), 1);
    assert_eq!(script.tell(Input::RemoteAnswer(sdp("R2"))), []);
    assert_eq!(script.tell(Input::Applied(3)), []);
    assert_eq!(script.tell(Input::RemoteAnswer(sdp("R2"))), []);
}

#[test]
fn results_of_other_actions_are_ignored() {
    let mut script = Script::established(true);
    script.tell(Input::Offer { ice_restart: false });
    assert_eq!(script.tell(Input::OfferCreated(1, sdp("X"))), []);
    assert_eq!(script.tell(Input::Failed(7, String::new())), []);
    assert_eq!(script.tell(Input::AnswerCreated(2, sdp("X"))), [], "of another kind");
    assert_eq!(script.tell(Input::Applied(2)), [], "of another kind");
    assert_eq!(script.tell(Input::OfferCreated(2, sdp("L2"))), [Output::SendOffer(sdp("L2"))]);
    assert_eq!(script.tell(Input::OfferCreated(2, sdp("L2"))), []);
}

#[test]
fn the_same_offer_again_gets_the_same_answer_until_the_call_moves_on() {
    let mut script = Script::established(true);
    let repeated = script.tell(Input::RemoteOffer(sdp("R1")));
    assert_eq!(repeated, [Output::SendAnswer(sdp("L1"))]);

    let mut script = Script::offered(false, false);
    assert_eq!(script.tell(Input::RemoteOffer(sdp("R1"))), [], "no glare with the dead");
    script.tell(Input::RemoteAnswer(sdp("R1")));
    script.tell(Input::Applied(3));
    assert_eq!(script.tell(Input::RemoteOffer(sdp("R1"))), []);
}

#[test]
fn an_offer_that_comes_while_one_is_answered_is_answered_next() {
    let mut script = Script::new(true);
    script.tell(Input::RemoteOffer(sdp("R1")));
    assert_eq!(script.tell(Input::RemoteOffer(sdp("R1"))), []);
    assert_eq!(script.tell(Input::RemoteOffer(sdp("R2"))), []);
    let next = script.tell(Input::AnswerCreated(1, sdp("L1")));
    assert_eq!(next, [Output::SendAnswer(sdp("L1")), Output::CreateAnswer(2, sdp("R2"))]);
}

#[test]
fn an_unanswered_later_offer_is_rolled_back() {
    let mut script = Script::offered(true, false);
    assert_eq!(script.tell(Input::Timeout), []);
    assert_eq!(script.negotiation.deadline(), Some(script.now + RENEGOTIATION));
    script.now += RENEGOTIATION;
    assert_eq!(script.tell(Input::Timeout), [Output::Rollback(3)]);
    assert_eq!(script.tell(Input::Applied(3)), []);
    assert_eq!(script.negotiation.deadline(), None);
    let answer = script.tell(Input::RemoteOffer(sdp("R2")));
    assert_eq!(answer, [Output::CreateAnswer(4, sdp("R2"))]);
}

#[test]
fn the_first_round_must_succeed_and_later_ones_need_not() {
    let mut script = Script::new(true);
    script.tell(Input::Offer { ice_restart: false });
    script.tell(Input::OfferCreated(1, sdp("L1")));
    script.tell(Input::RemoteAnswer(sdp("R1")));
    let broken = script.tell(Input::Failed(2, "bad".into()));
    assert_eq!(broken, [Output::Broken("bad".into())]);

    let mut script = Script::offered(true, false);
    script.tell(Input::RemoteAnswer(sdp("R2")));
    assert_eq!(script.tell(Input::Failed(3, "bad".into())), [Output::Rollback(4)]);
    assert_eq!(script.tell(Input::Applied(4)), []);
    let again = script.tell(Input::Offer { ice_restart: false });
    assert_eq!(again, [Output::CreateOffer(5, false)]);
}

#[test]
fn candidates_are_held_for_a_later_description_and_dropped_for_an_earlier_one() {
    let mut script = Script::established(true);
    let now = script.tell(Input::RemoteCandidate(candidate("R1")));
    assert_eq!(now, [Output::AddCandidate(candidate("R1"))]);
    let unsaid = script.tell(Input::RemoteCandidate(candidate("")));
    assert_eq!(unsaid, [Output::AddCandidate(candidate(""))]);
    assert_eq!(script.tell(Input::RemoteCandidate(candidate("R2"))), [], "not yet described");
    script.tell(Input::RemoteOffer(sdp("R2")));
    assert_eq!(script.tell(Input::RemoteCandidate(candidate(""))), [], "R2 is being set");
    assert_eq!(
        script.tell(Input::AnswerCreated(2, sdp("L2"))),
        [
            Output::SendAnswer(sdp("L2")),
            Output::AddCandidate(candidate("R2")),
            Output::AddCandidate(candidate(""))
        ]
    );
    assert_eq!(script.tell(Input::RemoteCandidate(candidate("R1"))), [], "dead");
    script.tell(Input::RemoteOffer(sdp("R3")));
    assert_eq!(script.tell(Input::AnswerCreated(3, sdp("L3"))), [Output::SendAnswer(sdp("L3"))]);
}

#[test]
fn the_waiting_room_of_candidates_is_bounded() {
    let mut script = Script::new(true);
    for index in 0..=MAX_WAITING {
        let mut one = candidate("");
        one.sdp_mid = Some(index.to_string());
        assert_eq!(script.tell(Input::RemoteCandidate(one)), []);
    }
    script.tell(Input::RemoteOffer(sdp("R1")));
    let released = script.tell(Input::AnswerCreated(1, sdp("L1")));
    assert_eq!(released.len(), 1 + MAX_WAITING);
    let Output::AddCandidate(first) = &released[1] else { panic!("{released:?}") };
    assert_eq!(first.sdp_mid.as_deref(), Some("1"), "the oldest made room");
}

#[test]
fn our_candidates_follow_our_description() {
    let mut script = Script::new(true);
    script.tell(Input::Offer { ice_restart: false });
    assert_eq!(script.tell(Input::LocalCandidate(candidate("L1"))), []);
    let sent = script.tell(Input::OfferCreated(1, sdp("L1")));
    let one = Output::SendCandidate(candidate("L1"));
    assert_eq!(sent, [Output::SendOffer(sdp("L1")), one.clone()]);
    assert_eq!(script.tell(Input::LocalCandidate(candidate("L1"))), std::slice::from_ref(&one));
    let repeated = script.tell(Input::RemoteOffer(sdp("R1")));
    assert_eq!(repeated, [Output::SendOffer(sdp("L1")), one.clone(), one]);
}

#[test]
fn candidates_are_let_go_when_a_round_fails() {
    let mut script = Script::established(true);
    script.tell(Input::Offer { ice_restart: false });
    assert_eq!(script.tell(Input::LocalCandidate(candidate("L1"))), []);
    let sent = script.tell(Input::Failed(2, "no".into()));
    assert_eq!(sent, [Output::SendCandidate(candidate("L1"))]);
}
