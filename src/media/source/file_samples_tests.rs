//! The files of `tests/media`, each with what is right, judged by ffmpeg where it can judge.

use std::process::Command;
use std::time::Duration;

use super::pcm::Pcm;
use super::pictures::Pictures;
use super::*;
use crate::clock;
use crate::media::codec::{VideoEncoderSettings, table};
use crate::media::frame::{FramePool, MaxPicture, Size, VideoFrame};
use crate::media::showing::{Matrix, Orientation};
use crate::media::source::timeline::Timeline;
use crate::media::source::{AudioSource, MediaOptions, VideoSource};
use crate::media::upright::Upright;

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/media").join(name)
}

/// All pictures as they are shown, each with its time in the file.
fn shown(path: &Path) -> Vec<(i64, VideoFrame)> {
    let mut pictures = Pictures::open(path, MaxPicture::default()).unwrap();
    let (mut upright, pool) = (Upright::default(), FramePool::new());
    let (showing, size) = (pictures.showing, pictures.size);
    let mut seen = Vec::new();
    let mut show = |at: i64, planes: crate::media::scale::Planes<'_>| {
        let mut frame = pool.take(size, clock::now());
        upright.draw(planes, &showing, &mut frame);
        seen.push((at, frame));
    };
    while pictures.step(&mut show).unwrap() {}
    assert!(!seen.is_empty(), "{}", path.display());
    seen
}

/// All sound, interleaved, with its channels.
pub(super) fn heard(path: &Path) -> (Vec<f32>, usize) {
    let mut pcm = Pcm::open(path, None).unwrap();
    let mut out = Vec::new();
    while pcm.read(&mut out).unwrap() {}
    (out, pcm.channels)
}

fn ffmpeg(path: &Path, args: &[&str]) -> Vec<u8> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(path)
        .args(args)
        .arg("-")
        .output()
        .expect("ffmpeg must be installed: run `make deps`");
    output.stdout
}

/// The mean difference of luma to the picture that ffmpeg shows first.
fn off(frame: &VideoFrame, path: &Path) -> f64 {
    let (width, height) = (frame.size().width, frame.size().height);
    let theirs = ffmpeg(path, &["-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "yuv420p"]);
    assert_eq!(theirs.len(), frame.size().i420_len(), "{width}x{height}: {}", path.display());
    let apart = frame.y().iter().zip(&theirs).map(|(a, b)| u64::from(a.abs_diff(*b)));
    apart.sum::<u64>() as f64 / frame.y().len() as f64
}

#[test]
fn a_turned_picture_stands_upright_whichever_of_eight_ways_it_is_turned() {
    let data = std::fs::read(sample("turned-90.mp4")).unwrap();
    assert_eq!(shown(&sample("turned-90.mp4"))[0].1.size(), Size { width: 136, height: 320 });
    let tkhd = data.windows(4).position(|four| four == b"tkhd").unwrap();
    let matrix = tkhd + 4 + 40;
    let dir = tempfile::tempdir().unwrap();
    for n in 0..8 {
        let orientation =
            Orientation { transposed: n & 1 > 0, mirrored: n & 2 > 0, flipped: n & 4 > 0 };
        let mut turned = data.clone();
        let [a, b, c, d] = orientation.matrix().map(|unit| (unit as i32) << 16);
        for (at, value) in [(0, a), (4, b), (12, c), (16, d)] {
            turned[matrix + at..matrix + at + 4].copy_from_slice(&value.to_be_bytes());
        }
        for ending in ["mp4", "mov"] {
            let path = dir.path().join(format!("turned.{ending}"));
            std::fs::write(&path, &turned).unwrap();
            let off = off(&shown(&path)[0].1, &path);
            assert!(off < 2.0, "{orientation:?} {ending}: {off}");
        }
    }
}

/// What the stream says that is made of a picture.
fn told(frame: &VideoFrame) -> crate::media::showing::ColourHint {
    let settings = VideoEncoderSettings { size: frame.size(), fps: 25.0, bitrate: 1_000_000 };
    let codec = table::PICTURES[0];
    let mut encoder = table::video_encoder(codec, settings).unwrap();
    let encoded = encoder.encode(frame).unwrap().unwrap();
    table::stream_head(codec, &encoded.data, MaxPicture::default()).unwrap().unwrap().colour
}

#[test]
fn colours_are_told_as_they_are() {
    let limited = &shown(&sample("bt601-patches.mp4"))[0].1;
    let colour = told(limited);
    assert_eq!((colour.matrix, colour.full_range), (Some(Matrix::Bt601), Some(false)));
    assert!(off(limited, &sample("bt601-patches.mp4")) < 0.5, "luma stays as it is");
    let full = &shown(&sample("full-range-patches.mp4"))[0].1;
    let colour = told(full);
    assert_eq!((colour.matrix, colour.full_range), (Some(Matrix::Bt601), Some(false)));
    let scale =
        "scale=in_range=full:in_color_matrix=bt709:out_range=limited:out_color_matrix=bt601";
    let range = ["-vf", scale, "-frames:v", "1"];
    let raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p"];
    let theirs = ffmpeg(&sample("full-range-patches.mp4"), &[&range[..], &raw].concat());
    // It goes by way of red, green and blue, which smears the edges of the patches.
    let far = full.i420().iter().zip(&theirs).filter(|(a, b)| a.abs_diff(**b) > 2).count();
    assert!(far * 50 < full.i420().len(), "{far} of {}", full.i420().len());
}

#[test]
fn wide_samples_are_spread() {
    let frames = shown(&sample("wide-pixels-sps.mp4"));
    assert_eq!(frames[0].1.size(), Size { width: 512, height: 288 });
}

#[test]
fn what_a_decoder_need_not_know_is_passed_over() {
    for (name, count) in [("prefix-nal-own.mp4", 48), ("level-6.mp4", 95)] {
        let frames = shown(&sample(name));
        assert!(frames.len() >= count, "{name}: {}", frames.len());
        // Of the other one ffmpeg shows a picture from before the first edit.
        if name == "level-6.mp4" {
            let off = off(&frames[0].1, &sample(name));
            assert!(off < 1.0, "{name}: {off}");
        }
    }
}

#[test]
fn a_file_without_an_idr_plays_from_where_it_can() {
    let path = sample("no-idr.mkv");
    let frames = shown(&path);
    // Two of 272 are shown before the recovery point, and build on what is not there.
    assert_eq!(frames.len(), 270);
    assert!(off(&frames[0].1, &path) < 1.0, "no grey is left in the first picture");
    let times: Vec<i64> = frames.iter().map(|(at, _)| at / 1_000_000).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert!(times[0] < 1_500 && times[times.len() - 1] > 8_500, "{times:?}");
    let shared = shared(&path).unwrap().unwrap();
    let (sound, channels) = heard(&path);
    let seconds = sound.len() as f64 / channels as f64 / 48_000.0;
    assert!((seconds - shared.period.unwrap().as_secs_f64()).abs() < 0.2, "{seconds} {shared:?}");
}

/// A stream that renews its pictures column by column, without its first second: it goes on at a
/// recovery point from which it takes a second until they are right.
#[test]
fn a_file_that_begins_while_its_pictures_are_renewed_shows_none_before_they_are_right() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole.h264");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", "testsrc2=s=320x176:r=25:d=4"])
        .args(["-c:v", "libx264", "-x264-params", "intra-refresh=1:keyint=25:bframes=0:threads=1"])
        .args(["-pix_fmt", "yuv420p"])
        .arg(&whole)
        .status();
    assert!(made.expect("ffmpeg; `make deps` installs it").success());
    let stream = std::fs::read(&whole).unwrap();
    let cut = stream.windows(5).skip(5).position(|five| five == [0, 0, 0, 1, 0x67]).unwrap() + 5;
    let cut_off = dir.path().join("cut.h264");
    std::fs::write(&cut_off, &stream[cut..]).unwrap();
    let before = shown(&whole).len() - 75;
    assert_eq!(before, 25, "keyframes stand where this test thinks");
    let raw = ffmpeg(&whole, &["-f", "rawvideo", "-pix_fmt", "yuv420p"]);
    let frames = shown(&cut_off);
    for (at, frame) in &frames {
        let number = before + (*at as f64 / 40e6).round() as usize;
        let theirs = &raw[number * frame.i420().len()..][..frame.y().len()];
        let apart = frame.y().iter().zip(theirs).map(|(a, b)| u64::from(a.abs_diff(*b)));
        let off = apart.sum::<u64>() as f64 / frame.y().len() as f64;
        assert!(off < 0.5, "picture {number}: {off}");
    }
    // Nor are pictures kept back that are right.
    assert!((40..75).contains(&frames.len()), "{}", frames.len());
}

#[test]
fn what_begins_late_begins_at_once() {
    let path = sample("fragments-begin-at-4s.mp4");
    let shared = shared(&path).unwrap().unwrap();
    let origin = shared.origin.unwrap();
    assert!((4_000_000_000..4_200_000_000).contains(&origin), "{shared:?}");
    let options = MediaOptions { once: true, ..MediaOptions::default() };
    for timeline in [Timeline::default(), Timeline::new(Some(shared))] {
        let mut video = FileVideoSource::open(&path, &options, timeline.clone()).unwrap();
        let mut audio = FileAudioSource::open(&path, true, timeline).unwrap();
        let before = clock::now();
        video.next_frame().unwrap().unwrap();
        audio.next_frame().unwrap().unwrap();
        assert!(clock::now() - before < Duration::from_secs(2));
    }
}

#[test]
fn what_was_not_copied_whole_plays_and_says_so_once() {
    let pictures = shown(&sample("cut-finished.mkv"));
    assert!(pictures.len() > 60, "{}", pictures.len());
    assert!(shown(&sample("cut-last-packet.ivf")).len() >= 30);
    let (sound, channels) = heard(&sample("cut-ogg.ogg"));
    assert!(sound.len() / channels > 48_000 * 5 / 2, "{}", sound.len());
    let path = sample("cut-last-packet.ivf");
    let options = MediaOptions { fps: Some(1000.0), ..MediaOptions::default() };
    let mut video = FileVideoSource::open(&path, &options, Timeline::default()).unwrap();
    let mut told = Vec::new();
    for _ in 0..70 {
        video.next_frame().unwrap().unwrap();
        told.extend(video.notice());
    }
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].message.contains("is incomplete"), "{told:?}");
}

#[test]
fn a_track_that_nobody_asked_for_decides_nothing_and_six_channels_are_mixed_down() {
    let path = sample("h264-with-six-channel-opus.mkv");
    assert!(shown(&path).len() > 200);
    let (sound, channels) = heard(&path);
    assert_eq!(channels, 2);
    let loud = sound.iter().map(|s| s * s).sum::<f32>() / sound.len() as f32;
    assert!(loud.sqrt() > 0.005, "{loud}");
}

#[test]
fn more_channels_of_aac_are_mixed_down() {
    let dir = tempfile::tempdir().unwrap();
    for layout in ["5.1", "3.0", "5.0", "7.1"] {
        let path = dir.path().join("many.mp4");
        let made = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i"])
            .arg(format!("aevalsrc=0.3*sin(440*2*PI*t):d=2:s=48000:c={layout}"))
            .args(["-af", &format!("aformat=channel_layouts={layout}"), "-c:a", "aac"])
            .arg(&path)
            .status();
        assert!(made.expect("ffmpeg; `make deps` installs it").success(), "{layout}");
        let (sound, channels) = heard(&path);
        assert_eq!(channels, 2, "{layout}");
        let seconds = sound.len() as f64 / 96_000.0;
        assert!((seconds - 2.0).abs() < 0.05, "{layout}: {seconds}");
        let middle = &sound[sound.len() / 4..sound.len() * 3 / 4];
        let loud = middle.iter().map(|s| s * s).sum::<f32>() / middle.len() as f32;
        assert!(loud.sqrt() > 0.02, "{layout}: {loud}");
    }
}

#[test]
fn sound_follows_its_time_stamps() {
    let (sound, channels) = heard(&sample("sound-clock-2-percent-fast.mkv"));
    let seconds = sound.len() as f64 / channels as f64 / 48_000.0;
    assert!((seconds - 16.0).abs() < 0.1, "{seconds}");
}

fn decibels(sound: &[f32]) -> f32 {
    let square = sound.iter().map(|s| s * s).sum::<f32>() / sound.len().max(1) as f32;
    10.0 * square.max(1e-12).log10()
}

#[test]
fn the_gain_of_the_header_is_applied() {
    let path = sample("opus-gain-minus12.ogg");
    let theirs = ffmpeg(&path, &["-f", "f32le", "-ar", "48000"]);
    let theirs: Vec<f32> = theirs.as_chunks().0.iter().map(|s| f32::from_le_bytes(*s)).collect();
    let (ours, _) = heard(&path);
    assert!((decibels(&ours) - decibels(&theirs)).abs() < 0.5, "{}", decibels(&ours));
    // It is in the header of the codec, whatever container has that.
    let dir = tempfile::tempdir().unwrap();
    for name in ["gain.mkv", "gain.webm", "gain.mp4"] {
        let copy = dir.path().join(name);
        let made = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-y", "-i"])
            .arg(&path)
            .args(["-c", "copy"])
            .arg(&copy)
            .status();
        assert!(made.expect("ffmpeg; `make deps` installs it").success(), "{name}");
        let apart = decibels(&heard(&copy).0) - decibels(&ours);
        assert!(apart.abs() < 0.5, "{name}: {apart}");
    }
}

#[test]
fn an_end_inside_a_packet_leaves_no_hole() {
    let (sound, channels) = heard(&sample("two-second-tone.mkv"));
    let samples = sound.len() / channels;
    assert!(samples.abs_diff(96_000) <= 48, "{samples}");
    let end = &sound[sound.len() - 480 * channels..];
    assert!(decibels(end) > decibels(&sound) - 3.0, "{}", decibels(end));
}

#[test]
fn streams_that_are_chained_are_all_heard() {
    let (sound, channels) = heard(&sample("chained.ogg"));
    let seconds = sound.len() as f64 / channels as f64 / 48_000.0;
    assert!(seconds > 7.0, "{seconds}");
    let second = &sound[sound.len() * 5 / 8..sound.len() * 7 / 8];
    assert!(decibels(second) > -60.0, "{}", decibels(second));
}

#[test]
fn a_codec_that_we_do_not_play_has_its_usual_name() {
    let error = FileAudioSource::open(&sample("mp3-in-mp4.mp4"), true, Timeline::default());
    let error = error.unwrap_err().to_string();
    assert!(error.contains("its sound is MP3"), "{error}");
    assert!(shown(&sample("mp3-in-mp4.mp4")).len() > 200, "its pictures play");
}

#[test]
fn a_stream_plays_as_it_comes() {
    use super::input::Input;
    for name in ["cut-last-packet.ivf", "turned-90.mp4", "chained.ogg", "cut-finished.mkv"] {
        let file = std::fs::File::open(sample(name)).unwrap();
        let opened = known(Input::stream(Box::new(file)), false).unwrap();
        match opened.kind {
            Kind::Ogg => {
                let mut pcm = Pcm::of(opened, None).unwrap();
                let mut out = Vec::new();
                while pcm.read(&mut out).unwrap() {}
                assert!(out.len() > 48_000, "{name}");
            }
            // Its index may stand at the end, which a stream does not show before.
            Kind::Mp4 => assert!(Pictures::of(opened, MaxPicture::default()).is_err(), "{name}"),
            _ => {
                let mut pictures = Pictures::of(opened, MaxPicture::default()).unwrap();
                let mut count = 0;
                while pictures.step(&mut |_, _| count += 1).unwrap() {}
                assert!(count > 30, "{name}: {count}");
            }
        }
    }
}
