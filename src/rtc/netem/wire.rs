//! The thread that carries what an end sends over a made-up link, and the sockets that lead to it.
//!
//! One wire is one direction: all sockets of an end share it, as they would share an uplink. It reads
//! the clock and sends datagrams; when each of them leaves is the link's to say.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

use super::link::{Input, Link};
use super::meter::LinkCounts;
use super::words::LinkProfile;
use crate::clock;

/// IPv4 and UDP headers, which count for a link's rate.
const HEADERS: usize = 28;

/// Multicast DNS (RFC 6762 section 3) asks the neighbours; that is no path between two ends.
const MDNS_PORT: u16 = 5353;

/// A running link; ends when it is dropped, with what is on it.
pub struct Wire {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    link: Link<Datagram>,
    /// What it becomes, and how long after it began.
    changes: VecDeque<(Duration, LinkProfile)>,
    began: Option<Instant>,
    over: bool,
}

struct Datagram {
    from: Arc<std::net::UdpSocket>,
    to: SocketAddr,
    bytes: Vec<u8>,
}

impl Wire {
    /// Starts a link. `changes` are what it becomes so long after [`Wire::begin`], in that order.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(
        profile: LinkProfile,
        changes: impl IntoIterator<Item = (Duration, LinkProfile)>,
        seed: u64,
    ) -> io::Result<Self> {
        let state = State {
            link: Link::new(profile, seed),
            changes: changes.into_iter().collect(),
            began: None,
            over: false,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let carried = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("peer-wire".to_owned())
            .spawn(move || carried.carry())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Its time begins: seconds are counted, and changes are due, from `now` on.
    pub fn begin(&self, now: Instant) {
        let mut state = self.shared.lock();
        state.link.handle(now, Input::Begin);
        state.began.get_or_insert(now);
        self.shared.changed.notify_one();
    }

    /// What it has counted so far.
    #[must_use]
    pub fn counts(&self) -> LinkCounts {
        self.shared.lock().link.counts().clone()
    }

    /// Leads what `socket` sends over this wire; `wrap` makes it a socket of the runtime.
    pub(in crate::rtc) fn attach(
        &self,
        socket: std::net::UdpSocket,
        wrap: impl FnOnce(std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>>,
    ) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        if socket.local_addr()?.port() == MDNS_PORT {
            return wrap(socket);
        }
        let out = Arc::new(socket.try_clone()?);
        Ok(Arc::new(WireSocket { inner: wrap(socket)?, out, shared: Arc::clone(&self.shared) }))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.shared.lock().over = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the made-up link panicked");
        }
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread: sends what has arrived at the far end of the link, and waits for the next.
    fn carry(&self) {
        let mut state = self.lock();
        while !state.over {
            let arrived = state.at(clock::now());
            if !arrived.is_empty() {
                drop(state);
                for datagram in arrived {
                    // A network tells nobody that it could not deliver.
                    let _ = datagram.from.send_to(&datagram.bytes, datagram.to);
                }
                state = self.lock();
                continue;
            }
            let next = state.deadline();
            state = match next.map(|next| next.saturating_duration_since(clock::now())) {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(wait) => {
                    let waited = self.changed.wait_timeout(state, wait);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

impl State {
    /// Brings the link up to now; what has arrived.
    fn at(&mut self, now: Instant) -> Vec<Datagram> {
        self.apply_changes(now);
        self.link.handle(now, Input::Timeout);
        std::iter::from_fn(|| self.link.poll()).collect()
    }

    fn apply_changes(&mut self, now: Instant) {
        while let Some(due) = self.next_change().filter(|due| *due <= now) {
            let Some((_, profile)) = self.changes.pop_front() else { return };
            self.link.handle(due, Input::Change(profile));
        }
    }

    fn deadline(&self) -> Option<Instant> {
        [self.link.deadline(), self.next_change()].into_iter().flatten().min()
    }

    fn next_change(&self) -> Option<Instant> {
        Some(self.began? + self.changes.front()?.0)
    }
}

/// A socket whose sending goes over a wire; what it receives has gone over the other end's.
struct WireSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    /// The same socket, for the wire's thread.
    out: Arc<std::net::UdpSocket>,
    shared: Arc<Shared>,
}

impl fmt::Debug for WireSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WireSocket").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl AsyncUdpSocket for WireSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn poll_send(&self, _: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let now = clock::now();
        let mut state = self.shared.lock();
        if state.over {
            return Poll::Ready(Ok(transmit.contents.len()));
        }
        state.apply_changes(now);
        let size = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        for bytes in transmit.contents.chunks(size) {
            let from = Arc::clone(&self.out);
            let carried = Datagram { from, to: transmit.destination, bytes: bytes.to_vec() };
            state.link.handle(now, Input::Packet { carried, bytes: bytes.len() + HEADERS });
        }
        self.shared.changed.notify_one();
        Poll::Ready(Ok(transmit.contents.len()))
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.inner.poll_recv(cx, bufs, meta)
    }

    fn max_gro_segments(&self) -> usize {
        self.inner.max_gro_segments()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};

    use webrtc::runtime::{Runtime, default_runtime};

    use super::super::words::Network;
    use super::*;

    fn bound() -> UdpSocket {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        socket
    }

    fn wire(words: &str) -> Wire {
        let network: Network = words.parse().unwrap();
        let [first, then @ ..] = network.steps() else { unreachable!() };
        Wire::start(first.up.clone(), then.iter().map(|step| (step.at, step.up.clone())), 1)
            .unwrap()
    }

    fn runtime() -> Arc<dyn Runtime> {
        default_runtime().unwrap()
    }

    #[tokio::test]
    async fn datagrams_arrive_whole_late_and_in_order() {
        let (wire, far) = (wire("rate=1M,delay=30ms"), bound());
        let near = wire.attach(bound(), |socket| runtime().wrap_udp_socket(socket)).unwrap();
        let start = clock::now();
        for number in 0..10_u8 {
            near.send_to(&[number; 972], far.local_addr().unwrap()).await.unwrap();
        }
        let mut buffer = [0; 2_000];
        for number in 0..10_u8 {
            let (length, from) = far.recv_from(&mut buffer).unwrap();
            assert_eq!((length, buffer[0], from), (972, number, near.local_addr().unwrap()));
            let least = Duration::from_millis(30 + 8 * (u64::from(number) + 1));
            assert!(clock::now() - start >= least, "packet {number} came too early");
        }
        assert_eq!((wire.counts().packets, wire.counts().lost), (10, 0));
    }

    #[tokio::test]
    async fn changes_come_after_the_beginning() {
        let (wire, far) = (wire("loss=100%;0 loss=0%"), bound());
        let near = wire.attach(bound(), |socket| runtime().wrap_udp_socket(socket)).unwrap();
        near.send_to(b"lost", far.local_addr().unwrap()).await.unwrap();
        wire.begin(clock::now());
        near.send_to(b"arrives", far.local_addr().unwrap()).await.unwrap();
        let mut buffer = [0; 100];
        let (length, _) = far.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"arrives");
        assert_eq!((wire.counts().packets, wire.counts().lost), (2, 1));
    }
}
