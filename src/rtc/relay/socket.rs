//! One UDP socket of the library's, on whose way to the servers we stand.
//!
//! Owns the streams to servers that are reached by TCP, and the two names of those that have one
//! only here. Whatever is for anybody else passes as it is.

use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::sync::mpsc;
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

use super::choice::Choice;
use super::family::Families;
use super::ids::Ids;
use super::stream::{self, Incoming};
use super::stun::{BINDING, Class, Stun, TransactionId};
use super::{Relays, Target};
use crate::clock;
use crate::ice::url::{ServerKind, Transport};
use crate::rtc::outlet::{Outgoing, QUEUE};
use crate::rtc::server_fault::ServerFault;
use crate::system;

/// Streams of one socket; a server has one.
const MOST_STREAMS: usize = 16;
/// Requests of one stream that are remembered, so that none goes out twice.
const MOST_REQUESTS: usize = 16;
/// Questions in datagrams that are remembered, of all servers.
const MOST_QUESTIONS: usize = 128;
/// What no protocol begins with that the library would look at.
const NOTHING: u8 = 0xff;

pub(super) struct RelaySocket {
    inner: Arc<dyn AsyncUdpSocket>,
    local: SocketAddr,
    relays: Arc<Relays>,
    ways: Arc<Mutex<Ways>>,
    incoming: Mutex<mpsc::Receiver<Incoming>>,
    /// For streams to come.
    to_us: mpsc::Sender<Incoming>,
}

/// How servers are reached from this socket. The library knows each by a stand-in.
#[derive(Default)]
struct Ways {
    families: Families,
    ids: Ids,
    streams: HashMap<SocketAddr, Stream>,
    /// By the stand-in.
    addresses: HashMap<SocketAddr, Choice>,
    /// By the address.
    stand_ins: HashMap<SocketAddr, SocketAddr>,
    /// Which stand-in a question was for: two may have one address.
    questions: VecDeque<(TransactionId, SocketAddr)>,
}

struct Stream {
    to: mpsc::Sender<Outgoing>,
    requests: Requests,
}

/// The last ones that went into a stream.
type Requests = Arc<Mutex<VecDeque<TransactionId>>>;

impl Ways {
    /// What is found again, while an earlier question waited for it, changes nothing.
    fn found(&mut self, stand_in: SocketAddr, choice: Choice) {
        self.stand_ins.extend(choice.all().map(|address| (address, stand_in)));
        self.addresses.entry(stand_in).or_insert(choice);
    }

    /// `false` when the next address would be the same.
    fn try_next(&mut self, stand_in: SocketAddr) -> bool {
        self.addresses.get_mut(&stand_in).is_some_and(Choice::try_next)
    }

    fn address(&self, stand_in: SocketAddr) -> Option<SocketAddr> {
        self.addresses.get(&stand_in).map(Choice::address)
    }

    /// Where to send; what comes from there is for whoever sent last, where two have one address.
    fn sends(&mut self, stand_in: SocketAddr) -> Option<SocketAddr> {
        let address = self.address(stand_in)?;
        self.stand_ins.insert(address, stand_in);
        Some(address)
    }

    /// `true` when it was asked before.
    fn asked(&mut self, stand_in: SocketAddr, id: TransactionId) -> bool {
        if self.questions.iter().any(|question| *question == (id, stand_in)) {
            return true;
        }
        if self.questions.len() == MOST_QUESTIONS {
            self.questions.pop_front();
        }
        self.questions.push_back((id, stand_in));
        false
    }

    /// Whom the library takes a sender of datagrams for.
    fn stand_in(&self, from: SocketAddr, datagram: &[u8]) -> Option<SocketAddr> {
        let known = self.stand_ins.get(&from)?;
        let id = Stun::read(datagram).map(|stun| stun.id);
        let asked = self.questions.iter().find(|(asked, _)| Some(*asked) == id);
        Some(asked.map_or(*known, |(_, stand_in)| *stand_in))
    }
}

impl RelaySocket {
    pub(super) fn new(
        inner: Arc<dyn AsyncUdpSocket>,
        local: SocketAddr,
        relays: Arc<Relays>,
    ) -> Self {
        let (to_us, incoming) = mpsc::channel(QUEUE);
        let (ways, incoming) = (Arc::new(Mutex::new(Ways::default())), Mutex::new(incoming));
        Self { inner, local, relays, ways, incoming, to_us }
    }

    fn ways(&self) -> MutexGuard<'_, Ways> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message of the library's to a server.
    fn poll_send_to_server(
        &self,
        cx: &mut Context<'_>,
        to: SocketAddr,
        (at, target): (usize, &Target),
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let named = self.ways().ids.outgoing(to, bytes);
        let bytes = named.as_deref().unwrap_or(bytes);
        let message = Stun::read(bytes);
        // Candidates of the other side may say any address; to servers only what is theirs goes.
        let is_check = message.is_some_and(|stun| stun.method == BINDING && stun.has_user());
        let is_channel_data = bytes.first().is_some_and(|first| first >> 6 == 1);
        if is_check || (message.is_none() && !is_channel_data) {
            return Poll::Ready(Ok(bytes.len()));
        }
        if let Some(message) = &message {
            if self.relays.is_current(to) {
                self.relays.on_sent(target, message);
            }
            let mut ways = self.ways();
            // It got no answer, where it was asked before.
            if ways.asked(to, message.id) && message.class == Class::Request {
                ways.try_next(to);
            }
        }
        let dead = message.map(|message| message.id);
        let sent = if target.url.transport == Transport::Udp {
            ready!(self.poll_send_datagram(cx, to, target, bytes))
        } else {
            self.send_on_stream(to, at, target, bytes, message.as_ref())
        };
        // The library gives up a server to which it cannot write.
        Poll::Ready(sent.map_err(|fault| {
            self.relays.on_no_way(to, &fault, dead.as_slice());
            io::Error::other(fault.to_string())
        }))
    }

    fn poll_send_datagram(
        &self,
        cx: &mut Context<'_>,
        to: SocketAddr,
        target: &Target,
        bytes: &[u8],
    ) -> Poll<Result<usize, ServerFault>> {
        if self.ways().address(to).is_none() {
            let Some(found) = target.addresses.borrow().clone() else {
                self.send_when_found(to, target, bytes);
                return Poll::Ready(Ok(bytes.len()));
            };
            match found.and_then(|all| Choice::new(&all, self.local)) {
                Ok(choice) => self.ways().found(to, choice),
                Err(fault) => return Poll::Ready(Err(fault)),
            }
        }
        let rewritten = self.rewritten(to, target, bytes);
        let mut tried = Vec::new();
        loop {
            let Some(destination) = self.ways().sends(to) else {
                return Poll::Ready(Ok(bytes.len()));
            };
            tried.push(destination);
            let transmit = Transmit {
                destination,
                ecn: None,
                contents: rewritten.as_deref().unwrap_or(bytes),
                segment_size: None,
                src_ip: None,
            };
            let Err(error) = ready!(self.inner.poll_send(cx, &transmit)) else {
                return Poll::Ready(Ok(bytes.len()));
            };
            let mut ways = self.ways();
            let another =
                ways.try_next(to) && ways.address(to).is_some_and(|next| !tried.contains(&next));
            if !another {
                let reason = system::words(&error);
                return Poll::Ready(Err(ServerFault::Unsendable { reason }));
            }
        }
    }

    /// An allocation that is to be of another family than the library asks for.
    fn rewritten(&self, to: SocketAddr, target: &Target, bytes: &[u8]) -> Option<Vec<u8>> {
        if target.url.kind != ServerKind::Turn {
            return None;
        }
        // Over IPv6 most can use an IPv4 relay, but not of a server that has none, and not where
        // there is one already by another way.
        let has_ipv4 = self.relays.has_ipv4.load(Ordering::Relaxed);
        let prefer_ipv6 = self.local.is_ipv6() && (has_ipv4 || !target.has_ipv4());
        self.ways().families.outgoing(to, bytes, prefer_ipv6, &target.credentials)
    }

    /// The resolver still looks: this goes when it has found it. The library asks again anyway.
    fn send_when_found(&self, to: SocketAddr, target: &Target, bytes: &[u8]) {
        let mut found = target.addresses.subscribe();
        let (inner, ways) = (Arc::clone(&self.inner), Arc::clone(&self.ways));
        let (local, to_us, bytes) = (self.local, self.to_us.clone(), bytes.to_vec());
        tokio::spawn(async move {
            let Ok(all) = found.wait_for(Option::is_some).await.map(|found| found.clone()) else {
                return;
            };
            if let Some(Ok(Ok(choice))) = all.map(|all| all.map(|all| Choice::new(&all, local)))
                && !to_us.is_closed()
            {
                let address = choice.address();
                ways.lock().unwrap_or_else(PoisonError::into_inner).found(to, choice);
                // If it is lost, it is so as any datagram.
                let _ = inner.send_to(&bytes, address).await;
            }
        });
    }

    fn send_on_stream(
        &self,
        to: SocketAddr,
        at: usize,
        target: &Target,
        bytes: &[u8],
        message: Option<&Stun<'_>>,
    ) -> Result<usize, ServerFault> {
        let rewritten = self.rewritten(to, target, bytes);
        let request = message.filter(|stun| stun.class == Class::Request).map(|stun| stun.id);
        let mut ways = self.ways();
        if !ways.streams.contains_key(&to) {
            if ways.streams.len() >= MOST_STREAMS {
                let reason = "there are too many connections to servers already".to_owned();
                return Err(ServerFault::Unsendable { reason });
            }
            let stream = self.open(to, at);
            ways.streams.insert(to, stream);
        }
        let Some(stream) = ways.streams.get_mut(&to) else { return Ok(0) };
        if stream.to.is_closed() {
            let reason = "the connection to it is lost".to_owned();
            return Err(ServerFault::Unreachable { reason });
        }
        if let Some(id) = request {
            let mut requests = stream.requests.lock().unwrap_or_else(PoisonError::into_inner);
            // A stream loses nothing (RFC 8489 section 6.2.2).
            if requests.contains(&id) {
                return Ok(bytes.len());
            }
            if requests.len() == MOST_REQUESTS {
                requests.pop_front();
            }
            requests.push_back(id);
        }
        let message = rewritten.map_or_else(|| Bytes::copy_from_slice(bytes), Bytes::from);
        // As with any datagram: where there is no room, it is lost.
        let _ = stream.to.try_send((clock::now(), message));
        Ok(bytes.len())
    }

    /// Connects in the background; what is sent meanwhile waits.
    fn open(&self, to: SocketAddr, at: usize) -> Stream {
        let (sender, mut outgoing) = mpsc::channel(QUEUE);
        let requests = Requests::default();
        let asked = Arc::clone(&requests);
        let (relays, to_us, local) = (Arc::clone(&self.relays), self.to_us.clone(), self.local);
        tokio::spawn(async move {
            let ended = run(&relays, at, local, &mut outgoing, &to_us, to).await;
            // From now on nothing is taken; the library hears of it when it writes.
            outgoing.close();
            if let Err(fault) = ended
                && !to_us.is_closed()
            {
                tracing::debug!(%fault, "a connection to a TURN server has ended");
                let asked = asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
                relays.on_lost(to, &fault, &Vec::from(asked));
            }
        });
        Stream { to: sender, requests }
    }

    /// Something came from a server; `false` when the library is not to see it.
    fn hear(&self, bytes: &mut [u8]) -> bool {
        let Some(message) = Stun::read(bytes) else { return true };
        let relays = &self.relays;
        let again = self.ways().families.incoming(bytes, |to| {
            relays.target_at(to).map(|(_, target)| target.credentials.clone()).unwrap_or_default()
        });
        let Some((to, again)) = again else {
            relays.on_received(&message);
            return self.ways().ids.incoming(bytes);
        };
        let ways = self.ways();
        if let Some(stream) = ways.streams.get(&to) {
            let _ = stream.to.try_send((clock::now(), again.into()));
        } else if let Some(address) = ways.address(to) {
            let inner = Arc::clone(&self.inner);
            tokio::spawn(async move { inner.send_to(&again, address).await.map(|_| ()) });
        }
        false
    }

    /// Datagrams of one sender, perhaps several in one buffer.
    fn hear_datagrams(&self, buffer: &mut [u8], meta: &mut RecvMeta) {
        let Some(received) = buffer.get_mut(..meta.len) else { return };
        let mut ways = self.ways();
        let known = ways.stand_in(meta.addr, received);
        if let Some(choice) = known.and_then(|known| ways.addresses.get_mut(&known)) {
            choice.on_answer(meta.addr);
        }
        drop(ways);
        for datagram in received.chunks_mut(meta.stride.max(1)) {
            // STUN answers begin with 1.
            if datagram.first() == Some(&1) && !self.hear(datagram) {
                datagram.fill(NOTHING);
            }
        }
        if let Some(known) = known {
            meta.addr = known;
        }
    }
}

impl std::fmt::Debug for RelaySocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RelaySocket").field(&self.inner).finish()
    }
}

impl AsyncUdpSocket for RelaySocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        match self.relays.target_at(transmit.destination) {
            None => self.inner.poll_send(cx, transmit),
            Some(target) => {
                self.poll_send_to_server(cx, transmit.destination, target, transmit.contents)
            }
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut incoming = self.incoming.lock().unwrap_or_else(PoisonError::into_inner);
            let Poll::Ready(Some((from, message))) = incoming.poll_recv(cx) else { break };
            drop(incoming);
            let (Some(buffer), Some(meta)) = (buffers.first_mut(), metas.first_mut()) else {
                break;
            };
            // What is longer than any datagram is none of the library's.
            let Some(room) = buffer.get_mut(..message.len()) else { continue };
            room.copy_from_slice(&message);
            if !self.hear(room) {
                continue;
            }
            *meta = RecvMeta::default();
            (meta.len, meta.stride, meta.addr) = (message.len(), message.len().max(1), from);
            return Poll::Ready(Ok(1));
        }
        let count = ready!(self.inner.poll_recv(cx, buffers, metas))?;
        for (buffer, meta) in buffers.iter_mut().zip(metas.iter_mut()).take(count) {
            self.hear_datagrams(buffer, meta);
        }
        Poll::Ready(Ok(count))
    }

    fn max_gso_segments(&self) -> usize {
        self.inner.max_gso_segments()
    }

    fn max_gro_segments(&self) -> usize {
        self.inner.max_gro_segments()
    }
}

/// One stream, from the resolver's answer to its end.
async fn run(
    relays: &Relays,
    at: usize,
    local: SocketAddr,
    outgoing: &mut mpsc::Receiver<Outgoing>,
    to_us: &mpsc::Sender<Incoming>,
    server: SocketAddr,
) -> Result<(), ServerFault> {
    let Some(target) = relays.targets.get(at) else { return Ok(()) };
    let mut found = target.addresses.subscribe();
    let addresses = match found.wait_for(Option::is_some).await {
        Ok(found) => found.clone().unwrap_or(Ok(Vec::new()))?,
        Err(_) => return Ok(()),
    };
    let is_near = |address: &&SocketAddr| {
        address.is_ipv4() == local.is_ipv4()
            && (!local.ip().is_loopback() || address.ip().is_loopback())
    };
    let addresses: Vec<_> = addresses.iter().filter(is_near).copied().collect();
    if addresses.is_empty() {
        let reason = format!("it has no address that {} reaches", local.ip());
        return Err(ServerFault::Unsendable { reason });
    }
    let tls = relays.tls(target).await?;
    let link = stream::connect(&addresses, local.ip(), tls.as_ref()).await?;
    stream::pump(link, outgoing, to_us, server).await
}
