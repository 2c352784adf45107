//! Where pictures and sound come from.
//!
//! Owns the two source traits, the words of `--video` and `--audio`, and the
//! one table that opens them. Parsing a spec opens nothing.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

pub mod camera;
mod card;
pub mod file;
pub mod microphone;
pub mod open;
pub mod screen;
pub mod test;
pub mod timeline;

use file::live::LiveShare;
pub use open::open;
use screen::ScreenShare;
use timeline::StopFlag;

use super::audio::echo::EchoReference;
use super::audio::voice::VoiceOptions;
use super::device::{DeviceError, DeviceNotice};
use super::frame::{AudioFrame, MaxPicture, Size, VideoFrame};
use crate::system::without_number;

/// Why a source cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file is not there, is a directory, or cannot be read.
    #[error("cannot read {path}: {}", without_number(.reason))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system or the parser said.
        reason: String,
    },
    /// The file is whole, but nothing in it is what we can play.
    #[error("{path} cannot be played: {reason}")]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What is in it, and what would work.
        reason: String,
    },
    /// The file breaks its own format.
    #[error("{path} is damaged: {reason}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where and how.
        reason: String,
    },
    /// A device is missing, busy, forbidden or broken.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// Pictures, one after the other. Lives on its own thread, so it may block.
pub trait VideoSource: Send {
    /// Blocks until the next picture is due; `None` when there are no more.
    ///
    /// # Errors
    /// When the source breaks in the middle; it will not recover.
    fn next_frame(&mut self) -> Result<Option<Arc<VideoFrame>>, SourceError>;

    /// The size and nominal rate of its pictures.
    fn format(&self) -> VideoFormat;

    /// What happened to the device since this was last asked; asked after each picture.
    fn notice(&mut self) -> Option<DeviceNotice> {
        None
    }

    /// Says what to look at while waiting: when it is set, nobody wants more.
    fn set_stop(&mut self, stop: StopFlag) {
        drop(stop);
    }
}

/// Sound, one block of 10 ms after the other. Lives on its own thread, so it may block.
pub trait AudioSource: Send {
    /// Blocks until the next 10 ms (480 samples per channel) are due; `None` when there is no more.
    ///
    /// # Errors
    /// When the source breaks in the middle; it will not recover.
    fn next_frame(&mut self) -> Result<Option<AudioFrame>, SourceError>;

    /// Channels of its sound: 1 or 2, the same for its whole life.
    fn channels(&self) -> usize;

    /// What happened to the device since this was last asked; asked after each block.
    fn notice(&mut self) -> Option<DeviceNotice> {
        None
    }

    /// See [`VideoSource::set_stop`].
    fn set_stop(&mut self, stop: StopFlag) {
        drop(stop);
    }
}

/// Size and rate of a picture stream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VideoFormat {
    /// Width and height.
    pub size: Size,
    /// Pictures a second, nominal.
    pub fps: f64,
}

/// What `--video` takes: `auto | camera[:N|:NAME] | screen | test | none | FILE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VideoSourceSpec {
    /// The default camera if there is one, else no pictures.
    Auto,
    /// A camera by index or name, or the default one.
    Camera(Option<String>),
    /// The screen, or the screen of that number.
    Screen(Option<u32>),
    /// The moving test picture with clock and frame number.
    Test,
    /// Send no pictures.
    None,
    /// A file: y4m, mp4, mkv/webm, ivf or h264 (Annex B).
    File(PathBuf),
}

/// What `--audio` takes: `auto | mic[:NAME] | tone | none | FILE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AudioSourceSpec {
    /// The default microphone if there is one, else no sound.
    Auto,
    /// A microphone by name, or the default one.
    Microphone(Option<String>),
    /// A test tone.
    Tone,
    /// Send no sound.
    None,
    /// A file: wav, ogg (Opus), mp4 or mkv/webm.
    File(PathBuf),
}

impl FromStr for VideoSourceSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (word, rest) = match text.split_once(':') {
            Some((word, rest)) => (word, Some(rest)),
            None => (text, None),
        };
        match (word, rest) {
            ("", _) => Err("no source is given; write camera, screen, test, none or a file".into()),
            ("auto", None) => Ok(Self::Auto),
            ("test", None) => Ok(Self::Test),
            ("none", None) => Ok(Self::None),
            ("camera", rest) => Ok(Self::Camera(rest.map(str::to_owned))),
            ("screen", None) => Ok(Self::Screen(None)),
            ("screen", Some(n)) => n
                .parse()
                .map(|n| Self::Screen(Some(n)))
                .map_err(|_| format!("'{n}' is not a screen number; write screen or screen:0")),
            _ => Ok(Self::File(PathBuf::from(text))),
        }
    }
}

impl FromStr for AudioSourceSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("mic", name)) => Ok(Self::Microphone(Some(name.to_owned()))),
            _ => match text {
                "" => Err("no source is given; write mic, tone, none or a file".into()),
                "auto" => Ok(Self::Auto),
                "mic" => Ok(Self::Microphone(None)),
                "tone" => Ok(Self::Tone),
                "none" => Ok(Self::None),
                _ => Ok(Self::File(PathBuf::from(text))),
            },
        }
    }
}

/// How to open the sources of one call.
#[derive(Debug, Clone, PartialEq)]
pub struct MediaOptions {
    /// Where the pictures come from.
    pub video: VideoSourceSpec,
    /// Where the sound comes from.
    pub audio: AudioSourceSpec,
    /// Size to send; files are scaled to it (letterboxed when the aspect differs).
    /// `None`: the file's own size, 640x360 for the test picture.
    pub size: Option<Size>,
    /// Pictures a second; files keep their own rate when it is lower. `None`: the file's own, at most 30.
    pub fps: Option<f64>,
    /// A file plays once and the call ends; otherwise it loops.
    pub once: bool,
    /// What is done to a microphone's sound.
    pub voice: VoiceOptions,
    /// What the speaker plays, to be taken out of what the microphone hears.
    pub echo: EchoReference,
    /// The screen that a Wayland session's portal lets us show.
    pub share: ScreenShare,
    /// The pipes that are read.
    pub live: LiveShare,
    /// The largest pictures of a file.
    pub max_picture: MaxPicture,
}

impl MediaOptions {
    /// The files that are read.
    #[must_use]
    pub fn inputs(&self) -> Vec<PathBuf> {
        let mut inputs = Vec::new();
        if let VideoSourceSpec::File(path) = &self.video {
            inputs.push(path.clone());
        }
        if let AudioSourceSpec::File(path) = &self.audio {
            inputs.push(path.clone());
        }
        inputs
    }
}

impl Default for MediaOptions {
    /// The test picture and the tone.
    fn default() -> Self {
        Self {
            video: VideoSourceSpec::Test,
            audio: AudioSourceSpec::Tone,
            size: None,
            fps: None,
            once: false,
            voice: VoiceOptions::default(),
            echo: EchoReference::default(),
            share: ScreenShare::default(),
            live: LiveShare::default(),
            max_picture: MaxPicture::default(),
        }
    }
}

/// The opened sources of one call; either may be absent.
#[derive(Default)]
pub struct Sources {
    /// The pictures.
    pub video: Option<Box<dyn VideoSource>>,
    /// The sound.
    pub audio: Option<Box<dyn AudioSource>>,
    /// What there was not, and nobody asked for by name.
    pub missing: Vec<DeviceNotice>,
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources")
            .field("video", &self.video.as_ref().map(|v| v.format()))
            .field("audio", &self.audio.as_ref().map(|a| a.channels()))
            .finish()
    }
}

/// Opens the sources of one call; called once for each call, when it is made or answered.
pub type OpenSources = Arc<dyn Fn() -> Result<Sources, SourceError> + Send + Sync>;

/// How long a block of sound from an [`AudioSource`] is.
pub const AUDIO_BLOCK: Duration = Duration::from_millis(10);
