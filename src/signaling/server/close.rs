//! With which words the server closes a connection, and as what that is counted.

use axum::extract::ws::{CloseCode, close_code};

use crate::signaling::counts::Refused;
use crate::signaling::switchboard::CloseReason;

/// What a close frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CloseFor {
    pub(super) code: CloseCode,
    pub(super) reason: &'static str,
}

impl CloseFor {
    pub(super) const GOING_AWAY: Self =
        Self { code: close_code::AWAY, reason: "the server is shutting down" };
    pub(super) const TOO_LARGE: Self =
        Self { code: close_code::SIZE, reason: "the message is too large" };
    pub(super) const NOT_TEXT: Self =
        Self { code: close_code::INVALID, reason: "the message is not UTF-8" };
    pub(super) const TOO_FAST: Self =
        Self { code: close_code::POLICY, reason: "too many messages" };
    pub(super) const TOO_SLOW: Self =
        Self { code: close_code::POLICY, reason: "messages are not read" };
    pub(super) const RESUMED: Self =
        Self { code: close_code::POLICY, reason: "logged in again on another connection" };
    pub(super) const NO_LOGIN: Self = Self { code: close_code::POLICY, reason: "no login in time" };
    pub(super) const NOT_READ: Self = Self {
        code: close_code::POLICY,
        reason: "too many messages for a client that does not read them",
    };
    pub(super) const FULL: Self = Self { code: close_code::AGAIN, reason: "the server is full" };
}

impl CloseFor {
    /// As what a connection that broke a rule of its own is counted.
    pub(super) fn refusal(self) -> Option<Refused> {
        match self {
            Self::TOO_LARGE => Some(Refused::TooLarge),
            Self::TOO_FAST => Some(Refused::TooFast),
            Self::NOT_TEXT => Some(Refused::InvalidMessage),
            _ => None,
        }
    }
}

impl From<CloseReason> for CloseFor {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::Full => Self::FULL,
            CloseReason::TooFast => Self::TOO_FAST,
            CloseReason::TooLarge => Self::TOO_LARGE,
            CloseReason::Resumed => Self::RESUMED,
            CloseReason::NoLogin => Self::NO_LOGIN,
        }
    }
}
