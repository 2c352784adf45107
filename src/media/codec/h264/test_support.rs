//! Streams that tests are made of, by the library's own encoder as it comes.

use openh264::OpenH264API;
use openh264::encoder::{Encoder, EncoderConfig, IntraFramePeriod};
use openh264::formats::YUVSlices;

/// An access unit for each of these pictures, packed I420 of one size; a keyframe with its parameter
/// sets is the first, and every so many after it (0: no other).
pub(in crate::media) fn units(
    (width, height): (usize, usize),
    pictures: &[Vec<u8>],
    keyframe_every: u32,
) -> Vec<Vec<u8>> {
    let period = IntraFramePeriod::from_num_frames(keyframe_every);
    let config = EncoderConfig::new().intra_frame_period(period);
    let mut encoder = Encoder::with_api_config(OpenH264API::from_source(), config).unwrap();
    let encode = |picture: &Vec<u8>| {
        let (y, chroma) = picture.split_at(width * height);
        let (u, v) = chroma.split_at(chroma.len() / 2);
        let strides = (width, width / 2, width / 2);
        encoder.encode(&YUVSlices::new((y, u, v), (width, height), strides)).unwrap().to_vec()
    };
    pictures.iter().map(encode).collect()
}
