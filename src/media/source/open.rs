//! The one table that turns the words of `--video` and `--audio` into sources.
//!
//! Everything that can be known about a file is found out here, before any
//! call. Owns the sharing of one time line by picture and sound.

use std::path::Path;

use super::file::{FileAudioSource, FileVideoSource, period};
use super::test::{TestPicture, Tone};
use super::timeline::Timeline;
use super::{
    AudioSource, AudioSourceSpec, MediaOptions, SourceError, Sources, VideoSource, VideoSourceSpec,
};
use crate::media::frame::Size;

/// Opens picture and sound of one call.
///
/// # Errors
/// When a file cannot be played, or this build has no such source.
pub fn open(options: &MediaOptions) -> Result<Sources, SourceError> {
    let timeline = Timeline::new(shared_period(options)?);
    Ok(Sources { video: open_video(options, &timeline)?, audio: open_audio(options, &timeline)? })
}

fn open_video(
    options: &MediaOptions,
    timeline: &Timeline,
) -> Result<Option<Box<dyn VideoSource>>, SourceError> {
    Ok(match &options.video {
        VideoSourceSpec::None => None,
        VideoSourceSpec::File(path) => {
            Some(Box::new(FileVideoSource::open(path, options, timeline.clone())?))
        }
        VideoSourceSpec::Test => {
            let size = options.size.unwrap_or(DEFAULT_SIZE);
            Some(Box::new(TestPicture::new(size, options.fps.unwrap_or(DEFAULT_FPS))))
        }
        VideoSourceSpec::Camera(_) => return Err(missing("a camera", PICTURE_HINT)),
        VideoSourceSpec::Screen(_) => return Err(missing("the screen", PICTURE_HINT)),
    })
}

fn open_audio(
    options: &MediaOptions,
    timeline: &Timeline,
) -> Result<Option<Box<dyn AudioSource>>, SourceError> {
    Ok(match &options.audio {
        AudioSourceSpec::None => None,
        AudioSourceSpec::File(path) => {
            Some(Box::new(FileAudioSource::open(path, options.once, timeline.clone())?))
        }
        AudioSourceSpec::Tone => Some(Box::new(Tone::new())),
        AudioSourceSpec::Microphone(_) => return Err(missing("a microphone", SOUND_HINT)),
    })
}

/// The test picture's size and rate, where nobody asks for others.
const DEFAULT_SIZE: Size = Size { width: 640, height: 360 };
const DEFAULT_FPS: f64 = 30.0;

const PICTURE_HINT: &str = "use --video test or --video FILE";
const SOUND_HINT: &str = "use --audio tone or --audio FILE";

fn missing(what: &str, hint: &str) -> SourceError {
    SourceError::NotInThisBuild { what: format!("capturing {what}"), hint: hint.to_owned() }
}

/// The length after which picture and sound of one and the same file begin again together.
fn shared_period(options: &MediaOptions) -> Result<Option<std::time::Duration>, SourceError> {
    match (&options.video, &options.audio) {
        (VideoSourceSpec::File(video), AudioSourceSpec::File(audio))
            if !options.once && same_file(video, audio) =>
        {
            period(video)
        }
        _ => Ok(None),
    }
}

fn same_file(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn options(video: &str, audio: &str) -> MediaOptions {
        MediaOptions {
            video: video.parse().unwrap(),
            audio: audio.parse().unwrap(),
            size: None,
            fps: None,
            once: true,
        }
    }

    #[test]
    fn what_this_build_lacks_is_named_with_a_way_out() {
        for (video, audio) in [("camera", "none"), ("screen", "none"), ("none", "mic")] {
            let error = open(&options(video, audio)).unwrap_err();
            assert!(matches!(error, SourceError::NotInThisBuild { .. }), "{error}");
            assert!(error.to_string().contains("use --"), "{error}");
        }
    }

    #[test]
    fn none_opens_nothing() {
        let sources = open(&options("none", "none")).unwrap();
        assert!(sources.video.is_none() && sources.audio.is_none());
    }
}
