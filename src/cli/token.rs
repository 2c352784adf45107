//! Asks for the token that proves that a name is ours, on a terminal. Where it is remembered, or in the
//! environment, `settings.rs` has it; never the command line, which everybody on the machine can read.

use super::output::Output;
use super::{stdin, terminal};
use crate::phone::config::{PhoneConfig, Secret};
use crate::phone::{Events, Phone, PhoneError};

/// Logs in; asks for the token where the server wants one, we have none, and somebody is there.
///
/// # Errors
/// As [`Phone::login`].
pub async fn log_in(config: PhoneConfig, output: &Output) -> Result<(Phone, Events), PhoneError> {
    let needed = match Phone::login(config.clone()).await {
        Err(error @ PhoneError::TokenNeeded { .. }) => error,
        done => return done,
    };
    match ask(&format!("token of '{}': ", config.name), output).await {
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
