//! The few things that we must read out of a session description ourselves. Pure and tolerant.

/// Which way media of one section flows, seen from whoever wrote the description (RFC 8866
/// section 6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

/// What one media section says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) kind: String,
    pub(super) mid: String,
    pub(super) direction: Direction,
}

impl Direction {
    /// What we may answer to it (RFC 3264 section 6.1), given whether we want to send and receive.
    pub(super) fn answer(self, send: bool, receive: bool) -> Self {
        let (they_send, they_receive) = match self {
            Self::SendRecv => (true, true),
            Self::SendOnly => (true, false),
            Self::RecvOnly => (false, true),
            Self::Inactive => (false, false),
        };
        match (send && they_receive, receive && they_send) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }
}

/// The first ICE user name fragment (RFC 8839 section 5.4): another one is a restart.
pub(super) fn ice_ufrag(sdp: &str) -> Option<&str> {
    sdp.lines().find_map(|line| line.trim_end().strip_prefix("a=ice-ufrag:"))
}

/// The description without what is about to be gathered anew.
pub(super) fn without_candidates(sdp: &str) -> String {
    let stays =
        |line: &&str| !line.starts_with("a=candidate:") && !line.starts_with("a=end-of-candidates");
    sdp.split_inclusive('\n').filter(stays).collect()
}

/// The media sections of a description, in order; a session-level direction counts for sections
/// that have none.
pub(super) fn sections(sdp: &str) -> Vec<Section> {
    let mut session_direction = Direction::SendRecv;
    let mut sections: Vec<Section> = Vec::new();
    for line in sdp.lines().map(str::trim_end) {
        if let Some(media) = line.strip_prefix("m=") {
            let kind = media.split(' ').next().unwrap_or_default().to_owned();
            sections.push(Section { kind, mid: String::new(), direction: session_direction });
        } else if let Some(mid) = line.strip_prefix("a=mid:") {
            if let Some(section) = sections.last_mut() {
                section.mid = mid.to_owned();
            }
        } else if let Some(direction) = direction(line) {
            match sections.last_mut() {
                Some(section) => section.direction = direction,
                None => session_direction = direction,
            }
        }
    }
    sections
}

fn direction(line: &str) -> Option<Direction> {
    match line {
        "a=sendrecv" => Some(Direction::SendRecv),
        "a=sendonly" => Some(Direction::SendOnly),
        "a=recvonly" => Some(Direction::RecvOnly),
        "a=inactive" => Some(Direction::Inactive),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_fragment_restarts_ice() {
        let (one, two) = ("v=0\r\na=ice-ufrag:x\r\nm=audio\r\n", "v=0\nm=audio\na=ice-ufrag:x\n");
        assert_eq!(ice_ufrag(one), ice_ufrag(two));
        assert_ne!(ice_ufrag(one), ice_ufrag(&two.replace('x', "y")));
        assert_eq!(ice_ufrag(""), None);
    }

    #[test]
    fn reads_kind_mid_and_direction() {
        let sdp = "v=0\r\na=recvonly\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n\
                   m=video 9 UDP/TLS/RTP/SAVPF 102\r\na=mid:v1\r\na=inactive\r\n";
        let found = sections(sdp);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].kind.as_str(), found[0].mid.as_str()), ("audio", "0"));
        assert_eq!(found[0].direction, Direction::RecvOnly);
        assert_eq!((found[1].mid.as_str(), found[1].direction), ("v1", Direction::Inactive));
    }

    #[test]
    fn an_answer_is_the_reverse_of_the_offer_within_what_we_want() {
        let table = [
            (Direction::SendRecv, true, true, Direction::SendRecv),
            (Direction::SendRecv, false, true, Direction::RecvOnly),
            (Direction::SendOnly, true, true, Direction::RecvOnly),
            (Direction::RecvOnly, true, true, Direction::SendOnly),
            (Direction::RecvOnly, false, true, Direction::Inactive),
            (Direction::Inactive, true, true, Direction::Inactive),
        ];
        for (offer, send, receive, expected) in table {
            assert_eq!(offer.answer(send, receive), expected, "{offer:?} {send} {receive}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "\\PC*") {
            let _ = sections(&text);
        }
    }
}
