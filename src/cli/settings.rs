//! Remembered settings: which flags can have a value in the user's file, and where each value of
//! this run came from.
//!
//! Owns the order flag, environment, file, last login, default. What is remembered goes under
//! clap's own flags as their default, so it is parsed and refused as they are.

use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use super::remembered::{self, DEFAULT_SERVER, Remembered};
use super::settings_file::{self, Entry, SettingsError};
use super::settings_keys::{KEYS, Key, Kind, key_of};
use crate::media::source::{AudioSourceSpec, VideoSourceSpec};
use crate::phone::config::Secret;

const TOKEN: &str = "token";
const TOKEN_VARIABLE: &str = "PEER_TOKEN";

/// The commands that use what is remembered.
const COMMANDS: [&str; 4] = ["login", "call", "doctor", "config"];

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag,
    /// This environment variable.
    Environment(String),
    /// This line of the settings or of the secrets.
    File {
        /// Which file.
        path: PathBuf,
        /// From 1.
        line: usize,
    },
    /// What the last `peer login` used.
    LastLogin,
    /// Nobody said anything.
    Default,
}

/// One setting of this run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// What it is.
    pub key: &'static Key,
    /// Its value; empty without one.
    pub words: Vec<String>,
    /// Where that came from.
    pub origin: Origin,
}

/// The settings of this run.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The user's file; `None` for a user without a home.
    pub path: Option<PathBuf>,
    /// All of them that the command knows.
    pub list: Vec<Setting>,
    /// What the last login left behind.
    pub last: Option<Remembered>,
}

impl Settings {
    /// The token to log in with: from the environment, else from the user's file for secrets.
    #[must_use]
    pub fn token(&self) -> Option<Secret> {
        let setting = self.list.iter().find(|setting| setting.key.word == TOKEN)?;
        setting.words.first().map(Secret::new)
    }

    /// Whether this comes from the last login, and nobody has said it since.
    #[must_use]
    pub fn recalls(&self, word: &str) -> bool {
        let setting = self.list.iter().find(|setting| setting.key.word == word);
        setting.is_some_and(|one| one.origin == Origin::LastLogin)
    }

    /// Writes what the command line said into the user's files; says what and where.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self) -> Result<String, SettingsError> {
        let said = self.list.iter().filter(|setting| setting.origin == Origin::Flag);
        let (secrets, open): (Vec<_>, Vec<_>) = said
            .map(|setting| (setting.key, from_anywhere(setting)))
            .partition(|(key, _)| key.kind == Kind::Secret);
        let Some(path) = &self.path else {
            return Ok("nothing is remembered: this user has no home folder".to_owned());
        };
        let mut lines = Vec::new();
        for (path, settings) in [(path.clone(), open), (settings_file::secrets(path), secrets)] {
            if !settings.is_empty() {
                settings_file::write(&path, &settings)?;
                let words: Vec<_> = settings.iter().map(|(key, _)| key.word).collect();
                lines.push(format!("{} now has {}", path.display(), words.join(", ")));
            }
        }
        if lines.is_empty() {
            lines.push("there was nothing on the command line to remember".to_owned());
        }
        Ok(lines.join("\n"))
    }
}

/// What lies under the flags.
#[derive(Debug, Default)]
pub struct Layers {
    path: Option<PathBuf>,
    entries: Vec<Entry>,
    last: Option<Remembered>,
}

impl Layers {
    /// Reads the file of settings, that of secrets beside it, and what the last login left behind.
    /// `named`: instead of the user's own file, which need not be there. `new`: nor need this one.
    ///
    /// # Errors
    /// When a file cannot be read, or something in it cannot be.
    pub fn load(named: Option<&Path>, new: bool, flags: &Command) -> Result<Self, SettingsError> {
        let path = named.map(Path::to_owned).or_else(settings_file::path);
        let mut entries = Vec::new();
        if let Some(path) = &path {
            let must_be = named.is_some() && !new;
            entries = settings_file::read(path, must_be, flags)?;
            entries.extend(settings_file::read_secrets(&settings_file::secrets(path), flags)?);
        }
        Ok(Self { path, entries, last: None })
    }

    /// And what the last login left behind.
    #[must_use]
    pub fn over(self, last: Option<Remembered>) -> Self {
        Self { last, ..self }
    }

    /// Puts what is remembered under the flags.
    #[must_use]
    pub fn under(&self, flags: Command) -> Command {
        COMMANDS.into_iter().fold(flags, |flags, name| {
            flags.mut_subcommand(name, |command| command.mut_args(|arg| self.under_arg(arg)))
        })
    }

    fn under_arg(&self, arg: Arg) -> Arg {
        match key_of(&arg).and_then(|key| self.remembered(key)) {
            Some((words, _)) => arg.default_values(words).required(false),
            None => arg,
        }
    }

    fn remembered(&self, key: &Key) -> Option<(Vec<String>, Origin)> {
        if let Some(entry) = self.entries.iter().find(|entry| entry.key == key) {
            let origin = Origin::File { path: entry.path.clone(), line: entry.line };
            return Some((entry.words.clone(), origin));
        }
        let last = self.last.as_ref()?;
        let text = match key.word {
            "server" => &last.server,
            "name" => &last.name,
            _ => return None,
        };
        Some((vec![text.clone()], Origin::LastLogin))
    }

    /// Says where each value of a command came from, once its words were parsed over this.
    #[must_use]
    pub fn settings(self, command: &Command, matches: &ArgMatches) -> Settings {
        let arg = |key: &Key| command.get_arguments().find(|arg| key_of(arg) == Some(key));
        let mut list: Vec<Setting> = KEYS
            .iter()
            .filter_map(|key| match arg(key) {
                Some(arg) => Some(self.setting(key, arg, matches)),
                None => (key.word == TOKEN).then(|| self.token(key)),
            })
            .collect();
        if list.iter().any(|setting| self.is_elsewhere(setting)) {
            // What proves a name on one server is nobody else's business.
            let kept = |setting: &Setting| !matches!(setting.origin, Origin::File { .. });
            list.retain(|setting| setting.key.word != TOKEN || kept(setting));
        }
        Settings { path: self.path, list, last: self.last }
    }

    /// Whether this says another server or name than the one that is remembered.
    fn is_elsewhere(&self, setting: &Setting) -> bool {
        matches!(setting.key.word, "server" | "name")
            && matches!(setting.origin, Origin::Flag | Origin::Environment(_))
            && self.remembered(setting.key).is_none_or(|(words, _)| words != setting.words)
    }

    fn setting(&self, key: &'static Key, arg: &Arg, matches: &ArgMatches) -> Setting {
        let id = arg.get_id().as_str();
        let raw = matches.get_raw(id).into_iter().flatten();
        let words: Vec<String> = match key.kind {
            Kind::Switch => vec![matches.get_flag(id).to_string()],
            _ => raw.map(|word| word.to_string_lossy().into_owned()).collect(),
        };
        let variable = || arg.get_env().unwrap_or_default().to_string_lossy().into_owned();
        let (words, origin) = match (matches.value_source(id), self.remembered(key)) {
            (Some(ValueSource::CommandLine), _) => (words, Origin::Flag),
            (Some(ValueSource::EnvVariable), _) => (words, Origin::Environment(variable())),
            (_, Some((_, origin))) => (words, origin),
            _ => (if words.is_empty() { unsaid(key) } else { words }, Origin::Default),
        };
        Setting { key, words, origin }
    }

    fn token(&self, key: &'static Key) -> Setting {
        let said = std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty());
        let said = said.map(|token| (vec![token], Origin::Environment(TOKEN_VARIABLE.to_owned())));
        let (words, origin) =
            said.or_else(|| self.remembered(key)).unwrap_or_else(|| (Vec::new(), Origin::Default));
        Setting { key, words, origin }
    }
}

/// The words of a setting, files among them so that they are found from every folder.
fn from_anywhere(setting: &Setting) -> Vec<String> {
    let is_file = |word: &str| match setting.key.word {
        "ca" | "record" | "record-local" | "stats" => true,
        // Whether it is there or not: a pipe may be made later.
        "video" => matches!(word.parse(), Ok(VideoSourceSpec::File(path)) if is_path(&path)),
        "audio" => matches!(word.parse(), Ok(AudioSourceSpec::File(path)) if is_path(&path)),
        _ => false,
    };
    let whole = |word: &String| match std::path::absolute(word) {
        Ok(path) if is_file(word) => path.display().to_string(),
        _ => word.clone(),
    };
    setting.words.iter().map(whole).collect()
}

/// Standard input is none.
fn is_path(path: &Path) -> bool {
    path != Path::new("-")
}

/// What is used where neither a flag nor clap's own default says anything.
fn unsaid(key: &Key) -> Vec<String> {
    match key.word {
        "server" => vec![DEFAULT_SERVER.to_owned()],
        "name" => remembered::os_user().into_iter().collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::cli::command;

    fn layers(settings: &str, secrets: &str) -> Layers {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("config.toml");
        std::fs::write(&path, settings).unwrap();
        let hidden = [(key_named("turn-password"), vec![secrets.to_owned()])];
        settings_file::write(&settings_file::secrets(&path), &hidden).unwrap();
        let last = Remembered::of("ws://last", "last");
        Layers::load(Some(&path), false, &command()).unwrap().over(Some(last))
    }

    fn key_named(word: &str) -> &'static Key {
        KEYS.iter().find(|key| key.word == word).unwrap()
    }

    fn settle(layers: Layers, line: &str) -> Settings {
        let flags = layers.under(command());
        let matches = flags.clone().get_matches_from(line.split(' '));
        let (name, matches) = matches.subcommand().unwrap();
        layers.settings(flags.find_subcommand(name).unwrap(), matches)
    }

    fn value(settings: &Settings, word: &str) -> (String, Origin) {
        let setting = settings.list.iter().find(|one| one.key.word == word).unwrap();
        (setting.words.join(","), setting.origin.clone())
    }

    #[test]
    fn a_flag_wins_over_the_file_the_file_over_the_last_login_and_that_over_the_default() {
        let text = "video = 'test'\naudio = 'tone'\nstun = ['stun:a', 'stun:b']\nno-bell = true\n\
                    fps = 25\nname = 'filed'";
        let settings = settle(layers(text, "hush"), "peer login --video none --stun stun:c");
        assert_eq!(value(&settings, "video"), ("none".into(), Origin::Flag));
        assert_eq!(value(&settings, "stun"), ("stun:c".into(), Origin::Flag));
        let line = |word| match value(&settings, word) {
            (words, Origin::File { line, .. }) => (words, line),
            other => panic!("{word}: {other:?}"),
        };
        assert_eq!(line("audio"), ("tone".into(), 2));
        assert_eq!(line("no-bell"), ("true".into(), 4));
        assert_eq!(line("fps"), ("25".into(), 5));
        assert_eq!(line("name"), ("filed".into(), 6));
        assert_eq!(line("turn-password"), ("hush".into(), 1));
        assert_eq!(value(&settings, "server"), ("ws://last".into(), Origin::LastLogin));
        assert_eq!(value(&settings, "view"), ("auto".into(), Origin::Default));
        assert_eq!(value(&settings, "size"), (String::new(), Origin::Default));
        assert_eq!(value(&settings, "token"), (String::new(), Origin::Default));
    }

    #[test]
    fn the_values_reach_every_command_that_has_the_flag() {
        for line in ["peer login", "peer call bob", "peer doctor", "peer config"] {
            let settings = settle(layers("turn = 'turn:t'", "hush"), line);
            assert_eq!(value(&settings, "turn").0, "turn:t", "{line}");
        }
    }

    #[test]
    fn every_key_but_the_token_is_a_flag_of_login_and_call() {
        let flags = command();
        for name in ["login", "config"] {
            let of = flags.find_subcommand(name).unwrap();
            let known: Vec<_> = of.get_arguments().filter_map(key_of).collect();
            for key in KEYS.iter().filter(|key| key.word != TOKEN) {
                assert!(known.contains(&key), "{name}: {}", key.word);
            }
        }
    }

    /// Flags that say something of one run only.
    const OF_ONE_RUN: [&str; 6] = ["json", "verbose", "quiet", "config", "save", "help"];

    #[test]
    fn whatever_a_robot_says_can_stand_in_its_file() {
        let flags = command();
        for name in ["login", "call"] {
            let of = flags.find_subcommand(name).unwrap();
            let longs = of.get_arguments().filter(|arg| arg.get_long().is_some());
            let forgotten: Vec<_> = longs
                .filter(|arg| key_of(arg).is_none())
                .filter_map(Arg::get_long)
                .filter(|long| !OF_ONE_RUN.contains(long))
                .collect();
            assert!(forgotten.is_empty(), "{name}: {forgotten:?}");
        }
    }

    /// A value that each flag takes, and whether it is a file's name.
    fn value_of(word: &str) -> (&'static str, bool) {
        match word {
            "server" => ("ws://h:1", false),
            "name" => ("robot", false),
            "video" => ("clip.mp4", true),
            "audio" => ("speech.wav", true),
            "size" => ("640x360", false),
            "max-picture" => ("7680x4320", false),
            "fps" => ("25", false),
            "max-bitrate" | "min-bitrate" => ("800k", false),
            "content" => ("detail", false),
            "view" | "speaker" => ("none", false),
            "record" | "record-local" => ("call.mkv", true),
            "stats" => ("stats.jsonl", true),
            "record-split" | "timeout" | "duration" => ("10m", false),
            "stun" => ("stun:s", false),
            "turn" => ("turn:t", false),
            "turn-user" | "turn-password" => ("me", false),
            "ice-policy" => ("relay", false),
            "ca" => ("own.pem", true),
            "bind" => ("127.0.0.1", false),
            "allow" => ("bob", false),
            other => panic!("what does --{other} take?"),
        }
    }

    #[test]
    fn what_is_saved_comes_back_in_login_and_call_with_files_found_from_everywhere() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("config.toml");
        let mut line = vec!["peer".to_owned(), "login".to_owned(), "robot".to_owned()];
        // Whoever names a certificate does not go without a check.
        let said = KEYS.iter().filter(|key| !matches!(key.word, TOKEN | "name" | "insecure"));
        for key in said.clone() {
            line.push(match key.kind {
                Kind::Switch => format!("--{}", key.word),
                _ => format!("--{}={}", key.word, value_of(key.word).0),
            });
        }
        let layers = Layers::load(Some(&path), true, &command()).unwrap();
        let flags = layers.under(command());
        let matches = flags.clone().get_matches_from(line);
        let (_, matches) = matches.subcommand().unwrap();
        layers.settings(flags.find_subcommand("login").unwrap(), matches).save().unwrap();

        for (again, only_login) in
            [("peer login", &[][..]), ("peer call bob", &["auto-answer", "allow", "no-bell"])]
        {
            let settings = settle(Layers::load(Some(&path), false, &command()).unwrap(), again);
            for key in said.clone().filter(|key| !only_login.contains(&key.word)) {
                let (found, origin) = value(&settings, key.word);
                assert!(matches!(origin, Origin::File { .. }), "{again}: {} {origin:?}", key.word);
                if key.kind == Kind::Switch {
                    assert_eq!(found, "true", "{again}: {}", key.word);
                    continue;
                }
                let (wanted, is_file) = value_of(key.word);
                assert_eq!(Path::new(&found).is_absolute(), is_file, "{}: {found}", key.word);
                assert!(found.ends_with(wanted), "{again}: {}: {found}", key.word);
            }
        }
    }
}
