//! Reads Opus out of Ogg (RFC 7845), and the Opus identification header wherever it is stored.
//!
//! Pages and checksums are the `ogg` crate's; this knows the two headers and
//! counts the time of each packet.

use std::io::{Read, Seek, SeekFrom};

use ogg::PacketReader;

use super::bytes::Cursor;
use super::{AudioConfig, ContainerError, OpusHead, names, stored_sound, to_nanos};
use crate::media::encoded::{Codec, EncodedFrame};

/// The Opus streams of an Ogg file, those that are chained one after the other; of several that are
/// multiplexed, the first.
pub struct OggOpusReader<R: Read + Seek> {
    reader: PacketReader<R>,
    serial: u32,
    head: OpusHead,
    /// When the stream that is read began, nanoseconds; streams before it have played.
    began: i64,
    /// Samples at 48 kHz per channel that its packets so far held, and of those that are heard.
    position: i64,
    heard: i64,
    /// Whether another stream has just begun.
    changed: bool,
    cut: bool,
}

/// So many pages that are damaged are passed over one after the other.
const MAX_DAMAGED: usize = 64;

impl<R: Read + Seek> OggOpusReader<R> {
    /// Reads both headers.
    ///
    /// # Errors
    /// When it is not Ogg, or holds no Opus that we can decode.
    pub fn open(reader: R) -> Result<Self, ContainerError> {
        let mut reader = PacketReader::new(reader);
        let mut other = None;
        // Other streams may be multiplexed in: their headers come first, too.
        for _ in 0..16 {
            let Some(packet) = reader.read_packet().map_err(broken)? else { break };
            if packet.data.starts_with(b"OpusHead") {
                let mut this = Self {
                    reader,
                    serial: packet.stream_serial(),
                    head: parse_opus_head(&packet.data)?,
                    began: 0,
                    position: 0,
                    heard: 0,
                    changed: false,
                    cut: false,
                };
                this.next_raw()?;
                return Ok(this);
            }
            other = other.or(names::of_ogg(&packet.data));
        }
        let what = other.unwrap_or("no Opus");
        Err(ContainerError::unsupported(format!(
            "it holds {what}, and only Opus is played out of Ogg; convert it with \
             `ffmpeg -i IN -c:a libopus OUT.ogg`"
        )))
    }

    /// What the identification header of the stream that is read says.
    #[must_use]
    pub fn codec(&self) -> AudioConfig {
        AudioConfig::Opus(self.head.clone())
    }

    /// Whether the packet that was read last is the first of another stream; told once.
    pub fn take_change(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Whether the file turned out to end in the middle of something.
    #[must_use]
    pub fn was_cut(&self) -> bool {
        self.cut
    }

    /// The next packet; `None` at the end, which may be a cut.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next_packet(&mut self) -> Result<Option<EncodedFrame>, ContainerError> {
        let Some(packet) = self.next_raw()? else { return Ok(None) };
        let skip = i64::from(self.head.pre_skip);
        let pts = self.began.saturating_add(to_nanos(self.position - skip, 48_000));
        // What is not Opus takes no time; decoding it will say so.
        let samples = i64::from(Codec::Opus.samples(&packet.data).unwrap_or(0));
        self.position += samples;
        // A page says how many samples end with it; the last one may say less than it holds.
        let told = i64::try_from(packet.absgp_page()).ok().filter(|told| *told > 0);
        let excess = told.map_or(0, |told| self.position - told).clamp(0, samples);
        self.heard = self.position - excess - skip;
        Ok(Some(stored_sound(Codec::Opus, packet.data, pts, to_nanos(excess, 48_000))))
    }

    /// Goes back to the first packet.
    ///
    /// # Errors
    /// When the file cannot be sought.
    pub fn rewind(&mut self) -> Result<(), ContainerError> {
        self.reader.delete_unread_packets();
        self.reader.seek_bytes(SeekFrom::Start(0))?;
        let before = self.serial;
        (self.began, self.position, self.heard) = (0, 0, 0);
        for _ in 0..16 {
            let Some(packet) = self.reader.read_packet().map_err(broken)? else { break };
            if packet.data.starts_with(b"OpusHead") {
                self.serial = packet.stream_serial();
                self.head = parse_opus_head(&packet.data)?;
                self.changed = self.serial != before;
                break;
            }
        }
        self.next_raw()?;
        Ok(())
    }

    fn next_raw(&mut self) -> Result<Option<ogg::Packet>, ContainerError> {
        let mut damaged = 0;
        loop {
            let packet = match self.reader.read_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => return Ok(None),
                Err(ogg::OggReadError::HashMismatch(..)) if damaged < MAX_DAMAGED => {
                    damaged += 1;
                    continue;
                }
                Err(error) => match broken(error) {
                    ContainerError::Io(error) => return Err(error.into()),
                    // What comes after this cannot be found; what came before has played.
                    _ => {
                        self.cut = true;
                        return Ok(None);
                    }
                },
            };
            if packet.stream_serial() == self.serial {
                return Ok(Some(packet));
            }
            self.chain(&packet);
        }
    }

    /// Goes over to another stream, if one begins here and ours has had packets: then it has ended.
    fn chain(&mut self, packet: &ogg::Packet) {
        let begins = packet.first_in_stream() && packet.data.starts_with(b"OpusHead");
        if !begins || self.position == 0 {
            return;
        }
        if let Ok(head) = parse_opus_head(&packet.data) {
            self.began = self.began.saturating_add(to_nanos(self.heard.max(0), 48_000));
            (self.position, self.heard) = (0, 0);
            (self.serial, self.head, self.changed) = (packet.stream_serial(), head, true);
            // Its tags.
            let _ = self.reader.read_packet();
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
        other => {
            tracing::debug!(%other, "a page of Ogg is not read");
            ContainerError::corrupt("its pages (Ogg) are broken")
        }
    }
}

/// Parses an `OpusHead` (RFC 7845 section 5.1).
///
/// # Errors
/// When it is cut, or has channels that we cannot mix down.
pub fn parse_opus_head(data: &[u8]) -> Result<OpusHead, ContainerError> {
    let mut cursor = Cursor::new(data);
    if cursor.take(8)? != b"OpusHead" {
        return Err(ContainerError::corrupt("the Opus header does not start with OpusHead"));
    }
    cursor.u8()?;
    let channels = cursor.u8()?;
    let pre_skip = cursor.u16()?.swap_bytes();
    cursor.u32()?;
    let gain = cursor.u16()?.swap_bytes() as i16;
    opus_head(channels, pre_skip, gain, cursor)
}

/// A header from its numbers and, behind the cursor, its channel mapping (RFC 7845 section 5.1.1).
///
/// # Errors
/// As [`parse_opus_head`].
pub fn opus_head(
    channels: u8,
    pre_skip: u16,
    gain: i16,
    mut mapping: Cursor<'_>,
) -> Result<OpusHead, ContainerError> {
    let unusual = || {
        ContainerError::unsupported(format!(
            "Opus with {channels} channels of an unusual order; mix it down with \
             `ffmpeg -i IN -ac 2 -c:a libopus OUT.ogg`"
        ))
    };
    // Without a family it is 0: nothing follows in old headers.
    let family = mapping.u8().unwrap_or(0);
    if family == 0 {
        let plain = (1..=2).contains(&channels).then(|| OpusHead::plain(channels));
        return Ok(OpusHead { pre_skip, gain, ..plain.ok_or_else(unusual)? });
    }
    let streams = (mapping.u8()?, mapping.u8()?);
    let table = mapping.take(usize::from(channels))?;
    let most = streams.0.checked_add(streams.1).ok_or_else(unusual)?;
    let possible = streams.0 > 0
        && streams.1 <= streams.0
        && table.iter().all(|index| *index < most || *index == 255);
    let order = match (family, channels) {
        _ if !possible => None,
        (1, 1..=8) => Some(WAVE_ORDER[usize::from(channels) - 1]),
        // No order is defined; up to two there is only one.
        (255, 1..=2) => Some(WAVE_ORDER[usize::from(channels) - 1]),
        _ => None,
    };
    let order = order.ok_or_else(unusual)?;
    let mapping = order.iter().filter_map(|at| table.get(*at).copied()).collect();
    Ok(OpusHead { pre_skip, gain, streams, mapping })
}

/// Where each channel of WAVE's order stands in that of Vorbis (RFC 7845 section 5.1.1.2), for each
/// number of channels.
const WAVE_ORDER: [&[usize]; 8] = [
    &[0],
    &[0, 1],
    &[0, 2, 1],
    &[0, 1, 2, 3],
    &[0, 2, 1, 3, 4],
    &[0, 2, 1, 5, 3, 4],
    &[0, 2, 1, 6, 5, 3, 4],
    &[0, 2, 1, 7, 5, 6, 3, 4],
];

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
        let head = OpusHead { pre_skip: 100, ..OpusHead::plain(2) };
        assert_eq!(ogg.codec(), AudioConfig::Opus(head));
        for _ in 0..2 {
            let first = ogg.next_packet().unwrap().unwrap();
            assert_eq!((first.data[1], first.time.stored().0), (1, -2_083_333));
            assert_eq!(
                ogg.next_packet().unwrap().unwrap().time.stored().0,
                860 * 1_000_000_000 / 48_000
            );
            assert_eq!(ogg.next_packet().unwrap().unwrap().data[1], 3);
            assert_eq!(ogg.next_packet().unwrap(), None);
            ogg.rewind().unwrap();
        }
    }

    /// So many streams of two packets, the last of each trimmed by 100 samples.
    fn chained(streams: u32) -> Vec<u8> {
        let mut writer = PacketWriter::new(Cursor::new(Vec::new()));
        for serial in 1..=streams {
            let page = PacketWriteEndInfo::EndPage;
            writer.write_packet(build_opus_head(serial as u8), serial, page, 0).unwrap();
            writer.write_packet(&b"OpusTags\0\0\0\0\0\0\0\0"[..], serial, page, 0).unwrap();
            writer.write_packet(vec![15 << 3, 1], serial, page, 960).unwrap();
            let end = PacketWriteEndInfo::EndStream;
            writer.write_packet(vec![15 << 3, 2], serial, end, 1820).unwrap();
        }
        writer.into_inner().into_inner()
    }

    #[test]
    fn chained_streams_follow_each_other_and_ends_are_trimmed() {
        let mut ogg = OggOpusReader::open(Cursor::new(chained(2))).unwrap();
        for _ in 0..2 {
            let mut found = Vec::new();
            while let Some(packet) = ogg.next_packet().unwrap() {
                let (pts, trim) = packet.time.stored();
                found.push((pts, trim, ogg.take_change()));
            }
            let (second, heard, trim) = (20_000_000, 37_916_666, 2_083_333);
            let both = [
                (0, 0, false),
                (second, trim, false),
                (heard, 0, true),
                (heard + second, trim, false),
            ];
            assert_eq!(found, both);
            ogg.rewind().unwrap();
            assert!(ogg.take_change(), "the first stream is another than the second");
        }
    }

    #[test]
    fn a_file_that_was_cut_plays_up_to_there() {
        let whole = file();
        let mut ogg = OggOpusReader::open(Cursor::new(&whole[..whole.len() - 3])).unwrap();
        while ogg.next_packet().unwrap().is_some() {}
        assert!(ogg.was_cut());
    }

    #[test]
    fn six_channels_are_put_into_the_order_of_wave() {
        let mut data = b"OpusHead\x01\x06".to_vec();
        data.extend([56, 1, 0x80, 0xBB, 0, 0, 0, 0xF4]);
        data.extend([1, 4, 2, 0, 4, 1, 2, 3, 5]);
        let head = parse_opus_head(&data).unwrap();
        assert_eq!((head.pre_skip, head.gain, head.streams), (312, -12 * 256, (4, 2)));
        assert_eq!(head.mapping, [0, 1, 4, 5, 2, 3]);
        data[21] = 9;
        assert!(parse_opus_head(&data).is_err(), "a channel of a stream that is not there");
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
