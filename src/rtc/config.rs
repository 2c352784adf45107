//! What a connection is told when it is opened.

use std::net::IpAddr;
use std::sync::Arc;

use webrtc::runtime::Runtime;

use super::netem::Wire;
use crate::ice::IceServer;
use crate::trust::Trust;

/// What a connection needs to know.
#[derive(Clone)]
pub struct ConnectionConfig {
    /// STUN and TURN servers.
    pub ice_servers: Vec<IceServer>,
    /// Whom to believe who a `turns:` server is.
    pub trust: Trust,
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
    /// The least that is aimed at whatever the path seems to carry, bits a second.
    pub min_bitrate: u32,
    /// Clock, timers and sockets; `None`: tokio's.
    pub runtime: Option<Arc<dyn Runtime>>,
    /// A bad network that all we send goes over; `None`: the one that there is.
    pub wire: Option<Arc<Wire>>,
}
