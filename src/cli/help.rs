//! Help in two lengths, and what the environment says: `-h` fits on a screen, `--help` has it all.
//!
//! Pure: the definition of the command line in, the same with its help in order out.

use clap::{Arg, Command};

/// What every environment variable does. The manual page has it as a section of its own.
pub const ENVIRONMENT: &str = "\
Environment:
  PEER_CONFIG           the file of settings, as --config
  PEER_SERVER           the signaling server, as --server
  PEER_NAME             our own name, as --as
  PEER_TOKEN            the token that proves that a name is ours; there is no flag for it, since
                        every user of the machine can read a command line
  PEER_TURN_PASSWORD    the password for TURN servers, as --turn-password
  PEER_TURN_SECRET      peer serve: what the file of --turn-secret-file holds
  PEER_ICE_CREDENTIAL   peer serve: the password that goes with --ice-user
  RUST_LOG              what is logged, in place of -v and -q
  XDG_CONFIG_HOME       where peer/config.toml and peer/secrets.toml are [default: ~/.config]
  XDG_STATE_HOME        where the last login, the history of the prompt and a self-signed
                        certificate are kept [default: ~/.local/state]

Of the desktop, the terminal and the system, as they are set already:
  DISPLAY, WAYLAND_DISPLAY    where windows are opened and screens are filmed; without either a call
                        is drawn in the terminal
  PULSE_SERVER, PULSE_COOKIE  the sound server, and what it wants to be shown
  XDG_RUNTIME_DIR       where sound server and Wayland are found
  TERM, COLORTERM       what the terminal can show; TERM=dumb: nothing is drawn or overwritten
  TERM_PROGRAM, LC_TERMINAL, KITTY_WINDOW_ID, TMUX, STY
                        whether it shows pictures, where it does not answer that itself
  SSH_CONNECTION        over ssh, pictures in the terminal are sent more sparingly
  NOTIFY_SOCKET         peer serve: where systemd is told that the server is ready";

/// What follows the short help.
const MORE: &str = "--help has all flags, with examples";

/// What follows the long help of a command that has nothing to add.
const SHARED: &str = "peer --help has what all commands share: exit codes, environment variables";

/// Flags that few need; the short help goes without them.
const RARE: &[&str] = &[
    "min-bitrate",
    "content",
    "record-local",
    "no-echo-cancellation",
    "no-noise-suppression",
    "no-auto-gain",
    "no-high-pass",
    "ca",
    "insecure",
    "stun",
    "turn",
    "turn-user",
    "turn-password",
    "ice-policy",
    "bind",
    "timeout",
    "stats",
    "no-bell",
    "config",
    "max-connections",
    "max-connections-per-address",
    "max-message",
    "max-name",
    "messages-per-second",
    "bytes-per-second",
    "logins-per-minute",
    "wrong-tokens-per-minute",
    "login-within",
    "ping-after",
    "behind-proxy",
    "ice-user",
    "turn-ttl",
    "seed",
    "reorder",
    "burst",
];

/// Gives every flag a short help, and leaves out of it what few need.
#[must_use]
pub fn in_two_lengths(command: Command) -> Command {
    let names: Vec<String> =
        command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    names.iter().fold(command.mut_args(of_arg), |command, name| {
        command.mut_subcommand(name, |command| {
            let notes = command.get_after_long_help().map(ToString::to_string);
            let notes = notes.unwrap_or_else(|| SHARED.to_owned());
            command.mut_args(of_arg).after_help(MORE).after_long_help(notes)
        })
    })
}

fn of_arg(arg: Arg) -> Arg {
    let Some(help) = arg.get_help().map(ToString::to_string) else { return arg };
    let rare = arg.get_long().is_some_and(|long| RARE.contains(&long));
    let arg = if arg.get_long_help().is_some() { arg } else { arg.long_help(help.clone()) };
    arg.help(first_clause(&help).to_owned()).hide_short_help(rare)
}

/// Up to where the details begin.
fn first_clause(help: &str) -> &str {
    let ends = [": ", "; ", ". ", " [default", ", more than once"];
    let end = ends.iter().filter_map(|end| help.find(end)).min();
    &help[..end.unwrap_or(help.len())]
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::cli::command;

    fn help(name: &str, long: bool) -> String {
        let mut all = command();
        all.build();
        let command = all.find_subcommand_mut(name).expect("a command");
        if long { command.render_long_help() } else { command.render_help() }.to_string()
    }

    #[test]
    fn the_short_help_is_short_and_the_long_one_has_all() {
        for name in ["call", "login", "serve", "loopback", "doctor"] {
            let (short, long) = (help(name, false), help(name, true));
            assert!(short.lines().count() <= 45, "{name}: {}", short.lines().count());
            assert!(short.lines().count() * 2 < long.lines().count(), "{name}\n{short}\n{long}");
            assert!(short.contains(MORE) && !short.contains("Examples:"), "{name}\n{short}");
            assert!(long.contains("Examples:") && !long.contains(MORE), "{name}\n{long}");
        }
        assert!(help("call", true).contains("--no-high-pass"));
        assert!(!help("call", false).contains("--no-high-pass"));
    }

    #[test]
    fn what_is_rare_exists() {
        let all = command();
        let known: Vec<&str> = all
            .get_arguments()
            .chain(all.get_subcommands().flat_map(Command::get_arguments))
            .filter_map(Arg::get_long)
            .collect();
        let unknown: Vec<_> = RARE.iter().filter(|flag| !known.contains(flag)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    #[test]
    fn every_variable_that_a_flag_reads_is_explained() {
        let all = command();
        let flags =
            all.get_arguments().chain(all.get_subcommands().flat_map(Command::get_arguments));
        for name in flags.filter_map(Arg::get_env).map(|name| name.to_string_lossy()) {
            assert!(ENVIRONMENT.contains(&*name), "{name}");
        }
    }

    /// What only other systems than Unix say.
    const ELSEWHERE: [&str; 2] = ["COMPUTERNAME", "USERNAME"];

    /// How the environment is read: by the library's own functions, or by these of ours.
    const READERS: [&str; 4] = ["env::var(\"", "env::var_os(\"", "get(\"", "named(\""];

    #[test]
    fn every_variable_that_is_read_anywhere_is_explained() {
        let mut found = Vec::new();
        for file in sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))) {
            let text = std::fs::read_to_string(&file).expect("a source");
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            for reader in READERS {
                let names = text.split(reader).skip(1).filter_map(|rest| rest.split('"').next());
                let loud = |name: &&str| name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
                found.extend(names.filter(loud).map(str::to_owned));
            }
        }
        for name in ["WAYLAND_DISPLAY", "PULSE_COOKIE", "COLORTERM", "SSH_CONNECTION"] {
            assert!(
                found.iter().any(|one| one == name),
                "{name} is read, but not found: {found:?}"
            );
        }
        found.retain(|name| !ELSEWHERE.contains(&name.as_str()));
        // As a whole word: DISPLAY is part of another.
        let words: Vec<&str> =
            ENVIRONMENT.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
        let unexplained: Vec<_> =
            found.iter().filter(|name| !words.contains(&name.as_str())).collect();
        assert!(unexplained.is_empty(), "{unexplained:?}");
    }

    fn sources(folder: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).expect("a folder").flatten();
        let paths = entries.map(|entry| entry.path()).flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false => vec![path],
        });
        paths.filter(|path| path.extension().is_some_and(|end| end == "rs")).collect()
    }

    #[test]
    fn a_first_clause_ends_where_details_begin() {
        for (whole, first) in [
            ("Size to send, such as 1280x720 [default: x]", "Size to send, such as 1280x720"),
            ("Say more; -vv says still more", "Say more"),
            ("Sound: mic, tone", "Sound"),
            ("Ring", "Ring"),
        ] {
            assert_eq!(first_clause(whole), first);
        }
    }
}
