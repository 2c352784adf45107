//! H.264 on OpenH264: constrained baseline, real time, one thread.
//!
//! Owns the encoder, the decoder and the few facts of the bitstream that
//! others need (NAL units, sizes). Knows nothing of RTP.

mod bits;
mod decoder;
mod encoder;
pub mod grey;
mod level;
pub mod limits;
pub mod nal;
pub mod sps;
pub(in crate::media) mod stored;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(in crate::media) mod test_support;

pub use decoder::H264Decoder;
pub use encoder::H264Encoder;
pub use level::level_idc;

use crate::media::frame::Size;

/// The largest picture that the encoder takes, upright or lying.
const LARGEST: Size = Size { width: 3840, height: 2160 };

/// As much of that size as the encoder takes, in the same aspect.
#[must_use]
pub fn encodable(size: Size) -> Size {
    let Size { width, height } = LARGEST;
    let upright = size.height > size.width;
    size.within(if upright { Size { width: height, height: width } } else { LARGEST })
}

/// How errors name this codec.
const CODEC: &str = "H.264";
