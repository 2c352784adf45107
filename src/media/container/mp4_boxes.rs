//! The boxes of ISO base media files (ISO/IEC 14496-12 section 4.2), in memory.
//!
//! Owns walking over nested boxes and the description of a track's codec.
//! Knows nothing of samples or files.

use super::avc::AvcConfig;
use super::bytes::Cursor;
use super::ogg::opus_codec;
use super::{AudioCodec, ContainerError};

/// The name of a box.
pub type Name = [u8; 4];

/// Walks over the boxes that lie side by side in `data`; ends at the first broken one.
pub fn boxes(data: &[u8]) -> impl Iterator<Item = (Name, &[u8])> {
    let mut cursor = Cursor::new(data);
    std::iter::from_fn(move || {
        let (name, len) = header(&mut cursor).ok()?;
        let len = match len {
            BoxLen::Rest => cursor.rest().len(),
            BoxLen::Bytes(len) => usize::try_from(len).ok()?,
        };
        Some((name, cursor.take(len).ok()?))
    })
}

/// How long the content of a box is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BoxLen {
    /// So many bytes.
    Bytes(u64),
    /// All that follows.
    Rest,
}

/// Reads the header of a box.
///
/// # Errors
/// When it is cut or shorter than itself.
pub fn header(cursor: &mut Cursor<'_>) -> Result<(Name, BoxLen), ContainerError> {
    let short = || ContainerError::corrupt("an MP4 box is shorter than its own header");
    let size = cursor.u32()?;
    let mut name = [0; 4];
    name.copy_from_slice(cursor.take(4)?);
    let len = match size {
        0 => BoxLen::Rest,
        1 => BoxLen::Bytes(cursor.u64()?.checked_sub(16).ok_or_else(short)?),
        size => BoxLen::Bytes(u64::from(size).checked_sub(8).ok_or_else(short)?),
    };
    Ok((name, len))
}

/// The first box of that name in `data`.
#[must_use]
pub fn find<'a>(data: &'a [u8], name: &Name) -> Option<&'a [u8]> {
    boxes(data).find(|(found, _)| found == name).map(|(_, content)| content)
}

/// The box at the end of a path of names.
#[must_use]
pub fn find_path<'a>(data: &'a [u8], path: &[&Name]) -> Option<&'a [u8]> {
    path.iter().try_fold(data, |data, name| find(data, name))
}

/// What a track holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrackCodec {
    /// H.264 pictures.
    H264(AvcConfig),
    /// Sound.
    Audio(AudioCodec),
    /// Pictures in a codec that we do not decode, by its four letters.
    OtherVideo(String),
    /// Sound in a codec that we do not decode.
    OtherAudio(String),
    /// Subtitles, data, cover art, anything.
    Other,
}

/// Reads the codec from `hdlr` and the first entry of `stsd`.
///
/// # Errors
/// When the description of a codec that we know is broken.
pub fn track_codec(handler: &[u8], stsd: &[u8]) -> Result<TrackCodec, ContainerError> {
    let Some((format, entry)) = stsd.get(8..).and_then(|entries| boxes(entries).next()) else {
        return Ok(TrackCodec::Other);
    };
    let name = String::from_utf8_lossy(&format).escape_default().to_string();
    match handler.get(8..12) {
        Some(b"vide") => video_codec(&format, entry, name),
        Some(b"soun") => audio_codec(&format, entry, name),
        _ => Ok(TrackCodec::Other),
    }
}

fn video_codec(format: &Name, entry: &[u8], name: String) -> Result<TrackCodec, ContainerError> {
    // A visual sample entry has 78 bytes before its boxes (section 12.1.3).
    let avcc = entry.get(78..).and_then(|inner| find(inner, b"avcC"));
    match (format, avcc) {
        (b"avc1" | b"avc3", Some(avcc)) => Ok(TrackCodec::H264(AvcConfig::parse(avcc)?)),
        (b"avc1" | b"avc3", None) => {
            Err(ContainerError::corrupt("the H.264 track has no configuration (avcC)"))
        }
        _ => Ok(TrackCodec::OtherVideo(name)),
    }
}

fn audio_codec(format: &Name, entry: &[u8], name: String) -> Result<TrackCodec, ContainerError> {
    // 28 bytes (section 12.2.3); QuickTime's versions 1 and 2 have 16 and 36 more.
    let extra = match entry.get(8..10) {
        Some([0, 1]) => 16,
        Some([0, 2]) => 36,
        _ => 0,
    };
    let inner = entry.get(28 + extra..).unwrap_or_default();
    match format {
        b"mp4a" => {
            let esds = find(inner, b"esds").or_else(|| find_path(inner, &[b"wave", b"esds"]));
            Ok(match esds.and_then(aac_config) {
                Some(config) => TrackCodec::Audio(AudioCodec::Aac { config }),
                None => TrackCodec::OtherAudio(name),
            })
        }
        b"Opus" => {
            let dops = find(inner, b"dOps")
                .ok_or_else(|| ContainerError::corrupt("the Opus track has no dOps box"))?;
            let mut cursor = Cursor::new(dops);
            cursor.u8()?;
            let channels = cursor.u8()?;
            Ok(TrackCodec::Audio(opus_codec(channels, cursor.u16()?)?))
        }
        _ => Ok(TrackCodec::OtherAudio(name)),
    }
}

/// The AudioSpecificConfig out of `esds` (ISO/IEC 14496-1 section 7.2.6); `None` when it is not AAC.
fn aac_config(esds: &[u8]) -> Option<Vec<u8>> {
    let mut cursor = Cursor::new(esds.get(4..)?);
    let (mut body, tag) = descriptor(&mut cursor)?;
    if tag == 3 {
        let mut es = Cursor::new(body);
        es.u16().ok()?;
        let flags = es.u8().ok()?;
        if flags & 0x80 != 0 {
            es.u16().ok()?;
        }
        if flags & 0x40 != 0 {
            let len = es.u8().ok()?;
            es.take(usize::from(len)).ok()?;
        }
        if flags & 0x20 != 0 {
            es.u16().ok()?;
        }
        body = descriptor(&mut es).filter(|(_, tag)| *tag == 4)?.0;
    }
    let mut config = Cursor::new(body);
    // 0x40 is MPEG-4 audio, 0x66 to 0x68 MPEG-2 AAC.
    if !matches!(config.u8().ok()?, 0x40 | 0x66..=0x68) {
        return None;
    }
    config.take(12).ok()?;
    let (info, tag) = descriptor(&mut config)?;
    (tag == 5 && info.len() >= 2).then(|| info.to_vec())
}

fn descriptor<'a>(cursor: &mut Cursor<'a>) -> Option<(&'a [u8], u8)> {
    let tag = cursor.u8().ok()?;
    let mut len = 0usize;
    for _ in 0..4 {
        let byte = cursor.u8().ok()?;
        len = len << 7 | usize::from(byte & 0x7F);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some((cursor.take(len).ok()?, tag))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn boxes_are_walked_and_found() {
        let inner = [&[0, 0, 0, 9][..], b"abcd", b"x"].concat();
        let mut data = ((8 + inner.len()) as u32).to_be_bytes().to_vec();
        data.extend_from_slice(b"outr");
        data.extend_from_slice(&inner);
        data.extend_from_slice(&[0, 0, 0, 0, b'l', b'a', b's', b't', 7, 7]);
        assert_eq!(find_path(&data, &[b"outr", b"abcd"]), Some(&b"x"[..]));
        assert_eq!(find(&data, b"last"), Some(&[7, 7][..]));
        assert_eq!(find(&data, b"none"), None);
        assert_eq!(boxes(&[0, 0, 0, 3, b'b', b'a', b'd', b'!']).count(), 0);
    }

    #[test]
    fn the_aac_configuration_is_dug_out() {
        let esds = [
            0, 0, 0, 0, 3, 0x19, 0, 1, 0, 4, 0x11, 0x40, 0x15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5,
            2, 0x12, 0x10, 6, 1, 2,
        ];
        assert_eq!(aac_config(&esds), Some(vec![0x12, 0x10]));
        let mut mp3 = esds;
        mp3[11] = 0x6B;
        assert_eq!(aac_config(&mp3), None);
    }
}
