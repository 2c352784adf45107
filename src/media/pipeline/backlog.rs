//! Which of the pictures that wait for the decoder are decoded. Pure.
//!
//! A decoder that is slower than the stream would stay behind for ever. What
//! waited too long is dropped up to a picture that needs none of it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::media::encoded::EncodedFrame;

/// A picture that waited for the decoder so long is of no conversation.
const BEHIND: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// With when they came, oldest first.
    waiting: VecDeque<(Instant, EncodedFrame)>,
    /// What follows builds on pictures that were dropped.
    broken: bool,
}

impl Backlog {
    /// A picture came at `at`, whole.
    pub(super) fn push(&mut self, at: Instant, picture: EncodedFrame) {
        self.waiting.push_back((at, picture));
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Drops what is too old, and what builds on it; gives back how many pictures that were.
    pub(super) fn drop_late(&mut self, now: Instant) -> usize {
        let late = |(at, _): &(Instant, _)| now.saturating_duration_since(*at) > BEHIND;
        if !self.broken && !self.waiting.front().is_some_and(late) {
            return 0;
        }
        let whole = self.waiting.iter().rposition(|(_, picture)| picture.keyframe);
        let dropped = whole.unwrap_or(self.waiting.len());
        self.waiting.drain(..dropped);
        self.broken = whole.is_none();
        dropped
    }

    /// Whether nothing can be shown before another keyframe comes.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// The next picture to decode.
    pub(super) fn pop(&mut self) -> Option<EncodedFrame> {
        self.waiting.pop_front().map(|(_, picture)| picture)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::clock;
    use crate::media::codec::table;
    use crate::media::encoded::FrameTime;

    const MS: Duration = Duration::from_millis(1);

    fn picture(number: u32, keyframe: bool, at: Instant) -> EncodedFrame {
        let time = FrameTime::Received { rtp_timestamp: number, first_packet_at: at };
        EncodedFrame::picture(table::PICTURES[0], Bytes::new(), keyframe, time)
    }

    fn number(picture: &EncodedFrame) -> u32 {
        let FrameTime::Received { rtp_timestamp, .. } = picture.time else {
            panic!("{picture:?} was received");
        };
        rtp_timestamp
    }

    /// A stream of so many pictures a second for 20 s, and a decoder that takes so long for each; a
    /// keyframe comes 100 ms after one was asked for. Gives how late each was decoded, ms, how many were
    /// dropped, and how often a keyframe was asked for.
    fn decode(fps: u32, takes: Duration) -> (Vec<u128>, usize, usize) {
        let (start, mut backlog) = (clock::now(), Backlog::default());
        let (mut free, mut asked, mut requests) = (start, None::<Instant>, 0);
        let (mut late, mut dropped, mut built_on) = (vec![], 0, None);
        for n in 0..20 * fps {
            let at = start + Duration::from_secs(n.into()) / fps;
            // What the decoder did until then.
            while free <= at {
                let now = free;
                dropped += backlog.drop_late(now);
                if backlog.is_broken() && asked.is_none() {
                    (asked, requests) = (Some(now), requests + 1);
                }
                let Some(next) = backlog.pop() else { break };
                let follows = built_on.is_none_or(|before| number(&next) == before + 1);
                assert!(next.keyframe || follows, "{built_on:?} then {}", number(&next));
                built_on = Some(number(&next));
                late.extend(next.time.here().map(|at| (now - at).as_millis()));
                free = now + takes;
            }
            free = free.max(at);
            let answered = asked.is_some_and(|asked| at > asked + 100 * MS);
            asked = asked.filter(|_| !answered);
            backlog.push(at, picture(n, n == 0 || answered, at));
        }
        (late, dropped, requests)
    }

    #[test]
    fn a_decoder_that_keeps_up_drops_nothing() {
        let (late, dropped, requests) = decode(30, 20 * MS);
        assert_eq!((dropped, requests), (0, 0));
        assert!(late.iter().all(|late| *late < 50));
    }

    #[test]
    fn a_decoder_that_is_too_slow_is_never_far_behind() {
        for (fps, takes) in [(30, 40 * MS), (30, 100 * MS), (5, 300 * MS), (60, 700 * MS)] {
            let (late, dropped, requests) = decode(fps, takes);
            let most = late.iter().max().copied().unwrap_or(u128::MAX);
            assert!(most <= (BEHIND + takes).as_millis(), "{fps} {takes:?}: {most}");
            assert!(dropped > 0 && requests > 0, "{fps} {takes:?}");
            assert!(late.len() > 10, "{fps} {takes:?}: {} decoded", late.len());
        }
    }

    #[test]
    fn a_keyframe_that_waits_already_is_as_good() {
        let (start, mut backlog) = (clock::now(), Backlog::default());
        for n in 0..20 {
            backlog.push(start + n * 33 * MS, picture(n, n == 0 || n == 15, start));
        }
        assert_eq!(backlog.drop_late(start + 500 * MS), 0);
        assert_eq!(backlog.drop_late(start + 640 * MS), 15);
        assert!(!backlog.is_broken(), "nobody needs to be asked");
        assert_eq!(backlog.pop().map(|picture| number(&picture)), Some(15));
    }
}
