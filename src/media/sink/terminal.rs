//! The terminal as a place for pictures: as well as it can draw, as often as it can take.
//!
//! Owns the upper part of the screen while it lives, on a thread of its own; the
//! last lines stay with whoever writes words. How pictures become bytes is
//! `terminal/`.

pub mod answers;
mod blocks;
mod inline;
mod protocol;
mod sixel;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use protocol::Graphics;

use super::{SinkError, VideoSink};
use crate::clock;
use crate::media::colour;
use crate::media::frame::{FramePool, Size, VideoFrame};
use crate::media::scale::{Planes, Scaler};
use crate::media::slot::Slot;
use blocks::Blocks;

/// Lines at the bottom that are not drawn on.
const WORDS: u16 = 4;

/// The most pictures a second: at home, and through ssh, whose buffers hide how far behind it is.
const NEAR: f64 = 30.0;
const FAR: f64 = 12.0;

/// The size of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Letters in a row.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
    /// Pixels of a letter, width and height, where the terminal says it.
    pub cell: Option<(u16, u16)>,
}

/// Writes bytes to a terminal, and after them so many of the last lines of words again; says whether it
/// took them.
pub type Write = dyn Fn(&[u8], usize) -> bool + Send;

/// How the terminal is drawn on.
pub struct Terminal {
    /// How large it is now; `None` while it is somebody else's, or gone.
    pub grid: Box<dyn Fn() -> Option<Grid> + Send>,
    /// Writes to it and returns when it has taken all; false when it takes nothing any more. What the
    /// cursor stands on is restored by these bytes themselves; words are written again where the screen
    /// was cleared.
    pub write: Box<Write>,
    /// What it can draw.
    pub graphics: Graphics,
    /// Whether it is reached through ssh.
    pub far: bool,
}

/// A terminal that shows pictures. Dropped, it gives the screen back.
#[derive(Debug)]
pub struct TerminalView {
    slot: Slot<Arc<VideoFrame>>,
    thread: Option<JoinHandle<()>>,
}

impl TerminalView {
    /// Takes over the screen with the first picture.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn new(terminal: Terminal) -> std::io::Result<Self> {
        let slot = Slot::default();
        let shown = slot.clone();
        let thread = std::thread::Builder::new().name("peer-terminal".into());
        let thread = thread.spawn(move || Drawing::new(terminal).run(&shown))?;
        Ok(Self { slot, thread: Some(thread) })
    }
}

impl VideoSink for TerminalView {
    fn show(&mut self, frame: &Arc<VideoFrame>) -> Result<(), SinkError> {
        self.slot.put(Arc::clone(frame));
        Ok(())
    }
}

impl Drop for TerminalView {
    fn drop(&mut self) {
        self.slot.close();
        if let Some(thread) = self.thread.take() {
            // It has nothing to say.
            let _ = thread.join();
        }
    }
}

/// Takes back the whole screen, whatever was drawn: the origin (DECOM), the scrolling region (DECSTBM),
/// the cursor, the screen that was there before.
pub const GIVE_BACK: &[u8] = b"\x1b[?6l\x1b[r\x1b[?25h\x1b[?1049l";

struct Drawing {
    terminal: Terminal,
    grid: Option<Grid>,
    /// Of the picture that stands on it.
    size: Option<Size>,
    blocks: Blocks,
    scaler: Scaler,
    pool: FramePool,
    rgb: Vec<u8>,
    bytes: Vec<u8>,
}

impl Drawing {
    fn new(terminal: Terminal) -> Self {
        Self {
            terminal,
            grid: None,
            size: None,
            blocks: Blocks::default(),
            scaler: Scaler::quick(),
            pool: FramePool::default(),
            rgb: Vec::new(),
            bytes: Vec::new(),
        }
    }

    fn run(mut self, pictures: &Slot<Arc<VideoFrame>>) {
        let pause = Duration::from_secs_f64(1.0 / if self.terminal.far { FAR } else { NEAR });
        let mut next_at = clock::now();
        while let Some(frame) = pictures.take() {
            let began_at = clock::now();
            if began_at < next_at {
                continue;
            }
            if !self.draw(&frame) {
                break;
            }
            next_at = rest(began_at, clock::now(), pause);
        }
        if self.grid.is_some() {
            (self.terminal.write)(GIVE_BACK, 0);
        }
    }

    /// False when the terminal takes nothing any more.
    fn draw(&mut self, frame: &VideoFrame) -> bool {
        let Some(grid) = (self.terminal.grid)() else {
            // Whoever has it leaves nothing of ours on it.
            self.grid = None;
            return true;
        };
        let rows = grid.rows.saturating_sub(WORDS);
        if grid.columns < 8 || rows < 4 {
            return true;
        }
        self.bytes.clear();
        let words = if self.grid == Some(grid) {
            0
        } else {
            self.take_over(grid);
            usize::from(WORDS) - 1
        };
        // Words that are written meanwhile find the cursor and the origin where they were (DECSC, DECRC).
        self.bytes.extend(b"\x1b7\x1b[?6l");
        let graphics = self.terminal.graphics;
        let (size, letters) = fit(frame.size(), (grid.columns, rows), graphics, grid.cell);
        self.scale(frame, size);
        self.make_room(size, rows);
        let (width, height) = (size.width as usize, size.height as usize);
        let rgb = &self.rgb[..width * height * 3];
        match graphics {
            Graphics::Kitty => inline::kitty(rgb, size, letters, &mut self.bytes),
            Graphics::Iterm => inline::iterm(rgb, size, letters, &mut self.bytes),
            Graphics::Sixel => sixel::draw(rgb, size, &mut self.bytes),
            Graphics::TrueColour => self.blocks.draw(rgb, size, true, &mut self.bytes),
            Graphics::Colours256 => self.blocks.draw(rgb, size, false, &mut self.bytes),
        }
        self.bytes.extend(b"\x1b8");
        (self.terminal.write)(&self.bytes, words)
    }

    /// Another screen than the shell's, empty, on which words scroll only in the last lines. Those are
    /// the whole screen to who clears it (DECOM), as Ctrl-L at a prompt does.
    fn take_over(&mut self, grid: Grid) {
        if self.grid.is_none() {
            self.bytes.extend(b"\x1b[?1049h\x1b[?25l");
        }
        let (first, last) = (grid.rows - WORDS + 1, grid.rows);
        let set = format!("\x1b[?6l\x1b[2J\x1b[{first};{last}r\x1b[?6h\x1b[{WORDS};1H");
        self.bytes.extend(set.as_bytes());
        self.blocks.forget();
        self.grid = Some(grid);
        self.size = None;
    }

    /// A picture of another size (a telephone was turned) leaves none of the one before beside it.
    fn make_room(&mut self, size: Size, rows: u16) {
        if self.size.replace(size).is_some_and(|before| before != size) {
            for row in 1..=rows {
                self.bytes.extend(format!("\x1b[{row};1H\x1b[2K").as_bytes());
            }
            self.blocks.forget();
        }
    }

    fn scale(&mut self, frame: &VideoFrame, size: Size) {
        let mut scaled = self.pool.take(size, frame.captured_at());
        scaled.set_colour(frame.colour());
        let own = (frame.size().width as usize, frame.size().height as usize);
        let Some(planes) = Planes::packed(own.0, own.1, frame.i420()) else { return };
        self.scaler.draw(planes, &mut scaled);
        self.rgb.resize(size.luma_len() * 3, 0);
        colour::to_rgb(&scaled, &mut self.rgb);
    }
}

/// When the next picture may be drawn: a terminal that is slow gets as much time to rest as it needed.
fn rest(began_at: Instant, now: Instant, pause: Duration) -> Instant {
    // Pictures come at their own pace; one that is a little early is still the next.
    (began_at + pause.mul_f64(0.8)).max(now + (now - began_at))
}

/// Where the terminal does not say how large its letters are.
const USUAL_CELL: (u16, u16) = (8, 16);

/// The most pixels of a sixel picture: they are made larger here, and each costs.
const MOST_SIXELS: f64 = 1_000_000.0;

/// Pixels that are drawn, and the letters that they cover: the picture's aspect, as large as the room of
/// so many letters lets it be. A block of colour is half a letter; what the terminal itself makes larger
/// is sent no larger than the picture is.
fn fit(
    picture: Size,
    room: (u16, u16),
    graphics: Graphics,
    cell: Option<(u16, u16)>,
) -> (Size, (u32, u32)) {
    let (columns, rows) = (f64::from(room.0), f64::from(room.1));
    let cell = cell.unwrap_or(USUAL_CELL);
    let (wide, high) = (f64::from(cell.0.max(1)), f64::from(cell.1.max(1)));
    let aspect = f64::from(picture.width) / f64::from(picture.height);
    // In pixels of the terminal.
    let width = (columns * wide).min(rows * high * aspect);
    let height = width / aspect;
    let letters =
        |pixels: f64, of: f64, most: f64| (pixels / of - 1e-6).ceil().clamp(1.0, most) as u32;
    let covered = (letters(width, wide, columns), letters(height, high, rows));
    let by = match graphics {
        Graphics::TrueColour | Graphics::Colours256 => {
            return (Size::even((width / wide) as u32, (height / high * 2.0) as u32), covered);
        }
        Graphics::Sixel => (MOST_SIXELS / (width * height)).sqrt().min(1.0),
        Graphics::Kitty | Graphics::Iterm => (f64::from(picture.width) / width).min(1.0),
    };
    // What is whole but for a rounding error is whole.
    let whole = |pixels: f64| (pixels + 1e-6) as u32;
    (Size::even(whole(width * by), whole(height * by)), covered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_keep_their_aspect_and_leave_room_for_words() {
        let picture = Size { width: 640, height: 360 };
        let blocks = |columns, rows| fit(picture, (columns, rows), Graphics::TrueColour, None).0;
        assert_eq!(blocks(80, 20), Size { width: 70, height: 40 });
        assert_eq!(blocks(60, 40), Size { width: 60, height: 32 });
        let (pixels, letters) = fit(picture, (200, 60), Graphics::Kitty, Some((10, 20)));
        assert_eq!(pixels, picture, "never sent larger than the picture");
        assert_eq!(letters, (200, 57), "and shown over the whole width");
        let (pixels, letters) = fit(picture, (40, 60), Graphics::Sixel, Some((10, 20)));
        assert_eq!((pixels, letters), (Size { width: 400, height: 224 }, (40, 12)));
        let (pixels, _) = fit(picture, (120, 60), Graphics::Sixel, Some((10, 20)));
        assert_eq!(pixels, Size { width: 1200, height: 674 }, "sixels are made larger here");
        let (pixels, _) = fit(picture, (400, 200), Graphics::Sixel, Some((10, 20)));
        assert!(pixels.luma_len() <= 1_000_000, "{pixels:?}");
    }

    #[test]
    fn a_slow_terminal_rests_as_long_as_it_works() {
        let (start, pause) = (clock::now(), Duration::from_millis(33));
        let ms = Duration::from_millis;
        assert!(rest(start, start + ms(2), pause) < start + ms(33));
        assert_eq!(rest(start, start + ms(500), pause), start + ms(1_000));
    }
}
