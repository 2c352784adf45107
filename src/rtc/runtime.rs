//! The runtime that the library runs on: another one, less patient while a connection comes up, and
//! with a bad network where one is asked for.
//!
//! Owns W8, and the way to STUN and TURN servers (W10, `relay`); clock, sockets and tasks are
//! those of the runtime inside.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, Runtime,
};

use super::netem::Wire;
use super::relay::Relays;

/// How long the library may sleep while it connects.
const NAP: Duration = Duration::from_millis(5);

const WAITING: u8 = 0;
const CONNECTING: u8 = 1;
const CONNECTED: u8 = 2;

/// Whether a connection is coming up for the first time.
#[derive(Debug, Default)]
pub(super) struct Progress(AtomicU8);

impl Progress {
    /// Both sides are described.
    pub(super) fn connecting(&self) {
        let _ = self.0.compare_exchange(WAITING, CONNECTING, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Up for the first time; later rounds are not in a hurry.
    pub(super) fn connected(&self) {
        self.0.store(CONNECTED, Ordering::Relaxed);
    }

    /// Whether it has been up.
    pub(super) fn is_connected(&self) -> bool {
        self.0.load(Ordering::Relaxed) == CONNECTED
    }

    fn is_connecting(&self) -> bool {
        self.0.load(Ordering::Relaxed) == CONNECTING
    }
}

/// W8: having found a path, the library prepares its first DTLS packet but sends it only when its
/// next timer is due, up to 200 ms later; so with checks for candidates that came meanwhile.
#[derive(Debug)]
pub(super) struct Impatient {
    pub(super) inner: Arc<dyn Runtime>,
    pub(super) progress: Arc<Progress>,
    pub(super) relays: Arc<Relays>,
    /// What is sent goes over this.
    pub(super) wire: Option<Arc<Wire>>,
}

impl Runtime for Impatient {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        let nap = if self.progress.is_connecting() { duration.min(NAP) } else { duration };
        self.inner.sleep(nap)
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) -> Box<dyn JoinHandle> {
        self.inner.spawn(future)
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let socket = match &self.wire {
            Some(wire) => wire.attach(socket, |socket| self.inner.wrap_udp_socket(socket))?,
            None => self.inner.wrap_udp_socket(socket)?,
        };
        self.relays.wrap(socket)
    }

    fn wrap_tcp_listener(
        &self,
        listener: std::net::TcpListener,
    ) -> io::Result<Arc<dyn AsyncTcpListener>> {
        self.inner.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(
        &'a self,
        remote_addr: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = io::Result<Arc<dyn AsyncTcpStream>>> + Send + 'a>> {
        self.inner.connect_tcp(remote_addr)
    }

    fn resolve_host<'a>(
        &'a self,
        host: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>> {
        match self.relays.stand_ins(host) {
            Some(addresses) => Box::pin(std::future::ready(Ok(addresses))),
            None => self.inner.resolve_host(host),
        }
    }

    fn now(&self) -> Instant {
        self.inner.now()
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        self.inner.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        self.inner.block_on(future);
    }

    fn yield_now(&self) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        self.inner.yield_now()
    }
}
