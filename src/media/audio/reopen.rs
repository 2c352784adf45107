//! Opens a device again and again until it works, without holding anybody up.
//!
//! Owns the thread that tries: a sound server that hangs must not hang a call.

use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use crate::media::device::DeviceError;

/// The first try comes after this; each later one takes twice as long, up to the most.
const FIRST: Duration = Duration::from_millis(250);
const MOST: Duration = Duration::from_secs(4);

/// The tries.
#[derive(Debug)]
pub(in crate::media) struct Reopen<T> {
    next_at: Option<Instant>,
    wait: Duration,
    trying: Option<Receiver<Result<T, DeviceError>>>,
}

impl<T> Default for Reopen<T> {
    fn default() -> Self {
        Self { next_at: None, wait: FIRST, trying: None }
    }
}

impl<T: Send + 'static> Reopen<T> {
    /// Asked every now and then: starts a try when it is time for one, gives what it opened.
    pub(in crate::media) fn poll(
        &mut self,
        now: Instant,
        open: impl FnOnce() -> Result<T, DeviceError> + Send + 'static,
    ) -> Option<T> {
        if let Some(trying) = &self.trying {
            match trying.try_recv() {
                Ok(Ok(opened)) => {
                    *self = Self::default();
                    return Some(opened);
                }
                Err(TryRecvError::Empty) => return None,
                Ok(Err(_)) | Err(TryRecvError::Disconnected) => {
                    self.trying = None;
                    self.wait = (self.wait * 2).min(MOST);
                    self.next_at = Some(now + self.wait);
                }
            }
        }
        let next_at = *self.next_at.get_or_insert(now + self.wait);
        if now >= next_at {
            let (tell, told) = sync_channel(1);
            let thread = std::thread::Builder::new().name("peer-reopen".into()).spawn(move || {
                let _ = tell.send(open());
            });
            match thread {
                Ok(_) => self.trying = Some(told),
                Err(_) => self.next_at = Some(now + self.wait),
            }
        }
        None
    }
}

/// Lets go of a device on a thread of its own: a server that is gone may keep its client waiting.
pub(in crate::media) fn let_go<T: Send + 'static>(device: T) {
    let thread = std::thread::Builder::new().name("peer-let-go".into());
    if let Err(error) = thread.spawn(move || drop(device)) {
        tracing::warn!(%error, "a device was let go at once");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::clock;

    fn gone() -> DeviceError {
        DeviceError { device: "it".into(), reason: "gone".into(), hint: "wait".into() }
    }

    #[test]
    fn it_is_tried_until_it_works() {
        let (start, mut reopen) = (clock::now(), Reopen::default());
        let mut now = start;
        let mut tries = 0;
        loop {
            let works = now - start > Duration::from_secs(5);
            let opened = reopen.poll(now, move || if works { Ok(7) } else { Err(gone()) });
            if opened == Some(7) {
                break;
            }
            tries += 1;
            // A thread that was started gets time to answer; the clock is our own.
            std::thread::yield_now();
            now += Duration::from_millis(10);
            assert!(tries < 1_000_000);
        }
        assert!(now - start > Duration::from_secs(5));
    }
}
