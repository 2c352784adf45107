//! How the library is set: roles, patience, and which of its own ways are not taken.

use std::time::Duration;

use rtc::ice::mdns::MulticastDnsMode;
use rtc::peer_connection::transport::RTCDtlsRole;
use webrtc::peer_connection::{SettingEngine, SettingEngineBuilder};

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
