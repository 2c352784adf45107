//! A TURN server over TCP or TLS: one connection, and messages out of it and into it.
//!
//! Owns the connection's life. It knows nothing of allocations; what the library says goes out as
//! it is.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use rustls::pki_types::ServerName;
use rustls::{Error, InvalidMessage};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;

use super::framing::{Framer, frame};
use super::stun::{Class, Stun};
use crate::clock;
use crate::race;
use crate::rtc::outlet::{self, BATCH, Outgoing, Wants};
use crate::rtc::server_fault::ServerFault;
use crate::system;
use crate::trust::Trust;

/// How long a connection may take, TLS included. The library asks again for nine seconds.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(6);

/// Requests are asked again only by us (RFC 8489 section 6.2.2), so they are always of use.
const WANTS: Wants = Wants { frame, expires: |message| !is_request(message) };

/// A message for the library, and whom it shall think that it comes from.
pub(super) type Incoming = (SocketAddr, Bytes);

/// TCP, or TLS on it.
pub(in crate::rtc) type Link = Box<dyn Transport>;

pub(in crate::rtc) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// What is needed for TLS with one server.
pub(in crate::rtc) struct Tls {
    pub(in crate::rtc) connector: TlsConnector,
    pub(in crate::rtc) host: String,
    pub(in crate::rtc) trust: Trust,
}

/// Connects to whichever of these addresses, of which any may be dead, answers first.
pub(in crate::rtc) async fn connect(
    addresses: &[SocketAddr],
    from: IpAddr,
    tls: Option<&Tls>,
) -> Result<Link, ServerFault> {
    let addresses = race::in_turns(addresses);
    let mut faults = Vec::new();
    let connect = |address| connect_to(address, from, tls);
    let first = race::first(&addresses, connect, |fault| faults.push(fault));
    match clock::timeout(CONNECT_LIMIT, first).await {
        Some(Some(link)) => return Ok(link),
        Some(None) => {}
        None => faults.push(ServerFault::Silent { after: CONNECT_LIMIT }),
    }
    let reason = "it has no address that we can reach".to_owned();
    let telling = faults.into_iter().rev().max_by_key(ServerFault::weight);
    Err(telling.unwrap_or(ServerFault::Unsendable { reason }))
}

async fn connect_to(
    address: SocketAddr,
    from: IpAddr,
    tls: Option<&Tls>,
) -> Result<Link, ServerFault> {
    let stream =
        outlet::connect(address, from).await.map_err(|error| ServerFault::of_connecting(&error))?;
    let Some(tls) = tls else { return Ok(Box::new(stream)) };
    if tls.trust == Trust::Anybody {
        tracing::warn!(host = tls.host, "the TURN server's certificate is NOT checked");
    }
    let name = ServerName::try_from(tls.host.clone()).map_err(|_| ServerFault::Unusable {
        reason: format!("'{}' cannot be a name in a certificate", tls.host),
    })?;
    match tls.connector.connect(name, stream).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(tls_fault(&error, &tls.trust)),
    }
}

fn tls_fault(error: &io::Error, trust: &Trust) -> ServerFault {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(fault)) => {
            ServerFault::Untrusted { reason: trust.fault(fault) }
        }
        Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => ServerFault::NotTurn {
            reason: "it does not use TLS; write turn:HOST:PORT?transport=tcp".to_owned(),
        },
        _ => {
            tracing::info!(%error, "TLS with a TURN server failed");
            let reason = "no TLS connection with it could be made".to_owned();
            ServerFault::Unreachable { reason }
        }
    }
}

/// Carries messages both ways until one side ends it: us, when nobody sends any more, or the
/// server, which is a fault.
pub(super) async fn pump(
    link: Link,
    outgoing: &mut mpsc::Receiver<Outgoing>,
    incoming: &mpsc::Sender<Incoming>,
    server: SocketAddr,
) -> Result<(), ServerFault> {
    let (reading, writing) = tokio::io::split(link);
    tokio::select! {
        read = read(reading, incoming, server) => read,
        written = outlet::write(writing, outgoing, WANTS) => written.map_err(|error| broken(&error)),
    }
}

async fn read(
    mut link: impl AsyncRead + Unpin,
    to: &mpsc::Sender<Incoming>,
    server: SocketAddr,
) -> Result<(), ServerFault> {
    let (mut framer, mut buffer, mut has_answered) = (Framer::default(), vec![0; BATCH], false);
    loop {
        let length = match link.read(&mut buffer).await {
            Ok(0) => return Err(ended(has_answered)),
            Ok(length) => length,
            Err(error) => return Err(broken(&error)),
        };
        framer.push(buffer.get(..length).unwrap_or_default());
        while let Some(message) = framer.next_message().map_err(|error| {
            let reason = format!("{error}; if it wants TLS, write turns:HOST:PORT");
            ServerFault::NotTurn { reason }
        })? {
            has_answered = true;
            if to.send((server, message)).await.is_err() {
                return Ok(());
            }
        }
    }
}

fn is_request(message: &[u8]) -> bool {
    Stun::read(message).is_some_and(|stun| stun.class == Class::Request)
}

/// Why it may be that the other end closed.
pub(in crate::rtc) fn ended(has_answered: bool) -> ServerFault {
    if has_answered {
        return ServerFault::Unreachable { reason: "it ended the connection".to_owned() };
    }
    let reason =
        "it ended the connection without an answer; if it wants TLS, write turns:HOST:PORT";
    ServerFault::NotTurn { reason: reason.to_owned() }
}

fn broken(error: &io::Error) -> ServerFault {
    ServerFault::Unreachable {
        reason: format!("the connection to it broke: {}", system::words(error)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::stun::tests::{ALLOCATE_REQUEST, refusal, written};
    use super::*;
    use crate::rtc::outlet::{QUEUE, STALE, is_stale};
    use tokio::io::AsyncWriteExt;

    const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 1);

    #[tokio::test]
    async fn messages_pass_both_ways_and_the_last_word_is_heard() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let (to, mut outgoing) = mpsc::channel(QUEUE);
        let (incoming, mut from) = mpsc::channel(QUEUE);
        let request = written(ALLOCATE_REQUEST, 1, &[]);
        to.send((clock::now(), request.clone().into())).await.unwrap();
        let data = Bytes::from_static(&[0x40, 0, 0, 5, 1, 2, 3, 4, 5]);
        to.send((clock::now(), data.clone())).await.unwrap();
        let answer = refusal(1, 486);
        let pump = async { pump(Box::new(ours), &mut outgoing, &incoming, SERVER).await };
        let server = async {
            theirs.write_all(&answer).await.unwrap();
            assert_eq!(from.recv().await, Some((SERVER, answer.clone().into())));
            drop(to);
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).await.unwrap();
            all
        };
        let (ended, all) = tokio::join!(pump, server);
        assert_eq!(ended, Ok(()));
        assert_eq!(all, [&request[..], &data, &[0; 3]].concat());
    }

    #[tokio::test]
    async fn whoever_ends_it_or_speaks_something_else_is_named() {
        for (says, wanted) in [
            (&b""[..], "without an answer"),
            (&refusal(1, 486), "it ended the connection"),
            (b"SSH-2.0-x\r\n", "not TURN"),
        ] {
            let (ours, mut theirs) = tokio::io::duplex(1024);
            let (_to, mut outgoing) = mpsc::channel(QUEUE);
            let (incoming, _from) = mpsc::channel(QUEUE);
            theirs.write_all(says).await.unwrap();
            drop(theirs);
            let ended = pump(Box::new(ours), &mut outgoing, &incoming, SERVER).await;
            let fault = ended.unwrap_err().to_string();
            assert!(fault.contains(wanted), "{fault}");
        }
    }

    #[test]
    fn media_goes_stale_and_requests_do_not() {
        let then = clock::now();
        let later = then + STALE + Duration::from_millis(1);
        let (data, request) = ([0x40, 0, 0, 0], written(ALLOCATE_REQUEST, 1, &[]));
        assert!(!is_stale(then + STALE, then, &data, WANTS) && is_stale(later, then, &data, WANTS));
        assert!(!is_stale(later, then, &request, WANTS));
    }

    #[tokio::test]
    async fn nobody_there_is_said_as_it_is() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let refused = connect(&[address], address.ip(), None).await.err().unwrap();
        assert!(refused.to_string().contains("nobody listens"), "{refused}");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_dead_address_costs_a_moment() {
        let dead = crate::race::test_support::Silent::new();
        let alive = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addresses = [dead.address, alive.local_addr().unwrap()];
        let began = clock::now();
        assert!(connect(&addresses, dead.address.ip(), None).await.is_ok());
        let took = clock::now() - began;
        assert!(took < CONNECT_LIMIT / 2, "its share of all the time: {took:?}");
    }
}
