//! One connection with the other side: frames to and from the library.
//!
//! Owns the connection's life. The library waits for whatever it writes, so nothing is waited for
//! here: what finds no room is dropped, as a network does.

use std::collections::VecDeque;
use std::future::{Ready, poll_fn, ready};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use webrtc::runtime::AsyncTcpStream;

use super::framing::{Frames, frame};
use crate::clock;
use crate::rtc::outlet::{self, BATCH, Outgoing, QUEUE, Wants};
use crate::rtc::porter::{Held, Porter};

/// How long who is there may take to show that he knows the call: his check is answered, or ours by
/// him.
const PROOF: Duration = Duration::from_secs(5);
/// A path is asked for consent twice a second; one that is silent for so long is used by nobody
/// (RFC 7675 section 5.1).
const IDLE: Duration = Duration::from_secs(30);

/// Checks and handshakes are few, and the other side waits for them.
const WANTS: Wants = Wants { frame, expires: is_media };

/// What the library takes for a TCP stream.
pub(super) struct IceStream {
    local: SocketAddr,
    peer: SocketAddr,
    outgoing: mpsc::Sender<Outgoing>,
    incoming: Mutex<mpsc::Receiver<Bytes>>,
    held: Held<()>,
    porter: Porter,
    /// Whether media came over any.
    carries: Arc<AtomicBool>,
}

impl std::fmt::Debug for IceStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IceStream").finish_non_exhaustive()
    }
}

/// The other half of a stream, which carries its frames.
pub(super) struct Carrier {
    peer: SocketAddr,
    outgoing: mpsc::Receiver<Outgoing>,
    incoming: mpsc::Sender<Bytes>,
    porter: Porter,
}

/// A stream between these two, the other end by its stand-in.
pub(super) fn pair(
    (local, peer): (SocketAddr, SocketAddr),
    porter: &Porter,
    carries: &Arc<AtomicBool>,
) -> (IceStream, Carrier) {
    let (to_them, from_us) = mpsc::channel(QUEUE);
    let (to_us, from_them) = mpsc::channel(QUEUE);
    let stream = IceStream {
        local,
        peer,
        outgoing: to_them,
        incoming: Mutex::new(from_them),
        held: Held::default(),
        porter: porter.clone(),
        carries: Arc::clone(carries),
    };
    (stream, Carrier { peer, outgoing: from_us, incoming: to_us, porter: porter.clone() })
}

impl Carrier {
    /// Carries until either end is done, or the other has nothing to do with the call. `waiting` has
    /// come already, and `frames` what is no whole frame yet.
    pub(super) async fn carry(mut self, link: TcpStream, frames: Frames, waiting: VecDeque<Bytes>) {
        let (reading, writing) = link.into_split();
        let known = || self.porter.progress.doors().is_known(self.peer);
        let ended = tokio::select! {
            ended = read(reading, (frames, waiting), &self.incoming, known) => ended,
            written = outlet::write(writing, &mut self.outgoing, WANTS) => match written {
                Ok(()) => "we are done",
                Err(_) => "it broke",
            },
        };
        tracing::debug!(reason = ended, "a connection for media has ended");
    }
}

/// Why it has ended.
async fn read(
    mut link: impl AsyncRead + Unpin,
    (mut frames, mut waiting): (Frames, VecDeque<Bytes>),
    to: &mpsc::Sender<Bytes>,
    known: impl Fn() -> bool,
) -> &'static str {
    let (mut buffer, begun) = (vec![0; BATCH], clock::now());
    loop {
        loop {
            let next = match waiting.pop_front() {
                Some(frame) => Ok(Some(frame)),
                None => frames.next_frame(),
            };
            match next {
                Ok(Some(frame)) => {
                    if to.send(frame).await.is_err() {
                        return "we are done";
                    }
                }
                Ok(None) => break,
                Err(_) => return "they sent too long a frame",
            }
        }
        let is_known = known();
        let proof = PROOF.saturating_sub(clock::now().saturating_duration_since(begun));
        if !is_known && proof.is_zero() {
            return "they know nothing of the call";
        }
        let limit = if is_known { IDLE } else { proof };
        match timeout(limit, link.read(&mut buffer)).await {
            Ok(Ok(0)) => return "they closed it",
            Ok(Ok(length)) => frames.push(buffer.get(..length).unwrap_or_default()),
            Ok(Err(_)) => return "it broke",
            Err(_) if is_known => return "nothing came for long",
            Err(_) => {}
        }
    }
}

impl IceStream {
    /// The next frame that is the library's, with its length before it; nothing when it is over.
    fn poll_frame(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let progress = &self.porter.progress;
        let mut incoming = self.incoming.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some((bytes, ())) = self.held.release(progress) {
                return Poll::Ready(Ok(write_to(buf, &bytes)));
            }
            match incoming.poll_recv(cx) {
                Poll::Ready(Some(bytes)) => {
                    if !self.porter.lets_in(self.peer, &bytes) {
                        continue;
                    }
                    if is_media(&bytes) {
                        self.carries.store(true, Ordering::Relaxed);
                    }
                    if !self.held.hold(progress, &bytes, ()) {
                        return Poll::Ready(Ok(write_to(buf, &bytes)));
                    }
                }
                Poll::Ready(None) => return Poll::Ready(Ok(0)),
                Poll::Pending => {
                    progress.wake_with_path(cx.waker());
                    // It may have come just now.
                    let held = self.held.release(progress);
                    return held.map_or(Poll::Pending, |(bytes, ())| {
                        Poll::Ready(Ok(write_to(buf, &bytes)))
                    });
                }
            }
        }
    }

    /// A datagram of the library's, if it may leave and there is room.
    fn send(&self, datagram: &[u8]) {
        if !self.porter.lets_out((self.local, None), self.peer, datagram) {
            return;
        }
        let message = (clock::now(), Bytes::copy_from_slice(datagram));
        if self.outgoing.try_send(message).is_ok() {
            self.porter.has_sent(self.peer, datagram);
        }
    }
}

impl AsyncTcpStream for IceStream {
    fn read<'a, 'b>(
        &'a self,
        buf: &'b mut [u8],
    ) -> Pin<Box<dyn Future<Output = io::Result<usize>> + Send + 'b>>
    where
        'a: 'b,
    {
        Box::pin(poll_fn(move |cx| self.poll_frame(cx, buf)))
    }

    /// The library writes one frame at a time. What it writes to a connection that has ended is lost.
    fn write_all<'a, 'b>(
        &'a self,
        buf: &'b [u8],
    ) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send + 'b>>
    where
        'a: 'b,
    {
        if let Some((_length, datagram)) = buf.split_first_chunk::<2>() {
            self.send(datagram);
        }
        let done: Ready<io::Result<()>> = ready(Ok(()));
        Box::pin(done)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

/// So much was written; a frame always fits (`framing::LARGEST`).
fn write_to(buf: &mut [u8], datagram: &[u8]) -> usize {
    let mut framed = Vec::with_capacity(datagram.len() + 2);
    frame(datagram, &mut framed);
    match buf.get_mut(..framed.len()) {
        Some(buf) => buf.copy_from_slice(&framed),
        None => return 0,
    }
    framed.len()
}

/// RTP and RTCP (RFC 7983 section 7).
fn is_media(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(128..=191))
}
