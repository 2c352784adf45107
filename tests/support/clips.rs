//! The shipped clip in the forms that Chromium's fake devices read. Needs ffmpeg.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::chromium::FakeMedia;

/// The shipped picture as y4m and its sound as WAV, so many seconds of them, in `folder`.
pub(crate) fn as_fake_media(folder: &Path, seconds: u32) -> FakeMedia {
    FakeMedia {
        video: Some(convert("camera-360p.mp4", &folder.join("camera.y4m"), seconds)),
        audio: Some(convert("speech.opus", &folder.join("speech.wav"), seconds)),
    }
}

fn convert(clip: &str, to: &Path, seconds: u32) -> PathBuf {
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/clips").join(clip);
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y", "-i"])
        .arg(clip)
        .args(["-t", &seconds.to_string()])
        .arg(to)
        .output()
        .unwrap_or_else(|error| panic!("cannot run ffmpeg: {error}; `make deps` installs it"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    to.to_owned()
}
