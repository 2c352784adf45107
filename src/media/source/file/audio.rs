//! Plays the sound of a file in time, in blocks of 10 ms.
//!
//! Owns blocks, looping and pacing. What decodes is behind [`Pcm`]; when a
//! block is due, the [`Timeline`] says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::pcm::Pcm;
use super::{SourceError, cut_notice, in_file};
use crate::media::audio::resample::ToCallRate;
use crate::media::device::DeviceNotice;
use crate::media::frame::{AudioFrame, SAMPLE_RATE};
use crate::media::source::timeline::{StopFlag, Timeline};
use crate::media::source::{AUDIO_BLOCK, AudioSource};

/// Samples per channel in a block of 10 ms.
const BLOCK: usize = SAMPLE_RATE as usize / 100;

/// The sound of a file, in time.
pub struct FileAudioSource {
    path: PathBuf,
    pcm: Pcm,
    resampler: ToCallRate,
    timeline: Timeline,
    once: bool,
    ended: bool,
    /// Samples at the file's rate, before resampling.
    raw: Vec<f32>,
    /// Samples at 48 kHz that wait for their block to be full.
    ready: Vec<f32>,
    /// Samples per channel at the file's rate since the first round began.
    position: u64,
    /// Rounds through the file that are over.
    rounds: u32,
    /// Where in `position` the current round began.
    round_start: u64,
    blocks: u32,
}

impl std::fmt::Debug for FileAudioSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileAudioSource")
            .field("path", &self.path)
            .field("channels", &self.pcm.channels)
            .field("rate", &self.pcm.rate)
            .finish_non_exhaustive()
    }
}

impl FileAudioSource {
    /// Opens a file and decodes its beginning, so that what cannot be played is known now.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged, or holds no sound that we play.
    pub fn open(path: &Path, once: bool, timeline: Timeline) -> Result<Self, SourceError> {
        let pcm = Pcm::open(path, timeline.origin())?;
        let resampler = ToCallRate::new(pcm.rate, pcm.channels).map_err(in_file(path))?;
        Ok(Self {
            path: path.to_owned(),
            pcm,
            resampler,
            timeline,
            once,
            ended: false,
            raw: Vec::new(),
            ready: Vec::new(),
            position: 0,
            rounds: 0,
            round_start: 0,
            blocks: 0,
        })
    }

    /// Decodes until a block is full or the sound is over.
    fn fill(&mut self) -> Result<(), SourceError> {
        while self.ready.len() < BLOCK * self.pcm.channels && !self.ended {
            self.raw.clear();
            let more = self.pcm.read(&mut self.raw).map_err(in_file(&self.path))?;
            if more {
                self.cut_at_round_end();
            }
            if !more || self.round_is_over() {
                self.end_round()?;
            }
            self.position += (self.raw.len() / self.pcm.channels) as u64;
            let pushed = self.resampler.push(&self.raw, &mut self.ready);
            pushed.map_err(|reason| self.broken(reason))?;
            if self.ended {
                let flushed = self.resampler.flush(&mut self.ready);
                flushed.map_err(|reason| self.broken(reason))?;
            }
        }
        Ok(())
    }

    fn broken(&self, reason: String) -> SourceError {
        SourceError::Corrupt { path: self.path.clone(), reason }
    }

    /// Where the current round ends, in samples since the first began; computed from the start each
    /// time, so that rounding does not add up.
    fn round_end(&self) -> Option<u64> {
        let period = self.timeline.period().filter(|_| !self.once)?;
        let seconds = period.as_secs_f64() * f64::from(self.rounds + 1);
        Some((seconds * f64::from(self.pcm.rate)).round() as u64)
    }

    fn left_in_round(&self) -> Option<usize> {
        let end = self.round_end()?;
        Some(usize::try_from(end.saturating_sub(self.position)).unwrap_or(usize::MAX))
    }

    fn cut_at_round_end(&mut self) {
        if let Some(left) = self.left_in_round() {
            self.raw.truncate(left.saturating_mul(self.pcm.channels));
        }
    }

    fn round_is_over(&self) -> bool {
        self.left_in_round().is_some_and(|left| self.raw.len() / self.pcm.channels >= left)
    }

    /// Fills the round up with silence and begins the next one.
    fn end_round(&mut self) -> Result<(), SourceError> {
        if self.once {
            self.ended = true;
            return Ok(());
        }
        if let Some(left) = self.left_in_round() {
            // A second at a time: the rest of the round may be long.
            let part = left.min(self.pcm.rate as usize);
            let wanted = part * self.pcm.channels;
            if self.raw.len() < wanted {
                self.raw.resize(wanted, 0.0);
            }
            if part < left {
                return Ok(());
            }
        } else if self.position == self.round_start && self.raw.is_empty() {
            self.ended = true;
            return Ok(());
        }
        self.rounds += 1;
        self.round_start = self.position + (self.raw.len() / self.pcm.channels) as u64;
        self.pcm.rewind().map_err(in_file(&self.path))
    }
}

impl AudioSource for FileAudioSource {
    fn next_frame(&mut self) -> Result<Option<AudioFrame>, SourceError> {
        self.fill()?;
        let at: Duration = AUDIO_BLOCK * self.blocks;
        let captured_at = self.timeline.wait(at);
        if self.ready.is_empty() || self.timeline.is_stopped() {
            return Ok(None);
        }
        let channels = self.pcm.channels;
        let rest = self.ready.split_off(self.ready.len().min(BLOCK * channels));
        let mut samples = std::mem::replace(&mut self.ready, rest);
        samples.resize(BLOCK * channels, 0.0);
        self.blocks += 1;
        Ok(Some(AudioFrame { samples, channels, captured_at }))
    }

    fn channels(&self) -> usize {
        self.pcm.channels
    }

    fn notice(&mut self) -> Option<DeviceNotice> {
        let cut = self.pcm.was_cut() && self.timeline.tell_once();
        cut.then(|| cut_notice(&self.path))
    }

    fn set_stop(&mut self, stop: StopFlag) {
        self.timeline.set_stop(stop);
    }
}
