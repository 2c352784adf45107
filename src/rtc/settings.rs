//! How the library is set: roles, patience, addresses, what stands before its transport, and which of
//! its own ways are not taken.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rtc::ice::mdns::MulticastDnsMode;
use rtc::interceptor::{SenderReportBuilder, Slot};
use rtc::peer_connection::configuration::interceptor_registry::{
    configure_simulcast_extension_headers, configure_twcc_sender_only,
};
use rtc::peer_connection::transport::RTCDtlsRole;
use webrtc::peer_connection::{Registry, SettingEngine, SettingEngineBuilder};

use super::config::ConnectionConfig;
use super::congestion::{Receive, Transmit};
use super::interceptors::{RtcpTap, TapState};
use super::path::Path;

/// How long no answer to consent checks may last before ICE says "disconnected". It never says
/// "failed" by itself as long as a call lasts: what it has found is let go with that, and when it is
/// in vain to go on is decided there (RFC 7675 section 5.1 allows 30 s for a path that was used).
const ICE_DISCONNECTED: Duration = Duration::from_millis(2500);
const ICE_FAILED: Duration = Duration::from_secs(120);
/// With a fifth of the packets lost, five in a row are lost once in a thousand times.
const ICE_KEEPALIVE: Duration = Duration::from_millis(500);

/// W8: how often the library looks after its checks, awake; and no pair is given up for good, since a
/// path may come back.
const ICE_LOOK: Duration = Duration::from_millis(10);
const ICE_CHECKS: u16 = u16::MAX - 1;

/// How often sender reports go out: the other side cannot put picture and sound together before the
/// first. About 100 bytes each with all headers.
const SENDER_REPORT_INTERVAL: Duration = Duration::from_millis(250);

/// Everything that holds for each connection.
pub(super) fn settings(mdns: MulticastDnsMode) -> SettingEngine {
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
        .with_ice_connection_attempts(Some(ICE_LOOK), Some(ICE_CHECKS))
        // A restart looks at the network anew: sockets on the addresses that there are then.
        .with_discard_local_candidates_during_ice_restart(true)
        .with_multicast_dns_mode(mdns)
        // W13: done by `vouch.rs`, before anything of theirs is passed on.
        .with_disable_certificate_fingerprint_verification(true)
        .build()
}

/// Where TCP is used: not over relays alone, nor over a network that is made up, and within this
/// machine only where there is nothing else, since UDP is blocked nowhere there.
pub(super) fn bound_for_tcp(config: &ConnectionConfig) -> Option<Vec<IpAddr>> {
    let is_real = config.runtime.is_none() && config.wire.is_none();
    let mut bound = config.bind.clone();
    if !bound.iter().all(IpAddr::is_loopback) {
        bound.retain(|address| !address.is_loopback());
    }
    (is_real && !config.relay_only).then_some(bound)
}

/// What stands between the library and its transport, in its order.
pub(super) fn interceptors(
    config: &ConnectionConfig,
    path: &Path,
    tap: &Arc<TapState>,
    engine: &mut webrtc::peer_connection::MediaEngine,
) -> webrtc::error::Result<Registry> {
    let bounds = config.min_bitrate..config.max_bitrate;
    let transmit = Transmit::new(Arc::clone(tap), path.clone(), bounds);
    configure_simulcast_extension_headers(engine)?;
    // For what it says in descriptions; the numbers themselves are ours.
    configure_twcc_sender_only(Registry::new(), engine)?;
    let sender_reports = SenderReportBuilder::new().with_interval(SENDER_REPORT_INTERVAL);
    let registry = Registry::new()
        .with(Slot::Pacer, transmit)
        .with(Slot::from(RtcpTap::SLOT), RtcpTap::new(Arc::clone(tap)))
        .with(Slot::NackGenerator, Receive::new(Arc::clone(tap), path.clone()))
        .with(Slot::SenderReport, sender_reports.build());
    Ok(registry)
}

/// A wildcard skips loopback, so a call within one machine names 127.0.0.1. A machine without
/// IPv6 cannot bind its wildcard, which is no reason to fail.
pub(super) fn addresses(bind: &[IpAddr]) -> Vec<std::net::SocketAddr> {
    use std::net::{Ipv4Addr, Ipv6Addr};
    let everywhere = [IpAddr::from(Ipv4Addr::UNSPECIFIED), IpAddr::from(Ipv6Addr::UNSPECIFIED)];
    let wanted = if bind.is_empty() { &everywhere } else { bind };
    let has_ipv6 = std::net::UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok();
    let usable =
        wanted.iter().filter(|address| has_ipv6 || !address.is_unspecified() || address.is_ipv4());
    usable.map(|address| (*address, 0).into()).collect()
}
