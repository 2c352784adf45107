//! Sound on its way between devices and calls: devices, drift, resampling, and what makes a voice
//! pleasant to hear.
//!
//! Owns what microphones and speakers share. It knows no calls and no codecs.

mod backend;
mod card;
#[cfg(target_os = "linux")]
mod cookie;
pub mod device;
pub mod drift;
pub mod echo;
pub mod level;
#[cfg(target_os = "linux")]
mod pulse;
mod reopen;
pub(in crate::media) mod resample;
pub mod voice;

pub(in crate::media) use reopen::{Reopen, let_go};
