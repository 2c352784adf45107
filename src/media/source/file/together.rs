//! What picture and sound of files agree on, so that they begin again together.
//!
//! Owns how long files last, found without decoding, and which lengths are nearly the same. Plays
//! nothing.

use std::path::Path;
use std::time::Duration;

use super::pcm::Pcm;
use super::pictures::Pictures;
use super::{SourceError, in_file, open_file, packets};
use crate::media::container::{ContainerError, Kind};
use crate::media::frame::MaxPicture;
use crate::media::source::timeline::Shared;

/// Two files of which the shorter lasts so much of the longer, in hundredths, belong together.
const NEAR: u64 = 90;

/// Larger files are not looked through for how long they last, bytes: it would take seconds.
const MAX_LOOKED_THROUGH: u64 = 1 << 30;

/// Where picture and sound of one file begin and how long they last together, when the file has times
/// for both: then they begin again together, too.
///
/// # Errors
/// When either cannot be played.
pub fn shared(path: &Path) -> Result<Option<Shared>, SourceError> {
    let mut picture = match open_file(path)? {
        opened if matches!(opened.kind, Kind::Mp4 | Kind::Mkv) => {
            packets::open_pictures(opened).map_err(in_file(path))?.packets
        }
        _ => return Ok(None),
    };
    let mut sound = packets::open_sound(open_file(path)?).map_err(in_file(path))?.packets;
    let spans = (picture.span(), sound.span());
    let (Some(picture), Some(sound)) =
        (spans.0.map_err(in_file(path))?, spans.1.map_err(in_file(path))?)
    else {
        return Ok(None);
    };
    let origin = picture.0.min(sound.0);
    let period = sane(length((origin, picture.1.max(sound.1))));
    Ok(Some(Shared { origin: Some(origin), period }))
}

/// What two files agree on that last nearly the same, as those of one film do: both begin again with
/// the longer, or they would drift apart by the difference in each round. `None` for others, each of
/// which repeats by itself, and where it cannot be known.
#[must_use]
pub fn near(video: &Path, audio: &Path, most: MaxPicture) -> Option<Shared> {
    let picture = lasts(video, |opened| Pictures::of(opened, most)?.span())?;
    let sound = lasts(audio, |opened| Pcm::of(opened, None)?.span())?;
    let (short, long) = (picture.min(sound), picture.max(sound));
    let is_near = short.as_nanos() * 100 >= long.as_nanos() * u128::from(NEAR);
    is_near.then_some(Shared { origin: None, period: Some(long) })
}

type Span = Result<Option<(i64, i64)>, ContainerError>;

/// How long a file lasts. What is wrong with it, opening it will say.
fn lasts(path: &Path, span: impl FnOnce(super::Opened) -> Span) -> Option<Duration> {
    let opened = open_file(path).ok()?;
    let has_a_table = matches!(opened.kind, Kind::Mp4 | Kind::Y4m | Kind::Wav);
    if !has_a_table && path.metadata().ok()?.len() > MAX_LOOKED_THROUGH {
        return None;
    }
    sane(length(span(opened).ok()??))
}

fn length((begin, end): (i64, i64)) -> Duration {
    Duration::from_nanos(u64::try_from(end.saturating_sub(begin)).unwrap_or(0))
}

/// A length that nobody can mean is not believed.
fn sane(period: Duration) -> Option<Duration> {
    let sane = Duration::from_millis(10)..Duration::from_secs(7 * 24 * 3600);
    sane.contains(&period).then_some(period)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
#[path = "together_tests.rs"]
mod tests;
