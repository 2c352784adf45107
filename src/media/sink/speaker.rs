//! A speaker as a sink: it asks for sound when it wants some, stretched to its clock.
//!
//! Owns what runs on the sound system's thread, and what happens when the device
//! goes away. How a device is opened is `audio/device.rs`; how much sound waits is
//! decided in `playout`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{AudioSink, Portion, SinkError, SoundFeed};
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
    feed: Feed,
    state: State,
    notices: VecDeque<DeviceNotice>,
}

/// Where sound comes from, once somebody has said so.
#[derive(Clone, Default)]
struct Feed(Option<SoundFeed>);

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Feed").field(&self.0.is_some()).finish()
    }
}

#[derive(Debug)]
enum State {
    Open { opened: Opened, line: Arc<Line>, since: Instant },
    Gone(Reopen<(Opened, Arc<Line>)>),
}

/// What our thread and the sound system's share.
#[derive(Debug, Default)]
struct Line(Mutex<Pump>);

impl Line {
    fn lock(&self) -> std::sync::MutexGuard<'_, Pump> {
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
            feed: Feed::default(),
            state: State::Open { opened, line, since: clock::now() },
            notices: VecDeque::new(),
        })
    }

    fn lose(&mut self, reason: &str) {
        let message =
            format!("{} is gone ({reason}); nothing is heard until it is back", self.called());
        self.notices.push_back(DeviceNotice { news: DeviceNews::Lost, message });
        if let State::Open { opened, line, .. } =
            std::mem::replace(&mut self.state, State::Gone(Reopen::default()))
        {
            // Should it still ask, it gets nothing: others play meanwhile.
            line.lock().feed = Feed::default();
            let_go(opened);
        }
    }

    fn look_for_it(&mut self) {
        let State::Gone(reopen) = &mut self.state else { return };
        let (name, reference) = (self.name.clone(), self.reference.clone());
        let opened = reopen.poll(clock::now(), move || open(name.as_deref(), &reference));
        if let Some((opened, line)) = opened {
            line.lock().feed = self.feed.clone();
            self.state = State::Open { opened, line, since: clock::now() };
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
    fn attach(&mut self, feed: SoundFeed) {
        self.feed = Feed(Some(feed));
        if let State::Open { line, .. } = &self.state {
            line.lock().feed = self.feed.clone();
        }
    }

    fn asks(&mut self) -> bool {
        let State::Open { line, since, .. } = &self.state else { return false };
        let mut pump = line.lock();
        let asked_at = pump.asked_at.unwrap_or(*since);
        let silent = clock::now().saturating_duration_since(asked_at) > PATIENCE;
        let broken = pump.broken.take();
        drop(pump);
        match broken.or_else(|| silent.then(|| "it stopped accepting sound".to_owned())) {
            Some(reason) => self.lose(&reason),
            None => return true,
        }
        false
    }

    fn play(&mut self, _: &AudioFrame) -> Result<(), SinkError> {
        // It asks for sound itself as long as it is there.
        self.look_for_it();
        Ok(())
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
            let mut pump = asked.lock();
            pump.asked_at = Some(clock::now());
            if let Err(reason) = pump.fill(rate, channels, block, ahead) {
                pump.broken = Some(reason);
            }
            drop(pump);
            reference.played(rate, channels, block, ahead);
        },
        move |reason| broken.lock().broken = Some(reason),
    )?;
    Ok((opened, line))
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

/// Samples per channel that are asked for at a time, 2.5 ms: what is asked for too early waits here.
const PORTION: usize = 120;

/// Portions in 10 ms, after which the stretching is looked at.
const PORTIONS: usize = 4;

/// Takes sound from the feed, in the channels, at the rate and by the clock of the device.
#[derive(Debug, Default)]
struct Pump {
    feed: Feed,
    stretcher: Option<Stretcher>,
    drift: DriftControl,
    portions: usize,
    /// Interleaved, as the device wants it.
    ready: Vec<f32>,
    asked_at: Option<Instant>,
    broken: Option<String>,
}

impl Pump {
    /// Gives the speaker what it asks for, to be heard after `ahead`; silence where there is nothing.
    fn fill(
        &mut self,
        rate: u32,
        channels: usize,
        block: &mut [f32],
        ahead: Duration,
    ) -> Result<(), String> {
        let Feed(Some(feed)) = self.feed.clone() else { return Ok(()) };
        let channels = channels.max(1);
        let scale = f64::from(SAMPLE_RATE) / f64::from(rate.max(1));
        let at_once = ((block.len() / channels) as f64 * scale).round() as usize;
        while self.ready.len() < block.len() {
            let waits = (self.ready.len() / channels) as f64 / f64::from(rate);
            let delay = ahead + Duration::from_secs_f64(waits);
            let Some(next) = feed(Portion { samples: PORTION, at_once, delay }) else { break };
            let stretcher = match &mut self.stretcher {
                Some(stretcher) => stretcher,
                empty => empty.insert(Stretcher::new(SAMPLE_RATE, rate, channels)?),
            };
            let samples = with_channels(&next.frame, channels);
            stretcher.push(&samples, self.drift.ratio(), &mut self.ready)?;
            self.portions += 1;
            if self.portions.is_multiple_of(PORTIONS) {
                self.drift.on_error(next.missing);
            }
        }
        let there = block.len().min(self.ready.len());
        block[..there].copy_from_slice(&self.ready[..there]);
        self.ready.drain(..there);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::playout::audio::PlayedBlock;

    /// Gives a rising ramp, and says what was asked for.
    fn ramp(missing: f64) -> (SoundFeed, Arc<Mutex<Vec<f32>>>) {
        let given = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&given);
        let feed = move |Portion { samples, .. }: Portion| {
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            let from = told.len();
            told.extend((from..from + samples).map(|n| n as f32 * 1e-5));
            let frame = AudioFrame {
                samples: told[from..].to_vec(),
                channels: 1,
                captured_at: clock::now(),
            };
            Some(PlayedBlock { frame, missing, rtp_timestamp: None })
        };
        (Arc::new(feed), given)
    }

    fn given(told: &Mutex<Vec<f32>>) -> usize {
        told.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    #[test]
    fn no_more_is_asked_for_than_is_wanted() {
        let (feed, told) = ramp(0.0);
        let mut pump = Pump { feed: Feed(Some(feed)), ..Pump::default() };
        let mut heard = Vec::new();
        for _ in 0..100 {
            let mut block = [0.0; 480];
            assert_eq!(pump.fill(48_000, 1, &mut block, Duration::ZERO), Ok(()));
            heard.extend(block);
        }
        assert!(given(&told) < heard.len() + 2 * PORTION, "{}", given(&told));
        let rises = heard[100..].windows(2).all(|pair| pair[1] > pair[0]);
        assert!(rises, "nothing is lost and nothing is heard twice");
    }

    #[test]
    fn sound_that_waits_too_long_is_played_faster() {
        for (missing, faster) in [(-960.0, true), (960.0, false)] {
            let (feed, told) = ramp(missing);
            let mut pump = Pump { feed: Feed(Some(feed)), ..Pump::default() };
            for _ in 0..1_000 {
                let filled = pump.fill(48_000, 1, &mut [0.0; 480], Duration::ZERO);
                assert_eq!(filled, Ok(()));
            }
            assert_eq!(given(&told) > 480_000 + 480, faster, "{}", given(&told));
        }
    }

    #[test]
    fn without_a_feed_it_is_quiet() {
        let mut block = [0.0; 480];
        let mut pump = Pump::default();
        assert_eq!(pump.fill(44_100, 2, &mut block, Duration::ZERO), Ok(()));
        assert!(block.iter().all(|sample| *sample == 0.0));
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
