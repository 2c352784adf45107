//! A microphone as a source: its clock stretched to ours, silence while it is gone.
//!
//! Owns the queue from the sound system's thread and what happens when the
//! device goes away. How a device is opened is `audio/device.rs`.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{AUDIO_BLOCK, AudioSource, SourceError};
use crate::clock;
use crate::media::audio::device::{self, Opened};
use crate::media::audio::drift::{DriftControl, Stretcher};
use crate::media::audio::voice::Voice;
use crate::media::audio::{Reopen, let_go};
use crate::media::device::{DeviceError, DeviceNews, DeviceNotice};
use crate::media::frame::{AudioFrame, SAMPLE_RATE, samples_to_duration};

/// 10 ms.
const BLOCK: usize = 480;

/// Samples that wait for the next block when a stream begins, 3 ms: enough for what stretching takes
/// away later. Whatever waits is heard later.
const RESERVE: usize = 144;

/// A microphone that gives nothing for so long is gone, whatever it says.
const PATIENCE: Duration = Duration::from_secs(1);

/// Sound that is missing from our own clock for longer than this was lost, and is not waited for.
const LOST: f64 = 9_600.0;

/// Sound that waits at most: a second.
const MOST: usize = 48_000;

/// Mono sound of one microphone.
#[derive(Debug)]
pub struct Microphone {
    name: Option<String>,
    state: State,
    voice: Option<Voice>,
    drift: DriftControl,
    /// As it came, at the device's rate, less than 10 ms of it.
    raw: Vec<f32>,
    /// At 48 kHz and by our clock.
    ready: Vec<f32>,
    /// Our clock when the first sample of the stream was heard.
    began_at: Option<Instant>,
    /// Samples since then.
    given: u64,
    notices: VecDeque<DeviceNotice>,
}

#[derive(Debug)]
enum State {
    Open { opened: Opened, line: Arc<Line>, stretcher: Box<Stretcher>, heard_at: Instant },
    Gone(Reopen<(Opened, Arc<Line>)>),
}

/// The queue between the sound system's thread and ours.
#[derive(Debug, Default)]
struct Line {
    queue: Mutex<Queue>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    samples: VecDeque<f32>,
    age: Duration,
    broken: Option<String>,
}

impl Line {
    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, samples: &[f32], age: Duration) {
        let mut queue = self.lock();
        queue.samples.extend(samples);
        let over = queue.samples.len().saturating_sub(MOST);
        queue.samples.drain(..over);
        queue.age = age;
        drop(queue);
        self.filled.notify_one();
    }

    /// Forgets all but the last block.
    fn forget(&self) {
        let mut queue = self.lock();
        let over = queue.samples.len().saturating_sub(BLOCK);
        queue.samples.drain(..over);
    }

    fn breaks(&self, reason: String) {
        self.lock().broken = Some(reason);
        self.filled.notify_one();
    }

    /// Moves what there is to `raw`, and waits for more when there is nothing, until `until`.
    fn take(&self, raw: &mut Vec<f32>, until: Instant) -> Result<Duration, String> {
        let mut queue = self.lock();
        loop {
            if let Some(reason) = queue.broken.take() {
                return Err(reason);
            }
            if !queue.samples.is_empty() {
                raw.extend(queue.samples.drain(..));
                return Ok(queue.age);
            }
            let wait = until.saturating_duration_since(clock::now());
            if wait.is_zero() {
                return Err("it stopped delivering sound".to_owned());
            }
            let waited = self.filled.wait_timeout(queue, wait);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Microphone {
    /// Opens the microphone of that name, or the default one.
    ///
    /// # Errors
    /// When there is none, or it cannot be opened.
    pub fn open(name: Option<String>, voice: Option<Voice>) -> Result<Self, DeviceError> {
        let (opened, line) = open(name.as_deref())?;
        Ok(Self {
            name,
            state: listening(opened, line)?,
            voice,
            drift: DriftControl::default(),
            raw: Vec::new(),
            ready: Vec::new(),
            began_at: None,
            given: 0,
            notices: VecDeque::new(),
        })
    }

    /// Fills `ready` up to a block, or says why it cannot be.
    fn listen(&mut self) -> Result<Duration, String> {
        let State::Open { opened, line, stretcher, heard_at } = &mut self.state else {
            return Err("it is gone".to_owned());
        };
        let mut age = Duration::ZERO;
        if self.began_at.is_none() {
            // What was heard before anybody listened is old.
            line.forget();
        }
        while self.ready.len() < BLOCK {
            age = line.take(&mut self.raw, *heard_at + PATIENCE)?;
            *heard_at = clock::now();
            let block = (opened.rate as usize / 100).max(1);
            let whole = self.raw.len() - self.raw.len() % block;
            if let Some(voice) = &mut self.voice {
                self.raw[..whole].chunks_exact_mut(block).for_each(|raw| voice.process(raw, age));
            }
            stretcher.push(&self.raw[..whole], self.drift.ratio(), &mut self.ready)?;
            self.raw.drain(..whole);
        }
        if self.began_at.is_none() {
            let over = self.ready.len().saturating_sub(BLOCK + RESERVE);
            self.ready.drain(..over);
        }
        Ok(age)
    }

    /// Keeps the count of samples in step with our clock; says when the next block was captured.
    fn keep_time(&mut self, age: Duration) -> Instant {
        let now = clock::now();
        let there = samples_to_duration(self.ready.len());
        let began_at = *self.began_at.get_or_insert_with(|| now - there);
        // All that was made counts, not only what fills a block: a block more or less is no drift.
        let due = began_at + samples_to_duration(self.given as usize) + there;
        let missing = due.saturating_duration_since(now).as_secs_f64();
        let missing = now.saturating_duration_since(due).as_secs_f64() - missing;
        let missing = missing * f64::from(SAMPLE_RATE);
        if missing > LOST {
            // The sound system stood still; what it did not hear then is a gap, not a delay.
            self.skip_to(now - there);
        } else {
            self.drift.on_error(missing);
            self.given += BLOCK as u64;
        }
        let began_at = self.began_at.unwrap_or(now);
        let captured_at = began_at + samples_to_duration(self.given as usize - BLOCK);
        captured_at.checked_sub(age).unwrap_or(captured_at)
    }

    fn skip_to(&mut self, at: Instant) {
        self.began_at = Some(at);
        self.given = BLOCK as u64;
        self.drift.restart();
    }

    fn lose(&mut self, reason: &str) {
        let called = self.called();
        let message = format!("{called} is gone ({reason}); sending silence until it is back");
        self.notices.push_back(DeviceNotice { news: DeviceNews::Lost, message });
        if let State::Open { opened, .. } =
            std::mem::replace(&mut self.state, State::Gone(Reopen::default()))
        {
            let_go(opened);
        }
        self.raw.clear();
        self.ready.clear();
        self.skip_to(clock::now() - AUDIO_BLOCK);
    }

    /// A block of silence at its time, and a look whether the device is back.
    fn silence(&mut self) -> AudioFrame {
        let began_at = *self.began_at.get_or_insert_with(clock::now);
        let captured_at = began_at + samples_to_duration(self.given as usize);
        self.given += BLOCK as u64;
        clock::sleep_until(captured_at + AUDIO_BLOCK);
        let name = self.name.clone();
        if let State::Gone(reopen) = &mut self.state
            && let Some((opened, line)) = reopen.poll(clock::now(), move || open(name.as_deref()))
            && let Ok(state) = listening(opened, line)
        {
            self.state = state;
            self.began_at = None;
            self.given = 0;
            self.drift.restart();
            let message = format!("{} is back", self.called());
            self.notices.push_back(DeviceNotice { news: DeviceNews::Back, message });
        }
        AudioFrame { samples: vec![0.0; BLOCK], channels: 1, captured_at }
    }

    fn called(&self) -> String {
        match (&self.state, &self.name) {
            (State::Open { opened, .. }, _) => format!("microphone '{}'", opened.name),
            (_, Some(name)) => format!("microphone '{name}'"),
            (_, None) => "the microphone".to_owned(),
        }
    }
}

impl AudioSource for Microphone {
    fn next_frame(&mut self) -> Result<Option<AudioFrame>, SourceError> {
        if matches!(self.state, State::Gone(_)) {
            return Ok(Some(self.silence()));
        }
        let age = match self.listen() {
            Ok(age) => age,
            Err(reason) => {
                self.lose(&reason);
                return Ok(Some(self.silence()));
            }
        };
        let captured_at = self.keep_time(age);
        let rest = self.ready.split_off(BLOCK);
        let samples = std::mem::replace(&mut self.ready, rest);
        Ok(Some(AudioFrame { samples, channels: 1, captured_at }))
    }

    fn channels(&self) -> usize {
        1
    }

    fn notice(&mut self) -> Option<DeviceNotice> {
        self.notices.pop_front()
    }
}

fn open(name: Option<&str>) -> Result<(Opened, Arc<Line>), DeviceError> {
    let line = Arc::new(Line::default());
    let (heard, broken) = (Arc::clone(&line), Arc::clone(&line));
    let opened = device::open_microphone(
        name,
        move |samples, age| heard.hear(samples, age),
        move |reason| broken.breaks(reason),
    )?;
    Ok((opened, line))
}

fn listening(opened: Opened, line: Arc<Line>) -> Result<State, DeviceError> {
    let stretcher = Stretcher::new(opened.rate, SAMPLE_RATE, 1).map(Box::new);
    let stretcher = stretcher.map_err(|reason| DeviceError {
        device: format!("microphone '{}'", opened.name),
        reason,
        hint: "name another with --audio mic:NAME".to_owned(),
    })?;
    Ok(State::Open { opened, line, stretcher, heard_at: clock::now() })
}
