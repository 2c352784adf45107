//! Words for what the operating system refuses.
//!
//! Its own text is plain English; the number behind it is for programmers, and goes to the log.

use std::io;

/// What went wrong, without the number that Rust adds to it.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_left_out() {
        assert_eq!(plain(&io::Error::from_raw_os_error(2)), "No such file or directory");
        assert_eq!(plain(&io::Error::other("it is shorter")), "it is shorter");
    }
}
