//! The files of keys: our own, one for each name, and those of others.
//!
//! Owns where they lie in the folder, who may read them and that they are written whole. What they
//! mean is decided elsewhere.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;

use super::known::{KnownKeys, MOST_BYTES};
use super::resume::Resume;
pub use super::secret_files::KeyringError;
use super::secret_files::{io, private_folder};
use crate::key::{Key, SigningKey};
use crate::signaling::name::{Looks, check_name};

/// More than a key of ours needs.
const LONGEST_KEY: u64 = 4096;

/// As many names of ours are listed.
const MOST_OWN: usize = 1000;

/// A folder with keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyring {
    folder: PathBuf,
}

impl Keyring {
    /// The keys in this folder, which need not be there yet.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Our own key for a name; made if there is none yet. It is the same on every server, so that
    /// others know it again when the server has another address.
    ///
    /// # Errors
    /// When it cannot be read or made, others may read it, or it is none.
    pub fn own(&self, name: &str) -> Result<SigningKey, KeyringError> {
        let path = self.own_folder().join(file_name(name));
        if let Some((_, key)) = read_own(&path)? {
            return Ok(key);
        }
        self.make_own(&path, name)?;
        read_own(&path)?.map(|(_, key)| key).ok_or(KeyringError::Broken { path })
    }

    fn make_own(&self, path: &Path, name: &str) -> Result<(), KeyringError> {
        let document = SigningKey::generate().map_err(|error| io(path, error))?;
        let body = STANDARD.encode(document);
        let lines: Vec<_> = body.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
        // What stands before the lines is a remark (RFC 7468 section 2).
        let text = format!(
            "name: {name}\n-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            lines.join("\n")
        );
        let file = written(&self.own_folder(), text.as_bytes())?;
        match file.persist_noclobber(path) {
            // Another peer of ours was faster: then it is that one.
            Err(error) if error.error.kind() != ErrorKind::AlreadyExists => {
                Err(io(path, error.error))
            }
            _ => Ok(()),
        }
    }

    /// Our own names and the keys that others know them by. A file that is no good is left out.
    ///
    /// # Errors
    /// When the folder is there and cannot be read.
    pub fn all_own(&self) -> Result<Vec<(String, Key)>, KeyringError> {
        let folder = self.own_folder();
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io(&folder, error)),
        };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path())).take(MOST_OWN);
        let keys = paths.filter_map(|path| read_own(&path).ok().flatten());
        let mut own: Vec<_> = keys.map(|(name, key)| (name, key.key())).collect();
        own.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(own)
    }

    /// The keys of others.
    ///
    /// # Errors
    /// When they cannot be read, or are not what we wrote.
    pub fn known(&self) -> Result<KnownKeys, KeyringError> {
        let path = self.known_path();
        let Some(file) = open(&path)? else { return Ok(KnownKeys::default()) };
        let text = read(file, &path, MOST_BYTES)?;
        KnownKeys::read(&text).map_err(|_| KeyringError::Broken { path })
    }

    /// Changes the keys of others, one program after the other.
    ///
    /// # Errors
    /// As [`Self::known`], and when they cannot be written.
    pub fn change<T>(&self, change: impl FnOnce(&mut KnownKeys) -> T) -> Result<T, KeyringError> {
        private_folder(&self.folder)?;
        let (path, lock) = (self.known_path(), self.folder.join("known-keys.lock"));
        let locked = File::options().create(true).truncate(false).write(true).open(&lock);
        let locked = locked.and_then(|file| file.lock().map(|()| file));
        // It is given back when the file is closed.
        let _locked = locked.map_err(|error| io(&lock, error))?;
        let mut known = self.known()?;
        let before = known.clone();
        let done = change(&mut known);
        if known != before {
            let file = written(&self.folder, known.write().as_bytes())?;
            file.persist(&path).map_err(|error| io(&path, error.error))?;
        }
        Ok(done)
    }

    /// With what we get our name back on this server after a crash; `None` while another program of
    /// ours has the name.
    pub(super) fn resume(&self, server: &str, name: &str) -> Result<Option<Resume>, KeyringError> {
        Resume::open(&self.folder, server, name)
    }

    fn known_path(&self) -> PathBuf {
        self.folder.join("known-keys.json")
    }

    fn own_folder(&self) -> PathBuf {
        self.folder.join("keys")
    }
}

/// One file for all names that look alike, as only one of them can be somebody.
fn file_name(name: &str) -> String {
    let looks = Looks::of(name);
    // The last is the one that does not depend on case.
    let hash = digest(&SHA256, looks.iter().last().unwrap_or(name).as_bytes());
    let hex: String = hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("{hex}.pem")
}

/// A key of ours and the name that it was made for; `None` when there is no such file.
fn read_own(path: &Path) -> Result<Option<(String, SigningKey)>, KeyringError> {
    let Some(file) = open(path)? else { return Ok(None) };
    only_ours(&file, path)?;
    let text = read(file, path, LONGEST_KEY)?;
    let broken = || KeyringError::Broken { path: path.to_owned() };
    let name = text.lines().next().and_then(|line| line.strip_prefix("name: "));
    let name = name.filter(|name| check_name(name).is_ok()).ok_or_else(broken)?;
    let document = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).map_err(|_| broken())?;
    let key = SigningKey::from_pkcs8(document.secret_pkcs8_der()).map_err(|_| broken())?;
    Ok(Some((name.to_owned(), key)))
}

/// `None` when there is no such file.
fn open(path: &Path) -> Result<Option<File>, KeyringError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io(path, error)),
    }
}

/// The file that is open is asked: under its path there may be another by now.
fn only_ours(file: &File, path: &Path) -> Result<(), KeyringError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = file.metadata().map_err(|error| io(path, error))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(KeyringError::Open { path: path.to_owned() });
        }
    }
    Ok(())
}

fn read(file: File, path: &Path, most: u64) -> Result<String, KeyringError> {
    let mut text = String::new();
    match file.take(most + 1).read_to_string(&mut text) {
        Ok(read) if read as u64 <= most => Ok(text),
        Err(error) if error.kind() != ErrorKind::InvalidData => Err(io(path, error)),
        _ => Err(KeyringError::Broken { path: path.to_owned() }),
    }
}

/// A file of mode 0600 without a name yet: nobody sees half of it.
fn written(folder: &Path, bytes: &[u8]) -> Result<tempfile::NamedTempFile, KeyringError> {
    private_folder(folder)?;
    let write = || {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        Ok(file)
    };
    write().map_err(|error: std::io::Error| io(folder, error))
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::phone::known::Met;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn a_name_keeps_its_key_and_another_has_another() {
        let home = tempfile::tempdir().unwrap();
        let keyring = Keyring::at(&home.path().join("peer"));
        assert_eq!(keyring.all_own().unwrap(), []);
        let alice = keyring.own("alice").unwrap();
        assert_eq!(keyring.own("alice").unwrap(), alice);
        assert_eq!(keyring.own("ALICE").unwrap(), alice);
        let odd = keyring.own("../山田 <b>").unwrap();
        assert_ne!(odd, alice);
        let own = [("../山田 <b>".to_owned(), odd.key()), ("alice".to_owned(), alice.key())];
        assert_eq!(keyring.all_own().unwrap(), own);
        let made = files(&home.path().join("peer/keys"));
        assert_eq!(made.len(), 2);
        assert!(made.iter().all(|path| mode(path) == 0o600), "{made:?}");
        assert_eq!(mode(&home.path().join("peer/keys")), 0o700);
    }

    #[test]
    fn many_at_once_make_one_key() {
        let home = tempfile::tempdir().unwrap();
        let keyring = Keyring::at(home.path());
        let own = || keyring.own("alice").unwrap().key();
        let keys: Vec<Key> = std::thread::scope(|threads| {
            let started: Vec<_> = (0..8).map(|_| threads.spawn(own)).collect();
            started.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
        assert_eq!(files(&home.path().join("keys")).len(), 1);
    }

    #[test]
    fn a_key_that_others_may_read_or_that_is_none_is_not_used() {
        let home = tempfile::tempdir().unwrap();
        let keyring = Keyring::at(home.path());
        keyring.own("alice").unwrap();
        let path = files(&home.path().join("keys")).remove(0);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = keyring.own("alice").unwrap_err();
        assert!(error.to_string().contains("chmod 600"), "{error}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let good = std::fs::read_to_string(&path).unwrap();
        let long = "x".repeat(10_000);
        for bad in ["", "x", &good[..60], &good[12..], &good.replace("PRIVATE", "PUBLIC"), &long] {
            std::fs::write(&path, bad).unwrap();
            let error = keyring.own("alice").unwrap_err();
            assert!(matches!(error, KeyringError::Broken { .. }), "{bad:?}: {error}");
        }
        std::fs::write(&path, [0xff; 9]).unwrap();
        assert!(keyring.own("alice").is_err() && keyring.all_own().unwrap().is_empty());
    }

    #[test]
    fn the_file_that_is_read_is_the_one_that_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("key"), folder.path().join("other"));
        for (path, mode) in [(&path, 0o644), (&other, 0o600)] {
            std::fs::write(path, "").unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let file = File::open(&path).unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert!(only_ours(&file, &path).is_err(), "what stands there now is another");
        assert!(only_ours(&File::open(&path).unwrap(), &path).is_ok());
    }

    #[test]
    fn keys_of_others_are_written_whole_and_by_one_after_the_other() {
        let home = tempfile::tempdir().unwrap();
        let keyring = Keyring::at(&home.path().join("peer"));
        let key = Key::from_bytes(&[1; 32]).unwrap();
        std::thread::scope(|threads| {
            for number in 0..8 {
                let (keyring, name) = (&keyring, format!("friend {number}x"));
                threads.spawn(move || {
                    keyring.change(|known| {
                        known.remember("ws://h", &name, Met::by_them(key, UNIX_EPOCH))
                    })
                });
            }
        });
        assert_eq!(keyring.known().unwrap().iter().count(), 8);
        let path = home.path().join("peer/known-keys.json");
        assert_eq!(mode(&path), 0o600);
        std::fs::write(&path, "[{").unwrap();
        assert!(matches!(keyring.known(), Err(KeyringError::Broken { .. })));
        assert!(keyring.change(|_| ()).is_err(), "what is broken is not written over");
    }
}
