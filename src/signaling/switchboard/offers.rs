//! How many offers reach one callee: from one name, one address, one network, and in all. Pure.
//!
//! Each offer makes whoever is called answer, so that who is called is not to pay for them. Each of the
//! four has a reserve for those who have hardly sent anything: however many send too much, under
//! whatever names, somebody who calls once gets through, unless they have as many networks.

use std::hash::{BuildHasher, RandomState};
use std::time::Instant;

use crate::signaling::limiter::Source;

/// Names, addresses and networks that are remembered for one callee, each in 32 bytes. Of more
/// whoever has sent least is forgotten; what is allowed in all holds all the same.
const REMEMBERED: usize = 64;

/// Who has sent no more than this lately may use the reserve.
const LITTLE: f32 = 4.0;

/// What counting in fractions may be off by.
const ROUNDING: f32 = 0.001;

/// What may come, at once and again a minute.
#[derive(Debug, Clone, Copy)]
struct Share {
    usual: f32,
    /// For those who have sent little.
    reserve: f32,
}

/// What has come of somebody; it is forgotten as time goes on.
#[derive(Debug, Clone, Copy)]
struct Used {
    usual: f32,
    reserve: f32,
    at: Instant,
}

/// Everybody of one kind.
#[derive(Debug)]
struct Level {
    share: Share,
    /// By a hash that nobody else can know.
    of: Vec<(u64, Used)>,
}

/// The offers to one callee.
#[derive(Debug)]
pub(super) struct Offers {
    keys: RandomState,
    /// Names, addresses, networks and all together.
    levels: [Level; 4],
}

impl Offers {
    /// Nobody has sent any; `per_minute` may come from one name.
    pub(super) fn new(per_minute: f64) -> Self {
        let level = |usual: f64, reserve: f64| {
            let share = Share {
                usual: (usual * per_minute) as f32,
                reserve: (reserve * per_minute) as f32,
            };
            Level { share, of: Vec::new() }
        };
        // One name may not use up what its address has, nor one address what its network has, and so on.
        let levels = [level(1.0, 0.0), level(1.25, 0.25), level(2.0, 0.5), level(3.0, 1.0)];
        Self { keys: RandomState::new(), levels }
    }

    /// Takes one; `false` when it is too much, and then it counts for nobody.
    pub(super) fn take(&mut self, now: Instant, name: &str, source: Source) -> bool {
        let hash = &self.keys;
        let keys = [hash.hash_one(name), hash.hash_one(source), hash.hash_one(source.network()), 0];
        // Whether who has come so far on the way up has sent little.
        let mut little = false;
        let mut of_reserve = [false; 4];
        for ((level, key), of_reserve) in self.levels.iter_mut().zip(keys).zip(&mut of_reserve) {
            let share = level.share;
            let used = level.used(now, key);
            if used.usual + 1.0 > share.usual + ROUNDING {
                *of_reserve = little && used.reserve + 1.0 <= share.reserve + ROUNDING;
                if !*of_reserve {
                    return false;
                }
            }
            little = used.usual < LITTLE && used.reserve < 1.0;
        }
        for ((level, key), of_reserve) in self.levels.iter_mut().zip(keys).zip(of_reserve) {
            let used = level.used(now, key);
            *(if of_reserve { &mut used.reserve } else { &mut used.usual }) += 1.0;
        }
        true
    }
}

impl Level {
    fn used(&mut self, now: Instant, key: u64) -> &mut Used {
        let at = self.of.iter().position(|(other, _)| *other == key);
        let at = at.unwrap_or_else(|| self.enter(now, key));
        let used = &mut self.of[at].1;
        used.forget(now, self.share);
        used
    }

    fn enter(&mut self, now: Instant, key: u64) -> usize {
        let share = self.share;
        if self.of.len() >= REMEMBERED {
            let entries = self.of.iter_mut().enumerate();
            let sent = entries.map(|(at, (_, used))| {
                used.forget(now, share);
                (at, used.usual + used.reserve)
            });
            let least = sent.min_by(|(_, one), (_, other)| one.total_cmp(other));
            self.of.swap_remove(least.map_or(0, |(at, _)| at));
        }
        self.of.push((key, Used { usual: 0.0, reserve: 0.0, at: now }));
        self.of.len() - 1
    }
}

impl Used {
    fn forget(&mut self, now: Instant, share: Share) {
        let minutes = now.saturating_duration_since(self.at).as_secs_f32() / 60.0;
        self.usual = (self.usual - minutes * share.usual).max(0.0);
        self.reserve = (self.reserve - minutes * share.reserve).max(0.0);
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::{IpAddr, Ipv6Addr};
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn v4(network: u8, last: u8) -> Source {
        Source::of([198, 51, network, last].into())
    }

    fn v6(site: u16, number: u16) -> Source {
        Source::of(IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, site, number, 0, 0, 0, 1)))
    }

    /// How many of so many get through; each is by another of `names`, from another of `sources`.
    fn flood(offers: &mut Offers, now: Instant, names: u32, sources: &[Source]) -> u32 {
        let mut passed = 0;
        for number in 0..2_000_u32 {
            let source = sources[number as usize % sources.len()];
            passed += u32::from(offers.take(now, &format!("pest {}", number % names), source));
        }
        passed
    }

    #[test]
    fn one_name_has_its_own_and_not_what_is_for_others() {
        let (mut offers, now) = (Offers::new(60.0), crate::clock::now());
        assert_eq!(flood(&mut offers, now, 1, &[v4(1, 1)]), 60);
        assert!(offers.take(now, "friend", v4(1, 1)), "behind the same address");
        assert!(!offers.take(now, "pest 0", v4(1, 2)), "another connection of the same name");
        let later = now + Duration::from_secs(10);
        assert_eq!((0..99).filter(|_| offers.take(later, "pest 0", v4(1, 2))).count(), 10);
    }

    #[test]
    fn many_names_of_one_address_are_one_address() {
        let (mut offers, now) = (Offers::new(60.0), crate::clock::now());
        assert_eq!(flood(&mut offers, now, 5, &[v4(1, 1)]), 75);
        assert!(offers.take(now, "friend", v4(1, 1)), "even behind it");
        let (mut offers, now) = (Offers::new(60.0), crate::clock::now());
        assert_eq!(flood(&mut offers, now, 2_000, &[v4(1, 1)]), 90);
        assert!(!offers.take(now, "another", v4(1, 1)));
        for friend in [v4(1, 2), v4(2, 1), v6(1, 1)] {
            assert!(offers.take(now, "friend", friend), "{friend:?}");
        }
    }

    #[test]
    fn many_addresses_of_one_network_are_one_network() {
        for of in [v6, |_, number| v4(1, number as u8)] {
            let (mut offers, now) = (Offers::new(60.0), crate::clock::now());
            let sources: Vec<_> = (0..200).map(|number| of(1, number)).collect();
            let passed = flood(&mut offers, now, 2_000, &sources);
            assert!(passed <= 150, "{passed}");
            assert!(offers.take(now, "friend", v4(9, 1)));
        }
    }

    #[test]
    fn a_few_networks_are_not_all() {
        let (mut offers, now) = (Offers::new(60.0), crate::clock::now());
        let sources: Vec<_> = (0..120).map(|number| v4(number % 6, number)).collect();
        let passed = flood(&mut offers, now, 300, &sources);
        assert!((180..=240).contains(&passed), "{passed}");
        for number in 0..20 {
            assert!(offers.take(now, &format!("friend {number}"), v6(number, 1)), "{number}");
        }
    }

    proptest! {
        #[test]
        fn memory_is_bounded_and_so_is_what_comes(
            sent in proptest::collection::vec((0..400_u32, 0..300_u16, 0..2_000_u64), 0..600),
        ) {
            let mut offers = Offers::new(10.0);
            let begin = crate::clock::now();
            let (mut now, mut passed) = (begin, 0);
            for (name, source, millis) in sent {
                now += Duration::from_millis(millis / 10);
                let source = v6(source / 20, source % 20);
                passed += u32::from(offers.take(now, &name.to_string(), source));
                prop_assert!(offers.levels.iter().all(|level| level.of.len() <= REMEMBERED));
            }
            let minutes = (now - begin).as_secs_f64() / 60.0;
            prop_assert!(f64::from(passed) <= 40.0 * (1.0 + minutes) + 1.0, "{passed}");
        }
    }
}
