//! A media socket that lets in who knows the call, keeps the first handshake until there is a path
//! for it, and sends again what is not answered.
//!
//! W9: the library drops what is no ICE check before it has chosen a path, and a browser says its
//! ClientHello as soon as the path works for it, a round trip earlier: it would be repeated only
//! after 50 to 400 ms. So DTLS (RFC 7983 section 7) waits here for the path. Who is let in is
//! decided in `doors.rs`, when a flight is sent again in `handshake.rs`.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::mpsc;
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Runtime, Transmit};

use super::doors::{self, Doors, Refusal};
use super::events::ConnectionEvent;
use super::handshake;
use super::relay::Relays;
use super::runtime::Progress;

/// A flight of a handshake has a few datagrams; whoever sends more is not waited for.
const MOST_HELD: usize = 16;
const LARGEST_HELD: usize = 2048;

/// A socket of a connection.
#[derive(Debug)]
pub(super) struct Gate {
    inner: Arc<dyn AsyncUdpSocket>,
    runtime: Arc<dyn Runtime>,
    relays: Arc<Relays>,
    progress: Arc<Progress>,
    news: mpsc::Sender<ConnectionEvent>,
    held: Mutex<VecDeque<(Vec<u8>, RecvMeta)>>,
    /// Tells the sockets of a connection apart.
    local: SocketAddr,
}

impl Gate {
    pub(super) fn new(
        inner: Arc<dyn AsyncUdpSocket>,
        runtime: Arc<dyn Runtime>,
        relays: Arc<Relays>,
        (progress, news): (Arc<Progress>, mpsc::Sender<ConnectionEvent>),
    ) -> Self {
        let local = inner.local_addr().unwrap_or_else(|_| ([0, 0, 0, 0], 0).into());
        Self { inner, runtime, relays, progress, news, held: Mutex::default(), local }
    }

    /// Sends a part of a handshake again, and again, until something new is heard.
    fn send_again(&self, transmit: &Transmit<'_>) {
        let Transmit { destination, ecn, segment_size, src_ip, .. } = *transmit;
        let contents = transmit.contents.to_vec();
        // The connection may be closed meanwhile.
        let (inner, runtime) = (Arc::downgrade(&self.inner), Arc::clone(&self.runtime));
        let progress = Arc::clone(&self.progress);
        let heard = progress.doors().newest();
        let mut patience = handshake::patience(progress.doors().round_trip());
        self.runtime.spawn(Box::pin(async move {
            for _ in 0..handshake::TIMES {
                runtime.sleep(patience).await;
                if progress.doors().newest() != heard {
                    return;
                }
                let Some(inner) = inner.upgrade() else { return };
                let again =
                    Transmit { destination, ecn, contents: &contents, segment_size, src_ip };
                if poll_fn(|cx| inner.poll_send(cx, &again)).await.is_err() {
                    return;
                }
                patience = patience.mul_f64(handshake::BACK_OFF);
            }
        }));
    }

    /// One side has refused the handshake. If it is up nevertheless in a moment, somebody else has said
    /// so in its name; else nothing comes of it any more.
    fn give_up_soon(&self) {
        let sleep = self.runtime.sleep(handshake::REFUSED);
        let (progress, news) = (Arc::clone(&self.progress), self.news.clone());
        self.runtime.spawn(Box::pin(async move {
            sleep.await;
            if !progress.is_connected() {
                // Without room the time for coming up ends it.
                let _ = news.try_send(ConnectionEvent::Failed);
            }
        }));
    }

    /// What `looks` sees at the doors, and what follows from it.
    fn at_the_doors<T>(&self, looks: impl FnOnce(&mut Doors) -> T) -> T {
        let (seen, refused) = {
            let mut doors = self.progress.doors();
            let before = doors.is_handshake_refused();
            let seen = looks(&mut doors);
            (seen, !before && doors.is_handshake_refused())
        };
        if refused && !self.progress.is_connected() {
            self.give_up_soon();
        }
        seen
    }

    fn held(&self) -> MutexGuard<'_, VecDeque<(Vec<u8>, RecvMeta)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was held, if it may go on now.
    fn release(&self, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> bool {
        if !self.progress.has_path() {
            return false;
        }
        let Some((bytes, about)) = self.held().pop_front() else { return false };
        let (Some(buf), Some(slot)) = (bufs.first_mut(), meta.first_mut()) else { return false };
        let fits = buf.get_mut(..bytes.len()).map(|buf| buf.copy_from_slice(&bytes)).is_some();
        if fits {
            *slot = about;
        }
        fits
    }

    /// Leaves of what came in one piece the datagrams that go on, all of one length but the last.
    fn let_in(&self, buf: &mut [u8], about: &mut RecvMeta) {
        let (length, stride) = (about.len.min(buf.len()), about.stride.max(1));
        let mut kept = 0;
        for start in (0..length).step_by(stride) {
            let end = (start + stride).min(length);
            let bytes = buf.get(start..end).unwrap_or_default();
            let mut one = *about;
            (one.len, one.stride) = (bytes.len(), bytes.len().max(1));
            if may_answer_a_check(bytes) {
                self.progress.check_answered();
            }
            if self.is_welcome(bytes, &one) && !self.hold(bytes, &one) {
                buf.copy_within(start..end, kept);
                kept += end - start;
            }
        }
        about.len = kept;
    }

    fn is_welcome(&self, bytes: &[u8], about: &RecvMeta) -> bool {
        let relayed = self.relays.is_server(about.addr);
        let how = (relayed, self.progress.is_connected());
        let (before, welcome) = self.at_the_doors(|doors| {
            let before = doors.refused();
            (before, doors.on_received(self.runtime.now(), about.addr, bytes, how))
        });
        let Err(refusal) = welcome else { return true };
        let first = match refusal {
            Refusal::Unknown => before.unknown == 0,
            Refusal::Stranger => before.strangers == 0,
            Refusal::Handshake => before.handshake == 0,
            Refusal::Repeated => false,
        };
        if first {
            tracing::info!(from = %about.addr, ?refusal, "datagrams that are none of the call's are dropped");
        }
        false
    }

    /// Whether it waits here.
    fn hold(&self, bytes: &[u8], about: &RecvMeta) -> bool {
        if !is_dtls(bytes) || bytes.len() > LARGEST_HELD || self.progress.has_path() {
            return false;
        }
        let mut held = self.held();
        let has_room = held.len() < MOST_HELD;
        if has_room {
            held.push_back((bytes.to_vec(), *about));
        }
        has_room
    }
}

impl AsyncUdpSocket for Gate {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let (now, to) = (self.runtime.now(), transmit.destination);
        let relayed = self.relays.is_server(to);
        let (from, bytes) = ((self.local, transmit.src_ip), transmit.contents);
        if !self.progress.doors().may_leave(now, from, to, (bytes, relayed)) {
            return Poll::Ready(Ok(bytes.len()));
        }
        let sent = self.inner.poll_send(cx, transmit);
        if matches!(sent, Poll::Ready(Ok(_))) {
            self.at_the_doors(|doors| doors.on_sent(now, to, bytes, relayed));
            let direct = transmit.contents;
            if handshake::is_part(doors::inside(direct).unwrap_or(direct)) {
                self.send_again(transmit);
            }
        }
        sent
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            if self.release(bufs, meta) {
                return Poll::Ready(Ok(1));
            }
            let (Some(buf), Some(about)) = (bufs.first_mut(), meta.first_mut()) else {
                return Poll::Ready(Ok(0));
            };
            let (one, its) = (std::slice::from_mut(buf), std::slice::from_mut(about));
            let Poll::Ready(received) = self.inner.poll_recv(cx, one, its) else {
                self.progress.wake_with_path(cx.waker());
                return Poll::Pending;
            };
            if received? == 0 {
                return Poll::Ready(Ok(0));
            }
            self.let_in(buf, about);
            if about.len > 0 {
                return Poll::Ready(Ok(1));
            }
        }
    }

    fn max_gso_segments(&self) -> usize {
        self.inner.max_gso_segments()
    }

    fn max_gro_segments(&self) -> usize {
        self.inner.max_gro_segments()
    }
}

fn is_dtls(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(20..=63))
}

/// A success response to a binding request (RFC 8489 section 5), or what a TURN server passes on
/// (RFC 8656 sections 11.4 and 12.4).
fn may_answer_a_check(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x01, 0x01])
        || bytes.starts_with(&[0x00, 0x17])
        || matches!(bytes.first(), Some(64..=79))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::rtc::events::IceState;

    /// A socket that gives what it was given.
    #[derive(Debug, Default)]
    struct Given(Mutex<VecDeque<Vec<u8>>>);

    impl AsyncUdpSocket for Given {
        fn local_addr(&self) -> io::Result<SocketAddr> {
            Ok(([127, 0, 0, 1], 9).into())
        }

        fn poll_send(&self, _: &mut Context<'_>, sent: &Transmit<'_>) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(sent.contents.len()))
        }

        fn poll_recv(
            &self,
            _: &mut Context<'_>,
            bufs: &mut [IoSliceMut<'_>],
            meta: &mut [RecvMeta],
        ) -> Poll<io::Result<usize>> {
            let Some(bytes) = self.0.lock().unwrap().pop_front() else { return Poll::Pending };
            bufs[0][..bytes.len()].copy_from_slice(&bytes);
            meta[0] = RecvMeta::default();
            (meta[0].len, meta[0].stride) = (bytes.len(), bytes.len());
            Poll::Ready(Ok(1))
        }
    }

    /// A gate through which whoever sends is known to the call.
    fn gate(given: &Arc<Given>, progress: &Arc<Progress>) -> Gate {
        let runtime = webrtc::runtime::default_runtime().unwrap();
        let (news, _) = tokio::sync::mpsc::channel(1);
        let relays = Relays::new(&[], crate::trust::Trust::System, news.clone(), Arc::default());
        let answer = [&[1, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat();
        progress.doors().on_sent(crate::clock::now(), RecvMeta::default().addr, &answer, false);
        Gate::new(given.clone(), runtime, Arc::new(relays), (Arc::clone(progress), news))
    }

    /// A record of a handshake with one short message.
    fn hello(sequence: u8, length: u8) -> Vec<u8> {
        let mut bytes = vec![22, 254, 253, 0, 0, 0, 0, 0, 0, 0, sequence, 0, 12 + length];
        bytes.extend([1, 0, 0, length, 0, 0, 0, 0, 0, 0, 0, length]);
        bytes.resize(bytes.len() + usize::from(length), 0);
        bytes
    }

    fn received(gate: &Gate) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        loop {
            let (mut buffer, mut meta) = ([0; 4096], [RecvMeta::default()]);
            match gate.poll_recv(&mut cx, &mut [IoSliceMut::new(&mut buffer)], &mut meta) {
                Poll::Ready(Ok(1)) => all.push(buffer[..meta[0].len].to_vec()),
                Poll::Ready(other) => panic!("{other:?}"),
                Poll::Pending => return all,
            }
        }
    }

    #[test]
    fn a_handshake_waits_for_the_path_and_checks_do_not() {
        let [first, second, third] = [0, 1, 2].map(|sequence| hello(sequence, 3));
        let (check, media) = (vec![0, 1, 0, 0], vec![0x80, 96]);
        let given = Arc::new(Given::default());
        let give = |packets: &[&Vec<u8>]| {
            given.0.lock().unwrap().extend(packets.iter().map(|packet| (*packet).clone()));
        };
        let progress = Arc::new(Progress::default());
        let gate = gate(&given, &progress);
        give(&[&first, &check, &second, &first, &media]);
        assert_eq!(received(&gate), [check.clone(), media.clone()]);
        progress.ice(IceState::Connected);
        give(&[&media, &third, &second]);
        assert_eq!(received(&gate), [first, second, media, third], "each once");
    }

    #[test]
    fn a_flood_is_not_kept() {
        let given = Arc::new(Given::default());
        given.0.lock().unwrap().extend((0..100).map(|number| hello(number, 0)));
        let progress = Arc::new(Progress::default());
        let gate = gate(&given, &progress);
        assert_eq!(received(&gate).len(), 100 - MOST_HELD);
        progress.ice(IceState::Connected);
        assert_eq!(received(&gate).len(), MOST_HELD);
    }

    #[test]
    fn of_datagrams_in_one_piece_the_welcome_ones_go_on() {
        let given = Arc::new(Given::default());
        let progress = Arc::new(Progress::default());
        let gate = gate(&given, &progress);
        let (media, junk) = ([0x80, 96, 1, 2], [0xff, 96, 1, 2]);
        let mut piece = [media, junk, media, junk].concat();
        piece.extend([0x81, 96]);
        let mut about = RecvMeta::default();
        (about.len, about.stride) = (piece.len(), 4);
        gate.let_in(&mut piece, &mut about);
        assert_eq!(piece.get(..about.len).unwrap(), [&media[..], &media, &[0x81, 96]].concat());
        let mut piece = junk.to_vec();
        (about.len, about.stride) = (4, 4);
        gate.let_in(&mut piece, &mut about);
        assert_eq!((about.len, progress.doors().refused().unknown), (0, 3));
    }
}
