//! The sample tables of an MP4 track (ISO/IEC 14496-12 section 8.6 and 8.7), made into a list.
//!
//! Pure over the bytes of `stbl`. The list is bounded, whatever the tables claim.

use super::ContainerError;
use super::bytes::Cursor;
use super::mp4_boxes::find;

/// One sample of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Where it lies in the file.
    pub offset: u64,
    /// Its bytes.
    pub size: u32,
    /// When it is presented, in ticks of the track.
    pub pts: i64,
    /// How long it lasts, in ticks.
    pub duration: u32,
}

/// The most samples of a track that are taken: 38 hours of pictures at 30 a second.
pub const MAX_SAMPLES: usize = 1 << 22;

/// Appends the samples that `stbl` describes.
///
/// # Errors
/// When a table is cut or they contradict each other.
pub fn read_samples(stbl: &[u8], out: &mut Vec<Sample>) -> Result<(), ContainerError> {
    let table = |name| find(stbl, name).ok_or_else(|| broken("a sample table is missing"));
    let sizes = Sizes::parse(find(stbl, b"stsz"), find(stbl, b"stz2"))?;
    if sizes.count == 0 {
        return Ok(());
    }
    if sizes.count > MAX_SAMPLES {
        return Err(ContainerError::unsupported("more than four million samples in a track"));
    }
    let mut chunks = Chunks::parse(table(b"stsc")?, find(stbl, b"stco"), find(stbl, b"co64"))?;
    let mut times = Runs::parse(table(b"stts")?)?;
    let mut shifts = find(stbl, b"ctts").map(Runs::parse).transpose()?;
    let mut dts = 0i64;
    for index in 0..sizes.count {
        let size = sizes.get(index)?;
        let offset = chunks.place(size)?;
        let duration = times.next().unwrap_or(0);
        let shift = shifts.as_mut().and_then(Runs::next).unwrap_or(0) as i32;
        out.push(Sample { offset, size, pts: dts.saturating_add(i64::from(shift)), duration });
        dts = dts.saturating_add(i64::from(duration));
    }
    Ok(())
}

fn broken(text: &str) -> ContainerError {
    ContainerError::corrupt(format!("MP4: {text}"))
}

/// Sizes of samples: one for all, or one each.
struct Sizes<'a> {
    fixed: u32,
    count: usize,
    bits: usize,
    table: &'a [u8],
}

impl<'a> Sizes<'a> {
    fn parse(stsz: Option<&'a [u8]>, stz2: Option<&'a [u8]>) -> Result<Self, ContainerError> {
        let (data, compact) = match (stsz, stz2) {
            (Some(data), _) => (data, false),
            (None, Some(data)) => (data, true),
            (None, None) => return Err(broken("a track has no sample sizes")),
        };
        let mut cursor = Cursor::new(data);
        cursor.u32()?;
        let first = cursor.u32()?;
        let count = cursor.u32()? as usize;
        let (fixed, bits) = if compact { (0, first as usize & 0xFF) } else { (first, 32) };
        if !matches!(bits, 4 | 8 | 16 | 32) {
            return Err(broken("sample sizes of an unknown width"));
        }
        let table = cursor.rest();
        if fixed == 0 && table.len() < count.saturating_mul(bits) / 8 {
            return Err(broken("the table of sample sizes is cut"));
        }
        Ok(Self { fixed, count, bits, table })
    }

    fn get(&self, index: usize) -> Result<u32, ContainerError> {
        if self.fixed != 0 {
            return Ok(self.fixed);
        }
        let at = index * self.bits / 8;
        let mut cursor = Cursor::new(self.table.get(at..).unwrap_or_default());
        let value = cursor.uint((self.bits / 8).max(1))? as u32;
        Ok(match (self.bits, index % 2) {
            (4, 0) => value >> 4,
            (4, _) => value & 0xF,
            _ => value,
        })
    }
}

/// Places samples into chunks, one after the other.
struct Chunks<'a> {
    runs: Vec<(u32, u32)>,
    offsets: Cursor<'a>,
    wide: bool,
    run: usize,
    chunk: u32,
    left: u32,
    at: u64,
}

impl<'a> Chunks<'a> {
    fn parse(
        stsc: &[u8],
        stco: Option<&'a [u8]>,
        co64: Option<&'a [u8]>,
    ) -> Result<Self, ContainerError> {
        let mut cursor = Cursor::new(stsc);
        cursor.u32()?;
        let count = cursor.u32()? as usize;
        let (words, _) = cursor.rest().as_chunks();
        let runs = words.as_chunks().0.iter().take(count);
        let runs = runs
            .map(|[first, samples, _]| (u32::from_be_bytes(*first), u32::from_be_bytes(*samples)));
        let runs: Vec<(u32, u32)> = runs.collect();
        let (data, wide) = match (stco, co64) {
            (Some(data), _) => (data, false),
            (None, Some(data)) => (data, true),
            (None, None) => return Err(broken("a track has no chunk offsets")),
        };
        let mut offsets = Cursor::new(data);
        offsets.u64()?;
        Ok(Self { runs, offsets, wide, run: 0, chunk: 0, left: 0, at: 0 })
    }

    fn place(&mut self, size: u32) -> Result<u64, ContainerError> {
        if self.left == 0 {
            self.chunk = self.chunk.saturating_add(1);
            while self.runs.get(self.run + 1).is_some_and(|next| next.0 <= self.chunk) {
                self.run += 1;
            }
            self.left = self.runs.get(self.run).map_or(0, |run| run.1);
            if self.left == 0 {
                return Err(broken("the table of chunks is broken"));
            }
            self.at = self.offsets.uint(if self.wide { 8 } else { 4 })?;
        }
        self.left -= 1;
        let offset = self.at;
        self.at = self.at.saturating_add(u64::from(size));
        Ok(offset)
    }
}

/// A table of (count, value) pairs, played out value by value.
struct Runs<'a> {
    rest: Cursor<'a>,
    left: u32,
    value: u32,
}

impl<'a> Runs<'a> {
    fn parse(data: &'a [u8]) -> Result<Self, ContainerError> {
        let mut rest = Cursor::new(data);
        rest.u64()?;
        Ok(Self { rest, left: 0, value: 0 })
    }

    fn next(&mut self) -> Option<u32> {
        while self.left == 0 {
            self.left = self.rest.u32().ok()?;
            self.value = self.rest.u32().ok()?;
        }
        self.left -= 1;
        Some(self.value)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(name: &[u8; 4], words: &[u32]) -> Vec<u8> {
        let mut out = (8 + 4 * words.len() as u32).to_be_bytes().to_vec();
        out.extend_from_slice(name);
        words.iter().for_each(|word| out.extend_from_slice(&word.to_be_bytes()));
        out
    }

    fn stbl() -> Vec<u8> {
        [
            table(b"stsz", &[0, 0, 4, 10, 20, 30, 40]),
            table(b"stsc", &[0, 2, 1, 3, 1, 2, 1, 1]),
            table(b"stco", &[0, 2, 1000, 5000]),
            table(b"stts", &[0, 2, 3, 100, 1, 50]),
            table(b"ctts", &[0, 2, 1, 200, 3, 0]),
        ]
        .concat()
    }

    #[test]
    fn tables_become_samples() {
        let mut samples = Vec::new();
        read_samples(&stbl(), &mut samples).unwrap();
        let at: Vec<_> = samples.iter().map(|s| (s.offset, s.size, s.pts, s.duration)).collect();
        assert_eq!(
            at,
            [(1000, 10, 200, 100), (1010, 20, 100, 100), (1030, 30, 200, 100), (5000, 40, 300, 50)]
        );
    }

    #[test]
    fn a_claim_of_four_billion_samples_is_refused() {
        let lie = table(b"stsz", &[0, 1, u32::MAX]);
        assert!(read_samples(&lie, &mut Vec::new()).is_err());
    }

    proptest! {
        #[test]
        fn damage_never_panics(cut in 0usize..160, at in 0usize..150, bit in 0u8..8) {
            let mut data = stbl();
            let len = data.len();
            data[at % len] ^= 1 << bit;
            data.truncate(cut);
            let mut samples = Vec::new();
            let _ = read_samples(&data, &mut samples);
            prop_assert!(samples.len() <= MAX_SAMPLES);
        }
    }
}
