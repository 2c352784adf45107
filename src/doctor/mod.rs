//! Floor 4: could a call work here? Everything that a call needs, tried for a moment.
//!
//! Owns what is tried, how long, and what it means for a call; each part is the
//! real one. It prints nothing.

mod media;
mod network;

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::clock;
use crate::loopback::report::Verdict;
use crate::phone::config::NetworkOptions;

/// Nothing is waited for longer than this, all of it together.
const PATIENCE: Duration = Duration::from_millis(4_500);

/// What is looked at.
#[derive(Debug, Clone)]
pub struct DoctorConfig {
    /// The signaling server, `ws://host:port` or `wss://host`.
    pub server: String,
    /// How the other side would be reached.
    pub network: NetworkOptions,
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What: `codecs`, `camera:0`, `server`, `stun:host`.
    pub check: String,
    /// How it went.
    pub outcome: Outcome,
    /// What came.
    pub found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it should.
    Pass,
    /// Not well, but a call would work without it.
    Warn,
    /// No call could work.
    Fail,
}

/// All that was tried, and what it comes to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diagnosis {
    /// In the order of a call: codecs, devices, server, paths.
    pub checks: Vec<Check>,
    /// Whether a call could work.
    pub verdict: Verdict,
}

impl Check {
    fn new(check: &str, outcome: Outcome, found: impl Into<String>) -> Self {
        Self { check: check.to_owned(), outcome, found: found.into(), advice: None }
    }

    fn pass(check: &str, found: impl Into<String>) -> Self {
        Self::new(check, Outcome::Pass, found)
    }

    fn warn(check: &str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..Self::new(check, Outcome::Warn, found) }
    }

    fn fail(check: &str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..Self::new(check, Outcome::Fail, found) }
    }
}

/// Tries everything at once, for at most five seconds.
pub async fn run(config: &DoctorConfig) -> Diagnosis {
    let until = clock::now() + PATIENCE;
    let (codecs, devices, server, paths) = tokio::join!(
        media::codecs(until),
        media::devices(until),
        network::server(&config.server, &config.network.trust, until),
        network::paths(&config.network, until),
    );
    let checks: Vec<_> = [vec![codecs], devices, vec![server], paths].concat();
    let verdict = verdict(&checks);
    Diagnosis { checks, verdict }
}

fn verdict(checks: &[Check]) -> Verdict {
    let failed = checks.iter().filter(|check| check.outcome == Outcome::Fail);
    let lines: Vec<_> = failed.map(|check| format!("{}: {}", check.check, check.found)).collect();
    if lines.is_empty() { Verdict::Pass } else { Verdict::FellShort(lines) }
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(clock::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_call_can_do_without_fails() {
        let checks = [Check::pass("codecs", "fine"), Check::warn("camera", "none", "plug one in")];
        assert_eq!(verdict(&checks), Verdict::Pass);
        let checks = [&checks[..], &[Check::fail("server", "silent", "start one")]].concat();
        assert_eq!(verdict(&checks), Verdict::FellShort(vec!["server: silent".into()]));
    }
}
