//! Floor 1: pictures and sound.
//!
//! Owns frames, sources, sinks, codecs, containers and the threads between
//! them. It knows nothing of networks, calls or people.

pub mod adaptation;
pub mod audio;
pub mod codec;
mod colour;
pub mod container;
pub mod device;
pub mod devices;
pub mod encoded;
pub mod frame;
mod identity;
pub mod pipeline;
pub mod playout;
pub mod quality;
mod scale;
pub mod showing;
pub mod sink;
pub mod slot;
pub mod sound_rate;
pub mod source;
mod upright;
