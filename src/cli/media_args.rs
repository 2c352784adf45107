//! The media flags, the same on every command that has media.
//!
//! Owns the words and their turning into the library's options. It opens no
//! device and no file; whether a source works is found out by the library.

use std::path::PathBuf;

use clap::Args;

use super::values;
use crate::media::frame::Size;
use crate::media::sink::{SinkOptions, SpeakerSpec, ViewSpec};
use crate::media::source::{AudioSourceSpec, MediaOptions, VideoSourceSpec};

/// What is sent, shown and recorded.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Media")]
pub struct MediaArgs {
    /// Picture to send: test, none, or a FILE (y4m, mp4, mkv, ivf, h264); camera and screen come later
    #[arg(long, value_name = "SOURCE", default_value = "test")]
    video: VideoSourceSpec,
    /// Sound to send: tone, none, or a FILE (wav, ogg, mp4, mkv); mic comes later
    #[arg(long, value_name = "SOURCE", default_value = "tone")]
    audio: AudioSourceSpec,
    /// Size to send, such as 1280x720 [default: the file's own, 640x360 for the test picture]
    #[arg(long, value_name = "WxH")]
    size: Option<Size>,
    /// Pictures a second, 1 to 120 [default: the file's own, at most 30]
    #[arg(long, value_name = "N", value_parser = values::fps)]
    fps: Option<f64>,
    /// The most that we send, bits a second: 2M, 1500k or 800000
    #[arg(long, value_name = "RATE", default_value = "2M", value_parser = values::bitrate)]
    pub max_bitrate: u32,
    /// Play a file once and end the call with it; otherwise it loops
    #[arg(long)]
    once: bool,
    /// Where to show their picture: none; window and terminal come later
    #[arg(long, value_name = "WHERE", default_value = "none", value_parser = view)]
    view: ViewSpec,
    /// Where to play their sound: none; default and NAME come later
    #[arg(long, value_name = "WHERE", default_value = "none", value_parser = speaker)]
    speaker: SpeakerSpec,
    /// Record what they send, as received: FILE.mkv or FILE.mp4
    #[arg(long, value_name = "FILE", value_parser = recording)]
    record: Option<PathBuf>,
    /// Record what we send: FILE.mkv or FILE.mp4
    #[arg(long, value_name = "FILE", value_parser = recording)]
    record_local: Option<PathBuf>,
}

impl MediaArgs {
    /// What is sent.
    #[must_use]
    pub fn media_options(&self) -> MediaOptions {
        MediaOptions {
            video: self.video.clone(),
            audio: self.audio.clone(),
            size: self.size,
            fps: self.fps,
            once: self.once,
        }
    }

    /// What is shown, played and recorded.
    #[must_use]
    pub fn sink_options(&self) -> SinkOptions {
        SinkOptions {
            view: self.view,
            speaker: self.speaker.clone(),
            record: self.record.clone(),
            record_local: self.record_local.clone(),
        }
    }
}

fn view(text: &str) -> Result<ViewSpec, String> {
    match text {
        "window" => Ok(ViewSpec::Window),
        "terminal" => Ok(ViewSpec::Terminal),
        "none" => Ok(ViewSpec::None),
        _ => Err(format!("'{text}' is no place for pictures; write window, terminal or none")),
    }
}

fn speaker(text: &str) -> Result<SpeakerSpec, String> {
    match text {
        "" => Err("an empty speaker; write default, none or a name".into()),
        "default" => Ok(SpeakerSpec::Default),
        "none" => Ok(SpeakerSpec::None),
        name => Ok(SpeakerSpec::Named(name.to_owned())),
    }
}

/// The ending says which container is written.
fn recording(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    if ending.eq_ignore_ascii_case("mkv") || ending.eq_ignore_ascii_case("mp4") {
        Ok(path)
    } else {
        Err(format!("'{text}' ends neither in .mkv nor in .mp4"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        media: MediaArgs,
    }

    fn parse(words: &[&str]) -> Result<MediaArgs, String> {
        let words = std::iter::once("x").chain(words.iter().copied());
        Only::try_parse_from(words).map(|only| only.media).map_err(|e| e.to_string())
    }

    #[test]
    fn without_flags_a_test_call_is_sent_and_nothing_shown() {
        let args = parse(&[]).unwrap();
        let media = args.media_options();
        assert_eq!((media.video, media.audio), (VideoSourceSpec::Test, AudioSourceSpec::Tone));
        assert_eq!((media.size, media.fps, media.once), (None, None, false));
        assert_eq!(args.sink_options(), SinkOptions::default());
        assert_eq!(args.max_bitrate, 2_000_000);
    }

    #[test]
    fn every_flag_reaches_its_option() {
        let args = parse(&[
            "--video=a.mp4",
            "--audio=mic:desk",
            "--size=640x360",
            "--fps=25",
            "--once",
            "--view=window",
            "--speaker=hall",
            "--record=o.MKV",
            "--record-local=l.mp4",
            "--max-bitrate=800k",
        ])
        .unwrap();
        let media = args.media_options();
        assert_eq!(media.video, VideoSourceSpec::File("a.mp4".into()));
        assert_eq!(media.audio, AudioSourceSpec::Microphone(Some("desk".into())));
        assert_eq!(media.size, Some(Size { width: 640, height: 360 }));
        assert_eq!((media.fps, media.once), (Some(25.0), true));
        let sinks = args.sink_options();
        assert_eq!(sinks.view, ViewSpec::Window);
        assert_eq!(sinks.speaker, SpeakerSpec::Named("hall".into()));
        assert_eq!(sinks.record, Some("o.MKV".into()));
        assert_eq!(sinks.record_local, Some("l.mp4".into()));
        assert_eq!(args.max_bitrate, 800_000);
    }

    #[test]
    fn wrong_values_say_what_to_write() {
        for (flag, says) in [
            ("--video=", "empty source"),
            ("--size=640", "WIDTHxHEIGHT"),
            ("--size=641x360", "even"),
            ("--fps=0", "1 to 120"),
            ("--view=wall", "window, terminal or none"),
            ("--record=o.avi", ".mkv"),
            ("--record=o", ".mkv"),
        ] {
            let error = parse(&[flag]).unwrap_err();
            assert!(error.contains(says), "{flag}: {error}");
        }
    }
}
