//! How a phone is set up: server, name, media, network, and what it does when it rings.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::allowed::Allowed;
use super::keyring::Keyring;
use crate::ice::IceServer;
use crate::key::SigningKey;
pub use crate::media::adaptation::{Content, RateOptions};
pub use crate::media::sink::OpenSinks;
use crate::media::sink::Sinks;
pub use crate::media::source::OpenSources;
use crate::media::source::{AudioSourceSpec, MediaOptions, VideoSourceSpec, open};
use crate::rtc::connection::ConnectionConfig;
pub use crate::rtc::netem::Wire;
pub use crate::secret::Secret;
pub use crate::trust::Trust;

/// Everything that a phone needs to know.
#[derive(Clone)]
pub struct PhoneConfig {
    /// The signaling server, `ws://host:port` or `wss://host`.
    pub server: String,
    /// The name to log in with.
    pub name: String,
    /// What proves that the name is ours, where the server wants to know. Never printed.
    pub token: Option<Secret>,
    /// What our descriptions are signed with, so that others know us again. None: they cannot.
    pub key: Option<Arc<SigningKey>>,
    /// Where the keys of others are remembered, if anywhere.
    pub keyring: Option<Keyring>,
    /// Where pictures and sound come from.
    pub sources: OpenSources,
    /// Where pictures and sound go.
    pub sinks: OpenSinks,
    /// How to reach the other side.
    pub network: NetworkOptions,
    /// What to do when it rings, and when to stop.
    pub call: CallOptions,
    /// A bad network that all media of its calls are sent over, to see how they fare.
    pub wire: Option<Arc<Wire>>,
}

impl PhoneConfig {
    /// Sends the test picture and a tone, receives without showing or playing, asks before it
    /// answers. Change what should be otherwise.
    #[must_use]
    pub fn new(server: &str, name: &str) -> Self {
        let media = MediaOptions {
            video: VideoSourceSpec::Test,
            audio: AudioSourceSpec::Tone,
            ..MediaOptions::default()
        };
        Self {
            server: server.to_owned(),
            name: name.to_owned(),
            token: None,
            key: None,
            keyring: None,
            sources: Arc::new(move || open(&media)),
            sinks: Arc::new(|| Ok(Sinks::default())),
            network: NetworkOptions::default(),
            call: CallOptions::default(),
            wire: None,
        }
    }
}

impl PhoneConfig {
    /// What a connection of ours needs to know; `from_server` is what the signaling server handed
    /// out.
    pub(super) fn connection(&self, from_server: &[IceServer]) -> ConnectionConfig {
        let network = &self.network;
        let mut ice_servers = network.ice_servers();
        ice_servers.extend(from_server.iter().filter_map(|server| network.of_handed_out(server)));
        ConnectionConfig {
            ice_servers,
            trust: network.trust.clone(),
            relay_only: network.ice_policy == IcePolicy::Relay,
            bind: self.addresses(),
            send_video: true,
            send_audio: true,
            max_bitrate: self.call.rate.max.unwrap_or(u32::MAX),
            min_bitrate: self.call.rate.min.unwrap_or_default(),
            runtime: None,
            wire: self.wire.clone(),
        }
    }

    /// Where media sockets are bound; empty: on all interfaces.
    ///
    /// Loopback counts as none, but when the server is on this machine the other side may be too,
    /// and the machine may have nothing else.
    fn addresses(&self) -> Vec<IpAddr> {
        match self.network.bind {
            Some(address) => vec![address],
            None if on_this_machine(&self.server) => vec![
                Ipv4Addr::UNSPECIFIED.into(),
                Ipv6Addr::UNSPECIFIED.into(),
                Ipv4Addr::LOCALHOST.into(),
            ],
            None => vec![],
        }
    }
}

/// Whether a server's URL names this machine itself.
fn on_this_machine(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => authority,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl std::fmt::Debug for PhoneConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PhoneConfig")
            .field("server", &self.server)
            .field("name", &self.name)
            .field("token", &self.token)
            .field("key", &self.key)
            .field("keyring", &self.keyring)
            .field("network", &self.network)
            .field("call", &self.call)
            .finish_non_exhaustive()
    }
}

/// How to reach the other side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkOptions {
    /// Whom to believe who a `wss://` server is.
    pub trust: Trust,
    /// `stun:` URLs. None: nobody is asked, not even whom the signaling server hands out.
    pub stun: Vec<String>,
    /// `turn:` URLs.
    pub turn: Vec<String>,
    /// For all of `turn`.
    pub turn_user: Option<String>,
    /// For all of `turn`. Never printed.
    pub turn_password: Option<Secret>,
    /// Whether only relayed paths may be used.
    pub ice_policy: IcePolicy,
    /// Bind media sockets to this address only; all interfaces otherwise.
    pub bind: Option<IpAddr>,
}

impl Default for NetworkOptions {
    fn default() -> Self {
        Self {
            trust: Trust::System,
            stun: vec![DEFAULT_STUN.to_owned()],
            turn: Vec::new(),
            turn_user: None,
            turn_password: None,
            ice_policy: IcePolicy::All,
            bind: None,
        }
    }
}

impl NetworkOptions {
    fn ice_servers(&self) -> Vec<IceServer> {
        let stun = IceServer { urls: self.stun.clone(), ..IceServer::default() };
        let turn = IceServer {
            urls: self.turn.clone(),
            username: self.turn_user.clone(),
            credential: self.turn_password.as_ref().map(|secret| secret.expose().to_owned()),
        };
        [stun, turn].into_iter().filter(|server| !server.urls.is_empty()).collect()
    }
}

impl NetworkOptions {
    /// What we use of a server that was handed out: who asks nobody for his address asks nobody, and
    /// where only relays may be used there is nothing to ask for.
    fn of_handed_out(&self, server: &IceServer) -> Option<IceServer> {
        let may_ask = !self.stun.is_empty() && self.ice_policy == IcePolicy::All;
        let may_use =
            |url: &&String| may_ask || !url.trim_start().to_ascii_lowercase().starts_with("stun");
        let urls: Vec<_> = server.urls.iter().filter(may_use).cloned().collect();
        (!urls.is_empty()).then(|| IceServer { urls, ..server.clone() })
    }
}

/// The STUN server of the tutorial.
pub const DEFAULT_STUN: &str = "stun:stun.l.google.com:19302";

/// W3C RTCIceTransportPolicy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IcePolicy {
    /// Any path.
    #[default]
    All,
    /// Only through TURN.
    Relay,
}

impl FromStr for IcePolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            "relay" => Ok(Self::Relay),
            _ => Err(format!("'{text}' is not an ICE policy; write all or relay")),
        }
    }
}

/// What to do when it rings, and when to stop.
#[derive(Debug, Clone, PartialEq)]
pub struct CallOptions {
    /// What to do when somebody calls.
    pub answer: AnswerPolicy,
    /// When not empty, only these may call; others hear `rejected`.
    pub allow: Vec<Allowed>,
    /// How long it rings before the call is given up.
    pub ring_timeout: Duration,
    /// Hang up after being connected so long.
    pub duration: Option<Duration>,
    /// What pictures and sound may spend, and on what.
    pub rate: RateOptions,
}

impl Default for CallOptions {
    fn default() -> Self {
        Self {
            answer: AnswerPolicy::Ask,
            allow: Vec::new(),
            ring_timeout: Duration::from_secs(30),
            duration: None,
            rate: RateOptions::default(),
        }
    }
}

impl CallOptions {
    /// Whether this one stands in the list of those who may call.
    pub(super) fn names(&self, name: &str) -> bool {
        self.allow.iter().any(|allowed| allowed.name == name)
    }

    /// Whether this caller gets through to us; `None` is one whose server gives no names.
    pub(super) fn may_call(&self, name: Option<&str>) -> bool {
        let allowed = self.allow.is_empty() || name.is_some_and(|name| self.names(name));
        allowed && self.answer != AnswerPolicy::Refuse
    }
}

/// What to do when somebody calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AnswerPolicy {
    /// An `incoming` event, then wait for `Answer` or `Reject`.
    #[default]
    Ask,
    /// Answer at once.
    Auto,
    /// Reject at once.
    Refuse,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_its_loopback_names() {
        for url in [
            "ws://localhost:9090",
            "ws://127.0.0.1:1",
            "wss://127.0.0.3:1",
            "ws://[::1]:9090/ws",
            "ws://[::1]",
            "ws://LOCALHOST",
        ] {
            assert!(on_this_machine(url), "{url}");
        }
        for url in ["ws://example.org:9090", "ws://192.168.1.5", "ws://localhost.example.org", ""] {
            assert!(!on_this_machine(url), "{url}");
        }
    }

    #[test]
    fn only_listed_names_get_through_and_nobody_when_we_refuse() {
        let mut options = CallOptions::default();
        assert!(options.may_call(Some("bob")) && options.may_call(None));
        options.allow = vec![Allowed::name("bob")];
        assert!(options.may_call(Some("bob")));
        assert!(!options.may_call(Some("carol")) && !options.may_call(None));
        options.answer = AnswerPolicy::Refuse;
        assert!(!options.may_call(Some("bob")));
    }

    #[test]
    fn servers_of_the_user_come_before_those_of_the_server() {
        let mut config = PhoneConfig::new("ws://example.org", "alice");
        config.network.turn = vec!["turn:t".to_owned()];
        config.network.turn_user = Some("u".to_owned());
        config.network.turn_password = Some(Secret::new("p"));
        let handed = IceServer { urls: vec!["stun:s".to_owned()], ..IceServer::default() };
        let servers = config.connection(&[handed]).ice_servers;
        assert_eq!(servers[0].urls, [DEFAULT_STUN]);
        assert_eq!(servers[1].credential.as_deref(), Some("p"));
        assert_eq!(servers[2].urls, ["stun:s"]);
    }
    #[test]
    fn what_the_user_said_wins_over_what_is_handed_out() {
        let urls = |list: &[&str]| list.iter().map(|url| (*url).to_owned()).collect::<Vec<_>>();
        let handed = [
            IceServer { urls: urls(&["STUN:s", "turn:t"]), ..IceServer::default() },
            IceServer { urls: urls(&["stuns:s"]), ..IceServer::default() },
        ];
        let mut config = PhoneConfig::new("ws://example.org", "alice");
        let used = |config: &PhoneConfig| -> Vec<String> {
            let servers = config.connection(&handed).ice_servers;
            servers.into_iter().flat_map(|server| server.urls).collect()
        };
        assert_eq!(used(&config), [DEFAULT_STUN, "STUN:s", "turn:t", "stuns:s"]);
        config.network.ice_policy = IcePolicy::Relay;
        assert_eq!(used(&config), [DEFAULT_STUN, "turn:t"]);
        config.network.stun.clear();
        config.network.ice_policy = IcePolicy::All;
        assert_eq!(used(&config), ["turn:t"]);
    }
}
