//! Whether who is there is who was described: the certificate of the handshake is held against the
//! fingerprints of the description, before a word or a picture of theirs is passed on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError, Weak};

use rtc::statistics::StatsSelector;
use rtc::statistics::report::RTCStatsReportEntry;
use webrtc::peer_connection::PeerConnection;

use crate::clock;

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

    /// The first of their chain (DER): that is the one that the handshake has proved. The library
    /// hands it out with every sender and receiver, but a call may have neither; its statistics have it
    /// always, in hexadecimal digits.
    async fn certificate(&self) -> Option<Vec<u8>> {
        let connection = self.connection.get()?.upgrade()?;
        let report = connection.get_stats(clock::now(), StatsSelector::None).await;
        let id = report.iter().find_map(|entry| match entry {
            RTCStatsReportEntry::Transport(transport) => Some(&transport.remote_certificate_id),
            _ => None,
        })?;
        report.iter().find_map(|entry| match entry {
            RTCStatsReportEntry::Certificate(found) if found.stats.id == *id => {
                bytes(&found.base64_certificate)
            }
            _ => None,
        })
    }
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    let pairs = (0..digits.len()).step_by(2).map(|at| digits.get(at..at + 2));
    pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_in_digits_is_bytes_and_nothing_else_is() {
        assert_eq!(bytes("30820aff"), Some(vec![0x30, 0x82, 0x0a, 0xff]));
        for wrong in ["308", "MIIB", "zz", "é0"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }
}
