//! Reads Matroska and WebM (RFC 9559), from the front to the back: what is there plays, whether the
//! file is whole, cut, still being written, or comes through a pipe.
//!
//! Written here because the usual crate wants the index at the end, which a cut file has not, and
//! keeps to itself how pictures are shown and where sound is trimmed. What elements mean is
//! `mkv_elements.rs`.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Seek, SeekFrom};

use super::bytes::{Cursor, read_bounded};
pub use super::mkv_elements::{MkvCodec, MkvTrack};
use super::mkv_elements::{elements, int, read_id, read_size, time_scale, tracks, uint, unlaced};
use super::{ContainerError, MAX_PACKET, stored_sound};
use crate::media::encoded::EncodedFrame;

const EBML: u32 = 0x1A45_DFA3;
const SEGMENT: u32 = 0x1853_8067;
const INFO: u32 = 0x1549_A966;
const TRACKS: u32 = 0x1654_AE6B;
const CLUSTER: u32 = 0x1F43_B675;
const TIMESTAMP: u32 = 0xE7;
const SIMPLE_BLOCK: u32 = 0xA3;
const BLOCK_GROUP: u32 = 0xA0;

/// The largest description of tracks that is read; fonts and covers are not in it.
const MAX_HEAD: usize = 16 << 20;

/// A Matroska file.
#[derive(Debug)]
pub struct MkvReader<R> {
    reader: R,
    /// The tracks in the order of the file.
    pub tracks: Vec<MkvTrack>,
    /// Nanoseconds a tick.
    scale: u64,
    /// Where the first cluster begins.
    first_cluster: u64,
    cluster_at: i64,
    /// The track that is read.
    chosen: Option<usize>,
    /// Packets of a block that were not handed out yet.
    laced: VecDeque<EncodedFrame>,
    /// Where what has begun ends, as far as it says so.
    end: u64,
    cut: bool,
}

/// How long a packet of sound lasts that says so itself, nanoseconds.
fn lasting(frame: &EncodedFrame) -> Option<u64> {
    (frame.samples > 0).then(|| u64::from(frame.samples) * 1_000_000_000 / 48_000)
}

/// The head of an element.
struct Head {
    id: u32,
    /// `None`: until something begins that cannot be in it.
    len: Option<u64>,
}

/// A block before its packets are taken apart.
struct Block {
    /// Ticks.
    at: i64,
    flags: u8,
    data: Vec<u8>,
    /// Nanoseconds to drop from its end.
    discard: i64,
    /// Ticks that it lasts, if told.
    lasts: Option<u64>,
}

impl<R: Read + Seek> MkvReader<R> {
    /// Reads the head, up to the first cluster.
    ///
    /// # Errors
    /// When it is no Matroska, or ends before its tracks are described.
    pub fn open(reader: R) -> Result<Self, ContainerError> {
        let mut this = Self {
            reader,
            tracks: Vec::new(),
            scale: 1_000_000,
            first_cluster: 0,
            cluster_at: 0,
            chosen: None,
            laced: VecDeque::new(),
            end: 0,
            cut: false,
        };
        let no_tracks =
            || ContainerError::corrupt("Matroska: the file ends before its tracks are described");
        let first = this.head()?.ok_or_else(no_tracks)?;
        if first.id != EBML {
            return Err(ContainerError::corrupt("Matroska: it does not begin with an EBML head"));
        }
        this.pass(first.len)?;
        loop {
            let at = this.reader.stream_position()?;
            let Some(head) = this.head()? else { return Err(no_tracks()) };
            match head.id {
                SEGMENT => this.begin(&head)?,
                INFO => this.scale = time_scale(&this.content(&head, MAX_HEAD)?),
                TRACKS => this.tracks = tracks(&this.content(&head, MAX_HEAD)?),
                CLUSTER if this.tracks.is_empty() => return Err(no_tracks()),
                CLUSTER => {
                    this.first_cluster = at;
                    return Ok(this);
                }
                _ => this.pass(head.len)?,
            }
        }
    }

    /// Reads one of [`Self::tracks`] from now on.
    pub fn choose(&mut self, track: usize) {
        self.chosen = Some(track);
    }

    /// The track that is read.
    #[must_use]
    pub fn track(&self) -> Option<&MkvTrack> {
        self.tracks.get(self.chosen?)
    }

    /// Whether the file turned out to end in the middle of something.
    #[must_use]
    pub fn was_cut(&self) -> bool {
        self.cut
    }

    /// The next packet of the chosen track; `None` at the end, which may be a cut.
    ///
    /// # Errors
    /// When the file cannot be read, or a packet is too large.
    pub fn next_packet(&mut self) -> Result<Option<EncodedFrame>, ContainerError> {
        let Some(chosen) = self.chosen.and_then(|track| self.tracks.get(track)) else {
            return Ok(None);
        };
        let number = chosen.number;
        loop {
            if let Some(packet) = self.laced.pop_front() {
                return Ok(Some(packet));
            }
            match self.next_block(number)? {
                Some(block) => self.take_apart(block)?,
                None => return Ok(None),
            }
        }
    }

    /// Goes back to the first packet.
    ///
    /// # Errors
    /// When the file cannot be sought.
    pub fn rewind(&mut self) -> Result<(), ContainerError> {
        self.reader.seek(SeekFrom::Start(self.first_cluster))?;
        self.laced.clear();
        self.cluster_at = 0;
        Ok(())
    }

    /// From when to when the chosen track plays, nanoseconds, found by looking through the whole
    /// file; then it is at its end. `None` when it has no packets.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn span(&mut self) -> Result<Option<(i64, i64)>, ContainerError> {
        let Some(track) = self.track().cloned() else { return Ok(None) };
        let mut span: Option<(i64, i64)> = None;
        let (mut last, mut usual) = (i64::MIN, 0);
        while let Some(packet) = self.next_packet()? {
            let (pts, trim) = packet.time.stored();
            let at = pts.saturating_add(track.delay);
            if last != i64::MIN && at > last {
                usual = at.saturating_sub(last);
            }
            last = last.max(at);
            let lasts = lasting(&packet).or(track.packet_duration);
            let lasts = lasts.map_or(usual, |nanos| nanos as i64);
            // What the encoder put before the sound is not heard, and so ends nothing later.
            let end = pts.saturating_add(lasts).saturating_sub(trim);
            let span = span.get_or_insert((at, end));
            *span = (span.0.min(at), span.1.max(end));
        }
        Ok(span)
    }

    fn take_apart(&mut self, block: Block) -> Result<(), ContainerError> {
        let Some(track) = self.chosen.and_then(|track| self.tracks.get(track)) else {
            return Ok(());
        };
        // A block that is broken is a packet that is missing.
        let Some(parts) = unlaced(block.flags, &block.data) else { return Ok(()) };
        let count = parts.len() as u64;
        let told = block.lasts.map(|ticks| ticks.saturating_mul(self.scale) / count);
        let mut at = nanos(block.at, self.scale).saturating_sub(track.delay);
        for (n, part) in parts.iter().enumerate() {
            let data = [&track.prefix[..], part].concat();
            let last = n + 1 == parts.len();
            let trim = if last { block.discard.max(0) } else { 0 };
            let frame = match &track.codec {
                MkvCodec::Video(config) => config.frame(&data, at)?,
                MkvCodec::Audio(config) => stored_sound(config.codec(), data, at, trim),
                MkvCodec::OtherVideo(_) | MkvCodec::OtherAudio(_) | MkvCodec::Other => {
                    return Ok(());
                }
            };
            let lasts = lasting(&frame).or(told).or(track.packet_duration).unwrap_or(0);
            self.laced.push_back(frame);
            at = at.saturating_add(i64::try_from(lasts).unwrap_or(0));
        }
        Ok(())
    }

    /// The next block of that track.
    fn next_block(&mut self, wanted: u64) -> Result<Option<Block>, ContainerError> {
        while let Some(head) = self.head()? {
            match head.id {
                SEGMENT | CLUSTER => self.begin(&head)?,
                TIMESTAMP => match self.small(&head)? {
                    Some(content) => self.cluster_at = uint(&content).map_or(0, |at| at as i64),
                    None => return Ok(None),
                },
                SIMPLE_BLOCK => {
                    let Some(data) = self.small(&head)? else { return Ok(None) };
                    if let Some(block) = self.block(&data, wanted) {
                        return Ok(Some(block));
                    }
                }
                BLOCK_GROUP => {
                    let Some(data) = self.small(&head)? else { return Ok(None) };
                    let found = |id| elements(&data).find(|(found, _)| *found == id);
                    let block = found(0xA1).and_then(|(_, data)| self.block(data, wanted));
                    if let Some(mut block) = block {
                        block.discard = found(0x75A2).and_then(|(_, data)| int(data)).unwrap_or(0);
                        block.lasts = found(0x9B).and_then(|(_, data)| uint(data));
                        return Ok(Some(block));
                    }
                }
                _ => {
                    if self.pass(head.len).is_err() {
                        return Ok(None);
                    }
                }
            }
        }
        self.cut |= self.reader.stream_position()? < self.end;
        Ok(None)
    }

    /// Goes into an element, and notes where it ends.
    fn begin(&mut self, head: &Head) -> Result<(), ContainerError> {
        if let Some(len) = head.len {
            self.end = self.end.max(self.reader.stream_position()?.saturating_add(len));
        }
        Ok(())
    }

    fn block(&self, data: &[u8], wanted: u64) -> Option<Block> {
        let mut cursor = Cursor::new(data);
        let track = read_size(&mut cursor)??;
        let offset = i64::from(cursor.u16().ok()? as i16);
        let flags = cursor.u8().ok()?;
        let at = self.cluster_at.saturating_add(offset);
        let data = cursor.rest().to_vec();
        (track == wanted).then_some(Block { at, flags, data, discard: 0, lasts: None })
    }

    /// The next head; `None` at the end of the file, and where something stands that is no element.
    fn head(&mut self) -> Result<Option<Head>, ContainerError> {
        let mut bytes = [0; 12];
        let mut len = 0;
        // At most four bytes of id and eight of size, each told by its first byte.
        for part in 0..2 {
            let start = len;
            if !self.fill(&mut bytes[start..=start], start > 0)? {
                return Ok(None);
            }
            let more = bytes[start].leading_zeros() as usize;
            if more >= if part == 0 { 4 } else { 8 } {
                self.cut = true;
                return Ok(None);
            }
            if !self.fill(&mut bytes[start + 1..start + 1 + more], true)? {
                return Ok(None);
            }
            len += 1 + more;
        }
        let mut cursor = Cursor::new(&bytes[..len]);
        let head = read_id(&mut cursor).zip(read_size(&mut cursor));
        Ok(head.map(|(id, len)| Head { id, len }))
    }

    /// Reads exactly so much; `false` at the end of the file, which is a cut in the middle of something.
    fn fill(&mut self, to: &mut [u8], in_the_middle: bool) -> Result<bool, ContainerError> {
        match self.reader.read_exact(to) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                self.cut |= in_the_middle;
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn content(&mut self, head: &Head, limit: usize) -> Result<Vec<u8>, ContainerError> {
        let len =
            head.len.ok_or_else(|| ContainerError::corrupt("Matroska: a part without an end"))?;
        read_bounded(&mut self.reader, len, limit)
    }

    /// The content of an element of a cluster; `None` where the file ends in it.
    fn small(&mut self, head: &Head) -> Result<Option<Vec<u8>>, ContainerError> {
        let Some(len) = head.len else { return Ok(None) };
        if len > MAX_PACKET as u64 {
            return Err(ContainerError::corrupt("a Matroska packet above 32 MiB"));
        }
        let mut data = Vec::new();
        (&mut self.reader).take(len).read_to_end(&mut data)?;
        self.cut |= (data.len() as u64) < len;
        Ok((data.len() as u64 == len).then_some(data))
    }

    /// Goes past the content of an element.
    fn pass(&mut self, len: Option<u64>) -> Result<(), ContainerError> {
        let Some(len) = len else { return Ok(()) };
        let len = i64::try_from(len).map_err(|_| {
            ContainerError::corrupt("Matroska: a part of more than a file can hold")
        })?;
        self.reader.seek(SeekFrom::Current(len))?;
        Ok(())
    }
}

fn nanos(ticks: i64, scale: u64) -> i64 {
    ticks.saturating_mul(i64::try_from(scale).unwrap_or(i64::MAX))
}
