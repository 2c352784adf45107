//! How many connections and how many tries one address, or one name, may have. Pure; the time is
//! handed in.
//!
//! Its memory is bounded: what it knows of those that are quiet it forgets, and when too many are
//! not, newcomers share one allowance.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use super::token_bucket::TokenBucket;

/// Whom a connection is from, as far as that can be limited: an IPv4 address, or the /64 of an
/// IPv6 address, of which one customer has all.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Source(IpAddr);

impl Source {
    /// The source that an address belongs to.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.into()),
            IpAddr::V6(address) => {
                let network = u128::from(address) & !u128::from(u64::MAX);
                Self(Ipv6Addr::from(network).into())
            }
        }
    }
}

impl fmt::Debug for Source {
    /// Without the address, which is nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(address)")
    }
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPlace {
    /// All are taken.
    Full,
    /// The address has as many as one may have.
    AddressFull,
}

/// The places for connections: so many in all, and so many for one address.
#[derive(Debug)]
pub struct Places {
    in_all: usize,
    from_one: usize,
    taken: usize,
    by_source: HashMap<Source, usize>,
}

impl Places {
    /// All free.
    #[must_use]
    pub fn new(in_all: usize, from_one: usize) -> Self {
        Self { in_all, from_one, taken: 0, by_source: HashMap::new() }
    }

    /// Takes a place.
    ///
    /// # Errors
    /// When there is none.
    pub fn take(&mut self, source: Source) -> Result<(), NoPlace> {
        if self.taken >= self.in_all {
            return Err(NoPlace::Full);
        }
        let of_source = self.by_source.get(&source).copied().unwrap_or(0);
        if of_source >= self.from_one {
            return Err(NoPlace::AddressFull);
        }
        self.by_source.insert(source, of_source + 1);
        self.taken += 1;
        Ok(())
    }

    /// Gives a place back that was taken.
    pub fn give_back(&mut self, source: Source) {
        let Some(of_source) = self.by_source.get_mut(&source) else { return };
        *of_source -= 1;
        if *of_source == 0 {
            self.by_source.remove(&source);
        }
        self.taken -= 1;
    }

    /// How many are taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken
    }
}

/// How long forgetting waits after it was tried: it looks at everything.
const FORGET_EVERY: Duration = Duration::from_secs(1);

/// An allowance for each key: so many at once, and so many a minute.
#[derive(Debug)]
pub struct Allowances<K> {
    per_minute: f64,
    capacity: usize,
    of: HashMap<K, TokenBucket>,
    /// For all keys that there is no room for.
    shared: Option<TokenBucket>,
    forget_at: Option<Instant>,
}

impl<K: Hash + Eq> Allowances<K> {
    /// For at most `capacity` keys at a time. A minute's allowance can be used at once.
    #[must_use]
    pub fn new(per_minute: f64, capacity: usize) -> Self {
        Self { per_minute, capacity, of: HashMap::new(), shared: None, forget_at: None }
    }

    /// Takes one; `false` when there is none left.
    pub fn take(&mut self, now: Instant, key: K) -> bool {
        let (rate, burst) = (self.per_minute / 60.0, self.per_minute);
        if let Some(bucket) = self.of.get_mut(&key) {
            return bucket.take(now);
        }
        if self.of.len() >= self.capacity && self.forget_at.is_none_or(|at| now >= at) {
            self.of.retain(|_, bucket| !bucket.is_full(now));
            self.forget_at = Some(now + FORGET_EVERY);
        }
        let new = || TokenBucket::new(now, rate, burst);
        if self.of.len() < self.capacity {
            return self.of.entry(key).or_insert_with(new).take(now);
        }
        self.shared.get_or_insert_with(new).take(now)
    }

    /// Gives one back that was not needed after all.
    pub fn give_back<Q: Hash + Eq + ?Sized>(&mut self, key: &Q)
    where
        K: std::borrow::Borrow<Q>,
    {
        match (self.of.get_mut(key), &mut self.shared) {
            (Some(bucket), _) | (None, Some(bucket)) => bucket.give_back(),
            (None, None) => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn source(address: &str) -> Source {
        Source::of(address.parse().unwrap())
    }

    #[test]
    fn an_ipv6_customer_is_one_source_and_ipv4_is_the_same_in_ipv6() {
        assert_eq!(source("2001:db8:1:2::1"), source("2001:db8:1:2:ffff::7"));
        assert_ne!(source("2001:db8:1:2::1"), source("2001:db8:1:3::1"));
        assert_eq!(source("192.0.2.1"), source("::ffff:192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
        assert!(!format!("{:?}", source("192.0.2.1")).contains("192"));
    }

    #[test]
    fn places_are_counted_for_one_and_for_all() {
        let (one, two) = (source("192.0.2.1"), source("192.0.2.2"));
        let mut places = Places::new(3, 2);
        assert_eq!((places.take(one), places.take(one)), (Ok(()), Ok(())));
        assert_eq!(places.take(one), Err(NoPlace::AddressFull));
        assert_eq!(places.take(two), Ok(()));
        assert_eq!(places.take(two), Err(NoPlace::Full));
        places.give_back(one);
        assert_eq!((places.taken(), places.take(two)), (2, Ok(())));
    }

    #[test]
    fn an_allowance_is_a_minutes_and_its_own() {
        let start = crate::clock::now();
        let mut tries = Allowances::new(3.0, 10);
        assert_eq!((0..9).filter(|_| tries.take(start, "alice")).count(), 3);
        assert!(tries.take(start, "bob"));
        tries.give_back("alice");
        assert!(tries.take(start, "alice") && !tries.take(start, "alice"));
        assert!(tries.take(start + Duration::from_secs(20), "alice"));
    }

    #[test]
    fn who_finds_no_room_shares_and_the_quiet_are_forgotten() {
        let start = crate::clock::now();
        let mut tries = Allowances::new(2.0, 2);
        assert!(tries.take(start, 1) && tries.take(start, 2));
        assert!(tries.take(start, 3) && tries.take(start, 4));
        assert!(!tries.take(start, 5), "3 and 4 have used it up");
        assert!(tries.take(start, 1), "who was there before has his own");
        let later = start + Duration::from_secs(61);
        assert!(tries.take(later, 5) && tries.take(later, 5) && !tries.take(later, 5));
        assert_eq!(tries.of.len(), 1);
    }

    proptest! {
        #[test]
        fn memory_is_bounded_and_nobody_gets_more(
            keys in proptest::collection::vec((0..50_u8, 0..5_u64), 0..300),
        ) {
            let mut now = crate::clock::now();
            let mut tries = Allowances::new(4.0, 8);
            let mut passed = [0; 50];
            let begin = now;
            for (key, seconds) in keys {
                now += Duration::from_secs(seconds);
                passed[usize::from(key)] += u32::from(tries.take(now, key));
                prop_assert!(tries.of.len() <= 8);
            }
            // Twice: once its own, once as one of those who share.
            let most = 2.0 * (4.0 + (now - begin).as_secs_f64() * 4.0 / 60.0);
            prop_assert!(passed.iter().all(|passed| f64::from(*passed) <= most + 1.0));
        }

        #[test]
        fn places_come_back(takes in proptest::collection::vec((0..4_u8, any::<bool>()), 0..100)) {
            let mut places = Places::new(5, 2);
            let mut held = Vec::new();
            for (who, take) in takes {
                let source = Source::of(IpAddr::from([192, 0, 2, who]));
                if take {
                    if places.take(source).is_ok() { held.push(source); }
                } else if let Some(source) = held.pop() {
                    places.give_back(source);
                }
                prop_assert_eq!(places.taken(), held.len());
                prop_assert!(held.len() <= 5);
            }
            for source in held { places.give_back(source); }
            prop_assert!(places.by_source.is_empty());
        }
    }
}
