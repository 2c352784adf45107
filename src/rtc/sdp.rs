//! The few things that we must read out of a session description ourselves, and what the library
//! must not see. Pure and tolerant.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// A call has a few sections, and each some dozens of lines. The library looks through all of them for
/// each.
const MOST_SECTIONS: usize = 64;
const MOST_LINES: usize = 8_192;

/// A description is larger than any call needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it has more than {MOST_SECTIONS} sections or {MOST_LINES} lines")]
pub(super) struct TooLarge;

/// A description of theirs in lines as everybody reads them. The library passes over a CR before a
/// line and blanks after its `=`; who looks for lines would not see such a one.
///
/// # Errors
/// When it is larger than any call needs.
pub(super) fn readable(sdp: &str) -> Result<String, TooLarge> {
    let mut read = String::with_capacity(sdp.len() + 2);
    let (mut sections, mut lines) = (0, 0);
    for line in sdp.split(['\r', '\n']).filter(|line| !line.is_empty()) {
        lines += 1;
        sections += usize::from(line.starts_with("m="));
        if lines > MOST_LINES || sections > MOST_SECTIONS {
            return Err(TooLarge);
        }
        match line.split_once('=') {
            Some((kind, value)) => read.extend([kind, "=", value.trim()]),
            None => read.push_str(line),
        }
        read.push_str("\r\n");
    }
    Ok(read)
}

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
    /// It is refused, or has been stopped (RFC 3264 sections 6 and 8.2).
    pub(super) rejected: bool,
}

impl Section {
    /// Whether media of ours may go there.
    pub(super) fn takes(&self) -> bool {
        let receives = matches!(self.direction, Direction::SendRecv | Direction::RecvOnly);
        receives && !self.rejected
    }
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

/// The session's own lines, then each section with its own.
pub(super) fn split_sections(sdp: &str) -> Vec<&str> {
    let begins = sdp.match_indices("m=").map(|(at, _)| at);
    let begins = begins.filter(|at| sdp.get(..*at).is_some_and(|before| before.ends_with('\n')));
    let mut ends: Vec<usize> = begins.collect();
    ends.push(sdp.len());
    let mut from = 0;
    ends.into_iter().filter_map(|end| sdp.get(std::mem::replace(&mut from, end)..end)).collect()
}

/// The description without what is about to be gathered anew.
pub(super) fn without_candidates(sdp: &str) -> String {
    let stays =
        |line: &&str| !line.starts_with("a=candidate:") && !line.starts_with("a=end-of-candidates");
    sdp.split_inclusive('\n').filter(stays).collect()
}

/// W17: the library refuses all of a description where a section has an `a=msid` and no `a=ssrc`; so
/// there it is left out. Whose a packet is, we say ourselves.
pub(super) fn without_lone_msid(sdp: &str) -> String {
    let kept = |section: &str| -> String {
        let announced = section.lines().any(|line| line.starts_with("a=ssrc:"));
        let stays = |line: &&str| announced || !line.starts_with("a=msid:");
        section.split_inclusive('\n').filter(stays).collect()
    };
    split_sections(sdp).into_iter().map(kept).collect()
}

/// The media sections of a description, in order; a session-level direction counts for sections
/// that have none.
pub(super) fn sections(sdp: &str) -> Vec<Section> {
    let mut session_direction = Direction::SendRecv;
    let mut sections: Vec<Section> = Vec::new();
    for line in sdp.lines().map(str::trim_end) {
        if let Some(media) = line.strip_prefix("m=") {
            let mut words = media.split(' ');
            let kind = words.next().unwrap_or_default().to_owned();
            let rejected = words.next() == Some("0");
            let (mid, direction) = (String::new(), session_direction);
            sections.push(Section { kind, mid, direction, rejected });
        } else if line == "a=bundle-only" {
            // It has no port because it shares one (RFC 9143 section 6).
            if let Some(section) = sections.last_mut() {
                section.rejected = false;
            }
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

/// The payload types that are RED over Opus (RFC 2198) in the sections of sound.
pub(super) fn red_payload_types(sdp: &str) -> impl Iterator<Item = u8> {
    audio_lines(sdp)
        .filter_map(|line| named(line, "red/48000/2"))
        .filter_map(|payload_type| payload_type.parse().ok())
}

/// The description without RED that we could not use: of another clock or codec than our Opus, or
/// beside an Opus that the library takes for half a match only. It would choose the whole match over
/// that, and then there would be RED and nothing to put into it.
pub(super) fn without_strange_red(sdp: &str) -> Cow<'_, str> {
    let opus: HashSet<&str> =
        audio_lines(sdp).filter_map(|line| named(line, "opus/48000/2")).collect();
    let said = audio_lines(sdp).filter_map(|line| line.strip_prefix("a=fmtp:"));
    let mut parameters: HashMap<&str, &str> = HashMap::new();
    for (payload_type, text) in said.filter_map(|line| line.split_once(' ')) {
        parameters.entry(payload_type).or_insert(text);
    }
    let is_ours = |opus: &&str| parameters.get(opus).is_none_or(|said| agrees_with_our_opus(said));
    let all_ours = !opus.is_empty() && opus.iter().all(is_ours);
    let fits = |red: &str| {
        // A block names its codec by number; without a list it is whatever there is.
        let blocks = parameters.get(red).copied().unwrap_or_default();
        all_ours && blocks.split('/').all(|block| block.is_empty() || opus.contains(block.trim()))
    };
    let is_red = |line: &str| red_encoding(line).map(str::to_owned);
    let reds = audio_lines(sdp).filter_map(is_red);
    let ours: HashSet<u8> = red_payload_types(sdp).collect();
    let known = |red: &String| red.parse().is_ok_and(|red: u8| ours.contains(&red));
    let strange: HashSet<String> = reds.filter(|red| !known(red) || !fits(red)).collect();
    match strange.is_empty() {
        true => Cow::Borrowed(sdp),
        false => Cow::Owned(without(sdp, &strange)),
    }
}

/// Whether the library, which compares only parameters that both sides name, finds no difference.
fn agrees_with_our_opus(parameters: &str) -> bool {
    parameters.split(';').all(|parameter| match parameter.trim().split_once('=') {
        Some(("minptime", value)) => value == "10",
        Some(("useinbandfec", value)) => value == "1",
        _ => true,
    })
}

/// The description without these payload types in its sections of sound.
fn without(sdp: &str, payload_types: &HashSet<String>) -> String {
    let mut sound = false;
    let mut kept = String::with_capacity(sdp.len());
    for line in sdp.lines().map(str::trim_end) {
        if let Some(media) = line.strip_prefix("m=") {
            sound = media.starts_with("audio ");
        }
        let described = || {
            let of =
                ["a=rtpmap:", "a=fmtp:", "a=rtcp-fb:"].iter().find_map(|p| line.strip_prefix(p));
            of.and_then(|rest| rest.split(' ').next()).is_some_and(|of| payload_types.contains(of))
        };
        if sound && line.starts_with("m=") {
            // Kind, port and profile, then the payload types (RFC 8866 section 5.14).
            let words = line.split(' ').enumerate();
            let words = words.filter(|(at, word)| *at < 3 || !payload_types.contains(*word));
            kept.push_str(&words.map(|(_, word)| word).collect::<Vec<_>>().join(" "));
        } else if sound && described() {
            continue;
        } else {
            kept.push_str(line);
        }
        kept.push_str("\r\n");
    }
    kept
}

/// The lines of all sections of sound.
fn audio_lines(sdp: &str) -> impl Iterator<Item = &str> {
    let mut sound = false;
    sdp.lines().map(str::trim_end).filter(move |line| {
        if let Some(media) = line.strip_prefix("m=") {
            sound = media.starts_with("audio ");
        }
        sound
    })
}

/// The payload type in a line that gives it this encoding (RFC 8866 section 6.6).
fn named<'a>(line: &'a str, encoding: &str) -> Option<&'a str> {
    let (payload_type, called) = line.strip_prefix("a=rtpmap:")?.split_once(' ')?;
    called.trim().eq_ignore_ascii_case(encoding).then_some(payload_type)
}

/// The payload type in a line that calls it RED, of whatever clock.
fn red_encoding(line: &str) -> Option<&str> {
    let (payload_type, called) = line.strip_prefix("a=rtpmap:")?.split_once(' ')?;
    let name = called.split('/').next()?;
    name.trim().eq_ignore_ascii_case("red").then_some(payload_type)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
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

    fn sound(lines: &str) -> String {
        format!("v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111 63 9\r\n{lines}a=rtpmap:9 G722/8000\r\n")
    }

    const OPUS: &str = "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n";
    const RED: &str = "a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n";

    #[test]
    fn red_of_our_opus_stays() {
        let video = "m=video 9 UDP/TLS/RTP/SAVPF 98\r\na=rtpmap:98 red/90000\r\n";
        let sdp = sound(&[OPUS, RED].concat()) + video;
        assert_eq!(red_payload_types(&sdp).collect::<Vec<_>>(), [63]);
        assert_eq!(without_strange_red(&sdp), sdp);
        let bare = sound("a=rtpmap:111 OPUS/48000/2\r\na=rtpmap:63 red/48000/2\r\n");
        assert_eq!(without_strange_red(&bare), bare, "no parameters, nothing that disagrees");
    }

    #[test]
    fn red_of_anything_else_goes() {
        let others = [
            [OPUS, "a=rtpmap:63 red/8000\r\n"].concat(),
            [OPUS, "a=rtpmap:63 red/48000/2\r\na=fmtp:63 9/9\r\n"].concat(),
            ["a=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=0\r\n", RED].concat(),
            ["a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=20;stereo=1\r\n", RED].concat(),
            ["a=rtpmap:111 L16/48000\r\n", "a=rtpmap:63 red/48000/2\r\n"].concat(),
        ];
        for lines in others {
            let known = without_strange_red(&sound(&lines)).into_owned();
            assert!(!known.contains("63"), "{known}");
            assert!(known.contains("m=audio 9 UDP/TLS/RTP/SAVPF 111 9\r\n"), "{known}");
            assert!(known.contains("a=rtpmap:111") && known.contains("a=rtpmap:9 G722"), "{known}");
        }
    }

    #[test]
    fn no_line_hides_behind_the_way_it_is_written() {
        let candidate = "a=candidate:1 1 udp 1 x.local 9 typ host";
        for hidden in [
            format!("\r{candidate}"),
            format!("\r\r\n\n\r{candidate}\n"),
            candidate.replace("a=", "a= "),
            candidate.replace("a=", "a=\t \u{a0}"),
            format!("a=x\r{candidate}"),
        ] {
            let read = readable(&format!("v=0\r\nm=audio 9 X 0\r\n{hidden}\r\na=mid:0")).unwrap();
            assert!(read.contains(&format!("\r\n{candidate}\r\n")), "{hidden:?} {read:?}");
            assert!(read.ends_with("\r\na=mid:0\r\n"));
            assert_eq!(readable(&read).unwrap(), read);
        }
        assert_eq!(readable(&"m=\n".repeat(MOST_SECTIONS + 1)), Err(TooLarge));
        assert_eq!(readable(&"a\n".repeat(MOST_LINES + 1)), Err(TooLarge));
    }

    #[test]
    fn a_stream_without_a_number_has_no_name_either() {
        let alone = "m=audio 9 X 0\r\na=msid:s t\r\na=mid:0\r\n";
        let known = "m=video 9 X 0\r\na=msid:s v\r\na=ssrc:1 cname:x\r\n";
        let sdp = format!("v=0\r\n{alone}{known}");
        assert_eq!(without_lone_msid(&sdp), sdp.replace("a=msid:s t\r\n", ""));
    }

    #[test]
    fn many_codecs_are_looked_at_once_each() {
        let lines = |n: usize| format!("a=rtpmap:63 red/48000/2\r\na=rtpmap:{n} opus/48000/2\r\n");
        let sdp = sound(&(100..2_100).map(lines).collect::<String>());
        // As the square of the lines it would be a matter of hours.
        assert!(without_strange_red(&sdp).contains("opus"));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "\\PC*") {
            let _ = readable(&text);
            let _ = sections(&text);
            let _ = without_strange_red(&text);
        }
    }
}
