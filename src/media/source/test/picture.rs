//! The test picture: colour bars, a wandering square, a clock and a frame number.

use std::sync::Arc;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use super::digits;
use crate::clock;
use crate::media::frame::{FramePool, Size, VideoFrame};
use crate::media::source::{SourceError, VideoFormat, VideoSource};

/// Y, U and V of the bars: white, yellow, cyan, green, magenta, red, blue (BT.601, 75 %).
const BARS: [[u8; 3]; 7] = [
    [180, 128, 128],
    [162, 44, 142],
    [131, 156, 44],
    [112, 72, 58],
    [84, 184, 198],
    [65, 100, 212],
    [35, 212, 114],
];

/// Draws what it sends; moves, so that encoders have something to do.
#[derive(Debug)]
pub struct TestPicture {
    format: VideoFormat,
    pool: FramePool,
    background: Vec<u8>,
    began_at: Option<Instant>,
    number: u64,
}

impl TestPicture {
    /// Pictures of that size, so many a second.
    #[must_use]
    pub fn new(size: Size, fps: f64) -> Self {
        let size = Size::even(size.width, size.height);
        Self {
            format: VideoFormat { size, fps },
            pool: FramePool::new(),
            background: background(size),
            began_at: None,
            number: 0,
        }
    }

    fn due(&self, number: u64, began_at: Instant) -> Instant {
        began_at + Duration::from_secs_f64(number as f64 / self.format.fps)
    }

    fn draw(&self, due: Instant) -> VideoFrame {
        let size = self.format.size;
        let (width, height) = (size.width as usize, size.height as usize);
        let mut frame = self.pool.take(size, due);
        frame.i420_mut().copy_from_slice(&self.background);
        let luma = frame.planes_mut().0;
        wandering_square(luma, (width, height), self.number);
        let scale = (width / 160).min(height / 60).max(1);
        let (clock, number) = (wall_clock(), format!("#{}", self.number));
        // Clear of the bars, each on a ground of its own: white on white tells no time.
        let top = height / 2 + 4 * scale;
        let below = top + 2 * digits::extent(&clock, scale).1;
        for (top, text) in [(top, &clock), (below, &number)] {
            let (wide, high) = digits::extent(text, scale);
            let (left, edge) = (8 * scale, 2 * scale);
            dark(luma, width, (left - edge, top - edge), (wide + edge, high + 2 * edge));
            digits::draw(luma, width, (left, top), scale, text);
        }
        frame
    }
}

impl VideoSource for TestPicture {
    fn next_frame(&mut self) -> Result<Option<Arc<VideoFrame>>, SourceError> {
        let began_at = *self.began_at.get_or_insert_with(clock::now);
        // Whoever comes late gets the picture of now, not those he missed.
        let late = clock::now().saturating_duration_since(began_at).as_secs_f64();
        self.number = self.number.max((late * self.format.fps) as u64);
        let due = self.due(self.number, began_at);
        clock::sleep_until(due);
        let frame = self.draw(due);
        self.number += 1;
        Ok(Some(Arc::new(frame)))
    }

    fn format(&self) -> VideoFormat {
        self.format
    }
}

fn background(size: Size) -> Vec<u8> {
    let (width, height) = (size.width as usize, size.height as usize);
    let mut data = Vec::with_capacity(size.i420_len());
    for (plane, (width, height)) in
        [(0, (width, height)), (1, (width / 2, height / 2)), (2, (width / 2, height / 2))]
    {
        for row in 0..height {
            for column in 0..width {
                let bar = BARS[column * BARS.len() / width][plane];
                // The lower half is a slope from black to white.
                let slope = if plane == 0 { (16 + column * 219 / width) as u8 } else { 128 };
                data.push(if row * 2 < height { bar } else { slope });
            }
        }
    }
    data
}

/// Darkens a part of the picture; what does not fit stays out.
fn dark(luma: &mut [u8], width: usize, (left, top): (usize, usize), (wide, high): (usize, usize)) {
    for row in luma.chunks_exact_mut(width).skip(top).take(high) {
        let right = (left + wide).min(row.len());
        if let Some(pixels) = row.get_mut(left..right) {
            pixels.fill(16);
        }
    }
}

fn wandering_square(luma: &mut [u8], (width, height): (usize, usize), number: u64) {
    let side = (height / 6).max(2);
    let bounce = |room: usize, speed: u64| {
        let room = room.max(1) as u64;
        let at = number * speed % (2 * room);
        at.min(2 * room - at) as usize
    };
    let (left, top) = (bounce(width - side, 5), bounce(height - side, 3));
    for row in luma.chunks_exact_mut(width).skip(top).take(side) {
        row[left..left + side].fill(235);
    }
}

/// HH:MM:SS.mmm, UTC.
fn wall_clock() -> String {
    let now = OffsetDateTime::from(clock::wall());
    let (hour, minute, second) = (now.hour(), now.minute(), now.second());
    format!("{hour:02}:{minute:02}:{second:02}.{:03}", now.millisecond())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn pictures_move_and_come_at_their_pace() {
        let mut source = TestPicture::new(Size { width: 320, height: 180 }, 50.0);
        let one = source.next_frame().unwrap().unwrap();
        let two = source.next_frame().unwrap().unwrap();
        assert_ne!(one.y(), two.y());
        assert!(two.captured_at() - one.captured_at() >= Duration::from_millis(20));
        assert_eq!(one.size(), source.format().size);
    }

    #[test]
    fn the_clock_stands_whole_clear_of_the_bars() {
        for (width, height) in [(320, 180), (640, 360), (1280, 720), (160, 120)] {
            let size = Size { width, height };
            let source = TestPicture::new(size, 1.0);
            let frame = source.draw(clock::now());
            let row = |y: u32| &frame.y()[(y * width) as usize..((y + 1) * width) as usize];
            let scale = (width / 160).min(height / 60).max(1);
            let top = height / 2 + 4 * scale;
            let wide = (8 * scale + 12 * 6 * scale) as usize;
            // A dark edge all around, and white in between.
            for edge in [top - 1, top - 2 * scale, top + 7 * scale] {
                let edge = &row(edge)[(8 * scale) as usize..wide];
                assert!(edge.iter().all(|luma| *luma == 16), "{width}x{height}");
            }
            assert!(
                (top..top + 7 * scale).all(|y| row(y)[..wide].contains(&235)),
                "{width}x{height}"
            );
            assert!(row(height / 2 - 1)[..wide].iter().all(|luma| *luma > 100), "the bars");
        }
    }

    #[test]
    fn draws_at_any_size() {
        for (width, height) in [(16, 16), (64, 64), (640, 360), (1920, 1080), (90, 320)] {
            let mut source = TestPicture::new(Size { width, height }, 1_000.0);
            for _ in 0..3 {
                assert!(source.next_frame().unwrap().is_some());
            }
        }
    }
}
