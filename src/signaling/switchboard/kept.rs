//! Names whose connection was lost: for a while only their owner gets them. Pure.
//!
//! The owner is who shows the secret of the last login. Clients that know of no secret are known by the
//! address that they come from; who has said that he has one is not, since others may share it.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::offers::Offers;
use super::partners::Partners;
use super::{ConnectionId, Login};
use crate::secret::Secret;
use crate::signaling::limiter::{Held, Source, of_one_network};
use crate::signaling::name::Looks;

/// How long a name is kept.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// The names that are kept; so many in all, so many of one address, and a quarter of one network.
#[derive(Debug)]
pub(super) struct Kept {
    in_all: usize,
    from_one: usize,
    names: HashMap<String, Lost>,
    /// Names by what they look like.
    looks: HashMap<String, String>,
    held: Held,
    /// When each is free again; some may be back, or lost again, before that.
    ends: VecDeque<(Instant, String)>,
}

/// A login whose connection is gone.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) id: ConnectionId,
    pub(super) login: Login,
    pub(super) partners: Partners,
    pub(super) offers: Option<Box<Offers>>,
    source: Source,
    until: Instant,
}

impl Kept {
    pub(super) fn new(in_all: usize, from_one: usize) -> Self {
        Self {
            in_all,
            from_one,
            names: HashMap::new(),
            looks: HashMap::new(),
            held: Held::default(),
            ends: VecDeque::new(),
        }
    }

    /// Keeps the name of a login, unless there are too many already.
    pub(super) fn keep(
        &mut self,
        now: Instant,
        (id, login, partners, offers): (ConnectionId, Login, Partners, Option<Box<Offers>>),
        source: Source,
    ) {
        if self.names.len() >= self.in_all
            || self.held.of(source) >= self.from_one
            || self.held.of_network(source) >= of_one_network(self.in_all, self.from_one)
        {
            return;
        }
        let (name, until) = (login.name.clone(), now + KEPT_FOR);
        self.held.add(source, 1);
        self.ends.push_back((until, name.clone()));
        self.looks.extend(login.looks.iter().map(|look| (look.to_owned(), name.clone())));
        let lost = Lost { id, login, partners, offers, source, until };
        self.names.insert(name, lost);
    }

    /// Whether the name is kept for somebody else than who asks.
    pub(super) fn is_kept_from(&self, name: &str, source: Source, shown: Option<&Secret>) -> bool {
        self.names.get(name).is_some_and(|lost| !lost.is_his(source, shown))
    }

    /// Whether another name that looks the same is kept.
    pub(super) fn has_alike(&self, name: &str, looks: &Looks) -> bool {
        looks.iter().any(|look| self.looks.get(look).is_some_and(|kept| kept != name))
    }

    /// Lets go of a name.
    pub(super) fn take(&mut self, name: &str) -> Option<Lost> {
        let lost = self.names.remove(name)?;
        lost.login.looks.iter().for_each(|look| {
            self.looks.remove(look);
        });
        self.held.remove(lost.source, 1);
        Some(lost)
    }

    /// When the next name is free again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.ends.front().map(|(until, _)| *until)
    }

    /// Lets go of those whose time is up.
    pub(super) fn expire(&mut self, now: Instant) {
        while self.ends.front().is_some_and(|(until, _)| *until <= now) {
            let Some((until, name)) = self.ends.pop_front() else { return };
            if self.names.get(&name).is_some_and(|lost| lost.until == until) {
                self.take(&name);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
            && self.looks.is_empty()
            && self.held.is_empty()
            && self.ends.is_empty()
    }
}

impl Lost {
    /// Whether who shows this, or comes from there, is the owner. A program that begins anew shows what
    /// the one before it was given.
    fn is_his(&self, source: Source, shown: Option<&Secret>) -> bool {
        self.login.is_shown(shown) || (!self.login.resumes && source == self.source)
    }
}
