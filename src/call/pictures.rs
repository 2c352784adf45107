//! When a person must be told that pictures stop, or come again, though the call goes on. Pure.
//!
//! Ours stop where the path carries sound alone; theirs have stopped when
//! sound comes and no picture has for a while. Each is told once, and its end.

use std::time::{Duration, Instant};

/// So long without a picture of theirs, while sound comes, is told.
const DARK: Duration = Duration::from_secs(3);

/// What is to be told: a word for programs, a line for people.
pub(super) type Line = (&'static str, &'static str);

const OURS_STOP: Line = (
    "video-paused",
    "the path carries sound alone at the moment; our pictures come back by themselves",
);
const OURS_BACK: Line = ("video-resumed", "our pictures are sent again");
const THEIRS_STOP: Line =
    ("remote-video-paused", "their pictures have stopped, their sound still comes");
const THEIRS_BACK: Line = ("remote-video-resumed", "their pictures come again");

/// See the module.
#[derive(Debug, Default)]
pub(super) struct PictureNews {
    ours_paused: bool,
    theirs_dark: bool,
    /// Pictures decoded, and when the last of them was seen to be.
    decoded: Option<(u64, Instant)>,
    sound: u64,
}

impl PictureNews {
    /// How things stand at `now`: whether ours are paused, and how many pictures and packets of sound
    /// of theirs have come in all. Gives what is to be told.
    pub(super) fn look(
        &mut self,
        now: Instant,
        ours_paused: bool,
        decoded: u64,
        sound: u64,
    ) -> Vec<Line> {
        let mut news = Vec::new();
        if std::mem::replace(&mut self.ours_paused, ours_paused) != ours_paused {
            news.push(if ours_paused { OURS_STOP } else { OURS_BACK });
        }
        let sound_comes = std::mem::replace(&mut self.sound, sound) < sound;
        let last = match self.decoded {
            Some((before, at)) if before == decoded => at,
            _ => now,
        };
        self.decoded = Some((decoded, last));
        let dark = decoded > 0 && now.saturating_duration_since(last) >= DARK;
        // Without sound it is the path that is broken, which is told elsewhere.
        if dark && sound_comes && !self.theirs_dark {
            self.theirs_dark = true;
            news.push(THEIRS_STOP);
        } else if !dark && self.theirs_dark {
            self.theirs_dark = false;
            news.push(THEIRS_BACK);
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn each_stop_and_each_return_is_told_once() {
        let (mut news, start) = (PictureNews::default(), clock::now());
        let mut told = Vec::new();
        // Seconds: whether ours are paused, pictures and sound of theirs so far.
        let seconds = [
            (false, 0, 50),
            (false, 30, 100),
            (true, 60, 150),
            (true, 60, 200),
            (true, 60, 250),
            (true, 60, 300),
            (true, 60, 350),
            (false, 90, 400),
            (false, 120, 450),
        ];
        for (second, (paused, decoded, sound)) in (0..).zip(seconds) {
            let now = start + Duration::from_secs(second);
            told.extend(news.look(now, paused, decoded, sound).into_iter().map(|line| line.0));
        }
        let all =
            ["video-paused", "remote-video-paused", "video-resumed", "remote-video-resumed"];
        assert_eq!(told, all);
    }

    #[test]
    fn a_call_without_pictures_and_one_without_a_path_are_not_dark() {
        let (mut news, start) = (PictureNews::default(), clock::now());
        for second in 0..20 {
            let now = start + Duration::from_secs(second);
            assert!(news.look(now, false, 0, second * 50).is_empty());
        }
        for second in 20..40 {
            let now = start + Duration::from_secs(second);
            assert!(news.look(now, false, 10, 1_000).is_empty());
        }
    }
}
