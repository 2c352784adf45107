//! What a picture and a block of sound are.
//!
//! A frame is owned once and shared by `Arc`; its buffer returns to a pool
//! when the last owner lets go. Nothing here knows where frames come from.

use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use super::showing::Colour;

/// The sample rate of all sound inside `peer`, in Hz (RFC 7587 section 4.1: Opus RTP runs at 48 kHz).
pub const SAMPLE_RATE: u32 = 48_000;

/// Width x height in pixels; both even, as I420 needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Size {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Size {
    /// A size with both sides rounded down to even numbers, at least 2.
    #[must_use]
    pub fn even(width: u32, height: u32) -> Self {
        Self { width: (width & !1).max(2), height: (height & !1).max(2) }
    }

    /// The largest of the same aspect that is no larger than this, and than `most`.
    #[must_use]
    pub fn within(self, most: Self) -> Self {
        let across = f64::from(most.width) / f64::from(self.width.max(1));
        let down = f64::from(most.height) / f64::from(self.height.max(1));
        let by = across.min(down).min(1.0);
        let side = |length: u32| (f64::from(length) * by).round() as u32;
        Self::even(side(self.width), side(self.height))
    }

    /// Bytes of an I420 picture of this size: `width * height * 3 / 2`.
    #[must_use]
    pub fn i420_len(self) -> usize {
        self.luma_len() * 3 / 2
    }

    /// Bytes of the luma plane.
    #[must_use]
    pub fn luma_len(self) -> usize {
        self.width as usize * self.height as usize
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

impl std::str::FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (width, height) = text
            .split_once(['x', 'X'])
            .and_then(|(w, h)| Some((w.trim().parse::<u32>().ok()?, h.trim().parse::<u32>().ok()?)))
            .ok_or_else(|| {
                format!("'{text}' is not a size; write WIDTHxHEIGHT, such as 640x360")
            })?;
        if !(16..=4096).contains(&width) || !(16..=4096).contains(&height) {
            return Err(format!("{text}: each side must be 16 to 4096 pixels"));
        }
        if width % 2 != 0 || height % 2 != 0 {
            return Err(format!("{text}: width and height must be even"));
        }
        Ok(Self { width, height })
    }
}

/// The largest picture that is decoded or read, upright or lying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPicture(Size);

/// A side of a picture has at most so many pixels, whatever is allowed.
const MAX_SIDE: u32 = 16_384;

impl MaxPicture {
    /// Pictures up to this size.
    #[must_use]
    pub const fn new(size: Size) -> Self {
        Self(size)
    }

    /// That size.
    #[must_use]
    pub fn size(self) -> Size {
        self.0
    }

    /// Whether a picture may be so large.
    #[must_use]
    pub fn admits(self, width: u32, height: u32) -> bool {
        let sorted = |a: u32, b: u32| (a.min(b), a.max(b));
        let (short, long) = sorted(width, height);
        let (most_short, most_long) = sorted(self.0.width, self.0.height);
        short <= most_short && long <= most_long
    }
}

/// Pictures that are larger than is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "pictures of {size} are above the limit of {limit}; --max-picture {size} lets them through"
)]
pub struct TooLarge {
    /// How large they are.
    pub size: Size,
    /// How large they may be.
    pub limit: Size,
}

impl Default for MaxPicture {
    /// 4096x2304, what H.264 level 5.1 has (ITU-T H.264 table A-1).
    fn default() -> Self {
        Self(Size { width: 4096, height: 2304 })
    }
}

impl std::str::FromStr for MaxPicture {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let sides = text.split_once(['x', 'X']);
        let side = |text: &str| text.trim().parse::<u32>().ok();
        let sides = sides.and_then(|(width, height)| Some((side(width)?, side(height)?)));
        let (width, height) = sides.ok_or_else(|| {
            format!("'{text}' is not a size; write WIDTHxHEIGHT, such as 7680x4320")
        })?;
        if !(16..=MAX_SIDE).contains(&width) || !(16..=MAX_SIDE).contains(&height) {
            return Err(format!("{text}: each side must be 16 to {MAX_SIDE} pixels"));
        }
        Ok(Self(Size { width, height }))
    }
}

/// A picture: 8-bit I420, planes Y, U, V one after the other without padding. What its samples mean
/// says its [`Colour`], BT.601 of limited range unless somebody said otherwise.
///
/// Y is `width x height`, U and V are `width/2 x height/2`.
#[derive(Debug)]
pub struct VideoFrame {
    size: Size,
    data: Vec<u8>,
    captured_at: Instant,
    colour: Colour,
    home: Weak<PoolInner>,
}

impl VideoFrame {
    /// A frame from packed I420 bytes; `None` when `data` is not exactly `size.i420_len()` long.
    #[must_use]
    pub fn from_i420(size: Size, data: Vec<u8>, captured_at: Instant) -> Option<Self> {
        (data.len() == size.i420_len()).then_some(Self {
            size,
            data,
            captured_at,
            colour: Colour::default(),
            home: Weak::new(),
        })
    }

    /// Width and height.
    #[must_use]
    pub fn size(&self) -> Size {
        self.size
    }

    /// When the picture was taken (or was due, for files), on the monotonic clock.
    #[must_use]
    pub fn captured_at(&self) -> Instant {
        self.captured_at
    }

    /// All three planes: Y, then U, then V.
    #[must_use]
    pub fn i420(&self) -> &[u8] {
        &self.data
    }

    /// The same, to draw into.
    pub fn i420_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// The luma plane, `width` bytes a row.
    #[must_use]
    pub fn y(&self) -> &[u8] {
        &self.data[..self.size.luma_len()]
    }

    /// The blue-difference plane, `width / 2` bytes a row.
    #[must_use]
    pub fn u(&self) -> &[u8] {
        let luma = self.size.luma_len();
        &self.data[luma..luma + luma / 4]
    }

    /// The red-difference plane, `width / 2` bytes a row.
    #[must_use]
    pub fn v(&self) -> &[u8] {
        let luma = self.size.luma_len();
        &self.data[luma + luma / 4..]
    }

    /// The three planes, mutable: Y, U, V.
    pub fn planes_mut(&mut self) -> (&mut [u8], &mut [u8], &mut [u8]) {
        let luma = self.size.luma_len();
        let (y, chroma) = self.data.split_at_mut(luma);
        let (u, v) = chroma.split_at_mut(luma / 4);
        (y, u, v)
    }

    /// What its samples mean.
    #[must_use]
    pub fn colour(&self) -> Colour {
        self.colour
    }

    /// Says what its samples mean.
    pub fn set_colour(&mut self, colour: Colour) {
        self.colour = colour;
    }

    /// Makes it black.
    pub fn blacken(&mut self) {
        let black = self.colour.black();
        let (y, u, v) = self.planes_mut();
        y.fill(black);
        u.fill(128);
        v.fill(128);
    }

    /// Says when the picture was taken.
    pub fn set_captured_at(&mut self, at: Instant) {
        self.captured_at = at;
    }
}

impl Drop for VideoFrame {
    fn drop(&mut self) {
        if let Some(pool) = self.home.upgrade() {
            let data = std::mem::take(&mut self.data);
            if let Ok(mut free) = pool.free.lock()
                && free.len() < POOL_KEEPS
            {
                free.push(data);
            }
        }
    }
}

/// How many idle buffers a pool keeps; a call has at most a handful of pictures under way.
const POOL_KEEPS: usize = 8;

#[derive(Debug, Default)]
struct PoolInner {
    free: Mutex<Vec<Vec<u8>>>,
}

/// Picture buffers that are used again instead of being allocated 30 times a second.
#[derive(Debug, Default, Clone)]
pub struct FramePool {
    inner: Arc<PoolInner>,
}

impl FramePool {
    /// An empty pool.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A frame to draw into. Its bytes are whatever an earlier picture left there; its colours are
    /// those of BT.601 in limited range until somebody says otherwise.
    #[must_use]
    pub fn take(&self, size: Size, captured_at: Instant) -> VideoFrame {
        let reused = self.inner.free.lock().ok().and_then(|mut free| free.pop());
        let mut data = reused.unwrap_or_default();
        data.resize(size.i420_len(), 0);
        let colour = Colour::default();
        VideoFrame { size, data, captured_at, colour, home: Arc::downgrade(&self.inner) }
    }
}

/// A block of sound: 48 kHz, `f32` in -1.0 to 1.0, channels interleaved.
#[derive(Debug, Clone, PartialEq)]
pub struct AudioFrame {
    /// Interleaved samples; the length is a multiple of `channels`.
    pub samples: Vec<f32>,
    /// 1 or 2.
    pub channels: usize,
    /// When its first sample was taken (or was due), on the monotonic clock.
    pub captured_at: Instant,
}

impl AudioFrame {
    /// Samples per channel.
    #[must_use]
    pub fn len_per_channel(&self) -> usize {
        self.samples.len() / self.channels.max(1)
    }
}

/// How long so many samples per channel last at 48 kHz.
#[must_use]
pub fn samples_to_duration(samples: usize) -> Duration {
    Duration::from_nanos(samples as u64 * 1_000_000_000 / u64::from(SAMPLE_RATE))
}
