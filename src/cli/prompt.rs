//! The words that `peer login` takes on its prompt, or line by line from a script.
//!
//! Pure: a line in, a command or a line of advice out. Reading and printing
//! are done elsewhere.

use super::values;
use crate::phone::command::Command;

/// What a line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// Something for the phone.
    Command(Command),
    /// The list of commands.
    Help,
    /// An empty line.
    Nothing,
}

/// What `help` prints.
pub const HELP: &str = "\
call NAME      call somebody
answer         answer the call that rings
reject         reject the call that rings
trust          accept the key from the last warning and call back
hangup         end the call
mute, unmute   send silence, send sound again
novideo, video send a dark picture, send ours again
record         record what they send, to a file in this folder or beside --record's
norecord       end the recording
status         how the call goes
missed         who called while nobody answered
quit           hang up and log out";

/// The words, in the order of their importance.
pub const WORDS: [&str; 15] = [
    "call", "answer", "reject", "trust", "hangup", "mute", "unmute", "video", "novideo", "record",
    "norecord", "status", "missed", "help", "quit",
];

/// Reads one line.
///
/// # Errors
/// When it is no command, with a line for people that says what would be one.
pub fn parse(line: &str) -> Result<Line, String> {
    let line = line.trim();
    let (word, rest) = match line.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest.trim_start()),
        None => (line, ""),
    };
    let word = word.to_ascii_lowercase();
    if word == "call" {
        return match rest {
            "" => Err("call who? Type: call NAME".into()),
            name => values::name(name).map(|name| Line::Command(Command::Call { name })),
        };
    }
    let parsed = match word.as_str() {
        "" => Line::Nothing,
        "answer" => Line::Command(Command::Answer),
        "reject" => Line::Command(Command::Reject),
        "trust" => Line::Command(Command::Trust),
        "hangup" => Line::Command(Command::Hangup),
        "video" => Line::Command(Command::Video(true)),
        "novideo" => Line::Command(Command::Video(false)),
        "record" => Line::Command(Command::Record(true)),
        "norecord" => Line::Command(Command::Record(false)),
        "mute" => Line::Command(Command::Mute(true)),
        "unmute" => Line::Command(Command::Mute(false)),
        "status" => Line::Command(Command::Status),
        "missed" => Line::Command(Command::Missed),
        "help" | "?" => Line::Help,
        "quit" | "exit" => Line::Command(Command::Quit),
        _ => return Err(unknown(&word)),
    };
    if rest.is_empty() {
        Ok(parsed)
    } else {
        Err(format!("{word} takes no arguments: '{}'", shortened(rest)))
    }
}

/// What can stand in place of the last word of what is typed so far: where it begins, and the
/// candidates. `people` are the names that are known.
#[must_use]
pub fn completions(typed: &str, people: &[String]) -> (usize, Vec<String>) {
    let start = typed.len() - typed.trim_start().len();
    let line = &typed[start..];
    let Some((word, rest)) = line.split_once(char::is_whitespace) else {
        let begun = line.to_ascii_lowercase();
        let words = WORDS.iter().filter(|word| word.starts_with(&begun));
        // Only one takes more.
        let whole = words.map(|word| if *word == "call" { "call ".into() } else { (*word).into() });
        return (start, whole.collect());
    };
    if !word.eq_ignore_ascii_case("call") {
        return (typed.len(), Vec::new());
    }
    let begun = rest.trim_start().to_lowercase();
    let names = people.iter().filter(|name| name.to_lowercase().starts_with(&begun));
    (typed.len() - rest.trim_start().len(), names.cloned().collect())
}

fn unknown(word: &str) -> String {
    let word = shortened(word);
    match nearest(&word, WORDS) {
        Some(known) => format!("unknown command '{word}'; did you mean '{known}'?"),
        None => format!("unknown command '{word}'; type help for the list"),
    }
}

/// The word that was meant, if one is near enough.
#[must_use]
pub fn nearest(word: &str, known: impl IntoIterator<Item = &'static str>) -> Option<&'static str> {
    let distances =
        known.into_iter().map(|known| (strsim::damerau_levenshtein(known, word), known));
    let (distance, known) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= 2 && distance < known.len() - 1).then_some(known)
}

/// At most so much of what was typed is said back.
#[must_use]
pub fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_word_is_understood() {
        let call = Command::Call { name: "bob".into() };
        for (line, command) in [
            ("call bob", call.clone()),
            ("  CALL   bob \r\n", call),
            ("answer", Command::Answer),
            ("reject", Command::Reject),
            ("trust", Command::Trust),
            ("hangup", Command::Hangup),
            ("mute", Command::Mute(true)),
            ("unmute", Command::Mute(false)),
            ("video", Command::Video(true)),
            ("novideo", Command::Video(false)),
            ("record", Command::Record(true)),
            ("norecord", Command::Record(false)),
            ("status", Command::Status),
            ("missed", Command::Missed),
            ("quit", Command::Quit),
        ] {
            assert_eq!(parse(line), Ok(Line::Command(command)), "{line}");
        }
        assert_eq!(parse("help"), Ok(Line::Help));
        assert_eq!(parse(" \t"), Ok(Line::Nothing));
    }

    #[test]
    fn a_name_may_hold_spaces() {
        let name = "Zoë Müller".to_owned();
        assert_eq!(parse("call Zoë Müller"), Ok(Line::Command(Command::Call { name })));
    }

    #[test]
    fn typos_get_a_suggestion() {
        assert_eq!(parse("anwser"), Err("unknown command 'anwser'; did you mean 'answer'?".into()));
        assert_eq!(parse("hang up"), Err("unknown command 'hang'; did you mean 'hangup'?".into()));
        assert_eq!(parse("cal bob"), Err("unknown command 'cal'; did you mean 'call'?".into()));
        assert_eq!(parse("dance"), Err("unknown command 'dance'; type help for the list".into()));
        assert_eq!(parse("x"), Err("unknown command 'x'; type help for the list".into()));
    }

    #[test]
    fn missing_and_needless_words_are_named() {
        assert_eq!(parse("call"), Err("call who? Type: call NAME".into()));
        assert_eq!(parse("quit now"), Err("quit takes no arguments: 'now'".into()));
        assert!(parse(&format!("call {}", "x".repeat(65))).is_err());
    }

    #[test]
    fn commands_and_names_are_completed() {
        let people = ["bob".to_owned(), "Zoë Müller".to_owned(), "Bert".to_owned()];
        let complete = |typed: &str| completions(typed, &people);
        let texts = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        assert_eq!(complete("an"), (0, texts(&["answer"])));
        assert_eq!(complete("  CA"), (2, texts(&["call "])));
        assert_eq!(complete("m"), (0, texts(&["mute", "missed"])));
        assert_eq!(complete("").1.len(), WORDS.len());
        assert_eq!(complete("call "), (5, people.to_vec()));
        assert_eq!(complete("call b"), (5, texts(&["bob", "Bert"])));
        assert_eq!(complete("call  zoë m"), (6, texts(&["Zoë Müller"])));
        assert_eq!(complete("mute b"), (6, vec![]));
        assert_eq!(complete("x"), (0, vec![]));
    }

    #[test]
    fn help_names_every_word() {
        for word in WORDS.iter().filter(|word| **word != "help") {
            assert!(HELP.contains(word), "{word}");
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in ".{0,200}") {
            if let Err(advice) = parse(&line) {
                prop_assert!(!advice.is_empty() && advice.chars().count() < 200);
            }
        }

        #[test]
        fn what_is_completed_was_typed(line in ".{0,80}", name in ".{0,20}") {
            let (start, _) = completions(&line, &[name]);
            prop_assert!(line.is_char_boundary(start));
        }

        #[test]
        fn a_word_with_one_letter_lost_gets_a_suggestion(at in 0usize..12, gone in 0usize..6) {
            let mut word = WORDS[at].to_owned();
            word.remove(gone.min(word.len() - 1));
            prop_assert!(parse(&word).unwrap_err().contains("did you mean"), "{}", word);
        }
    }
}
