//! The signaling server: sockets around the switchboard, and the page on the same port.
//!
//! Owns the accept loop and its limits. Decides nothing about messages: that is the
//! switchboard's. Logs no addresses and nothing of what is said.

mod close;
mod connection;
mod exchange;
mod gate;
mod handshakes;
mod meter;
mod page;
mod queue;
mod status;
pub mod tls;
pub mod users;
mod verifier;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Request as AnyRequest, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::exchange::Exchange;
use self::gate::{Caller, Gate};
use self::handshakes::Handshakes;
use self::meter::Metered;
use self::users::UsersFile;
use self::verifier::Verifier;
use super::counts::Refused;
use super::handout::Handout;
use super::host::Hosts;
use super::limiter::Source;
use super::origin::Origins;
use super::switchboard::{ConnectionId, Limits, Names, Switchboard};
use crate::clock;
use tls::{Accepted, Tls};

/// How long requests are still answered on shutdown, while nobody is let in any more.
const DRAINING: Duration = Duration::from_millis(300);
/// How long the connections have to end after that.
const SHUTDOWN: Duration = Duration::from_millis(1_500);
/// The pause after `accept` failed: usually there are too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const EVENTS: usize = 1024;
const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Every connection has one of its own, so that many idle ones cost little.
const READ_BUFFER: usize = 4 * 1024;
/// What is written with one system call; allocated where there is something to write.
const WRITE_BUFFER: usize = 16 * 1024;

/// What the server allows and hands out.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Connections and messages.
    pub limits: Limits,
    /// HTTP requests and WebSocket handshakes under way at a time, a quarter of them for one
    /// address; of more the oldest are dropped.
    pub handshakes: usize,
    /// How long one of them may take.
    pub handshake_timeout: Duration,
    /// A connection that was silent so long is pinged; silent so long again, it is dropped.
    pub ping_every: Duration,
    /// What every login is told to use.
    pub handout: Handout,
    /// What connections are encrypted with, if they are.
    pub tls: Option<Tls>,
    /// Who may log in; without, whoever comes first has the name.
    pub users: Option<Arc<UsersFile>>,
    /// By which names the server is asked for.
    pub hosts: Hosts,
    /// Which pages may connect. Those of this machine are added when the server listens to it only.
    pub origins: Origins,
    /// Whether a proxy in front says in `X-Forwarded-For` from where a request is.
    pub behind_proxy: bool,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            handshakes: 1024,
            handshake_timeout: Duration::from_secs(10),
            ping_every: Duration::from_secs(30),
            tls: None,
            handout: Handout::default(),
            users: None,
            hosts: Hosts::default(),
            origins: Origins::default(),
            behind_proxy: false,
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
    let draining = Arc::new(AtomicBool::new(false));
    let for_us = |address: std::net::SocketAddr| address.ip().is_loopback();
    let this_machine = listener.local_addr().is_ok_and(for_us);
    let shared = Shared {
        gate: Gate::new(&config, this_machine, events.clone()),
        events,
        alive,
        next_id: Arc::default(),
        draining: Arc::clone(&draining),
        ping_every: config.ping_every,
        limits: config.limits,
    };
    let names = if config.users.is_some() { Names::WithTokens } else { Names::Free };
    let switchboard = Switchboard::new(config.limits, names);
    let verifier = Verifier::new(config.users.clone());
    let handout = config.handout.clone();
    // In a set, so that it ends when this future is dropped; then every connection ends too.
    let mut exchange = JoinSet::new();
    exchange.spawn(Exchange::new(switchboard, verifier, handout).run(received));

    let ended = {
        let mut accepting = std::pin::pin!(accept(&listener, &config, shared));
        let ended = tokio::select! {
            () = &mut accepting => Ok(()),
            () = shutdown => Ok(()),
            never = tls::keep_fresh(config.tls.as_ref()) => match never {},
            _ = exchange.join_next() => Err(ServerError::Broken),
        };
        draining.store(true, Ordering::Relaxed);
        // What is under way gets its answer, and whoever watches over us sees that we go.
        if ended.is_ok() {
            clock::timeout(DRAINING, accepting).await;
        }
        ended
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
    gate: Gate,
    events: mpsc::Sender<exchange::Event>,
    alive: mpsc::Sender<Infallible>,
    next_id: Arc<AtomicU64>,
    /// No new logins, please: we are about to go.
    draining: Arc<AtomicBool>,
    ping_every: Duration,
    limits: Limits,
}

/// Accepts for ever. Handshakes that are under way end when this is dropped.
async fn accept(listener: &TcpListener, config: &ServerConfig, shared: Shared) {
    let events = shared.events.clone();
    let router = router(shared);
    let mut handshakes = Handshakes::new(config.handshakes);
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                let (caller, tls) = (Caller(address.ip()), config.tls.clone());
                let serve = serve(stream, tls, (caller, config.limits), router.clone());
                let serve = clock::timeout(config.handshake_timeout, serve);
                // A proxy is one address, and shakes the hands of many.
                let source = (!config.behind_proxy).then(|| Source::of(address.ip()));
                if !handshakes.start(source, async {
                    let _ = serve.await;
                }) {
                    tracing::debug!("too many handshakes at a time; the oldest was dropped");
                    let _ = events.try_send(exchange::Event::Refused { why: Refused::Handshake });
                }
            }
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
async fn serve(stream: TcpStream, tls: Option<Tls>, from: (Caller, Limits), router: Router) {
    // Signaling is small messages that should not wait for each other.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return http(stream, from, router).await };
    match tls.accept(stream).await {
        Ok(Accepted::Tls(stream)) => http(stream, from, router).await,
        Ok(Accepted::Plain(stream)) => http(stream, from, tls::use_tls()).await,
        Err(error) => tracing::debug!(%error, "a TLS handshake failed"),
    }
}

async fn http<S>(stream: S, (caller, limits): (Caller, Limits), router: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = FromCaller { router: TowerToHyperService::new(router), caller };
    let served = http1::Builder::new()
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(Metered::new(stream, &limits)), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a request failed");
    }
}

/// The router, told from where a request is.
struct FromCaller {
    router: TowerToHyperService<Router>,
    caller: Caller,
}

impl Service<Request<Incoming>> for FromCaller {
    type Response = Response;
    type Error = Infallible;
    type Future = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Future;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.caller);
        self.router.call(request)
    }
}

fn router(shared: Shared) -> Router {
    page::routes()
        .route("/", get(page_or_socket))
        .route("/ws", get(socket))
        .route("/healthz", get(status::health))
        .route("/metrics", get(status::metrics))
        .layer(from_fn_with_state(shared.clone(), only_ours))
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

/// Answers nothing to a request for somebody else.
async fn only_ours(State(shared): State<Shared>, request: AnyRequest, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match shared.gate.knows(&parts) {
        Ok(()) => next.run(AnyRequest::from_parts(parts, body)).await,
        Err(refusal) => refusal.into_response(),
    }
}

type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

/// The tutorial's page connects to the root, where browsers fetch the page.
async fn page_or_socket(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Response {
    if headers.contains_key(header::UPGRADE) {
        return socket(State(shared), Extension(caller), headers, upgrade).await;
    }
    page::index()
}

async fn socket(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    if shared.draining.load(Ordering::Relaxed) {
        let words = "the server is shutting down\n";
        return (StatusCode::SERVICE_UNAVAILABLE, words).into_response();
    }
    let place = match shared.gate.admit(caller, &headers) {
        Ok(place) => place,
        Err(refusal) => return refusal.into_response(),
    };
    let id = ConnectionId(shared.next_id.fetch_add(1, Ordering::Relaxed));
    upgrade
        .max_message_size(shared.limits.message_bytes)
        .max_frame_size(shared.limits.message_bytes)
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .on_upgrade(move |socket| async move {
            connection::run(socket, (id, place.source), shared.events, shared.ping_every).await;
            drop((place, shared.alive));
        })
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
