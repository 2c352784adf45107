//! Whether who is there is who was described: the certificate of the handshake is held against the
//! fingerprints of the description, before a word or a picture of theirs is passed on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError, Weak};

use webrtc::peer_connection::PeerConnection;

use super::fingerprints::{Fingerprints, Unfit};

/// What is known of who is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Who was described.
    Right,
    /// Somebody else.
    Wrong,
    /// No certificate can be seen; it must not be taken for right.
    Unseen,
}

/// See the module.
#[derive(Default)]
pub(super) struct Vouch {
    /// Without keeping it open.
    connection: OnceLock<Weak<dyn PeerConnection>>,
    described: Mutex<Option<Fingerprints>>,
    right: AtomicBool,
}

impl Vouch {
    /// Whose certificate is to be looked at.
    pub(super) fn watch(&self, connection: Weak<dyn PeerConnection>) {
        let _ = self.connection.set(connection);
    }

    /// They are described, for the first time or anew. Once they are known, a later round of offer and
    /// answer has no new handshake, and its fingerprints tell nothing.
    pub(super) fn described(&self, sdp: &str) -> Result<(), Unfit> {
        if self.is_right() {
            return Ok(());
        }
        let described = Fingerprints::of(sdp)?;
        *self.described.lock().unwrap_or_else(PoisonError::into_inner) = Some(described);
        Ok(())
    }

    fn is_right(&self) -> bool {
        self.right.load(Ordering::Acquire)
    }

    /// Looks at the certificate, if there was no right one yet.
    pub(super) async fn verdict(&self) -> Verdict {
        if self.is_right() {
            return Verdict::Right;
        }
        let Some(certificate) = self.certificate().await else { return Verdict::Unseen };
        let described = self.described.lock().unwrap_or_else(PoisonError::into_inner);
        let right = described.as_ref().is_some_and(|described| described.fit(&certificate));
        self.right.store(right, Ordering::Release);
        if right { Verdict::Right } else { Verdict::Wrong }
    }

    /// The first of their chain (DER): that is the one that the handshake has proved.
    async fn certificate(&self) -> Option<Vec<u8>> {
        let connection = self.connection.get()?.upgrade()?;
        for transceiver in connection.get_transceivers().await {
            let transport = match transceiver.receiver().await {
                Ok(Some(receiver)) => receiver.transport().await,
                _ => match transceiver.sender().await {
                    Ok(Some(sender)) => sender.transport().await,
                    _ => continue,
                },
            };
            let Ok(Some(transport)) = transport else { continue };
            if let Ok(chain) = transport.get_remote_certificates().await
                && let Some(first) = chain.into_iter().next()
            {
                return Some(first);
            }
        }
        None
    }
}
