//! What strangers try on a signaling server that is not theirs: pages that lie about where they are
//! from, messages into calls of others, names that look alike, and much too much of everything.

use std::net::UdpSocket;

use crate::support::process::PeerBuilder;
use crate::support::server::{Server, login, peer};
use crate::support::sockets::{Client, ask, get};
use crate::support::{PATIENCE, one_at_a_time, until};

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
    until("the operator hears of it", || server.said().contains("--host")).await;
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

/// A login in the tutorial's words, from another address.
async fn grab(server: &Server, from: &str, name: &str, more: &str) -> String {
    let mut grabber = Client::connect_from(from, server.address()).await.expect("a place");
    grabber.say(&format!(r#"{{"type":"login","name":"{name}"{more}}}"#)).await;
    grabber.hear().await.expect("a reply")
}

#[tokio::test(flavor = "multi_thread")]
async fn many_connections_that_send_to_one_name_do_not_take_it() {
    let server = Server::start().await;
    let mut alice = login(server.url(), "alice", &[]).await;
    let filler = "x".repeat(60_000);
    let flood = format!(r#"{{"type":"offer","offer":{{"sdp":"{filler}"}},"name":"alice"}}"#);
    let mut attackers = Vec::new();
    for number in 0..60 {
        attackers.push(Client::login(server.address(), &format!("a{number}")).await);
    }
    for attacker in &mut attackers {
        for _ in 0..4 {
            attacker.say(&flood).await;
        }
    }
    for attempt in 0..5 {
        let reply = grab(&server, "127.0.5.5", "alice", "").await;
        assert!(reply.contains("name-taken"), "{attempt}: {reply}");
    }
    // Whoever still has a connection has been heard, or told.
    for mut attacker in attackers {
        attacker.say(r#"{"type":"that is all"}"#).await;
        while attacker.hear().await.is_some_and(|text| !text.contains("that is all")) {}
    }
    // A friend's offer comes behind all that, and alice never was away.
    let mut friend = Client::connect_from("127.0.6.6", server.address()).await.expect("a place");
    friend.say(r#"{"type":"login","name":"friend"}"#).await;
    friend.say(r#"{"type":"offer","offer":{"sdp":"v=0"},"name":"alice"}"#).await;
    alice.type_line("quit");
    let ended = alice.wait(PATIENCE).await;
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(!ended.said.contains("\"event\":\"reconnecting\""), "{}", ended.said);
}

#[tokio::test]
async fn a_lost_name_is_its_owners_for_a_minute() {
    let server = Server::start().await;
    let mut lost = Client::connect(server.address(), "").await.expect("a place");
    lost.say(r#"{"type":"login","name":"alice","resume":""}"#).await;
    let reply: serde_json::Value =
        serde_json::from_str(&lost.hear().await.expect("a reply")).expect("JSON");
    let secret = reply["resume"].as_str().expect("a secret").to_owned();
    let mut friend = Client::login(server.address(), "friend").await;
    friend.say(r#"{"type":"offer","offer":{"sdp":"v=0"},"name":"alice"}"#).await;
    assert!(lost.hear().await.expect("the offer").contains("friend"));
    drop(lost);
    assert!(friend.hear().await.expect("a leave").contains("gone"));
    for from in ["127.0.5.5", "127.0.6.6"] {
        let kept = grab(&server, from, "alice", "").await;
        assert!(kept.contains("name-taken") && kept.contains("for a minute"), "{kept}");
        let wrong = r#","resume":"00000000000000000000000000000000""#;
        assert!(grab(&server, from, "alice", wrong).await.contains("name-taken"));
    }
    // The owner may be who asks, and is told how to have it again.
    let anew = peer(server.url(), &["login", "alice"]).run().await;
    assert!(anew.code == Some(3) && anew.said.contains("for a minute"), "{}", anew.said);
    let taken = grab(&server, "127.0.5.5", "friend", "").await;
    assert!(taken.contains("name-taken") && !taken.contains("minute"), "{taken}");
    let back = grab(&server, "127.0.7.7", "alice", &format!(r#","resume":"{secret}""#)).await;
    assert!(back.contains(r#""success":true"#), "{back}");
}

#[tokio::test]
async fn a_program_that_crashed_has_its_name_back_at_once_and_nobody_else() {
    let server = Server::start().await;
    let mut alice = login(server.url(), "alice", &[]).await;
    alice.kill9();
    alice.gone(PATIENCE).await;
    // It comes from the same address, and does not know the secret.
    let mut pace = tokio::time::interval(std::time::Duration::from_millis(300));
    for _ in 0..6 {
        pace.tick().await;
        for more in ["", r#","resume":"""#, r#","resume":"guessed""#] {
            let reply = grab(&server, "127.0.0.1", "alice", more).await;
            assert!(reply.contains("name-taken"), "{more}: {reply}");
        }
    }
    let again = peer(server.url(), &["login", "alice"]).in_home(alice.home()).with_input();
    let mut again = again.start();
    again.await_event("logged-in", PATIENCE).await;
    // Beside it, the same program of the same home is not the same.
    let other = peer(server.url(), &["login", "alice"]).in_home(alice.home()).run().await;
    assert_eq!(other.code, Some(3), "{}", other.said);
    again.type_line("quit");
    let ended = again.wait(PATIENCE).await;
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(!ended.said.contains("\"event\":\"reconnecting\""), "{}", ended.said);
    let left = std::fs::read_dir(alice.home().join("state/peer/resume")).expect("a folder").count();
    assert_eq!(left, 0, "who says goodbye has nothing to come back to");
    assert!(grab(&server, "127.0.0.1", "alice", "").await.contains("true"));
}

#[tokio::test]
async fn one_network_has_a_quarter_of_the_places() {
    let words = ["--max-connections", "40", "--max-connections-per-address", "2"];
    let server = Server::start_with(&[&["--listen", "127.0.0.1:0"][..], &words].concat()).await;
    let mut crowd = Vec::new();
    for number in 1..=30 {
        let from = format!("127.0.60.{number}");
        match Client::connect_from(&from, server.address()).await {
            Ok(client) => crowd.push(client),
            Err(answer) => assert_eq!(status(&answer), "429", "{answer}"),
        }
    }
    assert_eq!(crowd.len(), 10);
    assert!(Client::connect_from("127.0.61.1", server.address()).await.is_ok());
    let metrics = get(server.address(), "/metrics").await;
    assert!(metrics.contains("peer_refusals_total{reason=\"address-full\"} 20\n"), "{metrics}");
}

/// Somebody comes back with the secret of a server that is no more, or with what he has made up.
async fn come_back(server: &Server, name: &str, secret: &str) -> Client {
    let mut client = Client::connect(server.address(), "").await.expect("a place");
    client.say(&format!(r#"{{"type":"login","name":"{name}","resume":"{secret}"}}"#)).await;
    assert!(client.hear().await.expect("a reply").contains(r#""success":true"#));
    client
}

#[tokio::test]
async fn after_a_restart_a_made_up_secret_gives_nothing_and_two_in_a_call_part() {
    let mut server = Server::start().await;
    server.kill9().await;
    let (server, _) = server.start_again().await;
    let mut ann = come_back(&server, "ann", "0123456789abcdef0123456789abcdef").await;
    let mut ben = come_back(&server, "ben", "fedcba9876543210fedcba9876543210").await;
    let mut mal = come_back(&server, "mal", "x").await;
    let still = |name: &str| format!(r#"{{"type":"candidate","candidate":null,"name":"{name}"}}"#);
    ann.say(&still("ben")).await;
    heard(&mut ann).await;
    for name in ["ann", "ben"] {
        for text in [
            r#"{"type":"leave","name":"NAME"}"#,
            r#"{"type":"answer","answer":{"sdp":"x"},"name":"NAME"}"#,
            r#"{"type":"candidate","candidate":{"candidate":"x"},"name":"NAME"}"#,
        ] {
            mal.say(&text.replace("NAME", name)).await;
        }
    }
    heard(&mut mal).await;
    for client in [&mut ann, &mut ben] {
        assert_eq!(heard(client).await, [""; 0]);
    }
    ben.say(&still("ann")).await;
    assert!(heard(&mut ben).await.is_empty());
    assert_eq!(heard(&mut ann).await, [still("ben")]);
    ann.say(r#"{"type":"leave","name":"ben"}"#).await;
    heard(&mut ann).await;
    assert_eq!(heard(&mut ben).await, [r#"{"type":"leave","name":"ann"}"#]);
}

#[tokio::test]
async fn who_connects_and_does_not_log_in_is_closed() {
    let server = Server::start_with(&["--listen", "127.0.0.1:0", "--login-within", "1s"]).await;
    let mut alice = Client::login(server.address(), "alice").await;
    let mut idle = Client::connect(server.address(), "").await.expect("a place");
    assert_eq!(idle.closed().await, Some(1008));
    alice.say(r#"{"type":"ping"}"#).await;
    assert!(alice.hear().await.is_some(), "who is logged in stays");
    let metrics = get(server.address(), "/metrics").await;
    assert!(metrics.contains("peer_refusals_total{reason=\"no-login\"} 1\n"), "{metrics}");
}

#[tokio::test]
async fn wrong_tokens_from_elsewhere_do_not_lock_the_owner_out() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let users = folder.path().join("users");
    let mut made = PeerBuilder::new(["serve", "--hash-token", "alice"]).with_input().start();
    made.type_line("north");
    let made = made.wait(PATIENCE).await;
    let line = made.said.lines().find_map(|line| line.split_once("alice:$argon2id$"));
    let (_, hash) = line.unwrap_or_else(|| panic!("no line\n{}", made.said));
    std::fs::write(&users, format!("alice:$argon2id${hash}\n")).expect("a writable folder");
    let users = users.to_str().expect("a plain path");
    let words = ["--listen", "127.0.0.1:0", "--users", users, "--wrong-tokens-per-minute", "2"];
    let server = Server::start_with(&words).await;
    let alice = || peer(server.url(), &["login", "alice"]).env("PEER_TOKEN", "north").with_input();
    let mut first = alice().start();
    first.await_event("logged-in", PATIENCE).await;
    first.type_line("quit");
    assert_eq!(first.wait(PATIENCE).await.code, Some(0));
    // As many as one name may have of all addresses together, and some more.
    let mut refused = String::new();
    for number in 1..=15 {
        for token in ["south", "west"] {
            let more = format!(r#","token":"{token}""#);
            refused = grab(&server, &format!("127.0.9.{number}"), "alice", &more).await;
        }
    }
    assert!(refused.contains("too-many-tries"), "{refused}");
    let mut second = alice().start();
    second.await_event("logged-in", PATIENCE).await;
}

#[tokio::test]
async fn names_that_look_alike_are_taken_and_what_cannot_be_seen_is_no_name() {
    let server = Server::start().await;
    let _alice = Client::login(server.address(), "alice").await;
    for name in ["Alice", "\u{430}lice", "\u{ff41}lice", "a1ice", "aIice"] {
        let reply = grab(&server, "127.0.0.1", name, "").await;
        assert!(reply.contains("name-taken") && reply.contains("looks like"), "{name}: {reply}");
    }
    for name in [
        "alice\u{3164}",
        "alice\u{115f}",
        "al\u{34f}ice",
        "alice\u{61c}",
        "al\u{180e}ice",
        "alice\u{2800}",
        "alice\u{fe0f}",
        "alice\u{e0061}",
        "al\u{17b4}ice",
        "al\u{a0}ice",
        "al  ice",
        "Zoe\u{308}",
        "\u{301}",
        "a\u{ffff}",
        "a\u{e000}",
        "\u{202e}alice",
        "\u{2067}alice",
        "alice\u{3000}",
        "a\u{335}\u{335}\u{335}\u{335}\u{335}",
    ] {
        let reply = grab(&server, "127.0.0.1", name, "").await;
        assert!(reply.contains("bad-name"), "{name:?}: {reply}");
        let ended = peer(server.url(), &["login", name]).run().await;
        assert_eq!(ended.code, Some(2), "{name:?}: {}", ended.said);
    }
    for name in ["Zoë", "山田", "Иван", "a b"] {
        let reply = grab(&server, "127.0.0.1", name, "").await;
        assert!(reply.contains("true"), "{name}: {reply}");
    }
}

#[tokio::test]
async fn where_names_have_no_tokens_allow_is_said_to_mean_anybody() {
    let server = Server::start().await;
    let mut alice = login(server.url(), "alice", &["--auto-answer", "--allow", "bob"]).await;
    alice.type_line("quit");
    let said = alice.wait(PATIENCE).await.said;
    let warnings: Vec<_> =
        said.lines().filter(|line| line.contains("anybody can log in as 'bob'")).collect();
    assert!(warnings.len() == 1 && warnings[0].contains("no tokens"), "{said}");
    let mut carol = login(server.url(), "carol", &["--auto-answer"]).await;
    carol.type_line("quit");
    let said = carol.wait(PATIENCE).await.said;
    assert!(!said.contains("warning"), "a test picture is no secret: {said}");
}

/// Whether a datagram has come to this port of ours.
fn was_asked(server: &UdpSocket) -> bool {
    server.set_nonblocking(true).expect("a socket");
    server.recv(&mut [0; 1500]).is_ok()
}

#[tokio::test]
async fn what_a_server_hands_out_does_not_overrule_the_user() {
    let _alone = one_at_a_time().await;
    for (flags, asks_stun, asks_turn) in [
        // A STUN server of the user's own lets those of the server be asked, too.
        (&["--stun", "stun:OWN"][..], true, true),
        (&["--stun", "none"], false, true),
        (&["--stun", "stun:OWN", "--ice-policy", "relay"], false, true),
    ] {
        let [own, stun, turn] =
            [(); 3].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a free port"));
        let at = |socket: &UdpSocket| socket.local_addr().expect("a port").to_string();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "north").expect("a file");
        let (stun_url, turn_url) = (format!("stun:{}", at(&stun)), format!("turn:{}", at(&turn)));
        let words =
            ["--listen", "127.0.0.1:0", "--ice-server", &stun_url, "--ice-server", &turn_url];
        let secret = ["--turn-secret-file", secret.to_str().expect("a plain path")];
        let server = Server::start_with(&[&words[..], &secret].concat()).await;
        let mut bob = login(server.url(), "bob", &["--auto-answer", "--bind", "127.0.0.1"]).await;
        let flags: Vec<_> = flags.iter().map(|flag| flag.replace("OWN", &at(&own))).collect();
        // Whoever is asked does not answer, so that with relays alone there is no path.
        let words = ["call", "bob", "--as", "alice", "--duration", "3s", "--bind", "127.0.0.1"];
        let mut alice = PeerBuilder::new(words)
            .args(["--json", "--video", "test", "--audio", "tone", "--view", "none"])
            .args(["--speaker", "none", "--server", server.url()])
            .args(&flags)
            .start();
        let is_relayed = flags.iter().any(|flag| flag == "relay");
        if is_relayed {
            alice.await_event("accepted", PATIENCE).await;
            until("the relay is asked", || was_asked(&turn)).await;
        } else {
            alice.await_event("ended", PATIENCE).await;
            bob.await_event("ended", PATIENCE).await;
            assert_eq!(was_asked(&turn), asks_turn, "{flags:?}\n{}", alice.said());
        }
        assert_eq!(was_asked(&stun), asks_stun, "{flags:?}\n{}", alice.said());
        assert!(!is_relayed || !was_asked(&own), "where only relays may be used nobody is asked");
    }
}

#[tokio::test]
async fn secrets_that_others_may_read_are_warned_about() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str, text: &str, mode| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a writable folder");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("our file");
        path.to_str().expect("a plain path").to_owned()
    };
    let pair = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
    let certificate = params.self_signed(&pair).expect("a certificate").pem();
    // The certificate is for everybody.
    let certificate = file("certificate", &certificate, 0o644);
    for (mode, warned) in [(0o644, true), (0o604, true), (0o640, false), (0o600, false)] {
        let (users, secret) = (file("users", "", mode), file("secret", "north", mode));
        let key = file("key", &pair.serialize_pem(), mode);
        let words = ["--listen", "127.0.0.1:0", "--users", &users, "--turn-secret-file", &secret];
        let tls = ["--ice-server", "turn:t", "--tls-cert", &certificate, "--tls-key", &key];
        let server = Server::start_with(&[&words[..], &tls].concat()).await;
        let said = server.stop().await;
        assert!(!said.contains(&format!("chmod o= {certificate}")), "{said}");
        for path in [users, secret, key] {
            let advice = format!("run chmod o= {path}");
            assert_eq!(said.contains(&advice), warned, "{mode:o}: {said}");
        }
    }
}
