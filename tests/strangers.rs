//! What strangers try on a signaling server that is not theirs: pages that lie about where they are
//! from, messages into calls of others, names that look alike, and much too much of everything.

use crate::support::process::PeerBuilder;
use crate::support::server::Server;
use crate::support::sockets::{Client, ask, get};

/// The status line of an answer.
fn status(answer: &str) -> &str {
    answer.lines().next().and_then(|line| line.split(' ').nth(1)).unwrap_or(answer)
}

/// What a handshake ends in.
async fn handshake(server: &Server, host: &str, headers: &str) -> String {
    match Client::connect_as(server.address(), host, headers).await {
        Ok(_) => "101".to_owned(),
        Err(answer) => status(&answer).to_owned(),
    }
}

#[tokio::test]
async fn a_page_by_dns_rebinding_gets_neither_a_socket_nor_the_page() {
    let server = Server::start().await;
    let port = server.address().rsplit(':').next().expect("a port").to_owned();
    for (host, origin, wanted) in [
        // The name is theirs, and they made it lead here.
        (
            format!("rebind.evil.example:{port}"),
            format!("http://rebind.evil.example:{port}"),
            "421",
        ),
        ("evil.example".to_owned(), "http://evil.example".to_owned(), "421"),
        (format!("localhost.evil.example:{port}"), String::new(), "421"),
        (format!("127.0.0.1:{port}"), format!("http://rebind.evil.example:{port}"), "403"),
        (format!("127.0.0.1:{port}"), "https://evil.example".to_owned(), "403"),
        (format!("127.0.0.1:{port}"), "http://127.0.0.1.evil.example".to_owned(), "403"),
        (format!("127.0.0.1:{port}"), "null".to_owned(), "403"),
        // Our own page, and a program.
        (format!("127.0.0.1:{port}"), format!("http://127.0.0.1:{port}"), "101"),
        (format!("localhost:{port}"), format!("http://localhost:{port}"), "101"),
        (format!("[::1]:{port}"), String::new(), "101"),
    ] {
        let headers = match &*origin {
            "" => String::new(),
            origin => format!("Origin: {origin}\r\n"),
        };
        assert_eq!(handshake(&server, &host, &headers).await, wanted, "{host} {origin}");
    }
    let two = format!("Origin: http://127.0.0.1:{port}\r\nOrigin: https://evil.example\r\n");
    assert_eq!(handshake(&server, server.address(), &two).await, "403");
    for (request, wanted) in [
        ("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "421"),
        ("GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", "421"),
        ("GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n", "421"),
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", "400"),
        ("GET / HTTP/1.0\r\nUpgrade: websocket\r\n\r\n", "400"),
        ("GET / HTTP/1.0\r\n\r\n", "200"),
        ("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "200"),
    ] {
        assert_eq!(status(&ask(server.address(), request).await), wanted, "{request}");
    }
    let metrics = get(server.address(), "/metrics").await;
    assert!(metrics.contains("peer_refusals_total{reason=\"foreign-host\"} 6\n"), "{metrics}");
    assert!(server.said().contains("--host"), "the operator hears of it: {}", server.said());
    assert!(!server.said().contains("evil"), "in our words: {}", server.said());
}

#[tokio::test]
async fn an_origin_is_compared_whole_where_others_can_connect() {
    let words = ["--listen", "0.0.0.0:0", "--host", "pages.example"];
    let server = Server::start_with(&words).await;
    let port = server.address().rsplit(':').next().expect("a port").to_owned();
    let here = format!("127.0.0.1:{port}");
    for (host, origin, wanted) in [
        (&*here, format!("http://127.0.0.1:{port}"), true),
        (&*here, "http://127.0.0.1:1".to_owned(), false),
        (&*here, "http://127.0.0.1".to_owned(), false),
        (&*here, format!("https://127.0.0.1:{port}"), false),
        (&*here, "http://localhost:8080".to_owned(), false),
        ("pages.example:80", "http://pages.example".to_owned(), true),
        ("pages.example:81", "http://pages.example".to_owned(), false),
    ] {
        let headers = format!("Origin: {origin}\r\n");
        let opened = Client::connect_as(&here, host, &headers).await.is_ok();
        assert_eq!(opened, wanted, "{host} {origin}");
    }
}

#[tokio::test]
async fn this_machines_own_name_is_known_and_others_are_told_how_to_add_one() {
    let server = Server::start().await;
    let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    assert_eq!(handshake(&server, own.trim(), "").await, "101");
    let answer = Client::connect_as(server.address(), "other.example", "").await.err();
    assert!(answer.is_some_and(|answer| answer.contains("peer serve --host NAME")));
    let ended = PeerBuilder::new(["serve", "--host", "http://a"]).run().await;
    assert_eq!(ended.code, Some(2), "{}", ended.said);
}

/// What comes to somebody of all that was said to the server before.
async fn heard(client: &mut Client) -> Vec<String> {
    client.say(r#"{"type":"that is all"}"#).await;
    let mut heard = Vec::new();
    loop {
        let text = client.hear().await.expect("an answer");
        if text.contains("that is all") {
            return heard;
        }
        heard.push(text);
    }
}

#[tokio::test]
async fn messages_into_a_call_of_others_go_nowhere() {
    let server = Server::start().await;
    let mut ann = Client::login(server.address(), "ann").await;
    let mut ben = Client::login(server.address(), "ben").await;
    let mut mal = Client::login(server.address(), "mal").await;
    ann.say(r#"{"type":"offer","offer":{"sdp":"v=0"},"name":"ben"}"#).await;
    assert_eq!(heard(&mut ann).await.len() + heard(&mut ben).await.len(), 1);
    for name in ["ann", "ben"] {
        for text in [
            r#"{"type":"leave","name":"NAME"}"#,
            r#"{"type":"leave"}"#,
            r#"{"type":"leave","reason":"gone","n\u0061me":"NAME"}"#,
            r#"{"type":"candidate","candidate":{"candidate":"x"},"name":"NAME"}"#,
            r#"{"type":"candidate","candidate":null,"name":"NAME"}"#,
            r#"{"type":"candidate","type":"leave","name":"NAME"}"#,
            r#"{"type":"answer","answer":{"sdp":"x"},"name":"NAME"}"#,
        ] {
            mal.say(&text.replace("NAME", name)).await;
        }
    }
    assert!(heard(&mut mal).await.is_empty());
    for client in [&mut ann, &mut ben] {
        assert!(heard(client).await.is_empty());
    }
    ben.say(r#"{"type":"answer","answer":{"sdp":"y"},"name":"ann"}"#).await;
    heard(&mut ben).await;
    assert_eq!(heard(&mut ann).await, [r#"{"type":"answer","answer":{"sdp":"y"},"name":"ben"}"#]);
}

#[tokio::test]
async fn who_calls_again_and_again_is_told_to_wait_and_a_friend_gets_through() {
    let server = Server::start().await;
    let mut bob = Client::login(server.address(), "bob").await;
    let mut mal = Client::login(server.address(), "mal").await;
    let mut friend = Client::login(server.address(), "friend").await;
    let offer = r#"{"type":"offer","offer":{"sdp":"v=0"},"name":"bob"}"#;
    for _ in 0..90 {
        mal.say(offer).await;
        mal.say(r#"{"type":"leave","name":"bob"}"#).await;
    }
    friend.say(offer).await;
    let refused = heard(&mut mal).await;
    assert!(refused.iter().all(|text| text.contains("too-many-offers")), "{refused:?}");
    // Sixty at once, and then one a second.
    assert!((10..=30).contains(&refused.len()), "{}", refused.len());
    heard(&mut friend).await;
    let offers = heard(&mut bob).await;
    assert!(offers.iter().any(|text| text.contains("friend")), "{offers:?}");
}
