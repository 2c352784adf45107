//! Reads Matroska and WebM through the `matroska-demuxer` crate.
//!
//! Owns choosing a track, header stripping, and turning H.264 into Annex B.
//! A file that was cut while it was written plays up to the cut.

use std::io::{Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use matroska_demuxer::{
    ContentCompAlgo, ContentEncodingValue, DemuxError, Frame, MatroskaFile, TrackEntry, TrackType,
};

use super::avc::AvcConfig;
use super::ogg::parse_opus_head;
use super::{AudioCodec, ContainerError, MAX_PACKET, Packet, to_nanos};

/// A Matroska file of which one track is read.
pub struct MkvReader<R: Read + Seek> {
    file: MatroskaFile<Shared<R>>,
    reader: Shared<R>,
    track: MkvTrack,
    scale: u64,
    /// The time that becomes zero.
    origin: u64,
    frame: Frame,
}

/// A file that starts later than this, in nanoseconds, does not start at zero.
const FAR_FROM_ZERO: i64 = 1_000_000_000;

/// What a track is and how its packets are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MkvTrack {
    number: u64,
    /// What it holds.
    pub codec: MkvCodec,
    /// Bytes that were stripped from the front of every packet.
    prefix: Vec<u8>,
    /// `CodecDelay`, nanoseconds.
    delay: i64,
    /// `DefaultDuration` of a packet, nanoseconds.
    pub packet_duration: Option<u64>,
}

/// What a Matroska track holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MkvCodec {
    /// H.264 pictures.
    H264(AvcConfig),
    /// Sound.
    Audio(AudioCodec),
    /// Pictures that we do not decode, by CodecID.
    OtherVideo(String),
    /// Sound that we do not decode, by CodecID.
    OtherAudio(String),
}

/// The tracks of a Matroska file that hold pictures or sound, without the reader.
///
/// # Errors
/// When the file is no Matroska or its head is broken.
pub fn tracks(reader: impl Read + Seek) -> Result<Vec<MkvTrack>, ContainerError> {
    let file = MatroskaFile::open(Shared::new(reader)).map_err(broken)?;
    let mut found = Vec::new();
    for entry in file.tracks().iter().take(64) {
        if matches!(entry.track_type(), TrackType::Video | TrackType::Audio) {
            found.push(describe(entry)?);
        }
    }
    Ok(found)
}

/// How long the file plays, in nanoseconds: what it says itself, or else counted through to the end.
///
/// # Errors
/// When the file is no Matroska or its head is broken.
pub fn duration(reader: impl Read + Seek) -> Result<i64, ContainerError> {
    let reader = Shared::new(reader);
    let mut file = MatroskaFile::open(reader.clone()).map_err(broken)?;
    let scale = file.info().timestamp_scale().get();
    if let Some(ticks) = file.info().duration().filter(|ticks| *ticks > 0.0) {
        return Ok((ticks * scale as f64) as i64);
    }
    let mut frame = Frame::default();
    let (mut first, mut last, mut before) = (None, 0, 0);
    reader.renew();
    while let Ok(true) = file.next_frame(&mut frame) {
        reader.renew();
        first.get_or_insert(frame.timestamp);
        if frame.timestamp > last {
            (before, last) = (last, frame.timestamp);
        }
    }
    // The last packet lasts about as long as the one before it.
    let ticks = last.saturating_sub(first.unwrap_or(0)).saturating_add(last - before);
    Ok(nanos(ticks, scale))
}

impl<R: Read + Seek> MkvReader<R> {
    /// Opens one of [`tracks`] for reading.
    ///
    /// # Errors
    /// When the file is broken.
    pub fn open(reader: R, track: MkvTrack) -> Result<Self, ContainerError> {
        let reader = Shared::new(reader);
        let mut file = MatroskaFile::open(reader.clone()).map_err(broken)?;
        let scale = file.info().timestamp_scale().get();
        let mut frame = Frame::default();
        file.next_frame(&mut frame).map_err(broken)?;
        // A few milliseconds are the delay of one track; more is a file cut out of a longer one.
        let late = nanos(frame.timestamp, scale) > FAR_FROM_ZERO;
        let origin = if late { frame.timestamp } else { 0 };
        let mut this = Self { file, reader, track, scale, origin, frame };
        this.rewind()?;
        Ok(this)
    }

    /// What is read.
    #[must_use]
    pub fn track(&self) -> &MkvTrack {
        &self.track
    }

    /// The next packet of the track; `None` at the end, which may be a cut.
    ///
    /// # Errors
    /// When the file breaks the format.
    pub fn next_packet(&mut self) -> Result<Option<Packet>, ContainerError> {
        loop {
            self.reader.renew();
            match self.file.next_frame(&mut self.frame) {
                Ok(true) if self.frame.track == self.track.number => {
                    return self.packet().map(Some);
                }
                Ok(true) => {}
                Ok(false) | Err(DemuxError::ElementSizeExceedsStream { .. }) => return Ok(None),
                Err(error) => return Err(broken(error)),
            }
        }
    }

    fn packet(&self) -> Result<Packet, ContainerError> {
        if self.frame.data.len() > MAX_PACKET {
            return Err(ContainerError::corrupt("a Matroska packet above 32 MiB"));
        }
        let mut data = self.track.prefix.clone();
        data.extend_from_slice(&self.frame.data);
        if let MkvCodec::H264(config) = &self.track.codec {
            data = config.to_annexb(&data)?;
        }
        let pts = nanos(self.frame.timestamp, self.scale)
            .saturating_sub(nanos(self.origin, self.scale))
            .saturating_sub(self.track.delay);
        Ok(Packet { data, pts })
    }

    /// Goes back to the first packet.
    ///
    /// # Errors
    /// When the file cannot be read again.
    pub fn rewind(&mut self) -> Result<(), ContainerError> {
        self.reader.renew();
        self.reader.seek(SeekFrom::Start(0))?;
        self.file = MatroskaFile::open(self.reader.clone()).map_err(broken)?;
        Ok(())
    }
}

fn nanos(ticks: u64, scale: u64) -> i64 {
    i64::try_from(ticks.saturating_mul(scale)).unwrap_or(i64::MAX)
}

fn describe(entry: &TrackEntry) -> Result<MkvTrack, ContainerError> {
    let private = entry.codec_private().unwrap_or_default();
    let id = entry.codec_id();
    let codec = match id {
        "V_MPEG4/ISO/AVC" => MkvCodec::H264(AvcConfig::parse(private)?),
        "A_OPUS" => MkvCodec::Audio(parse_opus_head(private)?),
        id if id.starts_with("A_AAC") && private.len() >= 2 => {
            MkvCodec::Audio(AudioCodec::Aac { config: private.to_vec() })
        }
        other if entry.track_type() == TrackType::Video => MkvCodec::OtherVideo(clean(other)),
        other => MkvCodec::OtherAudio(clean(other)),
    };
    let delay = i64::try_from(entry.codec_delay().unwrap_or(0)).unwrap_or(0);
    Ok(MkvTrack {
        number: entry.track_number().get(),
        codec,
        prefix: stripped(entry)?,
        delay: delay.clamp(0, to_nanos(10, 1)),
        packet_duration: entry.default_duration().map(std::num::NonZeroU64::get),
    })
}

fn clean(id: &str) -> String {
    id.chars().filter(char::is_ascii_graphic).take(40).collect()
}

/// The bytes that header stripping took from every packet.
fn stripped(entry: &TrackEntry) -> Result<Vec<u8>, ContainerError> {
    match entry.content_encodings().unwrap_or_default() {
        [] => Ok(Vec::new()),
        [one] => match one.encoding() {
            ContentEncodingValue::Compression(how)
                if how.algo() == ContentCompAlgo::Stripping
                    && how.settings().is_none_or(|bytes| bytes.len() < 1024) =>
            {
                Ok(how.settings().unwrap_or_default().to_vec())
            }
            _ => Err(packed()),
        },
        _ => Err(packed()),
    }
}

fn packed() -> ContainerError {
    ContainerError::unsupported(
        "the Matroska track is compressed or encrypted; copy it with `ffmpeg -i IN -c copy OUT.mkv`",
    )
}

fn broken(error: DemuxError) -> ContainerError {
    match error {
        DemuxError::IoError(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
            ContainerError::Io(error)
        }
        other => ContainerError::corrupt(format!("Matroska: {other}")),
    }
}

/// Reads and seeks that the demuxer may do for the head of a file, or for one packet: it follows
/// whatever lengths a file names, in circles too.
const MOST_STEPS: u64 = 1_000_000;

/// One reader in two hands: the demuxer keeps its own, and rewinding needs it back.
struct Shared<R>(Arc<Mutex<R>>, Arc<AtomicU64>);

impl<R> Shared<R> {
    fn new(reader: R) -> Self {
        Self(Arc::new(Mutex::new(reader)), Arc::new(AtomicU64::new(MOST_STEPS)))
    }

    /// Something new begins.
    fn renew(&self) {
        self.1.store(MOST_STEPS, Ordering::Relaxed);
    }

    fn step(&self) -> std::io::Result<MutexGuard<'_, R>> {
        let less = |left: u64| left.checked_sub(1);
        if self.1.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_err() {
            return Err(std::io::Error::other("its lengths lead in circles"));
        }
        self.0.lock().map_err(poisoned)
    }
}

impl<R> Clone for Shared<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0), Arc::clone(&self.1))
    }
}

fn poisoned<T>(_: T) -> std::io::Error {
    std::io::Error::other("another reader of this file failed")
}

impl<R: Read> Read for Shared<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.step()?.read(buffer)
    }
}

impl<R: Seek> Seek for Shared<R> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.step()?.seek(to)
    }

    fn stream_position(&mut self) -> std::io::Result<u64> {
        self.step()?.stream_position()
    }
}
