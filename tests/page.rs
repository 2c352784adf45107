//! The page that `peer serve` serves, in headless Chromium: two pages with each other, and a page
//! with `peer`.

use crate::support::chromium::Browser;
use crate::support::server::{Server, login};
use crate::support::{PATIENCE, one_at_a_time};

async fn log_in(server: &Server, name: &str) -> Browser {
    let browser = Browser::start().await;
    browser.open(server.page()).await;
    browser.fill("#name", name).await;
    browser.click("#login").await;
    wait_for_status(&browser, &format!("online as {name}")).await;
    browser
}

async fn wait_for_status(browser: &Browser, words: &str) {
    let script =
        format!("return document.getElementById('status').textContent.includes('{words}')");
    browser.wait_until(&format!("status '{words}'"), &script).await;
}

async fn call(browser: &Browser, name: &str) {
    browser.fill("#callee", name).await;
    browser.click("#call").await;
}

async fn wait_for_pictures(browser: &Browser) {
    browser
        .wait_for_call("pictures and sound", |call| {
            call.inbound_video.frames_decoded > 20 && call.inbound_audio.total_audio_energy > 0.0
        })
        .await;
    let shown = "const video = document.getElementById('remote');
                 return video.videoWidth > 0 && !video.paused";
    browser.wait_until("the remote picture is shown", shown).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_calls_peer_and_is_called_and_each_hangs_up() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let mut bob = login(server.url(), "bob", &["--auto-answer"]).await;
    let page = log_in(&server, "page").await;
    call(&page, "bob").await;
    wait_for_pictures(&page).await;
    page.click("#hangup").await;
    assert_eq!(bob.await_event("ended", PATIENCE).await["reason"], "remote-hangup");

    bob.type_line("call page");
    wait_for_status(&page, "ringing").await;
    page.click("#answer").await;
    wait_for_pictures(&page).await;
    bob.await_event("first-video-frame", PATIENCE).await;
    bob.type_line("hangup");
    wait_for_status(&page, "bob hung up").await;
    assert_eq!(bob.await_event("ended", PATIENCE).await["reason"], "hangup");

    bob.type_line("call page");
    wait_for_status(&page, "ringing").await;
    page.click("#reject").await;
    assert_eq!(bob.await_event("ended", PATIENCE).await["reason"], "rejected");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_what_went_wrong_and_the_call_outlives_the_server() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let mut bob = login(server.url(), "bob", &["--auto-answer"]).await;
    let page = log_in(&server, "page").await;
    call(&page, "nobody").await;
    wait_for_status(&page, "nobody is not online").await;
    call(&page, "bob").await;
    wait_for_pictures(&page).await;

    page.evaluate("document.getElementById('status').textContent = 'before the restart'").await;
    let server = server.restart().await;
    bob.await_event("logged-in", PATIENCE).await;
    wait_for_status(&page, "in a call with bob").await;
    let before = page.call().await.inbound_video.frames_decoded;
    page.wait_for_call("pictures go on", |call| call.inbound_video.frames_decoded > before + 30)
        .await;
    bob.type_line("hangup");
    wait_for_status(&page, "bob hung up").await;

    let taken = Browser::start().await;
    taken.open(server.page()).await;
    taken.fill("#name", "bob").await;
    taken.click("#login").await;
    wait_for_status(&taken, "is taken").await;
}
