//! What containers say of their tracks, through the sources: how pictures are shown, where channels
//! belong, which tracks cannot be played, and that a file ends too soon.

use std::io::Cursor;
use std::process::Command;

use super::samples_tests::heard;
use super::*;
use crate::media::codec::test_support;
use crate::media::container::avc::{build_config, parameter_sets_of, to_length_prefixed};
use crate::media::container::ebml::{put_bytes, put_float, put_master, put_uint};
use crate::media::container::ivf::IvfReader;
use crate::media::container::mkv::MkvReader;
use crate::media::container::mp4::Mp4Reader;
use crate::media::container::mp4_writer::Mp4Writer;
use crate::media::container::mux::{Heads, MuxSample, Track, VideoHead};
use crate::media::container::pictures::RAW;
use crate::media::container::wav::WavReader;
use crate::media::frame::{MaxPicture, Size, VideoFrame};
use crate::media::showing::{Colour, Orientation};
use crate::media::source::timeline::Timeline;
use crate::media::source::{AudioSource, MediaOptions, VideoSource};

const WIDTH: usize = 64;
const HEIGHT: usize = 48;

/// One picture that becomes lighter from left to right, of one colour, as I420.
fn picture() -> Vec<u8> {
    let luma = (0..WIDTH * HEIGHT).map(|n| 40 + 2 * (n % WIDTH) as u8);
    let chroma = |sample| std::iter::repeat_n(sample, WIDTH * HEIGHT / 4);
    luma.chain(chroma(60)).chain(chroma(200)).collect()
}

/// The same as a few access units, which say nothing of how it is shown.
fn units() -> Vec<Vec<u8>> {
    test_support::units((WIDTH, HEIGHT), &vec![picture(); 5], 0)
}

fn config(units: &[Vec<u8>]) -> Vec<u8> {
    let (sps, pps) = parameter_sets_of(&units[0]).unwrap();
    build_config(sps, pps).unwrap()
}

fn y4m(words: &str) -> Vec<u8> {
    let mut file = format!("YUV4MPEG2 W{WIDTH} H{HEIGHT} F25:1 {words}\n").into_bytes();
    for _ in 0..5 {
        file.extend_from_slice(b"FRAME\n");
        file.extend(picture());
    }
    file
}

/// A Matroska of these track entries, and pictures in track `number`.
fn mkv_of(entries: &[u8], number: u8) -> Vec<u8> {
    let mut segment = Vec::new();
    put_bytes(&mut segment, 0x1654_AE6B, entries);
    for (n, unit) in units().iter().enumerate() {
        put_master(&mut segment, 0x1F43_B675, |cluster| {
            put_uint(cluster, 0xE7, n as u64 * 40);
            put_bytes(
                cluster,
                0xA3,
                &[&[0x80 | number, 0, 0, 0x80], &to_length_prefixed(unit)[..]].concat(),
            );
        });
    }
    let mut file = Vec::new();
    put_master(&mut file, 0x1A45_DFA3, |head| put_bytes(head, 0x4282, b"matroska"));
    put_bytes(&mut file, 0x1853_8067, &segment);
    file
}

fn mkv_entry(
    number: u64,
    video: impl FnOnce(&mut Vec<u8>),
    more: impl FnOnce(&mut Vec<u8>),
) -> Vec<u8> {
    let mut entries = Vec::new();
    put_master(&mut entries, 0xAE, |entry| {
        put_uint(entry, 0xD7, number);
        put_uint(entry, 0x83, 1);
        put_bytes(entry, 0x86, b"V_MPEG4/ISO/AVC");
        put_bytes(entry, 0x63A2, &config(&units()));
        put_master(entry, 0xE0, |inner| {
            put_uint(inner, 0xB0, WIDTH as u64);
            put_uint(inner, 0xBA, HEIGHT as u64);
            video(inner);
        });
        more(entry);
    });
    entries
}

fn mkv(video: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    mkv_of(&mkv_entry(1, video, |_| {}), 1)
}

/// An MP4 whose sample entry has these boxes, too.
fn mp4(orientation: Orientation, boxes: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let (width, height) = (WIDTH as u32, HEIGHT as u32);
    let (codec, config) = (RAW, config(&units()));
    let head = VideoHead { codec, config, width, height, aspect: None, orientation };
    let (mut writer, mut file) = Mp4Writer::new(Heads { video: Some(head), audio: None });
    for (n, unit) in units().iter().enumerate() {
        let (data, at) = (to_length_prefixed(unit), n as u64 * 40_000_000);
        let sample =
            MuxSample { track: Track::Video, data, keyframe: n == 0, at, lasts: 40_000_000 };
        file.extend(writer.push(sample).unwrap_or_default());
    }
    let (tail, head) = writer.finish();
    file.extend(tail);
    file[..head.len()].copy_from_slice(&head);
    let mut inner = Vec::new();
    for (name, content) in boxes {
        inner.extend_from_slice(&(8 + content.len() as u32).to_be_bytes());
        inner.extend_from_slice(*name);
        inner.extend_from_slice(content);
    }
    inserted(file, &inner)
}

fn word(file: &[u8], at: usize) -> usize {
    u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize
}

/// Puts boxes at the end of the first sample entry; what lies around it grows.
fn inserted(mut file: Vec<u8>, boxes: &[u8]) -> Vec<u8> {
    let path: [(&[u8; 4], usize); 7] = [
        (b"moov", 0),
        (b"trak", 0),
        (b"mdia", 0),
        (b"minf", 0),
        (b"stbl", 0),
        (b"stsd", 8),
        (b"avc3", 0),
    ];
    let (mut at, mut around) = (0, Vec::new());
    for (name, skip) in path {
        while &file[at + 4..at + 8] != name {
            at += word(&file, at);
        }
        around.push(at);
        at += 8 + skip;
    }
    let entry = around[around.len() - 1];
    let end = entry + word(&file, entry);
    for at in around {
        let grown = (word(&file, at) + boxes.len()) as u32;
        file[at..at + 4].copy_from_slice(&grown.to_be_bytes());
    }
    file.splice(end..end, boxes.iter().copied());
    file
}

/// The first picture of a file, through its source.
fn first(folder: &Path, name: &str, file: &[u8]) -> VideoFrame {
    let path = folder.join(name);
    std::fs::write(&path, file).unwrap();
    let options = MediaOptions { once: true, ..MediaOptions::default() };
    let mut source = FileVideoSource::open(&path, &options, Timeline::default()).unwrap();
    let frame = source.next_frame().unwrap().unwrap();
    VideoFrame::from_i420(frame.size(), frame.i420().to_vec(), frame.captured_at())
        .map(|mut copy| {
            copy.set_colour(frame.colour());
            copy
        })
        .unwrap()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// A file, what it says, and what is right: size, luma and blue at the left (or, turned, at the top).
type Row = (&'static str, &'static str, Vec<u8>, (u32, u32), [u8; 2]);

#[test]
fn what_each_container_says_of_showing_counts() {
    let up = Orientation::UPRIGHT;
    let pasp = words(&[2, 1]);
    // The right three quarters: their middle lies 8 columns right of that of the whole.
    let clap = words(&[48, 1, 48, 1, 8, 1, 0, 1]);
    let nclx: &[u8] = b"nclx\0\x01\0\x01\0\x01\x80";
    let profile: &[u8] = b"prof\0\0\0\x08ICC.";
    let wide = |video: &mut Vec<u8>| put_uint(video, 0x54B0, 128);
    let cut = |video: &mut Vec<u8>| put_uint(video, 0x54CC, 16);
    let full = |video: &mut Vec<u8>| {
        put_master(video, 0x55B0, |colour| {
            put_uint(colour, 0x55B1, 1);
            put_uint(colour, 0x55B9, 2);
        });
    };
    let rolled = |video: &mut Vec<u8>| {
        put_master(video, 0x7670, |projection| put_float(projection, 0x7675, -90.0));
    };
    let (upright, turned) = ((64, 48), (48, 64));
    let table: [Row; 13] = [
        ("a.mp4", "nothing", mp4(up, &[]), upright, [40, 60]),
        ("a.mkv", "nothing", mkv(|_| {}), upright, [40, 60]),
        ("a.y4m", "nothing", y4m(""), upright, [40, 60]),
        ("a.mp4", "pasp", mp4(up, &[(b"pasp", &pasp)]), (128, 48), [40, 60]),
        ("a.mkv", "display width", mkv(wide), (128, 48), [40, 60]),
        ("a.y4m", "A", y4m("A2:1"), (128, 48), [40, 60]),
        ("a.mp4", "clap", mp4(up, &[(b"clap", &clap)]), (48, 48), [72, 60]),
        ("a.mkv", "crop", mkv(cut), (48, 48), [72, 60]),
        ("a.mp4", "colr", mp4(up, &[(b"colr", profile), (b"colr", nclx)]), upright, [56, 62]),
        ("a.mkv", "colour", mkv(full), upright, [56, 62]),
        ("a.y4m", "range", y4m("XCOLORRANGE=FULL"), upright, [50, 68]),
        ("a.mp4", "matrix", mp4(Orientation::quarters(1), &[]), turned, [40, 60]),
        ("a.mkv", "projection", mkv(rolled), turned, [40, 60]),
    ];
    let dir = tempfile::tempdir().unwrap();
    for (name, what, file, (width, height), meant) in table {
        let frame = first(dir.path(), name, &file);
        assert_eq!(frame.size(), Size { width, height }, "{name} with {what}");
        let found = [frame.y()[0], frame.u()[0]];
        let near = found[0].abs_diff(meant[0]) <= 5 && found[1].abs_diff(meant[1]) <= 3;
        assert!(near, "{name} with {what}: {found:?} where {meant:?} is right");
        // What is told otherwise has become so.
        assert_eq!(frame.colour(), Colour::default(), "{name} with {what}");
    }
}

/// Sixteen bits, a tone in one channel of so many; with a mask the extensible form.
fn wav(channels: usize, mask: Option<u32>, sounding: usize) -> Vec<u8> {
    let frames = 24_000;
    let tag: u16 = if mask.is_some() { 0xFFFE } else { 1 };
    let mut format = tag.to_le_bytes().to_vec();
    format.extend((channels as u16).to_le_bytes());
    format.extend(48_000u32.to_le_bytes());
    format.extend((48_000 * 2 * channels as u32).to_le_bytes());
    format.extend((2 * channels as u16).to_le_bytes());
    format.extend(16u16.to_le_bytes());
    if let Some(mask) = mask {
        format.extend([22, 0, 16, 0]);
        format.extend(mask.to_le_bytes());
        format.extend(*b"\x01\0\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71");
    }
    let mut file = b"RIFF\0\0\0\0WAVEfmt ".to_vec();
    file.extend((format.len() as u32).to_le_bytes());
    file.extend(format);
    file.extend_from_slice(b"data");
    file.extend((frames as u32 * 2 * channels as u32).to_le_bytes());
    for n in 0..frames {
        let tone =
            (0.5 * 32_768.0 * (n as f64 * 440.0 * std::f64::consts::TAU / 48_000.0).sin()) as i16;
        for channel in 0..channels {
            file.extend(if channel == sounding { tone } else { 0 }.to_le_bytes());
        }
    }
    file
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Side {
    Left,
    Right,
    Both,
    Neither,
}

/// In the order of WAVE: front left and right, centre, bass, back, sides.
const SIDES: [Side; 8] = [
    Side::Left,
    Side::Right,
    Side::Both,
    Side::Neither,
    Side::Left,
    Side::Right,
    Side::Left,
    Side::Right,
];

fn side_of(path: &Path) -> Side {
    let (sound, channels) = heard(path);
    assert_eq!(channels, 2, "{}", path.display());
    let middle = &sound[sound.len() / 8 * 2..sound.len() / 8 * 6];
    let loud = |side: usize| {
        let samples = middle.iter().skip(side).step_by(2);
        (samples.map(|s| s * s).sum::<f32>() / (middle.len() / 2) as f32).sqrt()
    };
    let (left, right) = (loud(0), loud(1));
    match (left > 0.02, right > 0.02) {
        (true, true) if (left / right - 1.0).abs() < 0.1 => Side::Both,
        (true, _) if left > 8.0 * right => Side::Left,
        (_, true) if right > 8.0 * left => Side::Right,
        (false, false) => Side::Neither,
        _ => panic!("{}: {left} {right}", path.display()),
    }
}

#[test]
fn every_channel_of_wav_is_heard_on_its_side() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.wav");
    for (channels, mask) in
        [(6, None), (8, None), (6, Some(0x3F)), (6, Some(0x60F)), (8, Some(0x63F))]
    {
        for (sounding, side) in SIDES.iter().enumerate().take(channels) {
            std::fs::write(&path, wav(channels, mask, sounding)).unwrap();
            assert_eq!(side_of(&path), *side, "channel {sounding} of {channels}, mask {mask:x?}");
        }
    }
    // Back and front alone: a mask that leaves places out.
    for (sounding, side) in [Side::Left, Side::Right, Side::Both].into_iter().enumerate() {
        std::fs::write(&path, wav(3, Some(0x103), sounding)).unwrap();
        assert_eq!(side_of(&path), side, "channel {sounding} with a back centre");
    }
}

fn ffmpeg(words: &[&str], to: &Path) {
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y"])
        .args(words)
        .arg(to)
        .output()
        .expect("ffmpeg; `make deps` installs it");
    assert!(made.status.success(), "{words:?}: {}", String::from_utf8_lossy(&made.stderr));
}

#[test]
fn every_channel_of_opus_and_aac_is_heard_on_its_side() {
    let dir = tempfile::tempdir().unwrap();
    for (name, codec, layout, channels) in [
        ("a.ogg", "libopus", "7.1", 8),
        ("a.mkv", "libopus", "5.1", 6),
        ("a.mp4", "aac", "5.1", 6),
        ("b.mp4", "aac", "7.1", 8),
    ] {
        let path = dir.path().join(name);
        for (sounding, side) in SIDES.iter().enumerate().take(channels) {
            let each = (0..channels).map(|n| if n == sounding { "0.5*sin(2764*t)" } else { "0" });
            let source =
                format!("aevalsrc={}:s=48000:d=1:c={layout}", each.collect::<Vec<_>>().join("|"));
            let family = ["-mapping_family", "1"];
            let family = if codec == "libopus" { &family[..] } else { &[] };
            let from = ["-f", "lavfi", "-i", &source, "-c:a", codec, "-b:a", "510k"];
            ffmpeg(&[&from[..], family].concat(), &path);
            assert_eq!(side_of(&path), *side, "{name}: channel {sounding} of {layout}");
        }
    }
}

/// Changes what the sample entry of a track, counted from 0, is called.
fn renamed(file: &mut [u8], track: usize, name: &[u8; 4]) {
    let entries = file.windows(4).enumerate().filter(|(_, four)| four == b"stsd");
    let at = entries.map(|(at, _)| at).nth(track).unwrap() + 16;
    file[at..at + 4].copy_from_slice(name);
}

#[test]
fn tracks_that_cannot_be_played_stand_beside_those_that_can() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.mp4");
    let words = dir.path().join("a.srt");
    std::fs::write(&words, "1\n00:00:00,000 --> 00:00:01,000\nHello\n\n").unwrap();
    let lavfi = |source| ["-f", "lavfi", "-i", source];
    let from = [
        lavfi("color=white:s=64x48:r=25:d=1"),
        lavfi("aevalsrc=0:s=48000:d=1"),
        lavfi("color=white:s=96x64:r=25:d=1"),
        lavfi("aevalsrc=0.5*sin(2764*t):s=48000:d=1"),
    ];
    let maps = [
        "-i",
        words.to_str().unwrap(),
        "-map",
        "4",
        "-map",
        "0",
        "-map",
        "1",
        "-map",
        "2",
        "-map",
        "3",
    ];
    let codecs = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac", "-c:s", "mov_text"];
    ffmpeg(&[&from.concat()[..], &maps, &codecs].concat(), &path);
    let mut file = std::fs::read(&path).unwrap();
    renamed(&mut file, 1, b"encv");
    renamed(&mut file, 2, b"enca");
    std::fs::write(&path, &file).unwrap();
    assert_eq!(first(dir.path(), "a.mp4", &file).size(), Size { width: 96, height: 64 });
    assert_eq!(side_of_mono(&path), Side::Both);
    // Broken where nobody looks: the time scale of the track that is not played.
    let mut broken = file.clone();
    let scale = file.windows(4).enumerate().filter(|(_, four)| four == b"mdhd");
    let scale = scale.map(|(at, _)| at + 16).nth(1).unwrap();
    broken[scale..scale + 4].fill(0);
    assert_eq!(first(dir.path(), "a.mp4", &broken).size(), Size { width: 96, height: 64 });
    for (mut file, says) in [(file, "encrypted"), (broken, "damaged (its time scale is missing)")] {
        renamed(&mut file, 3, b"encv");
        renamed(&mut file, 4, b"samr");
        std::fs::write(&path, &file).unwrap();
        let error = FileVideoSource::open(&path, &MediaOptions::default(), Timeline::default());
        let error = error.unwrap_err().to_string();
        assert!(error.ends_with(&format!("its pictures are {says}")), "{error}");
        let error = FileAudioSource::open(&path, true, Timeline::default()).unwrap_err();
        assert!(error.to_string().ends_with("its sound is encrypted"), "{error}");
    }

    let encrypted = mkv_entry(
        1,
        |_| {},
        |entry| {
            put_master(entry, 0x6D80, |all| {
                put_master(all, 0x6240, |one| {
                    put_uint(one, 0x5033, 1);
                    put_master(one, 0x5035, |how| put_uint(how, 0x47E1, 5));
                });
            });
        },
    );
    let mut subtitle = Vec::new();
    put_master(&mut subtitle, 0xAE, |entry| {
        put_uint(entry, 0xD7, 3);
        put_uint(entry, 0x83, 17);
        put_bytes(entry, 0x86, b"S_TEXT/UTF8");
    });
    let good = mkv_entry(2, |_| {}, |_| {});
    let file = mkv_of(&[&encrypted[..], &subtitle, &good].concat(), 2);
    assert_eq!(first(dir.path(), "a.mkv", &file).size(), Size { width: 64, height: 48 });
    let path = dir.path().join("b.mkv");
    std::fs::write(&path, mkv_of(&encrypted, 1)).unwrap();
    let error = FileVideoSource::open(&path, &MediaOptions::default(), Timeline::default());
    let error = error.unwrap_err().to_string();
    assert!(error.ends_with("its pictures are encrypted"), "{error}");
}

/// Of sound with one channel: whether there is any.
fn side_of_mono(path: &Path) -> Side {
    let (sound, _) = heard(path);
    let loud = sound.iter().map(|s| s * s).sum::<f32>() / sound.len() as f32;
    if loud.sqrt() > 0.1 { Side::Both } else { Side::Neither }
}

/// Whether reading to the end says that it was cut; `None` when it cannot be opened.
fn was_cut(name: &str, file: &[u8]) -> Option<bool> {
    let file = Cursor::new(file);
    Some(match name {
        "mkv" => {
            let mut reader = MkvReader::open(file).ok()?;
            reader.choose(0);
            while reader.next_packet().unwrap().is_some() {}
            reader.was_cut()
        }
        "mp4" => Mp4Reader::open(file).ok()?.was_cut(),
        "wav" => {
            let mut reader = WavReader::open(file).ok()?;
            while reader.read(480, &mut Vec::new()).unwrap() > 0 {}
            reader.was_cut()
        }
        _ => {
            let mut reader = IvfReader::open(file).ok()?;
            while reader.next_packet().unwrap().is_some() {}
            reader.was_cut()
        }
    })
}

/// Whether a fragment begins there, or the index behind them.
fn begins_box(rest: &[u8]) -> bool {
    rest.get(4..8).is_some_and(|name| name == b"moof" || name == b"mfra")
}

#[test]
fn a_file_that_is_cut_anywhere_says_so() {
    let ivf = {
        let mut file =
            b"DKIF\0\0\x20\0H264\x40\0\x30\0\x19\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0".to_vec();
        for (n, unit) in units().iter().enumerate() {
            file.extend((unit.len() as u32).to_le_bytes());
            file.extend((n as u64).to_le_bytes());
            file.extend_from_slice(unit);
        }
        file
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("front.mp4");
    let from = ["-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=2", "-c:v", "libx264"];
    ffmpeg(&[&from[..], &["-pix_fmt", "yuv420p", "-movflags", "+faststart"]].concat(), &path);
    let front = std::fs::read(&path).unwrap();
    for (name, file, steps) in [
        ("mkv", mkv(|_| {}), 1),
        ("mp4", mp4(Orientation::UPRIGHT, &[]), 7),
        ("mp4", front, 7),
        ("wav", wav(2, None, 0), 101),
        ("ivf", ivf.clone(), 1),
    ] {
        assert_eq!(was_cut(name, &file), Some(false), "{name} is whole");
        let mut packets = 0;
        for len in (file.len() / 2..file.len()).step_by(steps) {
            match was_cut(name, &file[..len]) {
                Some(true) => packets += 1,
                // Where a packet ends, or a fragment, nothing is missing that anybody could know of.
                Some(false) if name == "ivf" || begins_box(&file[len..]) => {}
                found => panic!("{name} of {len} bytes instead of {}: {found:?}", file.len()),
            }
        }
        assert!(packets > 20, "{name}");
    }
}

#[test]
fn what_begins_late_begins_at_once_with_its_sound() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("late.mkv");
    let from = ["-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=2", "-f", "lavfi", "-i"];
    let rest = ["aevalsrc=0.5*sin(2764*t):s=48000:d=2", "-c:v", "libx264", "-c:a", "libopus"];
    let late = ["-pix_fmt", "yuv420p", "-output_ts_offset", "7"];
    ffmpeg(&[&from[..], &rest, &late].concat(), &path);
    let options = MediaOptions { once: true, ..MediaOptions::default() };
    let agreed = shared(&path).unwrap().unwrap();
    assert!(agreed.origin.unwrap() > 6_500_000_000, "{agreed:?}");
    let ivf = dir.path().join("late.ivf");
    let mut file = b"DKIF\0\0\x20\0H264\x40\0\x30\0\x19\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    for (n, unit) in units().iter().enumerate() {
        file.extend((unit.len() as u32).to_le_bytes());
        file.extend((3_000_000_000 + n as u64 * 3_600).to_le_bytes());
        file.extend_from_slice(unit);
    }
    std::fs::write(&ivf, file).unwrap();
    let wave = dir.path().join("a.wav");
    std::fs::write(&wave, wav(2, None, 0)).unwrap();
    for (pictures, sound, agreed) in [(&path, &path, Some(agreed)), (&ivf, &wave, None)] {
        let timeline = Timeline::new(agreed);
        let mut video = FileVideoSource::open(pictures, &options, timeline.clone()).unwrap();
        let mut audio = FileAudioSource::open(sound, true, timeline).unwrap();
        let before = crate::clock::now();
        let seen = video.next_frame().unwrap().unwrap().captured_at();
        let heard = audio.next_frame().unwrap().unwrap().captured_at;
        assert!((crate::clock::now() - before).as_millis() < 2_000, "{}", pictures.display());
        let apart = if seen > heard { seen - heard } else { heard - seen };
        assert!(apart.as_millis() < 50, "{}: {apart:?}", pictures.display());
        let second = video.next_frame().unwrap().unwrap().captured_at();
        let step = (second - seen).as_millis();
        assert!(step % 40 <= 1 || step % 40 >= 39, "{}: {step}", pictures.display());
    }
}

#[test]
fn foreign_codecs_and_streams_are_called_by_their_names() {
    let dir = tempfile::tempdir().unwrap();
    let open = |path: &Path| {
        let options =
            MediaOptions { max_picture: MaxPicture::default(), ..MediaOptions::default() };
        let video = FileVideoSource::open(path, &options, Timeline::default());
        let audio = FileAudioSource::open(path, true, Timeline::default());
        (video.err().map(|error| error.to_string()), audio.err().map(|error| error.to_string()))
    };
    let film = ["-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=1", "-f", "lavfi", "-i"];
    let tone = ["aevalsrc=0.5*sin(2764*t):s=8000:d=1"];
    for (name, codecs, pictures, sound) in [
        ("a.mov", ["-c:v", "mjpeg", "-c:a", "pcm_s16le"], "Motion JPEG", "uncompressed (PCM)"),
        ("b.mov", ["-c:v", "mpeg4", "-c:a", "pcm_mulaw"], "MPEG-4 part 2", "\u{b5}-law"),
        ("c.mkv", ["-c:v", "mpeg2video", "-c:a", "pcm_s16le"], "MPEG-2", "uncompressed (PCM)"),
        (
            "d.mkv",
            ["-c:v", "huffyuv", "-c:a", "adpcm_ms"],
            "Huffyuv in an old wrapping (VfW)",
            "ADPCM",
        ),
        ("e.mkv", ["-c:v", "mpeg4", "-c:a", "flac"], "MPEG-4 part 2", "FLAC"),
    ] {
        let path = dir.path().join(name);
        let form = if codecs[1] == "huffyuv" { "yuv422p" } else { "yuvj420p" };
        let form = if codecs[1].starts_with("mpeg") { "yuv420p" } else { form };
        ffmpeg(&[&film[..], &tone, &["-pix_fmt", form, "-strict", "-2"], &codecs].concat(), &path);
        let (video, audio) = open(&path);
        let (video, audio) = (video.unwrap(), audio.unwrap());
        assert!(video.contains(&format!("its pictures are {pictures}, and")), "{name}: {video}");
        assert!(audio.contains(&format!("its sound is {sound}, and")), "{name}: {audio}");
    }
    for (name, codec, says) in [
        ("a.ogg", "flac", "it holds FLAC, and only Opus"),
        ("b.wav", "pcm_alaw", "its sound is A-law"),
        ("c.wav", "adpcm_ima_wav", "its sound is ADPCM"),
    ] {
        let path = dir.path().join(name);
        ffmpeg(&[&["-f", "lavfi", "-i"][..], &tone, &["-c:a", codec]].concat(), &path);
        let audio = open(&path).1.unwrap();
        assert!(audio.contains(says), "{name}: {audio}");
    }
}
