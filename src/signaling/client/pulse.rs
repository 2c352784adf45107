//! Whether the server still lives: when to ask it, and when its silence means that it is gone. Pure.
//!
//! A connection whose other end has vanished says nothing, as one on which nobody has anything to
//! say. While a call hangs on it that is found out within five seconds; else with as few pings as
//! keep ten thousand idle logins cheap.

use std::time::{Duration, Instant};

use super::ClientOptions;

/// While a call rings or runs: the server is asked after so long a silence,
const ATTENTIVE: Duration = Duration::from_millis(1_500);
/// and has so long to answer, in which a lost ping is repeated a few times.
const ANSWER: Duration = Duration::from_secs(3);

/// What there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beat {
    /// Ask the server for a sign of life.
    Ping,
    /// It has given none.
    Dead,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Pulse {
    idle: (Duration, Duration),
    attentive: bool,
    /// When it was heard last, and when it was asked since.
    heard_at: Instant,
    asked_at: Option<Instant>,
}

impl Pulse {
    /// Of a connection on which something was just heard.
    pub(super) fn new(now: Instant, options: &ClientOptions) -> Self {
        let idle = (options.ping_every, options.patience.min(options.ping_every));
        Self { idle, attentive: false, heard_at: now, asked_at: None }
    }

    /// Whether something hangs on the server, so that its end must not go unnoticed.
    pub(super) fn attend(&mut self, attentive: bool) {
        self.attentive = attentive;
    }

    /// Something came from the server.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard_at = now;
        self.asked_at = None;
    }

    /// Something else makes it doubtful whether the server is still there: it is asked at once, unless
    /// that has been done.
    pub(super) fn doubt(&mut self, now: Instant) -> Option<Beat> {
        self.asked_at.is_none().then(|| self.ask(now))
    }

    /// When [`Pulse::beat`] is to be called.
    pub(super) fn deadline(&self) -> Instant {
        let (every, patience) = match self.attentive {
            true => (ATTENTIVE.min(self.idle.0), ANSWER.min(self.idle.1)),
            false => self.idle,
        };
        match self.asked_at {
            Some(at) => at + patience,
            None => self.heard_at + every,
        }
    }

    /// What is due by now.
    pub(super) fn beat(&mut self, now: Instant) -> Option<Beat> {
        if now < self.deadline() {
            return None;
        }
        Some(match self.asked_at {
            Some(_) => Beat::Dead,
            None => self.ask(now),
        })
    }

    fn ask(&mut self, now: Instant) -> Beat {
        self.asked_at = Some(now);
        Beat::Ping
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const SECOND: Duration = Duration::from_secs(1);

    /// When what is due comes, in time after the start, until the end of the server or of a minute in
    /// which it answers each ping at once, or none.
    fn beats(attentive: bool, answers: bool) -> Vec<(Duration, Beat)> {
        let start = clock::now();
        let mut pulse = Pulse::new(start, &ClientOptions::default());
        pulse.attend(attentive);
        let mut beats = Vec::new();
        loop {
            let now = pulse.deadline();
            if now > start + 60 * SECOND {
                return beats;
            }
            let beat = pulse.beat(now);
            beats.extend(beat.map(|beat| (now - start, beat)));
            match beat {
                Some(Beat::Ping) if answers => pulse.heard(now),
                Some(Beat::Dead) => return beats,
                _ => {}
            }
        }
    }

    #[test]
    fn a_silent_end_is_noticed_within_five_seconds_while_a_call_hangs_on_it() {
        let [(_, Beat::Ping), (after, Beat::Dead)] = beats(true, false)[..] else { panic!() };
        assert!(after <= 5 * SECOND, "{after:?}");
        assert_eq!(beats(false, false), [(15 * SECOND, Beat::Ping), (19 * SECOND, Beat::Dead)]);
    }

    #[test]
    fn an_idle_login_costs_a_few_bytes_a_second() {
        // A ping, its answer and an acknowledgement, with TLS, TCP and IPv6, bytes.
        let each = 3.0 * 72.0 + 2.0 * (6.0 + 22.0);
        let idle = beats(false, true);
        assert!(idle.iter().all(|(_, beat)| *beat == Beat::Ping));
        let bytes_a_second = each * idle.len() as f64 / 60.0;
        assert!(bytes_a_second < 20.0, "{bytes_a_second}");
        assert!(beats(true, true).len() >= 30);
    }

    #[test]
    fn a_call_that_begins_in_a_long_silence_asks_at_once() {
        let start = clock::now();
        let mut pulse = Pulse::new(start, &ClientOptions::default());
        let now = start + 10 * SECOND;
        assert_eq!(pulse.beat(now), None);
        pulse.attend(true);
        assert_eq!(pulse.beat(now), Some(Beat::Ping));
        // It ends before there is an answer.
        pulse.attend(false);
        assert_eq!(pulse.beat(now + 3 * SECOND), None);
        assert_eq!(pulse.beat(now + 4 * SECOND), Some(Beat::Dead));
    }

    #[test]
    fn a_doubt_asks_once() {
        let start = clock::now();
        let mut pulse = Pulse::new(start, &ClientOptions::default());
        assert_eq!(pulse.doubt(start), Some(Beat::Ping));
        assert_eq!(pulse.doubt(start + SECOND), None);
        assert_eq!(pulse.beat(start + 4 * SECOND), Some(Beat::Dead));
        pulse.heard(start + 4 * SECOND);
        assert_eq!(pulse.doubt(start + 5 * SECOND), Some(Beat::Ping));
    }
}
