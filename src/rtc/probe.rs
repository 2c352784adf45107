//! What STUN and TURN servers say of us, asked outside of any call.
//!
//! Owns one socket for all questions, so that their answers can be compared. It
//! judges nothing but the kind of address translation that they show.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::BytesMut;
use rtc::sansio::Protocol;
use rtc::shared::{TransportContext, TransportMessage, TransportProtocol};
use rtc::turn::client::{Client, ClientConfig, Event};
use tokio::net::{UdpSocket, lookup_host};

use crate::clock;

/// Without a port in the URL (RFC 8489 section 17.6, RFC 8656 section 18.6).
const PORT: u16 = 3478;

/// Between a request and its first repetition; each later one waits twice as long.
const RETRY: Duration = Duration::from_millis(200);

/// Why a server did not say what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// Its name has no address.
    #[error("{host} cannot be found: {reason}")]
    Unknown {
        /// Host and port.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// It said nothing.
    #[error("no answer within {:.1} s", .after.as_secs_f64())]
    Silent {
        /// How long we waited.
        after: Duration,
    },
    /// It said no.
    #[error("refused: {reason}")]
    Refused {
        /// In the server's words.
        reason: String,
    },
    /// Our own network does not let us ask.
    #[error("cannot send: {reason}")]
    Unsendable {
        /// What the operating system said.
        reason: String,
    },
}

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
    pub servers: Vec<(String, Result<SocketAddr, ProbeError>)>,
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
    let mut asked = Vec::new();
    for url in urls {
        asked.push((url.clone(), resolve(url, bind, limit).await));
    }
    let addresses: Vec<_> = asked.iter().filter_map(|(_, at)| at.as_ref().ok().copied()).collect();
    // Of one family, else they cannot be asked from one socket.
    let family = addresses.iter().find(|at| at.is_ipv4()).or(addresses.first()).copied();
    let exchange = match family {
        Some(family) => Exchange::open(family, bind, None).await,
        None => Err(ProbeError::Silent { after: limit }),
    };
    let (answers, local) = match exchange {
        Ok(mut exchange) => {
            let answers = exchange.ask(&addresses, limit).await;
            (answers, exchange.local)
        }
        Err(error) => (addresses.iter().map(|at| (*at, Err(error.clone()))).collect(), None),
    };
    let answer = |at: SocketAddr| {
        answers.get(&at).cloned().unwrap_or(Err(ProbeError::Silent { after: limit }))
    };
    let servers = asked.into_iter().map(|(url, at)| (url, at.and_then(answer)));
    StunReport { servers: servers.collect(), local }
}

/// Has the server of `url` (`turn:host[:port]`) reserve an address for us, and gives it back.
///
/// # Errors
/// When it cannot be reached, or refuses.
pub async fn turn(
    url: &str,
    user: &str,
    password: &str,
    bind: Option<IpAddr>,
    limit: Duration,
) -> Result<SocketAddr, ProbeError> {
    let server = resolve(url, bind, limit).await?;
    let mut exchange = Exchange::open(server, bind, Some((user, password))).await?;
    let relayed = exchange.allocate(limit).await;
    exchange.close().await;
    relayed
}

async fn resolve(
    url: &str,
    bind: Option<IpAddr>,
    limit: Duration,
) -> Result<SocketAddr, ProbeError> {
    let host = host_and_port(url);
    let unknown = |reason: String| ProbeError::Unknown { host: host.clone(), reason };
    let found = tokio::time::timeout(limit, lookup_host(&host)).await;
    let found = found.map_err(|_| unknown("the resolver does not answer".to_owned()))?;
    let all: Vec<_> = found.map_err(|error| unknown(error.to_string()))?.collect();
    let fits = |at: &&SocketAddr| bind.is_none_or(|bind| bind.is_ipv4() == at.is_ipv4());
    let mut fitting = all.iter().filter(fits);
    let first = fitting.clone().find(|at| at.is_ipv4()).or(fitting.next());
    first.copied().ok_or_else(|| unknown("it has no address of this kind".to_owned()))
}

/// `stun:host`, `turn:host:port?transport=udp`, `stun:[::1]` to `host:port`.
fn host_and_port(url: &str) -> String {
    let rest = url.split_once(':').map_or(url, |(_, rest)| rest);
    let rest = rest.split('?').next().unwrap_or_default();
    let after_bracket = rest.rsplit(']').next().unwrap_or_default();
    match after_bracket.contains(':') {
        true => rest.to_owned(),
        false => format!("{rest}:{PORT}"),
    }
}

/// One socket, and the library's client on it.
struct Exchange {
    socket: UdpSocket,
    client: Client,
    local: Option<SocketAddr>,
}

impl Exchange {
    async fn open(
        server: SocketAddr,
        bind: Option<IpAddr>,
        credentials: Option<(&str, &str)>,
    ) -> Result<Self, ProbeError> {
        let unsendable = |reason: String| ProbeError::Unsendable { reason };
        let any: IpAddr = match server {
            SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((bind.unwrap_or(any), 0)).await;
        let socket = socket.map_err(|error| unsendable(error.to_string()))?;
        let local_addr = socket.local_addr().map_err(|error| unsendable(error.to_string()))?;
        let (username, password) = credentials.unwrap_or_default();
        let config = ClientConfig {
            stun_serv_addr: String::new(),
            turn_serv_addr: server.to_string(),
            local_addr,
            transport_protocol: TransportProtocol::UDP,
            username: username.to_owned(),
            password: password.to_owned(),
            realm: String::new(),
            software: String::new(),
            rto_in_ms: RETRY.as_millis() as u64,
            allocation_refresh_interval_cap: None,
        };
        let crypto = rtc::crypto::default_provider();
        let crypto = crypto.map_err(|error| unsendable(error.to_string()))?;
        let client = Client::new(config, crypto).map_err(|error| unsendable(error.to_string()))?;
        let local = outgoing(server, local_addr).await;
        Ok(Self { socket, client, local })
    }

    async fn ask(
        &mut self,
        servers: &[SocketAddr],
        limit: Duration,
    ) -> HashMap<SocketAddr, Result<SocketAddr, ProbeError>> {
        let (mut answers, mut asked) = (HashMap::new(), Vec::new());
        for server in servers {
            match self.client.send_binding_request_to(clock::now(), *server) {
                Ok(id) => asked.push((id, *server)),
                Err(error) => {
                    let reason = error.to_string();
                    answers.insert(*server, Err(ProbeError::Unsendable { reason }));
                }
            }
        }
        let until = clock::now() + limit;
        while !asked.is_empty() {
            let Ok(Some(event)) = self.next(until).await else { break };
            let (id, answer) = match event {
                Event::BindingResponse(id, seen) => (id, Ok(seen)),
                Event::BindingError(id, error) => {
                    (id, Err(ProbeError::Refused { reason: error.to_string() }))
                }
                _ => continue,
            };
            if let Some(at) = asked.iter().position(|(asked, _)| *asked == id) {
                answers.insert(asked.swap_remove(at).1, answer);
            }
        }
        answers
    }

    async fn allocate(&mut self, limit: Duration) -> Result<SocketAddr, ProbeError> {
        let refused = |reason: String| ProbeError::Refused { reason };
        self.client.allocate(clock::now()).map_err(|error| refused(error.to_string()))?;
        let until = clock::now() + limit;
        loop {
            match self.next(until).await? {
                Some(Event::AllocateResponse(_, relayed)) => return Ok(relayed),
                Some(Event::AllocateError(_, error)) => return Err(refused(error.to_string())),
                Some(_) => {}
                None => return Err(ProbeError::Silent { after: limit }),
            }
        }
    }

    /// The client's next event; `None` when there was none until `until`.
    async fn next(&mut self, until: std::time::Instant) -> Result<Option<Event>, ProbeError> {
        let unsendable = |reason: String| ProbeError::Unsendable { reason };
        let mut buffer = vec![0; 2048];
        loop {
            self.send().await?;
            if let Some(event) = self.client.poll_event() {
                return Ok(Some(event));
            }
            if clock::now() >= until {
                return Ok(None);
            }
            let wake = self.client.poll_timeout().map_or(until, |at| at.min(until));
            let received = tokio::time::timeout_at(wake.into(), self.socket.recv_from(&mut buffer));
            match received.await {
                Ok(Ok((length, peer_addr))) => {
                    let transport = TransportContext {
                        local_addr: self.socket.local_addr().unwrap_or(peer_addr),
                        peer_addr,
                        transport_protocol: TransportProtocol::UDP,
                        ecn: None,
                    };
                    let message = BytesMut::from(&buffer[..length]);
                    let read = TransportMessage { now: clock::now(), transport, message };
                    if let Err(error) = self.client.handle_read(read) {
                        // Anybody can send us something that is no answer.
                        tracing::debug!(%error, "a packet that is no answer");
                    }
                }
                Ok(Err(error)) => return Err(unsendable(error.to_string())),
                Err(_) => {
                    let handled = self.client.handle_timeout(clock::now());
                    handled.map_err(|error| unsendable(error.to_string()))?;
                }
            }
        }
    }

    async fn send(&mut self) -> Result<(), ProbeError> {
        while let Some(packet) = self.client.poll_write() {
            let sent = self.socket.send_to(&packet.message, packet.transport.peer_addr).await;
            sent.map_err(|error| ProbeError::Unsendable { reason: error.to_string() })?;
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

    #[test]
    fn urls_become_host_and_port() {
        for (url, wanted) in [
            ("stun:example.org", "example.org:3478"),
            ("stun:example.org:19302", "example.org:19302"),
            ("turn:10.0.0.1?transport=udp", "10.0.0.1:3478"),
            ("turn:[::1]:99", "[::1]:99"),
            ("stun:[::1]", "[::1]:3478"),
        ] {
            assert_eq!(host_and_port(url), wanted);
        }
    }

    fn report(local: &str, seen: &[&str]) -> Option<Mapping> {
        let servers = seen.iter().map(|seen| ("stun:x".to_owned(), Ok(seen.parse().unwrap())));
        let silent = ("stun:y".to_owned(), Err(ProbeError::Silent { after: RETRY }));
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
        assert!(matches!(report.servers[0].1, Err(ProbeError::Silent { .. })), "{report:?}");
        assert!(matches!(report.servers[1].1, Err(ProbeError::Unknown { .. })), "{report:?}");
        assert_eq!(report.mapping(), None);
        let url = format!("turn:{}", silent.local_addr().unwrap());
        let refused = turn(&url, "u", "p", None, limit).await;
        assert_eq!(refused, Err(ProbeError::Silent { after: limit }));
    }
}
