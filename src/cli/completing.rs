//! What a shell completes: flags, the values that they take, files, and names of people.
//!
//! Pure but for nothing: the definition of the command line in, a script out. Names of people come
//! from strangers, and a shell expands what it completes: only plain ones are told.

use clap::builder::PossibleValuesParser;
use clap::{Arg, Command, ValueHint};
use clap_complete::Shell;

use super::remembered::Remembered;

/// The words that a flag takes; whether a file will do as well.
const WORDS: &[(&str, &[&str], bool)] = &[
    ("video", &["auto", "camera", "screen", "test", "none"], true),
    ("audio", &["auto", "mic", "tone", "none"], true),
    (
        "view",
        &[
            "auto",
            "window",
            "terminal",
            "terminal:kitty",
            "terminal:iterm",
            "terminal:sixel",
            "terminal:truecolor",
            "terminal:256",
            "none",
        ],
        false,
    ),
    ("speaker", &["auto", "default", "none"], false),
    ("content", &["motion", "detail"], false),
    ("stun", &["none"], false),
    ("ice-policy", &["all", "relay"], false),
    ("size", &["640x360", "1280x720", "1920x1080"], false),
];

/// Flags whose values are files.
const FILES: &[&str] = &[
    "record",
    "record-local",
    "stats",
    "ca",
    "config",
    "users",
    "tls-cert",
    "tls-key",
    "turn-secret-file",
];

/// Stands in a script where it asks for names.
const NAMES: &str = "@names";
const ASK: &str = "peer completions --names 2>/dev/null";

/// The script of a shell.
#[must_use]
pub fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut with_values(super::command()), "peer", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    match shell {
        Shell::Bash => in_bash(script),
        Shell::Zsh => in_zsh(script),
        Shell::Fish => in_fish(script),
        // The others complete flags only.
        _ => script,
    }
}

/// What an argument without a flag is.
#[derive(Debug, Clone)]
enum Positional {
    /// Somebody's name.
    Name,
    /// One of these.
    Words(Vec<String>),
    /// Nothing that is known here.
    Other,
}

fn with_values(command: Command) -> Command {
    let commands: Vec<String> = names_of(&command).collect();
    with_values_below(command, &commands)
}

fn names_of(command: &Command) -> impl Iterator<Item = String> {
    command.get_subcommands().map(|command| command.get_name().to_owned())
}

fn with_values_below(command: Command, all: &[String]) -> Command {
    let names: Vec<String> = names_of(&command).collect();
    names.iter().fold(command, |command, name| {
        command.mut_subcommand(name, |command| {
            let positional = match command.get_name() {
                "call" | "forget" => Positional::Name,
                "man" => Positional::Words(all.to_vec()),
                _ => Positional::Other,
            };
            let command = command.mut_args(|arg| with_value(arg, &positional));
            with_values_below(command, all)
        })
    })
}

fn with_value(arg: Arg, positional: &Positional) -> Arg {
    let long = arg.get_long().unwrap_or_default().to_owned();
    if let Some((_, words, _)) = WORDS.iter().find(|(flag, ..)| *flag == long) {
        return arg.value_parser(PossibleValuesParser::new(*words));
    }
    if FILES.contains(&long.as_str()) {
        return arg.value_hint(ValueHint::FilePath);
    }
    match positional {
        _ if long == "allow" => return arg.value_parser(PossibleValuesParser::new([NAMES])),
        Positional::Name if arg.is_positional() => {
            return arg.value_parser(PossibleValuesParser::new([NAMES]));
        }
        Positional::Words(words) if arg.is_positional() => {
            return arg.value_parser(PossibleValuesParser::new(words.clone()));
        }
        _ => {}
    }
    let plain = arg.get_action().takes_values() && arg.get_possible_values().is_empty();
    if plain { arg.value_hint(ValueHint::Other) } else { arg }
}

/// Words of flags for which a file will do as well.
fn and_files() -> impl Iterator<Item = String> {
    WORDS.iter().filter(|(.., files)| *files).map(|(_, words, _)| words.join(" "))
}

fn in_bash(mut script: String) -> String {
    for words in and_files() {
        let (only, both) = (format!("-W \"{words}\""), format!("-f -W \"{words}\""));
        script = script.replace(&only, &both);
    }
    let script = script.replacen("_peer() {", "_peer_words() {", 1);
    format!("{WHOLE_WORDS}\n{}", script.replace(NAMES, &format!("$({ASK})")))
}

/// Bash parts words at colons, and replaces only what is behind the last.
const WHOLE_WORDS: &str = r#"_peer() {
    local before="${COMP_LINE:0:COMP_POINT}"
    local word="${before##*[[:space:]]}"
    if [[ "$word" != *:* || "$word" == *=* || "$COMP_WORDBREAKS" != *:* ]]; then
        _peer_words "$@"
        return
    fi
    local earlier=(${before%"$word"})
    _peer_words "$1" "$word" "${earlier[${#earlier[@]}-1]}"
    COMPREPLY=("${COMPREPLY[@]#"${word%:*}:"}")
}
"#;

fn in_zsh(mut script: String) -> String {
    for words in and_files() {
        let both = format!("{{_alternative \"words:word:({words})\" \"files:file:_files\"}}");
        script = script.replace(&format!("({words})"), &both);
    }
    let names = format!("{{compadd -- ${{(f)\"$({ASK})\"}}}}");
    script.replace(&format!("({NAMES})"), &names)
}

fn in_fish(script: String) -> String {
    let files: Vec<String> = WORDS
        .iter()
        .filter(|(.., files)| *files)
        .map(|(flag, ..)| format!(" -l {flag} "))
        .collect();
    let mut fish = String::new();
    let mut within = false;
    for line in script.lines() {
        if line.starts_with("complete ") {
            within = files.iter().any(|flag| line.contains(flag));
        }
        let line = match within {
            true => line.replace(" -r -f -a ", " -r -F -a "),
            false => line.to_owned(),
        };
        fish.push_str(&line.replace(&format!("{NAMES}\\t''"), &format!("({ASK})")));
        fish.push('\n');
    }
    fish + &positionals_in_fish()
}

/// The generator for fish knows flags only.
fn positionals_in_fish() -> String {
    let commands: Vec<String> = names_of(&super::command()).collect();
    let shells = "bash zsh fish powershell".to_owned();
    let line = |of: &str, what: &str| {
        format!("complete -c peer -n \"__fish_peer_using_subcommand {of}\" -f -a \"{what}\"\n")
    };
    [
        line("call", &format!("({ASK})")),
        line("keys; and __fish_seen_subcommand_from forget", &format!("({ASK})")),
        line("man", &commands.join(" ")),
        line("completions", &shells),
    ]
    .concat()
}

/// Names of people we had calls with, then of those whose keys are remembered, a line each: those that
/// no shell can take for anything else.
#[must_use]
pub fn names(last: Option<Remembered>, known: impl IntoIterator<Item = String>) -> String {
    let mut people = last.map(|last| last.people).unwrap_or_default();
    for name in known {
        if !people.contains(&name) {
            people.push(name);
        }
    }
    let plain = |name: &&String| {
        let fits = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-');
        name.starts_with(char::is_alphanumeric) && name.chars().all(fits)
    };
    people.iter().filter(plain).map(|name| format!("{name}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_reach_a_shell() {
        let people = ["bob", "Zoë", "$(id)", "a b", "`id`", "-rf", "x;y", "a'b", "c.d-e_f"];
        let people = people.map(str::to_owned).into();
        let last = Remembered { people, ..Remembered::of("ws://h", "alice") };
        let known = ["bob", "dave", "e f"].map(str::to_owned);
        assert_eq!(names(Some(last), known), "bob\nZoë\nc.d-e_f\ndave\n");
        assert_eq!(names(None, []), "");
    }

    #[test]
    fn values_files_and_names_stand_where_they_belong() {
        let bash = script(Shell::Bash);
        assert!(bash.contains("compgen -W \"motion detail\""));
        assert!(bash.contains("compgen -f -W \"auto camera screen test none\""));
        assert!(bash.contains("$(peer completions --names 2>/dev/null)"));
        let zsh = script(Shell::Zsh);
        assert!(zsh.contains(":KIND:(motion detail)") && zsh.contains("files:file:_files"));
        assert!(zsh.contains("compadd --"));
        let fish = script(Shell::Fish);
        assert!(fish.contains("(peer completions --names 2>/dev/null)"));
        for text in [bash, zsh, fish] {
            assert!(!text.contains(NAMES));
        }
    }

    #[test]
    fn every_word_of_a_flag_is_offered_by_every_shell() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = script(shell);
            for (flag, words, _) in WORDS {
                // In zsh a colon in a word stands behind a backslash.
                let zsh = words.join(" ").replace(':', "\\:");
                let found = match shell {
                    Shell::Bash => script.contains(&format!("-W \"{}\"", words.join(" "))),
                    Shell::Zsh => script.contains(&format!("({zsh})")),
                    _ => {
                        let of_flag = script.split("complete -c peer ");
                        let mut of_flag =
                            of_flag.filter(|one| one.contains(&format!("-l {flag} ")));
                        of_flag.any(|one| words.iter().all(|word| one.contains(word)))
                    }
                };
                assert!(found, "{shell} --{flag}");
            }
        }
        let fish = script(Shell::Fish);
        for positional in ["subcommand call\" -f -a \"(peer", "from forget\" -f -a \"(peer"] {
            assert!(fish.contains(positional), "{positional}");
        }
        assert!(fish.contains("subcommand man\" -f -a \"serve login"));
    }

    #[test]
    fn what_is_listed_exists() {
        let all = crate::cli::command();
        let known: Vec<&str> = all
            .get_subcommands()
            .flat_map(Command::get_arguments)
            .filter_map(Arg::get_long)
            .collect();
        let listed =
            WORDS.iter().map(|(flag, ..)| flag).chain(FILES).filter(|flag| **flag != "config");
        let unknown: Vec<_> = listed.filter(|flag| !known.contains(flag)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}
