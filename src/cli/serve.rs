//! `peer serve`: the signaling server, and the browser page on the same port.

use std::net::SocketAddr;

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use tokio::net::TcpListener;

use super::exit::Failure;
use super::output::Output;
use super::signals::Interrupts;
use crate::phone::event::rfc3339;
use crate::signaling::server::{self, ServerConfig};

/// Examples of `peer serve --help`.
pub const EXAMPLES: &str = "\
Examples:
  peer serve
  peer serve --listen 0.0.0.0:9090";

/// Flags of `peer serve`.
#[derive(Debug, Args)]
pub struct ServeCommand {
    /// Address and port to listen on; port 0 takes any free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9090", value_parser = listen)]
    listen: SocketAddr,
}

fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("'{text}' is not an address with a port; write 127.0.0.1:9090 or [::]:9090")
    })
}

/// The `listening` event.
#[derive(Serialize)]
struct Listening {
    event: &'static str,
    #[serde(serialize_with = "rfc3339")]
    time: std::time::SystemTime,
    server: String,
    page: String,
}

/// Serves until a signal.
///
/// # Errors
/// When the address is taken or not ours, or the server fails.
pub async fn run(command: ServeCommand, output: &Output) -> Result<(), Failure> {
    let mut interrupts = Interrupts::listen()?;
    let failure = |error: std::io::Error| Failure::Listen {
        address: command.listen,
        reason: error.to_string(),
    };
    let listener = TcpListener::bind(command.listen).await.map_err(failure)?;
    let address = listener.local_addr().map_err(failure)?;
    let listening = Listening {
        event: "listening",
        time: crate::clock::wall(),
        server: format!("ws://{address}"),
        page: format!("http://{address}/"),
    };
    output.json(&listening);
    output.say(&format!("listening on {}; the page is {}", listening.server, listening.page));
    let until = async move { interrupts.first().await };
    server::run(listener, ServerConfig::default(), until).await.context("the server failed")?;
    output.say("the server has stopped");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_need_a_port() {
        assert_eq!(listen("[::1]:0"), Ok(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 0))));
        for text in ["", "9090", "localhost:9090", "127.0.0.1", "1.2.3.4:70000"] {
            assert!(listen(text).is_err(), "{text}");
        }
    }
}
