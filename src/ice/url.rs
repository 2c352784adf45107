//! The address of a STUN or TURN server, read from its URL (RFC 7064, RFC 7065).
//!
//! Owns the forms and the default ports. It resolves nothing, and says nothing of what a build of
//! this program can use.

use std::fmt;
use std::str::FromStr;

/// Without a port in the URL (RFC 8489 section 17.6, RFC 8656 section 18.6).
const PORT: u16 = 3478;
/// The same, over TLS.
const TLS_PORT: u16 = 5349;

/// What a server is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServerKind {
    /// It says how our address looks from outside.
    Stun,
    /// It relays.
    Turn,
}

/// How a server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A stream.
    Tcp,
    /// A stream in TLS.
    Tls,
}

/// A server's URL, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerUrl {
    /// What it is for.
    pub kind: ServerKind,
    /// How it is reached.
    pub transport: Transport,
    /// A name, or an address without brackets.
    pub host: String,
    /// The URL's, or that of the scheme.
    pub port: u16,
}

impl ServerUrl {
    /// `host:port`, with brackets around an IPv6 address.
    #[must_use]
    pub fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

impl FromStr for ServerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once(':').ok_or("it has no scheme")?;
        let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
        let scheme = scheme.to_ascii_lowercase();
        let (kind, transport) = match (scheme.as_str(), query.to_ascii_lowercase().as_str()) {
            ("stun", "") => (ServerKind::Stun, Transport::Udp),
            ("stuns", "") => (ServerKind::Stun, Transport::Tls),
            ("turn", "" | "transport=udp") => (ServerKind::Turn, Transport::Udp),
            ("turn", "transport=tcp") => (ServerKind::Turn, Transport::Tcp),
            ("turns", "" | "transport=tcp") => (ServerKind::Turn, Transport::Tls),
            ("turns", "transport=udp") => {
                return Err("TURN over DTLS cannot be used; leave out ?transport=udp".to_owned());
            }
            ("stun" | "stuns" | "turn" | "turns", query) => {
                return Err(format!("'?{query}' is unknown"));
            }
            _ => return Err("it is not a stun: or turn: URL".to_owned()),
        };
        let default = if transport == Transport::Tls { TLS_PORT } else { PORT };
        let (host, port) = split(authority)?;
        let port = match port.map(str::parse::<u16>) {
            None => default,
            Some(Ok(port)) if port != 0 => port,
            Some(_) => return Err("its port is not a number from 1 to 65535".to_owned()),
        };
        Ok(Self { kind, transport, host: host.to_owned(), port })
    }
}

/// A host without brackets, and what stands where a port would.
fn split(authority: &str) -> Result<(&str, Option<&str>), String> {
    let (host, after) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or("the bracket is not closed")?,
        None => match authority.split_once(':') {
            Some((_, rest)) if rest.contains(':') => {
                return Err("an IPv6 address needs brackets".to_owned());
            }
            Some((host, _)) => (host, &authority[host.len()..]),
            None => (authority, ""),
        },
    };
    let is_host = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    if host.is_empty() || !host.chars().all(is_host) {
        return Err("it has no host".to_owned());
    }
    match after.strip_prefix(':') {
        Some(port) => Ok((host, Some(port))),
        None if after.is_empty() => Ok((host, None)),
        None => Err("after the bracket only a port may stand".to_owned()),
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        use ServerKind::{Stun, Turn};
        use Transport::{Tcp, Tls, Udp};
        for (url, kind, transport, authority) in [
            ("stun:example.org", Stun, Udp, "example.org:3478"),
            ("stuns:example.org", Stun, Tls, "example.org:5349"),
            ("STUN:example.org:19302", Stun, Udp, "example.org:19302"),
            ("turn:10.0.0.1?transport=udp", Turn, Udp, "10.0.0.1:3478"),
            ("turn:10.0.0.1:80?transport=TCP", Turn, Tcp, "10.0.0.1:80"),
            ("turn:[::1]:99", Turn, Udp, "[::1]:99"),
            ("turns:[2001:db8::1]", Turn, Tls, "[2001:db8::1]:5349"),
            ("turns:example.org:443?transport=tcp", Turn, Tls, "example.org:443"),
        ] {
            let read: ServerUrl = url.parse().expect(url);
            assert_eq!((read.kind, read.transport), (kind, transport), "{url}");
            assert_eq!(read.authority(), authority);
        }
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for url in [
            "",
            "turn",
            "turn:",
            "turn:a:0",
            "turn:a:99999",
            "turn:::1",
            "turn:[::1",
            "turn:[::1]x",
            "turn:a?x=y",
            "turns:a?transport=udp",
            "stun:a?transport=udp",
            "http:a",
            "turn://a",
        ] {
            assert!(url.parse::<ServerUrl>().is_err(), "{url}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,60}", tail in "(turns?|stuns?):.{0,40}") {
            let _ = (text.parse::<ServerUrl>(), tail.parse::<ServerUrl>());
        }
    }
}
