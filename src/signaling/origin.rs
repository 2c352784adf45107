//! Which pages may open a connection: browsers say of which origin a page is. Pure.
//!
//! Knows the two headers and the rule. Programs send no origin, and are no page that somebody was
//! led to; they are let in.

use std::net::IpAddr;

/// The origins that are let in, beside those of the server's own host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    /// As [`parse`] gives them back.
    pub allowed: Vec<String>,
    /// Whether pages of this machine are let in: the server listens to this machine only.
    pub this_machine: bool,
}

impl Origins {
    /// Whether a page of `origin` may talk to the server that it asked for as `host`; both as the
    /// headers have them.
    #[must_use]
    pub fn admit(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        let Some(origin) = origin else { return true };
        let origin = normal(origin);
        if self.allowed.iter().any(|allowed| allowed == "*" || *allowed == origin) {
            return true;
        }
        let Some((_, authority)) = origin.split_once("://") else { return false };
        let page_host = host_of(authority);
        let same = host.is_some_and(|host| host_of(&host.to_ascii_lowercase()) == page_host);
        same || (self.this_machine && is_this_machine(page_host))
    }
}

/// Reads an origin such as `https://example.org` or `http://localhost:8080`; `null` is that of pages
/// from a file, `*` is any.
///
/// # Errors
/// What to write instead.
pub fn parse(text: &str) -> Result<String, String> {
    let origin = normal(text);
    if matches!(&*origin, "*" | "null") {
        return Ok(origin);
    }
    let authority = origin.strip_prefix("https://").or(origin.strip_prefix("http://"));
    let good = authority.is_some_and(|authority| {
        let has_host = !host_of(authority).is_empty();
        has_host && authority.chars().all(|c| c.is_ascii_graphic() && !"/?#@*".contains(c))
    });
    if good {
        Ok(origin)
    } else {
        Err(format!("'{text}' is not an origin; write https://example.org, null, or * for any"))
    }
}

/// Lower case, without the port that goes without saying.
fn normal(origin: &str) -> String {
    let origin = origin.trim().trim_end_matches('/').to_ascii_lowercase();
    let bare = match origin.split_once("://") {
        Some(("http", _)) => origin.strip_suffix(":80"),
        Some(("https", _)) => origin.strip_suffix(":443"),
        _ => None,
    };
    bare.map_or_else(|| origin.clone(), str::to_owned)
}

/// The host of `host`, `host:port`, `[::1]` or `[::1]:port`.
fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => authority,
    }
}

fn is_this_machine(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.ends_with(".localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn admits(origins: &Origins, origin: &str, host: &str) -> bool {
        origins.admit(Some(origin), Some(host))
    }

    #[test]
    fn the_servers_own_host_and_programs_are_let_in() {
        let origins = Origins::default();
        assert!(origins.admit(None, Some("example.org")) && origins.admit(None, None));
        for (origin, host) in [
            ("https://example.org", "example.org"),
            ("https://EXAMPLE.org", "Example.org:443"),
            ("http://192.168.1.5:8080", "192.168.1.5:9090"),
            ("http://[2001:db8::1]:80", "[2001:db8::1]:9090"),
        ] {
            assert!(admits(&origins, origin, host), "{origin} {host}");
        }
        for (origin, host) in [
            ("https://evil.example", "example.org"),
            ("https://example.org.evil.example", "example.org"),
            ("https://evil.example/example.org", "example.org"),
            ("http://localhost:8080", "example.org"),
            ("null", "null"),
            ("file://", ""),
            ("", "example.org"),
        ] {
            assert!(!admits(&origins, origin, host), "{origin} {host}");
        }
        assert!(!origins.admit(Some("https://example.org"), None));
    }

    #[test]
    fn a_server_for_this_machine_lets_its_pages_in() {
        let origins = Origins { this_machine: true, ..Origins::default() };
        for origin in
            ["http://localhost:8080", "http://127.0.0.1:3000", "http://[::1]", "http://a.localhost"]
        {
            assert!(admits(&origins, origin, "127.0.0.1:9090"), "{origin}");
        }
        for origin in ["http://localhost.evil.example", "https://evil.example", "null"] {
            assert!(!admits(&origins, origin, "localhost:9090"), "{origin}");
        }
    }

    #[test]
    fn what_is_allowed_is_let_in_and_no_more() {
        let allowed = ["https://Pages.example:443/", "null"].map(|text| parse(text).unwrap());
        let origins = Origins { allowed: allowed.to_vec(), ..Origins::default() };
        for origin in ["https://pages.example", "null"] {
            assert!(admits(&origins, origin, "example.org"), "{origin}");
        }
        for origin in ["http://pages.example", "https://pages.example:8443"] {
            assert!(!admits(&origins, origin, "example.org"), "{origin}");
        }
        let any = Origins { allowed: vec![parse("*").unwrap()], ..Origins::default() };
        assert!(admits(&any, "https://evil.example", "example.org"));
        for text in ["", "example.org", "ws://example.org", "https://", "https://a/b", "https://*"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
