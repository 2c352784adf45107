//! Names whose connection was lost: for a while only their owner gets them. Pure.
//!
//! The owner is who shows the secret of the last login. Clients that know of no secret, and programs
//! that began anew, are known by the address that they come from.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::partners::Partners;
use super::{ConnectionId, End, Login};
use crate::secret::Secret;
use crate::signaling::limiter::{Allowances, Source};
use crate::signaling::name::Looks;

/// How long a name is kept.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// The names that are kept; so many in all, and so many of one address.
#[derive(Debug)]
pub(super) struct Kept {
    in_all: usize,
    from_one: usize,
    names: HashMap<String, Lost>,
    /// Names by what they look like.
    looks: HashMap<String, String>,
    by_source: HashMap<Source, usize>,
    /// When each is free again; some may be back, or lost again, before that.
    ends: VecDeque<(Instant, String)>,
}

/// A login whose connection is gone.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) id: ConnectionId,
    pub(super) login: Login,
    pub(super) partners: Partners,
    pub(super) offers: Option<Allowances<String>>,
    source: Source,
    end: End,
    until: Instant,
}

impl Kept {
    pub(super) fn new(in_all: usize, from_one: usize) -> Self {
        Self {
            in_all,
            from_one,
            names: HashMap::new(),
            looks: HashMap::new(),
            by_source: HashMap::new(),
            ends: VecDeque::new(),
        }
    }

    /// Keeps the name of a login, unless there are too many already.
    pub(super) fn keep(
        &mut self,
        now: Instant,
        (id, login, partners, offers): (ConnectionId, Login, Partners, Option<Allowances<String>>),
        source: Source,
        end: End,
    ) {
        let of_source = self.by_source.get(&source).copied().unwrap_or(0);
        if self.names.len() >= self.in_all || of_source >= self.from_one {
            return;
        }
        let (name, until) = (login.name.clone(), now + KEPT_FOR);
        self.by_source.insert(source, of_source + 1);
        self.ends.push_back((until, name.clone()));
        self.looks.extend(login.looks.iter().map(|look| (look.to_owned(), name.clone())));
        let lost = Lost { id, login, partners, offers, source, end, until };
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
        if let Some(count) = self.by_source.get_mut(&lost.source) {
            *count -= 1;
            if *count == 0 {
                self.by_source.remove(&lost.source);
            }
        }
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
            && self.by_source.is_empty()
            && self.ends.is_empty()
    }
}

impl Lost {
    /// Whether who shows this, or comes from there, is the owner.
    fn is_his(&self, source: Source, shown: Option<&Secret>) -> bool {
        // What the other side itself has ended without a word is most often a program that begins anew.
        let may_be_without = !self.login.resumes || self.end == End::Dropped;
        self.login.is_shown(shown) || (may_be_without && source == self.source)
    }
}
