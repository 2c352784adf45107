//! Hours of rounds through files, in seconds: the time line lies in the past, so that nobody waits.

use std::path::PathBuf;

use super::*;
use crate::clock;
use crate::media::source::file::{FileAudioSource, FileVideoSource};
use crate::media::source::timeline::Timeline;
use crate::media::source::{AudioSource, MediaOptions, VideoSource};

const PICTURES: u32 = 33;
const FPS: u32 = 25;
/// Samples before the beep of each round, at 48 kHz: the middle of a picture.
const BEEP: usize = 23_520;

/// Pictures of one grey each.
fn film(folder: &Path) -> PathBuf {
    let mut data = format!("YUV4MPEG2 W32 H16 F{FPS}:1 Ip C420\n").into_bytes();
    for n in 0..PICTURES {
        data.extend_from_slice(b"FRAME\n");
        data.extend_from_slice(&[grey(n); 32 * 16]);
        data.extend_from_slice(&[128; 16 * 16]);
    }
    let path = folder.join("film.y4m");
    std::fs::write(&path, data).unwrap();
    path
}

fn grey(n: u32) -> u8 {
    20 + 6 * n as u8
}

/// Silence of so many samples, but for one beep.
fn beeping(folder: &Path, samples: usize) -> PathBuf {
    let mut data = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\xbb\0\0".to_vec();
    data.extend_from_slice(&[0, 0, 0, 0, 2, 0, 16, 0]);
    data.extend_from_slice(b"data");
    data.extend_from_slice(&(samples as u32 * 2).to_le_bytes());
    let beep = |n| (BEEP..BEEP + 480).contains(&n);
    data.extend((0..samples).flat_map(|n| if beep(n) { [0, 64] } else { [0, 0] }));
    let path = folder.join(format!("{samples}.wav"));
    std::fs::write(&path, data).unwrap();
    path
}

fn agreed(video: &Path, audio: &Path) -> Option<Shared> {
    near(video, audio, MaxPicture::default())
}

/// Which picture is shown when each beep begins, for so many seconds.
fn seen_at_beeps(video: &Path, audio: &Path, seconds: u64) -> Vec<u32> {
    let start = clock::now() - Duration::from_secs(2 * seconds);
    let timeline = Timeline::begun(agreed(video, audio), start);
    let options = MediaOptions::default();
    let mut pictures = FileVideoSource::open(video, &options, timeline.clone()).unwrap();
    let mut sound = FileAudioSource::open(audio, false, timeline).unwrap();
    let (mut beeps, mut was_loud) = (Vec::new(), false);
    for block in 0..seconds * 100 {
        for (n, sample) in sound.next_frame().unwrap().unwrap().samples.iter().enumerate() {
            let loud = sample.abs() > 0.1;
            if loud && !was_loud {
                beeps.push(Duration::from_nanos((block * 480 + n as u64) * 1_000_000_000 / 48_000));
            }
            was_loud = loud;
        }
    }
    // Who is late leaves pictures out, so that not each beep has one; those that come say when.
    let (mut seen, mut beeps) = (Vec::new(), beeps.into_iter().peekable());
    let lasts = Duration::from_secs(1) / FPS;
    while beeps.peek().is_some() {
        let frame = pictures.next_frame().unwrap().unwrap();
        let at = frame.captured_at() - start;
        while beeps.next_if(|beep| *beep < at).is_some() {}
        if beeps.next_if(|beep| *beep < at + lasts).is_some() {
            seen.push(u32::from(frame.y()[0] - grey(0)) / 6);
        }
    }
    seen
}

#[test]
fn films_in_two_files_stay_together_for_hours() {
    let dir = tempfile::tempdir().unwrap();
    let film = film(dir.path());
    // As long as the pictures, in whole packets of Opus, and a little shorter.
    for samples in [63_360, 64_008, 62_000] {
        let seen = seen_at_beeps(&film, &beeping(dir.path(), samples), 3 * 3600);
        let picture = BEEP as u32 * FPS / 48_000;
        assert!(seen.len() > 100, "{samples}: {}", seen.len());
        assert!(seen.iter().all(|n| *n == picture), "{samples}: {seen:?}");
    }
}

#[test]
fn what_does_not_belong_together_repeats_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let film = film(dir.path());
    assert_eq!(agreed(&film, &beeping(dir.path(), 50_000)), None);
    assert_eq!(agreed(&film, &beeping(dir.path(), 480_000)), None);
    assert_eq!(agreed(&film, &dir.path().join("nothing.wav")), None);
    let together = agreed(&film, &beeping(dir.path(), 64_008)).unwrap();
    assert_eq!(together.period, Some(Duration::from_micros(1_333_500)));
}

#[test]
fn every_container_says_how_long_it_lasts() {
    let dir = tempfile::tempdir().unwrap();
    let ffmpeg = |words: &[&str], to: &str| {
        let made = std::process::Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i"])
            .args(words)
            .arg(dir.path().join(to))
            .status();
        assert!(made.expect("ffmpeg; `make deps` installs it").success(), "{to}");
        dir.path().join(to)
    };
    let pictures =
        ["testsrc=s=64x48:r=25:d=2", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-bf", "2"];
    for name in ["a.mp4", "a.mkv", "a.h264"] {
        let path = ffmpeg(&pictures, name);
        let span = lasts(&path, |opened| Pictures::of(opened, MaxPicture::default())?.span());
        let apart = span.unwrap().as_millis().abs_diff(2000);
        assert!(apart <= 1, "{name}: {span:?}");
    }
    let tone = "aevalsrc=sin(2000*t):s=48000:d=2";
    for (name, codec) in [("a.mka", "libopus"), ("a.ogg", "libopus"), ("a.m4a", "aac")] {
        let path = ffmpeg(&[tone, "-c:a", codec], name);
        let span = lasts(&path, |opened| Pcm::of(opened, None)?.span());
        let apart = span.unwrap().as_millis().abs_diff(2000);
        assert!(apart <= 22, "{name}: {span:?}");
    }
}
