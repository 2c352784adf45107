//! When pictures have stopped and come back while the call goes on, theirs and ours. Pure: it is
//! shown the statistics of each second, and says what is new.

use crate::rtc::stats::Stats;

/// Seconds with sound and without a picture after which their pictures count as paused. A freeze is
/// shorter; a lost path has no sound either.
const STILL_FOR: u32 = 3;

/// Whose pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Ours.
    Local,
    /// Theirs.
    Remote,
}

/// Pictures stopped, or came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PictureNews {
    /// The path carries sound alone.
    Paused(Side),
    /// They flow again.
    Resumed(Side),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    ours: bool,
    theirs: bool,
    still: u32,
    decoded: u64,
    sound: u64,
}

impl Pauses {
    /// A second of the call went by; `held` says that our pictures are held back, because the path
    /// carries sound alone.
    pub(super) fn look(&mut self, held: bool, stats: &Stats) -> Vec<PictureNews> {
        let mut news = Vec::new();
        if held != self.ours {
            self.ours = held;
            news.push(told(held, Side::Local));
        }
        let decoded = stats.inbound.video.as_ref().map_or(0, |video| video.frames_decoded);
        let sound = stats.inbound.audio.as_ref().map_or(0, |audio| audio.packets_received);
        if decoded != self.decoded {
            self.still = 0;
        } else if decoded > 0 && sound > self.sound {
            self.still += 1;
        }
        (self.decoded, self.sound) = (decoded, sound);
        let still = self.still >= STILL_FOR;
        if still != self.theirs {
            self.theirs = still;
            news.push(told(still, Side::Remote));
        }
        news
    }
}

fn told(paused: bool, side: Side) -> PictureNews {
    if paused { PictureNews::Paused(side) } else { PictureNews::Resumed(side) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtc::stats::{InboundAudio, InboundVideo};

    fn seen(frames_decoded: u64, packets_received: u64) -> Stats {
        let mut stats = Stats::default();
        stats.inbound.video = Some(InboundVideo { frames_decoded, ..Default::default() });
        stats.inbound.audio = Some(InboundAudio { packets_received, ..Default::default() });
        stats
    }

    #[test]
    fn theirs_are_paused_while_only_sound_comes() {
        let mut pauses = Pauses::default();
        // Nothing yet, pictures, a freeze, pictures, sound alone, pictures.
        let pictures = [0, 0, 0, 0, 30, 60, 60, 60, 90, 90, 90, 90, 90, 120, 150];
        let news: Vec<_> = (0_u64..)
            .zip(pictures)
            .map(|(second, decoded)| pauses.look(false, &seen(decoded, 50 * second)))
            .collect();
        let told: Vec<_> = (0..).zip(&news).filter(|(_, news)| !news.is_empty()).collect();
        let (paused, resumed) =
            (vec![PictureNews::Paused(Side::Remote)], vec![PictureNews::Resumed(Side::Remote)]);
        assert_eq!(told, [(11, &paused), (13, &resumed)]);
    }

    #[test]
    fn a_lost_path_is_no_pause() {
        let mut pauses = Pauses::default();
        assert!((0..20).all(|_| pauses.look(false, &seen(30, 50)).is_empty()));
    }

    #[test]
    fn ours_are_told_once() {
        let mut pauses = Pauses::default();
        let held = [false, true, true, false];
        let news = held.map(|held| pauses.look(held, &Stats::default()));
        let (paused, resumed) =
            (vec![PictureNews::Paused(Side::Local)], vec![PictureNews::Resumed(Side::Local)]);
        assert_eq!(news, [vec![], paused, vec![], resumed]);
    }
}
