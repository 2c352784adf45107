//! Reads IVF: a 32-byte header, then pictures with a size and a timestamp each.
//!
//! Knows nothing of what is in a packet.

use std::collections::VecDeque;
use std::io::{Read, Seek, SeekFrom};

use super::bytes::read_bounded;
use super::pictures::{not_played, of_ivf, stored_picture};
use super::{ContainerError, MAX_PACKET, names, to_nanos};
use crate::media::encoded::{Codec, EncodedFrame};

/// An IVF file, read one packet at a time.
#[derive(Debug)]
pub struct IvfReader<R> {
    reader: R,
    codec: Codec,
    rate: u32,
    scale: u32,
    /// Ticks from one picture to the next, of the first ones the fewest.
    step: u64,
    first_packet: u64,
    /// Packets that were looked at and not handed out yet.
    ahead: VecDeque<(Vec<u8>, u64)>,
    cut: bool,
}

/// So many bytes of packets are looked at before any is handed out, or one packet.
const MOST_AHEAD: usize = 8 << 20;

/// The clock of RTP (RFC 6184 section 8.2.1), by which some write while their header names another.
const RTP_CLOCK: u32 = 90_000;

impl<R: Read + Seek> IvfReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// When it is not IVF, or holds a codec that is not played.
    pub fn open(mut reader: R) -> Result<Self, ContainerError> {
        let head = read_bounded(&mut reader, 32, 32)?;
        let le =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        if !head.starts_with(b"DKIF") {
            return Err(ContainerError::corrupt("the IVF header does not start with DKIF"));
        }
        let fourcc = &head[8..12];
        let codec = of_ivf(fourcc).ok_or_else(|| not_played(&names::of_fourcc(fourcc)))?;
        let header_len = u64::from(u16::from_le_bytes([head[6], head[7]])).max(32);
        reader.seek(SeekFrom::Start(header_len))?;
        let (rate, scale) = (le(16).max(1), le(20).max(1));
        let ahead = VecDeque::new();
        Ok(Self {
            reader,
            codec,
            rate,
            scale,
            step: 1,
            first_packet: header_len,
            ahead,
            cut: false,
        })
    }

    /// Looks at the first time stamps, of so many packets: pictures that would be seconds apart by the
    /// header's clock are told in another. The packets come all the same.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn find_clock(&mut self, packets: usize) -> Result<(), ContainerError> {
        let (mut times, mut bytes) = (Vec::new(), 0);
        while times.len() < packets
            && bytes < MOST_AHEAD
            && let Some((data, ticks)) = self.read_packet()?
        {
            bytes += data.len();
            times.push(ticks);
            self.ahead.push_back((data, ticks));
        }
        times.sort_unstable();
        let steps = times.windows(2).map(|pair| pair[1] - pair[0]);
        self.step = steps.filter(|step| *step > 0).min().unwrap_or(1);
        let seconds = self.step as f64 * f64::from(self.scale) / f64::from(self.rate);
        if seconds > 2.0 && self.step >= 100 {
            (self.rate, self.scale) = (RTP_CLOCK, 1);
        }
        Ok(())
    }

    /// What its pictures are encoded in.
    #[must_use]
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Whether the file turned out to end in the middle of something.
    #[must_use]
    pub fn was_cut(&self) -> bool {
        self.cut
    }

    /// Pictures a second, as far as is known.
    #[must_use]
    pub fn fps(&self) -> f64 {
        f64::from(self.rate) / f64::from(self.scale) / self.step as f64
    }

    /// The next packet; `None` at the end, which may be a cut.
    ///
    /// # Errors
    /// When the file cannot be read, or a packet is too large.
    pub fn next_packet(&mut self) -> Result<Option<EncodedFrame>, ContainerError> {
        let Some((data, ticks)) = self.next_raw()? else { return Ok(None) };
        let ticks = i64::try_from(ticks).unwrap_or(i64::MAX).saturating_mul(i64::from(self.scale));
        Ok(Some(stored_picture(self.codec, data, to_nanos(ticks, u64::from(self.rate)))))
    }

    fn next_raw(&mut self) -> Result<Option<(Vec<u8>, u64)>, ContainerError> {
        match self.ahead.pop_front() {
            Some(packet) => Ok(Some(packet)),
            None => self.read_packet(),
        }
    }

    fn read_packet(&mut self) -> Result<Option<(Vec<u8>, u64)>, ContainerError> {
        let mut head = Vec::new();
        (&mut self.reader).take(12).read_to_end(&mut head)?;
        let parts = head.split_first_chunk::<4>();
        let Some((size, Ok(time))) = parts.map(|(size, time)| (size, <[u8; 8]>::try_from(time)))
        else {
            self.cut |= !head.is_empty();
            return Ok(None);
        };
        let size = u64::from(u32::from_le_bytes(*size));
        if size > MAX_PACKET as u64 {
            return Err(ContainerError::corrupt("an IVF packet above 32 MiB"));
        }
        let mut data = Vec::new();
        (&mut self.reader).take(size).read_to_end(&mut data)?;
        if (data.len() as u64) < size {
            self.cut = true;
            return Ok(None);
        }
        Ok(Some((data, u64::from_le_bytes(time))))
    }

    /// Goes back to the first packet.
    ///
    /// # Errors
    /// When the file cannot be sought.
    pub fn rewind(&mut self) -> Result<(), ContainerError> {
        self.ahead.clear();
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
    use crate::media::container::pictures::RAW;

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
        assert_eq!(ivf.next_packet().unwrap().unwrap(), stored_picture(RAW, vec![0; 3], 0));
        let second = ivf.next_packet().unwrap().unwrap();
        assert_eq!((&second.data[..], second.time.stored().0), (&[1; 3][..], 33_333_333));
        assert_eq!(ivf.next_packet().unwrap(), None);
        ivf.rewind().unwrap();
        assert_eq!(ivf.next_packet().unwrap().unwrap().time.stored().0, 0);
    }

    #[test]
    fn times_of_rtp_under_a_clock_of_pictures_are_known() {
        let mut data = file(b"H264")[..32].to_vec();
        for n in 0..4u64 {
            data.extend_from_slice(&[1, 0, 0, 0]);
            data.extend_from_slice(&(3_600_000_000 + n * 3000).to_le_bytes());
            data.push(7);
        }
        let mut ivf = IvfReader::open(Cursor::new(data)).unwrap();
        ivf.find_clock(16).unwrap();
        assert!((ivf.fps() - 30.0).abs() < 1e-9, "{}", ivf.fps());
        let first = ivf.next_packet().unwrap().unwrap().time.stored().0;
        assert_eq!(ivf.next_packet().unwrap().unwrap().time.stored().0 - first, 33_333_333);
    }

    #[test]
    fn a_packet_that_is_cut_ends_the_file() {
        let whole = file(b"H264");
        for gone in [1, 4, 10] {
            let data = &whole[..whole.len() - gone];
            let mut ivf = IvfReader::open(Cursor::new(data)).unwrap();
            assert!(ivf.next_packet().unwrap().is_some() && !ivf.was_cut());
            assert!(ivf.next_packet().unwrap().is_none() && ivf.was_cut(), "{gone}");
        }
    }

    #[test]
    fn other_codecs_are_refused() {
        let error = IvfReader::open(Cursor::new(file(b"VP80"))).unwrap_err();
        assert!(error.to_string().contains("its pictures are VP8,"), "{error}");
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
