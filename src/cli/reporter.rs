//! Shows the events of a phone: JSON, prose, status line, `--stats` file.
//!
//! Routes each event to where it belongs; what it looks like is decided in
//! `format.rs` and `status.rs`, how it is printed in `output.rs`.

use std::time::{Duration, SystemTime};

use super::bar::Bar;
use super::format;
use super::marks::Marks;
use super::output::Output;
use super::stats_file::StatsFile;
use super::status::{Cadence, Status};
use crate::phone::command::Command;
use crate::phone::event::{Event, EventKind};

/// Shows one phone's events.
pub struct Reporter {
    output: Output,
    status: Status,
    marks: Marks,
    stats_file: Option<StatsFile>,
    asks: bool,
    /// The call that rings here and has not been answered.
    ringing: Option<u64>,
    /// The status over the line that somebody edits.
    bar: Option<Bar>,
    bell: Option<Bell>,
}

/// Rings for calls, but not for each of a flood.
#[derive(Default)]
struct Bell {
    rang: Option<SystemTime>,
}

const BETWEEN_RINGS: Duration = Duration::from_secs(2);

/// Whether the end of a call gets its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It is news like any other.
    Told,
    /// The command ends with it as its error.
    LeftToTheError,
}

impl Reporter {
    /// `prompted`: a person types below, so the last line is not ours to overwrite.
    /// `asks`: whoever reads this is asked whether to answer a call.
    #[must_use]
    pub fn new(output: Output, stats_file: Option<StatsFile>, prompted: bool, asks: bool) -> Self {
        let cadence = match (prompted, output.is_live()) {
            (true, _) => Cadence::Asked,
            (false, true) => Cadence::Live,
            (false, false) => Cadence::Sparse,
        };
        let (status, marks) = (Status::new(cadence), Marks::default());
        Self { output, status, marks, stats_file, asks, ringing: None, bar: None, bell: None }
    }

    /// The phone is told this.
    pub fn told(&mut self, command: &Command) {
        self.marks.told(command);
    }

    /// With a status over the line that somebody edits.
    pub fn show_bar(&mut self) {
        self.bar = Some(Bar::new());
    }

    /// With a bell when somebody calls.
    pub fn ring_bell(&mut self) {
        self.bell = Some(Bell::default());
    }

    /// Shows one event.
    pub fn show(&mut self, event: &Event, ending: Ending) {
        self.output.json(event);
        self.keep(event);
        self.marks.handle(event);
        if let Some(bar) = &mut self.bar {
            let line = bar.handle(event);
            self.output.status_above(&format!("{}{line}", self.marks.words()));
        }
        if self.bell.as_mut().is_some_and(|bell| bell.rings(event)) {
            self.output.bell();
        }
        match &event.kind {
            EventKind::Incoming => self.ringing = event.call,
            EventKind::Accepted if self.ringing == event.call => self.ringing = None,
            _ => {}
        }
        if let Some(line) = self.status.handle(event) {
            self.say_status(&format!("{}{line}", self.marks.words()));
        }
        match &event.kind {
            EventKind::Ended { summary, reason, .. } => {
                self.output.clear_status();
                let rang = self.ringing.take_if(|ringing| Some(*ringing) == event.call).is_some();
                match format::unanswered(*reason, event).filter(|_| rang) {
                    Some(line) => self.output.say(&line),
                    None if ending == Ending::Told => self.say(event),
                    None => {}
                }
                let lines = format::summary(summary);
                if !lines.is_empty() {
                    self.output.say(&lines.join("\n"));
                }
            }
            EventKind::Error { message, .. } => self.output.error(message, None),
            _ => self.say(event),
        }
    }

    /// The person wants to know how the call goes.
    pub fn ask_status(&mut self) {
        if self.status.in_call() {
            self.status.ask();
        } else {
            self.output.say("no call is connected");
        }
    }

    fn say(&self, event: &Event) {
        if let Some(line) = format::event(event, self.asks) {
            self.output.say(&line);
        }
    }

    fn say_status(&self, line: &str) {
        if self.status.is_overwritten() {
            self.output.status(line);
        } else {
            self.output.say(line);
        }
    }

    fn keep(&mut self, event: &Event) {
        if let Some(file) = &mut self.stats_file
            && let Err(message) = file.write(event)
        {
            self.output.error(&message, None);
        }
    }
}

impl Bell {
    fn rings(&mut self, event: &Event) -> bool {
        let lately = self.rang.is_some_and(|rang| {
            // A wall clock that was set back tells nothing.
            event.time.duration_since(rang).is_ok_and(|since| since < BETWEEN_RINGS)
        });
        let rings = matches!(event.kind, EventKind::Incoming) && !lately;
        if rings {
            self.rang = Some(event.time);
        }
        rings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_calls_does_not_ring_all_the_time() {
        let event = |kind: EventKind, ms| Event {
            kind,
            time: SystemTime::UNIX_EPOCH + Duration::from_millis(ms),
            call: Some(1),
            peer: None,
        };
        let mut bell = Bell::default();
        assert!(!bell.rings(&event(EventKind::Calling, 0)));
        assert!(bell.rings(&event(EventKind::Incoming, 0)));
        assert!(!bell.rings(&event(EventKind::Incoming, 1999)));
        assert!(bell.rings(&event(EventKind::Incoming, 2000)));
    }
}
