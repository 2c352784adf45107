//! Whose description it is: tells a later round of a call from a new call. Pure; reads no more of
//! SDP than the session's number and the certificate's fingerprints.

use crate::rtc::attributes::fingerprints;

/// Stands in our offers of a running call; browsers pass over it. Whoever gets one and is in no
/// such call any more must not ring.
const LATER: &str = "a=peer-later-round";

/// What stays the same in all descriptions of one peer connection: the session (RFC 8866 section
/// 5.2) and the certificate (RFC 8122 section 5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    session: String,
    /// All that it names: one more would be another certificate.
    fingerprints: Vec<String>,
}

impl Identity {
    /// Of a description; `None` when it has no certificate, by which alone one could know it.
    #[must_use]
    pub fn of(sdp: &str) -> Option<Self> {
        let origin = sdp.lines().find_map(|line| line.trim_end().strip_prefix("o="));
        let session = origin.unwrap_or_default().split(' ').take(2).collect::<Vec<_>>().join(" ");
        let fingerprints = fingerprints(sdp);
        (!fingerprints.is_empty()).then_some(Self { session, fingerprints })
    }

    /// Whether a description that follows in the same call can be this one's: the certificate of a
    /// connection never changes.
    #[must_use]
    pub fn may_become(&self, other: &Self) -> bool {
        self.fingerprints == other.fingerprints
    }
}

/// The offer with a mark that it belongs to a running call.
#[must_use]
pub fn mark_later(sdp: &str) -> String {
    let end = if sdp.contains("\r\n") { "\r\n" } else { "\n" };
    let at = match sdp.starts_with("m=") {
        true => Some(0),
        false => sdp.find("\nm=").map(|at| at + 1),
    };
    let at = at.unwrap_or(sdp.len());
    format!("{}{LATER}{end}{}", &sdp[..at], &sdp[at..])
}

/// Whether an offer says that it belongs to a running call.
#[must_use]
pub fn is_later(sdp: &str) -> bool {
    sdp.lines().any(|line| line.trim_end() == LATER)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn sdp(session: u64, version: u64, fingerprint: &str) -> String {
        format!(
            "v=0\r\no=- {session} {version} IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n\
             a=fingerprint:sha-256 {fingerprint}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"
        )
    }

    #[test]
    fn rounds_of_one_connection_are_alike_and_connections_are_not() {
        let first = Identity::of(&sdp(7, 1, "AA:BB")).unwrap();
        assert_eq!(Identity::of(&sdp(7, 2, "aa:bb")), Some(first.clone()));
        let other = Identity::of(&sdp(8, 1, "AA:BC")).unwrap();
        assert_ne!(first, other);
        assert!(!first.may_become(&other));
        assert_ne!(Identity::of(&sdp(8, 1, "AA:BB")), Some(first), "a page's certificate may stay");
        assert_eq!(Identity::of("v=0\r\no=- 7 1 IN IP4 0.0.0.0\r\n"), None);
        assert_eq!(Identity::of(""), None);
        let hidden = sdp(7, 2, "AA:BB") + "a=fingerprint:sha-256 EE\r\n";
        assert!(
            !Identity::of(&hidden).unwrap().may_become(&Identity::of(&sdp(7, 1, "AA:BB")).unwrap())
        );
    }

    #[test]
    fn the_mark_stands_before_the_first_section_and_is_found() {
        let offer = sdp(7, 2, "AA");
        assert!(!is_later(&offer));
        let marked = mark_later(&offer);
        assert!(is_later(&marked));
        let section = marked.find("m=audio").unwrap();
        assert!(marked[..section].ends_with("a=peer-later-round\r\n"), "{marked}");
        for odd in ["", "v=0", "m=audio", "v=0\nm=x\n"] {
            assert!(is_later(&mark_later(odd)) || !odd.ends_with('\n'), "{odd}");
        }
    }
}
