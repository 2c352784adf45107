//! Your own pictures: a source that draws what it sends.
//!
//! Run `peer serve` and `peer login bob --auto-answer`, then
//! `cargo run --release --example custom_source -- ws://localhost:9090 bob`.

#![allow(clippy::print_stdout)] // An example speaks to whoever runs it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use peer::clock;
use peer::media::frame::{FramePool, Size, VideoFrame};
use peer::media::source::{SourceError, Sources, VideoFormat, VideoSource};
use peer::phone::Phone;
use peer::phone::command::Command;
use peer::phone::config::PhoneConfig;
use peer::phone::event::EventKind;

/// A bright bar that wanders over a dark picture.
struct Bar {
    pool: FramePool,
    started: Instant,
    number: u32,
}

const FORMAT: VideoFormat = VideoFormat { size: Size { width: 320, height: 240 }, fps: 25.0 };

impl VideoSource for Bar {
    fn next_frame(&mut self) -> Result<Option<Arc<VideoFrame>>, SourceError> {
        // A source sets the pace: it returns when its next picture is due.
        let due = self.started + Duration::from_secs_f64(f64::from(self.number) / FORMAT.fps);
        clock::sleep_until(due);
        let mut frame = self.pool.take(FORMAT.size, due);
        let width = frame.size().width as usize;
        let bar = self.number as usize * 4 % width;
        let (y, u, v) = frame.planes_mut();
        for row in y.chunks_exact_mut(width) {
            row.fill(40);
            row[bar..].iter_mut().take(16).for_each(|pixel| *pixel = 220);
        }
        u.fill(128);
        v.fill(128);
        self.number += 1;
        Ok(Some(Arc::new(frame)))
    }

    fn format(&self) -> VideoFormat {
        FORMAT
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [server, callee] = std::env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "usage: custom_source SERVER CALLEE")?;
    let mut config = PhoneConfig::new(&server, "painter");
    config.call.duration = Some(Duration::from_secs(10));
    config.sources = Arc::new(|| {
        let bar = Bar { pool: FramePool::new(), started: clock::now(), number: 0 };
        Ok(Sources { video: Some(Box::new(bar)), ..Sources::default() })
    });
    let (phone, mut events) = Phone::login(config).await?;
    phone.tell(Command::Call { name: callee });
    while let Some(event) = events.recv().await {
        if let EventKind::Ended { reason, summary, .. } = event.kind {
            let sent = summary.stats.outbound.video.map_or(0, |video| video.frames_encoded);
            println!("ended ({reason:?}), {sent} pictures sent");
            break;
        }
    }
    phone.close().await;
    Ok(())
}
