//! From a server's URL to an open WebSocket: TCP, TLS where the URL says `wss`, the handshake.
//!
//! Owns the URL and what can go wrong on the way. It says nothing on the socket.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::Response;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::ConnectError;
use super::trust::Trust;
use crate::clock;
use crate::race;
use crate::signaling::message::MAX_MESSAGE_FROM_SERVER;
use crate::system;

/// So much of what a server says with a refusal is passed on.
const LONGEST_WORDS: usize = 200;

/// When further attempts begin beside the first.
const BESIDE: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(6)];

/// What we send has to arrive within this.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(8);

/// A WebSocket, and the address of our end.
pub(super) type Dialled = (WebSocketStream<Stream>, Option<IpAddr>);

/// TCP, or TLS on it.
pub(super) type Stream = Box<dyn Transport>;

pub(super) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// A server's address, and all that is needed to connect to it again and again.
pub(super) struct Dialer {
    url: String,
    host: String,
    port: u16,
    trust: Trust,
    tls: Option<TlsConnector>,
}

impl Dialer {
    /// Checks the URL, and reads whom to trust where that matters.
    pub(super) async fn new(url: &str, trust: Trust) -> Result<Self, ConnectError> {
        let uri = request(url)?.uri().clone();
        let tls = uri.scheme_str() == Some("wss");
        // An IPv6 address has brackets in a URL and nowhere else.
        let host = uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let mut dialer = Self { url: url.to_owned(), host, port, trust, tls: None };
        if tls {
            let (trust, url) = (dialer.trust.clone(), url.to_owned());
            let config = tokio::task::spawn_blocking(move || trust.for_signaling(&url)).await;
            let config =
                config.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
            dialer.tls = Some(TlsConnector::from(std::sync::Arc::new(config)));
        }
        Ok(dialer)
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Connects; the caller limits the time. Where an attempt takes long, others begin beside it:
    /// a lost packet of a handshake is repeated only after a second, then two, then four. The
    /// first that gets through counts.
    pub(super) async fn dial(&self) -> Result<Dialled, ConnectError> {
        let began_at = clock::now();
        let mut attempts = FuturesUnordered::from_iter([self.attempt(0)]);
        let mut later = (1..).zip(BESIDE.iter().map(|pause| began_at + *pause));
        let mut next = later.next();
        loop {
            tokio::select! {
                Some(result) = attempts.next() => {
                    if result.is_ok() || attempts.is_empty() || !is_the_networks(&result) {
                        return result;
                    }
                }
                () = clock::until(next.map(|(_, at)| at)) => {
                    attempts.extend(next.map(|(number, _)| self.attempt(number)));
                    next = later.next();
                }
            }
        }
    }

    async fn attempt(&self, number: usize) -> Result<Dialled, ConnectError> {
        let (stream, local) = self.connect(number).await?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE_FROM_SERVER))
            .max_frame_size(Some(MAX_MESSAGE_FROM_SERVER))
            .write_buffer_size(0);
        match client_async_with_config(request(&self.url)?, stream, Some(config)).await {
            Ok((frames, _)) => Ok((frames, local)),
            Err(Error::Http(answer)) => {
                Err(ConnectError::Refused { url: self.url.clone(), reason: refusal(&answer) })
            }
            Err(error) => Err(self.no_handshake(&error)),
        }
    }

    /// Something took the connection and does not speak as a signaling server does.
    fn no_handshake(&self, error: &Error) -> ConnectError {
        tracing::info!(%error, "the server does not take a WebSocket");
        let what = "it does not answer as a signaling server";
        let reason = match self.url.strip_prefix("ws://") {
            Some(rest) => format!("{what}; if it runs with TLS, write wss://{rest}"),
            None => what.to_owned(),
        };
        ConnectError::Unsuitable { url: self.url.clone(), reason }
    }

    async fn connect(&self, number: usize) -> Result<(Stream, Option<IpAddr>), ConnectError> {
        let stream = match self.connect_tcp(number).await {
            Ok(stream) => stream,
            Err(error) => return Err(self.not_connected(&error).await),
        };
        // Signaling is small messages that should not wait for each other: no Nagle.
        let _ = stream.set_nodelay(true);
        give_up_early(&stream);
        let local = stream.local_addr().ok().map(|local| local.ip());
        let Some(tls) = &self.tls else { return Ok((Box::new(stream), local)) };
        if self.trust == Trust::Anybody {
            tracing::warn!(
                "the server's certificate is NOT checked: anybody on the way can pose as the \
                 server, and listen in on calls"
            );
        }
        let name =
            ServerName::try_from(self.host.clone()).map_err(|_| bad(&self.url, "no host"))?;
        match tls.connect(name, stream).await {
            Ok(stream) => Ok((Box::new(stream), local)),
            Err(error) => Err(match error.get_ref().and_then(|inner| inner.downcast_ref()) {
                Some(fault) => self.trust.explain(&self.url, fault),
                None => {
                    tracing::info!(%error, "TLS with the server failed");
                    let reason = "it ends the connection where TLS should begin; without TLS it is \
                                  ws:// instead of wss://";
                    ConnectError::Unsuitable { url: self.url.clone(), reason: reason.to_owned() }
                }
            }),
        }
    }

    /// To whichever address of the host answers first.
    async fn connect_tcp(&self, number: usize) -> io::Result<TcpStream> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await?;
        to_any(&found.collect::<Vec<_>>(), number).await
    }

    async fn not_connected(&self, error: &io::Error) -> ConnectError {
        let refused = error.kind() == io::ErrorKind::ConnectionRefused;
        let not_running_here = refused && is_this_machine(&self.host, self.port).await;
        let reason = in_words(error, &self.host);
        ConnectError::Unreachable { url: self.url.clone(), reason, not_running_here }
    }

    pub(super) fn unreachable(&self, reason: String) -> ConnectError {
        ConnectError::Unreachable { url: self.url.clone(), reason, not_running_here: false }
    }
}

/// Whether all addresses of a host are this machine's own: to others nobody can bind (EADDRNOTAVAIL).
async fn is_this_machine(host: &str, port: u16) -> bool {
    let Ok(found) = tokio::net::lookup_host((host, port)).await else { return false };
    let is_ours = |address: SocketAddr| UdpSocket::bind((address.ip(), 0)).is_ok();
    let mut found = found.map(is_ours).peekable();
    found.peek().is_some() && found.all(|is_ours| is_ours)
}

/// Connects to one of these addresses. What takes a connection may still swallow all that is said on
/// it: each attempt begins with another.
async fn to_any(addresses: &[SocketAddr], attempt: usize) -> io::Result<TcpStream> {
    let mut addresses = race::in_turns(addresses);
    let turn = attempt.checked_rem(addresses.len()).unwrap_or_default();
    addresses.rotate_left(turn);
    let mut fault: Option<io::Error> = None;
    let stream = race::first(&addresses, TcpStream::connect::<SocketAddr>, |error| {
        tracing::debug!(%error, "an address of the signaling server does not answer");
        if fault.as_ref().is_none_or(|fault| weight(&error) > weight(fault)) {
            fault = Some(error);
        }
    });
    let stream = stream.await;
    stream.ok_or_else(|| fault.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
}

/// Of the faults of several addresses of one server, the one that says more weighs more.
fn weight(error: &io::Error) -> u8 {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => 2,
        // This machine has no IPv6, mostly.
        io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::AddrNotAvailable => 0,
        _ => 1,
    }
}

/// What the operating system says of a connection that it could not make.
fn in_words(error: &io::Error, host: &str) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "nobody listens there (connection refused)".to_owned(),
        io::ErrorKind::TimedOut => "it does not answer (connection timed out)".to_owned(),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
            "this machine has no way there (network unreachable)".to_owned()
        }
        // The resolver's errors have no number, and no kind of their own.
        _ if error.raw_os_error().is_none() => {
            tracing::info!(%error, "the name of the server is not found");
            format!("the host '{host}' cannot be found")
        }
        _ => system::words(error),
    }
}

/// Whether another attempt may fare better.
fn is_the_networks(result: &Result<Dialled, ConnectError>) -> bool {
    matches!(result, Err(ConnectError::Unreachable { .. }))
}

/// What nobody acknowledges for so long is lost, and the connection with it; the system would try
/// for a quarter of an hour.
#[cfg(target_os = "linux")]
fn give_up_early(stream: &TcpStream) {
    let limit = u32::try_from(UNACKNOWLEDGED.as_millis()).unwrap_or(u32::MAX);
    // Without it the pings notice, later.
    let _ = rustix::net::sockopt::set_tcp_user_timeout(stream, limit);
}

#[cfg(not(target_os = "linux"))]
fn give_up_early(_: &TcpStream) {}

/// A fresh one for every connection: it holds a random key (RFC 6455 section 4.1).
fn request(url: &str) -> Result<Request, ConnectError> {
    const FORM: &str = "write ws://HOST:PORT or wss://HOST:PORT";
    let request = url.into_client_request().map_err(|error| {
        tracing::info!(%error, "no address of a server");
        bad(url, FORM)
    })?;
    match request.uri().scheme_str() {
        Some("ws" | "wss") => Ok(request),
        _ => Err(bad(url, FORM)),
    }
}

fn bad(url: &str, reason: &str) -> ConnectError {
    ConnectError::BadUrl { url: url.to_owned(), reason: reason.to_owned() }
}

/// The status, and the first line of what came with it if that is for people.
fn refusal(answer: &Response<Option<Vec<u8>>>) -> String {
    let status = format!("HTTP status {}", answer.status());
    let plain = answer
        .headers()
        .get("content-type")
        .is_some_and(|kind| kind.to_str().is_ok_and(|kind| kind.starts_with("text/plain")));
    let body = answer.body().as_deref().filter(|_| plain).unwrap_or_default();
    let words = String::from_utf8_lossy(body);
    match words.lines().next().map(str::trim) {
        Some(line) if !line.is_empty() => {
            format!("{status}: {}", line.chars().take(LONGEST_WORDS).collect::<String>())
        }
        _ => status,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_dead_address_keeps_no_login_away() {
        let dead = race::test_support::Silent::new();
        let (_listener, alive) = listener();
        let stream = to_any(&[dead.address, alive], 0).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), alive);
    }

    #[tokio::test]
    async fn each_attempt_begins_with_another_address() {
        let ((_first, first), (_second, second)) = (listener(), listener());
        for (attempt, wanted) in [(0, first), (1, second), (2, first)] {
            let stream = to_any(&[first, second], attempt).await.unwrap();
            assert_eq!(stream.peer_addr().unwrap(), wanted);
        }
    }

    #[tokio::test]
    async fn of_several_faults_the_telling_one_is_told() {
        let (listener, refused) = listener();
        drop(listener);
        let fault = to_any(&[refused, refused], 0).await.unwrap_err();
        assert_eq!(fault.kind(), io::ErrorKind::ConnectionRefused);
        let weights = [
            io::ErrorKind::NetworkUnreachable,
            io::ErrorKind::TimedOut,
            io::ErrorKind::ConnectionRefused,
        ]
        .map(|kind| weight(&kind.into()));
        assert!(weights.is_sorted_by(|less, more| less < more), "{weights:?}");
        assert_eq!(to_any(&[], 3).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
