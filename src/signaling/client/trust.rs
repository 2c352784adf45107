//! Trust in a signaling server: what TLS needs to know, and a failed handshake in our words.
//!
//! Whom to trust and what is wrong with a certificate stands in `crate::trust`; the connection is
//! made in `dial.rs`.

use rustls::{ClientConfig, Error, InvalidMessage};

use super::ConnectError;
pub use crate::trust::Trust;
use crate::trust::TrustError;

impl Trust {
    /// What TLS needs to know. Reads files, so it is no work for an async thread.
    pub(in crate::signaling) fn for_signaling(
        &self,
        url: &str,
    ) -> Result<ClientConfig, ConnectError> {
        let mut config = self.config().map_err(|error| match error {
            TrustError::BadCa { path, reason } => ConnectError::BadCa { path, reason },
            TrustError::Nobody { reason } => untrusted(url, reason),
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// What it means that the handshake failed so, and what to do about it.
    pub(super) fn explain(&self, url: &str, error: &Error) -> ConnectError {
        match error {
            Error::InvalidCertificate(fault) => untrusted(url, self.fault(fault)),
            Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
                let reason = "it does not use TLS; use ws:// instead of wss://".to_owned();
                ConnectError::Unsuitable { url: url.to_owned(), reason }
            }
            error => {
                tracing::info!(%error, "TLS with the server failed");
                ConnectError::Unsuitable {
                    url: url.to_owned(),
                    reason: "no TLS connection with it could be made".to_owned(),
                }
            }
        }
    }
}

fn untrusted(url: &str, reason: String) -> ConnectError {
    ConnectError::Untrusted { url: url.to_owned(), reason }
}
