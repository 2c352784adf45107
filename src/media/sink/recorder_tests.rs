//! Recordings made of real streams, read back with our readers and judged by ffmpeg.

use std::process::Command;

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::clock;
use crate::media::codec::{table, test_support};
use crate::media::encoded::FrameTime;

const BOTH: RecorderTracks = RecorderTracks { video: true, audio: Some(2) };

/// Pictures at 25 a second, keyframes with parameter sets where the encoder puts them.
fn pictures(width: usize, height: usize, count: usize) -> Vec<Vec<u8>> {
    test_support::units((width, height), &vec![vec![0; width * height * 3 / 2]; count], 0)
}

fn packets(count: usize) -> Vec<Vec<u8>> {
    let mut encoder =
        opus::Encoder::new(48_000, opus::Channels::Stereo, opus::Application::Voip).unwrap();
    (0..count).map(|_| encoder.encode_vec_float(&[0.1; 1920], 1000).unwrap()).collect()
}

fn picture(unit: &[u8], keyframe: bool) -> EncodedFrame {
    let time = FrameTime::Captured(clock::now());
    EncodedFrame::picture(table::PICTURES[0], Bytes::copy_from_slice(unit), keyframe, time)
}

fn sound(packet: &[u8]) -> EncodedFrame {
    let time = FrameTime::Captured(clock::now());
    EncodedFrame::sound(Codec::Opus, Bytes::copy_from_slice(packet), 960, time)
}

/// Records two seconds at each size: sound from the start, the first picture after 100 ms.
fn record(path: &Path, sizes: &[(usize, usize)]) -> Recorder {
    let mut recorder = Recorder::create(path, BOTH).unwrap();
    let start = Duration::from_secs(1000);
    let all: Vec<(Vec<u8>, bool)> = sizes
        .iter()
        .flat_map(|(w, h)| pictures(*w, *h, 50).into_iter().enumerate())
        .map(|(n, unit)| (unit, n == 0))
        .collect();
    for (n, packet) in packets(all.len() * 2 + 5).iter().enumerate() {
        let at = start + Duration::from_millis(n as u64 * 20);
        recorder.take(&sound(packet), at).unwrap();
        if n >= 5 && n % 2 == 1 && (n - 5) / 2 < all.len() {
            let (unit, keyframe) = &all[(n - 5) / 2];
            recorder.take(&picture(unit, *keyframe), at).unwrap();
        }
    }
    recorder
}

fn run(command: &str, args: &[&str], path: &Path) -> String {
    let output = Command::new(command)
        .args(args)
        .arg(path)
        .args(if command == "ffmpeg" { &["-f", "null", "-"][..] } else { &[] })
        .output()
        .expect("ffmpeg must be installed: run `make deps`");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    format!("{}{}", text(output.stdout), text(output.stderr))
}

fn probe(path: &Path, what: &str) -> String {
    run("ffprobe", &["-v", "error", "-show_entries", what, "-of", "csv=p=0"], path)
}

fn duration(path: &Path) -> f64 {
    let text = probe(path, "format=duration");
    text.trim().parse().unwrap_or_else(|_| panic!("{text}"))
}

#[test]
fn a_recording_plays_without_a_word_from_ffmpeg_and_has_its_length() {
    let dir = TempDir::new().unwrap();
    for name in ["a.mkv", "a.mp4"] {
        let path = dir.path().join(name);
        record(&path, &[(64, 48)]).finish().unwrap();
        assert_eq!(run("ffmpeg", &["-v", "error", "-i"], &path), "", "{name}");
        assert!((duration(&path) - 2.1).abs() < 0.1, "{name}: {}", duration(&path));
        let streams = probe(&path, "stream=codec_name,width,height,channels");
        assert!(streams.contains("h264,64,48") && streams.contains("opus,2"), "{streams}");
        let starts = probe(&path, "stream=start_time");
        for start in starts.lines() {
            // The first picture comes 100 ms after the sound.
            assert!(start.trim().parse::<f64>().unwrap().abs() < 0.11, "{name}: {starts}");
        }
    }
}

#[test]
fn a_change_of_size_is_followed() {
    let dir = TempDir::new().unwrap();
    for name in ["a.mkv", "a.mp4"] {
        let path = dir.path().join(name);
        record(&path, &[(64, 48), (96, 64)]).finish().unwrap();
        assert_eq!(run("ffmpeg", &["-v", "error", "-i"], &path), "", "{name}");
        let frames = probe(&path, "frame=width,height");
        let count = |size: &str| frames.lines().filter(|line| line.starts_with(size)).count();
        assert_eq!((count("64,48"), count("96,64")), (50, 50), "{name}: {frames}");
    }
}

#[test]
fn a_recording_that_was_killed_plays_to_the_last_second() {
    let dir = TempDir::new().unwrap();
    for name in ["a.mkv", "a.mp4"] {
        let path = dir.path().join(name);
        std::mem::drop(record(&path, &[(64, 48)]));
        let copy = std::fs::read(&path).unwrap();
        // Cut in the middle of the last piece, too.
        for cut in [copy.len(), copy.len() - 7] {
            std::fs::write(&path, &copy[..cut]).unwrap();
            let frames = probe(&path, "frame=media_type");
            let pictures = frames.lines().filter(|line| line.starts_with("video")).count();
            assert!(pictures >= 25, "{name}: {pictures} of 50");
        }
    }
}

#[test]
fn a_recording_plays_as_a_source() {
    use crate::media::source::file::{FileAudioSource, FileVideoSource, shared};
    use crate::media::source::timeline::Timeline;
    use crate::media::source::{AudioSource, MediaOptions, VideoSource};
    let dir = TempDir::new().unwrap();
    for name in ["a.mkv", "a.mp4"] {
        let path = dir.path().join(name);
        record(&path, &[(64, 48)]).finish().unwrap();
        let length = shared(&path).unwrap().unwrap().period.unwrap().as_secs_f64();
        assert!((length - 2.1).abs() < 0.1, "{name}: {length}");
        let options = MediaOptions {
            video: path.to_str().unwrap().parse().unwrap(),
            audio: path.to_str().unwrap().parse().unwrap(),
            once: true,
            ..MediaOptions::default()
        };
        let mut video = FileVideoSource::open(&path, &options, Timeline::default()).unwrap();
        assert_eq!(video.next_frame().unwrap().unwrap().size().to_string(), "64x48");
        let mut audio = FileAudioSource::open(&path, true, Timeline::default()).unwrap();
        assert_eq!(audio.next_frame().unwrap().unwrap().channels, 2);
    }
}

#[test]
fn sound_alone_is_recorded_and_lost_packets_leave_a_gap() {
    let dir = TempDir::new().unwrap();
    for name in ["a.mkv", "a.mp4"] {
        let path = dir.path().join(name);
        let tracks = RecorderTracks { video: false, audio: Some(2) };
        let mut recorder = Recorder::create(&path, tracks).unwrap();
        for (n, packet) in packets(100).iter().enumerate().filter(|(n, _)| !(40..60).contains(n)) {
            recorder.take(&sound(packet), Duration::from_millis(n as u64 * 20)).unwrap();
        }
        recorder.finish().unwrap();
        assert!((duration(&path) - 2.0).abs() < 0.1, "{name}: {}", duration(&path));
        assert_eq!(run("ffmpeg", &["-v", "error", "-i"], &path), "", "{name}");
    }
}

#[test]
fn sound_that_a_file_cannot_hold_is_left_out() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.mkv");
    let mut recorder = Recorder::create(&path, BOTH).unwrap();
    let other = EncodedFrame { codec: Codec::Aac, ..sound(&[1, 2, 3]) };
    recorder.take(&other, Duration::ZERO).unwrap();
    assert!(!recorder.finish().unwrap() && !path.exists());
}

/// Sound from the start, pictures only after so many milliseconds.
fn late(path: &Path, late_ms: u64) {
    let mut recorder = Recorder::create(path, BOTH).unwrap();
    for (n, packet) in packets(100).iter().enumerate() {
        recorder.take(&sound(packet), Duration::from_millis(n as u64 * 20)).unwrap();
    }
    let packet = &packets(1)[0];
    for (n, unit) in pictures(64, 48, 25).iter().enumerate() {
        let at = Duration::from_millis(late_ms + n as u64 * 40);
        recorder.take(&sound(packet), at).unwrap();
        recorder.take(&picture(unit, n == 0), at).unwrap();
    }
    recorder.finish().unwrap();
}

#[test]
fn pictures_that_begin_eight_seconds_or_minutes_later_are_in_the_file() {
    let dir = TempDir::new().unwrap();
    for name in ["a.mkv", "a.mp4"] {
        for late_ms in [8_000, 480_000] {
            let path = dir.path().join(name);
            late(&path, late_ms);
            assert_eq!(run("ffmpeg", &["-v", "error", "-i"], &path), "", "{name}");
            let times = probe(&path, "frame=media_type,pts_time");
            let pictures: Vec<&str> = times.lines().filter(|l| l.starts_with("video")).collect();
            assert_eq!(pictures.len(), 25, "{name}: {times}");
            let first: f64 = pictures[0].trim_end_matches(',')[6..].parse().unwrap();
            assert!((first - late_ms as f64 / 1e3).abs() < 0.01, "{name}: {first}");
        }
    }
}

/// The boxes that lie side by side in `data`, with their names.
fn boxes(data: &[u8]) -> Vec<(&[u8], &[u8])> {
    let (mut rest, mut found) = (data, Vec::new());
    while rest.len() >= 8 {
        let len = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
        found.push((&rest[4..8], &rest[8..len]));
        rest = &rest[len..];
    }
    found
}

/// Where each track can be begun with, by the index at the end of the file.
fn index(data: &[u8]) -> Vec<(u32, Vec<(u64, usize)>)> {
    let size = u32::from_be_bytes(data[data.len() - 4..].try_into().unwrap()) as usize;
    let mfra = boxes(&data[data.len() - size..]);
    assert_eq!(mfra[0].0, b"mfra");
    let tfras = boxes(mfra[0].1).into_iter().filter(|(name, _)| *name == b"tfra");
    let long = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().unwrap());
    tfras
        .map(|(_, tfra)| {
            let track = u32::from_be_bytes(tfra[4..8].try_into().unwrap());
            let entries = tfra[16..].chunks(19);
            let places = entries.map(|e| (long(&e[..8]), long(&e[8..16]) as usize));
            (track, places.collect())
        })
        .collect()
}

#[test]
fn a_player_seeks_in_tracks_that_began_late() {
    let dir = TempDir::new().unwrap();
    for (name, late) in [("a.mp4", 0u64), ("a.mp4", 8_000), ("a.mp4", 90_000), ("a.mkv", 8_000)] {
        let path = dir.path().join(name);
        let mut recorder = Recorder::create(&path, BOTH).unwrap();
        let packet = &packets(1)[0];
        let mut films = (0..6).flat_map(|_| {
            pictures(64, 48, 25).into_iter().enumerate().map(|(n, unit)| (unit, n == 0))
        });
        for at in (0..late + 6_000).step_by(20) {
            let time = Duration::from_millis(at);
            recorder.take(&sound(packet), time).unwrap();
            if at >= late && at % 40 == 0 {
                let (unit, keyframe) = films.next().unwrap();
                recorder.take(&picture(&unit, keyframe), time).unwrap();
            }
        }
        recorder.finish().unwrap();
        assert_eq!(run("ffmpeg", &["-v", "error", "-i"], &path), "", "{name}");
        let data = std::fs::read(&path).unwrap();
        if name == "a.mp4" {
            let index = index(&data);
            let tracks: Vec<u32> = index.iter().map(|(track, _)| *track).collect();
            assert_eq!(tracks, [1, 2]);
            let (video, audio) = (&index[0].1, &index[1].1);
            let times: Vec<u64> = video.iter().map(|(at, _)| *at).collect();
            assert_eq!(times, [0, 90_000, 180_000, 270_000, 360_000, 450_000]);
            assert!(audio.len() as u64 > late / 6_000, "{audio:?}");
            for (_, place) in video.iter().chain(audio) {
                assert_eq!(&data[place + 4..place + 8], b"moof", "{late}: {place}");
            }
        }
        let sought = |stream: &str, seconds: f64| -> f64 {
            let interval = format!("{seconds}%+#1");
            let entries = ["-select_streams", stream, "-show_entries", "packet=pts_time"];
            let args = [&["-v", "error"][..], &entries, &["-of", "csv=p=0", "-read_intervals"]];
            let said = run("ffprobe", &[args.concat(), vec![&interval]].concat(), &path);
            said.trim().trim_end_matches(',').parse().unwrap_or_else(|_| panic!("{said}"))
        };
        let begins = late as f64 / 1e3;
        for second in [0.5, 2.5, 4.2] {
            let found = sought("v", begins + second);
            let right = begins + second.floor();
            // By the index at the beginning ffprobe goes further back, in files of its own too.
            let before = if name == "a.mp4" && late == 0 { 2.05 } else { 0.05 };
            let is_right = (right - before..right + 0.05).contains(&found);
            assert!(is_right, "{name} {late}: {found} for {right}");
        }
        let found = sought("a", begins + 3.0);
        assert!((found - begins - 3.0).abs() < 2.1, "{name} {late}: {found}");
    }
}

#[test]
fn wide_samples_are_told_by_the_head_of_the_file() {
    use crate::media::container::annexb::AnnexBReader;
    use crate::media::container::mkv::MkvReader;
    use crate::media::container::mp4::Mp4Reader;
    let dir = TempDir::new().unwrap();
    let stream = dir.path().join("a.h264");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i"])
        .args(["testsrc2=s=360x288:r=25:d=1,setsar=64/45", "-c:v", "libx264"])
        .args(["-profile:v", "baseline", "-pix_fmt", "yuv420p"])
        .arg(&stream)
        .status();
    assert!(made.unwrap().success());
    let stream = std::fs::read(stream).unwrap();
    for name in ["a.mkv", "a.mp4"] {
        let path = dir.path().join(name);
        let mut recorder = Recorder::create(&path, BOTH).unwrap();
        let mut units = AnnexBReader::new(std::io::Cursor::new(&stream));
        for index in 0..10 {
            let unit = units.next_unit().unwrap().unwrap();
            recorder
                .take(&picture(&unit, index == 0), Duration::from_millis(index as u64 * 40))
                .unwrap();
        }
        recorder.finish().unwrap();
        let file = std::fs::File::open(&path).unwrap();
        let showing = match name {
            "a.mkv" => MkvReader::open(file).unwrap().tracks[0].showing,
            _ => Mp4Reader::open(file).unwrap().tracks[0].showing,
        };
        assert_eq!(showing.aspect, Some((64, 45)), "{name}");
        assert_eq!(showing.shown(360, 288), (512, 288), "{name}");
        let ratio = probe(&path, "stream=sample_aspect_ratio");
        assert_eq!(ratio.trim().trim_end_matches(','), "64:45", "{name}");
        assert_eq!(run("ffmpeg", &["-v", "error", "-i"], &path), "", "{name}");
    }
}

#[test]
fn a_recording_that_was_removed_or_moved_says_so() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.mkv");
    let recorder = record(&path, &[(64, 48)]);
    std::fs::rename(&path, dir.path().join("b.mkv")).unwrap();
    let error = recorder.finish().unwrap_err().to_string();
    assert!(error.contains("was moved"), "{error}");
    assert_eq!(run("ffmpeg", &["-v", "error", "-i"], &dir.path().join("b.mkv")), "");
    let mut recorder = record(&path, &[(64, 48)]);
    std::fs::remove_file(&path).unwrap();
    let packet = &packets(1)[0];
    let told = (0..100).find_map(|n| {
        recorder.take(&sound(packet), Duration::from_millis(1_010_000 + n * 20)).err()
    });
    assert!(told.unwrap().to_string().contains("was removed"));
    assert!(recorder.finish().is_ok(), "it is said once");
}

#[test]
fn sound_that_begins_later_is_in_the_file() {
    let dir = TempDir::new().unwrap();
    for name in ["a.mkv", "a.mp4"] {
        let path = dir.path().join(name);
        let mut recorder = Recorder::create(&path, BOTH).unwrap();
        for (n, unit) in pictures(64, 48, 50).iter().enumerate() {
            recorder.take(&picture(unit, n == 0), Duration::from_millis(n as u64 * 40)).unwrap();
        }
        for (n, packet) in packets(50).iter().enumerate() {
            let at = Duration::from_millis(2_000 + n as u64 * 20);
            recorder.take(&sound(packet), at).unwrap();
        }
        recorder.finish().unwrap();
        assert_eq!(run("ffmpeg", &["-v", "error", "-i"], &path), "", "{name}");
        assert!((duration(&path) - 3.0).abs() < 0.1, "{name}: {}", duration(&path));
    }
}

#[test]
fn silence_of_which_nothing_was_sent_is_no_hole() {
    let dir = TempDir::new().unwrap();
    for name in ["a.mkv", "a.mp4"] {
        let path = dir.path().join(name);
        let mut recorder = Recorder::create(&path, BOTH).unwrap();
        for (n, packet) in packets(200).iter().enumerate() {
            // As DTX does: one packet in twenty.
            if n < 50 || n % 20 == 0 {
                recorder.take(&sound(packet), Duration::from_millis(n as u64 * 20)).unwrap();
            }
        }
        recorder.finish().unwrap();
        let times = probe(&path, "packet=pts_time");
        let times: Vec<f64> =
            times.lines().map(|line| line.trim_end_matches(',').parse().unwrap()).collect();
        assert!(times.len() > 180, "{name}: {}", times.len());
        for pair in times.windows(2) {
            assert!(pair[1] - pair[0] < 0.03, "{name}: {pair:?}");
        }
        assert_eq!(run("ffmpeg", &["-v", "error", "-i"], &path), "", "{name}");
    }
}

#[test]
fn turned_pictures_stand_upright_in_players() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.mp4");
    let mut recorder = Recorder::create(&path, BOTH).unwrap();
    for (n, unit) in pictures(64, 48, 5).iter().enumerate() {
        let orientation = Orientation::quarters(1);
        let turned = EncodedFrame { orientation, ..picture(unit, n == 0) };
        recorder.take(&turned, Duration::from_millis(n as u64 * 40)).unwrap();
    }
    recorder.finish().unwrap();
    // ffprobe tells turns counter-clockwise.
    let rotation = probe(&path, "stream_side_data=rotation");
    assert_eq!(rotation.trim().trim_end_matches(','), "-90", "{rotation}");
    let path = dir.path().join("a.mkv");
    let mut recorder = Recorder::create(&path, BOTH).unwrap();
    let orientation = Orientation::quarters(3);
    let turned = EncodedFrame { orientation, ..picture(&pictures(64, 48, 1)[0], true) };
    recorder.take(&turned, Duration::ZERO).unwrap();
    recorder.finish().unwrap();
    let data = std::fs::read(&path).unwrap();
    let mkv = crate::media::container::mkv::MkvReader::open(std::io::Cursor::new(data)).unwrap();
    assert_eq!(mkv.tracks[0].showing.orientation, Orientation::quarters(3));
}

#[test]
fn an_old_file_is_replaced_when_something_came_and_stays_when_nothing_did() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.mkv");
    let link = dir.path().join("link.mkv");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let only = || std::fs::read_dir(dir.path()).unwrap().count() == 2;
    for named in [&path, &link] {
        std::fs::write(&path, "precious").unwrap();
        let recorder = Recorder::create(named, BOTH).unwrap();
        assert!(!recorder.finish().unwrap());
        drop(Recorder::create(named, BOTH).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
        record(named, &[(64, 48)]).finish().unwrap();
        assert_eq!(run("ffmpeg", &["-v", "error", "-i"], &path), "");
        assert!(only() && link.is_symlink());
    }
}

#[test]
fn what_cannot_be_written_fails_before_the_call() {
    let dir = TempDir::new().unwrap();
    let create = |path: PathBuf| Recorder::create(&path, BOTH).unwrap_err().to_string();
    assert!(create(dir.path().join("a.avi")).contains(".mkv or .mp4"));
    assert!(create(dir.path().join("none/a.mkv")).contains("cannot write"));
    std::fs::create_dir(dir.path().join("d.mkv")).unwrap();
    assert!(create(dir.path().join("d.mkv")).contains("directory"));
}

#[test]
fn where_nothing_came_no_file_stays() {
    let dir = TempDir::new().unwrap();
    for finishes in [true, false] {
        let path = dir.path().join("a.mkv");
        let recorder = Recorder::create(&path, BOTH).unwrap();
        assert!(path.exists());
        if finishes {
            assert!(!recorder.finish().unwrap());
        } else {
            drop(recorder);
        }
        assert!(!path.exists());
    }
}

#[test]
fn a_full_disk_is_said_once() {
    let full = Path::new("/dev/full");
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.mkv");
    std::os::unix::fs::symlink(full, &path).unwrap();
    let mut recorder = Recorder::create(&path, BOTH).unwrap();
    let unit = &pictures(64, 48, 1)[0];
    let error = recorder.take(&picture(unit, true), Duration::ZERO).unwrap_err();
    assert!(error.to_string().contains("cannot write"), "{error}");
    recorder.take(&picture(unit, true), Duration::from_secs(1)).unwrap();
    recorder.take(&sound(&[1, 2, 3]), Duration::from_secs(1)).unwrap();
    recorder.finish().unwrap();
}

/// Reads everything that a damaged recording still gives.
fn read_all(data: &[u8]) {
    use std::io::Cursor;

    use crate::media::container::mkv::MkvReader;
    use crate::media::container::mp4::Mp4Reader;
    if let Ok(mut mp4) = Mp4Reader::open(Cursor::new(data)) {
        for track in 0..mp4.tracks.len() {
            for index in 0..mp4.tracks[track].len() {
                let _ = mp4.packet(track, index);
            }
        }
    }
    let Ok(mut mkv) = MkvReader::open(Cursor::new(data)) else { return };
    for track in 0..mkv.tracks.len() {
        mkv.choose(track);
        let _ = mkv.rewind();
        let _ = mkv.span();
        let _ = mkv.rewind();
        // Each packet takes at least a byte: more of them would be a circle.
        for _ in 0..data.len() {
            if !matches!(mkv.next_packet(), Ok(Some(_))) {
                break;
            }
        }
    }
}

fn recordings() -> &'static [Vec<u8>] {
    static FILES: std::sync::OnceLock<Vec<Vec<u8>>> = std::sync::OnceLock::new();
    FILES.get_or_init(|| {
        let dir = TempDir::new().unwrap();
        ["a.mkv", "a.mp4"]
            .iter()
            .map(|name| {
                let path = dir.path().join(name);
                record(&path, &[(64, 48)]).finish().unwrap();
                std::fs::read(path).unwrap()
            })
            .collect()
    })
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(400))]

    #[test]
    fn damage_never_panics(
        which in 0usize..2,
        cut in 0usize..60_000,
        flips in proptest::collection::vec((0usize..3_000, 0u8..8), 1..6),
    ) {
        let mut data = recordings()[which].clone();
        for (at, bit) in flips {
            let at = at % data.len();
            data[at] ^= 1 << bit;
        }
        data.truncate(cut.max(32));
        read_all(&data);
    }
}
