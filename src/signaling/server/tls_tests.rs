//! Tests of TLS over real sockets: our server with our client, and with those who speak
//! something else.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;

use super::super::ServerConfig as Config;
use super::*;
use crate::signaling::client::trust::Trust;
use crate::signaling::client::{Client, ClientEvent, ClientOptions, ConnectError};
use crate::signaling::test_support::TestServer;

/// A folder with a certificate of our own for these names.
struct Own {
    folder: tempfile::TempDir,
    tls: Tls,
}

impl Own {
    fn make(names: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let tls = Tls::self_signed(folder.path(), names).unwrap();
        Self { folder, tls }
    }

    fn files(&self) -> [PathBuf; 2] {
        [
            self_signed::certificate_path(self.folder.path()),
            self.folder.path().join("self-signed-key.pem"),
        ]
    }

    fn trust(&self) -> Trust {
        Trust::Only(self.files()[0].clone())
    }
}

async fn start(tls: &Tls) -> TestServer {
    TestServer::start(Config { tls: Some(tls.clone()), ..Config::default() }).await
}

fn url(server: &TestServer) -> String {
    format!("wss://{}", server.address)
}

async fn login(
    url: &str,
    trust: Trust,
) -> Result<(Client, mpsc::Receiver<ClientEvent>), ConnectError> {
    Client::connect_with(url, "alice", ClientOptions { trust, ..ClientOptions::default() }).await
}

/// Why there is no login.
async fn refused(url: &str, trust: Trust) -> ConnectError {
    login(url, trust).await.map(|_| ()).unwrap_err()
}

/// The fingerprint that a new connection sees.
async fn seen(server: &TestServer) -> String {
    let config = Trust::Anybody.for_signaling("wss://").unwrap();
    let stream = TcpStream::connect(server.address).await.unwrap();
    let name = server.address.ip().into();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    certificate::fingerprint(&stream.get_ref().1.peer_certificates().unwrap()[0])
}

#[tokio::test]
async fn who_trusts_the_certificate_logs_in_and_is_told_of_the_end() {
    let own = Own::make(&["127.0.0.1"]);
    let mut server = start(&own.tls).await;
    let (client, mut events) = login(&url(&server), own.trust()).await.unwrap();
    assert!(matches!(events.recv().await, Some(ClientEvent::LoggedIn { .. })));
    server.begin_stop();
    assert!(matches!(events.recv().await, Some(ClientEvent::Reconnecting { .. })));
    server.stopped().await;
    client.close().await;
}

#[tokio::test]
async fn who_does_not_trust_it_is_told_what_to_do() {
    let own = Own::make(&["127.0.0.1"]);
    let other = Own::make(&["127.0.0.1"]);
    let server = start(&own.tls).await;
    for trust in [Trust::System, other.trust()] {
        let error = refused(&url(&server), trust).await;
        let ConnectError::Untrusted { reason, .. } = error else { panic!("{error:?}") };
        assert!(reason.contains("--ca FILE"), "{reason}");
    }
    let (client, _events) = login(&url(&server), Trust::Anybody).await.unwrap();
    client.close().await;
    let bad = Trust::Only(own.folder.path().join("missing.pem"));
    assert!(matches!(refused(&url(&server), bad).await, ConnectError::BadCa { .. }));
    let [_, key] = own.files();
    assert!(matches!(refused(&url(&server), Trust::Only(key)).await, ConnectError::BadCa { .. }));
    server.stop().await;
}

#[tokio::test]
async fn a_wrong_name_and_an_expired_certificate_are_said() {
    let own = Own::make(&["a.example", "192.0.2.1"]);
    let server = start(&own.tls).await;
    let error = refused(&url(&server), own.trust()).await.to_string();
    assert!(error.contains("is for a.example, 192.0.2.1, not for 127.0.0.1"), "{error}");
    server.stop().await;

    let long_ago = clock::wall() - Duration::from_secs(1000 * 24 * 3600);
    let folder = tempfile::tempdir().unwrap();
    SelfSigned::new(folder.path(), vec!["127.0.0.1".into()]).certificate(long_ago).unwrap();
    let [certificate, key] =
        ["self-signed.pem", "self-signed-key.pem"].map(|name| folder.path().join(name));
    let server = start(&Tls::from_files(&certificate, &key).unwrap()).await;
    let error = refused(&url(&server), Trust::Only(certificate)).await.to_string();
    assert!(error.contains("has expired"), "{error}");
    server.stop().await;
}

#[tokio::test]
async fn a_changed_certificate_is_shown_and_a_broken_one_is_not() {
    let (first, second) = (Own::make(&["127.0.0.1"]), Own::make(&["127.0.0.1"]));
    let folder = tempfile::tempdir().unwrap();
    let files = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    let copy = |own: &Own, which: usize| std::fs::copy(&own.files()[which], &files[which]).unwrap();
    copy(&first, 0);
    copy(&first, 1);
    let tls = Tls::from_files(&files[0], &files[1]).unwrap();
    let server = start(&tls).await;
    let (client, mut events) = login(&url(&server), first.trust()).await.unwrap();
    assert!(matches!(events.recv().await, Some(ClientEvent::LoggedIn { .. })));
    assert_eq!(seen(&server).await, first.tls.fingerprint());

    std::fs::write(&files[0], "rubbish").unwrap();
    (0..3).for_each(|_| tls.look(clock::wall()));
    assert_eq!(seen(&server).await, first.tls.fingerprint());
    copy(&second, 0);
    (0..3).for_each(|_| tls.look(clock::wall()));
    assert_eq!(seen(&server).await, first.tls.fingerprint(), "not with another's key");
    copy(&second, 1);
    (0..3).for_each(|_| tls.look(clock::wall()));
    assert_eq!(seen(&server).await, second.tls.fingerprint());
    std::fs::remove_file(&files[0]).unwrap();
    (0..3).for_each(|_| tls.look(clock::wall()));
    assert_eq!(seen(&server).await, second.tls.fingerprint());

    // The old connection has seen nothing of it all.
    assert_eq!(events.try_recv(), Err(mpsc::error::TryRecvError::Empty));
    client.close().await;
    server.stop().await;
}

#[tokio::test]
async fn our_own_is_renewed_while_it_is_shown() {
    let own = Own::make(&["127.0.0.1"]);
    let server = start(&own.tls).await;
    let first = seen(&server).await;
    own.tls.look(clock::wall());
    assert_eq!(seen(&server).await, first);
    own.tls.look(clock::wall() + Duration::from_secs(380 * 24 * 3600));
    assert_ne!(seen(&server).await, first);
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_used_is_said_at_the_start() {
    let (own, other) = (Own::make(&["localhost"]), Own::make(&["localhost"]));
    let ([certificate, key], [_, other_key]) = (own.files(), other.files());
    let missing = own.folder.path().join("missing");
    let folder = own.folder.path().to_owned();
    for (certificate, key, words) in [
        (&missing, &key, "cannot read"),
        (&folder, &key, "cannot read"),
        (&certificate, &missing, "cannot read"),
        (&key, &key, "no certificate in"),
        (&certificate, &certificate, "no private key in"),
        (&certificate, &other_key, "the key does not belong to the certificate"),
    ] {
        let error = Tls::from_files(certificate, key).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

async fn exchange(server: &TestServer, request: &str) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn plain_http_is_sent_to_https_and_plain_sockets_are_told() {
    let own = Own::make(&["127.0.0.1"]);
    let server = start(&own.tls).await;
    let answer = exchange(&server, "GET /a?b=c HTTP/1.1\r\nHost: peer.test:9\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 307 "), "{answer}");
    assert!(answer.contains("location: https://peer.test:9/a?b=c\r\n"), "{answer}");
    for request in ["GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a b/\r\n\r\n"] {
        assert!(exchange(&server, request).await.starts_with("HTTP/1.1 400 "), "{request}");
    }
    let error = refused(&server.url(), Trust::System).await.to_string();
    assert!(error.contains("use https:// or wss://"), "{error}");
    server.stop().await;

    let plain = TestServer::start(Config::default()).await;
    let error = refused(&url(&plain), Trust::Anybody).await.to_string();
    assert!(error.contains("use ws:// instead of wss://"), "{error}");
    plain.stop().await;
}

#[tokio::test]
async fn a_tls_handshake_that_stalls_holds_a_place_only_for_its_time() {
    let own = Own::make(&["127.0.0.1"]);
    let tls = Some(own.tls.clone());
    let handshake_timeout = Duration::from_millis(200);
    let config = Config { tls, handshakes: 1, handshake_timeout, ..Config::default() };
    let server = TestServer::start(config).await;
    // The beginning of a ClientHello, and no more.
    let mut stalled = TcpStream::connect(server.address).await.unwrap();
    stalled.write_all(&[HANDSHAKE, 3, 1, 2]).await.unwrap();
    let mut answer = Vec::new();
    let _ = stalled.read_to_end(&mut answer).await;
    assert!(answer.is_empty());
    assert_eq!(seen(&server).await, own.tls.fingerprint());
    server.stop().await;
}
