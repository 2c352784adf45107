//! Flash and beep of a short file of every container, played round after round: what the other side
//! records has them at the same time in the first round and after ten.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::one_at_a_time;
use crate::support::server::{Server, THE_END, login, peer};

/// So far may a beep be from its flash, seconds.
const NEAR: f64 = 0.04;

/// 33 pictures: a round that is no multiple of the length of a packet of sound.
const SECONDS: &str = "1.32";

fn ffmpeg(folder: &Path, words: &[&str]) -> Vec<u8> {
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-v", "error", "-nostdin", "-y"])
        .args(words)
        .current_dir(folder)
        .output()
        .expect("ffmpeg; `make deps` installs it");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Films in which everything is black and silent but for 80 ms; pairs of picture and sound.
fn films(folder: &Path) -> [[&'static str; 2]; 9] {
    let flash = format!(
        "color=black:s=160x90:r=25:d={SECONDS},\
         drawbox=t=fill:c=white:enable='between(t,0.479,0.561)'"
    );
    let beep = format!("aevalsrc='if(between(t,0.48,0.56),0.6*sin(6283*t),0)':s=48000:d={SECONDS}");
    let pictures = ["-c:v", "libx264", "-bf", "0", "-g", "12", "-pix_fmt", "yuv420p"];
    let sound = ["-c:a", "libopus", "-b:a", "64k", "film.mkv"];
    let from = ["-f", "lavfi", "-i", &flash, "-f", "lavfi", "-i", &beep];
    ffmpeg(folder, &[&from[..], &pictures, &sound].concat());
    for to in [
        &["-c:v", "copy", "-c:a", "aac", "film.mp4"][..],
        &["-c:v", "copy", "-c:a", "aac", "film.mov"],
        &["-c", "copy", "opus.mp4"],
        &["-c", "copy", "-f", "matroska", "film.webm"],
        &["-an", "-c:v", "copy", "-bsf:v", "h264_mp4toannexb", "film.h264"],
        &["-an", "-pix_fmt", "yuv420p", "film.y4m"],
    ] {
        ffmpeg(folder, &[&["-i", "film.mkv"], to].concat());
    }
    no_idr(folder);
    // In whole packets: 13.5 ms longer than the pictures.
    ffmpeg(folder, &["-i", "film.mkv", "-vn", "-c:a", "copy", "film.ogg"]);
    ffmpeg(folder, &["-f", "lavfi", "-i", &beep, "film.wav"]);
    let stream = std::fs::read(folder.join("film.h264")).expect("a stream");
    std::fs::write(folder.join("film.ivf"), ivf(&stream)).expect("a file");
    [
        ["film.mp4", "film.mp4"],
        ["film.mov", "film.mov"],
        ["film.mkv", "film.mkv"],
        ["opus.mp4", "opus.mp4"],
        ["film.webm", "film.webm"],
        ["film.ivf", "film.ogg"],
        ["film.h264", "film.wav"],
        ["film.y4m", "film.wav"],
        ["no-idr.mkv", "no-idr.mkv"],
    ]
}

/// A film without any IDR: the second half of one with open groups of pictures, copied.
fn no_idr(folder: &Path) {
    let flash = "color=black:s=160x90:r=25:d=2.64,\
                 drawbox=t=fill:c=white:enable='between(t,1.799,1.881)'";
    let beep = "aevalsrc='if(between(t,1.8,1.88),0.6*sin(6283*t),0)':s=48000:d=2.64";
    let open = "open-gop=1:keyint=33:min-keyint=33:scenecut=0:bframes=2:b-adapt=0";
    let from = ["-f", "lavfi", "-i", flash, "-f", "lavfi", "-i", beep];
    let pictures = ["-c:v", "libx264", "-x264-params", open, "-pix_fmt", "yuv420p"];
    ffmpeg(folder, &[&from[..], &pictures, &["-c:a", "libopus", "open.mkv"]].concat());
    let copy = ["-ss", "1.48", "-i", "open.mkv", "-c", "copy", "-avoid_negative_ts", "make_zero"];
    ffmpeg(folder, &[&copy[..], &["no-idr.mkv"]].concat());
    ffmpeg(
        folder,
        &["-i", "no-idr.mkv", "-c:v", "copy", "-bsf:v", "h264_mp4toannexb", "no-idr.h264"],
    );
    let stream = std::fs::read(folder.join("no-idr.h264")).expect("a stream");
    let idr = stream.windows(4).any(|four| four[..3] == [0, 0, 1] && four[3] & 31 == 5);
    assert!(!idr, "this film has an IDR");
}

/// The pictures of a stream, of one slice each, with what stands before them.
pub(crate) fn access_units(stream: &[u8]) -> Vec<&[u8]> {
    let mut at = Vec::new();
    for n in 0..stream.len().saturating_sub(3) {
        if stream[n..n + 3] == [0, 0, 1] {
            let begins = if n > 0 && stream[n - 1] == 0 { n - 1 } else { n };
            at.push((begins, stream[n + 3] & 31));
        }
    }
    let mut from = 0;
    let pictures = at.iter().enumerate().filter(|(_, (_, kind))| *kind == 1 || *kind == 5);
    let ends = pictures.map(|(n, _)| at.get(n + 1).map_or(stream.len(), |next| next.0));
    ends.map(|to| &stream[std::mem::replace(&mut from, to)..to]).collect()
}

/// Pictures in the container that ffmpeg does not write for H.264.
fn ivf(stream: &[u8]) -> Vec<u8> {
    let mut file = b"DKIF\0\0\x20\0H264\xa0\0\x5a\0\x19\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    for (number, unit) in access_units(stream).iter().enumerate() {
        file.extend((unit.len() as u32).to_le_bytes());
        file.extend((number as u64).to_le_bytes());
        file.extend_from_slice(unit);
    }
    file
}

/// When each flash begins, on the file's own time.
fn flashes(folder: &Path, file: &str) -> Vec<f64> {
    let from = format!("movie={file},signalstats");
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-f", "lavfi", "-i", &from, "-of", "csv=p=0", "-show_entries"])
        .arg("frame=pts_time:frame_tags=lavfi.signalstats.YAVG")
        .current_dir(folder)
        .output()
        .expect("ffprobe; `make deps` installs it");
    let (mut found, mut lit) = (Vec::new(), false);
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let mut numbers = line.split(',').map_while(|number| number.parse::<f64>().ok());
        let (Some(at), Some(luma)) = (numbers.next(), numbers.next()) else { continue };
        if luma > 120.0 && !lit {
            found.push(at);
        }
        lit = luma > 120.0;
    }
    found
}

/// When each beep begins.
fn beeps(folder: &Path, file: &str) -> Vec<f64> {
    let own_time = "aresample=async=1:first_pts=0";
    let form = ["-ac", "1", "-ar", "48000", "-f", "s16le", "-"];
    let raw = ffmpeg(folder, &[&["-i", file, "-vn", "-af", own_time][..], &form].concat());
    let (mut found, mut last) = (Vec::new(), None);
    for (n, sample) in raw.as_chunks::<2>().0.iter().enumerate() {
        if i16::from_le_bytes(*sample).unsigned_abs() > 3_000 {
            if last.is_none_or(|last| n - last > 24_000) {
                found.push(n as f64 / 48_000.0);
            }
            last = Some(n);
        }
    }
    found
}

#[tokio::test]
async fn flash_and_beep_of_every_container_stay_together_for_ten_rounds() {
    let _alone = one_at_a_time().await;
    let server = Server::start().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let films = films(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let mut calls = Vec::new();
    // All at once: they are small, and each takes as long as the others.
    for (at, [pictures, sound]) in films.iter().enumerate() {
        let (hears, plays) = (format!("hears-{at}"), format!("plays-{at}"));
        let record = path(&format!("{at}.mkv"));
        let quiet = ["--auto-answer", "--video", "none", "--audio", "none", "--record", &record];
        let there = login(server.url(), &hears, &quiet).await;
        let words = ["call", &hears, "--as", &plays, "--duration", "18s"];
        let (pictures, sound) = (path(pictures), path(sound));
        let media = ["--video", &pictures, "--audio", &sound];
        calls.push((peer(server.url(), &words).args(media).start(), there));
    }
    for (here, there) in &mut calls {
        here.await_event("ended", THE_END).await;
        there.await_event("ended", THE_END).await;
    }
    let mut wrong = Vec::new();
    for (at, film) in films.iter().enumerate() {
        let file = PathBuf::from(format!("{at}.mkv")).display().to_string();
        let (seen, heard) = (flashes(folder.path(), &file), beeps(folder.path(), &file));
        let apart = |flash: &f64| {
            let each = heard.iter().map(|beep| beep - flash);
            each.min_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or(f64::INFINITY)
        };
        let apart: Vec<f64> = seen.iter().map(apart).collect();
        let worst = apart.iter().fold(0.0f64, |worst, apart| worst.max(apart.abs()));
        println!("{film:?}: {} flashes, {} beeps, {apart:.3?}", seen.len(), heard.len());
        if seen.len() < 11 || worst > NEAR {
            wrong.push((film, apart));
        }
    }
    assert!(wrong.is_empty(), "{wrong:.3?}");
}
