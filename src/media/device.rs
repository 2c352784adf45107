//! What goes wrong with cameras, screens, microphones and speakers, and how they tell.
//!
//! Owns the words; the devices themselves are sources and sinks.

/// A device that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{device}: {reason}; {hint}")]
pub struct DeviceError {
    /// Which one, in the words of the person who asked: `camera`, `microphone 'desk'`.
    pub device: String,
    /// What is wrong with it.
    pub reason: String,
    /// What to do about it.
    pub hint: String,
}

impl DeviceError {
    /// The same as news: without this device a call goes on, and `instead` is so.
    #[must_use]
    pub fn missing(&self, instead: &str) -> DeviceNotice {
        let Self { device, reason, .. } = self;
        let message = format!("no {device}: {reason}; {instead}");
        DeviceNotice { news: DeviceNews::Missing, message }
    }
}

/// News of a device that is in use: it went away, it came back. The call goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceNotice {
    /// What happened.
    pub news: DeviceNews,
    /// A line for people.
    pub message: String,
}

/// What can happen to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceNews {
    /// It is gone or broken; something stands in for it until it is back.
    Lost,
    /// It works again.
    Back,
    /// There is none, and nobody asked for one by name.
    Missing,
    /// A file ends in the middle.
    Cut,
    /// A pipe into which nobody writes.
    Waiting,
}

impl DeviceNews {
    /// The word for programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "device-lost",
            Self::Back => "device-back",
            Self::Missing => "device-missing",
            Self::Cut => "file-cut",
            Self::Waiting => "source-waits",
        }
    }
}
