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

/// Whether news is late, and whose queue that may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// As late as usual, or less.
    Fresh,
    /// Late, but no later than what else comes the way back: it is held up there.
    HeldUp,
    /// Late, and nothing else explains it than our own path.
    Overdue,
}

/// How late news is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lateness {
    /// From the departure of the first packet of which nothing was heard, less a round trip.
    pub(super) whole: Duration,
    /// The same, less what the way back is known to take longer now.
    pub(super) ours: Duration,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Overdue {
    usual: Duration,
    news: News,
}

impl Default for Overdue {
    fn default() -> Self {
        Self { usual: AT_FIRST, news: News::Fresh }
    }
}

impl Overdue {
    /// Nothing new was heard up to now.
    pub(super) fn on_silence(&mut self, late: Lateness) {
        let bearable = self.usual.mul_f64(FACTOR) + SLACK;
        self.news = match late {
            late if late.whole <= bearable => News::Fresh,
            late if late.ours <= bearable => News::HeldUp,
            _ => News::Overdue,
        };
    }

    /// Something was heard that was this late; `calm` says that nothing waits on the path.
    pub(super) fn on_news(&mut self, late: Lateness, calm: bool) {
        self.on_silence(late);
        let was = std::mem::replace(&mut self.news, News::Fresh);
        if calm {
            let more = late.ours.saturating_sub(self.usual);
            let believed = if was == News::Fresh { more } else { more.mul_f64(BELIEVED) };
            self.usual =
                if more.is_zero() { self.usual.mul_f64(REMEMBERED) } else { self.usual + believed };
        }
    }

    /// Whether what was heard last is as fresh as usual.
    pub(super) fn news(&self) -> News {
        self.news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Late by so many ms, with nothing on the way back.
    fn late(ms: u32) -> Lateness {
        Lateness { whole: ms * MS, ours: ms * MS }
    }

    #[test]
    fn silence_is_overdue_by_what_is_usual() {
        let mut overdue = Overdue::default();
        (0..300).for_each(|n| overdue.on_news(late(20 + n % 3 * 20), true));
        overdue.on_silence(late(80));
        assert_eq!(overdue.news(), News::Fresh);
        overdue.on_silence(late(100));
        assert_eq!(overdue.news(), News::Overdue);
        overdue.on_silence(Lateness { whole: 100 * MS, ours: 50 * MS });
        assert_eq!(overdue.news(), News::HeldUp);
        overdue.on_news(late(140), true);
        assert_eq!(overdue.news(), News::Fresh, "it has come");
    }

    #[test]
    fn whoever_reports_seldom_is_soon_known() {
        let mut overdue = Overdue::default();
        (0..300).for_each(|_| overdue.on_news(late(30), true));
        let mut overdue_at = 0;
        for _ in 0..60 {
            overdue.on_silence(late(250));
            overdue_at += u32::from(overdue.news() == News::Overdue);
            overdue.on_news(late(250), true);
        }
        assert!(overdue_at < 40, "{overdue_at}");
    }
}
