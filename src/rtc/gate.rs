//! A media socket that lets in who knows the call, keeps the first handshake until there is a path
//! for it, and sends again what is not answered.
//!
//! W9: the library drops what is no ICE check before it has chosen a path, and a browser says its
//! ClientHello as soon as the path works for it, a round trip earlier: it would be repeated only
//! after 50 to 400 ms. So DTLS (RFC 7983 section 7) waits here for the path. Who is let in `porter.rs`
//! says, when a flight is sent again `handshake.rs`.
//!
//! W18: a check of theirs that chooses a path the library answers only where ours on it was answered
//! before, and else forgets it, against RFC 8445 section 7.3.1.4: the other side asks again when its
//! patience is at an end, after 500 ms by RFC 8489. So such a check comes a second time, right behind
//! the answer to ours.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

use super::checks::Whom;
use super::doors;
use super::handshake;
use super::porter::{Held, Porter};

/// Checks that came too early and wait for an answer to ours, and their length at most: those of
/// browsers have some 120 bytes.
const MOST_EARLY: usize = 8;
const LONGEST_CHECK: usize = 512;

/// A socket of a connection.
#[derive(Debug)]
pub(super) struct Gate {
    inner: Arc<dyn AsyncUdpSocket>,
    porter: Porter,
    held: Held<RecvMeta>,
    early: Mutex<VecDeque<(Whom, Vec<u8>, RecvMeta)>>,
    /// Tells the sockets of a connection apart.
    local: SocketAddr,
}

impl Gate {
    pub(super) fn new(inner: Arc<dyn AsyncUdpSocket>, porter: Porter) -> Self {
        let local = inner.local_addr().unwrap_or_else(|_| ([0, 0, 0, 0], 0).into());
        Self { inner, porter, held: Held::default(), early: Mutex::default(), local }
    }

    /// Keeps a check that chooses a path too early.
    fn keep_early(&self, bytes: &[u8], about: RecvMeta) {
        let Some(whom) = self.porter.chosen_early_by(about.addr, bytes) else { return };
        let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        early.retain(|(other, ..)| *other != whom);
        if early.len() < MOST_EARLY && bytes.len() <= LONGEST_CHECK {
            early.push_back((whom, bytes.to_vec(), about));
        }
    }

    /// One that is not too early any more.
    fn come_again(&self) -> Option<(Vec<u8>, RecvMeta)> {
        let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        if early.is_empty() {
            return None;
        }
        let doors = self.porter.progress.doors();
        let at = early.iter().position(|(whom, ..)| doors.has_answered(*whom))?;
        early.remove(at).map(|(_, bytes, about)| (bytes, about))
    }

    /// Sends a part of a handshake again, and again, until something new is heard.
    fn send_again(&self, transmit: &Transmit<'_>) {
        let Transmit { destination, ecn, segment_size, src_ip, .. } = *transmit;
        let contents = transmit.contents.to_vec();
        // The connection may be closed meanwhile.
        let inner = Arc::downgrade(&self.inner);
        let Porter { runtime, progress, .. } = self.porter.clone();
        let heard = progress.doors().newest();
        let mut patience = handshake::patience(progress.doors().round_trip());
        self.porter.runtime.spawn(Box::pin(async move {
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

    /// What was held, or came too early, if it may go on now.
    fn release(&self, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> bool {
        let held = self.held.release(&self.porter.progress);
        let Some((bytes, about)) = held.or_else(|| self.come_again()) else { return false };
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
            let welcome = self.porter.lets_in(one.addr, bytes);
            if welcome {
                self.keep_early(bytes, one);
            }
            if welcome && !self.held.hold(&self.porter.progress, bytes, one) {
                buf.copy_within(start..end, kept);
                kept += end - start;
            }
        }
        about.len = kept;
    }
}

impl AsyncUdpSocket for Gate {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let (to, bytes) = (transmit.destination, transmit.contents);
        if !self.porter.lets_out((self.local, transmit.src_ip), to, bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        let sent = self.inner.poll_send(cx, transmit);
        if matches!(sent, Poll::Ready(Ok(_))) {
            self.porter.has_sent(to, bytes);
            if handshake::is_part(doors::inside(bytes).unwrap_or(bytes)) {
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
                self.porter.progress.wake_with_path(cx.waker());
                // It may have come just now.
                return if self.release(bufs, meta) { Poll::Ready(Ok(1)) } else { Poll::Pending };
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::rtc::events::IceState;
    use crate::rtc::porter::MOST_HELD;
    use crate::rtc::relay::Relays;
    use crate::rtc::runtime::Progress;

    /// A socket that gives what it was given, keeps what was sent, and has no room at first where it is
    /// told so.
    #[derive(Debug, Default)]
    struct Given(Mutex<VecDeque<Vec<u8>>>, Mutex<Vec<Vec<u8>>>, AtomicBool);

    impl AsyncUdpSocket for Given {
        fn local_addr(&self) -> io::Result<SocketAddr> {
            Ok(([127, 0, 0, 1], 9).into())
        }

        fn poll_send(&self, _: &mut Context<'_>, sent: &Transmit<'_>) -> Poll<io::Result<usize>> {
            if self.2.swap(false, Ordering::Relaxed) {
                return Poll::Pending;
            }
            self.1.lock().unwrap().push(sent.contents.to_vec());
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
        progress.doors().described_here("v=0\r\na=ice-ufrag:ours\r\na=ice-pwd:secret\r\n");
        let (relays, progress) = (Arc::new(relays), Arc::clone(progress));
        Gate::new(given.clone(), Porter { runtime, relays, progress, news })
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
        let check = crate::rtc::passwords::check("ours:theirs", "secret", 1);
        let media = vec![0x80, 96];
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

    /// Poll by poll, as the library sends.
    fn sends(gate: &Gate, contents: &[u8]) -> bool {
        let destination = RecvMeta::default().addr;
        let sent = Transmit { destination, ecn: None, contents, segment_size: None, src_ip: None };
        gate.poll_send(&mut Context::from_waker(std::task::Waker::noop()), &sent).is_ready()
    }

    /// As that of tokio, which knows of room only when it was asked once.
    #[test]
    fn a_check_leaves_though_its_socket_has_no_room_at_first() {
        let given = Arc::new(Given::default());
        let gate = gate(&given, &Arc::default());
        let check = crate::rtc::passwords::check("theirs:ours", "theirs", 1);
        given.2.store(true, Ordering::Relaxed);
        assert!(!sends(&gate, &check) && sends(&gate, &check));
        assert_eq!(*given.1.lock().unwrap(), [check]);
    }

    #[test]
    fn a_check_that_chooses_a_path_comes_again_when_ours_is_answered() {
        let given = Arc::new(Given::default());
        let give = |packet: &[u8]| given.0.lock().unwrap().push_back(packet.to_vec());
        let gate = gate(&given, &Arc::default());
        let plain = crate::rtc::passwords::check("ours:theirs", "secret", 1);
        let chooses = [&plain[..], &[0, 0x25, 0, 0]].concat();
        give(&chooses);
        give(&plain);
        assert_eq!(received(&gate), [chooses.clone(), plain]);
        let ours = crate::rtc::passwords::check("theirs:ours", "theirs", 9);
        assert!(sends(&gate, &ours) && received(&gate).is_empty());
        let answer = [&[1, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[9; 12]].concat();
        give(&answer);
        assert_eq!(received(&gate), [answer, chooses.clone()], "right behind it, once");
        give(&chooses);
        assert_eq!(received(&gate), [chooses], "the library answers by itself now");
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
