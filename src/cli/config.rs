//! `peer config`: every setting, its value, and where that came from.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::{Args, Command};
use serde::Serialize;

use super::exit::Failure;
use super::output::Output;
use super::settings::{Origin, Setting, Settings};
use super::settings_file;
use super::settings_keys::{Kind, key_of};
use crate::clock;
use crate::clock::rfc3339;

/// Examples of `peer config --help`.
pub const EXAMPLES: &str = "\
Examples:
  peer config
  peer config --video test
  peer config --json | jq -r '.settings[] | select(.source == \"file\") | .name'
  peer login alice --server ws://example.org:9090 --save";

/// What comes after the flags.
pub const NOTES: &str = "\
The file is TOML, with lines for the settings listed here, each named like its flag; name is --as:
  server = \"ws://example.org:9090\"
  video = \"camera:1\"
  stun = [\"stun:one.example.org\", \"stun:other.example.org\"]
Passwords stand in secrets.toml beside it, which only you may read (chmod 600).
A flag wins over the environment, that over the file, that over the last login.";

/// Flags of `peer config`: those that can be remembered, which [`with_flags`] gives it.
#[derive(Debug, Args)]
pub struct ConfigCommand {
    /// What is remembered, and what the command line says.
    #[arg(skip)]
    pub(super) settings: Settings,
}

/// Gives `peer config` the flags that can be remembered, as `peer login` and `peer call` have them.
#[must_use]
pub fn with_flags(flags: Command) -> Command {
    let mut args = Vec::new();
    for name in ["call", "login"] {
        let of = flags.find_subcommand(name).into_iter().flat_map(Command::get_arguments);
        for arg in of.filter(|arg| arg.get_long().is_some() && key_of(arg).is_some()) {
            if args.iter().all(|one: &clap::Arg| one.get_id() != arg.get_id()) {
                args.push(arg.clone());
            }
        }
    }
    flags.mut_subcommand("config", |config| config.args(args))
}

/// The `config` event.
#[derive(Serialize)]
struct ConfigEvent<'a> {
    event: &'static str,
    #[serde(serialize_with = "rfc3339")]
    time: SystemTime,
    path: Option<&'a Path>,
    secrets: Option<PathBuf>,
    settings: Vec<Shown<'a>>,
}

/// A setting as programs read it.
#[derive(Serialize)]
struct Shown<'a> {
    name: &'static str,
    /// Text, an array of it, or `null`; secrets never.
    value: serde_json::Value,
    source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    variable: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
}

/// Shows every setting.
///
/// # Errors
/// When they cannot be written: files that cannot be have been refused before.
pub fn run(command: &ConfigCommand, output: &Output) -> Result<(), Failure> {
    let settings = &command.settings;
    let event = ConfigEvent {
        event: "config",
        time: clock::wall(),
        path: settings.path.as_deref(),
        secrets: settings.path.as_deref().map(settings_file::secrets),
        settings: settings.list.iter().map(shown).collect(),
    };
    Ok(output.answer(&lines(settings), &event)?)
}

fn shown(setting: &Setting) -> Shown<'_> {
    let words = &setting.words;
    let value = match (setting.key.kind, words.as_slice()) {
        (_, []) => serde_json::Value::Null,
        (Kind::Secret, _) => "(secret)".into(),
        (Kind::Switch, [on]) => (on == "true").into(),
        (Kind::List, _) => words.clone().into(),
        (_, [word, ..]) => word.clone().into(),
    };
    let (source, variable, file, line) = match &setting.origin {
        Origin::Flag => ("flag", None, None, None),
        Origin::Environment(variable) => ("environment", Some(variable.as_str()), None, None),
        Origin::File { path, line } => ("file", None, Some(path.as_path()), Some(*line)),
        Origin::LastLogin => ("last-login", None, None, None),
        Origin::Default => ("default", None, None, None),
    };
    Shown { name: setting.key.word, value, source, variable, file, line }
}

fn lines(settings: &Settings) -> Vec<String> {
    let mut lines = vec![match &settings.path {
        Some(path) if path.exists() => format!("settings in {}", path.display()),
        Some(path) => {
            format!("no settings yet in {}; peer login --save writes them", path.display())
        }
        None => "no settings: this user has no home folder".to_owned(),
    }];
    lines.extend(settings.list.iter().map(|setting| {
        let value = match (setting.key.kind, setting.words.is_empty()) {
            (_, true) => "-".to_owned(),
            (Kind::Secret, false) => "(secret)".to_owned(),
            _ => setting.words.join(","),
        };
        format!("  {:<21} {value:<30} {}", setting.key.word, origin(&setting.origin))
    }));
    lines
}

fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Flag => "flag".to_owned(),
        Origin::Environment(variable) => format!("environment: {variable}"),
        Origin::File { path, line } => {
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
            format!("file: {name}, line {line}")
        }
        Origin::LastLogin => "last login".to_owned(),
        Origin::Default => "default".to_owned(),
    }
}
