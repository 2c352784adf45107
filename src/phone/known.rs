//! Whose keys are remembered, for which server and which name. Pure: a text in, a text out.
//!
//! A name counts as another if both look alike, as on our server. The list has an end, and who comes
//! then pushes nobody out: a stranger with many names could make us forget a friend.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::key::Key;
use crate::signaling::name::{Looks, check_name};

/// Keys that are remembered.
pub const MOST: usize = 1000;

/// The most bytes of the text; a key takes a URL, a name and some 100 more.
pub const MOST_BYTES: u64 = 4 * 1024 * 1024;

/// Nobody's server has a longer URL.
const LONGEST_URL: usize = 2048;

/// Somebody's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownKey {
    /// The server's URL, as servers are told apart.
    pub server: String,
    /// The name there.
    pub name: String,
    /// The key.
    pub key: Key,
    /// When it was shown first, in seconds since 1970.
    pub since: u64,
}

/// All of them, in the order in which they came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KnownKeys(Vec<KnownKey>);

/// That no more are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MOST} keys are remembered, and no more fit; 'peer keys forget NAME' makes room")]
pub struct Full;

/// That a text is not what we wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not what peer wrote")]
pub struct NotOurs;

/// As it is written.
#[derive(Serialize, Deserialize)]
struct Entry {
    server: String,
    name: String,
    key: String,
    since: u64,
}

impl KnownKeys {
    /// Reads what [`Self::write`] wrote.
    ///
    /// # Errors
    /// When it is something else: a list that is read in part would be one that forgets.
    pub fn read(text: &str) -> Result<Self, NotOurs> {
        let entries: Vec<Entry> = serde_json::from_str(text).map_err(|_| NotOurs)?;
        if entries.len() > MOST {
            return Err(NotOurs);
        }
        let known = |entry: Entry| {
            let bytes = STANDARD.decode(entry.key).map_err(|_| NotOurs)?;
            let key = Key::from_bytes(&bytes).ok_or(NotOurs)?;
            let good = check_name(&entry.name).is_ok() && entry.server.len() <= LONGEST_URL;
            let known =
                KnownKey { server: entry.server, name: entry.name, key, since: entry.since };
            if good { Ok(known) } else { Err(NotOurs) }
        };
        entries.into_iter().map(known).collect::<Result<_, _>>().map(Self)
    }

    /// The text, a line each.
    #[must_use]
    pub fn write(&self) -> String {
        let line = |known: &KnownKey| {
            let entry = Entry {
                server: known.server.clone(),
                name: known.name.clone(),
                key: STANDARD.encode(known.key.as_bytes()),
                since: known.since,
            };
            // Plain fields always serialise.
            serde_json::to_string(&entry).unwrap_or_default()
        };
        let lines: Vec<_> = self.0.iter().map(line).collect();
        format!("[\n{}\n]\n", lines.join(",\n"))
    }

    /// The key that this name has shown on this server.
    #[must_use]
    pub fn find(&self, server: &str, name: &str) -> Option<Key> {
        let (server, looks) = (place(server), Looks::of(name));
        self.0.iter().find(|known| known.is(&server, &looks)).map(|known| known.key)
    }

    /// Takes a key down, in the place of another of that name; says whether that is news.
    ///
    /// # Errors
    /// [`Full`], for a name that is new.
    pub fn remember(
        &mut self,
        server: &str,
        name: &str,
        key: Key,
        now: SystemTime,
    ) -> Result<bool, Full> {
        if self.find(server, name) == Some(key) {
            return Ok(false);
        }
        let (server, looks) = (place(server), Looks::of(name));
        self.0.retain(|known| !known.is(&server, &looks));
        if self.0.len() >= MOST || server.len() > LONGEST_URL {
            return Err(Full);
        }
        let since = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.0.push(KnownKey { server, name: name.to_owned(), key, since });
        Ok(true)
    }

    /// Strikes a name out, on this server or on all; gives back what was known of it.
    pub fn forget(&mut self, server: Option<&str>, name: &str) -> Vec<KnownKey> {
        let (server, looks) = (server.map(place), Looks::of(name));
        let gone = |known: &KnownKey| {
            let server = server.as_ref().unwrap_or(&known.server);
            known.is(server, &looks)
        };
        let (forgotten, kept) = std::mem::take(&mut self.0).into_iter().partition(gone);
        self.0 = kept;
        forgotten
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &KnownKey> {
        self.0.iter()
    }
}

impl KnownKey {
    fn is(&self, server: &str, looks: &Looks) -> bool {
        let ours = Looks::of(&self.name);
        self.server == server && ours.iter().any(|one| looks.iter().any(|other| one == other))
    }
}

/// A server by its URL, which can be written in several ways.
fn place(url: &str) -> String {
    url.trim_end_matches('/').to_lowercase()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HERE: &str = "ws://localhost:9090";

    fn key(number: u8) -> Key {
        Key::from_bytes(&[number; 32]).unwrap()
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + std::time::Duration::from_secs(seconds)
    }

    #[test]
    fn a_key_belongs_to_a_server_and_a_name_however_they_are_written() {
        let mut known = KnownKeys::default();
        assert_eq!(known.remember(HERE, "bob", key(1), at(5)), Ok(true));
        assert_eq!(known.remember("WS://localhost:9090/", "Bob", key(1), at(6)), Ok(false));
        for name in ["bob", "BOB", "b0b", "b\u{43e}b"] {
            assert_eq!(known.find(HERE, name), Some(key(1)), "{name}");
        }
        assert_eq!(known.find("ws://elsewhere:9090", "bob"), None);
        assert_eq!(known.find(HERE, "rob"), None);
        assert_eq!(known.remember(HERE, "BOB", key(2), at(7)), Ok(true));
        assert_eq!((known.iter().count(), known.find(HERE, "bob")), (1, Some(key(2))));
        assert_eq!(known.forget(Some("ws://elsewhere:9090"), "bob"), []);
        assert_eq!(known.forget(None, "b0b").len(), 1);
        assert_eq!(known, KnownKeys::default());
    }

    #[test]
    fn who_comes_when_it_is_full_pushes_nobody_out() {
        let mut known = KnownKeys::default();
        known.remember(HERE, "friend", key(1), at(0)).unwrap();
        for number in 0..MOST - 1 {
            known.remember(HERE, &format!("stranger {number}x"), key(2), at(1)).unwrap();
        }
        assert_eq!(known.remember(HERE, "one more", key(3), at(2)), Err(Full));
        assert_eq!(known.find(HERE, "friend"), Some(key(1)));
        assert_eq!(known.remember(HERE, "friend", key(4), at(3)), Ok(true), "he has a place");
        assert!(known.write().len() as u64 <= MOST_BYTES);
        assert_eq!(KnownKeys::read(&known.write()), Ok(known));
    }

    #[test]
    fn what_we_did_not_write_is_not_read_in_part() {
        let mut known = KnownKeys::default();
        known.remember(HERE, "bob", key(1), at(5)).unwrap();
        let good = known.write();
        assert_eq!(KnownKeys::read(&good), Ok(known));
        assert_eq!(KnownKeys::read("[]"), Ok(KnownKeys::default()));
        for bad in [
            String::new(),
            "{}".to_owned(),
            good[..good.len() - 3].to_owned(),
            good.replace("bob", "b\\u0000b"),
            good.replace("AQEB", "AQ"),
            good.replace("AQEB", "!!!!"),
            good.replace(":5}", ":-5}"),
        ] {
            assert_eq!(KnownKeys::read(&bad), Err(NotOurs), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "\\PC*") {
            let _ = KnownKeys::read(&text);
        }

        #[test]
        fn whoever_is_remembered_is_found(names in prop::collection::vec("[a-dA-D01]{1,4}", 1..20)) {
            let mut known = KnownKeys::default();
            for (number, name) in (0_u8..).zip(&names) {
                known.remember(HERE, name, key(number), at(0)).unwrap();
                prop_assert_eq!(known.find(HERE, name), Some(key(number)));
            }
            prop_assert_eq!(KnownKeys::read(&known.write()), Ok(known));
        }
    }
}
