//! How many candidates of the other side are taken. Pure.
//!
//! Each is an address of their choice that we send checks to, and each `.local` name a question to
//! everybody in the network: whoever calls must not make us knock at the doors of many.

use std::borrow::Cow;
use std::collections::HashSet;

/// Candidates of one ICE session, and host names among them; names in a call with all its restarts.
const MOST: usize = 32;
const MOST_NAMES: usize = 8;
const MOST_NAMES_IN_A_CALL: usize = 32;

/// What was taken so far.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Transport, address and port of each (RFC 8839 section 5.1).
    known: HashSet<(String, String, String)>,
    names: usize,
    /// Names of earlier sessions.
    names_before: usize,
    /// The session they belong to, by its username fragment.
    session: Option<String>,
    dropped: u64,
}

impl Taken {
    /// Whether a candidate is taken.
    pub(super) fn take(&mut self, candidate: &str) -> bool {
        let mut words = candidate.split_ascii_whitespace().skip(2);
        let mut word = |skipped: usize| words.nth(skipped).unwrap_or_default().to_ascii_lowercase();
        let this = (word(0), word(1), word(0));
        if self.known.contains(&this) {
            return true;
        }
        let is_name = this.1.ends_with(".local");
        let names = MOST_NAMES.min(MOST_NAMES_IN_A_CALL.saturating_sub(self.names_before));
        if self.known.len() == MOST || is_name && self.names >= names {
            if self.dropped == 0 {
                tracing::info!("the other side names more addresses than are looked at");
            }
            self.dropped += 1;
            return false;
        }
        self.names += usize::from(is_name);
        self.known.insert(this);
        true
    }

    /// A description of theirs of the session with this username fragment, without the candidates that
    /// are too many.
    pub(super) fn bound<'a>(&mut self, sdp: &'a str, session: Option<&str>) -> Cow<'a, str> {
        if session != self.session.as_deref() {
            let names_before = self.names_before + self.names;
            let session = session.map(str::to_owned);
            *self = Self { session, names_before, ..Self::default() };
        }
        let mut all = true;
        let kept: Vec<&str> = sdp
            .split_inclusive('\n')
            .filter(|line| {
                let candidate = line.trim_end().strip_prefix("a=candidate:");
                let keeps = candidate.is_none_or(|candidate| self.take(candidate));
                all &= keeps;
                keeps
            })
            .collect();
        if all { Cow::Borrowed(sdp) } else { Cow::Owned(kept.concat()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(address: &str, port: usize) -> String {
        format!("1 1 udp 2130706431 {address} {port} typ host")
    }

    #[test]
    fn so_many_are_taken_and_no_more() {
        let mut taken = Taken::default();
        let names = (0..20).filter(|n| taken.take(&candidate(&format!("{n}.local"), 9)));
        assert_eq!(names.count(), MOST_NAMES);
        let all = (0..800).filter(|n| taken.take(&candidate("192.0.2.1", *n)));
        assert_eq!(all.count(), MOST - MOST_NAMES);
        assert!(taken.take(&candidate("192.0.2.1", 3)), "known already");
        assert!(!taken.take(""));
    }

    #[test]
    fn those_in_a_description_count_too_and_a_restart_begins_anew() {
        let mut taken = Taken::default();
        let lines: String =
            (0..50).map(|n| format!("a=candidate:{}\r\n", candidate("192.0.2.1", n))).collect();
        let sdp = format!("v=0\r\nm=audio 9 X 0\r\n{lines}a=mid:0\r\n");
        let bounded = taken.bound(&sdp, Some("one")).into_owned();
        assert_eq!(bounded.matches("a=candidate").count(), MOST);
        assert!(bounded.ends_with("a=mid:0\r\n"));
        assert!(!taken.take(&candidate("192.0.2.2", 1)), "the same session");
        assert_eq!(taken.bound("v=0\r\n", Some("two")), "v=0\r\n");
        assert!(taken.take(&candidate("192.0.2.2", 1)));
    }

    #[test]
    fn beginning_anew_brings_no_end_of_names() {
        let mut taken = Taken::default();
        let mut all = 0;
        for session in 0..100 {
            taken.bound("v=0\r\n", Some(&session.to_string()));
            let name = |n| candidate(&format!("{session}-{n}.local"), 9);
            all += (0..20).filter(|n| taken.take(&name(*n))).count();
            assert!(taken.take(&candidate("192.0.2.1", 9)), "addresses are welcome");
        }
        assert_eq!(all, MOST_NAMES_IN_A_CALL);
    }

    proptest::proptest! {
        #[test]
        fn takes_anything(sdp in "\\PC*", candidate in "\\PC*") {
            let mut taken = Taken::default();
            let _ = taken.bound(&sdp, None);
            taken.take(&candidate);
        }
    }
}
