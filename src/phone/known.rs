//! Whose keys are remembered, for which server and which name. Pure: a text in, a text out.
//!
//! A name counts as another if both look alike, as on our server. The list has an end. Whoever comes to us
//! pushes nobody out then, since a stranger with many names could make us forget a friend; but whom we
//! call, or have named in `--allow`, always finds a place, and those we never called make it.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::place::place;
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
    /// We have called them, or they are in `--allow`: strangers do not cost them their place.
    pub ours: bool,
}

/// How somebody has proved a key.
#[derive(Debug, Clone, Copy)]
pub struct Met {
    /// Which.
    pub key: Key,
    /// When.
    pub at: SystemTime,
    /// Whether we have called, or have named them in `--allow`.
    pub ours: bool,
}

impl Met {
    /// In a call of theirs.
    #[must_use]
    pub fn by_them(key: Key, at: SystemTime) -> Self {
        Self { key, at, ours: false }
    }

    /// In a call of ours.
    #[must_use]
    pub fn by_us(key: Key, at: SystemTime) -> Self {
        Self { key, at, ours: true }
    }
}

/// All of them, in the order in which they came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KnownKeys(Vec<KnownKey>);

/// That no more are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{MOST} keys are remembered, and no more fit; call them once, or make room with \
     'peer keys forget NAME'"
)]
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
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    ours: bool,
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
            let known = KnownKey {
                server: place(&entry.server),
                name: entry.name,
                key,
                since: entry.since,
                ours: entry.ours,
            };
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
                ours: known.ours,
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
        self.entry(server, name).map(|known| known.key)
    }

    /// Whether there is nothing to be taken down of this.
    #[must_use]
    pub fn has(&self, server: &str, name: &str, met: Met) -> bool {
        let is_it = |known: &KnownKey| known.key == met.key && (known.ours || !met.ours);
        self.entry(server, name).is_some_and(is_it)
    }

    fn entry(&self, server: &str, name: &str) -> Option<&KnownKey> {
        let (server, looks) = (place(server), Looks::of(name));
        self.0.iter().find(|known| known.is(&server, &looks))
    }

    /// Takes a key down, in the place of another of that name; says whether the key is news.
    ///
    /// # Errors
    /// [`Full`], for a name that is new.
    pub fn remember(&mut self, server: &str, name: &str, met: Met) -> Result<bool, Full> {
        let (server, looks) = (place(server), Looks::of(name));
        let at = self.0.iter().position(|known| known.is(&server, &looks));
        if let Some(known) = at.and_then(|at| self.0.get_mut(at)).filter(|it| it.key == met.key) {
            known.ours |= met.ours;
            return Ok(false);
        }
        let before = at.map(|at| self.0.remove(at));
        if server.len() > LONGEST_URL || (self.0.len() >= MOST && !(met.ours && self.make_room())) {
            return Err(Full);
        }
        let since = met.at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let ours = met.ours || before.is_some_and(|before| before.ours);
        self.0.push(KnownKey { server, name: name.to_owned(), key: met.key, since, ours });
        Ok(true)
    }

    /// Forgets the last of those we never called: a flood of strangers has come after the friends.
    fn make_room(&mut self) -> bool {
        let last = self.0.iter().rposition(|known| !known.ours);
        last.map(|at| self.0.remove(at)).is_some()
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
        assert_eq!(known.remember(HERE, "bob", Met::by_them(key(1), at(5))), Ok(true));
        assert_eq!(
            known.remember("WS://localhost:9090/", "Bob", Met::by_them(key(1), at(6))),
            Ok(false)
        );
        assert_eq!(known.find("ws://LOCALHOST.:9090", "bob"), Some(key(1)));
        assert_eq!(known.find("ws://localhost:9090/Room", "bob"), None);
        for name in ["bob", "BOB", "b0b", "b\u{43e}b"] {
            assert_eq!(known.find(HERE, name), Some(key(1)), "{name}");
        }
        assert_eq!(known.find("ws://elsewhere:9090", "bob"), None);
        assert_eq!(known.find(HERE, "rob"), None);
        assert_eq!(known.remember(HERE, "BOB", Met::by_them(key(2), at(7))), Ok(true));
        assert_eq!((known.iter().count(), known.find(HERE, "bob")), (1, Some(key(2))));
        assert_eq!(known.forget(Some("ws://elsewhere:9090"), "bob"), []);
        assert_eq!(known.forget(None, "b0b").len(), 1);
        assert_eq!(known, KnownKeys::default());
    }

    #[test]
    fn who_comes_when_it_is_full_pushes_nobody_out() {
        let mut known = KnownKeys::default();
        known.remember(HERE, "friend", Met::by_them(key(1), at(0))).unwrap();
        for number in 0..MOST - 1 {
            known
                .remember(HERE, &format!("stranger {number}x"), Met::by_them(key(2), at(1)))
                .unwrap();
        }
        assert_eq!(known.remember(HERE, "one more", Met::by_them(key(3), at(2))), Err(Full));
        assert_eq!(known.find(HERE, "friend"), Some(key(1)));
        let again = known.remember(HERE, "friend", Met::by_them(key(4), at(3)));
        assert_eq!(again, Ok(true), "he has a place");
        assert!(known.write().len() as u64 <= MOST_BYTES);
        assert_eq!(KnownKeys::read(&known.write()), Ok(known));
    }

    #[test]
    fn whom_we_call_finds_a_place_among_however_many_strangers() {
        let mut known = KnownKeys::default();
        known.remember(HERE, "first", Met::by_them(key(1), at(0))).unwrap();
        for number in 0..MOST - 1 {
            let met = Met::by_them(key(2), at(1));
            known.remember(HERE, &format!("stranger {number}x"), met).unwrap();
        }
        for number in 0..3_u8 {
            let met = Met::by_us(key(3), at(2));
            assert_eq!(known.remember(HERE, &format!("friend {number}x"), met), Ok(true));
        }
        assert_eq!(known.iter().count(), MOST);
        assert_eq!(known.find(HERE, "first"), Some(key(1)), "a friend from before the flood");
        assert_eq!(known.find(HERE, &format!("stranger {}x", MOST - 2)), None);
        // Once called he is a friend, and friends make no room for each other.
        let first = Met::by_us(key(1), at(3));
        assert!(!known.has(HERE, "first", first));
        assert_eq!(known.remember(HERE, "first", first), Ok(false));
        assert!(known.has(HERE, "first", first));
        for number in 0..2 * MOST {
            let _ = known.remember(HERE, &format!("more {number}x"), Met::by_us(key(4), at(4)));
        }
        assert_eq!(known.find(HERE, "first"), Some(key(1)));
        assert_eq!(known.remember(HERE, "too many", Met::by_us(key(5), at(5))), Err(Full));
        assert_eq!(KnownKeys::read(&known.write()), Ok(known));
    }

    #[test]
    fn what_we_did_not_write_is_not_read_in_part() {
        let mut known = KnownKeys::default();
        known.remember(HERE, "bob", Met::by_them(key(1), at(5))).unwrap();
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
                known.remember(HERE, name, Met::by_them(key(number), at(0))).unwrap();
                prop_assert_eq!(known.find(HERE, name), Some(key(number)));
            }
            prop_assert_eq!(KnownKeys::read(&known.write()), Ok(known));
        }
    }
}
