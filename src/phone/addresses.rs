//! The addresses of this machine, and word when they change.
//!
//! Owns the question to the operating system: on Linux a socket on which the kernel tells of every
//! change (rtnetlink), elsewhere a look every few seconds. What a change means, others decide.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

#[cfg(unix)]
use nix::ifaddrs::getifaddrs;
#[cfg(target_os = "linux")]
use tokio::net::UnixDatagram;

use crate::clock;

/// Changes come in groups: an address goes, another comes, a route is made.
const SETTLE: Duration = Duration::from_millis(60);

/// How often to look where nobody tells.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// A change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// All there are now.
    pub(super) addresses: Arc<[IpAddr]>,
    /// Whether one that was there is gone.
    pub(super) lost: bool,
}

/// What was there when we last looked.
pub(super) struct Addresses {
    known: BTreeSet<IpAddr>,
    news: News,
}

impl Addresses {
    /// Watches from now on.
    pub(super) fn watch() -> Self {
        Self { known: all(), news: News::open() }
    }

    /// The next change; may be dropped at any time.
    pub(super) async fn changed(&mut self) -> Option<Change> {
        loop {
            self.news.next().await;
            if let Some(change) = self.look(all()) {
                return Some(change);
            }
        }
    }

    fn look(&mut self, now: BTreeSet<IpAddr>) -> Option<Change> {
        // Where all are gone for a moment, a lost path says enough.
        if now == self.known {
            return None;
        }
        let lost = !self.known.is_subset(&now);
        self.known = now;
        Some(Change { addresses: self.known.iter().copied().collect(), lost })
    }
}

/// Those of all interfaces now; none where they cannot be asked for.
#[cfg(unix)]
#[must_use]
pub fn all() -> BTreeSet<IpAddr> {
    let Ok(interfaces) = getifaddrs() else { return BTreeSet::new() };
    let addresses = interfaces.filter_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::from(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::from(v6.ip())))
    });
    addresses.collect()
}

/// Not asked for on other systems: ICE and pings notice, later.
#[cfg(not(unix))]
#[must_use]
pub fn all() -> BTreeSet<IpAddr> {
    BTreeSet::new()
}

/// Word that something may have changed.
struct News {
    #[cfg(target_os = "linux")]
    socket: Option<UnixDatagram>,
}

#[cfg(target_os = "linux")]
impl News {
    fn open() -> Self {
        Self { socket: netlink().ok() }
    }

    async fn next(&mut self) {
        let Some(socket) = &self.socket else { return pause(LOOK_EVERY).await };
        // What is said is of no interest, and an overflow says as much.
        let mut buffer = [0; 4096];
        match socket.recv(&mut buffer).await {
            Ok(1..) => {}
            Err(error) if error.raw_os_error() == Some(OVERFLOW) => {}
            _ => self.socket = None,
        }
        pause(SETTLE).await;
        if let Some(socket) = &self.socket {
            while socket.try_recv(&mut buffer).is_ok_and(|length| length > 0) {}
        }
    }
}

/// More was told than there is room for.
#[cfg(target_os = "linux")]
const OVERFLOW: i32 = rustix::io::Errno::NOBUFS.raw_os_error();

/// Addresses of both families, and links that come and go.
#[cfg(target_os = "linux")]
fn netlink() -> std::io::Result<UnixDatagram> {
    use rustix::net::netlink::SocketAddrNetlink;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};
    const LINK: u32 = 1;
    const IPV4_ADDRESS: u32 = 0x10;
    const IPV6_ADDRESS: u32 = 0x100;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    // No protocol is NETLINK_ROUTE.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    bind(&socket, &SocketAddrNetlink::new(0, LINK | IPV4_ADDRESS | IPV6_ADDRESS))?;
    // Datagrams are read from it as from any other socket; to tokio it is one of those that it knows.
    UnixDatagram::from_std(socket.into())
}

#[cfg(not(target_os = "linux"))]
impl News {
    fn open() -> Self {
        Self {}
    }

    async fn next(&mut self) {
        pause(LOOK_EVERY).await;
    }
}

async fn pause(pause: Duration) {
    clock::until(Some(clock::now() + pause)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(last: &[u8]) -> BTreeSet<IpAddr> {
        last.iter().map(|last| IpAddr::from([192, 0, 2, *last])).collect()
    }

    #[tokio::test]
    async fn only_a_change_is_news_and_a_loss_is_said() {
        let mut addresses = Addresses { known: set(&[1, 2]), news: News::open() };
        assert_eq!(addresses.look(set(&[2, 1])), None);
        let more = addresses.look(set(&[1, 2, 3]));
        assert!(more.is_some_and(|change| !change.lost && change.addresses.len() == 3));
        let other = addresses.look(set(&[1, 2, 4]));
        assert!(other.is_some_and(|change| change.lost));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn this_machine_has_addresses_and_a_kernel_that_tells() {
        let addresses = Addresses::watch();
        assert!(addresses.known.contains(&IpAddr::from([127, 0, 0, 1])));
        assert!(addresses.news.socket.is_some());
    }
}
