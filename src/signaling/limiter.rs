//! How many connections and how many tries one address, its network, or one name may have. Pure; the
//! time is handed in.
//!
//! Who has one address most often has those beside it too, so that each is counted twice: by itself,
//! and with its neighbours.
//!
//! Its memory is bounded: what it knows of those that are quiet it forgets, and when too many are
//! not, newcomers share one allowance.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
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

impl Source {
    /// The network that it is a part of.
    #[must_use]
    pub fn network(self) -> Network {
        Network(match self.0 {
            IpAddr::V4(address) => Ipv4Addr::from(u32::from(address) & !0xff).into(),
            IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) & !(u128::MAX >> 48)).into(),
        })
    }
}

/// Whom sources are from that come from next to each other: the /24 of an IPv4 address, or the /48 of
/// an IPv6 address, which is what one site may have (RFC 6177 section 2).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl fmt::Debug for Source {
    /// Without the address, which is nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(address)")
    }
}

impl fmt::Debug for Network {
    /// As little as of the addresses.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(network)")
    }
}

/// One network may have this part of what there is in all, if one address may not have more.
const PART: usize = 4;

/// How much of something each source has, and each network.
#[derive(Debug, Default)]
pub struct Held {
    by_source: HashMap<Source, usize>,
    by_network: HashMap<Network, usize>,
}

impl Held {
    /// How much a source has.
    #[must_use]
    pub fn of(&self, source: Source) -> usize {
        self.by_source.get(&source).copied().unwrap_or(0)
    }

    /// How much its network has, it among them.
    #[must_use]
    pub fn of_network(&self, source: Source) -> usize {
        self.by_network.get(&source.network()).copied().unwrap_or(0)
    }

    /// It has so much more.
    pub fn add(&mut self, source: Source, more: usize) {
        *self.by_source.entry(source).or_default() += more;
        *self.by_network.entry(source.network()).or_default() += more;
    }

    /// It has so much less.
    pub fn remove(&mut self, source: Source, less: usize) {
        remove(&mut self.by_source, source, less);
        remove(&mut self.by_network, source.network(), less);
    }

    /// Whether nobody has anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_source.is_empty() && self.by_network.is_empty()
    }
}

fn remove<K: Hash + Eq>(held: &mut HashMap<K, usize>, key: K, less: usize) {
    if let Some(amount) = held.get_mut(&key) {
        *amount = amount.saturating_sub(less);
        if *amount == 0 {
            held.remove(&key);
        }
    }
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPlace {
    /// All are taken.
    Full,
    /// The address, or its network, has as many as one may have.
    AddressFull,
}

/// The places for connections: so many in all, so many for one address, and a quarter for one
/// network.
#[derive(Debug)]
pub struct Places {
    in_all: usize,
    from_one: usize,
    taken: usize,
    held: Held,
}

impl Places {
    /// All free.
    #[must_use]
    pub fn new(in_all: usize, from_one: usize) -> Self {
        Self { in_all, from_one, taken: 0, held: Held::default() }
    }

    /// Takes a place.
    ///
    /// # Errors
    /// When there is none.
    pub fn take(&mut self, source: Source) -> Result<(), NoPlace> {
        if self.taken >= self.in_all {
            return Err(NoPlace::Full);
        }
        let from_network = of_one_network(self.in_all, self.from_one);
        if self.held.of(source) >= self.from_one || self.held.of_network(source) >= from_network {
            return Err(NoPlace::AddressFull);
        }
        self.held.add(source, 1);
        self.taken += 1;
        Ok(())
    }

    /// Gives a place back that was taken.
    pub fn give_back(&mut self, source: Source) {
        if self.held.of(source) > 0 {
            self.held.remove(source, 1);
            self.taken -= 1;
        }
    }

    /// How many are taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken
    }
}

/// What one network may have of so much in all, when one address may have `from_one` of it.
#[must_use]
pub fn of_one_network(in_all: usize, from_one: usize) -> usize {
    (in_all / PART).max(from_one)
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

/// An allowance for each address, and four times as much for each network.
#[derive(Debug)]
pub struct SourceAllowances {
    sources: Allowances<Source>,
    networks: Allowances<Network>,
}

impl SourceAllowances {
    /// For at most `capacity` addresses at a time, and as many networks.
    #[must_use]
    pub fn new(per_minute: f64, capacity: usize) -> Self {
        let networks = Allowances::new(per_minute * PART as f64, capacity);
        Self { sources: Allowances::new(per_minute, capacity), networks }
    }

    /// Takes one; `false` when there is none left. The network first: who has many addresses does not
    /// fill the memory for those of others.
    pub fn take(&mut self, now: Instant, source: Source) -> bool {
        if !self.networks.take(now, source.network()) {
            return false;
        }
        let may = self.sources.take(now, source);
        if !may {
            self.networks.give_back(&source.network());
        }
        may
    }

    /// Gives one back that was not needed after all.
    pub fn give_back(&mut self, source: Source) {
        self.networks.give_back(&source.network());
        self.sources.give_back(&source);
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
    fn a_site_is_one_network() {
        let network = |address| source(address).network();
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:ffff::1"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:2:2::1"));
        assert_eq!(network("192.0.2.1"), network("::ffff:192.0.2.255"));
        assert_ne!(network("192.0.2.1"), network("192.0.3.1"));
        assert!(!format!("{:?}", network("192.0.2.1")).contains("192"));
    }

    #[test]
    fn many_addresses_of_one_network_leave_places_for_others() {
        let mut places = Places::new(40, 2);
        let of = |site: u16, number: u16| source(&format!("2001:db8:{site:x}:{number:x}::1"));
        let taken = (0..100).filter(|number| places.take(of(1, *number)).is_ok()).count();
        assert_eq!(taken, 10, "a quarter of all");
        assert_eq!(places.take(of(1, 500)), Err(NoPlace::AddressFull));
        assert_eq!(places.take(of(2, 0)), Ok(()));
        let mut places = Places::new(40, 20);
        let taken = (0..100).filter(|_| places.take(of(1, 0)).is_ok()).count();
        assert_eq!(taken, 20, "what an operator allows one address, its network may have");
    }

    #[test]
    fn many_addresses_of_one_network_have_four_times_as_much_as_one() {
        let now = crate::clock::now();
        let mut tries = SourceAllowances::new(3.0, 8);
        let of = |site: u16, number: u16| source(&format!("2001:db8:{site:x}:{number:x}::1"));
        assert_eq!((0..9).filter(|_| tries.take(now, of(1, 0))).count(), 3);
        assert_eq!((0..99).filter(|number| tries.take(now, of(1, *number))).count(), 9);
        assert!(tries.take(now, of(2, 0)), "others have their own");
        tries.give_back(of(1, 0));
        assert!(tries.take(now, of(1, 0)) && !tries.take(now, of(1, 0)));
    }

    #[test]
    fn places_are_counted_for_one_and_for_all() {
        let (one, two) = (source("192.0.2.1"), source("198.51.100.2"));
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
            prop_assert!(places.held.is_empty());
        }
    }
}
