//! How a command ends: the only match from error to exit code, and what to do about each.
//!
//! Owns the numbers of the exit codes and the hints. It prints nothing.

use std::path::PathBuf;

use super::settings_file::SettingsError;
use crate::loopback::{self, LoopbackError};
use crate::phone::PhoneError;
use crate::phone::event::{Because, EndReason};
use crate::phone::keyring::KeyringError;
use crate::signaling::server::tls::TlsError;
use crate::system;

/// The exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It ended as asked.
    Done = 0,
    /// A check did not pass, or a fault of our own.
    Failed = 1,
    /// A flag, a value, a name that cannot be.
    Usage = 2,
    /// Server unreachable, name taken.
    Signaling = 3,
    /// Unknown, no answer in time, rejected, busy.
    Nobody = 4,
    /// Device, file, codec: missing, unreadable, unsupported, unwritable.
    Media = 5,
    /// ICE or DTLS failed, the connection was lost, or the other side is not who it was.
    Connection = 6,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not end as asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The phone could not start.
    #[error(transparent)]
    Phone(#[from] PhoneError),
    /// The same, where nobody has named the server this time.
    #[error("{}", recalled(.error, .server))]
    Recalled {
        /// Why.
        error: PhoneError,
        /// The server of the last login.
        server: String,
    },
    /// The loopback call could not be made.
    #[error("{}", loopback_sentence(.0))]
    Loopback(#[from] LoopbackError),
    /// The call ended otherwise than asked.
    #[error("{}", call_end(*.reason, .name, .because.as_ref()))]
    Call {
        /// Why.
        reason: EndReason,
        /// Whom we called.
        name: String,
        /// What is known of how it came to that.
        because: Option<Because>,
    },
    /// The call ended as asked, but not all of it was recorded.
    #[error("not all of the call was recorded: {0}")]
    Recording(String),
    /// What a flag asks for cannot be had.
    #[error("{flag}: {reason}")]
    Setting {
        /// The flag.
        flag: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The `--stats` file cannot be opened.
    #[error("cannot write {}: {reason}", .path.display())]
    StatsFile {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        reason: String,
    },
    /// The server's certificate cannot be used.
    #[error("TLS cannot be used: {0}")]
    Tls(#[from] TlsError),
    /// Nobody of that name is known.
    #[error("no key is remembered for '{0}'; 'peer keys' lists those that are")]
    NoSuchKey(String),
    /// There is no manual page of such a command.
    #[error(
        "there is no command '{0}', so it has no manual page; 'peer --help' lists all commands"
    )]
    NoPage(String),
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyringError),
    /// What is remembered cannot be.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The server cannot have its address.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// Address and port.
        address: std::net::SocketAddr,
        /// What the operating system said.
        reason: String,
    },
    /// Nobody said under which name to call, and the system's user name will not do.
    #[error("no name given for yourself")]
    NoName,
    /// The loopback report has a verdict, and it is not `pass`.
    #[error("the test call missed its targets: {}", .0.join("; "))]
    FellShort(Vec<String>),
    /// `peer doctor` found what no call can do without.
    #[error("a call would not work here: {}", .0.join("; "))]
    CannotCall(Vec<String>),
    /// Ctrl-C before there was a verdict.
    #[error("interrupted before there was a report")]
    NoReport,
    /// A fault of our own, or of the machine.
    #[error("{}", system::without_number(&format!("{:#}", .0)))]
    Fault(#[from] anyhow::Error),
}

impl Failure {
    /// The exit code.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Phone(error) | Self::Recalled { error, .. } => phone_exit(error),
            Self::Loopback(error) => loopback_exit(error),
            Self::Call { reason, .. } => reason_exit(*reason),
            Self::StatsFile { .. } | Self::Recording(_) => Exit::Media,
            Self::Listen { .. } => Exit::Signaling,
            Self::NoName
            | Self::NoPage(_)
            | Self::NoSuchKey(_)
            | Self::Settings(_)
            | Self::Keys(_)
            | Self::Tls(_)
            | Self::Setting { .. } => Exit::Usage,
            Self::FellShort(_) | Self::CannotCall(_) | Self::NoReport | Self::Fault(_) => {
                Exit::Failed
            }
        }
    }

    /// A word for programs: the `code` of the `error` event.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Phone(error) | Self::Recalled { error, .. } if phone_code(error).is_some() => {
                phone_code(error).unwrap_or_default()
            }
            Self::FellShort(_) => "fell-short",
            Self::CannotCall(_) => "cannot-call",
            Self::NoReport => "interrupted",
            _ => match self.exit() {
                Exit::Done | Exit::Failed => "fault",
                Exit::Usage => "usage",
                Exit::Signaling => "signaling",
                Exit::Nobody => "nobody",
                Exit::Media => "media",
                Exit::Connection if self.is_key_changed() => "key-changed",
                Exit::Connection => "connection-failed",
            },
        }
    }

    fn is_key_changed(&self) -> bool {
        matches!(self, Self::Call { reason: EndReason::KeyChanged, .. })
    }

    /// What the person can do, where the message does not say it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Recalled {
                error:
                    PhoneError::Unreachable { .. }
                    | PhoneError::Unsuitable { .. }
                    | PhoneError::Untrusted { .. },
                ..
            } => Some(
                "name another server with --server; ws://localhost:9090 is the one on this machine, \
                 which 'peer serve' starts",
            ),
            Self::Phone(error)
            | Self::Recalled { error, .. }
            | Self::Loopback(LoopbackError::Phone(error)) => phone_hint(error),
            Self::Listen { .. } => Some("choose another address with --listen, or port 0 for any"),
            Self::Tls(TlsError::Unreadable { .. }) => {
                Some("--tls-cert and --tls-key take PEM files that this user may read")
            }
            Self::Tls(TlsError::Unwritable { .. }) => {
                Some("set XDG_STATE_HOME to a folder that can be written")
            }
            Self::NoName => Some("give one: peer login NAME, or peer call SOMEBODY --as NAME"),
            Self::Call { reason: EndReason::UnknownUser, .. } => {
                Some("both of you must be logged in on the same server")
            }
            Self::Call { reason: EndReason::KeyChanged, .. } => Some(
                "ask them through another channel which key is theirs ('peer keys' shows it there); if \
                 it is the new one, run 'peer keys forget NAME' and call again",
            ),
            Self::Call { because: Some(Because { advice: Some(advice), .. }), .. } => Some(advice),
            _ => None,
        }
    }
}

/// What can be done about a login that failed.
fn phone_hint(error: &PhoneError) -> Option<&'static str> {
    match error {
        PhoneError::Unreachable { not_running_here: true, .. } => {
            Some("start one with 'peer serve', or name another with --server")
        }
        PhoneError::Unreachable { .. } => {
            Some("check the address and the network; --server names another")
        }
        PhoneError::Unsuitable { .. } => Some("check the address; --server names another"),
        PhoneError::NameTaken { .. } => Some(
            "log in under another name (with 'peer call': --as NAME); one that lost its connection is \
             kept for its owner for a minute: if it was yours, try again then",
        ),
        PhoneError::TokenNeeded { .. } => Some(
            "put the token into the environment variable PEER_TOKEN, or run peer on a terminal, \
             where it asks",
        ),
        PhoneError::WrongToken { .. } => {
            Some("ask whoever runs the server for a token; PEER_TOKEN may be out of date")
        }
        _ => None,
    }
}

/// A login that failed at a server that nobody has named this time: the message says whose choice
/// it was, right behind the address where there is one.
fn recalled(error: &PhoneError, server: &str) -> String {
    const WHOSE: &str = "the server of your last login";
    let said = error.to_string();
    let ours = match error {
        PhoneError::Source(_)
        | PhoneError::Sink(_)
        | PhoneError::BadCa { .. }
        | PhoneError::BadName { .. } => return said,
        _ => said.split_once(server),
    };
    match ours {
        Some((before, after)) => format!("{before}{server}, {WHOSE}{after}"),
        None => format!("{said} (on {server}, {WHOSE})"),
    }
}

/// Where a program should know more than the exit code says.
fn phone_code(error: &PhoneError) -> Option<&'static str> {
    match error {
        PhoneError::NameTaken { .. } => Some("name-taken"),
        PhoneError::Untrusted { .. } => Some("untrusted"),
        PhoneError::TokenNeeded { .. } => Some("token-needed"),
        PhoneError::WrongToken { .. } => Some("wrong-token"),
        PhoneError::TooManyTries { .. } => Some("too-many-tries"),
        _ => None,
    }
}

fn phone_exit(error: &PhoneError) -> Exit {
    match error {
        PhoneError::BadServer { .. } | PhoneError::BadName { .. } | PhoneError::BadCa { .. } => {
            Exit::Usage
        }
        PhoneError::Unreachable { .. }
        | PhoneError::Unsuitable { .. }
        | PhoneError::Untrusted { .. }
        | PhoneError::NameTaken { .. }
        | PhoneError::TokenNeeded { .. }
        | PhoneError::WrongToken { .. }
        | PhoneError::TooManyTries { .. } => Exit::Signaling,
        PhoneError::Source(_) | PhoneError::Sink(_) => Exit::Media,
    }
}

fn loopback_exit(error: &LoopbackError) -> Exit {
    match error {
        LoopbackError::Source(_) => Exit::Media,
        LoopbackError::Phone(error) => phone_exit(error),
        LoopbackError::Server { .. } => Exit::Signaling,
        LoopbackError::Network { .. } => Exit::Failed,
        LoopbackError::Ended { reason, .. } => match reason_exit(*reason) {
            // A call that ended before its time has not been measured.
            Exit::Done => Exit::Failed,
            exit => exit,
        },
    }
}

fn loopback_sentence(error: &LoopbackError) -> String {
    match error {
        LoopbackError::Ended { reason, because } => {
            format!("{error}: {}", call_end(*reason, loopback::CALLEE, because.as_ref()))
        }
        _ => error.to_string(),
    }
}

/// The exit code of `peer call` for a call that ended so.
#[must_use]
pub fn reason_exit(reason: EndReason) -> Exit {
    match reason {
        EndReason::Hangup
        | EndReason::RemoteHangup
        | EndReason::Duration
        | EndReason::MediaEnded
        | EndReason::Interrupted => Exit::Done,
        EndReason::Rejected | EndReason::Busy | EndReason::UnknownUser | EndReason::NoAnswer => {
            Exit::Nobody
        }
        EndReason::MediaFailed => Exit::Media,
        EndReason::ConnectionFailed | EndReason::KeyChanged => Exit::Connection,
    }
}

/// What happened to a call, in a sentence.
#[must_use]
pub fn call_sentence(reason: EndReason, name: &str) -> String {
    match reason {
        EndReason::Hangup => format!("you hung up on '{name}'"),
        EndReason::RemoteHangup => format!("'{name}' hung up"),
        EndReason::Rejected => format!("'{name}' rejected the call"),
        EndReason::Busy => format!("'{name}' is busy"),
        EndReason::UnknownUser => format!("'{name}' is not online"),
        EndReason::NoAnswer => format!("'{name}' did not answer in time"),
        EndReason::ConnectionFailed => format!("the connection with '{name}' failed"),
        EndReason::KeyChanged => {
            format!("the call with '{name}' was ended because their key has changed")
        }
        EndReason::Duration => format!("the call with '{name}' has ended: time limit reached"),
        EndReason::MediaEnded => {
            format!("the call with '{name}' has ended: the file has been played to its end")
        }
        EndReason::MediaFailed => format!("the call with '{name}' ended: media failed"),
        EndReason::Interrupted => format!("the call with '{name}' was interrupted"),
    }
}

/// The same, and why, as far as that is known.
#[must_use]
pub fn call_end(reason: EndReason, name: &str, because: Option<&Because>) -> String {
    match (reason, because) {
        // Nobody waited in vain: something happened to them.
        (EndReason::NoAnswer, Some(because)) => format!("'{name}' is gone: {}", because.message),
        (_, Some(because)) => format!("{}: {}", call_sentence(reason, name), because.message),
        (_, None) => call_sentence(reason, name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each, so that the compiler asks for a line here when a reason is added.
    const REASONS: [(EndReason, u8); 12] = [
        (EndReason::Hangup, 0),
        (EndReason::RemoteHangup, 0),
        (EndReason::Duration, 0),
        (EndReason::MediaEnded, 0),
        (EndReason::Interrupted, 0),
        (EndReason::Rejected, 4),
        (EndReason::Busy, 4),
        (EndReason::UnknownUser, 4),
        (EndReason::NoAnswer, 4),
        (EndReason::MediaFailed, 5),
        (EndReason::ConnectionFailed, 6),
        (EndReason::KeyChanged, 6),
    ];

    #[test]
    fn every_end_has_its_code_and_a_sentence_with_the_name() {
        for (reason, code) in REASONS {
            assert_eq!(reason_exit(reason) as u8, code, "{reason:?}");
            let failure = Failure::Call { reason, name: "bob".into(), because: None };
            assert_eq!(failure.exit() as u8, code);
            assert!(failure.to_string().contains("bob"), "{failure}");
        }
    }

    fn unreachable(not_running_here: bool) -> PhoneError {
        PhoneError::Unreachable { url: "ws://h".into(), reason: "no".into(), not_running_here }
    }

    #[test]
    fn only_a_server_that_does_not_run_here_can_be_started() {
        let hint = |here| Failure::from(unreachable(here)).hint().map(str::to_owned);
        assert!(hint(true).is_some_and(|hint| hint.contains("'peer serve'")));
        let elsewhere = hint(false).unwrap_or_default();
        assert!(elsewhere.contains("the address and the network"), "{elsewhere}");
        assert!(!elsewhere.contains("peer serve"), "{elsewhere}");
    }

    #[test]
    fn errors_of_the_phone_have_theirs() {
        let unreachable = unreachable(false);
        let taken = PhoneError::NameTaken { name: "alice".into() };
        let needed = PhoneError::TokenNeeded { name: "alice".into() };
        let wrong = PhoneError::WrongToken { name: "alice".into() };
        for (error, exit, code) in [
            (unreachable, Exit::Signaling, "signaling"),
            (taken, Exit::Signaling, "name-taken"),
            (needed, Exit::Signaling, "token-needed"),
            (wrong, Exit::Signaling, "wrong-token"),
        ] {
            let failure = Failure::from(error);
            assert_eq!((failure.exit(), failure.code()), (exit, code));
            assert!(failure.hint().is_some());
        }
        let taken = Failure::from(PhoneError::NameTaken { name: "alice".into() });
        assert!(taken.hint().is_some_and(|hint| hint.contains("a minute")));
    }

    #[test]
    fn a_server_that_nobody_named_is_called_what_it_is() {
        let recalled = |error| Failure::Recalled { error, server: "ws://h".into() };
        let failure = recalled(unreachable(true));
        assert_eq!(
            failure.to_string(),
            "cannot log in at ws://h, the server of your last login: no"
        );
        assert!(failure.hint().is_some_and(|hint| hint.contains("--server")));
        let named = Failure::from(unreachable(true));
        assert_eq!((failure.exit(), failure.code()), (named.exit(), named.code()));
        let taken = recalled(PhoneError::NameTaken { name: "alice".into() });
        assert_eq!(taken.code(), "name-taken");
        assert_eq!(
            taken.to_string(),
            "the name 'alice' is taken (on ws://h, the server of your last login)"
        );
    }

    #[test]
    fn the_commands_own_failures_have_theirs() {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 80));
        for (failure, code) in [
            (Failure::StatsFile { path: "/x".into(), reason: "no".into() }, 5),
            (Failure::Recording("the disk is full".into()), 5),
            (Failure::Listen { address, reason: "in use".into() }, 3),
            (Failure::NoName, 2),
            (Failure::Tls(TlsError::NotMade { reason: "no".into() }), 2),
            (Failure::Setting { flag: "--users", reason: "line 3".into() }, 2),
            (Failure::FellShort(vec!["too slow".into()]), 1),
            (Failure::NoReport, 1),
            (Failure::Fault(anyhow::anyhow!("no threads")), 1),
        ] {
            assert_eq!(failure.exit() as u8, code, "{failure}");
        }
    }

    #[test]
    fn a_test_call_that_broke_off_says_why_in_words() {
        let ended = LoopbackError::Ended { reason: EndReason::MediaFailed, because: None };
        assert_eq!(
            Failure::from(ended).to_string(),
            "the test call ended before its time: the call with 'callee' ended: media failed"
        );
    }

    #[test]
    fn a_fault_says_the_whole_chain_on_one_line() {
        let failure = Failure::Fault(anyhow::anyhow!("no memory").context("cannot start"));
        assert_eq!(failure.to_string(), "cannot start: no memory");
    }
}
