//! A call in numbers: what stands in the `ended` event.

use serde::Serialize;

use crate::rtc::stats::Stats;

/// A call in numbers, under W3C names where there are any.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// From connected to the end, ms.
    pub duration_ms: u64,
    /// What took how long to come up.
    pub setup_ms: SetupMs,
    /// Both directions and the path.
    #[serde(flatten)]
    pub stats: Stats,
    /// What this process used.
    pub process: ProcessUsage,
}

/// Milliseconds from the call (made or answered) to each step.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SetupMs {
    /// To the other side's description.
    pub signaling: Option<u64>,
    /// To ICE connected.
    pub ice: Option<u64>,
    /// To DTLS connected.
    pub dtls: Option<u64>,
    /// To the first decoded picture.
    pub first_video_frame: Option<u64>,
    /// To the first decoded sound.
    pub first_audio: Option<u64>,
}

/// What this process used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessUsage {
    /// User and system time since the process began.
    pub cpu_seconds: f64,
    /// The most memory it held.
    pub peak_rss_bytes: u64,
}

impl ProcessUsage {
    /// As the operating system counts it now; zeros where it does not.
    #[must_use]
    #[cfg(not(unix))]
    pub fn now() -> Self {
        Self::default()
    }

    /// As the operating system counts it now; zeros where it does not.
    #[must_use]
    #[cfg(unix)]
    pub fn now() -> Self {
        use nix::sys::resource::{UsageWho, getrusage};
        let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return Self::default() };
        let seconds =
            |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        Self {
            cpu_seconds: seconds(usage.user_time()) + seconds(usage.system_time()),
            peak_rss_bytes: peak_rss(&usage),
        }
    }
}

/// From the kernel's own page about us: what `getrusage` says includes the program that started us.
#[cfg(target_os = "linux")]
fn peak_rss(_: &nix::sys::resource::Usage) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Apple counts bytes, the others KiB.
#[cfg(all(unix, not(target_os = "linux")))]
fn peak_rss(usage: &nix::sys::resource::Usage) -> u64 {
    let most = u64::try_from(usage.max_rss()).unwrap_or(0);
    if cfg!(target_vendor = "apple") { most } else { most * 1024 }
}
