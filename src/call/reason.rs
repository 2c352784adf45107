//! Why a call ended: the one list that the machine, events, summaries and exit codes share.

use serde::Serialize;

/// Why a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndReason {
    /// We hung up.
    Hangup,
    /// They hung up.
    RemoteHangup,
    /// The callee said no.
    Rejected,
    /// The callee is in another call.
    Busy,
    /// Nobody of that name is online.
    UnknownUser,
    /// Nobody answered in time.
    NoAnswer,
    /// ICE or DTLS failed, or the connection was lost.
    ConnectionFailed,
    /// `--duration` is over.
    Duration,
    /// `--once`, and the file has ended.
    MediaEnded,
    /// Ctrl-C or SIGTERM.
    Interrupted,
}
