//! What the last login left behind: a server and a name for `peer call`, and whom it was about.
//!
//! Owns one small file in the user's state folder, which people do not write: what they do is in
//! `settings_file.rs`. Which of both wins is decided in `settings.rs`.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use etcetera::BaseStrategy;
use serde::{Deserialize, Serialize};

use super::values;

/// The server when nobody says and nothing is remembered.
pub const DEFAULT_SERVER: &str = "ws://localhost:9090";

/// More than a URL and some names need; a longer file is not ours.
const MOST_BYTES: u64 = 64 * 1024;

/// What is known of the last login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// The signaling server's URL.
    pub server: String,
    /// The name on it.
    pub name: String,
    /// Whom we called and who called us, the latest first.
    #[serde(default)]
    pub people: Vec<String>,
}

impl Remembered {
    /// Nobody has called yet.
    #[must_use]
    pub fn of(server: &str, name: &str) -> Self {
        Self { server: server.to_owned(), name: name.to_owned(), people: Vec::new() }
    }
}

/// Where it is kept: `peer/last.json` in the state folder (XDG_STATE_HOME, else ~/.local/state).
///
/// `None` when this user has no home.
#[must_use]
pub fn path() -> Option<PathBuf> {
    Some(folder()?.join("last.json"))
}

/// Where the lines typed at the prompt are kept, beside it.
#[must_use]
pub fn history() -> Option<PathBuf> {
    Some(folder()?.join("history"))
}

fn folder() -> Option<PathBuf> {
    let base = etcetera::choose_base_strategy().ok()?;
    let folder = base.state_dir().unwrap_or_else(|| base.data_dir());
    Some(folder.join("peer"))
}

/// Reads the file; `None` when there is none yet.
///
/// # Errors
/// When it is there, but cannot be read or is not what we wrote.
pub fn load(path: &Path) -> anyhow::Result<Option<Remembered>> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let mut text = String::new();
    file.take(MOST_BYTES)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read {}", path.display()))?;
    let broken = || format!("{} is not what peer wrote", path.display());
    let remembered: Remembered = serde_json::from_str(&text).with_context(broken)?;
    values::name(&remembered.name).map_err(anyhow::Error::msg).with_context(broken)?;
    values::server_url(&remembered.server).map_err(anyhow::Error::msg).with_context(broken)?;
    Ok(Some(remembered))
}

/// Replaces the file in one step, readable by this user only.
///
/// # Errors
/// When the folder or the file cannot be written.
pub fn save(path: &Path, remembered: &Remembered) -> anyhow::Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    let folder = path.parent().with_context(cannot)?;
    private_folder(folder).with_context(cannot)?;
    // A temporary file is made with mode 0600 and renamed: nobody sees half of it.
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(cannot)?;
    let mut text = serde_json::to_vec(remembered).with_context(cannot)?;
    text.push(b'\n');
    file.write_all(&text).with_context(cannot)?;
    file.as_file().sync_all().with_context(cannot)?;
    file.persist(path).with_context(cannot)?;
    Ok(())
}

fn private_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}

/// The name of the user at the operating system, where it can be a name on a server.
#[must_use]
pub fn os_user() -> Option<String> {
    #[cfg(unix)]
    let name = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten()?.name;
    #[cfg(not(unix))]
    let name = std::env::var("USERNAME").ok()?;
    values::name(&name).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn alice() -> Remembered {
        let people = vec!["bob".into()];
        Remembered { people, ..Remembered::of("ws://localhost:9090", "alice") }
    }

    #[test]
    fn what_was_saved_is_loaded_and_private() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("state/peer/last.json");
        assert_eq!(load(&path).unwrap(), None);
        save(&path, &alice()).unwrap();
        assert_eq!(load(&path).unwrap(), Some(alice()));
        let bob = Remembered { name: "bob".into(), ..alice() };
        save(&path, &bob).unwrap();
        assert_eq!(load(&path).unwrap(), Some(bob));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_broken_file_is_an_error_that_names_it() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("last.json");
        let long = "x".repeat(80_000);
        for text in [
            "",
            "{",
            "[]",
            r#"{"server":"ws://h"}"#,
            r#"{"server":"http://h","name":"a"}"#,
            r#"{"server":"ws://h","name":"\u001b[2J"}"#,
            &long,
        ] {
            std::fs::write(&path, text).unwrap();
            let error = load(&path).unwrap_err();
            assert!(error.to_string().contains("last.json"), "{error}");
        }
        assert!(load(home.path()).is_err(), "a folder");
    }
}
