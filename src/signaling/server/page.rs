//! The page that the server serves, compiled in: a caller that needs nothing installed.

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const ICON: &str = "image/svg+xml";

const INDEX: &str = include_str!("../../../assets/page/index.html");

/// A file of the page, as its route, its type and its text.
macro_rules! asset {
    ($name:literal, $content_type:expr) => {
        (concat!("/", $name), $content_type, include_str!(concat!("../../../assets/page/", $name)))
    };
}

/// Everything that stands beside the index.
const ASSETS: &[(&str, &str, &str)] = &[
    asset!("page.css", STYLE),
    asset!("icon.svg", ICON),
    asset!("icon-ringing.svg", ICON),
    asset!("awake.js", SCRIPT),
    asset!("call.js", SCRIPT),
    asset!("devices.js", SCRIPT),
    asset!("dom.js", SCRIPT),
    asset!("history.js", SCRIPT),
    asset!("keys.js", SCRIPT),
    asset!("link.js", SCRIPT),
    asset!("notice.js", SCRIPT),
    asset!("numbers.js", SCRIPT),
    asset!("pace.js", SCRIPT),
    asset!("page.js", SCRIPT),
    asset!("panel.js", SCRIPT),
    asset!("phone.js", SCRIPT),
    asset!("picture.js", SCRIPT),
    asset!("ring.js", SCRIPT),
    asset!("safety.js", SCRIPT),
    asset!("screen.js", SCRIPT),
    asset!("signaling.js", SCRIPT),
    asset!("stats.js", SCRIPT),
    asset!("words.js", SCRIPT),
    ("/words.txt", TEXT, include_str!("../../../assets/words/english.txt")),
];

/// Nothing but our own files, and no text that becomes code; sockets anywhere, because the page can
/// use another server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    media-src 'self' blob:; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// What a call needs, for this page alone.
const PERMISSIONS: &str = "camera=(self), microphone=(self), autoplay=(self), \
    screen-wake-lock=(self), display-capture=(), geolocation=(), payment=(), usb=()";

/// What stands beside the index.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    ASSETS.iter().fold(Router::new(), |router, &(path, content_type, text)| {
        router.route(path, get(async move || file(content_type, text)))
    })
}

/// The page itself.
pub(super) fn index() -> Response {
    file(HTML, INDEX)
}

fn file(content_type: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::HeaderName::from_static("permissions-policy"), PERMISSIONS),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // The page changes with the server.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module that nobody serves would only be missed in a browser.
    #[test]
    fn every_file_of_the_page_is_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/page");
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let route = format!("/{name}");
            let served = ASSETS.iter().any(|(path, ..)| *path == route);
            assert!(served || name == "index.html", "{name} is not in ASSETS");
        }
    }

    #[test]
    fn nothing_in_the_page_needs_a_weaker_policy() {
        assert!(!POLICY.contains("unsafe"));
        for sign in [" style=", " onclick=", "<script>", "<style", "javascript:"] {
            assert!(!INDEX.contains(sign), "the policy forbids {sign}");
        }
        for (name, _, text) in ASSETS.iter().filter(|(_, content_type, _)| *content_type == SCRIPT)
        {
            for sign in ["innerHTML", "eval(", "setAttribute(\"style\"", "import(\"http"] {
                assert!(!text.contains(sign), "{name}: {sign}");
            }
        }
    }
}
