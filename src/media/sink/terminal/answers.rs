//! What a terminal says that it can draw, when it is asked. Pure: bytes in, abilities out.
//!
//! The questions end with one that every terminal answers, so that nobody waits for an answer that
//! does not come.

/// One pixel that kitty's protocol is to look at and not to show, the size of a letter in pixels
/// (xterm, `CSI 16 t`), and the attributes of the terminal (ECMA-48 DA).
pub const QUESTIONS: &[u8] = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[16t\x1b[c";

/// What the terminal has answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answers {
    /// It knows the kitty graphics protocol.
    pub kitty: bool,
    /// It draws sixels.
    pub sixel: bool,
    /// Pixels of a letter, width and height.
    pub cell: Option<(u16, u16)>,
    /// The last question is answered.
    pub complete: bool,
}

/// The number of sixel graphics among the attributes (DEC STD 070; xterm).
const SIXEL: &str = "4";

/// Letters larger than this are none.
const LARGEST: u16 = 200;

impl Answers {
    /// Reads all that has come so far; what else is among it (keys that were typed) says nothing.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut answers = Self { kitty: text.contains("\x1b_Gi=31;OK"), ..Self::default() };
        for part in text.split("\x1b[").skip(1) {
            let Some(end) = part.find(|c: char| ('@'..='~').contains(&c)) else { continue };
            let (parameters, last) = part.split_at(end);
            match (parameters.strip_prefix('?'), last.chars().next()) {
                (Some(attributes), Some('c')) => {
                    answers.complete = true;
                    // The first is what it is, the others what it can do.
                    answers.sixel = attributes.split(';').skip(1).any(|one| one == SIXEL);
                }
                (None, Some('t')) => answers.cell = cell(parameters).or(answers.cell),
                _ => {}
            }
        }
        answers
    }
}

/// `6;HEIGHT;WIDTH`.
fn cell(parameters: &str) -> Option<(u16, u16)> {
    let mut numbers = parameters.strip_prefix("6;")?.split(';').map(str::parse::<u16>);
    let (height, width) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    let fits = |pixels: u16| (1..=LARGEST).contains(&pixels);
    (fits(width) && fits(height)).then_some((width, height))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn answers_of_real_terminals_are_understood() {
        let foot = b"\x1b[6;20;10t\x1b[?62;4;22;28;29c";
        let said = Answers::read(foot);
        assert_eq!((said.kitty, said.sixel, said.cell), (false, true, Some((10, 20))));
        assert!(said.complete);
        let kitty = Answers::read(b"\x1b_Gi=31;OK\x1b\\\x1b[6;18;9t\x1b[?62;c");
        assert!(kitty.kitty && !kitty.sixel && kitty.complete);
        let xterm = Answers::read(b"q\x1b[A\x1b[?64;1;2;6;9;15;18;21;22c");
        assert_eq!(xterm, Answers { complete: true, ..Answers::default() });
        let vt400 = Answers::read(b"\x1b[?4c");
        assert!(!vt400.sixel, "what it is, is not what it can do");
        assert!(!Answers::read(b"\x1b[?62;4").complete);
        assert_eq!(Answers::read(b"\x1b[6;0;9000t").cell, None);
    }

    proptest! {
        #[test]
        fn wild_answers_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let said = Answers::read(&bytes);
            prop_assert!(said.cell.is_none_or(|(width, height)| width > 0 && height > 0));
        }
    }
}
