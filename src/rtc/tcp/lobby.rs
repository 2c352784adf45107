//! Who may wait at a listening port before he has said a word. Pure.
//!
//! Anybody can connect. Who wants into the call says so at once, so that a few places are enough; when
//! all are taken, whoever has most of them gives up his oldest, and a flood from one address, or from
//! many in one network, makes no room for itself at the expense of others.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Connections that have said nothing yet.
const PLACES: usize = 16;

/// Of one who waits.
pub(super) type GuestId = u64;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lobby {
    /// In order of arrival.
    guests: Vec<(GuestId, IpAddr)>,
    next: GuestId,
}

impl Lobby {
    /// Somebody comes from there; and who has to leave for him, if anybody.
    pub(super) fn enter(&mut self, from: IpAddr) -> (GuestId, Option<GuestId>) {
        let (id, from) = (self.next, network(from));
        self.next += 1;
        self.guests.push((id, from));
        let leaves = (self.guests.len() > PLACES).then(|| self.oldest_of_most()).flatten();
        if let Some(leaves) = leaves {
            self.leave(leaves);
        }
        (id, leaves)
    }

    /// He has spoken, or is gone.
    pub(super) fn leave(&mut self, guest: GuestId) {
        self.guests.retain(|(id, _)| *id != guest);
    }

    fn oldest_of_most(&self) -> Option<GuestId> {
        let places = |of: IpAddr| {
            let of_site = self.guests.iter().filter(|(_, from)| site(*from) == site(of)).count();
            (of_site, self.guests.iter().filter(|(_, from)| *from == of).count())
        };
        let most = self.guests.iter().map(|(_, from)| places(*from)).max()?;
        self.guests.iter().find(|(_, from)| places(*from) == most).map(|(id, _)| *id)
    }
}

/// Who has many networks most often has them beside each other: a /48 is what one site may have
/// (RFC 6177 section 2), and the like of it is a /24 over IPv4.
fn site(network: IpAddr) -> IpAddr {
    match network {
        IpAddr::V4(ip) => Ipv4Addr::from(u32::from(ip) & !0xff).into(),
        IpAddr::V6(ip) => Ipv6Addr::from(u128::from(ip) & !(u128::MAX >> 48)).into(),
    }
}

/// Over IPv6 everybody has a network of his own.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn a_flood_pushes_out_itself() {
        let mut lobby = Lobby::default();
        let (friend, _) = lobby.enter(v4(1));
        let mut flood = Vec::new();
        for _ in 0..100 {
            let (id, leaves) = lobby.enter(v4(9));
            flood.push(id);
            assert!(leaves.is_none_or(|leaves| leaves != friend && leaves != id));
        }
        assert_eq!(lobby.guests.len(), PLACES);
        assert!(lobby.guests.contains(&(friend, v4(1))));
        lobby.leave(friend);
        assert_eq!(lobby.enter(v4(9)).1, None, "his place is free");
    }

    #[test]
    fn the_newest_of_many_alike_can_still_speak() {
        let mut lobby = Lobby::default();
        let ids: Vec<_> = (0..=255).map(|n| lobby.enter(v4(n))).collect();
        assert_eq!(ids.last().and_then(|(_, leaves)| *leaves), Some(255 - PLACES as u64));
    }

    #[test]
    fn a_flood_from_many_networks_of_one_site_pushes_out_itself() {
        let v6 = |number| IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 1, number, 0, 0, 0, 1));
        let v4_of_the_site = |number: u16| IpAddr::from([198, 51, 100, number as u8]);
        for flood in [v6, v4_of_the_site] {
            let mut lobby = Lobby::default();
            let (friend, _) = lobby.enter(v4(1));
            for number in 0..200 {
                let (_, leaves) = lobby.enter(flood(number));
                assert_ne!(leaves, Some(friend), "{number}");
            }
            assert_eq!(lobby.guests.len(), PLACES);
        }
    }

    #[test]
    fn a_network_over_ipv6_is_one_address() {
        let one = |last| IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, last));
        assert_eq!(network(one(1)), network(one(2)));
        assert_eq!(network(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0xc000, 0x201).into()), v4(1));
    }
}
