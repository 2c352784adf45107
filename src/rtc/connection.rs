//! One peer connection: configuration in, descriptions and events out.
//!
//! Owns the library's object and the workarounds around it. It decides nothing about calls; `call`
//! tells it what to do and when.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rtc::ice::mdns::MulticastDnsMode;
use rtc::mdns::MulticastSocket;
use rtc::peer_connection::configuration::RTCOfferOptions;
use rtc::peer_connection::transport::RTCDtlsTransportState;
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use tokio::sync::mpsc;
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, RTCConfigurationBuilder, RTCIceCandidateInit,
    RTCIceServer, RTCIceTransportPolicy, RTCSessionDescription,
};
use webrtc::runtime::default_runtime;

use super::agreed::agreed;
use super::candidates::Taken;
use super::codecs;
pub use super::config::ConnectionConfig;
use super::events::ConnectionEvent;
use super::fingerprints::{Unfit, for_library};
use super::handler::Handler;
use super::handshake::Handshake;
use super::interceptors::{RtcpCounters, TapState};
use super::path::Path;
use super::porter::Porter;
use super::progress::Progress;
pub use super::refusal::ConnectionError;
use super::refusal::{ANSWERING, OPENING, TAKING_ANSWER};
use super::refused_datagrams::Refused;
use super::relay::{Relays, ServerReport};
use super::runtime::Attentive;
use super::sdp::{ice_ufrag, readable, without_candidates, without_lone_msid, without_strange_red};
use super::sender::{AudioSender, VideoSender};
use super::settings::{addresses, bound_for_tcp, interceptors, settings};
use super::tcp::{Knocker, Tcp, Told, is_tcp, take_out};
use super::tracks::Tracks;
use super::vouch::Vouch;
use crate::ice::Candidate;
use crate::system;

/// One RTCPeerConnection with our codecs and settings.
pub struct Connection {
    inner: Arc<dyn PeerConnection>,
    progress: Arc<Progress>,
    relays: Arc<Relays>,
    tcp: Arc<Tcp>,
    knocker: Knocker,
    tap: Arc<TapState>,
    path: Path,
    tracks: Arc<Tracks>,
    senders: Mutex<(Option<VideoSender>, Option<AudioSender>)>,
    config: ConnectionConfig,
    mdns: MulticastDnsMode,
    /// An offer to restart ICE that is out: taking it up gives up the path that there is, which is
    /// too early before the other side has answered.
    staged: Mutex<Option<RTCSessionDescription>>,
    taken: Mutex<Taken>,
    vouch: Arc<Vouch>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Connection {
    /// Opens sockets and prepares the tracks; nothing is sent yet.
    ///
    /// # Errors
    /// When no socket can be bound or the library refuses the configuration.
    pub async fn open(
        config: ConnectionConfig,
    ) -> Result<(Self, mpsc::Receiver<ConnectionEvent>), ConnectionError> {
        match Self::open_with(&config, MulticastDnsMode::QueryOnly).await {
            // The library gives up altogether when the multicast port cannot be bound.
            Err(_) => Self::open_with(&config, MulticastDnsMode::Disabled).await,
            opened => opened,
        }
    }

    async fn open_with(
        config: &ConnectionConfig,
        mdns: MulticastDnsMode,
    ) -> Result<(Self, mpsc::Receiver<ConnectionEvent>), ConnectionError> {
        let progress = Arc::new(Progress::default());
        let path = Path::new(config.max_bitrate);
        let tracks = Arc::new(Tracks::new(path.clone()));
        let vouch = Arc::new(Vouch::default());
        let known = (path.clone(), Arc::clone(&tracks), Arc::clone(&vouch));
        let told = Arc::<Told>::default();
        let (to, news, receiver) = Handler::new(Arc::clone(&progress), known, Arc::clone(&told));
        let (servers, trust) = (&config.ice_servers, config.trust.clone());
        let relays = Arc::new(Relays::new(servers, trust, news.clone(), Arc::clone(&progress)));
        relays.look_up();
        let tap = Arc::new(TapState {
            counters: RtcpCounters::default(),
            video_ssrc: rand::random(),
            video_rtx_ssrc: rand::random(),
            audio_ssrc: rand::random(),
            mappings: Mutex::new(HashMap::new()),
            tracks: Arc::clone(&tracks),
            news,
        });
        let failed = ConnectionError::at("preparing the connection");
        let mut engine = codecs::media_engine().map_err(&failed)?;
        let registry = interceptors(config, &path, &tap, &mut engine).map_err(&failed)?;
        let porter = porter(config, &relays, &progress, tap.news.clone())?;
        let runtime = Arc::clone(&porter.runtime);
        let tcp = Tcp::new(porter, bound_for_tcp(config), told);
        let bound = addresses(&config.bind);
        let over_tcp = tcp.bound().map(addresses).unwrap_or_default();
        let builder = PeerConnectionBuilder::new()
            .with_configuration(configuration(config, &relays))
            .with_media_engine(engine)
            .with_setting_engine(settings(mdns))
            .with_interceptor_registry(registry)
            .with_handler(Arc::new(to))
            .with_udp_addrs(bound)
            .with_tcp_addrs(over_tcp)
            .with_runtime(Arc::new(Attentive {
                inner: runtime,
                progress: Arc::clone(&progress),
                relays: Arc::clone(&relays),
                tcp: Arc::clone(&tcp),
                news: tap.news.clone(),
                wire: config.wire.clone(),
            }));
        let inner: Arc<dyn PeerConnection> =
            Arc::new(builder.build().await.map_err(ConnectionError::at(OPENING))?);
        vouch.watch(Arc::downgrade(&inner));
        tracks.answer_over(Arc::downgrade(&inner));
        let connection = Self {
            inner,
            progress,
            relays,
            tcp,
            knocker: Knocker::default(),
            tap,
            path,
            tracks,
            senders: Mutex::default(),
            config: config.clone(),
            mdns,
            staged: Mutex::new(None),
            taken: Mutex::default(),
            vouch,
        };
        connection.add_tracks().await.map_err(failed)?;
        Ok((connection, receiver))
    }

    async fn add_tracks(&self) -> webrtc::error::Result<()> {
        let receive_only = || {
            Some(RTCRtpTransceiverInit {
                direction: RTCRtpTransceiverDirection::Recvonly,
                ..Default::default()
            })
        };
        if self.config.send_audio {
            self.set_audio(AudioSender::add(&*self.inner, &self.tap).await?);
        } else {
            self.inner.add_transceiver_from_kind(RtpCodecKind::Audio, receive_only()).await?;
        }
        if self.config.send_video {
            self.set_video(VideoSender::add(&*self.inner, &self.tap).await?);
        } else {
            self.inner.add_transceiver_from_kind(RtpCodecKind::Video, receive_only()).await?;
        }
        Ok(())
    }

    /// Makes an offer and sets it as the local description. Candidates follow as events, some of
    /// them before this returns.
    ///
    /// One that restarts ICE is set only when it is answered, and candidates follow then: until then
    /// the path that there is stays in use.
    ///
    /// # Errors
    /// When the library refuses, for example because an offer of theirs is being answered.
    pub async fn create_offer(&self, restart_ice: bool) -> Result<String, ConnectionError> {
        let failed = ConnectionError::at("making an offer");
        if restart_ice {
            self.renew_relays().await.map_err(&failed)?;
            let options = RTCOfferOptions { ice_restart: true };
            let offer = self.inner.create_offer(Some(options)).await.map_err(&failed)?;
            let sdp = without_candidates(&offer.sdp);
            self.progress.doors().described_here(&sdp);
            *self.staged() = Some(offer);
            return Ok(sdp);
        }
        let offer = self.inner.create_offer(None).await.map_err(&failed)?;
        let sdp = self.described_here(&offer.sdp);
        self.inner.set_local_description(offer).await.map_err(&failed)?;
        Ok(sdp)
    }

    fn staged(&self) -> MutexGuard<'_, Option<RTCSessionDescription>> {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A restart opens sockets anew, and the library ends when it cannot: then the old ones are
    /// better than none.
    fn check_sockets(&self) -> Result<(), ConnectionError> {
        let failed =
            |reason: String| ConnectionError { step: "opening media sockets anew", reason };
        let bound = addresses(&self.config.bind);
        let errors: Vec<_> =
            bound.iter().filter_map(|at| std::net::UdpSocket::bind(at).err()).collect();
        if errors.len() == bound.len() {
            return Err(failed(errors.first().map(system::words).unwrap_or_default()));
        }
        if self.mdns != MulticastDnsMode::Disabled {
            MulticastSocket::new().into_std().map_err(|error| failed(system::words(&error)))?;
        }
        Ok(())
    }

    /// Takes their offer, sets our answer as the local description and returns it.
    ///
    /// # Errors
    /// When the offer cannot be parsed or has nothing that we can do.
    pub async fn answer(&self, offer: &str) -> Result<String, ConnectionError> {
        let failed = ConnectionError::at(ANSWERING);
        let offer = &read(ANSWERING, offer)?;
        let known = self.inner.current_remote_description().await;
        if known.is_some_and(|known| ice_ufrag(&known.sdp) != ice_ufrag(offer)) {
            self.check_sockets()?;
            self.renew_relays().await.map_err(&failed)?;
        }
        let known = self.described(ANSWERING, offer)?;
        let description = RTCSessionDescription::offer(known).map_err(&failed)?;
        self.inner.set_remote_description(description).await.map_err(&failed)?;
        self.move_senders(offer).await.map_err(&failed)?;
        self.set_answer_directions(offer).await.map_err(&failed)?;
        let answer = self.inner.create_answer(None).await.map_err(&failed)?;
        let sdp = self.described_here(&answer.sdp);
        self.progress.connecting();
        self.inner.set_local_description(answer).await.map_err(&failed)?;
        self.tracks.settle(agreed(&sdp, offer, true));
        Ok(sdp)
    }

    /// ICE begins anew. Where a connection to a TURN server was lost, its allocation was too: the
    /// next gathering asks for others.
    async fn renew_relays(&self) -> webrtc::error::Result<()> {
        match self.relays.renew() {
            true => self.inner.set_configuration(configuration(&self.config, &self.relays)).await,
            false => Ok(()),
        }
    }

    /// The datagrams that were not let in so far.
    #[must_use]
    pub fn refused(&self) -> Refused {
        self.progress.doors().refused()
    }

    /// How the handshake stands, where there is a path and it has not ended.
    #[must_use]
    pub fn handshake(&self) -> Option<Handshake> {
        self.progress.handshake()
    }

    /// What is known of each STUN and TURN server.
    #[must_use]
    pub fn servers(&self) -> Vec<ServerReport> {
        self.relays.reports()
    }

    /// Their description as the library can take it, with no more candidates than are looked at.
    fn described(&self, step: &'static str, sdp: &str) -> Result<String, ConnectionError> {
        let unfit = |reason: Unfit| ConnectionError { step, reason: reason.to_string() };
        self.vouch.described(sdp).map_err(unfit)?;
        let sdp = without_lone_msid(&for_library(&without_strange_red(sdp)));
        let connection = Arc::downgrade(&self.inner);
        self.tcp.described_there(ice_ufrag(&sdp), connection, &self.knocker);
        let (sdp, over_tcp) = take_out(&sdp);
        over_tcp.into_iter().for_each(|line| self.tcp.theirs(line));
        Ok(self.taken().bound(&sdp, ice_ufrag(&sdp)).into_owned())
    }

    /// Our description as it goes out. Candidates over TCP follow by themselves, while they are of use.
    fn described_here(&self, sdp: &str) -> String {
        self.progress.doors().described_here(sdp);
        take_out(sdp).0.into_owned()
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes their answer to our offer.
    ///
    /// # Errors
    /// When the answer cannot be parsed or does not fit the offer.
    pub async fn take_answer(&self, answer: &str) -> Result<(), ConnectionError> {
        let failed = ConnectionError::at(TAKING_ANSWER);
        let answer = &read(TAKING_ANSWER, answer)?;
        let known = self.described(TAKING_ANSWER, answer)?;
        let description = RTCSessionDescription::answer(known).map_err(&failed)?;
        if self.staged().is_some() {
            self.check_sockets()?;
        }
        let staged = self.staged().take();
        if let Some(offer) = staged {
            self.inner.set_local_description(offer).await.map_err(&failed)?;
        }
        self.progress.connecting();
        self.inner.set_remote_description(description).await.map_err(&failed)?;
        let ours = self.inner.current_local_description().await.unwrap_or_default();
        self.tracks.settle(agreed(&ours.sdp, answer, false));
        Ok(())
    }

    /// W7: withdraws our offer, so that theirs can be answered; the library does not do so by itself.
    ///
    /// # Errors
    /// When no offer of ours is out.
    pub async fn rollback(&self) -> Result<(), ConnectionError> {
        if self.staged().take().is_some() {
            return Ok(());
        }
        let failed = ConnectionError::at("withdrawing our offer");
        let rollback = RTCSessionDescription::rollback(None).map_err(&failed)?;
        self.inner.set_local_description(rollback).await.map_err(&failed)
    }

    /// Takes one of their candidates. Their description must have been taken before.
    ///
    /// # Errors
    /// When the candidate cannot be parsed.
    pub async fn add_candidate(&self, candidate: &Candidate) -> Result<(), ConnectionError> {
        let line = candidate.candidate.strip_prefix("candidate:").unwrap_or(&candidate.candidate);
        if is_tcp(line) {
            self.tcp.theirs(line);
            return Ok(());
        }
        if !line.is_empty() && !self.taken().take(line) {
            return Ok(());
        }
        let candidate = RTCIceCandidateInit {
            candidate: candidate.candidate.clone(),
            sdp_mid: candidate.sdp_mid.clone(),
            sdp_mline_index: candidate.sdp_mline_index,
            username_fragment: candidate.username_fragment.clone(),
            url: None,
        };
        let failed = ConnectionError::at("taking a candidate");
        self.inner.add_ice_candidate(candidate).await.map_err(failed)?;
        self.progress.has_candidate();
        Ok(())
    }

    /// Whether they have said that they close the connection (DTLS `close_notify`).
    pub async fn is_closed_by_them(&self) -> bool {
        // All share one transport; the library has receivers for streams that were announced only.
        let mut found = None;
        for sender in self.inner.get_senders().await {
            found = found.or(sender.transport().await.ok().flatten());
        }
        for receiver in self.inner.get_receivers().await {
            found = found.or(receiver.transport().await.ok().flatten());
        }
        let Some(transport) = found else { return false };
        matches!(transport.state().await, Ok(RTCDtlsTransportState::Closed))
    }

    /// The way out for pictures, if we send any.
    #[must_use]
    pub fn video(&self) -> Option<VideoSender> {
        self.senders().0.clone()
    }

    /// The way out for sound, if we send any.
    #[must_use]
    pub fn audio(&self) -> Option<AudioSender> {
        self.senders().1.clone()
    }

    pub(super) fn set_video(&self, sender: VideoSender) {
        self.senders().0 = Some(sender);
    }

    pub(super) fn set_audio(&self, sender: AudioSender) {
        self.senders().1 = Some(sender);
    }

    fn senders(&self) -> MutexGuard<'_, (Option<VideoSender>, Option<AudioSender>)> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the path carries as far as we know.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Closes sockets and ends all tasks of the library.
    pub async fn close(&self) {
        self.knocker.stop();
        if let Err(error) = self.inner.close().await {
            tracing::debug!(reason = %error, "closing the connection");
        }
    }

    pub(super) fn inner(&self) -> &Arc<dyn PeerConnection> {
        &self.inner
    }

    pub(super) fn tap(&self) -> &TapState {
        &self.tap
    }

    pub(super) fn tcp(&self) -> &Tcp {
        &self.tcp
    }

    pub(super) fn tracks(&self) -> &Tracks {
        &self.tracks
    }
}

/// Their description as everybody reads it, before anybody does.
fn read(step: &'static str, sdp: &str) -> Result<String, ConnectionError> {
    readable(sdp).map_err(|reason| ConnectionError { step, reason: reason.to_string() })
}

fn porter(
    config: &ConnectionConfig,
    relays: &Arc<Relays>,
    progress: &Arc<Progress>,
    news: mpsc::Sender<ConnectionEvent>,
) -> Result<Porter, ConnectionError> {
    let runtime = config.runtime.clone().or_else(default_runtime).ok_or_else(|| {
        let reason = "the library has no runtime".to_owned();
        ConnectionError { step: OPENING, reason }
    })?;
    Ok(Porter { runtime, relays: Arc::clone(relays), progress: Arc::clone(progress), news })
}

fn configuration(
    config: &ConnectionConfig,
    relays: &Relays,
) -> webrtc::peer_connection::RTCConfiguration {
    let servers = relays.urls().into_iter().map(|(url, credentials)| RTCIceServer {
        urls: vec![url],
        username: credentials.user,
        credential: credentials.password,
    });
    let policy = match config.relay_only {
        true => RTCIceTransportPolicy::Relay,
        false => RTCIceTransportPolicy::All,
    };
    RTCConfigurationBuilder::new()
        .with_ice_servers(servers.collect())
        .with_ice_transport_policy(policy)
        .build()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "connection_tests.rs"]
mod tests;
