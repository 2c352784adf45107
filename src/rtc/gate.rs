//! A media socket that lets in who knows the call, keeps the first handshake until there is a path
//! for it, and sends again what is not answered.
//!
//! W9: the library drops what is no ICE check before it has chosen a path, and a browser says its
//! ClientHello as soon as the path works for it, a round trip earlier: it would be repeated only
//! after 50 to 400 ms. So DTLS (RFC 7983 section 7) waits here for the path. Who is let in `porter.rs`
//! says, when a flight is sent again `handshake.rs`.

use std::future::poll_fn;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

use super::doors;
use super::handshake;
use super::porter::{Held, Porter};

/// A socket of a connection.
#[derive(Debug)]
pub(super) struct Gate {
    inner: Arc<dyn AsyncUdpSocket>,
    porter: Porter,
    held: Held<RecvMeta>,
    /// Tells the sockets of a connection apart.
    local: SocketAddr,
}

impl Gate {
    pub(super) fn new(inner: Arc<dyn AsyncUdpSocket>, porter: Porter) -> Self {
        let local = inner.local_addr().unwrap_or_else(|_| ([0, 0, 0, 0], 0).into());
        Self { inner, porter, held: Held::default(), local }
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

    /// What was held, if it may go on now.
    fn release(&self, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> bool {
        let Some((bytes, about)) = self.held.release(&self.porter.progress) else { return false };
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
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use super::*;
    use crate::rtc::events::IceState;
    use crate::rtc::porter::MOST_HELD;
    use crate::rtc::progress::Progress;
    use crate::rtc::relay::Relays;

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
