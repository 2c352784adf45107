//! A bot: stays online and answers every call with a file.
//!
//! Run `peer serve` first, then
//! `cargo run --release --example answer_with_file -- ws://localhost:9090 jukebox film.mp4`,
//! then `peer call jukebox`. A second Ctrl-C is not needed: the first one ends it.

#![allow(clippy::print_stdout)] // An example speaks to whoever runs it.

use std::path::PathBuf;
use std::sync::Arc;

use peer::media::source::{AudioSourceSpec, MediaOptions, VideoSourceSpec, open};
use peer::phone::Phone;
use peer::phone::config::{AnswerPolicy, PhoneConfig};
use peer::phone::event::EventKind;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [server, name, file] = std::env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "usage: answer_with_file SERVER NAME FILE")?;
    let media = MediaOptions {
        video: VideoSourceSpec::File(PathBuf::from(&file)),
        audio: AudioSourceSpec::File(PathBuf::from(&file)),
        once: true,
        ..MediaOptions::default()
    };
    // Opened once now, so that a bad file is found before anybody calls.
    open(&media)?;

    let mut config = PhoneConfig::new(&server, &name);
    config.call.answer = AnswerPolicy::Auto;
    // Called again for each call: every caller sees the file from its beginning.
    config.sources = Arc::new(move || open(&media));
    let (phone, mut events) = Phone::login(config).await?;
    println!("{name} answers with {file}");

    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => report(&event.kind, event.peer.as_deref().unwrap_or("somebody")),
                None => break,
            },
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    phone.close().await;
    Ok(())
}

fn report(event: &EventKind, peer: &str) {
    match event {
        EventKind::Connected { setup_ms, .. } => {
            println!("{peer} is connected after {setup_ms} ms")
        }
        EventKind::Ended { reason, .. } => println!("{peer} has left: {reason:?}"),
        EventKind::Error { message, .. } => println!("{message}"),
        _ => {}
    }
}
