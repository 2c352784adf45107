//! What whoever brings the sound (`card.rs`, `pulse.rs`) is asked for and answers: which devices there
//! are, streams of them, and why not. Opens nothing.

use std::time::Duration;

/// What a device is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It hears.
    Microphone,
    /// It plays.
    Speaker,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Microphone => "microphone",
            Self::Speaker => "speaker",
        }
    }

    /// What to do without one.
    pub(super) fn way_out(self) -> &'static str {
        match self {
            Self::Microphone => "use --audio none, --audio tone or --audio FILE",
            Self::Speaker => "use --speaker none",
        }
    }

    /// How to ask for a certain one.
    pub(super) fn way_to_name(self) -> &'static str {
        match self {
            Self::Microphone => "use --audio mic:NAME",
            Self::Speaker => "use --speaker NAME",
        }
    }
}

/// A device that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioDevice {
    /// What people call it.
    pub name: String,
    /// What tells it from others of the same name.
    pub id: String,
    /// Whether it is used when none is named.
    pub is_default: bool,
    /// Its own rate, Hz.
    pub rate: u32,
    /// Its own channels.
    pub channels: u16,
}

/// How often a second a callback runs: more costs wake-ups, less costs delay. What a microphone hands
/// over in larger pieces would look like jitter on the other side.
pub(super) const PERIODS: u32 = 100;

/// A sound server that hangs is as good as none after this.
pub(super) const OPENING: Duration = Duration::from_secs(2);

/// Why a device cannot be used, as whoever brings the sound has it.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) why: Why,
    pub(super) reason: String,
}

/// What can be done about a failure depends on this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Somebody else has it.
    Busy,
    /// We may not.
    Forbidden,
    /// Nobody brings any sound.
    NoHost,
    /// There is no such device.
    Absent,
    /// Something else.
    Other,
}

/// An open stream of whoever brings the sound; it flows until it is dropped.
pub(super) struct Stream {
    pub(super) held: Box<dyn Send>,
    pub(super) rate: u32,
    pub(super) channels: usize,
}
