//! The two indices of a recording in MP4: at the beginning the one that browsers read (`sidx`), at the
//! end one for each track (`mfra`).
//!
//! Pure over what was written. ISO/IEC 14496-12 sections 8.16.3 and 8.8.9 to 8.8.11.

use super::mp4_put::{put_box, put_free, put_full, put_u16, put_u32, ticks};
use super::mux::Track;

/// What the indices say of a fragment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fragment {
    /// When it begins, nanoseconds.
    pub(super) at: u64,
    /// When it and all before it are over, nanoseconds.
    pub(super) end: u64,
    pub(super) bytes: u64,
    /// Whether a player can begin with it.
    pub(super) keyframe: bool,
    /// Whether it has pictures at all.
    pub(super) has_video: bool,
    /// When its first picture is shown that needs no other, nanoseconds.
    pub(super) video: Option<u64>,
    /// The same of sound.
    pub(super) audio: Option<u64>,
}

/// Room for the index at the beginning, in bytes, and how many places of twelve bytes are in it.
pub(super) const INDEX: usize = 12 * 1024;
const PLACES: usize = (INDEX - INDEX_HEAD - 8) / 12;
const INDEX_HEAD: usize = 40;

/// Sound can be begun anywhere; a place for each so many nanoseconds is enough.
const SOUND_PLACES: u64 = 5_000_000_000;

/// A place at which a player can begin: when, how many bytes up to the next, and how long.
#[derive(Debug, Clone, Copy)]
struct Place {
    at: u64,
    bytes: u64,
    lasts: u64,
}

fn places(fragments: &[Fragment], end: u64) -> Vec<Place> {
    let mut places: Vec<(u64, u64)> = Vec::new();
    for fragment in fragments {
        match places.last_mut() {
            Some((_, bytes)) if !fragment.keyframe => *bytes += fragment.bytes,
            _ => places.push((fragment.at, fragment.bytes)),
        }
    }
    // In a very long recording one place stands for several.
    let together = places.len().div_ceil(PLACES).max(1);
    let merged: Vec<(u64, u64)> = places
        .chunks(together)
        .map(|some| (some[0].0, some.iter().map(|(_, bytes)| bytes).sum()))
        .collect();
    let ends = merged.iter().skip(1).map(|(at, _)| *at).chain([end]);
    let lasting = merged.iter().zip(ends);
    lasting
        .map(|((at, bytes), end)| Place { at: *at, bytes: *bytes, lasts: end.saturating_sub(*at) })
        .collect()
}

/// The index at the beginning, in all the room that it has: of one track, which begins then.
pub(super) fn segment_index(
    (track, scale): (Track, u32),
    begins: u64,
    fragments: &[Fragment],
    end: u64,
) -> Vec<u8> {
    let mut places = places(fragments, end);
    if let Some(first) = places.first_mut() {
        first.lasts = first.lasts.saturating_sub(begins.saturating_sub(first.at));
        first.at = first.at.max(begins);
    }
    let mut out = Vec::new();
    let room = INDEX - INDEX_HEAD - places.len() * 12;
    put_full(&mut out, b"sidx", 1, 0, |sidx| {
        put_u32(sidx, track.number().into());
        put_u32(sidx, scale);
        let first = places.first().map_or(0, |place| place.at.saturating_sub(begins));
        let first = ticks(first, track);
        sidx.extend_from_slice(&first.to_be_bytes());
        sidx.extend_from_slice(&(room as u64).to_be_bytes());
        put_u16(sidx, 0);
        put_u16(sidx, places.len() as u16);
        for Place { bytes, lasts, .. } in &places {
            put_u32(sidx, u32::try_from(*bytes).unwrap_or(u32::MAX >> 1) & (u32::MAX >> 1));
            put_u32(sidx, u32::try_from(ticks(*lasts, track)).unwrap_or(u32::MAX));
            // It begins with a picture that needs no other.
            put_u32(sidx, 0x9000_0000);
        }
    });
    put_free(&mut out, room);
    out
}

/// The index at the end: for each track where a player can begin, by the track's own time. The first
/// fragment stands behind so many bytes; `begins` says when a track does.
pub(super) fn random_access(
    fragments: &[Fragment],
    head: u64,
    begins: impl Fn(Track) -> u64,
) -> Vec<u8> {
    let mut out = Vec::new();
    put_box(&mut out, b"mfra", |mfra| {
        for track in [Track::Video, Track::Audio] {
            let entries = entries(fragments, head, track);
            if entries.is_empty() {
                continue;
            }
            put_full(mfra, b"tfra", 1, 0, |tfra| {
                put_u32(tfra, track.number().into());
                // Numbers of track fragment, run and sample take a byte each.
                put_u32(tfra, 0);
                put_u32(tfra, entries.len() as u32);
                for (at, place, traf) in entries {
                    let at = ticks(at.saturating_sub(begins(track)), track);
                    tfra.extend_from_slice(&at.to_be_bytes());
                    tfra.extend_from_slice(&place.to_be_bytes());
                    tfra.extend_from_slice(&[traf, 1, 1]);
                }
            });
        }
        let len = mfra.len() as u32 + 16;
        put_full(mfra, b"mfro", 0, 0, |mfro| put_u32(mfro, len));
    });
    out
}

/// When, behind how many bytes, and in which track of the fragment a player can begin with this track.
fn entries(fragments: &[Fragment], head: u64, track: Track) -> Vec<(u64, u64, u8)> {
    let mut place = head;
    let mut entries: Vec<(u64, u64, u8)> = Vec::new();
    for fragment in fragments {
        let last = entries.last().map(|(at, ..)| *at);
        let found = match track {
            Track::Video => fragment.video.map(|at| (at, 1)),
            Track::Audio => fragment
                .audio
                .filter(|at| last.is_none_or(|last| *at >= last + SOUND_PLACES))
                .map(|at| (at, if fragment.has_video { 2 } else { 1 })),
        };
        entries.extend(found.map(|(at, traf)| (at, place, traf)));
        place += fragment.bytes;
    }
    entries
}
