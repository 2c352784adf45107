//! Whom a client believes that a server is the one it asked for, and what is said when it does not.
//!
//! Owns the roots and the words; connections are made elsewhere.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use crate::system;

/// More than a machine's whole collection of authorities.
const MOST_BYTES: u64 = 4 * 1024 * 1024;
/// Of a certificate's names, so many are shown, and so much of each.
const MOST_NAMES: usize = 5;
const LONGEST_NAME: usize = 80;

/// Whose word a client takes for who a `wss://` or `turns:` server is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Trust {
    /// The authorities that the operating system trusts.
    #[default]
    System,
    /// The certificates in this PEM file, an authority's or the server's own: for a signaling
    /// server no others, for TURN servers, which are somebody else's, beside the system's.
    Only(PathBuf),
    /// Nobody's: whoever answers is believed. The connection is encrypted, but maybe not with
    /// whom one thinks.
    Anybody,
}

/// Why nobody can be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// The file with certificates cannot be used.
    #[error("no certificates from {}: {reason}", .path.display())]
    BadCa {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is nobody to ask.
    #[error("{reason}")]
    Nobody {
        /// Why.
        reason: String,
    },
}

impl Trust {
    /// What TLS needs to know, for a server that one names together with the file. Reads files, so
    /// it is no work for an async thread.
    ///
    /// # Errors
    /// When a file cannot be read, or nobody is trusted.
    pub fn config(&self) -> Result<ClientConfig, TrustError> {
        match self {
            Self::System => self.config_with(&system()?),
            Self::Only(path) => self.config_with(&only(path)?),
            Self::Anybody => self.config_with(&[]),
        }
    }

    /// As [`Self::config`], for servers that somebody else names: a file adds to whom the system
    /// trusts.
    ///
    /// # Errors
    /// When the file cannot be read, or nobody is trusted.
    pub fn config_for_others(&self) -> Result<ClientConfig, TrustError> {
        let Self::Only(path) = self else { return self.config() };
        let mut known = only(path)?;
        // A machine that trusts nobody has the file still.
        known.extend(system().unwrap_or_default());
        self.config_with(&known)
    }

    fn config_with(&self, known: &[CertificateDer<'_>]) -> Result<ClientConfig, TrustError> {
        let nobody = |reason: String| TrustError::Nobody { reason };
        let provider = Arc::new(ring::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = match self {
            Self::Anybody => Arc::new(Unchecked(Arc::clone(&provider))),
            Self::System | Self::Only(_) => {
                let known = Known::new(known, Arc::clone(&provider));
                Arc::new(known.map_err(|error| {
                    tracing::info!(%error, "no certificate can be checked");
                    nobody("no certificate can be checked by those that are given".to_owned())
                })?)
            }
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| {
                tracing::error!(%error, "no TLS");
                nobody("internal error: TLS cannot be set up; please report it".to_owned())
            })?;
        // The verifier is webpki's own with what it lacks, or one that was asked for in so many
        // words.
        let config = config.dangerous().with_custom_certificate_verifier(verifier);
        Ok(config.with_no_client_auth())
    }

    /// What is wrong with a certificate, and what to do about it.
    #[must_use]
    pub fn fault(&self, fault: &CertificateError) -> String {
        const CLOCK: &str = "renew it at the server, or set the clock of this machine";
        match fault {
            // The latter: somebody of the right name, but with another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => match self {
                Self::Only(path) => format!(
                    "the certificate is not trusted: it is not in {}, nor signed by one that is; \
                     give another file with --ca FILE, or skip the check with --insecure",
                    path.display()
                ),
                _ => "the certificate is not trusted: it is self-signed, or of an authority that \
                      this machine does not know; give it, or its authority's, with --ca FILE, or \
                      skip the check with --insecure"
                    .to_owned(),
            },
            CertificateError::NotValidForNameContext { expected, presented } => format!(
                "its certificate is for {}, not for {}; use a name that it covers",
                names(presented),
                expected.to_str()
            ),
            CertificateError::NotValidForName => {
                "its certificate is for another name than the one in the URL".to_owned()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                format!("its certificate has expired; {CLOCK}")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                format!("its certificate is not valid yet; {CLOCK}")
            }
            fault => {
                tracing::info!(?fault, "a certificate is refused");
                format!("its certificate cannot be accepted: {}", other_fault(fault))
            }
        }
    }
}

/// What else may be wrong with a certificate; the library's own words go to the log.
fn other_fault(fault: &CertificateError) -> &'static str {
    match fault {
        CertificateError::BadEncoding => "it is broken",
        CertificateError::Revoked => "it has been revoked",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it is not meant for servers"
        }
        CertificateError::UnhandledCriticalExtension => "it demands something unknown",
        CertificateError::UnknownRevocationStatus
        | CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. } => {
            "whether it has been revoked is not known"
        }
        _ => "it cannot be checked",
    }
}

/// The operating system's authorities; one that cannot be read is no reason to do without others.
fn system() -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "an authority of this machine cannot be read");
    }
    let (taken, _) = RootCertStore::empty().add_parsable_certificates(found.certs.iter().cloned());
    if taken == 0 {
        let reason = "this machine has no certificate authorities: install the package ca-certificates, or \
                      give the server's certificate with --ca FILE";
        return Err(TrustError::Nobody { reason: reason.to_owned() });
    }
    Ok(found.certs)
}

fn only(path: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let bad = |reason: String| TrustError::BadCa { path: path.to_owned(), reason };
    let unreadable = |error: std::io::Error| bad(system::words(&error));
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut pem = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut pem).map_err(unreadable)?;
    let mut known = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        // The library's words say no more than that.
        let broken = || bad("a certificate in it is broken; it must be PEM".to_owned());
        let certificate = certificate.map_err(|_| broken())?;
        RootCertStore::empty().add(certificate.clone()).map_err(|_| broken())?;
        known.push(certificate);
    }
    if known.is_empty() {
        return Err(bad("there is no certificate in it; it must be PEM".to_owned()));
    }
    Ok(known)
}

/// The library has them as `DnsName("a.example")` and `IpAddress(192.0.2.1)`. They are a
/// stranger's words, so they are cut.
fn names(presented: &[String]) -> String {
    let shown = presented.iter().take(MOST_NAMES).map(|name| {
        let inner = name.split_once('(').map_or(name.as_str(), |(_, inner)| inner);
        inner.trim_end_matches(')').trim_matches('"').chars().take(LONGEST_NAME).collect()
    });
    let mut shown: Vec<String> = shown.collect();
    if shown.is_empty() {
        return "no name at all".to_owned();
    }
    if presented.len() > MOST_NAMES {
        shown.push("others".to_owned());
    }
    shown.join(", ")
}

/// Takes what an authority vouches for, as webpki does, and a server's own certificate where that
/// one itself is trusted: `openssl req -x509` makes those with the mark of an authority, which
/// webpki takes from no server.
#[derive(Debug)]
struct Known {
    authorities: Arc<WebPkiServerVerifier>,
    /// SHA-256 of each that is trusted.
    own: Vec<[u8; 32]>,
}

impl Known {
    fn new(
        certificates: &[CertificateDer<'_>],
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, rustls::server::VerifierBuilderError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates.iter().map(|one| one.clone().into_owned()));
        let builder = WebPkiServerVerifier::builder_with_provider(roots.into(), provider);
        let own = certificates.iter().map(|one| fingerprint(one)).collect();
        Ok(Self { authorities: builder.build()?, own })
    }
}

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        server: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.own.contains(&fingerprint(server)) {
            is_current(server, now)?;
            verify_server_name(&ParsedCertificate::try_from(server)?, name)?;
            return Ok(ServerCertVerified::assertion());
        }
        self.authorities.verify_server_cert(server, others, name, ocsp, now).map_err(|error| {
            let is_self_made = matches!(&error, Error::InvalidCertificate(CertificateError::Other(
                other)) if format!("{other:?}").contains("CaUsedAsEndEntity"));
            if is_self_made { CertificateError::UnknownIssuer.into() } else { error }
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}

fn fingerprint(certificate: &[u8]) -> [u8; 32] {
    let digest = ::ring::digest::digest(&::ring::digest::SHA256, certificate);
    digest.as_ref().try_into().unwrap_or_default()
}

/// Whether a certificate's time has come, and is not over.
fn is_current(certificate: &[u8], now: UnixTime) -> Result<(), CertificateError> {
    let read = x509_parser::parse_x509_certificate(certificate);
    let (_, read) = read.map_err(|_| CertificateError::BadEncoding)?;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now < read.validity().not_before.timestamp() {
        return Err(CertificateError::NotValidYet);
    }
    if now > read.validity().not_after.timestamp() {
        return Err(CertificateError::Expired);
    }
    Ok(())
}

/// Takes any certificate, but only from somebody who has its key.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _server: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// As `openssl req -x509` makes them.
    fn self_made(name: &str, year: i32) -> CertificateDer<'static> {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        params.self_signed(&key).unwrap().der().clone()
    }

    #[test]
    fn a_server_may_show_the_very_certificate_that_is_trusted() {
        let (own, old) = (self_made("a.example", 2099), self_made("a.example", 2001));
        let provider = Arc::new(ring::default_provider());
        let known = Known::new(&[own.clone(), old.clone()], provider).unwrap();
        let shows = |certificate: &CertificateDer<'_>, name: &'static str| {
            let name = ServerName::try_from(name).unwrap();
            let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_800_000_000));
            match known.verify_server_cert(certificate, &[], &name, &[], now) {
                Ok(_) => Ok(()),
                Err(Error::InvalidCertificate(fault)) => Err(Trust::System.fault(&fault)),
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!(shows(&own, "a.example"), Ok(()));
        assert!(shows(&own, "b.example").unwrap_err().contains("is for a.example"));
        assert!(shows(&old, "a.example").unwrap_err().contains("expired"));
        let stranger = self_made("a.example", 2099);
        assert!(shows(&stranger, "a.example").unwrap_err().contains("not trusted"));
    }

    #[test]
    fn names_of_a_certificate_are_read_and_cut() {
        let name = |text: &str| text.to_owned();
        let few = [name("DnsName(\"a.example\")"), name("IpAddress(192.0.2.1)")];
        assert_eq!(names(&few), "a.example, 192.0.2.1");
        assert_eq!(names(&[]), "no name at all");
        let many = vec![name(&format!("DnsName(\"{}\")", "x".repeat(500))); 50];
        assert!(names(&many).len() < 500);
        assert!(names(&many).ends_with(", others"));
    }
}
