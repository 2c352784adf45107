//! The one table that turns the words of `--video` and `--audio` into sources.
//!
//! Everything that can be known about a file is found out here, before any
//! call. Owns the sharing of one time line by picture and sound.

use std::path::Path;

use super::camera::CameraSource;
use super::file::live::{self, LiveAudioSource, LiveVideoSource};
use super::file::{FileAudioSource, FileVideoSource, near, shared};
use super::microphone::Microphone;
use super::screen::ScreenSource;
use super::test::{TestPicture, Tone};
use super::timeline::{Shared, Timeline};
use super::{
    AudioSource, AudioSourceSpec, MediaOptions, SourceError, Sources, VideoSource, VideoSourceSpec,
};
use crate::media::audio::voice::Voice;
use crate::media::frame::Size;
use crate::media::identity::Identity;

/// Opens picture and sound of one call.
///
/// # Errors
/// When a file cannot be played, or this build has no such source.
pub fn open(options: &MediaOptions) -> Result<Sources, SourceError> {
    let timeline = Timeline::new(agreed(options)?);
    let video = open_video(options, &timeline);
    let audio = open_audio(options, &timeline);
    let mut sources = Sources::default();
    sources.video = match (video, &options.video) {
        (Err(SourceError::Device(error)), VideoSourceSpec::Auto) => {
            sources.missing.push(error.missing("no picture is sent"));
            None
        }
        (video, _) => video?,
    };
    sources.audio = match (audio, &options.audio) {
        (Err(SourceError::Device(error)), AudioSourceSpec::Auto) => {
            sources.missing.push(error.missing("no sound is sent"));
            None
        }
        (audio, _) => audio?,
    };
    Ok(sources)
}

fn open_video(
    options: &MediaOptions,
    timeline: &Timeline,
) -> Result<Option<Box<dyn VideoSource>>, SourceError> {
    Ok(match &options.video {
        VideoSourceSpec::None => None,
        VideoSourceSpec::File(path) if live::is_live(path) => {
            Some(Box::new(LiveVideoSource::open(path, options)?))
        }
        VideoSourceSpec::File(path) => {
            Some(Box::new(FileVideoSource::open(path, options, timeline.clone())?))
        }
        VideoSourceSpec::Test => {
            let size = options.size.unwrap_or(DEFAULT_SIZE);
            Some(Box::new(TestPicture::new(size, options.fps.unwrap_or(DEFAULT_FPS))))
        }
        VideoSourceSpec::Auto => Some(Box::new(camera(options, None)?)),
        VideoSourceSpec::Camera(wanted) => Some(Box::new(camera(options, wanted.clone())?)),
        VideoSourceSpec::Screen(number) => {
            let fps = options.fps.unwrap_or(DEFAULT_FPS);
            let share = options.share.clone();
            Some(Box::new(ScreenSource::open(number.unwrap_or(0), options.size, fps, share)?))
        }
    })
}

fn open_audio(
    options: &MediaOptions,
    timeline: &Timeline,
) -> Result<Option<Box<dyn AudioSource>>, SourceError> {
    Ok(match &options.audio {
        AudioSourceSpec::None => None,
        AudioSourceSpec::File(path) if live::is_live(path) => {
            Some(Box::new(LiveAudioSource::open(path, options)?))
        }
        AudioSourceSpec::File(path) => {
            Some(Box::new(FileAudioSource::open(path, options.once, timeline.clone())?))
        }
        AudioSourceSpec::Tone => Some(Box::new(Tone::new())),
        AudioSourceSpec::Auto => Some(Box::new(microphone(options, None)?)),
        AudioSourceSpec::Microphone(name) => Some(Box::new(microphone(options, name.clone())?)),
    })
}

fn camera(options: &MediaOptions, wanted: Option<String>) -> Result<CameraSource, SourceError> {
    Ok(CameraSource::open(wanted, options.size, options.fps)?)
}

fn microphone(options: &MediaOptions, name: Option<String>) -> Result<Microphone, SourceError> {
    let voice = options.voice.any().then(|| Voice::new(options.voice, Some(options.echo.clone())));
    Ok(Microphone::open(name, voice)?)
}

/// The test picture's size and rate, where nobody asks for others.
const DEFAULT_SIZE: Size = Size { width: 640, height: 360 };
const DEFAULT_FPS: f64 = 30.0;

/// What picture and sound agree on that are of one and the same file, or of two that last nearly the
/// same.
fn agreed(options: &MediaOptions) -> Result<Option<Shared>, SourceError> {
    match (&options.video, &options.audio) {
        // Each would take from the other what it reads.
        (VideoSourceSpec::File(video), AudioSourceSpec::File(audio))
            if live::is_live(video) && live::is_live(audio) && live::same_pipe(video, audio) =>
        {
            let reason = "one pipe cannot be both picture and sound; give the sound a pipe of its own \
                          (mkfifo) or a file, or use --audio none";
            Err(SourceError::Unsupported { path: video.clone(), reason: reason.to_owned() })
        }
        (VideoSourceSpec::File(video), AudioSourceSpec::File(audio))
            if same_file(video, audio) && !live::is_live(video) =>
        {
            let agreed = shared(video)?;
            Ok(agreed
                .map(|agreed| Shared { period: agreed.period.filter(|_| !options.once), ..agreed }))
        }
        (VideoSourceSpec::File(video), AudioSourceSpec::File(audio))
            if !options.once && !live::is_live(video) && !live::is_live(audio) =>
        {
            Ok(near(video, audio, options.max_picture))
        }
        _ => Ok(None),
    }
}

fn same_file(one: &Path, other: &Path) -> bool {
    Identity::of_input(one) == Identity::of_input(other)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn options(video: &str, audio: &str) -> MediaOptions {
        MediaOptions {
            video: video.parse().unwrap(),
            audio: audio.parse().unwrap(),
            once: true,
            ..MediaOptions::default()
        }
    }

    #[test]
    fn none_opens_nothing() {
        let sources = open(&options("none", "none")).unwrap();
        assert!(sources.video.is_none() && sources.audio.is_none());
    }
}
