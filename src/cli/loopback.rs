//! `peer loopback`: a real call with itself, measured.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::bad_network_args::BadNetworkArgs;
use super::exit::Failure;
use super::output::Output;
use super::report_table;
use super::signals::Interrupts;
use super::{format, values};
use crate::clock::rfc3339;
use crate::loopback::report::{LoopbackReport, Verdict};
use crate::loopback::{self, LoopbackConfig};
use crate::media::frame::Size;
use crate::media::source::{AudioSourceSpec, VideoSourceSpec};

/// Examples of `peer loopback --help`.
pub const EXAMPLES: &str = "\
Examples:
  peer loopback
  peer loopback --size 1280x720 --bitrate 2.5M --duration 30s
  peer loopback --video test --audio tone --json
  peer loopback --loss 5% --rate 1M --delay 50ms --jitter 20ms --queue 300ms
  peer loopback --network 'rate=3M,delay=25ms;18 rate=600k;30 rate=3M' --duration 45s --bitrate 4M";

/// What comes after the flags.
pub const NOTES: &str = "\
Exits with 0 only when everything measured is good enough.

Over a bad network that is what a good call can be there: nothing is asked of the picture's quality;
pictures come within 200 ms more than the network takes (its delay, jitter and whole queue, and once there and
back for a repair); no more pictures are missing than the network loses, nor more sound than half of that; and
in the last three seconds pictures come, in time, unless the rate is under 200k, where sound alone is enough.";

/// Flags of `peer loopback`.
#[derive(Debug, Args)]
pub struct LoopbackCommand {
    /// Picture to send: test, none, or a FILE (y4m, mp4, mkv, ivf, h264) [default: the clip that comes with peer]
    #[arg(long, value_name = "SOURCE", help_heading = "Media")]
    video: Option<VideoSourceSpec>,
    /// Sound to send: tone, none, or a FILE (wav, ogg, mp4, mkv) [default: the speech that comes with peer]
    #[arg(long, value_name = "SOURCE", help_heading = "Media")]
    audio: Option<AudioSourceSpec>,
    /// Size to send, such as 1280x720 [default: the clip's own]
    #[arg(long, value_name = "WxH", help_heading = "Media")]
    size: Option<Size>,
    /// Pictures a second, 1 to 120 [default: the clip's own]
    #[arg(long, value_name = "N", value_parser = values::fps, help_heading = "Media")]
    fps: Option<f64>,
    /// The most that each side sends, bits a second: 2M, 1500k or 800000
    #[arg(long, value_name = "RATE", visible_alias = "max-bitrate", default_value = "1.5M",
          value_parser = values::bitrate, help_heading = "Media")]
    bitrate: u32,
    /// The least that each side sends, whatever the network carries [default: what sound needs]
    #[arg(long, value_name = "RATE", value_parser = values::bitrate, help_heading = "Media")]
    min_bitrate: Option<u32>,
    /// How long the call is measured
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = values::duration,
          help_heading = "Call")]
    duration: Duration,
    /// The network it goes over.
    #[command(flatten)]
    network: BadNetworkArgs,
}

impl LoopbackCommand {
    fn config(self) -> LoopbackConfig {
        LoopbackConfig {
            video: self.video,
            audio: self.audio,
            size: self.size,
            fps: self.fps,
            max_bitrate: self.bitrate,
            min_bitrate: self.min_bitrate,
            duration: self.duration,
            network: self.network.network(),
        }
    }
}

/// The `report` event.
#[derive(Serialize)]
struct ReportEvent<'a> {
    event: &'static str,
    #[serde(serialize_with = "rfc3339")]
    time: std::time::SystemTime,
    #[serde(flatten)]
    report: &'a LoopbackReport,
}

/// Calls itself and says how good it was.
///
/// # Errors
/// When there is no report, or its verdict is not `pass`.
pub async fn run(command: LoopbackCommand, output: &Output) -> Result<(), Failure> {
    let mut interrupts = Interrupts::listen()?;
    let config = command.config();
    let whole = format::seconds(config.duration);
    output.say(&format!("calling itself for {whole}"));
    let progress = |passed: Duration| {
        output.status(&format!("measuring, {} of {whole}", format::seconds(passed)));
    };
    let report = tokio::select! {
        report = loopback::run(config, progress) => report,
        () = interrupts.first() => return Err(Failure::NoReport),
    };
    output.clear_status();
    let report = report?;
    let event = ReportEvent { event: "report", time: crate::clock::wall(), report: &report };
    output.answer(&report_table::lines(&report), &event)?;
    match report.verdict {
        Verdict::Pass => Ok(()),
        Verdict::FellShort(lines) => Err(Failure::FellShort(lines)),
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
        command: LoopbackCommand,
    }

    fn parse(words: &[&str]) -> LoopbackConfig {
        let words = std::iter::once("x").chain(words.iter().copied());
        Only::try_parse_from(words).unwrap().command.config()
    }

    #[test]
    fn without_flags_the_shipped_clip_is_measured_for_ten_seconds() {
        let config = parse(&[]);
        assert_eq!((config.video, config.audio, config.size, config.fps), (None, None, None, None));
        assert_eq!((config.max_bitrate, config.duration), (1_500_000, Duration::from_secs(10)));
        assert_eq!(config.network, None);
    }

    #[test]
    fn every_flag_reaches_its_option() {
        let config = parse(&[
            "--video=test",
            "--audio=none",
            "--size=1280x720",
            "--fps=25",
            "--max-bitrate=2.5M",
            "--min-bitrate=100k",
            "--duration=1s",
            "--loss=3%",
        ]);
        assert_eq!(config.video, Some(VideoSourceSpec::Test));
        assert_eq!(config.audio, Some(AudioSourceSpec::None));
        assert_eq!(config.size, Some(Size { width: 1280, height: 720 }));
        assert_eq!((config.fps, config.max_bitrate), (Some(25.0), 2_500_000));
        assert_eq!(config.min_bitrate, Some(100_000));
        assert_eq!(config.duration, Duration::from_secs(1));
        assert_eq!(config.network.map(|network| network.to_string()).as_deref(), Some("loss=3%"));
        assert_eq!(parse(&["--bitrate=800k"]).max_bitrate, 800_000);
    }
}
