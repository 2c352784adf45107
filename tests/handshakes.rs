//! Calls whose two sides find a path and cannot agree on its encryption: each ends soon, and both sides
//! say why in words.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::datagrams::{ALERT, MEDIA, record};
use crate::hostile_calls::seconds;
use crate::support::lying_server::LyingServer;
use crate::support::on_path::{CALLEE, CALLER, Deed, OnPath};
use crate::support::process::Ended;
use crate::support::server::{login, peer};
use crate::support::{PATIENCE, one_at_a_time};

/// `openssl` in the place of one end. Dropped, it is killed.
struct OpenSsl(Child);

impl OpenSsl {
    fn start(words: &[&str]) -> Self {
        let quiet = Command::new("openssl")
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(quiet.expect("openssl is there: scripts/deps.sh"))
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How a call ended: for bob, who answered, and for alice.
struct Failed {
    accepted: Value,
    bob: Value,
    alice: Ended,
}

impl Failed {
    /// Both have failed, within so many seconds, and each said one of these words.
    fn said(&self, what: &str, within: f64, bob: &str, alice: &str) {
        let Self { accepted, bob: ended, alice: caller } = self;
        assert_eq!(ended["reason"], "connection-failed", "{what}: {ended}");
        assert_eq!(caller.code, Some(6), "{what}: {}", caller.said);
        assert!(seconds(accepted, ended) < within, "{what}: {accepted} {ended}");
        for (said, words) in
            [(ended["message"].as_str().unwrap_or_default(), bob), (&caller.said, alice)]
        {
            assert!(said.contains("(DTLS)") && said.contains(words), "{what}: {said}");
        }
    }
}

/// A call of alice to bob with somebody on its path; `joins` starts who takes part when it begins.
async fn fails(deed: Deed, joins: impl FnOnce(SocketAddr) -> Option<OpenSsl>) -> Failed {
    let server = LyingServer::start().await;
    let path = OnPath::of_alice(&server, deed).await;
    let mut bob = login(server.url(), "bob", &[&["--auto-answer"][..], &MEDIA].concat()).await;
    let words = [&["call", "bob", "--as", "alice", "--duration", "2s"][..], &MEDIA].concat();
    let alice = peer(server.url(), &words).start();
    path.begins().await;
    let _other = joins(path.aside());
    let accepted = bob.await_event("accepted", PATIENCE).await;
    let ended = bob.await_event("ended", PATIENCE).await;
    let alice = alice.wait(PATIENCE).await;
    Failed { accepted, bob: ended, alice }
}

/// A certificate and its key, in files that openssl reads.
fn certificate(folder: &std::path::Path) -> [String; 2] {
    let key = rcgen::KeyPair::generate().expect("a key");
    let names = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
    let certificate = names.self_signed(&key).expect("a certificate");
    [("certificate", certificate.pem()), ("key", key.serialize_pem())].map(|(name, text)| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("a writable folder");
        path.display().to_string()
    })
}

/// Where one side has refused, and where there is only the time that an answer by itself has to come up:
/// three seconds and ten, and some for a machine that is slow.
const SOON: f64 = 8.0;
const IN_TIME: f64 = 18.0;

#[tokio::test]
async fn a_client_with_which_nothing_is_in_common_is_told_of_on_both_sides() {
    let _alone = one_at_a_time().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [certificate, key] = &certificate(folder.path());
    let with = ["-cert", certificate, "-key", key];
    for (what, words, within, said) in [
        (
            "ciphers",
            [&["-dtls1_2", "-cipher", "CAMELLIA"][..], &with].concat(),
            SOON,
            "(DTLS): no common cipher (alert",
        ),
        (
            "version",
            [&["-dtls1", "-cipher", "ALL:@SECLEVEL=0"][..], &with].concat(),
            SOON,
            "(DTLS): no common version (alert",
        ),
        (
            "certificate",
            vec!["-dtls1_2", "-use_srtp", "SRTP_AES128_CM_SHA1_80"],
            SOON,
            "(DTLS): a certificate was rejected (alert",
        ),
        // The library says nothing.
        ("no SRTP", [&["-dtls1_2"][..], &with].concat(), IN_TIME, "was never agreed on"),
    ] {
        let failed = fails(Deed::Another(CALLEE, None), |at| {
            let at = at.to_string();
            Some(OpenSsl::start(&[&["s_client", "-connect", &*at][..], &words].concat()))
        });
        failed.await.said(what, within, said, "");
    }
}

#[tokio::test]
async fn nor_does_a_server_that_refuses_or_is_refused_hold_a_call_up() {
    let _alone = one_at_a_time().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [certificate, key] = &certificate(folder.path());
    for (what, words, within, said) in [
        (
            "ciphers",
            &["-dtls1_2", "-cipher", "CAMELLIA"][..],
            SOON,
            "no common cipher, reported by the other side",
        ),
        ("version", &["-dtls1", "-cipher", "ALL:@SECLEVEL=0"], IN_TIME, "was never agreed on"),
        ("no SRTP", &["-dtls1_2"], IN_TIME, "(DTLS)"),
    ] {
        let free = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let at = free.local_addr().expect("a port");
        drop(free);
        let accept = at.to_string();
        let with = ["s_server", "-accept", &accept, "-cert", certificate, "-key", key, "-quiet"];
        let _server = OpenSsl::start(&[&with[..], words].concat());
        let failed = fails(Deed::Another(CALLER, Some(at)), |_| None).await;
        failed.said(what, within, "", said);
    }
}

#[tokio::test]
async fn an_alert_in_their_name_is_told_of_and_silence_has_an_end() {
    let _alone = one_at_a_time().await;
    let alert = record(ALERT, 0, 0, &[2, 42]);
    let failed = fails(Deed::Answer(alert), |_| None).await;
    failed.said("an alert", SOON, "", "a certificate was rejected, reported by the other side");
    let failed = fails(Deed::Keep, |_| None).await;
    failed.said(
        "silence",
        14.0,
        "the other side never started encryption (DTLS)",
        "the other side never started encryption (DTLS)",
    );
}
