//! What was found out of a path, told to who fills it.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::estimator::PathView;
use crate::rtc::path::Path;

/// While the path's queue drains, an encoder is told no less than this share of what it will get: for
/// so short a time a picture is better left out than made poor.
const LEAST_DIP: f64 = 0.6;

impl Path {
    pub(super) fn publish(&self, view: &PathView, repairs: f64, backlog: Duration) {
        let media = |rate: f64| {
            let rest = (rate - repairs).max(rate * 0.5);
            rest.clamp(0.0, f64::from(u32::MAX)) as u32
        };
        self.0.media.store(media(view.target.max(view.sustained * LEAST_DIP)), Relaxed);
        self.0.sustained.store(media(view.sustained), Relaxed);
        let draining = view.target < view.sustained * LEAST_DIP && !view.held_up;
        self.0.draining.store(draining, Relaxed);
        let micros = |span: Duration| u32::try_from(span.as_micros()).unwrap_or(u32::MAX);
        self.0.backlog_us.store(micros(backlog), Relaxed);
        self.0.rtt_us.store(micros(view.rtt), Relaxed);
        self.0.stalled.store(view.stalled, Relaxed);
        self.0.loss.store((view.loss * 1e6) as u32, Relaxed);
    }
}
