//! One peer connection: configuration in, descriptions and events out.
//!
//! Owns the library's object, its settings and the workarounds in them. It
//! decides nothing about calls; `call` tells it what to do and when.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rtc::ice::mdns::MulticastDnsMode;
use rtc::interceptor::{
    CongestionControlBuilder, NackGeneratorBuilder, NackResponderBuilder, PacerBuilder,
    ReceiverReportBuilder, SenderReportBuilder, Slot,
};
use rtc::peer_connection::configuration::interceptor_registry::{
    configure_simulcast_extension_headers, configure_twcc,
};
use rtc::peer_connection::transport::RTCDtlsRole;
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use tokio::sync::mpsc;
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, RTCConfigurationBuilder, RTCIceCandidateInit,
    RTCIceServer, RTCIceTransportPolicy, RTCSessionDescription, Registry, SettingEngineBuilder,
};
use webrtc::runtime::{Runtime, default_runtime};

use super::bandwidth::{TargetBitrate, WatchedEstimator};
use super::codecs;
use super::events::{ConnectionEvent, Events};
use super::interceptors::{RtcpCounters, RtcpTap, RtxUnpacker, TapState};
use super::receiver::RedTypes;
use super::relays::Relays;
use super::runtime::{Impatient, Progress};
use super::sdp::{Direction, red_payload_types, sections, without_strange_red};
use super::sender::{AudioSender, VideoSender};
use crate::ice::{Candidate, IceServer};

/// What a connection needs to know.
#[derive(Clone)]
pub struct ConnectionConfig {
    /// STUN and TURN servers.
    pub ice_servers: Vec<IceServer>,
    /// Only relayed paths.
    pub relay_only: bool,
    /// Addresses to bind media sockets to; empty: all interfaces.
    pub bind: Vec<IpAddr>,
    /// Whether we send pictures.
    pub send_video: bool,
    /// Whether we send sound.
    pub send_audio: bool,
    /// The most that all media together may take, bits a second.
    pub max_bitrate: u32,
    /// Clock, timers and sockets; `None`: tokio's.
    pub runtime: Option<Arc<dyn Runtime>>,
}

/// Why the connection could not do what it was told.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {reason}")]
pub struct ConnectionError {
    /// What was being done.
    pub step: &'static str,
    /// What the library said; never contains packets or passwords.
    pub reason: String,
}

impl ConnectionError {
    fn at(step: &'static str) -> impl Fn(webrtc::error::Error) -> Self {
        move |error| Self { step, reason: error.to_string() }
    }
}

/// How long no answer to consent checks may last before ICE says "disconnected", then "failed"
/// (RFC 7675 section 5.1 allows 30 s in all).
const ICE_DISCONNECTED: Duration = Duration::from_secs(5);
const ICE_FAILED: Duration = Duration::from_secs(15);
const ICE_KEEPALIVE: Duration = Duration::from_secs(2);

/// How often sender reports go out: the other side cannot put picture and sound together before the
/// first. About 100 bytes each with all headers.
const SENDER_REPORT_INTERVAL: Duration = Duration::from_millis(250);

/// How often missing packets are asked for, and how many times each.
const NACK_INTERVAL: Duration = Duration::from_millis(20);
const NACKS_PER_PACKET: u16 = 10;

/// Packets that may leave at once after a pause: about two pictures at the usual rates.
const PACER_BURST_BITS: f64 = 150_000.0;

/// One RTCPeerConnection with our codecs and settings.
pub struct Connection {
    inner: Arc<dyn PeerConnection>,
    progress: Arc<Progress>,
    tap: Arc<TapState>,
    red: Arc<RedTypes>,
    target: TargetBitrate,
    video: Option<VideoSender>,
    audio: Option<AudioSender>,
    config: ConnectionConfig,
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
        let red = Arc::new(RedTypes::default());
        let relays = Relays::new(&config.ice_servers, &config.bind);
        let (events, news, receiver) = Events::new(Arc::clone(&progress), relays, Arc::clone(&red));
        let tap = Arc::new(TapState {
            counters: RtcpCounters::default(),
            video_ssrc: rand::random(),
            video_rtx_ssrc: rand::random(),
            audio_ssrc: rand::random(),
            mappings: Mutex::new(HashMap::new()),
            news,
        });
        let failed = ConnectionError::at("preparing the connection");
        let mut engine = codecs::media_engine().map_err(&failed)?;
        let (registry, target) =
            interceptors(config.max_bitrate, &tap, &mut engine).map_err(&failed)?;
        let mut builder = PeerConnectionBuilder::new()
            .with_configuration(configuration(config))
            .with_media_engine(engine)
            .with_setting_engine(settings(mdns))
            .with_interceptor_registry(registry)
            .with_handler(Arc::new(events))
            .with_udp_addrs(addresses(&config.bind));
        if let Some(inner) = config.runtime.clone().or_else(default_runtime) {
            let progress = Arc::clone(&progress);
            builder = builder.with_runtime(Arc::new(Impatient { inner, progress }));
        }
        let inner =
            Arc::new(builder.build().await.map_err(ConnectionError::at("opening media sockets"))?);
        let mut connection = Self {
            inner,
            progress,
            tap,
            red,
            target,
            video: None,
            audio: None,
            config: config.clone(),
        };
        connection.add_tracks().await.map_err(failed)?;
        Ok((connection, receiver))
    }

    async fn add_tracks(&mut self) -> webrtc::error::Result<()> {
        let receive_only = || {
            Some(RTCRtpTransceiverInit {
                direction: RTCRtpTransceiverDirection::Recvonly,
                ..Default::default()
            })
        };
        if self.config.send_audio {
            self.audio = Some(AudioSender::add(&*self.inner, &self.tap).await?);
        } else {
            self.inner.add_transceiver_from_kind(RtpCodecKind::Audio, receive_only()).await?;
        }
        if self.config.send_video {
            self.video = Some(VideoSender::add(&*self.inner, &self.tap).await?);
        } else {
            self.inner.add_transceiver_from_kind(RtpCodecKind::Video, receive_only()).await?;
        }
        Ok(())
    }

    /// Makes an offer and sets it as the local description. Candidates follow as events, some of
    /// them before this returns.
    ///
    /// # Errors
    /// When the library refuses, for example because an offer of theirs is being answered.
    pub async fn create_offer(&self, restart_ice: bool) -> Result<String, ConnectionError> {
        let failed = ConnectionError::at("making an offer");
        if restart_ice {
            self.inner.restart_ice().await.map_err(&failed)?;
        }
        let offer = self.inner.create_offer(None).await.map_err(&failed)?;
        let sdp = offer.sdp.clone();
        self.note_red(&sdp);
        self.inner.set_local_description(offer).await.map_err(&failed)?;
        Ok(sdp)
    }

    /// Takes their offer, sets our answer as the local description and returns it.
    ///
    /// # Errors
    /// When the offer cannot be parsed or has nothing that we can do.
    pub async fn answer(&self, offer: &str) -> Result<String, ConnectionError> {
        let failed = ConnectionError::at("answering their offer");
        self.note_red(offer);
        let known = without_strange_red(offer).into_owned();
        let description = RTCSessionDescription::offer(known).map_err(&failed)?;
        self.inner.set_remote_description(description).await.map_err(&failed)?;
        self.set_answer_directions(offer).await.map_err(&failed)?;
        let answer = self.inner.create_answer(None).await.map_err(&failed)?;
        let sdp = answer.sdp.clone();
        self.progress.connecting();
        self.inner.set_local_description(answer).await.map_err(&failed)?;
        Ok(sdp)
    }

    /// What either side calls RED comes as RED, whoever of us chose the number.
    fn note_red(&self, sdp: &str) {
        red_payload_types(sdp).for_each(|payload_type| self.red.add(payload_type));
    }

    /// W2: the library does not turn round the direction of an offer.
    async fn set_answer_directions(&self, offer: &str) -> webrtc::error::Result<()> {
        let offered = sections(offer);
        for transceiver in self.inner.get_transceivers().await {
            let Some(mid) = transceiver.mid().await? else { continue };
            let Some(section) = offered.iter().find(|section| section.mid == mid) else { continue };
            let send = match section.kind.as_str() {
                "video" => self.video.is_some(),
                "audio" => self.audio.is_some(),
                _ => continue,
            };
            let direction = match section.direction.answer(send, true) {
                Direction::SendRecv => RTCRtpTransceiverDirection::Sendrecv,
                Direction::SendOnly => RTCRtpTransceiverDirection::Sendonly,
                Direction::RecvOnly => RTCRtpTransceiverDirection::Recvonly,
                Direction::Inactive => RTCRtpTransceiverDirection::Inactive,
            };
            transceiver.set_direction(direction).await?;
        }
        Ok(())
    }

    /// Takes their answer to our offer.
    ///
    /// # Errors
    /// When the answer cannot be parsed or does not fit the offer.
    pub async fn take_answer(&self, answer: &str) -> Result<(), ConnectionError> {
        let failed = ConnectionError::at("taking their answer");
        self.note_red(answer);
        let known = without_strange_red(answer).into_owned();
        let description = RTCSessionDescription::answer(known).map_err(&failed)?;
        self.progress.connecting();
        self.inner.set_remote_description(description).await.map_err(&failed)
    }

    /// W7: withdraws our offer, so that theirs can be answered; the library does not do so by itself.
    ///
    /// # Errors
    /// When no offer of ours is out.
    pub async fn rollback(&self) -> Result<(), ConnectionError> {
        let failed = ConnectionError::at("withdrawing our offer");
        let rollback = RTCSessionDescription::rollback(None).map_err(&failed)?;
        self.inner.set_local_description(rollback).await.map_err(&failed)
    }

    /// Takes one of their candidates. Their description must have been taken before.
    ///
    /// # Errors
    /// When the candidate cannot be parsed.
    pub async fn add_candidate(&self, candidate: &Candidate) -> Result<(), ConnectionError> {
        let candidate = RTCIceCandidateInit {
            candidate: candidate.candidate.clone(),
            sdp_mid: candidate.sdp_mid.clone(),
            sdp_mline_index: candidate.sdp_mline_index,
            username_fragment: candidate.username_fragment.clone(),
            url: None,
        };
        self.inner
            .add_ice_candidate(candidate)
            .await
            .map_err(ConnectionError::at("taking a candidate"))
    }

    /// The way out for pictures, if we send any.
    #[must_use]
    pub fn video(&self) -> Option<&VideoSender> {
        self.video.as_ref()
    }

    /// The way out for sound, if we send any.
    #[must_use]
    pub fn audio(&self) -> Option<&AudioSender> {
        self.audio.as_ref()
    }

    /// What the path carries as far as we know, bits a second.
    #[must_use]
    pub fn target_bitrate(&self) -> TargetBitrate {
        self.target.clone()
    }

    /// Closes sockets and ends all tasks of the library.
    pub async fn close(&self) {
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
}

fn configuration(config: &ConnectionConfig) -> webrtc::peer_connection::RTCConfiguration {
    let servers = config.ice_servers.iter().map(|server| RTCIceServer {
        urls: server.urls.clone(),
        username: server.username.clone().unwrap_or_default(),
        credential: server.credential.clone().unwrap_or_default(),
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

fn settings(mdns: MulticastDnsMode) -> webrtc::peer_connection::SettingEngine {
    SettingEngineBuilder::new()
        // W1: as DTLS client our role would flip on a re-offer, and a browser fails; being the
        // server always also connects faster.
        .with_answering_dtls_role(RTCDtlsRole::Server)
        // W5: as controlling side the library would wait a second for something better than a
        // peer-reflexive path.
        .with_prflx_acceptance_min_wait(Some(Duration::ZERO))
        .with_srflx_acceptance_min_wait(Some(Duration::ZERO))
        .with_relay_acceptance_min_wait(Some(Duration::ZERO))
        .with_ice_timeouts(Some(ICE_DISCONNECTED), Some(ICE_FAILED), Some(ICE_KEEPALIVE))
        .with_multicast_dns_mode(mdns)
        .build()
}

fn interceptors(
    max_bitrate: u32,
    tap: &Arc<TapState>,
    engine: &mut webrtc::peer_connection::MediaEngine,
) -> webrtc::error::Result<(Registry, TargetBitrate)> {
    let (estimator, target) = WatchedEstimator::new(max_bitrate);
    let pacer = PacerBuilder::new()
        .with_target_bitrate(WatchedEstimator::pacing_start(max_bitrate))
        .with_burst_bits(PACER_BURST_BITS);
    let nacks = NackGeneratorBuilder::new()
        .with_interval(NACK_INTERVAL)
        .with_max_nacks_per_packet(NACKS_PER_PACKET);
    configure_simulcast_extension_headers(engine)?;
    let registry = configure_twcc(Registry::new(), engine)?
        .with(Slot::ReceiverReport, ReceiverReportBuilder::new().build())
        .with(
            Slot::SenderReport,
            SenderReportBuilder::new().with_interval(SENDER_REPORT_INTERVAL).build(),
        )
        .with(Slot::CongestionControl, CongestionControlBuilder::new(estimator).build())
        .with(Slot::Pacer, pacer.build())
        .with(Slot::from(RtcpTap::SLOT), RtcpTap::new(Arc::clone(tap)))
        .with(Slot::NackResponder, NackResponderBuilder::new().build())
        .with(Slot::from(RtxUnpacker::SLOT), RtxUnpacker::new(Arc::clone(tap)))
        .with(Slot::NackGenerator, nacks.build());
    Ok((registry, target))
}

/// A wildcard skips loopback, so a call within one machine names 127.0.0.1. A machine without
/// IPv6 cannot bind its wildcard, which is no reason to fail.
fn addresses(bind: &[IpAddr]) -> Vec<std::net::SocketAddr> {
    use std::net::{Ipv4Addr, Ipv6Addr};
    let everywhere = [IpAddr::from(Ipv4Addr::UNSPECIFIED), IpAddr::from(Ipv6Addr::UNSPECIFIED)];
    let wanted = if bind.is_empty() { &everywhere } else { bind };
    let has_ipv6 = std::net::UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok();
    let usable =
        wanted.iter().filter(|address| has_ipv6 || !address.is_unspecified() || address.is_ipv4());
    usable.map(|address| (*address, 0).into()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "connection_tests.rs"]
mod tests;
