//! `peer completions` and `peer man`: what a shell completes and what `man peer` shows, made from
//! the definition of the command line itself.

use clap::{Arg, Args, ValueEnum};
use clap_complete::Shell;

use super::exit::Failure;
use super::output::Output;

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
    #[arg(value_name = "SHELL")]
    shell: Completing,
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
        Completing::Bash => Shell::Bash,
        Completing::Zsh => Shell::Zsh,
        Completing::Fish => Shell::Fish,
        Completing::PowerShell => Shell::PowerShell,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut super::command(), "peer", &mut script);
    Ok(output.document(&script)?)
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
    let examples = command.get_before_help().map(ToString::to_string).unwrap_or_default();
    // Every option stands in the page of the command that has it.
    let roff =
        command.clone().display_name(title).bin_name(shown).version(env!("CARGO_PKG_VERSION"));
    let roff = roff.mut_args(with_aliases);
    let man = clap_mangen::Man::new(roff.clone()).section("1").manual("peer");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    verbatim(&mut page, "EXAMPLES", &examples);
    man.render_options_section(&mut page)?;
    if roff.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    verbatim(
        &mut page,
        "NOTES",
        &command.get_after_help().map(ToString::to_string).unwrap_or_default(),
    );
    Ok(Some(page))
}

/// Says in the help of a flag how else it can be written, which `clap_mangen` leaves out.
fn with_aliases(arg: Arg) -> Arg {
    let aliases = arg.get_visible_aliases().unwrap_or_default();
    if aliases.is_empty() {
        return arg;
    }
    let also = aliases.iter().map(|alias| format!("--{alias}")).collect::<Vec<_>>().join(", ");
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    arg.help(format!("{help} (also {also})"))
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
    use clap::Command;

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
    fn every_flag_is_completed_in_every_shell() {
        let all = built();
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut crate::cli::command(), "peer", &mut script);
            let script = String::from_utf8(script).unwrap();
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
