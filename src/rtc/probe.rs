//! What STUN and TURN servers say of us, asked outside of any call.
//!
//! Owns one socket for all questions, so that their answers can be compared. It
//! judges nothing but the kind of address translation that they show.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rtc::sansio::Protocol;
use rtc::shared::{TransportContext, TransportMessage, TransportProtocol};
use rtc::turn::client::{Client, ClientConfig, Event};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;

use super::relay::framing::{Framer, NotTurn, frame};
use super::relay::{self, Credentials, Families, Link, ServerFault, Tls, connect};
use crate::clock;
use crate::ice::url::{ServerUrl, Transport};
use crate::race;
use crate::system;
use crate::trust::Trust;

/// Between a request and its first repetition; each later one waits twice as long.
const RETRY: Duration = Duration::from_millis(200);

/// How our address looks from outside (RFC 4787 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mapping {
    /// Nobody translates it.
    None,
    /// Translated, the same for everybody: two peers can meet.
    EndpointIndependent,
    /// Translated, to each another: two such peers need a TURN server.
    EndpointDependent,
    /// Translated; only one server answered, which is too few to tell.
    Unknown,
}

/// What STUN servers saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StunReport {
    /// Each server with the address that it saw, or why it did not say.
    pub servers: Vec<(String, Result<SocketAddr, ServerFault>)>,
    /// The address that we have ourselves, where it could be found out.
    pub local: Option<SocketAddr>,
}

impl StunReport {
    /// What the answers say together; `None` when there are none.
    #[must_use]
    pub fn mapping(&self) -> Option<Mapping> {
        let mut seen = self.servers.iter().filter_map(|(_, seen)| seen.as_ref().ok());
        let first = seen.next()?;
        if self.local == Some(*first) {
            return Some(Mapping::None);
        }
        let others: Vec<_> = seen.collect();
        Some(match others.iter().all(|other| *other == first) {
            _ if others.is_empty() => Mapping::Unknown,
            true => Mapping::EndpointIndependent,
            false => Mapping::EndpointDependent,
        })
    }
}

/// Asks every server of `urls` (`stun:host[:port]`) which address it sees, all from one socket, and
/// waits for at most `limit`.
pub async fn stun(urls: &[String], bind: Option<IpAddr>, limit: Duration) -> StunReport {
    let found = urls.iter().map(async |url| {
        let at = async { addresses(&usable(url)?, bind).await };
        let late = Err(ServerFault::Silent { after: limit });
        (url.clone(), tokio::time::timeout(limit, at).await.unwrap_or(late))
    });
    let asked = futures_util::future::join_all(found).await;
    let each: Vec<_> = asked.iter().filter_map(|(_, at)| at.clone().ok()).collect();
    let addresses = each.concat();
    // Of one family, else they cannot be asked from one socket.
    let family = addresses.iter().find(|at| at.is_ipv4()).or(addresses.first()).copied();
    let exchange = match family {
        Some(family) => Exchange::with_stun(family, bind).await,
        None => Err(ServerFault::Silent { after: limit }),
    };
    let (answers, local) = match exchange {
        Ok(mut exchange) => {
            let answers = exchange.ask(&each, limit).await;
            (answers, exchange.local)
        }
        Err(error) => (addresses.iter().map(|at| (*at, Err(error.clone()))).collect(), None),
    };
    // Of several addresses of one server any may be dead.
    let answer = |all: Vec<SocketAddr>| {
        let known = || all.iter().filter_map(|at| answers.get(at));
        let told = known().find(|answer| answer.is_ok()).or(known().next());
        told.cloned().unwrap_or(Err(ServerFault::Silent { after: limit }))
    };
    let servers = asked.into_iter().map(|(url, at)| (url, at.and_then(answer)));
    StunReport { servers: servers.collect(), local }
}

/// Has the server of `url` (`turn:` or `turns:`) reserve an address for us, and gives it back.
///
/// # Errors
/// When it cannot be reached, or refuses.
pub async fn turn(
    url: &str,
    user: &str,
    password: &str,
    trust: &Trust,
    bind: Option<IpAddr>,
    limit: Duration,
) -> Result<SocketAddr, ServerFault> {
    let until = clock::now() + limit;
    let ask = async {
        let url = usable(url)?;
        let (user, password) = (user.to_owned(), password.to_owned());
        let credentials = Credentials { user, password };
        let all = addresses(&url, bind).await?;
        let over_udp = url.transport == Transport::Udp;
        // Over a stream they race; of datagrams, one that gets no answer leaves the others their
        // share of the time, so that nothing is reserved twice.
        let count = if over_udp { all.len() } else { 1 };
        for at in 0..count {
            let all = all.get(at..).unwrap_or_default();
            let exchange = async {
                let mut exchange =
                    Exchange::with_turn(&url, all, trust, bind, credentials.clone()).await?;
                let relayed = exchange.allocate().await;
                exchange.close().await;
                relayed
            };
            let left = until.saturating_duration_since(clock::now());
            let share = left / u32::try_from(count - at).unwrap_or(1);
            if let Some(answer) = clock::timeout(share, exchange).await {
                return answer;
            }
        }
        Err(ServerFault::Silent { after: limit })
    };
    tokio::time::timeout(limit, ask).await.unwrap_or(Err(ServerFault::Silent { after: limit }))
}

fn usable(url: &str) -> Result<ServerUrl, ServerFault> {
    relay::usable(url).map_err(|reason| ServerFault::Unusable { reason })
}

/// The addresses that are asked, of those that a server has: all of one family, and at least one.
async fn addresses(url: &ServerUrl, bind: Option<IpAddr>) -> Result<Vec<SocketAddr>, ServerFault> {
    let mut all = relay::resolve(url).await?;
    all.retain(|at| bind.is_none_or(|bind| bind.is_ipv4() == at.is_ipv4()));
    if all.iter().any(SocketAddr::is_ipv4) {
        all.retain(SocketAddr::is_ipv4);
    }
    all.truncate(race::MOST_ADDRESSES);
    if all.is_empty() {
        let reason = "it has no address of this kind".to_owned();
        return Err(ServerFault::Unknown { host: url.host.clone(), reason });
    }
    Ok(all)
}

/// Datagrams, or a stream to one server.
enum Way {
    Datagrams(UdpSocket),
    Stream { link: Link, framer: Framer },
}

/// The library's client, and the way to whom it asks.
struct Exchange {
    way: Way,
    client: Client,
    families: Families,
    credentials: Credentials,
    local: Option<SocketAddr>,
    local_addr: SocketAddr,
    server: SocketAddr,
    /// What the server last said no with.
    refusal: Option<ServerFault>,
}

impl Exchange {
    async fn with_stun(server: SocketAddr, bind: Option<IpAddr>) -> Result<Self, ServerFault> {
        Self::over_udp(server, bind, Credentials::default()).await
    }

    /// Over UDP with the first of these addresses, else with the first that answers.
    async fn with_turn(
        url: &ServerUrl,
        all: &[SocketAddr],
        trust: &Trust,
        bind: Option<IpAddr>,
        credentials: Credentials,
    ) -> Result<Self, ServerFault> {
        let Some(server) = all.first().copied() else {
            let reason = "it has no address".to_owned();
            return Err(ServerFault::Unknown { host: url.host.clone(), reason });
        };
        let tls = match url.transport {
            Transport::Udp => return Self::over_udp(server, bind, credentials).await,
            Transport::Tcp => None,
            Transport::Tls => Some(Tls {
                connector: relay::connector(trust.clone()).await?,
                host: url.host.clone(),
                trust: trust.clone(),
            }),
        };
        let link = connect(all, bind.unwrap_or(any(server)), tls.as_ref()).await?;
        let way = Way::Stream { link, framer: Framer::default() };
        // No datagram leaves from there; the client only compares.
        Self::new(way, (any(server), 0).into(), server, credentials, TransportProtocol::TCP)
    }

    async fn over_udp(
        server: SocketAddr,
        bind: Option<IpAddr>,
        credentials: Credentials,
    ) -> Result<Self, ServerFault> {
        let unsendable =
            |error: std::io::Error| ServerFault::Unsendable { reason: system::words(&error) };
        let socket = UdpSocket::bind((bind.unwrap_or(any(server)), 0)).await;
        let socket = socket.map_err(unsendable)?;
        let local_addr = socket.local_addr().map_err(unsendable)?;
        let way = Way::Datagrams(socket);
        let mut exchange = Self::new(way, local_addr, server, credentials, TransportProtocol::UDP)?;
        exchange.local = outgoing(server, local_addr).await;
        Ok(exchange)
    }

    fn new(
        way: Way,
        local_addr: SocketAddr,
        server: SocketAddr,
        credentials: Credentials,
        transport_protocol: TransportProtocol,
    ) -> Result<Self, ServerFault> {
        let config = ClientConfig {
            stun_serv_addr: String::new(),
            turn_serv_addr: server.to_string(),
            local_addr,
            transport_protocol,
            username: credentials.user.clone(),
            password: credentials.password.clone(),
            realm: String::new(),
            software: String::new(),
            rto_in_ms: RETRY.as_millis() as u64,
            allocation_refresh_interval_cap: None,
        };
        let crypto = rtc::crypto::default_provider();
        let crypto = crypto.map_err(|error| failed(&error))?;
        let client = Client::new(config, crypto).map_err(|error| failed(&error))?;
        let (families, local, refusal) = (Families::default(), None, None);
        Ok(Self { way, client, families, credentials, local, local_addr, server, refusal })
    }

    /// Asks every address of each server, until one of each has answered.
    async fn ask(
        &mut self,
        servers: &[Vec<SocketAddr>],
        limit: Duration,
    ) -> HashMap<SocketAddr, Result<SocketAddr, ServerFault>> {
        let (mut answers, mut asked) = (HashMap::new(), Vec::new());
        for server in servers.iter().flatten() {
            if server.is_ipv4() != self.server.is_ipv4() {
                let reason = "the others are asked over IPv4, and it has only IPv6".to_owned();
                answers.insert(*server, Err(ServerFault::Unsendable { reason }));
                continue;
            }
            match self.client.send_binding_request_to(clock::now(), *server) {
                Ok(id) => asked.push((id, *server)),
                Err(error) => {
                    answers.insert(*server, Err(failed(&error)));
                }
            }
        }
        let until = clock::now() + limit;
        let has_answered = |answers: &HashMap<SocketAddr, Result<_, _>>, all: &Vec<SocketAddr>| {
            all.iter().any(|at| answers.get(at).is_some_and(Result::is_ok))
        };
        while !asked.is_empty() && !servers.iter().all(|all| has_answered(&answers, all)) {
            let Ok(Some(event)) = self.next(until).await else { break };
            let (id, answer) = match event {
                Event::BindingResponse(id, seen) => (id, Ok(seen)),
                Event::BindingError(id, error) => {
                    (id, Err(self.refusal.take().unwrap_or_else(|| not_understood(&error))))
                }
                _ => continue,
            };
            if let Some(at) = asked.iter().position(|(asked, _)| *asked == id) {
                answers.insert(asked.swap_remove(at).1, answer);
            }
        }
        answers
    }

    async fn allocate(&mut self) -> Result<SocketAddr, ServerFault> {
        self.client.allocate(clock::now()).map_err(|error| failed(&error))?;
        // The caller has the limit.
        let until = clock::now() + Duration::from_secs(60);
        loop {
            match self.next(until).await? {
                Some(Event::AllocateResponse(_, relayed)) => return Ok(relayed),
                Some(Event::AllocateError(_, error)) => {
                    return Err(self.refusal.take().unwrap_or_else(|| not_understood(&error)));
                }
                Some(_) => {}
                None => return Err(ServerFault::Silent { after: Duration::from_secs(60) }),
            }
        }
    }

    /// The client's next event; `None` when there was none until `until`.
    async fn next(&mut self, until: std::time::Instant) -> Result<Option<Event>, ServerFault> {
        loop {
            self.send().await?;
            if let Some(event) = self.client.poll_event() {
                return Ok(Some(event));
            }
            if clock::now() >= until {
                return Ok(None);
            }
            let wake = self.client.poll_timeout().map_or(until, |at| at.min(until));
            match tokio::time::timeout_at(wake.into(), self.way.receive(self.server)).await {
                Ok(received) => {
                    let (message, from) = received?;
                    self.hear(&message, from).await?;
                }
                Err(_) => {
                    let handled = self.client.handle_timeout(clock::now());
                    handled.map_err(|error| failed(&error))?;
                }
            }
        }
    }

    async fn hear(&mut self, message: &[u8], peer_addr: SocketAddr) -> Result<(), ServerFault> {
        let credentials = self.credentials.clone();
        if let Some((_, again)) = self.families.incoming(message, |_| credentials) {
            return self.way.send(&again, peer_addr).await;
        }
        self.refusal = relay::refusal(message).or(self.refusal.take());
        let transport = TransportContext {
            local_addr: self.local_addr,
            peer_addr,
            transport_protocol: self.way.protocol(),
            ecn: None,
        };
        let message = BytesMut::from(message);
        let read = TransportMessage { now: clock::now(), transport, message };
        if let Err(error) = self.client.handle_read(read) {
            // Anybody can send us something that is no answer.
            tracing::debug!(%error, "a packet that is no answer");
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<(), ServerFault> {
        while let Some(packet) = self.client.poll_write() {
            let to = packet.transport.peer_addr;
            // It has no IPv4 address, or it would be asked there.
            let ipv6 = self.server.is_ipv6();
            let other = self.families.outgoing(to, &packet.message, ipv6, &self.credentials);
            self.way.send(other.as_deref().unwrap_or(&packet.message), to).await?;
        }
        Ok(())
    }

    /// Gives back what was reserved; a server that does not hear it forgets it by itself.
    async fn close(mut self) {
        if self.client.close().is_ok() {
            let _ = self.send().await;
        }
    }
}

impl Way {
    fn protocol(&self) -> TransportProtocol {
        match self {
            Self::Datagrams(_) => TransportProtocol::UDP,
            Self::Stream { .. } => TransportProtocol::TCP,
        }
    }

    async fn send(&mut self, message: &[u8], to: SocketAddr) -> Result<(), ServerFault> {
        let sent = match self {
            Self::Datagrams(socket) => socket.send_to(message, to).await.map(|_| ()),
            Self::Stream { link, .. } => {
                let mut framed = Vec::new();
                frame(message, &mut framed);
                link.write_all(&framed).await
            }
        };
        sent.map_err(|error| ServerFault::Unsendable { reason: system::words(&error) })
    }

    /// The next message and its sender. May be given up while it waits.
    async fn receive(&mut self, server: SocketAddr) -> Result<(Bytes, SocketAddr), ServerFault> {
        let mut buffer = vec![0; 2048];
        match self {
            Self::Datagrams(socket) => {
                let received = socket.recv_from(&mut buffer).await;
                let (length, from) = received
                    .map_err(|error| ServerFault::Unsendable { reason: system::words(&error) })?;
                buffer.truncate(length);
                Ok((buffer.into(), from))
            }
            Self::Stream { link, framer } => loop {
                let next = framer.next_message();
                let odd = |error: NotTurn| ServerFault::NotTurn { reason: error.to_string() };
                if let Some(message) = next.map_err(odd)? {
                    return Ok((message, server));
                }
                match link.read(&mut buffer).await {
                    Ok(length @ 1..) => framer.push(buffer.get(..length).unwrap_or_default()),
                    Ok(0) => return Err(relay::ended(false)),
                    Err(error) => {
                        return Err(ServerFault::Unreachable { reason: system::words(&error) });
                    }
                }
            },
        }
    }
}

/// Of the family of this server.
/// The library's words are for those who work on it, and go to the log.
fn failed(error: &impl std::fmt::Display) -> ServerFault {
    tracing::info!(%error, "the client of STUN and TURN");
    let reason = "internal error in the STUN and TURN client; please report it".to_owned();
    ServerFault::Unsendable { reason }
}

fn not_understood(error: &impl std::fmt::Display) -> ServerFault {
    tracing::info!(%error, "an answer of a STUN or TURN server");
    ServerFault::NotTurn { reason: "its answer was not understood".to_owned() }
}

fn any(server: SocketAddr) -> IpAddr {
    match server {
        SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// The address that packets to `server` really leave from: a socket that is bound to all does not
/// say. Connecting sends nothing.
async fn outgoing(server: SocketAddr, bound: SocketAddr) -> Option<SocketAddr> {
    let probe = UdpSocket::bind((bound.ip(), 0)).await.ok()?;
    probe.connect(server).await.ok()?;
    Some(SocketAddr::new(probe.local_addr().ok()?.ip(), bound.port()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn report(local: &str, seen: &[&str]) -> Option<Mapping> {
        let servers = seen.iter().map(|seen| ("stun:x".to_owned(), Ok(seen.parse().unwrap())));
        let silent = ("stun:y".to_owned(), Err(ServerFault::Silent { after: RETRY }));
        let servers = servers.chain([silent]).collect();
        StunReport { servers, local: local.parse().ok() }.mapping()
    }

    #[test]
    fn two_answers_tell_the_kind_of_translation() {
        let (own, one, two) = ("10.0.0.2:5000", "1.2.3.4:5000", "1.2.3.4:5001");
        assert_eq!(report(own, &[]), None);
        assert_eq!(report(one, &[one]), Some(Mapping::None));
        assert_eq!(report(own, &[one]), Some(Mapping::Unknown));
        assert_eq!(report(own, &[one, one]), Some(Mapping::EndpointIndependent));
        assert_eq!(report(own, &[one, two]), Some(Mapping::EndpointDependent));
    }

    #[tokio::test]
    async fn a_server_that_is_silent_is_not_waited_for() {
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let url = format!("stun:{}", silent.local_addr().unwrap());
        let limit = Duration::from_millis(300);
        let report = stun(&[url, "stun:nowhere.invalid".into()], None, limit).await;
        assert!(matches!(report.servers[0].1, Err(ServerFault::Silent { .. })), "{report:?}");
        assert!(matches!(report.servers[1].1, Err(ServerFault::Unknown { .. })), "{report:?}");
        assert_eq!(report.mapping(), None);
        let url = format!("turn:{}", silent.local_addr().unwrap());
        let refused = turn(&url, "u", "p", &Trust::System, None, limit).await;
        assert_eq!(refused, Err(ServerFault::Silent { after: limit }));
    }
}
