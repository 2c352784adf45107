//! Who may call, as `--allow` says it: a name, or a name and a key. Pure.

use std::fmt;
use std::str::FromStr;

use crate::key::KeyName;
use crate::signaling::name::check_name;

/// Somebody who may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    /// The name on the server.
    pub name: String,
    /// The key that goes with it; without one the name is enough.
    pub key: Option<KeyName>,
}

impl Allowed {
    /// Whoever has this name.
    #[must_use]
    pub fn name(name: &str) -> Self {
        Self { name: name.to_owned(), key: None }
    }
}

impl FromStr for Allowed {
    type Err = String;

    /// `NAME` or `NAME@KEY`. A name may have an `@` too: what stands behind the last one is a key if it
    /// is written like one.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, key) = match text.rsplit_once('@') {
            Some((name, key)) if looks_like_a_key(key) => {
                let key = key.parse().map_err(|error| format!("'{key}' is not a key: {error}"))?;
                (name, Some(key))
            }
            _ => (text, None),
        };
        check_name(name).map_err(|error| error.to_string())?;
        Ok(Self { name: name.to_owned(), key })
    }
}

/// Groups between dashes, or as many letters and digits as a key has: one that is mistyped must not
/// pass for a name that nobody has.
fn looks_like_a_key(text: &str) -> bool {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    plain && (text.is_empty() || text.matches('-').count() > 1 || text.len() >= 16)
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.key.iter().try_for_each(|key| write!(f, "@{key}"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const KEY: &str = "7k2m-q9wd-xh4t-0bz8-nrc5";

    #[test]
    fn a_name_with_a_key_or_without_one() {
        let read = |text: &str| text.parse::<Allowed>();
        assert_eq!(read("bob"), Ok(Allowed::name("bob")));
        assert_eq!(read("bob@example.org"), Ok(Allowed::name("bob@example.org")));
        let key = Some(KEY.parse().unwrap());
        for text in [format!("bob@{KEY}"), format!("bob@{}", KEY.replace('-', "").to_uppercase())] {
            assert_eq!(read(&text), Ok(Allowed { name: "bob".to_owned(), key }), "{text}");
        }
        let both = read(&format!("bob@example.org@{KEY}")).unwrap();
        assert_eq!((both.name.as_str(), both.key), ("bob@example.org", key));
        assert_eq!(both.to_string().parse(), Ok(both));
    }

    #[test]
    fn a_mistyped_key_is_no_name() {
        for text in ["", "@", "bob@", " bob", &format!("@{KEY}"), &format!("bob@{}", &KEY[1..])] {
            assert!(text.parse::<Allowed>().is_err(), "{text}");
        }
        assert!(format!("bob@{}", KEY.replace('7', "u")).parse::<Allowed>().is_err());
        assert!("bob@7k2m-q9wd-xh4t".parse::<Allowed>().is_err());
    }
}
