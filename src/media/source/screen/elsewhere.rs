//! Where screens cannot be read yet: what is said about it.

use super::{Monitor, failed};
use crate::media::device::DeviceError;
use crate::media::frame::{Size, VideoFrame};

/// There is none.
#[derive(Debug)]
pub(super) enum Grabber {}

pub(super) fn list() -> Result<Vec<Monitor>, DeviceError> {
    Err(none())
}

impl Grabber {
    pub(super) fn open(_: u32) -> Result<Self, DeviceError> {
        Err(none())
    }

    pub(super) fn size(&self) -> Size {
        match *self {}
    }

    pub(super) fn draw(&mut self, _: &mut VideoFrame) -> Result<(), String> {
        match *self {}
    }
}

fn none() -> DeviceError {
    failed("screen", "it is read through X11, which is not in this build".to_owned())
}
