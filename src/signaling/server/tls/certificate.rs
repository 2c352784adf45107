//! A certificate chain with its private key: whether they fit, what they say, the fingerprint.
//!
//! Pure: PEM in, words out. It knows no sockets, and files only by the names in its errors.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;

use super::{ENDS_SOON, TlsError, provider};
use crate::clock;

/// More certificates than any chain has.
const MOST_IN_CHAIN: usize = 16;

/// A chain and its key, ready for handshakes.
#[derive(Debug)]
pub(super) struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) facts: Facts,
}

/// What the first certificate of a chain says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// Host names and addresses.
    pub(super) names: Vec<String>,
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
    pub(super) public_key: Vec<u8>,
}

impl Certificate {
    /// Reads the contents of two files of these names.
    pub(super) fn from_pem(
        (certificate, chain): (&Path, &[u8]),
        (key, secret): (&Path, &[u8]),
    ) -> Result<Self, TlsError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
            .take(MOST_IN_CHAIN)
            .collect::<Result<_, _>>()
            .map_err(|_| TlsError::NoCertificate { path: certificate.to_owned() })?;
        let facts = chain.first().and_then(|der| facts(der));
        let facts = facts.ok_or(TlsError::NoCertificate { path: certificate.to_owned() })?;
        let secret = PrivateKeyDer::from_pem_slice(secret)
            .map_err(|_| TlsError::NoKey { path: key.to_owned() })?;
        let pair = CertifiedKey::from_der(chain, secret, &provider()).map_err(|error| {
            TlsError::Unusable {
                certificate: certificate.to_owned(),
                key: key.to_owned(),
                reason: words(&error),
            }
        })?;
        Ok(Self { key: Arc::new(pair), facts })
    }

    /// Says it while there is time to do something about it.
    pub(super) fn warn_if_ending(&self, path: &Path) {
        let left = self.facts.not_after.duration_since(clock::wall()).unwrap_or_default();
        let file = path.display();
        if left.is_zero() {
            tracing::warn!("the certificate in {file} has expired; clients will refuse it");
        } else if left < ENDS_SOON {
            let days = left.as_secs() / 86_400;
            tracing::warn!("the certificate in {file} expires in {days} days; renew it");
        }
    }
}

fn words(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            "the key does not belong to the certificate".to_owned()
        }
        error => {
            tracing::info!(%error, "certificate and key");
            "TLS cannot use a certificate or a key of this kind".to_owned()
        }
    }
}

/// `None` when it is no X.509 certificate.
fn facts(der: &[u8]) -> Option<Facts> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let time = |seconds: i64| {
        SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
    };
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names
        .map_or_else(Vec::new, |names| names.value.general_names.iter().filter_map(name).collect());
    Some(Facts {
        names,
        not_before: time(certificate.validity().not_before.timestamp()),
        not_after: time(certificate.validity().not_after.timestamp()),
        public_key: certificate.public_key().subject_public_key.data.to_vec(),
    })
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(|bytes| IpAddr::from(Ipv4Addr::from(bytes)));
            let v6 = <[u8; 16]>::try_from(*bytes).map(|bytes| IpAddr::from(Ipv6Addr::from(bytes)));
            v4.or(v6).ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

/// SHA-256 of a certificate (or of a key), as browsers print it.
pub(super) fn fingerprint(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let bytes: Vec<_> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    bytes.join(":")
}
