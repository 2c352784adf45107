//! A listening port: who connects, and who of them gets as far as the library.
//!
//! Owns connections until they have said something that only who knows the call can say. It is there
//! from gathering until ICE has a path, over whatever.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use webrtc::runtime::{AsyncTcpListener, AsyncTcpStream};

use super::framing::Frames;
use super::lobby::{GuestId, Lobby};
use super::{MOST_EACH_WAY, Stage, Tcp};
use crate::rtc::outlet;

/// How long whoever connects may take until his first frame is there.
const FIRST_WORD: Duration = Duration::from_secs(5);

/// The kernel has no room for another connection; it may have later.
const BREATH: Duration = Duration::from_millis(100);

/// Connections that wait to be taken by the library.
const QUEUE: usize = 8;

type Accepted = (Arc<dyn AsyncTcpStream>, SocketAddr);

/// What the library takes for a listener.
#[derive(Debug)]
pub(super) struct IceListener {
    local: SocketAddr,
    accepted: Mutex<mpsc::Receiver<Accepted>>,
    keeper: AbortHandle,
}

/// One who has spoken.
struct Guest {
    link: TcpStream,
    from: SocketAddr,
    frames: Frames,
    first: Bytes,
}

impl IceListener {
    /// To be called on tokio.
    pub(super) fn new(listener: std::net::TcpListener, tcp: Arc<Tcp>) -> io::Result<Self> {
        let local = listener.local_addr()?;
        let listener = TcpListener::from_std(listener)?;
        let (to, accepted) = mpsc::channel(QUEUE);
        let keeper = tokio::spawn(keep(listener, tcp, to)).abort_handle();
        Ok(Self { local, accepted: Mutex::new(accepted), keeper })
    }
}

impl Drop for IceListener {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl AsyncTcpListener for IceListener {
    fn accept<'a>(&'a self) -> Pin<Box<dyn Future<Output = io::Result<Accepted>> + Send + 'a>> {
        Box::pin(async move {
            match self.accepted.lock().await.recv().await {
                Some(accepted) => Ok(accepted),
                // The library would ask again at once, for ever.
                None => std::future::pending().await,
            }
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}

/// Listens until there is a path; then the port is closed.
async fn keep(listener: TcpListener, tcp: Arc<Tcp>, to: mpsc::Sender<Accepted>) {
    let mut stage = tcp.stage();
    let (mut lobby, mut waiting) = (Lobby::default(), HashMap::<GuestId, AbortHandle>::new());
    let mut speaking: JoinSet<(GuestId, Option<Guest>)> = JoinSet::new();
    let mut ready: Vec<Guest> = Vec::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((link, from)) => {
                    let (id, leaves) = lobby.enter(from.ip());
                    if let Some(leaves) = leaves.and_then(|leaves| waiting.remove(&leaves)) {
                        leaves.abort();
                    }
                    let tcp = Arc::clone(&tcp);
                    let guest = speaking.spawn(async move { (id, hear(link, from, &tcp).await) });
                    waiting.insert(id, guest);
                }
                Err(error) => {
                    tracing::debug!(%error, "no connection can be taken");
                    tcp.porter.runtime.sleep(BREATH).await;
                }
            },
            Some(spoken) = speaking.join_next() => {
                // One that had to leave is an error.
                if let Ok((id, guest)) = spoken {
                    lobby.leave(id);
                    waiting.remove(&id);
                    ready.extend(guest.filter(|_| ready.len() < MOST_EACH_WAY));
                }
            }
            changed = stage.changed() => if changed.is_err() { return },
        }
        let now = *stage.borrow_and_update();
        match now {
            Stage::Waiting => {}
            Stage::Open => {
                for guest in ready.drain(..) {
                    if let Some(accepted) = seat(guest, &tcp) {
                        // Without room here the connection is closed.
                        let _ = to.try_send(accepted);
                    }
                }
            }
            Stage::Settled => return,
        }
    }
}

/// Waits for his first frame; `None` when it is not what it must be.
async fn hear(mut link: TcpStream, from: SocketAddr, tcp: &Tcp) -> Option<Guest> {
    let mut frames = Frames::default();
    let mut buffer = [0; 1024];
    let first = timeout(FIRST_WORD, async {
        loop {
            match link.read(&mut buffer).await {
                Ok(length) if length > 0 => frames.push(buffer.get(..length)?),
                _ => return None,
            }
            if let Some(first) = frames.next_frame().ok()? {
                return Some(first);
            }
        }
    });
    let first = first.await.ok()??;
    tcp.is_for_us(&first).then_some(Guest { link, from, frames, first })
}

fn seat(guest: Guest, tcp: &Arc<Tcp>) -> Option<Accepted> {
    let Guest { link, from, frames, first } = guest;
    outlet::prepare(&link).ok()?;
    let place = tcp.take_place_in()?;
    let stream = tcp.adopt((link, from), (frames, [first].into()), place)?;
    let peer = stream.peer_addr().ok()?;
    Some((Arc::new(stream), peer))
}
