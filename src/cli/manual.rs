//! `peer completions` and `peer man`: what a shell completes and what `man peer` shows, made from
//! the definition of the command line itself.

use clap::{Arg, ArgAction, Args, Command, ValueEnum};
use clap_complete::Shell;

use super::exit::Failure;
use super::output::Output;
use super::{completing, help, setup};

/// Examples of `peer completions --help`.
pub const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  peer completions bash > ~/.local/share/bash-completion/completions/peer
  peer completions zsh > ~/.zfunc/_peer
  peer completions fish > ~/.config/fish/completions/peer.fish
  peer completions powershell >> $PROFILE";

/// Examples of `peer man --help`.
pub const MAN_EXAMPLES: &str = "\
Examples:
  peer man | man -l -
  peer man call > peer-call.1";

/// A shell that can complete.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Completing {
    Bash,
    Zsh,
    Fish,
    #[value(name = "powershell")]
    PowerShell,
}

/// Flags of `peer completions`.
#[derive(Debug, Args)]
pub struct CompletionsCommand {
    /// For which shell
    #[arg(value_name = "SHELL", required_unless_present = "names")]
    shell: Option<Completing>,
    /// Write the names of people you had calls with, a line each: the completions ask for them
    #[arg(long, conflicts_with = "shell")]
    names: bool,
}

/// Flags of `peer man`.
#[derive(Debug, Args)]
pub struct ManCommand {
    /// The page of this command of peer [default: of peer itself]
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

/// Writes what the shell reads to stdout.
///
/// # Errors
/// When it cannot be written.
pub fn completions(command: &CompletionsCommand, output: &Output) -> Result<(), Failure> {
    let shell = match command.shell {
        None => {
            let known = setup::keyring().and_then(|keyring| keyring.known().ok());
            let known = known.iter().flat_map(|known| known.iter().map(|one| one.name.clone()));
            let names = completing::names(setup::recall(output), known);
            return Ok(output.document(names.as_bytes())?);
        }
        Some(Completing::Bash) => Shell::Bash,
        Some(Completing::Zsh) => Shell::Zsh,
        Some(Completing::Fish) => Shell::Fish,
        Some(Completing::PowerShell) => Shell::PowerShell,
    };
    Ok(output.document(completing::script(shell).as_bytes())?)
}

/// Writes the page to stdout, as roff.
///
/// # Errors
/// When there is no such command, or the page cannot be written.
pub fn man(command: &ManCommand, output: &Output) -> Result<(), Failure> {
    let page = page(command.command.as_deref()).map_err(Failure::Fault)?;
    let Some(page) = page else {
        return Err(Failure::NoPage(command.command.clone().unwrap_or_default()));
    };
    Ok(output.document(&page)?)
}

/// A page; `None` for a command that is not there.
fn page(name: Option<&str>) -> anyhow::Result<Option<Vec<u8>>> {
    let mut all = super::command();
    all.build();
    let (command, title) = match name {
        None => (Some(&all), "peer".to_owned()),
        Some(name) => (all.find_subcommand(name), format!("peer-{name}")),
    };
    let Some(command) = command else { return Ok(None) };
    let shown = if name.is_none() { "peer".to_owned() } else { title.replacen('-', " ", 1) };
    let examples = command.get_before_long_help().or_else(|| command.get_before_help());
    let examples = examples.map(ToString::to_string).unwrap_or_default();
    // Every option stands in the page of the command that has it.
    let roff = command
        .clone()
        .display_name(title)
        .bin_name(shown.clone())
        .version(env!("CARGO_PKG_VERSION"));
    let roff = roff.mut_args(with_aliases);
    let man = clap_mangen::Man::new(roff.clone()).section("1").manual("peer");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    synopsis(&mut page, command, &shown);
    verbatim(&mut page, "EXAMPLES", &examples);
    man.render_options_section(&mut page)?;
    if roff.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let notes = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    verbatim(&mut page, "NOTES", notes.split("\n\nEnvironment:").next().unwrap_or_default());
    let environment = help::ENVIRONMENT.strip_prefix("Environment:\n").unwrap_or_default();
    verbatim(&mut page, "ENVIRONMENT", environment);
    Ok(Some(page))
}

/// What is typed, in the order in which it is: what must be, then flags with their values.
fn synopsis(page: &mut Vec<u8>, command: &Command, shown: &str) {
    let escaped = |text: &str| text.replace('-', "\\-");
    let mut words = vec![format!("\\fB{}\\fR", escaped(shown))];
    for arg in command.get_positionals() {
        let name = format!("\\fI{}\\fR", escaped(&value_name(arg)));
        words.push(if arg.is_required_set() { name } else { format!("[{name}]") });
    }
    if command.has_subcommands() {
        words.push("\\fICOMMAND\\fR".to_owned());
    }
    let seen = |arg: &&Arg| !arg.is_hide_set() && !arg.is_positional();
    for arg in command.get_arguments().filter(seen) {
        let Some(long) = arg.get_long() else { continue };
        let mut flag = format!("\\fB\\-\\-{}\\fR", escaped(long));
        if let Some(short) = arg.get_short() {
            flag = format!("\\fB\\-{short}\\fR|{flag}");
        }
        if arg.get_action().takes_values() {
            flag.push_str(&format!(" \\fI{}\\fR", escaped(&value_name(arg))));
        }
        let again = matches!(arg.get_action(), ArgAction::Append | ArgAction::Count);
        words.push(format!("[{flag}]{}", if again { "..." } else { "" }));
    }
    page.extend_from_slice(format!(".SH SYNOPSIS\n{}\n", words.join(" ")).as_bytes());
}

fn value_name(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    names.first().map_or_else(|| arg.get_id().to_string(), ToString::to_string)
}

/// Says in the help of a flag how else it can be written, which `clap_mangen` leaves out.
fn with_aliases(arg: Arg) -> Arg {
    let aliases = arg.get_visible_aliases().unwrap_or_default();
    if aliases.is_empty() {
        return arg;
    }
    let also = aliases.iter().map(|alias| format!("--{alias}")).collect::<Vec<_>>().join(", ");
    let help = arg.get_long_help().or_else(|| arg.get_help());
    let help = format!("{} (also {also})", help.map(ToString::to_string).unwrap_or_default());
    arg.help(help.clone()).long_help(help)
}

/// A section of lines that stay as they are.
fn verbatim(page: &mut Vec<u8>, heading: &str, text: &str) {
    let mut lines = text.lines().skip_while(|line| *line == "Examples:").peekable();
    if lines.peek().is_none() {
        return;
    }
    page.extend_from_slice(format!(".SH {heading}\n.nf\n").as_bytes());
    for line in lines {
        // A point or an apostrophe at the beginning of a line would be a request (groff(7)).
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        page.extend_from_slice(format!("\\&{line}\n").as_bytes());
    }
    page.extend_from_slice(b".fi\n");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    /// The flags of a command that people see, without their dashes.
    fn flags(command: &Command) -> Vec<String> {
        let args = command.get_arguments().filter(|arg| !arg.is_hide_set());
        let flags = args.flat_map(|arg| {
            arg.get_long().into_iter().chain(arg.get_visible_aliases().unwrap_or_default())
        });
        flags.map(str::to_owned).collect()
    }

    fn built() -> Command {
        let mut all = crate::cli::command();
        all.build();
        all
    }

    fn names(all: &Command) -> Vec<String> {
        let names = all.get_subcommands().map(|command| command.get_name().to_owned());
        names.filter(|name| name != "help").collect()
    }

    #[test]
    fn every_flag_stands_in_the_page_of_its_command() {
        let all = built();
        let whole = String::from_utf8(page(None).unwrap().unwrap()).unwrap();
        for name in names(&all) {
            assert!(whole.contains(&format!("peer\\-{name}")), "{name}\n{whole}");
            let text = String::from_utf8(page(Some(&name)).unwrap().unwrap()).unwrap();
            for flag in flags(all.find_subcommand(&name).unwrap()) {
                let flag = format!("\\-\\-{}", flag.replace('-', "\\-"));
                assert!(text.contains(&flag), "{name}: {flag}\n{text}");
            }
            assert!(text.contains(".SH EXAMPLES"), "{name}");
        }
        assert!(page(Some("dance")).unwrap().is_none());
    }

    #[test]
    fn a_synopsis_begins_with_what_must_be_and_shows_values() {
        let text = String::from_utf8(page(Some("call")).unwrap().unwrap()).unwrap();
        let line = text.lines().skip_while(|line| *line != ".SH SYNOPSIS").nth(1).unwrap();
        assert!(
            line.starts_with(r"\fBpeer call\fR \fINAME\fR [\fB\-\-video\fR \fISOURCE\fR] "),
            "{line}"
        );
        assert!(line.contains(r"[\fB\-\-once\fR] ") && line.contains("..."), "{line}");
        assert!(text.contains(".SH ENVIRONMENT") && text.contains("PEER_TOKEN"), "{text}");
    }

    #[test]
    fn every_flag_is_completed_in_every_shell() {
        let all = built();
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell] {
            let script = completing::script(shell);
            for name in names(&all) {
                assert!(script.contains(&name), "{shell}: {name}");
                for flag in flags(all.find_subcommand(&name).unwrap()) {
                    let typed = if shell == Shell::Fish {
                        format!("-l {flag}")
                    } else {
                        format!("--{flag}")
                    };
                    assert!(script.contains(&typed), "{shell}: {name} {typed}");
                }
            }
        }
    }

    #[test]
    fn lines_that_roff_would_take_for_requests_stay_lines() {
        let mut page = Vec::new();
        verbatim(&mut page, "X", ".a\n'b\\c\n--d");
        assert_eq!(
            String::from_utf8(page).unwrap(),
            ".SH X\n.nf\n\\&.a\n\\&'b\\ec\n\\&\\-\\-d\n.fi\n"
        );
    }
}
