//! The fingerprints in a description of theirs, and whether a certificate is one of those. Pure.
//!
//! W13: the library takes one fingerprint of a description, knows one hash, only in small letters, and
//! when the certificate is another it says so to nobody. So it is given a description with one that it
//! does not look at, and what RFC 8122 section 5 asks for is done here, before anything else of theirs
//! is believed.

use ring::digest::{self, Algorithm};

use super::sdp::split_sections;

/// Those of one section that are looked at.
const MOST: usize = 32;

/// The hashes that are known, best first, by their names (RFC 8122 section 5, without case).
const HASHES: [(&str, &Algorithm); 3] =
    [("sha-256", &digest::SHA256), ("sha-384", &digest::SHA384), ("sha-512", &digest::SHA512)];

/// Why a description cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    /// There is none.
    #[error(
        "their session description has no certificate fingerprint, by which the other side is \
         known (SHA-256 is needed)"
    )]
    Missing,
    /// There are some, and none is of a hash that is known, or as long as one is.
    #[error("their session description has no usable certificate fingerprint (SHA-256 is needed)")]
    Unknown,
}

/// What a certificate may have as its hash, by one section: any of these, all of the same kind.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Any {
    /// Its place in `HASHES`.
    hash: usize,
    values: Vec<Vec<u8>>,
}

/// What each section says. One transport carries them all, so that the certificate has to suit all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fingerprints(Vec<Any>);

impl Fingerprints {
    /// Those of a description: a section's own, else the session's.
    pub(super) fn of(sdp: &str) -> Result<Self, Unfit> {
        let parts = split_sections(sdp);
        let (session, sections) = parts.split_first().ok_or(Unfit::Missing)?;
        let for_all = written(session);
        let mut found = Vec::new();
        for section in sections.iter().filter(|section| !is_rejected(section)) {
            let own = written(section);
            let used = if own.is_empty() { &for_all } else { &own };
            if used.is_empty() {
                continue;
            }
            let any = of_the_best_hash(used).ok_or(Unfit::Unknown)?;
            if !found.contains(&any) {
                found.push(any);
            }
        }
        if found.is_empty() { Err(Unfit::Missing) } else { Ok(Self(found)) }
    }

    /// Whether they are those of this certificate (DER).
    pub(super) fn fit(&self, certificate: &[u8]) -> bool {
        self.0.iter().all(|any| {
            let algorithm = HASHES.get(any.hash).map(|(_, algorithm)| *algorithm);
            algorithm.is_some_and(|algorithm| {
                let hash = digest::digest(algorithm, certificate);
                any.values.iter().any(|value| value == hash.as_ref())
            })
        })
    }
}

/// The description with one fingerprint for the library, which does not look at it.
pub(super) fn for_library(sdp: &str) -> String {
    let mut parts = split_sections(sdp).into_iter();
    let kept = |part: &str| -> String {
        part.split_inclusive('\n').filter(|line| !line.starts_with("a=fingerprint:")).collect()
    };
    let mut fixed = parts.next().map(kept).unwrap_or_default();
    fixed.push_str("a=fingerprint:sha-256 00\r\n");
    fixed.extend(parts.map(kept));
    fixed
}

/// Hash and value of each line, as they are written.
fn written(part: &str) -> Vec<(&str, &str)> {
    let lines = part.lines().filter_map(|line| line.strip_prefix("a=fingerprint:"));
    lines.map(|line| line.trim().split_once(' ').unwrap_or((line, ""))).take(MOST).collect()
}

/// Those of the hash that we prefer among those that are named (RFC 8122 section 5: what others say is
/// not looked at); `None` where none is known, or nothing whole stands beside its name.
fn of_the_best_hash(written: &[(&str, &str)]) -> Option<Any> {
    let of = |name: &'static str| {
        written.iter().filter(move |(found, _)| found.eq_ignore_ascii_case(name))
    };
    let named = |(name, _): &&(&'static str, &Algorithm)| of(name).next().is_some();
    let (name, algorithm) = HASHES.iter().find(named)?;
    let hash = HASHES.iter().position(|(known, _)| known == name)?;
    let values = of(name).filter_map(|(_, value)| bytes(value));
    let values: Vec<_> = values.filter(|bytes| bytes.len() == algorithm.output_len()).collect();
    (!values.is_empty()).then_some(Any { hash, values })
}

/// Pairs of hexadecimal digits with colons between them.
fn bytes(value: &str) -> Option<Vec<u8>> {
    let pair = |pair: &str| {
        let digits = pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
        digits.then(|| u8::from_str_radix(pair, 16).ok()).flatten()
    };
    value.trim().split(':').map(pair).collect()
}

/// A port of zero refuses a section (RFC 3264 section 6), but for one that only shares the transport
/// of another (RFC 9143 section 6).
fn is_rejected(section: &str) -> bool {
    let port = section.split(' ').nth(1);
    port == Some("0") && !section.lines().any(|line| line.trim_end() == "a=bundle-only")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const CERTIFICATE: &[u8] = b"a certificate";

    fn line(hash: usize, of: &[u8]) -> String {
        let (name, algorithm) = HASHES[hash];
        let value = digest::digest(algorithm, of);
        let pairs: Vec<_> = value.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
        format!("a=fingerprint:{name} {}\r\n", pairs.join(":"))
    }

    fn sdp(session: &str, sections: &[&str]) -> String {
        let sections = sections.iter().map(|lines| format!("m=audio 9 X 0\r\n{lines}a=mid:0\r\n"));
        format!("v=0\r\n{session}{}", sections.collect::<String>())
    }

    fn fits(sdp: &str) -> bool {
        Fingerprints::of(sdp).unwrap().fit(CERTIFICATE)
    }

    #[test]
    fn a_good_one_is_found_wherever_it_stands() {
        let (right, wrong) = (line(0, CERTIFICATE), line(0, b"another"));
        let sha_1 = "a=fingerprint:sha-1 01:02\r\n";
        for good in [
            sdp("", &[&right]),
            sdp(&right, &["", ""]),
            sdp("", &[&right.replace("sha-256", "SHA-256"), &right.to_lowercase()]),
            sdp("", &[&format!("{wrong}{right}")]),
            sdp("", &[&format!("{right}{wrong}")]),
            sdp("", &[&format!("{sha_1}{right}")]),
            sdp(sha_1, &[&right]),
            sdp(&wrong, &[&right]),
            sdp("", &[&right, ""]),
            sdp("", &[&line(2, CERTIFICATE)]),
            sdp("", &[&format!("{right}{}", line(1, CERTIFICATE))]),
            sdp("", &[&format!("{}{right}", line(2, b"another"))]),
            sdp("", &[&right]) + "m=video 0 X 0\r\n" + &*wrong,
        ] {
            assert!(fits(&good), "{good}");
        }
        for bad in [
            sdp("", &[&wrong]),
            sdp(&right, &[&wrong]),
            sdp("", &[&right, &wrong]),
            sdp("", &[&format!("{}{}", line(2, b"another"), line(1, b"another"))]),
            sdp("", &[&format!("{wrong}{}", line(2, CERTIFICATE))]),
            sdp("", &[&right]) + "m=video 0 X 0\r\na=bundle-only\r\n" + &*wrong,
        ] {
            assert!(!fits(&bad), "{bad}");
        }
    }

    #[test]
    fn without_one_nothing_is_begun() {
        let right = line(0, CERTIFICATE);
        for none in ["", "v=0\r\n", &sdp("", &[""]), &sdp(&right, &[])] {
            assert_eq!(Fingerprints::of(none), Err(Unfit::Missing), "{none}");
        }
        let (name, value) = right.split_once(' ').unwrap();
        for odd in [
            "a=fingerprint:sha-1 01:02\r\n".to_owned(),
            "a=fingerprint:sha-256 \r\n".to_owned(),
            "a=fingerprint:sha-256\r\n".to_owned(),
            right.replace("sha-256", "sha-512"),
            format!("a=fingerprint:sha-256 AB\r\n{}", line(2, CERTIFICATE)),
            format!("{name} {}\r\n", &value[..50]),
            format!("{name} +1:{}\r\n", &value[3..]),
        ] {
            assert_eq!(Fingerprints::of(&sdp("", &[&odd])), Err(Unfit::Unknown), "{odd}");
        }
    }

    #[test]
    fn the_library_gets_one() {
        let sdp = sdp("a=fingerprint:md5 77\r\n", &[&line(0, b"x"), &line(1, b"y")]);
        let known = for_library(&sdp);
        assert_eq!(known.matches("a=fingerprint").count(), 1, "{known}");
        assert!(known.starts_with("v=0\r\na=fingerprint:sha-256 00\r\nm=audio"), "{known}");
        assert_eq!(known.matches("a=mid:0\r\n").count(), 2);
    }

    proptest::proptest! {
        #[test]
        fn takes_anything(text in "(a=fingerprint:|sha-256|m=| |:|[0-9A-F]{2}|\\PC|\r\n)*") {
            if let Ok(found) = Fingerprints::of(&text) {
                proptest::prop_assert!(!found.fit(CERTIFICATE));
            }
            let _ = for_library(&text);
        }
    }
}
