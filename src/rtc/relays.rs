//! Why there is no relayed candidate: the library keeps to itself what TURN servers say.
//!
//! Owns the question, which is asked once, when gathering is over and brought none.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;

use super::events::ConnectionEvent;
use super::probe::{self, ProbeError};
use crate::ice::IceServer;

/// How long a server may take; the call goes on meanwhile.
const PATIENCE: Duration = Duration::from_secs(5);

/// The TURN servers of one connection.
pub(super) struct Relays {
    servers: Vec<IceServer>,
    bind: Option<IpAddr>,
    /// Nothing needs to be asked any more.
    known: AtomicBool,
}

impl Relays {
    pub(super) fn new(servers: &[IceServer], bind: &[IpAddr]) -> Self {
        let bind = match bind {
            [only] => Some(*only),
            _ => None,
        };
        let servers = servers.iter().filter(|server| server.username.is_some()).cloned();
        Self { servers: servers.collect(), bind, known: AtomicBool::new(false) }
    }

    /// Looks at a candidate of ours (RFC 8839 section 5.1).
    pub(super) fn on_candidate(&self, line: &str) {
        if line.contains(" typ relay") {
            self.known.store(true, Ordering::Relaxed);
        }
    }

    /// Gathering is over: finds out in the background who refuses us, where nobody relays.
    pub(super) fn on_gathered(&self, to: &mpsc::Sender<ConnectionEvent>) {
        if self.servers.is_empty() || self.known.swap(true, Ordering::Relaxed) {
            return;
        }
        let (servers, bind, to) = (self.servers.clone(), self.bind, to.clone());
        tokio::spawn(async move {
            for server in servers {
                let user = server.username.unwrap_or_default();
                let password = server.credential.unwrap_or_default();
                for url in server.urls.into_iter().filter(|url| url.starts_with("turn:")) {
                    let answer = probe::turn(&url, &user, &password, bind, PATIENCE).await;
                    if let Err(ProbeError::Refused { reason }) = answer {
                        // Nobody listens any more when the call is over.
                        let _ = to.send(ConnectionEvent::RelayRefused { url, reason }).await;
                    }
                }
            }
        });
    }
}
