//! Which call an incoming message belongs to. Pure: names in, a route out.
//!
//! Servers that give no names on what they forward carry one call at a time, so a nameless message
//! belongs to the one call there is. Knows nothing of the calls themselves but their names and whose
//! connection they are with; those that have ended lately are remembered by that, so that a late offer
//! of theirs does not ring.

use std::collections::VecDeque;

use crate::call::identity::{Identity, is_later};
use crate::signaling::message::{LeaveReason, Message};

/// How somebody is called in events whom the server gives no name.
pub const NAMELESS: &str = "unknown";

/// Calls that have ended and are remembered.
const MOST_ENDED: usize = 32;

/// The calls of one login.
#[derive(Debug)]
pub struct CallBook {
    capacity: usize,
    entries: Vec<Entry>,
    ended: VecDeque<Ended>,
    last_id: u64,
    server_reports_unknown: bool,
}

/// A call that is over: somebody else who shows the same connection is not who was in it.
#[derive(Debug)]
struct Ended {
    name: Option<String>,
    theirs: Identity,
    reason: LeaveReason,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    name: Option<String>,
    /// Whose connection it is with, as they last said.
    theirs: Option<Identity>,
    /// Both sides have agreed: what they offer now is a later round.
    agreed: bool,
}

/// Where a message goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// To this call. An offer among it is a renegotiation, or glare while we are calling.
    Call(u64),
    /// Somebody calls: make a call with this name (`None`: the server does not say whose it is).
    NewCall {
        /// The caller.
        name: Option<String>,
    },
    /// Whom this call is with has begun anew and calls: end it without a word, then as `NewCall`.
    Instead {
        /// The call that they have forgotten.
        of: u64,
        /// The caller.
        name: Option<String>,
    },
    /// An offer of a call that is over: it must not ring, and they are told why it is over.
    Over {
        /// Who does not know yet.
        name: String,
        /// What to tell.
        reason: LeaveReason,
    },
    /// Somebody calls, but we are in another call: they are to hear `busy`.
    Busy {
        /// The caller.
        name: String,
    },
    /// Not about a call: a login reply, the server's complaint, an unknown type.
    Login,
    /// To nobody: late, or of a call that is over.
    Nobody,
}

impl CallBook {
    /// An empty book for at most `capacity` calls at a time (at least one).
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            entries: Vec::new(),
            ended: VecDeque::new(),
            last_id: 0,
            server_reports_unknown: false,
        }
    }

    /// Enters a call, made or received, and numbers it; `None` when the book is full or holds a
    /// call with that name already.
    pub fn open(&mut self, name: Option<String>) -> Option<u64> {
        if self.entries.len() >= self.capacity || self.entries.iter().any(|one| one.name == name) {
            return None;
        }
        self.last_id += 1;
        self.entries.push(Entry { id: self.last_id, name, theirs: None, agreed: false });
        Some(self.last_id)
    }

    /// Takes down whose connection a call is with, by a description of theirs.
    pub fn described(&mut self, id: u64, sdp: &str) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == id) {
            entry.theirs = Identity::of(sdp).or(entry.theirs.take());
        }
    }

    /// A call was answered.
    pub fn agreed(&mut self, id: u64) {
        self.entries.iter_mut().filter(|entry| entry.id == id).for_each(|one| one.agreed = true);
    }

    /// Strikes a call out; harmless when it is not there. Offers that still come of it are answered
    /// with `reason`.
    pub fn close(&mut self, id: u64, reason: LeaveReason) {
        let Some(at) = self.entries.iter().position(|entry| entry.id == id) else { return };
        // One that was never answered may be called again with the same connection.
        if let Entry { name, theirs: Some(theirs), agreed: true, .. } = self.entries.remove(at) {
            if self.ended.len() == MOST_ENDED {
                self.ended.pop_front();
            }
            self.ended.push_back(Ended { name, theirs, reason });
        }
    }

    /// The call with this name: calling somebody who is calling us means answering.
    #[must_use]
    pub fn call_with(&self, name: &str) -> Option<u64> {
        self.entries.iter().find(|one| one.name.as_deref() == Some(name)).map(|one| one.id)
    }

    /// The name of a call's other side.
    #[must_use]
    pub fn name_of(&self, id: u64) -> Option<&str> {
        let entry = self.entries.iter().find(|entry| entry.id == id)?;
        Some(entry.name.as_deref().unwrap_or(NAMELESS))
    }

    /// Whether the server has shown that it reports unknown names.
    #[must_use]
    pub fn server_reports_unknown(&self) -> bool {
        self.server_reports_unknown
    }

    /// Says where a message goes, and learns from it what kind of server this is.
    pub fn route(&mut self, message: &Message) -> Route {
        self.server_reports_unknown |= message.shows_a_reporting_server();
        match message {
            Message::Offer { name, sdp } => self.route_offer(name.as_deref(), sdp),
            Message::Answer { name, sdp } => {
                let route = self.find(name.as_deref());
                if let Route::Call(id) = route {
                    self.described(id, sdp);
                }
                route
            }
            Message::Candidate { name, .. }
            | Message::Reveal { name, .. }
            | Message::Leave { name, .. } => self.find(name.as_deref()),
            Message::Error { code: Some(code), name, .. } if code == "unknown-user" => {
                self.find(name.as_deref())
            }
            Message::Error { .. }
            | Message::Login { .. }
            | Message::LoginReply(_)
            | Message::Unknown { .. } => Route::Login,
        }
    }

    fn route_offer(&mut self, name: Option<&str>, sdp: &str) -> Route {
        let theirs = Identity::of(sdp);
        match (self.find(name), name) {
            (Route::Call(id), name) => {
                if self.is_another(id, theirs.as_ref()) {
                    return Route::Instead { of: id, name: name.map(str::to_owned) };
                }
                self.described(id, sdp);
                Route::Call(id)
            }
            (_, name) if is_later(sdp) || self.over(name, theirs.as_ref()).is_some() => {
                // A call that nobody here remembers was in another life of this program.
                let over = self.over(name, theirs.as_ref());
                let reason = over.map_or(LeaveReason::Failed, |over| over.reason);
                // There is nobody to tell without a name.
                name.map_or(Route::Nobody, |name| Route::Over { name: name.to_owned(), reason })
            }
            (_, name) if self.entries.len() < self.capacity => {
                Route::NewCall { name: name.map(str::to_owned) }
            }
            (_, Some(name)) => Route::Busy { name: name.to_owned() },
            // There is nobody to send `busy` to.
            (_, None) => Route::Nobody,
        }
    }

    /// Whether an offer comes from another connection than the one that the call is with.
    fn is_another(&self, id: u64, theirs: Option<&Identity>) -> bool {
        let entry = self.entries.iter().find(|entry| entry.id == id && entry.agreed);
        let known = entry.and_then(|entry| entry.theirs.as_ref());
        known.zip(theirs).is_some_and(|(known, theirs)| !known.may_become(theirs))
    }

    /// The call of this caller and connection that is over, if there was one.
    fn over(&self, name: Option<&str>, theirs: Option<&Identity>) -> Option<&Ended> {
        let is_it = |one: &&Ended| one.name.as_deref() == name && Some(&one.theirs) == theirs;
        self.ended.iter().rev().find(is_it)
    }

    /// By name; without one, the only call there is.
    fn find(&self, name: Option<&str>) -> Route {
        let found = match (name, self.entries.as_slice()) {
            (Some(name), _) => self.call_with(name),
            (None, [only]) => Some(only.id),
            (None, _) => None,
        };
        found.map_or(Route::Nobody, Route::Call)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use crate::signaling::message::LoginReply;

    fn offer(name: Option<&str>) -> Message {
        Message::Offer { sdp: "v=0".into(), name: name.map(str::to_owned) }
    }

    fn answer(name: Option<&str>) -> Message {
        Message::Answer { sdp: "v=0".into(), name: name.map(str::to_owned) }
    }

    fn unknown_user(name: Option<&str>) -> Message {
        Message::Error {
            code: Some("unknown-user".into()),
            name: name.map(str::to_owned),
            message: String::new(),
        }
    }

    #[test]
    fn an_offer_makes_a_call_belongs_to_one_or_finds_us_busy() {
        let mut book = CallBook::new(1);
        let bob = Some("bob".to_owned());
        assert_eq!(book.route(&offer(Some("bob"))), Route::NewCall { name: bob.clone() });
        let id = book.open(bob).unwrap();
        assert_eq!(book.route(&offer(Some("bob"))), Route::Call(id));
        assert_eq!(book.route(&offer(Some("carol"))), Route::Busy { name: "carol".into() });
        book.close(id, LeaveReason::Hangup);
        let carol = Some("carol".to_owned());
        assert_eq!(book.route(&offer(Some("carol"))), Route::NewCall { name: carol });
    }

    fn offer_of(connection: u64, version: u64) -> Message {
        let sdp = format!(
            "v=0\r\no=- {connection} {version} IN IP4 0.0.0.0\r\n\
             a=fingerprint:sha-256 {connection}\r\n"
        );
        Message::Offer { sdp, name: Some("bob".into()) }
    }

    fn sdp_of(message: &Message) -> &str {
        let Message::Offer { sdp, .. } = message else { panic!("no offer") };
        sdp
    }

    /// A book in which a call with bob's connection 7 was begun.
    fn called_by_bob() -> (CallBook, u64) {
        let mut book = CallBook::new(1);
        let first = offer_of(7, 1);
        assert_eq!(book.route(&first), Route::NewCall { name: Some("bob".into()) });
        let id = book.open(Some("bob".into())).unwrap();
        book.described(id, sdp_of(&first));
        (book, id)
    }

    #[test]
    fn a_late_offer_of_a_call_that_is_over_does_not_ring_and_a_new_call_does() {
        let (mut book, id) = called_by_bob();
        book.agreed(id);
        assert_eq!(book.route(&offer_of(7, 2)), Route::Call(id), "a later round");
        book.close(id, LeaveReason::Failed);
        let over = Route::Over { name: "bob".into(), reason: LeaveReason::Failed };
        assert_eq!(book.route(&offer_of(7, 3)), over);
        let Message::Offer { sdp, .. } = offer_of(7, 3) else { panic!("no offer") };
        let carol = Message::Offer { sdp, name: Some("carol".into()) };
        assert_eq!(book.route(&carol), Route::NewCall { name: Some("carol".into()) }, "another");
        assert_eq!(book.route(&offer_of(8, 1)), Route::NewCall { name: Some("bob".into()) });

        let (mut book, id) = called_by_bob();
        book.close(id, LeaveReason::Rejected);
        let again = book.route(&offer_of(7, 2));
        assert_eq!(again, Route::NewCall { name: Some("bob".into()) }, "a page that calls again");
    }

    #[test]
    fn a_later_round_of_a_call_that_nobody_remembers_does_not_ring() {
        let mut book = CallBook::new(1);
        let sdp = crate::call::identity::mark_later(sdp_of(&offer_of(7, 3)));
        let over = Route::Over { name: "bob".into(), reason: LeaveReason::Failed };
        assert_eq!(
            book.route(&Message::Offer { sdp: sdp.clone(), name: Some("bob".into()) }),
            over
        );
        assert_eq!(book.route(&Message::Offer { sdp, name: None }), Route::Nobody);
    }

    #[test]
    fn who_has_begun_anew_calls_anew() {
        let (mut book, id) = called_by_bob();
        assert_eq!(book.route(&offer_of(8, 1)), Route::Call(id), "nobody has answered yet");
        let (mut book, id) = called_by_bob();
        book.agreed(id);
        let instead = Route::Instead { of: id, name: Some("bob".into()) };
        assert_eq!(book.route(&offer_of(8, 1)), instead);
    }

    #[test]
    fn what_is_remembered_has_an_end() {
        let mut book = CallBook::new(1);
        for connection in 0..=MOST_ENDED as u64 {
            let id = book.open(Some("bob".into())).unwrap();
            book.described(id, sdp_of(&offer_of(connection, 1)));
            book.agreed(id);
            book.close(id, LeaveReason::Hangup);
        }
        assert_eq!(book.route(&offer_of(0, 2)), Route::NewCall { name: Some("bob".into()) });
        let over = Route::Over { name: "bob".into(), reason: LeaveReason::Hangup };
        assert_eq!(book.route(&offer_of(1, 2)), over);
    }

    #[test]
    fn a_nameless_message_belongs_to_the_only_call() {
        let mut book = CallBook::new(2);
        assert_eq!(book.route(&answer(None)), Route::Nobody);
        let bob = book.open(Some("bob".into())).unwrap();
        for message in [answer(None), offer(None), unknown_user(None)] {
            assert_eq!(book.route(&message), Route::Call(bob), "{message:?}");
        }
        let carol = book.open(Some("carol".into())).unwrap();
        assert_ne!(bob, carol);
        assert_eq!(book.route(&answer(None)), Route::Nobody, "whose?");
        assert_eq!(book.route(&offer(None)), Route::Nobody);
        assert_eq!(book.route(&answer(Some("carol"))), Route::Call(carol));
        assert_eq!(book.route(&answer(Some("dave"))), Route::Nobody);
        assert_eq!(book.open(Some("dave".into())), None, "full");
    }

    #[test]
    fn a_nameless_caller_is_called_unknown() {
        let mut book = CallBook::new(1);
        assert_eq!(book.route(&offer(None)), Route::NewCall { name: None });
        let id = book.open(None).unwrap();
        assert_eq!(book.name_of(id), Some(NAMELESS));
        assert_eq!(book.route(&answer(None)), Route::Call(id));
    }

    #[test]
    fn calling_somebody_who_calls_us_finds_his_call() {
        let mut book = CallBook::new(2);
        let id = book.open(Some("bob".into()));
        assert_eq!(book.call_with("bob"), id);
        assert_eq!(book.open(Some("bob".into())), None);
        assert_eq!(book.call_with("carol"), None);
    }

    #[test]
    fn the_server_shows_what_it_can() {
        let mut book = CallBook::new(1);
        let plain = Message::LoginReply(LoginReply { success: true, ..LoginReply::default() });
        assert_eq!(book.route(&plain), Route::Login);
        book.route(&offer(Some("bob")));
        book.route(&answer(None));
        assert!(!book.server_reports_unknown(), "the tutorial's server does as much");
        book.route(&answer(Some("bob")));
        assert!(book.server_reports_unknown());
        let mut book = CallBook::new(1);
        assert_eq!(book.route(&unknown_user(Some("bob"))), Route::Nobody);
        assert!(book.server_reports_unknown());
        let mut book = CallBook::new(1);
        let ice_servers = vec![crate::ice::IceServer::default()];
        let reply = LoginReply { success: true, ice_servers, ..LoginReply::default() };
        book.route(&Message::LoginReply(reply));
        assert!(book.server_reports_unknown());
    }
}
