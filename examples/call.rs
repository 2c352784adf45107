//! The smallest call: a server and two phones in one process.
//!
//! Run with `cargo run --release --example call`.

#![allow(clippy::print_stdout)] // An example speaks to whoever runs it.

use peer::phone::Phone;
use peer::phone::command::Command;
use peer::phone::config::{AnswerPolicy, PhoneConfig};
use peer::phone::event::EventKind;
use peer::signaling::server::{self, ServerConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}", listener.local_addr()?);
    tokio::spawn(server::run(listener, ServerConfig::default(), std::future::pending()));

    // Both send the test picture and a tone, which is what a new configuration does.
    let mut bob = PhoneConfig::new(&url, "bob");
    bob.call.answer = AnswerPolicy::Auto;
    let (bob, _bob_hears) = Phone::login(bob).await?;
    let (alice, mut events) = Phone::login(PhoneConfig::new(&url, "alice")).await?;

    alice.tell(Command::Call { name: "bob".to_owned() });
    while let Some(event) = events.recv().await {
        match event.kind {
            EventKind::FirstVideoFrame { setup_ms, width, height } => {
                println!("bob's first picture, {width}x{height}, after {setup_ms} ms");
                alice.tell(Command::Hangup);
            }
            EventKind::Ended { reason, summary, .. } => {
                println!("ended ({reason:?}) after {} ms", summary.duration_ms);
                break;
            }
            _ => {}
        }
    }
    alice.close().await;
    bob.close().await;
    Ok(())
}
