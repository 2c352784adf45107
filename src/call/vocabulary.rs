//! What a call is made from, what it is told while it runs, and what it says. Pure data.

use std::path::PathBuf;

use super::pauses::PictureNews;
use super::reason::{Because, EndReason};
use super::step::{Input, Progress, Setup};
use super::summary::Summary;
use super::words::SafetyWords;
use crate::key::Key;
use crate::media::adaptation::RateOptions;
use crate::media::sink::OpenSinks;
use crate::media::source::OpenSources;
use crate::rtc::connection::ConnectionConfig;
use crate::rtc::stats::Stats;
use crate::signaling::message::{LeaveReason, Message};

/// What a call needs to know.
#[derive(Clone)]
pub struct CallConfig {
    /// Names and bounds.
    pub setup: Setup,
    /// Servers, addresses and the bounds of the bitrate; what is sent depends on the sources.
    pub connection: ConnectionConfig,
    /// What pictures and sound may spend, and on what.
    pub rate: RateOptions,
    /// Opened when the call is made or answered.
    pub sources: OpenSources,
    /// Opened when the call is answered.
    pub sinks: OpenSinks,
}

/// Who began.
#[derive(Debug, Clone)]
pub enum Origin {
    /// We call.
    Outgoing,
    /// They call, with this offer.
    Incoming {
        /// The SDP text.
        offer: String,
    },
}

/// What a running call is told.
#[derive(Debug)]
pub enum Told {
    /// Something for the machine: a message, a command, news of the server.
    Input(Input),
    /// Send silence instead of our sound, or our sound again.
    Mute(bool),
    /// Send our picture, or a dark one instead.
    Video(bool),
    /// Record what they send from now on, or no longer.
    Record(bool),
    /// Say at once how the call goes.
    Status,
}

/// What a running call says.
#[derive(Debug)]
pub enum Said {
    /// To be sent to the server.
    Send(Message),
    /// How far the call has come; its end comes as `Ended`.
    Progress(Progress),
    /// Media can flow, so many milliseconds after the call was made or answered.
    Connected(u64, Option<SafetyWords>),
    /// They have shown this key, and are there: what it has signed is what they are connected by.
    Proved(Key),
    /// The words to compare, where they were not known yet when media could flow.
    SafetyWords(SafetyWords),
    /// The first picture of theirs: milliseconds, width, height.
    FirstVideoFrame(u64, u32, u32),
    /// The first sound of theirs: milliseconds.
    FirstAudio(u64),
    /// What they send is recorded to this file from now on.
    RecordingStarted(PathBuf),
    /// This recording is finished.
    RecordingStopped {
        /// Its file.
        path: PathBuf,
        /// Whether nothing came, and there is no file.
        empty: bool,
        /// Why it ended before its time.
        reason: Option<String>,
    },
    /// Pictures stopped while the call goes on, or came back.
    Pictures(PictureNews),
    /// How the call goes.
    Stats(Box<Stats>),
    /// Something went wrong: a word for programs, a line for people.
    Error(&'static str, String),
    /// It is over for the other side, and what it may be told of it; what was started is being
    /// stopped, which takes a moment.
    Ending(LeaveReason),
    /// The path is broken; whether the server is there is to be found out.
    CheckServer,
    /// It is over; nothing follows.
    Ended(EndReason, Option<Because>, Box<Summary>),
}
