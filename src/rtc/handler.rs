//! The library's handler: what it says in its own words becomes what a connection tells.

use std::sync::Arc;

use tokio::sync::mpsc;
use webrtc::peer_connection::{
    PeerConnectionEventHandler, RTCIceConnectionState, RTCIceGatheringState,
    RTCPeerConnectionIceEvent, RTCPeerConnectionState,
};

use super::events::{ConnectionEvent, IceState};
use super::path::Path;
use super::progress::Progress;
use super::tcp::Told;
use super::tracks::Tracks;
use super::vouch::{Verdict, Vouch};
use crate::ice::Candidate;

/// Events that wait to be taken; candidates and states are few.
const EVENT_QUEUE: usize = 256;

/// Passes everything on, in order.
pub(super) struct Handler {
    to: mpsc::Sender<ConnectionEvent>,
    progress: Arc<Progress>,
    path: Path,
    tracks: Arc<Tracks>,
    vouch: Arc<Vouch>,
    told: Arc<Told>,
}

impl Handler {
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
impl PeerConnectionEventHandler for Handler {
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
