//! TLS of `peer serve` from outside: a browser over `https` and `wss`, programs that trust the
//! certificate and programs that do not, and a certificate that changes.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;

use crate::support::chromium::{Browser, FakeMedia};
use crate::support::process::{Ended, Peer, PeerBuilder};
use crate::support::server::{login, peer};
use crate::support::terminal::Terminal;
use crate::support::{PATIENCE, one_at_a_time, sees_more};

/// A `peer serve` with TLS.
struct Secure {
    peer: Peer,
    listening: Value,
}

impl Secure {
    async fn start(listen: &str, flags: &[&str]) -> Self {
        Self::of(PeerBuilder::new(serve(listen, flags))).await
    }

    async fn of(builder: PeerBuilder) -> Self {
        let mut peer = builder.start();
        let listening = peer.await_event("listening", PATIENCE).await;
        Self { peer, listening }
    }

    fn text(&self, field: &str) -> &str {
        self.listening[field].as_str().unwrap_or_else(|| panic!("{field}: {}", self.listening))
    }

    fn url(&self) -> &str {
        self.text("server")
    }

    /// Where `--ca` of a client finds it.
    fn certificate(&self) -> &str {
        self.text("certificate")
    }
}

fn serve(listen: &str, flags: &[&str]) -> Vec<String> {
    let words = ["serve", "--json", "--listen", listen];
    words.iter().chain(flags).map(|word| (*word).to_owned()).collect()
}

/// What Chromium takes instead of a certificate's name: the SHA-256 of its public key.
fn key_hash(certificate: &str) -> String {
    let pem = std::fs::read(certificate).expect("the certificate is kept");
    let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).expect("PEM");
    let certificate = pem.parse_x509().expect("a certificate");
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate.public_key().raw);
    STANDARD.encode(digest)
}

/// A name that is not the loopback's: for that one, browsers are lenient.
const HOST: &str = "peer.test";

async fn status(browser: &Browser, words: &str) {
    let script = format!("return document.body.innerText.includes({words:?})");
    browser.wait_until(&format!("the page says '{words}'"), &script).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_over_https_calls_a_peer_on_another_address() {
    let _alone = one_at_a_time().await;
    let server = Secure::start("127.0.0.3:0", &["--tls-self-signed", "--host", HOST]).await;
    let words = ["--auto-answer", "--ca", server.certificate(), "--bind", "127.0.0.2"];
    let mut bob = login(server.url(), "bob", &words).await;

    let flags = [
        format!("--host-resolver-rules=MAP {HOST} 127.0.0.3"),
        format!("--ignore-certificate-errors-spki-list={}", key_hash(server.certificate())),
    ];
    let browser = Browser::start_with_flags(FakeMedia::default(), &flags).await;
    let port = server.url().rsplit(':').next().expect("a port");
    let secure = "return window.isSecureContext";
    browser.open(&format!("http://{HOST}:{port}/")).await;
    // The plain page has sent us on.
    assert_eq!(browser.evaluate("return location.href").await, format!("https://{HOST}:{port}/"));
    assert_eq!(browser.evaluate(secure).await, true);
    let tracks =
        "const stream = await navigator.mediaDevices.getUserMedia({ video: true, audio: true });
                  const kinds = stream.getTracks().map(track => track.kind).sort();
                  stream.getTracks().forEach(track => track.stop());
                  return kinds";
    assert_eq!(browser.evaluate_async(tracks).await, serde_json::json!(["audio", "video"]));

    browser.fill("#name", "page").await;
    browser.click("#login").await;
    status(&browser, "Online as 'page'").await;
    browser.fill("#callee", "bob").await;
    browser.click("#call").await;
    browser
        .wait_for_call("pictures and sound", |call| {
            call.inbound_video.frames_decoded > 20 && call.inbound_audio.total_audio_energy > 0.0
        })
        .await;
    bob.await_event("first-video-frame", PATIENCE).await;
    let stats = bob.next_event("stats", PATIENCE).await;
    let local = stats["selectedCandidatePair"]["local"].as_str().unwrap_or_default();
    assert!(local.contains("127.0.0.2"), "{stats}");
    sees_more(&mut bob, 10).await;
    bob.type_line("hangup");
    status(&browser, "'bob' hung up").await;
}

/// The one line of error of a program that ended so.
fn failed(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, Some(code), "{}", ended.said);
    let error = ended.said.lines().find(|line| line.starts_with("err| peer: "));
    let error = error.filter(|line| !line.contains("warning"));
    let error = error.unwrap_or_else(|| panic!("no error line\n{}", ended.said));
    for word in words {
        assert!(error.contains(word), "no '{word}' in '{error}'");
    }
}

#[tokio::test]
async fn a_stranger_certificate_and_a_wrong_name_are_refused_with_advice() {
    let server = Secure::start("0.0.0.0:0", &["--tls-self-signed"]).await;
    let url = server.url().replace("0.0.0.0", "127.0.0.1");
    let try_with = async |url: &str, words: &[&str]| peer(url, words).run().await;
    let call = ["call", "nobody", "--as", "alice"];
    let refused = try_with(&url, &call).await;
    failed(&refused, 3, &[&url, "not trusted", "--ca FILE", "--insecure"]);
    assert_eq!(refused.events.last().expect("an event")["code"], "untrusted");
    let with = |words: &[&'static str]| [&call[..], words].concat();
    let unchecked = try_with(&url, &with(&["--insecure"])).await;
    failed(&unchecked, 4, &["'nobody' is not online"]);
    assert!(unchecked.said.contains("NOT checked"), "{}", unchecked.said);
    failed(&try_with(&url, &with(&["--ca", "missing.pem"])).await, 2, &["missing.pem"]);

    let ca = ["login", "alice", "--ca", server.certificate()];
    // It listens on all addresses, and the certificate is for those that others can reach.
    let other = url.replace("127.0.0.1", "127.0.0.9");
    failed(&try_with(&other, &ca).await, 3, &["its certificate is for", "not for 127.0.0.9"]);
    let plain = url.replace("wss://", "ws://");
    failed(&try_with(&plain, &["login", "alice"]).await, 3, &["wss://"]);

    let doctor = ["doctor", "--json", "--stun", "none", "--server", &url];
    let diagnosis = PeerBuilder::new(doctor).run().await;
    assert!(diagnosis.said.contains("--ca FILE takes"), "{}", diagnosis.said);
    let trusting = PeerBuilder::new(doctor).args(["--ca", server.certificate()]).run().await;
    assert!(trusting.said.contains("accepted a login"), "{}", trusting.said);
    // What the system trusts is trusted without a word.
    let system = PeerBuilder::new(doctor).env("SSL_CERT_FILE", server.certificate()).run().await;
    assert!(system.said.contains("accepted a login"), "{}", system.said);
}

#[tokio::test]
async fn our_own_certificate_stays_over_restarts_and_is_shown_on_a_terminal() {
    let first = Secure::start("127.0.0.1:0", &["--tls-self-signed"]).await;
    for (field, scheme) in [("server", "wss://127.0.0.1:"), ("page", "https://127.0.0.1:")] {
        assert!(first.text(field).starts_with(scheme), "{}", first.listening);
    }
    assert_eq!(first.text("fingerprint").len(), 95);
    assert!(first.peer.said().contains(first.text("fingerprint")), "people read it too");
    first.peer.terminate();

    let terminal = Terminal::new(50, 120);
    let flags = serve("127.0.0.1:0", &["--tls-self-signed"]);
    let on_terminal = terminal.with(PeerBuilder::new(flags).in_home(first.peer.home()));
    let second = Secure::of(on_terminal).await;
    assert_eq!(second.text("fingerprint"), first.text("fingerprint"));
    second.peer.terminate();
    assert_eq!(second.peer.wait(PATIENCE).await.code, Some(0));
    let code = |text: &str| text.lines().filter(|line| line.contains("▀▀▀▀▀")).count();
    terminal.until("the QR code", |text| code(text) >= 2).await;
}

/// A certificate for 127.0.0.1 in two PEM files.
fn issue(folder: &Path, name: &str) -> [PathBuf; 2] {
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate");
    let files = ["cert", "key"].map(|kind| folder.join(format!("{name}-{kind}.pem")));
    std::fs::write(&files[0], certificate.pem()).expect("a file");
    std::fs::write(&files[1], key.serialize_pem()).expect("a file");
    files
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_over_under_way_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |files: &[PathBuf; 2]| {
        for (from, to) in files.iter().zip(["cert.pem", "key.pem"]) {
            std::fs::copy(from, folder.path().join(to)).expect("a copy");
        }
    };
    let [old, new] = ["old", "new"].map(|name| issue(folder.path(), name));
    place(&old);
    let path = |name: &str| folder.path().join(name).display().to_string();
    let flags = ["--tls-cert", &path("cert.pem"), "--tls-key", &path("key.pem")];
    let mut server = Secure::start("127.0.0.1:0", &flags).await;
    let ca = |files: &[PathBuf; 2]| files[0].display().to_string();
    let bob = login(server.url(), "bob", &["--ca", &ca(&old)]).await;

    std::fs::write(path("cert.pem"), "rubbish").expect("a file");
    while !server.peer.said().contains("the old certificate stays in use") {
        let again = login(server.url(), "carol", &["--ca", &ca(&old)]).await;
        again.terminate();
        assert_eq!(again.wait(PATIENCE).await.code, Some(0));
    }
    place(&new);
    // Asked again until it is there; each time takes a while, and the runner has a limit.
    let url = server.url().to_owned();
    let call = ["call", "nobody", "--as", "carol", "--ca", &ca(&new)];
    while peer(&url, &call).run().await.code != Some(4) {}
    failed(&peer(&url, &["login", "carol", "--ca", &ca(&old)]).run().await, 3, &["not trusted"]);
    assert!(!bob.said().contains("reconnecting"), "{}", bob.said());
    server.peer.terminate();
    server.peer.gone(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_handshakes_stand_in_nobodys_way() {
    let server = Secure::start("127.0.0.3:0", &["--tls-self-signed", "--host", "127.0.0.3"]).await;
    let address = server.url().trim_start_matches("wss://").to_owned();
    let flood = tokio::spawn(async move {
        let mut half_open = Vec::new();
        for number in 0..1500_u32 {
            let socket = TcpSocket::new_v4().expect("a socket");
            // Of one network, which has as many addresses as it likes.
            let from = format!("127.0.70.{}:0", 1 + number % 200);
            socket.bind(from.parse().expect("an address")).expect("a free port");
            let stream = socket.connect(address.parse().expect("an address")).await;
            let mut stream = stream.expect("the server listens");
            // A record that says more than it has, or nothing at all.
            if number % 2 == 0 {
                let _ = stream.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]).await;
            }
            half_open.push(stream);
        }
        half_open
    });
    // While it comes, and when all of it is there.
    let words = ["--ca", server.certificate()];
    let mut during = login(server.url(), "during", &words).await;
    let half_open = flood.await.expect("the flood is there");
    let mut after = login(server.url(), "after", &words).await;
    for peer in [&mut during, &mut after] {
        assert!(!peer.said().contains("reconnecting"), "{}", peer.said());
        peer.type_line("quit");
        peer.gone(PATIENCE).await;
    }
    drop(half_open);
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_said_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let [certificate, key] = issue(folder.path(), "one").map(|path| path.display().to_string());
    let [_, other] = issue(folder.path(), "two").map(|path| path.display().to_string());
    for (flags, words) in [
        (&["--tls-cert", "missing.pem", "--tls-key", &key][..], "cannot read missing.pem"),
        (&["--tls-cert", &key, "--tls-key", &key], "no certificate in"),
        (&["--tls-cert", &certificate, "--tls-key", &other], "the key does not belong to"),
    ] {
        failed(&PeerBuilder::new(serve("127.0.0.1:0", flags)).run().await, 2, &[words]);
    }
    for flags in [
        &["--tls-cert", &certificate][..],
        &["--tls-key", &key],
        &["--tls-self-signed", "--tls-cert", &certificate, "--tls-key", &key],
    ] {
        let ended = PeerBuilder::new(serve("127.0.0.1:0", flags)).run().await;
        assert_eq!(ended.code, Some(2), "{flags:?}\n{}", ended.said);
    }
}
