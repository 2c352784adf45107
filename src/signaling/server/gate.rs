//! Who may open a WebSocket: the origin of his page is looked at, and there must be a place.
//!
//! Owns the places while they are taken. Decides by `origin.rs` and `limiter.rs`, and says no in
//! words.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::{HeaderMap, StatusCode, header};
use tokio::sync::mpsc;

use super::exchange::Event;
use crate::clock;
use crate::signaling::counts::Refused;
use crate::signaling::limiter::{NoPlace, Places, Source};
use crate::signaling::origin::Origins;
use crate::signaling::token_bucket::TokenBucket;

/// The address that a request came from, as the socket has it.
#[derive(Clone, Copy)]
pub(super) struct Caller(pub(super) IpAddr);

#[derive(Clone)]
pub(super) struct Gate {
    origins: Arc<Origins>,
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
    pub(super) fn new(
        origins: Origins,
        places: Places,
        forwarded: bool,
        events: mpsc::Sender<Event>,
    ) -> Self {
        let (origins, places) = (Arc::new(origins), Arc::new(Mutex::new(places)));
        let warnings = TokenBucket::new(clock::now(), WARNINGS_PER_SECOND, WARNINGS_AT_ONCE);
        let warnings = Arc::new(Mutex::new(warnings));
        Self { origins, places, forwarded, events, warnings }
    }

    /// Lets somebody in, or says why not.
    pub(super) fn admit(&self, caller: Caller, headers: &HeaderMap) -> Result<Place, Refusal> {
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        let origin = text(header::ORIGIN);
        if !self.origins.admit(origin, text(header::HOST)) {
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
                self.warn("one address has too many connections; one more was refused");
                let words = "there are too many connections from this address\n";
                Err(self.refuse(Refused::AddressFull, StatusCode::TOO_MANY_REQUESTS, words))
            }
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
            Gate::new(Origins::default(), Places::new(1, 1), forwarded, events)
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
