//! A signaling server for tests: `peer serve` as a process, or the tutorial's. Every test has its
//! own.

use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpListener;

use super::process::{Peer, PeerBuilder};
use super::{PATIENCE, tutorial_server};

/// A running `peer serve`. Dropping it kills it.
pub(crate) struct Server {
    peer: Peer,
    url: String,
    page: String,
}

impl Server {
    /// Starts one on a free port.
    pub(crate) async fn start() -> Self {
        Self::listen("127.0.0.1:0").await
    }

    /// Starts one on this address.
    pub(crate) async fn listen(address: &str) -> Self {
        Self::listen_and_tell(address).await.0
    }

    /// As `listen`, with the `listening` event.
    async fn listen_and_tell(address: &str) -> (Self, Value) {
        Self::of_and_tell(PeerBuilder::new(["serve", "--json", "--listen", address])).await
    }

    /// Starts one with these flags, `--listen` among them.
    pub(crate) async fn start_with(words: &[&str]) -> Self {
        Self::of(PeerBuilder::new(["serve", "--json"]).args(words)).await
    }

    /// Starts this one.
    pub(crate) async fn of(builder: PeerBuilder) -> Self {
        Self::of_and_tell(builder).await.0
    }

    async fn of_and_tell(builder: PeerBuilder) -> (Self, Value) {
        let mut peer = builder.start();
        let listening = peer.await_event("listening", PATIENCE).await;
        let text = |field: &str| listening[field].as_str().expect("a URL").to_owned();
        (Self { peer, url: text("server"), page: text("page") }, listening)
    }

    /// `kill -9`: no goodbye to anybody.
    pub(crate) async fn kill9(&mut self) {
        self.peer.kill9();
        self.peer.gone(PATIENCE).await;
    }

    /// Starts another in the place of one that is gone.
    pub(crate) async fn start_again(self) -> (Self, Value) {
        Self::listen_and_tell(self.url.trim_start_matches("ws://")).await
    }

    /// What `--server` takes.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Host and port.
    pub(crate) fn address(&self) -> &str {
        self.url.trim_start_matches("ws://")
    }

    /// All that it has said so far.
    pub(crate) fn said(&self) -> String {
        self.peer.said()
    }

    /// Its process.
    pub(crate) fn pid(&self) -> i32 {
        self.peer.pid()
    }

    /// The address of the browser page.
    pub(crate) fn page(&self) -> &str {
        &self.page
    }

    /// Ends it as a service manager does, and says what it said.
    pub(crate) async fn stop(self) -> String {
        self.peer.terminate();
        let ended = self.peer.wait(PATIENCE).await;
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        ended.said
    }

    /// Ends it and starts another in the same place.
    pub(crate) async fn restart(self) -> Self {
        let address = self.url.trim_start_matches("ws://").to_owned();
        self.stop().await;
        Self::listen(&address).await
    }
}

/// Starts the tutorial's server; it ends with the test.
pub(crate) async fn tutorial() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("ws://{}", listener.local_addr().expect("a bound port"));
    tokio::spawn(tutorial_server::run(listener, std::future::pending()));
    url
}

/// What a peer sends and shows where a test says nothing else: what the machine has must not matter.
const NO_DEVICES: [&str; 9] =
    ["--json", "--video", "test", "--audio", "tone", "--view", "none", "--speaker", "none"];

/// A `peer` on this server: a subcommand, its arguments, JSON, and no word to the internet.
pub(crate) fn peer(server: &str, words: &[&str]) -> PeerBuilder {
    let (command, rest) = words.split_first().expect("a command");
    PeerBuilder::new([command])
        .args(NO_DEVICES)
        .args(rest)
        .args(["--server", server, "--stun", "none"])
}

/// A `peer login` that is online; `words` are further arguments.
pub(crate) async fn login(server: &str, name: &str, words: &[&str]) -> Peer {
    let mut peer = peer(server, &["login", name]).args(words).with_input().start();
    peer.await_event("logged-in", PATIENCE).await;
    peer
}

/// The end of a call, within a time that no sane call takes to end.
pub(crate) const THE_END: Duration = Duration::from_secs(90);
