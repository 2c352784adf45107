//! What the media of a call tell it, and how the failures of their threads are told.

use std::time::Instant;

use tokio::sync::mpsc;

use super::recording::RecordingNews;
use crate::media::codec::CodecError;
use crate::media::device::DeviceNotice;
use crate::media::frame::Size;
use crate::system;

/// What the media threads tell the call.
#[derive(Debug)]
pub(super) enum MediaEvent {
    /// A source has no more, or cannot go on for this reason.
    SourceEnded(Result<(), String>),
    /// The first picture of theirs was decoded.
    FirstVideo { size: Size, at: Instant },
    /// The first sound of theirs was decoded.
    FirstAudio { at: Instant },
    /// Something happened to a device.
    Device(DeviceNotice),
    /// News of a recording of theirs (`true`) or ours.
    Recording(bool, RecordingNews),
}

/// Tells the call what happened to a device.
pub(super) fn tell_notice(events: &mpsc::Sender<MediaEvent>) -> Box<dyn Fn(DeviceNotice) + Send> {
    let events = events.clone();
    Box::new(move |notice| {
        let _ = events.blocking_send(MediaEvent::Device(notice));
    })
}

/// The operating system gave no thread.
pub(super) fn no_thread(error: std::io::Error) -> CodecError {
    CodecError::Thread { reason: system::words(&error) }
}

/// A thread or task that panicked is a fault of ours; the call ends all the same.
pub(super) fn no_panic(stopped: Result<(), tokio::task::JoinError>) {
    if stopped.is_err() {
        tracing::error!("stopping the media panicked");
    }
}
