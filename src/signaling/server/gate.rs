//! Who may ask for something, and who may open a WebSocket: the request must name this server, the
//! origin of a page is looked at, and there must be a place.
//!
//! Owns the places while they are taken. Decides by `host.rs`, `origin.rs` and `limiter.rs`, and
//! says no in words.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode, Version, header};
use tokio::sync::mpsc;

use super::ServerConfig;
use super::exchange::Event;
use super::tls::Tls;
use crate::clock;
use crate::signaling::counts::Refused;
use crate::signaling::host::Hosts;
use crate::signaling::limiter::{NoPlace, Places, Source};
use crate::signaling::origin::{Asked, Origins};
use crate::signaling::token_bucket::TokenBucket;

/// The address that a request came from, as the socket has it.
#[derive(Clone, Copy)]
pub(super) struct Caller(pub(super) IpAddr);

#[derive(Clone)]
pub(super) struct Gate {
    hosts: Arc<Hosts>,
    origins: Arc<Origins>,
    /// Whose certificate has further names of ours.
    tls: Option<Tls>,
    places: Arc<Mutex<Places>>,
    /// Believe the proxy in front of us.
    forwarded: bool,
    events: mpsc::Sender<Event>,
    warnings: Arc<Mutex<TokenBucket>>,
}

/// Lines in the log about those who were refused.
const WARNINGS_PER_SECOND: f64 = 0.2;
const WARNINGS_AT_ONCE: f64 = 5.0;

/// A place that is taken until this is dropped.
pub(super) struct Place {
    places: Arc<Mutex<Places>>,
    pub(super) source: Source,
}

/// A status, and why, in words.
type Refusal = (StatusCode, &'static str);

impl Gate {
    /// As `config` has it; `this_machine`: nobody but this machine can connect.
    pub(super) fn new(
        config: &ServerConfig,
        this_machine: bool,
        events: mpsc::Sender<Event>,
    ) -> Self {
        let warnings = TokenBucket::new(clock::now(), WARNINGS_PER_SECOND, WARNINGS_AT_ONCE);
        let mut origins = config.origins.clone();
        // Behind a proxy it is the proxy that listens to others.
        origins.this_machine |= this_machine && !config.behind_proxy;
        let limits = &config.limits;
        let places = Places::new(limits.connections, limits.connections_per_address);
        Self {
            hosts: Arc::new(config.hosts.clone()),
            origins: Arc::new(origins),
            tls: config.tls.clone(),
            places: Arc::new(Mutex::new(places)),
            forwarded: config.behind_proxy,
            events,
            warnings: Arc::new(Mutex::new(warnings)),
        }
    }

    /// Whether a request is for this server, by the name that it gives (RFC 9112 section 3.2).
    pub(super) fn knows(&self, request: &Parts) -> Result<(), Refusal> {
        let Ok(host) = one(&request.headers, header::HOST) else {
            return Err((StatusCode::BAD_REQUEST, "a request has one Host\n"));
        };
        let no_host = "a request of HTTP/1.1 needs a Host (RFC 9112 section 3.2)\n";
        let old =
            request.version < Version::HTTP_11 && !request.headers.contains_key(header::UPGRADE);
        // What the request's own line says would count for more: both have to be ours.
        let in_line = request.uri.authority().map(|authority| authority.as_str());
        if host.is_none() && !old {
            return Err((StatusCode::BAD_REQUEST, no_host));
        }
        let more = self.tls.as_ref().map(Tls::names).unwrap_or_default();
        if host.into_iter().chain(in_line).all(|host| self.hosts.admit(host, &more)) {
            return Ok(());
        }
        self.warn("a request for a host name that is not the server's was refused; --host adds it");
        let words = "this server is not known by that host name; \
                     its operator can add it: peer serve --host NAME\n";
        Err(self.refuse(Refused::ForeignHost, StatusCode::MISDIRECTED_REQUEST, words))
    }

    /// Lets somebody in whose request is for this server, or says why not.
    pub(super) fn admit(&self, caller: Caller, headers: &HeaderMap) -> Result<Place, Refusal> {
        let origin = one(headers, header::ORIGIN);
        let host = one(headers, header::HOST).ok().flatten().unwrap_or_default();
        let asked = Asked { host, schemes: self.schemes() };
        if !origin.is_ok_and(|origin| self.origins.admit(origin, asked)) {
            self.warn("a page of a foreign origin was refused; --allow-origin lets it in");
            let words = "pages of this origin may not use this server; \
                         its operator can let them in: peer serve --allow-origin ORIGIN\n";
            return Err(self.refuse(Refused::ForeignOrigin, StatusCode::FORBIDDEN, words));
        }
        let source = Source::of(self.address(caller, headers));
        let taken = self.places.lock().unwrap_or_else(PoisonError::into_inner).take(source);
        match taken {
            Ok(()) => Ok(Place { places: Arc::clone(&self.places), source }),
            Err(NoPlace::Full) => {
                self.warn("the server is full; a connection was refused");
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Err(self.refuse(Refused::Full, status, "the server is full\n"))
            }
            Err(NoPlace::AddressFull) => {
                self.warn(
                    "one address, or its network, has too many connections; one more was refused",
                );
                let words = "there are too many connections from this address or its network\n";
                Err(self.refuse(Refused::AddressFull, StatusCode::TOO_MANY_REQUESTS, words))
            }
        }
    }

    /// Under which schemes our own page is had; a proxy may speak TLS for us.
    fn schemes(&self) -> &'static [&'static str] {
        match (self.forwarded, &self.tls) {
            (true, _) => &["http", "https"],
            (false, Some(_)) => &["https"],
            (false, None) => &["http"],
        }
    }

    /// The last address that the proxy wrote is the only one that it knows itself.
    fn address(&self, Caller(socket): Caller, headers: &HeaderMap) -> IpAddr {
        let written = headers.get_all("x-forwarded-for").iter().next_back();
        let last = written
            .filter(|_| self.forwarded)
            .and_then(|value| value.to_str().ok())
            .and_then(|list| list.rsplit(',').next())
            .and_then(|address| written_address(address.trim()));
        last.unwrap_or(socket)
    }

    /// Once in a while: nobody shall fill the log by being refused.
    fn warn(&self, words: &str) {
        if self.warnings.lock().unwrap_or_else(PoisonError::into_inner).take(clock::now()) {
            tracing::warn!("{words}");
        }
    }

    fn refuse(&self, why: Refused, status: StatusCode, words: &'static str) -> Refusal {
        // When the exchange is that busy, the count may be one short.
        let _ = self.events.try_send(Event::Refused { why });
        (status, words)
    }
}

/// The text of a header that may stand there once; nothing that is no text is anybody's name.
fn one(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, ()> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (first, None) => Ok(first.map(|value| value.to_str().unwrap_or_default())),
        (_, Some(_)) => Err(()),
    }
}

/// An address, with the port that some proxies write, and with the brackets of IPv6.
fn written_address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    bare.parse().ok().or_else(with_port)
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).give_back(self.source);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn headers(list: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for text in list {
            headers.append("x-forwarded-for", text.parse().unwrap());
        }
        headers
    }

    #[test]
    fn only_a_proxy_that_is_believed_is_believed_and_only_its_own_word() {
        let gate = |forwarded| {
            let (events, _) = mpsc::channel(1);
            let config = ServerConfig { behind_proxy: forwarded, ..ServerConfig::default() };
            Gate::new(&config, false, events)
        };
        let caller = Caller("192.0.2.9".parse().unwrap());
        let written = headers(&["203.0.113.1", "203.0.113.2, 198.51.100.3"]);
        assert_eq!(gate(false).address(caller, &written), caller.0);
        assert_eq!(gate(true).address(caller, &written).to_string(), "198.51.100.3");
        for (with_port, address) in
            [("203.0.113.7:51234", "203.0.113.7"), ("[2001:db8::1]:443", "2001:db8::1")]
        {
            assert_eq!(gate(true).address(caller, &headers(&[with_port])).to_string(), address);
        }
        for odd in [&["unknown"][..], &[""], &[]] {
            assert_eq!(gate(true).address(caller, &headers(odd)), caller.0);
        }
    }
}
