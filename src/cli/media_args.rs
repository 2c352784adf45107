//! The media flags, the same on every command that has media.
//!
//! Owns the words and their turning into the library's options. It opens no
//! device and no file; whether a source works is found out by the library.

use std::path::{Path, PathBuf};

use clap::Args;

use super::values;
use crate::media::adaptation::{Content, RateOptions};
use crate::media::audio::echo::EchoReference;
use crate::media::audio::voice::VoiceOptions;
use crate::media::frame::{MaxPicture, Size};
use crate::media::sink::{SinkOptions, SpeakerSpec, ViewSpec};
use crate::media::source::file::live::{self, LiveShare};
use crate::media::source::screen::ScreenShare;
use crate::media::source::{AudioSourceSpec, MediaOptions, VideoSourceSpec};

/// What is sent, shown and recorded.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Media")]
pub struct MediaArgs {
    /// Picture to send: camera, camera:N, camera:NAME, screen, screen:N, test, none, or a FILE (y4m,
    /// mp4, mkv, ivf, h264); auto is the camera if there is one
    #[arg(long, value_name = "SOURCE", default_value = "auto")]
    pub video: VideoSourceSpec,
    /// Sound to send: mic, mic:NAME, tone, none, or a FILE (wav, ogg, mp4, mkv); auto is the
    /// microphone if there is one
    #[arg(long, value_name = "SOURCE", default_value = "auto")]
    audio: AudioSourceSpec,
    /// Size to send, such as 1280x720 [default: the file's own, 640x360 for the test picture]
    #[arg(long, value_name = "WxH")]
    size: Option<Size>,
    /// The largest pictures that are decoded, of a file and of theirs, either way round
    #[arg(long, value_name = "WxH", default_value = "4096x2304")]
    max_picture: MaxPicture,
    /// Pictures a second, 1 to 120 [default: the file's own, at most 30]
    #[arg(long, value_name = "N", value_parser = values::fps)]
    fps: Option<f64>,
    /// The most that we send, bits a second: 2M, 1500k or 800000 [default: what the size is worth, 2M
    /// at 640x360, 5.7M at 1280x720]
    #[arg(long, value_name = "RATE", value_parser = values::bitrate)]
    max_bitrate: Option<u32>,
    /// The least that we send, whatever the path seems to carry, as long as the other side says that it
    /// arrives [default: what sound needs]
    #[arg(long, value_name = "RATE", value_parser = values::bitrate)]
    min_bitrate: Option<u32>,
    /// What to keep when the path is too narrow: motion keeps the pictures a second and makes them
    /// smaller, detail keeps the size and sends fewer
    #[arg(long, value_name = "KIND", default_value = "motion")]
    content: Content,
    /// Play a file once and end the call with it; otherwise it loops
    #[arg(long)]
    once: bool,
    /// Where to show their picture: window, terminal, terminal:HOW or none; auto is a window if there is a
    /// display, else a terminal that is large enough. HOW is kitty, iterm, sixel, truecolor or 256, where peer cannot know it
    #[arg(long, value_name = "WHERE", default_value = "auto", value_parser = view)]
    pub view: ViewSpec,
    /// Where to play their sound: default, none or the NAME of a speaker; auto is the default one if
    /// there is one
    #[arg(long, value_name = "WHERE", default_value = "auto", value_parser = speaker)]
    speaker: SpeakerSpec,
    /// Record what they send, as received: FILE.mkv or FILE.mp4
    #[arg(long, value_name = "FILE", value_parser = recording)]
    record: Option<PathBuf>,
    /// Record what we send: FILE.mkv or FILE.mp4
    #[arg(long, value_name = "FILE", value_parser = recording)]
    record_local: Option<PathBuf>,
    /// Go on in another file after so long, such as 10m: FILE-2.mkv beside FILE.mkv
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    record_split: Option<std::time::Duration>,
    /// Leave in the microphone's sound what the speaker plays
    #[arg(long)]
    no_echo_cancellation: bool,
    /// Leave in the microphone's sound what is always there, such as fans
    #[arg(long)]
    no_noise_suppression: bool,
    /// Leave the microphone as loud as it is
    #[arg(long)]
    no_auto_gain: bool,
    /// Leave in the microphone's sound what is too low for a voice
    #[arg(long)]
    no_high_pass: bool,
}

impl MediaArgs {
    /// What is sent; `echo` is shared with the speaker.
    #[must_use]
    pub fn media_options(&self, echo: &EchoReference) -> MediaOptions {
        MediaOptions {
            video: self.video.clone(),
            audio: self.audio.clone(),
            size: self.size,
            fps: self.fps,
            once: self.once,
            voice: self.voice(),
            echo: echo.clone(),
            share: ScreenShare::default(),
            live: LiveShare::default(),
            max_picture: self.max_picture,
        }
    }

    /// Whether picture or sound come in where commands would.
    #[must_use]
    pub fn reads_standard_input(&self) -> bool {
        let sent = |path: &Path| live::is_standard_input(path);
        matches!(&self.video, VideoSourceSpec::File(path) if sent(path))
            || matches!(&self.audio, AudioSourceSpec::File(path) if sent(path))
    }

    /// What may be spent on it.
    #[must_use]
    pub fn rate_options(&self) -> RateOptions {
        RateOptions { max: self.max_bitrate, min: self.min_bitrate, content: self.content }
    }

    /// A voice is worked on where it can be heard together with a speaker; else it stays as it is.
    fn voice(&self) -> VoiceOptions {
        let on = self.speaker != SpeakerSpec::None;
        VoiceOptions {
            echo_cancellation: on && !self.no_echo_cancellation,
            noise_suppression: on && !self.no_noise_suppression,
            auto_gain: on && !self.no_auto_gain,
            high_pass: on && !self.no_high_pass,
        }
    }

    /// What is shown, played and recorded; `echo` is shared with the microphone.
    #[must_use]
    pub fn sink_options(&self, echo: &EchoReference) -> SinkOptions {
        SinkOptions {
            speaker: self.speaker.clone(),
            record: self.record.clone(),
            record_local: self.record_local.clone(),
            record_split: self.record_split,
            echo: echo.clone(),
            max_picture: self.max_picture,
        }
    }
}

fn view(text: &str) -> Result<ViewSpec, String> {
    match text {
        "auto" => Ok(ViewSpec::Auto),
        "window" => Ok(ViewSpec::Window),
        "terminal" => Ok(ViewSpec::Terminal(None)),
        "none" => Ok(ViewSpec::None),
        _ if text.starts_with("terminal:") => {
            text["terminal:".len()..].parse().map(|how| ViewSpec::Terminal(Some(how)))
        }
        _ => Err(format!("'{text}' is not a view; write window, terminal or none")),
    }
}

fn speaker(text: &str) -> Result<SpeakerSpec, String> {
    match text {
        "" => Err("no speaker is given; write default, none or a name".into()),
        "auto" => Ok(SpeakerSpec::Auto),
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
        Err(format!("'{text}' must end in .mkv or .mp4"))
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
    fn without_flags_what_there_is_is_used() {
        let args = parse(&[]).unwrap();
        let media = args.media_options(&EchoReference::default());
        assert_eq!((media.video, media.audio), (VideoSourceSpec::Auto, AudioSourceSpec::Auto));
        assert_eq!((media.size, media.fps, media.once), (None, None, false));
        assert_eq!(media.voice, VoiceOptions::default());
        let sinks = args.sink_options(&EchoReference::default());
        assert_eq!((args.view, sinks.speaker), (ViewSpec::Auto, SpeakerSpec::Auto));
        assert_eq!((sinks.record, sinks.record_local), (None, None));
        assert_eq!(args.rate_options(), RateOptions::default());
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
            "--min-bitrate=60k",
            "--content=detail",
            "--max-picture=7680x4320",
        ])
        .unwrap();
        let media = args.media_options(&EchoReference::default());
        assert_eq!(media.video, VideoSourceSpec::File("a.mp4".into()));
        assert_eq!(media.audio, AudioSourceSpec::Microphone(Some("desk".into())));
        assert_eq!(media.size, Some(Size { width: 640, height: 360 }));
        assert_eq!((media.fps, media.once), (Some(25.0), true));
        assert!(media.max_picture.admits(4320, 7680) && !media.max_picture.admits(7682, 16));
        let sinks = args.sink_options(&EchoReference::default());
        assert_eq!(sinks.max_picture, media.max_picture);
        assert_eq!(args.view, ViewSpec::Window);
        assert_eq!(sinks.speaker, SpeakerSpec::Named("hall".into()));
        assert_eq!(sinks.record, Some("o.MKV".into()));
        assert_eq!(sinks.record_local, Some("l.mp4".into()));
        let rate = args.rate_options();
        assert_eq!((rate.max, rate.min), (Some(800_000), Some(60_000)));
        assert_eq!(rate.content, Content::Detail);
    }

    #[test]
    fn each_part_of_the_voice_can_be_left_out() {
        let voice = |flags: &[&str]| parse(flags).unwrap().voice();
        assert!(!voice(&["--no-echo-cancellation"]).echo_cancellation);
        assert!(!voice(&["--no-noise-suppression"]).noise_suppression);
        assert!(!voice(&["--no-auto-gain"]).auto_gain);
        assert!(!voice(&["--no-high-pass"]).high_pass);
        assert!(!voice(&["--speaker=none"]).any(), "nobody hears the two together");
    }

    #[test]
    fn wrong_values_say_what_to_write() {
        for (flag, says) in [
            ("--video=", "no source is given"),
            ("--size=640", "WIDTHxHEIGHT"),
            ("--size=641x360", "even"),
            ("--max-picture=8k", "WIDTHxHEIGHT"),
            ("--max-picture=20000x16", "16384"),
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
