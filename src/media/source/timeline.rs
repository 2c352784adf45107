//! The clock that the picture and the sound of one call share, so that they stay in sync.
//!
//! Owns when the call's media began and how long a file lasts before it
//! begins again. Knows nothing of files.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::clock;

/// Set when nobody wants what a source gives any more; a source that waits looks at it.
pub type StopFlag = Arc<AtomicBool>;

/// What picture and sound agree on that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shared {
    /// The time of the file that becomes zero, nanoseconds; `None` where they are of two files, each
    /// of which has its own.
    pub origin: Option<i64>,
    /// How long they last before both begin again; `None` when each repeats after its own length.
    pub period: Option<Duration>,
}

/// One time line for both media of a call; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    epoch: Arc<OnceLock<Instant>>,
    shared: Option<Shared>,
    told: Arc<AtomicBool>,
    stop: StopFlag,
}

/// How long a wait goes on without looking whether anybody still wants its end.
const LOOK: Duration = Duration::from_millis(100);

impl Timeline {
    /// A time line that starts when somebody first asks for a time on it.
    ///
    /// `shared`: what picture and sound agreed on, if they belong together.
    #[must_use]
    pub fn new(shared: Option<Shared>) -> Self {
        Self { shared, ..Self::default() }
    }

    /// One that began then.
    #[cfg(test)]
    #[must_use]
    pub fn begun(shared: Option<Shared>, at: Instant) -> Self {
        Self { epoch: Arc::new(OnceLock::from(at)), ..Self::new(shared) }
    }

    /// The length after which a file begins again, when picture and sound agreed on one.
    #[must_use]
    pub fn period(&self) -> Option<Duration> {
        self.shared?.period
    }

    /// The time of the file that becomes zero, nanoseconds, when picture and sound agreed on one.
    #[must_use]
    pub fn origin(&self) -> Option<i64> {
        self.shared?.origin
    }

    /// When `media` (time since the start of the media) is due. The first call starts the time line.
    #[must_use]
    pub fn due(&self, media: Duration) -> Instant {
        let epoch = *self.epoch.get_or_init(clock::now);
        // A time that nobody lives to see.
        epoch.checked_add(media).unwrap_or(epoch + Duration::from_secs(1 << 32))
    }

    /// Blocks until `media` is due, or nobody wants it any more; says when that was or would be.
    pub fn wait(&self, media: Duration) -> Instant {
        let due = self.due(media);
        loop {
            let now = clock::now();
            if now >= due || self.is_stopped() {
                return due;
            }
            clock::sleep_until(due.min(now + LOOK));
        }
    }

    /// Whether `media` was due already, without waiting.
    #[must_use]
    pub fn is_due(&self, media: Duration) -> bool {
        self.due(media) <= clock::now()
    }

    /// Whether nobody wants more.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Says what to look at; clones made later look at it too.
    pub fn set_stop(&mut self, stop: StopFlag) {
        self.stop = stop;
    }

    /// Whether what is to be said once was not said yet; then it counts as said.
    #[must_use]
    pub fn tell_once(&self) -> bool {
        !self.told.swap(true, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_one_start() {
        let period = Some(Duration::from_secs(3));
        let video = Timeline::new(Some(Shared { origin: Some(7), period }));
        let audio = video.clone();
        let start = video.due(Duration::ZERO);
        assert_eq!(audio.due(Duration::from_millis(20)), start + Duration::from_millis(20));
        assert_eq!(
            (video.period(), audio.period()),
            (Some(Duration::from_secs(3)), Some(Duration::from_secs(3)))
        );
        assert_eq!(audio.origin(), Some(7));
        assert!(video.tell_once() && !audio.tell_once());
    }

    #[test]
    fn a_wait_of_years_ends_when_nobody_wants_its_end() {
        let mut timeline = Timeline::default();
        let stop = StopFlag::default();
        timeline.set_stop(Arc::clone(&stop));
        let waiting = std::thread::spawn(move || timeline.wait(Duration::MAX));
        stop.store(true, Ordering::Relaxed);
        assert!(waiting.join().is_ok());
    }

    #[test]
    fn what_is_past_does_not_wait() {
        let timeline = Timeline::default();
        let start = timeline.wait(Duration::ZERO);
        assert!(timeline.is_due(Duration::ZERO));
        assert!(!timeline.is_due(Duration::from_secs(3600)));
        assert_eq!(timeline.due(Duration::ZERO), start);
    }
}
