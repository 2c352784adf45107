//! Writes Matroska as it is recorded: clusters of half a second, playable up to the last one.
//!
//! Pure: gives back bytes and what to write over at the end. RFC 9559.

use super::ebml::{
    UNKNOWN_SIZE, put_bytes, put_float, put_id, put_master, put_size, put_uint, put_void,
    put_wide_uint, wide_size,
};
use super::mux::{HEAD, Heads, MuxSample, Track, begins_piece};
use super::pictures::matroska_id;

use crate::media::showing::Orientation;

const INFO: u32 = 0x1549_A966;
const TRACKS: u32 = 0x1654_AE6B;
const CUES: u32 = 0x1C53_BB6B;

/// Where the content of the segment begins: after the EBML head, its id and its size.
fn segment_start(head: &[u8]) -> usize {
    head.len() + 12
}

/// A Matroska file being written.
#[derive(Debug, Clone)]
pub struct MkvWriter {
    heads: Heads,
    /// Bytes given out so far.
    written: u64,
    cluster: Vec<u8>,
    /// When the open cluster began, nanoseconds; `None` when it is empty.
    cluster_at: Option<u64>,
    /// Where a player can begin.
    cues: Vec<Cue>,
    /// The track for which the open cluster is such a place.
    cluster_key: Option<Track>,
    end: u64,
    /// The last cluster that was given out.
    last: Closed,
}

/// What a cluster was added to, and what came of it.
#[derive(Debug, Clone, Copy, Default)]
struct Closed {
    /// When all before it is over, and when it is, nanoseconds.
    end_before: u64,
    end: u64,
    /// Bytes before it.
    before: u64,
}

/// A cluster at which playing can begin.
#[derive(Debug, Clone, Copy)]
struct Cue {
    /// Milliseconds.
    at: u64,
    /// Bytes before it.
    place: u64,
    track: Track,
}

/// Sound can be begun anywhere; a place for each so many milliseconds is enough.
const SOUND_CUES: u64 = 5_000;

impl MkvWriter {
    /// A file with these tracks, and its first bytes.
    #[must_use]
    pub fn new(heads: Heads) -> (Self, Vec<u8>) {
        let head = file_head(&heads, None);
        let writer = Self {
            heads,
            written: head.len() as u64,
            cluster: Vec::new(),
            cluster_at: None,
            cues: Vec::new(),
            cluster_key: None,
            end: 0,
            last: Closed::default(),
        };
        (writer, head)
    }

    /// Another track begins: what is to be written over the beginning of the file. `None` when there
    /// is no room for it, and then it is not in the file.
    pub fn add(&mut self, heads: Heads) -> Option<Vec<u8>> {
        let head = file_head(&heads, None);
        let before = file_head(&self.heads, None).len();
        (head.len() == before).then(|| {
            self.heads = heads;
            head
        })
    }

    /// The bytes that it has given out so far, all whole clusters.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Takes a sample; gives back the cluster that it closed, if it did.
    pub fn push(&mut self, sample: &MuxSample) -> Option<Vec<u8>> {
        let start = self.cluster_at.unwrap_or(sample.at);
        let closed = if begins_piece(start, sample) { self.close() } else { None };
        let start = *self.cluster_at.get_or_insert(sample.at) / 1_000_000;
        let offset = (sample.at / 1_000_000) as i64 - start as i64;
        let offset = offset.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
        put_id(&mut self.cluster, 0xA3);
        put_size(&mut self.cluster, sample.data.len() + 4);
        self.cluster.push(0x80 | sample.track.number());
        self.cluster.extend_from_slice(&offset.to_be_bytes());
        self.cluster.push(if sample.keyframe { 0x80 } else { 0 });
        self.cluster.extend_from_slice(&sample.data);
        if sample.keyframe && (sample.track == Track::Video || self.cluster_key.is_none()) {
            self.cluster_key = Some(sample.track);
        }
        self.end = self.end.max(sample.at.saturating_add(sample.lasts));
        closed
    }

    fn close(&mut self) -> Option<Vec<u8>> {
        let at = self.cluster_at.take()? / 1_000_000;
        let blocks = std::mem::take(&mut self.cluster);
        let last = self.cues.last().map(|cue| cue.at);
        let track = self.cluster_key.take().filter(|track| {
            // Once there are pictures, a place without a keyframe of theirs is none.
            let pictures = self.heads.video.is_some();
            let far = last.is_none_or(|last| at >= last + SOUND_CUES);
            *track == Track::Video || !pictures && far
        });
        self.cues.extend(track.map(|track| Cue { at, place: self.written, track }));
        let mut out = Vec::with_capacity(blocks.len() + 32);
        put_master(&mut out, 0x1F43_B675, |inner| {
            put_uint(inner, 0xE7, at);
            inner.extend_from_slice(&blocks);
        });
        self.last = Closed { end_before: self.last.end, end: self.end, before: self.written };
        self.written += out.len() as u64;
        Some(out)
    }

    /// Closes a file to which nothing can be added, and of which so many bytes are there, with or
    /// without the last cluster: bytes to write over its beginning, so that its length is known.
    #[must_use]
    pub fn abandon(self, whole: u64) -> Vec<u8> {
        let start = segment_start(&ebml_head()) as u64;
        let size = whole.saturating_sub(start);
        let end = if whole <= self.last.before { self.last.end_before } else { self.last.end };
        let known = Known { size, duration: end as f64 / 1e6, cues_at: None };
        file_head(&self.heads, Some(&known))
    }

    /// Closes the file: bytes to append, then bytes to write over its beginning.
    #[must_use]
    pub fn finish(mut self) -> (Vec<u8>, Vec<u8>) {
        let before = self.written;
        let mut tail = self.close().unwrap_or_default();
        let start = segment_start(&ebml_head()) as u64;
        let cues_at = self.written - start;
        if !self.cues.is_empty() {
            put_master(&mut tail, CUES, |cues| {
                for cue in &self.cues {
                    put_master(cues, 0xBB, |point| {
                        put_uint(point, 0xB3, cue.at);
                        put_master(point, 0xB7, |at| {
                            put_uint(at, 0xF7, cue.track.number().into());
                            put_uint(at, 0xF1, cue.place - start);
                        });
                    });
                }
            });
        }
        let size = before + tail.len() as u64 - start;
        let known = Known { size, duration: self.end as f64 / 1e6, cues_at: Some(cues_at) };
        let head = file_head(&self.heads, Some(&known));
        (tail, head)
    }
}

/// What is known only at the end.
struct Known {
    size: u64,
    duration: f64,
    cues_at: Option<u64>,
}

fn ebml_head() -> Vec<u8> {
    let mut out = Vec::new();
    put_master(&mut out, 0x1A45_DFA3, |head| {
        put_uint(head, 0x4286, 1);
        put_uint(head, 0x42F7, 1);
        put_uint(head, 0x42F2, 4);
        put_uint(head, 0x42F3, 8);
        put_bytes(head, 0x4282, b"matroska");
        put_uint(head, 0x4287, 4);
        put_uint(head, 0x4285, 2);
    });
    out
}

/// Everything before the first cluster; as long with what is known at the end, and with more tracks,
/// as without.
fn file_head(heads: &Heads, known: Option<&Known>) -> Vec<u8> {
    let mut out = ebml_head();
    put_id(&mut out, 0x1853_8067);
    out.extend_from_slice(&known.map_or(UNKNOWN_SIZE, |known| wide_size(known.size)));
    let info = info(known.map(|known| known.duration));
    let tracks = tracks(heads);
    let index_len = seek_head(0, 0, 0).len();
    match known.and_then(|known| known.cues_at) {
        Some(cues_at) => {
            let info_at = index_len as u64;
            let tracks_at = info_at + info.len() as u64;
            out.extend(seek_head(info_at, tracks_at, cues_at));
        }
        None => put_void(&mut out, index_len),
    }
    out.extend(info);
    out.extend(tracks);
    // Room for a track that begins later.
    if let Some(room) = HEAD.checked_sub(out.len()).filter(|room| *room >= 2) {
        put_void(&mut out, room);
    }
    out
}

fn seek_head(info_at: u64, tracks_at: u64, cues_at: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_master(&mut out, 0x114D_9B74, |head| {
        for (id, at) in [(INFO, info_at), (TRACKS, tracks_at), (CUES, cues_at)] {
            put_master(head, 0x4DBB, |seek| {
                put_bytes(seek, 0x53AB, &id.to_be_bytes());
                put_wide_uint(seek, 0x53AC, at);
            });
        }
    });
    out
}

fn info(duration: Option<f64>) -> Vec<u8> {
    let mut out = Vec::new();
    put_master(&mut out, INFO, |info| {
        put_uint(info, 0x2A_D7B1, 1_000_000);
        put_bytes(info, 0x4D80, b"peer");
        put_bytes(info, 0x5741, b"peer");
        match duration {
            Some(duration) => put_float(info, 0x4489, duration),
            None => put_void(info, 11),
        }
    });
    out
}

fn tracks(heads: &Heads) -> Vec<u8> {
    let mut out = Vec::new();
    put_master(&mut out, TRACKS, |tracks| {
        if let Some(video) = &heads.video {
            put_master(tracks, 0xAE, |entry| {
                let id = matroska_id(video.codec).unwrap_or_default();
                track_entry(entry, Track::Video, 1, id, &video.config);
                put_master(entry, 0xE0, |size| {
                    put_uint(size, 0xB0, video.width.into());
                    put_uint(size, 0xBA, video.height.into());
                    if video.aspect.is_some() {
                        let (width, height) = video.shown();
                        put_uint(size, 0x54B0, width.into());
                        put_uint(size, 0x54BA, height.into());
                    }
                    put_projection(size, video.orientation);
                });
            });
        }
        if let Some(channels) = heads.audio {
            let head = super::ogg::build_opus_head(channels);
            put_master(tracks, 0xAE, |entry| {
                track_entry(entry, Track::Audio, 2, b"A_OPUS", &head);
                put_uint(entry, 0x56BB, 80_000_000);
                put_master(entry, 0xE1, |sound| {
                    put_float(sound, 0xB5, 48_000.0);
                    put_uint(sound, 0x9F, channels.into());
                });
            });
        }
    });
    out
}

/// Which way up: a roll counter-clockwise after a yaw, which mirrors (section 5.1.4.1.28.41).
fn put_projection(out: &mut Vec<u8>, orientation: Orientation) {
    let (mirrored, quarters) = orientation.mirror_and_quarters();
    if orientation == Orientation::UPRIGHT {
        return;
    }
    put_master(out, 0x7670, |projection| {
        put_uint(projection, 0x7671, 0);
        put_float(projection, 0x7673, if mirrored { 180.0 } else { 0.0 });
        put_float(projection, 0x7674, 0.0);
        put_float(projection, 0x7675, [0.0, -90.0, 180.0, 90.0][usize::from(quarters)]);
    });
}

fn track_entry(out: &mut Vec<u8>, track: Track, kind: u64, codec: &[u8], private: &[u8]) {
    put_uint(out, 0xD7, track.number().into());
    put_uint(out, 0x73C5, track.number().into());
    put_uint(out, 0x83, kind);
    put_uint(out, 0x9C, 0);
    put_bytes(out, 0x86, codec);
    put_bytes(out, 0x63A2, private);
}
