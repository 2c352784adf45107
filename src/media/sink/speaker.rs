//! A speaker as a sink: our clock stretched to its, as little waiting as it allows.
//!
//! Owns the queue to the sound system's thread, and what happens when the
//! device goes away. How a device is opened is `audio/device.rs`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{AudioSink, SinkError};
use crate::clock;
use crate::media::audio::device::{self, Opened};
use crate::media::audio::drift::{DriftControl, Stretcher};
use crate::media::audio::echo::EchoReference;
use crate::media::audio::{Reopen, let_go};
use crate::media::device::{DeviceError, DeviceNews, DeviceNotice};
use crate::media::frame::{AudioFrame, SAMPLE_RATE};

/// A speaker that asks for nothing for so long is gone, whatever it says.
const PATIENCE: Duration = Duration::from_secs(2);

/// Plays what a call hears.
#[derive(Debug)]
pub struct Speaker {
    name: Option<String>,
    reference: EchoReference,
    state: State,
    drift: DriftControl,
    played: Vec<f32>,
    notices: VecDeque<DeviceNotice>,
}

#[derive(Debug)]
enum State {
    Open { opened: Opened, line: Arc<Line>, stretcher: Box<Stretcher>, since: Instant },
    Gone(Reopen<(Opened, Arc<Line>)>),
}

/// The queue between our thread and the sound system's.
#[derive(Debug, Default)]
struct Line(Mutex<Reserve>);

impl Line {
    fn lock(&self) -> std::sync::MutexGuard<'_, Reserve> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Speaker {
    /// Opens the speaker of that name, or the default one; what it plays is told to `reference`.
    ///
    /// # Errors
    /// When there is none, or it cannot be opened.
    pub fn open(name: Option<String>, reference: EchoReference) -> Result<Self, DeviceError> {
        let (opened, line) = open(name.as_deref(), &reference)?;
        Ok(Self {
            name,
            reference,
            state: playing(opened, line)?,
            drift: DriftControl::default(),
            played: Vec::new(),
            notices: VecDeque::new(),
        })
    }

    fn lose(&mut self, reason: &str) {
        let message =
            format!("{} is gone ({reason}); nothing is heard until it is back", self.called());
        self.notices.push_back(DeviceNotice { news: DeviceNews::Lost, message });
        if let State::Open { opened, .. } =
            std::mem::replace(&mut self.state, State::Gone(Reopen::default()))
        {
            let_go(opened);
        }
        self.drift.restart();
    }

    fn look_for_it(&mut self) {
        let State::Gone(reopen) = &mut self.state else { return };
        let (name, reference) = (self.name.clone(), self.reference.clone());
        let opened = reopen.poll(clock::now(), move || open(name.as_deref(), &reference));
        if let Some((opened, line)) = opened
            && let Ok(state) = playing(opened, line)
        {
            self.state = state;
            let message = format!("{} is back", self.called());
            self.notices.push_back(DeviceNotice { news: DeviceNews::Back, message });
        }
    }

    fn called(&self) -> String {
        match (&self.state, &self.name) {
            (State::Open { opened, .. }, _) => format!("speaker '{}'", opened.name),
            (_, Some(name)) => format!("speaker '{name}'"),
            (_, None) => "the speaker".to_owned(),
        }
    }
}

impl AudioSink for Speaker {
    fn play(&mut self, frame: &AudioFrame) -> Result<(), SinkError> {
        let State::Open { opened, line, stretcher, since } = &mut self.state else {
            self.look_for_it();
            return Ok(());
        };
        self.played.clear();
        let channels = opened.channels;
        let samples = with_channels(frame, channels);
        let stretched = stretcher.push(&samples, self.drift.ratio(), &mut self.played);
        let now = clock::now();
        let mut reserve = line.lock();
        let scale = f64::from(SAMPLE_RATE) / f64::from(opened.rate);
        if let Some(missing) = reserve.put(&self.played, channels) {
            self.drift.on_error(missing * scale);
        }
        let broken = reserve.broken.take().or_else(|| {
            let asked_at = reserve.asked_at.unwrap_or(*since);
            let silent = now.saturating_duration_since(asked_at) > PATIENCE;
            silent.then(|| "it takes no more sound".to_owned())
        });
        drop(reserve);
        if let Some(reason) = broken.or(stretched.err()) {
            self.lose(&reason);
        }
        Ok(())
    }

    fn delay(&self) -> Duration {
        match &self.state {
            State::Open { opened, line, .. } => {
                let reserve = line.lock();
                let waits = reserve.samples.len() / opened.channels;
                reserve.ahead + Duration::from_secs_f64(waits as f64 / f64::from(opened.rate))
            }
            State::Gone(_) => Duration::ZERO,
        }
    }

    fn notice(&mut self) -> Option<DeviceNotice> {
        self.notices.pop_front()
    }
}

fn open(name: Option<&str>, reference: &EchoReference) -> Result<(Opened, Arc<Line>), DeviceError> {
    let line = Arc::new(Line::default());
    let (asked, broken, reference) = (Arc::clone(&line), Arc::clone(&line), reference.clone());
    let opened = device::open_speaker(
        name,
        move |rate, channels, block, ahead| {
            let mut reserve = asked.lock();
            reserve.take(block, channels);
            reserve.ahead = ahead;
            reserve.asked_at = Some(clock::now());
            drop(reserve);
            reference.played(rate, channels, block, ahead);
        },
        move |reason| broken.lock().broken = Some(reason),
    )?;
    Ok((opened, line))
}

fn playing(opened: Opened, line: Arc<Line>) -> Result<State, DeviceError> {
    let stretcher = Stretcher::new(SAMPLE_RATE, opened.rate, opened.channels);
    let stretcher = stretcher.map(Box::new).map_err(|reason| DeviceError {
        device: format!("speaker '{}'", opened.name),
        reason,
        hint: "name another with --speaker NAME".to_owned(),
    })?;
    Ok(State::Open { opened, line, stretcher, since: clock::now() })
}

/// One channel for all, left and right on the first two, nothing on the rest.
fn with_channels(frame: &AudioFrame, channels: usize) -> Vec<f32> {
    let from = frame.channels.max(1);
    let mut samples = Vec::with_capacity(frame.len_per_channel() * channels);
    for heard in frame.samples.chunks_exact(from) {
        match channels {
            1 => samples.push(heard.iter().sum::<f32>() / from as f32),
            _ => samples.extend((0..channels).map(|at| match at {
                0 | 1 => heard[at.min(from - 1)],
                _ => 0.0,
            })),
        }
    }
    samples
}

/// Sound that waits for the speaker to ask for it. Pure.
///
/// Too little and the speaker runs dry, too much and the talk lags: the reserve grows when it ran
/// dry, and shrinks as long as it does not.
#[derive(Debug)]
struct Reserve {
    /// Interleaved.
    samples: VecDeque<f32>,
    /// What should be left after the speaker took its part, frames.
    wanted: f64,
    /// What was left after it took its part last.
    left: Option<usize>,
    /// Nothing is played until there is enough.
    primed: bool,
    /// How long it takes from the callback to the ear.
    ahead: Duration,
    asked_at: Option<Instant>,
    broken: Option<String>,
}

/// Frames that should be left at first: 4 ms. At least, at most; what running dry adds; what each
/// block of 10 ms without it takes off: a millisecond in ten seconds.
const WANTED: f64 = 192.0;
const LEAST: f64 = 96.0;
const MOST: f64 = 4_800.0;
const GROWS: f64 = 192.0;
const SHRINKS: f64 = 0.048;

/// What is over by more than this waited for a speaker that stood still, and is not worth hearing.
const OVER: f64 = 4_800.0;

impl Default for Reserve {
    fn default() -> Self {
        Self {
            samples: VecDeque::new(),
            wanted: WANTED,
            left: None,
            primed: false,
            ahead: Duration::ZERO,
            asked_at: None,
            broken: None,
        }
    }
}

impl Reserve {
    /// Takes a block from us; says how many frames too few are left, once that is known.
    fn put(&mut self, samples: &[f32], channels: usize) -> Option<f64> {
        self.samples.extend(samples);
        let left = self.left.take();
        if !self.primed {
            return None;
        }
        self.wanted = (self.wanted - SHRINKS).max(LEAST);
        let left = left? as f64;
        if left > self.wanted + OVER {
            let over = (left - self.wanted) as usize * channels;
            self.samples.drain(..over.min(self.samples.len()));
            return None;
        }
        Some(self.wanted - left)
    }

    /// Gives the speaker what it asks for; silence where there is too little.
    fn take(&mut self, block: &mut [f32], channels: usize) {
        let enough = block.len() + self.wanted as usize * channels;
        if !self.primed && self.samples.len() < enough {
            return;
        }
        self.primed = true;
        let there = block.len().min(self.samples.len());
        for (to, from) in block.iter_mut().zip(self.samples.drain(..there)) {
            *to = from;
        }
        self.left = Some(self.samples.len() / channels);
        if there < block.len() {
            self.primed = false;
            self.wanted = (self.wanted + GROWS).min(MOST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_comes_out_as_it_went_in_once_there_is_enough() {
        let mut reserve = Reserve::default();
        let mut block = [9.0; 480];
        reserve.take(&mut block, 1);
        assert_eq!(block[0], 9.0, "nothing is there, nothing is written");
        let sound: Vec<f32> = (0..960).map(|n| n as f32).collect();
        assert_eq!(reserve.put(&sound, 1), None);
        reserve.take(&mut block, 1);
        assert_eq!(block[..], sound[..480]);
        assert_eq!(reserve.put(&sound, 1).map(f64::round), Some(192.0 - 480.0));
    }

    #[test]
    fn running_dry_makes_it_keep_more_and_time_less() {
        let mut reserve = Reserve::default();
        let mut block = [0.0; 480];
        reserve.put(&[1.0; 700], 1);
        reserve.take(&mut block, 1);
        reserve.take(&mut block, 1);
        assert!(!reserve.primed && reserve.wanted > WANTED, "{reserve:?}");
        let after = reserve.wanted;
        for _ in 0..60_000 {
            reserve.put(&[1.0; 480], 1);
            reserve.take(&mut block, 1);
        }
        assert!(reserve.wanted < after && reserve.wanted >= LEAST, "{}", reserve.wanted);
    }

    #[test]
    fn what_waited_for_a_stuck_speaker_is_left_out() {
        let mut reserve = Reserve::default();
        let mut block = [0.0; 960];
        reserve.put(&[1.0; 4_000], 2);
        reserve.take(&mut block, 2);
        for _ in 0..100 {
            reserve.put(&[1.0; 960], 2);
        }
        reserve.take(&mut block, 2);
        assert_eq!(reserve.put(&[1.0; 960], 2), None);
        assert!(reserve.samples.len() < 3_000, "{}", reserve.samples.len());
    }

    #[test]
    fn channels_are_mapped() {
        let frame = AudioFrame { samples: vec![0.2, 0.4], channels: 2, captured_at: clock::now() };
        assert_eq!(with_channels(&frame, 2), [0.2, 0.4]);
        assert!((with_channels(&frame, 1)[0] - 0.3).abs() < 1e-6);
        assert_eq!(with_channels(&frame, 6), [0.2, 0.4, 0.0, 0.0, 0.0, 0.0]);
        let mono = AudioFrame { samples: vec![0.2], channels: 1, captured_at: clock::now() };
        assert_eq!(with_channels(&mono, 2), [0.2, 0.2]);
    }
}
