//! Remote candidates on their way to the connection: held until the description that they belong
//! to is set, dropped when that description is a dead one. Pure; reads no more of SDP than the
//! ICE user name fragments (RFC 8839 section 5.4).

use std::collections::VecDeque;

use crate::ice::Candidate;

/// The most candidates that wait; the oldest goes first.
pub const MAX_WAITING: usize = 256;

/// How many earlier descriptions are remembered as dead.
const MAX_DEAD: usize = 16;

/// The remote candidates of one call.
#[derive(Debug, Default)]
pub struct RemoteCandidates {
    waiting: VecDeque<Candidate>,
    /// The fragments of the remote description that is set; `None` before the first.
    current: Option<Vec<String>>,
    dead: VecDeque<String>,
}

impl RemoteCandidates {
    /// Takes a candidate and says whether it can be added now. It waits when there is no remote
    /// description, when one is just being set (`busy`), or when it belongs to a later one.
    pub fn offer(&mut self, candidate: Candidate, busy: bool) -> Option<Candidate> {
        if candidate.candidate.is_empty() || self.is_dead(&candidate) {
            return None;
        }
        if !busy && self.fits(&candidate) {
            return Some(candidate);
        }
        if self.waiting.len() == MAX_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(candidate);
        None
    }

    /// A remote description has been set; candidates of the one before are dead from now on.
    pub fn described(&mut self, sdp: &str) {
        let new = ice_ufrags(sdp);
        for old in self.current.take().unwrap_or_default() {
            if !new.contains(&old) && !self.dead.contains(&old) {
                self.dead.push_back(old);
            }
        }
        while self.dead.len() > MAX_DEAD {
            self.dead.pop_front();
        }
        self.dead.retain(|ufrag| !new.contains(ufrag));
        self.current = Some(new);
    }

    /// What has waited and can be added now, in the order it came.
    pub fn release(&mut self) -> Vec<Candidate> {
        let (ready, later) = std::mem::take(&mut self.waiting)
            .into_iter()
            .filter(|candidate| !self.is_dead(candidate))
            .partition(|candidate| self.fits(candidate));
        self.waiting = later;
        Vec::from(ready)
    }

    /// Whether this description would start the generation that is already set.
    #[must_use]
    pub fn is_same_generation(&self, sdp: &str) -> bool {
        let new = ice_ufrags(sdp);
        !new.is_empty() && self.current.as_ref() == Some(&new)
    }

    fn fits(&self, candidate: &Candidate) -> bool {
        let Some(current) = &self.current else { return false };
        match ufrag_of(candidate) {
            Some(ufrag) => current.is_empty() || current.iter().any(|one| one == ufrag),
            None => true,
        }
    }

    fn is_dead(&self, candidate: &Candidate) -> bool {
        ufrag_of(candidate).is_some_and(|ufrag| self.dead.iter().any(|one| one == ufrag))
    }
}

/// The ICE user name fragments in a description, without repetition; empty when it has none.
#[must_use]
pub fn ice_ufrags(sdp: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in sdp.lines() {
        let Some(ufrag) = line.trim().strip_prefix("a=ice-ufrag:") else { continue };
        let ufrag = ufrag.trim();
        if !ufrag.is_empty() && found.len() < 64 && !found.iter().any(|one| one == ufrag) {
            found.push(ufrag.to_owned());
        }
    }
    found
}

/// The fragment that a candidate names, in its field or in its line.
fn ufrag_of(candidate: &Candidate) -> Option<&str> {
    let field = candidate.username_fragment.as_deref().filter(|ufrag| !ufrag.is_empty());
    field.or_else(|| {
        let mut words = candidate.candidate.split_ascii_whitespace();
        words.find(|word| *word == "ufrag")?;
        words.next()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(ufrag: Option<&str>, line: &str) -> Candidate {
        Candidate {
            candidate: line.to_owned(),
            sdp_mid: None,
            sdp_mline_index: None,
            username_fragment: ufrag.map(str::to_owned),
        }
    }

    #[test]
    fn fragments_are_found_however_the_lines_end() {
        let sdp =
            "v=0\na=ice-ufrag: ab \r\nm=audio\r\na=ice-ufrag:ab\r\na=ice-ufrag:cd\r\na=ice-ufrag:";
        assert_eq!(ice_ufrags(sdp), ["ab", "cd"]);
        assert!(ice_ufrags("").is_empty());
    }

    #[test]
    fn a_fragment_may_stand_in_the_line_only() {
        let line = "candidate:1 1 udp 1 192.0.2.1 9 typ host ufrag ab network-cost 10";
        assert_eq!(ufrag_of(&named(None, line)), Some("ab"));
        assert_eq!(ufrag_of(&named(Some(""), line)), Some("ab"));
        assert_eq!(ufrag_of(&named(Some("cd"), line)), Some("cd"));
        assert_eq!(ufrag_of(&named(None, "candidate:1 ufrag")), None);
    }

    #[test]
    fn a_description_without_fragments_takes_every_candidate() {
        let mut remote = RemoteCandidates::default();
        remote.described("v=0\r\n");
        assert!(remote.offer(named(Some("ab"), "candidate:1"), false).is_some());
        assert!(remote.offer(named(Some("ab"), ""), false).is_none(), "the end of candidates");
    }

    #[test]
    fn a_generation_that_comes_back_lives_again() {
        let mut remote = RemoteCandidates::default();
        remote.described("a=ice-ufrag:ab\n");
        remote.described("a=ice-ufrag:cd\n");
        assert!(remote.offer(named(Some("ab"), "candidate:1"), false).is_none());
        assert!(remote.is_same_generation("a=ice-ufrag:cd\n"));
        remote.described("a=ice-ufrag:ab\n");
        assert!(remote.offer(named(Some("ab"), "candidate:1"), false).is_some());
        assert!(remote.release().is_empty());
    }
}
