//! The page that `peer serve` serves, in a browser: its buttons and its words. Knows no server but by
//! its URL.

use super::chromium::Browser;

/// A browser on the page. Dropping it ends it.
pub(crate) struct Page {
    /// The browser that shows it.
    pub(crate) browser: Browser,
}

impl Page {
    /// Opens the page in a browser of its own and logs in.
    pub(crate) async fn log_in(url: &str, name: &str) -> Self {
        Self::log_in_with(Browser::start().await, url, name).await
    }

    /// Opens the page in this browser and logs in.
    pub(crate) async fn log_in_with(browser: Browser, url: &str, name: &str) -> Self {
        let page = Self::open(browser, url).await;
        page.ask_for(name).await;
        page.wait_for_status(&format!("Online as '{name}'")).await;
        page
    }

    /// Opens the page in this browser.
    pub(crate) async fn open(browser: Browser, url: &str) -> Self {
        browser.open(url).await;
        Self { browser }
    }

    /// Asks for a name; what the server says shows in the status.
    pub(crate) async fn ask_for(&self, name: &str) {
        self.browser.fill("#name", name).await;
        self.browser.click("#login").await;
    }

    /// Waits until the status has these words.
    pub(crate) async fn wait_for_status(&self, words: &str) {
        let script =
            format!("return document.getElementById('status').textContent.includes({words:?})");
        self.browser.wait_until(&format!("status '{words}'"), &script).await;
    }

    /// Waits until the notice has these words.
    pub(crate) async fn wait_for_notice(&self, words: &str) {
        let script = format!(
            "const notice = document.getElementById('notice');
             return notice.checkVisibility() && notice.textContent.includes({words:?})"
        );
        self.browser.wait_until(&format!("notice '{words}'"), &script).await;
    }

    /// Waits until the view has changed to this: welcome, home or call.
    pub(crate) async fn wait_for_view(&self, view: &str) {
        let script = format!("return document.body.dataset.view === '{view}'");
        self.browser.wait_until(&format!("view {view}"), &script).await;
    }

    /// Waits until this element has the focus.
    pub(crate) async fn wait_for_focus(&self, id: &str) {
        let script = format!("return document.activeElement?.id === '{id}'");
        self.browser.wait_until(&format!("focus on {id}"), &script).await;
    }

    /// Calls somebody by the form.
    pub(crate) async fn call(&self, name: &str) {
        self.browser.fill("#callee", name).await;
        self.browser.click("#call").await;
    }

    /// Waits until the other side is seen and heard.
    pub(crate) async fn wait_for_pictures(&self) {
        self.browser
            .wait_for_call("pictures and sound", |call| {
                call.inbound_video.frames_decoded > 20
                    && call.inbound_audio.total_audio_energy > 0.0
            })
            .await;
        let shown = "const video = document.getElementById('remote');
                     return video.videoWidth > 0 && !video.paused";
        self.browser.wait_until("the remote picture is shown", shown).await;
    }

    /// The entries of the list of calls, newest first.
    pub(crate) async fn history(&self) -> Vec<String> {
        let script = "return [...document.querySelectorAll('#history li .who')]
                          .map((entry) => entry.textContent)";
        serde_json::from_value(self.browser.evaluate(script).await).expect("texts")
    }
}
