//! A headless Chromium with a fake camera and microphone, driven through chromedriver.
//! Knows pages only by selectors and scripts; what a call looks like from inside the
//! browser it learns by standing between the page and `RTCPeerConnection`.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::common::capabilities::chromium::ChromiumLikeCapabilities;
use thirtyfour::{By, DesiredCapabilities, Key, WebDriver};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::PATIENCE;

/// What the browser films and hears.
#[derive(Default)]
pub(crate) struct FakeMedia {
    /// A y4m file in place of Chromium's own moving picture.
    pub(crate) video: Option<PathBuf>,
    /// A WAV file in place of Chromium's own beeps.
    pub(crate) audio: Option<PathBuf>,
}

/// One headless browser. Dropping it ends it.
pub(crate) struct Browser {
    driver: WebDriver,
    // In this order: the session ends before its driver does, the profile goes last.
    _chromedriver: Chromedriver,
    _profile: TempDir,
}

/// How a call looks to the page: W3C webrtc-stats of its last connection, and when what
/// happened. Everything that the browser does not report stays at zero.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PageCall {
    /// RTCPeerConnectionState.
    pub(crate) connection_state: String,
    /// Milliseconds from the offer (made or taken) to the first picture; absent until then.
    pub(crate) first_picture_ms: Option<f64>,
    /// The received picture.
    pub(crate) inbound_video: Inbound,
    /// The received sound.
    pub(crate) inbound_audio: Inbound,
    /// The sent picture.
    pub(crate) outbound_video: Outbound,
    /// The sent sound.
    pub(crate) outbound_audio: Outbound,
}

/// RTCInboundRtpStreamStats, as far as tests ask for it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)] // The names are the standard's.
pub(crate) struct Inbound {
    pub(crate) frames_received: u64,
    pub(crate) frames_decoded: u64,
    pub(crate) frames_dropped: u64,
    pub(crate) key_frames_decoded: u64,
    pub(crate) frame_width: u32,
    pub(crate) frame_height: u32,
    pub(crate) freeze_count: u64,
    pub(crate) total_freezes_duration: f64,
    pub(crate) packets_received: u64,
    pub(crate) packets_lost: i64,
    pub(crate) total_audio_energy: f64,
    pub(crate) total_samples_received: u64,
    pub(crate) concealed_samples: u64,
    /// Such as `video/H264`.
    pub(crate) mime_type: String,
}

/// RTCOutboundRtpStreamStats, as far as tests ask for it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)] // The names are the standard's.
pub(crate) struct Outbound {
    pub(crate) frames_encoded: u64,
    pub(crate) frames_sent: u64,
    pub(crate) key_frames_encoded: u64,
    pub(crate) packets_sent: u64,
    pub(crate) bytes_sent: u64,
    /// Such as `video/H264`.
    pub(crate) mime_type: String,
}

impl Browser {
    /// Starts one with Chromium's own fake camera (30 fps) and microphone.
    pub(crate) async fn start() -> Self {
        Self::start_with(FakeMedia::default()).await
    }

    /// Starts one that films and hears these files.
    pub(crate) async fn start_with(media: FakeMedia) -> Self {
        Self::launch(media, FAKE_DEVICES).await
    }

    /// Starts one with these flags besides the usual ones.
    pub(crate) async fn start_with_flags(media: FakeMedia, flags: &[String]) -> Self {
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        Self::launch(media, &[FAKE_DEVICES, &flags].concat()).await
    }

    /// Starts one whose user refuses whatever a page asks for.
    pub(crate) async fn start_refusing() -> Self {
        let flags = ["--use-fake-device-for-media-stream", "--deny-permission-prompts"];
        Self::launch(FakeMedia::default(), &flags).await
    }

    /// Starts one with four cameras. The first and the last are alike; those between have pixels that
    /// no call takes.
    pub(crate) async fn start_with_four_cameras() -> Self {
        let four = "--use-fake-device-for-media-stream=device-count=4,fps=30";
        Self::launch(FakeMedia::default(), &[four, GRANTED]).await
    }

    /// Starts one that finds this machine under a name, which makes no secure context of a page.
    pub(crate) async fn start_knowing_us_as(name: &str) -> Self {
        let rule = format!("--host-resolver-rules=MAP {name} 127.0.0.1");
        Self::launch(FakeMedia::default(), &[FAKE_DEVICES, &[&rule]].concat()).await
    }

    async fn launch(media: FakeMedia, devices: &[&str]) -> Self {
        let profile = tempfile::tempdir().expect("a temporary profile");
        let chromedriver = Chromedriver::start();
        let mut wanted = DesiredCapabilities::chrome();
        for flag in FLAGS.iter().chain(devices) {
            wanted.add_arg(flag).expect("a flag is a string");
        }
        let mut flag = |name: &str, path: PathBuf| {
            wanted.add_arg(&format!("--{name}={}", path.display())).expect("a flag is a string");
        };
        flag("user-data-dir", profile.path().to_owned());
        if let Some(path) = media.video {
            flag("use-file-for-fake-video-capture", path);
        }
        if let Some(path) = media.audio {
            flag("use-file-for-fake-audio-capture", path);
        }
        let driver = WebDriver::new(chromedriver.url(), wanted)
            .await
            .unwrap_or_else(|error| panic!("Chromium does not start ({error}); {HINT}"));
        driver.set_script_timeout(PATIENCE).await.expect("chromedriver takes a time limit");
        driver
            .cdp()
            .page()
            .add_script_to_evaluate_on_new_document(include_str!("observe_calls.js"))
            .await
            .expect("chromedriver speaks CDP");
        Self { driver, _chromedriver: chromedriver, _profile: profile }
    }

    /// Opens a page and waits until it is loaded.
    pub(crate) async fn open(&self, url: &str) {
        self.driver.goto(url).await.unwrap_or_else(|error| panic!("cannot open {url}: {error}"));
    }

    /// Writes into the input that this CSS selector finds.
    pub(crate) async fn fill(&self, selector: &str, text: &str) {
        let input = self.driver.find(By::Css(selector)).await.expect("the input is on the page");
        input.clear().await.expect("the input can be cleared");
        input.send_keys(text).await.expect("the input takes text");
    }

    /// Clicks what this CSS selector finds.
    pub(crate) async fn click(&self, selector: &str) {
        let button = self.driver.find(By::Css(selector)).await.expect("the button is on the page");
        button.click().await.unwrap_or_else(|error| panic!("cannot click {selector}: {error}"));
    }

    /// Presses a key where the focus is.
    pub(crate) async fn press(&self, key: Key) {
        self.type_text(&char::from(key).to_string()).await;
    }

    /// Types where the focus is.
    pub(crate) async fn type_text(&self, text: &str) {
        let typed = self.driver.action_chain().send_keys(text).perform().await;
        typed.unwrap_or_else(|error| panic!("cannot type {text}: {error}"));
    }

    /// The id of what has the focus.
    pub(crate) async fn focused(&self) -> String {
        let id = self.evaluate("return document.activeElement?.id ?? ''").await;
        id.as_str().unwrap_or_default().to_owned()
    }

    /// Shows pages as a screen of this size does, in light or dark.
    pub(crate) async fn look(&self, (width, height): (u32, u32), scheme: &str) {
        let mobile = width < 600;
        let cdp = self.driver.cdp();
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile,
        });
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        for (command, words) in
            [("Emulation.setDeviceMetricsOverride", size), ("Emulation.setEmulatedMedia", media)]
        {
            cdp.send_raw(command, words).await.unwrap_or_else(|error| panic!("{command}: {error}"));
        }
    }

    /// A picture of the page, if `PEER_SCREENSHOTS` names a folder for it.
    pub(crate) async fn screenshot(&self, name: &str) {
        let Some(folder) = std::env::var_os("PEER_SCREENSHOTS") else { return };
        let path = PathBuf::from(folder).join(format!("{name}.png"));
        self.driver.screenshot(&path).await.expect("a picture of the page");
    }

    /// What this page tried although its Content-Security-Policy forbids it.
    pub(crate) async fn violations(&self) -> Value {
        self.evaluate("return policyViolations").await
    }

    /// The text of what this CSS selector finds.
    pub(crate) async fn text(&self, selector: &str) -> String {
        let element = self.driver.find(By::Css(selector)).await.expect("it is on the page");
        element.text().await.expect("it has a text")
    }

    /// What the body of a JavaScript function returns.
    pub(crate) async fn evaluate(&self, script: &str) -> Value {
        let result = self.driver.execute(script, Vec::new()).await;
        result.unwrap_or_else(|error| panic!("{script}: {error}")).json().clone()
    }

    /// What the body of an async JavaScript function returns.
    pub(crate) async fn evaluate_async(&self, script: &str) -> Value {
        let script = format!(
            "const done = arguments[0];
             (async () => {{ {script} }})().then(done, error => done({{ thrown: `${{error}}` }}))"
        );
        let result = self.driver.execute_async(script.as_str(), Vec::new()).await;
        let value = result.unwrap_or_else(|error| panic!("{script}: {error}")).json().clone();
        assert!(value["thrown"].is_null(), "{script}: {}", value["thrown"]);
        value
    }

    /// Waits until the body of a JavaScript function returns something true.
    pub(crate) async fn wait_until(&self, what: &str, script: &str) {
        let true_at_last = async {
            let mut tick = poll();
            loop {
                tick.tick().await;
                if self.evaluate(&format!("return !!(() => {{ {script} }})()")).await == true {
                    return;
                }
            }
        };
        if timeout(PATIENCE, true_at_last).await.is_err() {
            panic!("the page never got there: {what}\n{}", self.describe().await);
        }
    }

    /// How the page's call goes.
    pub(crate) async fn call(&self) -> PageCall {
        let value = self.evaluate_async("return await observedCall()").await;
        serde_json::from_value(value).expect("observedCall() has this form")
    }

    /// Waits until the page's call is as wanted, and returns it.
    pub(crate) async fn wait_for_call(
        &self,
        what: &str,
        wanted: impl Fn(&PageCall) -> bool,
    ) -> PageCall {
        let wanted_at_last = async {
            let mut tick = poll();
            loop {
                tick.tick().await;
                let call = self.call().await;
                if wanted(&call) {
                    return call;
                }
            }
        };
        match timeout(PATIENCE, wanted_at_last).await {
            Ok(call) => call,
            Err(_) => panic!("the call never got there: {what}\n{}", self.describe().await),
        }
    }

    /// For the text of a failure.
    async fn describe(&self) -> String {
        let text = self.evaluate("return document.body.innerText").await;
        format!("page: {text}\ncall: {:#?}", self.call().await)
    }
}

/// Polls often enough that the last look is no more than a moment old.
fn poll() -> tokio::time::Interval {
    let mut tick = interval(Duration::from_millis(50));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}

const HINT: &str = "`make deps` installs Chromium and chromedriver";

const FLAGS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
];

/// Every page gets camera and microphone.
const GRANTED: &str = "--use-fake-ui-for-media-stream";
const FAKE_DEVICES: &[&str] = &["--use-fake-device-for-media-stream=fps=30", GRANTED];

/// A chromedriver on a port of its own choice. Dropping it ends it.
struct Chromedriver {
    child: Child,
    port: u16,
}

impl Chromedriver {
    fn start() -> Self {
        let mut child = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start chromedriver: {error}; {HINT}"));
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let port = read_port(&mut stdout);
        // It must never wait for somebody to read what it says.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        Self { child, port }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Chromedriver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// From "ChromeDriver was started successfully on port 40123."
fn read_port(stdout: &mut impl BufRead) -> u16 {
    let mut said = String::new();
    while stdout.read_line(&mut said).is_ok_and(|length| length > 0) {
        let number =
            said.rsplit_once("on port ").map(|(_, rest)| rest.trim().trim_end_matches('.'));
        if let Some(port) = number.and_then(|number| number.parse().ok()).filter(|port| *port != 0)
        {
            return port;
        }
    }
    panic!("chromedriver ended without saying its port; {HINT}\n{said}")
}
