//! The runtime that the library runs on: another one, that keeps time as a connection that comes up
//! needs it, and with a bad network where one is asked for.
//!
//! Owns W8, and the way to STUN and TURN servers (W10, `relay`) and over TCP (`tcp`); clock, sockets
//! and tasks are those of the runtime inside.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, Runtime,
};

use super::events::ConnectionEvent;
use super::gate::Gate;
use super::netem::Wire;
use super::porter::Porter;
use super::progress::Progress;
use super::relay::Relays;
use super::tcp::Tcp;

/// W8: the library looks after its checks every 200 ms and whenever it is awake. It would notice an
/// answer, or a candidate that has come, only at the next look; looking more often by itself it would
/// send as many more checks. So its look is set to 10 ms, and it is let sleep longer for as long as
/// there is nothing to see. And having found a path, it prepares its first DTLS packet but sends it
/// only when it wakes up again.
#[derive(Debug)]
pub(super) struct Attentive {
    pub(super) inner: Arc<dyn Runtime>,
    pub(super) progress: Arc<Progress>,
    pub(super) relays: Arc<Relays>,
    pub(super) tcp: Arc<Tcp>,
    /// Who is told that a handshake was refused.
    pub(super) news: mpsc::Sender<ConnectionEvent>,
    /// What is sent goes over this.
    pub(super) wire: Option<Arc<Wire>>,
}

impl Runtime for Attentive {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        let sleep = self.inner.sleep(self.progress.rest(self.inner.now(), duration));
        let progress = Arc::clone(&self.progress);
        Box::pin(async move {
            tokio::select! {
                () = sleep => {}
                () = progress.kicked() => {}
            }
        })
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) -> Box<dyn JoinHandle> {
        self.inner.spawn(future)
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let socket = match &self.wire {
            Some(wire) => wire.attach(socket, |socket| self.inner.wrap_udp_socket(socket))?,
            None => self.inner.wrap_udp_socket(socket)?,
        };
        let socket = self.relays.wrap(socket)?;
        let (runtime, relays) = (Arc::clone(&self.inner), Arc::clone(&self.relays));
        let progress = Arc::clone(&self.progress);
        let news = self.news.clone();
        Ok(Arc::new(Gate::new(socket, Porter { runtime, relays, progress, news })))
    }

    fn wrap_tcp_listener(
        &self,
        listener: std::net::TcpListener,
    ) -> io::Result<Arc<dyn AsyncTcpListener>> {
        self.tcp.listen(listener)
    }

    fn connect_tcp<'a>(
        &'a self,
        remote_addr: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = io::Result<Arc<dyn AsyncTcpStream>>> + Send + 'a>> {
        Box::pin(self.tcp.connect(remote_addr))
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
