//! Candidates over TCP (RFC 6544 section 4.5): which of theirs we knock at, and how ours and theirs are
//! ranked. Pure.
//!
//! A passive candidate is an address and port of the other side's choice that we open a connection to,
//! which could be that of anything in our network. Browsers refuse ports below 1024 but those of the
//! web, and these only on public addresses; beyond that we refuse what is never a way to another
//! machine.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::ice::Candidate;

/// Below every candidate over UDP, relayed ones too: type preference 0, direction preference 4 of 7
/// and the rest as if there were one address (RFC 8445 section 5.1.2.1, RFC 6544 section 4.2). Media
/// over TCP waits for whatever was lost.
const PRIORITY: u32 = (((4 << 13) + 8191) << 8) + 255;

/// Of ours so many are told: there may be many addresses, and who looks at no more than 32 candidates
/// must find the better ones. An active one says only that we can connect.
const MOST_PASSIVE: usize = 6;
const MOST_ACTIVE: usize = 2;

const WEB_PORTS: [u16; 2] = [80, 443];

/// Whether a candidate line, with or without its name, is one over TCP.
pub(in crate::rtc) fn is_tcp(line: &str) -> bool {
    words(line).nth(2).is_some_and(|transport| transport.eq_ignore_ascii_case("tcp"))
}

/// Where somebody listens, by a candidate line of theirs; `None` where we do not knock. `bound` are
/// the addresses that we may connect from, all when empty.
pub(super) fn passive(line: &str, bound: &[IpAddr]) -> Option<SocketAddr> {
    let words: Vec<&str> = words(line).collect();
    let &[_, component, _, _, ip, port, "typ", _, ref rest @ ..] = &*words else { return None };
    let direction = rest.iter().position(|word| *word == "tcptype").and_then(|at| rest.get(at + 1));
    // RTCP goes with RTP (RFC 5761).
    if !is_tcp(line) || component != "1" || direction != Some(&"passive") {
        return None;
    }
    let ip = ip.parse::<IpAddr>().ok()?.to_canonical();
    let at = SocketAddr::new(ip, port.parse().ok()?);
    (source(at, bound).is_some() && may_be_knocked_at(at, bound)).then_some(at)
}

/// The address to connect from, which may be any.
pub(super) fn source(to: SocketAddr, bound: &[IpAddr]) -> Option<IpAddr> {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    if bound.is_empty() {
        return Some(any);
    }
    let fits = |from: &&IpAddr| from.is_ipv4() == to.is_ipv4();
    let near = |from: &&IpAddr| from.is_loopback() == to.ip().is_loopback();
    bound.iter().filter(fits).find(near).copied()
}

fn may_be_knocked_at(at: SocketAddr, bound: &[IpAddr]) -> bool {
    let (ip, port) = (at.ip(), at.port());
    let unfit = match ip {
        IpAddr::V4(ip) => {
            // Nobody's network, and those that lead to no single machine (RFC 6890).
            matches!(ip.octets()[0], 0 | 224..) || ip.is_link_local()
        }
        IpAddr::V6(ip) => {
            ip.is_unspecified() || ip.is_multicast() || ip.is_unicast_link_local()
                // Discarded anyway (RFC 6666), and not to be taken for a stand-in.
                || ip.segments()[..4] == [0x100, 0, 0, 0]
        }
    };
    // Programs that trust this machine listen there. Only a call within it has business with it.
    let foreign = ip.is_loopback() && !bound.iter().any(IpAddr::is_loopback);
    let low = port < 1024 && (!WEB_PORTS.contains(&port) || is_private(ip));
    !unfit && !foreign && !low
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        // Shared address space too (RFC 6598).
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            ip.is_private() || ip.is_loopback() || (first == 100 && second >> 6 == 1)
        }
        IpAddr::V6(ip) => {
            let [first, second, ..] = ip.segments();
            // Site-local (RFC 3879), and those that stand for IPv4 addresses, which may be private
            // (RFC 6052, RFC 8215, RFC 3056).
            let stands_in = (first, second) == (0x64, 0xff9b) || first == 0x2002;
            ip.is_unique_local() || ip.is_loopback() || first & 0xffc0 == 0xfec0 || stands_in
        }
    }
}

/// Their candidate as the library is to see it.
pub(super) fn for_library(stand_in: SocketAddr) -> String {
    let (ip, port) = (stand_in.ip(), stand_in.port());
    format!("candidate:tcp 1 tcp {PRIORITY} {ip} {port} typ host tcptype passive")
}

/// What the other side is told of our candidates: those over TCP when it is their time and not before,
/// since hardly any call needs them, and no more than so many since gathering began.
#[derive(Debug, Default)]
pub(in crate::rtc) struct Told(Mutex<Over>);

#[derive(Debug, Default)]
struct Over {
    passive: usize,
    active: usize,
    is_time: bool,
    waiting: Vec<Candidate>,
}

impl Told {
    /// A candidate of ours as the other side is to see it now; `None` when it waits, or is one too many.
    pub(in crate::rtc) fn tell(&self, candidate: Candidate) -> Option<Candidate> {
        if !is_tcp(&candidate.candidate) {
            return Some(candidate);
        }
        let mut over = self.over();
        if over.passive + over.active == 0 {
            // Those of an earlier gathering are none any more.
            over.waiting.clear();
        }
        let is_passive = words(&candidate.candidate).any(|word| word == "passive");
        let (told, most) = match is_passive {
            true => (&mut over.passive, MOST_PASSIVE),
            false => (&mut over.active, MOST_ACTIVE),
        };
        if *told == most {
            return None;
        }
        *told += 1;
        let candidate = Candidate { candidate: ours(&candidate.candidate), ..candidate };
        if over.is_time {
            return Some(candidate);
        }
        over.waiting.push(candidate);
        None
    }

    /// All are known.
    pub(in crate::rtc) fn complete(&self) {
        let mut over = self.over();
        (over.passive, over.active) = (0, 0);
    }

    /// Whether TCP has its turn; gives those that have waited for it.
    pub(super) fn set_time(&self, is_time: bool) -> Vec<Candidate> {
        let mut over = self.over();
        over.is_time = is_time;
        if is_time { std::mem::take(&mut over.waiting) } else { Vec::new() }
    }

    fn over(&self) -> MutexGuard<'_, Over> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ours(line: &str) -> String {
    let mut words: Vec<Cow<'_, str>> = line.split_ascii_whitespace().map(Cow::Borrowed).collect();
    if let Some(priority) = words.get_mut(3).filter(|_| is_tcp(line)) {
        *priority = PRIORITY.to_string().into();
    }
    words.join(" ")
}

/// A description without candidates over TCP, and their lines.
pub(in crate::rtc) fn take_out(sdp: &str) -> (Cow<'_, str>, Vec<&str>) {
    let candidate = |line: &'_ str| line.starts_with("a=candidate:") && is_tcp(line);
    let lines: Vec<&str> = sdp.lines().filter(|line| candidate(line)).collect();
    if lines.is_empty() {
        return (sdp.into(), lines);
    }
    let kept: String = sdp.split_inclusive('\n').filter(|line| !candidate(line)).collect();
    (kept.into(), lines)
}

/// Puts a line of theirs through all that reads it, for fuzzers.
pub(in crate::rtc) fn look_at(line: &str) {
    let here = [IpAddr::from(Ipv4Addr::LOCALHOST)];
    for bound in [&here[..], &[]] {
        let _ = passive(line, bound);
    }
    let _ = ours(line);
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split_ascii_whitespace()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(ip: &str, port: u32, end: &str) -> String {
        format!("candidate:1 1 tcp 1518280447 {ip} {port} typ host {end}")
    }

    #[test]
    fn who_listens_is_knocked_at_and_who_connects_is_not() {
        let at = |ip, port| passive(&line(ip, port, "tcptype passive generation 0"), &[]);
        assert_eq!(at("192.0.2.1", 5000), Some("192.0.2.1:5000".parse().unwrap()));
        assert_eq!(at("2001:db8::1", 5000), Some("[2001:db8::1]:5000".parse().unwrap()));
        assert_eq!(at("::ffff:192.0.2.1", 5000), Some("192.0.2.1:5000".parse().unwrap()));
        let reflexive = "1 1 TCP 1 192.0.2.1 5000 typ srflx raddr 10.0.0.1 rport 9 tcptype passive";
        assert_eq!(passive(reflexive, &[]), Some("192.0.2.1:5000".parse().unwrap()));
        for end in ["tcptype active", "tcptype so", "tcptype", "", "generation 0"] {
            assert_eq!(passive(&line("192.0.2.1", 5000, end), &[]), None, "{end}");
        }
        let (udp, rtcp) =
            ("1 1 udp 1 192.0.2.1 5000 typ host", "1 2 tcp 1 192.0.2.1 5000 typ host");
        assert_eq!(passive(&format!("{udp} tcptype passive"), &[]), None);
        assert_eq!(passive(&format!("{rtcp} tcptype passive"), &[]), None);
        assert_eq!(at("name.local", 5000), None);
    }

    #[test]
    fn services_and_what_is_no_other_machine_are_left_alone() {
        let at = |ip, port| passive(&line(ip, port, "tcptype passive"), &[]).is_some();
        for (ip, port, wanted) in [
            ("192.0.2.1", 443, true),
            ("192.0.2.1", 80, true),
            ("192.0.2.1", 22, false),
            ("192.0.2.1", 0, false),
            ("192.0.2.1", 65_536, false),
            ("192.168.1.1", 5000, true),
            ("192.168.1.1", 443, false),
            ("100.64.0.1", 80, false),
            ("fd00::1", 443, false),
            ("127.0.0.1", 6379, false),
            ("::1", 6379, false),
            ("::ffff:127.0.0.1", 6379, false),
            ("169.254.169.254", 8080, false),
            ("fe80::1", 5000, false),
            ("0.0.0.0", 5000, false),
            ("0.1.2.3", 5000, false),
            ("224.0.0.1", 5000, false),
            ("255.255.255.255", 5000, false),
            ("ff02::1", 5000, false),
            ("100::1", 5000, false),
        ] {
            assert_eq!(at(ip, port), wanted, "{ip} {port}");
        }
    }

    #[test]
    fn where_we_are_bound_says_whom_we_can_reach() {
        let bound = |address: &str| [address.parse::<IpAddr>().unwrap()];
        let (near, far) = (
            line("127.0.0.1", 5000, "tcptype passive"),
            line("192.0.2.1", 5000, "tcptype passive"),
        );
        assert!(passive(&near, &bound("127.0.0.1")).is_some());
        assert!(passive(&near, &bound("192.0.2.7")).is_none());
        assert!(passive(&far, &bound("192.0.2.7")).is_some());
        assert!(passive(&far, &bound("::1")).is_none());
        let to = "192.0.2.1:9".parse().unwrap();
        assert_eq!(source(to, &bound("192.0.2.7")), Some("192.0.2.7".parse().unwrap()));
        assert_eq!(source(to, &[]), Some("0.0.0.0".parse().unwrap()));
    }

    #[test]
    fn tcp_comes_after_everything_else_and_is_told_in_a_few_lines() {
        let relayed_over_udp: u32 = (65_535 << 8) + 255;
        assert!(PRIORITY < relayed_over_udp);
        let ours = ours(&line("192.0.2.1", 9, "tcptype active"));
        assert_eq!(
            ours,
            format!("candidate:1 1 tcp {PRIORITY} 192.0.2.1 9 typ host tcptype active")
        );
        let udp = "candidate:1 1 udp 2130706431 192.0.2.1 9 typ host";
        let candidate = |line: &str| Candidate {
            candidate: line.to_owned(),
            sdp_mid: None,
            sdp_mline_index: Some(0),
            username_fragment: None,
        };
        let told = Told::default();
        let tell_many = || {
            for sort in ["active", "passive"] {
                let line = line("192.0.2.1", 9, &format!("tcptype {sort}"));
                let at_once = (0..20).filter_map(|_| told.tell(candidate(&line)));
                assert_eq!(at_once.count(), 0, "they wait for their time");
            }
            assert!(told.tell(candidate(udp)).is_some_and(|told| told.candidate == udp));
            told.complete();
        };
        tell_many();
        tell_many();
        let waited = told.set_time(true);
        assert_eq!(waited.len(), MOST_ACTIVE + MOST_PASSIVE, "those of the last gathering");
        assert!(waited.iter().all(|told| told.candidate.contains(&format!(" {PRIORITY} "))));
        assert!(told.tell(candidate(&line("192.0.2.1", 9, "tcptype active"))).is_some());
        assert!(told.set_time(true).is_empty());
        let stand_in = for_library("0.1.2.0:5000".parse().unwrap());
        assert!(is_tcp(&stand_in) && stand_in.ends_with("0.1.2.0 5000 typ host tcptype passive"));
    }

    #[test]
    fn descriptions_lose_what_is_over_tcp_and_nothing_else() {
        let (udp, tcp) =
            ("a=candidate:1 1 udp 1 192.0.2.1 9 typ host", "a=candidate:1 1 TCP 1 x 9");
        let sdp = format!("v=0\r\n{udp}\r\n{tcp}\r\na=mid:0\r\n");
        let (kept, lines) = take_out(&sdp);
        assert_eq!((&*kept, lines), (&*format!("v=0\r\n{udp}\r\na=mid:0\r\n"), vec![tcp]));
        assert_eq!(take_out("v=0\r\n").0, "v=0\r\n");
    }

    proptest! {
        #[test]
        fn wild_lines_are_no_candidates(line in "\\PC*", sdp in "(a=candidate:\\PC*[\r\n]|\\PC*)*") {
            let _ = (passive(&line, &[]), ours(&line));
            let (kept, lines) = take_out(&sdp);
            prop_assert!(kept.len() <= sdp.len() && (lines.is_empty() || kept.len() < sdp.len()));
        }
    }
}
