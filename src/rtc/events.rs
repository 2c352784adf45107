//! What a connection tells: candidates, states, tracks, and what RTCP brings.

use super::codecs::MediaKind;
use super::receiver::RemoteTrack;
use super::server_fault::ServerFault;
use crate::ice::Candidate;

/// Something happened on the connection.
#[derive(Debug)]
pub enum ConnectionEvent {
    /// A candidate of ours, to be sent to the other side; `None` after the last one.
    LocalCandidate(Option<Candidate>),
    /// ICE moved on.
    IceState(IceState),
    /// DTLS is up: media can flow.
    Connected,
    /// There is a path, and DTLS does not get through it.
    Failed,
    /// Who is there is not who was described: the certificate is another.
    Impostor,
    /// Pictures or sound of theirs begin.
    Track(RemoteTrack),
    /// PLI or FIR: they cannot decode and need a keyframe (RFC 4585, RFC 5104).
    KeyframeWanted,
    /// Pictures were dropped before they left: those that follow need a keyframe.
    PicturesDropped,
    /// Which of their RTP timestamps belongs to which wall-clock time (RFC 3550 section 6.4.1).
    SenderReport {
        /// Which stream of theirs.
        ssrc: u32,
        /// 32.32 fixed-point seconds since 1900.
        ntp: u64,
        /// The RTP timestamp at that time.
        rtp: u32,
    },
    /// No TURN server relays for us, or will: each with the reason.
    NoRelay(Vec<(String, ServerFault)>),
    /// How much of a stream of ours was lost lately.
    FractionLost {
        /// Which of our streams.
        kind: MediaKind,
        /// 0.0 to 1.0.
        fraction: f64,
    },
}

/// W3C RTCIceConnectionState.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IceState {
    /// Nothing yet.
    New,
    /// Candidate pairs are tried.
    Checking,
    /// A path works.
    Connected,
    /// A path works and no better one is sought.
    Completed,
    /// The path does not answer at the moment.
    Disconnected,
    /// No path works.
    Failed,
    /// We closed it.
    Closed,
}

impl IceState {
    /// The word that browsers use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Checking => "checking",
            Self::Connected => "connected",
            Self::Completed => "completed",
            Self::Disconnected => "disconnected",
            Self::Failed => "failed",
            Self::Closed => "closed",
        }
    }

    /// Whether media can flow.
    #[must_use]
    pub fn is_up(self) -> bool {
        matches!(self, Self::Connected | Self::Completed)
    }
}
