//! The token that proves that a name is ours: from the environment, or asked for on a terminal, never
//! from the command line, which everybody on the machine can read.

use super::output::Output;
use super::{stdin, terminal};
use crate::phone::config::{PhoneConfig, Secret};
use crate::phone::{Events, Phone, PhoneError};

const VARIABLE: &str = "PEER_TOKEN";

/// What the environment holds.
#[must_use]
pub fn from_environment() -> Option<Secret> {
    std::env::var(VARIABLE).ok().filter(|token| !token.is_empty()).map(Secret::new)
}

/// Logs in; asks for the token where the server wants one, we have none, and somebody is there.
///
/// # Errors
/// As [`Phone::login`].
pub async fn log_in(config: PhoneConfig, output: &Output) -> Result<(Phone, Events), PhoneError> {
    let needed = match Phone::login(config.clone()).await {
        Err(error @ PhoneError::TokenNeeded { .. }) => error,
        done => return done,
    };
    match ask(&format!("token of {}: ", config.name), output).await {
        Some(token) => Phone::login(PhoneConfig { token: Some(token), ..config }).await,
        None => Err(needed),
    }
}

/// Asks on the terminal, where there is one; what is typed is not shown.
pub async fn ask(question: &str, output: &Output) -> Option<Secret> {
    if stdin::kind() != stdin::Kind::Terminal || !output.is_live() {
        return None;
    }
    let line = terminal::hidden_line(question, output).await;
    line.filter(|line| !line.is_empty()).map(Secret::new)
}
