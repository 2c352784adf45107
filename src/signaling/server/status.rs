//! How the server is, for whoever watches over it: `/healthz` and `/metrics`.
//!
//! Owns the two answers. The numbers come from the exchange.

use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::oneshot;

use super::Shared;
use super::exchange::Event;

/// Whether new logins are welcome.
pub(super) async fn health(State(shared): State<Shared>) -> Response {
    match shared.draining.load(Ordering::Relaxed) {
        false => "ok\n".into_response(),
        true => (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response(),
    }
}

/// The numbers, as OpenMetrics text.
pub(super) async fn metrics(State(shared): State<Shared>) -> Response {
    let (reply, answer) = oneshot::channel();
    let asked = shared.events.send(Event::Count { reply }).await;
    match (asked, answer.await) {
        (Ok(()), Ok((counts, now))) => {
            const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, TYPE)], counts.open_metrics(now)).into_response()
        }
        _ => (StatusCode::SERVICE_UNAVAILABLE, "the server is shutting down\n").into_response(),
    }
}
