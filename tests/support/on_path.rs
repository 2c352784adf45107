//! Somebody who sits on the path of a call: both ends know him by the addresses that he has put into
//! the other's place, and he has no key.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::Value;
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::lying_server::LyingServer;

/// Which end: in the order of [`OnPath`]'s places.
pub(crate) const CALLER: usize = 0;
pub(crate) const CALLEE: usize = 1;

/// What he does with handshakes; all else he passes on.
pub(crate) enum Deed {
    /// He passes them on too.
    Pass,
    /// He keeps them.
    Keep,
    /// He keeps them, and sends these to the callee in the caller's name, some for each.
    Instead(Vec<Vec<u8>>),
    /// He passes them on too, each behind this one.
    Before(Vec<u8>),
    /// He keeps them, and answers each with this one.
    Answer(Vec<u8>),
    /// One end speaks with somebody else, who is at this address, or at the one from which he is heard.
    Another(usize, Option<SocketAddr>),
}

/// He forwards between two ports, each of which stands for one end.
pub(crate) struct OnPath {
    /// In the place of the caller, and of the callee.
    places: [Arc<UdpSocket>; 2],
    /// Where these two really are.
    ends: Arc<[AtomicU16; 2]>,
    /// Where he speaks with somebody else.
    aside: SocketAddr,
    begun: Arc<Notify>,
    forwards: JoinHandle<()>,
}

impl OnPath {
    /// On the path of all calls of alice on this server.
    pub(crate) async fn of_alice(server: &LyingServer, deed: Deed) -> Self {
        let bind = async || Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("a free port"));
        let places = [bind().await, bind().await];
        let aside = bind().await;
        let ends = Arc::new([AtomicU16::new(0), AtomicU16::new(0)]);
        let ports = places.clone().map(|place| place.local_addr().expect("a port").port());
        let real = Arc::clone(&ends);
        server.lie(move |from, to, message| {
            let place = match (&**from, &**to) {
                ("alice", _) => CALLER,
                (_, "alice") => CALLEE,
                _ => return,
            };
            let instead = |text: &mut Value| {
                let lines: Vec<_> = text.as_str().unwrap_or_default().lines().collect();
                let lines = lines.iter().map(|line| moved(line, ports[place], &real[place]));
                *text = lines.collect::<Vec<_>>().join("\r\n").into();
            };
            for kind in ["offer", "answer"] {
                if let Some(text) = message.get_mut(kind).and_then(|it| it.get_mut("sdp")) {
                    instead(text);
                    *text = (text.as_str().unwrap_or_default().to_owned() + "\r\n").into();
                }
            }
            if let Some(text) = message.get_mut("candidate").and_then(|it| it.get_mut("candidate"))
            {
                instead(text);
            }
        });
        let begun = Arc::new(Notify::new());
        let at = aside.local_addr().expect("a port");
        let road = Road {
            places: places.clone(),
            ends: Arc::clone(&ends),
            aside,
            begun: Arc::clone(&begun),
            deed,
        };
        Self { places, ends, aside: at, begun, forwards: tokio::spawn(road.forward()) }
    }

    /// Sends to the callee as if he were the caller.
    pub(crate) async fn forge(&self, datagram: &[u8]) {
        let to = ("127.0.0.1", self.ends[CALLEE].load(Ordering::Relaxed));
        // Whoever has closed his socket hears nothing.
        let _ = self.places[CALLER].send_to(datagram, to).await;
    }

    /// Where somebody else finds the end that [`Deed::Another`] names.
    pub(crate) fn aside(&self) -> SocketAddr {
        self.aside
    }

    /// Waits for a handshake to begin.
    pub(crate) async fn begins(&self) {
        self.begun.notified().await;
    }
}

impl Drop for OnPath {
    fn drop(&mut self) {
        self.forwards.abort();
    }
}

/// A candidate over UDP with another port, whose own is noted; other lines as they are.
fn moved(line: &str, instead: u16, real: &AtomicU16) -> String {
    let mut words: Vec<_> = line.split(' ').map(str::to_owned).collect();
    if words.get(2).is_none_or(|transport| transport != "udp") {
        return line.to_owned();
    }
    let Some(at) = words.iter().position(|word| word == "typ").filter(|at| *at > 0) else {
        return line.to_owned();
    };
    real.store(words[at - 1].parse().expect("a port"), Ordering::Relaxed);
    words[at - 1] = instead.to_string();
    words.join(" ")
}

/// What forwards.
struct Road {
    places: [Arc<UdpSocket>; 2],
    ends: Arc<[AtomicU16; 2]>,
    aside: Arc<UdpSocket>,
    begun: Arc<Notify>,
    deed: Deed,
}

impl Road {
    async fn forward(mut self) {
        let mut buffers = [[0; 2048], [0; 2048], [0; 2048]];
        loop {
            let [first, second, third] = &mut buffers;
            tokio::select! {
                // Who sends to the caller's place is the callee.
                received = self.places[CALLER].recv_from(first) => {
                    let Ok((length, _)) = received else { continue };
                    self.pass(CALLEE, &first[..length]).await;
                }
                received = self.places[CALLEE].recv_from(second) => {
                    let Ok((length, _)) = received else { continue };
                    self.pass(CALLER, &second[..length]).await;
                }
                received = self.aside.recv_from(third) => {
                    let Ok((length, from)) = received else { continue };
                    if let Deed::Another(end, at) = &mut self.deed {
                        *at = Some(from);
                        let end = *end;
                        self.send(end, &third[..length]).await;
                    }
                }
            }
        }
    }

    /// To an end, in the name of the other.
    async fn send(&self, end: usize, datagram: &[u8]) {
        let to = ("127.0.0.1", self.ends[end].load(Ordering::Relaxed));
        let _ = self.places[1 - end].send_to(datagram, to).await;
    }

    async fn pass(&mut self, from: usize, datagram: &[u8]) {
        let is_handshake = matches!(datagram.first(), Some(20..=63));
        if is_handshake {
            self.begun.notify_one();
        }
        match &mut self.deed {
            Deed::Instead(others) if is_handshake => {
                let some: Vec<_> = others.drain(..others.len().min(50)).collect();
                for other in some {
                    self.send(CALLEE, &other).await;
                }
            }
            Deed::Before(other) if is_handshake => {
                let other = other.clone();
                self.send(1 - from, &other).await;
                self.send(1 - from, datagram).await;
            }
            Deed::Answer(answer) if is_handshake => {
                let answer = answer.clone();
                self.send(from, &answer).await;
            }
            Deed::Another(end, Some(at)) if is_handshake && *end == from => {
                let _ = self.aside.send_to(datagram, *at).await;
            }
            Deed::Keep | Deed::Another(..) if is_handshake => {}
            _ => self.send(1 - from, datagram).await,
        }
    }
}
