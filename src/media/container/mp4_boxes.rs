//! The boxes of ISO base media files (ISO/IEC 14496-12 section 4.2), in memory.
//!
//! Owns walking over nested boxes and the description of a track's codec.
//! Knows nothing of samples or files.

use super::bytes::Cursor;
use super::ogg::opus_head;
use super::pictures::{VideoConfig, of_mp4};
use super::{AudioConfig, ContainerError, names, shortcoming};
use crate::media::showing::{ColourHint, Crop, Matrix, Showing};

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
    /// Pictures.
    Video(VideoConfig),
    /// Sound.
    Audio(AudioConfig),
    /// Pictures that we do not play: their codec, or why.
    OtherVideo(String),
    /// Sound that we do not play: its codec, or why.
    OtherAudio(String),
    /// Subtitles, data, cover art, anything.
    Other,
}

/// Reads the codec from `hdlr` and the first entry of `stsd`, and how pictures are shown. What is
/// broken is a track that we do not play, and refuses nothing else.
#[must_use]
pub fn track_codec(handler: &[u8], stsd: &[u8]) -> (TrackCodec, Showing) {
    let Some((format, entry)) = stsd.get(8..).and_then(|entries| boxes(entries).next()) else {
        return (TrackCodec::Other, Showing::default());
    };
    match handler.get(8..12) {
        Some(b"vide") => (video_codec(&format, entry), showing(entry)),
        Some(b"soun") => {
            let codec = audio_codec(&format, entry);
            let codec = codec.unwrap_or_else(|error| TrackCodec::OtherAudio(shortcoming(&error)));
            (codec, Showing::default())
        }
        _ => (TrackCodec::Other, Showing::default()),
    }
}

/// A visual sample entry has so many bytes before its boxes (section 12.1.3).
const VISUAL: usize = 78;

fn video_codec(format: &Name, entry: &[u8]) -> TrackCodec {
    let inner = entry.get(VISUAL..).unwrap_or_default();
    match of_mp4(format, |name| find(inner, name)) {
        Some(Ok(config)) => TrackCodec::Video(config),
        Some(Err(error)) => TrackCodec::OtherVideo(shortcoming(&error)),
        None => TrackCodec::OtherVideo(names::of_fourcc(format)),
    }
}

/// What the boxes of a visual sample entry say of showing: `pasp`, `clap` (section 12.1.4) and `colr`
/// (section 12.1.5). Which way up is the track header's.
fn showing(entry: &[u8]) -> Showing {
    let inner = entry.get(VISUAL..).unwrap_or_default();
    let side = |at: usize| match entry.get(at..at + 2) {
        Some([high, low]) => u32::from(u16::from_be_bytes([*high, *low])),
        _ => 0,
    };
    let pasp = find(inner, b"pasp").and_then(|pasp| {
        let mut cursor = Cursor::new(pasp);
        Some((cursor.u32().ok()?, cursor.u32().ok()?))
    });
    let clap = find(inner, b"clap").and_then(|clap| clean_aperture(clap, side(24), side(26)));
    Showing {
        crop: clap.unwrap_or_default(),
        aspect: pasp.filter(|(width, height)| *width > 0 && *height > 0),
        // One may be a profile for printers (ICC), and another the numbers.
        colour: boxes(inner)
            .filter(|(name, _)| name == b"colr")
            .fold(ColourHint::default(), |known, (_, colr)| known.or(colour(colr))),
        ..Showing::default()
    }
}

/// The clean aperture as a crop of a picture of this size; `None` when it does not lie inside.
fn clean_aperture(clap: &[u8], width: u32, height: u32) -> Option<Crop> {
    let mut cursor = Cursor::new(clap);
    let mut fraction = || {
        let (over, under) = (cursor.u32().ok()? as i32, cursor.u32().ok()? as i32);
        (under > 0).then(|| f64::from(over) / f64::from(under))
    };
    let (wide, high) = (fraction()?, fraction()?);
    let (right, down) = (fraction()?, fraction()?);
    let cut = |all: u32, clean: f64, offset: f64| {
        let before = (f64::from(all) - clean) / 2.0 + offset;
        let after = f64::from(all) - clean - before;
        let inside = clean >= 2.0 && before > -0.5 && after > -0.5;
        inside.then(|| (before.round() as u32, after.round() as u32))
    };
    let ((left, right), (top, bottom)) = (cut(width, wide, right)?, cut(height, high, down)?);
    Some(Crop { left, right, top, bottom })
}

fn colour(colr: &[u8]) -> ColourHint {
    let code = |at: usize| match colr.get(at..at + 2) {
        Some([high, low]) => u64::from(u16::from_be_bytes([*high, *low])),
        _ => 2,
    };
    match colr.get(..4) {
        // QuickTime's has no range.
        Some(b"nclc") => ColourHint { matrix: Matrix::from_code(code(8)), full_range: None },
        Some(b"nclx") => ColourHint {
            matrix: Matrix::from_code(code(8)),
            full_range: colr.get(10).map(|flags| flags & 0x80 != 0),
        },
        _ => ColourHint::default(),
    }
}

fn audio_codec(format: &Name, entry: &[u8]) -> Result<TrackCodec, ContainerError> {
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
            Ok(match esds.and_then(elementary_stream) {
                Some((0x40 | 0x66..=0x68, Some(config))) => {
                    TrackCodec::Audio(AudioConfig::Aac { config })
                }
                Some((kind, _)) => TrackCodec::OtherAudio(names::of_object(kind)),
                None => TrackCodec::OtherAudio("AAC without its description".to_owned()),
            })
        }
        b"Opus" => {
            let dops = find(inner, b"dOps")
                .ok_or_else(|| ContainerError::corrupt("Opus without its description (dOps)"))?;
            let mut cursor = Cursor::new(dops);
            cursor.u8()?;
            let (channels, pre_skip) = (cursor.u8()?, cursor.u16()?);
            cursor.u32()?;
            let gain = cursor.u16()? as i16;
            Ok(TrackCodec::Audio(AudioConfig::Opus(opus_head(channels, pre_skip, gain, cursor)?)))
        }
        _ => Ok(TrackCodec::OtherAudio(names::of_fourcc(format))),
    }
}

/// The object type out of `esds` and, where there is one, the AudioSpecificConfig (ISO/IEC 14496-1
/// section 7.2.6).
fn elementary_stream(esds: &[u8]) -> Option<(u8, Option<Vec<u8>>)> {
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
    let kind = config.u8().ok()?;
    config.take(12).ok()?;
    let info = descriptor(&mut config).filter(|(info, tag)| *tag == 5 && info.len() >= 2);
    Some((kind, info.map(|(info, _)| info.to_vec())))
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
        assert_eq!(elementary_stream(&esds), Some((0x40, Some(vec![0x12, 0x10]))));
        let mut mp3 = esds;
        mp3[11] = 0x6B;
        assert_eq!(elementary_stream(&mp3).unwrap().0, 0x6B);
    }

    fn put(out: &mut Vec<u8>, name: &Name, content: &[u8]) {
        out.extend_from_slice(&(8 + content.len() as u32).to_be_bytes());
        out.extend_from_slice(name);
        out.extend_from_slice(content);
    }

    #[test]
    fn an_entry_says_how_its_pictures_are_shown() {
        let mut entry = vec![0; VISUAL];
        entry[24..28].copy_from_slice(&[2, 0xD0, 1, 0xE0]);
        let words = |words: &[u32]| words.iter().flat_map(|w| w.to_be_bytes()).collect::<Vec<_>>();
        put(&mut entry, b"pasp", &words(&[10, 11]));
        put(&mut entry, b"clap", &words(&[704, 1, 480, 1, 4, 1, 0, 1]));
        put(&mut entry, b"colr", b"nclx\0\x06\0\x06\0\x06\x80");
        let shown = showing(&entry);
        assert_eq!(shown.aspect, Some((10, 11)));
        assert_eq!(shown.crop, Crop { left: 12, right: 4, top: 0, bottom: 0 });
        let colour = ColourHint { matrix: Some(Matrix::Bt601), full_range: Some(true) };
        assert_eq!(shown.colour, colour);
        let mut profile = vec![0; VISUAL];
        put(&mut profile, b"colr", b"prof\0\0\0\x08ICC.");
        put(&mut profile, b"colr", b"nclx\0\x06\0\x06\0\x06\x80");
        assert_eq!(showing(&profile).colour, colour);
        assert_eq!(clean_aperture(&words(&[800, 1, 480, 1, 0, 1, 0, 1]), 720, 480), None);
    }
}
