//! Microphones and speakers of this machine, whoever brings their sound.
//!
//! Owns how a device is found by name and the words for what goes wrong. A sound
//! server is asked first (`pulse.rs`), and where none answers the cards (`card.rs`).

use std::time::Duration;

pub use super::backend::{AudioDevice, Kind};
use super::backend::{Failure, Stream, Why};
use super::card::Cards;
#[cfg(target_os = "linux")]
use super::pulse::Server;
use crate::media::device::DeviceError;

/// Who brings the sound.
enum Host {
    #[cfg(target_os = "linux")]
    Server(Server),
    Cards(Cards),
}

impl Host {
    fn reach() -> Self {
        #[cfg(target_os = "linux")]
        match Server::reach() {
            Ok(server) => return Self::Server(server),
            Err(error) => tracing::debug!(error.reason, "no sound server"),
        }
        Self::Cards(Cards::reach())
    }

    fn devices(&mut self, kind: Kind) -> Result<Vec<AudioDevice>, Failure> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Server(server) => server.devices(kind),
            Self::Cards(cards) => cards.devices(kind),
        }
    }

    /// Name and id of each device.
    fn names(&mut self, kind: Kind) -> Result<Vec<(String, String)>, Failure> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Server(server) => {
                let all = server.devices(kind)?.into_iter();
                Ok(all.map(|device| (device.name, device.id)).collect())
            }
            Self::Cards(cards) => cards.names(kind),
        }
    }

    /// The name of the device that is used when none is named; its id too where it has to be.
    fn default(&mut self, kind: Kind) -> Result<Option<(String, Option<String>)>, Failure> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Server(server) => server.default(kind),
            Self::Cards(cards) => Ok(cards.default(kind).map(|name| (name, None))),
        }
    }

    /// Finds out whether the device of that id answers.
    fn check(&self, kind: Kind, id: Option<&str>) -> Result<(), Failure> {
        match self {
            // It has just described it.
            #[cfg(target_os = "linux")]
            Self::Server(_) => Ok(()),
            Self::Cards(cards) => cards.check(kind, id),
        }
    }
}

/// All devices of a kind.
///
/// # Errors
/// When neither a sound server nor a sound card answers.
pub fn list(kind: Kind) -> Result<Vec<AudioDevice>, DeviceError> {
    quietly(|| Host::reach().devices(kind).map_err(|error| failed(kind, None, error)))
}

/// Finds out whether a device is there and answers.
///
/// # Errors
/// When there is none of that name, or it does not say how it can be used.
pub fn check(kind: Kind, name: Option<&str>) -> Result<(), DeviceError> {
    quietly(|| {
        let found = find(kind, name)?;
        let answer = found.host.check(kind, found.id.as_deref());
        answer.map_err(|error| failed(kind, name, error))
    })
}

/// An open device; sound flows until it is dropped.
pub struct Opened {
    // Held for its life only.
    _stream: Box<dyn Send>,
    /// What people call it.
    pub name: String,
    /// Hz.
    pub rate: u32,
    /// Channels that the callback sees: 1 of a microphone, 1 or more of a speaker.
    pub channels: usize,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("name", &self.name).field("rate", &self.rate).finish()
    }
}

impl Opened {
    fn new(name: String, stream: Stream) -> Self {
        let Stream { held, rate, channels } = stream;
        Self { _stream: held, name, rate, channels }
    }
}

/// Opens a microphone. `heard` gets mono samples and how old the first of them is; `broke` is told
/// when no more will come. Both run on a thread of the sound system and must not block.
///
/// # Errors
/// When there is none of that name, or it cannot be opened.
pub fn open_microphone(
    name: Option<&str>,
    heard: impl FnMut(&[f32], Duration) + Send + 'static,
    broke: impl FnMut(String) + Send + 'static,
) -> Result<Opened, DeviceError> {
    let kind = Kind::Microphone;
    quietly(|| {
        let Found { host, id, name: called } = find(kind, name)?;
        let stream = match host {
            #[cfg(target_os = "linux")]
            Host::Server(server) => server.record(id.as_deref(), heard, broke),
            Host::Cards(cards) => cards.record(id.as_deref(), heard, broke),
        };
        stream.map(|stream| Opened::new(called, stream)).map_err(|error| failed(kind, name, error))
    })
}

/// Opens a speaker. `fill` gets rate, channels and the room for interleaved samples, and is told in
/// how long the first of them is heard; `broke` is told when no more are wanted. Both run on a thread
/// of the sound system and must not block.
///
/// # Errors
/// When there is none of that name, or it cannot be opened.
pub fn open_speaker(
    name: Option<&str>,
    fill: impl FnMut(u32, usize, &mut [f32], Duration) + Send + 'static,
    broke: impl FnMut(String) + Send + 'static,
) -> Result<Opened, DeviceError> {
    let kind = Kind::Speaker;
    quietly(|| {
        let Found { host, id, name: called } = find(kind, name)?;
        let stream = match host {
            #[cfg(target_os = "linux")]
            Host::Server(server) => server.play(id.as_deref(), fill, broke),
            Host::Cards(cards) => cards.play(id.as_deref(), fill, broke),
        };
        stream.map(|stream| Opened::new(called, stream)).map_err(|error| failed(kind, name, error))
    })
}

/// A device, and who brings its sound.
struct Found {
    host: Host,
    /// None: the one that is used when none is named, whichever that becomes.
    id: Option<String>,
    /// What people call it.
    name: String,
}

fn find(kind: Kind, name: Option<&str>) -> Result<Found, DeviceError> {
    let mut host = Host::reach();
    let Some(name) = name else {
        let default = host.default(kind).map_err(|error| failed(kind, None, error))?;
        let (name, id) = default.ok_or_else(|| none_at_all(kind))?;
        return Ok(Found { host, id, name });
    };
    let mut names = host.names(kind).map_err(|error| failed(kind, Some(name), error))?;
    match best_match(&names, name) {
        Some(at) => {
            let (name, id) = names.swap_remove(at);
            Ok(Found { host, id: Some(id), name })
        }
        None => Err(DeviceError {
            device: format!("{} '{name}'", kind.as_str()),
            reason: "there is none of that name".to_owned(),
            hint: match names.is_empty() {
                true => format!("there is none at all; {}", kind.way_out()),
                false => {
                    let there: Vec<_> = names.iter().map(|(name, _)| format!("'{name}'")).collect();
                    format!("{} with one of {}", kind.way_to_name(), there.join(", "))
                }
            },
        }),
    }
}

/// The whole name or id, else the only one that holds the words, whatever their case.
fn best_match(names: &[(String, String)], wanted: &str) -> Option<usize> {
    let whole = names.iter().position(|(name, id)| name == wanted || id == wanted);
    let wanted = wanted.to_lowercase();
    whole.or_else(|| names.iter().position(|(name, _)| name.to_lowercase().contains(&wanted)))
}

fn none_at_all(kind: Kind) -> DeviceError {
    DeviceError {
        device: kind.as_str().to_owned(),
        reason: "there is none".to_owned(),
        hint: format!("plug one in, start PipeWire or PulseAudio, or {}", kind.way_out()),
    }
}

fn failed(kind: Kind, name: Option<&str>, Failure { why, reason }: Failure) -> DeviceError {
    let device = match name {
        Some(name) => format!("{} '{name}'", kind.as_str()),
        None => kind.as_str().to_owned(),
    };
    tracing::debug!(device, reason, "a sound device does not open");
    match why {
        Why::Busy => DeviceError {
            device,
            reason: "another program holds it".to_owned(),
            hint: format!("end that program, or {}", kind.way_out()),
        },
        Why::Forbidden => DeviceError {
            device,
            reason: "this user is not allowed to use it".to_owned(),
            hint: "add yourself to the group audio: sudo usermod -aG audio $USER".to_owned(),
        },
        Why::NoHost => DeviceError {
            device,
            reason: "there is no sound server and no sound card".to_owned(),
            hint: format!("start PipeWire or PulseAudio, or {}", kind.way_out()),
        },
        Why::Absent | Why::Other => DeviceError { device, reason, hint: kind.way_out().to_owned() },
    }
}

/// Runs with libasound's own error messages, which it would write to the terminal, caught and left.
fn quietly<T>(run: impl FnOnce() -> T) -> T {
    #[cfg(target_os = "linux")]
    let _caught = alsa::Output::local_error_handler();
    run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_whole_or_in_part() {
        let names: Vec<_> = [("Desk", "a"), ("USB Desk Mic", "b"), ("Webcam", "c")]
            .map(|(name, id)| (name.to_owned(), id.to_owned()))
            .into();
        for (wanted, at) in [("Desk", 0), ("b", 1), ("usb", 1), ("WEB", 2), ("desk", 0)] {
            assert_eq!(best_match(&names, wanted), Some(at), "{wanted}");
        }
        assert_eq!(best_match(&names, "hall"), None);
    }

    #[test]
    fn every_failure_says_what_to_do() {
        for why in [Why::Busy, Why::Other, Why::NoHost, Why::Forbidden] {
            for device in [Kind::Microphone, Kind::Speaker] {
                let failure = Failure { why, reason: "so it is".to_owned() };
                let error = failed(device, Some("desk"), failure).to_string();
                assert!(error.contains("'desk'") && error.contains("-"), "{error}");
            }
        }
    }
}
