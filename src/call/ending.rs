//! What the end of a call is called, and what the other side is told of it. Pure.
//!
//! Owns the words of both sides: a `leave` in, a reason out, and back.

use std::time::Duration;

use super::reason::EndReason;
use crate::signaling::message::LeaveReason;

/// A call without a path for so long has failed, whatever whoever gives it up says: older ends know
/// no other word than `hangup`, and a person who hangs up then has waited in vain.
const LONG_TROUBLE: Duration = Duration::from_secs(5);

/// How far the call had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reached {
    /// We are calling.
    Calling,
    /// It rings here.
    Ringing,
    /// Answered, and no path yet.
    Accepted,
    /// Media could flow.
    Connected,
}

/// What we tell the other side when we end a call for this reason.
pub(super) fn leave_for(reason: EndReason, reached: Reached) -> LeaveReason {
    match reason {
        EndReason::ConnectionFailed => LeaveReason::Failed,
        EndReason::MediaFailed => LeaveReason::Media,
        _ if reached == Reached::Ringing => LeaveReason::Rejected,
        _ => LeaveReason::Hangup,
    }
}

/// Why the call has ended when the other side leaves, having had no path for `trouble`; `None` when
/// it goes on: they have only lost the server.
pub(super) fn remote_end(
    reached: Reached,
    reason: Option<LeaveReason>,
    trouble: Option<Duration>,
) -> Option<EndReason> {
    let lost = trouble.is_some_and(|trouble| trouble >= LONG_TROUBLE);
    Some(match (reached, reason) {
        (Reached::Connected, Some(LeaveReason::Gone)) => return None,
        (_, Some(LeaveReason::Failed | LeaveReason::Impostor)) => EndReason::ConnectionFailed,
        // A camera, a file, a recording of theirs: nobody has said no, and nobody has hung up.
        (_, Some(LeaveReason::Media)) => EndReason::MediaFailed,
        (Reached::Calling, Some(LeaveReason::Busy)) => EndReason::Busy,
        (Reached::Calling | Reached::Ringing, Some(LeaveReason::Timeout)) => EndReason::NoAnswer,
        (Reached::Calling, Some(LeaveReason::Gone)) => EndReason::NoAnswer,
        (Reached::Calling, None | Some(LeaveReason::Rejected)) => EndReason::Rejected,
        (Reached::Accepted | Reached::Connected, _) if lost => EndReason::ConnectionFailed,
        // Nobody hangs up with no word in the middle of an outage but a server or an older end.
        (Reached::Connected, None) if trouble.is_some() => EndReason::ConnectionFailed,
        _ => EndReason::RemoteHangup,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use LeaveReason::{Busy, Failed, Gone, Hangup, Media, Rejected, Timeout};

    #[test]
    fn a_failure_is_a_failure_on_both_sides() {
        for reached in [Reached::Calling, Reached::Ringing, Reached::Accepted, Reached::Connected] {
            let told = leave_for(EndReason::ConnectionFailed, reached);
            assert_eq!(remote_end(reached, Some(told), None), Some(EndReason::ConnectionFailed));
        }
        for reached in [Reached::Calling, Reached::Ringing, Reached::Accepted, Reached::Connected] {
            let told = leave_for(EndReason::MediaFailed, reached);
            assert_eq!(remote_end(reached, Some(told), None), Some(EndReason::MediaFailed));
        }
        assert_eq!(leave_for(EndReason::Hangup, Reached::Connected), Hangup);
        assert_eq!(leave_for(EndReason::Hangup, Reached::Ringing), Rejected);
        assert_eq!(leave_for(EndReason::MediaFailed, Reached::Accepted), Media);
    }

    #[test]
    fn who_gives_up_a_path_that_is_long_lost_has_not_simply_hung_up() {
        let (short, long) = (Some(Duration::from_secs(1)), Some(LONG_TROUBLE));
        for reached in [Reached::Accepted, Reached::Connected] {
            for reason in [None, Some(Hangup), Some(Rejected)] {
                let end = remote_end(reached, reason, long);
                assert_eq!(end, Some(EndReason::ConnectionFailed), "{reached:?} {reason:?}");
            }
            assert_eq!(remote_end(reached, Some(Hangup), short), Some(EndReason::RemoteHangup));
        }
        let silent = remote_end(Reached::Connected, None, short);
        assert_eq!(silent, Some(EndReason::ConnectionFailed));
        assert_eq!(remote_end(Reached::Connected, None, None), Some(EndReason::RemoteHangup));
    }

    #[test]
    fn who_lost_the_server_is_still_in_a_running_call_and_in_no_other() {
        assert_eq!(remote_end(Reached::Connected, Some(Gone), None), None);
        assert_eq!(remote_end(Reached::Calling, Some(Gone), None), Some(EndReason::NoAnswer));
        for reached in [Reached::Ringing, Reached::Accepted] {
            assert_eq!(remote_end(reached, Some(Gone), None), Some(EndReason::RemoteHangup));
        }
    }

    #[test]
    fn before_an_answer_the_words_are_the_callees() {
        for (reason, end) in [
            (None, EndReason::Rejected),
            (Some(Rejected), EndReason::Rejected),
            (Some(Media), EndReason::MediaFailed),
            (Some(Busy), EndReason::Busy),
            (Some(Timeout), EndReason::NoAnswer),
            (Some(Hangup), EndReason::RemoteHangup),
            (Some(Failed), EndReason::ConnectionFailed),
        ] {
            assert_eq!(remote_end(Reached::Calling, reason, None), Some(end), "{reason:?}");
        }
    }
}
