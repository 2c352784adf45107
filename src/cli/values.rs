//! The values that flags take: bitrates, durations, rates, names and URLs.
//!
//! Pure: text in, value or a line that says what to write instead out. It
//! opens nothing, resolves nothing and knows no flag by name.

use std::time::Duration;

use crate::phone::allowed::Allowed;
use crate::quantity::{self, NotATime};
use crate::signaling::name::check_name;

/// Reads a bitrate such as `2M`, `1.5M`, `1500k` or `800000`, in bits a second.
///
/// # Errors
/// When it is no bitrate, or outside 50k to 50M.
pub fn bitrate(text: &str) -> Result<u32, String> {
    let value = quantity::bits_a_second(text)
        .ok_or_else(|| format!("'{text}' is not a bitrate; write 2M, 1500k or 800000"))?;
    if !(50_000.0..=50_000_000.0).contains(&value) {
        return Err(format!("{text}: a bitrate must be 50k to 50M"));
    }
    Ok(value.round() as u32)
}

/// Reads a duration such as `30s`, `1.5s`, `500ms`, `2m` or `1h`.
///
/// # Errors
/// When it is no duration, has no unit, or is outside 1 ms to 24 h.
pub fn duration(text: &str) -> Result<Duration, String> {
    let seconds = match quantity::seconds(text) {
        Ok(seconds) => seconds,
        Err(NotATime::NoUnit) => {
            return Err(format!("'{text}' has no unit; write {text}s for seconds"));
        }
        Err(NotATime::NoNumber) => {
            return Err(format!("'{text}' is not a duration; write 30s, 500ms or 2m"));
        }
    };
    if !(0.001..=86_400.0).contains(&seconds) {
        return Err(format!("{text}: a duration must be 1ms to 24h"));
    }
    Ok(Duration::from_micros((seconds * 1e6).round() as u64))
}

/// Reads a frame rate: 1 to 120 pictures a second.
///
/// # Errors
/// When it is no number in that range.
pub fn fps(text: &str) -> Result<f64, String> {
    match quantity::decimal(text) {
        Some(fps) if (1.0..=120.0).contains(&fps) => Ok(fps),
        _ => Err(format!("'{text}' is not a frame rate; write a number from 1 to 120")),
    }
}

/// Reads a name: 1 to 64 printable characters, no space at either end.
///
/// # Errors
/// When it cannot be a name on any server.
pub fn name(text: &str) -> Result<String, String> {
    check_name(text).map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

/// Reads who may call: a name, or a name and a key, `bob@7k2m-q9wd-xh4t-0bz8-nrc5`.
///
/// # Errors
/// When it cannot be a name on any server, or what follows the `@` is a mistyped key.
pub fn allowed(text: &str) -> Result<Allowed, String> {
    text.parse()
}

/// Characters that move the cursor, hide text or turn its direction.
#[must_use]
pub fn unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Reads a signaling server's URL: `ws://HOST[:PORT][/PATH]`, or `wss://` for TLS.
///
/// # Errors
/// When it is another kind of URL, or none.
pub fn server_url(text: &str) -> Result<String, String> {
    if let Some((scheme, rest)) = text.split_once("://")
        && let Some(ours) = match scheme {
            "http" => Some("ws"),
            "https" => Some("wss"),
            _ => None,
        }
    {
        return Err(format!("'{text}' is the page of a server; write {ours}://{rest}"));
    }
    let Some(rest) = text.strip_prefix("ws://").or_else(|| text.strip_prefix("wss://")) else {
        return Err(format!("'{text}' is not a server; write ws://HOST:PORT or wss://HOST:PORT"));
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    host_and_port(authority)
        .map_err(|reason| format!("'{text}': {reason}; write ws://HOST:PORT"))?;
    Ok(text.to_owned())
}

/// Reads a STUN server, `stun:HOST[:PORT]` (RFC 7064 section 3.1), or `none`.
///
/// # Errors
/// When it is none, or `stuns:`, which cannot be used yet.
pub fn stun_url(text: &str) -> Result<String, String> {
    if text == "none" {
        return Ok(text.to_owned());
    }
    let (scheme, rest) = ice_scheme(text, "stun:HOST:PORT")?;
    match scheme {
        "stun" => {}
        "stuns" => return Err("stuns: (TLS) cannot be used yet; use stun:".into()),
        _ => return Err(format!("'{text}' is not a STUN server; write stun:HOST:PORT")),
    }
    host_and_port(rest).map_err(|reason| format!("'{text}': {reason}; write stun:HOST:PORT"))?;
    Ok(text.to_owned())
}

/// Reads a TURN server: `turn:HOST[:PORT]`, with `?transport=tcp` over TCP, or `turns:` over TLS (RFC
/// 7065 section 3.1).
///
/// # Errors
/// When it is none, or asks for DTLS.
pub fn turn_url(text: &str) -> Result<String, String> {
    let (scheme, rest) = ice_scheme(text, "turn:HOST:PORT")?;
    let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
    match (scheme, query) {
        ("turn", "" | "transport=udp" | "transport=tcp") | ("turns", "" | "transport=tcp") => {}
        ("turns", "transport=udp") => {
            return Err("TURN over DTLS cannot be used; leave out ?transport=udp".into());
        }
        ("turn" | "turns", other) => {
            let known = "?transport=udp and ?transport=tcp";
            return Err(format!("'{text}': '?{other}' is unknown; there is {known}"));
        }
        _ => return Err(format!("'{text}' is not a TURN server; write turn:HOST:PORT")),
    }
    host_and_port(authority)
        .map_err(|reason| format!("'{text}': {reason}; write turn:HOST:PORT"))?;
    Ok(text.to_owned())
}

/// Reads a STUN or TURN server that is handed out to others: a `stun:`, `stuns:`, `turn:` or `turns:`
/// URL (RFC 7064, RFC 7065), whatever this build itself can use.
///
/// # Errors
/// When it is none.
pub fn ice_url(text: &str) -> Result<String, String> {
    let (scheme, rest) = ice_scheme(text, "stun:HOST:PORT or turn:HOST:PORT")?;
    let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
    match (scheme, query) {
        ("stun" | "stuns", "") | ("turn" | "turns", "" | "transport=udp" | "transport=tcp") => {}
        ("stun" | "stuns" | "turn" | "turns", _) => {
            return Err(format!("'{text}': '?{query}' is unknown"));
        }
        _ => {
            let words = "write stun:HOST:PORT or turn:HOST:PORT";
            return Err(format!("'{text}' is not a STUN or TURN server; {words}"));
        }
    }
    host_and_port(authority).map_err(|reason| format!("'{text}': {reason}"))?;
    Ok(text.to_owned())
}

/// Splits `scheme:rest`; these URLs have no slashes.
fn ice_scheme<'a>(text: &'a str, form: &str) -> Result<(&'a str, &'a str), String> {
    match text.split_once(':') {
        Some((scheme, rest)) if rest.starts_with("//") => {
            let rest = rest.trim_start_matches('/');
            Err(format!("'{text}' has slashes; write {scheme}:{rest}"))
        }
        Some(parts) => Ok(parts),
        None => Err(format!("'{text}' has no scheme; write {form}")),
    }
}

/// Checks `HOST[:PORT]`, the host a name, an IPv4 address or an IPv6 address in brackets.
fn host_and_port(text: &str) -> Result<(), String> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("the bracket is not closed")?;
        host.parse::<std::net::Ipv6Addr>()
            .map_err(|_| format!("'{host}' is not an IPv6 address"))?;
        match after.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if after.is_empty() => (host, None),
            None => return Err(format!("'{after}' after the bracket is not a port")),
        }
    } else {
        match text.split_once(':') {
            Some((_, rest)) if rest.contains(':') => {
                return Err("an IPv6 address needs brackets".into());
            }
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let is_host = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if host.is_empty() || !host.chars().all(is_host) {
        return Err(format!("'{host}' is not a host"));
    }
    match port.map(str::parse::<u16>) {
        None | Some(Ok(1..)) => Ok(()),
        _ => Err(format!("'{}' is not a port", port.unwrap_or_default())),
    }
}

#[cfg(test)]
#[path = "values_tests.rs"]
mod tests;
