//! Every device of this machine, with the very words that ask for it.
//!
//! Owns the order in which they are asked and the patience with them; what a
//! device is belongs to its source or sink.

use std::sync::mpsc::sync_channel;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::audio::device::{self, AudioDevice, Kind};
use super::device::DeviceError;
use super::source::{camera, screen};
use crate::system;

/// A sound server or a driver that hangs is given up after this.
const PATIENCE: Duration = Duration::from_secs(3);

/// What this machine has.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Devices {
    /// What can film.
    pub cameras: Listing<Camera>,
    /// What can be shown of our own.
    pub screens: Listing<Screen>,
    /// What can hear.
    pub microphones: Listing<Sound>,
    /// What can play.
    pub speakers: Listing<Sound>,
}

/// All devices of a kind, or why they cannot be known.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listing<T> {
    /// In their own order, without those that nobody can use.
    pub devices: Vec<T>,
    /// Why there are none: what is wrong, and what to do about it.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "in_words")]
    pub problem: Option<DeviceError>,
}

/// A camera.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Camera {
    /// What `--video` takes.
    pub video: String,
    /// What people call it.
    pub name: String,
    /// Whether it is used when none is named.
    pub default: bool,
    /// How it gives its pictures.
    pub formats: Vec<CameraMode>,
    /// Why its formats cannot be known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// One form of a camera's pictures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CameraMode {
    /// `NV12`, `YUYV`, `MJPEG` or `GREY`.
    pub pixels: String,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Pictures a second, the most.
    pub fps: u32,
}

/// A monitor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Screen {
    /// What `--video` takes.
    pub video: String,
    /// What the display calls it.
    pub name: String,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Whether it is meant when none is named.
    pub default: bool,
}

/// A microphone or a speaker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sound {
    /// What `--audio` takes; microphones only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio: Option<String>,
    /// What `--speaker` takes; speakers only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speaker: Option<String>,
    /// What people call it.
    pub name: String,
    /// Whether it is used when none is named.
    pub default: bool,
    /// Its own rate, Hz.
    pub sample_rate: u32,
    /// Its own channels.
    pub channels: u16,
}

/// Asks all at once, and no longer than three seconds. Blocks.
#[must_use]
pub fn list() -> Devices {
    let cameras = ask("cameras", || Ok(camera::list()));
    let screens = ask("screens", screen::list);
    let microphones = ask("microphones", || device::list(Kind::Microphone));
    let speakers = ask("speakers", || device::list(Kind::Speaker));
    Devices {
        cameras: listing(("camera", PLUG), cameras(), numbered_cameras),
        screens: listing(("screen", PLUG), screens(), numbered_screens),
        microphones: listing(("microphone", SERVER), microphones(), |all| {
            named(&all, Kind::Microphone)
        }),
        speakers: listing(("speaker", SERVER), speakers(), |all| named(&all, Kind::Speaker)),
    }
}

const PLUG: &str = "plug one in";
const SERVER: &str = "plug one in, or start PipeWire or PulseAudio";

/// Asks on a thread of its own; the answer is waited for when it is called.
fn ask<T: Send + 'static>(
    what: &'static str,
    list: impl FnOnce() -> Result<T, DeviceError> + Send + 'static,
) -> impl FnOnce() -> Result<T, DeviceError> {
    let (tell, told) = sync_channel(1);
    let thread = std::thread::Builder::new().name("peer-devices".into()).spawn(move || {
        // Nobody waits for what comes too late.
        let _ = tell.send(list());
    });
    move || {
        let silent = |reason: String| DeviceError {
            device: what.to_owned(),
            reason,
            hint: "restart the sound server, or unplug the device that hangs".to_owned(),
        };
        thread.map_err(|error| silent(format!("nobody can ask: {}", system::words(&error))))?;
        let none = || Err(silent(format!("no answer within {} s", PATIENCE.as_secs())));
        told.recv_timeout(PATIENCE).unwrap_or_else(|_| none())
    }
}

fn listing<T, D>(
    (kind, hint): (&str, &str),
    found: Result<T, DeviceError>,
    describe: impl FnOnce(T) -> Vec<D>,
) -> Listing<D> {
    let none = || DeviceError {
        device: kind.to_owned(),
        reason: "there is none".to_owned(),
        hint: hint.to_owned(),
    };
    match found.map(describe) {
        Ok(devices) => {
            let problem = devices.is_empty().then(none);
            Listing { devices, problem }
        }
        Err(error) => Listing { devices: Vec::new(), problem: Some(error) },
    }
}

fn in_words<S: Serializer>(problem: &Option<DeviceError>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&problem.iter().map(ToString::to_string).collect::<String>())
}

fn numbered_cameras(all: Vec<camera::CameraDevice>) -> Vec<Camera> {
    let described = all.into_iter().enumerate().map(|(at, camera)| {
        let (formats, problem) = match camera.formats {
            Ok(formats) => (formats, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let formats = formats.into_iter().map(|format| CameraMode {
            pixels: format.pixels.to_string(),
            width: format.width,
            height: format.height,
            fps: format.fps,
        });
        Camera {
            video: format!("camera:{}", camera.index),
            name: camera.name,
            default: at == 0,
            formats: formats.collect(),
            problem,
        }
    });
    described.collect()
}

fn numbered_screens(all: Vec<screen::Monitor>) -> Vec<Screen> {
    let described = all.into_iter().enumerate().map(|(at, monitor)| Screen {
        video: format!("screen:{at}"),
        name: monitor.name,
        width: monitor.size.width,
        height: monitor.size.height,
        default: at == 0,
    });
    described.collect()
}

/// By name where that is enough to tell it from others, else by what the sound system calls it.
fn named(all: &[AudioDevice], kind: Kind) -> Vec<Sound> {
    let word = |device: &AudioDevice| {
        let same = all.iter().filter(|other| other.name == device.name).count();
        let reserved = ["auto", "default", "none"].contains(&device.name.as_str());
        if same > 1 || reserved || device.name.is_empty() { &device.id } else { &device.name }
            .clone()
    };
    let described = all.iter().map(|device| {
        let (audio, speaker) = match kind {
            Kind::Microphone => (Some(format!("mic:{}", word(device))), None),
            Kind::Speaker => (None, Some(word(device))),
        };
        Sound {
            audio,
            speaker,
            name: device.name.clone(),
            default: device.is_default,
            sample_rate: device.rate,
            channels: device.channels,
        }
    });
    described.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str, id: &str) -> AudioDevice {
        let (name, id) = (name.to_owned(), id.to_owned());
        AudioDevice { name, id, is_default: false, rate: 48_000, channels: 2 }
    }

    #[test]
    fn a_word_means_one_device() {
        let all =
            [device("Desk", "a"), device("USB", "b"), device("USB", "c"), device("none", "d")];
        let words = |kind| named(&all, kind).into_iter().filter_map(|it| it.audio.or(it.speaker));
        assert_eq!(words(Kind::Speaker).collect::<Vec<_>>(), ["Desk", "b", "c", "d"]);
        assert_eq!(words(Kind::Microphone).next().as_deref(), Some("mic:Desk"));
    }

    #[test]
    fn what_is_wrong_is_said_in_place_of_devices() {
        let said = |listing: Listing<u8>| listing.problem.map(|problem| problem.to_string());
        let none = listing(("it", PLUG), Ok(Vec::new()), |all| all);
        assert_eq!(said(none).as_deref(), Some("it: there is none; plug one in"));
        let error =
            DeviceError { device: "it".into(), reason: "hangs".into(), hint: "wait".into() };
        let broken = listing(("it", PLUG), Err::<Vec<u8>, _>(error), |all| all);
        assert_eq!(said(broken).as_deref(), Some("it: hangs; wait"));
    }
}
