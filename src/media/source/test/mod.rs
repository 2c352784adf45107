//! Our own fakes, shipped: a moving test picture with a clock, and a tone.

mod digits;
mod picture;
mod tone;

pub use picture::TestPicture;
pub use tone::Tone;
