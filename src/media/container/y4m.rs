//! Reads YUV4MPEG2 (.y4m): uncompressed pictures, one after the other.
//!
//! Takes 8-bit 4:2:0 only; everything else is refused with the command that
//! converts it. Knows nothing of time beyond the frame rate in the header.

use std::io::{Read, Seek, SeekFrom};

use super::ContainerError;
use crate::media::showing::Showing;

/// The longest header or frame line that is believed.
const MAX_LINE: usize = 1024;

/// The largest side of a picture.
const MAX_SIDE: u32 = 16_384;

/// A y4m file, read one picture at a time.
#[derive(Debug)]
pub struct Y4mReader<R> {
    reader: R,
    /// Width in pixels, may be odd.
    pub width: u32,
    /// Height in pixels, may be odd.
    pub height: u32,
    /// Pictures a second.
    pub fps: f64,
    /// How they are shown.
    pub showing: Showing,
    first_frame: u64,
    cut: bool,
}

impl<R: Read + Seek> Y4mReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// When it is not y4m, breaks the format, or holds pictures that we do not take.
    pub fn open(mut reader: R) -> Result<Self, ContainerError> {
        let line = read_line(&mut reader)?
            .ok_or_else(|| ContainerError::corrupt("the y4m header is missing"))?;
        let text = String::from_utf8_lossy(&line);
        let mut words = text.split(' ');
        if words.next() != Some("YUV4MPEG2") {
            return Err(ContainerError::corrupt("the y4m header does not start with YUV4MPEG2"));
        }
        let (mut width, mut height, mut fps) = (0, 0, 25.0);
        let mut showing = Showing::default();
        for word in words {
            let Some(value) = word.get(1..) else { continue };
            match word.as_bytes().first() {
                Some(b'W') => width = side(value)?,
                Some(b'H') => height = side(value)?,
                Some(b'F') => fps = rate(value)?,
                Some(b'C') => check_colour(value)?,
                Some(b'A') => showing.aspect = aspect(value),
                Some(b'X') => match value.to_ascii_uppercase().as_str() {
                    "COLORRANGE=FULL" => showing.colour.full_range = Some(true),
                    "COLORRANGE=LIMITED" => showing.colour.full_range = Some(false),
                    _ => {}
                },
                Some(b'I') if !matches!(value, "p" | "?") => {
                    return Err(ContainerError::unsupported(
                        "interlaced y4m; convert it with `ffmpeg -i IN -vf yadif OUT.y4m`",
                    ));
                }
                _ => {}
            }
        }
        if width == 0 || height == 0 {
            return Err(ContainerError::corrupt("the y4m header names no width or height"));
        }
        let first_frame = reader.stream_position()?;
        Ok(Self { reader, width, height, fps, showing, first_frame, cut: false })
    }

    /// Whether the file turned out to end in the middle of something.
    #[must_use]
    pub fn was_cut(&self) -> bool {
        self.cut
    }

    /// Bytes of one picture: Y, U and V, chroma sides rounded up.
    #[must_use]
    pub fn frame_len(&self) -> usize {
        let (width, height) = (self.width as usize, self.height as usize);
        width * height + 2 * width.div_ceil(2) * height.div_ceil(2)
    }

    /// How many pictures are in a file of which all are stored like the first, found without reading
    /// them; then it is at the first.
    ///
    /// # Errors
    /// When the file cannot be read or sought.
    pub fn count(&mut self) -> Result<u64, ContainerError> {
        self.rewind()?;
        let line = read_line(&mut self.reader)?.map_or(0, |line| line.len() as u64 + 1);
        let end = self.reader.seek(SeekFrom::End(0))?;
        self.rewind()?;
        Ok(end.saturating_sub(self.first_frame) / (line + self.frame_len() as u64).max(1))
    }

    /// Reads the next picture into `out`, which has [`Self::frame_len`] bytes; `false` at the end of
    /// the file, which may be a cut.
    ///
    /// # Errors
    /// When the file cannot be read, or a frame line is broken.
    pub fn read_frame(&mut self, out: &mut [u8]) -> Result<bool, ContainerError> {
        let line = match read_line(&mut self.reader) {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(false),
            Err(ContainerError::Io(error)) => return Err(error.into()),
            Err(_) => {
                self.cut = true;
                return Ok(false);
            }
        };
        if !line.starts_with(b"FRAME") {
            return Err(ContainerError::corrupt("a y4m picture does not start with FRAME"));
        }
        match self.reader.read_exact(out) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                self.cut = true;
                Ok(false)
            }
            read => Ok(read.map(|()| true)?),
        }
    }

    /// Goes back to the first picture.
    ///
    /// # Errors
    /// When the file cannot be sought.
    pub fn rewind(&mut self) -> Result<(), ContainerError> {
        self.reader.seek(SeekFrom::Start(self.first_frame))?;
        Ok(())
    }
}

fn side(value: &str) -> Result<u32, ContainerError> {
    let side: u32 =
        value.parse().map_err(|_| ContainerError::corrupt("a y4m side is not a number"))?;
    if side > MAX_SIDE {
        return Err(ContainerError::unsupported(format!(
            "pictures of {side} pixels; at most {MAX_SIDE} a side"
        )));
    }
    Ok(side)
}

fn rate(value: &str) -> Result<f64, ContainerError> {
    let broken = || ContainerError::corrupt("the y4m frame rate is broken");
    let (num, den) = value.split_once(':').ok_or_else(broken)?;
    let num: u32 = num.parse().map_err(|_| broken())?;
    let den: u32 = den.parse().map_err(|_| broken())?;
    if num == 0 || den == 0 {
        return Ok(25.0);
    }
    Ok((f64::from(num) / f64::from(den)).clamp(0.1, 1000.0))
}

/// Width to height of a sample; `0:0` says that nobody knows.
fn aspect(value: &str) -> Option<(u32, u32)> {
    let (width, height) = value.split_once(':')?;
    let (width, height) = (width.parse().ok()?, height.parse().ok()?);
    (width > 0 && height > 0).then_some((width, height))
}

fn check_colour(value: &str) -> Result<(), ContainerError> {
    match value {
        "420" | "420jpeg" | "420mpeg2" | "420paldv" => Ok(()),
        other => Err(ContainerError::unsupported(format!(
            "y4m colours {other}; convert it with `ffmpeg -i IN -pix_fmt yuv420p OUT.y4m`"
        ))),
    }
}

/// One line without its end; `None` at the end of the file.
fn read_line(reader: &mut impl Read) -> Result<Option<Vec<u8>>, ContainerError> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < MAX_LINE {
        if reader.read(&mut byte)? == 0 {
            if line.is_empty() {
                return Ok(None);
            }
            return Err(ContainerError::corrupt("the y4m file ends in the middle of a line"));
        }
        if byte[0] == b'\n' {
            return Ok(Some(line));
        }
        line.push(byte[0]);
    }
    Err(ContainerError::corrupt("a y4m header line has no end"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn file() -> Vec<u8> {
        let mut data = b"YUV4MPEG2 W6 H4 F30000:1001 Ip A1:1 C420mpeg2\n".to_vec();
        for n in 0..3u8 {
            data.extend_from_slice(b"FRAME\n");
            data.extend_from_slice(&[n; 36]);
        }
        data
    }

    #[test]
    fn pictures_come_in_order_and_again_after_rewinding() {
        let mut y4m = Y4mReader::open(Cursor::new(file())).unwrap();
        assert_eq!((y4m.width, y4m.height), (6, 4));
        assert!((y4m.fps - 29.97).abs() < 0.01);
        let mut picture = [9; 36];
        for n in 0..3 {
            assert!(y4m.read_frame(&mut picture).unwrap());
            assert_eq!(picture, [n; 36]);
        }
        assert!(!y4m.read_frame(&mut picture).unwrap());
        y4m.rewind().unwrap();
        assert!(y4m.read_frame(&mut picture).unwrap());
        assert_eq!(picture, [0; 36]);
    }

    #[test]
    fn other_colours_are_refused_with_a_way_out() {
        let data = b"YUV4MPEG2 W6 H4 C422\nFRAME\n".to_vec();
        let error = Y4mReader::open(Cursor::new(data)).unwrap_err();
        assert!(matches!(&error, ContainerError::Unsupported(text) if text.contains("ffmpeg")));
    }

    #[test]
    fn shape_and_range_are_told() {
        let showing = |words: &str| {
            let data = format!("YUV4MPEG2 W6 H4 {words}\nFRAME\n");
            Y4mReader::open(Cursor::new(data.into_bytes())).unwrap().showing
        };
        assert_eq!(showing("A10:11 C420jpeg").aspect, Some((10, 11)));
        assert_eq!(showing("A0:0").aspect, None);
        assert_eq!(showing("XCOLORRANGE=FULL").colour.full_range, Some(true));
        assert_eq!(showing("C420mpeg2 XCOLORRANGE=LIMITED").colour.full_range, Some(false));
        assert_eq!(showing("C420").colour.full_range, None);
    }

    #[test]
    fn a_picture_that_is_cut_ends_the_file() {
        let mut data = file();
        data.truncate(data.len() - 5);
        let mut y4m = Y4mReader::open(Cursor::new(data)).unwrap();
        let mut picture = [9; 36];
        assert!(y4m.read_frame(&mut picture).unwrap() && y4m.read_frame(&mut picture).unwrap());
        assert!(!y4m.was_cut() && !y4m.read_frame(&mut picture).unwrap() && y4m.was_cut());
    }

    proptest! {
        #[test]
        fn damage_never_panics(cut in 0usize..200, at in 0usize..160, bit in 0u8..8) {
            let mut data = file();
            let len = data.len();
            data[at % len] ^= 1 << bit;
            data.truncate(cut);
            if let Ok(mut y4m) = Y4mReader::open(Cursor::new(data)) {
                let mut picture = vec![0; y4m.frame_len()];
                while let Ok(true) = y4m.read_frame(&mut picture) {}
            }
        }
    }
}
