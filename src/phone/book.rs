//! Which call an incoming message belongs to. Pure: names in, a route out.
//!
//! Servers that give no names on what they forward carry one call at a time, so a nameless message
//! belongs to the one call there is. Knows nothing of the calls themselves but their names.

use crate::signaling::message::{LeaveReason, Message};

/// How somebody is called in events whom the server gives no name.
pub const NAMELESS: &str = "unknown";

/// The calls of one login.
#[derive(Debug)]
pub struct CallBook {
    capacity: usize,
    entries: Vec<Entry>,
    last_id: u64,
    server_reports_unknown: bool,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    name: Option<String>,
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
    /// Somebody calls, but we are in another call: send `CallBook::busy`.
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
        self.entries.push(Entry { id: self.last_id, name });
        Some(self.last_id)
    }

    /// Strikes a call out; harmless when it is not there.
    pub fn close(&mut self, id: u64) {
        self.entries.retain(|entry| entry.id != id);
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
            Message::Offer { name, .. } => self.route_offer(name.as_deref()),
            Message::Answer { name, .. }
            | Message::Candidate { name, .. }
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

    /// What a newcomer hears while we are in another call.
    #[must_use]
    pub fn busy(name: String) -> Message {
        Message::Leave { name: Some(name), reason: Some(LeaveReason::Busy) }
    }

    fn route_offer(&self, name: Option<&str>) -> Route {
        match (self.find(name), name) {
            (Route::Call(id), _) => Route::Call(id),
            (_, name) if self.entries.len() < self.capacity => {
                Route::NewCall { name: name.map(str::to_owned) }
            }
            (_, Some(name)) => Route::Busy { name: name.to_owned() },
            // There is nobody to send `busy` to.
            (_, None) => Route::Nobody,
        }
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
        let busy = Message::Leave { name: Some("carol".into()), reason: Some(LeaveReason::Busy) };
        assert_eq!(CallBook::busy("carol".into()), busy);
        book.close(id);
        let carol = Some("carol".to_owned());
        assert_eq!(book.route(&offer(Some("carol"))), Route::NewCall { name: carol });
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
