//! Picture and sound on one clock: when a picture is due so that it stands with its sound, and by
//! how much sound should wait for pictures that take longer.
//!
//! Pure. RTCP sender reports tell which RTP timestamp of each stream belongs
//! to which moment of the sender (RFC 3550 section 6.4.1); the sound that is
//! playing tells which moment of the sender is now.

use std::time::{Duration, Instant};

use crate::sequence::ticks_between;

/// A picture waits for its sound at most so long: more is worse than lips that are off.
const MAX_WAIT: Duration = Duration::from_millis(120);

/// How fast a change in the sound's delay is followed, seconds: its position jumps by whole blocks,
/// pictures should not.
const FOLLOWS_IN: f64 = 0.15;

/// A delay that changes by more than this, seconds, is no wandering but a gap that was passed over, or
/// a sender that began anew: it is taken as it is.
const JUMP: f64 = 0.08;

/// Pictures may come this much after their sound, seconds, before it waits for them: less is not seen
/// (ITU-R BT.1359).
const NOT_SEEN: f64 = 0.045;

/// The most that sound waits for pictures, seconds, and by how much in a second that may change.
const MOST_FOR_PICTURES: f64 = 0.12;
const SOUND_MOVES: f64 = 0.04;

/// Pictures later than this, seconds, are held up by a gap, and sound does not wait for that.
const HELD_UP: f64 = 0.5;

/// How fast the lateness of pictures is followed, seconds of pictures; and the most that one of them
/// stands for.
const FOLLOWS_PICTURES_IN: f64 = 0.6;
const MOST_OF_ONE: f64 = 0.3;

/// One second of an NTP timestamp, 32.32 fixed point.
const NTP_SECOND: f64 = 4_294_967_296.0;

/// Turns the RTP timestamps of one stream into the sender's time.
#[derive(Debug, Clone, Copy)]
pub struct SenderClock {
    clock_rate: f64,
    report: Option<(f64, u32)>,
}

impl SenderClock {
    /// For a stream with this RTP clock, Hz.
    #[must_use]
    pub fn new(clock_rate: u32) -> Self {
        Self { clock_rate: f64::from(clock_rate), report: None }
    }

    /// Takes a sender report: NTP time (32.32 fixed point) and RTP timestamp of one moment.
    pub fn on_report(&mut self, ntp: u64, rtp: u32) {
        // Seconds of the sender's clock; a double holds them to half a microsecond.
        let seconds = ntp as f64 / NTP_SECOND;
        self.report = Some((seconds, rtp));
    }

    /// Seconds on the sender's clock at this RTP timestamp; `None` before the first report.
    #[must_use]
    pub fn seconds_at(&self, rtp: u32) -> Option<f64> {
        let (seconds, base) = self.report?;
        // The distance as signed: timestamps wrap, and a picture may be older than the report.
        let ticks = f64::from(ticks_between(base, rtp));
        Some(seconds + ticks / self.clock_rate)
    }
}

/// Keeps the pictures of a call with its sound.
#[derive(Debug)]
pub struct LipSync {
    video: SenderClock,
    audio: SenderClock,
    epoch: Instant,
    /// Local time of playing less the sender's time of capture, seconds, smoothed.
    delay: Option<f64>,
    /// When that was last heard of, seconds since `epoch`.
    heard_at: f64,
    /// How long after their sound pictures come out of the decoder, seconds, smoothed.
    behind: f64,
    /// When the last picture was captured, seconds of the sender.
    pictured: Option<f64>,
    sound_waits: f64,
}

impl LipSync {
    /// `epoch` is any instant; times are counted from it.
    #[must_use]
    pub fn new(video_clock: u32, audio_clock: u32, epoch: Instant) -> Self {
        Self {
            video: SenderClock::new(video_clock),
            audio: SenderClock::new(audio_clock),
            epoch,
            delay: None,
            heard_at: 0.0,
            behind: 0.0,
            pictured: None,
            sound_waits: 0.0,
        }
    }

    /// A sender report of the picture stream.
    pub fn on_video_report(&mut self, ntp: u64, rtp: u32) {
        self.video.on_report(ntp, rtp);
    }

    /// A sender report of the sound stream.
    pub fn on_audio_report(&mut self, ntp: u64, rtp: u32) {
        self.audio.on_report(ntp, rtp);
    }

    /// The sound with this RTP timestamp is played at `now`.
    pub fn on_playing(&mut self, rtp: u32, now: Instant) {
        let Some(captured) = self.audio.seconds_at(rtp) else { return };
        let at = now.saturating_duration_since(self.epoch).as_secs_f64();
        let passed = (at - self.heard_at).max(0.0);
        self.heard_at = self.heard_at.max(at);
        let measured = at - captured;
        self.delay = Some(match self.delay {
            Some(delay) if (measured - delay).abs() < JUMP => {
                delay + (measured - delay) * (passed / FOLLOWS_IN).min(1.0)
            }
            _ => measured,
        });
        // Sound that waits makes the pictures less late, so that this comes to rest by itself.
        let wanted = (self.sound_waits + self.behind - NOT_SEEN).clamp(0.0, MOST_FOR_PICTURES);
        let most = SOUND_MOVES * passed.min(1.0);
        self.sound_waits += (wanted - self.sound_waits).clamp(-most, most);
    }

    /// How much longer sound should wait than it must, for pictures that come later than it.
    #[must_use]
    pub fn sound_waits(&self) -> Duration {
        Duration::from_secs_f64(self.sound_waits.max(0.0))
    }

    /// When the picture with this RTP timestamp, decoded at `now`, is due: at once unless its sound
    /// is still to come.
    pub fn due(&mut self, rtp: u32, now: Instant) -> Instant {
        let (Some(captured), Some(delay)) = (self.video.seconds_at(rtp), self.delay) else {
            return now;
        };
        let since_epoch = now.saturating_duration_since(self.epoch).as_secs_f64();
        let wait = captured + delay - since_epoch;
        // Each counts by the time that it stands for: few pictures a second are believed as soon as many.
        let since = captured - self.pictured.replace(captured).unwrap_or(captured);
        if wait.abs() < HELD_UP {
            let weight = since.clamp(0.0, MOST_OF_ONE) / FOLLOWS_PICTURES_IN;
            self.behind += (-wait - self.behind) * weight;
        }
        if wait <= 0.0 || wait.is_nan() {
            return now;
        }
        now + Duration::from_secs_f64(wait.min(MAX_WAIT.as_secs_f64()))
    }

    /// How far the picture's capture lies behind the sound's, seconds, for these two timestamps:
    /// what a recording must know. `None` before both streams have reported.
    #[must_use]
    pub fn offset(&self, video_rtp: u32, audio_rtp: u32) -> Option<f64> {
        Some(self.video.seconds_at(video_rtp)? - self.audio.seconds_at(audio_rtp)?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::clock;

    fn ntp(seconds: f64) -> u64 {
        (seconds * NTP_SECOND) as u64
    }

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn pictures_wait_for_their_sound() {
        let start = clock::now();
        let mut sync = LipSync::new(90_000, 48_000, start);
        assert_eq!(sync.due(0, start), start, "nothing is known: show at once");
        // At second 1000 of the sender: video timestamp 900, audio timestamp 4800 short of a wrap.
        sync.on_video_report(ntp(1_000.0), 900);
        sync.on_audio_report(ntp(1_000.0), u32::MAX - 4_799);
        // Sound captured 100 ms later plays 160 ms after the start.
        sync.on_playing(0, start + ms(160));
        // The picture captured with it came out 50 ms earlier.
        let due = sync.due(900 + 9_000, start + ms(110));
        assert!(due.saturating_duration_since(start + ms(160)) < ms(1), "{:?}", due - start);
        // One that is late is shown at once.
        assert_eq!(sync.due(900 + 9_000, start + ms(200)), start + ms(200));
    }

    /// Both streams from second 1000 on; sound of each moment is played `sound` ms after it, its
    /// picture is decoded `picture` ms after it. Gives back when that was due, ms after it.
    fn run(
        sync: &mut LipSync,
        start: Instant,
        at: std::ops::Range<u64>,
        sound: u64,
        picture: u64,
    ) -> f64 {
        sync.on_video_report(ntp(1_000.0), 0);
        sync.on_audio_report(ntp(1_000.0), 0);
        let mut due = 0.0;
        for tick in at {
            let captured = tick * 10;
            sync.on_playing((captured * 48) as u32, start + ms(captured + sound));
            if tick % 3 == 0 {
                let shown = sync.due((captured * 90) as u32, start + ms(captured + picture));
                due = (shown - start).as_secs_f64() * 1e3 - captured as f64;
            }
        }
        due
    }

    #[test]
    fn after_a_gap_both_are_right_at_once() {
        let start = clock::now();
        let mut sync = LipSync::new(90_000, 48_000, start);
        let before = run(&mut sync, start, 0..500, 60, 40);
        assert!((before - 60.0).abs() < 1.0, "{before}");
        // Sound is late by a second, then by the old 60 ms again.
        run(&mut sync, start, 1_000..1_050, 1_060, 40);
        let after = run(&mut sync, start, 1_200..1_210, 60, 40);
        assert!((after - 60.0).abs() < 1.0, "{after}");
    }

    #[test]
    fn a_picture_moves_gently_and_never_waits_long() {
        let start = clock::now();
        let mut sync = LipSync::new(90_000, 48_000, start);
        run(&mut sync, start, 0..500, 60, 40);
        let soon = run(&mut sync, start, 500..504, 110, 40);
        let later = run(&mut sync, start, 504..600, 110, 40);
        assert!(soon < 90.0 && (later - 110.0).abs() < 2.0, "{soon} {later}");
        let long = run(&mut sync, start, 600..700, 400, 40);
        assert!((long - 160.0).abs() < 1.0, "{long}");
    }

    #[test]
    fn sound_waits_for_pictures_that_take_longer_and_not_for_those_of_a_gap() {
        let start = clock::now();
        let mut sync = LipSync::new(90_000, 48_000, start);
        run(&mut sync, start, 0..500, 60, 80);
        assert_eq!(sync.sound_waits(), ms(0), "20 ms are not seen");
        let mut last = Duration::ZERO;
        for part in 50..200 {
            let sound = 60 + sync.sound_waits().as_millis() as u64;
            run(&mut sync, start, part * 10..part * 10 + 10, sound, 180);
            let step = sync.sound_waits().saturating_sub(last);
            assert!(step < ms(6), "{step:?}");
            last = sync.sound_waits();
        }
        assert!((65..90).contains(&last.as_millis()), "{last:?}");
        for second in 20..30 {
            run(&mut sync, start, second * 100..second * 100 + 100, 60, 2_000);
        }
        assert!(sync.sound_waits() <= Duration::from_secs_f64(MOST_FOR_PICTURES));
        for second in 30..40 {
            run(&mut sync, start, second * 100..second * 100 + 100, 60, 40);
        }
        assert_eq!(sync.sound_waits(), ms(0));
    }

    #[test]
    fn sound_waits_as_soon_for_few_pictures_a_second_as_for_many() {
        for every in [3, 20] {
            let start = clock::now();
            let mut sync = LipSync::new(90_000, 48_000, start);
            sync.on_video_report(ntp(1_000.0), 0);
            sync.on_audio_report(ntp(1_000.0), 0);
            let mut reached = None;
            for tick in 0..600_u64 {
                let waits = sync.sound_waits().as_secs_f64() * 1e3;
                if waits > 55.0 {
                    reached.get_or_insert(tick * 10);
                }
                let played = tick * 10 + 60 + waits as u64;
                sync.on_playing((tick * 480) as u32, start + ms(played));
                if tick % every == 0 {
                    sync.due((tick * 900) as u32, start + ms(tick * 10 + 180));
                }
            }
            assert!(reached.is_some_and(|at| at < 3_000), "every {every}0 ms: {reached:?}");
        }
    }

    #[test]
    fn a_mad_report_delays_nothing_for_long() {
        let start = clock::now();
        let mut sync = LipSync::new(90_000, 48_000, start);
        sync.on_video_report(ntp(9_000_000.0), 0);
        sync.on_audio_report(ntp(1_000.0), 0);
        sync.on_playing(0, start);
        assert_eq!(sync.due(0, start), start + MAX_WAIT);
    }

    #[test]
    fn the_offset_of_two_streams_for_a_recording() {
        let mut sync = LipSync::new(90_000, 48_000, clock::now());
        assert_eq!(sync.offset(0, 0), None);
        sync.on_video_report(ntp(50.0), 90_000);
        sync.on_audio_report(ntp(52.0), 48_000);
        assert!((sync.offset(90_000, 0).unwrap() - (-1.0)).abs() < 1e-6);
    }

    proptest::proptest! {
        #[test]
        fn never_waits_too_long(reports: Vec<(bool, u64, u32)>, playing: u32, rtp: u32) {
            let start = clock::now();
            let mut sync = LipSync::new(90_000, 48_000, start);
            for (video, ntp, rtp) in reports {
                if video { sync.on_video_report(ntp, rtp) } else { sync.on_audio_report(ntp, rtp) }
                sync.on_playing(playing, start);
            }
            let wait = sync.due(rtp, start) - start;
            proptest::prop_assert!(wait <= MAX_WAIT);
        }
    }
}
