//! Which host names a server answers to. Pure.
//!
//! A page of any name can have that name lead to our address (DNS rebinding), and is of our own
//! origin then, as far as browsers know. So a name that nobody gave us is not ours.

use std::net::{IpAddr, Ipv6Addr};

/// The names of a server, beside those of this machine and every literal address: an address that
/// led here is no name that somebody else made up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts {
    /// As [`parse`] gives them back.
    pub names: Vec<String>,
}

impl Hosts {
    /// Whether a request that names `host`, with or without a port, is for this server. `more` are
    /// further names, as certificates have them.
    #[must_use]
    pub fn admit(&self, host: &str, more: &[String]) -> bool {
        let host = host.to_ascii_lowercase();
        let Some(host) = without_port(&host) else { return false };
        if is_address(host) || is_this_machine(host) {
            return true;
        }
        let host = host.strip_suffix('.').unwrap_or(host);
        self.names.iter().chain(more).any(|name| is_called(host, &name.to_ascii_lowercase()))
    }
}

/// Reads a host name such as `example.org`, or `*.example.org` for all directly below it.
///
/// # Errors
/// What to write instead.
pub fn parse(text: &str) -> Result<String, String> {
    let name = text.trim_end_matches('.').to_ascii_lowercase();
    let plain = name.strip_prefix("*.").unwrap_or(&name);
    let label = |label: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        !label.is_empty() && label.len() <= 63 && label.chars().all(fits)
    };
    if name.len() <= 253 && plain.split('.').all(label) {
        Ok(name)
    } else {
        Err(format!("'{text}' is not a host name; write example.org, without scheme and port"))
    }
}

/// The host of `host`, `host:port`, `[::1]` or `[::1]:port`; nothing where it is none of these.
pub(super) fn without_port(authority: &str) -> Option<&str> {
    let is_port = |port: &str| port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    if authority.starts_with('[') {
        let end = authority.find(']')? + 1;
        let (host, rest) = authority.split_at(end);
        let port = rest.strip_prefix(':');
        return (rest.is_empty() || port.is_some_and(is_port)).then_some(host);
    }
    match authority.split_once(':') {
        Some((host, port)) => is_port(port).then_some(host),
        None => Some(authority),
    }
}

/// Whether a host, without its port, is always this machine (RFC 6761 section 6.3).
pub(super) fn is_this_machine(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    name == "localhost"
        || name.ends_with(".localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

fn is_address(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(v6) => v6.parse::<Ipv6Addr>().is_ok(),
        None => host.parse::<std::net::Ipv4Addr>().is_ok(),
    }
}

/// A star stands for one label, the first (RFC 9525 section 6.3).
fn is_called(host: &str, name: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(parent) => {
            host.split_once('.').is_some_and(|(first, rest)| !first.is_empty() && rest == parent)
        }
        None => host == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_and_addresses_and_the_names_that_were_given() {
        let names = ["example.org", "*.pages.example"].map(str::to_owned).to_vec();
        let hosts = Hosts { names };
        let more = ["Cert.example".to_owned()];
        for host in [
            "localhost",
            "LOCALHOST:9090",
            "a.localhost:1",
            "localhost.",
            "127.0.0.1:9090",
            "192.168.1.5",
            "[::1]:9090",
            "[2001:db8::1]",
            "Example.org:443",
            "example.org.",
            "a.pages.example:8080",
            "cert.example",
        ] {
            assert!(hosts.admit(host, &more), "{host}");
        }
        for host in [
            "",
            ":9090",
            "x",
            "rebind.evil.example:9090",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil.example.org",
            "pages.example",
            "a.b.pages.example",
            ".pages.example",
            "[::1].evil.example",
            "[evil.example]",
            "[::1",
            "example.org:443@evil.example",
            "localhost:80:80",
            "localhost:x",
            "127.1",
            "2130706433",
        ] {
            assert!(!hosts.admit(host, &more), "{host}");
        }
        assert!(!Hosts::default().admit("example.org", &[]));
    }

    #[test]
    fn a_name_has_no_scheme_and_no_port() {
        assert_eq!(parse("Example.org."), Ok("example.org".to_owned()));
        assert_eq!(parse("*.example.org"), Ok("*.example.org".to_owned()));
        for text in ["", "*", "*.", "https://a", "a:80", "a/b", "a..b", "ä.example", "a.*.b"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
