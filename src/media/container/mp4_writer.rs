//! Writes fragmented MP4 as it is recorded: pieces of half a second, playable up to the last one.
//!
//! Pure: gives back bytes and what to write over at the end. ISO/IEC 14496-12
//! section 8.8; Opus as in "Encapsulation of Opus in ISO Base Media File Format".

use super::mux::{Heads, MuxSample, Track, VideoHead, begins_piece};

const VIDEO_SCALE: u32 = 90_000;
const AUDIO_SCALE: u32 = 48_000;

/// An MP4 file being written.
#[derive(Debug)]
pub struct Mp4Writer {
    heads: Heads,
    sequence: u32,
    /// The samples of the open fragment.
    open: Vec<MuxSample>,
    end: u64,
}

impl Mp4Writer {
    /// A file with these tracks, and its first bytes.
    #[must_use]
    pub fn new(heads: Heads) -> (Self, Vec<u8>) {
        let head = file_head(&heads, 0);
        (Self { heads, sequence: 0, open: Vec::new(), end: 0 }, head)
    }

    /// Takes a sample; gives back the fragment that it closed, if it did.
    pub fn push(&mut self, sample: MuxSample) -> Option<Vec<u8>> {
        let start = self.open.first().map_or(sample.at, |first| first.at);
        let closed = if begins_piece(start, &sample) { self.close(Some(&sample)) } else { None };
        self.end = self.end.max(sample.at.saturating_add(sample.lasts));
        self.open.push(sample);
        closed
    }

    /// Closes the file: bytes to append, then bytes to write over its beginning.
    #[must_use]
    pub fn finish(mut self) -> (Vec<u8>, Vec<u8>) {
        let tail = self.close(None).unwrap_or_default();
        (tail, file_head(&self.heads, self.end / 1_000_000))
    }

    fn close(&mut self, next: Option<&MuxSample>) -> Option<Vec<u8>> {
        if self.open.is_empty() {
            return None;
        }
        self.sequence += 1;
        let samples = std::mem::take(&mut self.open);
        let tracks: Vec<(Track, Vec<&MuxSample>)> = [Track::Video, Track::Audio]
            .into_iter()
            .map(|track| (track, samples.iter().filter(|s| s.track == track).collect::<Vec<_>>()))
            .filter(|(_, samples)| !samples.is_empty())
            .collect();
        // The offsets in it do not change its length: built once to measure, once for good.
        let len = self.movie_fragment(&tracks, next, 0).len();
        let mut out = self.movie_fragment(&tracks, next, len as u32 + 8);
        put_box(&mut out, b"mdat", |data| {
            let all = tracks.iter().flat_map(|(_, samples)| samples);
            all.for_each(|sample| data.extend_from_slice(&sample.data));
        });
        Some(out)
    }

    fn movie_fragment(
        &self,
        tracks: &[(Track, Vec<&MuxSample>)],
        next: Option<&MuxSample>,
        data_at: u32,
    ) -> Vec<u8> {
        let mut out = Vec::new();
        put_box(&mut out, b"moof", |moof| {
            put_full(moof, b"mfhd", 0, 0, |mfhd| put_u32(mfhd, self.sequence));
            let mut at = data_at;
            for (track, samples) in tracks {
                let next = next.filter(|next| next.track == *track);
                track_fragment(moof, *track, samples, next, at);
                at += samples.iter().map(|sample| sample.data.len() as u32).sum::<u32>();
            }
        });
        out
    }
}

fn scale(track: Track) -> u32 {
    match track {
        Track::Video => VIDEO_SCALE,
        Track::Audio => AUDIO_SCALE,
    }
}

fn ticks(nanos: u64, track: Track) -> u64 {
    let ticks = u128::from(nanos) * u128::from(scale(track)) + 500_000_000;
    u64::try_from(ticks / 1_000_000_000).unwrap_or(u64::MAX)
}

fn track_fragment(
    out: &mut Vec<u8>,
    track: Track,
    samples: &[&MuxSample],
    next: Option<&MuxSample>,
    data_at: u32,
) {
    put_box(out, b"traf", |traf| {
        // Default base is moof.
        put_full(traf, b"tfhd", 0, 0x02_0000, |tfhd| put_u32(tfhd, track.number().into()));
        put_full(traf, b"tfdt", 1, 0, |tfdt| {
            let start = samples.first().map_or(0, |sample| ticks(sample.at, track));
            tfdt.extend_from_slice(&start.to_be_bytes());
        });
        // Data offset, and for each sample duration, size and flags.
        put_full(traf, b"trun", 0, 0x701, |trun| {
            put_u32(trun, samples.len() as u32);
            put_u32(trun, data_at);
            for (n, sample) in samples.iter().enumerate() {
                let follows = samples.get(n + 1).copied().or(next);
                let end = follows.map_or(sample.at.saturating_add(sample.lasts), |next| next.at);
                let lasts = ticks(end, track).saturating_sub(ticks(sample.at, track));
                put_u32(trun, u32::try_from(lasts).unwrap_or(u32::MAX));
                put_u32(trun, sample.data.len() as u32);
                put_u32(trun, if sample.keyframe { 0x0200_0000 } else { 0x0101_0000 });
            }
        });
    });
}

/// Everything before the first fragment; as long with the duration (milliseconds) as without it.
fn file_head(heads: &Heads, duration: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_box(&mut out, b"ftyp", |ftyp| ftyp.extend_from_slice(b"iso6\0\0\0\x01iso6mp42avc1Opus"));
    put_box(&mut out, b"moov", |moov| {
        put_full(moov, b"mvhd", 1, 0, |mvhd| {
            put_zeros(mvhd, 16);
            put_u32(mvhd, 1000);
            mvhd.extend_from_slice(&duration.to_be_bytes());
            put_u32(mvhd, 0x0001_0000);
            mvhd.extend_from_slice(&[1, 0]);
            put_zeros(mvhd, 10);
            put_matrix(mvhd);
            put_zeros(mvhd, 24);
            put_u32(mvhd, 3);
        });
        if let Some(video) = &heads.video {
            put_track(moov, Track::Video, duration, (video.width, video.height), |stsd| {
                put_avc_entry(stsd, video);
            });
        }
        if let Some(channels) = heads.audio {
            put_track(moov, Track::Audio, duration, (0, 0), |stsd| put_opus_entry(stsd, channels));
        }
        put_box(moov, b"mvex", |mvex| {
            put_full(mvex, b"mehd", 1, 0, |mehd| mehd.extend_from_slice(&duration.to_be_bytes()));
            let tracks =
                [heads.video.as_ref().map(|_| Track::Video), heads.audio.map(|_| Track::Audio)];
            for track in tracks.into_iter().flatten() {
                put_full(mvex, b"trex", 0, 0, |trex| {
                    put_u32(trex, track.number().into());
                    put_u32(trex, 1);
                    put_zeros(trex, 12);
                });
            }
        });
    });
    out
}

fn put_track(
    out: &mut Vec<u8>,
    track: Track,
    duration: u64,
    (width, height): (u32, u32),
    entry: impl FnOnce(&mut Vec<u8>),
) {
    put_box(out, b"trak", |trak| {
        put_full(trak, b"tkhd", 1, 3, |tkhd| {
            put_zeros(tkhd, 16);
            put_u32(tkhd, track.number().into());
            put_u32(tkhd, 0);
            tkhd.extend_from_slice(&duration.to_be_bytes());
            put_zeros(tkhd, 12);
            tkhd.extend_from_slice(if track == Track::Audio { &[1, 0] } else { &[0, 0] });
            put_zeros(tkhd, 2);
            put_matrix(tkhd);
            put_u32(tkhd, width << 16);
            put_u32(tkhd, height << 16);
        });
        put_box(trak, b"mdia", |mdia| put_media(mdia, track, entry));
    });
}

fn put_media(mdia: &mut Vec<u8>, track: Track, entry: impl FnOnce(&mut Vec<u8>)) {
    put_full(mdia, b"mdhd", 0, 0, |mdhd| {
        put_zeros(mdhd, 8);
        put_u32(mdhd, scale(track));
        put_u32(mdhd, 0);
        // "und", packed in three times five bits.
        mdhd.extend_from_slice(&[0x55, 0xC4, 0, 0]);
    });
    let (handler, name): (&[u8; 4], &[u8]) = match track {
        Track::Video => (b"vide", b"video\0"),
        Track::Audio => (b"soun", b"sound\0"),
    };
    put_full(mdia, b"hdlr", 0, 0, |hdlr| {
        put_zeros(hdlr, 4);
        hdlr.extend_from_slice(handler);
        put_zeros(hdlr, 12);
        hdlr.extend_from_slice(name);
    });
    put_box(mdia, b"minf", |minf| {
        match track {
            Track::Video => put_full(minf, b"vmhd", 0, 1, |vmhd| put_zeros(vmhd, 8)),
            Track::Audio => put_full(minf, b"smhd", 0, 0, |smhd| put_zeros(smhd, 4)),
        }
        put_box(minf, b"dinf", |dinf| {
            put_full(dinf, b"dref", 0, 0, |dref| {
                put_u32(dref, 1);
                put_full(dref, b"url ", 0, 1, |_| {});
            });
        });
        put_box(minf, b"stbl", |stbl| {
            put_full(stbl, b"stsd", 0, 0, |stsd| {
                put_u32(stsd, 1);
                entry(stsd);
            });
            for name in [b"stts", b"stsc", b"stco"] {
                put_full(stbl, name, 0, 0, |table| put_u32(table, 0));
            }
            put_full(stbl, b"stsz", 0, 0, |table| put_zeros(table, 8));
        });
    });
}

fn put_avc_entry(stsd: &mut Vec<u8>, video: &VideoHead) {
    // avc3: parameter sets may change inside the stream, as they do when the size changes.
    put_box(stsd, b"avc3", |entry| {
        put_zeros(entry, 6);
        put_u16(entry, 1);
        put_zeros(entry, 16);
        put_u16(entry, video.width as u16);
        put_u16(entry, video.height as u16);
        put_u32(entry, 0x0048_0000);
        put_u32(entry, 0x0048_0000);
        put_u32(entry, 0);
        put_u16(entry, 1);
        put_zeros(entry, 32);
        put_u16(entry, 0x18);
        put_u16(entry, 0xFFFF);
        put_box(entry, b"avcC", |avcc| avcc.extend_from_slice(&video.config));
    });
}

fn put_opus_entry(stsd: &mut Vec<u8>, channels: u8) {
    put_box(stsd, b"Opus", |entry| {
        put_zeros(entry, 6);
        put_u16(entry, 1);
        put_zeros(entry, 8);
        put_u16(entry, channels.into());
        put_u16(entry, 16);
        put_u32(entry, 0);
        put_u32(entry, AUDIO_SCALE << 16);
        put_box(entry, b"dOps", |dops| {
            dops.extend_from_slice(&[0, channels, 0, 0]);
            put_u32(dops, AUDIO_SCALE);
            put_zeros(dops, 3);
        });
    });
}

fn put_box(out: &mut Vec<u8>, name: &[u8; 4], build: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    put_u32(out, 0);
    out.extend_from_slice(name);
    build(out);
    let len = (out.len() - at) as u32;
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&len.to_be_bytes());
    }
}

fn put_full(
    out: &mut Vec<u8>,
    name: &[u8; 4],
    version: u8,
    flags: u32,
    build: impl FnOnce(&mut Vec<u8>),
) {
    put_box(out, name, |content| {
        put_u32(content, u32::from(version) << 24 | flags);
        build(content);
    });
}

fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn put_zeros(out: &mut Vec<u8>, count: usize) {
    out.resize(out.len() + count, 0);
}

/// The matrix that changes nothing.
fn put_matrix(out: &mut Vec<u8>) {
    for value in [0x0001_0000, 0, 0, 0, 0x0001_0000, 0, 0, 0, 0x4000_0000] {
        put_u32(out, value);
    }
}
