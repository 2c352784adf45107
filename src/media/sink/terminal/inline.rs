//! Pictures as files in the stream: the kitty graphics protocol and iTerm2's inline images.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use turbojpeg::{Image, PixelFormat, Subsamp};

use crate::media::frame::Size;

/// The most that kitty takes in one piece.
const PIECE: usize = 4_096;

/// The picture always has the same number, so that each replaces the one before.
const NUMBER: u32 = 7_351;

/// JPEG, of 100.
const QUALITY: i32 = 80;

/// Writes a PNG at the upper left, over so many columns and rows, and lets the cursor stand
/// (kitty graphics protocol: `a=T,f=100,C=1`).
pub(super) fn kitty(rgb: &[u8], size: Size, (columns, rows): (u32, u32), out: &mut Vec<u8>) {
    let Some(file) = png(rgb, size) else { return };
    let text = STANDARD.encode(file);
    let pieces = text.as_bytes().chunks(PIECE);
    let last = pieces.len().saturating_sub(1);
    out.extend(b"\x1b[1;1H");
    for (at, piece) in pieces.enumerate() {
        let more = u8::from(at != last);
        // Writing into a vector cannot fail. q=2: no answers, which would look like keys.
        let _ = match at {
            0 => {
                write!(out, "\x1b_Ga=T,f=100,i={NUMBER},p=1,c={columns},r={rows},C=1,q=2,m={more};")
            }
            _ => write!(out, "\x1b_Gm={more},q=2;"),
        };
        out.extend(piece);
        out.extend(b"\x1b\\");
    }
}

/// Writes a JPEG at the upper left, over so many columns and rows (iTerm2: `OSC 1337 ; File=`).
pub(super) fn iterm(rgb: &[u8], size: Size, (columns, rows): (u32, u32), out: &mut Vec<u8>) {
    let (width, height) = (size.width as usize, size.height as usize);
    let image = Image { pixels: rgb, width, pitch: width * 3, height, format: PixelFormat::RGB };
    let file = match turbojpeg::compress(image, QUALITY, Subsamp::Sub2x2) {
        Ok(file) => file,
        Err(error) => return tracing::debug!(%error, "a picture is not drawn"),
    };
    out.extend(b"\x1b[1;1H");
    let _ = write!(
        out,
        "\x1b]1337;File=inline=1;size={};width={columns};height={rows};preserveAspectRatio=0;\
         doNotMoveCursor=1:",
        file.len()
    );
    out.extend(STANDARD.encode(&file).as_bytes());
    out.push(b'\x07');
}

fn png(rgb: &[u8], size: Size) -> Option<Vec<u8>> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, size.width, size.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header().ok()?;
    writer.write_image_data(rgb).ok()?;
    writer.finish().ok()?;
    Some(file)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SIZE: Size = Size { width: 64, height: 32 };

    fn noise() -> Vec<u8> {
        (0..SIZE.luma_len() * 3).map(|at| (at * 7_919 % 251) as u8).collect()
    }

    #[test]
    fn kitty_gets_a_png_in_pieces() {
        let mut out = Vec::new();
        kitty(&noise(), SIZE, (8, 2), &mut out);
        let text = String::from_utf8(out).unwrap();
        let pieces: Vec<_> = text.split("\x1b_G").skip(1).collect();
        assert!(pieces.len() > 1 && pieces[0].contains("c=8,r=2") && pieces[0].contains("m=1"));
        assert!(pieces.last().unwrap().starts_with("m=0"));
        let data: String = pieces
            .iter()
            .map(|piece| piece.split_once(';').unwrap().1.trim_end_matches("\x1b\\"))
            .collect();
        let decoder = png::Decoder::new(std::io::Cursor::new(STANDARD.decode(data).unwrap()));
        let mut reader = decoder.read_info().unwrap();
        let mut rgb = vec![0; SIZE.luma_len() * 3];
        reader.next_frame(&mut rgb).unwrap();
        assert_eq!(rgb, noise());
    }

    #[test]
    fn iterm_gets_a_jpeg() {
        let mut out = Vec::new();
        iterm(&[128; 64 * 32 * 3], SIZE, (8, 2), &mut out);
        let text = String::from_utf8(out).unwrap();
        let (header, data) = text.split_once(':').unwrap();
        assert!(header.contains("width=8;height=2"), "{header:?}");
        let jpeg = STANDARD.decode(data.trim_end_matches('\x07')).unwrap();
        let read = turbojpeg::read_header(&jpeg).unwrap();
        assert_eq!((read.width, read.height), (64, 32));
    }
}
