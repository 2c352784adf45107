//! What a connection tells: candidates, states, tracks, and what RTCP brings.

use std::sync::Arc;

use tokio::sync::mpsc;
use webrtc::peer_connection::{
    PeerConnectionEventHandler, RTCIceConnectionState, RTCIceGatheringState,
    RTCPeerConnectionIceEvent, RTCPeerConnectionState,
};

use super::codecs::MediaKind;
use super::congestion::Path;
use super::receiver::RemoteTrack;
use super::relay::ServerFault;
use super::runtime::Progress;
use super::tcp::Told;
use super::tracks::Tracks;
use super::vouch::{Verdict, Vouch};
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

/// Events that wait to be taken; candidates and states are few.
const EVENT_QUEUE: usize = 256;

/// The library's handler: passes everything on, in order.
pub(super) struct Events {
    to: mpsc::Sender<ConnectionEvent>,
    progress: Arc<Progress>,
    path: Path,
    tracks: Arc<Tracks>,
    vouch: Arc<Vouch>,
    told: Arc<Told>,
}

impl Events {
    pub(super) fn new(
        progress: Arc<Progress>,
        (path, tracks, vouch): (Path, Arc<Tracks>, Arc<Vouch>),
        told: Arc<Told>,
    ) -> (Self, mpsc::Sender<ConnectionEvent>, mpsc::Receiver<ConnectionEvent>) {
        let (to, from) = mpsc::channel(EVENT_QUEUE);
        (Self { to: to.clone(), progress, path, tracks, vouch, told }, to, from)
    }

    /// Fails only when nobody listens any more, and then nobody cares.
    async fn tell(&self, event: ConnectionEvent) {
        let _ = self.to.send(event).await;
    }

    /// Whether they are who was described; tells of it if not.
    async fn vouches(&self) -> bool {
        match self.vouch.verdict().await {
            Verdict::Right => return true,
            Verdict::Wrong => self.tell(ConnectionEvent::Impostor).await,
            Verdict::Unseen => self.tell(ConnectionEvent::Failed).await,
        }
        false
    }
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Events {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        match event.candidate.to_json() {
            Ok(candidate) => {
                let candidate = Candidate {
                    candidate: candidate.candidate,
                    sdp_mid: candidate.sdp_mid,
                    sdp_mline_index: candidate.sdp_mline_index,
                    username_fragment: candidate.username_fragment,
                };
                if let Some(candidate) = self.told.tell(candidate) {
                    self.tell(ConnectionEvent::LocalCandidate(Some(candidate))).await;
                }
            }
            Err(error) => tracing::warn!(%error, "a candidate of ours cannot be written down"),
        }
    }

    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.told.complete();
            self.tell(ConnectionEvent::LocalCandidate(None)).await;
        }
    }

    async fn on_ice_connection_state_change(&self, state: RTCIceConnectionState) {
        let state = match state {
            RTCIceConnectionState::Checking => IceState::Checking,
            RTCIceConnectionState::Connected => IceState::Connected,
            RTCIceConnectionState::Completed => IceState::Completed,
            RTCIceConnectionState::Disconnected => IceState::Disconnected,
            RTCIceConnectionState::Failed => IceState::Failed,
            RTCIceConnectionState::Closed => IceState::Closed,
            _ => IceState::New,
        };
        self.progress.ice(state);
        self.tell(ConnectionEvent::IceState(state)).await;
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        match state {
            RTCPeerConnectionState::Connected if self.vouches().await => {
                self.progress.connected();
                let took = self.progress.doors().round_trip();
                took.into_iter().for_each(|took| self.path.check_took(took));
                self.tell(ConnectionEvent::Connected).await;
                self.tracks.vouched(&self.to);
            }
            RTCPeerConnectionState::Failed if self.progress.has_path() => {
                self.tell(ConnectionEvent::Failed).await;
            }
            _ => {}
        }
    }
}
