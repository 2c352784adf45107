//! The requests that are under way: so many at a time, and when there are more the oldest goes.
//!
//! An honest request is over within moments, so that the oldest of too many is one that somebody
//! opened to be in the way.

use std::collections::VecDeque;

use tokio::task::{AbortHandle, JoinSet};

/// The tasks of the requests. Dropped, they end.
pub(super) struct Handshakes {
    at_most: usize,
    running: JoinSet<()>,
    /// Some may be over.
    oldest_first: VecDeque<AbortHandle>,
}

impl Handshakes {
    pub(super) fn new(at_most: usize) -> Self {
        Self { at_most: at_most.max(1), running: JoinSet::new(), oldest_first: VecDeque::new() }
    }

    /// Starts one; `false` when another had to go for it.
    pub(super) fn start(&mut self, request: impl Future<Output = ()> + Send + 'static) -> bool {
        while self.running.try_join_next().is_some() {}
        if self.oldest_first.len() >= self.at_most {
            self.oldest_first.retain(|request| !request.is_finished());
        }
        let mut room = true;
        while self.oldest_first.len() >= self.at_most {
            let Some(oldest) = self.oldest_first.pop_front() else { break };
            oldest.abort();
            room = false;
        }
        self.oldest_first.push_back(self.running.spawn(request));
        room
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn the_oldest_that_is_not_over_goes() {
        let mut handshakes = Handshakes::new(2);
        let stuck = || {
            let (alive, dropped) = oneshot::channel::<()>();
            let request = async move {
                let _alive = alive;
                std::future::pending().await
            };
            (request, dropped)
        };
        let (first, first_gone) = stuck();
        let (second, mut second_gone) = stuck();
        let (third, _third_gone) = stuck();
        assert!(handshakes.start(first) && handshakes.start(second));
        assert!(!handshakes.start(third));
        assert!(first_gone.await.is_err());
        assert!(second_gone.try_recv().is_err_and(|e| e == oneshot::error::TryRecvError::Empty));
    }

    #[tokio::test]
    async fn one_that_is_over_makes_room() {
        let mut handshakes = Handshakes::new(1);
        let (over, is_over) = oneshot::channel();
        handshakes.start(async { over.send(()).unwrap() });
        is_over.await.unwrap();
        tokio::task::yield_now().await;
        assert!(handshakes.start(async {}));
    }
}
