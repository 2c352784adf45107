//! What the operating system and the network say of a fault, in words for people.
//!
//! Pure. The library's own words for those who work on it go to the log, where they are found.

use std::io;

/// What an error of the operating system says, without the number that the standard library puts
/// behind it (`No such file or directory (os error 2)`).
#[must_use]
pub fn words(error: &io::Error) -> String {
    without_number(&error.to_string())
}

/// The same, of a text that may end in such a number, or have one before a part of its own.
#[must_use]
pub fn without_number(text: &str) -> String {
    let mut said = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(" (os error ") {
        said.push_str(before);
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    said.push_str(rest);
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_left_out_wherever_they_stand() {
        let missing = io::Error::from_raw_os_error(2);
        assert!(missing.to_string().contains("os error"), "{missing}");
        assert_eq!(words(&missing), "No such file or directory");
        let longer = "No such file (os error 2) at path \"/x\"";
        assert_eq!(without_number(longer), "No such file at path \"/x\"");
        assert_eq!(without_number("broken pipe"), "broken pipe");
        assert_eq!(without_number("cut (os error 2"), "cut");
    }
}
