//! Writes fragmented MP4 as it is recorded: pieces of half a second, playable up to the last one.
//!
//! Pure: gives back bytes and what to write over at the end. ISO/IEC 14496-12
//! section 8.8; Opus as in "Encapsulation of Opus in ISO Base Media File Format".

use super::mp4_index::{Fragment, INDEX, random_access, segment_index};
use super::mp4_put::{put_box, put_free, put_full, put_u16, put_u32, put_zeros, scale, ticks};
use super::mux::{HEAD, Heads, MuxSample, Track, VideoHead, begins_piece};
use crate::media::showing::Orientation;

/// An MP4 file being written.
#[derive(Debug, Clone)]
pub struct Mp4Writer {
    heads: Heads,
    sequence: u32,
    /// The samples of the open fragment.
    open: Vec<MuxSample>,
    /// The fragments that were given out.
    index: Vec<Fragment>,
    begins: Begins,
    end: u64,
}

/// When picture and sound begin, nanoseconds after the file; their own times count from there.
#[derive(Debug, Clone, Copy, Default)]
struct Begins {
    video: u64,
    audio: u64,
}

impl Begins {
    fn of(self, track: Track) -> u64 {
        match track {
            Track::Video => self.video,
            Track::Audio => self.audio,
        }
    }
}

/// A track that begins later than this, nanoseconds, came late.
const LATE: u64 = 500_000_000;

impl Mp4Writer {
    /// A file with these tracks, and its first bytes.
    #[must_use]
    pub fn new(heads: Heads) -> (Self, Vec<u8>) {
        let begins = Begins::default();
        let head = file_head(&heads, begins, 0, &[]);
        let (open, index) = (Vec::new(), Vec::new());
        (Self { heads, sequence: 0, open, index, begins, end: 0 }, head)
    }

    /// Another track begins: what is to be written over the beginning of the file. `None` when there
    /// is no room for it, and then it is not in the file.
    pub fn add(&mut self, heads: Heads, at: u64) -> Option<Vec<u8>> {
        let mut begins = self.begins;
        // The edit list counts in milliseconds.
        let at = at / 1_000_000 * 1_000_000;
        if self.heads.video.is_none() && heads.video.is_some() {
            begins.video = at;
        }
        if self.heads.audio.is_none() && heads.audio.is_some() {
            begins.audio = at;
        }
        let head = file_head(&heads, begins, 0, &[]);
        let before = file_head(&self.heads, self.begins, 0, &[]).len();
        (head.len() == before).then(|| {
            (self.heads, self.begins) = (heads, begins);
            head
        })
    }

    /// The bytes that it has given out so far, all whole fragments.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.head_len() + self.index.iter().map(|fragment| fragment.bytes).sum::<u64>()
    }

    fn head_len(&self) -> u64 {
        file_head(&self.heads, self.begins, 0, &[]).len() as u64
    }

    /// Closes a file to which nothing can be added, and of which so many bytes are there: bytes to write
    /// over its beginning, so that its length is known.
    #[must_use]
    pub fn abandon(mut self, whole: u64) -> Vec<u8> {
        let mut written = self.written();
        while written > whole
            && let Some(lost) = self.index.pop()
        {
            written -= lost.bytes;
        }
        self.end = self.index.last().map_or(0, |last| last.end);
        self.final_head()
    }

    fn final_head(&self) -> Vec<u8> {
        let duration = self.end / 1_000_000;
        // Players take what this index says of one track for all, so that with one that came late they
        // would think the file longer than it is. They have the one at the end.
        if self.begins.video.max(self.begins.audio) > LATE {
            return file_head(&self.heads, self.begins, duration, &[]);
        }
        let track = if self.heads.video.is_some() { Track::Video } else { Track::Audio };
        let begins = self.begins.of(track);
        let index = segment_index((track, scale(track)), begins, &self.index, self.end);
        file_head(&self.heads, self.begins, duration, &index)
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
        let mut tail = self.close(None).unwrap_or_default();
        let begins = |track| self.begins.of(track);
        tail.extend(random_access(&self.index, self.head_len(), begins));
        (tail, self.final_head())
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
        let pictures = self.heads.video.is_some();
        let first = |track| samples.iter().find(|s| s.track == track && s.keyframe).map(|s| s.at);
        let before = self.index.last().map_or(0, |last| last.end);
        let ends = samples.iter().map(|sample| sample.at.saturating_add(sample.lasts));
        self.index.push(Fragment {
            at: samples.iter().map(|sample| sample.at).min().unwrap_or(0),
            end: ends.fold(before, u64::max),
            bytes: out.len() as u64,
            keyframe: first(if pictures { Track::Video } else { Track::Audio }).is_some(),
            has_video: samples.iter().any(|sample| sample.track == Track::Video),
            // A piece begins with the keyframe that it has.
            video: first(Track::Video),
            audio: first(Track::Audio),
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
                track_fragment(moof, (*track, self.begins.of(*track)), samples, next, at);
                at += samples.iter().map(|sample| sample.data.len() as u32).sum::<u32>();
            }
        });
        out
    }
}

fn track_fragment(
    out: &mut Vec<u8>,
    (track, begins): (Track, u64),
    samples: &[&MuxSample],
    next: Option<&MuxSample>,
    data_at: u32,
) {
    put_box(out, b"traf", |traf| {
        // Default base is moof.
        put_full(traf, b"tfhd", 0, 0x02_0000, |tfhd| put_u32(tfhd, track.number().into()));
        put_full(traf, b"tfdt", 1, 0, |tfdt| {
            let first = samples.first().map_or(0, |sample| sample.at.saturating_sub(begins));
            let start = ticks(first, track);
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

/// Everything before the first fragment; as long with the duration (milliseconds), with the index and
/// with more tracks as without.
fn file_head(heads: &Heads, begins: Begins, duration: u64, index: &[u8]) -> Vec<u8> {
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
            put_matrix(mvhd, Orientation::UPRIGHT, (0, 0));
            put_zeros(mvhd, 24);
            put_u32(mvhd, 3);
        });
        if let Some(video) = &heads.video {
            let size = video.shown();
            let times = (duration, begins.video);
            put_track(moov, Track::Video, times, (size, video.orientation), |stsd| {
                put_avc_entry(stsd, video);
            });
        }
        if let Some(channels) = heads.audio {
            let no_size = ((0, 0), Orientation::UPRIGHT);
            let times = (duration, begins.audio);
            put_track(moov, Track::Audio, times, no_size, |stsd| put_opus_entry(stsd, channels));
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
    // Room for a track that begins later.
    if let Some(room) = HEAD.checked_sub(out.len()).filter(|room| *room >= 8) {
        put_free(&mut out, room);
    }
    if index.is_empty() {
        put_free(&mut out, INDEX);
    } else {
        out.extend_from_slice(index);
    }
    out
}

fn put_track(
    out: &mut Vec<u8>,
    track: Track,
    (duration, begins): (u64, u64),
    ((width, height), orientation): ((u32, u32), Orientation),
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
            put_matrix(tkhd, orientation, (width, height));
            put_u32(tkhd, width << 16);
            put_u32(tkhd, height << 16);
        });
        if begins > 0 {
            put_box(trak, b"edts", |edts| put_edits(edts, begins / 1_000_000));
        }
        put_box(trak, b"mdia", |mdia| put_media(mdia, track, entry));
    });
}

/// Nothing for so many milliseconds, then all that there is (section 8.6.6).
fn put_edits(out: &mut Vec<u8>, begins: u64) {
    put_full(out, b"elst", 1, 0, |elst| {
        put_u32(elst, 2);
        for (lasts, from) in [(begins, u64::MAX), (0, 0)] {
            elst.extend_from_slice(&lasts.to_be_bytes());
            elst.extend_from_slice(&from.to_be_bytes());
            put_u32(elst, 0x0001_0000);
        }
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
        if let Some((across, down)) = video.aspect {
            put_box(entry, b"pasp", |pasp| {
                put_u32(pasp, across);
                put_u32(pasp, down);
            });
        }
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
        put_u32(entry, scale(Track::Audio) << 16);
        put_box(entry, b"dOps", |dops| {
            dops.extend_from_slice(&[0, channels, 0, 0]);
            put_u32(dops, scale(Track::Audio));
            put_zeros(dops, 3);
        });
    });
}

/// The matrix that turns pictures of this size and puts their corner back into its place.
fn put_matrix(out: &mut Vec<u8>, orientation: Orientation, (width, height): (u32, u32)) {
    let [a, b, c, d] = orientation.matrix().map(|unit| (unit as u32) << 16);
    let (wide, high) = orientation.turned((width, height));
    let x = if orientation.mirrored { wide << 16 } else { 0 };
    let y = if orientation.flipped { high << 16 } else { 0 };
    for value in [a, b, 0, c, d, 0, x, y, 0x4000_0000] {
        put_u32(out, value);
    }
}
