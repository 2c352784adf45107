//! Which server a URL means: one that is written in several ways is one. Pure.

/// The URL as servers are told apart: scheme and host without regard to case, no port where it is the
/// usual one (RFC 3986 section 6.2.3, RFC 6455 section 3), and the path as it is, since servers may
/// tell paths apart.
#[must_use]
pub(super) fn place(url: &str) -> String {
    let url = url.trim();
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.trim_end_matches('/').to_lowercase();
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (user, host) = authority
        .rsplit_once('@')
        .map_or(("", authority), |(user, host)| (&authority[..=user.len()], host));
    // A colon inside brackets is part of an IPv6 address.
    let (host, port) = match host.rsplit_once(':') {
        Some((name, port)) if name.ends_with(']') || !name.contains(':') => (name, port),
        _ => (host, ""),
    };
    let scheme = scheme.to_ascii_lowercase();
    let usual = match scheme.as_str() {
        "ws" | "http" => Some(80),
        "wss" | "https" => Some(443),
        _ => None,
    };
    let number = port.parse::<u16>().ok();
    let port = match number {
        _ if port.is_empty() || (number.is_some() && number == usual) => String::new(),
        Some(number) => format!(":{number}"),
        None => format!(":{port}"),
    };
    // A dot at its end only says that the name is whole (RFC 1034 section 3.1).
    let host = host.trim_end_matches('.').to_lowercase();
    let path = if path == "/" { "" } else { path };
    format!("{scheme}://{user}{host}{port}{path}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_server_is_one_however_it_is_written() {
        for (one, other) in [
            ("ws://h", "ws://h/"),
            ("ws://h", "ws://h:80"),
            ("ws://h:80/", "WS://H:/"),
            ("wss://Example.ORG", "wss://example.org:443"),
            ("wss://example.org.", "wss://example.org"),
            ("ws://h:09090", "ws://h:9090"),
            ("ws://[2001:DB8::1]:80/ws", "ws://[2001:db8::1]/ws"),
            (" ws://h", "ws://h"),
        ] {
            assert_eq!(place(one), place(other), "{one} {other}");
        }
    }

    #[test]
    fn others_are_others() {
        for (one, other) in [
            ("ws://h", "wss://h"),
            ("ws://h:443", "ws://h"),
            ("wss://h:80", "wss://h"),
            ("ws://h:80", "wss://h:443"),
            ("ws://h/Room", "ws://h/room"),
            ("ws://h/a", "ws://h"),
            ("ws://h/?a=B", "ws://h/?a=b"),
            ("ws://h:9090", "ws://h:9091"),
            ("ws://[::1]", "ws://[::2]"),
            ("ws://[::1]:443", "ws://[::1]"),
            ("ws://a@h", "ws://h"),
        ] {
            assert_ne!(place(one), place(other), "{one} {other}");
        }
    }

    proptest! {
        #[test]
        fn it_never_panics(text in "\\PC*") {
            let _ = place(&text);
        }

        #[test]
        fn what_was_made_one_stays_so(text in "wss?://[a-z@:.\\[\\]/?0-9]{0,20}") {
            prop_assert_eq!(place(&place(&text)), place(&text));
        }
    }
}
