//! One track of any container as a row of packets that can begin again.
//!
//! Owns choosing the track: the first of its kind that we play. What else is in the file decides
//! nothing. Decodes nothing.

use super::{Input, Opened};
use crate::media::container::annexb::AnnexBReader;
use crate::media::container::ivf::IvfReader;
use crate::media::container::mkv::{MkvCodec, MkvReader};
use crate::media::container::mp4::Mp4Reader;
use crate::media::container::mp4_boxes::TrackCodec;
use crate::media::container::ogg::OggOpusReader;
use crate::media::container::pictures::{
    RAW, VideoConfig, no_pictures, not_played, stored_picture,
};
use crate::media::container::{AudioConfig, ContainerError, DAMAGED, ENCRYPTED, Kind};
use crate::media::encoded::{Codec, EncodedFrame};
use crate::media::showing::Showing;

/// The packets of one track.
pub(super) enum Packets {
    Mp4 { file: Box<Mp4Reader<Input>>, track: usize, next: usize },
    Mkv(Box<MkvReader<Input>>),
    Ivf(IvfReader<Input>),
    AnnexB { reader: AnnexBReader<Input>, fps: f64, next: i64 },
    Ogg(Box<OggOpusReader<Input>>),
}

impl Packets {
    /// The next packet in the order of decoding; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<EncodedFrame>, ContainerError> {
        match self {
            Self::Mp4 { file, track, next } => {
                let packet = file.packet(*track, *next)?;
                *next += 1;
                Ok(packet)
            }
            Self::Mkv(reader) => reader.next_packet(),
            Self::Ivf(reader) => reader.next_packet(),
            Self::Ogg(reader) => reader.next_packet(),
            Self::AnnexB { reader, fps, next } => {
                let Some(data) = reader.next_unit()? else { return Ok(None) };
                let pts = (*next as f64 * 1e9 / *fps) as i64;
                *next += 1;
                Ok(Some(stored_picture(RAW, data, pts)))
            }
        }
    }

    /// Goes back to the first packet.
    pub(super) fn rewind(&mut self) -> Result<(), ContainerError> {
        match self {
            Self::Mp4 { next, .. } => {
                *next = 0;
                Ok(())
            }
            Self::Mkv(reader) => reader.rewind(),
            Self::Ivf(reader) => reader.rewind(),
            Self::Ogg(reader) => reader.rewind(),
            Self::AnnexB { reader, next, .. } => {
                *next = 0;
                reader.rewind()
            }
        }
    }

    /// Whether the file turned out to end in the middle of something.
    pub(super) fn was_cut(&self) -> bool {
        match self {
            Self::Mp4 { file, .. } => file.was_cut(),
            Self::Mkv(reader) => reader.was_cut(),
            Self::Ivf(reader) => reader.was_cut(),
            Self::Ogg(reader) => reader.was_cut(),
            Self::AnnexB { .. } => false,
        }
    }

    /// The codec of another stream that has begun with the last packet, or with rewinding; told once.
    pub(super) fn take_change(&mut self) -> Option<AudioConfig> {
        match self {
            Self::Ogg(reader) => reader.take_change().then(|| reader.codec()),
            _ => None,
        }
    }

    /// Says how many pictures a second a raw stream has, which only its parameter set knows.
    pub(super) fn set_fps(&mut self, rate: f64) {
        if let Self::AnnexB { fps, .. } = self {
            *fps = rate;
        }
    }

    /// From when to when it plays, nanoseconds, if that can be known; ends at the first packet. Most
    /// files are looked through for it.
    pub(super) fn span(&mut self) -> Result<Option<(i64, i64)>, ContainerError> {
        let span = match self {
            Self::Mp4 { file, track, .. } => file.tracks.get(*track).map(|track| track.span()),
            Self::Mkv(reader) => {
                reader.rewind()?;
                reader.span()?
            }
            Self::Ivf(_) | Self::AnnexB { .. } | Self::Ogg(_) => {
                self.rewind()?;
                self.looked_through()?
            }
        };
        self.rewind()?;
        Ok(span)
    }

    /// The same where only the packets themselves know.
    fn looked_through(&mut self) -> Result<Option<(i64, i64)>, ContainerError> {
        let mut span: Option<(i64, i64)> = None;
        while let Some(packet) = self.next()? {
            let lasts = match self {
                Self::Ivf(reader) => (1e9 / reader.fps()) as i64,
                Self::AnnexB { fps, .. } => (1e9 / *fps) as i64,
                _ => i64::from(packet.samples) * 1_000_000_000 / 48_000,
            };
            let (pts, trim) = packet.time.stored();
            let end = pts.saturating_add(lasts).saturating_sub(trim);
            // What lies before is what an encoder put before the sound.
            let (begin, before) = span.unwrap_or((pts.max(0), end));
            span = Some((begin.min(pts.max(0)), before.max(end)));
        }
        Ok(span)
    }

    /// When its first picture is shown: pictures may be stored in another order.
    fn first_time(&mut self) -> Result<i64, ContainerError> {
        let mut first = i64::MAX;
        for _ in 0..REORDERED {
            let Some(packet) = self.next()? else { break };
            first = first.min(packet.time.stored().0);
        }
        self.rewind()?;
        Ok(if first == i64::MAX { 0 } else { first })
    }
}

/// Pictures that may stand before the one that is shown first (ITU-T H.264 annex A.3.1: 16 frames).
const REORDERED: usize = 17;

/// A track of pictures.
pub(super) struct PictureTrack {
    pub(super) packets: Packets,
    pub(super) codec: Codec,
    /// What decoders are to be told that is outside of the stream.
    pub(super) config: Option<VideoConfig>,
    /// Pictures a second, when the container says so.
    pub(super) fps: Option<f64>,
    /// What the container says of showing.
    pub(super) showing: Showing,
    /// When its first picture is shown, nanoseconds.
    pub(super) begins: i64,
}

/// A track of sound.
pub(super) struct SoundTrack {
    pub(super) packets: Packets,
    pub(super) codec: AudioConfig,
    /// When it begins to be heard, nanoseconds; `None`: with the first packet, whenever that comes.
    pub(super) begins: Option<i64>,
}

/// The first track of pictures that we play of a file that is not y4m.
pub(super) fn open_pictures(opened: Opened) -> Result<PictureTrack, ContainerError> {
    let Opened { reader, kind, seekable } = opened;
    let mut track = match kind {
        Kind::Mp4 => mp4_pictures(reader),
        Kind::Mkv => mkv_pictures(reader),
        Kind::Ivf => IvfReader::open(reader).and_then(|mut ivf| {
            ivf.find_clock(if seekable { LOOKED_AT } else { LOOKED_AT_LIVE })?;
            let fps = Some(ivf.fps()).filter(|fps| (1.0..=240.0).contains(fps));
            Ok(PictureTrack { fps, ..bare(ivf.codec(), Packets::Ivf(ivf)) })
        }),
        Kind::AnnexB => {
            let reader = AnnexBReader::new(reader);
            Ok(bare(RAW, Packets::AnnexB { reader, fps: DEFAULT_FPS, next: 0 }))
        }
        Kind::Y4m | Kind::Ogg | Kind::Wav => Err(no_pictures()),
    }?;
    if seekable && matches!(track.packets, Packets::Mkv(_) | Packets::Ivf(_)) {
        track.begins = track.packets.first_time()?;
    }
    Ok(track)
}

/// Pictures of IVF that are looked at for what its clock is: of what comes through a pipe fewer, since
/// each takes its time.
const LOOKED_AT: usize = 16;
const LOOKED_AT_LIVE: usize = 3;

/// A track of which only the packets are known.
fn bare(codec: Codec, packets: Packets) -> PictureTrack {
    let showing = Showing::default();
    PictureTrack { packets, codec, config: None, fps: None, showing, begins: 0 }
}

/// What a raw stream plays at when nothing says otherwise; ffmpeg takes the same.
pub(super) const DEFAULT_FPS: f64 = 25.0;

/// Of what is damaged or locked nothing else can be made.
fn is_lost(codec: &str) -> bool {
    codec.starts_with(DAMAGED) || codec == ENCRYPTED
}

fn other_video(codec: &str) -> ContainerError {
    if is_lost(codec) {
        return ContainerError::unsupported(format!("its pictures are {codec}"));
    }
    not_played(codec)
}

/// An MP4, which is read here and there.
fn mp4(reader: Input) -> Result<Mp4Reader<Input>, ContainerError> {
    match reader {
        Input::File(_) => Mp4Reader::open(reader),
        Input::Stream(_) => Err(ContainerError::unsupported(
            "MP4 cannot come through a pipe; name the file, or send Matroska: \
             `ffmpeg -i IN -c copy -f matroska -`",
        )),
    }
}

fn mp4_pictures(reader: Input) -> Result<PictureTrack, ContainerError> {
    let file = mp4(reader)?;
    let mut other = None;
    for (track, found) in file.tracks.iter().enumerate() {
        match &found.codec {
            TrackCodec::Video(config) if !found.is_empty() => {
                let (codec, config) = (config.codec(), Some(config.clone()));
                let (begins, end) = found.span();
                let fps = Some(found.len() as f64 * 1e9 / (end - begins).max(1) as f64);
                let showing = found.showing;
                let packets = Packets::Mp4 { file: Box::new(file), track, next: 0 };
                return Ok(PictureTrack { packets, codec, config, fps, showing, begins });
            }
            TrackCodec::OtherVideo(name) => other = other.or(Some(name)),
            _ => {}
        }
    }
    Err(other.map_or_else(no_pictures, |name| other_video(name)))
}

fn mkv_pictures(reader: Input) -> Result<PictureTrack, ContainerError> {
    let mut file = MkvReader::open(reader)?;
    let mut other = None;
    for (index, track) in file.tracks.iter().enumerate() {
        match &track.codec {
            MkvCodec::Video(config) => {
                let (codec, config) = (config.codec(), Some(config.clone()));
                let fps = track.packet_duration.map(|nanos| 1e9 / nanos.max(1) as f64);
                let showing = track.showing;
                file.choose(index);
                let packets = Packets::Mkv(Box::new(file));
                return Ok(PictureTrack { packets, codec, config, fps, showing, begins: 0 });
            }
            MkvCodec::OtherVideo(name) => other = other.or(Some(name.clone())),
            _ => {}
        }
    }
    Err(other.map_or_else(no_pictures, |name| other_video(&name)))
}

/// The first track of sound that is not WAV.
pub(super) fn open_sound(opened: Opened) -> Result<SoundTrack, ContainerError> {
    let Opened { reader, kind, seekable } = opened;
    match kind {
        Kind::Mp4 => mp4_sound(reader),
        Kind::Mkv => mkv_sound(reader, seekable),
        Kind::Ogg => OggOpusReader::open(reader).map(|ogg| {
            let codec = ogg.codec();
            SoundTrack { packets: Packets::Ogg(Box::new(ogg)), codec, begins: Some(0) }
        }),
        Kind::Y4m | Kind::Ivf | Kind::AnnexB | Kind::Wav => Err(no_sound()),
    }
}

fn no_sound() -> ContainerError {
    ContainerError::unsupported(
        "it holds no sound; files with sound are wav, ogg (Opus), mp4 and mkv",
    )
}

fn other_audio(codec: &str) -> ContainerError {
    if is_lost(codec) {
        return ContainerError::unsupported(format!("its sound is {codec}"));
    }
    ContainerError::unsupported(format!(
        "its sound is {codec}, and only AAC, Opus and WAV are played; convert it with \
         `ffmpeg -i IN -c:v copy -c:a aac OUT.mp4`"
    ))
}

fn mp4_sound(reader: Input) -> Result<SoundTrack, ContainerError> {
    let file = mp4(reader)?;
    let mut other = None;
    for (track, found) in file.tracks.iter().enumerate() {
        match &found.codec {
            TrackCodec::Audio(codec) if !found.is_empty() => {
                let (codec, (begins, _)) = (codec.clone(), found.span());
                let packets = Packets::Mp4 { file: Box::new(file), track, next: 0 };
                return Ok(SoundTrack { packets, codec, begins: Some(begins) });
            }
            TrackCodec::OtherAudio(name) => other = other.or(Some(name)),
            _ => {}
        }
    }
    Err(other.map_or_else(no_sound, |name| other_audio(name)))
}

fn mkv_sound(reader: Input, seekable: bool) -> Result<SoundTrack, ContainerError> {
    let mut file = MkvReader::open(reader)?;
    let mut other = None;
    for (index, track) in file.tracks.iter().enumerate() {
        match &track.codec {
            MkvCodec::Audio(codec) => {
                let (codec, delay) = (codec.clone(), track.delay());
                file.choose(index);
                let mut packets = Packets::Mkv(Box::new(file));
                // Blocks bear the time at which they are heard; what a decoder is given before that
                // lies earlier.
                let begins = match seekable {
                    true => Some(packets.first_time()?.saturating_add(delay)),
                    false => None,
                };
                return Ok(SoundTrack { packets, codec, begins });
            }
            MkvCodec::OtherAudio(name) => other = other.or(Some(name.clone())),
            _ => {}
        }
    }
    Err(other.map_or_else(no_sound, |name| other_audio(&name)))
}
