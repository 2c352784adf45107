//! Reads MP4, M4A and MOV files, progressive and fragmented (ISO/IEC 14496-12).
//!
//! Only the index is held in memory; samples are read one by one. Written
//! here because the usual crates panic or exhaust memory on broken tables.

use std::io::{Read, Seek, SeekFrom};

use super::bytes::{Cursor, read_bounded};
use super::mp4_boxes::{BoxLen, TrackCodec, boxes, find, find_path, header, track_codec};
use super::mp4_fragments::{Defaults, FragmentTrack, parse_trex, read_fragment};
use super::mp4_tables::{Sample, read_samples};
use super::{ContainerError, MAX_PACKET, shortcoming, stored_sound, to_nanos};
use crate::media::encoded::EncodedFrame;
use crate::media::showing::{Orientation, Showing};

/// The largest index (`moov` or `moof`) that is read.
const MAX_INDEX: usize = 128 << 20;

/// An MP4 file: its tracks, and a way to read their samples.
#[derive(Debug)]
pub struct Mp4Reader<R> {
    reader: R,
    /// The tracks in the order of the file.
    pub tracks: Vec<Mp4Track>,
    cut: bool,
}

/// One track.
#[derive(Debug, Clone)]
pub struct Mp4Track {
    /// What it holds.
    pub codec: TrackCodec,
    /// How its pictures are shown.
    pub showing: Showing,
    /// Ticks a second.
    timescale: u32,
    /// Ticks to take off every time: what the edit list and reordering shift.
    shift: i64,
    /// When it is over by its edit list, ticks after `shift`.
    edit_end: Option<i64>,
    samples: Vec<Sample>,
}

impl Mp4Track {
    /// How many samples it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// When it begins and when it is over, nanoseconds.
    #[must_use]
    pub fn span(&self) -> (i64, i64) {
        let ends = self.samples.iter().map(|s| s.pts.saturating_add(i64::from(s.duration)));
        let end = ends.max().unwrap_or(self.shift);
        let end = self.edit_end.map_or(end, |told| end.min(told.saturating_add(self.shift)));
        // What lies before the first edit is not shown.
        let begin = self.samples.iter().map(|s| s.pts).min().unwrap_or(self.shift);
        (self.nanos(begin).max(0), self.nanos(end))
    }

    /// What of a sample lies behind the end of the edit list, nanoseconds.
    fn excess(&self, sample: &Sample) -> i64 {
        let Some(told) = self.edit_end else { return 0 };
        let lasts = i64::from(sample.duration);
        let end = sample.pts.saturating_sub(self.shift).saturating_add(lasts);
        to_nanos(end.saturating_sub(told).clamp(0, lasts), u64::from(self.timescale))
    }

    fn nanos(&self, ticks: i64) -> i64 {
        to_nanos(ticks.saturating_sub(self.shift), u64::from(self.timescale))
    }
}

impl<R: Read + Seek> Mp4Reader<R> {
    /// Reads the index.
    ///
    /// # Errors
    /// When the file is no MP4, has no index (it was not finished), or its index is broken.
    pub fn open(mut reader: R) -> Result<Self, ContainerError> {
        let file_len = reader.seek(SeekFrom::End(0))?;
        let mut movie = None;
        let mut fragments = Vec::new();
        let mut index_bytes = 0;
        let mut at = 0;
        while let Some((name, content_at, end)) = match next_box(&mut reader, at, file_len) {
            // What follows an index and is no box is not ours.
            Err(ContainerError::Corrupt(_)) if movie.is_some() => None,
            found => found?,
        } {
            if &name == b"moov" || &name == b"moof" {
                let len = end - content_at;
                index_bytes += len;
                if index_bytes > MAX_INDEX as u64 {
                    return Err(ContainerError::unsupported("an MP4 index above 128 MiB"));
                }
                reader.seek(SeekFrom::Start(content_at))?;
                match read_bounded(&mut reader, len, MAX_INDEX) {
                    Ok(content) if &name == b"moov" => movie = Some(content),
                    Ok(content) => fragments.push((at, content)),
                    // What was cut off while it was written still plays up to there.
                    Err(ContainerError::Corrupt(_)) if movie.is_some() => {}
                    Err(error) => return Err(error),
                }
            }
            at = end;
        }
        let movie = movie.ok_or_else(|| match fragments.is_empty() {
            true => ContainerError::corrupt(
                "the MP4 file has no index (moov); it was not finished, or not copied whole",
            ),
            false => ContainerError::unsupported(
                "it is a piece of a stream (DASH, HLS) without the stream's beginning; put that before \
                 it: `cat INIT.mp4 PIECE... >OUT.mp4`",
            ),
        })?;
        let (tracks, cut) = build_tracks(&movie, &fragments, file_len);
        // A whole file ends where a box does.
        Ok(Self { reader, tracks, cut: cut || at != file_len })
    }

    /// Whether the file ends before what its index promises.
    #[must_use]
    pub fn was_cut(&self) -> bool {
        self.cut
    }

    /// Reads sample `index` of track `track`; `None` past the last, and of what is not played.
    ///
    /// # Errors
    /// When the file cannot be read there.
    pub fn packet(
        &mut self,
        track: usize,
        index: usize,
    ) -> Result<Option<EncodedFrame>, ContainerError> {
        let Some(track) = self.tracks.get(track) else { return Ok(None) };
        let Some(sample) = track.samples.get(index) else { return Ok(None) };
        self.reader.seek(SeekFrom::Start(sample.offset))?;
        let data = read_bounded(&mut self.reader, u64::from(sample.size), MAX_PACKET)?;
        let pts = track.nanos(sample.pts);
        Ok(match &track.codec {
            TrackCodec::Video(config) => Some(config.frame(&data, pts)?),
            TrackCodec::Audio(config) => {
                Some(stored_sound(config.codec(), data, pts, track.excess(sample)))
            }
            TrackCodec::OtherVideo(_) | TrackCodec::OtherAudio(_) | TrackCodec::Other => None,
        })
    }
}

/// The box at `at`: name, where its content starts, where it ends; `None` at the end of the file.
fn next_box<R: Read + Seek>(
    reader: &mut R,
    at: u64,
    file_len: u64,
) -> Result<Option<([u8; 4], u64, u64)>, ContainerError> {
    if at.saturating_add(8) > file_len {
        return Ok(None);
    }
    reader.seek(SeekFrom::Start(at))?;
    let head = read_bounded(reader, 16.min(file_len - at), 16)?;
    let mut cursor = Cursor::new(&head);
    let (name, len) = header(&mut cursor)?;
    let content_at = at + (head.len() - cursor.rest().len()) as u64;
    let end = match len {
        BoxLen::Rest => file_len,
        BoxLen::Bytes(len) => content_at.saturating_add(len),
    };
    Ok(Some((name, content_at, end)))
}

fn build_tracks(
    movie: &[u8],
    fragments: &[(u64, Vec<u8>)],
    file_len: u64,
) -> (Vec<Mp4Track>, bool) {
    let mut cut = false;
    let turned = find(movie, b"mvhd").and_then(|mvhd| orientation(mvhd, 32));
    let movie_scale = find(movie, b"mvhd").and_then(timescale).unwrap_or(1000);
    let mut tracks = Vec::new();
    let mut parts = Vec::new();
    for (_, trak) in boxes(movie).filter(|(name, _)| name == b"trak").take(64) {
        let Some((mut track, id)) = build_track(trak, movie_scale) else { continue };
        let whole = track.showing.orientation.then(turned.unwrap_or_default());
        track.showing.orientation = whole;
        let next_dts = track.samples.iter().map(|s| i64::from(s.duration)).sum();
        parts.push(FragmentTrack {
            id,
            next_dts,
            samples: track.samples.clone(),
            ..Default::default()
        });
        tracks.push(track);
    }
    for (id, defaults) in extends(movie) {
        if let Some(part) = parts.iter_mut().find(|part| part.id == id) {
            part.defaults = defaults;
        }
    }
    for (at, moof) in fragments {
        // What is broken is where it ends.
        if read_fragment(moof, *at, &mut parts).is_err() {
            cut = true;
            break;
        }
    }
    for (track, part) in tracks.iter_mut().zip(parts) {
        track.samples = part.samples;
        // The tail of a file that was cut is not there.
        let promised = track.samples.len();
        track.samples.retain(|s| s.offset.saturating_add(u64::from(s.size)) <= file_len);
        cut |= track.samples.len() < promised;
        track.samples.shrink_to_fit();
    }
    (tracks, cut)
}

fn extends(movie: &[u8]) -> Vec<(u32, Defaults)> {
    let mvex = find(movie, b"mvex").unwrap_or_default();
    let trexs = boxes(mvex).filter(|(name, _)| name == b"trex");
    trexs.filter_map(|(_, trex)| parse_trex(trex).ok()).collect()
}

fn build_track(trak: &[u8], movie_scale: u32) -> Option<(Mp4Track, u32)> {
    let (Some(handler), Some(stbl)) =
        (find_path(trak, &[b"mdia", b"hdlr"]), find_path(trak, &[b"mdia", b"minf", b"stbl"]))
    else {
        return None;
    };
    let (mut codec, mut showing) = track_codec(handler, find(stbl, b"stsd").unwrap_or_default());
    if codec == TrackCodec::Other {
        return None;
    }
    let timescale =
        find_path(trak, &[b"mdia", b"mdhd"]).and_then(timescale).filter(|scale| *scale > 0);
    let tkhd = find(trak, b"tkhd");
    let id = tkhd.and_then(track_id).unwrap_or(0);
    showing.orientation = tkhd.and_then(|tkhd| orientation(tkhd, 36)).unwrap_or_default();
    let mut samples = Vec::new();
    // A track with broken tables is one that we do not play; perhaps nobody wants it.
    let tables = match timescale {
        Some(_) => read_samples(stbl, &mut samples),
        None => Err(ContainerError::corrupt("its time scale is missing")),
    };
    let timescale = timescale.unwrap_or(1);
    if let Err(error) = tables {
        samples.clear();
        codec = match codec {
            TrackCodec::Video(_) | TrackCodec::OtherVideo(_) => {
                TrackCodec::OtherVideo(shortcoming(&error))
            }
            _ => TrackCodec::OtherAudio(shortcoming(&error)),
        };
    }
    let (shift, edit_end) = find_path(trak, &[b"edts", b"elst"])
        .and_then(|elst| edits(elst, timescale, movie_scale))
        .unwrap_or((0, None));
    Some((Mp4Track { codec, showing, timescale, shift, edit_end, samples }, id))
}

/// Which way up, from the matrix of `mvhd` or `tkhd`, which stands so many bytes behind version and
/// flags, in the long form 12 more (sections 8.2.2 and 8.3.2).
fn orientation(data: &[u8], at: usize) -> Option<Orientation> {
    let mut cursor = Cursor::new(data);
    let wide = cursor.u32().ok()? >> 24 == 1;
    cursor.take(if wide { at + 12 } else { at }).ok()?;
    let mut next = || cursor.u32().ok().map(|value| i64::from(value as i32));
    let (a, b, _, c, d) = (next()?, next()?, next()?, next()?, next()?);
    Orientation::from_matrix([a, b, c, d])
}

/// `timescale` of `mvhd` or `mdhd`.
fn timescale(data: &[u8]) -> Option<u32> {
    let mut cursor = Cursor::new(data);
    let wide = cursor.u32().ok()? >> 24 == 1;
    cursor.take(if wide { 16 } else { 8 }).ok()?;
    cursor.u32().ok()
}

fn track_id(tkhd: &[u8]) -> Option<u32> {
    let mut cursor = Cursor::new(tkhd);
    let wide = cursor.u32().ok()? >> 24 == 1;
    cursor.take(if wide { 16 } else { 8 }).ok()?;
    cursor.u32().ok()
}

/// What the edit list takes off every time, in ticks of the track: where the first real edit starts,
/// less the empty edits before it (section 8.6.6). And when all is over, where one real edit says so.
fn edits(elst: &[u8], timescale: u32, movie_scale: u32) -> Option<(i64, Option<i64>)> {
    let mut cursor = Cursor::new(elst);
    let wide = if cursor.u32().ok()? >> 24 == 1 { 8 } else { 4 };
    let count = cursor.u32().ok()?;
    let mut empty = 0i64;
    for n in 0..count.min(16) {
        let duration = i64::try_from(cursor.uint(wide).ok()?).ok()?;
        let start = cursor.uint(wide).ok()?;
        let start = if wide == 8 { start as i64 } else { i64::from(start as u32 as i32) };
        cursor.u32().ok()?;
        let ticks = i128::from(duration) * i128::from(timescale) / i128::from(movie_scale.max(1));
        let ticks = i64::try_from(ticks).ok()?;
        if start >= 0 {
            // Fragments come on top of an edit that lasts nothing.
            let last = n + 1 == count && ticks > 0;
            // The movie's clock is coarser: a tick of it is rounding, not an end.
            let slack = i64::from(timescale / movie_scale.max(1)) + 1;
            let end = last.then(|| empty.saturating_add(ticks).saturating_add(slack));
            return Some((start.checked_sub(empty)?, end));
        }
        empty = empty.checked_add(ticks)?;
    }
    None
}
