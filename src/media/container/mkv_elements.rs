//! The elements of Matroska (RFC 9559) that are read, in memory: what a track holds, how its pictures
//! are shown, how its packets are packed.
//!
//! Pure over bytes; whatever they hold, nothing panics. Where they lie in a file, `mkv.rs` knows.

use super::bytes::Cursor;
use super::ogg::parse_opus_head;
use super::pictures::{VideoConfig, of_matroska};
use super::{AudioConfig, ContainerError, ENCRYPTED, names, shortcoming, to_nanos};
use crate::media::showing::{ColourHint, Crop, Matrix, Orientation, Showing};

/// What a track is and how its packets are stored.
#[derive(Debug, Clone, PartialEq)]
pub struct MkvTrack {
    /// As blocks name it.
    pub(super) number: u64,
    /// What it holds.
    pub codec: MkvCodec,
    /// Bytes that were stripped from the front of every packet.
    pub(super) prefix: Vec<u8>,
    /// `CodecDelay`, nanoseconds.
    pub(super) delay: i64,
    /// `DefaultDuration` of a packet, nanoseconds.
    pub packet_duration: Option<u64>,
    /// How its pictures are shown.
    pub showing: Showing,
}

impl MkvTrack {
    /// What the codec needs before what is heard, nanoseconds.
    #[must_use]
    pub fn delay(&self) -> i64 {
        self.delay
    }
}

/// What a Matroska track holds.
#[derive(Debug, Clone, PartialEq)]
pub enum MkvCodec {
    /// Pictures.
    Video(VideoConfig),
    /// Sound.
    Audio(AudioConfig),
    /// Pictures that we do not play, and why.
    OtherVideo(String),
    /// Sound that we do not play, and why.
    OtherAudio(String),
    /// Subtitles, buttons, anything.
    Other,
}

/// An element of a known size in memory: its id, and its content.
pub(super) fn elements(data: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let mut cursor = Cursor::new(data);
    std::iter::from_fn(move || {
        let id = read_id(&mut cursor)?;
        let len = read_size(&mut cursor)??;
        Some((id, cursor.take(usize::try_from(len).ok()?).ok()?))
    })
}

/// An id with its marker, as the specification prints it; `None` at the end, and where there is none.
pub(super) fn read_id(cursor: &mut Cursor<'_>) -> Option<u32> {
    let first = *cursor.rest().first()?;
    let len = first.leading_zeros() as usize + 1;
    (len <= 4).then(|| cursor.uint(len).ok().map(|id| id as u32))?
}

/// A size; `Some(None)` where it is unknown, `None` where there is none.
pub(super) fn read_size(cursor: &mut Cursor<'_>) -> Option<Option<u64>> {
    let first = *cursor.rest().first()?;
    let len = first.leading_zeros() as usize + 1;
    if len > 8 {
        return None;
    }
    let unknown = (1u64 << (7 * len)) - 1;
    let value = cursor.uint(len).ok()? & unknown;
    Some((value != unknown).then_some(value))
}

fn find(data: &[u8], id: u32) -> Option<&[u8]> {
    elements(data).find(|(found, _)| *found == id).map(|(_, content)| content)
}

/// An unsigned number; an empty one is 0.
pub(super) fn uint(content: &[u8]) -> Option<u64> {
    Cursor::new(content).uint(content.len()).ok().filter(|_| content.len() <= 8)
}

/// A signed number.
pub(super) fn int(content: &[u8]) -> Option<i64> {
    let spare = 64 - 8 * u32::try_from(content.len()).ok().filter(|len| (1..=8).contains(len))?;
    Some((uint(content)? << spare) as i64 >> spare)
}

fn number(data: &[u8], id: u32) -> Option<u64> {
    find(data, id).and_then(uint)
}

fn float(data: &[u8], id: u32) -> Option<f64> {
    let value = match find(data, id)? {
        [a, b, c, d] => f64::from(f32::from_be_bytes([*a, *b, *c, *d])),
        eight => f64::from_be_bytes(eight.try_into().ok()?),
    };
    value.is_finite().then_some(value)
}

/// Nanoseconds a tick, out of `Info`.
pub(super) fn time_scale(data: &[u8]) -> u64 {
    number(data, 0x2A_D7B1).filter(|scale| *scale > 0).unwrap_or(1_000_000)
}

/// The tracks out of `Tracks`, in their order.
pub(super) fn tracks(data: &[u8]) -> Vec<MkvTrack> {
    let entries = elements(data).filter(|(id, _)| *id == 0xAE).take(64);
    entries.filter_map(|(_, entry)| track(entry)).collect()
}

fn track(entry: &[u8]) -> Option<MkvTrack> {
    let id = String::from_utf8_lossy(find(entry, 0x86).unwrap_or_default()).into_owned();
    let id = id.trim_end_matches('\0');
    let kind = number(entry, 0x83)?;
    let (prefix, packed) = match stripped(entry) {
        Ok(prefix) => (prefix, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    let codec = match packed.map_or_else(|| codec(id, kind, entry), Err) {
        Ok(codec) => codec,
        // Only who asks for this track hears of it.
        Err(error) => other(kind, shortcoming(&error)),
    };
    let delay = i64::try_from(number(entry, 0x56AA).unwrap_or(0)).unwrap_or(0);
    Some(MkvTrack {
        number: number(entry, 0xD7)?,
        codec,
        prefix,
        delay: delay.clamp(0, to_nanos(10, 1)),
        packet_duration: number(entry, 0x23_E383).filter(|nanos| *nanos > 0),
        showing: find(entry, 0xE0).map(showing).unwrap_or_default(),
    })
}

fn other(kind: u64, what: String) -> MkvCodec {
    match kind {
        1 => MkvCodec::OtherVideo(what),
        2 => MkvCodec::OtherAudio(what),
        _ => MkvCodec::Other,
    }
}

fn codec(id: &str, kind: u64, entry: &[u8]) -> Result<MkvCodec, ContainerError> {
    let private = find(entry, 0x63A2).unwrap_or_default();
    if let Some(config) = of_matroska(id, private) {
        return config.map(MkvCodec::Video);
    }
    Ok(match id {
        "A_OPUS" => MkvCodec::Audio(AudioConfig::Opus(parse_opus_head(private)?)),
        id if id.starts_with("A_AAC") && private.len() >= 2 => {
            MkvCodec::Audio(AudioConfig::Aac { config: private.to_vec() })
        }
        id => other(kind, names::of_matroska(id, private)),
    })
}

/// The bytes that header stripping took from every packet (section 5.1.4.1.31).
fn stripped(entry: &[u8]) -> Result<Vec<u8>, ContainerError> {
    let packed = || {
        ContainerError::unsupported(
            "packed in a way that is not undone here (copy it with `ffmpeg -i IN -c copy OUT.mkv`)",
        )
    };
    let Some(all) = find(entry, 0x6D80) else { return Ok(Vec::new()) };
    let encodings: Vec<&[u8]> =
        elements(all).filter(|(id, _)| *id == 0x6240).map(|(_, one)| one).collect();
    if encodings.iter().any(|one| number(one, 0x5033).unwrap_or(0) == 1) {
        return Err(ContainerError::unsupported(ENCRYPTED));
    }
    let encoding = match encodings[..] {
        [] => return Ok(Vec::new()),
        [encoding] if number(encoding, 0x5033).unwrap_or(0) == 0 => encoding,
        _ => return Err(packed()),
    };
    let compression = find(encoding, 0x5034);
    let settings = compression.and_then(|how| find(how, 0x4255)).unwrap_or_default();
    match compression.map(|how| number(how, 0x4254).unwrap_or(0)) {
        Some(3) if settings.len() < 1024 => Ok(settings.to_vec()),
        _ => Err(packed()),
    }
}

/// What `Video` says of showing (section 5.1.4.1.28).
fn showing(video: &[u8]) -> Showing {
    let side = |id| number(video, id).and_then(|side| u32::try_from(side).ok());
    let crop = Crop {
        left: side(0x54CC).unwrap_or(0),
        right: side(0x54DD).unwrap_or(0),
        top: side(0x54BB).unwrap_or(0),
        bottom: side(0x54AA).unwrap_or(0),
    };
    let colour = find(video, 0x55B0).unwrap_or_default();
    Showing {
        crop,
        aspect: aspect(video, crop),
        orientation: find(video, 0x7670).map(projected).unwrap_or_default(),
        colour: ColourHint {
            matrix: number(colour, 0x55B1).and_then(Matrix::from_code),
            // 1 is "broadcast range", 2 is full.
            full_range: match number(colour, 0x55B9) {
                Some(1) => Some(false),
                Some(2) => Some(true),
                _ => None,
            },
        },
    }
}

/// The shape of samples: the display size, in whatever unit, over what is left after cropping.
fn aspect(video: &[u8], crop: Crop) -> Option<(u32, u32)> {
    let side = |id| number(video, id).filter(|side| (1..1 << 24).contains(side));
    let cropped = |id, before: u32, after: u32| {
        side(id)?.checked_sub(u64::from(before) + u64::from(after)).filter(|left| *left > 0)
    };
    let stored = (cropped(0xB0, crop.left, crop.right)?, cropped(0xBA, crop.top, crop.bottom)?);
    let (width, height) = match (number(video, 0x54B2).unwrap_or(0), side(0x54B0), side(0x54BA)) {
        // Unit 4 says that nobody knows.
        (4, ..) | (_, None, None) => return None,
        (_, Some(width), Some(height)) => (width, height),
        // In pixels, a side that is not named is as long as it is stored (sections 5.1.4.1.28.13, 14).
        (0, width, height) => (width.unwrap_or(stored.0), height.unwrap_or(stored.1)),
        _ => return None,
    };
    let (across, down) = (width * stored.1, height * stored.0);
    let divisor = gcd(across, down);
    let (across, down) = (across / divisor, down / divisor);
    // Sides are rounded to whole pixels: less than one is no shape.
    let square = width.abs_diff(stored.0) <= 1 && height.abs_diff(stored.1) <= 1;
    if square {
        return Some((1, 1));
    }
    let shift = 64 - across.max(down).leading_zeros().min(64);
    let shift = shift.saturating_sub(32);
    Some(((across >> shift) as u32, (down >> shift) as u32))
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a.max(1) } else { gcd(b, a % b) }
}

/// Which way up a rectangular projection is: a roll counter-clockwise, after a yaw or a pitch by half
/// a turn, which are mirrors (section 5.1.4.1.28.41).
fn projected(projection: &[u8]) -> Orientation {
    if number(projection, 0x7671).unwrap_or(0) != 0 {
        return Orientation::UPRIGHT;
    }
    let angle = |id| float(projection, id).unwrap_or(0.0);
    let half_turn = |id| (angle(id).abs() - 180.0).abs() < 45.0;
    let (mirrored, flipped) = (half_turn(0x7673), half_turn(0x7674));
    let counter = (angle(0x7675) / 90.0).round().rem_euclid(4.0) as u8;
    let mirror = Orientation { mirrored, flipped, ..Orientation::UPRIGHT };
    mirror.then(Orientation::quarters(4 - counter))
}

/// The packets of a block's content behind track, time and flags (section 10.3).
pub(super) fn unlaced(flags: u8, data: &[u8]) -> Option<Vec<&[u8]>> {
    let lacing = flags >> 1 & 3;
    if lacing == 0 {
        return Some(vec![data]);
    }
    let mut cursor = Cursor::new(data);
    let count = usize::from(cursor.u8().ok()?) + 1;
    let mut sizes = Vec::with_capacity(count);
    match lacing {
        1 => {
            for _ in 1..count {
                let mut size = 0usize;
                loop {
                    let byte = cursor.u8().ok()?;
                    size += usize::from(byte);
                    if byte < 255 {
                        break;
                    }
                }
                sizes.push(size);
            }
        }
        3 if count > 1 => {
            let mut size = i64::try_from(read_size(&mut cursor)??).ok()?;
            sizes.push(usize::try_from(size).ok()?);
            for _ in 2..count {
                let len = cursor.rest().first()?.leading_zeros() + 1;
                // Signed numbers are stored with half of their span added; none of them is "unknown".
                if len > 8 {
                    return None;
                }
                let span = (1i64 << (7 * len)) - 1;
                let raw = read_size(&mut cursor)?.map_or(span, |raw| raw as i64);
                size = size.checked_add(raw - span / 2)?;
                sizes.push(usize::try_from(size).ok()?);
            }
        }
        _ => sizes.resize(count - 1, cursor.rest().len() / count),
    }
    let mut packets = Vec::with_capacity(count);
    for size in sizes {
        packets.push(cursor.take(size).ok()?);
    }
    packets.push(cursor.rest());
    Some(packets)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use proptest::prelude::*;

    use super::super::ebml::{put_bytes, put_float, put_master, put_uint};
    use super::*;

    fn video(build: impl FnOnce(&mut Vec<u8>)) -> Showing {
        let mut data = Vec::new();
        put_uint(&mut data, 0xB0, 720);
        put_uint(&mut data, 0xBA, 480);
        build(&mut data);
        showing(&data)
    }

    #[test]
    fn a_display_size_in_any_unit_makes_the_shape_of_samples() {
        assert_eq!(video(|_| {}).aspect, None);
        let wide = video(|data| {
            put_uint(data, 0x54B0, 853);
            put_uint(data, 0x54BA, 480);
        });
        assert_eq!(wide.shown(720, 480), (853, 480));
        let one_side = video(|data| put_uint(data, 0x54B0, 853));
        assert_eq!(one_side.shown(720, 480), (853, 480));
        let other_side = video(|data| {
            put_uint(data, 0x54CC, 8);
            put_uint(data, 0x54DD, 8);
            put_uint(data, 0x54BA, 960);
        });
        assert_eq!(other_side.shown(720, 480), (704, 960));
        let no_pixels = video(|data| {
            put_uint(data, 0x54B2, 3);
            put_uint(data, 0x54B0, 16);
        });
        assert_eq!(no_pixels.aspect, None);
        let ratio = video(|data| {
            put_uint(data, 0x54B2, 3);
            put_uint(data, 0x54B0, 16);
            put_uint(data, 0x54BA, 9);
        });
        assert_eq!(ratio.shown(720, 480), (853, 480));
        let unknown = video(|data| {
            put_uint(data, 0x54B2, 4);
            put_uint(data, 0x54B0, 16);
            put_uint(data, 0x54BA, 9);
        });
        assert_eq!(unknown.aspect, None);
        let cropped = video(|data| {
            put_uint(data, 0x54BB, 60);
            put_uint(data, 0x54AA, 60);
            put_uint(data, 0x54B0, 720);
            put_uint(data, 0x54BA, 360);
        });
        assert_eq!(cropped.shown(720, 480), (720, 360));
    }

    #[test]
    fn rolls_are_turns() {
        let rolled = |yaw: f64, roll: f64| {
            let shown = video(|data| {
                put_master(data, 0x7670, |projection| {
                    put_float(projection, 0x7673, yaw);
                    put_float(projection, 0x7675, roll);
                });
            });
            shown.orientation
        };
        assert_eq!(rolled(0.0, -90.0), Orientation::quarters(1));
        assert_eq!(rolled(0.0, 90.0), Orientation::quarters(3));
        assert_eq!(rolled(0.0, 180.0), Orientation::quarters(2));
        assert!(rolled(180.0, 0.0).mirrored);
    }

    #[test]
    fn colours_are_told() {
        let shown = video(|data| {
            put_master(data, 0x55B0, |colour| {
                put_uint(colour, 0x55B1, 1);
                put_uint(colour, 0x55B9, 2);
            });
        });
        let told = ColourHint { matrix: Some(Matrix::Bt709), full_range: Some(true) };
        assert_eq!(shown.colour, told);
    }

    #[test]
    fn a_track_that_nobody_can_play_says_why_and_refuses_nothing() {
        let mut data = Vec::new();
        for (number, kind, codec) in [(1, 1, "V_VP9"), (2, 2, "A_MPEG/L3"), (3, 17, "S_TEXT/UTF8")]
        {
            put_master(&mut data, 0xAE, |entry| {
                put_uint(entry, 0xD7, number);
                put_uint(entry, 0x83, kind);
                put_bytes(entry, 0x86, codec.as_bytes());
            });
        }
        let found: Vec<MkvCodec> = tracks(&data).into_iter().map(|track| track.codec).collect();
        let (video, audio) = ("VP9".to_owned(), "MP3".to_owned());
        let other = [MkvCodec::OtherVideo(video), MkvCodec::OtherAudio(audio), MkvCodec::Other];
        assert_eq!(found, other);
    }

    #[test]
    fn lacing_is_undone() {
        let parts = |flags, data| unlaced(flags, data).unwrap();
        assert_eq!(parts(0, b"abc"), [b"abc"]);
        let xiph = [2, 1, 2, b'a', b'b', b'b', b'c'];
        assert_eq!(parts(2, &xiph), [&b"a"[..], b"bb", b"c"]);
        let fixed = [1, b'a', b'b'];
        assert_eq!(parts(4, &fixed), [b"a", b"b"]);
        let ebml = [2, 0x82, 0xBE, b'a', b'a', b'b', b'c', b'c'];
        assert_eq!(parts(6, &ebml), [&b"aa"[..], b"b", b"cc"]);
        assert_eq!(unlaced(2, &[2, 200]), None);
    }

    #[test]
    fn signed_numbers_have_any_length() {
        assert_eq!(int(&[0xFF]), Some(-1));
        assert_eq!(int(&[0, 200]), Some(200));
        assert_eq!(int(&[]), None);
    }

    proptest! {
        #[test]
        fn wild_bytes_never_panic(data: Vec<u8>, flags: u8) {
            let _ = (tracks(&data), track(&data), showing(&data), time_scale(&data), projected(&data));
            if let Some(parts) = unlaced(flags, &data) {
                prop_assert!(parts.iter().map(|part| part.len()).sum::<usize>() <= data.len());
            }
        }
    }
}
