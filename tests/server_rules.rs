//! What an operator can set on `peer serve`: names with tokens, origins, limits, numbers.

use std::path::Path;

use crate::support::process::{Ended, PeerBuilder};
use crate::support::server::{Server, login, peer};
use crate::support::sockets::{Client, get};
use crate::support::terminal::Terminal;
use crate::support::{PATIENCE, until};

/// A line for `--users`, as an operator makes it.
pub(crate) async fn line(name: &str, token: &str) -> String {
    let mut made = PeerBuilder::new(["serve", "--hash-token", name]).with_input().start();
    made.type_line(token);
    let made = made.wait(PATIENCE).await;
    assert_eq!(made.code, Some(0), "{}", made.said);
    let line = made.said.lines().find_map(|line| line.split_once(&format!("{name}:$argon2id$")));
    let (_, hash) = line.unwrap_or_else(|| panic!("no line\n{}", made.said));
    assert!(!made.said.contains(token), "{}", made.said);
    format!("{name}:$argon2id${hash}\n")
}

pub(crate) async fn server_with_users(users: &Path, more: &[&str]) -> Server {
    let users = users.to_str().expect("a plain path");
    Server::start_with(&[&["--listen", "127.0.0.1:0", "--users", users], more].concat()).await
}

fn refused(ended: &Ended, code: &str) {
    assert_eq!(ended.code, Some(3), "{}", ended.said);
    let last = ended.events.last().expect("an event");
    assert_eq!((&last["event"], &last["code"]), (&"error".into(), &code.into()), "{}", ended.said);
}

async fn number(server: &Server, line: &str) -> u64 {
    let text = get(server.address(), "/metrics").await;
    let value = text.lines().find_map(|found| found.strip_prefix(line));
    value.unwrap_or_else(|| panic!("no {line} in\n{text}")).trim().parse().expect("a number")
}

#[tokio::test]
async fn names_with_tokens_from_the_environment_and_in_a_file_that_changes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let users = folder.path().join("users");
    let alice_line = line("alice", "north-by-northwest").await;
    std::fs::write(&users, &alice_line).expect("a writable folder");
    let server = server_with_users(&users, &[]).await;
    let with =
        |name: &str, token: &str| peer(server.url(), &["login", name]).env("PEER_TOKEN", token);

    refused(&peer(server.url(), &["login", "alice"]).run().await, "token-needed");
    refused(&with("alice", "south").run().await, "wrong-token");
    refused(&with("bob", "north-by-northwest").run().await, "wrong-token");
    refused(&peer(server.url(), &["call", "alice", "--as", "bob"]).run().await, "token-needed");
    let mut alice = with("alice", "north-by-northwest").with_input().start();
    alice.await_event("logged-in", PATIENCE).await;
    refused(&with("alice", "north-by-northwest").run().await, "name-taken");

    let both = format!("{alice_line}# new\n{}", line("bob", "bobs own").await);
    std::fs::write(&users, both).expect("a writable folder");
    let mut bob = with("bob", "bobs own").with_input().start();
    bob.await_event("logged-in", PATIENCE).await;

    // A login that outlives its server shows the token again.
    let server = {
        let address = server.address().to_owned();
        server.stop().await;
        let users = users.to_str().expect("a plain path");
        Server::start_with(&["--listen", &address, "--users", users]).await
    };
    alice.await_event("logged-in", PATIENCE).await;
    for said in [alice.said(), bob.said(), server.said()] {
        let told = said.lines().skip(1).any(|line| line.contains("north") || line.contains("bobs"));
        assert!(!told, "{said}");
    }
}

#[tokio::test]
async fn a_token_is_asked_for_on_a_terminal_and_not_shown() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let users = folder.path().join("users");
    std::fs::write(&users, line("alice", "north").await).expect("a writable folder");
    let server = server_with_users(&users, &[]).await;
    let terminal = Terminal::new(24, 80);
    let mut alice = terminal.with(peer(server.url(), &["login", "alice"])).start();
    until("the question", || terminal.text().contains("token of 'alice':")).await;
    terminal.press("north\r");
    alice.await_event("logged-in", PATIENCE).await;
    until("the answer", || terminal.text().contains("logged in at")).await;
    assert!(!terminal.text().contains("north"), "{}", terminal.text());
}

#[tokio::test]
async fn guesses_come_to_an_end_and_are_counted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let users = folder.path().join("users");
    std::fs::write(&users, line("alice", "north").await).expect("a writable folder");
    let server = server_with_users(&users, &["--wrong-tokens-per-minute", "3"]).await;
    let mut guesser = Client::connect(server.address(), "").await.expect("a place");
    let mut codes = Vec::new();
    for guess in 0..5 {
        guesser.say(&format!(r#"{{"type":"login","name":"alice","token":"{guess}"}}"#)).await;
        let reply: serde_json::Value =
            serde_json::from_str(&guesser.hear().await.expect("a reply")).expect("JSON");
        assert_eq!(reply["success"], false);
        assert!(reply["message"].as_str().is_some_and(|words| words.len() > 10), "{reply}");
        codes.push(reply["code"].as_str().expect("a code").to_owned());
    }
    let wrong = "wrong-token";
    assert_eq!(codes, [wrong, wrong, wrong, "too-many-tries", "too-many-tries"]);
    // The right one is no better now.
    let ended = peer(server.url(), &["login", "alice"]).env("PEER_TOKEN", "north").run().await;
    refused(&ended, "too-many-tries");
    assert_eq!(number(&server, "peer_refusals_total{reason=\"wrong-token\"}").await, 3);
    assert_eq!(number(&server, "peer_refusals_total{reason=\"too-many-tries\"}").await, 3);
    assert_eq!(number(&server, "peer_logins_total").await, 0);
}

#[tokio::test]
async fn pages_of_foreign_origins_are_refused_in_words() {
    let server = Server::start().await;
    let port = server.address().rsplit(':').next().expect("a port").to_owned();
    for origin in [format!("http://127.0.0.1:{port}"), "http://localhost:8080".to_owned()] {
        let page = Client::connect(server.address(), &format!("Origin: {origin}\r\n")).await;
        assert!(page.is_ok(), "{origin}: {:?}", page.err());
    }
    let foreign = "Origin: https://evil.example\r\n";
    let answer = Client::connect(server.address(), foreign).await.err().expect("a refusal");
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(answer.contains("--allow-origin"), "{answer}");
    assert_eq!(number(&server, "peer_refusals_total{reason=\"foreign-origin\"}").await, 1);
    until("the operator hears of it", || server.said().contains("foreign origin")).await;
    assert!(
        !server.said().contains("evil"),
        "but nothing that a stranger writes: {}",
        server.said()
    );

    let words = ["--listen", "127.0.0.1:0", "--allow-origin", "https://evil.example"];
    let server = Server::start_with(&words).await;
    assert!(Client::connect(server.address(), foreign).await.is_ok());
}

#[tokio::test]
async fn places_are_limited_and_the_numbers_say_how_it_is() {
    let words =
        ["--listen", "127.0.0.1:0", "--max-connections-per-address", "2", "--max-name", "5"];
    let server = Server::start_with(&words).await;
    assert!(get(server.address(), "/healthz").await.ends_with("\r\n\r\nok\n"));
    let mut alice = Client::login(server.address(), "alice").await;
    let mut bob = Client::connect(server.address(), "").await.expect("a place");
    bob.say(r#"{"type":"login","name":"bobbob"}"#).await;
    assert!(bob.hear().await.expect("a reply").contains("bad-name"));
    bob.say(r#"{"type":"login","name":"bob"}"#).await;
    assert!(bob.hear().await.expect("a reply").contains("true"));
    let third = Client::connect(server.address(), "").await.err().expect("no place");
    assert!(third.starts_with("HTTP/1.1 429"), "{third}");

    alice.say(r#"{"type":"offer","offer":{"type":"offer","sdp":"v=0"},"name":"bob"}"#).await;
    assert!(bob.hear().await.expect("an offer").contains("alice"));
    let answer = get(server.address(), "/metrics").await;
    assert!(answer.contains("application/openmetrics-text; version=1.0.0"), "{answer}");
    assert!(answer.ends_with("# EOF\n"), "{answer}");
    for (line, wanted) in [
        ("peer_connections", 2),
        ("peer_logged_in", 2),
        ("peer_logins_total", 2),
        ("peer_calls_total", 1),
        ("peer_forwards_total", 1),
        ("peer_forward_seconds_count", 1),
        ("peer_refusals_total{reason=\"address-full\"}", 1),
        ("peer_refusals_total{reason=\"bad-name\"}", 1),
    ] {
        assert_eq!(number(&server, &format!("{line} ")).await, wanted, "{line}");
    }
    assert!(!server.said().contains("127.0.0.1:0\n"), "{}", server.said());
}

#[tokio::test]
async fn settings_that_cannot_be_are_usage_errors() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let users = folder.path().join("users");
    std::fs::write(&users, "alice:plain\n").expect("a writable folder");
    let users = users.to_str().expect("a plain path");
    for (words, hint) in [
        (&["serve", "--users", users][..], "line 1"),
        (&["serve", "--users", "/nonexistent"], "/nonexistent"),
        (&["serve", "--ice-server", "turn:t"], "--turn-secret-file"),
        (&["serve", "--allow-origin", "example.org"], "https://example.org"),
        (&["serve", "--max-name", "65"], "65"),
    ] {
        let ended = PeerBuilder::new(words).run().await;
        assert_eq!(ended.code, Some(2), "{words:?}\n{}", ended.said);
        assert!(ended.said.contains(hint), "{words:?}\n{}", ended.said);
    }
    let server = Server::start().await;
    let mut alice = login(server.url(), "alice", &[]).await;
    alice.type_line("quit");
    assert_eq!(alice.wait(PATIENCE).await.code, Some(0), "a token is needed nowhere else");
}
