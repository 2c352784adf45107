//! A certificate of our own making, for a LAN: made once, kept, and renewed in time.
//!
//! Owns two files in a folder that it is told: the key stays for ever, the certificate until it
//! nears its end or a name is missing in it, so that its fingerprint stays too.

use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, SerialNumber,
};

use super::certificate::{Certificate, fingerprint};
use super::watch::{FilePair, read};
use super::{TlsError, not_made};
use crate::system;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// What browsers take: some refuse a certificate that is good for longer than 398 days.
const GOOD_FOR: Duration = Duration::from_secs(397 * 24 * 3600);
/// It is renewed so long before its end.
const RENEW_BEFORE: Duration = Duration::from_secs(30 * 24 * 3600);
/// Names in one certificate: those of today first, then those of other networks.
const MOST_NAMES: usize = 64;
/// So much of the key's fingerprint stands in the certificate's name: `AB:CD:EF:01`.
const KEY_IN_NAME: usize = 11;

/// Where the certificate is kept, for `--ca` of clients.
#[must_use]
pub fn certificate_path(folder: &Path) -> PathBuf {
    folder.join("self-signed.pem")
}

fn key_path(folder: &Path) -> PathBuf {
    folder.join("self-signed-key.pem")
}

/// The maker and keeper.
pub(super) struct SelfSigned {
    folder: PathBuf,
    files: FilePair,
    names: Vec<String>,
}

/// When a certificate of ours should be replaced.
pub(super) fn renew_at(certificate: &Certificate) -> SystemTime {
    certificate.facts.not_after - RENEW_BEFORE
}

impl SelfSigned {
    pub(super) fn new(folder: &Path, names: Vec<String>) -> Self {
        let files = FilePair { certificate: certificate_path(folder), key: key_path(folder) };
        Self { folder: folder.to_owned(), files, names }
    }

    /// The one that is kept where it will do, else a new one with the same key.
    pub(super) fn certificate(&self, now: SystemTime) -> Result<Certificate, TlsError> {
        let key = self.key()?;
        // One that cannot be read, or is another key's, is replaced like one that has expired.
        let kept = self.files.load().ok();
        match kept {
            Some(kept) if self.will_do(&kept, now) => Ok(kept),
            kept => {
                let others = kept.map(|kept| kept.facts.names).unwrap_or_default();
                self.make(&key, others, now)?;
                self.files.load()
            }
        }
    }

    fn will_do(&self, kept: &Certificate, now: SystemTime) -> bool {
        let facts = &kept.facts;
        let named = self.names.iter().all(|name| facts.names.contains(name));
        named && facts.not_before <= now && now < renew_at(kept)
    }

    /// The key, made at the first time.
    fn key(&self) -> Result<KeyPair, TlsError> {
        let path = &self.files.key;
        if !path.exists() {
            let key = KeyPair::generate().map_err(not_made)?;
            self.keep(path, &key.serialize_pem(), false)?;
        }
        // Read even if just made: another server may have been faster.
        let pem = String::from_utf8_lossy(&read(path)?).into_owned();
        KeyPair::from_pem(&pem).map_err(|error| {
            tracing::info!(%error, "the key of our own certificate");
            let reason = "it is not a private key any more; remove it to get a new key, and with it \
                          a new fingerprint";
            TlsError::Unreadable { path: path.clone(), reason: reason.to_owned() }
        })
    }

    /// Names of other networks stay, so that a machine on the move has one fingerprint in the end.
    fn make(&self, key: &KeyPair, others: Vec<String>, now: SystemTime) -> Result<(), TlsError> {
        let mut names = self.names.clone();
        names.extend(others.into_iter().filter(|name| !self.names.contains(name)));
        names.truncate(MOST_NAMES);
        let mut params = CertificateParams::new(names).map_err(not_made)?;
        params.distinguished_name = DistinguishedName::new();
        // Whoever trusts several such servers finds the right one by its name.
        let key_print = fingerprint(key.public_key_raw());
        let name = format!("peer serve {}", key_print.get(..KEY_IN_NAME).unwrap_or_default());
        params.distinguished_name.push(DnType::CommonName, name);
        // Browsers refuse two certificates of one issuer with one number.
        let number: [u8; 8] = rand::random();
        params.serial_number = Some(SerialNumber::from_slice(&number));
        // Clocks differ.
        params.not_before = (now - DAY).into();
        params.not_after = (now - DAY + GOOD_FOR).into();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let made = params.self_signed(key).map_err(not_made)?;
        self.keep(&self.files.certificate, &made.pem(), true)
    }

    /// Writes a file in one step, readable by this user only.
    fn keep(&self, path: &Path, pem: &str, replace: bool) -> Result<(), TlsError> {
        let unwritable = |error: std::io::Error| TlsError::Unwritable {
            path: path.to_owned(),
            reason: system::words(&error),
        };
        let mut folder = std::fs::DirBuilder::new();
        folder.recursive(true).mode(0o700).create(&self.folder).map_err(unwritable)?;
        // A temporary file is made with mode 0600 and renamed: nobody sees half of it.
        let mut file = tempfile::NamedTempFile::new_in(&self.folder).map_err(unwritable)?;
        file.write_all(pem.as_bytes()).map_err(unwritable)?;
        let kept = if replace { file.persist(path) } else { file.persist_noclobber(path) };
        match kept {
            Err(error) if error.error.kind() != std::io::ErrorKind::AlreadyExists => {
                Err(unwritable(error.error))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::clock;

    fn made(folder: &Path, names: &[&str], now: SystemTime) -> (String, Certificate) {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let made = SelfSigned::new(folder, names).certificate(now).unwrap();
        (fingerprint(&made.key.cert[0]), made)
    }

    #[test]
    fn it_is_kept_while_it_will_do_and_private() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("state/peer");
        let now = clock::wall();
        let (first, made_first) = made(&folder, &["localhost", "192.0.2.1", "::1"], now);
        assert_eq!(made_first.facts.names, ["localhost", "192.0.2.1", "::1"]);
        assert_eq!(first.len(), 32 * 3 - 1);
        for path in [certificate_path(&folder), key_path(&folder)] {
            let mode = std::fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(made(&folder, &["localhost"], now).0, first, "fewer names");
        assert_eq!(made(&folder, &["::1"], now + GOOD_FOR - RENEW_BEFORE - 2 * DAY).0, first);
    }

    #[test]
    fn near_its_end_or_without_a_name_it_is_made_anew_with_the_same_key() {
        let home = tempfile::tempdir().unwrap();
        let now = clock::wall();
        let (first, made_first) = made(home.path(), &["a.example"], now);
        let (second, made_second) = made(home.path(), &["b.example"], now);
        assert_ne!(first, second);
        assert_eq!(made_first.facts.public_key, made_second.facts.public_key);
        assert_eq!(made_second.facts.names, ["b.example", "a.example"], "the old network stays");
        assert_eq!(made(home.path(), &["a.example"], now).0, second);

        let later = renew_at(&made_second);
        let (third, made_third) = made(home.path(), &["a.example"], later);
        assert_ne!(third, second);
        assert!(made_third.facts.not_after > made_second.facts.not_after + 300 * DAY);
    }

    #[test]
    fn a_broken_certificate_is_replaced_and_a_broken_key_is_said() {
        let home = tempfile::tempdir().unwrap();
        let now = clock::wall();
        let (_, first) = made(home.path(), &["localhost"], now);
        std::fs::write(certificate_path(home.path()), "rubbish").unwrap();
        let (_, second) = made(home.path(), &["localhost"], now);
        assert_eq!(first.facts.public_key, second.facts.public_key);
        std::fs::write(key_path(home.path()), "rubbish").unwrap();
        let broken = SelfSigned::new(home.path(), vec!["localhost".into()]);
        let error = broken.certificate(now).unwrap_err().to_string();
        assert!(error.contains("self-signed-key.pem") && error.contains("remove it"), "{error}");
    }
}
