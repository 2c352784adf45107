//! The requests that are under way: so many at a time, and so many of one address; when there are
//! more, the oldest goes of whoever has most.
//!
//! An honest request is over within moments, so that the oldest of too many is one that somebody
//! opened to be in the way. Who opens too many loses his own, from however many addresses beside each
//! other he comes.

use std::collections::{HashMap, VecDeque};

use tokio::task::{AbortHandle, JoinSet};

use crate::signaling::limiter::Source;

/// One address may have this part of all.
const PART: usize = 4;

/// The tasks of the requests. Dropped, they end.
pub(super) struct Handshakes {
    at_most: usize,
    running: JoinSet<()>,
    /// Some may be over.
    oldest_first: VecDeque<(Option<Source>, AbortHandle)>,
}

impl Handshakes {
    pub(super) fn new(at_most: usize) -> Self {
        Self { at_most: at_most.max(1), running: JoinSet::new(), oldest_first: VecDeque::new() }
    }

    /// Starts one from this address, where it is known; `false` when another had to go for it.
    pub(super) fn start(
        &mut self,
        source: Option<Source>,
        request: impl Future<Output = ()> + Send + 'static,
    ) -> bool {
        while self.running.try_join_next().is_some() {}
        let of_one = (self.at_most / PART).max(1);
        if self.oldest_first.len() >= of_one {
            self.oldest_first.retain(|(_, request)| !request.is_finished());
        }
        let mut room = true;
        let is_its_own = |from: &Option<Source>| source.is_some() && *from == source;
        while self.oldest_first.iter().filter(|(from, _)| is_its_own(from)).count() >= of_one {
            room = false;
            self.drop_oldest(is_its_own);
        }
        while self.oldest_first.len() >= self.at_most {
            room = false;
            let most = self.of_most();
            self.drop_oldest(|from| *from == most);
        }
        self.oldest_first.push_back((source, self.running.spawn(request)));
        room
    }

    /// Who has most, of those in the network that has most; among equals whoever has the oldest.
    fn of_most(&self) -> Option<Source> {
        let (mut sources, mut networks) = (HashMap::new(), HashMap::new());
        for (from, _) in &self.oldest_first {
            *sources.entry(*from).or_insert(0_usize) += 1;
            *networks.entry(from.map(Source::network)).or_insert(0_usize) += 1;
        }
        let has = |from: &Option<Source>| {
            let of_network = networks.get(&from.map(Source::network)).copied();
            (of_network, sources.get(from).copied())
        };
        // The last of equals is taken, so that it begins at the end.
        let from = self.oldest_first.iter().rev().map(|(from, _)| *from);
        from.max_by_key(has).flatten()
    }

    fn drop_oldest(&mut self, of: impl Fn(&Option<Source>) -> bool) {
        let at = self.oldest_first.iter().position(|(from, _)| of(from));
        if let Some((_, oldest)) = at.and_then(|at| self.oldest_first.remove(at)) {
            oldest.abort();
        }
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
        assert!(handshakes.start(None, first) && handshakes.start(None, second));
        assert!(!handshakes.start(None, third));
        assert!(first_gone.await.is_err());
        assert!(second_gone.try_recv().is_err_and(|e| e == oneshot::error::TryRecvError::Empty));
    }

    #[tokio::test]
    async fn who_opens_too_many_loses_his_own() {
        let mut handshakes = Handshakes::new(8);
        let mut from = |last| {
            let (alive, dropped) = oneshot::channel::<()>();
            let request = async move {
                let _alive = alive;
                std::future::pending().await
            };
            let room = handshakes.start(Some(Source::of([192, 0, 2, last].into())), request);
            (room, dropped)
        };
        let (_, mut honest) = from(1);
        let mut hogs: Vec<_> = (0..9).map(|_| from(2)).collect();
        let rooms: Vec<_> = hogs.iter().map(|(room, _)| *room).collect();
        assert_eq!(rooms, [true, true, false, false, false, false, false, false, false]);
        let (_, mut newest) = hogs.pop().unwrap();
        for (_, dropped) in hogs.drain(..7) {
            assert!(dropped.await.is_err());
        }
        for kept in [&mut honest, &mut newest] {
            assert!(kept.try_recv().is_err_and(|e| e == oneshot::error::TryRecvError::Empty));
        }
    }

    #[tokio::test]
    async fn who_has_many_addresses_loses_his_own_too() {
        let mut handshakes = Handshakes::new(16);
        let mut from = |address: [u16; 8]| {
            let (alive, dropped) = oneshot::channel::<()>();
            let request = async move {
                let _alive = alive;
                std::future::pending().await
            };
            let source = Source::of(std::net::Ipv6Addr::from(address).into());
            handshakes.start(Some(source), request);
            dropped
        };
        let mut honest = from([0x2001, 0xdb8, 1, 1, 0, 0, 0, 1]);
        let hogs: Vec<_> = (0..200).map(|n| from([0x2001, 0xdb8, 2, n, 0, 0, 0, 1])).collect();
        let mut left = 0;
        for mut hog in hogs {
            tokio::task::yield_now().await;
            left += usize::from(
                hog.try_recv().is_err_and(|e| e == oneshot::error::TryRecvError::Empty),
            );
        }
        assert_eq!(left, 15);
        assert!(honest.try_recv().is_err_and(|e| e == oneshot::error::TryRecvError::Empty));
    }

    #[tokio::test]
    async fn one_that_is_over_makes_room() {
        let mut handshakes = Handshakes::new(1);
        let (over, is_over) = oneshot::channel();
        handshakes.start(None, async { over.send(()).unwrap() });
        is_over.await.unwrap();
        tokio::task::yield_now().await;
        assert!(handshakes.start(None, async {}));
    }
}
