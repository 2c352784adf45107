//! Why a call ended: the one list that the machine, events, summaries and exit codes share.

use serde::Serialize;

/// How it came to an end, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Because {
    /// What is known of it, in one line.
    pub message: String,
    /// The one thing that can be done about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

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
    /// They show another key than the one that is known, or none.
    KeyChanged,
    /// `--duration` is over.
    Duration,
    /// `--once`, and the file has ended.
    MediaEnded,
    /// What we send or show could not be had.
    MediaFailed,
    /// Ctrl-C or SIGTERM.
    Interrupted,
}
