//! What the library refuses, in words for people; its own go to the log.

/// Why the connection could not do what it was told.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {reason}")]
pub struct ConnectionError {
    /// What was being done.
    pub step: &'static str,
    /// What the library said; never contains packets or passwords.
    pub reason: String,
}

impl ConnectionError {
    pub(super) fn at(step: &'static str) -> impl Fn(webrtc::error::Error) -> Self {
        move |error| Self { step, reason: in_words(step, &error) }
    }
}

/// The library's words are for those who work on it, so that they go to the log.
fn in_words(step: &str, error: &webrtc::error::Error) -> String {
    let text = error.to_string();
    tracing::info!(step, reason = text, "the library refused");
    if text.contains("no TURN/TURNS servers are available") {
        return "only relayed paths are allowed, and there is no TURN server".to_owned();
    }
    match step {
        TAKING_ANSWER | ANSWERING => "their session description cannot be used".to_owned(),
        OPENING => "no socket can be opened; check --bind and the network".to_owned(),
        _ => "that is not possible at the moment".to_owned(),
    }
}

pub(super) const ANSWERING: &str = "answering their offer";
pub(super) const TAKING_ANSWER: &str = "taking their answer";
pub(super) const OPENING: &str = "opening media sockets";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_library_says_reaches_nobody() {
        let error = || webrtc::error::Error::Other("ErrOfTheirs".to_owned());
        for step in [ANSWERING, TAKING_ANSWER, OPENING, "making an offer"] {
            let said = ConnectionError::at(step)(error()).to_string();
            assert!(said.starts_with(step) && !said.contains("ErrOfTheirs"), "{said}");
        }
    }
}
