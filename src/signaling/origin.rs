//! Which pages may open a connection: browsers say of which origin a page is. Pure.
//!
//! Knows the two headers and the rule. Programs send no origin, and are no page that somebody was
//! led to; they are let in.

use super::host;

/// The origins that are let in, beside the server's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    /// As [`parse`] gives them back.
    pub allowed: Vec<String>,
    /// Whether pages of this machine are let in: the server listens to this machine only.
    pub this_machine: bool,
}

/// The server as a request names it: what the origin of its own page is made of.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// What the `Host` header says, with its port.
    pub host: &'a str,
    /// Under which schemes the server's own page is had.
    pub schemes: &'a [&'a str],
}

impl Origins {
    /// Whether a page of `origin` may talk to the server that it asked for. An origin is compared
    /// whole: scheme, host and port (RFC 6454 section 5).
    ///
    /// That the host is one of the server's own, `host.rs` has to have found out before: a page of
    /// any name can ask for the server by that name.
    #[must_use]
    pub fn admit(&self, origin: Option<&str>, asked: Asked<'_>) -> bool {
        let Some(origin) = origin else { return true };
        let origin = normal(origin);
        if self.allowed.iter().any(|allowed| allowed == "*" || *allowed == origin) {
            return true;
        }
        let own = |scheme: &&str| normal(&format!("{scheme}://{}", asked.host)) == origin;
        if !asked.host.is_empty() && asked.schemes.iter().any(own) {
            return true;
        }
        let host =
            origin.split_once("://").and_then(|(_, authority)| host::without_port(authority));
        self.this_machine && host.is_some_and(host::is_this_machine)
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
        let has_host = host::without_port(authority).is_some_and(|host| !host.is_empty());
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HTTP: &[&str] = &["http"];
    const HTTPS: &[&str] = &["https"];
    const EITHER: &[&str] = &["http", "https"];

    fn admits(origins: &Origins, origin: &str, host: &str, schemes: &[&str]) -> bool {
        origins.admit(Some(origin), Asked { host, schemes })
    }

    #[test]
    fn the_servers_own_page_and_programs_are_let_in() {
        let origins = Origins::default();
        assert!(origins.admit(None, Asked { host: "example.org", schemes: HTTP }));
        for (origin, host, schemes) in [
            ("https://example.org", "example.org", HTTPS),
            ("https://EXAMPLE.org", "Example.org:443", HTTPS),
            ("http://192.168.1.5:9090", "192.168.1.5:9090", HTTP),
            ("http://[2001:db8::1]:80", "[2001:db8::1]", HTTP),
            ("https://example.org:8443", "example.org:8443", EITHER),
        ] {
            assert!(admits(&origins, origin, host, schemes), "{origin} {host}");
        }
        for (origin, host, schemes) in [
            ("https://evil.example", "example.org", HTTPS),
            ("https://example.org.evil.example", "example.org", HTTPS),
            ("https://evil.example/example.org", "example.org", HTTPS),
            ("http://example.org", "example.org", HTTPS),
            ("https://example.org", "example.org", HTTP),
            ("http://192.168.1.5:8080", "192.168.1.5:9090", HTTP),
            ("http://example.org:443", "example.org", EITHER),
            ("http://localhost:8080", "example.org", HTTP),
            ("null", "null", HTTP),
            ("file://", "", HTTP),
            ("http://", "", HTTP),
            ("", "example.org", HTTP),
        ] {
            assert!(!admits(&origins, origin, host, schemes), "{origin} {host}");
        }
    }

    #[test]
    fn a_server_for_this_machine_lets_its_pages_in() {
        let origins = Origins { this_machine: true, ..Origins::default() };
        for origin in
            ["http://localhost:8080", "http://127.0.0.1:3000", "http://[::1]", "http://a.localhost"]
        {
            assert!(admits(&origins, origin, "127.0.0.1:9090", HTTP), "{origin}");
        }
        for origin in [
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
            "https://evil.example",
            "http://[::1].evil.example",
            "null",
        ] {
            assert!(!admits(&origins, origin, "localhost:9090", HTTP), "{origin}");
        }
    }

    #[test]
    fn what_is_allowed_is_let_in_and_no_more() {
        let allowed = ["https://Pages.example:443/", "null"].map(|text| parse(text).unwrap());
        let origins = Origins { allowed: allowed.to_vec(), ..Origins::default() };
        for origin in ["https://pages.example", "null"] {
            assert!(admits(&origins, origin, "example.org", HTTP), "{origin}");
        }
        for origin in ["http://pages.example", "https://pages.example:8443"] {
            assert!(!admits(&origins, origin, "example.org", HTTP), "{origin}");
        }
        let any = Origins { allowed: vec![parse("*").unwrap()], ..Origins::default() };
        assert!(admits(&any, "https://evil.example", "example.org", HTTP));
        for text in ["", "example.org", "ws://example.org", "https://", "https://a/b", "https://*"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
