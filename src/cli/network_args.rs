//! The network flags: the signaling server, STUN and TURN, and what to bind.
//!
//! Owns the words and their turning into the library's options. It resolves
//! and connects nothing.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

use super::values;
use crate::phone::config::{DEFAULT_STUN, IcePolicy, NetworkOptions, Secret, Trust};

/// How the other side is reached.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Network")]
pub struct NetworkArgs {
    /// Signaling server [default: that of the settings, of the last login, or ws://localhost:9090]
    #[arg(long, value_name = "URL", env = "PEER_SERVER", value_parser = values::server_url)]
    pub server: Option<String>,
    /// For wss://: trust the certificates in this PEM file, and no others [default: those of the
    /// system]; for turns: trust them too
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// For wss:// and turns: take any certificate; whoever sits between here and the server can
    /// listen in
    #[arg(long, conflicts_with = "ca")]
    insecure: bool,
    /// STUN server, more than once for several; none asks nobody
    #[arg(long, value_name = "URL", value_delimiter = ',', value_parser = values::stun_url,
          default_value = DEFAULT_STUN)]
    stun: Vec<String>,
    /// TURN server, more than once for several: turn:HOST:PORT, over TCP with ?transport=tcp, over
    /// TLS turns:HOST:PORT
    #[arg(long, value_name = "URL", value_delimiter = ',', value_parser = values::turn_url)]
    turn: Vec<String>,
    /// User name for the TURN servers
    #[arg(long, value_name = "USER")]
    turn_user: Option<String>,
    /// Password for the TURN servers; safer in the environment, where other users cannot see it
    #[arg(long, value_name = "PASSWORD", env = "PEER_TURN_PASSWORD", hide_env_values = true,
          value_parser = secret)]
    turn_password: Option<Secret>,
    /// Which paths may be used: all, or relay for TURN only
    #[arg(long, value_name = "POLICY", default_value = "all")]
    ice_policy: IcePolicy,
    /// Bind media sockets to this address only
    #[arg(long, value_name = "ADDR", value_parser = address)]
    bind: Option<IpAddr>,
}

impl NetworkArgs {
    /// How the other side is reached.
    #[must_use]
    pub fn network_options(&self) -> NetworkOptions {
        NetworkOptions {
            trust: self.trust(),
            stun: self.stun.iter().filter(|url| *url != "none").cloned().collect(),
            turn: self.turn.clone(),
            turn_user: self.turn_user.clone(),
            turn_password: self.turn_password.clone(),
            ice_policy: self.ice_policy,
            bind: self.bind,
        }
    }

    fn trust(&self) -> Trust {
        match &self.ca {
            // Where one of the two is remembered and the other said, the careful one counts.
            Some(path) => Trust::Only(path.clone()),
            None if self.insecure => Trust::Anybody,
            None => Trust::System,
        }
    }
}

fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.parse()
        .map_err(|_| format!("'{text}' is not an IP address; write 192.168.1.5 or ::1, no port"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Only {
        #[command(flatten)]
        network: NetworkArgs,
    }

    fn parse(words: &[&str]) -> Result<NetworkArgs, String> {
        let words = std::iter::once("x").chain(words.iter().copied());
        Only::try_parse_from(words).map(|only| only.network).map_err(|e| e.to_string())
    }

    #[test]
    fn without_flags_the_library_defaults_hold() {
        let mut args = parse(&[]).unwrap();
        args.turn_password = None; // The environment of the test may hold one.
        assert_eq!(args.network_options(), NetworkOptions::default());
    }

    #[test]
    fn several_servers_and_none() {
        let args = parse(&["--stun=stun:a", "--stun=stun:b,stun:c", "--turn=turn:t"]).unwrap();
        let network = args.network_options();
        assert_eq!(network.stun, ["stun:a", "stun:b", "stun:c"]);
        assert_eq!(network.turn, ["turn:t"]);
        assert!(parse(&["--stun=none"]).unwrap().network_options().stun.is_empty());
    }

    #[test]
    fn the_turn_password_is_taken_and_never_shown() {
        let args =
            parse(&["--turn-user=u", "--turn-password=hunter2", "--ice-policy=relay"]).unwrap();
        assert!(!format!("{args:?}").contains("hunter2"));
        let network = args.network_options();
        assert_eq!(network.turn_password, Some(Secret::new("hunter2")));
        assert_eq!(network.turn_user.as_deref(), Some("u"));
        assert_eq!(network.ice_policy, IcePolicy::Relay);
    }

    #[test]
    fn a_file_of_certificates_or_no_check_at_all() {
        let trust = |words: &[&str]| parse(words).map(|args| args.network_options().trust);
        assert_eq!(trust(&["--ca=x.pem"]), Ok(Trust::Only("x.pem".into())));
        assert_eq!(trust(&["--insecure"]), Ok(Trust::Anybody));
        assert!(trust(&["--insecure", "--ca=x.pem"]).is_err());
    }

    #[test]
    fn bind_takes_an_address_without_port() {
        let bound = parse(&["--bind=::1"]).unwrap().network_options().bind;
        assert_eq!(bound, Some("::1".parse().unwrap()));
        for text in ["--bind=localhost", "--bind=1.2.3.4:5", "--bind="] {
            assert!(parse(&[text]).is_err(), "{text}");
        }
    }
}
