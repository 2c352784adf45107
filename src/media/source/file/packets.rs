//! One track of any container as a row of packets that can begin again.
//!
//! Owns choosing the track and refusing what is in it when we cannot decode
//! it. Decodes nothing.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use super::{Opened, SourceError, in_file, open_file};
use crate::media::container::annexb::AnnexBReader;
use crate::media::container::avc::AvcConfig;
use crate::media::container::ivf::IvfReader;
use crate::media::container::mkv::{self, MkvCodec, MkvReader};
use crate::media::container::mp4::Mp4Reader;
use crate::media::container::mp4_boxes::TrackCodec;
use crate::media::container::ogg::OggOpusReader;
use crate::media::container::{AudioCodec, ContainerError, Kind, Packet};

type Reader = BufReader<File>;

/// The packets of one track.
pub(super) enum Packets {
    Mp4 { file: Box<Mp4Reader<Reader>>, track: usize, next: usize },
    Mkv(Box<MkvReader<Reader>>),
    Ivf(IvfReader<Reader>),
    AnnexB { reader: AnnexBReader<Reader>, fps: f64, next: i64 },
    Ogg(Box<OggOpusReader<Reader>>),
}

impl Packets {
    /// The next packet in the order of decoding; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Packet>, ContainerError> {
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
                Ok(Some(Packet { data, pts }))
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

    /// Says how many pictures a second a raw stream has, which only its parameter set knows.
    pub(super) fn set_fps(&mut self, rate: f64) {
        if let Self::AnnexB { fps, .. } = self {
            *fps = rate;
        }
    }
}

/// A track of H.264.
pub(super) struct H264Track {
    pub(super) packets: Packets,
    /// The parameter sets, when they are outside of the stream.
    pub(super) config: Option<AvcConfig>,
    /// Pictures a second, when the container says so.
    pub(super) fps: Option<f64>,
}

/// Opens the first H.264 track of a file that is not y4m.
pub(super) fn open_h264(path: &Path) -> Result<H264Track, SourceError> {
    let Opened { reader, kind } = open_file(path)?;
    let h264 = match kind {
        Kind::Mp4 => mp4_h264(reader),
        Kind::Mkv => mkv_h264(path, reader),
        Kind::Ivf => IvfReader::open(reader).map(|ivf| {
            let fps = Some(ivf.fps()).filter(|fps| (1.0..=240.0).contains(fps));
            H264Track { packets: Packets::Ivf(ivf), config: None, fps }
        }),
        Kind::AnnexB => {
            let reader = AnnexBReader::new(reader);
            let packets = Packets::AnnexB { reader, fps: DEFAULT_FPS, next: 0 };
            Ok(H264Track { packets, config: None, fps: None })
        }
        Kind::Y4m | Kind::Ogg | Kind::Wav => Err(no_pictures()),
    };
    h264.map_err(in_file(path))
}

/// What a raw stream plays at when nothing says otherwise; ffmpeg takes the same.
pub(super) const DEFAULT_FPS: f64 = 25.0;

fn no_pictures() -> ContainerError {
    ContainerError::unsupported(
        "it holds no pictures; files with pictures are y4m, mp4, mkv, ivf and h264",
    )
}

fn other_video(codec: &str) -> ContainerError {
    ContainerError::unsupported(format!(
        "its pictures are {codec}, only H.264 is played; convert it with \
         `ffmpeg -i IN -c:v libx264 -pix_fmt yuv420p OUT.mp4`"
    ))
}

fn mp4_h264(reader: Reader) -> Result<H264Track, ContainerError> {
    let file = Mp4Reader::open(reader)?;
    let mut other = None;
    for (track, found) in file.tracks.iter().enumerate() {
        match &found.codec {
            TrackCodec::H264(config) if !found.is_empty() => {
                let config = Some(config.clone());
                let fps = Some(found.len() as f64 * 1e9 / found.end().max(1) as f64);
                let packets = Packets::Mp4 { file: Box::new(file), track, next: 0 };
                return Ok(H264Track { packets, config, fps });
            }
            TrackCodec::OtherVideo(name) => other = Some(name),
            _ => {}
        }
    }
    Err(other.map_or_else(no_pictures, |name| other_video(name)))
}

fn mkv_h264(path: &Path, reader: Reader) -> Result<H264Track, ContainerError> {
    let mut other = None;
    for track in mkv::tracks(reader)? {
        match &track.codec {
            MkvCodec::H264(config) => {
                let config = Some(config.clone());
                let fps = track.packet_duration.map(|nanos| 1e9 / nanos.max(1) as f64);
                let reader = BufReader::new(File::open(path)?);
                let packets = Packets::Mkv(Box::new(MkvReader::open(reader, track)?));
                return Ok(H264Track { packets, config, fps });
            }
            MkvCodec::OtherVideo(name) => other = Some(name.clone()),
            _ => {}
        }
    }
    Err(other.map_or_else(no_pictures, |name| other_video(&name)))
}

/// Opens the first track of sound that is not WAV.
pub(super) fn open_audio(path: &Path) -> Result<(Packets, AudioCodec), SourceError> {
    let Opened { reader, kind } = open_file(path)?;
    let audio = match kind {
        Kind::Mp4 => mp4_audio(reader),
        Kind::Mkv => mkv_audio(path, reader),
        Kind::Ogg => OggOpusReader::open(reader).map(|ogg| {
            let codec = ogg.codec();
            (Packets::Ogg(Box::new(ogg)), codec)
        }),
        Kind::Y4m | Kind::Ivf | Kind::AnnexB | Kind::Wav => Err(no_sound()),
    };
    audio.map_err(in_file(path))
}

fn no_sound() -> ContainerError {
    ContainerError::unsupported(
        "it holds no sound; files with sound are wav, ogg (Opus), mp4 and mkv",
    )
}

fn other_audio(codec: &str) -> ContainerError {
    ContainerError::unsupported(format!(
        "its sound is {codec}, only AAC, Opus and WAV are played; convert it with \
         `ffmpeg -i IN -c:v copy -c:a aac OUT.mp4`"
    ))
}

fn mp4_audio(reader: Reader) -> Result<(Packets, AudioCodec), ContainerError> {
    let file = Mp4Reader::open(reader)?;
    let mut other = None;
    for (track, found) in file.tracks.iter().enumerate() {
        match &found.codec {
            TrackCodec::Audio(codec) if !found.is_empty() => {
                let codec = codec.clone();
                return Ok((Packets::Mp4 { file: Box::new(file), track, next: 0 }, codec));
            }
            TrackCodec::OtherAudio(name) => other = Some(name),
            _ => {}
        }
    }
    Err(other.map_or_else(no_sound, |name| other_audio(name)))
}

fn mkv_audio(path: &Path, reader: Reader) -> Result<(Packets, AudioCodec), ContainerError> {
    let mut other = None;
    for track in mkv::tracks(reader)? {
        match &track.codec {
            MkvCodec::Audio(codec) => {
                let codec = codec.clone();
                let reader = BufReader::new(File::open(path)?);
                return Ok((Packets::Mkv(Box::new(MkvReader::open(reader, track)?)), codec));
            }
            MkvCodec::OtherAudio(name) => other = Some(name.clone()),
            _ => {}
        }
    }
    Err(other.map_or_else(no_sound, |name| other_audio(&name)))
}
