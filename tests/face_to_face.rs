//! Camera, microphone, speaker and window on this side, Chromium on the other: both see and hear.

use crate::support::bare_page::BarePage;
use crate::support::camera::{Camera, are_quarters, draw_quarters};
use crate::support::chromium::FakeMedia;
use crate::support::display::Display;
use crate::support::hearing::likeness;
use crate::support::server::{Server, peer};
use crate::support::sound_server::{SoundServer, raw_samples, samples, speech};
use crate::support::{PATIENCE, clips, one_at_a_time};

/// How long they talk.
const SECONDS: usize = 10;

/// The middle of the quarters of a 16:9 picture in the window, clear of our own in the corner.
const IN_THE_WINDOW: [(i16, i16); 4] = [(240, 135), (720, 135), (240, 405), (600, 320)];

/// The colours in the middle of the four quarters of what the page sees.
const SEEN_BY_THE_PAGE: &str = "
    const video = document.querySelector('#remote');
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [64, 48];
    const context = canvas.getContext('2d');
    context.drawImage(video, 0, 0, 64, 48);
    return [[16, 12], [48, 12], [16, 36], [48, 36]]
        .map(([x, y]) => [...context.getImageData(x, y, 1, 1).data.slice(0, 3)]);";

#[tokio::test(flavor = "multi_thread")]
async fn with_every_device_against_a_browser() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let (sound, camera, display) =
        (SoundServer::start().await, Camera::new("MJPG"), Display::start());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let film = folder.path().join("quarters.y4m");
    draw_quarters((640, 360), 30, &["-pix_fmt", "yuv420p"], &film);
    let theirs = clips::as_fake_media(folder.path(), 10).audio;
    let media = FakeMedia { video: Some(film), audio: theirs.clone() };
    let page = BarePage::log_in_with(server.url(), "page", media).await;

    let ours = speech(folder.path(), 12);
    let _talker = sound.play_into_microphone(&ours);
    let played = folder.path().join("played.f32");
    let words = ["call", "page", "--as", "alice", "--video", "camera", "--audio", "mic"];
    let shown = ["--view", "window", "--speaker", "default"];
    let alice = peer(server.url(), &words).args(shown);
    let mut alice = display.with(sound.with(camera.with(alice))).start();
    alice.await_event("first-video-frame", PATIENCE).await;
    let recorder = sound.record_speaker(&played);
    let mut windows = Vec::new();
    for _ in 0..SECONDS {
        alice.next_event("stats", PATIENCE).await;
        windows.push(are_quarters(IN_THE_WINDOW.map(|at| display.colour(at))));
    }
    drop(recorder);
    let call = page.browser.call().await;
    let seen = page.browser.evaluate(SEEN_BY_THE_PAGE).await;
    let seen: [(u8, u8, u8); 4] = serde_json::from_value(seen).expect("four colours");
    alice.interrupt();
    let ended = alice.await_event("ended", PATIENCE).await;
    page.wait_for_status("left").await;

    let heard = likeness(&samples(&theirs.expect("a WAV file")), &raw_samples(&played));
    println!(
        "our speaker is like their speech {heard:.3}; the page decoded {} pictures and heard {:.3}; \
         the window was right {} of {SECONDS} times; {}",
        call.inbound_video.frames_decoded,
        call.inbound_audio.total_audio_energy,
        windows.iter().filter(|right| **right).count(),
        ended["summary"]["process"],
    );
    assert!(windows.last() == Some(&true), "{windows:?}");
    assert!(are_quarters(seen), "the page sees our camera: {seen:?}");
    // A browser makes its own sound louder and cleaner before it sends it.
    assert!(heard > 0.35, "{heard}");
    assert!(call.inbound_audio.total_audio_energy > 0.001, "{call:?}");
    assert!(call.inbound_video.frames_decoded > SECONDS as u64 * 10, "{call:?}");
}
