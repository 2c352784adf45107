//! What two of us put into a session description for each other (`a=peer-…`, which browsers and the
//! library pass over), and the fingerprints that it is about. Pure and tolerant.
//!
//! Owns how the lines are read and written; what they prove is decided elsewhere.

/// A key and a signature of ours.
pub const KEY: &str = "peer-key";

/// In an offer: the hash of a number that is told after the answer.
pub const COMMITMENT: &str = "peer-commitment";

/// In an answer: a number of its own.
pub const NONCE: &str = "peer-nonce";

/// The fingerprints of a description (RFC 8122 section 5) wherever they stand, each once, sorted: the
/// hash in small letters, a blank, the value in capitals.
///
/// It finds whatever the library could take for one, and maybe more: who compares all that is found
/// cannot be deceived by one more.
#[must_use]
pub fn fingerprints(sdp: &str) -> Vec<String> {
    let found = lines(sdp).filter_map(|line| value(line, "fingerprint"));
    let mut found: Vec<String> = found
        .map(|fingerprint| {
            let mut words = fingerprint.split_ascii_whitespace();
            let hash = words.next().unwrap_or_default().to_ascii_lowercase();
            let rest: Vec<_> = words.map(str::to_ascii_uppercase).collect();
            format!("{hash} {}", rest.join(" "))
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The value of an attribute of ours; `None` when there is none, `Some(Err(()))` when there are
/// several, so that nobody knows which one counts.
#[must_use]
pub fn only<'a>(sdp: &'a str, name: &str) -> Option<Result<&'a str, Several>> {
    let mut found = lines(sdp).filter_map(|line| value(line, name));
    let first = found.next()?.trim();
    Some(if found.next().is_none() { Ok(first) } else { Err(Several) })
}

/// That an attribute stands in a description more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Several;

/// The description with more attributes of the session, each a name and a value.
#[must_use]
pub fn with(sdp: &str, attributes: &[(&str, String)]) -> String {
    let end = if sdp.contains("\r\n") { "\r\n" } else { "\n" };
    let at = match sdp.starts_with("m=") {
        true => Some(0),
        false => sdp.find("\nm=").map(|at| at + 1),
    };
    let (session, media) = sdp.split_at(at.unwrap_or(sdp.len()));
    let line = |(name, value): &(&str, String)| format!("a={name}:{value}{end}");
    [session, &attributes.iter().map(line).collect::<String>(), media].concat()
}

/// A lone CR ends a line too: the library passes over one before a line.
fn lines(sdp: &str) -> impl Iterator<Item = &str> {
    sdp.split(['\r', '\n'])
}

/// What an attribute line says of `name`, whose letters may be of any case.
fn value<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (found, value) = line.trim().strip_prefix("a=")?.split_once(':')?;
    found.trim().eq_ignore_ascii_case(name).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "v=0\r\na=fingerprint:sha-256 AB:CD\r\nm=audio 9 X 0\r\na=mid:0\r\n";

    #[test]
    fn one_fingerprint_is_one_however_it_is_written() {
        let one = ["sha-256 AB:CD".to_owned()];
        assert_eq!(fingerprints(PLAIN), one);
        let again = PLAIN.replace("a=mid:0", "a=fingerprint:SHA-256 ab:cd");
        assert_eq!(fingerprints(&again), one);
        assert_eq!(fingerprints(&PLAIN.replace("\r\n", "\n")), one);
        assert!(fingerprints("v=0\r\n").is_empty());
    }

    #[test]
    fn no_fingerprint_hides_behind_the_way_it_is_written() {
        for hidden in [
            "a=fingerprint:sha-256 00:11\r\n",
            "\ra=fingerprint:sha-256 00:11\r\n",
            "\n\n\ra=fingerprint:sha-256 00:11\n",
            "a=fingerprint:sha-256  00:11 \r\n",
            "a=fingerprint:sha-512 00:11\r\n",
            "a=Fingerprint:sha-256 00:11\r\n",
            "a=x\ra=fingerprint:sha-256 00:11\r\n",
            "a=fingerprint:\r\n",
        ] {
            assert_eq!(fingerprints(&format!("{PLAIN}{hidden}")).len(), 2, "{hidden:?}");
            assert_eq!(fingerprints(&format!("{hidden}{PLAIN}")).len(), 2, "{hidden:?}");
        }
    }

    #[test]
    fn what_is_put_in_stands_before_the_first_section_and_is_found() {
        let more = with(PLAIN, &[(NONCE, "n".to_owned()), (KEY, "k s".to_owned())]);
        assert!(more.contains("a=peer-nonce:n\r\na=peer-key:k s\r\nm=audio"), "{more}");
        assert_eq!(only(&more, KEY), Some(Ok("k s")));
        assert_eq!(only(&more, COMMITMENT), None);
        let twice = with(&more, &[(KEY, "other".to_owned())]);
        assert_eq!(only(&twice, KEY), Some(Err(Several)));
        assert_eq!(with(PLAIN, &[]), PLAIN);
        for odd in ["", "v=0", "m=x", "v=0\nm=x\n"] {
            let more = with(odd, &[(KEY, "k".to_owned())]);
            assert!(only(&more, KEY).is_some() || !odd.ends_with('\n'), "{odd}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "\\PC*") {
            let _ = fingerprints(&text);
            let _ = only(&text, KEY);
            let _ = with(&text, &[(KEY, String::new())]);
        }
    }
}
