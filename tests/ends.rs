//! How calls end that have no path, and what does not end them: both sides are told the same, a late
//! word of a call that is over does not ring, and a login is given back from its own dead connection.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::support::server::{Server, THE_END, login, peer};
use crate::support::{PATIENCE, one_at_a_time, sees_more, within_patience};

#[tokio::test]
async fn a_call_that_finds_no_path_has_failed_on_both_sides_and_rings_no_more() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let mut bob = login(server.url(), "bob", &["--auto-answer"]).await;
    // Nobody answers there, and nothing but a relay is allowed.
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let turn = format!("turn:{}", silent.local_addr().expect("a bound port"));
    let relayed = ["--ice-policy", "relay", "--turn", &turn, "--turn-user", "alice"];
    let alice = peer(server.url(), &["call", "bob", "--as", "alice"]).args(relayed);
    let alice = alice.env("PEER_TURN_PASSWORD", "secret").run().await;
    assert_eq!(alice.code, Some(6), "{}", alice.said);
    let ended = alice.events.iter().find(|event| event["event"] == "ended").expect("an end");
    let theirs = bob.await_event("ended", THE_END).await;
    for end in [ended, &theirs] {
        assert_eq!(end["reason"], "connection-failed", "{end}");
        let tried = end["message"].as_str().unwrap_or_default();
        assert!(tried.contains("our candidates: "), "{tried}");
        assert!(end["advice"].as_str().is_some_and(|advice| !advice.is_empty()), "{end}");
    }
    let said = alice.said.lines().find(|line| line.starts_with("err| peer: the connection"));
    let said = said.unwrap_or_else(|| panic!("no reason\n{}", alice.said));
    assert!(said.contains("failed: no path was found; our candidates: none"), "{said}");
    assert!(said.contains(&format!("{turn} did not answer")), "{said}");
    assert!(alice.said.contains("err| hint: "), "{}", alice.said);
    bob.type_line("quit");
    let bob = bob.wait(PATIENCE).await;
    assert_eq!(bob.said.matches(r#""event":"incoming""#).count(), 1, "{}", bob.said);
}

#[tokio::test]
async fn a_call_that_cannot_even_be_begun_says_why() {
    let server = Server::start().await;
    let words = ["call", "bob", "--as", "alice", "--ice-policy", "relay"];
    let alice = peer(server.url(), &words).run().await;
    assert_eq!(alice.code, Some(6), "{}", alice.said);
    let last = alice.events.last().expect("events");
    assert_eq!(last["reason"], "connection-failed");
    assert!(last["message"].as_str().is_some_and(|why| why.contains("no TURN")), "{last}");
}

/// A page of the tutorial's kind, word for word.
struct Page(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Page {
    async fn login(server: &str, name: &str) -> Self {
        let (socket, _) = connect_async(server).await.expect("a connection");
        let mut page = Self(socket);
        page.say(&json!({ "type": "login", "name": name })).await;
        assert_eq!(page.hear("login").await["success"], true);
        page
    }

    async fn say(&mut self, message: &Value) {
        self.0.send(Frame::text(message.to_string())).await.expect("it is sent");
    }

    /// The next message of this type.
    async fn hear(&mut self, kind: &str) -> Value {
        loop {
            let frame = within_patience(self.0.next()).await.expect("a message");
            let Frame::Text(text) = frame.expect("a message") else { continue };
            let message: Value = serde_json::from_str(&text).expect("JSON");
            if message["type"] == kind {
                return message;
            }
        }
    }

    async fn offer(&mut self, to: &str, session: u64, more: &str) {
        let sdp = format!(
            "v=0\r\no=- {session} 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n\
             a=fingerprint:sha-256 AA:{session}\r\n{more}"
        );
        self.say(&json!({ "type": "offer", "offer": { "type": "offer", "sdp": sdp }, "name": to }))
            .await;
    }
}

#[tokio::test]
async fn a_later_round_of_a_forgotten_call_does_not_ring_and_a_new_call_does() {
    let server = Server::start().await;
    let mut bob = login(server.url(), "bob", &[]).await;
    let mut page = Page::login(server.url(), "alice").await;
    page.offer("bob", 7, "a=peer-later-round\r\n").await;
    let leave = page.hear("leave").await;
    assert_eq!((&leave["name"], &leave["reason"]), (&"bob".into(), &"failed".into()));
    page.offer("bob", 8, "").await;
    assert_eq!(bob.await_event("incoming", PATIENCE).await["call"], 1);
}

#[tokio::test]
async fn a_caller_that_has_begun_anew_calls_anew() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let mut bob = login(server.url(), "bob", &["--auto-answer"]).await;
    let mut alice = peer(server.url(), &["call", "bob", "--as", "alice"]).start();
    alice.await_event("first-video-frame", PATIENCE).await;
    // So suddenly that bob may hear of the new call first.
    alice.kill9();
    alice.gone(PATIENCE).await;
    let again = ["call", "bob", "--as", "alice", "--duration", "1s"];
    // In the same home: the name is whose program knows the secret.
    let ended = peer(server.url(), &again).in_home(alice.home()).run().await;
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    for call in 1..=2 {
        let end = bob.await_event("ended", THE_END).await;
        assert_eq!((&end["call"], &end["reason"]), (&call.into(), &"remote-hangup".into()));
    }
}

/// A silent end is noticed in less, while a call hangs on it: five seconds, and as long again for a
/// machine that is busy.
const SOON: Duration = Duration::from_secs(10);

/// Passes connections on to a server, until it is told to pass nothing any more on those that there
/// are: nobody closes them, nobody says anything.
struct Wire {
    url: String,
    cut: watch::Sender<u32>,
}

impl Wire {
    async fn to(server: &str) -> Self {
        Self::swallowing(0, server).await
    }

    /// Of the first so many connections nothing is passed on.
    async fn swallowing(swallowed: usize, server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("ws://{}", listener.local_addr().expect("a bound port"));
        let (cut, cuts) = watch::channel(0);
        let server = server.to_owned();
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((mut near, _)) = listener.accept().await {
                if held.len() < swallowed {
                    held.push(near);
                    continue;
                }
                let (server, mut cuts) = (server.clone(), cuts.clone());
                cuts.mark_unchanged();
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(server).await.expect("the server listens");
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        Ok(()) = cuts.changed() => {
                            let _ends = (near, far);
                            std::future::pending::<()>().await;
                        }
                    }
                });
            }
        });
        Self { url, cut }
    }
}

#[tokio::test]
async fn a_login_whose_connection_died_silently_gets_its_name_and_its_call_back() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let wire = Wire::to(server.address()).await;
    let mut bob = login(server.url(), "bob", &["--auto-answer"]).await;
    let mut alice = login(&wire.url, "alice", &[]).await;
    alice.type_line("call bob");
    for side in [&mut alice, &mut bob] {
        side.await_event("first-video-frame", PATIENCE).await;
    }
    wire.cut.send(1).expect("connections");
    alice.await_event("reconnecting", SOON).await;
    alice.await_event("logged-in", PATIENCE).await;
    for side in [&mut alice, &mut bob] {
        sees_more(side, 10).await;
    }
    alice.type_line("hangup");
    assert_eq!(alice.await_event("ended", PATIENCE).await["reason"], "hangup");
    let end = bob.await_event("ended", PATIENCE).await;
    assert_eq!((&end["call"], &end["reason"]), (&1.into(), &"remote-hangup".into()));
}

#[tokio::test]
async fn a_call_that_rings_outlives_a_connection_that_died_silently() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let wire = Wire::to(server.address()).await;
    let mut bob = login(server.url(), "bob", &[]).await;
    let mut alice = login(&wire.url, "alice", &[]).await;
    alice.type_line("call bob");
    bob.await_event("incoming", PATIENCE).await;
    wire.cut.send(1).expect("connections");
    alice.await_event("reconnecting", SOON).await;
    alice.await_event("logged-in", PATIENCE).await;
    bob.type_line("answer");
    for side in [&mut alice, &mut bob] {
        side.await_event("first-video-frame", PATIENCE).await;
    }
}

#[tokio::test]
async fn a_login_gets_through_where_first_connections_are_swallowed() {
    let server = Server::start().await;
    let wire = Wire::swallowing(2, server.address()).await;
    let words = ["call", "nobody", "--as", "alice"];
    let ended = peer(&wire.url, &words).run().await;
    assert_eq!(ended.code, Some(4), "nobody is not online, says the server: {}", ended.said);
}

#[tokio::test]
async fn who_hangs_up_without_a_server_is_still_understood() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let mut bob = login(server.url(), "bob", &["--auto-answer"]).await;
    let mut alice = login(server.url(), "alice", &[]).await;
    alice.type_line("call bob");
    for side in [&mut alice, &mut bob] {
        side.await_event("first-video-frame", PATIENCE).await;
    }
    let address = server.address().to_owned();
    server.stop().await;
    alice.await_event("reconnecting", PATIENCE).await;
    alice.type_line("hangup");
    assert_eq!(alice.await_event("ended", PATIENCE).await["reason"], "hangup");
    assert_eq!(bob.await_event("ended", PATIENCE).await["reason"], "remote-hangup");

    // When it is back, nobody is rung by the call that is over.
    let server = Server::listen(&address).await;
    for side in [&mut alice, &mut bob] {
        side.await_event("logged-in", PATIENCE).await;
    }
    let words = ["call", "alice", "--as", "carol", "--timeout", "1s"];
    assert_eq!(peer(server.url(), &words).run().await.code, Some(4));
    assert_eq!(alice.await_event("incoming", PATIENCE).await["peer"], "carol");
    assert_eq!(bob.said().matches(r#""event":"incoming""#).count(), 1, "{}", bob.said());
}

/// What somebody decides about a call that rings while the server is away counts when it is back, and
/// so it does on one that has forgotten who called whom.
#[tokio::test]
async fn an_answer_and_a_rejection_wait_for_the_server() {
    let _alone = one_at_a_time().await;
    for word in ["answer", "reject"] {
        let server = Server::start().await;
        let mut bob = login(server.url(), "bob", &[]).await;
        let mut alice = login(server.url(), "alice", &[]).await;
        alice.type_line("call bob");
        bob.await_event("incoming", PATIENCE).await;
        let address = server.address().to_owned();
        server.stop().await;
        for side in [&mut alice, &mut bob] {
            side.await_event("reconnecting", PATIENCE).await;
        }
        bob.type_line(word);
        // That is over here at once.
        if word == "reject" {
            assert_eq!(bob.await_event("ended", PATIENCE).await["reason"], "rejected");
        }
        let server = Server::listen(&address).await;
        if word == "answer" {
            for side in [&mut alice, &mut bob] {
                side.await_event("first-video-frame", PATIENCE).await;
            }
            alice.type_line("hangup");
            assert_eq!(bob.await_event("ended", PATIENCE).await["reason"], "remote-hangup");
        }
        let wanted = if word == "answer" { "hangup" } else { "rejected" };
        assert_eq!(alice.await_event("ended", PATIENCE).await["reason"], wanted, "{word}");
        assert_eq!(bob.said().matches(r#""event":"incoming""#).count(), 1, "{}", bob.said());
        drop(server);
    }
}

#[tokio::test]
async fn a_call_that_was_made_and_given_up_without_a_server_rings_nowhere() {
    let server = Server::start().await;
    let mut bob = login(server.url(), "bob", &[]).await;
    let mut alice = login(server.url(), "alice", &[]).await;
    let address = server.address().to_owned();
    server.stop().await;
    for side in [&mut alice, &mut bob] {
        side.await_event("reconnecting", PATIENCE).await;
    }
    alice.type_line("call bob");
    alice.type_line("hangup");
    assert_eq!(alice.await_event("ended", PATIENCE).await["reason"], "hangup");
    let server = Server::listen(&address).await;
    for side in [&mut alice, &mut bob] {
        side.await_event("logged-in", PATIENCE).await;
    }
    // Whoever rings now is somebody else.
    let words = ["call", "bob", "--as", "carol", "--timeout", "1s"];
    assert_eq!(peer(server.url(), &words).run().await.code, Some(4));
    assert_eq!(bob.await_event("incoming", PATIENCE).await["peer"], "carol");
    assert_eq!(bob.said().matches(r#""event":"incoming""#).count(), 1, "{}", bob.said());
}

#[tokio::test]
async fn whose_program_is_closed_has_not_rejected_the_call() {
    let server = Server::start().await;
    let mut page = Page::login(server.url(), "carol").await;
    // A page that goes away says goodbye to the server and to nobody else.
    let dave = peer(server.url(), &["call", "carol", "--as", "dave"]).start();
    page.hear("offer").await;
    page.0.close(None).await.expect("it is closed");
    let ended = dave.wait(THE_END).await;
    assert_eq!(ended.code, Some(4), "{}", ended.said);
    assert!(ended.said.contains("'carol' is gone"), "{}", ended.said);
}
