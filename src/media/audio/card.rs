//! Microphones and speakers of sound cards, through `cpal`.
//!
//! The only file that names it. Owns in which form sound is asked for. On Linux it
//! is for machines without a sound server, elsewhere for all.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{
    BufferSize, ErrorKind, FromSample, SampleFormat, SizedSample, StreamConfig,
    SupportedStreamConfig,
};

use super::backend::{AudioDevice, Failure, Kind, OPENING, PERIODS, Stream, Why};
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

/// The cards of this machine.
pub(super) struct Cards(cpal::Host);

impl Cards {
    pub(super) fn reach() -> Self {
        Self(cpal::default_host())
    }

    /// All that say how they can be used.
    pub(super) fn devices(&self, kind: Kind) -> Result<Vec<AudioDevice>, Failure> {
        let default = self.default_of(kind).and_then(|device| device.id().ok());
        let all = self.all(kind)?;
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
    }

    /// Name and id of each, whether it can be used or not.
    pub(super) fn names(&self, kind: Kind) -> Result<Vec<(String, String)>, Failure> {
        let name = |device: &cpal::Device| {
            Some((device.description().ok()?.name().to_owned(), device.id().ok()?.id().to_owned()))
        };
        Ok(self.all(kind)?.iter().filter_map(name).collect())
    }

    /// The name of the one that is used when none is named.
    pub(super) fn default(&self, kind: Kind) -> Option<String> {
        let device = self.default_of(kind)?;
        let called = device.description().map(|about| about.name().to_owned());
        Some(called.unwrap_or_else(|_| "default".to_owned()))
    }

    /// Finds out whether it answers.
    pub(super) fn check(&self, kind: Kind, id: Option<&str>) -> Result<(), Failure> {
        own_config(&self.device(kind, id)?, kind)?;
        Ok(())
    }

    /// Opens a microphone; see [`super::device::open_microphone`].
    pub(super) fn record(
        &self,
        id: Option<&str>,
        heard: impl FnMut(&[f32], Duration) + Send + 'static,
        broke: impl FnMut(String) + Send + 'static,
    ) -> Result<Stream, Failure> {
        let device = self.device(Kind::Microphone, id)?;
        // Tried in turn: each attempt needs the callbacks whole, but only one of them gets sound.
        let callbacks = Shared::new((heard, broke));
        let stream = open(&device, Kind::Microphone, &MONO_FIRST, |config| {
            let (form, callbacks) = (config.form, callbacks.clone());
            by_format!(config.format, T => microphone::<T, _, _>(&device, form, callbacks))
        })?;
        Ok(Stream { channels: 1, ..stream })
    }

    /// Opens a speaker; see [`super::device::open_speaker`].
    pub(super) fn play(
        &self,
        id: Option<&str>,
        fill: impl FnMut(u32, usize, &mut [f32], Duration) + Send + 'static,
        broke: impl FnMut(String) + Send + 'static,
    ) -> Result<Stream, Failure> {
        let device = self.device(Kind::Speaker, id)?;
        let callbacks = Shared::new((fill, broke));
        Ok(open(&device, Kind::Speaker, &STEREO_FIRST, |config| {
            let (form, callbacks) = (config.form, callbacks.clone());
            by_format!(config.format, T => speaker::<T, _, _>(&device, form, callbacks))
        })?)
    }

    fn default_of(&self, kind: Kind) -> Option<cpal::Device> {
        match kind {
            Kind::Microphone => self.0.default_input_device(),
            Kind::Speaker => self.0.default_output_device(),
        }
    }

    fn all(&self, kind: Kind) -> Result<Vec<cpal::Device>, cpal::Error> {
        let all = match kind {
            Kind::Microphone => self.0.input_devices()?.collect::<Vec<_>>(),
            Kind::Speaker => self.0.output_devices()?.collect(),
        };
        let meant = |device: &cpal::Device| device.id().is_ok_and(|id| is_meant(id.id()));
        Ok(all.into_iter().filter(meant).collect())
    }

    fn device(&self, kind: Kind, id: Option<&str>) -> Result<cpal::Device, cpal::Error> {
        let device = match id {
            None => self.default_of(kind),
            Some(id) => {
                let is_it = |device: &cpal::Device| device.id().is_ok_and(|own| own.id() == id);
                self.all(kind)?.into_iter().find(is_it)
            }
        };
        device.ok_or_else(|| ErrorKind::DeviceNotAvailable.into())
    }
}

impl From<cpal::Error> for Failure {
    fn from(error: cpal::Error) -> Self {
        let why = match error.kind() {
            ErrorKind::DeviceBusy => Why::Busy,
            ErrorKind::PermissionDenied => Why::Forbidden,
            ErrorKind::DeviceNotAvailable
            | ErrorKind::HostUnavailable
            | ErrorKind::BackendError => Why::NoHost,
            _ => Why::Other,
        };
        Self { why, reason: in_words(&error) }
    }
}

/// The library's words are for those who work on it, and go to the log.
fn in_words(error: &cpal::Error) -> String {
    tracing::info!(%error, "a sound card");
    match error.kind() {
        ErrorKind::DeviceNotAvailable | ErrorKind::StreamInvalidated => "it is gone",
        ErrorKind::DeviceBusy => "it is in use",
        ErrorKind::PermissionDenied => "this user is not allowed to use it",
        ErrorKind::UnsupportedConfig => "it has no form of sound that is supported",
        ErrorKind::ResourceExhausted => "the system has no room for it",
        _ => "its driver failed",
    }
    .to_owned()
}

/// Callbacks that are used by whichever attempt succeeds.
struct Shared<T>(Arc<Mutex<T>>);

impl<T> Shared<T> {
    fn new(value: T) -> Self {
        Self(Arc::new(Mutex::new(value)))
    }

    fn with<R>(&self, run: impl FnOnce(&mut T) -> R) -> R {
        run(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
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

fn tell<C, B: FnMut(String)>(
    callbacks: &Shared<C>,
    error: &cpal::Error,
    broke: impl FnOnce(&mut C) -> &mut B,
) {
    match error.kind() {
        // The stream goes on.
        ErrorKind::Xrun | ErrorKind::RealtimeDenied | ErrorKind::DeviceChanged => {
            tracing::debug!(%error, "sound");
        }
        _ => callbacks.with(|callbacks| broke(callbacks)(in_words(error))),
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
    device: &cpal::Device,
    kind: Kind,
    channels: &[u16],
    build: impl Fn(&Wanted) -> Result<cpal::Stream, cpal::Error>,
) -> Result<Stream, cpal::Error> {
    let mut last = None;
    for Wanted { form, format } in ways(device, kind, channels) {
        let opened = build(&Wanted { form, format });
        match opened.and_then(|stream| stream.play().map(|()| stream)) {
            Ok(stream) => {
                return Ok(Stream {
                    held: Box::new(stream),
                    rate: form.sample_rate,
                    channels: usize::from(form.channels),
                });
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| ErrorKind::DeviceNotAvailable.into()))
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

/// Whether people would call it a device. ALSA offers every converter, and each card in half a dozen
/// ways.
fn is_meant(id: &str) -> bool {
    let of_a_card = id.starts_with("plughw:") || !id.contains("CARD=");
    of_a_card && !ALSA_PLUMBING.contains(&id)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plumbing_is_no_device() {
        for id in ["default", "plughw:CARD=PCH,DEV=0"] {
            assert!(is_meant(id), "{id}");
        }
        for id in ["null", "jack", "hw:CARD=PCH,DEV=0", "dmix:CARD=PCH,DEV=0"] {
            assert!(!is_meant(id), "{id}");
        }
    }
}
