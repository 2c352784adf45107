//! The signaling server: sockets around the switchboard, and the page on the same port.
//!
//! Owns the accept loop and its limits. Decides nothing about messages: that is the
//! switchboard's. Logs no addresses and nothing of what is said.

mod connection;
mod exchange;
mod page;
pub mod tls;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::message::MAX_MESSAGE;
use super::switchboard::{ConnectionId, Limits, Switchboard};
use crate::clock;
use crate::ice::IceServer;
use tls::{Accepted, Tls};

/// How long the connections have to end on shutdown.
const SHUTDOWN: Duration = Duration::from_secs(2);
/// The pause after `accept` failed: usually there are too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const EVENTS: usize = 1024;
const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: usize = 16 * 1024;
const READ_BUFFER: usize = 8 * 1024;

/// What the server allows and hands out.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Connections and messages.
    pub limits: Limits,
    /// HTTP requests and WebSocket handshakes under way at a time; more are dropped.
    pub handshakes: usize,
    /// How long one of them may take.
    pub handshake_timeout: Duration,
    /// A connection that was silent so long is pinged; silent so long again, it is dropped.
    pub ping_every: Duration,
    /// What every login is told to use.
    pub ice_servers: Vec<IceServer>,
    /// What connections are encrypted with, if they are.
    pub tls: Option<Tls>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            handshakes: 128,
            handshake_timeout: Duration::from_secs(10),
            ping_every: Duration::from_secs(30),
            ice_servers: Vec::new(),
            tls: None,
        }
    }
}

/// Why the server ended without being told to.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A fault of our own.
    #[error("the server's own task ended; please report this")]
    Broken,
}

/// Serves until `shutdown` is ready; then tells everybody and ends within 2 s.
///
/// # Errors
/// Only for a fault of our own: what clients do, and files that run out, it survives.
pub async fn run(
    listener: TcpListener,
    config: ServerConfig,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServerError> {
    let (events, received) = mpsc::channel(EVENTS);
    let (alive, mut all_gone) = mpsc::channel(1);
    let shared = Shared {
        events,
        alive,
        connections: Arc::new(Semaphore::new(config.limits.connections)),
        next_id: Arc::default(),
        ping_every: config.ping_every,
    };
    let switchboard = Switchboard::new(config.limits, config.ice_servers.clone());
    // In a set, so that it ends when this future is dropped; then every connection ends too.
    let mut exchange = JoinSet::new();
    exchange.spawn(exchange::run(switchboard, received));

    let ended = tokio::select! {
        () = accept(&listener, &config, router(shared)) => Ok(()),
        () = shutdown => Ok(()),
        never = tls::keep_fresh(config.tls.as_ref()) => match never {},
        _ = exchange.join_next() => Err(ServerError::Broken),
    };
    drop(listener);
    exchange.shutdown().await;
    // Nobody sends on this channel: it ends when the last connection has dropped its end.
    let _ = clock::timeout(SHUTDOWN, all_gone.recv()).await;
    ended
}

/// Everything that a request needs.
#[derive(Clone)]
struct Shared {
    events: mpsc::Sender<exchange::Event>,
    alive: mpsc::Sender<std::convert::Infallible>,
    connections: Arc<Semaphore>,
    next_id: Arc<AtomicU64>,
    ping_every: Duration,
}

/// Accepts for ever. Handshakes that are under way end when this is dropped.
async fn accept(listener: &TcpListener, config: &ServerConfig, router: Router) {
    let permits = Arc::new(Semaphore::new(config.handshakes));
    let mut handshakes = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = handshakes.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) => match Arc::clone(&permits).try_acquire_owned() {
                Ok(permit) => {
                    let serve = serve(stream, config.tls.clone(), router.clone(), permit);
                    handshakes.spawn(clock::timeout(config.handshake_timeout, serve));
                }
                Err(_) => tracing::warn!("too many handshakes at a time; one was dropped"),
            },
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                // Nothing says when a file is free again.
                clock::until(Some(clock::now() + ACCEPT_PAUSE)).await;
            }
        }
    }
}

/// One request on one connection, TLS first where there is TLS; ends when the answer is out or the
/// WebSocket is up.
async fn serve(stream: TcpStream, tls: Option<Tls>, router: Router, _permit: OwnedSemaphorePermit) {
    // Signaling is small messages that should not wait for each other.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return http(stream, router).await };
    match tls.accept(stream).await {
        Ok(Accepted::Tls(stream)) => http(stream, router).await,
        Ok(Accepted::Plain(stream)) => http(stream, tls::use_tls()).await,
        Err(error) => tracing::debug!(%error, "a TLS handshake failed"),
    }
}

async fn http<S>(stream: S, router: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let served = http1::Builder::new()
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a request failed");
    }
}

fn router(shared: Shared) -> Router {
    page::routes()
        .route("/", get(page_or_socket))
        .route("/ws", get(socket))
        .layer(map_response(one_request))
        .with_state(shared)
}

/// A connection serves one request, so that nobody can hold a handshake's place.
///
/// Turning keep-alive off would say so by itself, but it breaks the upgrade.
async fn one_request(mut response: Response) -> Response {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

/// The tutorial's page connects to the root, where browsers fetch the page.
async fn page_or_socket(
    State(shared): State<Shared>,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Response {
    if headers.contains_key(header::UPGRADE) {
        return socket(State(shared), upgrade).await;
    }
    page::index()
}

async fn socket(State(shared): State<Shared>, upgrade: Upgrade) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    let Ok(permit) = shared.connections.try_acquire_owned() else {
        tracing::warn!("the server is full; a connection was refused");
        return (StatusCode::SERVICE_UNAVAILABLE, "the server is full").into_response();
    };
    let id = ConnectionId(shared.next_id.fetch_add(1, Ordering::Relaxed));
    upgrade
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .on_upgrade(move |socket| async move {
            connection::run(socket, id, shared.events, shared.ping_every).await;
            drop((permit, shared.alive));
        })
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
