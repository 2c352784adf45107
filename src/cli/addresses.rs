//! The addresses and the name of this machine, as others may ask for them.
//!
//! Owns the question to the operating system; it connects to nothing.

use std::net::IpAddr;

use crate::phone::addresses;

/// The addresses that lead to a server that listens on `listen`: itself, or where it stands for
/// all, those of the interfaces; IPv4 first, the loopback's not among them.
#[must_use]
pub fn behind(listen: IpAddr) -> Vec<IpAddr> {
    if !listen.is_unspecified() {
        return vec![listen];
    }
    let mut found: Vec<_> = addresses::all()
        .into_iter()
        .filter(|address| address.is_ipv4() || listen.is_ipv6())
        .filter(|address| !address.is_loopback() && !address.is_unspecified() && !linked(*address))
        .collect();
    found.sort_by_key(IpAddr::is_ipv6);
    found
}

/// A link's own addresses need the link's name with them, which no certificate and no URL has.
fn linked(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// The name of this machine, where it can be a name in a certificate.
#[must_use]
pub fn host_name() -> Option<String> {
    let name = own_name()?.to_ascii_lowercase();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let edge = |c: char| c.is_ascii_alphanumeric();
    let whole = name.starts_with(edge) && name.ends_with(edge) && name.chars().all(fits);
    (whole && name != "localhost").then_some(name)
}

#[cfg(unix)]
fn own_name() -> Option<String> {
    nix::unistd::gethostname().ok()?.into_string().ok()
}

#[cfg(not(unix))]
fn own_name() -> Option<String> {
    std::env::var("COMPUTERNAME").ok()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn one_address_is_itself_and_all_are_those_of_the_interfaces() {
        let one = IpAddr::from([192, 0, 2, 7]);
        assert_eq!(behind(one), [one]);
        let all = behind(IpAddr::from([0, 0, 0, 0]));
        assert!(all.iter().all(|address| address.is_ipv4() && !address.is_loopback()), "{all:?}");
        let loopback = IpAddr::from([127, 0, 0, 1]);
        assert!(addresses::all().contains(&loopback), "{:?}", addresses::all());
    }
}
