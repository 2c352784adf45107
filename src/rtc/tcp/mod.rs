//! ICE over TCP (RFC 6544), for networks that let no UDP through: listening ports that others connect
//! to, and connections to those of others.
//!
//! Owns when TCP may be used at all: when everything else has had its chance, and no longer than until
//! there is a path.
//!
//! W15: the library has ICE over TCP, but stays for good with the first path that works, connects to
//! whatever is named at once, takes connections without limit, waits for each of its writes, takes
//! candidates in descriptions for nothing to connect to, and tells candidates apart by address and
//! port alone. So it hears of TCP only after the others' time, its streams and listeners are ours, and
//! each other end has an address that exists nowhere else (`stand_ins.rs`).

mod candidate;
pub mod framing;
mod listener;
mod lobby;
mod stand_ins;
mod stream;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use webrtc::peer_connection::{PeerConnection, RTCIceCandidateInit};
use webrtc::runtime::{AsyncTcpListener, AsyncTcpStream};

use self::framing::Frames;
use self::listener::IceListener;
use self::stand_ins::StandIns;
use self::stream::IceStream;
use super::events::ConnectionEvent;
use super::outlet;
use super::porter::Porter;

pub(super) use self::candidate::{Told, is_tcp, look_at, take_out};

/// How long everything else has before TCP is looked at. The library stays with the first path that
/// works, so that it must not be one over TCP where another takes a moment longer: a relay's
/// allocation, permission and check are some four round trips.
const GRACE: Duration = Duration::from_secs(2);

/// Between two connections that we open (RFC 8445 section 14.2 for checks).
const PACE: Duration = Duration::from_millis(50);

/// The other end is a person's machine, and RFC 8445 gives a check not longer.
const CONNECT_LIMIT: Duration = Duration::from_secs(6);

/// Connections that others opened, and those that we opened. Two with a few addresses each need four.
const MOST_EACH_WAY: usize = 8;

/// Addresses that we connect to, in one ICE session and in a call with all its restarts: whoever calls
/// must not make us try the doors of a network.
const MOST_THEIRS: usize = 8;
const MOST_IN_A_CALL: usize = 32;

/// Where TCP stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    /// Others have their chance first.
    #[default]
    Waiting,
    /// It may be used.
    Open,
    /// There is a path.
    Settled,
}

/// What one connection knows of TCP.
#[derive(Debug)]
pub(super) struct Tcp {
    porter: Porter,
    /// Addresses to bind to, all where it is empty; `None` where TCP is not used.
    bound: Option<Vec<IpAddr>>,
    stage: watch::Sender<Stage>,
    book: Mutex<Book>,
    /// There is another candidate of theirs.
    more: Notify,
    told: Arc<Told>,
    carries: Arc<AtomicBool>,
    places_in: Arc<Semaphore>,
    places_out: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Book {
    stand_ins: StandIns,
    /// Their username fragment, by which a session is known.
    session: Option<String>,
    /// Whom to connect to, real and in the order in which they were named.
    theirs: VecDeque<SocketAddr>,
    /// All that were taken in this session.
    taken: Vec<SocketAddr>,
    taken_before: usize,
}

/// The task that looks at candidates of theirs; it ends with this.
#[derive(Debug, Default)]
pub(super) struct Knocker(Mutex<Option<AbortHandle>>);

impl Knocker {
    /// Nothing more is looked at.
    pub(super) fn stop(&self) {
        self.replace(None);
    }

    fn replace(&self, with: Option<AbortHandle>) {
        let mut task = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = std::mem::replace(&mut *task, with) {
            before.abort();
        }
    }
}

impl Drop for Knocker {
    fn drop(&mut self) {
        self.replace(None);
    }
}

impl Tcp {
    /// `bound` are the addresses to bind to, all where it is empty; `None` where TCP is not to be used.
    /// `told` knows our candidates.
    pub(super) fn new(porter: Porter, bound: Option<Vec<IpAddr>>, told: Arc<Told>) -> Arc<Self> {
        Arc::new(Self {
            porter,
            bound,
            stage: watch::Sender::new(Stage::Waiting),
            book: Mutex::default(),
            more: Notify::new(),
            told,
            carries: Arc::default(),
            places_in: Arc::new(Semaphore::new(MOST_EACH_WAY)),
            places_out: Arc::new(Semaphore::new(MOST_EACH_WAY)),
        })
    }

    /// Addresses to bind to, all where it is empty; `None` where TCP is not used.
    pub(super) fn bound(&self) -> Option<&[IpAddr]> {
        self.bound.as_deref()
    }

    /// A description of theirs is about to be taken. With one of a new session, TCP waits for its time.
    pub(super) fn described_there(
        self: &Arc<Self>,
        session: Option<&str>,
        connection: Weak<dyn PeerConnection>,
        knocker: &Knocker,
    ) {
        if self.bound.is_none() || self.book().session.as_deref() == session {
            return;
        }
        {
            let mut book = self.book();
            book.session = session.map(str::to_owned);
            book.theirs.clear();
            book.taken_before += book.taken.len();
            book.taken.clear();
        }
        // Where it has carried a call it will again, and the others had their chance then.
        let grace =
            if self.carries.swap(false, Ordering::Relaxed) { Duration::ZERO } else { GRACE };
        self.stage.send_replace(Stage::Waiting);
        self.told.set_time(false);
        // A path that there is now is the one that is given up.
        let up = self.porter.progress.up();
        let tcp = Arc::clone(self);
        let task = tokio::spawn(async move {
            tokio::select! {
                () = settled(up) => {}
                () = tcp.knock(grace, connection) => {}
            }
            tcp.stage.send_replace(Stage::Settled);
            tcp.told.set_time(false);
        });
        knocker.replace(Some(task.abort_handle()));
    }

    /// A candidate of theirs over TCP.
    pub(super) fn theirs(&self, line: &str) {
        let Some(bound) = &self.bound else { return };
        let Some(at) = candidate::passive(line, bound) else { return };
        let mut book = self.book();
        if book.taken.contains(&at) {
            return;
        }
        if book.taken.len() == MOST_THEIRS || book.taken_before + book.taken.len() >= MOST_IN_A_CALL
        {
            tracing::info!("the other side names more addresses for TCP than are looked at");
            return;
        }
        book.taken.push(at);
        book.theirs.push_back(at);
        drop(book);
        self.more.notify_one();
    }

    /// Waits for TCP's time, then tells of our candidates, and gives the library one of theirs after the
    /// other.
    async fn knock(&self, grace: Duration, connection: Weak<dyn PeerConnection>) {
        self.porter.runtime.sleep(grace).await;
        self.stage.send_replace(Stage::Open);
        for ours in self.told.set_time(true) {
            let _ = self.porter.news.send(ConnectionEvent::LocalCandidate(Some(ours))).await;
        }
        loop {
            let Some(stand_in) = self.next_of_theirs() else {
                self.more.notified().await;
                continue;
            };
            let Some(connection) = connection.upgrade() else { return };
            let candidate = RTCIceCandidateInit {
                candidate: candidate::for_library(stand_in),
                sdp_mline_index: Some(0),
                ..Default::default()
            };
            if let Err(error) = connection.add_ice_candidate(candidate).await {
                tracing::debug!(reason = %error, "a candidate over TCP is not taken");
            }
            drop(connection);
            self.porter.progress.has_candidate();
            self.porter.runtime.sleep(PACE).await;
        }
    }

    fn next_of_theirs(&self) -> Option<SocketAddr> {
        let mut book = self.book();
        let real = book.theirs.pop_front()?;
        Some(book.stand_ins.of(real))
    }

    /// Listens for the library, which has bound the port.
    pub(super) fn listen(
        self: &Arc<Self>,
        listener: std::net::TcpListener,
    ) -> io::Result<Arc<dyn AsyncTcpListener>> {
        Ok(Arc::new(IceListener::new(listener, Arc::clone(self))?))
    }

    /// Connects to whom this address stands for.
    pub(super) async fn connect(
        &self,
        stand_in: SocketAddr,
    ) -> io::Result<Arc<dyn AsyncTcpStream>> {
        let refused = || io::Error::from(io::ErrorKind::AddrNotAvailable);
        let real = self.real(stand_in).ok_or_else(refused)?;
        let bound = self.bound.as_ref().ok_or_else(refused)?;
        let from = candidate::source(real, bound).ok_or_else(refused)?;
        let place = Arc::clone(&self.places_out).try_acquire_owned().map_err(|_| refused())?;
        let link = timeout(CONNECT_LIMIT, outlet::connect(real, from)).await;
        let link = link.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let link = link.inspect_err(|error| tracing::debug!(%error, "nobody answers over TCP"))?;
        let stream = self.carry(link, stand_in, (Frames::default(), VecDeque::new()), place)?;
        Ok(Arc::new(stream))
    }

    /// A place for one who has connected to us.
    fn take_place_in(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places_in).try_acquire_owned().ok()
    }

    /// Takes up a connection that somebody else has opened, with what he has said.
    fn adopt(
        &self,
        (link, from): (TcpStream, SocketAddr),
        said: (Frames, VecDeque<Bytes>),
        place: OwnedSemaphorePermit,
    ) -> Option<IceStream> {
        let stand_in = self.book().stand_ins.of(from);
        self.carry(link, stand_in, said, place).ok()
    }

    fn carry(
        &self,
        link: TcpStream,
        stand_in: SocketAddr,
        (frames, waiting): (Frames, VecDeque<Bytes>),
        place: OwnedSemaphorePermit,
    ) -> io::Result<IceStream> {
        let local = link.local_addr()?;
        let (stream, carrier) = stream::pair((local, stand_in), &self.porter, &self.carries);
        tokio::spawn(async move {
            carrier.carry(link, frames, waiting).await;
            drop(place);
        });
        Ok(stream)
    }

    /// Whether this is a check of somebody who has our password.
    fn is_for_us(&self, first: &[u8]) -> bool {
        self.porter.progress.doors().is_check(first)
    }

    /// A kind and an address of the library's, as people should read them; `None` where that is how they
    /// are already.
    pub(super) fn named(&self, candidate: &str) -> Option<String> {
        let (kind, address) = candidate.split_once(' ')?;
        let real = self.real(address.parse().ok()?)?;
        Some(format!("{kind} {real}"))
    }

    /// Whom an address of the library's stands for.
    fn real(&self, stand_in: SocketAddr) -> Option<SocketAddr> {
        self.book().stand_ins.real(stand_in)
    }

    fn stage(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Until ICE has a path.
async fn settled(mut up: watch::Receiver<bool>) {
    while up.changed().await.is_ok() {
        if *up.borrow_and_update() {
            return;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "tcp_tests.rs"]
mod tests;
