//! STUN and TURN servers of a connection: how they are reached, and what they say.
//!
//! W10: the library does TURN over UDP only, waits for the resolver, reads IPv6 addresses wrongly
//! and tells nobody what servers answer. So it is given names and addresses that exist nowhere
//! else; the sockets under it (`socket.rs`) know what each stands for, carry its datagrams to the
//! server by whatever way its URL says, and listen to the answers. No socket of ours listens for
//! it on this machine.

mod answers;
mod choice;
mod family;
pub mod framing;
mod ids;
mod socket;
mod stream;
mod stun;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::sync::{OnceCell, mpsc, watch};
use tokio_rustls::TlsConnector;
use webrtc::runtime::AsyncUdpSocket;

use self::answers::Answers;
pub(super) use self::answers::look_at;
pub use self::answers::{Answer, ServerReport};
pub(super) use self::family::{Credentials, Families};
use self::socket::RelaySocket;
pub(super) use self::stream::{Link, Tls, connect, ended};
use self::stun::{Class, Stun, TransactionId};
use super::events::ConnectionEvent;
use super::progress::Progress;
pub use super::server_fault::ServerFault;
use crate::clock;
use crate::ice::IceServer;
use crate::ice::url::{ServerKind, ServerUrl, Transport};
use crate::trust::Trust;

/// More servers than anybody needs; signaling servers hand them out.
const MOST_SERVERS: usize = 32;

/// How long the resolver may take. Nothing waits for it but the one server.
pub(super) const LOOKUP_LIMIT: Duration = Duration::from_secs(5);

/// The names that the library is given end so; nobody else can have them (RFC 6761 section 6.4).
const NOWHERE: &str = ".invalid";

/// The port of multicast DNS, which has a socket of its own.
const MDNS_PORT: u16 = 5353;

/// The servers of one connection.
pub(super) struct Relays {
    targets: Vec<Target>,
    trust: Trust,
    tls: OnceCell<Result<TlsConnector, ServerFault>>,
    /// Counts how often all allocations were asked for anew.
    generation: AtomicU16,
    /// The library was refused a way to a server, or had one that was lost.
    broken: AtomicBool,
    /// There is a socket that reaches others over IPv4.
    has_ipv4: AtomicBool,
    answers: Mutex<Answers>,
    told: AtomicBool,
    news: mpsc::Sender<ConnectionEvent>,
    progress: Arc<Progress>,
}

/// One URL.
struct Target {
    text: String,
    url: ServerUrl,
    credentials: Credentials,
    /// Which targets have the same address and way, itself among them.
    same: Vec<usize>,
    /// `None` while the resolver is asked.
    addresses: watch::Sender<Option<Result<Vec<SocketAddr>, ServerFault>>>,
}

impl std::fmt::Debug for Relays {
    /// Without the credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.targets.iter().map(|target| &target.text)).finish()
    }
}

impl Relays {
    pub(super) fn new(
        servers: &[IceServer],
        trust: Trust,
        news: mpsc::Sender<ConnectionEvent>,
        progress: Arc<Progress>,
    ) -> Self {
        let (mut targets, mut faults) = (Vec::<Target>::new(), Vec::new());
        for (text, server) in servers.iter().flat_map(|s| s.urls.iter().map(move |url| (url, s))) {
            if targets.len() == MOST_SERVERS {
                tracing::warn!(
                    "more than {MOST_SERVERS} STUN and TURN servers; the rest is left out"
                );
                break;
            }
            let url = usable_for(text, server).unwrap_or_else(|reason| {
                faults.push((targets.len(), ServerFault::Unusable { reason }));
                nowhere(text)
            });
            targets.push(Target {
                text: text.clone(),
                url,
                credentials: Credentials {
                    user: server.username.clone().unwrap_or_default(),
                    password: server.credential.clone().unwrap_or_default(),
                },
                same: Vec::new(),
                addresses: watch::Sender::new(None),
            });
        }
        let place = |t: &Target| (t.url.host.clone(), t.url.port, t.url.transport);
        let places: Vec<_> = targets.iter().map(place).collect();
        for target in &mut targets {
            let own = place(target);
            let same = places.iter().enumerate().filter(|(_, other)| **other == own);
            target.same = same.map(|(at, _)| at).collect();
        }
        let names = targets.iter().map(|target| (target.text.clone(), target.url.kind));
        let mut answers = Answers::new(names);
        for (at, fault) in faults {
            answers.on_fault(at, fault, &[]);
        }
        Self {
            targets,
            trust,
            tls: OnceCell::new(),
            generation: AtomicU16::new(0),
            broken: AtomicBool::new(false),
            has_ipv4: AtomicBool::new(false),
            answers: Mutex::new(answers),
            told: AtomicBool::new(false),
            news,
            progress,
        }
    }

    /// Asks the resolver for all servers at once. To be called on tokio.
    pub(super) fn look_up(self: &Arc<Self>) {
        for (at, target) in self.targets.iter().enumerate() {
            // One question for all that have the same answer.
            if target.same.first() == Some(&at) && target.is_usable() {
                let relays = Arc::clone(self);
                tokio::spawn(async move { relays.look_up_one(at).await });
            }
        }
        if self.targets.iter().any(|target| target.url.transport == Transport::Tls) {
            let relays = Arc::clone(self);
            // It reads files, which is better done before somebody waits for it.
            tokio::spawn(async move { relays.connector().await.map(|_| ()) });
        }
        self.tell();
    }

    async fn look_up_one(&self, at: usize) {
        let Some(target) = self.targets.get(at) else { return };
        let found = resolve(&target.url).await;
        if let Err(fault) = &found {
            // Another network may have another resolver.
            self.broken.store(true, Ordering::Relaxed);
            for same in &target.same {
                self.on_fault(*same, fault.clone(), &[]);
            }
        }
        for same in target.same.iter().filter_map(|same| self.targets.get(*same)) {
            same.addresses.send_replace(Some(found.clone()));
        }
    }

    /// The URLs as the library is to see them.
    pub(super) fn urls(&self) -> Vec<(String, Credentials)> {
        let generation = self.generation.load(Ordering::Relaxed);
        let usable = self.targets.iter().enumerate().filter(|(_, target)| target.is_usable());
        let urls = usable.map(|(at, target)| {
            let scheme = match target.url.kind {
                ServerKind::Stun => "stun",
                ServerKind::Turn => "turn",
            };
            let port = target.url.port;
            let url = format!("{scheme}:server-{at}-{generation}{NOWHERE}:{port}");
            (url, target.credentials.clone())
        });
        urls.collect()
    }

    /// What the library is to take for the addresses of a host that it asks for; `None` when it is
    /// not one of these servers.
    pub(super) fn stand_ins(&self, host: &str) -> Option<Vec<SocketAddr>> {
        let (name, _) = host.split_once(NOWHERE)?;
        let (at, generation) = name.strip_prefix("server-")?.split_once('-')?;
        let target = self.targets.get(at.parse::<usize>().ok()?)?;
        let (first, port) = (u16::try_from(*target.same.first()?).ok()?, target.url.port);
        let [high, low] = generation.parse::<u16>().ok()?.to_be_bytes();
        // No packet can go to 0.0.0.0/8 (RFC 1122 section 3.2.1.3), or comes back from 100::/64
        // (RFC 6666).
        let v4 = Ipv4Addr::new(0, high, low, u8::try_from(first).ok()?.checked_add(1)?);
        let generation = u16::from_be_bytes([high, low]);
        let v6 = Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, generation, first + 1);
        Some(vec![SocketAddr::new(v4.into(), port), SocketAddr::new(v6.into(), port)])
    }

    /// Whether the library was told this address last; what it still says to others counts no more.
    fn is_current(&self, stand_in: SocketAddr) -> bool {
        let generation = match stand_in.ip() {
            IpAddr::V4(ip) => u16::from_be_bytes([ip.octets()[1], ip.octets()[2]]),
            IpAddr::V6(ip) => ip.segments()[6],
        };
        generation == self.generation.load(Ordering::Relaxed)
    }

    /// Whether what comes from this address comes through a STUN or TURN server.
    pub(super) fn is_server(&self, address: SocketAddr) -> bool {
        self.target_at(address).is_some()
    }

    /// The target that an address stands for.
    fn target_at(&self, address: SocketAddr) -> Option<(usize, &Target)> {
        let at = match address.ip() {
            IpAddr::V4(ip) => match ip.octets() {
                [0, _, _, place] => usize::from(place),
                _ => return None,
            },
            IpAddr::V6(ip) => match ip.segments() {
                [0x100, 0, 0, 0, 0, 0, _, place] => usize::from(place),
                _ => return None,
            },
        };
        let at = at.checked_sub(1)?;
        Some((at, self.targets.get(at)?))
    }

    /// Puts a socket of the library's own on the way to the servers.
    pub(super) fn wrap(
        self: &Arc<Self>,
        inner: Arc<dyn AsyncUdpSocket>,
    ) -> std::io::Result<Arc<dyn AsyncUdpSocket>> {
        let local = inner.local_addr()?;
        if self.targets.is_empty() || local.port() == MDNS_PORT {
            return Ok(inner);
        }
        if local.is_ipv4() && !local.ip().is_loopback() {
            self.has_ipv4.store(true, Ordering::Relaxed);
        }
        Ok(Arc::new(RelaySocket::new(inner, local, Arc::clone(self))))
    }

    /// ICE begins anew: whether allocations are to be asked for anew too, because a way to a server
    /// was lost. From now on the URLs are others, which makes the library do so when it gathers.
    pub(super) fn renew(self: &Arc<Self>) -> bool {
        if !self.broken.swap(false, Ordering::Relaxed) {
            return false;
        }
        self.generation.fetch_add(1, Ordering::Relaxed);
        self.told.store(false, Ordering::Relaxed);
        self.answers().begin();
        self.look_up();
        true
    }

    /// What is known of each server.
    pub(super) fn reports(&self) -> Vec<ServerReport> {
        self.answers().reports(clock::now())
    }

    async fn tls(&self, target: &Target) -> Result<Option<Tls>, ServerFault> {
        if target.url.transport != Transport::Tls {
            return Ok(None);
        }
        let connector = self.connector().await?;
        let (host, trust) = (target.url.host.clone(), self.trust.clone());
        Ok(Some(Tls { connector, host, trust }))
    }

    async fn connector(&self) -> Result<TlsConnector, ServerFault> {
        self.tls.get_or_init(|| connector(self.trust.clone())).await.clone()
    }

    fn on_sent(&self, to: &Target, message: &Stun<'_>) {
        if self.answers().on_sent(clock::now(), &to.same, message) {
            self.tell();
        }
    }

    fn on_received(&self, message: &Stun<'_>) {
        if self.answers().on_received(message) {
            self.tell();
        }
    }

    /// One way to a server is of no use, and what was asked on it gets no answer.
    fn on_no_way(&self, to: SocketAddr, fault: &ServerFault, dead: &[TransactionId]) {
        let Some((_, target)) = self.target_at(to).filter(|_| self.is_current(to)) else { return };
        for same in &target.same {
            self.on_fault(*same, fault.clone(), dead);
        }
    }

    /// A stream has ended, and what it was asked last gets no answer.
    fn on_lost(&self, to: SocketAddr, fault: &ServerFault, dead: &[TransactionId]) {
        if self.is_current(to) {
            self.broken.store(true, Ordering::Relaxed);
            self.on_no_way(to, fault, dead);
        }
    }

    fn on_fault(&self, at: usize, fault: ServerFault, dead: &[TransactionId]) {
        if self.answers().on_fault(at, fault, dead) {
            self.tell();
        }
    }

    /// That nobody relays for us, once, when it is sure.
    fn tell(&self) {
        let mut servers = self.answers().no_relay();
        if self.progress.is_connected() {
            // There is a path without them; only what its owner can mend is worth a word.
            servers.retain(|(_, fault)| fault.is_refusal());
        }
        if !servers.is_empty() && !self.told.swap(true, Ordering::Relaxed) {
            // Nobody listens any more when the call is over.
            let _ = self.news.try_send(ConnectionEvent::NoRelay(servers));
        }
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Target {
    fn is_usable(&self) -> bool {
        !self.url.host.is_empty()
    }

    fn has_ipv4(&self) -> bool {
        let addresses = self.addresses.borrow();
        matches!(&*addresses, Some(Ok(all)) if all.iter().any(SocketAddr::is_ipv4))
    }
}

/// What stands for a URL that cannot be used, so that it can be told about.
fn nowhere(text: &str) -> ServerUrl {
    let kind = if text.starts_with("stun") { ServerKind::Stun } else { ServerKind::Turn };
    ServerUrl { kind, transport: Transport::Udp, host: String::new(), port: 0 }
}

/// A URL that we can use with what comes with it. The library would refuse the whole connection
/// for one that it cannot.
fn usable_for(text: &str, server: &IceServer) -> Result<ServerUrl, String> {
    let url = usable(text)?;
    let has = |word: &Option<String>| word.as_ref().is_some_and(|word| !word.is_empty());
    match url.kind == ServerKind::Turn && !(has(&server.username) && has(&server.credential)) {
        true => Err("a TURN server wants a user and a password".to_owned()),
        false => Ok(url),
    }
}

/// A URL that we can use.
pub(super) fn usable(text: &str) -> Result<ServerUrl, String> {
    let url: ServerUrl = text.parse()?;
    match (url.kind, url.transport) {
        (ServerKind::Stun, Transport::Tcp | Transport::Tls) => {
            Err("stuns: (STUN over TLS) would show how TCP is seen, which is of no use; \
                 write stun:HOST:PORT"
                .to_owned())
        }
        _ => Ok(url),
    }
}

/// The addresses of a server; an address in the URL is its own.
pub(super) async fn resolve(url: &ServerUrl) -> Result<Vec<SocketAddr>, ServerFault> {
    let unknown = |reason: String| ServerFault::Unknown { host: url.host.clone(), reason };
    let found = tokio::time::timeout(LOOKUP_LIMIT, lookup_host((url.host.as_str(), url.port)));
    let found = found.await.map_err(|_| unknown("the resolver does not answer".to_owned()))?;
    let all: Vec<_> = found.map_err(|error| unknown(error.to_string()))?.collect();
    if all.is_empty() {
        return Err(unknown("it has no address".to_owned()));
    }
    Ok(all)
}

/// What a server says no with. The first time it may only want to know who asks.
pub(super) fn refusal(message: &[u8]) -> Option<ServerFault> {
    let message = Stun::read(message).filter(|message| message.class == Class::Error)?;
    let (code, reason) = message.error()?;
    Some(ServerFault::Refused { code, reason })
}

/// Whom to believe, read in the background: there may be files.
pub(super) async fn connector(trust: Trust) -> Result<TlsConnector, ServerFault> {
    let config = tokio::task::spawn_blocking(move || trust.config_for_others()).await;
    match config {
        Ok(Ok(config)) => Ok(TlsConnector::from(Arc::new(config))),
        Ok(Err(error)) => Err(ServerFault::Untrusted { reason: error.to_string() }),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "relay_tests.rs"]
mod tests;
