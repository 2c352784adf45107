//! The status that stands over the line being typed: where we are, the call, what was missed.
//!
//! Pure: events in, a line out. How the call goes is said by `status.rs`.

use super::status::{Cadence, Status};
use crate::phone::event::{Event, EventKind};

/// One login's status.
#[derive(Debug)]
pub struct Bar {
    call: Status,
    login: String,
    doing: Option<String>,
    /// The call that it is about; an older one may end while a new one rings.
    about: Option<u64>,
    missed: usize,
}

impl Bar {
    /// Before the login.
    #[must_use]
    pub fn new() -> Self {
        Self {
            call: Status::new(Cadence::Live),
            login: String::new(),
            doing: None,
            about: None,
            missed: 0,
        }
    }

    /// Takes an event; says the line as it is then.
    pub fn handle(&mut self, event: &Event) -> String {
        let peer = event.peer.as_deref().unwrap_or("the other side");
        let numbers = self.call.handle(event);
        if matches!(event.kind, EventKind::Calling | EventKind::Incoming) {
            self.about = event.call;
        }
        match &event.kind {
            EventKind::LoggedIn { name, server, .. } => {
                self.login = format!("'{name}' at {server}")
            }
            EventKind::Reconnecting { .. } => "the server is gone".clone_into(&mut self.login),
            EventKind::Calling => self.doing = Some(format!("calling '{peer}'")),
            EventKind::Incoming => {
                self.doing = Some(format!("'{peer}' is calling: answer or reject?"));
            }
            EventKind::Accepted => self.doing = Some(format!("connecting to '{peer}'")),
            EventKind::Connected { .. } => self.doing = Some(format!("connected to '{peer}'")),
            EventKind::Stats(_) => self.doing = numbers.or_else(|| self.doing.take()),
            EventKind::Ended { .. } if self.about == event.call => self.doing = None,
            EventKind::Ended { .. } => {}
            EventKind::Missed { .. } if event.call.is_some() => self.missed += 1,
            // Whoever has asked has seen them.
            EventKind::Missed { .. } => self.missed = 0,
            EventKind::Connecting { .. }
            | EventKind::SafetyWords { .. }
            | EventKind::KeyChanged { .. }
            | EventKind::RecordingStarted { .. }
            | EventKind::RecordingStopped { .. }
            | EventKind::FirstVideoFrame { .. }
            | EventKind::FirstAudio { .. }
            | EventKind::VideoPaused { .. }
            | EventKind::VideoResumed { .. }
            | EventKind::Error { .. } => {}
        }
        self.line()
    }

    fn line(&self) -> String {
        let doing = self.doing.clone().unwrap_or_else(|| format!("{}  no call", self.login));
        match self.missed {
            0 => format!("[{doing}]"),
            1 => format!("[1 missed call  {doing}]"),
            more => format!("[{more} missed calls  {doing}]"),
        }
    }
}

impl Default for Bar {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::phone::event::EndReason;

    fn event(kind: EventKind, seconds: u64) -> Event {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        Event { kind, time, call: Some(1), peer: Some("bob".into()) }
    }

    #[test]
    fn it_tells_the_life_of_a_login() {
        let mut bar = Bar::new();
        let login =
            EventKind::LoggedIn { name: "alice".into(), server: "ws://h".into(), tokens: true };
        assert_eq!(bar.handle(&event(login, 0)), "['alice' at ws://h  no call]");
        let ringing = "['bob' is calling: answer or reject?]";
        assert_eq!(bar.handle(&event(EventKind::Incoming, 1)), ringing);
        bar.handle(&event(EventKind::Accepted, 2));
        let connected =
            bar.handle(&event(EventKind::Connected { setup_ms: 5, safety_words: None }, 2));
        assert_eq!(connected, "[connected to 'bob']");
        bar.handle(&event(EventKind::Stats(Box::default()), 3));
        let numbers = bar.handle(&event(EventKind::Stats(Box::default()), 4));
        assert!(numbers.starts_with("[connected to 'bob' 2s  no picture  0 kbit/s"), "{numbers}");
        let ended =
            EventKind::Ended { reason: EndReason::Hangup, because: None, summary: Box::default() };
        assert_eq!(bar.handle(&event(ended, 5)), "['alice' at ws://h  no call]");
        let gone = bar.handle(&event(EventKind::Reconnecting { retry_ms: 1 }, 6));
        assert_eq!(gone, "[the server is gone  no call]");
    }

    #[test]
    fn missed_calls_are_counted_until_somebody_looks() {
        let mut bar = Bar::new();
        let missed = |call| Event { call, ..event(EventKind::Missed { calls: vec![] }, 1) };
        assert!(bar.handle(&missed(Some(1))).starts_with("[1 missed call  "));
        assert!(bar.handle(&missed(Some(2))).starts_with("[2 missed calls  "));
        assert!(!bar.handle(&missed(None)).contains("missed"));
    }
}
