//! What a name may be, and which names look alike. Pure; the one check of the server, the client and
//! the command line.
//!
//! What is accepted is shown as it is: what cannot be seen, or shows in another place than it stands,
//! is no part of a name.

use caseless::Caseless;
use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory};
use icu_properties::{CodePointMapData, CodePointSetData};
use unicode_normalization::{UnicodeNormalization, is_nfc};
use unicode_security::confusable_detection::skeleton;

/// The most characters of a name.
pub const MAX_NAME: usize = 64;
/// The most marks on one letter (UTS 39 section 5.4).
const MAX_MARKS: usize = 4;
/// Letters and symbols that show nothing: a braille pattern without dots, a note without a head, and
/// the stand-in for what is no character.
const BLANK: [char; 3] = ['\u{2800}', '\u{1d159}', '\u{fffc}'];

/// Why a text cannot be a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("the name is empty; choose one of 1 to {MAX_NAME} characters")]
    Empty,
    /// Over [`MAX_NAME`].
    #[error("the name is longer than {MAX_NAME} characters")]
    TooLong,
    /// A control or invisible character, or a blank too many.
    #[error(
        "the name has blanks at its ends, two blanks in a row, or characters that cannot be seen \
         or turn the direction of writing; leave them out"
    )]
    Unprintable,
    /// Not Unicode's form NFC (UAX 15).
    #[error("the name has letters in parts; write each as one character (Unicode NFC)")]
    InParts,
    /// A mark without a letter, or too many on one.
    #[error("the name begins with an accent, or has more than {MAX_MARKS} on one letter")]
    Marks,
}

/// Checks that `name` can be a login: 1 to [`MAX_NAME`] characters that can be seen, single blanks
/// between them, in NFC.
///
/// # Errors
/// What is wrong with it.
pub fn check_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.chars().nth(MAX_NAME).is_some() {
        return Err(NameError::TooLong);
    }
    if name.starts_with(' ') || name.ends_with(' ') || name.contains("  ") {
        return Err(NameError::Unprintable);
    }
    if name.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Ok(());
    }
    if !name.chars().all(can_be_seen) {
        return Err(NameError::Unprintable);
    }
    check_marks(name)?;
    if is_nfc(name) { Ok(()) } else { Err(NameError::InParts) }
}

fn check_marks(name: &str) -> Result<(), NameError> {
    // As at the end of a letter that has all it may have: the first must be no mark.
    let mut marks = MAX_MARKS;
    for c in name.chars() {
        marks = if is_mark(c) { marks + 1 } else { 0 };
        if marks > MAX_MARKS {
            return Err(NameError::Marks);
        }
    }
    Ok(())
}

fn can_be_seen(c: char) -> bool {
    use GeneralCategory::{
        Control, Format, LineSeparator, ParagraphSeparator, PrivateUse, SpaceSeparator, Surrogate,
        Unassigned,
    };
    let is_ignorable = || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c);
    // Bidi controls are all of Format.
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    let nothing = matches!(
        category,
        Control
            | Format
            | LineSeparator
            | ParagraphSeparator
            | PrivateUse
            | SpaceSeparator
            | Surrogate
            | Unassigned
    );
    c == ' ' || !(nothing || BLANK.contains(&c) || is_ignorable())
}

fn is_mark(c: char) -> bool {
    use GeneralCategory::{EnclosingMark, NonspacingMark, SpacingMark};
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    matches!(category, EnclosingMark | NonspacingMark | SpacingMark)
}

/// What a name looks like. Two names that have one of these in common cannot be told apart: they
/// differ in case only, or in characters that look the same (UTS 39 section 4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looks([String; 2]);

impl Looks {
    /// Those of a name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        // Some characters look like another only in one case: a capital i like a small l.
        let as_it_is: String = skeleton(name).collect();
        let in_one_case: String = skeleton(&folded(name)).collect();
        Self([folded(&as_it_is), folded(&in_one_case)])
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let [one, other] = &self.0;
        std::iter::once(one.as_str()).chain((one != other).then_some(other.as_str()))
    }
}

/// Canonical caseless matching (Unicode section 3.13, D145).
fn folded(text: &str) -> String {
    text.chars().nfd().default_case_fold().nfd().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn alike(one: &str, other: &str) -> bool {
        let (one, other) = (Looks::of(one), Looks::of(other));
        one.iter().any(|look| other.iter().any(|too| look == too))
    }

    #[test]
    fn names_of_many_scripts_are_names() {
        let long = ["x".repeat(64), "é".repeat(64)];
        for name in [
            "a",
            "__proto__",
            "Zoë",
            "山田",
            "a b",
            "Иван",
            "สมชาย",
            "নাসরিন",
            "שרה",
            "김민준",
            "😀",
            "Nguyễn Văn",
            "x\"},{\"type\":\"leave",
            "<b>",
            "ß",
            &long[0],
            &long[1],
        ] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_seen_is_no_part_of_a_name() {
        assert_eq!(check_name(""), Err(NameError::Empty));
        assert_eq!(check_name(&"x".repeat(65)), Err(NameError::TooLong));
        for part in [
            "\u{0}",
            "\t",
            "\n",
            "\u{1b}[2J",
            "\u{7f}",
            "\u{9b}31m",
            "\u{a0}",
            "  ",
            "\u{ad}",
            "\u{34f}",
            "\u{61c}",
            "\u{115f}",
            "\u{17b4}",
            "\u{180e}",
            "\u{200a}",
            "\u{200b}",
            "\u{200d}",
            "\u{200e}",
            "\u{2028}",
            "\u{202e}",
            "\u{2060}",
            "\u{2067}",
            "\u{206f}",
            "\u{2800}",
            "\u{3000}",
            "\u{3164}",
            "\u{e000}",
            "\u{fe0f}",
            "\u{feff}",
            "\u{ffa0}",
            "\u{fff9}",
            "\u{fffc}",
            "\u{ffff}",
            "\u{1d173}",
            "\u{1d159}",
            "\u{e0001}",
            "\u{e0061}",
            "\u{e0080}",
            "\u{e0100}",
            "\u{10ffff}",
        ] {
            for name in [format!("al{part}ice"), format!("{part}alice"), format!("alice{part}")] {
                assert_eq!(check_name(&name), Err(NameError::Unprintable), "{name:?}");
            }
        }
        for name in [" a", "a ", " "] {
            assert_eq!(check_name(name), Err(NameError::Unprintable), "{name:?}");
        }
    }

    #[test]
    fn letters_are_whole_and_marks_have_one() {
        for name in ["ali\u{327}ce\u{301}", "e\u{301}", "\u{212b}"] {
            assert_eq!(check_name(name), Err(NameError::InParts), "{name:?}");
        }
        for name in ["\u{301}", "\u{301}a", &format!("a{}", "\u{335}".repeat(5))] {
            assert_eq!(check_name(name), Err(NameError::Marks), "{name:?}");
        }
    }

    #[test]
    fn names_that_look_alike_are_alike() {
        for (one, other) in [
            ("alice", "Alice"),
            ("alice", "ALICE"),
            ("alice", "\u{430}lice"),
            ("alice", "\u{ff41}lice"),
            ("alice", "a1ice"),
            ("alice", "aIice"),
            ("Ivan", "lvan"),
            ("IVAN", "ivan"),
            ("bob", "b0b"),
            ("Bob", "B\u{43e}b"),
            ("modern", "modem"),
            ("straße", "STRASSE"),
            ("Σίσυφος", "ΣΊΣΥΦΟΣ"),
            ("paypal", "\u{440}\u{430}\u{443}\u{440}\u{430}l"),
        ] {
            assert!(alike(one, other), "{one} {other}");
        }
        for (one, other) in [("alice", "alicia"), ("bob", "rob"), ("n12", "n13"), ("a b", "ab")] {
            assert!(!alike(one, other), "{one} {other}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_a_name_looks_like_itself_in_any_case(name in "\\PC{1,20}") {
            if check_name(&name).is_ok() {
                prop_assert!(alike(&name, &name));
                prop_assert!(alike(&name, &folded(&name)), "{name:?}");
                prop_assert!(!name.chars().any(|c| c.is_control()));
            }
        }
    }
}
