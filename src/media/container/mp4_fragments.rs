//! Movie fragments (ISO/IEC 14496-12 section 8.8): the samples that a `moof` adds to each track.
//!
//! Pure over the bytes of `moof`; bounded like the sample tables.

use super::ContainerError;
use super::bytes::Cursor;
use super::mp4_boxes::{boxes, find};
use super::mp4_tables::{MAX_SAMPLES, Sample};

/// Defaults of a track from `trex`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Defaults {
    /// Ticks of a sample.
    pub duration: u32,
    /// Bytes of a sample.
    pub size: u32,
}

/// A track that fragments append to.
#[derive(Debug, Clone, Default)]
pub struct FragmentTrack {
    /// `track_ID`.
    pub id: u32,
    /// From `trex`.
    pub defaults: Defaults,
    /// When the next sample is decoded, in ticks, unless a fragment says otherwise.
    pub next_dts: i64,
    /// The samples so far.
    pub samples: Vec<Sample>,
}

/// Parses a `trex` box: track and defaults.
///
/// # Errors
/// When it is cut.
pub fn parse_trex(data: &[u8]) -> Result<(u32, Defaults), ContainerError> {
    let mut cursor = Cursor::new(data);
    cursor.u32()?;
    let id = cursor.u32()?;
    cursor.u32()?;
    Ok((id, Defaults { duration: cursor.u32()?, size: cursor.u32()? }))
}

/// Adds the samples of a `moof` that starts at `moof_at` in the file.
///
/// # Errors
/// When it is cut or claims more samples than anybody has.
pub fn read_fragment(
    moof: &[u8],
    moof_at: u64,
    tracks: &mut [FragmentTrack],
) -> Result<(), ContainerError> {
    let mut data_end = moof_at;
    for (_, traf) in boxes(moof).filter(|(name, _)| name == b"traf") {
        let tfhd = find(traf, b"tfhd")
            .ok_or_else(|| ContainerError::corrupt("MP4: a fragment without tfhd"))?;
        let head = Header::parse(tfhd, moof_at)?;
        let Some(track) = tracks.iter_mut().find(|track| track.id == head.id) else { continue };
        if let Some(tfdt) = find(traf, b"tfdt") {
            let mut cursor = Cursor::new(tfdt);
            let wide = cursor.u32()? >> 24 == 1;
            let time = cursor.uint(if wide { 8 } else { 4 })?;
            track.next_dts = i64::try_from(time).unwrap_or(i64::MAX);
        }
        let defaults = Defaults {
            duration: head.duration.unwrap_or(track.defaults.duration),
            size: head.size.unwrap_or(track.defaults.size),
        };
        let base = head.base.unwrap_or(data_end);
        data_end = base;
        for (_, trun) in boxes(traf).filter(|(name, _)| name == b"trun") {
            data_end = read_run(trun, base, data_end, defaults, track)?;
        }
    }
    Ok(())
}

/// What `tfhd` says (section 8.8.7).
struct Header {
    id: u32,
    base: Option<u64>,
    duration: Option<u32>,
    size: Option<u32>,
}

impl Header {
    fn parse(tfhd: &[u8], moof_at: u64) -> Result<Self, ContainerError> {
        let mut cursor = Cursor::new(tfhd);
        let flags = cursor.u32()?;
        let id = cursor.u32()?;
        let mut base = (flags & 0x02_0000 != 0).then_some(moof_at);
        if flags & 1 != 0 {
            base = Some(cursor.u64()?);
        }
        if flags & 2 != 0 {
            cursor.u32()?;
        }
        let duration = if flags & 8 != 0 { Some(cursor.u32()?) } else { None };
        let size = if flags & 0x10 != 0 { Some(cursor.u32()?) } else { None };
        Ok(Self { id, base, duration, size })
    }
}

/// Reads one `trun` (section 8.8.8); gives back where its data end.
fn read_run(
    trun: &[u8],
    base: u64,
    follows: u64,
    defaults: Defaults,
    track: &mut FragmentTrack,
) -> Result<u64, ContainerError> {
    let mut cursor = Cursor::new(trun);
    let flags = cursor.u32()?;
    let count = cursor.u32()? as usize;
    if track.samples.len().saturating_add(count) > MAX_SAMPLES {
        return Err(ContainerError::corrupt("MP4: a fragment with millions of samples"));
    }
    let mut offset = follows;
    if flags & 1 != 0 {
        offset = base.saturating_add_signed(i64::from(cursor.u32()? as i32));
    }
    if flags & 4 != 0 {
        cursor.u32()?;
    }
    for _ in 0..count {
        let duration = if flags & 0x100 != 0 { cursor.u32()? } else { defaults.duration };
        let size = if flags & 0x200 != 0 { cursor.u32()? } else { defaults.size };
        if flags & 0x400 != 0 {
            cursor.u32()?;
        }
        let shift = if flags & 0x800 != 0 { cursor.u32()? as i32 } else { 0 };
        let pts = track.next_dts.saturating_add(i64::from(shift));
        track.samples.push(Sample { offset, size, pts, duration });
        track.next_dts = track.next_dts.saturating_add(i64::from(duration));
        offset = offset.saturating_add(u64::from(size));
    }
    Ok(offset)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn full_box(name: &[u8; 4], words: &[u32]) -> Vec<u8> {
        let mut out = (8 + 4 * words.len() as u32).to_be_bytes().to_vec();
        out.extend_from_slice(name);
        words.iter().for_each(|word| out.extend_from_slice(&word.to_be_bytes()));
        out
    }

    fn moof() -> Vec<u8> {
        let inner = [
            full_box(b"tfhd", &[0x02_0008, 1, 512]),
            full_box(b"tfdt", &[0, 9000]),
            full_box(b"trun", &[0x301, 2, 100, 500, 7, 600, 8]),
            full_box(b"trun", &[0x200, 1, 9]),
        ]
        .concat();
        let mut out = (8 + inner.len() as u32).to_be_bytes().to_vec();
        out.extend_from_slice(b"traf");
        out.extend(inner);
        out
    }

    #[test]
    fn runs_follow_each_other() {
        let mut tracks = [FragmentTrack { id: 1, ..FragmentTrack::default() }];
        read_fragment(&moof(), 1000, &mut tracks).unwrap();
        let at: Vec<_> =
            tracks[0].samples.iter().map(|s| (s.offset, s.size, s.pts, s.duration)).collect();
        assert_eq!(at, [(1100, 7, 9000, 500), (1107, 8, 9500, 600), (1115, 9, 10_100, 512)]);
    }

    proptest! {
        #[test]
        fn damage_never_panics(cut in 0usize..130, at in 0usize..120, bit in 0u8..8) {
            let mut data = moof();
            let len = data.len();
            data[at % len] ^= 1 << bit;
            data.truncate(cut);
            let mut tracks = [FragmentTrack { id: 1, ..FragmentTrack::default() }];
            let _ = read_fragment(&data, u64::MAX - 5, &mut tracks);
            prop_assert!(tracks[0].samples.len() <= MAX_SAMPLES);
        }
    }
}
