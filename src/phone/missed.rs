//! Calls that rang here and that nobody answered.
//!
//! Pure: owns the list, its bound and what counts as missed. That a call rang
//! and how it ended the switch knows.

use std::time::SystemTime;

use serde::Serialize;

use crate::call::reason::EndReason;
use crate::clock::rfc3339;

/// More are forgotten, the oldest first.
const MOST: usize = 100;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MissedCall {
    /// Who called.
    pub peer: String,
    /// When it stopped ringing, RFC 3339 with milliseconds.
    #[serde(serialize_with = "rfc3339")]
    pub time: SystemTime,
}

/// Those of one login, the oldest first.
#[derive(Debug, Default)]
pub(super) struct MissedCalls {
    calls: Vec<MissedCall>,
}

impl MissedCalls {
    /// Takes down a call that was never answered, if its end means that it was missed: who hangs up
    /// or rejects has seen it.
    pub(super) fn note(&mut self, call: MissedCall, reason: EndReason) -> bool {
        let missed = matches!(
            reason,
            EndReason::RemoteHangup | EndReason::NoAnswer | EndReason::ConnectionFailed
        );
        if missed {
            if self.calls.len() == MOST {
                self.calls.remove(0);
            }
            self.calls.push(call);
        }
        missed
    }

    /// All of them.
    pub(super) fn list(&self) -> Vec<MissedCall> {
        self.calls.clone()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn call(peer: &str) -> MissedCall {
        MissedCall { peer: peer.to_owned(), time: SystemTime::UNIX_EPOCH }
    }

    #[test]
    fn only_what_nobody_here_has_decided_is_missed() {
        let mut missed = MissedCalls::default();
        for reason in [EndReason::RemoteHangup, EndReason::NoAnswer, EndReason::ConnectionFailed] {
            assert!(missed.note(call("bob"), reason), "{reason:?}");
        }
        for reason in [EndReason::Hangup, EndReason::Rejected, EndReason::Interrupted] {
            assert!(!missed.note(call("bob"), reason), "{reason:?}");
        }
        assert_eq!(missed.list().len(), 3);
    }

    #[test]
    fn the_list_has_an_end_and_forgets_the_oldest() {
        let mut missed = MissedCalls::default();
        for number in 0..MOST + 5 {
            missed.note(call(&format!("n{number}")), EndReason::NoAnswer);
        }
        let list = missed.list();
        assert_eq!(list.len(), MOST);
        assert_eq!((list[0].peer.as_str(), list[MOST - 1].peer.as_str()), ("n5", "n104"));
        let json = serde_json::to_string(&list[0]).unwrap();
        assert_eq!(json, r#"{"peer":"n5","time":"1970-01-01T00:00:00.000Z"}"#);
    }
}
