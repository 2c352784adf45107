//! What the integration tests stand on: the program as a process, a browser, a page and
//! a server that know only the tutorial's protocol. Knows nothing of the library's inside.

pub(crate) mod bare_page;
pub(crate) mod camera;
pub(crate) mod carrier;
pub(crate) mod chromium;
pub(crate) mod clips;
pub(crate) mod desktop;
pub(crate) mod display;
pub(crate) mod hearing;
pub(crate) mod lying_proxy;
pub(crate) mod lying_server;
pub(crate) mod on_path;
pub(crate) mod page;
pub(crate) mod process;
pub(crate) mod relay;
pub(crate) mod server;
pub(crate) mod sockets;
pub(crate) mod sound_server;
pub(crate) mod terminal;
pub(crate) mod tutorial_server;

use std::time::Duration;

use process::Peer;
use serde_json::Value;

/// How long a test waits for what should come at once: it ends only what hangs, so that
/// no test fails because a machine is slow.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a future gives, within the usual patience.
pub(crate) async fn within_patience<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it takes too long")
}

/// Waits until it is so; looks again and again.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let looks = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, looks).await.is_ok(), "{what}: not seen");
}

/// Held by every test that makes a call or starts a browser: two at a time on a small machine
/// would disturb each other's pictures.
pub(crate) async fn one_at_a_time() -> tokio::sync::MutexGuard<'static, ()> {
    static MACHINE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    MACHINE.lock().await
}

/// A shipped clip's path.
pub(crate) fn clip(name: &str) -> String {
    format!("{}/assets/clips/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Waits until so many more pictures have come.
pub(crate) async fn sees_more(peer: &mut Peer, pictures: u64) {
    let count = |stats: &Value| stats["inbound"]["video"]["framesDecoded"].as_u64().unwrap_or(0);
    let before = count(&peer.next_event("stats", PATIENCE).await);
    while count(&peer.next_event("stats", PATIENCE).await) < before + pictures {}
}

/// Waits until what it hears is of such a level.
pub(crate) async fn hears(peer: &mut Peer, what: &str, is_so: impl Fn(f64) -> bool) {
    let level = |stats: &Value| stats["inbound"]["audio"]["audioLevel"].as_f64().expect("a level");
    for _ in 0..PATIENCE.as_secs() {
        if is_so(level(&peer.next_event("stats", PATIENCE).await)) {
            return;
        }
    }
    panic!("{what}: not heard\n{}", peer.said());
}
