//! `peer serve` as a service: the shipped unit's flags, and the words to its manager.

use std::os::unix::net::UnixDatagram;

use crate::support::PATIENCE;
use crate::support::process::PeerBuilder;

/// The flags that the unit starts with.
fn flags_of_the_unit() -> Vec<String> {
    let unit = include_str!("../dist/peer-serve.service");
    assert!(unit.contains("ExecStart=/usr/local/bin/peer serve $PEER_SERVE\n"), "{unit}");
    let line = unit.lines().find_map(|line| line.strip_prefix("Environment=\"PEER_SERVE="));
    let words = line.and_then(|line| line.strip_suffix('"')).expect("the unit's flags");
    words.split(' ').map(|word| word.replace(":9090", ":0")).collect()
}

#[tokio::test]
async fn the_unit_starts_a_server_that_tells_when_it_is_ready_and_when_it_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("notify");
    let manager = UnixDatagram::bind(&socket).expect("a socket");
    manager.set_read_timeout(Some(PATIENCE)).expect("a limit");
    let heard = || {
        let mut words = [0; 100];
        let length = manager.recv(&mut words).expect("a word from the service");
        String::from_utf8_lossy(&words[..length]).into_owned()
    };
    let peer = PeerBuilder::new(["serve", "--json"]).args(flags_of_the_unit());
    let mut server = peer.env("NOTIFY_SOCKET", &socket).start();
    let listening = server.await_event("listening", PATIENCE).await;
    assert!(listening["server"].as_str().is_some_and(|url| url.starts_with("wss://0.0.0.0:")));
    let state = server.home().join("state/peer/tls");
    assert!(state.join("self-signed-key.pem").exists(), "XDG_STATE_HOME is where the unit says");
    assert_eq!(heard(), "READY=1");
    let limits = format!("/proc/{}/limits", server.pid());
    let limits = std::fs::read_to_string(limits).expect("the limits of a process");
    let files = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    let numbers: Vec<&str> =
        files.split_whitespace().filter(|word| word.parse::<u64>().is_ok()).collect();
    assert_eq!(numbers.first(), numbers.get(1), "{files}");
    server.terminate();
    assert_eq!(heard(), "STOPPING=1");
    assert_eq!(server.wait(PATIENCE).await.code, Some(0));
}
