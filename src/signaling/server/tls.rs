//! TLS of the server: the certificate that connections are shown, and its renewal under way.
//!
//! Owns the handshake and the exchange of one certificate for another. What a certificate is
//! stands in `tls/certificate.rs`, where ours come from in `tls/self_signed.rs`.

mod certificate;
mod plain;
pub mod self_signed;
mod watch;

use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::clock;
use certificate::Certificate;
pub(super) use plain::use_tls;
use self_signed::SelfSigned;
use watch::{FilePair, Watch};

/// How often the files are looked at; a change is taken over at the second look at the latest.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The pause after a certificate of ours could not be renewed.
const TRY_AGAIN: Duration = Duration::from_secs(3600);
/// An operator's certificate that ends so soon is worth a warning.
const ENDS_SOON: Duration = Duration::from_secs(14 * 24 * 3600);
/// The first byte of every TLS connection: a record with a handshake (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 22;

/// The server's side of TLS. Clones share the certificate.
#[derive(Clone)]
pub struct Tls {
    shared: Arc<Shared>,
}

struct Shared {
    acceptor: TlsAcceptor,
    shown: Arc<Shown>,
    upkeep: Mutex<Upkeep>,
}

/// Where the next certificate comes from.
enum Upkeep {
    Files { files: FilePair, watch: Watch<watch::Stamp> },
    Own { own: SelfSigned, renew_at: SystemTime },
}

/// The certificate of the moment.
#[derive(Debug)]
struct Shown(RwLock<Moment>);

#[derive(Debug, Clone)]
struct Moment {
    key: Arc<CertifiedKey>,
    /// The names that it is for.
    names: Arc<[String]>,
}

impl From<Certificate> for Moment {
    fn from(certificate: Certificate) -> Self {
        Self { key: certificate.key, names: certificate.facts.names.into() }
    }
}

/// Why there is no certificate to show.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not there, not ours to read, or no file.
    #[error("cannot read {}: {reason}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// From the operating system.
        reason: String,
    },
    /// Nothing in the file is a certificate.
    #[error(
        "no certificate in {}; it must be PEM (-----BEGIN CERTIFICATE-----), the server's own \
         first, then its issuers", .path.display()
    )]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// Nothing in the file is a private key that can be used.
    #[error(
        "no private key in {}; it must be PEM and without a password (openssl pkey -in OLD -out \
         NEW takes it off)", .path.display()
    )]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// Certificate and key are no pair, or of a kind that TLS cannot use.
    #[error("{} and {} cannot be used together: {reason}", .certificate.display(), .key.display())]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A certificate of our own could not be kept.
    #[error("cannot keep a certificate in {}: {reason}", .path.display())]
    Unwritable {
        /// The file or folder.
        path: PathBuf,
        /// From the operating system.
        reason: String,
    },
    /// A certificate of our own could not be made.
    #[error("cannot make a certificate: {reason}")]
    NotMade {
        /// What went wrong.
        reason: String,
    },
}

/// The libraries' words go to the log.
fn not_made(error: impl std::fmt::Display) -> TlsError {
    tracing::error!(%error, "no certificate");
    TlsError::NotMade { reason: "internal error; please report it".to_owned() }
}

/// What a new connection turned out to be.
pub(super) enum Accepted {
    Tls(Box<TlsStream<TcpStream>>),
    /// Somebody who speaks plain HTTP.
    Plain(TcpStream),
}

impl Tls {
    /// Shows an operator's certificate, and follows its files when they change.
    ///
    /// # Errors
    /// When they cannot be read or are no pair.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let files = FilePair { certificate: certificate.to_owned(), key: key.to_owned() };
        // Looked at before they are read, so that no change in between is missed.
        let watch = Watch::new(files.stamp());
        let first = files.load()?;
        first.warn_if_ending(&files.certificate);
        Self::new(first, Upkeep::Files { files, watch })
    }

    /// Shows a certificate of our own for these names (host names and addresses), kept in this
    /// folder and renewed in time.
    ///
    /// # Errors
    /// When it cannot be made, kept or read again.
    pub fn self_signed(folder: &Path, names: Vec<String>) -> Result<Self, TlsError> {
        let own = SelfSigned::new(folder, names);
        let first = own.certificate(clock::wall())?;
        let renew_at = self_signed::renew_at(&first);
        Self::new(first, Upkeep::Own { own, renew_at })
    }

    fn new(first: Certificate, upkeep: Upkeep) -> Result<Self, TlsError> {
        let shown = Arc::new(Shown(RwLock::new(first.into())));
        let resolver = Arc::clone(&shown) as Arc<dyn ResolvesServerCert>;
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(not_made)?;
        let mut config = config.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Self { shared: Arc::new(Shared { acceptor, shown, upkeep: Mutex::new(upkeep) }) })
    }

    /// The SHA-256 of the certificate that is shown, as browsers print it: `AB:CD:…`.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.shared
            .shown
            .get()
            .key
            .cert
            .first()
            .map_or_else(String::new, |der| certificate::fingerprint(der))
    }

    /// The host names and addresses that the certificate of the moment is for.
    pub(super) fn names(&self) -> Arc<[String]> {
        self.shared.shown.get().names
    }

    /// Takes the other side through the handshake; the caller limits the time.
    pub(super) async fn accept(&self, stream: TcpStream) -> std::io::Result<Accepted> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 1 && first[0] != HANDSHAKE {
            return Ok(Accepted::Plain(stream));
        }
        self.shared.acceptor.accept(stream).await.map(|stream| Accepted::Tls(Box::new(stream)))
    }

    /// Looks after the certificate for ever.
    pub(super) async fn keep_fresh(&self) -> Infallible {
        loop {
            clock::until(Some(clock::now() + LOOK_EVERY)).await;
            let tls = self.clone();
            // Files may take their time; a panic in there would be told by its own hook.
            let _ = tokio::task::spawn_blocking(move || tls.look(clock::wall())).await;
        }
    }

    /// Connections that are up keep what they have; a certificate that is no good changes nothing.
    fn look(&self, now: SystemTime) {
        let mut upkeep = self.shared.upkeep.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = match &mut *upkeep {
            Upkeep::Files { files, watch } => {
                if !watch.look(files.stamp()) {
                    return;
                }
                files.load().inspect(|fresh| fresh.warn_if_ending(&files.certificate))
            }
            Upkeep::Own { renew_at, .. } if now < *renew_at => return,
            Upkeep::Own { own, renew_at } => {
                let fresh = own.certificate(now);
                *renew_at = fresh.as_ref().map_or(now + TRY_AGAIN, self_signed::renew_at);
                fresh
            }
        };
        match fresh {
            Ok(fresh) => {
                self.shared.shown.set(fresh.into());
                tracing::info!("there is a new certificate");
            }
            Err(error) => tracing::warn!(%error, "the old certificate stays in use"),
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}

impl Shown {
    fn get(&self) -> Moment {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, fresh: Moment) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = fresh;
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.get().key)
    }
}

/// Looks after the certificate where there is one; never ready.
pub(super) async fn keep_fresh(tls: Option<&Tls>) -> Infallible {
    match tls {
        Some(tls) => tls.keep_fresh().await,
        None => std::future::pending().await,
    }
}

/// The crypto of the webrtc crates; named, so that nothing depends on a process-wide default.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
