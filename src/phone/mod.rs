//! Floor 4: a login and its calls; the one API that every command, example and test uses.
//!
//! Owns the handle to a login. A task in `switch.rs` routes what comes to the call it belongs
//! to; what a call does is decided in `call`, which message is whose in `book.rs`.

pub mod addresses;
pub mod allowed;
pub mod book;
mod callers;
pub mod command;
pub mod config;
pub mod event;
pub mod keyring;
pub mod known;
pub mod missed;
mod place;
mod resume;
mod screening;
mod secret_files;
mod switch;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use crate::media::sink::SinkError;
use crate::media::source::SourceError;
use crate::signaling::client::{Client, ClientOptions, ConnectError};
use command::Command;
use config::PhoneConfig;
use event::Event;
use switch::Switch;

/// What a phone tells, in order. It ends when the phone has stopped.
///
/// The phone never waits for its reader: whoever is [`EVENTS`] events behind misses some.
pub type Events = mpsc::Receiver<Event>;

/// Events that wait for their reader; a call takes about a dozen, and one a second.
pub const EVENTS: usize = 1024;

/// Commands that wait; each takes microseconds.
const COMMANDS: usize = 256;

/// Why a phone could not log in.
#[derive(Debug, thiserror::Error)]
pub enum PhoneError {
    /// No URL of a server that we can use.
    #[error("'{url}' is not a server address: {reason}")]
    BadServer {
        /// As given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The server is not there, or not a signaling server.
    #[error("cannot log in at {url}: {reason}")]
    Unreachable {
        /// Its URL.
        url: String,
        /// From the network.
        reason: String,
        /// The address is one of this machine, where no server listens: it can be started.
        not_running_here: bool,
    },
    /// Something is there, and it does not let us log in.
    #[error("cannot log in at {url}: {reason}")]
    Unsuitable {
        /// Its URL.
        url: String,
        /// What it is, or says.
        reason: String,
    },
    /// The server may be another than the one that was asked for.
    #[error("cannot log in at {url}: {reason}")]
    Untrusted {
        /// Its URL.
        url: String,
        /// What is wrong with its certificate, and what to do.
        reason: String,
    },
    /// The file that says whom to trust is no good.
    #[error("cannot take certificates from {}: {reason}", .path.display())]
    BadCa {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Somebody else has the name.
    #[error("the name '{name}' is taken")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// Names have tokens on this server, and there was none.
    #[error("this server requires a token for '{name}'")]
    TokenNeeded {
        /// The name.
        name: String,
    },
    /// The token is not that of the name, or nobody may have the name.
    #[error("wrong token for '{name}'")]
    WrongToken {
        /// The name.
        name: String,
    },
    /// The server has had too many logins from here, or wrong tokens for this name.
    #[error("too many tries at {url}; wait a minute")]
    TooManyTries {
        /// Its URL.
        url: String,
    },
    /// Nobody can have this name.
    #[error("'{name}' cannot be a name: {reason}")]
    BadName {
        /// As given.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// What should be sent cannot be opened.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// What should be shown, played or recorded cannot be.
    #[error(transparent)]
    Sink(#[from] SinkError),
}

/// A login. Clones are the same login; when the last one is dropped it hangs up and logs out in
/// the background.
#[derive(Debug, Clone)]
pub struct Phone {
    commands: mpsc::Sender<Command>,
    /// Changes to `true`, or loses its sender, when the phone has stopped.
    stopped: watch::Receiver<bool>,
}

impl Phone {
    /// Tries the sources, connects to the server and logs in. The first event is
    /// [`event::EventKind::LoggedIn`].
    ///
    /// # Errors
    /// When a source cannot be opened, or the login fails; nothing goes on then.
    pub async fn login(config: PhoneConfig) -> Result<(Self, Events), PhoneError> {
        try_sources(&config).await?;
        let resume = config.keyring.as_ref().and_then(|keyring| {
            let resume = keyring.resume(&config.server, &config.name);
            let note = |error| tracing::warn!(%error, "a crash would cost the name for a minute");
            resume.map_err(note).ok().flatten()
        });
        let options = ClientOptions {
            trust: config.network.trust.clone(),
            token: config.token.clone(),
            resume: resume.as_ref().and_then(|resume| resume.last.clone()),
            ..ClientOptions::default()
        };
        let connected = Client::connect_with(&config.server, &config.name, options).await;
        let (client, from_server) = connected.map_err(PhoneError::from)?;
        let (commands, to_do) = mpsc::channel(COMMANDS);
        let (events, heard) = mpsc::channel(EVENTS);
        let (stop, stopped) = watch::channel(false);
        let switch = Switch::new(config, client, resume, events);
        tokio::spawn(async move {
            switch.run(to_do, from_server).await;
            let _ = stop.send(true);
        });
        Ok((Self { commands, stopped }, heard))
    }

    /// Tells the phone to do something; what comes of it are events. Never waits.
    pub fn tell(&self, command: Command) {
        if let Err(mpsc::error::TrySendError::Full(command)) = self.commands.try_send(command) {
            tracing::warn!(?command, "the phone is flooded with commands; one is dropped");
        }
    }

    /// Hangs up, logs out, and waits until everything that was started has stopped.
    pub async fn close(self) {
        let Self { commands, mut stopped } = self;
        // Both fail only when it has stopped by itself.
        let _ = commands.send(Command::Quit).await;
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }
}

/// Finds out before the login whether there is something to send; each call opens its own.
async fn try_sources(config: &PhoneConfig) -> Result<(), SourceError> {
    let open = Arc::clone(&config.sources);
    let tried = tokio::task::spawn_blocking(move || open().map(drop)).await;
    tried.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

impl From<ConnectError> for PhoneError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::BadUrl { url, reason } => Self::BadServer { url, reason },
            ConnectError::BadName { name, reason } => {
                Self::BadName { name, reason: reason.to_string() }
            }
            ConnectError::NameTaken { name } => Self::NameTaken { name },
            ConnectError::Untrusted { url, reason } => Self::Untrusted { url, reason },
            ConnectError::BadCa { path, reason } => Self::BadCa { path, reason },
            ConnectError::TokenNeeded { name } => Self::TokenNeeded { name },
            ConnectError::WrongToken { name } => Self::WrongToken { name },
            ConnectError::TooManyTries { url } => Self::TooManyTries { url },
            ConnectError::Unreachable { url, reason, not_running_here } => {
                Self::Unreachable { url, reason, not_running_here }
            }
            ConnectError::Refused { url, reason } | ConnectError::Unsuitable { url, reason } => {
                Self::Unsuitable { url, reason }
            }
            ConnectError::Timeout { url, after } => {
                let reason = format!("it did not answer the login within {} s", after.as_secs());
                Self::Unsuitable { url, reason }
            }
        }
    }
}
