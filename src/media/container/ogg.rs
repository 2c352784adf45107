//! Reads Opus out of Ogg (RFC 7845), and the Opus identification header wherever it is stored.
//!
//! Pages and checksums are the `ogg` crate's; this knows the two headers and
//! counts the time of each packet.

use std::io::{Read, Seek, SeekFrom};

use ogg::PacketReader;

use super::bytes::Cursor;
use super::{AudioCodec, ContainerError, Packet, to_nanos};
use crate::media::codec::opus::packet_samples;

/// The first Opus stream of an Ogg file.
pub struct OggOpusReader<R: Read + Seek> {
    reader: PacketReader<R>,
    serial: u32,
    pre_skip: u16,
    channels: u8,
    /// Samples at 48 kHz per channel that the packets so far held.
    position: i64,
}

impl<R: Read + Seek> OggOpusReader<R> {
    /// Reads both headers.
    ///
    /// # Errors
    /// When it is not Ogg, or holds no Opus that we can decode.
    pub fn open(reader: R) -> Result<Self, ContainerError> {
        let mut reader = PacketReader::new(reader);
        // Other streams may be multiplexed in: their headers come first, too.
        for _ in 0..16 {
            let Some(packet) = reader.read_packet().map_err(broken)? else { break };
            if packet.data.starts_with(b"OpusHead") {
                let serial = packet.stream_serial();
                let AudioCodec::Opus { channels, pre_skip } = parse_opus_head(&packet.data)? else {
                    break;
                };
                let mut this = Self { reader, serial, pre_skip, channels, position: 0 };
                this.next_raw()?;
                return Ok(this);
            }
        }
        Err(ContainerError::unsupported(
            "Ogg without Opus; convert it with `ffmpeg -i IN -c:a libopus OUT.ogg`",
        ))
    }

    /// What the identification header says.
    #[must_use]
    pub fn codec(&self) -> AudioCodec {
        AudioCodec::Opus { channels: self.channels, pre_skip: self.pre_skip }
    }

    /// The next packet; `None` at the end.
    ///
    /// # Errors
    /// When a page is broken.
    pub fn next_packet(&mut self) -> Result<Option<Packet>, ContainerError> {
        let Some(packet) = self.next_raw()? else { return Ok(None) };
        let pts = to_nanos(self.position - i64::from(self.pre_skip), 48_000);
        // What is not Opus takes no time; decoding it will say so.
        self.position += i64::from(packet_samples(&packet.data).unwrap_or(0));
        Ok(Some(Packet { data: packet.data, pts }))
    }

    /// Goes back to the first packet.
    ///
    /// # Errors
    /// When the file cannot be sought.
    pub fn rewind(&mut self) -> Result<(), ContainerError> {
        self.reader.delete_unread_packets();
        self.reader.seek_bytes(SeekFrom::Start(0))?;
        self.position = 0;
        self.next_raw()?;
        self.next_raw()?;
        Ok(())
    }

    fn next_raw(&mut self) -> Result<Option<ogg::Packet>, ContainerError> {
        loop {
            match self.reader.read_packet().map_err(broken)? {
                Some(packet) if packet.stream_serial() != self.serial => {}
                other => return Ok(other),
            }
        }
    }
}

fn broken(error: ogg::OggReadError) -> ContainerError {
    match error {
        ogg::OggReadError::ReadError(error)
            if error.kind() != std::io::ErrorKind::UnexpectedEof =>
        {
            ContainerError::Io(error)
        }
        other => ContainerError::corrupt(format!("Ogg: {other}")),
    }
}

/// Parses an `OpusHead` (RFC 7845 section 5.1).
///
/// # Errors
/// When it is cut, or has more channels than two.
pub fn parse_opus_head(data: &[u8]) -> Result<AudioCodec, ContainerError> {
    let mut cursor = Cursor::new(data);
    if cursor.take(8)? != b"OpusHead" {
        return Err(ContainerError::corrupt("the Opus header does not start with OpusHead"));
    }
    cursor.u8()?;
    let channels = cursor.u8()?;
    let pre_skip = cursor.u16()?.swap_bytes();
    opus_codec(channels, pre_skip)
}

/// The codec of these channels and pre-skip.
///
/// # Errors
/// When there are not one or two channels.
pub fn opus_codec(channels: u8, pre_skip: u16) -> Result<AudioCodec, ContainerError> {
    if !(1..=2).contains(&channels) {
        return Err(ContainerError::unsupported(format!(
            "Opus with {channels} channels; mix it down with `ffmpeg -i IN -ac 2 -c:a libopus OUT.ogg`"
        )));
    }
    Ok(AudioCodec::Opus { channels, pre_skip })
}

/// Builds an `OpusHead` for a live stream: nothing to skip, no gain, channels in mono or stereo order.
#[must_use]
pub fn build_opus_head(channels: u8) -> Vec<u8> {
    let mut head = b"OpusHead\x01".to_vec();
    head.push(channels);
    head.extend_from_slice(&[0, 0]);
    head.extend_from_slice(&48_000u32.to_le_bytes());
    head.extend_from_slice(&[0, 0, 0]);
    head
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::io::Cursor;

    use ogg::{PacketWriteEndInfo, PacketWriter};
    use proptest::prelude::*;

    use super::*;

    fn file() -> Vec<u8> {
        let mut writer = PacketWriter::new(Cursor::new(Vec::new()));
        let mut head = build_opus_head(2);
        head[10] = 100;
        writer.write_packet(head, 7, PacketWriteEndInfo::EndPage, 0).unwrap();
        writer
            .write_packet(&b"OpusTags\0\0\0\0\0\0\0\0"[..], 7, PacketWriteEndInfo::EndPage, 0)
            .unwrap();
        for n in 1..=3u8 {
            let end = match n {
                3 => PacketWriteEndInfo::EndStream,
                _ => PacketWriteEndInfo::NormalPacket,
            };
            writer.write_packet(vec![15 << 3, n], 7, end, u64::from(n) * 960).unwrap();
        }
        writer.into_inner().into_inner()
    }

    #[test]
    fn packets_start_before_zero_by_the_pre_skip() {
        let mut ogg = OggOpusReader::open(Cursor::new(file())).unwrap();
        assert_eq!(ogg.codec(), AudioCodec::Opus { channels: 2, pre_skip: 100 });
        for _ in 0..2 {
            let first = ogg.next_packet().unwrap().unwrap();
            assert_eq!((first.data[1], first.pts), (1, -2_083_333));
            assert_eq!(ogg.next_packet().unwrap().unwrap().pts, 860 * 1_000_000_000 / 48_000);
            assert_eq!(ogg.next_packet().unwrap().unwrap().data[1], 3);
            assert_eq!(ogg.next_packet().unwrap(), None);
            ogg.rewind().unwrap();
        }
    }

    proptest! {
        #[test]
        fn damage_never_panics(cut in 0usize..300, at in 0usize..200, bit in 0u8..8) {
            let mut data = file();
            let len = data.len();
            data[at % len] ^= 1 << bit;
            data.truncate(cut);
            if let Ok(mut ogg) = OggOpusReader::open(Cursor::new(data)) {
                for _ in 0..10 {
                    if !matches!(ogg.next_packet(), Ok(Some(_))) { break; }
                }
            }
        }
    }
}
