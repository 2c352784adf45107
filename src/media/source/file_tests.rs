//! Files made in the test with the codecs' own encoders, played through the sources.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::media::codec::test_support;
use crate::media::frame::{MaxPicture, Size};
use crate::media::scale;
use crate::media::source::timeline::{Shared, Timeline};
use crate::media::source::{
    AudioSource, AudioSourceSpec, MediaOptions, VideoSource, VideoSourceSpec,
};

fn options(path: &Path, once: bool) -> MediaOptions {
    MediaOptions {
        video: VideoSourceSpec::File(path.to_owned()),
        audio: AudioSourceSpec::File(path.to_owned()),
        once,
        ..MediaOptions::default()
    }
}

fn file(dir: &TempDir, name: &str, data: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::File::create(&path).unwrap().write_all(data).unwrap();
    path
}

/// Pictures of one grey each, so that every picture can be told from the others.
fn grey(n: usize) -> u8 {
    40 + 20 * n as u8
}

fn y4m(count: usize, fps: u32) -> Vec<u8> {
    let mut data = format!("YUV4MPEG2 W32 H16 F{fps}:1 Ip C420\n").into_bytes();
    for n in 0..count {
        data.extend_from_slice(b"FRAME\n");
        data.extend_from_slice(&[grey(n); 32 * 16]);
        data.extend_from_slice(&[128; 16 * 16]);
    }
    data
}

fn encoded(count: usize) -> Vec<Vec<u8>> {
    let picture = |n| [vec![grey(n); 64 * 48], vec![128; 64 * 24]].concat();
    let pictures: Vec<Vec<u8>> = (0..count).map(picture).collect();
    test_support::units((64, 48), &pictures, 4)
}

fn ivf(units: &[Vec<u8>]) -> Vec<u8> {
    let mut data = b"DKIF\0\0\x20\0H264\x40\0\x30\0".to_vec();
    for word in [100u32, 1, units.len() as u32, 0] {
        data.extend_from_slice(&word.to_le_bytes());
    }
    for (n, unit) in units.iter().enumerate() {
        data.extend_from_slice(&(unit.len() as u32).to_le_bytes());
        data.extend_from_slice(&(n as u64).to_le_bytes());
        data.extend_from_slice(unit);
    }
    data
}

/// The luma of the middle of every picture until the end, and when each was due.
fn play(source: &mut dyn VideoSource, most: usize) -> Vec<(u8, std::time::Instant)> {
    let mut seen = Vec::new();
    while seen.len() < most
        && let Some(frame) = source.next_frame().unwrap()
    {
        let middle = frame.y().len() / 2 + frame.size().width as usize / 2;
        seen.push((frame.y()[middle], frame.captured_at()));
    }
    seen
}

#[test]
fn y4m_plays_once_in_its_own_time_unless_the_machine_is_late() {
    let dir = TempDir::new().unwrap();
    let path = file(&dir, "a.y4m", &y4m(5, 25));
    let mut source =
        FileVideoSource::open(&path, &options(&path, true), Timeline::default()).unwrap();
    assert_eq!(source.format().size, Size { width: 32, height: 16 });
    let seen = play(&mut source, 100);
    // A slow machine may skip pictures; those that come are in order and due in steps of 40 ms.
    assert!(!seen.is_empty());
    for pair in seen.windows(2) {
        assert!(pair[0].0 < pair[1].0);
        let step = (pair[1].1 - pair[0].1).as_millis();
        assert_eq!(step % 40, 0, "{seen:?}");
    }
}

/// Decodes without pacing, which is what most tests are about.
fn pictures_of(path: &Path) -> Vec<(u8, i64)> {
    let mut pictures = pictures::Pictures::open(path, MaxPicture::default()).unwrap();
    let mut seen = Vec::new();
    let mut show = |at: i64, planes: scale::Planes<'_>| {
        seen.push((planes.y.0[planes.y.1 * planes.height / 2 + planes.width / 2], at));
    };
    while pictures.step(&mut show).unwrap() {}
    seen
}

#[test]
fn ivf_and_raw_streams_give_every_picture_in_order() {
    let dir = TempDir::new().unwrap();
    let units = encoded(8);
    let ivf = pictures_of(&file(&dir, "a.ivf", &ivf(&units)));
    let raw = pictures_of(&file(&dir, "a.h264", &units.concat()));
    for (seen, step) in [(ivf, 10_000_000), (raw, 40_000_000)] {
        assert_eq!(seen.len(), 8);
        for (n, (luma, at)) in seen.iter().enumerate() {
            assert!(luma.abs_diff(grey(n)) <= 3, "{seen:?}");
            assert_eq!(*at, n as i64 * step);
        }
    }
}

#[test]
fn a_file_begins_again_without_a_seam() {
    let dir = TempDir::new().unwrap();
    let path = file(&dir, "a.y4m", &y4m(3, 1000));
    let mut fast = options(&path, false);
    fast.fps = Some(1000.0);
    let mut source = FileVideoSource::open(&path, &fast, Timeline::default()).unwrap();
    let start = source.next_frame().unwrap().unwrap().captured_at();
    let seen = play(&mut source, 7);
    for (luma, at) in seen {
        let n = (at - start).as_millis() as usize;
        assert_eq!(luma, grey(n % 3), "{n}");
    }
}

#[test]
fn a_size_is_kept_with_bars() {
    let dir = TempDir::new().unwrap();
    let path = file(&dir, "a.y4m", &y4m(1, 25));
    let mut square = options(&path, true);
    square.size = Some(Size { width: 64, height: 64 });
    let mut source = FileVideoSource::open(&path, &square, Timeline::default()).unwrap();
    let frame = source.next_frame().unwrap().unwrap();
    assert_eq!(frame.size(), Size { width: 64, height: 64 });
    assert_eq!((frame.y()[32], frame.y()[32 * 64 + 32]), (16, grey(0)));
}

fn wav(rate: u32, channels: u16, frames: usize, sample: impl Fn(usize) -> i16) -> Vec<u8> {
    let mut data = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0".to_vec();
    data.extend_from_slice(&channels.to_le_bytes());
    data.extend_from_slice(&rate.to_le_bytes());
    data.extend_from_slice(&[0, 0, 0, 0, 0, 0, 16, 0]);
    data.extend_from_slice(b"data");
    data.extend_from_slice(&(frames as u32 * 2 * u32::from(channels)).to_le_bytes());
    for n in 0..frames * usize::from(channels) {
        data.extend_from_slice(&sample(n).to_le_bytes());
    }
    data
}

#[test]
fn wav_becomes_blocks_of_ten_milliseconds_and_loses_nothing() {
    let dir = TempDir::new().unwrap();
    let path = file(&dir, "a.wav", &wav(48_000, 1, 1000, |n| n as i16 * 8));
    let mut source = FileAudioSource::open(&path, true, Timeline::default()).unwrap();
    assert_eq!(source.channels(), 1);
    let mut blocks = Vec::new();
    while let Some(block) = source.next_frame().unwrap() {
        assert_eq!(block.len_per_channel(), 480);
        blocks.push(block);
    }
    assert_eq!(blocks.len(), 3);
    assert_eq!((blocks[2].captured_at - blocks[0].captured_at).as_millis(), 20);
    let all: Vec<f32> = blocks.into_iter().flat_map(|block| block.samples).collect();
    for (n, sample) in all.iter().enumerate() {
        let wanted = if n < 1000 { n as f32 * 8.0 / 32_768.0 } else { 0.0 };
        assert_eq!(*sample, wanted);
    }
}

#[test]
fn a_loop_of_sound_has_no_gap() {
    let dir = TempDir::new().unwrap();
    let path = file(&dir, "a.wav", &wav(48_000, 1, 700, |n| n as i16 + 1));
    let mut source = FileAudioSource::open(&path, false, Timeline::default()).unwrap();
    let mut all = Vec::new();
    for _ in 0..5 {
        all.extend(source.next_frame().unwrap().unwrap().samples);
    }
    for (n, sample) in all.iter().enumerate() {
        assert_eq!(*sample, (n % 700 + 1) as f32 / 32_768.0, "{n}");
    }
}

#[test]
fn picture_and_sound_of_one_file_begin_again_together() {
    let dir = TempDir::new().unwrap();
    let path = file(&dir, "a.wav", &wav(44_100, 2, 441, |_| 16_384));
    let period = Some(Duration::from_millis(50));
    let timeline = Timeline::new(Some(Shared { origin: Some(0), period }));
    let mut source = FileAudioSource::open(&path, false, timeline).unwrap();
    let mut all = Vec::new();
    for _ in 0..13 {
        all.extend(source.next_frame().unwrap().unwrap().samples);
    }
    // 10 ms of sound, 40 ms of silence, again and again: asked in the middle of each.
    for round in 0..2 {
        let at = |ms: usize| all[(round * 50 + ms) * 48 * 2].abs();
        assert!(at(5) > 0.4 && at(25) < 0.01 && at(45) < 0.01, "round {round}");
    }
}

#[test]
fn a_file_that_leads_in_circles_ends() {
    let found = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/files/circle");
    let circle = std::fs::read(found).unwrap();
    let dir = TempDir::new().unwrap();
    let path = file(&dir, "circle.mkv", &circle);
    let video = FileVideoSource::open(&path, &options(&path, true), Timeline::default());
    assert!(matches!(video, Err(SourceError::Corrupt { .. } | SourceError::Unreadable { .. })));
    assert!(shared(&path).is_err());
}

#[test]
fn pictures_that_are_too_large_are_not_read() {
    let dir = TempDir::new().unwrap();
    let units = encoded(2);
    let header = b"YUV4MPEG2 W96 H64 F25:1\nFRAME\n";
    let y4m = [&header[..], &[128; 96 * 64 * 3 / 2]].concat();
    let files = [
        file(&dir, "a.y4m", &y4m),
        file(&dir, "a.ivf", &ivf(&units)),
        file(&dir, "a.h264", &units.concat()),
    ];
    for path in files {
        let most = |text: &str| MediaOptions {
            max_picture: text.parse().unwrap(),
            ..options(&path, true)
        };
        let open = |text| FileVideoSource::open(&path, &most(text), Timeline::default());
        let refused = open("32x32").unwrap_err();
        assert!(matches!(refused, SourceError::Unsupported { .. }), "{refused}");
        assert!(refused.to_string().contains("--max-picture"), "{refused}");
        assert!(open("4096x2304").is_ok(), "{}", path.display());
    }
    let huge = file(&dir, "huge.y4m", b"YUV4MPEG2 W16000 H16000 F25:1\nFRAME\n");
    let refused = FileVideoSource::open(&huge, &options(&huge, true), Timeline::default());
    assert!(refused.unwrap_err().to_string().contains("4096x2304"));
}

#[test]
fn what_cannot_be_played_is_said_at_opening() {
    let dir = TempDir::new().unwrap();
    let open = |path: &Path| {
        let video = FileVideoSource::open(path, &options(path, true), Timeline::default());
        let audio = FileAudioSource::open(path, true, Timeline::default());
        (video.unwrap_err(), audio.unwrap_err())
    };
    let (video, audio) = open(&dir.path().join("none.mp4"));
    assert!(matches!(video, SourceError::Unreadable { .. }), "{video}");
    assert!(matches!(audio, SourceError::Unreadable { .. }), "{audio}");
    let (video, _) = open(dir.path());
    assert!(video.to_string().contains("directory"), "{video}");
    let (video, _) = open(&file(&dir, "empty.mp4", b""));
    assert!(video.to_string().contains("empty"), "{video}");
    let (video, _) = open(&file(&dir, "text.mp4", b"this is no picture"));
    assert!(matches!(video, SourceError::Unsupported { .. }), "{video}");
    let mut ts = [0; 400];
    (ts[0], ts[188], ts[376]) = (0x47, 0x47, 0x47);
    let (video, audio) = open(&file(&dir, "a.ts", &ts));
    for refused in [video.to_string(), audio.to_string()] {
        assert!(refused.contains("it is MPEG-TS") && refused.contains("ffmpeg -i"), "{refused}");
    }
    let (video, _) = open(&file(&dir, "noise.h264", &[&[0, 0, 1][..], &[0x55; 5000]].concat()));
    assert!(matches!(video, SourceError::Corrupt { .. }), "{video}");
    let wav = file(&dir, "a.wav", &wav(48_000, 1, 100, |_| 0));
    let video = FileVideoSource::open(&wav, &options(&wav, true), Timeline::default()).unwrap_err();
    assert!(video.to_string().contains("no pictures"), "{video}");
}
