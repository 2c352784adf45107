//! A STUN and TURN server of the test's own: coturn on free ports of 127.0.0.1, over UDP, TCP and
//! TLS with a certificate of its own; it ends with the test.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::UdpSocket;

use super::PATIENCE;

/// UDP may lose a request, or the server not be there yet.
const BETWEEN_REQUESTS: Duration = Duration::from_millis(100);

/// A running server.
pub(crate) struct Relay {
    folder: TempDir,
    server: Child,
    words: Vec<String>,
    port: u16,
    tls_port: u16,
}

impl Relay {
    /// Starts one that knows the user `alice` with the password `secret`.
    pub(crate) async fn start() -> Self {
        Self::start_with(&["--lt-cred-mech", "--user", "alice:secret"]).await
    }

    /// Starts one that takes passwords made with this secret (draft-uberti-behave-turn-rest).
    pub(crate) async fn start_with_secret(secret: &str) -> Self {
        Self::start_with(&["--use-auth-secret", "--static-auth-secret", secret]).await
    }

    /// Waits until it listens.
    async fn start_with(words: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut names = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
        // As `openssl req -x509` makes it.
        names.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = names.self_signed(&key).expect("a certificate");
        std::fs::write(folder.path().join("cert"), certificate.pem()).expect("a file");
        std::fs::write(folder.path().join("key"), key.serialize_pem()).expect("a file");
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        let (port, tls_port) = (free_port(), free_port());
        let server = launch(folder.path(), &words, port, tls_port);
        tokio::time::timeout(PATIENCE, answers(port)).await.expect("the relay answers");
        Self { folder, server, words, port, tls_port }
    }

    /// It dies, with all connections and allocations, and comes back at the same place.
    pub(crate) async fn restart(&mut self) {
        self.stop();
        self.server = launch(self.folder.path(), &self.words, self.port, self.tls_port);
        tokio::time::timeout(PATIENCE, answers(self.port)).await.expect("the relay answers");
    }

    fn stop(&mut self) {
        // Fails where it has ended by itself.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        let log = std::fs::read(self.folder.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// What `--stun` takes.
    pub(crate) fn stun(&self) -> String {
        format!("stun:127.0.0.1:{}", self.port)
    }

    /// What `--turn` takes.
    pub(crate) fn turn(&self) -> String {
        format!("turn:127.0.0.1:{}", self.port)
    }

    /// The same, over TCP.
    pub(crate) fn turn_tcp(&self) -> String {
        format!("{}?transport=tcp", self.turn())
    }

    /// The same, over TLS.
    pub(crate) fn turns(&self) -> String {
        format!("turns:127.0.0.1:{}", self.tls_port)
    }

    /// What `--ca` takes to trust it.
    pub(crate) fn certificate(&self) -> String {
        self.folder.path().join("cert").display().to_string()
    }
}

fn free_port() -> u16 {
    // Free for both, as far as one can know.
    let free = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    free.local_addr().expect("a bound port").port()
}

fn launch(folder: &Path, words: &[String], port: u16, tls_port: u16) -> Child {
    let file = |name: &str| folder.join(name).display().to_string();
    Command::new("turnserver")
        .args(["-n", "--no-dtls", "--no-cli", "--no-rfc5780"])
        .args(["--simple-log", "--log-file", &file("log")])
        .args(["--listening-ip", "127.0.0.1", "--relay-ip", "127.0.0.1"])
        .args(["--allow-loopback-peers", "--realm", "test"])
        .args(["--cert", &file("cert"), "--pkey", &file("key")])
        .args(words)
        .args(["--listening-port", &port.to_string()])
        .args(["--tls-listening-port", &tls_port.to_string()])
        .args(["--pidfile", &file("pid"), "--userdb", &file("db")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("turnserver; `make deps` installs it")
}

/// Waits until it answers a binding request (RFC 8489 section 5).
async fn answers(port: u16) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let request = *b"\x00\x01\x00\x00\x21\x12\xa4\x42isanyonehome";
    let mut answer = [0; 256];
    loop {
        // Refused, as long as nobody has the port.
        let _ = socket.send_to(&request, ("127.0.0.1", port)).await;
        let answered = tokio::time::timeout(BETWEEN_REQUESTS, socket.recv_from(&mut answer)).await;
        if matches!(answered, Ok(Ok((20.., _)))) {
            return;
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop();
    }
}
