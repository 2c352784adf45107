//! The files of remembered settings: TOML that people write, read with its lines and written
//! without losing their comments.
//!
//! Owns where they are, and who may read the secrets. Whether a value is good its flag decides.

use std::error::Error as _;
use std::io::{Read, Write};
#[cfg(unix)]
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clap::{Arg, Command};
use etcetera::BaseStrategy;
use toml_edit::{Document, DocumentMut, Item, Value, value};

use super::prompt::{nearest, shortened};
use super::settings_keys::{KEYS, Key, Kind, key_of};
use crate::system;

/// More than anybody's settings need.
const MOST_BYTES: u64 = 64 * 1024;

/// Something in a file of settings, or the file, is not as it must be.
#[derive(Debug, thiserror::Error)]
#[error("{}{}: {message}", .path.display(), .line.map(|line| format!(", line {line}")).unwrap_or_default())]
pub struct SettingsError {
    /// The file.
    pub path: PathBuf,
    /// Where, from 1.
    pub line: Option<usize>,
    /// What, and what to do about it.
    pub message: String,
}

/// A setting as it stands in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub key: &'static Key,
    /// Its value.
    pub words: Vec<String>,
    /// The file.
    pub path: PathBuf,
    /// From 1.
    pub line: usize,
}

/// The user's own file: `peer/config.toml` in the configuration folder (XDG_CONFIG_HOME, else
/// ~/.config). `None` when this user has no home.
#[must_use]
pub fn path() -> Option<PathBuf> {
    let base = etcetera::choose_base_strategy().ok()?;
    Some(base.config_dir().join("peer").join("config.toml"))
}

/// The file for secrets beside a file of settings.
#[must_use]
pub fn secrets(settings: &Path) -> PathBuf {
    settings.with_file_name("secrets.toml")
}

/// Reads a file of settings. `must_be`: that there is none is an error.
///
/// # Errors
/// When it cannot be read, is not TOML, or has a key or a value that no flag of `flags` takes.
pub fn read(path: &Path, must_be: bool, flags: &Command) -> Result<Vec<Entry>, SettingsError> {
    match text(path)? {
        Some((text, _)) => entries(path, &text, false, flags),
        None if must_be => Err(wrong(path, None, "there is no such file".to_owned())),
        None => Ok(Vec::new()),
    }
}

/// Reads a file of secrets, if there is one.
///
/// # Errors
/// As [`read`], and when others than the user may read it.
pub fn read_secrets(path: &Path, flags: &Command) -> Result<Vec<Entry>, SettingsError> {
    let Some((text, mode)) = text(path)? else { return Ok(Vec::new()) };
    if mode & 0o077 != 0 {
        let message =
            format!("other users may read these secrets; run chmod 600 {}", path.display());
        return Err(wrong(path, None, message));
    }
    entries(path, &text, true, flags)
}

/// A file's text, and who may read it.
fn text(path: &Path) -> Result<Option<(String, u32)>, SettingsError> {
    let cannot = |error: std::io::Error| {
        wrong(path, None, format!("cannot be read: {}", system::words(&error)))
    };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot(error)),
    };
    // Under its path there may be another by now.
    let mode = file.metadata().map_err(cannot)?.permissions().mode();
    let mut text = String::new();
    file.take(MOST_BYTES + 1).read_to_string(&mut text).map_err(cannot)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(wrong(path, None, format!("has more than {} KiB", MOST_BYTES / 1024)));
    }
    Ok(Some((text, mode)))
}

fn entries(
    path: &Path,
    text: &str,
    secret: bool,
    flags: &Command,
) -> Result<Vec<Entry>, SettingsError> {
    let line_at = |at: usize| text.get(..at).map(|before| before.matches('\n').count() + 1);
    let document = Document::parse(text).map_err(|error| {
        let line = error.span().and_then(|span| line_at(span.start));
        wrong(path, line, format!("is not TOML: {}", error.message().trim().replace('\n', ", ")))
    })?;
    let mut entries = Vec::new();
    for (word, item) in document.iter() {
        let span = document.key(word).and_then(toml_edit::Key::span).or_else(|| item.span());
        let line = span.and_then(|span| line_at(span.start));
        let bad = |message: String| wrong(path, line, message);
        let key = KEYS.iter().find(|key| key.word == word).ok_or_else(|| bad(unknown(word)))?;
        let is_secret = key.kind == Kind::Secret;
        if is_secret && !secret {
            let place = secrets(path);
            return Err(bad(format!("{word} is a secret; it belongs in {}", place.display())));
        }
        if secret && !is_secret {
            return Err(bad(format!("{word} is not a secret; it belongs in config.toml")));
        }
        let words = words(key, item).map_err(bad)?;
        check(key, &words, flags).map_err(bad)?;
        entries.push(Entry { key, words, path: path.to_owned(), line: line.unwrap_or(1) });
    }
    Ok(entries)
}

fn unknown(word: &str) -> String {
    let word = shortened(word);
    match nearest(&word, KEYS.iter().map(|key| key.word)) {
        Some(known) => format!("unknown setting '{word}'; did you mean '{known}'?"),
        None => format!("unknown setting '{word}'; 'peer config' lists them all"),
    }
}

/// The value as a command line would have it.
fn words(key: &Key, item: &Item) -> Result<Vec<String>, String> {
    let word = key.word;
    let one = |value: &Value| match (key.kind, value) {
        (Kind::Switch, Value::Boolean(on)) => Some(on.value().to_string()),
        (Kind::Switch, _) => None,
        (_, Value::String(text)) => Some(text.value().clone()),
        (Kind::Number, Value::Integer(number)) => Some(number.value().to_string()),
        (Kind::Number, Value::Float(number)) => Some(number.value().to_string()),
        _ => None,
    };
    let words = match (key.kind, item.as_value()) {
        (Kind::List, Some(Value::Array(values))) => values.iter().map(one).collect(),
        (_, Some(value)) => one(value).map(|word| vec![word]),
        (_, None) => None,
    };
    words.filter(|words| !words.is_empty()).ok_or_else(|| match key.kind {
        Kind::Switch => format!("{word} is true or false"),
        Kind::Number => format!("{word} is a number"),
        Kind::List => format!("{word} is text, or an array of it: [\"one\", \"other\"]"),
        Kind::Text | Kind::Secret => format!("{word} is text; write {word} = \"...\""),
    })
}

/// Has the flag itself look at the words.
fn check(key: &Key, words: &[String], flags: &Command) -> Result<(), String> {
    let commands = ["call", "login"].into_iter().filter_map(|name| flags.find_subcommand(name));
    let mut args = commands.flat_map(Command::get_arguments);
    let of_key = |arg: &&Arg| key_of(arg) == Some(key) && arg.get_long().is_some();
    let Some(arg) = args.find(of_key).filter(|_| key.kind != Kind::Switch) else { return Ok(()) };
    let long = arg.get_long().unwrap_or_default();
    let line = words.iter().map(|word| format!("--{long}={word}"));
    let probe = Command::new("settings").no_binary_name(true).arg(arg.clone().global(false));
    let Err(error) = probe.try_get_matches_from(line) else { return Ok(()) };
    let why =
        error.source().map_or_else(|| "the value is not valid".to_owned(), ToString::to_string);
    Err(if key.kind == Kind::Secret {
        format!("the value of {} is not valid", key.word)
    } else {
        format!("{}: {why}", key.word)
    })
}

/// Puts settings into a file, which keeps its comments and whatever else is in it, and which only
/// this user may read from now on.
///
/// # Errors
/// When what is there is not TOML, or the file cannot be written.
pub fn write(path: &Path, settings: &[(&Key, Vec<String>)]) -> Result<(), SettingsError> {
    let old = text(path)?.map_or_else(String::new, |(text, _)| text);
    let mut document: DocumentMut =
        old.parse().map_err(|_| wrong(path, None, "is not TOML".to_owned()))?;
    for (key, words) in settings {
        let mut new = toml(key, words);
        let entry = document.entry(key.word).or_insert(Item::None);
        if let (Some(new), Some(old)) = (new.as_value_mut(), entry.as_value()) {
            *new.decor_mut() = old.decor().clone();
        }
        *entry = new;
    }
    replace(path, &document.to_string())
        .map_err(|error| wrong(path, None, format!("cannot be written: {}", system::words(&error))))
}

fn toml(key: &Key, words: &[String]) -> Item {
    let text = words.join(",");
    match key.kind {
        Kind::Switch => value(text == "true"),
        Kind::List if words.len() != 1 => value(words.iter().collect::<toml_edit::Array>()),
        Kind::Number => match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(number), _) => value(number),
            (_, Ok(number)) => value(number),
            _ => value(text),
        },
        _ => value(text),
    }
}

/// In one step, readable by this user only; a link to the file stays one.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => return Err(std::io::Error::other("it has no folder")),
    };
    let mut ours = std::fs::DirBuilder::new();
    #[cfg(unix)]
    ours.mode(0o700);
    ours.recursive(true).create(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(&path)?;
    Ok(())
}

fn wrong(path: &Path, line: Option<usize>, message: String) -> SettingsError {
    SettingsError { path: path.to_owned(), line, message }
}

#[cfg(test)]
#[path = "settings_file_tests.rs"]
mod tests;
