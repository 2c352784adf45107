//! From flags to a phone's configuration: who we are, where, with which media.
//!
//! It opens nothing; the configuration's closures do, when the phone calls them. In which order
//! flags, environment and files count is decided in `settings.rs`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::exit::Failure;
use super::media_args::MediaArgs;
use super::network_args::NetworkArgs;
use super::output::Output;
use super::remembered::{self, DEFAULT_SERVER, Remembered};
use super::settings::Settings;
use super::stage::Stage;
use crate::key::SigningKey;
use crate::media::audio::echo::EchoReference;
use crate::media::sink::SinkOptions;
use crate::media::source::VideoSourceSpec;
use crate::media::{sink, source};
use crate::phone::PhoneError;
use crate::phone::config::{CallOptions, PhoneConfig, Secret};
use crate::phone::keyring::{Keyring, KeyringError};
use crate::system;

/// Server and name to log in with.
#[derive(Debug, PartialEq, Eq)]
pub struct Identity {
    /// The signaling server's URL.
    pub server: String,
    /// Our name on it.
    pub name: String,
}

impl Identity {
    /// `server` and `name` as the flags and what is remembered under them say, else the default.
    ///
    /// # Errors
    /// [`Failure::NoName`] when there is no name at all.
    pub fn choose(
        server: Option<String>,
        name: Option<String>,
        os_user: fn() -> Option<String>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            server: server.unwrap_or_else(|| DEFAULT_SERVER.to_owned()),
            name: name.or_else(os_user).ok_or(Failure::NoName)?,
        })
    }
}

/// What the last login left behind; a broken file is worth a warning, no more.
#[must_use]
pub fn recall(output: &Output) -> Option<Remembered> {
    let path = remembered::path()?;
    remembered::load(&path).unwrap_or_else(|error| {
        let why = system::without_number(&format!("{error:#}"));
        output.warn(&format!("the last login is ignored: {why}"));
        None
    })
}

/// Leaves a login for the next command; when that fails, the login is good all the same.
pub fn remember(last: &Remembered, output: &Output) {
    let Some(path) = remembered::path() else { return };
    if let Err(error) = remembered::save(&path, last) {
        let why = system::without_number(&format!("{error:#}"));
        output.warn(&format!("the login is not remembered: {why}"));
    }
}

/// What comes from the last login, and nobody has named this time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recalled {
    /// The server.
    pub server: Option<String>,
    /// Our own name.
    pub name: Option<String>,
}

impl Recalled {
    /// Of these settings, for this login.
    #[must_use]
    pub fn of(settings: &Settings, identity: &Identity) -> Self {
        Self {
            server: settings.recalls("server").then(|| identity.server.clone()),
            name: settings.recalls("name").then(|| identity.name.clone()),
        }
    }

    /// Says so; `rename` names us otherwise.
    #[must_use]
    pub fn words(&self, rename: &str) -> Option<String> {
        const BACK: &str =
            "--server names another (ws://localhost:9090 is the one on this machine)";
        match (&self.server, &self.name) {
            (Some(server), Some(name)) => Some(format!(
                "on {server} as '{name}' (both from your last login); {BACK}, {rename} another name"
            )),
            (Some(server), None) => {
                Some(format!("on {server}, the server of your last login; {BACK}"))
            }
            (None, Some(name)) => {
                Some(format!("as '{name}' (from your last login); {rename} names you otherwise"))
            }
            (None, None) => None,
        }
    }

    /// A login that failed.
    #[must_use]
    pub fn failed(&self, error: PhoneError) -> Failure {
        match &self.server {
            Some(server) => Failure::Recalled { error, server: server.clone() },
            None => Failure::Phone(error),
        }
    }
}

/// Everything that the phone needs to know. Whether a recording can be written is found out here,
/// before anybody is called, and that neither it nor the file of `stats` is one that is read; the first
/// call writes to the file as named, later ones beside it.
///
/// # Errors
/// When this build has no such sink, or a recording cannot be written.
pub fn phone_config(
    identity: Identity,
    media: &MediaArgs,
    network: &NetworkArgs,
    call: CallOptions,
    stage: &Stage,
    (token, stats): (Option<Secret>, Option<&Path>),
) -> Result<PhoneConfig, Failure> {
    let keyring = keyring();
    let key = keyring.as_ref().map(|keyring| own_key(keyring, &identity.name)).transpose()?;
    let echo = EchoReference::default();
    let (media_options, sink_options) = (media.media_options(&echo), media.sink_options(&echo));
    let inputs = media_options.inputs();
    sink::check(&sink_options, &inputs, stats).map_err(PhoneError::from)?;
    // The words of a screen are read as they are.
    let mirrored = !matches!(media_options.video, VideoSourceSpec::Screen(_));
    // Recordings that are begun in a call count as well: no two have the same name.
    let (numbers, panes) = (Arc::new(AtomicU32::new(0)), stage.panes(mirrored));
    let next = move || numbers.fetch_add(1, Ordering::Relaxed) + 1;
    Ok(PhoneConfig {
        server: identity.server,
        name: identity.name,
        token,
        key: key.flatten(),
        keyring,
        sources: Arc::new(move || source::open(&media_options)),
        sinks: Arc::new(move || {
            let mut sinks = sink::open(&for_next_call(&sink_options, &next))?;
            sinks.open_recorder = sink::recorder_for(sink_options.record.clone(), next.clone());
            panes(&mut sinks);
            Ok(sinks)
        }),
        network: network.network_options(),
        call,
        wire: None,
    })
}

/// Where keys are kept: beside the last login. `None` when this user has no home.
#[must_use]
pub fn keyring() -> Option<Keyring> {
    let last = remembered::path()?;
    last.parent().map(Keyring::at)
}

/// Our key. Where none can be written a call is possible all the same; a bad one would look like
/// somebody else to those who know the good one. What is known of others must be readable, too.
fn own_key(keyring: &Keyring, name: &str) -> Result<Option<Arc<SigningKey>>, Failure> {
    keyring.known()?;
    match keyring.own(name) {
        Ok(key) => Ok(Some(Arc::new(key))),
        Err(error @ KeyringError::Io { .. }) => {
            tracing::warn!(%error, "there is no key to be known by");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Later calls take the next names that are free: a recording of an earlier login is worth as much as
/// one of this.
fn for_next_call(options: &SinkOptions, next: &impl Fn() -> u32) -> SinkOptions {
    loop {
        let number = next();
        let these = options.for_call(number);
        let taken =
            [&these.record, &these.record_local].into_iter().flatten().any(|at| at.exists());
        if number <= 1 || !taken {
            return these;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn later_recordings_write_over_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| Some(folder.path().join(name));
        std::fs::write(folder.path().join("call.mkv"), "named").unwrap();
        std::fs::write(folder.path().join("call-2.mkv"), "old").unwrap();
        let options = SinkOptions { record: at("call.mkv"), ..SinkOptions::default() };
        let count = std::cell::Cell::new(0);
        let next = || {
            count.set(count.get() + 1);
            count.get()
        };
        assert_eq!(for_next_call(&options, &next).record, at("call.mkv"), "as it was named");
        assert_eq!(for_next_call(&options, &next).record, at("call-3.mkv"));
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    fn identity(server: &str, name: &str) -> Identity {
        Identity { server: server.into(), name: name.into() }
    }

    #[test]
    fn what_comes_from_the_last_login_is_said_with_the_way_back() {
        let both = Recalled { server: some("ws://h"), name: some("nobody") };
        let said = both.words("--as").unwrap();
        for words in ["ws://h", "as 'nobody'", "from your last login", "--server", "--as"] {
            assert!(said.contains(words), "{words}: {said}");
        }
        let name = Recalled { server: None, ..both.clone() }.words("--as").unwrap();
        assert!(name.starts_with("as 'nobody' (from your last login)"), "{name}");
        let server = Recalled { name: None, ..both }.words("--as").unwrap();
        assert!(server.contains("the server of your last login"), "{server}");
        assert_eq!(Recalled::default().words("--as"), None);
    }

    #[test]
    fn what_is_said_wins_over_the_default() {
        let choose = Identity::choose;
        assert_eq!(
            choose(some("ws://said"), some("said"), || some("root")).unwrap(),
            identity("ws://said", "said")
        );
        assert_eq!(choose(None, None, || some("root")).unwrap(), identity(DEFAULT_SERVER, "root"));
        assert!(matches!(choose(None, None, || None), Err(Failure::NoName)));
    }
}
