//! What the speaker plays, for whoever must take it out of what the microphone hears.
//!
//! Owns the queue between the two; what is done with it is `voice.rs`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What one login's speaker plays. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct EchoReference(Arc<Mutex<Played>>);

/// Options that hold one are compared by what they ask for, and this asks for nothing.
impl PartialEq for EchoReference {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for EchoReference {}

#[derive(Debug, Default)]
struct Played {
    /// Mono, at `rate`.
    samples: VecDeque<f32>,
    rate: u32,
    /// How long it takes from here to the ear.
    ahead: Duration,
    /// Whether somebody takes what is put in.
    wanted: bool,
}

/// What is kept for a microphone that does not come for it: a second.
const MOST_SECONDS: usize = 1;

impl EchoReference {
    /// From the speaker's callback: interleaved samples that will be heard after `ahead`.
    pub(in crate::media) fn played(
        &self,
        rate: u32,
        channels: usize,
        samples: &[f32],
        ahead: Duration,
    ) {
        let mut played = self.lock();
        if !played.wanted {
            return;
        }
        if played.rate != rate {
            played.samples.clear();
            played.rate = rate;
        }
        played.ahead = ahead;
        let mono = samples.chunks_exact(channels.max(1));
        played.samples.extend(mono.map(|frame| frame.iter().sum::<f32>() / channels as f32));
        let most = rate as usize * MOST_SECONDS;
        let over = played.samples.len().saturating_sub(most);
        played.samples.drain(..over);
    }

    /// From the microphone: all whole blocks of 10 ms that were played since, their rate, and how
    /// long they take to the ear. The first call is what makes the speaker keep them.
    pub(super) fn take(&self, blocks: &mut Vec<f32>) -> (u32, Duration) {
        blocks.clear();
        let mut played = self.lock();
        played.wanted = true;
        let block = (played.rate / 100) as usize;
        if let Some(whole) = played.samples.len().checked_div(block) {
            blocks.extend(played.samples.drain(..whole * block));
        }
        (played.rate, played.ahead)
    }

    /// The microphone is closed.
    pub(super) fn leave(&self) {
        let mut played = self.lock();
        played.wanted = false;
        played.samples.clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Played> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_kept_that_nobody_takes() {
        let reference = EchoReference::default();
        let mut blocks = Vec::new();
        reference.played(48_000, 2, &[0.5; 9_600], Duration::ZERO);
        reference.take(&mut blocks);
        assert!(blocks.is_empty());
        reference.played(48_000, 2, &[0.5; 2_000], Duration::from_millis(20));
        assert_eq!(reference.take(&mut blocks), (48_000, Duration::from_millis(20)));
        assert_eq!(blocks, [0.5; 960], "whole blocks, as mono");
        for _ in 0..300 {
            reference.played(48_000, 1, &[0.5; 480], Duration::ZERO);
        }
        reference.take(&mut blocks);
        assert_eq!(blocks.len(), 48_000, "a second at most");
        reference.leave();
        reference.played(44_100, 1, &[0.5; 441], Duration::ZERO);
        reference.take(&mut blocks);
        assert!(blocks.is_empty());
    }
}
