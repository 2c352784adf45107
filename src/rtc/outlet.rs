//! The way out over a stream: what is said to the other end, in frames, as long as it is of use.
//!
//! Owns when something is too old to be sent. It knows neither what is framed nor how.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;

use crate::clock;

/// Messages that wait to go out, or to be taken by the library.
pub(super) const QUEUE: usize = 128;
/// Media that waited so long is of no use; the stream carries less than is sent.
pub(super) const STALE: Duration = Duration::from_millis(300);
/// So much waits in the kernel unsent, so that what is stale can be seen to be.
const UNSENT: u32 = 16 * 1024;
/// So much is written, and read, at once.
pub(super) const BATCH: usize = 16 * 1024;
/// How long the other end may take to hear that we are done.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// A message of the library's, and when it came.
pub(super) type Outgoing = (Instant, Bytes);

/// What a stream wants of what it carries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wants {
    /// Appends a message as the stream wants it; `false`, and nothing appended, when it cannot be.
    pub(super) frame: fn(&[u8], &mut Vec<u8>) -> bool,
    /// Whether a message loses its use with time.
    pub(super) expires: fn(&[u8]) -> bool,
}

/// Connects from this address, or from whichever fits where it is unspecified.
pub(super) async fn connect(to: SocketAddr, from: IpAddr) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if !from.is_unspecified() {
        socket.bind((from, 0).into())?;
    }
    let stream = socket.connect(to).await?;
    prepare(&stream)?;
    Ok(stream)
}

/// Makes a connection say at once what it is to say, and keep little.
pub(super) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // Without it the kernel would take seconds of media, and only delay would tell.
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT) {
        tracing::debug!(%error, "what waits in the kernel is not limited");
    }
    Ok(())
}

/// Carries messages until nobody sends any more, and then says so to the other end.
pub(super) async fn write(
    mut link: impl AsyncWrite + Unpin,
    from: &mut mpsc::Receiver<Outgoing>,
    wants: Wants,
) -> io::Result<()> {
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(first) = from.recv().await {
        batch.clear();
        let mut next = Some(first);
        while let Some((at, message)) = next {
            if !is_stale(clock::now(), at, &message, wants) {
                (wants.frame)(&message, &mut batch);
            }
            next = if batch.len() < BATCH { from.try_recv().ok() } else { None };
        }
        link.write_all(&batch).await?;
        link.flush().await?;
    }
    // What was said last has been written; the other end need not hear more.
    let _ = tokio::time::timeout(CLOSE_LIMIT, link.shutdown()).await;
    Ok(())
}

pub(super) fn is_stale(now: Instant, at: Instant, message: &[u8], wants: Wants) -> bool {
    now.saturating_duration_since(at) > STALE && (wants.expires)(message)
}
