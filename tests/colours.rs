//! Colours from end to end: patches of known red, green and blue, from files, cameras and the test
//! picture into Chromium's canvas, and from Chromium's canvas into window, terminal and snapshot. All
//! stand within three of 255 of what was meant.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::support::camera::Camera;
use crate::support::chromium::{Browser, FakeMedia};
use crate::support::display::Display;
use crate::support::page::Page;
use crate::support::process::Peer;
use crate::support::server::{Server, login, peer};
use crate::support::terminal::Terminal;
use crate::support::{PATIENCE, one_at_a_time};

type Rgb = [u8; 3];

/// Four in a row, two rows: dark, light, and colours of every kind.
const PATCHES: [Rgb; 8] = [
    [30, 30, 30],
    [225, 225, 225],
    [200, 60, 60],
    [60, 180, 80],
    [50, 70, 190],
    [210, 190, 60],
    [70, 180, 190],
    [180, 70, 170],
];
const SIZE: (usize, usize) = (640, 360);

/// So far may a channel be from what was meant.
const NEAR: u8 = 3;

/// The largest difference of a channel; all there is where something is missing.
fn apart(found: &[Rgb], meant: &[Rgb]) -> u8 {
    if found.len() != meant.len() {
        return u8::MAX;
    }
    let pairs = found.as_flattened().iter().zip(meant.as_flattened());
    pairs.map(|(found, meant)| found.abs_diff(*meant)).max().unwrap_or(u8::MAX)
}

fn are_near(found: &[Rgb], meant: &[Rgb]) -> bool {
    apart(found, meant) <= NEAR
}

/// Which numbers mean a colour: the shares of red and blue in luma, the number of the matrix
/// (ISO/IEC 23091-2), the range.
#[derive(Clone, Copy)]
struct Meaning {
    name: &'static str,
    shares: (f64, f64),
    matrix: u8,
    full: bool,
}

const BT601: Meaning = Meaning { name: "601", shares: (0.299, 0.114), matrix: 6, full: false };
const BT601_FULL: Meaning = Meaning { name: "601-full", full: true, ..BT601 };
const BT709: Meaning = Meaning { name: "709", shares: (0.2126, 0.0722), matrix: 1, full: false };
const BT709_FULL: Meaning = Meaning { name: "709-full", full: true, ..BT709 };

impl Meaning {
    /// ITU-R BT.601 section 2.5, BT.709 section 3.
    fn yuv(self, [r, g, b]: Rgb) -> [u8; 3] {
        let [r, g, b] = [r, g, b].map(|channel| f64::from(channel) / 255.0);
        let (red, blue) = self.shares;
        let y = red * r + (1.0 - red - blue) * g + blue * b;
        let (u, v) = ((b - y) / (2.0 * (1.0 - blue)), (r - y) / (2.0 * (1.0 - red)));
        let (luma, foot, chroma) =
            if self.full { (255.0, 0.0, 255.0) } else { (219.0, 16.0, 224.0) };
        [y * luma + foot, u * chroma + 128.0, v * chroma + 128.0].map(|sample| sample.round() as u8)
    }

    /// One picture of the patches, I420.
    fn picture(self) -> Vec<u8> {
        let (width, height) = SIZE;
        let mut picture = Vec::new();
        for (plane, by) in [(0, 1), (1, 2), (2, 2)] {
            for y in 0..height / by {
                picture.extend((0..width / by).map(|x| {
                    let at = x * by * 4 / width + 4 * (y * by * 2 / height);
                    self.yuv(PATCHES[at])[plane]
                }));
            }
        }
        picture
    }

    /// Half a second of it as y4m.
    fn y4m(self, folder: &Path) -> PathBuf {
        let range = if self.full { "FULL" } else { "LIMITED" };
        let mut film = format!("YUV4MPEG2 W640 H360 F30:1 Ip A1:1 C420jpeg XCOLORRANGE={range}\n")
            .into_bytes();
        for _ in 0..15 {
            film.extend(b"FRAME\n");
            film.extend(self.picture());
        }
        let path = folder.join(format!("{}.y4m", self.name));
        std::fs::write(&path, film).expect("a film");
        path
    }

    /// The same as H.264 whose parameter set says what it is.
    fn mp4(self, folder: &Path) -> PathBuf {
        let raw = folder.join("raw.yuv");
        std::fs::write(&raw, self.picture().repeat(15)).expect("pictures");
        let path = folder.join(format!("{}.mp4", self.name));
        let says = format!(
            "h264_metadata=video_full_range_flag={}:colour_primaries=1:transfer_characteristics=1:\
             matrix_coefficients={}",
            u8::from(self.full),
            self.matrix
        );
        ffmpeg(
            &["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", "640x360", "-r", "30", "-i"],
            &raw,
            &["-c:v", "libx264", "-qp", "4", "-bsf:v", &says],
            &path,
        );
        path
    }

    /// The pictures of a camera of this form, whose driver says what they are.
    fn camera(self, form: &'static str, folder: &Path) -> Camera {
        let raw = folder.join("raw.yuv");
        std::fs::write(&raw, self.picture().repeat(2)).expect("pictures");
        let to = folder.join(form);
        let pixels = match form {
            "MJPG" => ["-f", "mjpeg", "-q:v", "1", "-pix_fmt", "yuvj420p"],
            "NV12" => ["-f", "rawvideo", "-bsf:v", "null", "-pix_fmt", "nv12"],
            _ => ["-f", "rawvideo", "-bsf:v", "null", "-pix_fmt", "yuyv422"],
        };
        // The samples go as they are, whatever they mean.
        let from = if form == "MJPG" { "yuvj420p" } else { "yuv420p" };
        let read = ["-f", "rawvideo", "-pix_fmt", from, "-s", "640x360", "-r", "30", "-i"];
        ffmpeg(&read, &raw, &pixels, &to);
        // linux/videodev2.h: colorspace REC709 is 3, SRGB 8; quantization full 1, limited 2.
        let space = if self.matrix == 1 { 3 } else { 8 };
        let range = if self.full { 1 } else { 2 };
        Camera::of_pictures(form, (640, 360), &to).says(space, range)
    }
}

fn ffmpeg(before: &[&str], from: &Path, after: &[&str], to: &Path) {
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y"])
        .args(before)
        .arg(from)
        .args(after)
        .arg(to)
        .output()
        .expect("ffmpeg; `make deps` installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Reads the middles of the patches of a video element through a canvas.
fn reading(id: &str) -> String {
    format!(
        "const video = document.getElementById('{id}');
         const [width, height] = [video.videoWidth, video.videoHeight];
         if (!width) return [];
         const canvas = new OffscreenCanvas(width, height);
         const context = canvas.getContext('2d', {{ willReadFrequently: true }});
         context.drawImage(video, 0, 0);
         const points = [];
         for (const y of [0.25, 0.75]) for (const x of [1, 3, 5, 7])
           points.push([...context.getImageData(width * x / 8, height * y, 1, 1).data].slice(0, 3));
         return points"
    )
}

async fn read(browser: &Browser, id: &str) -> Vec<Rgb> {
    serde_json::from_value(browser.evaluate(&reading(id)).await).unwrap_or_default()
}

/// Calls a login and waits until its picture stands right in the page's canvas; what it was at last.
async fn seen_in_page(page: &Page, name: &str, meant: &[Rgb]) -> Result<(), Vec<Rgb>> {
    page.call(name).await;
    page.wait_for_pictures().await;
    let mut last = Vec::new();
    // Pictures become better while they stand still.
    let mut decoded = 0;
    while decoded < 240 {
        decoded = page.browser.call().await.inbound_video.frames_decoded;
        last = read(&page.browser, "remote").await;
        if are_near(&last, meant) {
            break;
        }
    }
    page.browser.click("#hangup").await;
    page.wait_for_status("You hung up").await;
    println!("{name}: {} from what was meant, {last:?}", apart(&last, meant));
    if are_near(&last, meant) { Ok(()) } else { Err(last) }
}

#[tokio::test(flavor = "multi_thread")]
async fn patches_of_every_kind_stand_right_in_chromium() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let page = Page::log_in(server.page(), "page").await;
    let mut wrong = Vec::new();
    let mut films = [BT601, BT601_FULL].map(|kind| (kind, kind.y4m(folder.path()))).to_vec();
    let kinds = [BT601, BT601_FULL, BT709, BT709_FULL];
    films.extend(kinds.map(|kind| (kind, kind.mp4(folder.path()))));
    for (at, (kind, film)) in films.iter().enumerate() {
        let name = format!("file-{at}-{}", kind.name);
        let words = ["--auto-answer", "--audio", "tone", "--video", film.to_str().expect("plain")];
        let _login = login(server.url(), &name, &words).await;
        let seen = seen_in_page(&page, &name, &PATCHES).await;
        wrong.extend(seen.err().map(|found| (film.display().to_string(), found)));
    }
    for (kind, form) in [
        (BT601, "YUYV"),
        (BT601, "NV12"),
        (BT601_FULL, "MJPG"),
        (BT709, "YUYV"),
        (BT709_FULL, "NV12"),
        (BT601_FULL, "YUYV"),
    ] {
        let camera = kind.camera(form, folder.path());
        let name = format!("camera-{form}-{}", kind.name);
        let words = ["login", &name, "--auto-answer", "--video", "camera", "--size", "640x360"];
        let mut login = camera.with(peer(server.url(), &words)).with_input().start();
        login.await_event("logged-in", PATIENCE).await;
        let seen = seen_in_page(&page, &name, &PATCHES).await;
        wrong.extend(seen.err().map(|found| (name, found)));
    }
    assert!(wrong.is_empty(), "meant {PATCHES:?}\n{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bars_of_the_test_picture_are_those_of_75_percent() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let _bob = login(server.url(), "bob", &["--auto-answer"]).await;
    let page = Page::log_in(server.page(), "page").await;
    page.call("bob").await;
    page.wait_for_pictures().await;
    // Three quarters of white, yellow, cyan, green, magenta, red, blue; all of white wanders over it.
    let right = format!(
        "const video = document.getElementById('remote');
         const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
         const context = canvas.getContext('2d', {{ willReadFrequently: true }});
         context.drawImage(video, 0, 0);
         const meant = [7, 6, 3, 2, 5, 4, 1].map((on) => [4, 2, 1].map((bit) => on & bit ? 191 : 0));
         window.seen ??= new Set();
         meant.forEach((colour, at) => {{
           const x = video.videoWidth * (at + 0.5) / 7;
           const found = context.getImageData(x, 20, 1, 1).data;
           if (colour.every((c, i) => Math.abs(c - found[i]) <= {NEAR})) seen.add(at);
           (window.found ??= [])[at] = [...found];
         }});
         return seen.size === 7"
    );
    page.browser.wait_until("seven bars", &right).await;
}

/// What a page films: the patches on a canvas.
const FILM_PATCHES: &str = "
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [640, 360];
    const context = canvas.getContext('2d');
    const draw = () => patches.forEach(([r, g, b], at) => {
      context.fillStyle = `rgb(${r} ${g} ${b})`;
      context.fillRect(at % 4 * 160, Math.floor(at / 4) * 180, 160, 180);
    });
    draw();
    setInterval(draw, 33);
    const media = navigator.mediaDevices;
    const real = media.getUserMedia.bind(media);
    media.getUserMedia = async (wanted) => {
      const stream = await real(wanted);
      if (!wanted.video) return stream;
      const film = canvas.captureStream(30);
      return new MediaStream([...stream.getAudioTracks(), ...film.getVideoTracks()]);
    };
    return true";

/// A page that films the patches, on a canvas or by a camera, and what it means by them.
async fn filming(server: &Server, by: &str, folder: &Path) -> (Page, Vec<Rgb>) {
    if by == "camera" {
        let video = Some(BT601.y4m(folder));
        let browser = Browser::start_with(FakeMedia { video, audio: None }).await;
        return (Page::log_in_with(browser, server.page(), "page").await, Vec::new());
    }
    let page = Page::open(Browser::start().await, server.page()).await;
    let script = format!("const patches = {}; {FILM_PATCHES}", json!(PATCHES));
    page.browser.evaluate(&script).await;
    page.ask_for("page").await;
    page.wait_for_status("Online as 'page'").await;
    (page, PATCHES.to_vec())
}

/// Calls, and says what the page itself shows of what it sends, where nobody else knows it.
async fn meant_by(page: &Page, known: Vec<Rgb>) -> Vec<Rgb> {
    page.call("bob").await;
    page.wait_for_pictures().await;
    let meant = if known.is_empty() { read(&page.browser, "local").await } else { known };
    assert_eq!(meant.len(), 8);
    // Its own picture may be mirrored by style, never in its samples.
    meant
}

/// Looks once a second, when numbers come.
async fn until_near(peer: &mut Peer, what: &str, meant: &[Rgb], look: impl Fn() -> Vec<Rgb>) {
    let mut found = Vec::new();
    for _ in 0..20 {
        peer.next_event("stats", PATIENCE).await;
        found = look();
        if are_near(&found, meant) {
            println!("{what}: {} from what was meant, {found:?}", apart(&found, meant));
            return;
        }
    }
    panic!("{what}: meant {meant:?}\nfound {found:?}");
}

/// The middles of the patches in a picture of this size at the upper left.
fn middles(width: usize, height: usize) -> Vec<(usize, usize)> {
    let row = |y: usize| [1, 3, 5, 7].map(|x| (width * x / 8, y));
    [row(height / 4), row(height * 3 / 4)].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn patches_of_chromium_stand_right_in_window_and_snapshot() {
    let _alone = one_at_a_time().await;
    for by in ["canvas", "camera"] {
        let (server, display) = (Server::start().await, Display::start());
        let folder = tempfile::tempdir().expect("a temporary folder");
        let words = ["login", "bob", "--auto-answer", "--view", "window"];
        let mut bob = display.with(peer(server.url(), &words)).with_input().start();
        bob.await_event("logged-in", PATIENCE).await;
        let (page, known) = filming(&server, by, folder.path()).await;
        let meant = meant_by(&page, known).await;
        let points = middles(960, 540);
        // Our own small picture covers the last.
        let look = || {
            let at = |(x, y): &(usize, usize)| {
                let (r, g, b) = display.colour((*x as i16, *y as i16));
                [r, g, b]
            };
            points[..7].iter().map(at).collect::<Vec<_>>()
        };
        until_near(&mut bob, &format!("{by}, window"), &meant[..7], look).await;
        display.press('s');
        let home = bob.home().to_owned();
        let saved = || crate::window::snapshot(&home);
        while saved().is_none() {
            bob.next_event("stats", PATIENCE).await;
        }
        bob.next_event("stats", PATIENCE).await;
        let found = read_png(&saved().expect("a snapshot"));
        println!("{by}, snapshot: {} from what was meant, {found:?}", apart(&found, &meant));
        assert!(are_near(&found, &meant), "{by}, snapshot: meant {meant:?}\nfound {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn patches_of_chromium_stand_right_in_a_terminal() {
    let _alone = one_at_a_time().await;
    for by in ["canvas", "camera"] {
        let (server, terminal) = (Server::start().await, Terminal::new(24, 80));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let words = ["login", "bob", "--auto-answer", "--view", "terminal"];
        let mut bob = terminal.with(peer(server.url(), &words)).start();
        bob.await_event("logged-in", PATIENCE).await;
        let (page, known) = filming(&server, by, folder.path()).await;
        let meant = meant_by(&page, known).await;
        let look = || {
            let cell = |(x, y): (usize, usize)| terminal.colours(y as u16, x as u16);
            let colours = middles(70, 20).into_iter().filter_map(cell);
            colours.map(|[(r, g, b), _]| [r, g, b]).collect::<Vec<_>>()
        };
        until_near(&mut bob, &format!("{by}, terminal"), &meant, look).await;
    }
}

/// The middles of the patches of a PNG file.
fn read_png(path: &Path) -> Vec<Rgb> {
    let raw = path.with_extension("rgb");
    ffmpeg(&["-i"], path, &["-f", "rawvideo", "-pix_fmt", "rgb24"], &raw);
    let bytes = std::fs::read(&raw).expect("pixels");
    // A browser on a busy machine sends smaller pictures of the same shape.
    let area = bytes.len() / 3;
    let width = (area as f64 * 16.0 / 9.0).sqrt().round() as usize;
    let at = |(x, y): (usize, usize)| {
        let at = (y * width + x) * 3;
        [bytes[at], bytes[at + 1], bytes[at + 2]]
    };
    middles(width, area / width.max(1)).into_iter().map(at).collect()
}

/// RFC 7742 section 4: the orientation of pictures is offered and taken in the section of the
/// pictures, under a number of its own, and nowhere else.
#[tokio::test(flavor = "multi_thread")]
async fn turning_is_agreed_with_chromium_and_a_turned_film_stands_upright() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/media/turned-90.mp4");
    let words = ["--auto-answer", "--video", clip.to_str().expect("a plain path")];
    let mut bob = login(server.url(), "bob", &words).await;
    let page = Page::log_in(server.page(), "page").await;
    for caller in ["page", "bob"] {
        if caller == "page" {
            page.call("bob").await;
        } else {
            bob.type_line("call page");
            page.wait_for_status("'bob' is calling").await;
            page.browser.click("#answer").await;
        }
        page.wait_for_pictures().await;
        let agreed = "const pc = observedConnection();
            const lines = (sdp) => {
              const found = {};
              for (const section of sdp.split(/^m=/m).slice(1))
                found[section.split(' ')[0]] = section.split('\\r\\n')
                  .filter((line) => line.startsWith('a=extmap:') && line.includes('urn:3gpp:video-orientation'))
                  .map((line) => line.slice(9).split(/[ /]/)[0]);
              return found;
            };
            const [ours, theirs] = [pc.localDescription, pc.remoteDescription].map((d) => lines(d.sdp));
            return { ours, theirs }";
        let agreed = page.browser.evaluate(agreed).await;
        for side in ["ours", "theirs"] {
            assert_eq!(agreed[side]["audio"], json!([]), "{caller}: {agreed}");
            assert_eq!(
                agreed[side]["video"].as_array().map(Vec::len),
                Some(1),
                "{caller}: {agreed}"
            );
        }
        assert_eq!(agreed["ours"]["video"], agreed["theirs"]["video"], "{caller}: one number");
        let upright = "const video = document.getElementById('remote');
                       return video.videoHeight > video.videoWidth && video.videoWidth > 0";
        page.browser.wait_until("a picture that stands upright", upright).await;
        page.browser.click("#hangup").await;
        page.wait_for_status("You hung up").await;
    }
}
