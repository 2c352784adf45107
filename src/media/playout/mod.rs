//! When to show and when to play. Pure: times are arguments, frames go in and out.

pub mod audio;
mod comfort;
mod counters;
mod delay;
mod fade;
pub mod freeze;
mod pace;
mod packets;
pub mod pictures;
#[cfg(test)]
#[path = "room_tests.rs"]
mod room;
pub(in crate::media) mod stretch;
pub mod sync;
