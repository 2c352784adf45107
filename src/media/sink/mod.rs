//! Where pictures and sound go.
//!
//! Owns the two sink traits. The sinks behind them show, play or store; when
//! a frame is due is decided elsewhere (`playout.rs`).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

mod names;
pub mod open;
pub mod recorder;
pub mod speaker;
pub mod terminal;
pub mod window;

pub use open::{check, local_recorder_for, open, recorder_for};
use terminal::Graphics;

use super::audio::echo::EchoReference;
use super::device::{DeviceError, DeviceNotice};
use super::frame::{AudioFrame, MaxPicture, VideoFrame};
use super::playout::audio::PlayedBlock;
use crate::system::without_number;

/// Why a sink cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The recording cannot be created or written.
    #[error("cannot write {path}: {}", without_number(.reason))]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        reason: String,
    },
    /// A device is missing, busy, forbidden or broken.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// Shows pictures. Lives on the render thread.
pub trait VideoSink: Send {
    /// Shows one picture now.
    ///
    /// # Errors
    /// When nothing can be shown any more (a window that is gone).
    fn show(&mut self, frame: &Arc<VideoFrame>) -> Result<(), SinkError>;
}

/// What a sink with a clock of its own asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Portion {
    /// Samples per channel at 48 kHz.
    pub samples: usize,
    /// Of so many that the device wants at once, samples per channel at 48 kHz.
    pub at_once: usize,
    /// They are heard after so long.
    pub delay: Duration,
}

/// Where a sink that asks for sound gets it. `None` as long as there is nothing to play. Never blocks
/// for long.
pub type SoundFeed = Arc<dyn Fn(Portion) -> Option<PlayedBlock> + Send + Sync>;

/// Plays sound. Lives on the playout thread.
pub trait AudioSink: Send {
    /// Offers a sink with a clock of its own to ask for sound when it wants some: nothing waits longer
    /// than it must then. Others let it be.
    fn attach(&mut self, feed: SoundFeed) {
        drop(feed);
    }

    /// Whether it asks its feed now; if not, it is given a block each 10 ms.
    fn asks(&mut self) -> bool {
        false
    }

    /// Takes one block (10 ms, 48 kHz, interleaved) that follows the one before it.
    ///
    /// # Errors
    /// When nothing can be played any more.
    fn play(&mut self, frame: &AudioFrame) -> Result<(), SinkError>;

    /// How long it takes until what is played now is heard.
    fn delay(&self) -> Duration {
        Duration::ZERO
    }

    /// What happened to the device since this was last asked; asked after each block.
    fn notice(&mut self) -> Option<DeviceNotice> {
        None
    }
}

/// What `--view` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ViewSpec {
    /// A window where there is a display, else nothing.
    Auto,
    /// A window of its own.
    Window,
    /// The terminal, drawn on in this way, or the best that it has.
    Terminal(Option<Graphics>),
    /// Decode, count, show nothing.
    #[default]
    None,
}

/// What `--speaker` takes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SpeakerSpec {
    /// The system's default if there is one, else nothing.
    Auto,
    /// The system's default.
    Default,
    /// Decode, count, play nothing.
    #[default]
    None,
    /// A speaker by name.
    Named(String),
}

/// What the command line says of the receiving side.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SinkOptions {
    /// Where sound is played.
    pub speaker: SpeakerSpec,
    /// Record what the other side sent; the ending says which container.
    pub record: Option<PathBuf>,
    /// Record what we send.
    pub record_local: Option<PathBuf>,
    /// A recording goes on in another file after so long.
    pub record_split: Option<Duration>,
    /// Told what the speaker plays.
    pub echo: EchoReference,
    /// The largest pictures of theirs that are decoded.
    pub max_picture: MaxPicture,
}

impl SinkOptions {
    /// The same for the n-th call of a login, counted from 1: each later call has files of its own,
    /// `call-2.mkv` beside `call.mkv`, so that none is written over.
    #[must_use]
    pub fn for_call(&self, number: u32) -> Self {
        let numbered = |path: &Option<PathBuf>| path.as_ref().map(|path| names::nth(path, number));
        Self {
            record: numbered(&self.record),
            record_local: numbered(&self.record_local),
            ..self.clone()
        }
    }
}

/// The opened sinks of one call; any may be absent, then that stream is decoded and counted only.
pub struct Sinks {
    /// Shows pictures.
    pub video: Option<Box<dyn VideoSink>>,
    /// Plays sound.
    pub audio: Option<Box<dyn AudioSink>>,
    /// Shows what we send, as it is captured. It runs on the capture thread and must not block.
    pub preview: Option<Box<dyn VideoSink>>,
    /// Stores what the other side sent, from the beginning.
    pub record: Option<recorder::Recorder>,
    /// Makes the file when they are recorded from later on.
    pub open_recorder: OpenRecorder,
    /// Stores what we send.
    pub record_local: Option<recorder::Recorder>,
    /// Makes the file in which that goes on.
    pub open_local_recorder: OpenRecorder,
    /// A recording goes on in another file after so long.
    pub record_split: Option<Duration>,
    /// What there was not, and nobody asked for by name.
    pub missing: Vec<DeviceNotice>,
    /// The largest pictures of theirs that are decoded.
    pub max_picture: MaxPicture,
}

/// Makes the file of a recording that begins in the middle of a call.
pub type OpenRecorder = Arc<dyn Fn() -> Result<recorder::Recorder, SinkError> + Send + Sync>;

impl Default for Sinks {
    /// Nothing is shown, played or recorded; recordings that are asked for later are written to the
    /// current folder.
    fn default() -> Self {
        Self {
            video: None,
            audio: None,
            preview: None,
            record: None,
            open_recorder: recorder_for(None, || 1),
            record_local: None,
            open_local_recorder: recorder_for(None, || 1),
            record_split: None,
            missing: Vec::new(),
            max_picture: MaxPicture::default(),
        }
    }
}

/// Opens the sinks of one call; called once for each call, when it is answered.
pub type OpenSinks = Arc<dyn Fn() -> Result<Sinks, SinkError> + Send + Sync>;

impl std::fmt::Debug for Sinks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sinks")
            .field("video", &self.video.is_some())
            .field("audio", &self.audio.is_some())
            .field("preview", &self.preview.is_some())
            .field("record", &self.record)
            .field("record_local", &self.record_local)
            .finish_non_exhaustive()
    }
}
