//! What `peer serve` says when it listens: addresses, fingerprint, and a QR code on a terminal.
//!
//! Owns the `listening` event and its prose.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::SystemTime;

use serde::Serialize;

use super::output::Output;
use super::output_args::Volume;
use super::tls_args::Shown;
use super::{addresses, qr};
use crate::clock::rfc3339;

/// The `listening` event.
#[derive(Debug, Serialize)]
pub struct Listening {
    event: &'static str,
    #[serde(serialize_with = "rfc3339")]
    time: SystemTime,
    /// `ws://` or `wss://`, with the address as it was bound.
    server: String,
    /// `http://` or `https://`, likewise.
    page: String,
    /// The page at every address that leads here from outside.
    pages: Vec<String>,
    /// SHA-256 of the certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    /// Where the certificate of our own making is, for `--ca` of clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<PathBuf>,
}

impl Listening {
    /// Of a server on this address.
    #[must_use]
    pub fn new(address: SocketAddr, shown: Option<&Shown>, time: SystemTime) -> Self {
        let (ws, http) = if shown.is_some() { ("wss", "https") } else { ("ws", "http") };
        let page = |address: SocketAddr| format!("{http}://{address}/");
        let mut outside = addresses::behind(address.ip());
        if outside.is_empty() {
            // Without a network there is still this machine.
            outside.push(Ipv4Addr::LOCALHOST.into());
        }
        let pages = outside.into_iter().map(|ip| page(SocketAddr::new(ip, address.port())));
        Self {
            event: "listening",
            time,
            server: format!("{ws}://{address}"),
            page: page(address),
            pages: pages.collect(),
            fingerprint: shown.map(|shown| shown.tls.fingerprint()),
            certificate: shown.and_then(|shown| shown.own.clone()),
        }
    }

    /// Tells programs and people.
    pub fn say(&self, output: &Output) {
        output.json(self);
        let pages = self.pages.join(" or ");
        output.say(&format!("listening on {}; the page is {pages}", self.server));
        if let Some(certificate) = &self.certificate {
            output.say(&self.own(certificate));
            self.draw(output);
        }
    }

    /// What one must know of a certificate that is not signed by an authority.
    fn own(&self, certificate: &std::path::Path) -> String {
        let fingerprint = self.fingerprint.as_deref().unwrap_or_default();
        format!(
            "browsers warn that they do not trust this certificate; it is the right one if they \
             show\n  SHA-256 {fingerprint}\nother machines with peer: --ca FILE, with a copy of {}",
            certificate.display()
        )
    }

    fn draw(&self, output: &Output) {
        let code = self.pages.first().and_then(|page| qr::lines(page));
        if let Some(lines) = code.filter(|_| output.is_live() && output.volume() > Volume::Quiet) {
            output.raw(format!("{}\n", lines.join("\n")).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_tls_nothing_is_said_of_it() {
        let address = SocketAddr::from(([127, 0, 0, 1], 9090));
        let listening = Listening::new(address, None, SystemTime::UNIX_EPOCH);
        assert_eq!(
            serde_json::to_value(&listening).unwrap_or_default(),
            serde_json::json!({
                "event": "listening",
                "time": "1970-01-01T00:00:00.000Z",
                "server": "ws://127.0.0.1:9090",
                "page": "http://127.0.0.1:9090/",
                "pages": ["http://127.0.0.1:9090/"],
            })
        );
    }
}
