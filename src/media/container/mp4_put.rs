//! Puts boxes of MP4 and what stands in them into memory (ISO/IEC 14496-12 section 4.2), and times into
//! the ticks of a track.

use super::mux::Track;

const VIDEO_SCALE: u32 = 90_000;
const AUDIO_SCALE: u32 = 48_000;

pub(super) fn scale(track: Track) -> u32 {
    match track {
        Track::Video => VIDEO_SCALE,
        Track::Audio => AUDIO_SCALE,
    }
}

pub(super) fn ticks(nanos: u64, track: Track) -> u64 {
    let ticks = u128::from(nanos) * u128::from(scale(track)) + 500_000_000;
    u64::try_from(ticks / 1_000_000_000).unwrap_or(u64::MAX)
}

/// Filler of `total` bytes, 8 at least.
pub(super) fn put_free(out: &mut Vec<u8>, total: usize) {
    put_box(out, b"free", |free| put_zeros(free, total.saturating_sub(8)));
}

pub(super) fn put_box(out: &mut Vec<u8>, name: &[u8; 4], build: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    put_u32(out, 0);
    out.extend_from_slice(name);
    build(out);
    let len = (out.len() - at) as u32;
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&len.to_be_bytes());
    }
}

pub(super) fn put_full(
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

pub(super) fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(super) fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(super) fn put_zeros(out: &mut Vec<u8>, count: usize) {
    out.resize(out.len() + count, 0);
}
