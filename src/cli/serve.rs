//! `peer serve`: the signaling server, and the browser page on the same port.

use std::net::SocketAddr;

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;

use super::exit::Failure;
use super::listening::Listening;
use super::output::Output;
use super::serve_args::{self, BrowserArgs, IceArgs, LimitArgs, NameArgs};
use super::signals::Interrupts;
use super::tls_args::TlsArgs;
use super::{open_files, privacy, service, stdin, token};
use crate::secret::Secret;
use crate::signaling::server::{self, users};
use crate::system;

/// Examples of `peer serve --help`.
pub const EXAMPLES: &str = "\
Examples:
  peer serve
  peer serve --listen 0.0.0.0:9090
  peer serve --listen 0.0.0.0:9090 --tls-self-signed
  peer serve --listen 0.0.0.0:443 --tls-cert fullchain.pem --tls-key privkey.pem

  peer serve --hash-token alice
  peer serve --users users --allow-origin https://pages.example.org
  peer serve --ice-server turn:turn.example.org --turn-secret-file secret

--hash-token writes a line for --users to stdout: append it with '>> users'.
Browsers give a page the camera only on localhost or with TLS.
/healthz says ok, or draining on the way out; /metrics has numbers (OpenMetrics).
Logs go to stderr as fields; at no level do they hold addresses or what is said.";

/// Flags of `peer serve`.
#[derive(Debug, Args)]
pub struct ServeCommand {
    /// Address and port to listen on; port 0 takes any free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9090", value_parser = listen)]
    listen: SocketAddr,
    #[command(flatten)]
    tls: TlsArgs,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    names: NameArgs,
    #[command(flatten)]
    browsers: BrowserArgs,
    #[command(flatten)]
    ice: IceArgs,
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
    if let Some(name) = command.names.hash_token {
        return hash_token(&name, output).await;
    }
    let ServeCommand { limits, names, browsers, ice, .. } = &command;
    let mut config = serve_args::server_config(limits, names, browsers, ice)?;
    if let Some(allowed) = open_files::allow(limits.open_files()) {
        output.warn(&format!(
            "the system lets this process open {allowed} files, too few for --max-connections; \
             'ulimit -n' raises it"
        ));
    }
    let mut interrupts = Interrupts::listen()?;
    let failure = |error: std::io::Error| Failure::Listen {
        address: command.listen,
        reason: system::words(&error),
    };
    let shown = command.tls.open(command.listen, &config.hosts.names)?;
    let listener = TcpListener::bind(command.listen).await.map_err(failure)?;
    let address = listener.local_addr().map_err(failure)?;
    Listening::new(address, shown.as_ref(), crate::clock::wall()).say(output);
    let key = command.tls.key().map(|path| (path, "the private key"));
    for (path, what) in serve_args::secret_files(names, ice).chain(key) {
        privacy::warn_if_open(path, what, output);
    }
    config.tls = shown.map(|shown| shown.tls);
    service::tell(service::READY);
    let until = async move {
        interrupts.first().await;
        service::tell(service::STOPPING);
    };
    server::run(listener, config, until).await.context("the server failed")?;
    output.say("the server has stopped");
    Ok(())
}

/// Makes a line for the file of users.
async fn hash_token(name: &str, output: &Output) -> Result<(), Failure> {
    let typed = token::ask(&format!("token of '{name}': "), output).await;
    let token = match typed {
        Some(token) => {
            let again = token::ask("the same again: ", output).await;
            if again.as_ref() != Some(&token) {
                return Err(wrong_token("the two are not the same"));
            }
            token
        }
        None if stdin::kind() == stdin::Kind::Terminal => {
            return Err(wrong_token("no token was given"));
        }
        None => Secret::new(stdin::lines().next().await.unwrap_or_default()),
    };
    let line = users::line(name, &token).map_err(|reason| wrong_token(&reason))?;
    Ok(output.document(format!("{line}\n").as_bytes())?)
}

fn wrong_token(reason: &str) -> Failure {
    Failure::Setting { flag: "--hash-token", reason: reason.to_owned() }
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
