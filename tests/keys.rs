//! Whether it is really them: keys that are remembered, servers that lie about them, and the words
//! that two people compare.

use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::support::lying_server::LyingServer;
use crate::support::page::Page;
use crate::support::process::{Ended, Peer, PeerBuilder};
use crate::support::server::{Server, login, peer, tutorial};
use crate::support::{PATIENCE, one_at_a_time, sees_more};

/// The words of an event, as both sides must have them.
fn words(event: &Value) -> Vec<String> {
    serde_json::from_value(event["safetyWords"].clone()).unwrap_or_else(|_| panic!("{event:#}"))
}

/// What `peer keys` says in this home.
async fn keys(home: &Path) -> Value {
    let ended = PeerBuilder::new(["keys", "--json"]).in_home(home).run().await;
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    ended.events[0].clone()
}

/// By which key others know whoever has this name in this home.
async fn own_key(home: &Path, name: &str) -> String {
    key_of(&keys(home).await["own"], name).expect("a key")
}

fn key_of(list: &Value, name: &str) -> Option<String> {
    let one = list.as_array().expect("a list").iter().find(|one| one["name"] == name)?;
    Some(one["key"].as_str().expect("a key").to_owned())
}

/// The key that is remembered of this name.
async fn known_key(home: &Path, name: &str) -> Option<String> {
    key_of(&keys(home).await["known"], name)
}

/// A call to bob that ends by itself once it is connected.
fn call_bob(server: &str, home: &Path) -> PeerBuilder {
    let words = ["call", "bob", "--as", "alice", "--duration", "300ms"];
    peer(server, &words).in_home(home)
}

/// Somebody who is called, in a home that others come back to.
async fn answering(server: &str, home: &Path, words: &[&str]) -> Peer {
    let bob = peer(server, &["login", "bob", "--auto-answer"]).args(words).with_input();
    let mut bob = bob.in_home(home).start();
    bob.await_event("logged-in", PATIENCE).await;
    bob
}

/// Alice and bob, who have had a call on this server.
async fn acquainted(server: &str) -> (tempfile::TempDir, tempfile::TempDir) {
    let homes = (home(), home());
    let mut bob = answering(server, homes.1.path(), &[]).await;
    let ended = call_bob(server, homes.0.path()).run().await;
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    quit(&mut bob).await;
    homes
}

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

async fn quit(peer: &mut Peer) {
    peer.type_line("quit");
    peer.gone(PATIENCE).await;
}

/// As many keys as are remembered, none of them of anybody here.
fn full_of_strangers(home: &Path) {
    use base64::Engine;
    let folder = home.join("state/peer");
    std::fs::create_dir_all(&folder).expect("a folder");
    let key = base64::prelude::BASE64_STANDARD.encode([7; 32]);
    let stranger = |number: u32| {
        let server = "ws://elsewhere.example";
        serde_json::json!({ "server": server, "name": format!("n{number}"), "key": key, "since": 1 })
    };
    let all: Vec<_> = (10_000..11_000).map(stranger).collect();
    let text = serde_json::to_string(&all).expect("JSON");
    std::fs::write(folder.join("known-keys.json"), text).expect("a file");
}

#[tokio::test]
async fn a_key_that_finds_no_place_is_told_of_and_whom_we_call_finds_one() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let (alices, bobs) = (home(), home());
    full_of_strangers(bobs.path());
    let mut bob = answering(server.url(), bobs.path(), &[]).await;
    let ended = call_bob(server.url(), alices.path()).run().await;
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    let told = bob.await_event("error", PATIENCE).await;
    assert_eq!((&told["code"], &told["peer"]), (&"key-not-kept".into(), &"alice".into()), "{told}");
    assert!(
        told["message"].as_str().is_some_and(|text| text.contains("peer keys forget")),
        "{told}"
    );
    bob.await_event("ended", PATIENCE).await;
    assert_eq!(known_key(bobs.path(), "alice").await, None);
    // Our own call makes room, by the last of the strangers.
    let alice = peer(server.url(), &["login", "alice", "--auto-answer"]).in_home(alices.path());
    let mut alice = alice.with_input().start();
    alice.await_event("logged-in", PATIENCE).await;
    bob.type_line("call alice");
    bob.await_event("connected", PATIENCE).await;
    bob.type_line("hangup");
    bob.await_event("ended", PATIENCE).await;
    let known = known_key(bobs.path(), "alice").await;
    assert_eq!(known, Some(own_key(alices.path(), "alice").await));
    assert_eq!(known_key(bobs.path(), "n10999").await, None);
    assert!(known_key(bobs.path(), "n10998").await.is_some());
}

fn event<'a>(ended: &'a Ended, name: &str) -> &'a Value {
    let found = ended.events.iter().find(|event| event["event"] == name);
    found.unwrap_or_else(|| panic!("no event '{name}'\n{}", ended.said))
}

#[tokio::test]
async fn two_peers_see_the_same_four_words_and_remember_each_other() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    for url in [server.url().to_owned(), tutorial().await] {
        let homes = (home(), home());
        let mut bob = answering(&url, homes.1.path(), &[]).await;
        let mut alice =
            peer(&url, &["login", "alice"]).in_home(homes.0.path()).with_input().start();
        alice.await_event("logged-in", PATIENCE).await;
        let mut before = Vec::new();
        for _ in 0..2 {
            alice.type_line("call bob");
            let ours = words(&alice.await_event("connected", PATIENCE).await);
            assert_eq!(ours, words(&bob.await_event("connected", PATIENCE).await), "{url}");
            assert_eq!(ours.len(), 4);
            assert_ne!(ours, before, "each call has words of its own");
            alice.type_line("status");
            sees_more(&mut alice, 1).await;
            let said = alice.said();
            let shown = format!("safety words: {}", ours.join(" "));
            assert!(said.matches(&shown).count() >= 2, "connected and status\n{said}");
            before = ours;
            alice.type_line("hangup");
            alice.await_event("ended", PATIENCE).await;
            bob.await_event("ended", PATIENCE).await;
        }
        let (alices, bobs) = (homes.0.path(), homes.1.path());
        assert_eq!(known_key(alices, "bob").await, Some(own_key(bobs, "bob").await));
        assert_eq!(known_key(bobs, "alice").await, Some(own_key(alices, "alice").await));
        for home in [alices, bobs] {
            private_files(&home.join("state/peer"));
        }
    }
}

/// Keys are for their owner alone.
fn private_files(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mut files = vec![folder.join("known-keys.json")];
    for entry in std::fs::read_dir(folder.join("keys")).expect("a folder with keys") {
        files.push(entry.expect("a file").path());
    }
    assert_eq!(files.len(), 2, "{files:?}");
    for file in files {
        let mode = file.metadata().expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn who_call_each_other_at_once_see_the_same_words() {
    let _alone = one_at_a_time().await;
    let server = tutorial().await;
    let mut alice = login(&server, "alice", &[]).await;
    let mut bob = login(&server, "bob", &[]).await;
    alice.type_line("call bob");
    bob.type_line("call alice");
    let ours = words(&alice.await_event("connected", PATIENCE).await);
    assert_eq!(ours, words(&bob.await_event("connected", PATIENCE).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_and_a_peer_see_the_same_seven_words() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let mut bob = login(server.url(), "bob", &["--auto-answer"]).await;
    let page = Page::log_in(server.page(), "page").await;
    let shown = "const words = document.getElementById('safety-words');
                 return words.checkVisibility() && words.textContent";
    for page_calls in [true, false] {
        match page_calls {
            true => page.call("bob").await,
            false => {
                bob.type_line("call page");
                page.wait_for_status("'bob' is calling").await;
                page.browser.click("#answer").await;
            }
        }
        let ours = words(&bob.await_event("connected", PATIENCE).await);
        assert_eq!(ours.len(), 7);
        page.browser.wait_until("the words are shown", shown).await;
        let theirs = page.browser.evaluate(shown).await;
        assert_eq!(theirs, ours.join(" ").as_str());
        page.browser.click("#hangup").await;
        bob.await_event("ended", PATIENCE).await;
    }
    assert_eq!(page.browser.violations().await, serde_json::json!([]));
    assert_eq!(known_key(bob.home(), "page").await, None);
}

#[tokio::test]
async fn another_key_ends_a_call_and_is_taken_when_a_person_says_so() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let (alice, bob) = acquainted(server.url()).await;
    let other_home = home();
    let known = own_key(bob.path(), "bob").await;
    let mut other = answering(server.url(), other_home.path(), &[]).await;
    let shown = own_key(other_home.path(), "bob").await;
    let ended = call_bob(server.url(), alice.path()).run().await;
    assert_eq!(ended.code, Some(6), "{}", ended.said);
    let changed = event(&ended, "key-changed");
    assert_eq!(
        (&changed["known"], &changed["shown"]),
        (&known.clone().into(), &shown.clone().into())
    );
    assert_eq!(changed["peer"], "bob");
    assert!(ended.said.contains(&known) && ended.said.contains(&shown), "{}", ended.said);
    assert_eq!(event(&ended, "ended")["reason"], "key-changed");
    assert!(!ended.events.iter().any(|event| event["event"] == "accepted"), "{}", ended.said);
    assert_eq!(known_key(alice.path(), "bob").await, Some(known));

    let mut asked =
        peer(server.url(), &["login", "alice"]).in_home(alice.path()).with_input().start();
    asked.await_event("logged-in", PATIENCE).await;
    for (words, event) in [("call bob", "key-changed"), ("trust", "connected")] {
        asked.type_line(words);
        asked.await_event(event, PATIENCE).await;
    }
    assert_eq!(known_key(alice.path(), "bob").await, Some(shown));
    quit(&mut asked).await;
    assert_eq!(call_bob(server.url(), alice.path()).run().await.code, Some(0));
    quit(&mut other).await;

    let forget = || PeerBuilder::new(["keys", "forget", "BOB"]).in_home(alice.path());
    assert_eq!(forget().run().await.code, Some(0));
    assert_eq!(known_key(alice.path(), "bob").await, None);
    assert_eq!(forget().run().await.code, Some(2), "there is none any more");
    let _bob = answering(server.url(), bob.path(), &[]).await;
    assert_eq!(call_bob(server.url(), alice.path()).run().await.code, Some(0));
}

#[tokio::test]
async fn who_is_asked_hears_of_another_key_before_it_rings() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let (alice, bob) = acquainted(server.url()).await;
    let mut called = peer(server.url(), &["login", "bob"]).in_home(bob.path()).with_input().start();
    called.await_event("logged-in", PATIENCE).await;
    let other_home = home();
    let caller = call_bob(server.url(), other_home.path()).start();
    let changed = called.await_event("key-changed", PATIENCE).await;
    assert_eq!(changed["known"], own_key(alice.path(), "alice").await);
    assert_eq!(changed["shown"], own_key(other_home.path(), "alice").await);
    assert!(changed["call"].is_u64(), "{changed}");
    called.await_event("incoming", PATIENCE).await;
    called.type_line("answer");
    called.await_event("connected", PATIENCE).await;
    assert_eq!(caller.wait(PATIENCE).await.code, Some(0));
    let known = known_key(bob.path(), "alice").await;
    assert_eq!(known, Some(own_key(other_home.path(), "alice").await), "a person has decided");
}

#[tokio::test]
async fn allow_with_a_key_lets_in_that_key_and_no_other() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let (alice, bob) = acquainted(server.url()).await;
    let allowed = format!("alice@{}", own_key(alice.path(), "alice").await);
    let mut called = answering(server.url(), bob.path(), &["--allow", &allowed]).await;
    assert_eq!(call_bob(server.url(), alice.path()).run().await.code, Some(0));
    let ended = call_bob(server.url(), home().path()).run().await;
    assert_eq!(ended.code, Some(4), "{}", ended.said);
    let refused = called.await_event("error", PATIENCE).await;
    assert_eq!((&refused["code"], &refused["peer"]), (&"wrong-key".into(), &"alice".into()));
    quit(&mut called).await;
    assert!(!called.said().contains("anybody can log in as"), "{}", called.said());
    for wrong in ["alice@", "alice@7k2m-q9wd-xh4t-0bz8"] {
        let words = ["login", "bob", "--auto-answer", "--allow", wrong];
        assert_eq!(peer(server.url(), &words).run().await.code, Some(2), "{wrong}");
    }
}

/// The description in a message, if it is of this type.
fn sdp<'a>(message: &'a mut Value, kind: &str) -> Option<&'a mut Value> {
    (message["type"] == kind).then(|| &mut message[kind]["sdp"])
}

fn change(message: &mut Value, kind: &str, change: impl FnOnce(&str) -> String) {
    if let Some(sdp) = sdp(message, kind) {
        *sdp = change(sdp.as_str().expect("SDP")).into();
    }
}

/// The attribute with the key, as it stands in a description.
fn key_line(sdp: &str) -> String {
    sdp.lines().find(|line| line.starts_with("a=peer-key:")).expect("a key").trim_end().to_owned()
}

/// Another certificate's fingerprint in the place of the right one.
fn other_fingerprint(sdp: &str) -> String {
    let line = sdp.lines().find_map(|line| line.strip_prefix("a=fingerprint:sha-256 "));
    sdp.replace(line.expect("a fingerprint").trim_end(), &["AB"; 32].join(":"))
}

/// What becomes of a description.
type Change = fn(&str) -> String;

/// What a server can do to a description.
fn lies() -> Vec<(&'static str, Change)> {
    vec![
        ("takes the key out", |sdp| sdp.replace(&format!("{}\r\n", key_line(sdp)), "")),
        ("puts its own fingerprint in", other_fingerprint),
        ("hides its own fingerprint", |sdp| {
            format!("{sdp}\ra=fingerprint:sha-256 {}\r\n", ["AB"; 32].join(":"))
        }),
        ("spoils the signature", |sdp| {
            let line = key_line(sdp);
            let end = if line.ends_with('A') { "Q" } else { "A" };
            sdp.replace(&line, &format!("{}{end}", &line[..line.len() - 1]))
        }),
        ("shows two keys", |sdp| {
            let line = key_line(sdp);
            sdp.replace(&line, &format!("{line}\r\n{line}"))
        }),
    ]
}

#[tokio::test]
async fn a_server_that_lies_about_an_offer_is_found_out() {
    let _alone = one_at_a_time().await;
    let server = LyingServer::start().await;
    let (alice, bob) = acquainted(server.url()).await;
    let mut called = answering(server.url(), bob.path(), &[]).await;
    for (what, lie) in lies() {
        server.lie(move |_, _, message| change(message, "offer", lie));
        let ended = call_bob(server.url(), alice.path()).run().await;
        assert_eq!(ended.code, Some(4), "{what}: {}", ended.said);
        assert_eq!(called.await_event("key-changed", PATIENCE).await["peer"], "alice", "{what}");
    }
    server.lie(|_, _, _| {});
    assert_eq!(call_bob(server.url(), alice.path()).run().await.code, Some(0));
    quit(&mut called).await;
    let said = called.said();
    assert_eq!(said.matches("\"event\":\"incoming\"").count(), 1, "{said}");
}

#[tokio::test]
async fn a_server_that_lies_about_an_answer_is_found_out() {
    let _alone = one_at_a_time().await;
    let server = LyingServer::start().await;
    let (alice, bob) = acquainted(server.url()).await;
    for (what, lie) in lies() {
        // Whoever gives up one call after the other would have to wait.
        let mut called = answering(server.url(), bob.path(), &[]).await;
        server.lie(move |_, _, message| change(message, "answer", lie));
        let ended = call_bob(server.url(), alice.path()).run().await;
        assert_eq!(ended.code, Some(6), "{what}: {}", ended.said);
        event(&ended, "key-changed");
        assert_eq!(event(&ended, "ended")["reason"], "key-changed", "{what}");
        quit(&mut called).await;
    }
    server.lie(|_, _, _| {});
    let _called = answering(server.url(), bob.path(), &[]).await;
    assert_eq!(call_bob(server.url(), alice.path()).run().await.code, Some(0));
}

#[tokio::test]
async fn what_was_signed_for_another_call_proves_nothing() {
    let _alone = one_at_a_time().await;
    let server = LyingServer::start().await;
    let (alice, bob) = acquainted(server.url()).await;
    let mut called = answering(server.url(), bob.path(), &[]).await;
    // An attribute of an earlier call.
    let old = Arc::new(Mutex::new(None::<String>));
    let seen = Arc::clone(&old);
    server.lie(move |_, _, message| {
        change(message, "offer", |sdp| {
            *seen.lock().expect("no panic") = Some(key_line(sdp));
            sdp.to_owned()
        });
    });
    assert_eq!(call_bob(server.url(), alice.path()).run().await.code, Some(0));
    let old = old.lock().expect("no panic").clone().expect("a line");
    server.lie(move |_, _, message| {
        change(message, "offer", |sdp| sdp.replace(&key_line(sdp), &old));
    });
    assert_eq!(call_bob(server.url(), alice.path()).run().await.code, Some(4));
    called.await_event("key-changed", PATIENCE).await;
    // What carol said to bob, as if alice had.
    server.lie(|from, _, _| {
        if from == "carol" {
            *from = "alice".to_owned();
        }
    });
    let words = ["call", "bob", "--as", "carol", "--timeout", "5s"];
    let carol = peer(server.url(), &words).start();
    called.await_event("key-changed", PATIENCE).await;
    drop(carol);
    // What alice says to bob, sent back to her as if bob had said it.
    let mut mirror = peer(server.url(), &["login", "alice", "--auto-answer"])
        .in_home(alice.path())
        .with_input()
        .start();
    mirror.await_event("logged-in", PATIENCE).await;
    mirror.type_line("call bob");
    mirror.await_event("connected", PATIENCE).await;
    mirror.type_line("hangup");
    mirror.await_event("ended", PATIENCE).await;
    server.lie(|from, to, message| {
        if message["type"] == "offer" && from == "alice" {
            message["type"] = "answer".into();
            message["answer"] = message["offer"].clone();
            (*from, *to) = ("bob".to_owned(), "alice".to_owned());
        }
    });
    mirror.type_line("call bob");
    mirror.await_event("key-changed", PATIENCE).await;
    assert_eq!(mirror.await_event("ended", PATIENCE).await["reason"], "key-changed");
}

#[tokio::test]
async fn whoever_stands_between_two_is_found_out_by_keys_or_by_words() {
    let _alone = one_at_a_time().await;
    let server = LyingServer::start().await;
    let (alice, bob) = acquainted(server.url()).await;
    for (known, alices, bobs) in [(false, home(), home()), (true, alice, bob)] {
        // The server shows alice one bob and bob one alice, who are both its own.
        server.room(1);
        let lair = (home(), home());
        let _false_bob = answering(server.url(), lair.0.path(), &[]).await;
        let alice = call_bob(server.url(), alices.path()).run().await;
        server.room(2);
        let mut bob = answering(server.url(), bobs.path(), &[]).await;
        let false_alice = call_bob(server.url(), lair.1.path()).run().await;
        if known {
            assert_eq!((alice.code, false_alice.code), (Some(6), Some(4)), "{}", alice.said);
            event(&alice, "key-changed");
            bob.await_event("key-changed", PATIENCE).await;
        } else {
            let at_alice = words(event(&alice, "connected"));
            assert_ne!(at_alice, words(&bob.await_event("connected", PATIENCE).await));
        }
    }
}
