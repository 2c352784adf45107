//! `peer serve`: the signaling server, and the browser page on the same port.

use std::net::SocketAddr;

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;

use super::exit::Failure;
use super::listening::Listening;
use super::output::Output;
use super::service;
use super::signals::Interrupts;
use super::tls_args::TlsArgs;
use crate::signaling::server::{self, ServerConfig};

/// Examples of `peer serve --help`.
pub const EXAMPLES: &str = "\
Examples:
  peer serve
  peer serve --listen 0.0.0.0:9090
  peer serve --listen 0.0.0.0:9090 --tls-self-signed
  peer serve --listen 0.0.0.0:443 --tls-cert fullchain.pem --tls-key privkey.pem

Browsers give a page the camera only on localhost or with TLS.";

/// Flags of `peer serve`.
#[derive(Debug, Args)]
pub struct ServeCommand {
    /// Address and port to listen on; port 0 takes any free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9090", value_parser = listen)]
    listen: SocketAddr,
    #[command(flatten)]
    tls: TlsArgs,
}

fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("'{text}' is not an address with a port; write 127.0.0.1:9090 or [::]:9090")
    })
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
    service::raise_open_files();
    let shown = command.tls.open(command.listen)?;
    let listener = TcpListener::bind(command.listen).await.map_err(failure)?;
    let address = listener.local_addr().map_err(failure)?;
    Listening::new(address, shown.as_ref(), crate::clock::wall()).say(output);
    let config = ServerConfig { tls: shown.map(|shown| shown.tls), ..ServerConfig::default() };
    service::tell(service::READY);
    let until = async move {
        interrupts.first().await;
        service::tell(service::STOPPING);
    };
    server::run(listener, config, until).await.context("the server failed")?;
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
