//! Reads IVF: a 32-byte header, then pictures with a size and a timestamp each.
//!
//! Only H.264 in Annex B form is taken. Knows nothing of what is in a packet.

use std::io::{Read, Seek, SeekFrom};

use super::bytes::read_bounded;
use super::{ContainerError, MAX_PACKET, Packet, to_nanos};

/// An IVF file, read one packet at a time.
#[derive(Debug)]
pub struct IvfReader<R> {
    reader: R,
    rate: u32,
    scale: u32,
    first_packet: u64,
}

impl<R: Read + Seek> IvfReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// When it is not IVF, or holds another codec than H.264.
    pub fn open(mut reader: R) -> Result<Self, ContainerError> {
        let head = read_bounded(&mut reader, 32, 32)?;
        let le =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        if !head.starts_with(b"DKIF") {
            return Err(ContainerError::corrupt("the IVF header does not start with DKIF"));
        }
        let fourcc = &head[8..12];
        if !fourcc.eq_ignore_ascii_case(b"H264") && !fourcc.eq_ignore_ascii_case(b"AVC1") {
            return Err(ContainerError::unsupported(format!(
                "IVF with {}; only H.264 is played: convert it with `ffmpeg -i IN -c:v libx264 OUT.mp4`",
                String::from_utf8_lossy(fourcc).escape_default()
            )));
        }
        let header_len = u64::from(u16::from_le_bytes([head[6], head[7]])).max(32);
        reader.seek(SeekFrom::Start(header_len))?;
        Ok(Self { reader, rate: le(16).max(1), scale: le(20).max(1), first_packet: header_len })
    }

    /// Pictures a second, when the header's time base is one picture.
    #[must_use]
    pub fn fps(&self) -> f64 {
        f64::from(self.rate) / f64::from(self.scale)
    }

    /// The next packet; `None` at the end.
    ///
    /// # Errors
    /// When the file is cut in a packet, or a packet is too large.
    pub fn next_packet(&mut self) -> Result<Option<Packet>, ContainerError> {
        let mut head = Vec::new();
        (&mut self.reader).take(12).read_to_end(&mut head)?;
        let Some((size, time)) = head.split_first_chunk::<4>() else { return Ok(None) };
        let Ok(time) = <[u8; 8]>::try_from(time) else { return Ok(None) };
        let size = u64::from(u32::from_le_bytes(*size));
        let data = read_bounded(&mut self.reader, size, MAX_PACKET)?;
        let ticks = i64::try_from(u64::from_le_bytes(time)).unwrap_or(i64::MAX);
        let ticks = ticks.saturating_mul(i64::from(self.scale));
        Ok(Some(Packet { data, pts: to_nanos(ticks, u64::from(self.rate)) }))
    }

    /// Goes back to the first packet.
    ///
    /// # Errors
    /// When the file cannot be sought.
    pub fn rewind(&mut self) -> Result<(), ContainerError> {
        self.reader.seek(SeekFrom::Start(self.first_packet))?;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn file(fourcc: &[u8; 4]) -> Vec<u8> {
        let mut data = b"DKIF\0\0\x20\0".to_vec();
        data.extend_from_slice(fourcc);
        data.extend_from_slice(&[64, 0, 48, 0, 30, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
        for n in 0..2u8 {
            data.extend_from_slice(&[3, 0, 0, 0, n, 0, 0, 0, 0, 0, 0, 0, n, n, n]);
        }
        data
    }

    #[test]
    fn packets_have_their_times() {
        let mut ivf = IvfReader::open(Cursor::new(file(b"H264"))).unwrap();
        assert!((ivf.fps() - 30.0).abs() < 1e-9);
        assert_eq!(ivf.next_packet().unwrap().unwrap(), Packet { data: vec![0; 3], pts: 0 });
        let second = ivf.next_packet().unwrap().unwrap();
        assert_eq!((second.data, second.pts), (vec![1; 3], 33_333_333));
        assert_eq!(ivf.next_packet().unwrap(), None);
        ivf.rewind().unwrap();
        assert_eq!(ivf.next_packet().unwrap().unwrap().pts, 0);
    }

    #[test]
    fn other_codecs_are_refused() {
        let error = IvfReader::open(Cursor::new(file(b"VP80"))).unwrap_err();
        assert!(error.to_string().contains("VP80"));
    }

    proptest! {
        #[test]
        fn damage_never_panics(cut in 0usize..70, at in 0usize..62, bit in 0u8..8) {
            let mut data = file(b"H264");
            data[at] ^= 1 << bit;
            data.truncate(cut);
            if let Ok(mut ivf) = IvfReader::open(Cursor::new(data)) {
                while let Ok(Some(packet)) = ivf.next_packet() {
                    prop_assert!(packet.data.len() <= 62);
                }
            }
        }
    }
}
