//! Who may log in: a file of names with the Argon2 hashes of their tokens.
//!
//! Owns the file's form, its reloading, and the checking of a token: whoever is wrong waits as long for
//! one name as for another, had by somebody or not, whatever their hashes cost. Knows nothing of
//! connections.

use std::collections::HashMap;
use std::fmt;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use argon2::password_hash::{PasswordHash, PasswordHashString, SaltString};
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier};

use crate::secret::Secret;
use crate::signaling::message::MAX_TOKEN;
use crate::signaling::name::{Looks, check_name};
use crate::system;

const MAX_FILE: u64 = 16 * 1024 * 1024;
/// More than any sane hash takes: in KiB, in rounds, in lanes.
const MAX_COST: (u32, u32, u32) = (256 * 1024, 16, 16);

/// What is wrong with a file of users.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UsersError {
    /// It cannot be read.
    #[error("cannot read {}: {reason}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        reason: String,
    },
    /// A line is not as it should be.
    #[error("line {line} of the users: {reason}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

/// The users of one reading of the file.
#[derive(Default)]
pub struct Users {
    hashes: HashMap<String, PasswordHashString>,
    dearest: Cost,
}

/// What a hash takes: memory in KiB, and how many times it is gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Cost {
    memory: u32,
    rounds: u32,
}

impl Cost {
    fn of(hash: &PasswordHash<'_>) -> Self {
        let params = Params::try_from(hash).ok();
        params.map_or(Self::default(), |params| Self {
            memory: params.m_cost(),
            rounds: params.t_cost(),
        })
    }

    /// The time that it takes, in KiB gone through.
    fn work(self) -> u64 {
        u64::from(self.memory) * u64::from(self.rounds)
    }

    /// What takes as long as this one, after `spent`, and no more memory.
    fn rest(self, spent: Self) -> Option<Self> {
        let rest = self.work().checked_sub(spent.work())?;
        let rounds = rest.div_ceil(u64::from(self.memory).max(1));
        let memory = u32::try_from(rest.checked_div(rounds)?).ok()?;
        let rounds = u32::try_from(rounds).ok()?;
        (memory >= Params::MIN_M_COST).then_some(Self { memory, rounds })
    }
}

impl Users {
    /// Reads lines of the form `name:$argon2id$…`; empty ones and those that begin with `#` are
    /// passed over.
    ///
    /// # Errors
    /// Which line is wrong, and how.
    pub fn parse(text: &str) -> Result<Self, UsersError> {
        let (mut users, mut looks) = (HashMap::new(), HashMap::new());
        let mut dearest = Cost::default();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |reason: String| UsersError::Line { line: number + 1, reason };
            // A name may hold colons, a hash holds none.
            let (name, hash) = line.rsplit_once(':').ok_or_else(|| {
                wrong("write NAME:HASH, as 'peer serve --hash-token NAME' does".into())
            })?;
            check_name(name).map_err(|error| wrong(error.to_string()))?;
            let hash = PasswordHashString::new(hash)
                .map_err(|_| wrong("the hash is not in PHC form ($argon2id$...)".into()))?;
            check_hash(&hash.password_hash()).map_err(wrong)?;
            let cost = Cost::of(&hash.password_hash());
            dearest = if cost.work() > dearest.work() { cost } else { dearest };
            if users.insert(name.to_owned(), hash).is_some() {
                return Err(wrong("the name is there twice".into()));
            }
            for look in Looks::of(name).iter() {
                if let Some(other) = looks.insert(look.to_owned(), name).filter(|it| *it != name) {
                    return Err(wrong(format!(
                        "'{name}' looks like '{other}'; choose another name"
                    )));
                }
            }
        }
        Ok(Self { hashes: users, dearest })
    }

    /// Whether this is the token of that name. If not, it takes what the dearest hash takes, the same for
    /// names that nobody has.
    #[must_use]
    pub fn check(&self, name: &str, token: &Secret) -> bool {
        let token = token.expose().as_bytes();
        let right = self.hashes.get(name).is_some_and(|hash| {
            Argon2::default().verify_password(token, &hash.password_hash()).is_ok()
        });
        if !right {
            self.still_to_spend(name).into_iter().for_each(|cost| spend(cost, token));
        }
        right
    }

    /// What a wrong token of this name has to take beside the look at its own hash.
    fn still_to_spend(&self, name: &str) -> Option<Cost> {
        let own = self.hashes.get(name).map(|hash| Cost::of(&hash.password_hash()));
        self.dearest.rest(own.unwrap_or_default())
    }
}

/// Takes that long; nothing comes of it.
fn spend(cost: Cost, token: &[u8]) {
    let Ok(params) = Params::new(cost.memory, cost.rounds, 1, None) else { return };
    let argon2 = Argon2::new(Algorithm::Argon2id, argon2::Version::V0x13, params);
    let mut nothing = [0; 32];
    // Neither a token nor a salt of these lengths can be wrong.
    let _ = argon2.hash_password_into(token, &[0; 16], &mut nothing);
    std::hint::black_box(nothing);
}

impl fmt::Debug for Users {
    /// Without the hashes, at which one could guess.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users").field("count", &self.hashes.len()).finish()
    }
}

fn check_hash(hash: &PasswordHash<'_>) -> Result<(), String> {
    if hash.algorithm != Algorithm::Argon2id.ident() {
        return Err(format!("the hash is {}, not argon2id", hash.algorithm));
    }
    if hash.salt.is_none() || hash.hash.is_none() {
        return Err("the hash has no salt or no end".to_owned());
    }
    let params = Params::try_from(hash).map_err(|_| "the parameters of the hash are not valid")?;
    let (memory, rounds, lanes) = MAX_COST;
    if params.m_cost() > memory || params.t_cost() > rounds || params.p_cost() > lanes {
        return Err(format!("the hash costs too much; at most m={memory},t={rounds},p={lanes}"));
    }
    Ok(())
}

/// A line for the file of users.
///
/// # Errors
/// When nobody can have the name, or the token is empty or too long.
pub fn line(name: &str, token: &Secret) -> Result<String, String> {
    check_name(name).map_err(|error| error.to_string())?;
    if name.starts_with('#') {
        return Err("a line that begins with # is a comment in the file; take another name".into());
    }
    let token = token.expose().as_bytes();
    if token.is_empty() || token.len() > MAX_TOKEN {
        return Err(format!("a token has 1 to {MAX_TOKEN} bytes"));
    }
    let salt = SaltString::encode_b64(&rand::random::<[u8; 16]>()).map_err(no_hash)?;
    let hash = Argon2::default().hash_password(token, &salt).map_err(no_hash)?;
    Ok(format!("{name}:{hash}"))
}

/// The library's words go to the log.
fn no_hash(error: argon2::password_hash::Error) -> String {
    tracing::error!(%error, "no hash");
    "internal error: the token cannot be hashed; please report it".to_owned()
}

/// The file, which may change while the server runs.
#[derive(Debug)]
pub struct UsersFile {
    path: PathBuf,
    read: Mutex<(Version, Arc<Users>)>,
}

/// By what a changed file is known: when, how long, and which.
type Version = Option<(SystemTime, u64, u64)>;

impl UsersFile {
    /// Reads it.
    ///
    /// # Errors
    /// When it cannot be read, or a line is wrong.
    pub fn open(path: &Path) -> Result<Self, UsersError> {
        let version = version(path);
        let users = read(path)?;
        Ok(Self { path: path.to_owned(), read: Mutex::new((version, Arc::new(users))) })
    }

    /// As [`Users::check`], with the file as it is now. It blocks.
    #[must_use]
    pub fn check(&self, name: &str, token: &Secret) -> bool {
        self.current().check(name, token)
    }

    /// A file that has become unreadable or wrong changes nothing, but for a warning.
    fn current(&self) -> Arc<Users> {
        let mut read_before = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let version = version(&self.path);
        if version != read_before.0 {
            match read(&self.path) {
                Ok(users) => {
                    tracing::info!(users = users.hashes.len(), "the users were read again");
                    *read_before = (version, Arc::new(users));
                }
                Err(error) => {
                    tracing::warn!(%error, "the users stay as they were");
                    // One that is wrong is read once; one that cannot be read may be a moment later.
                    if matches!(error, UsersError::Line { .. }) {
                        read_before.0 = version;
                    }
                }
            }
        }
        Arc::clone(&read_before.1)
    }
}

fn version(path: &Path) -> Version {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}

fn read(path: &Path) -> Result<Users, UsersError> {
    let unreadable = |reason: String| UsersError::Unreadable { path: path.to_owned(), reason };
    let file = std::fs::File::open(path).map_err(|error| unreadable(system::words(&error)))?;
    let mut text = String::new();
    let read = file.take(MAX_FILE + 1).read_to_string(&mut text);
    read.map_err(|error| unreadable(system::words(&error)))?;
    if text.len() as u64 > MAX_FILE {
        return Err(unreadable(format!("it has more than {MAX_FILE} bytes")));
    }
    Users::parse(&text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn cheap(name: &str, token: &str) -> String {
        costing(name, token, (8, 1))
    }

    fn costing(name: &str, token: &str, (memory, rounds): (u32, u32)) -> String {
        let params = Params::new(memory, rounds, 1, None).unwrap();
        let argon2 = Argon2::new(Algorithm::Argon2id, argon2::Version::V0x13, params);
        let salt = SaltString::encode_b64(b"0123456789abcdef").unwrap();
        format!("{name}:{}", argon2.hash_password(token.as_bytes(), &salt).unwrap())
    }

    #[test]
    fn a_line_that_was_made_lets_its_token_in_and_no_other() {
        let made = line("al:ice", &Secret::new("north")).unwrap();
        let users = Users::parse(&format!("# ours\n\n{made}\n")).unwrap();
        assert!(users.check("al:ice", &Secret::new("north")));
        assert!(!users.check("al:ice", &Secret::new("south")));
        assert!(!users.check("bob", &Secret::new("north")), "that is somebody else's");
        assert!(!Users::default().check("bob", &Secret::new("")));
        assert!(line("", &Secret::new("x")).is_err() && line("a", &Secret::new("")).is_err());
    }

    #[test]
    fn a_wrong_token_takes_as_long_whatever_the_name() {
        let costs = [(8, 1), (64, 3), (1000, 2), (100, 16)];
        for turned in 0..costs.len() {
            let mut costs = costs;
            costs.rotate_left(turned);
            let lines: Vec<_> =
                (0..).zip(costs).map(|(n, cost)| costing(&format!("u{n}x"), "t", cost)).collect();
            let users = Users::parse(&lines.join("\n")).unwrap();
            let unknown = users.still_to_spend("nobody");
            assert_eq!(unknown, Some(Cost { memory: 1000, rounds: 2 }));
            for (number, (memory, rounds)) in (0..).zip(costs) {
                let own = Cost { memory, rounds };
                let more = users.still_to_spend(&format!("u{number}x"));
                let all = own.work() + more.map_or(0, Cost::work);
                assert!((1990..=2000).contains(&all), "{own:?} and {more:?}");
                assert!(more.is_none_or(|more| more.memory <= 1000), "{more:?}");
            }
            assert!(users.check("u1x", &Secret::new("t")));
            assert!(!users.check("u1x", &Secret::new("u")) && !users.check("v", &Secret::new("t")));
        }
        assert_eq!(Users::default().still_to_spend("nobody"), None);
    }

    #[test]
    fn wrong_lines_are_told_by_their_number() {
        let good = cheap("alice", "t");
        for (text, words) in [
            ("alice".to_owned(), "NAME:HASH"),
            (format!("{good}\n{good}"), "line 2"),
            ("alice:plain".to_owned(), "PHC"),
            (good.replace("argon2id", "argon2i"), "argon2id"),
            (good.replace("m=8", "m=99999999"), "too much"),
            (good.replace("alice", " \u{202e}x"), "cannot be seen"),
            ("alice:$argon2id$v=19$m=8,t=1,p=1".to_owned(), "salt"),
        ] {
            let error = Users::parse(&text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_broken_one_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        // A new file each time, as editors do it: the time alone may be too coarse.
        let write = |text: &str| {
            let new = folder.path().join("new");
            std::fs::write(&new, text).unwrap();
            std::fs::rename(&new, &path).unwrap();
        };
        assert!(UsersFile::open(&path).is_err());
        write(&cheap("alice", "one"));
        let users = UsersFile::open(&path).unwrap();
        assert!(users.check("alice", &Secret::new("one")));
        write(&[cheap("alice", "two"), cheap("bob", "b")].join("\n"));
        assert!(users.check("alice", &Secret::new("two")) && users.check("bob", &Secret::new("b")));
        write("nonsense and more of it");
        assert!(users.check("alice", &Secret::new("two")), "as before");
        std::fs::remove_file(&path).unwrap();
        assert!(users.check("alice", &Secret::new("two")), "as before");
    }
}
