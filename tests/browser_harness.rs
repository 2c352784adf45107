//! The browser tests' own ground: two bare pages call each other through the tutorial's
//! server, without any of our code. What fails here is no fault of `peer`.

use crate::support::bare_page::BarePage;
use crate::support::chromium::{Browser, FakeMedia};
use crate::support::server::tutorial;
use crate::support::{clips, one_at_a_time};

#[tokio::test(flavor = "multi_thread")]
async fn two_bare_pages_see_and_hear_each_other() {
    let _alone = one_at_a_time().await;
    let server = tutorial().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let clip = clips::as_fake_media(folder.path(), 2);
    let (alice, bob) = tokio::join!(
        BarePage::log_in_with(&server, "alice", clip),
        BarePage::log_in(&server, "bob")
    );
    alice.call("bob").await;
    for page in [&alice, &bob] {
        page.wait_for_status("in a call").await;
        let call = page.browser.wait_for_call("a second of picture and sound", |call| {
            call.inbound_video.frames_decoded >= 30 && call.inbound_audio.total_audio_energy > 0.0
        });
        let call = call.await;
        assert_eq!(call.connection_state, "connected");
        assert!(call.first_picture_ms.is_some_and(|ms| ms > 0.0), "{call:#?}");
        assert!(call.outbound_video.frames_encoded > 0, "{call:#?}");
        assert!(call.inbound_video.mime_type.starts_with("video/"), "{call:#?}");
        // A browser that finds itself on a busy machine sends smaller pictures of the same shape.
        let (width, height) = (call.inbound_video.frame_width, call.inbound_video.frame_height);
        assert!(width * 9 == height * 16 && width > 0, "{call:#?}");
    }
    alice.hang_up().await;
    alice.wait_for_status("left").await;
    bob.wait_for_status("left").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_given_once() {
    let _alone = one_at_a_time().await;
    let server = tutorial().await;
    let _alice = BarePage::log_in(&server, "alice").await;
    let other = BarePage::open(&server, "alice", FakeMedia::default()).await;
    other.wait_for_status("refused").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_shows_and_runs_what_it_is_given() {
    let _alone = one_at_a_time().await;
    let browser = Browser::start().await;
    browser.open("data:text/html,<p id=p>waiting</p><input id=i>").await;
    browser.fill("#i", "typed").await;
    assert_eq!(browser.evaluate("return document.getElementById('i').value").await, "typed");
    let later = "const wait = new Promise(done => setTimeout(done, 1)); await wait;
                 document.getElementById('p').textContent = 'done'; return 2";
    assert_eq!(browser.evaluate_async(later).await, 2);
    browser.wait_until("done", "return document.getElementById('p').textContent === 'done'").await;
    assert_eq!(browser.text("#p").await, "done");
    assert_eq!(browser.call().await.connection_state, "", "no call was made");
}
