//! `peer loopback` from outside: a report that passes, in JSON and as a table.

use serde_json::Value;

use crate::support::process::{Ended, PeerBuilder};
use crate::support::{clip, one_at_a_time};

#[tokio::test]
async fn the_shipped_clip_passes_both_ways() {
    let _alone = one_at_a_time().await;
    let ended = PeerBuilder::new(["loopback", "--duration", "6s", "--json"]).run().await;
    let report = report(&ended);
    for direction in ["callerToCallee", "calleeToCaller"] {
        let (video, audio) = (&report[direction]["video"], &report[direction]["audio"]);
        let (sent, decoded) = (number(&video["framesSent"]), number(&video["framesDecoded"]));
        assert!(sent > 90.0 && decoded <= sent && decoded / sent >= 0.99, "{}", ended.said);
        assert!(number(&video["psnrY"]["mean"]) > 36.0, "{}", ended.said);
        assert!(number(&video["psnrY"]["min"]) <= number(&video["psnrY"]["mean"]));
        assert!(number(&video["ssim"]["mean"]) > 0.95, "{}", ended.said);
        assert!(number(&video["latencyMs"]["p50"]) <= number(&video["latencyMs"]["p95"]));
        let bitrate = number(&video["bitrateBps"]);
        assert!((300_000.0..1_600_000.0).contains(&bitrate), "{}", ended.said);
        assert!(number(&audio["latencyMs"]) > 5.0, "sound was recognised: {}", ended.said);
        assert!(number(&audio["totalSamplesReceived"]) > 48_000.0, "{}", ended.said);
        assert!(report[direction]["avSyncMs"]["p95"].is_number(), "{}", ended.said);
    }
    for step in ["signaling", "ice", "dtls", "firstVideoFrame", "firstAudio"] {
        assert!(report["setupMs"][step].is_number(), "{step}: {}", ended.said);
    }
    assert!(number(&report["process"]["cpuSeconds"]) > 0.1);
    assert!(number(&report["process"]["peakRssBytes"]) > 1e6);
}

#[tokio::test]
async fn test_picture_and_tone_pass_and_a_person_reads_a_table() {
    let _alone = one_at_a_time().await;
    let words = ["loopback", "--duration", "3s", "--video", "test", "--audio", "tone"];
    let ended = PeerBuilder::new(words).args(["--size", "320x240", "--fps", "15"]).run().await;
    passed_but_for_time(&ended);
    for word in ["pictures", "PSNR-Y", "picture latency", "sound concealed", "verdict"] {
        assert!(ended.said.contains(word), "no '{word}':\n{}", ended.said);
    }
}

#[tokio::test]
async fn only_sound_is_a_call_too() {
    let _alone = one_at_a_time().await;
    let words = ["loopback", "--duration", "3s", "--json", "--video", "none", "--audio"];
    let ended = PeerBuilder::new(words).arg(clip("speech.opus")).run().await;
    let report = report(&ended);
    assert!(report["callerToCallee"]["video"].is_null(), "{}", ended.said);
    assert!(number(&report["callerToCallee"]["audio"]["snrDb"]) > 2.0, "{}", ended.said);
}

#[tokio::test]
async fn a_bound_that_no_picture_fits_in_falls_short_and_says_so() {
    let _alone = one_at_a_time().await;
    let words = ["loopback", "--duration", "3s", "--json", "--bitrate", "60k"];
    let ended = PeerBuilder::new(words).args(["--size", "1280x720"]).run().await;
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    let report = ended.events.iter().find(|event| event["event"] == "report");
    let verdict = &report.expect("a report all the same")["verdict"];
    assert!(verdict.as_array().is_some_and(|lines| !lines.is_empty()), "{}", ended.said);
}

#[tokio::test]
async fn a_bad_network_is_in_the_report() {
    let _alone = one_at_a_time().await;
    let network = ["--loss", "5%", "--rate", "2M", "--delay", "30ms", "--queue", "200ms"];
    let words = ["loopback", "--duration", "4s", "--json", "--seed", "3"];
    let ended = PeerBuilder::new(words).args(network).run().await;
    let report = ended.events.iter().find(|event| event["event"] == "report").expect("a report");
    let network = &report["network"];
    assert_eq!(network["asked"], "rate=2M,queue=200ms,delay=30ms,loss=5%", "{}", ended.said);
    assert_eq!(network["seed"], 3);
    for direction in ["callerToCallee", "calleeToCaller"] {
        let link = &network[direction];
        let (packets, lost) = (number(&link["packets"]), number(&link["lost"]));
        assert!(packets > 300.0 && lost > 0.0 && lost < packets * 0.15, "{}", ended.said);
        assert!(number(&link["queueMs"]["max"]) <= 202.0, "{}", ended.said);
        let way = &report[direction];
        assert!(number(&way["video"]["latencyMs"]["p50"]) >= 30.0, "{}", ended.said);
        let seconds = way["perSecond"].as_array().expect("seconds");
        assert!((3..=5).contains(&seconds.len()), "{}", ended.said);
        assert!(
            seconds.iter().all(|second| number(&second["bitrateBps"]) < 2.3e6),
            "{}",
            ended.said
        );
    }
}

#[tokio::test]
async fn a_network_that_cannot_be_is_a_matter_of_usage() {
    for (word, hint) in [("--loss=0.05", "5%"), ("--rate=fast", "500k"), ("--network=18", "=")] {
        let ended = PeerBuilder::new(["loopback", word]).run().await;
        assert_eq!(ended.code, Some(2), "{}", ended.said);
        assert!(ended.said.contains(hint), "{}", ended.said);
    }
}

#[tokio::test]
async fn an_interrupted_measurement_is_no_success() {
    let _alone = one_at_a_time().await;
    let mut builder = PeerBuilder::new(["loopback", "--duration", "10m"]);
    builder = builder.env("RUST_LOG", "peer=info");
    let peer = builder.start();
    peer.interrupt();
    let ended = peer.wait(crate::support::PATIENCE).await;
    assert_ne!(ended.code, Some(0), "{}", ended.said);
}

/// A busy machine may cost time, and sound that came too late; never pictures or their quality.
fn passed_but_for_time(ended: &Ended) {
    let short = ended.said.lines().find(|line| line.contains("missed its targets: "));
    assert_eq!(ended.code, Some(i32::from(short.is_some())), "{}", ended.said);
    for reason in short.into_iter().flat_map(|line| line.split("; ")) {
        let of_time = ["latency", "concealed", "offset"].iter().any(|word| reason.contains(word));
        assert!(of_time, "{reason}\n{}", ended.said);
    }
}

fn report(ended: &Ended) -> Value {
    passed_but_for_time(ended);
    let last = ended.events.last().expect("a report");
    assert_eq!(last["event"], "report", "{}", ended.said);
    last.clone()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}
