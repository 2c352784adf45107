//! The clock that the picture and the sound of one call share, so that they stay in sync.
//!
//! Owns when the call's media began and how long a file lasts before it
//! begins again. Knows nothing of files.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::clock;

/// One time line for both media of a call; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    epoch: Arc<OnceLock<Instant>>,
    period: Option<Duration>,
}

impl Timeline {
    /// A time line that starts when somebody first asks for a time on it.
    ///
    /// `period`: how long picture and sound of the same file last before both begin again; `None`
    /// when each repeats after its own length.
    #[must_use]
    pub fn new(period: Option<Duration>) -> Self {
        Self { epoch: Arc::default(), period }
    }

    /// The length after which a file begins again, when picture and sound agreed on one.
    #[must_use]
    pub fn period(&self) -> Option<Duration> {
        self.period
    }

    /// When `media` (time since the start of the media) is due. The first call starts the time line.
    #[must_use]
    pub fn due(&self, media: Duration) -> Instant {
        *self.epoch.get_or_init(clock::now) + media
    }

    /// Blocks until `media` is due, and says when that was.
    pub fn wait(&self, media: Duration) -> Instant {
        let due = self.due(media);
        clock::sleep_until(due);
        due
    }

    /// Whether `media` was due already, without waiting.
    #[must_use]
    pub fn is_due(&self, media: Duration) -> bool {
        self.due(media) <= clock::now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_one_start() {
        let video = Timeline::new(Some(Duration::from_secs(3)));
        let audio = video.clone();
        let start = video.due(Duration::ZERO);
        assert_eq!(audio.due(Duration::from_millis(20)), start + Duration::from_millis(20));
        assert_eq!(
            (video.period(), audio.period()),
            (Some(Duration::from_secs(3)), Some(Duration::from_secs(3)))
        );
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
