//! Everything that cannot work ends with its exit code, one clear line and no panic.

use std::path::Path;

use tokio::net::TcpListener;

use crate::support::process::{Ended, PeerBuilder};
use crate::support::server::{Server, login, peer};

/// Checks how it ended: the exit code, one line of error that has these words, no panic.
fn failed(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, Some(code), "{}", ended.said);
    assert!(!ended.said.contains("panicked"), "{}", ended.said);
    let mut errors = ended
        .said
        .lines()
        .filter_map(|line| line.strip_prefix("err| "))
        .filter(|line| line.starts_with("peer: ") || line.starts_with("error: "));
    let error = errors.next().unwrap_or_else(|| panic!("no error line\n{}", ended.said));
    assert_eq!(errors.next(), None, "more than one error line\n{}", ended.said);
    for word in words {
        assert!(error.contains(word), "no '{word}' in '{error}'");
    }
}

#[tokio::test]
async fn an_unknown_user() {
    let server = Server::start().await;
    let ended = peer(server.url(), &["call", "nobody", "--as", "alice"]).run().await;
    failed(&ended, 4, &["'nobody' is not online"]);
    let last = ended.events.last().expect("events");
    assert_eq!((&last["event"], &last["reason"]), (&"ended".into(), &"unknown-user".into()));
    assert_eq!(last["peer"], "nobody");
}

#[tokio::test]
async fn a_taken_name() {
    let server = Server::start().await;
    let _alice = login(server.url(), "alice", &[]).await;
    failed(&peer(server.url(), &["login", "alice"]).run().await, 3, &["alice", "taken"]);
    let call = peer(server.url(), &["call", "bob", "--as", "alice"]).run().await;
    failed(&call, 3, &["alice", "taken"]);
}

#[tokio::test]
async fn an_unreachable_server() {
    // A port that was free a moment ago, on which nobody listens.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("ws://{}", listener.local_addr().expect("a bound port"));
    drop(listener);
    let ended = peer(&url, &["call", "bob", "--as", "alice"]).run().await;
    failed(&ended, 3, &[&url, "refused"]);
    let error = ended.events.last().expect("an event");
    assert_eq!((&error["event"], &error["code"]), (&"error".into(), &"signaling".into()));
    assert!(ended.said.contains("hint: start one with 'peer serve'"), "{}", ended.said);
}

/// Nobody can start a server on a machine that is not there.
#[tokio::test]
async fn a_server_elsewhere_is_not_to_be_started_here() {
    // A name that is nobody's (RFC 6761 section 6.4), and an address to which nobody can connect.
    for url in ["ws://nobody.invalid:9090", "ws://255.255.255.255:9090"] {
        let ended = peer(url, &["call", "bob", "--as", "alice"]).run().await;
        failed(&ended, 3, &[url]);
        let hint = ended.said.lines().find(|line| line.starts_with("err| hint: "));
        let hint = hint.unwrap_or_else(|| panic!("no hint\n{}", ended.said));
        assert!(hint.contains("check the address and the network"), "{url}: {hint}");
        assert!(!ended.said.contains("peer serve") && !ended.said.contains("os error"), "{url}");
    }
}

#[tokio::test]
async fn a_port_that_is_taken() {
    let server = Server::start().await;
    let address = server.url().trim_start_matches("ws://").to_owned();
    let ended = PeerBuilder::new(["serve", "--listen", &address]).run().await;
    failed(&ended, 3, &["cannot listen", &address]);
}

#[tokio::test]
async fn a_rejected_call_a_busy_callee_and_one_who_does_not_answer() {
    let server = Server::start().await;
    let mut bob = login(server.url(), "bob", &[]).await;
    let calling = peer(server.url(), &["call", "bob", "--as", "alice"]).start();
    bob.await_event("incoming", crate::support::PATIENCE).await;
    let carol = peer(server.url(), &["call", "bob", "--as", "carol"]).run().await;
    failed(&carol, 4, &["'bob' is busy"]);
    bob.type_line("reject");
    let ended = calling.wait(crate::support::PATIENCE).await;
    failed(&ended, 4, &["'bob' rejected the call"]);
    let words = ["call", "bob", "--as", "alice", "--timeout", "300ms"];
    failed(&peer(server.url(), &words).run().await, 4, &["'bob' did not answer in time"]);
}

#[tokio::test]
async fn who_is_not_on_the_list_is_rejected() {
    let server = Server::start().await;
    let _bob = login(server.url(), "bob", &["--auto-answer", "--allow", "carol"]).await;
    let ended = peer(server.url(), &["call", "bob", "--as", "alice"]).run().await;
    failed(&ended, 4, &["'bob' rejected the call"]);
}

#[tokio::test]
async fn files_that_cannot_be_sent() {
    let server = Server::start().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("a writable folder");
        path
    };
    let clip = std::fs::read(crate::support::clip("camera-360p.mp4")).expect("the shipped clip");
    let noise: Vec<u8> =
        (0..20_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let missing = folder.path().join("missing.mp4");
    for (path, words) in [
        (write("noise.mp4", &noise), "cannot be played"),
        (write("cut.mp4", &clip[..2_000]), "cut.mp4"),
        (write("empty.mkv", b""), "empty.mkv"),
        (write("text.y4m", b"hello"), "text.y4m"),
        (folder.path().to_owned(), "directory"),
        (missing, "missing.mp4"),
    ] {
        let path = path.to_str().expect("a plain path");
        let words = [path, words];
        let video = ["call", "bob", "--as", "alice", "--video", path];
        failed(&peer(server.url(), &video).run().await, 5, &words[..1]);
        let audio = ["call", "bob", "--as", "alice", "--audio", path];
        failed(&peer(server.url(), &audio).run().await, 5, &words[..1]);
        let loopback = PeerBuilder::new(["loopback", "--video", path]).run().await;
        failed(&loopback, 5, &words);
    }
}

#[tokio::test]
async fn recordings_that_cannot_be_written() {
    let server = Server::start().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let directory = folder.path().join("folder.mkv");
    std::fs::create_dir(&directory).expect("a folder");
    for path in [Path::new("/nonexistent/call.mkv"), &directory] {
        for flag in ["--record", "--record-local"] {
            let path = path.to_str().expect("a plain path");
            let ended =
                peer(server.url(), &["call", "bob", "--as", "alice", flag, path]).run().await;
            failed(&ended, 5, &["cannot write", path]);
        }
    }
}

#[tokio::test]
async fn devices_that_are_named_and_not_there() {
    let server = Server::start().await;
    for (flag, value) in [
        ("--audio", "mic"),
        ("--audio", "mic:desk"),
        ("--speaker", "default"),
        ("--speaker", "hall"),
    ] {
        let words = ["call", "bob", "--as", "alice", "--audio", "tone", flag, value];
        let ended = peer(server.url(), &words).run().await;
        failed(&ended, 5, &["there is no", "use --"]);
    }
}

#[tokio::test]
async fn flags_and_values_that_cannot_be() {
    for words in [
        &["call", "bob", "--wrong"][..],
        &["call"],
        &["call", ""],
        &["call", "bob", "--as", "bob"],
        &["call", "bob", "--size", "3"],
        &["call", "bob", "--fps", "0"],
        &["call", "bob", "--max-bitrate", "fast"],
        &["call", "bob", "--server", "http://example.org"],
        &["call", "bob", "--record", "call.avi"],
        &["call", "bob", "--timeout", "soon"],
        &["login", "with\nnewline"],
        &["serve", "--listen", "everywhere"],
        &["dance"],
    ] {
        let ended = PeerBuilder::new(words).run().await;
        assert_eq!(ended.code, Some(2), "{words:?}\n{}", ended.said);
        assert!(!ended.said.contains("panicked"), "{words:?}\n{}", ended.said);
    }
}
