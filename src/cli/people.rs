//! Whom we called and who called us: names to complete at the prompt.
//!
//! Owns the list and its bound; keeping it in a file is `remembered.rs`'.

use std::sync::{Arc, Mutex, PoisonError};

use super::values;
use crate::phone::event::{Event, EventKind};

/// More are forgotten, the longest ago first.
pub const MOST: usize = 50;

/// The names, the latest first; clones are the same list.
#[derive(Debug, Clone, Default)]
pub struct People {
    names: Arc<Mutex<Vec<String>>>,
}

impl People {
    /// Those that are known already.
    #[must_use]
    pub fn new(mut names: Vec<String>) -> Self {
        names.retain(|name| values::name(name).is_ok());
        names.truncate(MOST);
        Self { names: Arc::new(Mutex::new(names)) }
    }

    /// Takes down whom a call is with; says whether that is news.
    pub fn meet(&self, event: &Event) -> bool {
        let Some(peer) = &event.peer else { return false };
        let calls = matches!(event.kind, EventKind::Calling | EventKind::Incoming);
        if !calls || values::name(peer).is_err() {
            return false;
        }
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.first() == Some(peer) {
            return false;
        }
        names.retain(|name| name != peer);
        names.insert(0, peer.clone());
        names.truncate(MOST);
        true
    }

    /// All of them.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn event(kind: EventKind, peer: &str) -> Event {
        Event { kind, time: SystemTime::UNIX_EPOCH, call: Some(1), peer: Some(peer.into()) }
    }

    #[test]
    fn the_latest_stands_first_and_nobody_twice() {
        let people = People::new(vec!["ann".into(), "\x1b[2J".into(), "ben".into()]);
        assert!(people.meet(&event(EventKind::Incoming, "ben")));
        assert!(!people.meet(&event(EventKind::Calling, "ben")));
        assert!(!people.meet(&event(EventKind::Accepted, "cy")));
        assert!(!people.meet(&event(EventKind::Incoming, "cy\n")));
        assert_eq!(people.names(), ["ben", "ann"]);
        for number in 0..MOST + 9 {
            people.meet(&event(EventKind::Calling, &format!("n{number}")));
        }
        assert_eq!(people.names().len(), MOST);
    }
}
