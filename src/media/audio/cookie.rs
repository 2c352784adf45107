//! The key that PulseAudio's and PipeWire's clients share.
//!
//! libpulse makes one when there is none; the client that we use does not, and
//! a server turns away whoever comes without one, even where it matters to nobody.

use std::io::Write;
use std::path::{Path, PathBuf};

/// Bytes that both servers insist on.
const LENGTH: usize = 256;

/// Makes a key for this user where there is none. When that fails the server will say why.
pub(super) fn ensure() {
    let Some(home) = std::env::home_dir() else { return };
    let known = [
        std::env::var_os("PULSE_COOKIE").map(PathBuf::from),
        Some(home.join(".config/pulse/cookie")),
        Some(home.join(".pulse-cookie")),
    ];
    if known.into_iter().flatten().any(|path| path.exists()) {
        return;
    }
    if let Err(error) = create(&home.join(".config/pulse/cookie")) {
        tracing::debug!(%error, "no key for the sound server");
    }
}

fn create(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let key: [u8; LENGTH] = std::array::from_fn(|_| rand::random());
    // Whole at once: whoever else looks for it meanwhile must not find half a key.
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(path))?;
    file.write_all(&key)?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        Err(failed) => Err(failed.error),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_the_users_own_and_made_once() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a/b/cookie");
        create(&path).unwrap();
        let key = std::fs::read(&path).unwrap();
        assert_eq!(key.len(), LENGTH);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(create(&path).is_err(), "it is never written over");
    }
}
