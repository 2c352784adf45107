//! Microphones and speakers of this machine, through `cpal`.
//!
//! The only file that names it. Owns how a device is found by name, in which
//! form its sound is asked for, and the words for what goes wrong.

use std::time::Duration;

use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{
    BufferSize, FromSample, SampleFormat, SizedSample, StreamConfig, SupportedStreamConfig,
};

use crate::media::device::DeviceError;
use crate::media::frame::SAMPLE_RATE;

/// Runs a generic function for the sample type that the device wants.
macro_rules! by_format {
    ($format:expr, $type:ident => $call:expr) => {
        match $format {
            SampleFormat::F32 => {
                type $type = f32;
                $call
            }
            SampleFormat::I16 => {
                type $type = i16;
                $call
            }
            SampleFormat::I32 => {
                type $type = i32;
                $call
            }
            SampleFormat::U16 => {
                type $type = u16;
                $call
            }
            SampleFormat::U8 => {
                type $type = u8;
                $call
            }
            other => Err(cpal::Error::with_message(
                cpal::ErrorKind::UnsupportedConfig,
                format!("samples of the form {other} are not supported"),
            )),
        }
    };
}
/// How often a second a callback runs: more costs wake-ups, less costs delay. What a microphone hands
/// over in larger pieces would look like jitter on the other side.
const PERIODS: u32 = 100;

/// What a device is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It hears.
    Microphone,
    /// It plays.
    Speaker,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Microphone => "microphone",
            Self::Speaker => "speaker",
        }
    }

    /// What to do without one.
    fn way_out(self) -> &'static str {
        match self {
            Self::Microphone => "use --audio none, --audio tone or --audio FILE",
            Self::Speaker => "use --speaker none",
        }
    }

    /// How to ask for a certain one.
    fn way_to_name(self) -> &'static str {
        match self {
            Self::Microphone => "use --audio mic:NAME",
            Self::Speaker => "use --speaker NAME",
        }
    }
}

/// A device that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioDevice {
    /// What people call it.
    pub name: String,
    /// What tells it from others of the same name.
    pub id: String,
    /// Whether it is used when none is named.
    pub is_default: bool,
    /// Its own rate, Hz.
    pub rate: u32,
    /// Its own channels.
    pub channels: u16,
}

/// All devices of a kind.
///
/// # Errors
/// When neither a sound server nor a sound card answers.
pub fn list(kind: Kind) -> Result<Vec<AudioDevice>, DeviceError> {
    quietly(|| {
        let host = host();
        let default = default_of(&host, kind).and_then(|device| device.id().ok());
        let all = devices(&host, kind).map_err(|error| failed(kind, None, &error))?;
        let described = all.iter().filter_map(|device| {
            let id = device.id().ok()?;
            let config = own_config(device, kind).ok()?;
            Some(AudioDevice {
                name: device.description().ok()?.name().to_owned(),
                is_default: Some(&id) == default.as_ref(),
                id: id.id().to_owned(),
                rate: config.sample_rate(),
                channels: config.channels(),
            })
        });
        Ok(described.collect())
    })
}

/// Finds out whether a device is there and answers.
///
/// # Errors
/// When there is none of that name, or it does not say how it can be used.
pub fn check(kind: Kind, name: Option<&str>) -> Result<(), DeviceError> {
    quietly(|| {
        let device = find(kind, name)?;
        own_config(&device, kind).map(drop).map_err(|error| failed(kind, name, &error))
    })
}

/// An open device; sound flows until it is dropped.
pub struct Opened {
    // Held for its life only.
    _stream: cpal::Stream,
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
        let device = find(kind, name)?;
        // Tried in turn: each attempt needs the callbacks whole, but only one of them gets sound.
        let callbacks = Shared::new((heard, broke));
        open(kind, name, &device, &MONO_FIRST, |config| {
            let (form, callbacks) = (config.form, callbacks.clone());
            by_format!(config.format, T => microphone::<T, _, _>(&device, form, callbacks))
        })
    })
}

/// Opens a speaker. `fill` gets rate, channels and the room for interleaved samples, and is told in
/// how long the first of them is heard; `broke` is told when no more are wanted. Both run on a thread of the sound system and
/// must not block.
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
        let device = find(kind, name)?;
        let callbacks = Shared::new((fill, broke));
        open(kind, name, &device, &STEREO_FIRST, |config| {
            let (form, callbacks) = (config.form, callbacks.clone());
            by_format!(config.format, T => speaker::<T, _, _>(&device, form, callbacks))
        })
    })
}

/// Callbacks that are used by whichever attempt succeeds.
struct Shared<T>(std::sync::Arc<std::sync::Mutex<T>>);

impl<T> Shared<T> {
    fn new(value: T) -> Self {
        Self(std::sync::Arc::new(std::sync::Mutex::new(value)))
    }

    fn with<R>(&self, run: impl FnOnce(&mut T) -> R) -> R {
        run(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(std::sync::Arc::clone(&self.0))
    }
}

fn microphone<T, H, B>(
    device: &cpal::Device,
    form: StreamConfig,
    callbacks: Shared<(H, B)>,
) -> Result<cpal::Stream, cpal::Error>
where
    T: SizedSample,
    f32: FromSample<T>,
    H: FnMut(&[f32], Duration) + Send + 'static,
    B: FnMut(String) + Send + 'static,
{
    let channels = usize::from(form.channels.max(1));
    let (broken, mut mono) = (callbacks.clone(), Vec::new());
    device.build_input_stream::<T, _, _>(
        form,
        move |samples, info| {
            let at = info.timestamp();
            let age = at.callback.duration_since(at.capture);
            mono.clear();
            mono.extend(samples.chunks_exact(channels).map(|frame| {
                let sum: f32 = frame.iter().map(|sample| f32::from_sample_(*sample)).sum();
                sum / channels as f32
            }));
            callbacks.with(|(heard, _)| heard(&mono, age));
        },
        move |error| tell(&broken, &error, |(_, broke)| broke),
        Some(OPENING),
    )
}

fn speaker<T, F, B>(
    device: &cpal::Device,
    form: StreamConfig,
    callbacks: Shared<(F, B)>,
) -> Result<cpal::Stream, cpal::Error>
where
    T: SizedSample + FromSample<f32>,
    F: FnMut(u32, usize, &mut [f32], Duration) + Send + 'static,
    B: FnMut(String) + Send + 'static,
{
    let (rate, channels) = (form.sample_rate, usize::from(form.channels.max(1)));
    let (broken, mut block) = (callbacks.clone(), Vec::new());
    device.build_output_stream::<T, _, _>(
        form,
        move |samples, info| {
            let at = info.timestamp();
            block.clear();
            block.resize(samples.len(), 0.0_f32);
            let ahead = at.playback.duration_since(at.callback);
            callbacks.with(|(fill, _)| fill(rate, channels, &mut block, ahead));
            for (to, from) in samples.iter_mut().zip(&block) {
                *to = T::from_sample_(*from);
            }
        },
        move |error| tell(&broken, &error, |(_, broke)| broke),
        Some(OPENING),
    )
}

/// A sound server that hangs is as good as none after this.
const OPENING: Duration = Duration::from_secs(2);

fn tell<C, B: FnMut(String)>(
    callbacks: &Shared<C>,
    error: &cpal::Error,
    broke: impl FnOnce(&mut C) -> &mut B,
) {
    match error.kind() {
        // The stream goes on.
        cpal::ErrorKind::Xrun
        | cpal::ErrorKind::RealtimeDenied
        | cpal::ErrorKind::DeviceChanged => {
            tracing::debug!(%error, "sound");
        }
        _ => callbacks.with(|callbacks| broke(callbacks)(error.to_string())),
    }
}

/// What is asked for, best first.
struct Wanted {
    form: StreamConfig,
    format: SampleFormat,
}

const MONO_FIRST: [u16; 2] = [1, 2];
const STEREO_FIRST: [u16; 2] = [2, 1];

fn open(
    kind: Kind,
    name: Option<&str>,
    device: &cpal::Device,
    channels: &[u16],
    build: impl Fn(&Wanted) -> Result<cpal::Stream, cpal::Error>,
) -> Result<Opened, DeviceError> {
    let mut last = None;
    for wanted in ways(device, kind, channels) {
        let opened = build(&wanted).and_then(|stream| stream.play().map(|()| stream));
        match opened {
            Ok(stream) => {
                let channels =
                    if kind == Kind::Microphone { 1 } else { usize::from(wanted.form.channels) };
                let called = device.description().map(|about| about.name().to_owned());
                return Ok(Opened {
                    _stream: stream,
                    name: called.unwrap_or_else(|_| kind.as_str().to_owned()),
                    rate: wanted.form.sample_rate,
                    channels,
                });
            }
            Err(error) => last = Some(error),
        }
    }
    let error = last.unwrap_or_else(|| cpal::ErrorKind::DeviceNotAvailable.into());
    Err(failed(kind, name, &error))
}

/// Our own form first; then the device's, with our period and with its own.
fn ways(device: &cpal::Device, kind: Kind, channels: &[u16]) -> Vec<Wanted> {
    let form =
        |channels, sample_rate, buffer_size| StreamConfig { channels, sample_rate, buffer_size };
    let mut ways: Vec<_> = channels
        .iter()
        .map(|&channels| Wanted {
            form: form(channels, SAMPLE_RATE, BufferSize::Fixed(SAMPLE_RATE / PERIODS)),
            format: SampleFormat::F32,
        })
        .collect();
    if let Ok(own) = own_config(device, kind) {
        for size in [BufferSize::Fixed((own.sample_rate() / PERIODS).max(1)), BufferSize::Default] {
            let form = form(own.channels(), own.sample_rate(), size);
            ways.push(Wanted { form, format: own.sample_format() });
        }
    }
    ways
}

fn own_config(device: &cpal::Device, kind: Kind) -> Result<SupportedStreamConfig, cpal::Error> {
    match kind {
        Kind::Microphone => device.default_input_config(),
        Kind::Speaker => device.default_output_config(),
    }
}

fn host() -> cpal::Host {
    #[cfg(target_os = "linux")]
    super::cookie::ensure();
    cpal::default_host()
}

fn default_of(host: &cpal::Host, kind: Kind) -> Option<cpal::Device> {
    match kind {
        Kind::Microphone => host.default_input_device(),
        Kind::Speaker => host.default_output_device(),
    }
}

fn devices(host: &cpal::Host, kind: Kind) -> Result<Vec<cpal::Device>, cpal::Error> {
    let all = match kind {
        Kind::Microphone => host.input_devices()?.collect::<Vec<_>>(),
        Kind::Speaker => host.output_devices()?.collect(),
    };
    let meant = |device: &cpal::Device| device.id().is_ok_and(|id| is_meant(kind, id.id()));
    Ok(all.into_iter().filter(meant).collect())
}

/// Whether people would call it a device. A sound server offers what a speaker plays as a
/// microphone too, and ALSA every converter and each card in half a dozen ways.
fn is_meant(kind: Kind, id: &str) -> bool {
    let monitor = kind == Kind::Microphone && id.ends_with(".monitor");
    let of_a_card = |id: &str| id.starts_with("plughw:") || !id.contains("CARD=");
    !monitor && of_a_card(id) && !ALSA_PLUMBING.contains(&id)
}

/// Names that `libasound` and its plugins give to what is no device.
const ALSA_PLUMBING: [&str; 12] = [
    "null",
    "lavrate",
    "samplerate",
    "speexrate",
    "jack",
    "oss",
    "pulse",
    "pipewire",
    "speex",
    "upmix",
    "vdownmix",
    "a52",
];

fn find(kind: Kind, name: Option<&str>) -> Result<cpal::Device, DeviceError> {
    let host = host();
    let Some(name) = name else {
        return default_of(&host, kind).ok_or_else(|| none_at_all(kind));
    };
    let all = devices(&host, kind).map_err(|error| failed(kind, Some(name), &error))?;
    let names: Vec<(String, String)> = all
        .iter()
        .map(|device| {
            let called = device.description().map(|about| about.name().to_owned());
            let id = device.id().map(|id| id.id().to_owned());
            (called.unwrap_or_default(), id.unwrap_or_default())
        })
        .collect();
    match best_match(&names, name) {
        Some(at) => all.into_iter().nth(at).ok_or_else(|| none_at_all(kind)),
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

fn failed(kind: Kind, name: Option<&str>, error: &cpal::Error) -> DeviceError {
    use cpal::ErrorKind;
    let device = match name {
        Some(name) => format!("{} '{name}'", kind.as_str()),
        None => kind.as_str().to_owned(),
    };
    match error.kind() {
        ErrorKind::DeviceBusy => DeviceError {
            device,
            reason: "another program holds it".to_owned(),
            hint: format!("end that program, or {}", kind.way_out()),
        },
        ErrorKind::PermissionDenied => DeviceError {
            device,
            reason: "we have no right to use it".to_owned(),
            hint: "add yourself to the group audio: sudo usermod -aG audio $USER".to_owned(),
        },
        ErrorKind::DeviceNotAvailable | ErrorKind::HostUnavailable | ErrorKind::BackendError => {
            DeviceError {
                device,
                reason: format!("there is no sound server and no sound card ({error})"),
                hint: format!("start PipeWire or PulseAudio, or {}", kind.way_out()),
            }
        }
        _ => DeviceError { device, reason: error.to_string(), hint: kind.way_out().to_owned() },
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
    fn plumbing_is_no_device() {
        for id in ["default", "plughw:CARD=PCH,DEV=0", "alsa_input.usb-desk", "spk"] {
            assert!(is_meant(Kind::Microphone, id), "{id}");
        }
        for id in ["null", "jack", "hw:CARD=PCH,DEV=0", "dmix:CARD=PCH,DEV=0", "spk.monitor"] {
            assert!(!is_meant(Kind::Microphone, id), "{id}");
        }
        assert!(is_meant(Kind::Speaker, "spk.monitor"));
    }

    #[test]
    fn every_failure_says_what_to_do() {
        for kind in
            [cpal::ErrorKind::DeviceBusy, cpal::ErrorKind::Other, cpal::ErrorKind::HostUnavailable]
        {
            for device in [Kind::Microphone, Kind::Speaker] {
                let error = failed(device, Some("desk"), &kind.into()).to_string();
                assert!(error.contains("'desk'") && error.contains("--"), "{error}");
            }
        }
    }
}
