//! What a phone tells: the events of `--json`, the prompt and the library.

use serde::Serialize;
use std::time::SystemTime;

pub use super::missed::MissedCall;
pub use crate::call::pauses::Side;
pub use crate::call::reason::{Because, EndReason};
pub use crate::call::summary::{ProcessUsage, SetupMs, Summary};
pub use crate::call::words::SafetyWords;
use crate::clock::rfc3339;
use crate::rtc::stats::Stats;

/// Something happened.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
    /// When, RFC 3339 with milliseconds.
    #[serde(serialize_with = "rfc3339")]
    pub time: SystemTime,
    /// The call it belongs to: a number that counts up in each login.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<u64>,
    /// The name of the other side of that call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
}

/// What happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum EventKind {
    /// The server took our name.
    LoggedIn {
        /// Our name.
        name: String,
        /// The server's URL.
        server: String,
        /// Whether names have tokens there: without, anybody can be anybody.
        tokens: bool,
    },
    /// We call somebody; it rings there as far as we know.
    Calling,
    /// Somebody calls us and waits for an answer.
    Incoming,
    /// The call was answered, by us or by them.
    Accepted,
    /// ICE moves on.
    Connecting {
        /// W3C RTCIceConnectionState: `checking`, `connected`, …
        ice_state: String,
    },
    /// Media can flow.
    Connected {
        /// Milliseconds since the call was made or answered.
        setup_ms: u64,
        /// What both sides see if nobody stands between them: four words with one of us, seven with a
        /// page. Where they come later there is a `SafetyWords`.
        #[serde(skip_serializing_if = "Option::is_none")]
        safety_words: Option<SafetyWords>,
    },
    /// The words to compare are known only now.
    SafetyWords {
        /// As in `Connected`.
        safety_words: SafetyWords,
    },
    /// Somebody shows another key than the one that is known of their name, or none, or one that does
    /// not belong to the call. Where nobody is asked, the call is refused or ends.
    KeyChanged {
        /// The short form of the key that is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        known: Option<String>,
        /// The short form of the key that was shown.
        #[serde(skip_serializing_if = "Option::is_none")]
        shown: Option<String>,
        /// What that can mean, for people.
        message: String,
    },
    /// The first picture of the other side was decoded.
    FirstVideoFrame {
        /// Milliseconds since the call was made or answered.
        setup_ms: u64,
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// The first sound of the other side was decoded.
    FirstAudio {
        /// Milliseconds since the call was made or answered.
        setup_ms: u64,
    },
    /// What they send is recorded from now on.
    RecordingStarted {
        /// The whole path of the file.
        path: String,
    },
    /// A recording is finished; its file stays as it is.
    RecordingStopped {
        /// The whole path of the file.
        path: String,
        /// Nothing came that could be recorded: there is no file.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        empty: bool,
        /// Why it ended before its time: what is there plays up to then.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Pictures have stopped while sound goes on: because the path carries no more, or because the
    /// other side sends none.
    VideoPaused {
        /// Whose pictures.
        side: Side,
    },
    /// Pictures flow again.
    VideoResumed {
        /// Whose pictures.
        side: Side,
    },
    /// How the call goes; once a second.
    Stats(Box<Stats>),
    /// The server is gone; we try to get back. Calls go on.
    Reconnecting {
        /// Milliseconds until the next try.
        retry_ms: u64,
    },
    /// A call of theirs rang here and nobody answered; or somebody asked which did.
    Missed {
        /// The one that was; or, where somebody asked, all of this login, the oldest first, at most 100.
        calls: Vec<MissedCall>,
    },
    /// The call is over.
    Ended {
        /// Why.
        reason: EndReason,
        /// More of it, where there is more to say.
        #[serde(flatten)]
        because: Option<Because>,
        /// How it was.
        summary: Box<Summary>,
    },
    /// Something went wrong, but we go on.
    Error {
        /// A word for programs.
        code: String,
        /// A line for people.
        message: String,
    },
}
