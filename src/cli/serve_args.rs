//! The flags of `peer serve`: limits, names, browsers, and what logins are told to use.
//!
//! Owns the words, their defaults, and their turning into the server's settings. It reads the files
//! that flags name, and opens no sockets.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::exit::Failure;
use super::{addresses, values};
use crate::ice::IceServer;
use crate::secret::Secret;
use crate::signaling::handout::{Handout, Relay};
use crate::signaling::host::{self, Hosts};
use crate::signaling::origin::{self, Origins};
use crate::signaling::server::ServerConfig;
use crate::signaling::server::users::UsersFile;
use crate::signaling::switchboard::Limits;
use crate::system;

/// A client of ours takes no larger messages.
const LARGEST_MESSAGE: u64 = 256 * 1024;
const LONGEST_SECRET: u64 = 4096;
/// So many offers a minute from one name to another, for each message a second.
const OFFERS_OF_MESSAGES: f64 = 1.2;

/// What one may do, and all together.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Connections in all
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = count)]
    max_connections: u32,
    /// Connections from one address (IPv6: one /64)
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = count)]
    max_connections_per_address: u32,
    /// Bytes of a message
    #[arg(long, value_name = "BYTES", default_value_t = 65_536,
          value_parser = clap::value_parser!(u64).range(1024..=LARGEST_MESSAGE))]
    max_message: u64,
    /// Characters of a name
    #[arg(long, value_name = "N", default_value_t = 64,
          value_parser = clap::value_parser!(u8).range(1..=64))]
    max_name: u8,
    /// Messages a second of one connection, four times as many at once after a pause; offers from one
    /// name to another 1.2 times as many in a minute
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = count)]
    messages_per_second: u32,
    /// Bytes a second of one connection; eight times as many at once after a pause
    #[arg(long, value_name = "N", default_value_t = 32_768, value_parser = count)]
    bytes_per_second: u32,
    /// Logins a minute from one address
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = count)]
    logins_per_minute: u32,
    /// Wrong tokens a minute, for one name and from one address
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = count)]
    wrong_tokens_per_minute: u32,
    /// A connection that has not logged in within this is closed
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = values::duration)]
    login_within: Duration,
    /// A connection that was silent so long is pinged; silent so long again, it is closed
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = values::duration)]
    ping_after: Duration,
    /// Take addresses from the X-Forwarded-For of a proxy; only behind one of your own
    #[arg(long)]
    behind_proxy: bool,
}

/// Who may log in.
#[derive(Debug, Args)]
#[command(next_help_heading = "Names")]
pub struct NameArgs {
    /// Only names in this file may log in, each with its token; read again when it changes
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,
    /// Read a token from the terminal or stdin, write the line for --users to stdout, and end
    #[arg(long, value_name = "NAME", value_parser = values::name)]
    pub hash_token: Option<String>,
}

/// Under which names the server is asked for, and which pages may connect.
#[derive(Debug, Args)]
#[command(next_help_heading = "Browsers")]
pub struct BrowserArgs {
    /// A host name by which this server is known, more than once for several; requests for others
    /// are refused. Its addresses, localhost, this machine's own name and the names in its
    /// certificate need not be given
    #[arg(long, value_name = "NAME", value_parser = host::parse)]
    host: Vec<String>,
    /// Pages of this origin may connect too, more than once for several: scheme, host and port as
    /// in a page's address, null (pages from a file), or * (any). Without it: the server's own
    /// page, and on a loopback address those of this machine
    #[arg(long, value_name = "ORIGIN", value_parser = origin::parse)]
    allow_origin: Vec<String>,
}

/// What logins are told to use.
#[derive(Debug, Args)]
#[command(next_help_heading = "STUN and TURN for everybody who logs in")]
pub struct IceArgs {
    /// stun:, stuns:, turn: or turns: URL that is handed out, more than once for several
    #[arg(long, value_name = "URL", value_parser = values::ice_url)]
    ice_server: Vec<String>,
    /// A file with the secret of the TURN servers (coturn: use-auth-secret); everybody gets their
    /// own temporary password
    #[arg(long, value_name = "FILE", conflicts_with = "ice_user")]
    turn_secret_file: Option<PathBuf>,
    /// The same, in the environment
    #[arg(long, value_name = "SECRET", env = "PEER_TURN_SECRET", hide = true,
          hide_env_values = true, value_parser = secret)]
    turn_secret: Option<Secret>,
    /// How long such a password is good; clients ask for another in time
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = ttl)]
    turn_ttl: Duration,
    /// User name for the TURN servers, the same for everybody; the password is taken from the
    /// environment variable PEER_ICE_CREDENTIAL
    #[arg(long, value_name = "USER")]
    ice_user: Option<String>,
    /// Its password.
    #[arg(long, value_name = "PASSWORD", env = "PEER_ICE_CREDENTIAL", hide = true,
          hide_env_values = true, value_parser = secret)]
    ice_credential: Option<Secret>,
}

fn count(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(count @ 1..=100_000_000) => Ok(count),
        _ => Err("write a whole number from 1 to 100000000".to_owned()),
    }
}

fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

fn ttl(text: &str) -> Result<Duration, String> {
    let ttl = values::duration(text)?;
    if ttl < Duration::from_secs(2) { Err("write 2s or more".to_owned()) } else { Ok(ttl) }
}

impl LimitArgs {
    fn limits(&self) -> Limits {
        let [messages, bytes] = [self.messages_per_second, self.bytes_per_second].map(f64::from);
        let message_bytes = usize::try_from(self.max_message).unwrap_or(usize::MAX);
        Limits {
            connections: self.max_connections as usize,
            connections_per_address: self.max_connections_per_address as usize,
            messages_per_second: messages,
            message_burst: messages * 4.0,
            bytes_per_second: bytes,
            // One message must get through.
            byte_burst: (bytes * 8.0).max(message_bytes as f64),
            message_bytes,
            name_chars: self.max_name.into(),
            logins_per_minute: self.logins_per_minute.into(),
            tries_per_minute: self.wrong_tokens_per_minute.into(),
            offers_per_minute: messages * OFFERS_OF_MESSAGES,
            login_within: self.login_within,
        }
    }

    /// How many files the process should be able to open.
    #[must_use]
    pub fn open_files(&self) -> u64 {
        // Handshakes, and what the process itself needs.
        u64::from(self.max_connections) + 1200
    }
}

impl IceArgs {
    fn handout(&self) -> Result<Handout, Failure> {
        let wrong =
            |reason: &str| Failure::Setting { flag: "--ice-server", reason: reason.to_owned() };
        let is_turn = |url: &&String| url.starts_with("turn");
        let turn: Vec<String> = self.ice_server.iter().filter(is_turn).cloned().collect();
        let stun: Vec<String> =
            self.ice_server.iter().filter(|url| !is_turn(url)).cloned().collect();
        let mut handout = Handout::default();
        if !stun.is_empty() {
            handout.servers.push(IceServer { urls: stun, ..IceServer::default() });
        }
        let secret = match &self.turn_secret_file {
            Some(file) => Some(read_secret(file)?),
            None => self.turn_secret.clone(),
        };
        match (turn.is_empty(), secret, &self.ice_user) {
            (true, None, None) => {}
            (true, ..) => {
                return Err(wrong("credentials are given, but no turn: URL to use them with"));
            }
            (false, _, Some(user)) => {
                let credential = self.ice_credential.as_ref().ok_or_else(|| {
                    wrong("put the password of --ice-user into PEER_ICE_CREDENTIAL")
                })?;
                handout.servers.push(IceServer {
                    urls: turn,
                    username: Some(user.clone()),
                    credential: Some(credential.expose().to_owned()),
                });
            }
            (false, Some(secret), None) => {
                handout.relay = Some(Relay { urls: turn, secret, ttl: self.turn_ttl });
            }
            (false, None, None) => {
                return Err(wrong(
                    "a turn: URL needs credentials; give --turn-secret-file FILE, PEER_TURN_SECRET, \
                     or --ice-user USER with PEER_ICE_CREDENTIAL",
                ));
            }
        }
        Ok(handout)
    }
}

fn read_secret(path: &Path) -> Result<Secret, Failure> {
    use std::io::Read;
    let wrong = |reason: String| Failure::Setting {
        flag: "--turn-secret-file",
        reason: format!("{}: {reason}", path.display()),
    };
    let file = std::fs::File::open(path).map_err(|error| wrong(system::words(&error)))?;
    let mut text = String::new();
    let read = file.take(LONGEST_SECRET).read_to_string(&mut text);
    read.map_err(|error| wrong(system::words(&error)))?;
    match text.trim() {
        "" => Err(wrong("the file is empty".to_owned())),
        secret => Ok(Secret::new(secret)),
    }
}

impl BrowserArgs {
    fn hosts(&self) -> Hosts {
        let own = addresses::host_name();
        let local = own.as_ref().map(|own| format!("{own}.local"));
        Hosts { names: self.host.iter().cloned().chain(own).chain(local).collect() }
    }
}

/// The files among them that hold secrets, and what is in each.
pub fn secret_files<'a>(
    names: &'a NameArgs,
    ice: &'a IceArgs,
) -> impl Iterator<Item = (&'a Path, &'static str)> {
    let users = names.users.as_deref().map(|path| (path, "the users' hashes"));
    let turn = ice.turn_secret_file.as_deref().map(|path| (path, "the TURN servers' secret"));
    users.into_iter().chain(turn)
}

/// All of them together, as the server wants them.
///
/// # Errors
/// When a file that a flag names cannot be read or is wrong, or flags do not go together.
pub fn server_config(
    limits: &LimitArgs,
    names: &NameArgs,
    browsers: &BrowserArgs,
    ice: &IceArgs,
) -> Result<ServerConfig, Failure> {
    let users = names.users.as_deref().map(UsersFile::open).transpose();
    let users =
        users.map_err(|error| Failure::Setting { flag: "--users", reason: error.to_string() })?;
    Ok(ServerConfig {
        limits: limits.limits(),
        ping_every: limits.ping_after,
        handout: ice.handout()?,
        users: users.map(Arc::new),
        hosts: browsers.hosts(),
        origins: Origins { allowed: browsers.allow_origin.clone(), this_machine: false },
        behind_proxy: limits.behind_proxy,
        ..ServerConfig::default()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Only {
        #[command(flatten)]
        limits: LimitArgs,
        #[command(flatten)]
        names: NameArgs,
        #[command(flatten)]
        browsers: BrowserArgs,
        #[command(flatten)]
        ice: IceArgs,
    }

    fn config(words: &[&str]) -> Result<ServerConfig, String> {
        let words = std::iter::once("x").chain(words.iter().copied());
        let only = Only::try_parse_from(words).map_err(|error| error.to_string())?;
        server_config(&only.limits, &only.names, &only.browsers, &only.ice)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn without_flags_the_library_defaults_hold() {
        let ours = config(&[]).unwrap();
        let theirs = ServerConfig::default();
        assert_eq!(ours.limits, theirs.limits);
        assert_eq!(ours.ping_every, theirs.ping_every);
        assert_eq!((ours.handout, ours.origins), (theirs.handout, theirs.origins));
    }

    #[test]
    fn every_limit_has_its_flag() {
        let limits = config(&[
            "--max-connections=1",
            "--max-connections-per-address=2",
            "--max-message=2048",
            "--max-name=3",
            "--messages-per-second=4",
            "--bytes-per-second=5000",
            "--logins-per-minute=6",
            "--wrong-tokens-per-minute=7",
            "--login-within=8s",
        ])
        .unwrap()
        .limits;
        let wanted = Limits {
            connections: 1,
            connections_per_address: 2,
            messages_per_second: 4.0,
            message_burst: 16.0,
            bytes_per_second: 5000.0,
            byte_burst: 40_000.0,
            message_bytes: 2048,
            name_chars: 3,
            logins_per_minute: 6.0,
            tries_per_minute: 7.0,
            offers_per_minute: 4.8,
            login_within: Duration::from_secs(8),
        };
        assert_eq!(limits, wanted);
        for wrong in ["--max-connections=0", "--max-message=1", "--max-name=65", "--turn-ttl=1s"] {
            assert!(config(&[wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn host_names_are_added_to_those_of_this_machine() {
        let hosts = config(&["--host=Example.org", "--host=*.pages.example"]).unwrap().hosts;
        let own = addresses::host_name().unwrap_or_else(|| "localhost".to_owned());
        for host in ["example.org:443", "a.pages.example", "localhost", &own] {
            assert!(hosts.admit(host, &[]), "{host}");
        }
        assert!(!hosts.admit("evil.example", &[]));
        assert!(config(&["--host=https://example.org"]).unwrap_err().contains("example.org"));
    }

    #[test]
    fn turn_servers_need_credentials_and_credentials_turn_servers() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "north\n").unwrap();
        let secret_file = format!("--turn-secret-file={}", file.display());
        let words = ["--ice-server=stun:s", "--ice-server=turn:t", "--ice-server=turns:t"];
        let words = [&words[..], &[&secret_file]].concat();
        let handout = config(&words).unwrap().handout;
        assert_eq!(handout.servers[0].urls, ["stun:s"]);
        let relay = handout.relay.unwrap();
        assert_eq!(relay.urls, ["turn:t", "turns:t"]);
        assert_eq!((relay.secret, relay.ttl), (Secret::new("north"), Duration::from_secs(3600)));

        let same = ["--ice-server=turn:t", "--ice-user=u", "--ice-credential=p"];
        let server = config(&same).unwrap().handout.servers.remove(0);
        assert_eq!(
            (server.username.as_deref(), server.credential.as_deref()),
            (Some("u"), Some("p"))
        );
        assert!(config(&["--ice-server=turn:t"]).unwrap_err().contains("--turn-secret-file"));
        assert!(
            config(&["--ice-server=turn:t", "--ice-user=u"]).unwrap_err().contains("CREDENTIAL")
        );
        assert!(config(&[&secret_file]).unwrap_err().contains("no turn: URL"));
        std::fs::write(&file, " \n").unwrap();
        assert!(config(&words).unwrap_err().contains("empty"));
    }
}
