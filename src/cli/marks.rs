//! What is switched off, and on, in a call: the first words of its line. Pure.

use std::path::Path;

use crate::media::sink::window::WindowKey;
use crate::phone::command::Command;
use crate::phone::event::{Event, EventKind};

/// The switches of the current call.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Marks {
    muted: bool,
    dark: bool,
    /// The file that is recorded to.
    recording: Option<String>,
    in_call: bool,
    /// Which; an older one may end while a new one rings.
    call: Option<u64>,
}

impl Marks {
    /// The phone is told this, by a key or by a word.
    pub fn told(&mut self, command: &Command) {
        match command {
            Command::Mute(muted) => self.muted = *muted,
            Command::Video(on) => self.dark = !on,
            // Whether it is recorded is known once the file is there.
            _ => {}
        }
    }

    /// This has happened.
    pub fn handle(&mut self, event: &Event) {
        match &event.kind {
            EventKind::Calling | EventKind::Incoming => {
                (self.in_call, self.call) = (true, event.call);
            }
            EventKind::Ended { .. } if self.call == event.call => *self = Self::default(),
            // What was told went nowhere.
            EventKind::Error { code, .. } if code == "no-call" && !self.in_call => {
                *self = Self::default();
            }
            EventKind::RecordingStarted { path } => self.recording = Some(path.clone()),
            EventKind::RecordingStopped { path, .. } if self.recording.as_ref() == Some(path) => {
                self.recording = None;
            }
            _ => {}
        }
    }

    /// What a key asks for: the other position of its switch.
    #[must_use]
    pub fn other(&self, key: WindowKey) -> Command {
        match key {
            WindowKey::Mute => Command::Mute(!self.muted),
            WindowKey::Video => Command::Video(self.dark),
            WindowKey::Record => Command::Record(self.recording.is_none()),
            WindowKey::Trust => Command::Trust,
            WindowKey::Numbers | WindowKey::Keys => Command::Status,
            WindowKey::HangUp => Command::Hangup,
        }
    }

    /// Whether the other side is recorded.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        self.recording.is_some()
    }

    /// What stands before the line that says how the call goes.
    #[must_use]
    pub fn words(&self) -> String {
        let mut words = String::new();
        if self.muted {
            words.push_str("MUTED  ");
        }
        if self.dark {
            words.push_str("VIDEO OFF  ");
        }
        if let Some(path) = &self.recording {
            let name = Path::new(path).file_name().unwrap_or_default().to_string_lossy();
            words.push_str(&format!("REC {name}  "));
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phone::event::EndReason;

    fn event(kind: EventKind) -> Event {
        Event { kind, time: crate::clock::wall(), call: Some(1), peer: None }
    }

    fn recording(path: &str) -> Event {
        event(EventKind::RecordingStarted { path: path.to_owned() })
    }

    fn recorded(path: &str) -> Event {
        event(EventKind::RecordingStopped { path: path.to_owned(), empty: false, reason: None })
    }

    #[test]
    fn switches_are_shown_and_turned_whoever_turned_them_last() {
        let mut marks = Marks::default();
        marks.handle(&event(EventKind::Calling));
        // By a word at the prompt, and then by the key.
        marks.told(&Command::Mute(true));
        marks.told(&Command::Video(false));
        assert_eq!(marks.words(), "MUTED  VIDEO OFF  ");
        assert_eq!(marks.other(WindowKey::Mute), Command::Mute(false));
        assert_eq!(marks.other(WindowKey::Video), Command::Video(true));
        let reason = EndReason::Hangup;
        marks.handle(&event(EventKind::Ended { reason, because: None, summary: Box::default() }));
        assert_eq!(marks, Marks::default(), "the next call begins anew");
    }

    #[test]
    fn a_recording_is_one_when_its_file_is_there() {
        let mut marks = Marks::default();
        let command = marks.other(WindowKey::Record);
        marks.told(&command);
        assert_eq!((command, marks.is_recording()), (Command::Record(true), false));
        marks.handle(&recording("/home/bob/call.mkv"));
        assert_eq!(marks.words(), "REC call.mkv  ");
        assert_eq!(marks.other(WindowKey::Record), Command::Record(false));
        marks.handle(&recording("/home/bob/call-2.mkv"));
        marks.handle(&recorded("/home/bob/call.mkv"));
        assert!(marks.is_recording(), "the one before took its time");
        marks.handle(&recorded("/home/bob/call-2.mkv"));
        assert!(!marks.is_recording());
    }

    #[test]
    fn what_was_told_without_a_call_is_not_shown_in_the_next() {
        let refused = || {
            let (code, message) = ("no-call".to_owned(), String::new());
            event(EventKind::Error { code, message })
        };
        let mut marks = Marks::default();
        marks.told(&Command::Mute(true));
        marks.handle(&refused());
        assert_eq!(marks.words(), "");
        marks.handle(&event(EventKind::Incoming));
        marks.told(&Command::Mute(true));
        marks.handle(&refused());
        assert_eq!(marks.words(), "MUTED  ");
    }
}
