//! Encoder and decoder against each other.

use std::time::Duration;

use super::*;
use crate::clock;
use crate::media::codec::h264::nal::{nal_type, nal_unit_type, nal_units};
use crate::media::codec::h264::sps::Sps;
use crate::media::codec::h264::{H264Encoder, encodable};
use crate::media::codec::{EncodedVideo, VideoEncoder, VideoEncoderSettings};

/// A picture with a gradient that moves.
fn picture(size: Size, number: u32, start: Instant) -> VideoFrame {
    let at = start + Duration::from_millis(u64::from(number) * 33);
    let mut frame = FramePool::new().take(size, at);
    let (y, u, v) = frame.planes_mut();
    for (index, pixel) in y.iter_mut().enumerate() {
        let (x, row) = (index as u32 % size.width, index as u32 / size.width);
        *pixel = ((x + row + number * 3) & 0xff) as u8;
    }
    u.fill(110);
    v.fill(140);
    frame
}

fn encoder(size: Size) -> H264Encoder {
    H264Encoder::new(VideoEncoderSettings { size, fps: 30.0, bitrate: 1_000_000 }).unwrap()
}

fn encode(
    encoder: &mut H264Encoder,
    size: Size,
    numbers: std::ops::Range<u32>,
) -> Vec<EncodedVideo> {
    let start = clock::now();
    numbers.filter_map(|n| encoder.encode(&picture(size, n, start)).unwrap()).collect()
}

const SIZE: Size = Size { width: 320, height: 180 };

#[test]
fn is_constrained_baseline_with_parameter_sets_before_the_idr() {
    let frames = encode(&mut encoder(SIZE), SIZE, 0..5);
    let types: Vec<u8> = nal_units(&frames[0].data).map(nal_unit_type).collect();
    assert_eq!(types, [nal_type::SPS, nal_type::PPS, nal_type::IDR]);
    let sps = Sps::find(&frames[0].data).unwrap();
    assert_eq!((sps.profile_idc, sps.constraint_flags & 0x40), (66, 0x40));
    assert_eq!((sps.width, sps.height, sps.level_idc), (SIZE.width, SIZE.height, 20));
    assert!(frames[0].keyframe && frames[1..].iter().all(|frame| !frame.keyframe));
}

#[test]
fn makes_a_keyframe_when_asked_and_each_picture_decodes_at_once() {
    let mut encoder = encoder(SIZE);
    let mut frames = encode(&mut encoder, SIZE, 0..5);
    encoder.request_keyframe();
    frames.extend(encode(&mut encoder, SIZE, 5..8));
    assert!(frames[5].keyframe);
    let mut decoder = H264Decoder::new().unwrap();
    for frame in &frames {
        let decoded = decoder.decode(&frame.data, clock::now()).unwrap().unwrap();
        assert_eq!(decoded.size(), SIZE);
    }
}

/// A picture of small squares that differ a little, as chance will have it, and move.
fn squares(size: Size, number: u32, start: Instant) -> VideoFrame {
    let mut frame = picture(size, number, start);
    for (index, pixel) in frame.planes_mut().0.iter_mut().enumerate() {
        let (x, row) = (index as u32 % size.width + number * 2, index as u32 / size.width);
        *pixel = ((x / 4).wrapping_mul(7_919) ^ (row / 4).wrapping_mul(104_729)) as u8 & 15;
    }
    frame
}

#[test]
fn a_keyframe_in_the_middle_is_small_and_costs_no_pictures_behind_it() {
    let size = Size { width: 640, height: 360 };
    let settings = VideoEncoderSettings { size, fps: 30.0, bitrate: 600_000 };
    let (mut encoder, start) = (H264Encoder::new(settings).unwrap(), clock::now());
    let made = |encoder: &mut H264Encoder, numbers: std::ops::Range<u32>| {
        let pictures = numbers.map(|n| squares(size, n, start));
        pictures.filter_map(|one| encoder.encode(&one).unwrap()).collect::<Vec<_>>()
    };
    let before = made(&mut encoder, 0..90);
    encoder.request_keyframe();
    let after = made(&mut encoder, 90..120);
    let sizes = (before[0].data.len(), after[0].data.len());
    assert!(after[0].keyframe && sizes.1 * 5 < sizes.0 * 4, "{sizes:?}");
    assert!(after.len() >= 28, "{} pictures of 30", after.len());
    let bits: usize = after[10..].iter().map(|one| one.data.len() * 8).sum();
    assert!(bits > 200_000, "the whole rate again: {bits} bits in 20 pictures");
}

#[test]
fn two_keyframes_on_end_are_two_pictures_to_a_decoder() {
    let (mut encoder, mut decoder) = (encoder(SIZE), H264Decoder::new().unwrap());
    for number in 0..4 {
        encoder.request_keyframe();
        let frame = encode(&mut encoder, SIZE, number..number + 1).remove(0);
        assert!(frame.keyframe);
        assert!(decoder.decode(&frame.data, clock::now()).unwrap().is_some(), "{number}");
    }
}

#[test]
fn follows_a_change_of_size() {
    let (mut encoder, mut decoder) = (encoder(SIZE), H264Decoder::new().unwrap());
    let small = Size { width: 160, height: 90 };
    let mut frames = encode(&mut encoder, SIZE, 0..3);
    frames.extend(encode(&mut encoder, small, 0..3));
    let sizes: Vec<Size> = frames
        .iter()
        .map(|frame| decoder.decode(&frame.data, clock::now()).unwrap().unwrap().size())
        .collect();
    assert_eq!(sizes, [SIZE, SIZE, SIZE, small, small, small]);
    assert!(frames[3].keyframe);
}

#[test]
fn what_the_library_says_reaches_nobody() {
    let size = Size { width: 4_096, height: 4_096 };
    let mut encoder = encoder(size);
    let error = encoder.encode(&picture(size, 0, clock::now())).unwrap_err();
    assert_eq!(error.to_string(), "the H.264 encoder failed: it takes no picture of 4096x4096");
    // A slice that nothing came before, behind a keyframe that is whole.
    let mut decoder = H264Decoder::new().unwrap();
    let whole = encode(&mut self::encoder(SIZE), SIZE, 0..3);
    decoder.decode(&whole[0].data, clock::now()).unwrap();
    let mut damaged = whole[1].data.to_vec();
    let middle = damaged.len() / 2;
    damaged.truncate(middle);
    damaged[5..].fill(0xff);
    if let Err(error) = decoder.decode(&damaged, clock::now()) {
        let said = error.to_string();
        assert_eq!(said, format!("the H.264 decoder failed: {BROKEN}"));
    }
}

#[test]
fn as_much_is_encoded_as_the_encoder_takes() {
    let size = encodable(Size { width: 4_096, height: 4_096 });
    assert!(encoder(size).encode(&picture(size, 0, clock::now())).unwrap().is_some(), "{size}");
}

#[test]
fn waits_for_a_keyframe_at_the_start_and_after_damage() {
    let frames = encode(&mut encoder(SIZE), SIZE, 0..4);
    let mut decoder = H264Decoder::new().unwrap();
    assert!(decoder.decode(&frames[1].data, clock::now()).is_err(), "nothing to build on yet");
    assert!(decoder.decode(&frames[0].data, clock::now()).unwrap().is_some());
    assert!(decoder.decode(&[0, 0, 0, 1, 0x65, 0xff, 0xff, 0xff], clock::now()).is_err());
    assert!(decoder.decode(&frames[1].data, clock::now()).is_err(), "what it builds on is gone");
    assert!(decoder.decode(&frames[0].data, clock::now()).unwrap().is_some());
}

#[test]
fn a_live_bitrate_change_is_followed_without_a_keyframe() {
    let size = Size { width: 640, height: 360 };
    let noisy = |number: u32, start: Instant| {
        let mut frame = picture(size, number, start);
        let mut seed = number.wrapping_mul(2_654_435_761) | 1;
        for pixel in frame.planes_mut().0 {
            seed ^= seed << 13;
            seed ^= seed >> 17;
            seed ^= seed << 5;
            *pixel = pixel.wrapping_add((seed & 0x1f) as u8);
        }
        frame
    };
    let mut encoder =
        H264Encoder::new(VideoEncoderSettings { size, fps: 30.0, bitrate: 2_000_000 }).unwrap();
    let start = clock::now();
    let mut bytes = [0, 0];
    for number in 0..180 {
        if number == 90 {
            encoder.set_bitrate(300_000);
        }
        if let Some(frame) = encoder.encode(&noisy(number, start)).unwrap() {
            assert!(!frame.keyframe || number == 0);
            bytes[usize::from(number >= 90)] += frame.data.len();
        }
    }
    assert!(bytes[1] * 3 < bytes[0], "2 Mbit/s made {} bytes, 0.3 made {}", bytes[0], bytes[1]);
}

/// What a clean keyframe gives to a decoder that got two pictures with these bytes written over.
fn keyframe_after_damage(flips: &[(usize, u8)]) -> Result<Option<Arc<VideoFrame>>, CodecError> {
    let frames = encode(&mut encoder(SIZE), SIZE, 0..2);
    let mut decoder = H264Decoder::new().unwrap();
    for frame in &frames {
        let mut data = frame.data.to_vec();
        for (at, value) in flips {
            let at = at % data.len();
            data[at] = *value;
        }
        let _ = decoder.decode(&data, clock::now());
    }
    decoder.decode(&frames[0].data, clock::now())
}

#[test]
fn damage_that_goes_unnoticed_costs_no_keyframe() {
    // The library takes these without a word and refuses the clean picture that follows.
    for flip in [(1004, 190), (2279, 136)] {
        let clean = keyframe_after_damage(&[flip]);
        assert!(matches!(clean, Ok(Some(_))), "{flip:?}: {clean:?}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn survives_damaged_input(flips in proptest::collection::vec((0_usize..4_000, 0_u8..=255), 1..20)) {
        let clean = keyframe_after_damage(&flips);
        proptest::prop_assert!(matches!(clean, Ok(Some(_))), "{clean:?}");
    }
}
