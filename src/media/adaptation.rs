//! What sound and pictures are told, given what the path carries. Pure.
//!
//! Owns how a rate is shared out (`sound_share`, `picture_share`), and which size and frame rate a
//! rate is enough for (`Ladder`): what a rung needs, when to step, and when
//! pictures stop because the path carries sound alone.

use std::time::{Duration, Instant};

use crate::media::frame::Size;

/// What is given up first when a rate is not enough for everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Content {
    /// Things move: the size is given up, the frame rate stays.
    #[default]
    Motion,
    /// Things are to be read: the frame rate is given up, the size stays.
    Detail,
}

impl std::str::FromStr for Content {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "motion" => Ok(Self::Motion),
            "detail" => Ok(Self::Detail),
            _ => Err(format!("'{text}' is not a kind of content; write motion or detail")),
        }
    }
}

/// What a sender may spend, and on what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RateOptions {
    /// The most that sound and pictures may take, headers counted, bits a second; `None`: what the
    /// size of the pictures is worth.
    pub max: Option<u32>,
    /// The least that is aimed at whatever the path seems to carry, bits a second; `None`: what sound
    /// needs.
    pub min: Option<u32>,
    /// What is given up first.
    pub content: Content,
}

/// More than so many times what pictures of a size need can hardly be seen.
const WORTH: f64 = 6.7;

/// Bounds of what pictures are worth, bits a second.
const MAX_AT_LEAST: f64 = 1_000_000.0;
const MAX_AT_MOST: f64 = 10_000_000.0;

/// What pictures of that size and rate are worth at most, with sound, bits a second.
#[must_use]
pub fn worth(size: Size, fps: f64) -> u32 {
    let worth = Rung { size, fps: fps.min(60.0) }.needs() * WORTH;
    worth.clamp(MAX_AT_LEAST, MAX_AT_MOST) as u32
}

/// Sound may take this share of a path, copies of itself included, and on a narrow one what speech
/// needs to sound well, all headers counted, bits a second: it comes before pictures.
const SOUND_SHARE: f64 = 0.4;
const SOUND_AT_LEAST: u32 = 37_000;

/// What pictures leave of the rest for their headers and the encoder's unsteadiness: a queue that
/// grows costs more than it gives.
const PICTURE_SHARE: f64 = 0.92;

/// Pictures stop where the path carries less than this in all, and come back well above.
const SOUND_ALONE: u32 = 60_000;
const PICTURES_AGAIN: u32 = 85_000;
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// The least that an encoder is told, bits a second.
const LEAST_PICTURES: u32 = 15_000;

/// What sound may take of `path` bits a second, headers counted, bits a second.
#[must_use]
pub fn sound_share(path: u32) -> u32 {
    ((f64::from(path) * SOUND_SHARE) as u32).max(SOUND_AT_LEAST).min(path)
}

/// What the encoder of pictures is told, bits a second, where sound takes `sound` of `path` bits a
/// second, headers counted.
#[must_use]
pub fn picture_share(path: u32, sound: u32) -> u32 {
    let rest = f64::from(path.saturating_sub(sound)) * PICTURE_SHARE;
    (rest as u32).max(LEAST_PICTURES)
}

/// What a picture of a rung needs to be worth looking at: bits for a pixel to the power of three
/// quarters (large pictures have more in common with themselves), measured with OpenH264 and faces.
const NEED: f64 = 0.95;
const POWER: f64 = 0.75;

/// The sides of the rungs, as shares of the source's, in sixteenths.
const SIDES: [u32; 5] = [16, 12, 8, 6, 4];

/// No side is made smaller than this.
const SMALLEST_SIDE: u32 = 90;

/// The frame rates of the rungs, as divisors of the source's.
const DIVISORS: [u32; 4] = [1, 2, 3, 6];

/// A rung is left downwards with less than this share of what it needs, for so long; at once with
/// less than the second.
const TOO_LITTLE: f64 = 0.75;
const DOWN_AFTER: Duration = Duration::from_millis(700);
const FAR_TOO_LITTLE: f64 = 0.4;

/// It is left upwards with so much of what the next one needs, for so long. A step that had to be
/// taken back makes the next wait longer.
const PLENTY: f64 = 1.15;
const UP_AFTER: Duration = Duration::from_secs(2);
const UP_AT_MOST: Duration = Duration::from_secs(24);
const TAKEN_BACK: Duration = Duration::from_secs(8);

/// At first the rate is not known yet, and a small picture would be for nothing.
const GRACE: Duration = Duration::from_millis(1_200);

/// So little in all is no rate to begin with, but one that was found, bits a second.
const KNOWN_LITTLE: u32 = 200_000;

/// A size and a frame rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rung {
    /// Width x height.
    pub size: Size,
    /// Pictures a second.
    pub fps: f64,
}

impl Rung {
    /// Bits a second that make it worth looking at.
    fn needs(&self) -> f64 {
        let pixels = f64::from(self.size.width) * f64::from(self.size.height);
        NEED * pixels.powf(POWER) * self.fps
    }
}

/// See the module.
#[derive(Debug)]
pub struct Ladder {
    rungs: Vec<Rung>,
    at: usize,
    paused: bool,
    began_at: Option<Instant>,
    /// Since when the rate has been too little, or enough for more.
    little_since: Option<Instant>,
    plenty_since: Option<Instant>,
    again_since: Option<Instant>,
    went_up: Option<Instant>,
    patience: Duration,
}

impl Ladder {
    /// For pictures of that size and rate; begins at the top.
    #[must_use]
    pub fn new(size: Size, fps: f64, content: Content) -> Self {
        Self {
            rungs: rungs(size, fps, content),
            at: 0,
            paused: false,
            began_at: None,
            little_since: None,
            plenty_since: None,
            again_since: None,
            went_up: None,
            patience: UP_AFTER,
        }
    }

    /// The rung for `pictures` bits a second of `path` in all; `None` while the path carries sound
    /// alone.
    pub fn step(&mut self, now: Instant, path: u32, pictures: u32) -> Option<Rung> {
        let began_at = *self.began_at.get_or_insert(now);
        // Less than was begun with is known already.
        if now >= began_at + GRACE || path < KNOWN_LITTLE {
            self.pause(now, path);
            self.climb(now, f64::from(pictures));
        }
        (!self.paused).then(|| self.rungs[self.at])
    }

    /// Whether a faster path would have larger or more pictures.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.paused || self.at > 0
    }

    fn pause(&mut self, now: Instant, path: u32) {
        if path < SOUND_ALONE {
            (self.paused, self.again_since) = (true, None);
        } else if path >= PICTURES_AGAIN {
            let since = *self.again_since.get_or_insert(now);
            self.paused &= now < since + AGAIN_AFTER;
        } else {
            self.again_since = None;
        }
    }

    fn climb(&mut self, now: Instant, rate: f64) {
        let needs = self.rungs[self.at].needs();
        self.little_since = (rate < needs * TOO_LITTLE).then(|| self.little_since.unwrap_or(now));
        let above = self.at.checked_sub(1).and_then(|above| self.rungs.get(above));
        let plenty = above.is_some_and(|above| rate > above.needs() * PLENTY);
        self.plenty_since = plenty.then(|| self.plenty_since.unwrap_or(now));
        let long = self.little_since.is_some_and(|since| now >= since + DOWN_AFTER);
        if long || rate < needs * FAR_TOO_LITTLE {
            self.down(now, rate);
        } else if self.plenty_since.is_some_and(|since| now >= since + self.patience) {
            self.at -= 1;
            (self.plenty_since, self.went_up) = (None, Some(now));
        }
    }

    /// To the first rung that the rate is enough for.
    fn down(&mut self, now: Instant, rate: f64) {
        let lower = self.rungs.iter().enumerate().skip(self.at + 1);
        let enough = lower.into_iter().find(|(_, rung)| rung.needs() <= rate);
        let to = enough.map_or(self.rungs.len() - 1, |(index, _)| index);
        if to == self.at {
            return;
        }
        (self.at, self.little_since, self.plenty_since) = (to, None, None);
        let back = self.went_up.is_some_and(|at| now < at + TAKEN_BACK);
        self.patience = if back { (self.patience * 2).min(UP_AT_MOST) } else { UP_AFTER };
    }
}

/// From the best to the least, each needing less than the one before.
fn rungs(size: Size, fps: f64, content: Content) -> Vec<Rung> {
    let sizes =
        SIDES.iter().map(|side| Size::even(size.width * side / 16, size.height * side / 16));
    let sizes: Vec<Size> = sizes
        .enumerate()
        .filter(|(n, scaled)| *n == 0 || scaled.width.min(scaled.height) >= SMALLEST_SIDE)
        .map(|(_, scaled)| scaled)
        .collect();
    let rates: Vec<f64> = DIVISORS.iter().map(|divisor| fps / f64::from(*divisor)).collect();
    let (whole, least) = (size, sizes[sizes.len() - 1]);
    let mut rungs: Vec<Rung> = match content {
        Content::Motion => {
            let smaller = sizes.iter().map(|&size| Rung { size, fps });
            smaller.chain(rates[1..].iter().map(|&fps| Rung { size: least, fps })).collect()
        }
        Content::Detail => {
            let slower = rates.iter().map(|&fps| Rung { size: whole, fps });
            let slowest = rates[rates.len() - 1];
            slower.chain(sizes[1..].iter().map(|&size| Rung { size, fps: slowest })).collect()
        }
    };
    rungs.retain(|rung| rung.fps >= 1.0 || rung.fps == fps);
    rungs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::media::codec::table;

    const HD: Size = Size { width: 1280, height: 720 };
    const MS: Duration = Duration::from_millis(1);

    /// Sizes and rates seen, when each second of the call has the given rate in kbit/s.
    fn climb(content: Content, kbits: &[u32]) -> Vec<Option<(u32, u32)>> {
        let (mut ladder, start) = (Ladder::new(HD, 30.0, content), clock::now());
        let mut seen = Vec::new();
        for (second, kbit) in (0_u32..).zip(kbits) {
            for step in 0..30 {
                let path = kbit * 1_000;
                let now = start + (second * 1_000 + step * 33) * MS;
                let rung =
                    ladder.step(now, path, picture_share(path, sound_share(path).min(58_000)));
                let rung = rung.map(|rung| (rung.size.height, rung.fps as u32));
                if seen.last() != Some(&rung) {
                    seen.push(rung);
                }
            }
        }
        seen
    }

    #[test]
    fn sound_comes_first_and_pictures_stay_below_the_rest() {
        assert_eq!((sound_share(1_000_000), picture_share(1_000_000, 58_000)), (400_000, 866_640));
        assert_eq!((sound_share(90_000), picture_share(90_000, 36_000)), (37_000, 49_680));
        assert_eq!(sound_share(30_000), 30_000, "all of it");
        assert!(picture_share(u32::MAX, 0) < u32::MAX);
        assert_eq!(picture_share(0, 58_000), LEAST_PICTURES);
    }

    #[test]
    fn what_no_encoder_takes_is_made_smaller_from_the_beginning() {
        for ((width, height), (w, h)) in [
            ((4096, 2304), (3840, 2160)),
            ((2304, 4096), (2160, 3840)),
            ((4096, 4096), (2160, 2160)),
            ((4096, 1714), (3840, 1606)),
            ((3840, 2160), (3840, 2160)),
            ((1280, 720), (1280, 720)),
        ] {
            let size = table::PICTURES[0].encodable(Size { width, height });
            let mut ladder = Ladder::new(size, 30.0, Content::Motion);
            let rung = ladder.step(clock::now(), 90_000_000, 80_000_000).map(|rung| rung.size);
            assert_eq!(rung, Some(Size { width: w, height: h }));
        }
    }

    #[test]
    fn larger_pictures_are_worth_more() {
        let small = worth(Size { width: 640, height: 360 }, 30.0);
        assert!((1_900_000..2_100_000).contains(&small), "{small}");
        assert!((5_000_000..6_000_000).contains(&worth(HD, 30.0)));
        assert_eq!(worth(Size { width: 64, height: 64 }, 1.0), MAX_AT_LEAST as u32);
        assert_eq!(worth(Size { width: 4_096, height: 4_096 }, 120.0), MAX_AT_MOST as u32);
    }

    #[test]
    fn each_content_gives_up_what_it_can_spare() {
        let motion = climb(Content::Motion, &[300; 6]);
        assert_eq!((motion[0], motion.len()), (Some((720, 30)), 2));
        assert!(motion[1].is_some_and(|(height, fps)| height <= 360 && fps == 30), "{motion:?}");
        let detail = climb(Content::Detail, &[300; 6]);
        assert!(detail[1].is_some_and(|(height, fps)| height == 720 && fps <= 10), "{detail:?}");
    }

    #[test]
    fn comes_back_step_by_step_and_does_not_pump() {
        let up: Vec<u32> = [&[200; 5][..], &[3_000; 20]].concat();
        let seen = climb(Content::Motion, &up);
        assert_eq!(seen.last(), Some(&Some((720, 30))), "{seen:?}");
        let restless: Vec<u32> = (0..60).map(|n| if n % 6 < 3 { 900 } else { 450 }).collect();
        let seen = climb(Content::Motion, &restless);
        assert!(seen.len() < 14, "{seen:?}");
    }

    #[test]
    fn pictures_stop_where_only_sound_fits_and_return_by_themselves() {
        let seen = climb(Content::Motion, &[&[300; 3][..], &[40; 5], &[300; 5]].concat());
        assert!(seen.contains(&None), "{seen:?}");
        assert!(seen.last().is_some_and(Option::is_some), "{seen:?}");
    }

    #[test]
    fn every_rung_needs_less_than_the_one_above() {
        for content in [Content::Motion, Content::Detail] {
            for size in [HD, Size { width: 320, height: 180 }, Size { width: 64, height: 64 }] {
                let rungs = rungs(size, 30.0, content);
                assert!(rungs.windows(2).all(|pair| pair[0].needs() > pair[1].needs()));
            }
        }
    }
}
