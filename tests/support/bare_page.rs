//! Serves a page that knows only the tutorial's protocol, and works its buttons.
//! Knows the page's elements; knows no server but by its URL.

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::chromium::{Browser, FakeMedia};

/// A browser on the bare page. Dropping it ends both.
pub(crate) struct BarePage {
    /// The browser that shows it.
    pub(crate) browser: Browser,
    web_server: JoinHandle<()>,
}

impl BarePage {
    /// Opens the page and logs in.
    pub(crate) async fn log_in(server: &str, name: &str) -> Self {
        Self::log_in_with(server, name, FakeMedia::default()).await
    }

    /// Opens the page in a browser that films and hears these files, and logs in.
    pub(crate) async fn log_in_with(server: &str, name: &str, media: FakeMedia) -> Self {
        Self::log_in_sized(server, name, media, (640, 360)).await
    }

    /// As `log_in_with`, with a camera of this width and height.
    pub(crate) async fn log_in_sized(
        server: &str,
        name: &str,
        media: FakeMedia,
        size: (u32, u32),
    ) -> Self {
        let page = Self::open_asking(server, name, media, &as_query(size)).await;
        page.wait_for_status("online").await;
        page
    }

    /// As `log_in`, with an RSA certificate of so many bits: the largest that browsers make has 8192.
    pub(crate) async fn log_in_with_rsa(server: &str, name: &str, bits: u32) -> Self {
        let query = format!("{}&{bits}", as_query((640, 360)));
        let page = Self::open_asking(server, name, FakeMedia::default(), &query).await;
        page.wait_for_status("online").await;
        page
    }

    /// As `log_in`, in a browser with these flags besides the usual ones.
    pub(crate) async fn log_in_with_flags(server: &str, name: &str, flags: &[String]) -> Self {
        let browser = Browser::start_with_flags(FakeMedia::default(), flags).await;
        let page = Self::open_in(browser, server, name, &as_query((640, 360))).await;
        page.wait_for_status("online").await;
        page
    }

    /// Opens the page and asks for the name; what the server says shows in the status.
    pub(crate) async fn open(server: &str, name: &str, media: FakeMedia) -> Self {
        Self::open_asking(server, name, media, &as_query((640, 360))).await
    }

    async fn open_asking(server: &str, name: &str, media: FakeMedia, query: &str) -> Self {
        Self::open_in(Browser::start_with(media).await, server, name, query).await
    }

    async fn open_in(browser: Browser, server: &str, name: &str, query: &str) -> Self {
        // 127.0.0.1 is a secure context: cameras are allowed there without TLS.
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let url = format!("http://{address}/?{query}");
        let page = Router::new().route("/", get(|| async { Html(include_str!("bare_page.html")) }));
        let web_server = tokio::spawn(async move {
            axum::serve(listener, page).await.expect("serving does not end");
        });
        browser.open(&url).await;
        browser.fill("#server", server).await;
        browser.fill("#name", name).await;
        browser.click("#login").await;
        Self { browser, web_server }
    }

    /// Calls somebody; does not wait for what comes of it.
    pub(crate) async fn call(&self, name: &str) {
        self.browser.fill("#callee", name).await;
        self.browser.click("#call").await;
    }

    /// Hangs up.
    pub(crate) async fn hang_up(&self) {
        self.browser.click("#hangup").await;
    }

    /// Waits until the page says this: offline, refused, online, calling, in a call, left.
    pub(crate) async fn wait_for_status(&self, status: &str) {
        let script = format!("return document.getElementById('status').textContent === '{status}'");
        self.browser.wait_until(&format!("status '{status}'"), &script).await;
    }
}

/// A camera's size as the page takes it.
fn as_query((width, height): (u32, u32)) -> String {
    format!("{width}x{height}")
}

impl Drop for BarePage {
    fn drop(&mut self) {
        self.web_server.abort();
    }
}
