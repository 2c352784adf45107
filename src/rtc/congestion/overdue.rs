//! Whether news of what was sent is later than it usually is. Pure.
//!
//! A path that became narrow says so only when what was sent into it has come
//! through, and when the report has come back, perhaps through a queue too. By
//! then far too much is on its way. That no news comes is noticed sooner.

use std::time::Duration;

/// Before it is known how late news is: a slow report, and one that was lost.
const AT_FIRST: Duration = Duration::from_millis(200);

/// News that is this much later than it ever was, and this much beyond that, is overdue.
const FACTOR: f64 = 1.15;
const SLACK: Duration = Duration::from_millis(20);

/// What is remembered of the latest news, from each report to the next, and how much of news that
/// was overdue is believed to be usual from now on.
const REMEMBERED: f64 = 0.985;
const BELIEVED: f64 = 0.08;

/// See the module. Lateness is counted from the departure of the first packet of which nothing was
/// heard, less a round trip.
#[derive(Debug)]
pub(super) struct Overdue {
    usual: Duration,
    is_overdue: bool,
}

impl Default for Overdue {
    fn default() -> Self {
        Self { usual: AT_FIRST, is_overdue: false }
    }
}

impl Overdue {
    /// Nothing new was heard up to now.
    pub(super) fn on_silence(&mut self, late: Duration) {
        self.is_overdue = late > self.usual.mul_f64(FACTOR) + SLACK;
    }

    /// Something was heard that was this late; `calm` says that nothing waits on the path.
    pub(super) fn on_news(&mut self, late: Duration, calm: bool) {
        self.on_silence(late);
        let was_overdue = std::mem::take(&mut self.is_overdue);
        if calm {
            let more = late.saturating_sub(self.usual);
            let believed = if was_overdue { more.mul_f64(BELIEVED) } else { more };
            self.usual =
                if more.is_zero() { self.usual.mul_f64(REMEMBERED) } else { self.usual + believed };
        }
    }

    /// Whether nothing has been heard for longer than usual.
    pub(super) fn is_overdue(&self) -> bool {
        self.is_overdue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn silence_is_overdue_by_what_is_usual() {
        let mut overdue = Overdue::default();
        (0..300).for_each(|n| overdue.on_news((20 + n % 3 * 20) * MS, true));
        overdue.on_silence(80 * MS);
        assert!(!overdue.is_overdue());
        overdue.on_silence(100 * MS);
        assert!(overdue.is_overdue());
        overdue.on_news(140 * MS, true);
        assert!(!overdue.is_overdue(), "it has come");
    }

    #[test]
    fn whoever_reports_seldom_is_soon_known() {
        let mut overdue = Overdue::default();
        (0..300).for_each(|_| overdue.on_news(30 * MS, true));
        let mut late = 0;
        for _ in 0..60 {
            overdue.on_silence(250 * MS);
            late += u32::from(overdue.is_overdue());
            overdue.on_news(250 * MS, true);
        }
        assert!(late < 40, "{late}");
    }
}
