//! What is logged, and where: to stderr, through the one printer.
//!
//! Owns the filter. The webrtc crates log session descriptions and addresses
//! below `error`, so they stay there at every `-v`; only RUST_LOG opens them.

use std::io::Write;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::output::Output;
use super::output_args::Volume;

/// Starts logging for the rest of the process.
pub fn start(output: &Output) {
    let (filter, complaint) = filter(std::env::var("RUST_LOG").ok().as_deref(), output.volume());
    // A second start in the same process leaves the first in place.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(ToOutput(output.clone()))
        .with_ansi(false)
        .try_init();
    if let Some(complaint) = complaint {
        tracing::warn!("RUST_LOG is ignored: {complaint}");
    }
}

/// The filter that RUST_LOG or the flags ask for, and what is wrong with RUST_LOG.
fn filter(rust_log: Option<&str>, volume: Volume) -> (EnvFilter, Option<String>) {
    let complaint = match rust_log.filter(|text| !text.trim().is_empty()).map(EnvFilter::try_new) {
        Some(Ok(filter)) => return (filter, None),
        Some(Err(error)) => Some(error.to_string()),
        None => None,
    };
    (EnvFilter::new(directives(volume)), complaint)
}

/// A target names all that begin with it: `rtc` is every crate of the webrtc family. The sound
/// server's client calls every goodbye an error, the window's a display's every oddity a warning.
fn directives(volume: Volume) -> &'static str {
    match volume {
        Volume::Quiet => "error,webrtc=off,rtc=off,pulseaudio=off,winit=off",
        Volume::Normal => "warn,webrtc=off,rtc=off,pulseaudio=off,winit=off",
        Volume::Verbose => "warn,webrtc=error,rtc=error,pulseaudio=off,winit=error,peer=info",
        Volume::Debug => "info,webrtc=error,rtc=error,pulseaudio=off,winit=error,peer=debug",
    }
}

/// Log lines take turns with the status line and the prompt.
struct ToOutput(Output);

impl<'a> MakeWriter<'a> for ToOutput {
    type Writer = LogLine;

    fn make_writer(&'a self) -> LogLine {
        LogLine(self.0.clone())
    }
}

/// One log line; the subscriber writes each with one call.
struct LogLine(Output);

impl Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.log(String::from_utf8_lossy(bytes).trim_end());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rust_log_wins_when_it_can_be_read() {
        let (chosen, complaint) = filter(Some("rtc=trace"), Volume::Quiet);
        assert_eq!((chosen.to_string().as_str(), complaint), ("rtc=trace", None));
        for unset in [None, Some(""), Some(" ")] {
            assert_eq!(filter(unset, Volume::Normal).1, None);
        }
        let (_, complaint) = filter(Some("peer=loudest"), Volume::Normal);
        assert!(complaint.is_some());
    }

    #[test]
    fn no_volume_opens_the_webrtc_crates_below_error() {
        for volume in [Volume::Quiet, Volume::Normal, Volume::Verbose, Volume::Debug] {
            let words: Vec<_> = directives(volume).split(',').collect();
            for family in ["webrtc", "rtc"] {
                let allowed = [format!("{family}=off"), format!("{family}=error")];
                assert!(words.iter().any(|word| allowed.iter().any(|a| a == word)), "{words:?}");
            }
        }
    }
}
