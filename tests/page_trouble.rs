//! The page where something is missing: camera and microphone, a server that knows more than the
//! tutorial's, a token, a server at all.

use futures_util::{SinkExt, StreamExt};
use peer::clock;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async};

use crate::hostile_calls::{offer, restarted};
use crate::support::chromium::Browser;
use crate::support::page::Page;
use crate::support::server::{Server, login, tutorial};
use crate::support::{PATIENCE, one_at_a_time};

/// Lets the page on `server` log in on another one.
async fn on_another_server(page: &Page, url: &str) {
    let script = format!("document.getElementById('server').value = '{url}'");
    page.browser.evaluate(&script).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_permission_it_asks_whether_to_see_and_hear_only() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let mut bob = login(server.url(), "bob", &["--auto-answer"]).await;
    let browser = Browser::start_refusing().await;
    let page = Page::log_in_with(browser, server.page(), "page").await;
    page.call("bob").await;
    page.wait_for_notice("The browser does not let this page use the camera or microphone").await;
    page.wait_for_status("Not calling 'bob' yet").await;
    assert_eq!(page.browser.text("#go-without").await, "Call without camera");
    page.browser.click("#cancel").await;
    page.wait_for_view("home").await;

    page.call("bob").await;
    page.wait_for_notice("will not see or hear you").await;
    page.browser.click("#go-without").await;
    page.wait_for_pictures().await;
    bob.await_event("connected", PATIENCE).await;
    let call = page.browser.call().await;
    assert_eq!(call.outbound_video.packets_sent, 0, "{call:?}");
    let disabled = "return document.getElementById('mute').disabled
                        && document.getElementById('camera').disabled";
    assert_eq!(page.browser.evaluate(disabled).await, true);
    page.browser.click("#hangup").await;
    assert_eq!(bob.await_event("ended", PATIENCE).await["reason"], "remote-hangup");

    // Asked once, it is known; and who calls in is seen and heard as well.
    bob.type_line("call page");
    page.wait_for_status("'bob' is calling").await;
    page.browser.click("#answer").await;
    page.wait_for_pictures().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_secure_context_it_says_so_and_sees_and_hears() {
    let _alone = one_at_a_time().await;
    let words = ["--listen", "127.0.0.1:0", "--host", "peer.example"];
    let server = Server::start_with(&words).await;
    let _bob = login(server.url(), "bob", &["--auto-answer"]).await;
    let browser = Browser::start_knowing_us_as("peer.example").await;
    let url = server.page().replace("127.0.0.1", "peer.example");
    let page = Page::log_in_with(browser, &url, "page").await;
    page.wait_for_notice("This page was not opened securely").await;
    page.call("bob").await;
    page.wait_for_notice("You can still see and hear 'bob'").await;
    page.wait_for_focus("go-without").await;
    page.browser.click("#go-without").await;
    page.wait_for_pictures().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_tutorials_server_it_calls_and_is_called_and_kills_nobody() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let url = tutorial().await;
    let mut bob = login(&url, "bob", &["--auto-answer"]).await;
    let page = Page::open(Browser::start().await, server.page()).await;
    on_another_server(&page, &url).await;
    page.ask_for("page").await;
    page.wait_for_status("Online as 'page'").await;
    page.call("nobody").await;
    page.wait_for_status("Calling 'nobody'").await;
    page.browser.click("#hangup").await;
    page.wait_for_view("home").await;

    for _ in 0..2 {
        page.call("bob").await;
        page.wait_for_pictures().await;
        page.browser.click("#hangup").await;
        assert_eq!(bob.await_event("ended", PATIENCE).await["reason"], "remote-hangup");
    }
    bob.type_line("call page");
    page.wait_for_status("'bob' is calling").await;
    page.browser.click("#answer").await;
    page.wait_for_pictures().await;
    bob.type_line("hangup");
    page.wait_for_status("'bob' hung up").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_said() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let page = Page::open(Browser::start().await, server.page()).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = closed.local_addr().expect("a bound port");
    drop(closed);
    on_another_server(&page, &format!("ws://{address}")).await;
    page.ask_for("page").await;
    page.wait_for_status("The server does not answer").await;
    on_another_server(&page, server.url()).await;
    page.ask_for("page").await;
    page.wait_for_status("Online as 'page'").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_asks_for_a_token_keeps_none_and_fetches_new_ice_servers() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("ws://{}", listener.local_addr().expect("a bound port"));
    let page = Page::open(Browser::start().await, server.page()).await;
    on_another_server(&page, &url).await;

    page.ask_for("page").await;
    let (mut socket, asked) = next_login(&listener).await;
    assert_eq!(asked, json!({ "type": "login", "name": "page" }));
    refuse(&mut socket, "token-needed").await;
    page.wait_for_status("The server asks for the token of 'page'").await;
    page.wait_for_focus("token").await;

    page.browser.type_text("guessed\u{e007}").await;
    let (mut socket, asked) = next_login(&listener).await;
    assert_eq!(asked["token"], "guessed");
    refuse(&mut socket, "wrong-token").await;
    page.wait_for_status("not the token of this name").await;

    // What was wrong is selected, so that typing replaces it.
    page.browser.type_text("correct\u{e007}").await;
    let (mut socket, asked) = next_login(&listener).await;
    assert_eq!(asked["token"], "correct");
    let ice_servers = json!([{ "urls": "turn:127.0.0.1:9", "username": "u", "credential": "c" }]);
    let reply = json!({
        "type": "login", "success": true, "iceServers": ice_servers, "iceServersTtl": 2,
    });
    say(&mut socket, &reply).await;
    page.wait_for_status("Online as 'page'").await;

    // At half of the time it asks again, on the same connection.
    assert_eq!(next_message(&mut socket).await["token"], "correct");
    say(&mut socket, &reply).await;
    page.call("bob").await;
    while next_message(&mut socket).await["type"] != "offer" {}
    say(&mut socket, &json!({ "type": "error", "code": "unknown-user", "name": "bob" })).await;
    page.wait_for_status("'bob' is not online").await;

    let kept = "return JSON.stringify([{ ...localStorage }, { ...sessionStorage }])";
    let kept = page.browser.evaluate(kept).await.to_string();
    assert!(kept.contains("page") && !kept.contains("correct"), "{kept}");
}

/// On a server that bounds nothing, so that it is the page that keeps the pace.
#[tokio::test(flavor = "multi_thread")]
async fn who_calls_again_and_again_is_answered_at_a_pace() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("ws://{}", listener.local_addr().expect("a bound port"));
    let page = Page::open(Browser::start().await, server.page()).await;
    on_another_server(&page, &url).await;
    page.ask_for("page").await;
    let (mut socket, _) = next_login(&listener).await;
    say(&mut socket, &json!({ "type": "login", "success": true })).await;
    page.wait_for_status("Online as 'page'").await;
    let from = |name: &str, offer: String| {
        let mut offer: Value = serde_json::from_str(&offer).expect("JSON");
        offer["name"] = json!(name);
        offer
    };
    say(&mut socket, &from("pest", offer("page", 1, ""))).await;
    page.wait_for_status("'pest' is calling").await;
    page.browser.click("#answer").await;
    while next_message(&mut socket).await["type"] != "answer" {}
    let began = clock::now();
    for round in 2..62 {
        say(&mut socket, &from("pest", restarted("page", 1, round))).await;
        say(&mut socket, &from("another", offer("page", round, ""))).await;
    }
    let (mut answers, mut refusals) = (0, 0);
    loop {
        let message = next_message(&mut socket).await;
        match (message["type"].as_str(), message["name"].as_str()) {
            (Some("answer"), _) => answers += 1,
            (Some("leave"), Some("another")) => refusals += 1,
            (Some("leave"), _) => break,
            _ => {}
        }
        // Five were free, and the last of all has had its turn.
        if message["type"] == "answer" && answers == 6 {
            page.browser.click("#hangup").await;
        }
    }
    let seconds = (clock::now() - began).as_secs_f64();
    println!("{answers} answers and {refusals} refusals in {seconds:.1} s");
    assert!(f64::from(answers) <= 6.0 + seconds, "{answers} answers in {seconds} s");
    assert!(
        refusals > 0 && f64::from(refusals) <= 2.0 + 10.0 * seconds,
        "{refusals} in {seconds} s"
    );
    let history = page.history().await;
    assert!(history.len() == 2 && history[1].starts_with("anotherMissed"), "{history:?}");
}

type Socket = WebSocketStream<TcpStream>;

async fn next_login(listener: &TcpListener) -> (Socket, Value) {
    let (stream, _) = listener.accept().await.expect("a connection");
    let mut socket = accept_async(stream).await.expect("a WebSocket");
    let login = next_message(&mut socket).await;
    (socket, login)
}

async fn next_message(socket: &mut Socket) -> Value {
    let waiting = tokio::time::timeout(PATIENCE, socket.next()).await;
    let message = waiting.expect("a message in time").expect("it stays open").expect("a message");
    serde_json::from_slice(&message.into_data()).expect("JSON")
}

async fn say(socket: &mut Socket, message: &Value) {
    socket.send(Message::text(message.to_string())).await.expect("the page listens");
}

async fn refuse(socket: &mut Socket, code: &str) {
    let reply = json!({ "type": "login", "success": false, "code": code, "message": "no" });
    say(socket, &reply).await;
}
