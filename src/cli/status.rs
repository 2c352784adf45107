//! How the call goes, on one line: when it is worth saying, and what.
//!
//! Pure: events in, lines out; the time is the events' own. It prints nothing.

use std::time::{Duration, SystemTime};

use super::format;
use crate::phone::event::{Event, EventKind};
use crate::rtc::stats::Stats;

/// How often a snapshot is worth a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cadence {
    /// The line is overwritten: as often as there is a snapshot, at most once a second.
    Live,
    /// The line stays: every ten seconds, or when the picture changes its size.
    Sparse,
    /// Only when asked for.
    Asked,
}

/// The status of the current call.
#[derive(Debug)]
pub struct Status {
    cadence: Cadence,
    asked: bool,
    current: Option<Current>,
}

/// What is known of the call that is connected.
#[derive(Debug)]
struct Current {
    call: Option<u64>,
    since: SystemTime,
    last: (SystemTime, Counts),
    /// Bits a second and loss, once there was time to measure them.
    rates: Option<(String, String)>,
    said: Option<(SystemTime, (u32, u32))>,
    /// To compare with the other side.
    words: Option<String>,
}

/// The counters that make rates.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    bytes: u64,
    packets: u64,
    lost: i64,
}

/// Snapshots come once a second, but not to the millisecond.
const ONCE_A_SECOND: Duration = Duration::from_millis(900);
/// Over less, a rate says little.
const MEASURABLE: Duration = Duration::from_millis(500);
const SELDOM: Duration = Duration::from_secs(10);

impl Status {
    /// Nothing known yet.
    #[must_use]
    pub fn new(cadence: Cadence) -> Self {
        Self { cadence, asked: false, current: None }
    }

    /// The next snapshot is wanted, whenever it comes.
    pub fn ask(&mut self) {
        self.asked = true;
    }

    /// Whether there is a call to say something about.
    #[must_use]
    pub fn in_call(&self) -> bool {
        self.current.is_some()
    }

    /// Whether each line takes the place of the one before.
    #[must_use]
    pub fn is_overwritten(&self) -> bool {
        self.cadence == Cadence::Live
    }

    /// Takes an event; says the line when it is time for one.
    pub fn handle(&mut self, event: &Event) -> Option<String> {
        match &event.kind {
            EventKind::Connected { safety_words, .. } => {
                let words = safety_words.as_ref().map(ToString::to_string);
                let (call, since) = (event.call, event.time);
                self.current = Some(Current {
                    call,
                    since,
                    last: (since, Counts::default()),
                    rates: None,
                    said: None,
                    words,
                });
                None
            }
            EventKind::SafetyWords { safety_words } => {
                let current = self.current.as_mut().filter(|current| current.call == event.call);
                if let Some(current) = current {
                    current.words = Some(safety_words.to_string());
                }
                None
            }
            EventKind::Ended { .. } => {
                if self.current.as_ref().is_some_and(|current| current.call == event.call) {
                    self.current = None;
                    self.asked = false;
                }
                None
            }
            EventKind::Stats(stats) => self.snapshot(event, stats),
            _ => None,
        }
    }

    fn snapshot(&mut self, event: &Event, stats: &Stats) -> Option<String> {
        let current = self.current.as_mut().filter(|current| current.call == event.call)?;
        let size = stats
            .inbound
            .video
            .as_ref()
            .map_or((0, 0), |video| (video.frame_width, video.frame_height));
        let mut line = current.line(event, stats);
        let due = match current.said {
            None => self.cadence != Cadence::Asked && current.rates.is_some(),
            Some((at, before)) => match self.cadence {
                Cadence::Live => between(at, event.time) >= ONCE_A_SECOND,
                Cadence::Sparse => between(at, event.time) >= SELDOM || before != size,
                Cadence::Asked => false,
            },
        };
        if !due && !self.asked {
            return None;
        }
        if std::mem::take(&mut self.asked)
            && let Some(words) = &current.words
        {
            line.push_str(&format!("\nsafety words: {words}"));
        }
        current.said = Some((event.time, size));
        Some(line)
    }
}

impl Current {
    fn line(&mut self, event: &Event, stats: &Stats) -> String {
        self.measure(event.time, Counts::of(stats));
        let peer = event.peer.as_deref().unwrap_or("the other side");
        let time = between(self.since, event.time).as_secs();
        let mut parts = vec![format!("connected to '{peer}' {time}s")];
        parts.push(match &stats.inbound.video {
            Some(video) if video.frame_width > 0 => format!(
                "{}x{} {:.0} fps",
                video.frame_width, video.frame_height, video.frames_per_second
            ),
            _ => "no picture".to_owned(),
        });
        parts.extend(self.rates.as_ref().map(|(bits, _)| bits.clone()));
        parts.extend(
            stats
                .selected_candidate_pair
                .as_ref()
                .map(|pair| format!("rtt {}", format::milliseconds(pair.current_round_trip_time))),
        );
        parts.extend(self.rates.as_ref().map(|(_, loss)| format!("loss {loss}")));
        let (ours, theirs) = (stats.outbound.audio.as_ref(), stats.inbound.audio.as_ref());
        parts.extend(ours.map(|audio| format!("you {}", format::meter(audio.audio_level))));
        parts.extend(theirs.map(|audio| format!("they {}", format::meter(audio.audio_level))));
        parts.join("  ")
    }

    /// Rates are those since the snapshot before.
    fn measure(&mut self, now: SystemTime, counts: Counts) {
        let (from, before) = self.last;
        let over = between(from, now);
        if over < MEASURABLE {
            return;
        }
        let bits = format::rate(counts.bytes.saturating_sub(before.bytes), over);
        let loss = format::loss(
            counts.packets.saturating_sub(before.packets),
            counts.lost.saturating_sub(before.lost),
        );
        self.rates = Some((format::bitrate(bits), loss));
        self.last = (now, counts);
    }
}

impl Counts {
    fn of(stats: &Stats) -> Self {
        let video = stats.inbound.video.as_ref().map_or(Self::default(), |video| Self {
            bytes: video.bytes_received,
            packets: video.packets_received,
            lost: video.packets_lost,
        });
        let audio = stats.inbound.audio.as_ref().map_or(Self::default(), |audio| Self {
            bytes: audio.bytes_received,
            packets: audio.packets_received,
            lost: audio.packets_lost,
        });
        Self {
            bytes: video.bytes + audio.bytes,
            packets: video.packets + audio.packets,
            lost: video.lost + audio.lost,
        }
    }
}

/// The wall clock may step back; then no time has passed.
fn between(from: SystemTime, to: SystemTime) -> Duration {
    to.duration_since(from).unwrap_or_default()
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
