//! The codecs alone on the shipped clips: what a call cannot be cheaper than.
//!
//! `cargo bench --bench codecs`. One iteration is one picture, or 20 ms of sound.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use peer::clock;
use peer::media::codec::h264::{H264Decoder, H264Encoder};
use peer::media::codec::opus::{OpusDecoder, OpusEncoder};
use peer::media::codec::{
    AudioDecoder, AudioEncoder, AudioEncoderSettings, VideoDecoder, VideoEncoder,
    VideoEncoderSettings,
};
use peer::media::encoded::EncodedFrame;
use peer::media::frame::{AudioFrame, VideoFrame};
use peer::media::quality::psnr_y;
use peer::media::source::{AudioSourceSpec, MediaOptions, VideoSourceSpec, open};

/// Every picture of a shipped clip; takes as long as the clip.
fn pictures(clip: &str) -> Vec<VideoFrame> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("assets/clips").join(clip);
    let options = MediaOptions {
        video: VideoSourceSpec::File(path),
        audio: AudioSourceSpec::None,
        once: true,
        ..MediaOptions::default()
    };
    let mut source = open(&options).expect("the shipped clip").video.expect("its pictures");
    let all = std::iter::from_fn(|| source.next_frame().expect("a whole clip"));
    all.filter_map(Arc::into_inner).collect()
}

fn encoder(frame: &VideoFrame, bitrate: u32) -> H264Encoder {
    let settings = VideoEncoderSettings { size: frame.size(), fps: 30.0, bitrate };
    H264Encoder::new(settings).expect("usual settings")
}

fn video(c: &mut Criterion) {
    for (clip, bitrate) in [("camera-360p.mp4", 1_372_000), ("camera-720p.mp4", 2_300_000)] {
        let mut frames = pictures(clip);
        let size = frames[0].size();
        let mut group = c.benchmark_group(format!("{}x{}", size.width, size.height));

        let mut once = encoder(&frames[0], bitrate);
        let encoded: Vec<(usize, EncodedFrame)> = frames
            .iter()
            .enumerate()
            .filter_map(|(at, frame)| Some((at, once.encode(frame).ok()??)))
            .collect();
        report(&frames, &encoded);

        group.bench_function("encode", |b| {
            let (mut encoder, mut next) = (encoder(&frames[0], bitrate), 0);
            let began = clock::now();
            b.iter(|| {
                // Times go on as in a call, or the rate control would skip pictures.
                let at = next % frames.len();
                frames[at].set_captured_at(began + Duration::from_millis(next as u64 * 100 / 3));
                next += 1;
                black_box(encoder.encode(&frames[at]).unwrap())
            });
        });
        group.bench_function("decode", |b| {
            let (mut decoder, mut next) = (H264Decoder::new().unwrap(), 0);
            b.iter(|| {
                let (_, picture) = &encoded[next % encoded.len()];
                next += 1;
                black_box(decoder.decode(&picture.data, clock::now()).unwrap())
            });
        });
        group.finish();
    }
}

/// What the encoder alone makes of the clip: the measure for pictures that went through a call.
fn report(frames: &[VideoFrame], encoded: &[(usize, EncodedFrame)]) {
    let captured = frames.len();
    let mut decoder = H264Decoder::new().unwrap();
    let (mut psnr, mut bytes) = (0.0, 0);
    for (at, picture) in encoded {
        let decoded = decoder.decode(&picture.data, clock::now()).unwrap().expect("a picture");
        psnr += psnr_y(&frames[*at], &decoded);
        bytes += picture.data.len();
    }
    let seconds = captured as f64 / 30.0;
    println!(
        "{} of {captured} pictures encoded, {:.0} kbit/s, mean PSNR-Y {:.1} dB",
        encoded.len(),
        bytes as f64 * 8.0 / seconds / 1e3,
        psnr / encoded.len() as f64,
    );
}

fn sound(c: &mut Criterion) {
    let settings =
        AudioEncoderSettings { channels: 1, bitrate: 32_000, inband_fec: true, dtx: false };
    let step = 220.0 * std::f32::consts::TAU / 48_000.0;
    let tone: Vec<f32> = (0..960).map(|n| 0.3 * (n as f32 * step).sin()).collect();
    let tone = AudioFrame { samples: tone, channels: 1, captured_at: clock::now() };
    let mut encoder = OpusEncoder::new(settings).unwrap();
    let packet = encoder.encode(&tone).unwrap().data;
    c.bench_function("opus encode 20 ms", |b| b.iter(|| black_box(encoder.encode(&tone).unwrap())));
    let mut decoder = OpusDecoder::new(2).unwrap();
    c.bench_function("opus decode 20 ms", |b| {
        b.iter(|| black_box(decoder.decode(&packet).unwrap()));
    });
}

criterion_group!(codecs, video, sound);
criterion_main!(codecs);
