//! Which of a server's addresses datagrams go to. Pure.
//!
//! A name may have several, of which any may be dead, and datagrams fail in silence. So a question
//! that is asked again goes to the next one; who has answered is stayed with, since an allocation is
//! with one server (RFC 8656 section 5).

use std::net::SocketAddr;

use crate::race::MOST_ADDRESSES;
use crate::rtc::server_fault::ServerFault;

/// See the module. Holds at least one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    now: SocketAddr,
    /// Those that are to be tried, in turns.
    others: Vec<SocketAddr>,
    answered: bool,
}

impl Choice {
    /// Of all addresses of a server, those that can be reached from this one.
    pub(super) fn new(all: &[SocketAddr], local: SocketAddr) -> Result<Self, ServerFault> {
        let fitting = all.iter().filter(|address| address.is_ipv4() == local.is_ipv4());
        let mut fitting = fitting.take(MOST_ADDRESSES).copied();
        let kind = if local.is_ipv4() { "IPv4" } else { "IPv6" };
        let none = || ServerFault::Unsendable { reason: format!("it has no {kind} address") };
        let now = fitting.next().ok_or_else(none)?;
        Ok(Self { now, others: fitting.collect(), answered: false })
    }

    /// Where the next datagram goes.
    pub(super) fn address(&self) -> SocketAddr {
        self.now
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        std::iter::once(self.now).chain(self.others.iter().copied())
    }

    /// A question got no answer, or could not be sent: the next address has its turn. `false` when
    /// there is no other to try.
    pub(super) fn try_next(&mut self) -> bool {
        if self.answered || self.others.is_empty() {
            return false;
        }
        let next = self.others.remove(0);
        self.others.push(std::mem::replace(&mut self.now, next));
        true
    }

    /// Something came from one of them.
    pub(super) fn on_answer(&mut self, from: SocketAddr) {
        if self.answered || !self.all().any(|address| address == from) {
            return;
        }
        while self.now != from && self.try_next() {}
        self.answered = true;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn three() -> Choice {
        let all = ["192.0.2.1:1", "[2001:db8::1]:1", "192.0.2.2:1", "192.0.2.3:1"].map(at);
        Choice::new(&all, at("127.0.0.1:9")).unwrap()
    }

    #[test]
    fn of_the_right_family_or_none() {
        let v6 = [at("[2001:db8::1]:1")];
        assert_eq!(Choice::new(&v6, at("[::1]:9")).unwrap().address(), v6[0]);
        let fault = Choice::new(&v6, at("127.0.0.1:9")).unwrap_err();
        assert!(fault.to_string().contains("no IPv4 address"), "{fault}");
        assert!(Choice::new(&[], at("127.0.0.1:9")).is_err());
    }

    #[test]
    fn the_silent_are_passed_by_and_who_answers_is_stayed_with() {
        let mut choice = three();
        let mut tried = vec![choice.address()];
        for _ in 0..3 {
            assert!(choice.try_next());
            tried.push(choice.address());
        }
        let wanted = ["192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1", "192.0.2.1:1"].map(at);
        assert_eq!(tried, wanted);
        // Its answer took longer than our patience.
        choice.on_answer(at("192.0.2.3:1"));
        assert_eq!(choice.address(), at("192.0.2.3:1"));
        assert!(!choice.try_next());
        choice.on_answer(at("192.0.2.2:1"));
        assert_eq!(choice.address(), at("192.0.2.3:1"), "the first that answered");
    }

    #[test]
    fn strangers_decide_nothing_and_one_alone_is_asked_for_ever() {
        let mut choice = three();
        choice.on_answer(at("203.0.113.1:1"));
        assert!(choice.try_next());
        let mut alone = Choice::new(&[at("192.0.2.1:1")], at("127.0.0.1:9")).unwrap();
        assert!(!alone.try_next());
        assert_eq!(alone.address(), at("192.0.2.1:1"));
    }
}
