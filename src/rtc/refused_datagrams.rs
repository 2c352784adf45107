//! Why datagrams are not let in, and how many were not.

use serde::Serialize;

/// Datagrams that were not let in, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// Neither STUN nor DTLS nor media.
    pub unknown: u64,
    /// From an address that knows nothing of the call.
    pub strangers: u64,
    /// Parts of a handshake that cannot be, come too late or are too many.
    pub handshake: u64,
}

impl Refused {
    /// Whether there was none.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Why a datagram is not let in; see [`Refused`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is nothing that a call has.
    Unknown,
    /// Its sender knows nothing of the call.
    Stranger,
    /// No handshake can have it now.
    Handshake,
    /// It came before, or says nothing. Not counted: the other side may send everything twice.
    Repeated,
}
