//! What is read of one connection, byte by byte: what is no message yet, or never becomes one, has to be
//! paid for too.
//!
//! Messages have allowances of their own, which are stricter; this one knows of no messages. Who sends
//! more than it allows is read ever so slowly, and waits in his own queue.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::clock;
use crate::signaling::switchboard::Limits;
use crate::signaling::token_bucket::TokenBucket;

/// How much more than in messages: frames have heads, and a message may come in many.
const MORE: f64 = 4.0;
/// How long nothing is read of who sends too much; then it is as much as one read takes.
const PAUSE: Duration = Duration::from_millis(100);

/// A stream that is not read faster than is allowed.
pub(super) struct Metered<S> {
    stream: S,
    allowed: TokenBucket,
    pause: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<S> Metered<S> {
    pub(super) fn new(stream: S, limits: &Limits) -> Self {
        let (rate, burst) = (limits.bytes_per_second * MORE, limits.byte_burst * MORE);
        Self { stream, allowed: TokenBucket::new(clock::now(), rate, burst), pause: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let came = buffer.filled().len() - before;
        let now = clock::now();
        if !self.allowed.take_many(now, came as f64) {
            self.pause = Some(Box::pin(clock::until(Some(now + PAUSE))));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_burst_is_read_at_once_and_the_rest_at_the_rate() {
        let limits =
            Limits { bytes_per_second: 1_000.0, byte_burst: 10_000.0, ..Limits::default() };
        let (mut near, far) = tokio::io::duplex(1_000_000);
        let mut metered = Metered::new(far, &limits);
        near.write_all(&vec![7; 500_000]).await.unwrap();
        let mut taken = 0;
        let mut chunk = [0; 1_000];
        // One more than is allowed is read before it is noticed.
        while let Some(read) = clock::timeout(PAUSE / 2, metered.read(&mut chunk)).await {
            taken += read.unwrap();
            assert!(taken <= 60_000, "{taken}");
        }
        assert!(taken >= 40_000, "{taken}");
        metered.read_exact(&mut chunk).await.unwrap();
        metered.write_all(b"and what goes out is not held up").await.unwrap();
    }
}
