//! Fuzzes the containers that `--video` and `--audio` read: whatever a file holds, reading it ends,
//! with packets or with an error.

#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use peer::media::container::ivf::IvfReader;
use peer::media::container::mkv::MkvReader;
use peer::media::container::mp4::Mp4Reader;
use peer::media::container::ogg::OggOpusReader;
use peer::media::container::wav::WavReader;
use peer::media::container::y4m::Y4mReader;

/// More than any small file can rightly hold.
const ENOUGH: usize = 10_000;

fuzz_target!(|data: &[u8]| {
    let file = || Cursor::new(data);
    if let Ok(mut mp4) = Mp4Reader::open(file()) {
        for track in 0..mp4.tracks.len() {
            let packets = mp4.tracks[track].len().min(ENOUGH);
            (0..packets).take_while(|index| mp4.packet(track, *index).is_ok()).count();
        }
    }
    if let Ok(mut reader) = MkvReader::open(file()) {
        for track in 0..reader.tracks.len() {
            reader.choose(track);
            let _ = (reader.rewind(), reader.span(), reader.rewind());
            (0..ENOUGH).take_while(|_| matches!(reader.next_packet(), Ok(Some(_)))).count();
        }
    }
    if let Ok(mut reader) = OggOpusReader::open(file()) {
        (0..ENOUGH).take_while(|_| matches!(reader.next_packet(), Ok(Some(_)))).count();
    }
    if let Ok(mut reader) = IvfReader::open(file()) {
        (0..ENOUGH).take_while(|_| matches!(reader.next_packet(), Ok(Some(_)))).count();
    }
    if let Ok(mut reader) = WavReader::open(file()) {
        let mut samples = Vec::new();
        (0..ENOUGH).take_while(|_| matches!(reader.read(480, &mut samples), Ok(1..))).count();
    }
    if let Ok(mut reader) = Y4mReader::open(file())
        && reader.frame_len() < 1 << 20
    {
        let mut picture = vec![0; reader.frame_len()];
        (0..ENOUGH).take_while(|_| matches!(reader.read_frame(&mut picture), Ok(true))).count();
    }
});
