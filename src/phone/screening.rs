//! Whether a caller is let in by the key that his offer shows. Pure.

use super::config::{AnswerPolicy, CallOptions};
use crate::call::vouch::{Expected, KeyChange, Shown};
use crate::key::{Key, KeyName};

/// What to do with a caller whose name may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It rings, and the call is to be with this one.
    In(Expected),
    /// It rings, and whoever is asked hears of this first.
    Warn(Expected, KeyChange),
    /// It does not ring: nobody is asked who could know better.
    Out(KeyChange),
    /// It does not ring: a key is asked for, and this is none or another.
    WrongKey(Option<KeyName>),
}

/// `known` is the key that is remembered of this name.
pub(super) fn screen(
    options: &CallOptions,
    name: Option<&str>,
    known: Option<Key>,
    shown: Shown,
) -> Verdict {
    let entries = options.allow.iter().filter(|allowed| Some(allowed.name.as_str()) == name);
    let keys: Option<Vec<KeyName>> = entries.map(|allowed| allowed.key).collect();
    // A name that stands there without a key, too, may call with any.
    if let Some(keys) = keys.filter(|keys| !keys.is_empty()) {
        return match shown.key().filter(|key| keys.contains(&key.name())) {
            Some(key) => Verdict::In(Expected::Key(key)),
            None => Verdict::WrongKey(shown.key().map(|key| key.name())),
        };
    }
    match Expected::remembered(known).judge(shown) {
        Ok(expected) => Verdict::In(expected),
        Err(change) if options.answer == AnswerPolicy::Ask => {
            Verdict::Warn(Expected::after_all(shown), change)
        }
        Err(change) => Verdict::Out(change),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::phone::allowed::Allowed;

    fn key(number: u8) -> Key {
        Key::from_bytes(&[number; 32]).unwrap()
    }

    fn options(answer: AnswerPolicy, allow: &[(&str, Option<u8>)]) -> CallOptions {
        let allowed = |(name, number): &(&str, Option<u8>)| Allowed {
            name: (*name).to_owned(),
            key: number.map(|number| key(number).name()),
        };
        let allow = allow.iter().map(allowed).collect();
        CallOptions { answer, allow, ..CallOptions::default() }
    }

    #[test]
    fn a_changed_key_is_refused_where_nobody_is_asked() {
        let bob = Some("bob");
        let (good, none, other) = (Shown::Key(key(1)), Shown::NoKey, Shown::Key(key(2)));
        let forged = Shown::Forged(Some(key(1)));
        let auto = options(AnswerPolicy::Auto, &[]);
        let ask = options(AnswerPolicy::Ask, &[]);
        for options in [&auto, &ask] {
            let screen = |known, shown| screen(options, bob, known, shown);
            assert_eq!(screen(None, good), Verdict::In(Expected::Key(key(1))));
            assert_eq!(screen(Some(key(1)), good), Verdict::In(Expected::Key(key(1))));
            assert_eq!(screen(None, none), Verdict::In(Expected::Nobody));
        }
        for (known, shown) in [(Some(key(1)), other), (Some(key(1)), none), (None, forged)] {
            let change = KeyChange { known, shown };
            assert_eq!(screen(&auto, bob, known, shown), Verdict::Out(change));
            let warned = Verdict::Warn(Expected::after_all(shown), change);
            assert_eq!(screen(&ask, bob, known, shown), warned);
        }
    }

    #[test]
    fn a_name_with_a_key_is_that_key_and_no_other() {
        for policy in [AnswerPolicy::Auto, AnswerPolicy::Ask] {
            let bob = options(policy, &[("carol", None), ("bob", Some(1)), ("bob", Some(2))]);
            let screen = |known, shown| screen(&bob, Some("bob"), known, shown);
            for number in [1, 2] {
                let good = Verdict::In(Expected::Key(key(number)));
                assert_eq!(screen(Some(key(7)), Shown::Key(key(number))), good, "named wins");
            }
            let other = Verdict::WrongKey(Some(key(3).name()));
            assert_eq!(screen(Some(key(3)), Shown::Key(key(3))), other);
            assert_eq!(screen(None, Shown::NoKey), Verdict::WrongKey(None));
            assert_eq!(screen(None, Shown::Forged(Some(key(1)))), Verdict::WrongKey(None));
        }
        let either = options(AnswerPolicy::Auto, &[("bob", Some(1)), ("bob", None)]);
        let any = screen(&either, Some("bob"), None, Shown::Key(key(9)));
        assert_eq!(any, Verdict::In(Expected::Key(key(9))));
    }

    #[test]
    fn who_has_no_name_has_nothing_that_could_be_remembered() {
        let auto = options(AnswerPolicy::Auto, &[]);
        assert_eq!(screen(&auto, None, None, Shown::NoKey), Verdict::In(Expected::Nobody));
    }
}
