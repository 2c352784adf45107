//! `peer keys`: by which keys others know us, whose keys are remembered, and forgetting one.

use std::time::SystemTime;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::exit::Failure;
use super::output::Output;
use super::{setup, values};
use crate::clock;
use crate::clock::rfc3339;
use crate::key::Key;
use crate::phone::known::KnownKey;

/// Examples of `peer keys --help`.
pub const EXAMPLES: &str = "\
Examples:
  peer keys
  peer keys forget bob
  peer keys --json | jq -r '.known[] | .name'";

/// What comes after the flags.
pub const NOTES: &str = "\
A key is remembered when a call with its holder is connected for the first time, for that server and
name. When another comes, or none, --auto-answer refuses, a person is asked, and 'peer call' ends.
Ask the others, through another channel than this server, whether the key that is remembered here is
the one that 'peer keys' shows there. --allow NAME@KEY lets in only the holder of that key.";

/// Flags of `peer keys`.
#[derive(Debug, Args)]
pub struct KeysCommand {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Forget the key of a name: the next one to show a key under it is remembered again
    Forget(Forget),
}

#[derive(Debug, Args)]
struct Forget {
    /// Whose key
    #[arg(value_name = "NAME", value_parser = values::name)]
    name: String,
    /// Only as it is known on this server [default: on all]
    #[arg(long, value_name = "URL", value_parser = values::server_url)]
    server: Option<String>,
}

/// The `keys` event.
#[derive(Serialize)]
struct KeysEvent {
    event: &'static str,
    #[serde(serialize_with = "rfc3339")]
    time: SystemTime,
    own: Vec<OwnKey>,
    known: Vec<OthersKey>,
}

/// The `keys-forgotten` event.
#[derive(Serialize)]
struct ForgottenEvent {
    event: &'static str,
    #[serde(serialize_with = "rfc3339")]
    time: SystemTime,
    forgotten: Vec<OthersKey>,
}

#[derive(Serialize)]
struct OwnKey {
    name: String,
    key: String,
}

#[derive(Serialize)]
struct OthersKey {
    server: String,
    name: String,
    key: String,
    #[serde(serialize_with = "rfc3339")]
    since: SystemTime,
}

/// Lists or forgets. That there is none to list is no failure; that there is none to forget is.
///
/// # Errors
/// When the keys cannot be read or written, or nobody of that name is known.
pub fn run(command: KeysCommand, output: &Output) -> Result<(), Failure> {
    let keyring =
        setup::keyring().ok_or_else(|| anyhow::anyhow!("this user has no home folder"))?;
    let time = clock::wall();
    match command.action {
        None => {
            let own = keyring.all_own()?;
            let known: Vec<_> = keyring.known()?.iter().map(others).collect();
            let lines = lines(&own, &known);
            let own = own.into_iter().map(|(name, key)| OwnKey { name, key: name_of(key) });
            let event = KeysEvent { event: "keys", time, own: own.collect(), known };
            Ok(output.answer(&lines, &event)?)
        }
        Some(Action::Forget(Forget { name, server })) => {
            let forgotten = keyring.change(|known| known.forget(server.as_deref(), &name))?;
            if forgotten.is_empty() {
                return Err(Failure::NoSuchKey(name));
            }
            let forgotten: Vec<_> = forgotten.iter().map(others).collect();
            let lines: Vec<_> = forgotten
                .iter()
                .map(|one| format!("forgotten: {}  '{}' at {}", one.key, one.name, one.server))
                .collect();
            let event = ForgottenEvent { event: "keys-forgotten", time, forgotten };
            Ok(output.answer(&lines, &event)?)
        }
    }
}

fn others(known: &KnownKey) -> OthersKey {
    // A file that somebody has changed may say any number.
    let since = std::time::Duration::from_secs(known.since.min(u64::from(u32::MAX)));
    OthersKey {
        server: known.server.clone(),
        name: known.name.clone(),
        key: name_of(known.key),
        since: SystemTime::UNIX_EPOCH + since,
    }
}

fn name_of(key: Key) -> String {
    key.name().to_string()
}

fn lines(own: &[(String, Key)], known: &[OthersKey]) -> Vec<String> {
    let mut lines = vec!["your own keys, by which others know you".to_owned()];
    lines.extend(own.iter().map(|(name, key)| format!("  {}  '{name}'", key.name())));
    if own.is_empty() {
        lines.push("  none yet: 'peer login' and 'peer call' make one".to_owned());
    }
    lines.push("keys of others".to_owned());
    lines.extend(known.iter().map(|one| {
        let since = time::OffsetDateTime::from(one.since).date();
        format!("  {}  '{}' at {}, since {since}", one.key, one.name, one.server)
    }));
    if known.is_empty() {
        lines.push("  none yet: they are remembered when a call is connected".to_owned());
    }
    lines
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_a_line_and_so_does_none() {
        assert_eq!(lines(&[], &[]).len(), 4);
        let key = Key::from_bytes(&[1; 32]).unwrap();
        let name = key.name();
        let known = KnownKey {
            server: "ws://h".to_owned(),
            name: "bob".to_owned(),
            key,
            since: 86_400,
            ours: false,
        };
        let lines = lines(&[("alice".to_owned(), key)], &[others(&known)]);
        assert_eq!(lines[1], format!("  {name}  'alice'"));
        assert_eq!(lines[3], format!("  {name}  'bob' at ws://h, since 1970-01-02"));
    }
}
