//! `peer devices` and `peer doctor` on a machine with nothing, with everything, and with broken
//! things.

use serde_json::Value;

use crate::support::camera::Camera;
use crate::support::display::Display;
use crate::support::one_at_a_time;
use crate::support::process::{Ended, PeerBuilder};
use crate::support::relay::Relay;
use crate::support::server::Server;
use crate::support::sound_server::{SoundServer, speech};

async fn devices(set: impl FnOnce(PeerBuilder) -> PeerBuilder) -> Value {
    let ended = set(PeerBuilder::new(["devices", "--json"])).run().await;
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(!ended.said.contains("ALSA lib"), "{}", ended.said);
    let event = ended.events.into_iter().next().expect("an event");
    assert_eq!(event["event"], "devices");
    event
}

/// A list of words, one of each device.
fn words(devices: &Value, kind: &str, word: &str) -> Vec<String> {
    let all = devices[kind]["devices"].as_array().expect("a list");
    all.iter().map(|device| device[word].as_str().expect("a word").to_owned()).collect()
}

/// How a check went, and what it found; panics when there was none.
fn check(ended: &Ended, name: &str) -> (String, String) {
    let checks = ended.events[0]["checks"].as_array().expect("checks");
    let found = checks.iter().find(|check| check["check"] == name);
    let found = found.unwrap_or_else(|| panic!("no check '{name}'\n{}", ended.said));
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    (text("outcome"), format!("{}; {}", text("found"), text("advice")))
}

fn doctor(server: &str, words: &[&str]) -> PeerBuilder {
    PeerBuilder::new(["doctor", "--json", "--server", server]).args(words)
}

#[tokio::test]
async fn a_machine_with_nothing() {
    let server = Server::start().await;
    let nothing = |peer: PeerBuilder| peer.env("ALSA_CONFIG_PATH", "/dev/null");
    let found = devices(nothing).await;
    for kind in ["cameras", "screens", "microphones", "speakers"] {
        assert_eq!(found[kind]["devices"], Value::Array(vec![]), "{found:#}");
        assert!(found[kind]["problem"].is_string(), "{found:#}");
    }
    let ended = nothing(doctor(server.url(), &["--stun", "none"])).run().await;
    assert_eq!(ended.code, Some(0), "a call would work: {}", ended.said);
    for device in ["camera", "microphone", "speaker"] {
        let (outcome, found) = check(&ended, device);
        assert_eq!(outcome, "warn", "{device}: {found}");
        assert!(found.contains("plug one in"), "{device}: {found}");
    }
    for check_of in ["codecs", "server", "turn"] {
        assert_eq!(check(&ended, check_of).0, "pass", "{}", ended.said);
    }
    assert_eq!(ended.events[0]["verdict"], "pass");
}

#[tokio::test]
async fn a_machine_with_everything() {
    let _alone = one_at_a_time().await;
    let (server, relay) = (Server::start().await, Relay::start().await);
    let (sound, camera, display) =
        (SoundServer::start().await, Camera::new("YUYV"), Display::start());
    let all = |peer: PeerBuilder| display.with(sound.with(camera.with(peer)));
    let found = devices(&all).await;
    assert_eq!(words(&found, "cameras", "video"), ["camera:0"], "{found:#}");
    assert_eq!(words(&found, "screens", "video"), ["screen:0"]);
    assert_eq!(words(&found, "microphones", "audio"), ["mic:TestMic"]);
    assert_eq!(words(&found, "speakers", "speaker"), ["TestSpeaker", "MicFeed"]);
    let format = &found["cameras"]["devices"][0]["formats"][0];
    assert_eq!((&format["pixels"], &format["width"]), (&"YUYV".into(), &640.into()));
    let default = |kind: &str| found[kind]["devices"][0]["default"] == true;
    assert!(default("cameras") && default("screens") && default("microphones"));
    assert!(default("speakers"), "{found:#}");

    let folder = tempfile::tempdir().expect("a temporary folder");
    let _talker = sound.play_into_microphone(&speech(folder.path(), 6));
    let (stun, turn, tcp) = (relay.stun(), relay.turn(), relay.turn_tcp());
    let (tls, ca) = (relay.turns(), relay.certificate());
    let turns = ["--turn", &turn, "--turn", &tcp, "--turn", &tls, "--ca", &ca];
    let network = [&["--stun", &stun, "--turn-user", "alice"], &turns[..]].concat();
    let well = doctor(server.url(), &network).env("PEER_TURN_PASSWORD", "secret");
    let ended = all(well).run().await;
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    // Speech pauses, and silence is worth a warning.
    assert!(check(&ended, "mic:TestMic").1.contains("samples"), "{}", ended.said);
    let devices = ["camera:0", "speaker:TestSpeaker"];
    for name in devices.into_iter().chain(["codecs", "server", "nat", &stun, &turn, &tcp, &tls]) {
        let (outcome, found) = check(&ended, name);
        assert_eq!(outcome, "pass", "{name}: {found}\n{}", ended.said);
    }
    assert!(check(&ended, "camera:0").1.contains("pictures of 640x480"), "{}", ended.said);
    for turn in [&turn, &tcp, &tls] {
        assert!(check(&ended, turn).1.contains("127.0.0.1:"), "{}", ended.said);
    }
    // The first line is how it was started.
    assert!(!ended.said.lines().skip(1).any(|line| line.contains("secret")), "{}", ended.said);
}

#[tokio::test]
async fn a_machine_with_broken_things() {
    let _alone = one_at_a_time().await;
    let (server, relay) = (Server::start().await, Relay::start().await);
    let (camera, turn) = (Camera::new("YUYV"), relay.turn());
    camera.is("busy");
    let (tls, nobody) = (relay.turns(), "turn:127.0.0.1:1?transport=tcp");
    let turns = ["--turn", &turn, "--turn", &tls, "--turn", nobody];
    let network = [&["--stun", "none", "--turn-user", "mallory"], &turns[..]].concat();
    let ended = camera.with(doctor(server.url(), &network)).run().await;
    assert_eq!(ended.code, Some(0), "a call would work: {}", ended.said);
    let (outcome, found) = check(&ended, "camera:0");
    assert_eq!(outcome, "warn", "{}", ended.said);
    assert!(found.contains("another program holds it"), "{found}");
    let (outcome, found) = check(&ended, &turn);
    assert_eq!(outcome, "warn", "{}", ended.said);
    assert!(found.contains("--turn-password"), "{found}");
    for (turn, wanted) in [(tls.as_str(), "--ca FILE"), (nobody, "nobody listens")] {
        let (outcome, found) = check(&ended, turn);
        assert_eq!(outcome, "warn", "{}", ended.said);
        assert!(found.contains(wanted), "{found}");
    }

    let relayed_only = [&network[..], &["--ice-policy", "relay"]].concat();
    for (server, words, failed, advice) in [
        (server.url(), &relayed_only[..], turn.as_str(), "--turn-password"),
        ("ws://127.0.0.1:1", &["--stun", "none"][..], "server", "peer serve"),
    ] {
        let ended = camera.with(doctor(server, words)).run().await;
        assert_eq!(ended.code, Some(1), "{}", ended.said);
        let (outcome, found) = check(&ended, failed);
        assert_eq!(outcome, "fail", "{}", ended.said);
        assert!(found.contains(advice), "{found}");
        assert!(ended.events[0]["verdict"].is_array(), "{}", ended.said);
    }
}
