//! When to show and when to play. Pure: times are arguments, frames go in and out.

pub mod audio;
mod counters;
mod delay;
mod fade;
pub mod freeze;
mod pace;
mod packets;
pub mod pictures;
pub(in crate::media) mod stretch;
pub mod sync;
