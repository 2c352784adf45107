//! The page that the server serves, compiled in: a caller that needs nothing installed.

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

const INDEX: &str = include_str!("../../../assets/page/index.html");
const STYLE: &str = include_str!("../../../assets/page/page.css");
const PAGE: &str = include_str!("../../../assets/page/page.js");
const CALL: &str = include_str!("../../../assets/page/call.js");
const SIGNALING: &str = include_str!("../../../assets/page/signaling.js");

/// Nothing but our own files; sockets anywhere, because the page can use another server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self' ws: wss:; img-src data:; media-src 'self' blob:; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

/// What stands beside the index.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
    Router::new()
        .route("/page.css", get(async || file("text/css; charset=utf-8", STYLE)))
        .route("/page.js", get(async || file(JAVASCRIPT, PAGE)))
        .route("/call.js", get(async || file(JAVASCRIPT, CALL)))
        .route("/signaling.js", get(async || file(JAVASCRIPT, SIGNALING)))
}

/// The page itself.
pub(super) fn index() -> Response {
    file("text/html; charset=utf-8", INDEX)
}

fn file(content_type: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // The page changes with the server.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}
