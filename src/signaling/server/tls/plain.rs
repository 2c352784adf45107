//! What somebody hears who speaks plain HTTP to a port of TLS: where to go instead.

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

/// More than any host name with a port.
const LONGEST_HOST: usize = 300;

/// Sends browsers to the same place under `https`, and tells everybody else.
pub(in crate::signaling::server) fn use_tls() -> Router {
    Router::new().fallback(answer)
}

async fn answer(headers: HeaderMap, uri: Uri) -> Response {
    // A WebSocket's handshake follows no redirect: its owner must read the words.
    let asks_for_socket = headers.contains_key(header::UPGRADE);
    let place = host(&headers).filter(|_| !asks_for_socket).and_then(|host| {
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        HeaderValue::from_str(&format!("https://{host}{path}")).ok()
    });
    let mut response = match place {
        // Not for ever: the server may be plain again tomorrow.
        Some(place) => {
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, place)]).into_response()
        }
        None => (StatusCode::BAD_REQUEST, "this port speaks TLS: use https:// or wss://\n")
            .into_response(),
    };
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn host(headers: &HeaderMap) -> Option<&str> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    (!host.is_empty() && host.len() <= LONGEST_HOST && host.chars().all(plain)).then_some(host)
}
