//! Addresses that the library is given for the other ends of connections. Pure.
//!
//! W15: the library tells remote candidates apart by address and port alone, and a server may have one
//! port for UDP and TCP: an answer over TCP would count for the UDP candidate. So each connection has
//! an address that exists nowhere else, with the port of the real one. They stand beside those of
//! STUN and TURN servers (`relay`), which have a last part that is not zero.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Connections and candidates of one call at a time, with room to spare.
const MOST: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct StandIns {
    known: VecDeque<(SocketAddr, SocketAddr)>,
    last: u16,
}

impl StandIns {
    /// A new one for a real address.
    pub(super) fn of(&mut self, real: SocketAddr) -> SocketAddr {
        self.last = self.last.checked_add(1).unwrap_or(1);
        let [high, low] = self.last.to_be_bytes();
        // No packet can go to 0.0.0.0/8 (RFC 1122 section 3.2.1.3), or comes back from 100::/64
        // (RFC 6666).
        let ip: IpAddr = match real {
            SocketAddr::V4(_) => Ipv4Addr::new(0, high, low, 0).into(),
            SocketAddr::V6(_) => Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, self.last, 0).into(),
        };
        let stand_in = SocketAddr::new(ip, real.port());
        if self.known.len() == MOST {
            self.known.pop_front();
        }
        self.known.push_back((stand_in, real));
        stand_in
    }

    /// Whom it stands for.
    pub(super) fn real(&self, stand_in: SocketAddr) -> Option<SocketAddr> {
        self.known.iter().find(|(known, _)| *known == stand_in).map(|(_, real)| *real)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_own_and_leads_back() {
        let mut all = StandIns::default();
        for real in ["192.0.2.1:5000", "[2001:db8::1]:5000", "192.0.2.1:5000"] {
            let real: SocketAddr = real.parse().unwrap();
            let stand_in = all.of(real);
            assert_eq!(stand_in.is_ipv4(), real.is_ipv4());
            assert_eq!((stand_in.port(), all.real(stand_in)), (5000, Some(real)));
            assert_eq!(all.real(real), None);
        }
        (0..70_000).for_each(|_| {
            all.of("192.0.2.1:1".parse().unwrap());
        });
        assert_eq!(all.known.len(), MOST);
    }
}
