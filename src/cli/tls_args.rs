//! The TLS flags of `peer serve`, and the words about the certificate that it shows.
//!
//! Owns where a certificate of our own is kept and which names it bears. The rest is the
//! server's: `signaling/server/tls.rs`.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use etcetera::BaseStrategy;

use super::addresses;
use super::exit::Failure;
use crate::signaling::server::tls::{Tls, self_signed};

/// Whether and how connections are encrypted.
#[derive(Debug, Default, Args)]
pub struct TlsArgs {
    /// TLS: the server's certificate and its issuers, a PEM file; read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// TLS: the private key of --tls-cert, a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// TLS with a certificate of our own, for a LAN: it is made once and kept; browsers ask once
    /// whether to go on
    #[arg(long, conflicts_with_all = ["tls_cert", "tls_key"])]
    tls_self_signed: bool,
}

/// What there is to know of a server's TLS.
#[derive(Debug)]
pub struct Shown {
    /// For the server's configuration.
    pub tls: Tls,
    /// The file for `--ca` of clients, when the certificate is our own.
    pub own: Option<PathBuf>,
}

impl TlsArgs {
    /// The certificate that is asked for; a new one of our own is for the addresses of `listen`, and
    /// for the names in `hosts`.
    ///
    /// # Errors
    /// When it cannot be read, made or kept.
    pub fn open(&self, listen: SocketAddr, hosts: &[String]) -> Result<Option<Shown>, Failure> {
        if self.tls_self_signed {
            let folder =
                folder().context("cannot keep a certificate: this user has no home folder")?;
            let tls = Tls::self_signed(&folder, names(listen.ip(), hosts))?;
            return Ok(Some(Shown { tls, own: Some(self_signed::certificate_path(&folder)) }));
        }
        let (Some(cert), Some(key)) = (&self.tls_cert, &self.tls_key) else { return Ok(None) };
        Ok(Some(Shown { tls: Tls::from_files(cert, key)?, own: None }))
    }
}

impl TlsArgs {
    /// The file with the operator's private key.
    #[must_use]
    pub fn key(&self) -> Option<&Path> {
        self.tls_key.as_deref()
    }
}

/// `peer/tls` in the state folder, as that of the last login.
fn folder() -> Option<PathBuf> {
    let base = etcetera::choose_base_strategy().ok()?;
    let state = base.state_dir().unwrap_or_else(|| base.data_dir());
    Some(state.join("peer").join("tls"))
}

/// Under which names the server may be asked for: all that lead to it.
fn names(listen: IpAddr, hosts: &[String]) -> Vec<String> {
    let mut names: Vec<_> = addresses::behind(listen).iter().map(ToString::to_string).collect();
    names.extend_from_slice(hosts);
    names.push("localhost".to_owned());
    names.extend(["127.0.0.1".to_owned(), "::1".to_owned()]);
    if let Some(host) = addresses::host_name() {
        names.push(format!("{host}.local"));
        names.push(host);
    }
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_lead_here_each_once() {
        for listen in ["127.0.0.1", "192.0.2.7", "::1", "0.0.0.0", "::"] {
            let listen: IpAddr = listen.parse().unwrap_or(IpAddr::from([0, 0, 0, 0]));
            let names = names(listen, &["peer.example".to_owned(), "localhost".to_owned()]);
            assert!(listen.is_unspecified() || names[0] == listen.to_string(), "{names:?}");
            assert!(!names.contains(&"0.0.0.0".to_owned()) && !names.contains(&"::".to_owned()));
            let once: std::collections::HashSet<_> = names.iter().collect();
            assert_eq!(once.len(), names.len(), "{names:?}");
            for local in ["localhost", "127.0.0.1", "::1", "peer.example"] {
                assert!(names.iter().any(|name| name == local), "{names:?}");
            }
        }
    }
}
