//! Your own window: a sink that saves one received picture a second as PNG.
//!
//! Run `peer serve` and `peer login bob --auto-answer`, then
//! `cargo run --release --example custom_sink -- ws://localhost:9090 bob folder`.

#![allow(clippy::print_stdout)] // An example speaks to whoever runs it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use peer::media::frame::VideoFrame;
use peer::media::sink::{SinkError, Sinks, VideoSink};
use peer::phone::Phone;
use peer::phone::command::Command;
use peer::phone::config::PhoneConfig;
use peer::phone::event::EventKind;

/// Writes the luma of a picture, a grey PNG, once a second.
struct Album {
    folder: PathBuf,
    saved: u32,
    last: Option<Instant>,
}

impl VideoSink for Album {
    fn show(&mut self, frame: &Arc<VideoFrame>) -> Result<(), SinkError> {
        let second = Duration::from_secs(1);
        if self.last.is_some_and(|last| frame.captured_at() < last + second) {
            return Ok(());
        }
        self.last = Some(frame.captured_at());
        self.saved += 1;
        let path = self.folder.join(format!("picture-{:03}.png", self.saved));
        save(&path, frame).map_err(|reason| SinkError::Unwritable { path, reason })
    }
}

fn save(path: &std::path::Path, frame: &VideoFrame) -> Result<(), String> {
    let file = std::fs::File::create(path).map_err(|error| error.to_string())?;
    let mut png = png::Encoder::new(file, frame.size().width, frame.size().height);
    png.set_color(png::ColorType::Grayscale);
    let mut writer = png.write_header().map_err(|error| error.to_string())?;
    writer.write_image_data(frame.y()).map_err(|error| error.to_string())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [server, callee, folder] = std::env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "usage: custom_sink SERVER CALLEE FOLDER")?;
    std::fs::create_dir_all(&folder)?;
    let mut config = PhoneConfig::new(&server, "collector");
    config.call.duration = Some(Duration::from_secs(5));
    config.sinks = Arc::new(move || {
        let album = Album { folder: PathBuf::from(&folder), saved: 0, last: None };
        Ok(Sinks { video: Some(Box::new(album)), ..Sinks::default() })
    });
    let (phone, mut events) = Phone::login(config).await?;
    phone.tell(Command::Call { name: callee });
    while let Some(event) = events.recv().await {
        if let EventKind::Ended { reason, .. } = event.kind {
            println!("ended: {reason:?}");
            break;
        }
    }
    phone.close().await;
    Ok(())
}
