//! `peer devices`: what there is, with the words that ask for it.

use std::time::SystemTime;

use clap::Args;
use serde::Serialize;

use super::exit::Failure;
use super::output::Output;
use crate::clock;
use crate::clock::rfc3339;
use crate::media::devices::{self, Camera, Devices, Listing, Screen, Sound};

/// Examples of `peer devices --help`.
pub const EXAMPLES: &str = "\
Examples:
  peer devices
  peer devices --json | jq -r '.cameras.devices[].video'";

/// What comes after the flags.
pub const NOTES: &str = "\
The first word of each line is what --video, --audio and --speaker take; * marks what is used when
none is named.";

/// Flags of `peer devices`.
#[derive(Debug, Args)]
pub struct DevicesCommand {}

/// The `devices` event.
#[derive(Serialize)]
struct DevicesEvent<'a> {
    event: &'static str,
    #[serde(serialize_with = "rfc3339")]
    time: SystemTime,
    #[serde(flatten)]
    devices: &'a Devices,
}

/// Lists what there is. That there is nothing is no failure.
///
/// # Errors
/// When the listing cannot be started or written.
pub async fn run(_: DevicesCommand, output: &Output) -> Result<(), Failure> {
    let listed = tokio::task::spawn_blocking(devices::list).await;
    let devices = listed.map_err(|error| Failure::Fault(error.into()))?;
    let event = DevicesEvent { event: "devices", time: clock::wall(), devices: &devices };
    Ok(output.answer(&lines(&devices), &event)?)
}

fn lines(devices: &Devices) -> Vec<String> {
    let mut lines = Vec::new();
    section(&mut lines, "cameras, for --video", &devices.cameras, camera);
    section(&mut lines, "screens, for --video", &devices.screens, screen);
    section(&mut lines, "microphones, for --audio", &devices.microphones, sound);
    section(&mut lines, "speakers, for --speaker", &devices.speakers, sound);
    lines
}

fn section<T>(
    lines: &mut Vec<String>,
    title: &str,
    listing: &Listing<T>,
    describe: impl Fn(&T) -> Vec<String>,
) {
    lines.push(title.to_owned());
    lines.extend(listing.devices.iter().flat_map(describe));
    let problem = listing.problem.iter();
    lines.extend(problem.map(|problem| format!("  {}; {}", problem.reason, problem.hint)));
}

fn line(default: bool, word: &str, about: &str) -> String {
    let mark = if default { '*' } else { ' ' };
    // A word with a blank in it must be quoted in a shell.
    let word = if word.contains(' ') { format!("'{word}'") } else { word.to_owned() };
    format!("{mark} {word:<24} {about}")
}

fn camera(camera: &Camera) -> Vec<String> {
    let mut lines = vec![line(camera.default, &camera.video, &camera.name)];
    let mut kinds: Vec<&str> = camera.formats.iter().map(|mode| mode.pixels.as_str()).collect();
    kinds.dedup();
    for kind in kinds {
        let of_kind = camera.formats.iter().filter(|mode| mode.pixels == kind);
        let mut sizes: Vec<_> = of_kind.map(|mode| (mode.width, mode.height, mode.fps)).collect();
        sizes.sort_unstable_by(|one, other| other.cmp(one));
        sizes.dedup_by_key(|size| (size.0, size.1));
        let sizes: Vec<_> =
            sizes.iter().map(|(width, height, fps)| format!("{width}x{height}@{fps}")).collect();
        lines.push(format!("    {kind} {}", sizes.join(", ")));
    }
    lines.extend(camera.problem.iter().map(|problem| format!("    {problem}")));
    lines
}

fn screen(screen: &Screen) -> Vec<String> {
    let about = format!("{} {}x{}", screen.name, screen.width, screen.height);
    vec![line(screen.default, &screen.video, &about)]
}

fn sound(sound: &Sound) -> Vec<String> {
    let word = sound.audio.as_ref().or(sound.speaker.as_ref());
    let word = word.unwrap_or(&sound.name);
    let channels = match sound.channels {
        1 => "mono".to_owned(),
        2 => "stereo".to_owned(),
        more => format!("{more} channels"),
    };
    let mut about = format!("{} Hz, {channels}", sound.sample_rate);
    if !word.ends_with(&sound.name) {
        about = format!("{}, {about}", sound.name);
    }
    vec![line(sound.default, word, &about)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::devices::CameraMode;

    #[test]
    fn every_device_stands_with_its_word() {
        let mode = |pixels: &str, width, height, fps| CameraMode {
            pixels: pixels.to_owned(),
            width,
            height,
            fps,
        };
        let webcam = Camera {
            video: "camera:0".into(),
            name: "Webcam".into(),
            default: true,
            formats: vec![
                mode("YUYV", 640, 480, 15),
                mode("YUYV", 640, 480, 30),
                mode("MJPEG", 1280, 720, 30),
            ],
            problem: None,
        };
        assert_eq!(
            camera(&webcam),
            ["* camera:0                 Webcam", "    YUYV 640x480@30", "    MJPEG 1280x720@30"]
        );
        let desk = Sound {
            audio: None,
            speaker: Some("Desk Speaker".into()),
            name: "Desk Speaker".into(),
            default: false,
            sample_rate: 44_100,
            channels: 2,
        };
        assert_eq!(sound(&desk), ["  'Desk Speaker'           44100 Hz, stereo"]);
    }
}
