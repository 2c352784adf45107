#!/usr/bin/env bash
# Makes the clips of this folder again from the Debian packages that hold the originals.
# Needs apt-get, dpkg-deb and ffmpeg; downloads about 100 MB into a temporary folder.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"

apt-get download opencv-doc pocketsphinx-testdata
for package in ./*.deb; do dpkg-deb -x "$package" .; done

gunzip -k usr/share/doc/opencv-doc/opencv4/html/box.mp4.gz
camera=usr/share/doc/opencv-doc/opencv4/html/box.mp4
voice=usr/share/pocketsphinx/test/data/librivox/sense_and_sensibility_01_austen_64kb

run_ffmpeg() { ffmpeg -hide_banner -loglevel fatal -nostdin -y "$@"; }

# Two sentences, cut to ten seconds; the resampler is told to keep all that 16 kHz holds.
run_ffmpeg -i "$voice-0870.wav" -i "$voice-0880.wav" \
    -filter_complex '[0][1]concat=n=2:v=0:a=1,aresample=48000,apad,atrim=0:10,afade=out:st=9.95:d=0.05' \
    -ac 1 -c:a pcm_s16le speech.wav
run_ffmpeg -i speech.wav -c:a libopus -b:a 64k -application voip \
    -map_metadata -1 -fflags +bitexact -flags:a +bitexact "$here/speech.opus"

# The camera's own frames, each once, numbered anew at exactly 30 a second; 640x360 is a
# crop without scaling. No B-frames, so that decoding order is showing order.
frames='crop=640:360:0:0,setpts=N/30/TB,trim=end_frame'
encode=(-r 30 -c:v libx264 -profile:v main -preset slow -bf 0 -refs 1 -g 60 -pix_fmt yuv420p)
clean=(-map_metadata -1 -movflags +faststart -fflags +bitexact -flags:v +bitexact)
run_ffmpeg -ss 2.5 -i "$camera" -i speech.wav -map 0:v -map 1:a -vf "$frames=300" \
    "${encode[@]}" -crf 12 -c:a aac -b:a 96k -flags:a +bitexact "${clean[@]}" "$here/camera-360p.mp4"

# Enlarged: the camera gave 640x480. A little noise stands in for what a sensor of this
# size would add, so that an encoder does not have it easier than with a real one.
run_ffmpeg -ss 2.5 -i "$camera" -an \
    -vf "$frames=150,scale=1280:720:flags=lanczos,noise=alls=3:allf=t:all_seed=1" \
    "${encode[@]}" -crf 21 "${clean[@]}" "$here/camera-720p.mp4"

ls -l "$here"
