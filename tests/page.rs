//! The page that `peer serve` serves, in headless Chromium, calls and is called: by name, by a link,
//! again and again, with other devices, and while the server is away.

use tokio::io::AsyncWriteExt;

use crate::support::chromium::Browser;
use crate::support::page::Page;
use crate::support::server::{Server, login};
use crate::support::sockets::{CLOSE, Client, frame};
use crate::support::{PATIENCE, one_at_a_time};

#[tokio::test(flavor = "multi_thread")]
async fn the_page_calls_peer_and_is_called_and_each_hangs_up() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let mut bob = login(server.url(), "bob", &["--auto-answer"]).await;
    let page = Page::log_in(server.page(), "page").await;
    page.call("bob").await;
    page.wait_for_pictures().await;
    page.browser.click("#hangup").await;
    assert_eq!(bob.await_event("ended", PATIENCE).await["reason"], "remote-hangup");

    bob.type_line("call page");
    page.wait_for_status("'bob' is calling").await;
    let title = "return document.title.includes(`'bob' is calling`)";
    page.browser.wait_until("the tab says it, too", title).await;
    page.browser.click("#answer").await;
    page.wait_for_pictures().await;
    bob.await_event("first-video-frame", PATIENCE).await;
    bob.type_line("hangup");
    page.wait_for_status("'bob' hung up").await;
    assert_eq!(bob.await_event("ended", PATIENCE).await["reason"], "hangup");

    bob.type_line("call page");
    page.wait_for_status("'bob' is calling").await;
    page.browser.click("#reject").await;
    assert_eq!(bob.await_event("ended", PATIENCE).await["reason"], "rejected");

    bob.type_line("call page");
    page.wait_for_status("'bob' is calling").await;
    bob.type_line("hangup");
    page.wait_for_status("You missed a call from 'bob'").await;

    let history = page.history().await;
    let starts = ["bobMissed", "bobRejected", "bobCalled you", "bobYou called"];
    assert_eq!(history.len(), starts.len(), "{history:?}");
    for (entry, start) in history.iter().zip(starts) {
        assert!(entry.starts_with(start) && entry.contains(':'), "{entry}: {start}, with a time");
    }
    let given_back = "return document.getElementById('local').srcObject === null";
    page.browser.wait_until("camera and microphone are given back", given_back).await;
    assert_eq!(page.browser.violations().await, serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_says_whom_to_call_and_one_press_calls() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let mut bob = login(server.url(), "bob", &["--auto-answer"]).await;
    let link = format!("{}#call=bob&as=page", server.page());
    let page = Page::open(Browser::start().await, &link).await;
    page.wait_for_focus("login").await;
    assert_eq!(page.browser.text("#login").await, "Call 'bob'");
    page.browser.press(thirtyfour::Key::Enter).await;
    page.wait_for_pictures().await;
    bob.await_event("first-video-frame", PATIENCE).await;
    page.browser.click("#hangup").await;

    // The name is known from now on, and the page says by which link others reach it.
    page.wait_for_status("You hung up").await;
    let link = page.browser.evaluate("return document.getElementById('link').value").await;
    assert_eq!(link, format!("{}#call=page", server.page()));
    page.browser.open("about:blank").await;
    page.browser.open(server.page()).await;
    let name = page.browser.evaluate("return document.getElementById('name').value").await;
    assert_eq!(name, "page");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pages_that_call_each_other_at_once_have_one_call() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let alice = Page::log_in(server.page(), "alice").await;
    let bob = Page::log_in(server.page(), "bob").await;
    tokio::join!(alice.call("bob"), bob.call("alice"));
    // If one was too slow for that, it rings there.
    let answers =
        "const [answer, stage] = ['answer', 'status'].map((id) => document.getElementById(id));
                   if (answer.checkVisibility() && !answer.disabled) answer.click();
                   return stage.textContent.startsWith('In a call')";
    for page in [&alice, &bob] {
        page.browser.wait_until("in the call", answers).await;
    }
    for page in [&alice, &bob] {
        page.wait_for_pictures().await;
    }
    alice.browser.click("#hangup").await;
    bob.wait_for_status("'alice' hung up").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_camera_is_used_in_a_running_call() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let _bob = login(server.url(), "bob", &["--auto-answer"]).await;
    let browser = Browser::start_with_four_cameras().await;
    let page = Page::log_in_with(browser, server.page(), "page").await;
    page.call("bob").await;
    page.wait_for_pictures().await;
    let camera = "const [track] = document.getElementById('local').srcObject.getVideoTracks();
                  return track.getSettings().deviceId";
    let before = page.browser.evaluate(camera).await;
    page.browser.click("#settings").await;
    let listed = "return document.querySelectorAll('#camera-choice option').length === 4
                      && document.querySelectorAll('#microphone-choice option').length > 0";
    page.browser.wait_until("the cameras are listed", listed).await;
    let choose = "const choice = document.getElementById('camera-choice');
                  choice.selectedIndex = choice.selectedIndex === 3 ? 0 : 3;
                  choice.dispatchEvent(new Event('change'));
                  return choice.value";
    let chosen = page.browser.evaluate(choose).await;
    assert_ne!(chosen, before);
    let in_use = format!(
        "const tracks = document.getElementById('local').srcObject.getVideoTracks();
         return tracks.length === 1 && tracks[0].getSettings().deviceId === {chosen}"
    );
    page.browser.wait_until("the other camera is in use", &in_use).await;
    let sent = page.browser.call().await.outbound_video.frames_encoded;
    page.browser
        .wait_for_call("the call goes on", |call| call.outbound_video.frames_encoded > sent + 30)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_what_went_wrong_and_the_call_outlives_the_server() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let mut bob = login(server.url(), "bob", &["--auto-answer"]).await;
    let page = Page::log_in(server.page(), "page").await;
    page.call("nobody").await;
    page.wait_for_status("'nobody' is not online").await;
    assert!(page.history().await[0].starts_with("nobodyNot online"), "{:?}", page.history().await);
    page.call("bob").await;
    page.wait_for_pictures().await;

    let address = server.url().trim_start_matches("ws://").to_owned();
    server.stop().await;
    page.wait_for_status("The server is away; the call goes on").await;
    let server = Server::listen(&address).await;
    bob.await_event("logged-in", PATIENCE).await;
    let back = "const status = document.getElementById('status').textContent;
                return status === `In a call with 'bob'`";
    page.browser.wait_until("logged in again, in the call", back).await;
    let before = page.browser.call().await.inbound_video.frames_decoded;
    page.browser
        .wait_for_call("pictures go on", |call| call.inbound_video.frames_decoded > before + 30)
        .await;
    bob.type_line("hangup");
    page.wait_for_status("'bob' hung up").await;

    page.browser.click("#logout").await;
    page.ask_for("bob").await;
    page.wait_for_status("The name 'bob' is taken").await;
    drop(server);
}

/// Each way in which a call can come to nothing has its own words in the list of calls.
#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_calls_says_what_became_of_each() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let mut bob = Client::login(server.address(), "bob").await;
    let page = Page::log_in(server.page(), "page").await;
    for (calls, (reason, words)) in [
        (Some("busy"), "Busy"),
        (Some("timeout"), "No answer"),
        (Some("rejected"), "Rejected"),
        (Some("media"), "Camera or sound failed"),
        (Some("failed"), "No connection"),
        (Some("impostor"), "Not verified"),
        (None, "Cancelled"),
    ]
    .into_iter()
    .enumerate()
    {
        page.call("bob").await;
        while !bob.hear().await.expect("an offer").contains(r#""type":"offer""#) {}
        match reason {
            Some(reason) => {
                let leave = format!(r#"{{"type":"leave","name":"page","reason":"{reason}"}}"#);
                bob.say(&leave).await;
            }
            None => page.browser.click("#hangup").await,
        }
        came_to(&page, calls + 1, words).await;
    }
    // A page that is closed says goodbye to the server.
    page.call("bob").await;
    while !bob.hear().await.expect("an offer").contains(r#""type":"offer""#) {}
    bob.stream.write_all(&frame(CLOSE, &1001_u16.to_be_bytes())).await.expect("the server reads");
    came_to(&page, 8, "Left").await;
    page.call("bob").await;
    came_to(&page, 9, "Not online").await;
}

/// Waits until so many calls are listed, and looks at the last.
async fn came_to(page: &Page, calls: usize, words: &str) {
    let script = format!("return document.querySelectorAll('#history li').length === {calls}");
    page.browser.wait_until(&format!("{words} is listed"), &script).await;
    let history = page.history().await;
    assert!(history[0].starts_with(&format!("bob{words}, ")), "{words}: {history:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_up_while_the_server_is_away_is_heard_and_not_rung() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let alice = Page::log_in(server.page(), "alice").await;
    let bob = Page::log_in(server.page(), "bob").await;
    alice.call("bob").await;
    bob.wait_for_status("'alice' is calling").await;
    bob.browser.click("#answer").await;
    for page in [&alice, &bob] {
        page.wait_for_pictures().await;
    }
    let address = server.address().to_owned();
    server.stop().await;
    for page in [&alice, &bob] {
        page.wait_for_status("The server is away; the call goes on").await;
    }
    alice.browser.click("#hangup").await;
    // No word can come; the connection itself says it.
    bob.wait_for_view("home").await;
    let server = Server::listen(&address).await;
    bob.wait_for_status("'alice' hung up").await;
    alice.wait_for_status("You hung up").await;
    // Whoever rings now is somebody else.
    let words = ["call", "alice", "--as", "carol", "--timeout", "1s"];
    let carol = crate::support::server::peer(server.url(), &words).run().await;
    assert_eq!(carol.code, Some(4), "{}", carol.said);
    let history = alice.history().await;
    assert!(history.len() == 2 && history[0].starts_with("carolMissed"), "{history:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_camera_and_a_long_name() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let long = "a-name-that-is-much-longer-than-there-is-room-for";
    let mut other = login(server.url(), long, &["--auto-answer"]).await;
    let page = Page::log_in(server.page(), "page").await;
    page.call(long).await;
    page.wait_for_pictures().await;
    page.wait_for_status("In a call with 'a-name-that-is-much-lon…'").await;
    let press = |key: &str| {
        format!(
            "document.activeElement.blur();
                 dispatchEvent(new KeyboardEvent('keydown', {{ key: '{key}', bubbles: true }}))"
        )
    };
    page.browser.evaluate(&press("v")).await;
    let off = "return document.getElementById('own-off').checkVisibility()
                   && document.getElementById('camera').textContent.trim() === 'Camera is off'";
    page.browser.wait_until("the camera is said to be off", off).await;
    page.browser.evaluate(&press("d")).await;
    page.browser.wait_until("numbers", "return document.getElementById('numbers').open").await;
    page.browser.evaluate(&press("?")).await;
    page.wait_for_notice("h or q hangs up").await;
    page.browser.evaluate(&press("m")).await;
    let muted = "return document.getElementById('mute').getAttribute('aria-pressed') === 'true'";
    page.browser.wait_until("silence", muted).await;
    // Only what a person presses may fill the screen.
    page.browser.evaluate("document.activeElement.blur()").await;
    page.browser.type_text("f").await;
    let filled = "return document.fullscreenElement?.id === 'stage'";
    page.browser.wait_until("the picture fills the screen", filled).await;
    page.browser.type_text("f").await;
    page.browser.wait_until("and no more", "return !document.fullscreenElement").await;
    let warned = "return !dispatchEvent(new Event('beforeunload', { cancelable: true }))";
    assert_eq!(page.browser.evaluate(warned).await, true, "leaving is asked about");
    page.browser.evaluate(&press("q")).await;
    assert_eq!(other.await_event("ended", PATIENCE).await["reason"], "remote-hangup");
    assert_eq!(page.browser.evaluate(warned).await, false, "and no more");
}
