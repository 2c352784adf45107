//! `peer doctor`: could a call work here, and what to do if not.

use std::time::SystemTime;

use clap::Args;
use serde::Serialize;

use super::exit::Failure;
use super::network_args::NetworkArgs;
use super::output::Output;
use super::remembered::DEFAULT_SERVER;
use super::settings::Settings;
use super::signals::Interrupts;
use crate::clock;
use crate::clock::rfc3339;
use crate::doctor::{self, Check, Diagnosis, DoctorConfig, Outcome};
use crate::loopback::report::Verdict;

/// Examples of `peer doctor --help`.
pub const EXAMPLES: &str = "\
Examples:
  peer doctor
  peer doctor --server ws://example.org:9090 --turn turn:example.org --turn-user me
  peer doctor --json | jq '.checks[] | select(.outcome != \"pass\")'";

/// What comes after the flags.
pub const NOTES: &str = "\
Exits with 0 only when a call would work; a device that is missing is only a warning.";

/// Flags of `peer doctor`.
#[derive(Debug, Args)]
pub struct DoctorCommand {
    #[command(flatten)]
    network: NetworkArgs,
    /// What is remembered.
    #[arg(skip)]
    pub(super) settings: Settings,
}

/// The `diagnosis` event.
#[derive(Serialize)]
struct DiagnosisEvent<'a> {
    event: &'static str,
    #[serde(serialize_with = "rfc3339")]
    time: SystemTime,
    #[serde(flatten)]
    diagnosis: &'a Diagnosis,
}

/// Tries everything that a call needs.
///
/// # Errors
/// When a call could not work, or that cannot be written.
pub async fn run(command: DoctorCommand, output: &Output) -> Result<(), Failure> {
    let mut interrupts = Interrupts::listen()?;
    let server = command.network.server.clone();
    let config = DoctorConfig {
        server: server.unwrap_or_else(|| DEFAULT_SERVER.to_owned()),
        network: command.network.network_options(),
    };
    output.status("trying codecs, devices, server and paths");
    let mut diagnosis = tokio::select! {
        diagnosis = doctor::run(&config) => diagnosis,
        () = interrupts.first() => return Err(Failure::NoReport),
    };
    output.clear_status();
    if command.settings.recalls("server") {
        for check in diagnosis.checks.iter_mut().filter(|check| check.check == "server") {
            check.found.push_str(" (the server of your last login; --server names another)");
        }
    }
    let event = DiagnosisEvent { event: "diagnosis", time: clock::wall(), diagnosis: &diagnosis };
    output.answer(&lines(&diagnosis), &event)?;
    match diagnosis.verdict {
        Verdict::Pass => Ok(()),
        Verdict::FellShort(lines) => Err(Failure::CannotCall(lines)),
    }
}

fn lines(diagnosis: &Diagnosis) -> Vec<String> {
    let widths = diagnosis.checks.iter().map(|check| check.check.chars().count());
    let width = widths.max().unwrap_or(0);
    let mut lines: Vec<_> = diagnosis.checks.iter().flat_map(|one| check(one, width)).collect();
    if diagnosis.verdict == Verdict::Pass {
        lines.push("a call would work here".to_owned());
    }
    lines
}

/// What was tried stands in a column of `width` letters.
fn check(check: &Check, width: usize) -> Vec<String> {
    let mark = match check.outcome {
        Outcome::Pass => "ok  ",
        Outcome::Warn => "warn",
        Outcome::Fail => "FAIL",
    };
    let mut lines = vec![format!("{mark}  {:<width$} {}", check.check, check.found)];
    lines.extend(check.advice.iter().map(|advice| format!("{:1$}{advice}", "", width + 7)));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_stands_under_what_is_wrong() {
        let sick = Check {
            check: "server".into(),
            outcome: Outcome::Fail,
            found: "nobody listens".into(),
            advice: Some("start one".into()),
        };
        let lines = check(&sick, 10);
        assert_eq!(lines[0], "FAIL  server     nobody listens");
        assert_eq!(lines[1].trim_start(), "start one");
        assert_eq!(lines[0].find("nobody"), lines[1].find("start"));
    }
}
