//! When to show and when to play. Pure: times are arguments, frames go in and out.

pub mod audio;
mod delay;
pub mod freeze;
pub mod pictures;
mod stretch;
pub mod sync;
